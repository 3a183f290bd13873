"""Whether something can be written where a flag says, before hours are spent on what it is."""

import os
from pathlib import Path

from alrl_jax.errors import UserError
from alrl_jax.utils.addresses import address_of


def check_folder(path: str | Path, called: str = "--output") -> Path:
    """A directory that can be made, or that can be written into; nothing is made yet.

    Args:
        path: of the directory.
        called: the flag that named it.

    Raises:
        UserError: it is something else, or its place cannot be written.
    """
    return _checked(Path(path), called, "a directory", folder=True)


def check_file(path: str | Path, called: str = "--output") -> Path:
    """A file that can be written, or replaced; see ``check_folder``."""
    return _checked(Path(path), called, "a file", folder=False)


def _checked(path: Path, called: str, expected: str, folder: bool) -> Path:
    reason = _reason(path, folder)
    if reason is not None:
        raise UserError(
            f"got {called}={path} ({reason}); expected {expected} that can be written; choose "
            "another"
        )
    return path


def _reason(path: Path, folder: bool) -> str | None:
    """Why it cannot be written; None where nothing speaks against it."""
    if address_of(path) is not None:
        return None  # the first that is written there finds out
    try:
        if path.exists() and path.is_dir() != folder:
            return "it is " + ("no directory" if folder else "a directory")
        place = path if folder else path.parent
        while not place.exists():
            if place.is_symlink():
                return f"{place} is a link that leads nowhere"
            place = place.parent
        if not place.is_dir():
            return f"{place} is no directory"
        if not os.access(place, os.W_OK | os.X_OK):
            return f"{place} cannot be written"
    except (OSError, ValueError) as error:  # a loop of links, a name that is too long
        return getattr(error, "strerror", None) or str(error)
    return None
