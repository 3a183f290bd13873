"""Writes a data set into shards that training reads fast.

    alrl prepare-dataset --source=PHOTOS --output=DIR --resolution=256
    alrl prepare-dataset --source=ffhq.zip --output=DIR --resolution=256 --split=train
    alrl prepare-dataset --source=CelebAMask-HQ --output=DIR --resolution=256
    alrl prepare-dataset --source=PHOTOS --output=DIR --resolution=256 --parser=models/parser
    alrl prepare-dataset --source=synthetic --output=DIR --num_identities=1000
    alrl prepare-dataset --source=humans --output=DIR --num_identities=1000 --resolution=128

Training reads it back with --config.data.source=prepared --config.data.path=DIR. A run that was
stopped goes on where it was when it is started again. Of photographs, DIR/report.json lists what
was left out and why, DIR/records.csv says which file every record is and what is known about it.
"""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from absl import flags

from alrl_jax.data.folder import PERSON_PER
from alrl_jax.data.prepare import photo_records
from alrl_jax.data.prepare.layouts import Album, Wish
from alrl_jax.data.prepare.parsed_records import parsed_plan
from alrl_jax.data.request import DataRequest
from alrl_jax.data.shard_files import progress_bar
from alrl_jax.data.shards import Plan, ShardSource, help_prepare, prepare
from alrl_jax.data.sources import SOURCES
from alrl_jax.data.world_faces import world_plan
from alrl_jax.errors import UserError
from alrl_jax.photos.file_trees import open_tree
from alrl_jax.training import distributed
from alrl_jax.utils import buckets, command_line
from alrl_jax.utils.addresses import address_of
from alrl_jax.utils.files import atomic_write, write_json
from alrl_jax.utils.parts import Share
from alrl_jax.utils.printing import no_formula, say
from alrl_jax.worlds import WORLDS

AUTO = "auto"
RENDERED = {name: kind.world for name, kind in SOURCES.items() if kind.world is not None}
"""Worlds by the source that draws on them."""
OWN_FLAGS = {
    True: ("num_identities", "images_per_identity", "cover_share", "seed"),
    False: ("layout", "limit", "expect_count", "identities", "identity_file", "workers", "parser"),
}
"""Flags that say something about worlds alone, or about photographs alone."""
VERIFY_BYTES = 2**24
"""Read at once when all is read back: memory does not grow with the photos."""
PRINTED = 20
"""Faults that are printed; the report has them all."""


def main(argv: list[str]) -> int:
    """Prepares, reads everything back and says what there is."""
    del argv
    values = flags.FLAGS
    _check_flags()
    output = Path(values.output)
    share = distributed.share_by_flags(values)
    if values.source in RENDERED:
        plan = _rendered(values.source)
        if not share.is_first:
            return _help(output, plan, share)
        source = prepare(output, plan, share)
        _verify(source)
        _say_result(source, len(source))
    else:
        return _prepare_photos(buckets.pull(Path(values.source)), output, share)
    return 0


def _help(output: Path, plan: Plan, share: Share) -> int:
    """Does a share of the work that the first process puts together; gives the exit status."""
    say(f"process {share.index}: {help_prepare(output, plan, share)} files written")
    return 0


def _check_flags() -> None:
    """UserError for values that cannot be, and for flags that would be ignored."""
    values = flags.FLAGS
    least = {"resolution": 16, "limit": 1, "expect_count": 1, "workers": 1}
    for name, bound in least.items():
        value = getattr(values, name)
        if value is not None and value < bound:
            raise UserError(f"got --{name}={value}; expected at least {bound}; raise it")
    rendered = values.source in RENDERED
    for name in OWN_FLAGS[not rendered]:
        if values[name].present:
            raise UserError(
                f"got --{name} with --source={values.source}; expected it of "
                f"{'photographs' if rendered else 'a world (' + ', '.join(RENDERED) + ')'} alone; "
                "leave it out"
            )


