"""Says what of the people in photos can still be found after they were de-identified.

    alrl audit --originals=DIR --results=DIR --output=DIR

``--results`` is what ``alrl infer --deidentify`` wrote (its ``results.jsonl`` says what belongs
together), or a directory of photos of the same names. All finders of faces that need no file look
at every picture before and after (``--finders``). A judge, who should not be a net that the model
was trained with (``--model`` lets that be checked), says who is found again and which attributes
are kept. ``audit.json`` has a record of every picture, ``index.html`` the figures and a contact
sheet; originals are on it with ``--show_originals`` alone, each behind a click. Exit status: 0; 2
bad usage; 3 a face is left as it was, or a picture could not be looked at.
"""

from pathlib import Path
from typing import Any, NoReturn

from absl import flags
from tqdm import tqdm

from alrl_jax.errors import UserError
from alrl_jax.evaluation.audit.auditing import Audit, list_pairs
from alrl_jax.evaluation.audit.figures import ASSUMED, PEOPLE
from alrl_jax.evaluation.audit.looking import CROP, Looked
from alrl_jax.evaluation.audit.page import page_of, thumbnail
from alrl_jax.evaluation.opening import describe_model, seen_in_training
from alrl_jax.loading import load, load_analyser
from alrl_jax.photos.finder.package import PACKAGE
from alrl_jax.photos.finder.views import DetectorOptions
from alrl_jax.photos.landmarks import DEFAULT_SOURCE, LANDMARK_SOURCES, FaceFinder
from alrl_jax.utils import command_line
from alrl_jax.utils.compilation_cache import keep_compiled_programs
from alrl_jax.utils.destinations import check_folder
from alrl_jax.utils.extras import is_installed
from alrl_jax.utils.files import json_text, write_files
from alrl_jax.utils.printing import say

LEFT = 3
"""Exit status where a face is left, or a picture could not be looked at."""
MODULES = {"blazeface": PACKAGE, "cascade": "skimage"}
"""Finders that need no file, and what each is installed with."""
RENDERED = (
    "The judge knows faces of a rendered world alone: of photographs its figures say little. Name "
    "a converted net with --identity_judge."
)


def main(argv: list[str]) -> int:
    """Audits what the flags say; gives the exit status."""
    del argv
    keep_compiled_programs()
    values = flags.FLAGS
    pairs = list_pairs(Path(values.originals), Path(values.results))
    output = check_folder(values.output)
    finders = _open_finders(values)
    judge = load_analyser(values.judge, "judge")
    identity = judge if values.identity_judge is None else _identity_judge(values.identity_judge)
    audit = Audit(finders, identity, judge, values.people)
    first: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for record, looked in tqdm(audit.run(pairs), "audit", len(pairs), unit="picture"):
        sheet = first if record["left"] or record["fault"] is not None else others
        if len(sheet) < values.num_shown:
            sheet.append(_shown(record, looked, values.show_originals))
    found = {"protocol": _protocol(values, identity, list(finders)), **audit.finish()}
    output.mkdir(parents=True, exist_ok=True)
    text = page_of(found, [*first, *others][: values.num_shown])
    files = {"audit.json": json_text(found), "index.html": text}
    write_files({output / name: content.encode() for name, content in files.items()})
    return _say(found, output)


def _shown(record: dict[str, Any], looked: Looked, originals: bool) -> dict[str, Any]:
    """A picture of the sheet."""
    pixels = {"result": looked.result, "original": looked.original if originals else None}
    faces = record["faces"]
    images = {n: None if image is None else thumbnail(image, faces) for n, image in pixels.items()}
    return {"record": record, **images}


def _say(found: dict[str, Any], output: Path) -> int:
    """Prints the counts; the exit status."""
    counts, again = found["counts"], found["reidentification"]
    say(
        f"{counts['before_in_shown']} faces in {counts['shown']} pictures that are shown: "
        f"{counts['replaced']} replaced, {counts['hidden']} hidden, {counts['left']} left; "
        f"{counts['faults']} faults: {output / 'index.html'}"
    )
    if again is not None and again["rank1"]["value"] is not None:
        low, high = again["rank1"]["ci95"]
        say(f"found again (rank 1): {again['rank1']['value']:.1%} ({low:.1%} to {high:.1%})")
    return LEFT if counts["left"] or counts["faults"] else 0


def _open_finders(values: Any) -> dict[str, FaceFinder]:
    """The finders that are named, or all that need no file.

    Raises:
        UserError: one is unknown, cannot be opened, or there is none.
    """
    named = values.finders or [name for name, module in MODULES.items() if is_installed(module)]
    unknown = sorted(set(named) - (set(LANDMARK_SOURCES) - {"file"}))
    if unknown or not named:
        raise UserError(
            f"got --finders={','.join(named)}; expected some of {', '.join(MODULES)}, mediapipe, "
            "yunet; choose"
        )
    path = None if values.landmarks_path is None else Path(values.landmarks_path)
    options = DetectorOptions(min_confidence=values.min_confidence)
    needs = {name for name in named if LANDMARK_SOURCES[name].file}
    return {
        name: FaceFinder(name, path if name in needs else None, CROP, options) for name in named
    }


def _identity_judge(directory: str) -> Any:
    """UserError for a model that embeds no identities."""
    model = load(directory)
    if model.kind not in ASSUMED:
        raise UserError(
            f"got --identity_judge={directory}, a model of kind {model.kind!r}; expected one of "
            f"{', '.join(ASSUMED)}; name another directory"
        )
    return model


def _protocol(values: Any, identity: Any, finders: list[str]) -> dict[str, Any]:
    """What the figures hang on."""
    directory = values.identity_judge or values.judge
    taught = None
    if values.model is not None:
        taught = seen_in_training(directory, identity, values.model, load(values.model))
    warnings = [RENDERED] if identity.kind == "judge" else []
    if finders == [DEFAULT_SOURCE]:
        warnings.append(f"Faces were looked for by {DEFAULT_SOURCE} alone, as swaps look for them.")
    if taught:
        warnings.append("The model was trained with this judge: who is found again says little.")
    return {
        "finders": finders,
        "min_confidence": values.min_confidence,
        "identity_judge": describe_model(directory, identity),
        "attributes_judge": values.judge,
        "judge_seen_in_training": taught,
        "people": values.people,
        "warnings": warnings,
    }


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path("originals", None, "Directory of photos.", required=True)
    command_line.DEFINE_path("results", None, "What was made of them.", required=True)
    command_line.DEFINE_path("output", None, "Directory of the audit.", required=True)
    flags.DEFINE_list("finders", [], "What looks for faces; by default all that need no file.")
    command_line.DEFINE_path("landmarks_path", None, "File of the finder that needs one.")
    flags.DEFINE_float(
        "min_confidence", 0.3, "Least confidence of blazeface: less than swaps ask for.", 0.01, 0.99
    )
    command_line.DEFINE_path("judge", "embedded/judge_64", "Who reads attributes and identities.")
    command_line.DEFINE_path("identity_judge", None, "Another who reads identities.")
    command_line.DEFINE_path("model", None, "The swapper, to see if the judge took part in it.")
    flags.DEFINE_enum(
        "people", "judge", PEOPLE, "Who is one person: the judge says, a folder, or every picture."
    )
    flags.DEFINE_boolean("show_originals", False, "Originals are on the page, behind a click.")
    flags.DEFINE_integer("num_shown", 200, "Pictures on the page.", lower_bound=0)


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)


if __name__ == "__main__":
    cli()
