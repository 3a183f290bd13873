"""What checkpoints of rosinality's generators hold beside the networks or leave out.

The centre of W stands beside them.  The maps of noise are missing in files that were written before
April 2020, among these rosinality's own 256-px FFHQ: that code drew new ones for every image.
"""

import jax
import numpy as np
from flax import traverse_util

from alrl_jax.convert.families.stylegan2 import rules
from alrl_jax.convert.families.stylegan2.architecture import MAX_SIDE, count_layers
from alrl_jax.convert.networks import Network, Tensors
from alrl_jax.convert.rules import fill
from alrl_jax.convert.shapes import count_numbers, shape_of
from alrl_jax.errors import UserError
from alrl_jax.models.functional import apply
from alrl_jax.models.stylegan2.generator import MappingNetwork

LATENT_AVERAGE = "latent_avg"
AVERAGE_SAMPLES = 10_000
MAX_WIDTH = 4096
"""Of a mapping network; published ones have 512."""

NOISE_SEED = 0
_NOISES = "noises.noise_"


def complete_generator(network: Network) -> dict[str, str]:
    """Adds the centre of W and the maps of noise where the file has none, in place.

    Args:
        network: a generator with what stands beside it.

    Returns:
        What is to be noted.

    Raises:
        UserError: if there is no centre and the mapping network is damaged.
    """
    return generator_centre(network) | _noises(network.tensors)


def _noises(tensors: Tensors) -> dict[str, str]:
    """Maps of normal noise, of a fixed seed, if there is not one."""
    if any(str(name).startswith(_NOISES) for name in tensors):
        return {}
    random = np.random.default_rng(NOISE_SEED)
    sides = [4] + [8 * 2**i for i in range(count_numbers(tensors, r"to_rgbs\.(\d+)\.bias"))]
    if sides[-1] > MAX_SIDE:
        return {}  # no such generator: the architecture refuses it
    for k, side in enumerate(sides):
        for number in (2 * k - 1, 2 * k) if k else (0,):
            noise = random.standard_normal((1, 1, side, side), np.float32)
            tensors[f"{_NOISES}{number}"] = noise
    return {"noise": f"drawn from seed {NOISE_SEED}: the file holds none"}


def generator_centre(network: Network) -> dict[str, str]:
    """Leaves one vector of W in ``latent_avg``: the file's, or else the mean of many codes.

    Files have one vector [d] or [1, d], one for every layer [l, d], which serves if all are the
    same, or none.

    Args:
        network: a generator with what stands beside it.

    Returns:
        What is to be noted.

    Raises:
        UserError: if there is none and the mapping network is damaged.
    """
    rows = network.tensors.get(LATENT_AVERAGE)
    if rows is None:
        network.tensors[LATENT_AVERAGE] = mean_code(network.tensors)
        return {"w_avg": f"mean of {AVERAGE_SAMPLES} codes: the file holds none"}
    if rows.ndim == 2 and len(rows) and (rows == rows[0]).all():
        network.tensors[LATENT_AVERAGE] = rows[0]
    elif rows.ndim == 2 and len(rows):
        network.tensors[LATENT_AVERAGE] = mean_code(network.tensors)
        return {"w_avg": f"mean of {AVERAGE_SAMPLES} codes: the file holds one of every layer"}
    return {}


def mean_code(tensors: Tensors, prefix: str = "") -> np.ndarray:
    """The mean of W over normal latents.

    Args:
        tensors: with the ``style.*`` tensors of a generator of rosinality's.
        prefix: what stands before these names.

    Returns:
        float32 [d].

    Raises:
        UserError: if the mapping network is not whole.
    """
    own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    depth = count_layers(own, r"style\.(\d+)\.weight")
    z_dim = width = shape_of(own, "style.1.weight", 2)[1]
    if z_dim > MAX_WIDTH:
        raise UserError(
            f"got {prefix}style.1.weight for latents of width {z_dim}; expected at most "
            f"{MAX_WIDTH}; is it damaged?"
        )
    table = rules.ROSINALITY_GENERATOR.mapping
    flat: dict[str, np.ndarray] = {}
    for i in range(depth):
        weight, bias = (f"style.{i + 1}.{leaf}" for leaf in ("weight", "bias"))
        shapes = shape_of(own, weight, 2), shape_of(own, bias, 1)
        if shapes[0][1] != width or shapes[1] != shapes[0][:1]:
            raise UserError(
                f"got {prefix}{weight} of shape {list(shapes[0])}; expected {width} columns and "
                "its bias; is the file complete?"
            )
        width = shapes[0][0]
        if width > MAX_WIDTH:
            raise UserError(
                f"got {prefix}{weight} of {width} rows; expected at most {MAX_WIDTH}; is it "
                "damaged?"
            )
        if not all(np.isfinite(own[name]).all() for name in (weight, bias)):
            raise UserError(f"got {prefix}{weight} or its bias with NaN or infinite values")
        # The generator's own rows, so that the mapping network has the same weights there and here.
        for name, (path, layout) in fill(table, {"i": i, "i1": i + 1}).items():
            assert path is not None
            value = np.asarray(rules.LAYOUTS[layout].convert(own[name]), np.float32)
            flat[path.replace("/mapping/", "/")] = value
    module = MappingNetwork(w_dim=width, num_layers=depth, track_average=False)
    variables = traverse_util.unflatten_dict(flat, sep="/")
    z = jax.random.normal(jax.random.key(0), (AVERAGE_SAMPLES, z_dim))
    return np.asarray(jax.jit(lambda v, z: apply(module, v, z).mean(0))(variables, z))
