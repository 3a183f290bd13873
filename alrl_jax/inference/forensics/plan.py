"""What every item of a forensics set is: drawn by its number and the seed, and by nothing else."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alrl_jax.errors import UserError
from alrl_jax.inference.forensics.processing import COMPRESSIONS, Processing
from alrl_jax.photos.paste import BLENDS, PasteOptions

SPLITS: Mapping[str, float] = {"train": 0.7, "validation": 0.15, "test": 0.15}
"""Shares of the people; no person is in two of them."""
METHODS = ("swap", "reenactment", "attribute")
ATTRIBUTES = ("expression", "light")
"""Groups that an item of method ``attribute`` takes from its source, one of them."""
FEATHERS = (0.0, 0.15)
DETAILS = (0.0, 0.5, 1.0)
WINDOWS = {"photos": (0.75, 1.3), "crops": (0.75, 1.0)}
"""Side of what an item shows, over the side of a face's crop: of photos, and of face crops."""
SHIFT = 0.05
"""By which that may be off the crop's middle, of its side."""
_PEOPLE = 0
"""Stands for the draw of splits where items have their numbers."""


@dataclasses.dataclass(frozen=True)
class Item:
    """A fake with its real counterpart.

    Attributes:
        number: from 0.
        split: of ``SPLITS``.
        method: of ``METHODS``.
        group: attribute group that comes from the source; "" of other methods.
        source: person and picture that give what is new.
        target: person and picture that get it; the picture is the real counterpart.
        paste: how the face is brought back.
        processing: what both pictures then go through.
        fake_first: whether the fake has the first of the item's two names.
    """

    number: int
    split: str
    method: str
    group: str
    source: tuple[str, str]
    target: tuple[str, str]
    paste: PasteOptions
    processing: Processing
    fake_first: bool

    def asked(self) -> dict[str, Any]:
        """What the swapper is asked for, as fields of ``Settings``."""
        if self.method == "swap":
            return {}
        if self.method == "reenactment":
            return {"pose_from": "source", "identity_from": "target"}
        return {"identity_from": "target", "groups": {self.group: "source"}}


@dataclasses.dataclass(frozen=True)
class Choices:
    """What a set draws from.

    Attributes:
        seed: of all draws.
        methods: some of ``METHODS``.
        groups: attribute groups that the model can take from either face.
        compressions: some of ``processing.COMPRESSIONS``.
        size: side of the pictures in px.
        aligned: whether the photos are face crops.
    """

    seed: int
    methods: tuple[str, ...]
    groups: tuple[str, ...]
    compressions: tuple[str, ...]
    size: int
    aligned: bool


def split_people(people: Sequence[str], seed: int) -> dict[str, list[str]]:
    """People by split, in an order that the seed draws.

    Raises:
        UserError: a split would have fewer than two people.
    """
    order = np.random.default_rng([seed, _PEOPLE]).permutation(len(people))
    ends = np.rint(np.cumsum(list(SPLITS.values())) * len(people)).astype(int)
    starts = [0, *ends[:-1]]
    found = {
        name: sorted(people[int(i)] for i in order[start:end])
        for name, start, end in zip(SPLITS, starts, ends, strict=True)
    }
    few = [name for name, own in found.items() if len(own) < 2]
    if few:
        raise UserError(
            f"got {len(people)} people, of whom {', '.join(few)} would have fewer than two; "
            "expected a folder for each person, and at least 14 of them; add some"
        )
    return found


def draw_item(
    number: int,
    splits: Mapping[str, Sequence[str]],
    pictures: Mapping[str, Sequence[str]],
    choices: Choices,
) -> Item:
    """The item of a number.

    Args:
        number: from 0.
        splits: people by split.
        pictures: of every person.
        choices: what is drawn from.
    """
    rng = np.random.default_rng([choices.seed, 1, number])
    split = str(rng.choice(list(SPLITS), p=list(SPLITS.values())))
    people = splits[split]
    target, source = (people[int(i)] for i in rng.choice(len(people), 2, replace=False))
    photos = [(p, str(rng.choice(list(pictures[p])))) for p in (source, target)]
    method = str(rng.choice(choices.methods))
    group = str(rng.choice(choices.groups)) if method == "attribute" else ""
    paste = PasteOptions(
        str(rng.choice(list(BLENDS))),
        bool(rng.integers(2)),
        round(float(rng.uniform(*FEATHERS)), 3),
        float(rng.choice(DETAILS)),
    )
    window = rng.uniform(*WINDOWS["crops" if choices.aligned else "photos"])
    shift = rng.uniform(-SHIFT, SHIFT, 2)
    processing = Processing(
        round(float(window), 3),
        (round(float(shift[0]), 3), round(float(shift[1]), 3)),
        choices.size,
        str(rng.choice(choices.compressions)),
    )
    first = bool(rng.integers(2))
    return Item(number, split, method, group, photos[0], photos[1], paste, processing, first)


def check_choices(
    methods: Sequence[str], compressions: Sequence[str], groups: Sequence[str]
) -> tuple[str, ...]:
    """The attribute groups that items take from their source, of those that the model knows.

    Raises:
        UserError: a method or compression is unknown, or the model takes no attribute group.
    """
    for flag, given, known in (
        ("methods", methods, METHODS),
        ("compressions", compressions, tuple(COMPRESSIONS)),
    ):
        if not given or set(given) - set(known) or len(set(given)) < len(given):
            raise UserError(
                f"got --{flag}={','.join(given)}; expected some of {','.join(known)}; choose"
            )
    chosen = tuple(name for name in ATTRIBUTES if name in groups)
    if "attribute" in methods and not chosen:
        raise UserError(
            f"got --methods={','.join(methods)} with a model that takes none of "
            f"{', '.join(ATTRIBUTES)} from either face; expected one that does; leave out attribute"
        )
    return chosen
