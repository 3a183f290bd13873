"""The mesh of the average person, finer than its file, and what lies where on it.

All places are given on the average person, in decimetres (x to the viewer's right, y up, z towards
the viewer). They are carried along to every other person, as all share the mesh's topology.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from alrl_jax.worlds.humans import morphs, package_data
from alrl_jax.worlds.humans.casting import Caster
from alrl_jax.worlds.humans.package_data import PARTS
from alrl_jax.worlds.humans.textures import length

Points = Float[np.ndarray, "_ 3"]

CENTRE = np.array([0.0, 7.4, 0.45], np.float32)
"""The middle of the skull."""

EYES = np.array([0.0, 7.341, 1.22], np.float32)
"""Between the centres of the eyeballs: where every person's are put."""

SKULL_ROWS, SKULL_COLUMNS = 25, 48
"""Directions, from top to bottom and around, in which the skull's radius is known."""


class Subdivision(NamedTuple):
    """How fine values follow from coarse ones, as sums with weights in one flat list.

    Attributes:
        source: number of the coarse vertex of every term.
        weight: of every term.
        start: first term of every fine vertex.
    """

    source: Int[np.ndarray, " t"]
    weight: Float[np.ndarray, " t"]
    start: Int[np.ndarray, " f"]

    def __call__(self, values: Float[np.ndarray, "v k"]) -> Float[np.ndarray, "f k"]:
        """Values at the fine vertices."""
        columns = np.ascontiguousarray(values.T)
        terms = np.take(columns, self.source, axis=1) * self.weight
        return np.ascontiguousarray(np.add.reduceat(terms, self.start, axis=1).T)


class Anatomy(NamedTuple):
    """The mesh and its factors.

    Attributes:
        average: coarse vertices of the average person.
        subdivision: from the coarse to the fine mesh.
        triangles: of the fine mesh; the two of a quad follow each other.
        part: of every triangle, place in ``PARTS``.
        places: texture coordinates of the corners of every triangle.
        rest: fine vertices of the average person.
        forms: displacements that factors of form add for their positive side, ``[k, v * 3]``.
        anti_forms: likewise for their negative side.
        people: displacements of ``morphs.PEOPLE`` and then ``morphs.BODIES``.
        actions: displacements of facial actions by name.
        eyes: coarse vertices of the left and the right eyeball (of the viewer).
        masks: masks of the texture plane by name, 0 to 1.
    """

    average: Points
    subdivision: Subdivision
    triangles: Int[np.ndarray, "t 3"]
    part: Int[np.ndarray, " t"]
    places: Float[np.ndarray, "t 3 2"]
    rest: Points
    forms: Float[np.ndarray, "k n"]
    anti_forms: Float[np.ndarray, "k n"]
    people: Float[np.ndarray, "p n"]
    actions: dict[str, Points]
    eyes: tuple[Int[np.ndarray, " e"], Int[np.ndarray, " e"]]
    masks: dict[str, Float[np.ndarray, "s s"]]

    @property
    def quads(self) -> Int[np.ndarray, "q 4"]:
        """The quads of the fine mesh."""
        first, second = self.triangles[0::2], self.triangles[1::2]
        return np.concatenate([first, second[:, 2:]], axis=1)


