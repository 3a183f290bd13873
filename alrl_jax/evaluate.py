"""Measures a swapper: ``python -m alrl_jax.evaluate --workdir=DIR --output=DIR2``.

Writes ``metrics.json`` and ``report/index.html``. The benchmark "counterfactual" renders held-out
synthetic people, whose true swaps are known; "pairs" takes a CSV file of your own photos, about
which only the judge can speak. ``--before=DIR`` names the output of an earlier evaluation (say, of
the weights that training started from) to compare with.
"""

import json
from pathlib import Path
from typing import Any

from absl import flags

from alrl_jax import command_line, provenance
from alrl_jax.data.pair_list import read_pairs
from alrl_jax.errors import UserError
from alrl_jax.evaluation import benchmark, photos, protocol
from alrl_jax.evaluation.judging import Judge
from alrl_jax.evaluation.measuring import Measurement, measure_counterfactual
from alrl_jax.evaluation.metric_table import by_skin_tone, compare, summarise
from alrl_jax.evaluation.report import Extras, file_name, write_report
from alrl_jax.evaluation.rows import REFERENCE_ROWS, rows_of
from alrl_jax.loading import load
from alrl_jax.metrics import SAMPLES, read_metrics

BENCHMARKS = ("counterfactual", "pairs")


def load_kind(directory: str, kind: str, remedy: str) -> Any:
    """A model that must be of one kind.

    Raises:
        UserError: nothing there, or a model of another kind.
    """
    model = load(directory)
    if model.kind != kind:
        got = f"got a model of kind {model.kind!r} in {directory}"
        raise UserError(f"{got}; expected {kind!r}; {remedy}")
    return model


def describe_model(directory: str, model: Any) -> dict[str, Any]:
    """Name and hash of a model, for the protocol."""
    name = directory if directory.startswith("embedded/") else Path(directory).name
    sha256 = provenance.variables_sha256(model.variables)
    return {"name": name, "kind": model.kind, "sha256": sha256}


def evaluate_counterfactual(
    model: Any,
    judge: Judge,
    split: str,
    seed: int,
    num_pairs: int,
    batch_size: int,
    num_pictures: int,
) -> tuple[dict[str, Any], Measurement]:
    """Figures of every row on held-out synthetic people.

    Returns:
        The blocks of ``metrics.json`` (the protocol without what all evaluations share), and the
        measurement they were made from.
    """
    resolution = int(model.config["resolution"])
    rows = rows_of(tuple(model.selectors), with_truth=True)
    plan = benchmark.plan_pairs(split, seed, num_pairs)
    found = measure_counterfactual(
        model, judge, plan, num_pairs, rows, resolution, batch_size, num_pictures
    )
    extra = {
        "benchmark": "counterfactual",
        "split": split,
        "seed": seed,
        "num_pairs": num_pairs,
        "num_source_people": num_pairs,
        "num_target_people": num_pairs,
        "gallery_size": num_pairs,
        "resolution": resolution,
        "selectors": [name for name in rows if name not in REFERENCE_ROWS],
    }
    return _blocks(found, extra), found


def evaluate_pairs(
    model: Any, judge: Judge, csv: Path, batch_size: int, num_pictures: int, aligned: bool
) -> tuple[dict[str, Any], Measurement]:
    """Figures of what can be measured on pairs of photos; see ``evaluate_counterfactual``.

    Raises:
        UserError: the list or one of its pictures cannot be used.
    """
    resolution = int(model.config["resolution"])
    rows = rows_of(tuple(model.selectors), with_truth=False)
    pairs = read_pairs(csv)
    found = photos.measure_photos(
        model, judge, pairs, rows, resolution, batch_size, num_pictures, aligned
    )
    extra = {
        "benchmark": "pairs",
        "split": None,
        "seed": None,
        "list": csv.name,
        "list_sha256": provenance.file_sha256(csv),
        "num_pairs": len(pairs),
        "gallery_size": len({pair.source.resolve() for pair in pairs}),
        "resolution": resolution,
        "aligned": aligned,
        "benchmark_notes": photos.NOTES,
        "selectors": [name for name in rows if name not in REFERENCE_ROWS],
    }
    return _blocks(found, extra), found


def _blocks(found: Measurement, extra: dict[str, Any]) -> dict[str, Any]:
    bins = benchmark.skin_tone_bins(found.tones)
    rows = {}
    for name, values in found.values.items():
        rows[name] = summarise(values)
        if len(found.tones):
            rows[name]["by_skin_tone"] = by_skin_tone(values, bins)
    others = [n for n in found.values if n not in REFERENCE_ROWS and n != "adaptive"]
    comparisons = {n: compare(found.values["adaptive"], found.values[n]) for n in others}
    return {"protocol": extra, "rows": rows, "comparisons": comparisons, "ablations": {}}


