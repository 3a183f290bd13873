"""Training of a selection alone, on codes that were computed once.

Encoder, generator and loss networks are held still; no image goes through the encoder. A step
selects codes, draws faces from them, blends these by the kept region of the target and compares
with the losses of the optimisation of pairs. A batch may be drawn in parts whose gradients are
added, so that the memory is that of one part.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, UInt8

from alrl_jax.data.pipeline import BatchIterator, Draw
from alrl_jax.data.records import Source
from alrl_jax.errors import UserError
from alrl_jax.inference.cached_codes import FaceCodes, codes_of_images, take
from alrl_jax.inference.pair_losses import WEIGHTS, losses_of
from alrl_jax.loading import SwapperModel
from alrl_jax.models.build import build_swapper
from alrl_jax.models.resize import resize_bilinear
from alrl_jax.models.swapper.blend import blend
from alrl_jax.models.swapper.encoder import FaceEncoding
from alrl_jax.models.swapper.pair_codes import GateNoise, PairCodes
from alrl_jax.models.swapper.selection import GATE_TABLES, FixedSwap
from alrl_jax.models.swapper.swapper import PairEncoding
from alrl_jax.storage.model_directory import read_model
from alrl_jax.training.optim import make_gate_rule, make_optimizer
from alrl_jax.training.state import TrainState, new_state, update_networks
from alrl_jax.training.tasks.pretrained import Reader
from alrl_jax.training.tasks.swap_schedules import gate_temperature
from alrl_jax.training.tasks.task import Metrics
from alrl_jax.types import LatentCodes

PyTree = Any
CHANNEL_GROUPS, WIDTH = 8, 64
GATE_RATE = 0.05
"""Of the tables that move gates: at the rate of the others they stay as they were drawn."""
HOTTEST, COLDEST = 1.0, 0.3
"""Temperature of the relaxed gates, at the start and at the end."""
EMA_KIMG = 2.0
BETAS = (0.9, 0.99)
SAME_WEIGHT = 4.0
"""Of the absolute difference to the target where source and target are one person: the swap of such
a pair is the target itself."""
RULE_BIAS = 0.5
"""Logits by which gates start as the fixed rule has it: open to the other face under noise."""
NETWORKS = ("encoder", "generator", "identity", "parser", "pose", "lpips")
FAINT = 1e-4
"""How near to 0 and 1 a region may be that becomes logits again."""


@flax.struct.dataclass
class CodedPairs:
    """A batch.

    Attributes:
        source: of the faces that give the identity.
        target: of the faces that give everything else.
        image: the targets' pixels.
        same: whether both faces are one person's.
    """

    source: FaceCodes
    target: FaceCodes
    image: UInt8[Any, "b h w 3"]
    same: Bool[Any, " b"]


class CodedBatches:
    """Batches of pairs: codes from memory, and the targets' pixels from the data set.

    Args:
        source: the faces.
        codes: of all of them.
        draws: which faces make pairs, as ``make_draws`` gives them, without mirrors.
    """

    def __init__(self, source: Source, codes: FaceCodes, draws: BatchIterator[Draw]) -> None:
        self._source, self._codes, self._draws = source, codes, draws

    def __next__(self) -> CodedPairs:
        """The next batch, of NumPy arrays."""
        drawn = next(self._draws)
        source, target = drawn["source_index"], drawn["index"]
        image = np.ascontiguousarray(self._source.read(target)["image"])
        people = self._source.identities
        same = people[source] == people[target]
        return CodedPairs(take(self._codes, source), take(self._codes, target), image, same)

    def get_state(self) -> dict[str, Any]:
        """Where it stands."""
        return self._draws.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes to where ``get_state`` once was."""
        self._draws.set_state(state)


