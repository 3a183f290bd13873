"""Rules that stand at the fields of a configuration: what a value must be, and how to say it."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any


@dataclasses.dataclass(frozen=True)
class Rule:
    """What the value of a field must be.

    Attributes:
        holds: whether a value of the right type is right.
        expected: the same in words, after "expected" in an error.
    """

    holds: Callable[[Any], bool]
    expected: str


def at_least(least: int, meaning: str = "") -> Rule:
    """A number not below ``least``; ``meaning`` says what ``least`` itself means."""
    note = f" ({meaning})" if meaning else ""
    return Rule(lambda value: value >= least, f"{least}{note} or more")


def _is_share(value: float) -> bool:
    return 0 <= value <= 1


POSITIVE = Rule(lambda value: value > 0, "a number above 0")
SHARE = Rule(_is_share, "a share from 0 to 1")
SHARES = Rule(lambda values: all(map(_is_share, values)), "shares from 0 to 1")
BELOW_ONE = Rule(lambda value: 0 <= value < 1, "a number from 0 to below 1")
WIDTHS = Rule(lambda widths: len(widths) > 0 and min(widths) > 0, "one or more positive widths")
FOUR_COUNTS = Rule(lambda n: len(n) == 4 and min(n) > 0, "four positive numbers")
WEIGHTS = Rule(lambda weights: all(w >= 0 for w in weights.values()), "weights of 0 or more")
IMAGE_SIDE = Rule(
    lambda side: 16 <= side <= 1024 and side & (side - 1) == 0, "a power of two from 16 to 1024"
)


def checked(default: Any, rule: Rule) -> Any:
    """A field of a dataclass with its default and the rule that its value must obey."""
    return dataclasses.field(default=default, metadata={"rule": rule})


def checked_mapping(rule: Rule) -> Any:
    """A field whose default is an empty mapping, with the rule that its value must obey."""
    return dataclasses.field(default_factory=dict, metadata={"rule": rule})


def field_faults(values: Any, prefix: str = "") -> Iterator[str]:
    """Every value of a dataclass, and of those within it, that breaks the rule of its field.

    Args:
        values: the dataclass.
        prefix: put before the name of a field in a fault.
    """
    for field in dataclasses.fields(values):
        value, rule = getattr(values, field.name), field.metadata.get("rule")
        if dataclasses.is_dataclass(value):
            yield from field_faults(value, f"{prefix}{field.name}.")
        elif rule is not None and not rule.holds(value):
            yield f"{prefix}{field.name} is {value!r}; expected {rule.expected}"
