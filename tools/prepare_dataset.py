"""Writes a data set into shards that training reads fast.

    python -m tools.prepare_dataset --source=synthetic --output=DIR --num_identities=1000
    python -m tools.prepare_dataset --source=PHOTOS --output=DIR --resolution=256

Training reads it back with --config.data.source=prepared --config.data.path=DIR. A run that was
stopped goes on where it was when it is started again.
"""

from pathlib import Path

import numpy as np
from absl import flags

from alrl_jax.command_line import run
from alrl_jax.data.folder import IDENTITIES, FolderSource, folder_plan
from alrl_jax.data.shards import Plan, ShardSource, prepare, progress_bar
from alrl_jax.data.synthetic_faces import synthetic_plan
from alrl_jax.errors import UserError

_SOURCE = flags.DEFINE_string(
    "source", None, "A directory tree of photographs, or the word synthetic.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Directory to write; new, or unfinished.", required=True
)
_RESOLUTION = flags.DEFINE_integer("resolution", 64, "Side of the square images, in pixels.")
_NUM_IDENTITIES = flags.DEFINE_integer("num_identities", 4000, "Synthetic people.")
_IMAGES_PER_IDENTITY = flags.DEFINE_integer("images_per_identity", 6, "Pictures of each of them.")
_SPLIT = flags.DEFINE_string("split", "train", "Part of the synthetic key space.")
_SEED = flags.DEFINE_integer("seed", 0, "Number of the synthetic world.")
_IDENTITIES = flags.DEFINE_enum(
    "identities", "image", IDENTITIES, "Who is a person: every photograph, or every sub-folder."
)

VERIFY_ROWS = 256


def main(argv: list[str]) -> int:
    """Prepares, reads everything back and says what there is."""
    del argv
    if _RESOLUTION.value < 16:
        raise UserError(f"got --resolution={_RESOLUTION.value}; expected at least 16; raise it")
    source = prepare(Path(_OUTPUT.value).expanduser(), _plan())
    _verify(source)
    for name, reason in source.report:
        print(f"skipped {name}: {reason}".encode("utf-8", "backslashreplace").decode())
    people = len(np.unique(source.identities))
    print(
        f"{len(source)} images of {people} people at {source.layout.resolution} pixels in "
        f"{_OUTPUT.value}, all of them read back; {len(source.report)} files skipped"
    )
    return 0


def _plan() -> Plan:
    """What the flags ask for."""
    if _SOURCE.value == "synthetic":
        return synthetic_plan(
            _RESOLUTION.value,
            _NUM_IDENTITIES.value,
            _IMAGES_PER_IDENTITY.value,
            _SPLIT.value,
            _SEED.value,
        )
    directory = Path(_SOURCE.value).expanduser()
    return folder_plan(FolderSource(directory, _RESOLUTION.value, _IDENTITIES.value))


def _verify(source: ShardSource) -> None:
    """Reads every record and compares the persons with the table.

    Raises:
        UserError: a record is damaged.
    """
    with progress_bar(len(source), "reading back") as bar:
        for start in range(0, len(source), VERIFY_ROWS):
            rows = np.arange(start, min(start + VERIFY_ROWS, len(source)))
            if not np.array_equal(source.read(rows)["identity"], source.identities[rows]):
                raise UserError(
                    f"got records {rows[0]} to {rows[-1]} of {_OUTPUT.value} that do not fit its "
                    "table of people; expected what was written; delete the directory"
                )
            bar.update(len(rows))


if __name__ == "__main__":
    run(main)
