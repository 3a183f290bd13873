"""The models of the page, opened once for all users."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from alrl_jax.errors import UserError
from alrl_jax.inference.bounded_cache import BoundedCache
from alrl_jax.inference.optimising import PairOptimiser
from alrl_jax.inference.photo_reader import open_finder
from alrl_jax.inference.protocols import DrawsAgain, FaceSampler, Swapper
from alrl_jax.inference.settings import Settings
from alrl_jax.loading import load_swapper
from alrl_jax.loading.swapper import WITHOUT_OWNERS, SwapperModel
from alrl_jax.photos.landmarks import FaceFinder, default_source
from alrl_jax.training.sharding import make_mesh, shard_batch
from alrl_jax.utils import hashing
from alrl_jax.utils.printing import one_line

OPTIMISERS = 4
"""Searches that are kept with their compiled programs; each choice of steps has its own."""
NEUTRAL = "learned"
"""What a group's control says where the model decides."""
OWNERS_UNTRAINED = (
    "{model} refuses attribute groups: its ownership of codes was never trained, so that its "
    "groups own codes by chance"
)
NO_QUERIES = "{model} refuses attribute groups: its selection {selector} has no attribute queries"


@runtime_checkable
class PageModel(Swapper, DrawsAgain, FaceSampler, Protocol):
    """A swapper that the page can show: what ``load_swapper`` gives is one."""

    @property
    def selectors(self) -> tuple[str, ...]:
        """Rules that can select codes, its own first."""
        ...

    @property
    def attribute_groups(self) -> tuple[str, ...]:
        """Groups that can be taken from either face."""
        ...

    def asked(
        self,
        pose_from: str = "target",
        identity_from: str = "source",
        groups: Mapping[str, str] | None = None,
        selector: str | None = None,
    ) -> Any:
        """What is asked for as the networks read it; UserError where it cannot be had."""
        ...


@dataclasses.dataclass(frozen=True)
class Opened:
    """A model that is ready to swap.

    Attributes:
        name: as it was named at the start.
        model: what ``load_swapper`` gives.
        sha256: of its weights.
    """

    name: str
    model: PageModel
    sha256: str
    _optimisers: BoundedCache[PairOptimiser] = dataclasses.field(
        default_factory=lambda: BoundedCache(OPTIMISERS)
    )

    @property
    def resolution(self) -> int:
        """Side of its crops in px."""
        return int(self.model.config["resolution"])

    @functools.cached_property
    def finder(self) -> FaceFinder:
        """What finds faces in photos.

        Raises:
            UserError: the networks that it needs are not installed.
        """
        finder = open_finder(Settings(landmarks_from=default_source()), None, self.resolution)
        assert finder is not None, "the settings ask for one"
        return finder

    @functools.cached_property
    def mesh(self) -> Any:
        """The device that swaps single pairs: the first."""
        return make_mesh(jax.local_devices()[:1])

    def on_device(self, crops: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """Batches of crops where the model computes, as batches of photos are put there."""
        return shard_batch(self.mesh, dict(crops))

    @property
    def all_groups(self) -> tuple[str, ...]:
        """Attribute groups in the order of the owners of codes."""
        return tuple(self.model.config.get("attribute_groups", self.model.attribute_groups))

    @property
    def groups(self) -> tuple[str, ...]:
        """Attribute groups beside identity and pose, whether or not they can be asked for."""
        return tuple(name for name in self.all_groups if name not in WITHOUT_OWNERS)

    def groups_refused(self, selector: str) -> str | None:
        """Why attribute groups cannot be asked for under a selection; None where they can."""
        if selector != "adaptive":
            return NO_QUERIES.format(model=self.name, selector=selector)
        if set(self.groups) - set(self.model.attribute_groups):
            return OWNERS_UNTRAINED.format(model=self.name)
        return None

    def optimiser(self, settings: Settings) -> PairOptimiser:
        """The search that refines codes as the settings ask.

        Raises:
            UserError: they ask for attribute groups, which a search would take back.
        """
        if not isinstance(self.model, SwapperModel):
            raise UserError(
                f"got {settings.optimise} steps of optimisation for {self.name}; expected a model "
                "of alrl_jax.load_swapper; leave it out"
            )
        model = self.model
        key = repr((settings.optimise, settings.tune_generator, sorted(settings.asked().items())))
        return self._optimisers.get(key, lambda: PairOptimiser(model, settings))


class Shelf:
    """The models of a page by name, in the order in which they were named.

    Args:
        opened: at least one.
    """

    def __init__(self, opened: Sequence[Opened]) -> None:
        self.models = {each.name: each for each in opened}

    @property
    def first(self) -> Opened:
        """The one that the page begins with."""
        return next(iter(self.models.values()))

    def named(self, name: str | None) -> Opened:
        """A model by its name.

        Raises:
            UserError: there is no such model here.
        """
        found = self.models.get(name or "")
        if found is None:
            raise UserError(
                f"got the model {one_line(str(name), 80)}; expected one of this page's; choose one"
            )
        return found


def open_shelf(names: Sequence[str]) -> Shelf:
    """Opens models.

    Args:
        names: directories, or ``embedded/NAME``.

    Raises:
        UserError: one of them is no swapper, or is named twice.
    """
    twice = {name for name in names if list(names).count(name) > 1}
    if twice:
        raise UserError(f"got --model={min(twice)} twice; expected every model once; leave one out")
    models = [(name, load_swapper(name)) for name in names]
    return Shelf([Opened(n, m, hashing.variables_sha256(m.variables)) for n, m in models])
