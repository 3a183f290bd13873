"""The mesh of one person in one pose: form, expression, gaze and the turn of the head."""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from alrl_jax.worlds.humans import morphs
from alrl_jax.worlds.humans.anatomy import EYES, Points, anatomy, normals_of
from alrl_jax.worlds.humans.expressions import unit_weights
from alrl_jax.worlds.humans.package_data import PARTS
from alrl_jax.worlds.humans.sampling import Attributes, Identities

PIVOT = np.array([0.0, 6.75, 0.35], np.float32)
"""Where the head turns: the upper end of the spine."""

GAZE_FULL = 30.0
"""Turn of the eyes, in degrees, at which the lids follow all the way."""

IRIS = 0.46
"""Radius of the iris, share of the eyeball's."""


class Eye(NamedTuple):
    """An eyeball: its centre, radius, and unit directions of its gaze, its side and its top."""

    centre: Float[np.ndarray, "3"]
    radius: float
    axes: Float[np.ndarray, "3 3"]


class Body(NamedTuple):
    """A person in a pose, in decimetres.

    Attributes:
        coarse: vertices of the coarse mesh as posed.
        vertices: of the fine mesh, as posed.
        normals: unit normals there.
        still: fine vertices of the person without expression and pose.
        eyes: the left and the right eye of the viewer.
        turn: yaw, pitch and roll of the head in radians.
    """

    coarse: Points
    vertices: Points
    normals: Points
    still: Points
    eyes: tuple[Eye, Eye]
    turn: Float[np.ndarray, "3"]


def rotation(turn: Float[np.ndarray, "... 3"]) -> Float[np.ndarray, "... 3 3"]:
    """Matrices of yaw (to the viewer's right), pitch (up) and roll (clockwise), in radians."""
    (sy, sp, sr), (cy, cp, cr) = (np.moveaxis(f(turn), -1, 0) for f in (np.sin, np.cos))
    one, zero = np.ones_like(sy), np.zeros_like(sy)
    stack = lambda *rows: np.stack([np.stack(row, -1) for row in rows], -2)  # noqa: E731
    yaw = stack((cy, zero, sy), (zero, one, zero), (-sy, zero, cy))
    pitch = stack((one, zero, zero), (zero, cp, sp), (zero, -sp, cp))
    roll = stack((cr, sr, zero), (-sr, cr, zero), (zero, zero, one))
    return (roll @ yaw @ pitch).astype(np.float32)


