"""Measures a swapper: ``alrl evaluate --workdir=DIR --output=DIR2``.

Writes ``metrics.json``, ``report/index.html`` and, for ``alrl compare-rows``, ``pairs.npz``: one
number for every pair. The benchmark "counterfactual" renders held-out synthetic people, whose true
swaps are known: those of the split ``development``, unless ``--split=test`` asks for the others.
``--pair_set=occlusion`` renders faces that something covers, or that are hard to see otherwise. The
benchmark "pairs" takes photos, as a CSV file (``--pairs=FILE``) or a folder (``--data=DIR``), and
measures them with the judges that you name; a metric that none of them can measure is null.
``--before=DIR`` names the output of an earlier evaluation (say, of the weights that training
started from) to compare with. The first selection of codes is the model's own, ``adaptive`` unless
it was trained with another; ``--selectors=NAME,...`` names the others to measure beside it, and
``--beside=NAME=DIR,...`` other swappers, each with the selection that it was trained with.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import flags

from alrl_jax.errors import UserError
from alrl_jax.evaluation import benchmark, opening, pair_sets, photos, protocol
from alrl_jax.evaluation.best_fixed import carry_best_fixed
from alrl_jax.evaluation.blocks import blocks_of
from alrl_jax.evaluation.control import measure_control
from alrl_jax.evaluation.earlier import check_comparable, read_before
from alrl_jax.evaluation.flag_checks import check_flags
from alrl_jax.evaluation.frozen import decides, freeze, frozen_rows
from alrl_jax.evaluation.judges import Judges
from alrl_jax.evaluation.measuring import Measurement, measure_counterfactual
from alrl_jax.evaluation.presets import PROTOCOLS, ROLES, flag, rows_of_protocol
from alrl_jax.evaluation.report.report import Extras, write_report
from alrl_jax.evaluation.rows import REFERENCE_ROWS, rows_of, rows_of_models
from alrl_jax.evaluation.shared_batches import ShareDone, Sharing
from alrl_jax.loading import load_analyser, load_swapper
from alrl_jax.loading.protocols import Judge, MeasuringNetwork, Swapper
from alrl_jax.photos.landmarks import (
    DEFAULT_SOURCE,
    LANDMARK_SOURCES,
    FaceFinder,
    default_source,
)
from alrl_jax.photos.pair_list import PairFiles, draw_pairs, read_pairs
from alrl_jax.storage.workdir import read_metrics
from alrl_jax.training import distributed
from alrl_jax.training.metrics import SAMPLES
from alrl_jax.utils import buckets, command_line
from alrl_jax.utils.compilation_cache import keep_compiled_programs
from alrl_jax.utils.destinations import check_folder
from alrl_jax.utils.files import write_arrays, write_json

BENCHMARKS = ("counterfactual", "pairs")
DEFAULT_JUDGE = "embedded/judge_64"
DEFAULT_PAIRS = 1000
DEFAULT_PROTOCOL = "pairs"
OF_PAIRS = "pairs.npz"
"""File of an evaluation that holds one number for every pair, by ``ROW/METRIC``."""
SAME_PAIRS = (
    "benchmark",
    "protocol",
    "pictures_sha256",
    "detector",
    "detector_file_sha256",
    "judges_sha256",
)
"""Fields of the protocol that must be equal for two evaluations of photos to be compared."""
ANALYSED = ("identity", "pose")
"""Roles for which ``--judge`` stands with the benchmark pairs."""
UNMEASURED = {
    "identity": "identities are not compared",
    "pose": "poses are not",
    "lpips": "LPIPS is not measured",
    "inception": "FID is not",
    "parser": "faces and backgrounds are not measured apart",
}
"""The consequence of a missing judge, by its role."""


def evaluate_counterfactual(
    model: Swapper,
    judge: Judge,
    split: str,
    seed: int,
    num_pairs: int,
    batch_size: int,
    num_shown: int,
    beside: Mapping[str, Swapper] | None = None,
    pair_set: str = pair_sets.USUAL,
    second: MeasuringNetwork | None = None,
    sharing: Sharing | None = None,
) -> tuple[dict[str, Any], Measurement]:
    """Figures of every row on held-out synthetic people.

    Args:
        model: a swapper, whose selections are rows.
        judge: the net that measures.
        split: split of the people.
        seed: seed of the world.
        num_pairs: number of pairs.
        batch_size: pairs at a time.
        num_shown: how many of the first pairs to keep images of.
        beside: other swappers, each a row of this name.
        pair_set: entry of ``PAIR_SETS``.
        second: a judge of another kind, which knows identities alone.
        sharing: this process's share of the pairs, where several measure them together.

    Returns:
        The blocks of ``metrics.json``, where the protocol lacks the fields that all evaluations
        share, and the measurement that they were made from.
    """
    resolution = int(model.config["resolution"])
    rows = rows_of(model.selectors, True, model.takes_features)
    if decides(model):
        rows |= frozen_rows(freeze(model, batch_size, pair_set))
    rows |= rows_of_models(beside or {})
    plan = pair_sets.PAIR_SETS[pair_set].plan(split, seed, num_pairs)
    found = measure_counterfactual(
        model,
        judge,
        plan,
        num_pairs,
        rows,
        resolution,
        batch_size,
        num_shown,
        second=second,
        sharing=sharing,
    )
    extra = {
        "benchmark": "counterfactual",
        "split": split,
        "seed": seed,
        **pair_sets.describe(pair_set, split, seed),
        "num_pairs": num_pairs,
        "num_source_people": num_pairs,
        "num_target_people": num_pairs,
        "gallery_size": num_pairs,
        "resolution": resolution,
        "selectors": list(model.selectors),
    }
    bins = benchmark.skin_tone_bins(found.tones)
    blocks = blocks_of(found, extra, bins, benchmark.SKIN_TONE_BINS)
    controlled = min(num_pairs, benchmark.CONTROL_PAIRS)
    blocks["control"] = measure_control(model, judge, plan, controlled, resolution, batch_size)
    return blocks, found


def evaluate_pairs(
    model: Swapper, judged_by: Judges, pairs: list[PairFiles], settings: photos.Settings
) -> tuple[dict[str, Any], Measurement]:
    """Figures of pairs of photos, as judges measure them; see ``evaluate_counterfactual``.

    Raises:
        UserError: one of the photos cannot be used.
    """
    rows = rows_of(model.selectors, with_truth=False)
    rows = {name: rows[name] for name in rows_of_protocol(settings.preset, rows)}
    found = photos.measure_photos(model, judged_by, pairs, rows, settings)
    bins, names = photos.skin_tones(pairs)
    extra = {
        "resolution": settings.resolution,
        "meaning": settings.preset.meaning,
        "differs": settings.preset.differs,
        "selectors": [name for name in rows if name not in REFERENCE_ROWS],
        "skin_tones": names or None,
    }
    return blocks_of(found, extra, bins, names), found


def read_extras(workdir: str, model: Swapper, before: str | None, num_shown: int) -> Extras:
    """What the report shows besides figures: training curves, samples, an earlier evaluation."""
    metrics, images = (None, {}) if before is None else read_before(Path(before), num_shown)
    samples = sorted(buckets.pull(Path(workdir) / SAMPLES).glob("*.png"))
    return Extras(
        group_names=tuple(model.attribute_groups),
        curves=read_metrics(Path(workdir)),
        samples={f"Samples at step {int(p.stem)}": p.read_bytes() for p in samples[-1:]},
        before=metrics,
        before_images=images,
    )


def main(_: list[str]) -> int:
    """Evaluates by the flags."""
    values = flags.FLAGS
    check_flags(values)
    check_folder(values.output)
    share = distributed.share_by_flags(values)
    keep_compiled_programs()
    model = load_swapper(values.workdir)
    found_for = carry_best_fixed(values.workdir, model)
    if values.selectors is not None:
        model.selectors = chosen_selectors(model.selectors, values.selectors)
    extras = read_extras(values.workdir, model, values.before, values.num_pictures)
    if values.benchmark == "pairs":
        blocks, found = run_pairs(values, model, extras.before)
    else:
        Path(values.output).mkdir(parents=True, exist_ok=True)
        sharing = Sharing(share, Path(values.output))
        try:
            blocks, found = run_counterfactual(values, model, extras.before, sharing)
        except ShareDone:
            return 0
    blocks["protocol"]["best_fixed_found_for"] = found_for
    page = write_outputs(Path(values.output), blocks, found, extras)
    print(f"{page.parent.parent / 'metrics.json'}\n{page}")
    return 0


def chosen_selectors(known: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The model's own selector, and those of the others that are wanted.

    Raises:
        UserError: the model does not have one of them.
    """
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UserError(
            f"got --selectors with {unknown[0]!r}; expected some of {', '.join(known)}; correct it"
        )
    return (known[0], *(name for name in known[1:] if name in wanted))


