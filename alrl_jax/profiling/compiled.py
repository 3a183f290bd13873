"""Reads from a compiled program what it costs: operations, bytes, and its slowest parts."""

import math
import re
from typing import Any

from alrl_jax.profiling.collectives import SIZES

COSTLY = ("fusion", "convolution", "dot", "custom-call", "copy", "transpose")
"""Kinds of operations that move or make arrays."""

_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.-]+) = (.*?) ([\w-]+)\((.*?)\)(?:,|$)")
_ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")
_NAME = re.compile(r"%([\w.-]+)")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_SOURCE = re.compile(r'op_name="([^"]*)"')
_CONVOLUTION = re.compile(r"= f32\[[\d,]*\]\S* convolution\(|= \(?f32\[.*__cudnn\$conv")
"""XLA's own, and those that are calls of cuDNN."""


def float32_convolutions(text: str) -> int:
    """How many convolutions of a program work in float32."""
    return sum(bool(_CONVOLUTION.search(line)) for line in text.splitlines())


def estimated_cycles(text: str) -> int | None:
    """Cycles that the compiler of TPUs expects a program to take; None of others' programs."""
    found = [int(cycles) for cycles in _CYCLES.findall(text)]
    return sum(found) if found else None


def costly_operations(text: str) -> list[dict[str, Any]]:
    """The operations of a program that run one after the other, those first that move most bytes.

    Args:
        text: of a compiled program, ``Compiled.as_text()``.

    Returns:
        ``name``, ``kind``, ``bytes`` read and written, ``cycles`` where the compiler estimates
        them, and ``source``, where in the model it comes from.
    """
    sizes: dict[str, int] = {}
    found = []
    for line in _entry(text):
        match = _INSTRUCTION.match(line)
        if match is None:
            continue
        name, result, kind, operands = match.groups()
        sizes[name] = sum(_bytes(*array) for array in _ARRAY.findall(result))
        if kind not in COSTLY:
            continue
        read = sum(sizes.get(operand, 0) for operand in _NAME.findall(operands))
        cycles, source = _CYCLES.search(line), _SOURCE.search(line)
        found.append(
            {
                "name": name,
                "kind": kind,
                "bytes": read + sizes[name],
                "cycles": int(cycles[1]) if cycles else None,
                "source": source[1] if source else "",
            }
        )
    return sorted(found, key=lambda each: -each["bytes"])


def _entry(text: str) -> list[str]:
    """Lines of a program's main computation."""
    lines = text.splitlines()
    begins = [i for i, line in enumerate(lines) if line.startswith("ENTRY")]
    if not begins:
        return []
    end = next((i for i in range(begins[0], len(lines)) if lines[i].startswith("}")), len(lines))
    return lines[begins[0] + 1 : end]


def _bytes(kind: str, shape: str) -> int:
    return SIZES.get(kind, 0) * math.prod(int(length) for length in shape.split(",") if length)