def follows(points: Points) -> Float[np.ndarray, " n"]:
    """How much points of the average person follow the head: chest 0, head 1."""
    height = points[:, 1] + 0.35 * (points[:, 2] - 0.3)
    share = np.clip((height - 5.6) / 0.95, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def posed(points: Points, share: Float[np.ndarray, " n"], turn: Float[np.ndarray, "3"]) -> Points:
    """Points turned about the neck, each by its share."""
    out = (points - PIVOT) @ rotation(turn).T + PIVOT
    out[share <= 0.0] = points[share <= 0.0]
    part = (share > 0.0) & (share < 1.0)
    matrices = rotation(share[part, None] * turn)
    out[part] = np.einsum("nij,nj->ni", matrices, points[part] - PIVOT) + PIVOT
    return out


def _people(person: Identities) -> Float[np.ndarray, " p"]:
    """Weights of ``morphs.PEOPLE`` and ``morphs.BODIES``."""
    sex, age, weight = (float(getattr(person, name)) for name in ("sex", "age", "weight"))
    sexes, ages = {"female": 1 - sex, "male": sex}, {"young": 1 - age, "old": age}
    heavy = {
        "minweight": max(0.0, -weight),
        "averageweight": 1 - abs(weight),
        "maxweight": max(0.0, weight),
    }
    ancestry = dict(zip(morphs.ANCESTRIES, np.asarray(person.ancestry).tolist(), strict=True))
    people = [
        ancestry[a] * sexes[s] * ages[g]
        for a in morphs.ANCESTRIES
        for s in morphs.SEXES
        for g in morphs.AGES
    ]
    bodies = [
        sexes[s] * ages[g] * heavy[w]
        for s in morphs.SEXES
        for g in morphs.AGES
        for w in morphs.WEIGHTS
    ]
    return np.asarray(people + bodies, np.float32)


@functools.cache
def _base() -> Points:
    """The mesh of the file, which people at large are displacements of."""
    whole = anatomy()
    weights = [(n in _YOUNG) / 6 for n in morphs.PEOPLE] + [
        (n in _YOUNG) / 2 for n in morphs.BODIES
    ]
    moved = np.asarray(weights, np.float32) @ whole.people
    return whole.average - moved.reshape(-1, 3)


_YOUNG = {
    *(n for n in morphs.PEOPLE if n.endswith("young")),
    *(n for n in morphs.BODIES if "young" in n and "averageweight" in n),
}


def still_person(person: Identities) -> Points:
    """Coarse vertices of a person without expression, with the eyes in their place."""
    whole = anatomy()
    form = np.asarray(person.form, np.float32)
    moved = np.maximum(form, 0) @ whole.forms - np.minimum(form, 0) @ whole.anti_forms
    moved = moved + _people(person) @ whole.people
    vertices = _base() + moved.reshape(-1, 3)
    middle = np.mean([_ball(vertices, eye)[0] for eye in whole.eyes], axis=0)
    return vertices + (EYES - middle).astype(np.float32)


def _ball(vertices: Points, eye: np.ndarray) -> tuple[Float[np.ndarray, "3"], float]:
    """Centre and radius of an eyeball of the mesh."""
    points = vertices[eye]
    low, high = points.min(axis=0), points.max(axis=0)
    radius = 0.25 * float(high[0] - low[0] + high[1] - low[1])
    centre = 0.5 * (low + high)
    centre[2] = high[2] - radius
    return centre, radius


def _expression(look: Attributes) -> Points | float:
    """Displacements of the face by its actions, and of the lids by the gaze."""
    whole = anatomy()
    weights = unit_weights(np.asarray(look.actions), np.asarray(look.action_tilts))
    yaw, pitch = float(look.gaze_yaw) / GAZE_FULL, float(look.gaze_pitch) / GAZE_FULL
    ways = {
        "eyeLookUp": (pitch, pitch),
        "eyeLookDown": (-pitch, -pitch),
        "eyeLookOut": (yaw, -yaw),
        "eyeLookIn": (-yaw, yaw),
    }
    for unit, (left, right) in ways.items():
        weights[f"{unit}Left"], weights[f"{unit}Right"] = max(left, 0.0), max(right, 0.0)
    moved: Points | float = 0.0
    for unit, weight in weights.items():
        if weight > 1e-3:
            moved = moved + np.float32(weight) * whole.actions[unit]
    return moved


def _eye(centre: np.ndarray, radius: float, head: np.ndarray, gaze: np.ndarray) -> Eye:
    """The eyeball as posed; ``axes`` are rows: side, top, gaze."""
    axes = head @ rotation(gaze)
    return Eye(head @ (centre - PIVOT) + PIVOT, radius, np.ascontiguousarray(axes.T))


@functools.cache
def _clothes() -> Int[np.ndarray, " c"]:
    """Fine vertices of the clothes."""
    whole = anatomy()
    return np.unique(whole.triangles[whole.part == PARTS.index("tights")])


def body(person: Identities, look: Attributes) -> Body:
    """The mesh of one person with one look (fields without batch axis)."""
    whole = anatomy()
    still = still_person(person)
    turn = np.deg2rad([float(look.yaw), float(look.pitch), float(look.roll)]).astype(np.float32)
    coarse = posed(still + _expression(look), follows(whole.average), turn)
    vertices = whole.subdivision(coarse)
    clothes = _clothes()
    normals = normals_of(vertices, whole.triangles)
    vertices[clothes] += 0.06 * normals[clothes]
    gaze = np.deg2rad([float(look.gaze_yaw), float(look.gaze_pitch), 0.0]).astype(np.float32)
    head = rotation(turn)
    left, right = (_eye(*_ball(still, eye), head, gaze) for eye in whole.eyes)
    return Body(coarse, vertices, normals, whole.subdivision(still), (left, right), turn)