def run_counterfactual(
    values: Any, model: Swapper, before: dict[str, Any] | None, sharing: Sharing
) -> tuple[dict[str, Any], Measurement]:
    """Evaluates on rendered people; see ``evaluate_counterfactual``."""
    directory = values.judge or DEFAULT_JUDGE
    judge = load_analyser(directory, "judge")
    second = opening.open_second_judge(values.identity_judge)
    described = opening.describe_model(directory, judge)
    count, pair_set = values.num_pairs or DEFAULT_PAIRS, values.pair_set or pair_sets.USUAL
    if before is not None:
        wanted = {"benchmark": values.benchmark, "split": values.split, "seed": values.seed}
        wanted |= {"num_pairs": count, "judge": described, "pair_set": pair_set}
        check_comparable(pair_sets.named(before), wanted)
    directories = opening.named_directories(values.beside or ())
    beside = {name: load_swapper(path) for name, path in directories.items()}
    opening.check_beside(values.workdir, model, beside)
    blocks, found = evaluate_counterfactual(
        model,
        judge,
        values.split,
        values.seed,
        count,
        values.batch_size,
        values.num_pictures,
        beside,
        pair_set,
        second,
        sharing,
    )
    describe = functools.partial(opening.describe_trained, judge_directory=directory, judge=judge)
    extra = describe(values.workdir, model) | {
        "judge": described,
        "second_judge": second and opening.describe_model(values.identity_judge, second),
        "beside": {name: describe(directories[name], each) for name, each in beside.items()},
    }
    notes = protocol.NOTES | dict(pair_sets.PAIR_SETS[pair_set].notes)
    blocks["protocol"] = protocol.describe(blocks["protocol"] | extra, notes)
    return blocks, found


