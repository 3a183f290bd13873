"""Makes a data set that trains detectors of swapped faces.

    alrl make-dataset --model=DIR --faces=DIR|--world=humans|primitives --fakes=N --output=DIR

``--faces`` is a directory with a folder of photos for each person. No person is in two of the
splits train, validation and test. Every fake (a swap, a re-enactment, or one attribute group taken
from another face) has its real counterpart, which went through the same window, size and
compression; all of that is drawn by the seed and the item's number, and written down in
``manifest.csv`` with the masks. ``--marks`` puts mark and metadata on all pictures, or on none.
``--layouts`` adds what other loaders read. A run that was stopped goes on; several processes share
a set with ``--part=0/4`` to ``--part=3/4``: whoever ends last writes the manifests. The same flags
make the same set. Exit status: 0; 2 bad usage; 3 some items failed, as their records say.
"""

import datetime
import hashlib
from pathlib import Path
from typing import Any, NoReturn

from absl import flags
from tqdm import tqdm

from alrl_jax.errors import UserError
from alrl_jax.inference import command
from alrl_jax.inference.forensics.faces import RENDERED, Faces, Folders, Heads, described
from alrl_jax.inference.forensics.layouts import LAYOUTS, PARQUET_MISSING, rows_of
from alrl_jax.inference.forensics.making import MARKS, Maker, finished
from alrl_jax.inference.forensics.plan import METHODS, Choices, check_choices, split_people
from alrl_jax.inference.forensics.processing import COMPRESSIONS
from alrl_jax.inference.protocols import resolution_of
from alrl_jax.inference.settings import Settings
from alrl_jax.loading import load_swapper
from alrl_jax.photos.landmarks import DEFAULT_SOURCE, LANDMARK_SOURCES, default_source
from alrl_jax.utils import command_line, hashing
from alrl_jax.utils.compilation_cache import keep_compiled_programs
from alrl_jax.utils.destinations import check_folder
from alrl_jax.utils.extras import is_installed
from alrl_jax.utils.files import atomic_write, json_text
from alrl_jax.utils.opening import read_json
from alrl_jax.utils.printing import say
from alrl_jax.worlds import WORLDS

RECIPE_FILE = "dataset.json"
LEAST_MARKED = 256


def main(argv: list[str]) -> int:
    """Makes what the flags say; gives the exit status."""
    del argv
    keep_compiled_programs()
    values = flags.FLAGS
    part = _read_part(values.part)
    output = check_folder(values.output)
    _check(values)
    model = load_swapper(values.model)
    groups = check_choices(values.methods, values.compressions, model.attribute_groups)
    faces, aligned = _faces(values, output, resolution_of(model))
    pictures = faces.pictures()
    splits = split_people(sorted(pictures), values.seed)
    methods, compressions = tuple(values.methods), tuple(values.compressions)
    choices = Choices(values.seed, methods, groups, compressions, values.size, aligned)
    landmarks = None if values.landmarks_path is None else Path(values.landmarks_path)
    settings = Settings(
        aligned=aligned,
        landmarks_from=values.landmarks_from or (DEFAULT_SOURCE if aligned else default_source()),
    )
    model_sha256 = hashing.variables_sha256(model.variables)
    recipe = {
        "model": {"kind": model.kind, "sha256": model_sha256},
        "people": described(faces, pictures),
        "splits": splits,
        "pictures_sha256": _sha256(json_text(pictures)),
        "seed": values.seed,
        "methods": list(methods),
        "groups": list(groups),
        "compressions": list(compressions),
        "size": values.size,
        "aligned": aligned,
        "landmarks_from": None if aligned else settings.landmarks_from,
        "landmarks_sha256": None if landmarks is None else hashing.file_sha256(landmarks),
        "marks": values.marks,
    }
    recipe, day = _kept(output, recipe)
    sha256 = _sha256(json_text(recipe))
    maker = Maker(
        *(model, settings, landmarks, faces, splits, pictures, choices, output),
        *(values.batch_size, day if values.marks == "all" else None, sha256),
    )
    numbers = range(part[0], values.fakes, part[1])
    failed = []
    for record in tqdm(maker.run(numbers), "make", len(numbers), unit="item"):
        failed += [record] if record["reason"] else []
    return _finish(output, values, sha256, failed)


def _finish(output: Path, values: Any, sha256: str, failed: list[dict[str, Any]]) -> int:
    """Writes the manifests once all items are there; the exit status."""
    records = []
    for number in range(values.fakes):
        record = finished(output, number, sha256)
        if record is None:
            say(f"this part is done; item {number} of another one is not there yet: {output}")
            break
        records.append(record)
    else:
        rows = rows_of(records)
        if not rows:
            raise UserError(
                f"got {values.fakes} items, of which none could be made (the first: "
                f"{records[0]['reason']}); expected photos of faces; correct --faces"
            )
        for name in ("csv", *values.layouts):
            LAYOUTS[name](output, rows)
        say(f"{len(rows)} pictures, half of them fake: {output / 'manifest.csv'}")
    for record in failed[: command.PRINTED_FAILURES]:
        say(f"  item {record['item']}: {record['reason']}")
    if failed:
        say(f"{len(failed)} items failed")
    return command.SOME_FAILED if failed else 0


