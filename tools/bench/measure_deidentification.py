"""How often people are recognised after their faces were replaced by invented ones.

    python -m tools.bench.measure_deidentification [--model=DIR] [--people=200] [--seed=0]

Images of unseen people of the procedural world get the face of somebody who does not exist, each
another one (``infer --source=sample:SEED``). The judge looks every image up among other images
of all these people, before and after. Prints one JSON object. What it says holds for this judge,
these people and this recognition alone: pose, hair, clothes and scene remain as they were.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

import jax
import numpy as np
from absl import flags
from tqdm import tqdm

from alrl_jax.evaluation.judging import cosine, retrieval
from alrl_jax.evaluation.measuring import Collector, Examiner, batches
from alrl_jax.loading import AnalyserModel, SwapperModel, load_analyser, load_swapper
from alrl_jax.utils import command_line
from alrl_jax.utils.printing import say
from alrl_jax.worlds import primitives

BATCH = 20


def measure(
    model: SwapperModel, judge: AnalyserModel, split: str, seed: int, people: int
) -> dict[str, Any]:
    """Re-identification of people before and after.

    Args:
        model: a swapper of the procedural world.
        judge: a net that took no part in its training.
        split: key of ``synthetic.SPLITS``.
        seed: which people of the split.
        people: how many, which is the size of the gallery as well.

    Returns:
        For ``before`` and ``after``: shares of people found first (``top1``) and among the first
        five (``top5``), and the mean cosine of image and gallery (``similarity``).
    """
    key = primitives.split_key(split, seed)
    identities = primitives.sample_identities(key, people)
    attributes = primitives.sample_attributes(key, 2 * people)
    examiner, collector = Examiner(judge), Collector()
    resolution = int(model.config["resolution"])

    def embedded(numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Embeddings of a batch of people, before and after, and of their other images."""
        who = jax.tree.map(lambda x, n=numbers: x[n], identities)
        shown, other = (
            primitives.render(
                who, jax.tree.map(lambda x, n=2 * numbers + nth: x[n], attributes), resolution
            ).image
            for nth in (0, 1)
        )
        invented = np.stack([np.asarray(model.sample_face(int(number))) for number in numbers])
        swapped = model.swap(invented, shown).image
        images = {"before": shown, "after": swapped, "gallery": other}
        return {name: np.asarray(examiner.embed(each)) for name, each in images.items()}

    parts = list(batches(people, BATCH))
    _announce(people, len(parts), lambda: embedded(parts[0][0]))
    for numbers, valid in tqdm(parts, desc="people", unit="batch"):
        for name, embeddings in embedded(numbers).items():
            collector.add("people", name, embeddings, valid)
    found = collector.get("people")
    return {
        name: {
            **{f"top{n}": _share(found[name], found["gallery"], n) for n in (1, 5)},
            "similarity": float(np.mean(cosine(found[name], found["gallery"]))),
        }
        for name in ("before", "after")
    }


def _announce(people: int, parts: int, measure_one: Callable[[], Any]) -> None:
    """Says what will be done, and how long it takes once all is compiled."""
    begin = 0.0
    for _ in range(2):
        begin = time.perf_counter()
        measure_one()
    minutes = parts * (time.perf_counter() - begin) / 60
    say(
        f"{people} people in {parts} batches: two images of each are rendered, one is swapped, all "
        f"are embedded; about {minutes:.1f} minutes on this machine",
        sys.stderr,
    )


def _share(queries: np.ndarray, gallery: np.ndarray, top: int) -> float:
    return float(np.mean(retrieval(queries, gallery, top=top)))


def main(_: list[str]) -> int:
    """Measures and prints."""
    values = flags.FLAGS
    model = load_swapper(values.model)
    judge = load_analyser(values.judge, "judge")
    chosen = {name: values[name].value for name in ("model", "judge", "split", "seed", "people")}
    measured = measure(model, judge, values.split, values.seed, values.people)
    print(json.dumps(chosen | measured))
    return 0


def cli() -> NoReturn:
    """Defines the flags and runs ``main``."""
    command_line.DEFINE_path("model", "embedded/swapper_64", "Swapper of the procedural world.")
    command_line.DEFINE_path("judge", "embedded/judge_64", "Who recognises people.")
    flags.DEFINE_integer("people", 200, "Number of people.", lower_bound=2)
    flags.DEFINE_integer("seed", 0, "Which people and attributes of the split.")
    flags.DEFINE_enum("split", "test", tuple(primitives.SPLITS), "Part of the key space.")
    command_line.run(main)


if __name__ == "__main__":
    cli()
