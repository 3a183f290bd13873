"""Which cosine says that two pictures show one person: for ``infer --reference_similarity``.

    python -m tools.bench.measure_references [--model=embedded/identity_64] [--people=200]

Renders two pictures of every person, each with its own pose, expression, light, skin and hair, and
takes the cosines of all pairs of a first and a second picture.  Says, for every threshold, which
share of the pairs of one person would be missed and which share of the pairs of strangers taken
for one, and where the two shares meet.  Prints one JSON object.
"""

import json
from typing import NoReturn

import jax
import numpy as np
from absl import flags
from jaxtyping import Float

from alrl_jax.loading import load_analyser
from alrl_jax.utils import command_line
from alrl_jax.worlds import primitives
from tools.bench.measure_retrieval import embed_people

THRESHOLDS = tuple(round(0.05 * n, 2) for n in range(2, 19))


def rates(cosines: Float[np.ndarray, "n n"]) -> dict[str, object]:
    """Errors by threshold.

    Args:
        cosines: of the first picture of person i and the second one of person j.

    Returns:
        ``thresholds``: rows of threshold, share of the people who are missed, share of the pairs of
        strangers that are taken for one person. ``equal``: the cosine at which the two are
        nearest, and their mean there. ``same`` and ``strangers``: 5th, 50th and 95th percentile.
    """
    same = np.diag(cosines)
    strangers = cosines[~np.eye(len(cosines), dtype=bool)]
    errors = lambda least: (float(np.mean(same < least)), float(np.mean(strangers >= least)))  # noqa: E731
    fine = np.linspace(-1, 1, 2001)
    nearest = min(fine, key=lambda least: abs(np.subtract(*errors(least))))
    shares = (5, 50, 95)
    return {
        "thresholds": [[least, *(round(x, 4) for x in errors(least))] for least in THRESHOLDS],
        "equal": [round(float(nearest), 3), round(float(np.mean(errors(nearest))), 4)],
        "same": [round(float(x), 3) for x in np.percentile(same, shares)],
        "strangers": [round(float(x), 3) for x in np.percentile(strangers, shares)],
    }


def main(_: list[str]) -> int:
    """Measures and prints."""
    values = flags.FLAGS
    model = load_analyser(values.model)
    key = primitives.split_key(values.split, values.seed)
    people = primitives.sample_identities(key, values.people)
    looks = primitives.sample_attributes(key, 2 * values.people)
    first, second = (
        embed_people(model, people, jax.tree.map(lambda x, nth=nth: x[nth::2], looks))
        for nth in (0, 1)
    )
    asked = {name: values[name].value for name in ("model", "split", "seed", "people")}
    print(json.dumps(asked | rates(first @ second.T)))
    return 0


def cli() -> NoReturn:
    """Defines the flags and runs ``main``."""
    command_line.DEFINE_path("model", "embedded/identity_64", "Identity net.")
    flags.DEFINE_integer("people", 200, "Number of people.", lower_bound=2)
    flags.DEFINE_integer("seed", 0, "Which people and attributes of the split.")
    flags.DEFINE_enum("split", "development", tuple(primitives.SPLITS), "Part of the key space.")
    command_line.run(main)


if __name__ == "__main__":
    cli()
