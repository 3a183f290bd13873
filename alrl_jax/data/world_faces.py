"""Worlds as sources: rendered once into shards, then read."""

import ast
import functools
import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from alrl_jax.data.records import Layout, to_uint8
from alrl_jax.data.request import DataRequest
from alrl_jax.data.shards import Plan
from alrl_jax.errors import UserError
from alrl_jax.worlds import World, primitives


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
    and the attributes of that record's number, both of the key ``split_key(split, seed)``.

    Args:
        request: resolution, numbers, split and seed; ``source`` is the kind that a prepared data
            set is said to be of.
        world: who draws them.

    Raises:
        UserError: a count below 1 or an unknown split.
    """
    counts = {name: getattr(request, name) for name in ("num_identities", "images_per_identity")}
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"got data.{name}={value}; expected at least 1; raise it")
    each = request.images_per_identity
    numbers = np.arange(request.num_identities * each, dtype=np.int32) // each
    world.split_key(request.split, request.seed)  # raises where there is no such split

    # Not before a picture is missing: most plans find theirs in the cache.
    drawn = functools.cache(lambda: population(request, world))

    def make(start: int, stop: int) -> np.ndarray:
        """Renders the records start..stop."""
        people, attributes = drawn()
        records = _render(
            jax.tree.map(lambda x: x[numbers[start:stop]], people),
            jax.tree.map(lambda x: x[start:stop], attributes),
            request.resolution,
            world,
        )
        records["identity"] = numbers[start:stop]
        return records

    parameters = {
        "kind": request.source,
        "renderer_version": renderer_version(world),
        "resolution": request.resolution,
        **counts,
        "split": request.split,
        "seed": request.seed,
    }
    layout = world_layout(request.resolution, world)
    return Plan(parameters, layout, numbers, make, progress=request.progress)


def population(request: DataRequest, world: World = primitives) -> tuple[Any, Any]:
    """The people of a plan, and the attributes of every record: structs of the world."""
    key = world.split_key(request.split, request.seed)
    people = world.sample_identities(key, request.num_identities)
    count = request.num_identities * request.images_per_identity
    return people, world.sample_attributes(key, count)


def _render(people: Any, attributes: Any, resolution: int, world: World) -> np.ndarray:
    """Renders structured records ``[n]`` without the person numbers."""
    rendering = world.render(people, attributes, resolution)
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
