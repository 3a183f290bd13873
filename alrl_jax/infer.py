"""Swaps faces in pictures.

python -m alrl_jax.infer --model=DIR --pairs=pairs.csv|--source=PATH --target=PATH --output=DIR

A PATH is a picture, a pattern in quotes ('people/*.jpg') or a directory; several on both sides are
paired by --pairing. Every pair gives ``NUMBER_SOURCE_to_TARGET.png`` of the target's size, and the
same name with ``.json``: settings, hashes, places of the faces. ``results.jsonl`` tells how every
pair went, a line as soon as it is done. Pairs that an earlier run with the same files, model and
settings finished are skipped. Use pictures of people who agreed. Outputs carry metadata and, from
256 px on, an invisible mark; ``--nomark`` omits it, as the sidecar tells. Exit status: 0 all done;
2 bad usage; 3 finished, some pairs failed.
"""

import collections
from pathlib import Path

from absl import flags
from tqdm import tqdm

from alrl_jax import command_line
from alrl_jax.data.pair_list import PAIRINGS, list_pairs
from alrl_jax.inference import command
from alrl_jax.inference.command import load_swapper
from alrl_jax.inference.outputs import RESULTS_FILE, make_output, output_name
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.stream import StreamResult, swap_stream
from alrl_jax.inference.swapping import Swapping

__all__ = [
    "Settings",
    "StreamResult",
    "Swapping",
    "load_swapper",
    "make_output",
    "output_name",
    "swap_stream",
]

SOME_FAILED = 3
STATUSES = ("done", "skipped", "failed")
TOLD = 20
"""Failures that are printed one by one; ``results.jsonl`` has them all."""
BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"


def main(argv: list[str]) -> int:
    """Swaps what the flags say; gives the exit status."""
    del argv
    values = flags.FLAGS
    listing = list_pairs(values.pairs, values.source, values.target, values.pairing)
    landmarks_path = None if values.landmarks_path is None else Path(values.landmarks_path)
    settings = command.read_settings(values, landmarks_path)
    model = load_swapper(values.model)
    output = Path(values.output)
    swapping = Swapping(model, settings, output, landmarks_path, listing.refused)
    make_output(values.output)
    counts: collections.Counter[str] = collections.Counter()
    failures = []
    results = swapping.run(listing.pairs, values.batch_size)
    for result in tqdm(
        results, "swap", len(listing.pairs), unit="image", bar_format=BAR, smoothing=0.1
    ):
        counts[result["status"]] += 1
        if result["status"] == "failed" and len(failures) < TOLD:
            failures.append(f"  pair {result['number']}: {result['reason']}")
    told = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    print(f"{told}: {output / RESULTS_FILE}")
    for line in failures:
        print(line.encode("ascii", "backslashreplace").decode())
    if counts["failed"] > len(failures):
        print(f"  and {counts['failed'] - len(failures)} more")
    return SOME_FAILED if counts["failed"] else 0


def define_flags() -> None:
    """Defines the flags of this command; not at import, as other commands have the same names."""
    command.define_flags()
    flags.adopt_module_key_flags(command)
    flags.DEFINE_string("pairs", None, "CSV file, header source,target; paths relative to it.")
    flags.DEFINE_string("source", None, "Picture, pattern or directory: the faces to put in.")
    flags.DEFINE_string("target", None, "Picture, pattern or directory to put them into.")
    flags.DEFINE_enum("pairing", "all", PAIRINGS, "Every source with every target, or in turn.")


def cli() -> None:
    """The console script."""
    define_flags()
    command_line.run(main)


if __name__ == "__main__":
    cli()
