"""Draws faces that never were with a generator, one image a seed.

    alrl generate --model=DIR --seeds=0-15,20 --truncation_psi=0.7 --output=DIR

A seed gives the latents ``numpy.random.RandomState(seed).randn(1, z_dim)``, as in NVIDIA's scripts:
a converted generator draws the face there that it draws here.  A generator that was trained with
sampled pose codes takes its pose latents from the same stream, after them.  Writes
``seedNNNN.png`` for every seed, and ``grid.png`` of the first ones.
"""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, cast, get_args

import jax
import numpy as np
from absl import flags
from jaxtyping import Array, Float, UInt8
from tqdm import tqdm

from alrl_jax.errors import UserError
from alrl_jax.evaluation.report.images import to_bytes
from alrl_jax.loading import GeneratorModel, load_generator
from alrl_jax.models.stylegan2.generator import NoiseMode
from alrl_jax.provenance import image_metadata
from alrl_jax.training import distributed
from alrl_jax.utils import command_line, hashing
from alrl_jax.utils.destinations import check_folder
from alrl_jax.utils.printing import say

MAX_SEED = 2**32 - 1
MAX_SEEDS = 100_000
GRID_LIMIT = 64
"""Images on the grid."""

Images = Float[np.ndarray, "n h w 3"]