Terms = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Fine vertices, the coarse ones that they are sums of, and weights."""


def _subdivide(
    quads: Int[np.ndarray, "q 4"], count: int
) -> tuple[Subdivision, Int[np.ndarray, "r 4"]]:
    """One step of Catmull and Clark: a vertex in every quad and edge, and the old ones moved."""
    ends = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], -1), axis=-1).reshape(-1, 2)
    edges, edge_of = np.unique(ends, axis=0, return_inverse=True)
    edge_of = edge_of.reshape(-1, 4)
    whole = np.bincount(edge_of.reshape(-1)) == 2
    faces = count + len(edges) + np.arange(len(quads))
    parts = [
        _terms(faces, quads, 0.25),
        _terms(count + np.arange(len(edges)), edges, np.where(whole, 0.25, 0.5)),
        _terms(
            count + edge_of.reshape(-1),
            np.repeat(quads, 4, axis=0),
            np.where(whole[edge_of.reshape(-1)], 1 / 16, 0.0),
        ),
        *_moved(quads, edges, whole, count),
    ]
    fine = np.stack(
        [
            np.stack([quads[:, c], count + edge_of[:, c], faces, count + edge_of[:, c - 1]], 1)
            for c in range(4)
        ],
        axis=1,
    ).reshape(-1, 4)
    return _summed(parts, count), fine.astype(np.int32)


def _terms(rows: np.ndarray, sources: np.ndarray, weight: "np.ndarray | float") -> Terms:
    """Terms of rows that are sums of several sources ``[n, k]`` with one weight each."""
    k = sources.shape[1]
    weights = np.broadcast_to(weight, rows.shape)
    return np.repeat(rows, k), sources.reshape(-1), np.repeat(weights, k)


def _moved(quads: np.ndarray, edges: np.ndarray, whole: np.ndarray, count: int) -> list[Terms]:
    """Terms of the new places of the old vertices; those on a rim stay on it."""
    n = np.bincount(quads.reshape(-1), minlength=count)
    rim = np.bincount(edges[~whole].reshape(-1), minlength=count)
    inside, on_rim = (rim == 0) & (n > 0), rim == 2
    square = np.where(inside, 1.0 / np.maximum(n, 1) ** 2, 0.0)
    itself = np.where(inside, 1 - 3 / np.maximum(n, 1), np.where(on_rim, 0.75, 1.0))
    every = np.arange(count)
    corners, tips = quads.reshape(-1), edges.reshape(-1)
    across = np.where(~whole[:, None] & on_rim[edges], 0.125, 0.0).reshape(-1)
    return [
        _terms(every, every[:, None], itself),
        _terms(corners, np.repeat(quads, 4, axis=0), 0.25 * square[corners]),
        _terms(tips, np.repeat(edges, 2, axis=0), square[tips]),
        _terms(tips, edges[:, ::-1].reshape(-1, 1), across),
    ]


def _summed(parts: list[Terms], count: int) -> Subdivision:
    """One list of terms, those of the same source added up."""
    row, source, weight = (np.concatenate(x) for x in zip(*parts, strict=True))
    keys, place = np.unique(row.astype(np.int64) * count + source, return_inverse=True)
    total = np.bincount(place.reshape(-1), weight)
    keys, total = keys[total != 0.0], total[total != 0.0]
    row, source = keys // count, keys % count
    start = np.flatnonzero(np.diff(row, prepend=-1))
    return Subdivision(source.astype(np.int32), total.astype(np.float32), start)


def _halves(quads: np.ndarray) -> np.ndarray:
    """The two triangles of every quad, one after the other."""
    return np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], axis=1).reshape(
        -1, 3, *quads.shape[2:]
    )


def _average(targets: dict[str, Points], vertices: Points) -> Points:
    """The mean of ancestries and sexes, young."""
    people = [name for name in morphs.PEOPLE if name.endswith("young")]
    bodies = [name for name in morphs.BODIES if "young" in name and "averageweight" in name]
    mean = sum((targets[name] / len(people) for name in people), vertices)
    return sum((targets[name] / len(bodies) for name in bodies), mean)


def _forms(targets: dict[str, Points], side: str, shape: tuple[int, ...]) -> np.ndarray:
    """Displacements of one side of all factors of form and asymmetries."""
    rows = []
    for morph in (*morphs.FORMS.values(), *morphs.ASYMMETRIES.values()):
        moved = sum((targets[name] for name in getattr(morph, side)), np.zeros(shape, np.float32))
        rows.append(morph.reach * moved.reshape(-1))
    return np.stack(rows)


def _make(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is kept in the cache, from the arrays of the package."""
    targets = dict(zip(arrays["names"].tolist(), arrays["targets"], strict=True))
    vertices, part = arrays["vertices"], arrays["part"]
    shown = ~np.isin(part, [PARTS.index(name) for name in ("l_eye", "r_eye")])
    subdivision, fine = _subdivide(arrays["quads"][shown], len(vertices))
    corners = arrays["coordinates"][arrays["places"][shown]]
    centre, middle = corners.mean(1), 0.5 * (corners + np.roll(corners, -1, axis=1))
    places = np.stack(
        [np.stack([corners[:, c], middle[:, c], centre, middle[:, c - 1]], 1) for c in range(4)], 1
    ).reshape(-1, 4, 2)
    average = _average(targets, vertices)
    eyes = [np.unique(arrays["quads"][part == PARTS.index(name)]) for name in ("r_eye", "l_eye")]
    people = [targets[name].reshape(-1) for name in (*morphs.PEOPLE, *morphs.BODIES)]
    actions = [name for name in targets if "/" not in name and "-" not in name]
    return {
        "average": average,
        **{f"subdivision_{name}": value for name, value in subdivision._asdict().items()},
        "triangles": _halves(fine),
        "part": np.repeat(part[shown], 8),
        "places": _halves(places),
        "rest": subdivision(average),
        "forms": _forms(targets, "more", vertices.shape),
        "anti_forms": _forms(targets, "less", vertices.shape),
        "people": np.stack(people),
        "action_names": np.asarray(actions),
        "actions": np.stack([targets[name] for name in actions]),
        "left_eye": eyes[0],
        "right_eye": eyes[1],
        "masks": arrays["masks"],
    }


