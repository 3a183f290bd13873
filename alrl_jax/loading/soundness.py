"""Whether the arrays of a model directory are those of the network that its config describes.

The network is traced with the shapes alone: nothing is computed, and no array is read before it is
known that all of them fit.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from alrl_jax.errors import UserError
from alrl_jax.models import build
from alrl_jax.models.config_schema import check_config
from alrl_jax.models.published import hopenet, lpips
from alrl_jax.models.published.inception import SIDE as INCEPTION_SIDE
from alrl_jax.models.swapper.swapper import NETWORKS
from alrl_jax.utils.printing import one_line

PyTree = Any
Config = dict[str, Any]


def check_model(where: object, meta: Mapping[str, Any], shapes: PyTree) -> None:
    """Makes sure that a model can be opened.

    Args:
        where: its directory, for the message.
        meta: its ``model.json``.
        shapes: of all its arrays, by network.

    Raises:
        UserError: its config or its arrays are none of a model of its kind.
    """
    kind, config = meta["kind"], meta["config"]
    check_config(where, kind, config)
    if kind not in TRACES:
        return
    wrong = [
        "/".join(str(getattr(key, "key", key)) for key in path)
        for path, leaf in jax.tree.leaves_with_path(shapes)
        if "params" in [getattr(key, "key", "") for key in path]
        and not jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    try:
        if wrong:
            raise TypeError(f"{wrong[0]} holds no floating-point numbers")
        TRACES[kind](config, shapes)
    except UserError:
        raise
    # Flax and JAX raise errors of many kinds where arrays are missing or of other shapes.
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}", 240)
        raise UserError(
            f"got {where}, whose arrays are not those of the {kind} that model.json describes "
            f"({reason}); expected all of them, in its shapes; copy the directory again"
        ) from error


def _image(side: int, channels: int = 3) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, side, side, channels), jnp.float32)


def _row(width: int) -> jax.ShapeDtypeStruct | None:
    return jax.ShapeDtypeStruct((1, width), jnp.float32) if width else None


def _trace(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Shapes of what a function makes of shapes: a list, as types of results hold arrays alone."""
    return jax.eval_shape(lambda *given: jax.tree.leaves(function(*given)), *arguments)


def _drawing(config: Config, shapes: PyTree) -> None:
    """A generator, alone or within a swapper."""
    network = build.build_generator(config)
    variables = {name: shapes[name] for name in ("params", "constants")}
    _trace(network.apply, variables, _row(network.z_dim), _row(network.label_dim))
    width = shapes["constants"]["mapping"]["w_avg"].shape
    if width != (network.w_dim,):
        raise ValueError(f"constants/mapping/w_avg of shape {width}")


def _generator(config: Config, shapes: PyTree) -> None:
    _drawing(config, shapes)
    if config.get("pose_latent_dim") and "pose" not in shapes:
        raise ValueError("pose is missing")


def _discriminator(config: Config, shapes: PyTree) -> None:
    network = build.build_discriminator(config)
    label = _row(network.label_dim)
    _trace(network.apply, shapes, _image(network.resolution), label)


def _analyser(config: Config, shapes: PyTree) -> None:
    side = config.get("resolution", 64)
    _trace(build.build_analyser(config).apply, shapes, _image(side))


def _embedder(config: Config, shapes: PyTree) -> None:
    network = build.build_face_embedder(config)
    _trace(network.apply, shapes, _image(config["resolution"]))


def _style_encoder(config: Config, shapes: PyTree) -> None:
    network = build.build_style_encoder(config)
    image = _image(config["resolution"], config.get("input_channels", 3))
    (codes,) = _trace(network.apply, shapes, image)
    if codes.shape != (1, config["num_styles"], config["code_width"]):
        raise ValueError(f"codes of shape {codes.shape}")


def _lpips(config: Config, shapes: PyTree) -> None:
    network = build.build_lpips(config)
    image = _image(max(64, lpips.BACKBONES[network.backbone].min_side))
    _trace(network.apply, shapes, image, image)


def _face_parser(config: Config, shapes: PyTree) -> None:
    _trace(build.build_face_parser(config).apply, shapes, _image(64))


def _hopenet(config: Config, shapes: PyTree) -> None:
    side = config.get("resolution", hopenet.SIDE)
    _trace(build.build_hopenet(config).apply, shapes, _image(side))


def _inception(config: Config, shapes: PyTree) -> None:
    _trace(build.build_inception(config).apply, shapes, _image(INCEPTION_SIDE))


def _swapper(config: Config, shapes: PyTree) -> None:
    _drawing(config["generator"], shapes["generator"])
    swapper = build.build_swapper(config)
    networks = {"swap": {}, "target_features": {}, **shapes}
    networks = {name: networks[name] for name in NETWORKS if name in networks}
    image, asked = _image(config["resolution"]), swapper.overrides({})
    _trace(lambda n, a, b: swapper.swap(n, a, b, asked), networks, image, image)


TRACES: dict[str, Callable[[Config, PyTree], None]] = {
    "generator": _generator,
    "discriminator": _discriminator,
    "identity": _analyser,
    "judge": _analyser,
    "swapper": _swapper,
    "psp": _style_encoder,
    "e4e": _style_encoder,
    "arcface": _embedder,
    "iresnet": _embedder,
    "lpips": _lpips,
    "face_parser": _face_parser,
    "hopenet": _hopenet,
    "inception": _inception,
}
"""What runs a network of every kind on shapes alone."""
