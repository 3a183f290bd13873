"""Sets of rendered pairs by name: the usual one, and one of faces that are hard to see.

In the set ``occlusion`` the right selection differs from pair to pair. Pair i is the pair i of the
usual set, but for what its reason (``REASONS``, in turn) changes: something covers the target, the
target wears glasses, a full fringe comes down over its brow, the source is seen in profile, or
harsh light falls on the target. What covers a target covers it in the true swap as well.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt

from alrl_jax.evaluation.benchmark import PairPlan, plan_pairs
from alrl_jax.worlds import primitives
from alrl_jax.worlds.primitives.sampling import ATTRIBUTE_TABLE, IDENTITY_TABLE

USUAL = "usual"
OCCLUSION = "occlusion"

_STREAM = 100
"""What is folded into the key of a split for what the set ``occlusion`` changes: the world's own
streams have low numbers."""

COVERING = ("board", "hand", "mask", "scarf", "lock", "microphone")
"""Kinds of covers of the reason ``cover``, each as likely as another."""


class Reason(NamedTuple):
    """What makes a pair hard.

    Attributes:
        meaning: in words, for readers of the result.
        face: whose attributes change, "source" or "target"; None where none do.
        ranges: where the attributes then lie, uniformly.
        signed: the attributes among them that have either sign.
        covers: kinds of covers of the target.
    """

    meaning: str
    face: str | None = None
    ranges: Mapping[str, tuple[float, float]] = {}
    signed: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()


REASONS = {
    "cover": Reason("one of " + ", ".join(COVERING) + " covers the target", covers=COVERING),
    "glasses": Reason("the target wears glasses, clear or dark", covers=("glasses",)),
    "fringe": Reason(
        "the target's fringe is at least 0.9 of its full length",
        face="target",
        ranges={"hair_fringe": (0.9, 1.0)},
    ),
    "profile": Reason(
        "the source is turned by at least 38 degrees of the world's 45",
        face="source",
        ranges={"yaw": (38.0, 45.0)},
        signed=("yaw",),
    ),
    "harsh_light": Reason(
        "bright light falls on the target from at least 62 degrees aside and at most 10 above",
        face="target",
        ranges={
            "light_azimuth": (62.0, 75.0),
            "light_elevation": (-5.0, 10.0),
            "light_intensity": (1.15, 1.3),
        },
        signed=("light_azimuth",),
    ),
}
"""Why a pair of the set ``occlusion`` is hard, by name; pair i has the reason i modulo their
number."""

NOTES = {
    "pair_set": "the usual pairs, each changed by one reason in turn; covers are the target's, in "
    "the true swap as well; sources and the gallery have none",
    "by_reason": "; ".join(f"{name}: {reason.meaning}" for name, reason in REASONS.items()),
}
"""How the set ``occlusion`` is made, for the protocol."""


def occlusion_pairs(split: str, seed: int, count: int) -> PairPlan:
    """Draws the parameters of ``count`` pairs of the set ``occlusion``; see ``plan_pairs``.

    Pair i is the same whatever the number of pairs.

    Raises:
        ValueError: the split is not one for evaluation.
    """
    plan = plan_pairs(split, seed, count)
    key = jax.random.fold_in(primitives.split_key(split, seed), _STREAM)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(count))
    draws = jax.vmap(lambda k: jax.random.bits(k, (8,)))(keys)  # integers: the same everywhere
    reasons = jnp.arange(count, dtype=jnp.int32) % len(REASONS)
    looks = {"source": plan.source_attributes, "target": plan.target_attributes}
    kinds = jnp.zeros(count, jnp.int32)
    for number, reason in enumerate(REASONS.values()):
        here = reasons == number
        if reason.face is not None:
            looks[reason.face] = _changed(looks[reason.face], reason, here, draws)
        if reason.covers:
            wanted = jnp.asarray([primitives.COVER_KINDS.index(name) for name in reason.covers])
            which = (draws[:, 0] % jnp.uint32(len(reason.covers))).astype(jnp.int32)
            kinds = jnp.where(here, wanted[which].astype(jnp.int32), kinds)
    return dataclasses.replace(
        plan,
        source_attributes=looks["source"],
        target_attributes=looks["target"],
        target_covers=primitives.covers_of_kind(key, kinds),
        reasons={name: reasons == number for number, name in enumerate(REASONS)},
    )


def _changed(
    look: primitives.Attributes,
    reason: Reason,
    here: Bool[Array, " n"],
    draws: UInt[Array, "n 8"],
) -> primitives.Attributes:
    """The attributes of a face where a reason holds, drawn again."""
    values = {}
    for place, (name, (low, high)) in enumerate(reason.ranges.items()):
        value = low + (high - low) * _share(draws[:, 1 + place])
        sign = jnp.where((draws[:, 7] & jnp.uint32(1)) == 1, 1.0, -1.0)
        value = sign * value if name in reason.signed else value
        values[name] = jnp.where(here, value, getattr(look, name))
    return dataclasses.replace(look, **values)


def _share(bits: UInt[Array, " n"]) -> Float[Array, " n"]:
    """Numbers from 0 to 1, of the upper 24 bits."""
    return (bits >> jnp.uint32(8)).astype(jnp.float32) * jnp.float32(2.0**-24)


HASHED_PAIRS = 500
"""Pairs that the hash of a set covers, whatever the number that is measured."""

OCCLUSION_SHA256 = {
    "development": "a6d95f5eb250eae973890782e359d373ae925ac8ce8fdbee314908e17178e01c",
    "test": "e074fcde621d1882aebb562638c08b00291e8e36935a78433bb35adf28da949f",
}
"""What ``occlusion_sha256`` gives for the seed 0, by split: the set that published figures mean."""


def occlusion_sha256(split: str, seed: int) -> str:
    """Hash of the parameters of the first ``HASHED_PAIRS`` pairs of the set ``occlusion``.

    Only integers and the tables of laws are hashed: keys, random bits, reasons and kinds of covers,
    of which all other parameters follow but for the rounding of their last bit, which may differ
    between machines.
    """
    plan, key = occlusion_pairs(split, seed, HASHED_PAIRS), primitives.split_key(split, seed)
    assert plan.target_covers is not None
    laws = [IDENTITY_TABLE, ATTRIBUTE_TABLE, primitives.COVERS, REASONS]
    digest = hashlib.sha256(json.dumps(laws, sort_keys=True).encode())
    streams = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(_STREAM + 1))
    bits = jax.vmap(lambda k: jax.random.bits(k, (4,)))(streams)
    made = (*plan.reasons.values(), plan.target_covers.kind)
    for numbers in (jax.random.key_data(key), bits, *made):
        digest.update(np.asarray(numbers).astype("<i8").tobytes())
    return digest.hexdigest()


class PairSet(NamedTuple):
    """A set of pairs.

    Attributes:
        plan: draws its first pairs of a split and seed.
        sha256: hash of its parameters by split and seed; None where the world's code says all.
        notes: how it is made, for the protocol.
    """

    plan: Callable[[str, int, int], PairPlan]
    sha256: Callable[[str, int], str] | None = None
    notes: Mapping[str, str] = {}


PAIR_SETS = {
    USUAL: PairSet(plan_pairs),
    OCCLUSION: PairSet(occlusion_pairs, occlusion_sha256, NOTES),
}
"""Sets by the name that ``--pair_set`` gives."""


def describe(name: str, split: str, seed: int) -> dict[str, Any]:
    """Fields of the protocol that say which pairs were measured."""
    sha256 = PAIR_SETS[name].sha256
    return {"pair_set": name, "pair_set_sha256": None if sha256 is None else sha256(split, seed)}


def named(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of an evaluation, which names its pairs though it be older than the names."""
    protocol = {"pair_set": USUAL} | metrics.get("protocol", {})
    return {**metrics, "protocol": protocol}
