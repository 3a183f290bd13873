"""The networks that a swapper starts training from: their architecture, and their weights."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from absl import logging

from alrl_jax.errors import UserError
from alrl_jax.models.build import build_generator, constant_channels
from alrl_jax.models.published.face_backbones import STRIDE
from alrl_jax.models.stylegan2.generator import num_latents
from alrl_jax.models.swapper.backbones import BACKBONES, Backbone
from alrl_jax.training.state import PyTree
from alrl_jax.training.tasks.growth import Growth, grow, larger_generator
from alrl_jax.training.tasks.pretrained import Reader, like, read_pretrained, read_pretrained_meta

Values = dict[str, Any]

ENCODERS = ("psp", "e4e", "arcface")
BODY = ("input_layer", "body")
"""What an ArcFace network and an encoder into W+ have in common."""
FROM_SWAPPER = ("encoder", "swap", "target_features", "generator", "probe", "discriminator")
FRESH = ("heads", "swap", "target_features", "probe", "discriminator")
"""Parts that can start from scratch whatever ``pretrained.swapper`` holds."""
BACKBONE = "backbone"
"""The part of an encoder's parameters that its heads read."""


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """The model directories that a run names, and what it takes from them.

    Attributes:
        pretrained: model directories by name; empty where the run names none.
        resolution: of the run.
        fresh: parts that start fresh whatever ``pretrained.swapper`` holds.
        selector: the selection that the run trains.
        train_generator: False holds a pretrained generator still.
        train_backbone: False holds the features of a pretrained swapper's encoder still.
    """

    pretrained: Mapping[str, str]
    resolution: int
    fresh: tuple[str, ...]
    selector: str
    train_generator: bool
    train_backbone: bool

    def check(self) -> None:
        """Raises UserError if a network is held still that no run has trained, or not all of it."""
        if not (self.train_generator or self._names("generator") or self._names("swapper")):
            raise UserError(
                "generator.train is False without pretrained.generator; expected the directory of "
                "a trained one; set --config.pretrained.generator=DIR"
            )
        if not (self.train_backbone or self._names("swapper")):
            raise UserError(
                "encoder.train_backbone is False without pretrained.swapper; expected the "
                "directory of a trained one; set --config.pretrained.swapper=DIR"
            )
        growth = self._growth()
        if growth is not None and not self.train_generator:
            raise UserError(
                f"generator.train is False with pretrained.swapper of resolution "
                f"{growth.old_resolution}; expected True at resolution {growth.resolution}, as new "
                "blocks have to learn; set --config.generator.train, or change resolution"
            )
        if self.train_backbone and "heads" not in self.fresh:
            return
        if self._names("swapper") and self._found_backbone().published:
            raise UserError(
                f"pretrained.swapper is {self.pretrained['swapper']}, whose encoder is ir_se; "
                "expected one of encoder.backbone residual, whose heads are apart from its "
                "features; train its backbone, with no heads in fresh"
            )

    def swapper_values(self, own: Values, identity: Values) -> Values:
        """Plain values that rebuild the swapper: those of pretrained networks, else the run's.

        Args:
            own: those of the run: ``generator``, ``encoder``, ``swap``, ``attribute_groups``.
            identity: those of the identity net.
        """
        generator = self.generator_values(own["generator"], own["swap"]["channel_groups"])
        return {
            "resolution": self.resolution,
            "generator": generator,
            "identity": identity,
            "encoder": self.encoder_values(own["encoder"], generator["w_dim"]),
            "swap": self.selection_values(own["swap"]),
            "attribute_groups": own["attribute_groups"],
        }

    def selection_values(self, own: Values) -> Values:
        """Plain values that rebuild the selection: the run's, in the form that is taken over."""
        if not self._names("swapper") or "swap" not in self._taken_over():
            return own
        found = self._meta("swapper")["swap"]
        trained = own["owners_trained"] or found.get("owners_trained", False)
        # Models of 0.1.0 have no norms, and do not say so.
        return {**own, "normalised": found.get("normalised", False), "owners_trained": trained}

    def generator_values(self, own: Values, channel_groups: int) -> Values:
        """Plain values that rebuild the generator: the pretrained one's, else the run's.

        Args:
            own: those of the run.
            channel_groups: groups that the channels of a code are split into.

        Raises:
            UserError: if it has classes, or codes that the swap module cannot split.
        """
        name = "swapper" if self._names("swapper") else "generator"
        if not self._names(name):
            return own
        found = self._meta(name)["generator"] if name == "swapper" else self._meta(name)
        where = f"pretrained.{name} is {self.pretrained[name]}"
        if found.get("label_dim"):
            raise UserError(
                f"{where}, a generator of {found['label_dim']} classes; expected one without; name "
                "another directory"
            )
        width = found["w_dim"]
        if width % channel_groups:
            raise UserError(
                f"{where} with codes of width {width}; expected a multiple of swap.channel_groups "
                f"({channel_groups}); change that"
            )
        if name == "swapper":
            found = larger_generator(found, self.resolution)
        discriminator = self.discriminator_values(own["discriminator"])
        return {**found, "dtype": own["dtype"], "discriminator": discriminator}

    def discriminator_values(self, own: Values) -> Values:
        """Plain values that rebuild the discriminator: the pretrained one's, else the run's."""
        if not self._names("discriminator"):
            return own
        found = self._meta("discriminator")
        if found.get("label_dim"):
            raise UserError(
                f"pretrained.discriminator is {self.pretrained['discriminator']}, one of "
                f"{found['label_dim']} classes; expected one without; name another directory"
            )
        return {**found, "mbstd_blocks": own["mbstd_blocks"], "dtype": own["dtype"]}

    def encoder_values(self, own: Values, code_width: int) -> Values:
        """Plain values that rebuild the encoder: the pretrained one's, else the run's.

        Args:
            own: those of the run.
            code_width: of the generator's codes.

        Raises:
            UserError: if a pretrained encoder does not fit the generator, or nothing of it is used.
        """
        common, dtype = {"pose_space": own["pose_space"]}, {"dtype": own["dtype"]}
        if self._names("swapper"):
            found = self._meta("swapper")["encoder"]
            if self._growth() is not None:
                # It goes on seeing what it knows; 0 would be the larger images.
                side = found.get("resolution", 0) or self._meta("swapper")["resolution"]
                common["resolution"] = side
            return {**found, **common, **(dtype if "dtype" in found else {})}
        backbone = BACKBONES[own["backbone"]]
        if not backbone.published:
            if self._names("encoder"):
                raise UserError(
                    f"pretrained.encoder is {self.pretrained['encoder']}, but encoder.backbone is "
                    f"{own['backbone']}; expected ir_se; set --config.encoder.backbone=ir_se"
                )
            return common | {n: own[n] for n in ("backbone", "resolution", *backbone.fields)}
        resolution = own["resolution"] or self.resolution
        trunk = {name: own[name] for name in backbone.fields}
        trunk |= {"offsets": False, "centred": True}
        if self._names("encoder"):
            found = self._found_trunk(resolution, code_width)
            trunk |= {name: found[name] for name in trunk if name in found}
        width = trunk["widths"][-1]
        if width != code_width or resolution < 2 * STRIDE:
            raise UserError(
                f"the encoder's last width is {width} at {resolution} pixels; expected that of the "
                f"generator's codes ({code_width}) and {2 * STRIDE} pixels or more for "
                f"encoder.backbone {own['backbone']}; change encoder.widths, encoder.resolution or "
                "pretrained.encoder"
            )
        return common | {"backbone": own["backbone"], "resolution": resolution} | trunk | dtype

    def load_frozen(self, read: Reader) -> dict[str, PyTree]:
        """Generator and features that are held still: ``generator`` and ``backbone``, if any."""
        frozen: dict[str, PyTree] = {}
        if not self.train_backbone:
            frozen[BACKBONE] = self._read("swapper", read)["encoder"]["params"][BACKBONE]
        if not self.train_generator and self._names("swapper"):
            frozen["generator"] = self._read("swapper", read)["generator"]
        elif not self.train_generator:
            frozen["generator"] = _without_training(self._read("generator", read))
        return frozen

    def load_pretrained(self, read: Reader) -> dict[str, PyTree]:
        """Start values of what is trained.

        Returns:
            Variables by network; ``backbone``: parameters of an encoder's features, where its heads
            start fresh; ``trunk``: of a converted encoder, or what an ArcFace network has of
            it; ``w_avg``: of the generator, the centre of a trunk that brings none.
        """
        trees: dict[str, PyTree] = {}
        if self._names("generator"):
            variables = self._read("generator", read)
            trees["generator"] = _without_training(variables)
            if "discriminator" in variables and not self._names("discriminator"):
                trees["discriminator"] = variables["discriminator"]
        if self._names("discriminator"):
            trees["discriminator"] = self._read("discriminator", read)["params"]
        if self._names("swapper"):
            variables = self._read("swapper", read)
            trees |= {name: variables[name] for name in self._taken_over() if name in variables}
            if "heads" in self.fresh:
                trees[BACKBONE] = trees.pop("encoder")["params"][BACKBONE]
        elif self._names("encoder"):
            trees["trunk"] = {
                name: {part: leaf for part, leaf in tree.items() if part != "output_layer"}
                for name, tree in read_pretrained(
                    self.pretrained, "encoder", ENCODERS, read
                ).items()
            }
        if "generator" in trees and "encoder" not in trees:
            trees["w_avg"] = trees["generator"]["constants"]["mapping"]["w_avg"]
        if not self.train_generator:
            trees.pop("generator", None)
        return trees

    def grown(self, fresh: dict[str, PyTree], pretrained: dict[str, PyTree]) -> dict[str, PyTree]:
        """Start values as large as the run's networks, where its swapper starts from a smaller one.

        Args:
            fresh: variables of new networks.
            pretrained: what ``load_pretrained`` gives.

        Raises:
            UserError: naming an array that cannot grow.
        """
        growth = self._growth()
        if growth is None:
            return pretrained
        names = [name for name in FROM_SWAPPER if name in pretrained and name in fresh]
        return pretrained | {n: grow(n, pretrained[n], fresh[n], growth) for n in names}

    def _growth(self) -> Growth | None:
        """From which swapper to which; None where no smaller one is named."""
        if not self._names("swapper") or self._meta("swapper")["resolution"] == self.resolution:
            return None
        found = self._meta("swapper")
        return Growth(
            old_resolution=found["resolution"],
            resolution=self.resolution,
            code_width=found["generator"]["w_dim"],
            channel_groups=found["swap"]["channel_groups"],
            pose_size=4 * 4 * constant_channels(build_generator(found["generator"])),
        )

    def _names(self, name: str) -> bool:
        """Whether the run names such a model directory."""
        return bool(self.pretrained.get(name))

    def _meta(self, name: str) -> Values:
        """Config of the model in ``pretrained.NAME``, whose kind has the same name."""
        grows = name == "swapper"
        meta = read_pretrained_meta(self.pretrained, name, (name,), self.resolution, grows)
        return meta["config"]

    def _found_backbone(self) -> Backbone:
        """What the encoder of ``pretrained.swapper`` stands on."""
        return BACKBONES[self._meta("swapper")["encoder"].get("backbone", "residual")]

    def _read(self, name: str, read: Reader) -> PyTree:
        grows = name == "swapper"
        return read_pretrained(self.pretrained, name, (name,), read, self.resolution, grows)

    def _taken_over(self) -> list[str]:
        """Networks of ``pretrained.swapper`` that training starts from."""
        selector = self._meta("swapper")["swap"].get("selector", "adaptive")
        fresh = set(self.fresh)
        if selector != self.selector and "swap" not in fresh:
            logging.info("the selection %s starts fresh, not as %s", self.selector, selector)
            fresh.add("swap")
        return [name for name in FROM_SWAPPER if name not in fresh]

    def _found_trunk(self, resolution: int, code_width: int) -> Values:
        """What ``pretrained.encoder`` says of the trunk."""
        meta = read_pretrained_meta(self.pretrained, "encoder", ENCODERS)
        found = meta["config"]
        if meta["kind"] == "arcface":
            return {name: found[name] for name in ("widths", "units", "squeeze")}
        codes = {"num_styles": num_latents(self.resolution), "code_width": code_width}
        for name, value in {"resolution": resolution, "input_channels": 3, **codes}.items():
            if found[name] != value:
                raise UserError(
                    f"pretrained.encoder is {self.pretrained['encoder']} with {name}="
                    f"{found[name]}; expected {value}, as the generator and the encoder's images "
                    "have; name another directory or change encoder.resolution"
                )
        return found


