"""Text for a terminal or a log: one line, bounded, without control characters."""

import contextlib
import sys
from typing import Any

from alrl_jax.utils.addresses import shown

MOST_CHARACTERS = 500
"""Of a line about what went wrong."""
FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""How a cell begins that a spreadsheet computes; the last four are the wide forms of the first."""
_TAIL = 160
"""Characters of the end that a cut line keeps, where the remedy stands."""
_LEFT_OUT = " ... "


def one_line(text: str, most: int = MOST_CHARACTERS) -> str:
    """A text as one line of at most ``most`` characters, whatever it repeats of a file or a flag.

    Lines are joined by "; ". What a terminal would obey or could not show is escaped, and of a
    text that is too long the middle is left out.
    """
    # Cut first: escaping millions of characters would take seconds.
    text = _cut(shown(text), 4 * most)
    lines = (line.strip() for line in text.splitlines())
    return _cut(printable("; ".join(line for line in lines if line)), most)


def printable(text: str) -> str:
    """A text with all characters escaped that do not print, as those that a terminal obeys."""
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def say(text: str, stream: Any = None) -> None:
    """Prints a line, on standard output by default: bounded, and fit for the stream's encoding.

    Line breaks within it are escaped, as a file's name may hold some; see ``one_line``.

    A reader that went away, as ``head`` does, is no fault of what is printed.
    """
    stream = sys.stdout if stream is None else stream
    if stream is None:  # closed before the program began
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    line = _cut(printable(_cut(shown(text), 4 * MOST_CHARACTERS)), MOST_CHARACTERS)
    line = line.encode(encoding, "backslashreplace").decode(encoding)
    with contextlib.suppress(BrokenPipeError):
        print(line, file=stream, flush=True)


def no_formula(value: Any, before: str = "./") -> Any:
    """A cell of a table that no spreadsheet takes for a formula; numbers stay what they are.

    Args:
        value: of the cell; what is no text is left alone.
        before: what is put before a text that would be one. A path stays the same path.
    """
    if not isinstance(value, str) or not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return before + value
    return value


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return text[: most - _TAIL - len(_LEFT_OUT)] + _LEFT_OUT + text[-_TAIL:]


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