def _rendered(name: str) -> Plan:
    """What the flags ask of a world."""
    values = flags.FLAGS
    request = DataRequest(
        name,
        None,
        values.resolution,
        values.num_identities,
        values.images_per_identity,
        split=values.split or "train",
        seed=values.seed,
        cover_share=values.cover_share,
    )
    return world_plan(request, WORLDS[RENDERED[name]])


def _prepare_photos(path: Path, output: Path, share: Share) -> int:
    """Prepares photographs and the tables about them; gives the exit status.

    Raises:
        UserError: there are not as many as expected.
    """
    values, tree = flags.FLAGS, open_tree(path)
    identity_file = Path(values.identity_file) if values.identity_file else None
    wish = Wish(path.resolve(), values.split or "all", values.identities, identity_file)
    layout = photo_records.recognise(tree, wish) if values.layout == AUTO else values.layout
    _check_layout_flags(layout)
    album = photo_records.LAYOUTS[layout](tree, wish)
    _say_found(layout, album, wish)
    plan = photo_records.photo_plan(
        layout, album, values.resolution, wish, values.limit, values.workers or os.cpu_count() or 1
    )
    _expect_count(len(plan.identities), "found")
    if values.parser:
        plan = parsed_plan(plan, values.parser)
    if not share.is_first:
        return _help(output, plan, share)
    source = prepare(output, plan, share)
    labelled = _verify(source)
    left_out = _left_out(source, album, len(plan.identities))
    _write_records(output / "records.csv", source, album, left_out, labelled)
    write_json(
        output / "report.json",
        {
            "source": address_of(path) or str(path),
            "layout": layout,
            "split": wish.split,
            "resolution": source.layout.resolution,
            "expected": album.expected,
            "found": len(album.photos),
            "missing": list(album.missing),
            "limit": values.limit,
            "records": len(source),
            "labelled": int(labelled.sum()),
            "parser": source.parameters.get("parser"),
            "people": len(np.unique(source.identities)),
            "notes": list(album.notes),
            "skipped": [{"file": name, "reason": reason} for name, reason in source.report],
        },
    )
    _say_result(source, int(labelled.sum()))
    _expect_count(len(source), f"that can be read (see {output / 'report.json'})")
    return 0


def _check_layout_flags(layout: str) -> None:
    """UserError for flags that mean nothing in a layout."""
    own = {"identities": "folder", "identity_file": "celebamask"}
    for name, home in own.items():
        if flags.FLAGS[name].present and layout != home:
            raise UserError(
                f"got --{name} for layout {layout}; expected it with {home} alone; leave it out, "
                f"or set --layout={home}"
            )


def _expect_count(count: int, which: str) -> None:
    """UserError for another number than --expect_count."""
    expected = flags.FLAGS.expect_count
    if expected not in (None, count):
        raise UserError(
            f"got {count} photographs {which}; expected {expected} (--expect_count); "
            "restore what is missing, or expect another number"
        )


def _left_out(source: ShardSource, album: Album, found: int) -> set[str]:
    """Names of the photographs that have no record.

    Raises:
        UserError: records and photographs do not add up.
    """
    names = {photo.file.name for photo in album.photos[:found]}
    left_out = {name for name, _ in source.report if name in names}
    if len(source) + len(left_out) != found:
        raise UserError(
            f"got {len(source)} records and {len(left_out)} unreadable files of {found} in "
            f"{source.directory}; expected them to add up; delete the directory"
        )
    return left_out


