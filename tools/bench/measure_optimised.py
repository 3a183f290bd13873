"""What refining the codes of every pair is worth, where the true swap is known.

    python -m tools.bench.measure_optimised [--selector=psp_middle] [--steps=100] [--pairs=128]

Assembles a swapper of the generator and the encoder of a model of the procedural world and of an
identity net, without training, as ``alrl assemble-swapper`` does with converted ones.  Measures its
fixed rule before and after ``infer --optimise``, beside the model that was trained, on pairs whose
true swap is known.  The judge took no part in any of it; the identity net's own reading of a swap
is what the search makes good.  Prints one JSON object.
"""

import json
import tempfile
from pathlib import Path
from typing import Any, NoReturn

import jax.numpy as jnp
from absl import flags

from alrl_jax.evaluation.benchmark import EVALUATION_SPLITS, plan_pairs
from alrl_jax.evaluation.measuring import measure_counterfactual
from alrl_jax.evaluation.rows import Question, Row, RowImages, rows_of_models, swap
from alrl_jax.evaluation.statistics import mean_or_none, paired_difference
from alrl_jax.inference.optimising import PairOptimiser
from alrl_jax.inference.settings import Settings
from alrl_jax.loading import AnalyserModel, SwapperModel, load_analyser, load_swapper
from alrl_jax.loading.assembling import RULES, Parts, assemble
from alrl_jax.utils import command_line

BATCH = 16
METRICS = (
    *("face_psnr", "psnr", "lpips_like", "identity_similarity", "identity_top1"),
    *("pose_error_degrees", "background_psnr"),
)
REFINED, TRAINED = "refined", "trained"


def assembled(model: str, identity: str, selector: str) -> SwapperModel:
    """A swapper of a model's generator and encoder, with a fixed rule and an ellipse as mask."""
    with tempfile.TemporaryDirectory() as folder:
        parts = {"generator": model, "encoder": model, "identity": identity}
        assemble(Parts(parts, selector, "ellipse"), Path(folder) / "swapper")
        return load_swapper(Path(folder) / "swapper")


def measure(
    model: SwapperModel,
    trained: SwapperModel,
    judge: AnalyserModel,
    steps: int,
    split: str,
    seed: int,
    pairs: int,
) -> dict[str, Any]:
    """Means of every row, and of the pairwise change by the search with its 95% interval.

    Args:
        model: with a fixed rule.
        trained: what its parts were taken from.
        judge: a net that took no part.
        steps: of the search.
        split: of ``EVALUATION_SPLITS``.
        seed: which pairs of the split.
        pairs: how many.
    """
    optimiser = PairOptimiser(model, Settings(optimise=steps))

    def refined(_: Any, question: Question) -> RowImages:
        source, target = jnp.asarray(question.source), jnp.asarray(question.target)
        output = optimiser(source, target, model.swap(source, target)).output
        return RowImages(output.image, output.mask, output.generated, output.gates)

    rule = model.selectors[0]
    rows: dict[str, Row] = {rule: swap, REFINED: refined, **rows_of_models({TRAINED: trained})}
    resolution, plan = int(model.config["resolution"]), plan_pairs(split, seed, pairs)
    values = measure_counterfactual(
        model, judge, plan, pairs, rows, resolution, BATCH, num_shown=0
    ).values
    return {
        "rows": {row: {n: mean_or_none(values[row][n]) for n in METRICS} for row in rows},
        "changes": {n: paired_difference(values[REFINED][n], values[rule][n]) for n in METRICS},
    }


def main(_: list[str]) -> int:
    """Measures and prints."""
    values = flags.FLAGS
    names = ("model", "identity", "judge", "selector", "steps", "split", "seed", "pairs")
    chosen = {name: values[name].value for name in names}
    model = assembled(values.model, values.identity, values.selector)
    judge = load_analyser(values.judge, "judge")
    trained = load_swapper(values.model)
    pairs = values.steps, values.split, values.seed, values.pairs
    print(json.dumps(chosen | measure(model, trained, judge, *pairs)))
    return 0


def cli() -> NoReturn:
    """Defines the flags and runs ``main``."""
    command_line.DEFINE_path("model", "embedded/swapper_64", "Swapper whose parts are taken.")
    command_line.DEFINE_path("identity", "embedded/identity_64", "Identity net of the search.")
    command_line.DEFINE_path("judge", "embedded/judge_64", "Who measures.")
    flags.DEFINE_enum("selector", "psp_middle", RULES, "Fixed rule that selects codes.")
    flags.DEFINE_integer("steps", 100, "Steps of the search.", lower_bound=1)
    flags.DEFINE_integer("pairs", 128, "Pairs.", lower_bound=2)
    flags.DEFINE_integer("seed", 0, "Which pairs of the split.")
    flags.DEFINE_enum("split", "development", EVALUATION_SPLITS, "Which people.")
    command_line.run(main)


if __name__ == "__main__":
    cli()
