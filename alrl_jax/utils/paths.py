"""Paths as people write them: ``~`` is their home, and an address of a bucket is no local path."""

import os
from pathlib import Path

from alrl_jax.errors import UserError
from alrl_jax.utils.addresses import check_spelling, is_address, mirror


def local_path(text: str) -> str:
    """A path of this machine, with ``~`` or ``~USER`` at its start replaced by the home directory.

    Args:
        text: as a flag, a config or a file holds it; names such as ``embedded/NAME`` stay.

    Raises:
        UserError: an address with a scheme, such as ``gs://bucket/folder``, or what is nearly one;
            or ``~`` where the home directory is not known.
    """
    check_spelling(text)
    if is_address(text):
        raise UserError(
            f"got {text!r}, which is an address of a bucket; expected one of the local paths, as "
            "nothing else can stand here; name one"
        )
    path = os.path.expanduser(text)
    if path == "~" or path.startswith("~/"):
        raise UserError(
            f"got {text!r} without a home directory; expected $HOME to be set; write the whole path"
        )
    return path


def path_or_mirror(text: str, written: bool = False) -> str:
    """As ``local_path``, but of an address of a bucket its mirror; see ``addresses``.

    Args:
        text: see ``local_path``.
        written: whether the command writes there.
    """
    check_spelling(text)
    return str(mirror(text, written)) if is_address(text) else local_path(text)


def beside(path: Path, text: str) -> Path:
    """A path that a file holds: as it is written, relative to the file, or an address's mirror."""
    return path.parent / path_or_mirror(text)
