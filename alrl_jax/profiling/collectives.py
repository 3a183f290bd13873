"""Reads from a compiled program how much its devices tell each other."""

import math
import re

SIZES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "f64": 8}
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")

_OPERATION = re.compile(rf"= (.*?) ({'|'.join(KINDS)})(-start)?\(")
_ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")


def collective_bytes(text: str) -> dict[str, dict[str, int]]:
    """What the collectives of a program result in.

    Args:
        text: of a compiled program, ``Compiled.as_text()``; one that is run again in a loop counts
            once.

    Returns:
        For every kind that occurs, ``operations`` and ``bytes`` of their results on one device.

    Raises:
        KeyError: an array of a type that ``SIZES`` does not know.
    """
    found: dict[str, dict[str, int]] = {}
    for line in text.splitlines():
        match = _OPERATION.search(line)
        if match is None:
            continue
        arrays = _ARRAY.findall(match[1])
        # What begins and is waited for elsewhere lists its operands before its results.
        arrays = arrays[len(arrays) // 2 :] if match[3] and match[2] != "all-reduce" else arrays
        entry = found.setdefault(match[2], {"operations": 0, "bytes": 0})
        entry["operations"] += 1
        entry["bytes"] += sum(_size(kind, shape) for kind, shape in arrays)
    return found


def _size(kind: str, shape: str) -> int:
    return SIZES[kind] * math.prod(int(length) for length in shape.split(",") if length)
