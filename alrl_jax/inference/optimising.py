"""The codes of every single swap, refined by optimisation, and the generator tuned around them.

Starts from what the swapper gives and moves its W+ codes; the search is that of GAN inversion
(``alrl_jax.training.inversion``).  With tuning, the generator's weights then move a little, for one
pair at a time, so that what it draws outside of the face is the target (pivotal tuning).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from tqdm import tqdm

from alrl_jax.errors import UserError
from alrl_jax.inference.pair_losses import Wanted, losses_of
from alrl_jax.inference.settings import Settings
from alrl_jax.loading.swapper import WITHOUT_OWNERS, SwapperModel
from alrl_jax.models.functional import apply
from alrl_jax.models.swapper.blend import blend
from alrl_jax.models.swapper.swapper import PairEncoding
from alrl_jax.training.inversion import Codes, Inverter, Prior, pyramid_distance
from alrl_jax.types import LatentCodes, SwapOutput

PyTree = Any
Images = Float[Array, "b h w 3"]
Watch = Callable[[int, Images], None]
"""Gets the steps that a search has made, and what is drawn from the codes that it has found."""

RATE = 0.03
"""Peak rate of the codes, in standard deviations of W."""
PULL = 0.1
"""Weight of the mean squared way of the codes, in these deviations."""
TUNING_RATE = 3e-4
"""Of the generator's weights, which have a deviation of one."""
PRIOR_SAMPLES = 1024
STRETCH = 25
"""Steps between two moves of the progress bar."""


@dataclasses.dataclass(frozen=True)
class Refined:
    """Swaps after the search.

    Attributes:
        output: as ``swap`` gives it.
        facts: of every pair, plain values: steps, each loss before and after, and whether the
            search diverged, where the best that it had found is kept.
    """

    output: SwapOutput
    facts: list[dict[str, Any]]


