"""What deciding pair by pair could gain: the best gates found for every pair, beside shared ones.

    python -m tools.bench.measure_gate_headroom --model=DIR [--pairs=100] [--pair_set=occlusion]

A module whose gates hardly depend on the pair may have learned too little, or there may be nothing
to learn. This looks at the second. It knows the true swap, which no module does, and flips one gate
after another where that brings the swap nearer to it: once for each pair of its own, and once for
all pairs of another draw together. The difference of the two is the headroom of a selection from
this model's codes. No better gates are looked for than single flips lead to, so that the true
headroom is at least what is found. Gates in space stay the model's own.

Prints one JSON object: the face PSNR in dB, mean over the pairs, of the model's own gates
(``own``), of its majority over other pairs (``frozen_codes``), of the shared gates (``shared``) and
of every pair's own (``best``), and the headroom ``best - shared`` with its 95% interval over pairs.
"""

import json
from collections.abc import Callable
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jaxtyping import Array, Float
from tqdm import tqdm

from alrl_jax.errors import UserError
from alrl_jax.evaluation import frozen, pair_sets
from alrl_jax.evaluation.benchmark import Counterfactuals, render_pairs, take
from alrl_jax.evaluation.image_metrics import psnr
from alrl_jax.evaluation.measuring import batches
from alrl_jax.loading import SwapperModel, load_swapper
from alrl_jax.models.build import build_swapper
from alrl_jax.models.swapper.pair_codes import FrozenGates
from alrl_jax.models.swapper.swapper import Networks, PairEncoding
from alrl_jax.utils import command_line

SPLIT, BATCH, SWEEPS = "development", 20, 2
SHARED_SEED = 129
"""Of the pairs that shared gates are sought on: neither measured nor those of the majority."""

Gates = Float[np.ndarray, "n t"]
Score = Callable[[Gates], Float[np.ndarray, " n"]]


def headroom(
    model: SwapperModel, pairs: int, pair_set: str, seed: int = 0
) -> dict[str, float | list[float]]:
    """Face PSNR in dB of four ways to set the code gates; see the top of the file.

    Args:
        model: a swapper that decides over codes.
        pairs: how many development pairs.
        pair_set: entry of ``PAIR_SETS``.
        seed: which pairs.

    Raises:
        UserError: if the model has no gates to set.
    """
    if not frozen.decides(model):
        raise UserError(
            f"got a model whose selection is {model.selectors[0]!r}; expected 'adaptive', as only "
            "that has gates; name another model"
        )
    majority = frozen.freeze(model, BATCH, pair_set).codes
    assert majority is not None, "a model that decides has code gates"
    start = np.asarray(majority)
    others = _scorer(model, SHARED_SEED, pairs, pair_set, start.shape)
    shared = improve(start.reshape(1, -1), lambda gates: _mean(others, gates, pairs), "shared")
    score = _scorer(model, seed, pairs, pair_set, start.shape)
    wide = np.repeat(shared, pairs, axis=0)
    found = {
        "own": score(None),
        "frozen_codes": score(np.repeat(start.reshape(1, -1), pairs, axis=0)),
        "shared": score(wide),
        "best": score(improve(wide, score, "pair by pair")),
    }
    gain = found["best"] - found["shared"]
    margin = 1.96 * float(np.std(gain, ddof=1)) / np.sqrt(pairs)
    means: dict[str, float | list[float]] = {k: float(np.mean(v)) for k, v in found.items()}
    middle = float(np.mean(gain))
    return means | {"headroom": middle, "headroom_ci95": [middle - margin, middle + margin]}


def improve(gates: Gates, score: Score, title: str) -> Gates:
    """Flips one gate after another, of every row on its own, where that raises the row's score."""
    best, gates = score(gates), gates.copy()
    for place in tqdm(range(SWEEPS * gates.shape[1]), desc=title, unit="flip"):
        flipped = gates.copy()
        flipped[:, place % gates.shape[1]] = 1.0 - gates[:, place % gates.shape[1]]
        found = score(flipped)
        better = found > best
        gates = np.where(better[:, None], flipped, gates)
        best = np.where(better, found, best)
    return gates


