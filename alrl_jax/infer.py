"""Swaps faces in photos.

alrl infer --model=DIR --pairs=pairs.csv|--source=PATH --target=PATH --output=DIR

A PATH is a photo, a pattern in quotes ('people/*.jpg') or a directory; several on both sides are
paired by --pairing. Every pair gives ``NUMBER_SOURCE_to_TARGET.png`` (or what --format says) of the
target's size, and the same name with ``.json``: settings, hashes, places of the faces.
``results.jsonl`` says how every pair went, a line as soon as it is done. Pairs that an earlier run
with the same files, model and settings finished are skipped. Several processes (``--distributed``,
or ``--coordinator_address`` and its companions) share the pairs. ``--masks`` adds ``masks/`` (which
pixels come from the generated face) and ``manifest.csv``. Use photos of people who agreed. Outputs
carry metadata and, from 256 px on, an invisible mark; ``--nomark`` omits it, as the sidecar says.
Exit status: 0 all done; 2 bad usage; 3 finished, some pairs failed, or with ``--strict`` are
doubtful: done, but with a reason in ``doubtful`` that speaks against it.
"""

import dataclasses
from pathlib import Path
from typing import NoReturn

from absl import flags
from tqdm import tqdm

from alrl_jax.errors import UserError
from alrl_jax.inference import command
from alrl_jax.inference.job import IDENTITY_NET
from alrl_jax.inference.outputs import RESULTS_FILE, make_output
from alrl_jax.inference.references import OF_WORLDS, USUAL, usual_similarity
from alrl_jax.inference.samples import SAMPLE, write_sample
from alrl_jax.inference.swapping import Swapping
from alrl_jax.loading import load_swapper
from alrl_jax.photos.pair_list import PAIRINGS, list_files, list_pairs
from alrl_jax.provenance.encoding import ENCODERS
from alrl_jax.training import distributed
from alrl_jax.utils import command_line, hashing
from alrl_jax.utils.compilation_cache import keep_compiled_programs
from alrl_jax.utils.destinations import check_folder
from alrl_jax.utils.parts import explain_lost
from alrl_jax.utils.printing import say


def main(argv: list[str]) -> int:
    """Swaps what the flags say; gives the exit status."""
    del argv
    values = flags.FLAGS
    share = distributed.share_by_flags(values)
    keep_compiled_programs()
    output = Path(values.output)
    landmarks_path = None if values.landmarks_path is None else Path(values.landmarks_path)
    settings = command.read_settings(values, landmarks_path)
    check_folder(values.output)
    if values.tune_generator and not values.optimise:
        raise UserError(
            f"got --tune_generator={values.tune_generator} without --optimise; expected the codes "
            "to be refined first; give --optimise=100"
        )
    people = [list_files("reference", named)[0] for named in values.reference]
    settings = dataclasses.replace(
        settings,
        masks=values.masks,
        format=values.format,
        references_sha256=tuple(tuple(map(hashing.file_sha256, files)) for files in people),
        average=values.average,
        optimise=values.optimise,
        tune_generator=values.tune_generator,
    )
    model = load_swapper(values.model)
    if people:
        least = values.reference_similarity
        least = usual_similarity(model) if least is None else least
        settings = dataclasses.replace(settings, reference_similarity=least)
    model.asked(**settings.asked())
    source = values.source
    if source is not None and source.startswith(SAMPLE):
        make_output(values.output)
        source = str(write_sample(model, source, output))
        settings = dataclasses.replace(settings, aligned_source=True)
    listing = list_pairs(
        values.pairs, source, values.target, values.pairing, output, values.average
    )
    swapping = Swapping(model, settings, output, landmarks_path, listing.refused, people)
    if people:
        print(
            f"faces of {len(people)} references are swapped: cosine at least "
            f"{settings.reference_similarity:g} by {IDENTITY_NET}"
        )
    make_output(values.output)
    results = swapping.run(listing.pairs, values.batch_size, share)
    total = len(range(share.index, len(listing.pairs), share.count))
    bar = tqdm(results, "swap", total, unit="image", bar_format=command.BAR)
    tally = command.Tally()
    for result in bar:
        tally.add(result, f"pair {result['number']}")
    if share.is_first and swapping.results.all is not None:
        tally = command.Tally()
        for result in swapping.results.all:
            tally.add(result, f"pair {result['number']}")
    if share.is_first:
        command.print_summary(tally.counts, tally.failures, output / RESULTS_FILE)
    if swapping.results.lost:
        say(explain_lost(swapping.results.lost))
        return command.SOME_FAILED
    return tally.status(values.strict)


def define_flags() -> None:
    """Defines the flags of this command; not at import, as other commands have the same names."""
    command.define_flags()
    flags.adopt_module_key_flags(command)
    command_line.DEFINE_path(
        "pairs", None, "CSV file, header source,target; paths relative to it.", bucket="read"
    )
    command_line.DEFINE_path(
        "source",
        None,
        "Photo, pattern or directory: the faces to put in; or sample:SEED, a face of a person "
        "who does not exist.",
        bucket="read",
    )
    command_line.DEFINE_path(
        "target", None, "Photo, pattern or directory to put them into.", bucket="read"
    )
    flags.DEFINE_multi_string(
        "reference",
        [],
        "Photo, or directory of photos, of a person whose face alone is swapped. Repeatable.",
    )
    flags.DEFINE_float(
        "reference_similarity",
        None,
        f"Cosine to a reference from which a face is it; {OF_WORLDS:g} of a model that was trained "
        f"in a world, else {USUAL:g}.",
        -1.0,
        1.0,
    )
    flags.DEFINE_boolean("average", False, "All sources show one person, whose mean goes in.")
    flags.DEFINE_enum("format", "png", list(ENCODERS), "Of the outputs.")
    flags.DEFINE_integer("optimise", 0, "Steps that refine the codes of every pair.", 0)
    flags.DEFINE_integer(
        "tune_generator",
        0,
        "Steps that then tune the generator to every pair.",
        0,
    )
    flags.DEFINE_boolean("masks", False, "Write the masks and a manifest, to train detectors with.")
    flags.DEFINE_enum("pairing", "all", PAIRINGS, "Every source with every target, or in turn.")
    distributed.define_flags("Swap")
    flags.adopt_module_key_flags(distributed)


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)


if __name__ == "__main__":
    cli()
