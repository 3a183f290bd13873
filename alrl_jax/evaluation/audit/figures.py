"""Figures of an audit: who is found again, and what of the attributes is kept; with intervals.

The gallery is every face of the originals. A result is recognised where its nearest face of the
gallery is of its own person (rank 1), or where its cosine to its own original is above the
threshold at which 0.1% or 1% of the pairs of different people of the originals would pass (TAR).
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from alrl_jax.evaluation import judging
from alrl_jax.evaluation.statistics import bootstrap_interval, mean_or_none, wilson_interval
from alrl_jax.models.face_analyser import FaceFactors
from alrl_jax.worlds import primitives

FARS = {"0.1%": 0.001, "1%": 0.01}
"""Shares of pairs of strangers that pass, by their name."""
PEOPLE = ("judge", "folders", "pictures")
"""How it is known who is one person: the judge's own cosines, a folder for each, or a picture."""
ASSUMED = {"judge": 0.55, "identity": 0.55, "arcface": 0.4, "iresnet": 0.4}
"""Cosine from which two originals count as one person where the judge has to say it, by its kind.

Those of published nets are not measured.
"""
NOT_ENOUGH = "not measured: it takes at least {} pairs of different people, there are {}"

Embeddings = Float[np.ndarray, "n e"]


def same_person(
    people: str,
    folders: Sequence[str],
    pictures: Sequence[int],
    cosines: Float[np.ndarray, "n n"],
    least: float,
) -> Bool[np.ndarray, "n n"]:
    """Which faces of the originals are of one person.

    Args:
        people: of ``PEOPLE``.
        folders: of every face, the folder of its picture.
        pictures: of every face, the number of its picture.
        cosines: of the originals.
        least: cosine from which the judge says so.
    """
    one, other = np.array(pictures)[:, None], np.array(pictures)[None, :]
    itself = np.eye(len(pictures), dtype=bool)
    if people == "folders":
        return np.array(folders)[:, None] == np.array(folders)[None, :]
    if people == "pictures":
        return one == other
    return itself | ((cosines >= least) & (one != other))


def reidentified(
    before: Embeddings,
    after: Embeddings,
    has_result: Bool[np.ndarray, " n"],
    same: Bool[np.ndarray, "n n"],
) -> tuple[dict[str, Any], Bool[np.ndarray, " n"]]:
    """How many people are found again, and of every face whether it is (rank 1).

    Args:
        before: unit embeddings of the originals.
        after: of the results; any numbers where there is none.
        has_result: whether there is.
        same: see ``same_person``.
    """
    scores = after @ before.T
    own = np.where(same, scores, -np.inf).max(axis=1, initial=-np.inf)
    others = np.where(same, -np.inf, scores).max(axis=1, initial=-np.inf)
    found = (own > others) & has_result  # a tie finds nobody
    strangers = int((~same).sum()) // 2
    figures: dict[str, Any] = {
        "faces": int(has_result.sum()),
        "gallery": len(before),
        "pairs_of_strangers": strangers,
        "similarity": mean_or_none(np.diag(scores)[has_result]),
        "rank1": _share(found[has_result] if strangers else found[:0]),
        "rank1_by_chance": float(same[has_result].mean()) if has_result.any() else None,
    }
    impostors = (before @ before.T)[~same]
    for name, far in FARS.items():
        least = round(1 / far)
        if strangers < least:
            figures[f"tar_at_far_{name}"] = {"value": None, "ci95": None}
            figures[f"tar_at_far_{name}"]["reason"] = NOT_ENOUGH.format(least, strangers)
            continue
        threshold = float(np.quantile(impostors, 1 - far, method="higher"))
        share = _share(np.diag(scores)[has_result] > threshold)
        figures[f"tar_at_far_{name}"] = share | {"threshold": threshold}
    return figures, found


def _share(hits: Bool[np.ndarray, " n"]) -> dict[str, Any]:
    """A share with its interval; None where nothing was measured."""
    if not len(hits):
        return {"value": None, "ci95": None}
    return {"value": float(hits.mean()), "ci95": wilson_interval(int(hits.sum()), len(hits))}


def attributes_kept(
    before: FaceFactors, after: FaceFactors, replaced: Bool[np.ndarray, " n"]
) -> dict[str, Any]:
    """How far attributes of replaced faces moved, as a judge reads them.

    Args:
        before: what it reads in the originals.
        after: what it reads in the results, at the same places.
        replaced: the faces that count.

    Returns:
        By name the mean error (pose in degrees, others in standard deviations of the judge's
        world), its interval, and ``strangers``: the error between one original and the next.
    """
    pairs = {"error": _errors(after, before), "strangers": _errors(_next(before), before)}
    found = {}
    for name, values in pairs["error"].items():
        own = values[replaced]
        found[name] = {
            "value": mean_or_none(own),
            "ci95": bootstrap_interval(own) if len(own) else None,
            "strangers": mean_or_none(pairs["strangers"][name]) if len(values) > 1 else None,
        }
    return found


def _errors(a: FaceFactors, b: FaceFactors) -> dict[str, Float[np.ndarray, " n"]]:
    names, groups = primitives.ATTRIBUTE_FACTORS, primitives.ATTRIBUTE_GROUPS
    errors = judging.group_errors(a.attribute_vector, b.attribute_vector, names, groups)
    errors.pop("skin_error")
    pose = judging.pose_errors(a.pose_degrees, b.pose_degrees)
    return {"pose_error_degrees": pose, **errors}


def _next(factors: FaceFactors) -> FaceFactors:
    """The factors of the next face for each, of the first for the last."""
    return jax.tree.map(lambda values: jnp.roll(values, -1, axis=0), factors)


def joined(parts: Sequence[FaceFactors]) -> FaceFactors:
    """Factors of batches, as those of one."""
    return jax.tree.map(lambda *values: jnp.concatenate(values), *parts)
