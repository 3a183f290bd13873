"""Worlds as sources: rendered once into shards, then read."""

import ast
import dataclasses
import functools
import hashlib
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

from alrl_jax.data.records import Layout, to_uint8
from alrl_jax.data.request import DataRequest
from alrl_jax.data.shards import Plan
from alrl_jax.errors import UserError
from alrl_jax.worlds import WORLDS, CoveringWorld, RenderedFaces, World, primitives

DRAWS_ALIKE = {"e82d1992bdbde086": "e15a67cd2e824c23"}
"""Versions of the code that draws faces, by the earlier one whose pictures without covers they draw
bit for bit: what was prepared with that one is still good."""


def world_layout(resolution: int, world: World = primitives) -> Layout:
    """Fields of a world's records: everything is known."""
    return Layout(
        resolution,
        tuple(world.IDENTITY_FACTORS),
        tuple(world.ATTRIBUTE_FACTORS),
        tuple(world.LANDMARKS),
    )


def world_plan(request: DataRequest, world: World = primitives) -> Plan:
    """Plans ``images_per_identity`` pictures of each of ``num_identities`` people.

    Picture ``j`` of person ``i`` is record ``i * images_per_identity + j``; it shows person ``i``
    and the attributes of that record's number, both of the key ``split_key(split, seed)``. A share
    ``cover_share`` of the pictures has a cover, each its own, of the same key.

    Args:
        request: resolution, numbers, split and seed; ``source`` is the kind that a prepared data
            set is said to be of.
        world: who draws them.

    Raises:
        UserError: a count below 1, an unknown split, or covers of a world that has none.
    """
    counts = {name: getattr(request, name) for name in ("num_identities", "images_per_identity")}
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"got data.{name}={value}; expected at least 1; raise it")
    each = request.images_per_identity
    numbers = np.arange(request.num_identities * each, dtype=np.int32) // each
    world.split_key(request.split, request.seed)  # raises where there is no such split
    _check_covers(request, world)

    version = renderer_version(world)
    parameters = {
        "kind": request.source,
        "renderer_version": version if request.cover_share else DRAWS_ALIKE.get(version, version),
        "resolution": request.resolution,
        **counts,
        "split": request.split,
        "seed": request.seed,
        # Named only where there are covers, so that other pictures keep their place in the cache.
        **({"cover_share": request.cover_share} if request.cover_share else {}),
    }
    layout = world_layout(request.resolution, world)
    make = WorldMaker(request, world, numbers)
    name = next((name for name, other in WORLDS.items() if other is world), None)
    alone = name is not None and getattr(world, "ONE_CORE_A_FACE", False)
    # A face takes long there: small files, so that many processes share them and little is lost.
    plan = Plan(parameters, layout, numbers, make, progress=request.progress)
    if not alone:
        return plan
    workers = os.cpu_count() or 1
    return dataclasses.replace(plan, max_chunk_size=8, chunks_per_shard=8, workers=workers)


class WorldMaker:
    """Renders the records of a plan, here or, for a world of ``WORLDS``, in another process."""

    def __init__(self, request: DataRequest, world: World, numbers: np.ndarray) -> None:
        """Says what is to be rendered; ``numbers`` are the people of the records."""
        self._request, self._world, self._numbers = request, world, numbers

    @functools.cached_property
    def _drawn(self) -> tuple[Any, Any, Any]:
        """Everybody. Not before a picture is missing: most plans find theirs in the cache."""
        return population(self._request, self._world)

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Renders the records start..stop."""
        people, attributes, covers = self._drawn
        people = jax.tree.map(lambda x: x[self._numbers[start:stop]], people)
        attributes, covers = jax.tree.map(lambda x: x[start:stop], (attributes, covers))
        records = _render(people, attributes, covers, self._request.resolution, self._world)
        records["identity"] = self._numbers[start:stop]
        return records

    def part(self, start: int, stop: int) -> "_MakerElsewhere":
        """What renders these records in a process of its own."""
        del start, stop  # people are drawn there: keys take less room than structs
        name = next(name for name, other in WORLDS.items() if other is self._world)
        return _MakerElsewhere(self._request, name)


@dataclasses.dataclass(frozen=True)
class _MakerElsewhere:
    """A ``WorldMaker`` by names, which can be sent to another process."""

    request: DataRequest
    world: str

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Renders the records start..stop."""
        return _maker(self.request, self.world)(start, stop)


@functools.cache
def _maker(request: DataRequest, world: str) -> WorldMaker:
    """One for all shards of a process, on its CPU: an accelerator serves one process alone."""
    jax.config.update("jax_platforms", "cpu")
    each = request.images_per_identity
    numbers = np.arange(request.num_identities * each, dtype=np.int32) // each
    return WorldMaker(request, WORLDS[world], numbers)


def _check_covers(request: DataRequest, world: World) -> None:
    """UserError for a share of covers that cannot be had."""
    share = request.cover_share
    if not 0.0 <= share <= 1.0:
        raise UserError(f"got data.cover_share={share}; expected 0 to 1; correct it")
    if share and not isinstance(world, CoveringWorld):
        raise UserError(
            f"got data.cover_share={share} with data.source={request.source}, whose world draws no "
            "covers; expected 0; set it"
        )


def population(request: DataRequest, world: World = primitives) -> tuple[Any, Any, Any]:
    """The people of a plan, and attributes and covers of every record: structs of the world.

    Covers are None where no picture has one.
    """
    key = world.split_key(request.split, request.seed)
    people = world.sample_identities(key, request.num_identities)
    count = request.num_identities * request.images_per_identity
    covers = None
    if request.cover_share and isinstance(world, CoveringWorld):
        covers = world.sample_covers(key, count, request.cover_share)
    return people, world.sample_attributes(key, count), covers


def draw_faces(
    people: Any, attributes: Any, covers: Any, resolution: int, world: World
) -> RenderedFaces:
    """Renders faces, with their covers where these are not None."""
    if covers is not None and isinstance(world, CoveringWorld):
        return world.render(people, attributes, resolution, covers)
    return world.render(people, attributes, resolution)


def _render(people: Any, attributes: Any, covers: Any, resolution: int, world: World) -> np.ndarray:
    """Renders structured records ``[n]`` without the person numbers."""
    rendering = draw_faces(people, attributes, covers, resolution, world)
    records = world_layout(resolution, world).empty(len(rendering.image))
    records["image"] = to_uint8(np.asarray(rendering.image))
    records["parsing"] = rendering.parsing
    records["identity_factors"] = world.identity_vector(people)
    records["attribute_factors"] = world.attribute_vector(attributes)
    records["pose_degrees"] = rendering.pose_degrees
    records["landmarks"] = rendering.landmarks
    records["labelled"] = True
    return records


def renderer_version(world: World = primitives) -> str:
    """Names the code that draws the faces: pictures of older code are never taken for its own."""
    digest = hashlib.sha256()
    for path in sorted(Path(str(world.__file__)).parent.glob("*.py")):
        digest.update(code_alone(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


def code_alone(text: str) -> str:
    """Python code without its comments, layout and free-standing strings, as it draws the same."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for body in (value for _, value in ast.iter_fields(node) if isinstance(value, list)):
            body[:] = [statement for statement in body if not _is_prose(statement)]
    return ast.unparse(tree)


def _is_prose(node: object) -> bool:
    """Whether a statement is a string that stands there to be read."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
        return False
    return isinstance(node.value.value, str)
