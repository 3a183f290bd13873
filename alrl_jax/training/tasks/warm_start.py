"""The networks that a swapper starts training from: whose architecture, and whose weights."""

from typing import Any

from absl import logging

from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.models.published.face_backbones import STRIDE
from alrl_jax.models.stylegan2.generator import num_latents
from alrl_jax.models.swapper.backbones import BACKBONES, Backbone
from alrl_jax.training.state import PyTree
from alrl_jax.training.tasks.generator import discriminator_config, generator_config
from alrl_jax.training.tasks.pretrained import Reader, like, read_pretrained, read_pretrained_meta

Values = dict[str, Any]

ENCODERS = ("psp", "e4e", "arcface")
BODY = ("input_layer", "body")
"""What an ArcFace network and an encoder into W+ have in common."""
FROM_SWAPPER = ("encoder", "swap", "generator", "probe", "discriminator")
FRESH = ("heads", "swap", "probe", "discriminator")
"""Parts that can start from scratch whatever ``pretrained.swapper`` holds."""
BACKBONE = "backbone"
"""The part of an encoder's parameters that its heads read."""


def generator_values(config: Config) -> Values:
    """Plain values that rebuild the generator: the pretrained one's, else the config's.

    Raises:
        UserError: if it has classes, or codes that the swap module cannot split.
    """
    name = "swapper" if config.pretrained.get("swapper") else "generator"
    if not config.pretrained.get(name):
        return generator_config(config)
    found = read_pretrained_meta(config, name, (name,))["config"]
    found = found["generator"] if name == "swapper" else found
    where = f"pretrained.{name} is {config.pretrained[name]}"
    if found.get("label_dim"):
        raise UserError(
            f"{where}, a generator of {found['label_dim']} classes; expected one without; name "
            "another directory"
        )
    width, groups = found["w_dim"], config.swap.channel_groups
    if width % groups:
        raise UserError(
            f"{where} with codes of width {width}; expected a multiple of swap.channel_groups "
            f"({groups}); change that"
        )
    return {**found, "dtype": config.compute_dtype, "discriminator": discriminator_values(config)}


def discriminator_values(config: Config) -> Values:
    """Plain values that rebuild the discriminator: the pretrained one's, else the config's."""
    own = discriminator_config(config)
    if not config.pretrained.get("discriminator"):
        return own
    found = read_pretrained_meta(config, "discriminator", ("discriminator",))["config"]
    if found.get("label_dim"):
        raise UserError(
            f"pretrained.discriminator is {config.pretrained['discriminator']}, one of "
            f"{found['label_dim']} classes; expected one without; name another directory"
        )
    return {**found, "mbstd_blocks": own["mbstd_blocks"], "dtype": own["dtype"]}


def encoder_values(config: Config, generator: Values) -> Values:
    """Plain values that rebuild the encoder: the pretrained one's, else the config's.

    Args:
        config: of the run.
        generator: what ``generator_values`` gives.

    Raises:
        UserError: if a pretrained encoder does not fit the generator, or nothing of it is used.
    """
    values = config.encoder
    common = {"pose_space": values.pose_space}
    if config.pretrained.get("swapper"):
        found = _found_encoder(config)
        return {**found, **common, **({"dtype": config.compute_dtype} if "dtype" in found else {})}
    resolution = values.resolution or config.resolution
    backbone = BACKBONES[values.backbone]
    own = {name: _plain(getattr(values, name)) for name in backbone.fields}
    if not backbone.published:
        if config.pretrained.get("encoder"):
            raise UserError(
                f"pretrained.encoder is {config.pretrained['encoder']}, but encoder.backbone is "
                f"{values.backbone}; expected ir_se; set --config.encoder.backbone=ir_se"
            )
        return common | {"backbone": values.backbone, "resolution": values.resolution} | own
    found = {**own, "offsets": False, "centred": True}
    if config.pretrained.get("encoder"):
        found |= _encoder_found(config, resolution, generator["w_dim"])
    width = found["widths"][-1]
    if width != generator["w_dim"] or resolution < 2 * STRIDE:
        raise UserError(
            f"the encoder's last width is {width} at {resolution} pixels; expected that of the "
            f"generator's codes ({generator['w_dim']}) and {2 * STRIDE} pixels or more for "
            f"encoder.backbone {values.backbone}; change encoder.widths, encoder.resolution or "
            "pretrained.encoder"
        )
    kept = {name: found[name] for name in (*own, "offsets", "centred")}
    dtype = {"dtype": config.compute_dtype}
    return common | {"backbone": values.backbone, "resolution": resolution} | kept | dtype


def check_frozen(config: Config) -> None:
    """Raises UserError if a network is held still but nobody trained it."""
    named = config.pretrained.get("generator") or config.pretrained.get("swapper")
    if not config.generator.train and not named:
        raise UserError(
            "generator.train is False without pretrained.generator; expected the directory of a "
            "trained one; set --config.pretrained.generator=DIR"
        )
    if not config.encoder.train_backbone and not config.pretrained.get("swapper"):
        raise UserError(
            "encoder.train_backbone is False without pretrained.swapper; expected the directory of "
            "a trained one; set --config.pretrained.swapper=DIR"
        )
    if config.encoder.train_backbone and "heads" not in config.fresh:
        return
    if config.pretrained.get("swapper") and _found_backbone(config).published:
        raise UserError(
            f"pretrained.swapper is {config.pretrained['swapper']}, whose encoder is ir_se; "
            "expected one of encoder.backbone residual, whose heads are apart from its features; "
            "train its backbone, with no heads in fresh"
        )


