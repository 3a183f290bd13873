"""How well an analyser reads each factor of a face: R2 on faces that it has never seen.

    python -m tools.bench.measure_factors --model=embedded/identity_64 [--people=2000]

R2 is the share of a factor's variance that the analyser explains: 1 reads it exactly, 0 no better
than its mean. Every person is rendered once. Prints one JSON object with the R2 of every factor of
the identity and of the attributes, the mean error of the pose in degrees and of the landmarks in
pixels, and under ``brows`` what there is to be read: brows stand where ``brow_height``, which is
identity, and ``brow_raise``, an attribute, put them together. ``place`` is the R2 with which the
analyser reads that sum, ``raise_by_place`` the R2 of ``brow_raise`` where the sum is known exactly
and nothing else is.
"""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import jax
import numpy as np
from absl import flags
from jaxtyping import Float

from alrl_jax.loading import AnalyserModel, load_analyser
from alrl_jax.utils import command_line
from alrl_jax.worlds import primitives
from alrl_jax.worlds.primitives import sampling

BATCH = 50
BROWS = {"brow_height": 0.185, "brow_raise": 0.075}
"""How far the factors move the brows (``worlds/primitives/scene.py``)."""
BINS = 40
"""Parts of the range of a place within which what it tells is the mean of the people there."""


def explained(true: Float[np.ndarray, "n k"], read: Float[np.ndarray, "n k"]) -> list[float]:
    """Share of the variance of every column that is read."""
    left = np.mean(np.square(read - true), axis=0) / np.var(true, axis=0)
    return [round(float(x), 3) for x in 1.0 - left]


def brow_figures(
    true: Mapping[str, Float[np.ndarray, " n"]], read: Mapping[str, Float[np.ndarray, " n"]]
) -> dict[str, float]:
    """What an analyser reads of the place of brows, and what their exact place tells.

    Args:
        true: factors of ``BROWS``, scaled to a deviation of 1.
        read: what the analyser takes them for.
    """
    tables = sampling.IDENTITY_TABLE | sampling.ATTRIBUTE_TABLE
    moves = {name: BROWS[name] * (tables[name].high - tables[name].low) for name in BROWS}
    place, found = (sum(moves[name] * each[name] for name in BROWS) for each in (true, read))
    edges = np.quantile(place, np.linspace(0.0, 1.0, BINS + 1)[1:-1])
    part, raised = np.digitize(place, edges), true["brow_raise"]
    told = (np.bincount(part, raised) / np.bincount(part))[part]
    pairs = {"place": (place, found), "raise_by_place": (raised, told)}
    return {name: explained(a[:, None], b[:, None])[0] for name, (a, b) in pairs.items()}


def measure(model: AnalyserModel, split: str, seed: int, people: int) -> dict[str, Any]:
    """R2 by factor; see the top of the file.

    Args:
        model: identity net or judge.
        split: key of ``SPLITS``.
        seed: which people of the split.
        people: how many.
    """
    key = primitives.split_key(split, seed)
    identities = primitives.sample_identities(key, people)
    attributes = primitives.sample_attributes(key, people)
    read, poses, points, side = [], [], [], int(model.config["resolution"])
    for start in range(0, people, BATCH):
        cut = slice(start, start + BATCH)
        who, how = jax.tree.map(lambda x, cut=cut: x[cut], (identities, attributes))
        face = primitives.render(who, how, side)
        found = model.predict(face.image)
        read.append((found.identity_vector, found.attribute_vector))
        poses.append(np.abs(np.asarray(found.pose_degrees - face.pose_degrees)))
        off = side * found.landmarks - face.landmarks
        points.append(np.linalg.norm(np.asarray(off), axis=-1))
    true = primitives.identity_vector(identities), primitives.attribute_vector(attributes)
    names = primitives.IDENTITY_FACTORS, primitives.ATTRIBUTE_FACTORS
    taken = [np.concatenate([np.asarray(part[i]) for part in read]) for i in range(2)]
    r2 = [explained(np.asarray(known), taken[i]) for i, known in enumerate(true)]
    columns = [
        dict(zip([*names[0], *names[1]], np.concatenate(each, axis=1).T, strict=True))
        for each in (true, taken)
    ]
    return {
        "identity": dict(zip(names[0], r2[0], strict=True)),
        "attributes": dict(zip(names[1], r2[1], strict=True)),
        "brows": brow_figures(*columns),
        "pose_error_degrees": float(np.mean(np.concatenate(poses))),
        "landmark_error": float(np.mean(np.concatenate(points))),
    }


def main(_: list[str]) -> int:
    """Measures and prints."""
    values = flags.FLAGS
    found = measure(load_analyser(values.model), values.split, values.seed, values.people)
    asked = {name: values[name].value for name in ("model", "split", "seed", "people")}
    print(json.dumps(asked | found))
    return 0


def cli() -> NoReturn:
    """The command."""
    command_line.DEFINE_path("model", "embedded/identity_64", "Identity net or judge.")
    flags.DEFINE_integer("people", 2000, "Number of people.", lower_bound=2)
    flags.DEFINE_integer("seed", 0, "Which people and attributes of the split.", lower_bound=0)
    flags.DEFINE_enum("split", "development", tuple(primitives.SPLITS), "Part of the key space.")
    command_line.run(main)


if __name__ == "__main__":
    cli()