def run_pairs(
    values: Any, model: Swapper, before: dict[str, Any] | None
) -> tuple[dict[str, Any], Measurement]:
    """Evaluates on photos; see ``evaluate_pairs``."""
    directories = {
        role: getattr(values, flag(role).removeprefix("--")) or shared
        for role, shared in (dict.fromkeys(ROLES) | dict.fromkeys(ANALYSED, values.judge)).items()
    }
    name = values.protocol or DEFAULT_PROTOCOL
    preset, judged_by = opening.open_judges(name, directories)
    origin = Path(values.pairs or values.data)
    seed = None if values.data is None else values.seed
    pairs = read_pairs(origin) if seed is None else draw_pairs(origin, values.num_pairs, seed)
    detector = None if values.aligned else values.landmarks_from or default_source()
    landmarks = None if values.landmarks_path is None else Path(values.landmarks_path)
    resolution = int(model.config["resolution"])
    finder = None if detector is None else FaceFinder(detector, landmarks, resolution)
    described = {
        "protocol": name,
        **opening.describe_pairs(pairs, origin, seed, detector, landmarks),
        **opening.describe_judges(judged_by, directories, preset, values.workdir, model),
    }
    if before is not None:
        check_comparable(before, {name: described[name] for name in SAME_PAIRS})
    reference = opening.open_reference(values.fid_reference, judged_by)
    settings = photos.Settings(
        preset, resolution, values.batch_size, values.num_pictures, finder, reference
    )
    blocks, found = evaluate_pairs(model, judged_by, pairs, settings)
    targets = described["num_target_pictures"]
    extra = described | blocks["protocol"]
    extra["model"] = opening.describe_model(values.workdir, model)
    extra["fid"] = opening.describe_fid(judged_by, values.fid_reference, reference, targets)
    blocks["protocol"] = protocol.describe(extra, photos.NOTES, tones=None)
    return blocks, found


