"""The best fixed selection of latent codes, by trying every one.

    alrl search-selection --model=DIR [--write]

A fixed selection takes the pose code and each layer of W+ from the source or from the target, the
same way for every pair: 2^(layers + 1) of them, 2,048 at 64 px. All are tried on a few pairs of
development people, whose true swaps are known, and the best of these on many. What counts is the
PSNR to the true swap inside the face region, which no training of the model has seen. Prints one
JSON object; ``--write`` notes the selection in the model directory as ``best_fixed``, by which name
evaluation then measures it. How long each of the two rounds takes is said before it begins.
"""

import dataclasses
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jaxtyping import Array, Float
from tqdm import tqdm

from alrl_jax.errors import UserError
from alrl_jax.evaluation.benchmark import Counterfactuals, plan_pairs, render_pairs, take
from alrl_jax.evaluation.image_metrics import psnr
from alrl_jax.evaluation.measuring import batches
from alrl_jax.loading import SwapperModel, load_swapper
from alrl_jax.models.build import build_swapper
from alrl_jax.models.stylegan2.generator import num_latents
from alrl_jax.models.swapper.swapper import Networks, PairEncoding
from alrl_jax.storage.model_directory import MODEL_FILE, resolve_directory
from alrl_jax.utils import command_line
from alrl_jax.utils.files import write_json
from alrl_jax.utils.printing import say

NAME = "best_fixed"
SPLIT = "development"
BATCH = 20
MOST_LAYERS = 12
"""Beyond 128 px there are too many selections to try."""


@dataclasses.dataclass(frozen=True)
class Found:
    """The best selection: weights of the source, and what they reach.

    Attributes:
        source_weights: 0 or 1 for the pose code, then for every layer of W+.
        face_psnr: dB, mean over the pairs of the second round.
        tried: selections of the first round.
    """

    source_weights: tuple[float, ...]
    face_psnr: float
    tried: int


def search(model: SwapperModel, seed: int, pairs: int, finalists: int, final_pairs: int) -> Found:
    """Tries every selection on ``pairs``, and the ``finalists`` best on ``final_pairs``.

    Raises:
        UserError: if the model has too many layers for this.
    """
    resolution = int(model.config["resolution"])
    layers = num_latents(resolution)
    if layers > MOST_LAYERS:
        raise UserError(
            f"got a model of {layers} layers; expected at most {MOST_LAYERS}, as every selection "
            "is tried; take a model of 128 px or less"
        )
    candidates = [np.array(x, np.float32) for x in itertools.product((0, 1), repeat=layers + 1)]
    first = _score(model, candidates, seed, pairs, "all selections")
    best = [candidates[i] for i in np.argsort(-first)[:finalists]]
    second = _score(model, best, seed, final_pairs, "the best of them")
    winner = int(np.argmax(second))
    return Found(tuple(float(x) for x in best[winner]), float(second[winner]), len(candidates))


def _score(
    model: SwapperModel, selections: Sequence[np.ndarray], seed: int, count: int, title: str
) -> Float[np.ndarray, " n"]:
    """Mean PSNR inside the face, in dB, of every selection over ``count`` pairs."""
    swapper, networks = build_swapper(model.config), model.variables
    resolution, plan = int(model.config["resolution"]), plan_pairs(SPLIT, seed, count)

    @jax.jit
    def encode(networks: Networks, pair: Counterfactuals) -> PairEncoding:
        return PairEncoding(
            source=swapper.encode(networks, pair.source),
            target=swapper.encode(networks, pair.target),
            identity=swapper.embed(networks, pair.source),
        )

    @jax.jit
    def score(
        networks: Networks,
        pair: Counterfactuals,
        encoded: PairEncoding,
        source_weights: Float[Array, " s"],
    ) -> Float[Array, " b"]:
        taken = swapper.select(networks, encoded, swapper.overrides({}), None, source_weights)
        generated = swapper.generate(networks, taken.codes, taken.injected)
        regions = encoded.target.region_logits, swapper.encode(networks, generated).region_logits
        image, _ = swapper.finish(networks, generated, pair.target, *regions)
        return psnr(image, pair.truth, pair.face_region)

    def seconds_a_call() -> float:
        """What one call takes on this machine, once it is compiled."""
        pair = render_pairs(take(plan, next(iter(batches(count, BATCH)))[0]), resolution)
        encoded, begin = encode(networks, pair), 0.0
        for _ in range(2):
            begin = time.perf_counter()
            jax.block_until_ready(score(networks, pair, encoded, jnp.asarray(selections[0])))
        return time.perf_counter() - begin

    calls = len(selections) * -(-count // BATCH)
    say(
        f"{title}: {len(selections)} on {count} pairs, {calls} calls of {BATCH} swaps, about "
        f"{calls * seconds_a_call() / 60:.1f} minutes on this machine",
        sys.stderr,
    )
    totals = np.zeros(len(selections))
    with tqdm(total=calls, desc=title, unit="swap") as progress:
        for numbers, valid in batches(count, BATCH):
            pair = render_pairs(take(plan, numbers), resolution)
            encoded, found = encode(networks, pair), []
            for source_weights in selections:
                found.append(score(networks, pair, encoded, jnp.asarray(source_weights)))
                progress.update()
            totals += np.sum(np.stack(jax.device_get(found))[:, :valid], axis=1)
    return totals / count


def note(directory: Path, found: Found) -> None:
    """Writes the selection into a model directory."""
    path = directory / MODEL_FILE
    meta = json.loads(path.read_text(encoding="utf-8"))
    meta["config"].setdefault("selections", {})[NAME] = list(found.source_weights)
    write_json(path, meta)


def main(_: list[str]) -> int:
    """Searches, prints and, where it is asked to, notes."""
    values = flags.FLAGS
    model = load_swapper(values.model)
    directory = resolve_directory(values.model)
    if values.write and not (directory / MODEL_FILE).is_file():
        raise UserError(
            f"got --write with {values.model}, which is a work directory; expected a model "
            "directory; make one with alrl package-model"
        )
    found = search(model, values.seed, values.pairs, values.finalists, values.final_pairs)
    if values.write:
        note(directory, found)
    print(json.dumps({"model": values.model, "split": SPLIT, **dataclasses.asdict(found)}))
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path("model", "embedded/swapper_64", "Model directory of a swapper.")
    flags.DEFINE_integer("pairs", 20, "Pairs on which every selection is tried.", lower_bound=1)
    flags.DEFINE_integer("finalists", 50, "Selections of the second round.", lower_bound=1)
    flags.DEFINE_integer("final_pairs", 200, "Pairs of the second round.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Which pairs of the split.", lower_bound=0)
    flags.DEFINE_boolean("write", False, "Note the selection in the model directory.")


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
