"""Filling a dataclass, and those within it, from nested mappings of plain values."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

Built = TypeVar("Built")


def build_dataclass(
    cls: type[Built], values: Mapping[str, Any], faults: list[str], prefix: str = ""
) -> Built:
    """Fills a dataclass from a mapping.

    Args:
        cls: the dataclass; a field that is left out keeps its default.
        values: by field; a mapping for a field that is a dataclass itself.
        faults: every unknown key and wrong type is added to it, one line each.
        prefix: put before the name of a field in a fault.
    """
    hints = typing.get_type_hints(cls)
    arguments = {}
    for key, value in values.items():
        name = prefix + key
        if key not in hints:
            close = difflib.get_close_matches(key, hints, n=1)
            hint = f"; did you mean {prefix}{close[0]}" if close else ""
            faults.append(f"{name} is not a field{hint}")
        elif dataclasses.is_dataclass(hints[key]) and isinstance(value, Mapping):
            arguments[key] = build_dataclass(
                typing.cast(type, hints[key]), value, faults, name + "."
            )
        else:
            known = len(faults)
            plain = _plain(value, hints[key], name, faults)
            if len(faults) == known:
                arguments[key] = plain
    return cls(**arguments)


def _plain(value: Any, hint: Any, name: str, faults: list[str]) -> Any:
    """A plain value of the type that a field has; an int passes as float, a list as tuple."""
    origin = typing.get_origin(hint) or hint
    if origin is types.UnionType:
        if value is None:
            return None
        origin = next(a for a in typing.get_args(hint) if a is not type(None))
    if origin is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_plain(x, typing.get_args(hint)[0], name, faults) for x in value)
    if origin is Mapping and isinstance(value, Mapping):
        inner = typing.get_args(hint)[1]
        return {key: _plain(x, inner, f"{name}.{key}", faults) for key, x in value.items()}
    if isinstance(value, origin) and not (origin is int and isinstance(value, bool)):
        return value
    faults.append(f"{name} is {value!r}; expected {getattr(origin, '__name__', origin)}")
    return value