def _verify(source: ShardSource) -> np.ndarray:
    """Reads every record, compares the people with the table; returns which are labelled, ``[n]``.

    Raises:
        UserError: a record is damaged.
    """
    labelled = np.zeros(len(source), bool)
    many = max(1, VERIFY_BYTES // source.layout.dtype.itemsize)
    with progress_bar(len(source), "reading back") as bar:
        for start in range(0, len(source), many):
            numbers = np.arange(start, min(start + many, len(source)))
            records = source.read(numbers)
            if not np.array_equal(records["identity"], source.identities[numbers]):
                raise UserError(
                    f"got records {numbers[0]} to {numbers[-1]} of {flags.FLAGS.output} that do "
                    "not fit its table of people; expected what was written; delete the directory"
                )
            labelled[numbers] = records["labelled"]
            bar.update(len(numbers))
    return labelled


def _write_records(
    path: Path, source: ShardSource, album: Album, left_out: set[str], labelled: np.ndarray
) -> None:
    """Writes a line a record: which file it is, and what is known about it."""

    def rows() -> Iterator[list[Any]]:
        kept = (p for p, photo in enumerate(album.photos) if photo.file.name not in left_out)
        for record, place in zip(range(len(source)), kept, strict=False):  # up to --limit
            name, person = album.photos[place].file.name, source.identities[record]
            known = [no_formula(cell, "'") for cell in album.row(place)]
            yield [record, no_formula(name), person, int(labelled[record]), *known]

    with (
        atomic_write(path, durable=True) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        table = csv.writer(file)
        columns = [no_formula(name, "'") for name in album.columns]
        table.writerow(["record", "file", "identity", "labelled", *columns])
        table.writerows(rows())


def _say_found(layout: str, album: Album, wish: Wish) -> None:
    """Prints what was recognised, and what is not there."""
    whole = "" if album.expected is None else f" of {album.expected}"
    say(f"layout {layout}, split {wish.split}: {len(album.photos)}{whole} images in {wish.source}")
    if album.expected not in (None, len(album.photos)):
        which = ", ".join(album.missing[:5]) + (", ..." if len(album.missing) > 5 else "")
        say("not the whole data set" + (f": {which} missing" if which else ""))
    for note in album.notes:
        say(note)


def _say_result(source: ShardSource, labelled: int) -> None:
    """Prints what was left out and what there is."""
    for name, reason in source.report[:PRINTED]:
        say(f"skipped {name}: {reason}")
    if len(source.report) > PRINTED:
        say(f"... and {len(source.report) - PRINTED} more: see report.json")
    people = len(np.unique(source.identities))
    say(
        f"{len(source)} images of {people} people at {source.layout.resolution} pixels in "
        f"{flags.FLAGS.output}, all of them read back, {labelled} of them labelled; "
        f"{len(source.report)} files skipped"
    )


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path(
        "source",
        None,
        "A directory tree or a zip of photographs, or a world: " + ", ".join(RENDERED) + ".",
        required=True,
        bucket="read",
    )
    command_line.DEFINE_path(
        "output", None, "Directory to write; new, or unfinished.", required=True, bucket="written"
    )
    flags.DEFINE_integer("resolution", 64, "Side of the square images, in pixels.")
    flags.DEFINE_enum(
        "layout",
        AUTO,
        (AUTO, *photo_records.LAYOUTS),
        "What lies where; auto recognises it by the names.",
    )
    flags.DEFINE_string(
        "split",
        None,
        "Part of the data set: all (default), train or test of FFHQ (the first 60,000, the last "
        "10,000); all (default), train, validation or test of CelebAMask-HQ (CelebA's parts); part "
        "of the synthetic key space (default train).",
    )
    flags.DEFINE_integer("limit", None, "Takes that many photographs, the first ones.")
    flags.DEFINE_integer(
        "expect_count",
        None,
        "Refuses any other number of photographs, unreadable ones not counted.",
    )
    flags.DEFINE_enum(
        "identities",
        "image",
        PERSON_PER,
        "What shows a person of its own: every photo, or every sub-folder.",
    )
    command_line.DEFINE_path(
        "identity_file",
        None,
        "CelebA's identity_CelebA.txt, where it does not lie in the source.",
    )
    command_line.DEFINE_path(
        "parser",
        None,
        "Directory of a converted face parser, which gives masks to photographs that have none.",
    )
    flags.DEFINE_integer("workers", None, "Processes; by default one a core.")
    flags.DEFINE_integer("num_identities", 4000, "People of a world.")
    flags.DEFINE_integer("images_per_identity", 6, "Photos of each of them.")
    flags.DEFINE_float("cover_share", 0.0, "Share of a world's images with a covered face.", 0, 1)
    flags.DEFINE_integer("seed", 0, "Number of the world.")
    distributed.define_flags("Prepare")
    flags.adopt_module_key_flags(distributed)


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