@functools.cache
def anatomy() -> Anatomy:
    """Loads everything; the first time this takes some seconds.

    Raises:
        UserError: the package that it is built from is missing or is another one.
    """
    kept = package_data.kept(_make)
    masks = zip(package_data.MASKS, kept["masks"], strict=True)
    return Anatomy(
        subdivision=Subdivision(*(kept[f"subdivision_{name}"] for name in Subdivision._fields)),
        eyes=(kept["left_eye"], kept["right_eye"]),
        actions=dict(zip(kept["action_names"].tolist(), kept["actions"], strict=True)),
        masks={name: mask.astype(np.float32) / 255 for name, mask in masks},
        **{
            name: kept[name]
            for name in ("average", "triangles", "part", "places", "rest")
            + ("forms", "anti_forms", "people")
        },
    )


class Anchors(NamedTuple):
    """Places on the fine mesh that move with it: shares of the corners of triangles."""

    triangle: Int[np.ndarray, " n"]
    shares: Float[np.ndarray, "n 3"]

    def points(self, vertices: Points) -> Float[np.ndarray, "n 3"]:
        """Where they are on a person."""
        corners = vertices[anatomy().triangles[self.triangle]]
        return np.einsum("nij,ni->nj", corners, self.shares)


def _skin() -> Int[np.ndarray, " t"]:
    """Numbers of the triangles of the skin."""
    return np.flatnonzero(anatomy().part == PARTS.index("body"))


@functools.cache
def skin_vertices() -> np.ndarray:
    """Which fine vertices belong to the skin, ``[f]``."""
    whole = anatomy()
    found = np.zeros(len(whole.rest), bool)
    found[whole.triangles[_skin()]] = True
    return found


@functools.cache
def skull_anchors() -> Anchors:
    """Where rays towards the middle of the skull meet the head, row by row from the top."""
    whole, skin = anatomy(), _skin()
    polar = np.linspace(0.02, 0.98, SKULL_ROWS) * np.pi
    azimuth = np.arange(SKULL_COLUMNS) * (2 * np.pi / SKULL_COLUMNS)
    polar, azimuth = (x.reshape(-1) for x in np.meshgrid(polar, azimuth, indexing="ij"))
    out = np.stack(
        [np.sin(polar) * np.sin(azimuth), np.cos(polar), np.sin(polar) * np.cos(azimuth)], axis=1
    ).astype(np.float32)
    hits = Caster(whole.rest, whole.triangles[skin]).first(CENTRE + 6.0 * out, -out)
    return _anchors(skin, hits.triangle, hits.u, hits.v)


def _anchors(numbers: np.ndarray, triangle: np.ndarray, u: np.ndarray, v: np.ndarray) -> Anchors:
    assert (triangle >= 0).all()
    return Anchors(numbers[triangle], np.stack([1 - u - v, u, v], axis=1).astype(np.float32))


@functools.cache
def root_anchors(count: int) -> Anchors:
    """Where hair may grow: places spread evenly over the skin of head and upper neck."""
    whole, skin = anatomy(), _skin()
    corners = whole.rest[whole.triangles[skin]]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    middle = corners.mean(axis=1)
    inside = (middle[:, 1] > 6.2) & (np.linalg.norm(middle - CENTRE, axis=1) > 0.55)
    total = np.cumsum(np.where(inside, area, 0.0))
    random = np.random.default_rng(20)
    where = (np.arange(count) + random.uniform(size=count)) * (total[-1] / count)
    triangle = np.searchsorted(total, where)
    order = random.permutation(count)
    u, v = random.uniform(size=(2, count)).astype(np.float32)
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    return _anchors(skin, triangle[order], u, v)


def normals_of(vertices: Points, triangles: Int[np.ndarray, "t 3"]) -> Points:
    """Unit normals of the vertices: means of those of their triangles, by area."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    flat = np.cross(b - a, c - a)
    corners, count = triangles.reshape(-1), len(vertices)
    total = np.stack(
        [np.bincount(corners, np.repeat(flat[:, i], 3), count) for i in range(3)], axis=1
    ).astype(np.float32)
    return total / np.maximum(length(total)[:, None], 1e-12)
