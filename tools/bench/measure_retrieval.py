"""How well an analyser distinguishes people: finds unseen people again from another image.

    python -m tools.bench.measure_retrieval --model=embedded/identity_64 [--people=200] [--seed=0]

Renders two images of every person, each with its own pose, expression, light, skin and hair, and
looks each second image up among the first ones by the cosine of embeddings.  Prints one JSON
object.
"""

import json
from collections.abc import Iterator
from typing import NoReturn

import jax
import numpy as np
from absl import flags
from jaxtyping import Array, Float

from alrl_jax.evaluation.judging import retrieval
from alrl_jax.loading import AnalyserModel, load_analyser
from alrl_jax.utils import command_line
from alrl_jax.worlds import primitives

BATCH = 50


def find_people(model: AnalyserModel, split: str, seed: int, people: int) -> dict[str, float]:
    """Share of people who are found by a second image of theirs, among all first images.

    Args:
        model: identity net or judge.
        split: key of ``synthetic.SPLITS``.
        seed: which people of the split.
        people: how many.

    Returns:
        ``top1`` and ``top5``.
    """
    key = primitives.split_key(split, seed)
    identities = primitives.sample_identities(key, people)
    attributes = primitives.sample_attributes(key, 2 * people)
    first, second = (
        embed_people(model, identities, jax.tree.map(lambda x, nth=nth: x[nth::2], attributes))
        for nth in (0, 1)
    )
    return {f"top{n}": float(np.mean(retrieval(second, first, top=n))) for n in (1, 5)}


def embed_people(
    model: AnalyserModel, people: primitives.Identities, attributes: primitives.Attributes
) -> Float[np.ndarray, "n e"]:
    """Unit embeddings of one rendered image a person."""
    batches = render_in_batches(people, attributes, int(model.config["resolution"]))
    return np.concatenate([np.asarray(model(images)) for images in batches])


def render_in_batches(
    people: primitives.Identities, attributes: primitives.Attributes, resolution: int
) -> Iterator[Float[Array, "b {resolution} {resolution} 3"]]:
    """Images in [-1, 1] of people, one each, a few at a time: many together fill the memory."""
    for start in range(0, len(people.face_width), BATCH):
        cut = slice(start, start + BATCH)
        who, how = jax.tree.map(lambda x, cut=cut: x[cut], (people, attributes))
        yield primitives.render(who, how, resolution).image


def main(_: list[str]) -> int:
    """Measures and prints."""
    values = flags.FLAGS
    model = load_analyser(values.model)
    found = find_people(model, values.split, values.seed, values.people)
    asked = {name: values[name].value for name in ("model", "split", "seed", "people")}
    print(json.dumps(asked | found))
    return 0


def cli() -> NoReturn:
    """Defines the flags and runs ``main``."""
    command_line.DEFINE_path("model", "embedded/identity_64", "Identity net or judge.")
    flags.DEFINE_integer("people", 200, "Number of people.", lower_bound=2)
    flags.DEFINE_integer("seed", 0, "Which people and attributes of the split.")
    flags.DEFINE_enum("split", "test", tuple(primitives.SPLITS), "Part of the key space.")
    command_line.run(main)


if __name__ == "__main__":
    cli()