class PairOptimiser:
    """Refines swaps of one model.

    Args:
        model: the swapper.
        settings: ``optimise`` and ``tune_generator`` steps, and whose pose and identity.

    Raises:
        UserError: an attribute group is asked of the source, which the losses would take back.
    """

    def __init__(self, model: SwapperModel, settings: Settings) -> None:
        apart = sorted(set(settings.groups) - set(WITHOUT_OWNERS))
        if apart:
            raise UserError(
                f"got --optimise with --groups={apart[0]}={settings.groups[apart[0]]}; expected "
                "identity and pose alone, as the losses keep the target's attributes; leave one out"
            )
        self.model, self.settings = model, settings
        faces = {"pose": settings.pose_from, "identity": settings.identity_from}
        self._faces = faces | dict(settings.groups)
        self._losses = losses_of(model.module, model.config)
        self.networks = {**model.networks, **_measuring(model)}
        self._scale = jax.jit(self._deviation)(model.networks["generator"])
        steps, tuning = settings.optimise, settings.tune_generator
        self._search = Inverter(self._draw, self._losses.total, steps, RATE, PULL)
        self._tuning = Inverter(self._draw_tuned, _to_pivot, tuning, TUNING_RATE)
        self._start = jax.jit(self._started)
        self._advance = jax.jit(self._search.advance)
        self._result = jax.jit(self._search.result)
        self._advance_tuning = jax.jit(self._tuning.advance)
        self._result_tuning = jax.jit(self._tuning.result)
        self._terms = jax.jit(self._losses.terms)
        self._blended = jax.jit(self._finished)

    def __call__(
        self, source: Images, target: Images, swapped: SwapOutput, watch: Watch | None = None
    ) -> Refined:
        """Refines a batch of swaps.

        Args:
            source: faces that give the identity.
            target: faces that give everything else.
            swapped: what the model made of them.
            watch: called as the codes are refined; what it raises ends the search.
        """
        wanted, given = self._start(self.networks, source, target, swapped)
        networks = {**self.networks, **given}
        before = self._terms(networks, swapped.generated, wanted)
        count = len(target)
        prior = self._prior(swapped)
        state = self._search.init(prior, count)

        def seen(state: Any) -> None:
            if watch is not None:
                drawn = self._result(networks, prior, state, wanted)[1]
                watch(int(state.step), drawn)

        state = self._run(self._advance, "optimise", (networks, prior), state, wanted, seen)
        codes, generated, _ = self._result(networks, prior, state, wanted)
        last = np.asarray(state.offsets.ws).reshape(count, -1)
        diverged = np.logical_not(np.isfinite(last).all(axis=1))
        if self.settings.tune_generator:
            generated = self._tuned(networks, codes, generated, wanted)
        after = self._terms(networks, generated, wanted)
        image, mask = self._blended(networks, generated, target)
        latent = LatentCodes(swapped.codes.pose, codes.ws)
        output = dataclasses.replace(
            swapped, image=image, generated=generated, mask=mask, codes=latent
        )
        return Refined(output, self._facts(before, after, diverged))

    def _prior(self, swapped: SwapOutput) -> Prior:
        """A search begins at the codes of the swap."""
        return Prior(Codes(swapped.codes.attributes), Codes(self._scale))

    def _run(
        self,
        advance: Any,
        title: str,
        moved: Any,
        state: Any,
        wanted: PyTree,
        seen: Callable[[Any], None] = lambda state: None,
    ) -> Any:
        """All steps of a search, with a bar that says how long it takes."""
        steps = self.settings.optimise if title == "optimise" else self.settings.tune_generator
        with tqdm(total=steps, desc=title, unit="step", leave=False) as bar:
            while (left := steps - int(state.step)) > 0:
                stretch = min(STRETCH, left)
                state = advance(*moved, state, wanted, jnp.asarray(stretch))
                jax.block_until_ready(state.step)
                bar.update(stretch)
                seen(state)
        return state

    def _started(
        self, networks: PyTree, source: Images, target: Images, swapped: SwapOutput
    ) -> tuple[Wanted, PyTree]:
        """What is wanted, and what the generator is given beside the codes."""
        faces = {"source": source, "target": target}
        identity, pose = (faces[self._faces[name]] for name in ("identity", "pose"))
        wanted = self._losses.wanted(networks, target, swapped.mask, identity, pose)
        return wanted, {
            "pose_code": swapped.codes.pose,
            "injected": self._injected(networks, source, target),
        }

    def _injected(self, networks: PyTree, source: Images, target: Images) -> dict[int, Array]:
        """What the target gives to the generator's features, as in the swap."""
        module = self.model.module
        if module.target_features is None:
            return {}
        weights, asked = self.model.asked(**self.settings.asked())
        pair = PairEncoding(
            module.encode(networks, source),
            module.encode(networks, target),
            module.embed(networks, source),
        )
        return module.select(networks, pair, asked, None, weights).injected

    def _draw(self, networks: PyTree, codes: Codes) -> Images:
        latent = LatentCodes(networks["pose_code"], codes.ws)
        return self.model.module.generate(networks, latent, networks["injected"])

    def _draw_tuned(self, networks: PyTree, weights: PyTree) -> Images:
        generator = {**networks["generator"], "params": weights}
        latent = LatentCodes(networks["pose_code"], networks["ws"])
        return self.model.module.generate({"generator": generator}, latent, networks["injected"])

    def _tuned(self, networks: PyTree, codes: Codes, pivot: Images, wanted: Wanted) -> Images:
        """What is drawn from the same codes by generators that were tuned, each for one pair."""
        drawn, goals = [], blend(pivot, wanted.target, wanted.mask)
        weights = networks["generator"]["params"]
        prior = Prior(weights, jax.tree.map(lambda _: jnp.ones(()), weights))
        for i in range(len(pivot)):
            one = slice(i, i + 1)
            own = {"ws": codes.ws[one], "pose_code": networks["pose_code"][one]}
            own |= {"injected": {side: x[one] for side, x in networks["injected"].items()}}
            alone = {"generator": networks["generator"], **own}
            state = self._tuning.init_one(prior)
            moved = (alone, prior)
            state = self._run(self._advance_tuning, "tune", moved, state, goals[one])
            drawn.append(self._result_tuning(alone, prior, state, goals[one])[1])
        return jnp.concatenate(drawn)

    def _finished(
        self, networks: PyTree, generated: Images, target: Images
    ) -> tuple[Images, Float[Array, "b h w 1"]]:
        """The blend of the swapper itself, as the outline of the face may have moved."""
        module = self.model.module
        _, asked = self.model.asked(**self.settings.asked())
        drawn = (module.encode(networks, images) for images in (target, generated))
        regions = [module.replaced(encoding, asked) for encoding in drawn]
        return module.finish(networks, generated, target, *regions)

    def _deviation(self, generator: PyTree) -> Float[Array, "1 1 1"]:
        """A standard deviation of W, the same for all its channels."""
        network = self.model.module.generator
        z = jax.random.normal(jax.random.key(0), (PRIOR_SAMPLES, network.z_dim))
        ws = apply(network, generator, z, method="map")[:, :1]
        return jnp.sqrt(jnp.mean(jnp.square(ws - jnp.mean(ws, axis=0)), keepdims=True))

    def _facts(
        self, before: dict[str, Array], after: dict[str, Array], diverged: np.ndarray
    ) -> list[dict[str, Any]]:
        tables = [{n: np.asarray(x) for n, x in terms.items()} for terms in (before, after)]
        return [
            {
                "steps": self.settings.optimise,
                "tuning_steps": self.settings.tune_generator,
                "before": _row(tables[0], i),
                "after": _row(tables[1], i),
                "diverged": bool(lost),
            }
            for i, lost in enumerate(diverged)
        ]


def _row(table: dict[str, np.ndarray], i: int) -> dict[str, float | None]:
    """Figures of one pair; null for what is no number."""
    return {n: round(float(x[i]), 5) if np.isfinite(x[i]) else None for n, x in table.items()}


def _measuring(model: SwapperModel) -> PyTree:
    """Networks that the losses read beside those of a swap."""
    names = ("parser", "pose", "lpips")
    return {name: model.variables[name] for name in names if name in model.variables}


def _to_pivot(networks: PyTree, images: Images, goals: PyTree) -> Float[Array, " b"]:
    return pyramid_distance(images, goals)