def load_backbone(config: Config, read: Reader) -> PyTree:
    """Parameters of the pretrained encoder's features."""
    return read_pretrained(config, "swapper", ("swapper",), read)["encoder"]["params"][BACKBONE]


def load_generator(config: Config, read: Reader) -> PyTree:
    """Variables of the pretrained generator."""
    if config.pretrained.get("swapper"):
        return read_pretrained(config, "swapper", ("swapper",), read)["generator"]
    variables = read_pretrained(config, "generator", ("generator",), read)
    return {name: variables[name] for name in ("params", "constants")}


def load_networks(config: Config, read: Reader) -> dict[str, PyTree]:
    """Start values of what is trained.

    Returns:
        Variables by network; ``backbone``: parameters of an encoder's features, where its heads
        start anew; ``trunk``: of a converted encoder, or what an ArcFace network has of
        it; ``w_avg``: of the generator, the centre of a trunk that brings none.
    """
    trees: dict[str, PyTree] = {}
    named = config.pretrained.get
    if named("generator"):
        variables = read_pretrained(config, "generator", ("generator",), read)
        trees["generator"] = {name: variables[name] for name in ("params", "constants")}
        if "discriminator" in variables and not named("discriminator"):
            trees["discriminator"] = variables["discriminator"]
    if named("discriminator"):
        variables = read_pretrained(config, "discriminator", ("discriminator",), read)
        trees["discriminator"] = variables["params"]
    if named("swapper"):
        variables = read_pretrained(config, "swapper", ("swapper",), read)
        trees |= {name: variables[name] for name in _taken_over(config) if name in variables}
        if "heads" in config.fresh:
            trees[BACKBONE] = trees.pop("encoder")["params"][BACKBONE]
    elif named("encoder"):
        variables = read_pretrained(config, "encoder", ENCODERS, read, _ANY_SIZE)
        trees["trunk"] = {
            name: {part: leaf for part, leaf in tree.items() if part != "output_layer"}
            for name, tree in variables.items()
        }
    if "generator" in trees and "encoder" not in trees:
        trees["w_avg"] = trees["generator"]["constants"]["mapping"]["w_avg"]
    if not config.generator.train:
        trees.pop("generator", None)
    return trees


def start_encoder(fresh: PyTree, pretrained: dict[str, PyTree]) -> PyTree:
    """Variables of the encoder before the first update.

    Args:
        fresh: those of a new one.
        pretrained: what ``load_networks`` gives.
    """
    if "encoder" in pretrained:
        return like("encoder", fresh, pretrained)
    if BACKBONE in pretrained:
        held = like(BACKBONE, fresh["params"][BACKBONE], pretrained)
        return {**fresh, "params": {**fresh["params"], BACKBONE: held}}
    trunk = {name: dict(tree["trunk"]) for name, tree in fresh.items() if "trunk" in tree}
    if not trunk:
        return fresh
    if "w_avg" in pretrained and "constants" in trunk:
        average = trunk["constants"]["latent_avg"]
        trunk["constants"] = {"latent_avg": average + pretrained["w_avg"]}
    if "trunk" in pretrained:
        given = pretrained["trunk"]
        body_alone = "styles" not in given["params"]
        wanted = {n: _body(tree) for n, tree in trunk.items()} if body_alone else trunk
        wanted = {name: tree for name, tree in wanted.items() if tree}
        given = like("encoder", wanted, {"encoder": given})
        trunk = {name: {**tree, **given.get(name, {})} for name, tree in trunk.items()}
    return {
        name: {**tree, "trunk": trunk[name]} if name in trunk else tree
        for name, tree in fresh.items()
    }


_ANY_SIZE = 0


def _found_encoder(config: Config) -> Values:
    """What ``pretrained.swapper`` says of its encoder."""
    return read_pretrained_meta(config, "swapper", ("swapper",))["config"]["encoder"]


def _found_backbone(config: Config) -> Backbone:
    """What the encoder of ``pretrained.swapper`` stands on."""
    return BACKBONES[_found_encoder(config).get("backbone", "residual")]


def _taken_over(config: Config) -> list[str]:
    """Networks of ``pretrained.swapper`` that training starts from."""
    found = read_pretrained_meta(config, "swapper", ("swapper",))["config"]["swap"]
    selector = found.get("selector", "adaptive")
    fresh = set(config.fresh)
    if selector != config.swap.selector and "swap" not in fresh:
        logging.info("the selection %s starts anew, not as %s", config.swap.selector, selector)
        fresh.add("swap")
    return [name for name in FROM_SWAPPER if name not in fresh]


def _plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    return list(value) if isinstance(value, tuple) else value


def _body(tree: PyTree) -> PyTree:
    return {name: leaf for name, leaf in tree.items() if name in BODY}


def _encoder_found(config: Config, resolution: int, code_width: int) -> Values:
    """What ``pretrained.encoder`` says of the trunk."""
    directory = config.pretrained["encoder"]
    meta = read_pretrained_meta(config, "encoder", ENCODERS, _ANY_SIZE)
    found = meta["config"]
    if meta["kind"] == "arcface":
        return {name: found[name] for name in ("widths", "units", "squeeze")}
    codes = {"num_styles": num_latents(config.resolution), "code_width": code_width}
    for name, value in {"resolution": resolution, "input_channels": 3, **codes}.items():
        if found[name] != value:
            raise UserError(
                f"pretrained.encoder is {directory} with {name}={found[name]}; expected {value}, "
                "as the generator and the encoder's images have; name another directory or change "
                "encoder.resolution"
            )
    return found
