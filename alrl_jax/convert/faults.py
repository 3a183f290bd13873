"""What is wrong with a checkpoint, in words that fit into a message of one line."""

_SHOWN = 80
"""Characters of a file's text that a message repeats at most."""


class CheckpointError(ValueError):
    """The file is damaged, or holds something that a weight file does not need."""


def shown(value: object) -> str:
    """A name or a value out of a file, fit for a message of one line; of objects only the type."""
    plain = isinstance(value, str | int | float | None)
    text = str(value) if plain else f"a {type(value).__name__}"
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return text if text.isprintable() and text.isascii() else ascii(text)