def write_outputs(
    output: Path, metrics: dict[str, Any], found: Measurement, extras: Extras
) -> Path:
    """Writes ``metrics.json``, the numbers of every pair and the report; gives the page's path."""
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "metrics.json", metrics)
    of_pairs = {f"{row}/{m}": v for row, values in found.values.items() for m, v in values.items()}
    write_arrays(output / OF_PAIRS, of_pairs)
    return write_report(output / "report", metrics, found, extras)


def define_flags() -> None:
    """Defines the flags of this command; not at import, as other commands have the same names."""
    command_line.DEFINE_path(
        "workdir", None, "Work or model directory, embedded/NAME.", required=True, bucket="read"
    )
    command_line.DEFINE_path(
        "output", None, "Directory of the results.", required=True, bucket="written"
    )
    flags.DEFINE_enum("benchmark", "counterfactual", BENCHMARKS, "What to measure on.")
    command_line.DEFINE_path(
        "judge",
        None,
        f"Model directory of the judge, by default {DEFAULT_JUDGE}. With the benchmark pairs there "
        "is no default, and it stands for --identity_judge and --pose_judge.",
        bucket="read",
    )
    splits = benchmark.EVALUATION_SPLITS
    flags.DEFINE_enum("split", splits[0], splits, "Held-out people of rendered pairs; test, once.")
    sets = tuple(pair_sets.PAIR_SETS)
    flags.DEFINE_enum("pair_set", None, sets, f"Rendered pairs; by default {pair_sets.USUAL}.")
    flags.DEFINE_integer(
        "seed", 0, "World of the counterfactual benchmark, or draw of pairs from --data.", 0
    )
    flags.DEFINE_integer(
        "num_pairs",
        None,
        f"Rendered pairs, by default {DEFAULT_PAIRS}, or pairs drawn from --data, by default as "
        "many as there are photos.",
        lower_bound=1,
    )
    flags.DEFINE_list("selectors", None, "Rows beside the model's own selection; by default all.")
    command_line.DEFINE_paths(
        "beside", None, "NAME=DIR,...: other swappers on the same rendered pairs, each a row."
    )
    flags.DEFINE_integer("batch_size", 20, "Pairs at a time.", lower_bound=1)
    flags.DEFINE_integer("num_pictures", 8, "Pairs that the report shows.", lower_bound=0)
    command_line.DEFINE_path("pairs", None, "CSV file, header source,target, of benchmark pairs.")
    command_line.DEFINE_path("data", None, "Or a directory tree of photos to draw pairs from.")
    flags.DEFINE_boolean("aligned", False, "Photos of pairs are face crops already.")
    finders = list(LANDMARK_SOURCES)
    flags.DEFINE_enum(
        "landmarks_from", None, finders, f"What finds faces; default {DEFAULT_SOURCE}"
    )
    command_line.DEFINE_path("landmarks_path", None, "Landmark file, or the detector's model.")
    flags.DEFINE_enum("protocol", None, PROTOCOLS, f"How to measure; by default {DEFAULT_PROTOCOL}")
    for role, kinds in ROLES.items():
        text = f"Model directory of kind {' or '.join(kinds)}; without it {UNMEASURED[role]}."
        if role == "identity":
            text += " With rendered pairs, a second judge that knows identities alone."
        command_line.DEFINE_path(flag(role).removeprefix("--"), None, text)
    command_line.DEFINE_path("fid_reference", None, "Folder that FID compares with, not targets.")
    command_line.DEFINE_path("before", None, "Output of an earlier evaluation to compare with.")
    distributed.define_flags("Measure")
    flags.adopt_module_key_flags(distributed)


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)


if __name__ == "__main__":
    cli()