def read_before(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The metrics and swaps of an earlier evaluation.

    Args:
        path: its output directory, or its ``metrics.json``.

    Raises:
        UserError: no metrics there.
    """
    file = path / "metrics.json" if path.is_dir() else path
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
        metrics["rows"]["adaptive"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"got --before={path} ({error}); expected the output of an evaluation; check the path"
        ) from error
    pictures = sorted((file.parent / "report").glob("adaptive_*.png"))
    return metrics, {picture.name: picture.read_bytes() for picture in pictures}


def pairs_of(values: Any) -> dict[str, Any]:
    """The fields of the protocol that say which pairs the flags name."""
    if values.benchmark == "counterfactual":
        names = ("benchmark", "split", "seed", "num_pairs")
        return {name: getattr(values, name) for name in names}
    digest = provenance.file_sha256(Path(values.pairs))
    return {"benchmark": values.benchmark, "list_sha256": digest, "aligned": values.aligned}


def check_comparable(before: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Makes sure that an earlier evaluation measured the same pairs with the same judge.

    Args:
        before: its ``metrics.json``.
        wanted: fields of the protocol that must be equal.

    Raises:
        UserError: naming what differs.
    """
    found = before.get("protocol", {})
    differing = [
        f"{name} {found.get(name)!r}, not {value!r}"
        for name, value in wanted.items()
        if found.get(name) != value
    ]
    if differing:
        raise UserError(
            f"got --before with {'; '.join(differing)}; expected an evaluation of the same pairs "
            "by the same judge; run it again with the flags of this one"
        )


def read_extras(workdir: str, model: Any, before: str | None, num_pictures: int) -> Extras:
    """What the report shows besides figures: training curves, samples, an earlier evaluation."""
    metrics, pictures = (None, {}) if before is None else read_before(Path(before))
    wanted = {file_name("adaptive", i) for i in range(num_pictures)}
    samples = sorted((Path(workdir) / SAMPLES).glob("*.png"))
    return Extras(
        group_names=tuple(model.attribute_groups),
        curves=read_metrics(Path(workdir)),
        samples={f"Samples at step {int(p.stem)}": p.read_bytes() for p in samples[-1:]},
        before=metrics,
        before_pictures={k: v for k, v in pictures.items() if k in wanted},
    )


def main(argv: list[str]) -> int:
    """Evaluates what the flags say."""
    del argv
    values = flags.FLAGS
    if (values.benchmark == "pairs") != (values.pairs is not None):
        raise UserError(
            f"got --benchmark={values.benchmark} --pairs={values.pairs}; expected --pairs=FILE.csv "
            "with the benchmark pairs and with no other; mend the flags"
        )
    model = load_kind(values.workdir, "swapper", "take embedded/swapper_64 or train the task swap")
    judge = load_kind(values.judge, "judge", "take embedded/judge_64")
    extras = read_extras(values.workdir, model, values.before, values.num_pictures)
    judge_description = describe_model(values.judge, judge)
    if extras.before is not None:
        check_comparable(extras.before, {**pairs_of(values), "judge": judge_description})
    if values.benchmark == "counterfactual":
        blocks, found = evaluate_counterfactual(
            model,
            judge,
            values.split,
            values.seed,
            values.num_pairs,
            values.batch_size,
            values.num_pictures,
        )
    else:
        blocks, found = evaluate_pairs(
            model,
            judge,
            Path(values.pairs),
            values.batch_size,
            values.num_pictures,
            values.aligned,
        )
    blocks["protocol"] = protocol.describe(
        {
            **blocks["protocol"],
            "model": describe_model(values.workdir, model),
            "judge": judge_description,
        }
    )
    page = write_outputs(Path(values.output), blocks, found, extras)
    print(f"{page.parent.parent / 'metrics.json'}\n{page}")
    return 0


def write_outputs(
    output: Path, metrics: dict[str, Any], found: Measurement, extras: Extras
) -> Path:
    """Writes ``metrics.json`` and the report; gives the page's path."""
    output.mkdir(parents=True, exist_ok=True)
    provenance.write_json(output / "metrics.json", metrics)
    return write_report(output / "report", metrics, found, extras)


def define_flags() -> None:
    """Defines the flags of this command; not at import, as other commands have the same names."""
    flags.DEFINE_string("workdir", None, "Work or model directory, embedded/NAME.", required=True)
    flags.DEFINE_string("output", None, "Directory of the results.", required=True)
    flags.DEFINE_enum("benchmark", "counterfactual", BENCHMARKS, "What to measure on.")
    flags.DEFINE_string("judge", "embedded/judge_64", "Model directory of the judge.")
    splits = benchmark.EVALUATION_SPLITS
    flags.DEFINE_enum("split", "test", splits, "Held-out people of the counterfactual benchmark.")
    flags.DEFINE_integer("seed", 0, "World of the counterfactual benchmark.", lower_bound=0)
    flags.DEFINE_integer("num_pairs", 200, "Pairs of the counterfactual benchmark.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 20, "Pairs at a time.", lower_bound=1)
    flags.DEFINE_integer("num_pictures", 8, "Pairs that the report shows.", lower_bound=0)
    flags.DEFINE_string("pairs", None, "CSV file, header source,target, for the benchmark pairs.")
    flags.DEFINE_boolean("aligned", False, "Pictures of --pairs are face crops already.")
    flags.DEFINE_string("before", None, "Output of an earlier evaluation to compare with.")


def cli() -> None:
    """The console script."""
    define_flags()
    command_line.run(main)


if __name__ == "__main__":
    cli()
