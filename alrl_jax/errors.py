"""Errors that a user can correct."""


class UserError(ValueError):
    """A user's mistake in one line: the value, what was expected, and the remedy.

    Command lines print the message and end with exit status 2, without a traceback.
    """
