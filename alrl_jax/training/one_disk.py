"""Whether all processes of a run see one work directory: else each would save a part of a state."""

import secrets
import zlib
from pathlib import Path

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from alrl_jax.errors import UserError
from alrl_jax.storage.checkpoint import wait_for_all
from alrl_jax.utils import buckets
from alrl_jax.utils.addresses import address_of
from alrl_jax.utils.files import remove, write_text

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
        write_text(path, secrets.token_hex(16))
    wait_for_all("a word is written")
    try:
        found = buckets.read_bytes(path) if address_of(path) else path.read_bytes()
    except (OSError, UserError) as error:
        logging.warning("%s cannot be read: %s", path, error)
        found = b""
    words = np.ravel(multihost_utils.process_allgather(np.uint32(zlib.crc32(found))))
    others = [str(i) for i, word in enumerate(words) if word != words[0]]
    if jax.process_index() == 0:
        remove(path)
    if others:
        raise UserError(
            f"got --workdir={workdir}, which is another directory for the processes "
            f"{', '.join(others)} than for process 0; expected a disk or a bucket that all of them "
            "see; name a directory on one"
        )