def parse_seeds(text: str) -> list[int]:
    """Seeds of a list such as ``0-15,20``, each once, in the order named.

    Raises:
        UserError: if it is no such list, or one without an end.
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})(?:-(\d{1,10}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last <= MAX_SEED or len(seeds) + last - first >= MAX_SEEDS:
            raise UserError(
                f"got {part!r} in --seeds={text}; expected numbers and ranges such as 0-15,20, up "
                f"to {MAX_SEED}, {MAX_SEEDS} in all; change it"
            )
        seeds |= dict.fromkeys(range(first, last + 1))
    return list(seeds)


def latents_of(seed: int, *widths: int) -> tuple[Float[np.ndarray, "1 _"], ...]:
    """Normal draws of a seed, one after the other from its stream."""
    stream = np.random.RandomState(seed)
    return tuple(stream.randn(1, width).astype(np.float32) for width in widths)


def one_hot_label(label_dim: int, label: int | None) -> Float[np.ndarray, "1 n"] | None:
    """A class as the generator wants it; None for one without classes.

    Raises:
        UserError: if a label is missing, is none of the classes, or there are no classes.
    """
    if label is None and not label_dim:
        return None
    if label is None or not 0 <= label < label_dim:
        classes = (
            f"a class from 0 to {label_dim - 1}" if label_dim else "no label: it has no classes"
        )
        raise UserError(f"got --label={label}; expected {classes}, as the generator has it")
    return np.eye(1, label_dim, label, dtype=np.float32)


def make_drawer(
    model: GeneratorModel, label: int | None, truncation_psi: float, noise_mode: NoiseMode
) -> Callable[[list[int]], Images]:
    """What draws the images of seeds; an image depends on its own seed alone.

    Args:
        model: the generator.
        label: class, None without.
        truncation_psi: 1 leaves codes alone, 0 moves them into the average.
        noise_mode: the fixed noise maps, none, or maps drawn from the seed.

    Raises:
        UserError: if the label does not fit.
    """
    classes = one_hot_label(model.network.label_dim, label)

    def one_by_one(ws: Array, pose: Array | None, keys: Array) -> Array:
        def single(w: Array, p: Array | None, key: Array) -> Array:
            return model.synthesize(w[None], "random", None if p is None else p[None], key)[0]

        return jax.vmap(single)(ws, pose, keys)

    def draw(seeds: list[int]) -> Images:
        widths = (model.network.z_dim, model.pose_latent_dim)
        z, poses = map(np.concatenate, zip(*(latents_of(s, *widths) for s in seeds), strict=True))
        labels = None if classes is None else classes.repeat(len(seeds), axis=0)
        ws = model.map(z, labels, truncation_psi)
        pose = model.pose_code(poses) if model.pose_latent_dim else None
        if noise_mode != "random":
            return np.asarray(model.synthesize(ws, noise_mode, pose))
        keys = jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32))
        return np.asarray(one_by_one(ws, pose, keys))

    return draw


def drawn_in_batches(
    draw: Callable[[list[int]], Images], seeds: list[int], batch_size: int
) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
    """Seeds and their images.

    Raises:
        UserError: if the generator gives something else than numbers.
    """
    batch_size = min(batch_size, len(seeds))
    for start in range(0, len(seeds), batch_size):
        batch = seeds[start : start + batch_size]
        padded = batch + batch[-1:] * (batch_size - len(batch))  # one shape, one compilation
        for seed, image in zip(batch, draw(padded), strict=False):
            if not np.isfinite(image).all():
                raise UserError(f"got NaN or infinity for seed {seed}; expected a sound generator")
            yield seed, to_bytes(image)


def make_grid(images: list[UInt8[np.ndarray, "h w 3"]]) -> UInt8[np.ndarray, "y x 3"]:
    """Images in rows, about as many rows as columns."""
    columns = math.ceil(math.sqrt(len(images)))
    white = np.full_like(images[0], 255)
    filled = images + [white] * (-len(images) % columns)
    rows = [np.concatenate(filled[i : i + columns], 1) for i in range(0, len(filled), columns)]
    return np.concatenate(rows, axis=0)


def main(_: list[str]) -> int:
    """Draws what the flags say."""
    values = flags.FLAGS
    seeds = parse_seeds(values.seeds)
    share = distributed.share_by_flags(values)
    output = check_folder(values.output)
    model = load_generator(values.model)
    noise_mode = cast(NoiseMode, values.noise_mode)
    draw = make_drawer(model, values.label, values.truncation_psi, noise_mode)
    output.mkdir(parents=True, exist_ok=True)
    digest = hashing.variables_sha256(model.variables)
    fields = image_metadata.metadata(digest, image_metadata.GENERATED_SOURCE_TYPE)
    fields["truncationPsi"] = f"{values.truncation_psi:g}"
    # The first of several processes draws all of the grid again: it waits for nobody.
    own, on_grid = list(share.of(seeds)), seeds[:GRID_LIMIT] if values.grid else []
    own_grid = [seed for seed in on_grid if share.is_first]
    mine, todo = set(own), list(dict.fromkeys([*own, *own_grid]))
    shown: dict[int, Any] = {}
    batches = drawn_in_batches(draw, todo, values.batch_size)
    for seed, image in tqdm(batches, total=len(todo), desc="generate", unit="image"):
        if seed in mine:
            image_metadata.write_png(
                output / f"seed{seed:04d}.png", image, fields | {"seed": str(seed)}
            )
        if seed in own_grid:
            shown[seed] = image
    if own_grid:
        grid = make_grid([shown[seed] for seed in own_grid])
        image_metadata.write_png(output / "grid.png", grid, fields)
    of_grid = f", {len(own_grid)} of them on grid.png" if own_grid else ""
    say(f"{len(own)} images{of_grid}: {output}")
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path(
        "model", None, "Generator: model or work directory.", required=True, bucket="read"
    )
    flags.DEFINE_string("seeds", None, "Numbers and ranges, e.g. 0-15,20.", required=True)
    command_line.DEFINE_path(
        "output", None, "Directory of the images.", required=True, bucket="written"
    )
    flags.DEFINE_float("truncation_psi", 1.0, "1 leaves codes alone, 0 gives the average face.")
    flags.DEFINE_enum("noise_mode", "const", get_args(NoiseMode), "Fixed, no, or seeded noise.")
    flags.DEFINE_integer("label", None, "Class, for a conditional generator.")
    flags.DEFINE_integer("batch_size", 8, "Images drawn at a time.", lower_bound=1)
    flags.DEFINE_boolean("grid", True, f"Also write grid.png of the first {GRID_LIMIT}.")
    distributed.define_flags("Draw")
    flags.adopt_module_key_flags(distributed)


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
