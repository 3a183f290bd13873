"""Errors that a user can correct."""

import difflib
from collections.abc import Collection


class UserError(Exception):
    """A user's mistake in one line: the value, what was expected, and the remedy.

    It is a branch of its own, and no ``ValueError``: what catches the faults of a reader or of a
    library lets it pass.

    Command lines print the message and end with exit status 2, without a traceback.
    """


def did_you_mean(name: str, known: Collection[str]) -> str:
    """A suggestion for a name that is not known, to be put into an error; empty without one."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}; " if close else ""