def start_encoder(fresh: PyTree, pretrained: dict[str, PyTree]) -> PyTree:
    """Variables of the encoder before the first update.

    Args:
        fresh: those of a new one.
        pretrained: what ``WarmStart.load_pretrained`` gives.
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
        # The heads of a fresh trunk give offsets from the generator's average code.
        average = trunk["constants"]["latent_avg"]
        trunk["constants"] = {"latent_avg": average + pretrained["w_avg"]}
    if "trunk" in pretrained:
        given = pretrained["trunk"]
        # An ArcFace network has no heads into W+: those stay fresh.
        body_alone = "styles" not in given["params"]
        wanted = {n: _body(tree) for n, tree in trunk.items()} if body_alone else trunk
        wanted = {name: tree for name, tree in wanted.items() if tree}
        given = like("encoder", wanted, {"encoder": given})
        trunk = {name: {**tree, **given.get(name, {})} for name, tree in trunk.items()}
    return {
        name: {**tree, "trunk": trunk[name]} if name in trunk else tree
        for name, tree in fresh.items()
    }


def _without_training(generator: PyTree) -> PyTree:
    """Variables of a generator, without the networks that only its training needs."""
    return {name: generator[name] for name in ("params", "constants")}


def _body(tree: PyTree) -> PyTree:
    return {name: leaf for name, leaf in tree.items() if name in BODY}