def _kept(output: Path, recipe: dict[str, Any]) -> tuple[dict[str, Any], datetime.date]:
    """The recipe of the set, written where there is none, and the day of its marks.

    Raises:
        UserError: the directory has a set of another recipe, or cannot be written.
    """
    path = output / RECIPE_FILE
    today = datetime.datetime.now(datetime.UTC).date()
    try:
        output.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with atomic_write(path) as temporary:
                content = json_text({"day": today.isoformat(), **recipe})
                temporary.write_text(content, encoding="utf-8")
        known = read_json(path)
        day = datetime.date.fromisoformat(known.pop("day"))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(
            f"got {path} ({error}); expected what an earlier run wrote, or a directory that can be "
            "written; choose another --output"
        ) from error
    changed = [name for name, value in recipe.items() if known.get(name) != value]
    if changed:
        raise UserError(
            f"got --output={output} with a set of other {', '.join(changed)}; expected the same "
            "flags, photos and model, or another directory; choose one"
        )
    return recipe, day


def _check(values: Any) -> None:
    """UserError for flags that do not go together, before a model is opened."""
    if (values.faces is None) == (values.world is None):
        raise UserError(
            f"got --faces={values.faces} --world={values.world}; expected one of them; choose"
        )
    unknown = set(values.layouts) - set(LAYOUTS)
    if unknown:
        raise UserError(
            f"got --layouts={','.join(values.layouts)}; expected some of {','.join(LAYOUTS)}; "
            "choose"
        )
    if "parquet" in values.layouts and not is_installed("pyarrow"):
        raise UserError(PARQUET_MISSING)
    if {"c23", "c40"} & set(values.compressions) and not is_installed("av"):
        raise UserError(
            "got --compressions with c23 or c40 without the package av; expected it for H.264; do "
            "pip install 'alrl_jax[video]', or leave them out"
        )
    if values.size % 2 or (values.marks == "all" and values.size < LEAST_MARKED):
        raise UserError(
            f"got --size={values.size}; expected an even number, and at least {LEAST_MARKED} with "
            "--marks=all; correct it"
        )


def _read_part(text: str) -> tuple[int, int]:
    """Number of a part, and how many there are."""
    number, _, count = text.partition("/")
    digits = number.isascii() and number.isdigit() and count.isascii() and count.isdigit()
    if not digits or int(number) >= int(count):
        raise UserError(f"got --part={text}; expected NUMBER/COUNT, such as 0/4; correct it")
    return int(number), int(count)


def _faces(values: Any, output: Path, resolution: int) -> tuple[Faces, bool]:
    """The people, and whether their photos are face crops."""
    if values.faces is not None:
        return Folders(Path(values.faces)), values.aligned
    root = output / RENDERED
    people, images = values.people, values.images_per_person
    return Heads(root, values.world, people, images, values.seed, resolution), True


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path("model", None, "A swapper, or embedded/NAME.", required=True)
    command_line.DEFINE_path("output", None, "Directory of the set.", required=True)
    command_line.DEFINE_path("faces", None, "Directory with a folder of photos for each person.")
    flags.DEFINE_enum("world", None, list(WORLDS), "Rendered people, in place of --faces.")
    flags.DEFINE_integer("people", 100, "Rendered people.", lower_bound=14)
    flags.DEFINE_integer("images_per_person", 4, "Of rendered people.", lower_bound=1)
    flags.DEFINE_integer("fakes", 1000, "Items: each a fake and its counterpart.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Of splits, pairs and processing.", lower_bound=0)
    flags.DEFINE_list("methods", list(METHODS), "How fakes are made.")
    flags.DEFINE_list("compressions", list(COMPRESSIONS), "What pictures go through.")
    flags.DEFINE_integer("size", 256, "Side of the pictures in px.", lower_bound=32)
    flags.DEFINE_enum("marks", "none", MARKS, "Mark and metadata: on no picture, or on all.")
    flags.DEFINE_list("layouts", [], f"More layouts: {', '.join(LAYOUTS)}.")
    flags.DEFINE_boolean("aligned", False, "The photos of --faces are face crops.")
    finders = list(LANDMARK_SOURCES)
    flags.DEFINE_enum("landmarks_from", None, finders, f"What finds faces; {DEFAULT_SOURCE}.")
    command_line.DEFINE_path("landmarks_path", None, "Landmark file, or the detector's model.")
    flags.DEFINE_string("part", "0/1", "Which part of the items this process makes.")
    flags.DEFINE_integer("batch_size", 16, "Faces at a time.", lower_bound=1)


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)


if __name__ == "__main__":
    cli()