def _mean(score: Score, gates: Gates, pairs: int) -> Float[np.ndarray, " 1"]:
    return np.mean(score(np.repeat(gates, pairs, axis=0)), keepdims=True)


def _scorer(
    model: SwapperModel, seed: int, count: int, pair_set: str, shape: tuple[int, ...]
) -> Callable[[Gates | None], Float[np.ndarray, " n"]]:
    """Face PSNR in dB of every pair under gates of its own; None is what the model decides."""
    swapper, networks = build_swapper(model.config), model.variables
    plan = pair_sets.PAIR_SETS[pair_set].plan(SPLIT, seed, count)
    no_overrides = swapper.overrides({})

    @jax.jit
    def encode(networks: Networks, pair: Counterfactuals) -> PairEncoding:
        return PairEncoding(
            source=swapper.encode(networks, pair.source),
            target=swapper.encode(networks, pair.target),
            identity=swapper.embed(networks, pair.source),
        )

    def draw(networks: Networks, encoded: PairEncoding, gates: Array | None) -> Array:
        fixed = None if gates is None else FrozenGates(codes=gates.reshape(shape))
        taken = swapper.select(networks, encoded, no_overrides, frozen=fixed)
        return swapper.generate(networks, taken.codes, taken.injected)

    @jax.jit
    def score(
        networks: Networks, pair: Counterfactuals, encoded: PairEncoding, gates: Array | None
    ) -> Float[Array, " b"]:
        if gates is None:
            generated = draw(networks, encoded, None)
        else:
            # One pair at a time under vmap: frozen gates are the same for all pairs of a call.
            single = jax.tree.map(lambda x: x[:, None], encoded)
            generated = jax.vmap(draw, (None, 0, 0))(networks, single, gates)[:, 0]
        regions = encoded.target.region_logits, swapper.encode(networks, generated).region_logits
        image, _ = swapper.finish(networks, generated, pair.target, *regions)
        return psnr(image, pair.truth, pair.face_region)

    seen = []
    for numbers, valid in batches(count, BATCH):
        pair = render_pairs(take(plan, numbers), int(model.config["resolution"]))
        seen.append((pair, encode(networks, pair), valid))

    def score_all(gates: Gates | None) -> Float[np.ndarray, " n"]:
        found = []
        for number, (pair, encoded, valid) in enumerate(seen):
            part = None
            if gates is not None:
                part = gates[number * BATCH : (number + 1) * BATCH]
                # The last batch repeats a pair to be full.
                part = jnp.asarray(np.pad(part, ((0, BATCH - len(part)), (0, 0)), mode="edge"))
            found.append(score(networks, pair, encoded, part)[:valid])
        return np.concatenate(jax.device_get(found))

    return score_all


def main(_: list[str]) -> int:
    """Measures and prints."""
    values = flags.FLAGS
    model = load_swapper(values.model)
    found = headroom(model, values.pairs, values.pair_set, values.seed)
    what = {"model": values.model, "split": SPLIT, "pair_set": values.pair_set}
    print(json.dumps({**what, "pairs": values.pairs, **found}))
    return 0


def cli() -> NoReturn:
    """The command."""
    command_line.DEFINE_path("model", None, "Model directory of a swapper.", required=True)
    flags.DEFINE_integer("pairs", 100, "Development pairs.", lower_bound=2)
    flags.DEFINE_enum("pair_set", pair_sets.USUAL, list(pair_sets.PAIR_SETS), "Which pairs.")
    flags.DEFINE_integer("seed", 0, "Which pairs of the split.", lower_bound=0)
    command_line.run(main)


if __name__ == "__main__":
    cli()
