"""Casting rays at triangles: the library Embree where there is a wheel of it."""

import importlib
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from alrl_jax.errors import UserError
from alrl_jax.worlds.humans.package_data import INSTALL

MISS = -1


class Hits(NamedTuple):
    """Where rays end.

    Attributes:
        triangle: number of the triangle, -1 where there is none.
        u: share of the triangle's second corner.
        v: share of its third corner.
        distance: along the ray, in lengths of its direction.
    """

    triangle: Int[np.ndarray, " n"]
    u: Float[np.ndarray, " n"]
    v: Float[np.ndarray, " n"]
    distance: Float[np.ndarray, " n"]


class Caster:
    """Triangles that rays can be cast at."""

    def __init__(
        self, vertices: Float[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"]
    ) -> None:
        """Builds the tree of the triangles.

        Raises:
            UserError: Embree is not installed.
        """
        scene, mesh = _embree()
        self._scene = scene.EmbreeScene()
        # The mesh keeps its own copy of the arrays; the scene keeps the mesh.
        self._mesh = mesh.TriangleMesh(
            self._scene,
            np.ascontiguousarray(vertices, np.float32),
            np.ascontiguousarray(triangles, np.int32),
        )

    def first(
        self, origins: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"]
    ) -> Hits:
        """The first triangle on every ray."""
        if not len(origins):
            none = np.zeros(0, np.float32)
            return Hits(np.zeros(0, np.int32), none, none, none)
        found = self._scene.run(_floats(origins), _floats(directions), output=1)
        return Hits(found["primID"], found["u"], found["v"], found["tfar"])

    def blocked(
        self, origins: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"]
    ) -> Bool[np.ndarray, " n"]:
        """Whether there is any triangle on a ray."""
        if not len(origins):
            return np.zeros(0, bool)
        found = self._scene.run(_floats(origins), _floats(directions), query="OCCLUDED")
        return found != MISS


def _floats(values: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    return np.ascontiguousarray(values, np.float32)


def _embree() -> tuple[Any, Any]:
    """The modules of the library."""
    try:
        return (
            importlib.import_module("embreex.rtcore_scene"),
            importlib.import_module("embreex.mesh_construction"),
        )
    except ImportError as error:
        raise UserError(
            f"got no package embreex ({error}); expected it, as the world humans casts its rays "
            f"with it; run `{INSTALL}`"
        ) from error