class SelectionTask:
    """What ``fit`` trains: the network ``swap`` of a swapper, and nothing else.

    Args:
        model: a swapper without features of the target; one with a fixed rule gets an adaptive
            selection that begins as that rule, one with an adaptive selection goes on with its own.
        num_steps: length of the run.
        learning_rate: peak rate.
        parts: in how many parts a batch is drawn.
        seed: of the noise of gates.

    Raises:
        UserError: the model takes features of its targets, which are not kept, or learns to move
            codes in place of selecting them.
    """

    def __init__(
        self, model: SwapperModel, num_steps: int, learning_rate: float, parts: int, seed: int
    ) -> None:
        if model.takes_features:
            raise UserError(
                "got a model that takes features of its targets, which are not kept with the "
                "codes; expected one without, as alrl assemble-swapper makes; take another"
            )
        adaptive, selector = model.selectors[0] == "adaptive", model.module.selector
        if not adaptive and not isinstance(selector, FixedSwap):
            raise UserError(
                f"got a model that moves codes ({model.selectors[0]}); expected one with a fixed "
                "rule or an adaptive selection; take another"
            )
        self.config = model.config if adaptive else _adaptive(model.config)
        self._swapper = build_swapper(self.config)
        self._losses = losses_of(self._swapper, self.config)
        self._networks = {n: model.variables[n] for n in NETWORKS if n in model.variables}
        self._begun = model.variables["swap"] if adaptive else None
        self._rule = selector.source_weights if isinstance(selector, FixedSwap) else ()
        self._num_steps, self._parts, self._seed = num_steps, parts, seed
        steps = {"num_steps": num_steps, "warmup_steps": num_steps // 20, "decay": True}
        rule = make_gate_rule(GATE_RATE, start=0, **steps)
        apart = {str(name): rule for name in GATE_TABLES}
        optimizer = make_optimizer(learning_rate, *BETAS, clip_norm=1.0, apart=apart, **steps)
        self._optimizers = {"swap": optimizer}

    def load_frozen(self, read: Reader = read_model) -> dict[str, PyTree]:
        """What draws and judges; the encoder's part is done."""
        del read
        return {name: kept for name, kept in self._networks.items() if name != "encoder"}

    def load_pretrained(self, read: Reader = read_model) -> dict[str, PyTree]:
        """The selection that goes on, if there is one."""
        del read
        return {} if self._begun is None else {"swap": self._begun}

    def init(self, key: Key[Array, ""], pretrained: dict[str, PyTree]) -> TrainState:
        """The state before the first update."""
        swap = pretrained.get("swap")
        if swap is None:
            images = jnp.zeros((1, *2 * (int(self.config["resolution"]),), 3))
            known = jax.eval_shape(self._seen, self._networks, images)
            pose, attributes, identity = (jnp.zeros(leaf.shape, leaf.dtype) for leaf in known)
            codes = LatentCodes(pose, attributes)
            faces = PairCodes(codes, codes, identity)
            swap = self._swapper.selector.init(key, faces, self._swapper.overrides({}))
            swap = _as_rule(swap, self._rule)
        return new_state({"swap": swap}, self._optimizers, ("swap",), {})

    def phase(self, step: int) -> None:
        """All steps are alike."""
        del step

    def step(
        self, state: TrainState, frozen: dict[str, PyTree], batch: CodedPairs, phase: Any
    ) -> tuple[TrainState, Metrics]:
        """One update; its gradient is the mean over the parts of the batch."""
        del phase
        key = jax.random.fold_in(jax.random.key(self._seed), state.step)
        temperature = gate_temperature(state.step, self._num_steps, HOTTEST, COLDEST)
        grad = jax.grad(self._loss, has_aux=True)

        leaves, structure = jax.tree.flatten(batch)

        def part(total: PyTree, given: tuple[list[Array], Array]) -> tuple[PyTree, Metrics]:
            pairs, number = jax.tree.unflatten(structure, given[0]), given[1]
            noise = GateNoise(temperature, jax.random.fold_in(key, number))
            gradient, metrics = grad(state.params["swap"], frozen, pairs, noise)
            return jax.tree.map(jnp.add, total, gradient), metrics

        nothing = jax.tree.map(jnp.zeros_like, state.params["swap"])
        parts = [self._in_parts(leaf) for leaf in leaves]
        total, metrics = jax.lax.scan(part, nothing, (parts, jnp.arange(self._parts)))
        gradient = jax.tree.map(lambda leaf: leaf / self._parts, total)
        size = len(batch.image)
        state = update_networks(state, {"swap": gradient}, self._optimizers, size, EMA_KIMG)
        return state, jax.tree.map(jnp.mean, metrics)

    def preview(
        self, state: TrainState, frozen: dict[str, PyTree], batch: CodedPairs
    ) -> dict[str, Float[Array, "b ..."]]:
        """Targets, and what the averaged selection makes of them."""
        drawn, mask, _ = self._drawn(state.ema["swap"], frozen, batch, None)
        target = _pixels(batch.image)
        return {"target": target, "swap": drawn * mask + target * (1 - mask)}

    def program(self) -> Any:
        """What an update computes on a pair in each part, as a program; nothing is computed."""
        side = int(self.config["resolution"])
        shape = self._parts, side, side, 3
        images = jax.ShapeDtypeStruct(shape, jnp.float32)
        frozen, begun = (jax.eval_shape(lambda x=x: x) for x in (self._networks, self._begun))
        pretrained = {} if begun is None else {"swap": begun}
        faces = jax.eval_shape(lambda n, i: codes_of_images(self._swapper, n, i), frozen, images)
        pixels = jax.ShapeDtypeStruct(shape, jnp.uint8)
        batch = CodedPairs(faces, faces, pixels, jax.ShapeDtypeStruct(shape[:1], jnp.bool_))
        state = jax.eval_shape(self.init, jax.random.key(0), pretrained)
        leaves, tree = jax.tree.flatten((state, frozen, batch))

        def run(*flat: Any) -> Any:
            begin, networks, pairs = jax.tree.unflatten(tree, flat)
            return self.step(begin, networks, pairs, None)

        return jax.make_jaxpr(run)(*leaves)

    def _loss(
        self, swap: PyTree, frozen: PyTree, pairs: CodedPairs, noise: GateNoise
    ) -> tuple[Array, Metrics]:
        generated, mask, gates = self._drawn(swap, frozen, pairs, noise)
        target = _pixels(pairs.image)
        wanted = self._losses.wanted(frozen, target, mask, target, target)
        wanted = dataclasses.replace(wanted, embedding=pairs.source.identity)
        wanted = jax.lax.stop_gradient(wanted)
        terms = {n: x.mean() for n, x in self._losses.terms(frozen, generated, wanted).items()}
        off = jnp.mean(jnp.abs(blend(generated, target, mask) - target), axis=(1, 2, 3))
        terms["same"] = jnp.mean(off * pairs.same.astype(off.dtype))
        weights = {**WEIGHTS, "same": SAME_WEIGHT}
        total = sum((weights[n] * x for n, x in terms.items()), jnp.zeros(()))
        losses = {f"loss/{name}": value for name, value in terms.items()}
        return total, losses | {"loss/total": total, "gates/from_source": jnp.mean(gates)}

    def _drawn(
        self, swap: PyTree, frozen: PyTree, pairs: CodedPairs, noise: GateNoise | None
    ) -> tuple[Float[Array, "b h w 3"], Float[Array, "b h w 1"], Array]:
        """Generated faces, the mask of the blend, and the share of the source in the codes."""
        side = self._region_side
        source, target = (_encoding(face, side) for face in (pairs.source, pairs.target))
        pair = PairEncoding(source, target, pairs.source.identity)
        networks = {**frozen, "swap": swap}
        taken = self._swapper.select(networks, pair, self._swapper.overrides({}), noise)
        generated = self._swapper.generate(networks, taken.codes)
        region = target.region_logits
        _, mask = self._swapper.finish(networks, generated, _pixels(pairs.image), region, region)
        return generated, mask, taken.gates.attributes

    @property
    def _region_side(self) -> int:
        """Pixels a side in which the swapper sees what it replaces."""
        whole, parser = int(self.config["resolution"]), self._swapper.parser
        if parser is not None:
            return min(parser.resolution, whole)
        return self._swapper.encoder_resolution or whole

    def _seen(
        self, networks: PyTree, images: Float[Array, "b h w 3"]
    ) -> tuple[Float[Array, "b p p c"], Float[Array, "b l d"], Float[Array, "b e"]]:
        """Pose codes, W+ codes and embeddings: what a selection reads of faces."""
        codes = self._swapper.encode(networks, images).codes
        return codes.pose, codes.attributes, self._swapper.embed(networks, images)

    def _in_parts(self, column: Array) -> Array:
        """Every part takes each so many-th row: devices keep their own rows."""
        rows = column.reshape(-1, self._parts, *column.shape[1:])
        return jnp.moveaxis(rows, 1, 0)


def _adaptive(config: dict[str, Any]) -> dict[str, Any]:
    """The config of a swapper with an adaptive selection in place of its rule."""
    kept = {n: v for n, v in config["swap"].items() if n not in ("selector", "source_weights")}
    own = {"channel_groups": CHANNEL_GROUPS, "width": WIDTH, "gate_mode": "hard"}
    own |= {"selector": "adaptive", "normalised": True}
    return {**config, "swap": {**kept, **own, "pose_transfer": False, "context": 0}}


def _as_rule(swap: PyTree, rule: Sequence[float]) -> PyTree:
    """A fresh selection whose gates begin as a rule has them; a half stays as it was drawn."""
    params = dict(swap["params"])
    groups = len(params["bias"]) // len(rule)
    weights = jnp.repeat(jnp.asarray(rule, jnp.float32), groups)
    begun = jnp.where(weights == 0.5, params["bias"], RULE_BIAS * jnp.sign(weights - 0.5))
    return {**swap, "params": {**params, "bias": begun}}


def _encoding(face: FaceCodes, side: int) -> FaceEncoding:
    """What is kept of faces, as an encoder or a parser of ``side`` pixels would say it."""
    share = resize_bilinear(face.region.astype(jnp.float32), side, side, align_corners=False)
    share = jnp.clip(share / 255, FAINT, 1 - FAINT)
    logits = jnp.log(share) - jnp.log1p(-share)
    return FaceEncoding(face.latent, logits, jnp.zeros((*logits.shape[:3], 19)))


def _pixels(image: Array) -> Float[Array, "b h w 3"]:
    return image.astype(jnp.float32) / 127.5 - 1.0
