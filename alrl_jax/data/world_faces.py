"""The synthetic world as a source: rendered once into shards, then read."""

import ast
import functools
import hashlib
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array, Key

from alrl_jax.data.records import Layout, to_uint8
from alrl_jax.data.shards import Plan
from alrl_jax.errors import UserError
from alrl_jax.worlds import primitives


def synthetic_layout(resolution: int) -> Layout:
    """Fields of the synthetic world's records: everything is known."""
    return Layout(
        resolution,
        tuple(primitives.IDENTITY_FACTORS),
        tuple(primitives.ATTRIBUTE_FACTORS),
        tuple(primitives.LANDMARKS),
    )


def synthetic_plan(
    resolution: int, num_identities: int, images_per_identity: int, split: str, seed: int = 0
) -> Plan:
    """Plans ``images_per_identity`` pictures of each of ``num_identities`` people.

    Picture ``j`` of person ``i`` is record ``i * images_per_identity + j``; it shows person ``i``
    and the attributes of that record's number, both of the key ``split_key(split, seed)``.

    Raises:
        UserError: a count below 1 or an unknown split.
    """
    for name, value in (
        ("num_identities", num_identities),
        ("images_per_identity", images_per_identity),
    ):
        if value < 1:
            raise UserError(f"got data.{name}={value}; expected at least 1; raise it")
    numbers = np.arange(num_identities * images_per_identity, dtype=np.int32) // images_per_identity

    # Not before a picture is missing: most plans find theirs in the cache.
    key = primitives.split_key(split, seed)
    drawn = functools.cache(lambda: population(num_identities, images_per_identity, key))

    def make(start: int, stop: int) -> np.ndarray:
        """Renders the records start..stop."""
        people, attributes = drawn()
        records = _render(
            jax.tree.map(lambda x: x[numbers[start:stop]], people),
            jax.tree.map(lambda x: x[start:stop], attributes),
            resolution,
        )
        records["identity"] = numbers[start:stop]
        return records

    parameters = {
        "kind": "synthetic",
        "renderer_version": renderer_version(),
        "resolution": resolution,
        "num_identities": num_identities,
        "images_per_identity": images_per_identity,
        "split": split,
        "seed": seed,
    }
    return Plan(parameters, synthetic_layout(resolution), numbers, make)


def population(
    num_identities: int, images_per_identity: int, key: Key[Array, ""]
) -> tuple[primitives.Identities, primitives.Attributes]:
    """The people of a plan, and the attributes of every record; ``key`` is a ``split_key``."""
    people = primitives.sample_identities(key, num_identities)
    return people, primitives.sample_attributes(key, num_identities * images_per_identity)


def _render(
    people: primitives.Identities, attributes: primitives.Attributes, resolution: int
) -> np.ndarray:
    """Renders structured records ``[n]`` without the person numbers."""
    rendering = primitives.render(people, attributes, resolution)
    records = synthetic_layout(resolution).empty(len(rendering.image))
    records["image"] = to_uint8(np.asarray(rendering.image))
    records["parsing"] = rendering.parsing
    records["identity_factors"] = primitives.identity_vector(people)
    records["attribute_factors"] = primitives.attribute_vector(attributes)
    records["pose_degrees"] = rendering.pose_degrees
    records["landmarks"] = rendering.landmarks
    records["labelled"] = True
    return records


def renderer_version() -> str:
    """Names the code that draws the faces: pictures of older code are never taken for its own."""
    digest = hashlib.sha256()
    for path in sorted(Path(primitives.__file__).parent.glob("*.py")):
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
