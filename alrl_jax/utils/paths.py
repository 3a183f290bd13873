"""Paths as people write them: ``~`` is their home, and an address of a bucket is no local path."""

import os
import re

from alrl_jax.errors import UserError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def local_path(text: str) -> str:
    """A path of this machine, with ``~`` or ``~USER`` at its start replaced by the home directory.

    Args:
        text: as a flag, a config or a file holds it; names such as ``embedded/NAME`` stay.

    Raises:
        UserError: an address with a scheme, such as ``gs://bucket/folder``; or ``~`` where the home
            directory is not known.
    """
    if _ADDRESS.match(text):
        raise UserError(
            f"got {text!r}, which is an address of a bucket; this version reads and writes local "
            "paths; name one"
        )
    path = os.path.expanduser(text)
    if path == "~" or path.startswith("~/"):
        raise UserError(
            f"got {text!r} without a home directory; expected $HOME to be set; write the whole path"
        )
    return path
