"""Whether all processes of a run see one work directory: else each would save a part of a state."""

import secrets
import zlib
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from alrl_jax.errors import UserError
from alrl_jax.storage.checkpoint import wait_for_all

FILE = ".meeting"


def check_one_disk(workdir: Path) -> None:
    """Process 0 writes a word that all others have to read.

    Args:
        workdir: of the run; exists.

    Raises:
        UserError: naming the processes that do not see it, in all of them.
    """
    if jax.process_count() == 1:
        return
    path = workdir / FILE
    if jax.process_index() == 0:
        path.write_text(secrets.token_hex(16), encoding="utf-8")
    wait_for_all("a word is written")
    try:
        found = path.read_bytes()
    except OSError:
        found = b""
    words = np.ravel(multihost_utils.process_allgather(np.uint32(zlib.crc32(found))))
    others = [str(i) for i, word in enumerate(words) if word != words[0]]
    if jax.process_index() == 0:
        path.unlink(missing_ok=True)
    if others:
        raise UserError(
            f"got --workdir={workdir}, which is another directory for the processes "
            f"{', '.join(others)} than for process 0; expected a disk that all of them see; name a "
            "directory on one"
        )
