"""What the losses that keep the target say of faces whose truth is known.

    python -m tools.bench.measure_target_losses [--pairs=96] [--resolution=64]

Each row is compared with the targets: ``true_swap`` (the source's person with the target's
attributes, which a swapper should draw), ``other_attributes`` (the target's person with the
source's) and ``source``. True masks are in the place of the parser's soft maps, true angles in that
of the pose net's. A loss serves where it is small for the true swap and large for the others.
Prints one JSON object.
"""

import json
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from absl import flags
from jaxtyping import Array, Float

from alrl_jax.training.losses import target
from alrl_jax.training.losses.face_parts import FaceParts, face_parts
from alrl_jax.utils import command_line
from alrl_jax.worlds import primitives

SPLIT, SEED = "train", 0
BATCH = 16
CERTAIN = 20.0
"""Logit of a pixel whose class is known."""


def measure(pairs: int, resolution: int) -> dict[str, dict[str, float]]:
    """Losses by row and name; see the head of this file.

    Args:
        pairs: number of people, each the target of the one before.
        resolution: side of the images in pixels.
    """
    key = primitives.split_key(SPLIT, SEED)
    people = primitives.sample_identities(key, pairs)
    looks = primitives.sample_attributes(key, pairs)
    other_people, other_looks = (_next(tree) for tree in (people, looks))
    truth = render(people, looks, resolution)
    rows = {
        "true_swap": (other_people, looks),
        "other_attributes": (people, other_looks),
        "source": (other_people, other_looks),
    }
    return {name: compare(render(who, how, resolution), truth) for name, (who, how) in rows.items()}


def compare(faces: primitives.Rendering, truth: primitives.Rendering) -> dict[str, float]:
    """The losses of faces whose targets are the truth."""
    keeps = jnp.ones((len(truth.image),), bool)
    read, wanted = parts_of(faces), parts_of(truth)
    found = {
        "pose": target.pose(faces.pose_degrees, truth.pose_degrees),
        "landmarks": target.landmarks(read, wanted, keeps),
        "expression": target.expression(read, wanted, keeps),
        "gaze": target.gaze(read, wanted, keeps),
        "light": target.light(faces.image, truth.image, _region(faces), _region(truth), keeps),
    }
    return {name: round(float(value), 3) for name, value in found.items()}


def parts_of(faces: primitives.Rendering) -> FaceParts:
    """Eyes, brows, nose and lips by the true masks."""
    maps = jax.nn.one_hot(faces.parsing, len(primitives.PARSING_LABELS))
    return face_parts(maps, faces.image)


def render(people: Any, looks: Any, resolution: int) -> primitives.Rendering:
    """Faces in batches, as many at once as memory bears."""
    count = len(jax.tree.leaves(people)[0])
    made = [
        primitives.render(_some(people, start), _some(looks, start), resolution)
        for start in range(0, count, BATCH)
    ]
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *made)


def _some(tree: Any, start: int) -> Any:
    return jax.tree.map(lambda x: x[start : start + BATCH], tree)


def _region(faces: primitives.Rendering) -> Float[Array, "b h w 1"]:
    inside = jnp.isin(faces.parsing, jnp.asarray(primitives.FACE_LABELS))
    return jnp.where(inside, CERTAIN, -CERTAIN)[..., None]


def _next(tree: Any) -> Any:
    return jax.tree.map(lambda x: jnp.roll(x, 1, axis=0), tree)


def main(_: list[str]) -> int:
    """Measures and prints."""
    values = flags.FLAGS
    found = measure(values.pairs, values.resolution)
    print(json.dumps({"pairs": values.pairs, "resolution": values.resolution, **found}))
    return 0


def cli() -> NoReturn:
    """Defines the flags and runs ``main``."""
    flags.DEFINE_integer("pairs", 96, "Number of pairs.", lower_bound=2)
    flags.DEFINE_integer("resolution", 64, "Side of the images in pixels.")
    command_line.run(main)


if __name__ == "__main__":
    cli()
