"""How near the faces of a generator come to those of the procedural world.

    python -m tools.bench.measure_generator --model=DIR [--faces=1000] [--truncation_psi=1]

The judge reads identity and attributes from generated faces and from renders of people whom no
network has seen; ``frechet`` is the squared Frechet distance of the two sets, as FID has it of
Inception's features, in factors of variance 1.  ``floor`` is that of other renders, equally many:
what a perfect generator would get.  It falls with the number of faces: compare equally many alone.
Prints one JSON object.
"""

import json
from collections.abc import Iterable, Iterator
from typing import NoReturn

import numpy as np
from absl import flags
from jaxtyping import Float

from alrl_jax.commands.generate import make_drawer
from alrl_jax.evaluation.fid import Moments, Statistics, frechet_distance
from alrl_jax.evaluation.judging import resize
from alrl_jax.loading import AnalyserModel, GeneratorModel, load_analyser, load_generator
from alrl_jax.types import AnyArray
from alrl_jax.utils import command_line
from alrl_jax.worlds import primitives
from tools.bench.measure_retrieval import BATCH, render_in_batches

Images = Float[AnyArray, "b h w 3"]


def measure(
    generator: GeneratorModel, judge: AnalyserModel, faces: int, truncation_psi: float = 1.0
) -> dict[str, float]:
    """``frechet`` and ``floor``; see the head of this file.

    Args:
        generator: draws a face of its own for every seed from 0 on.
        judge: reads the factors.
        faces: how many of each set.
        truncation_psi: 1 draws all that the generator has learned, 0 its average face.
    """
    drawn = read_factors(judge, _generated(generator, faces, truncation_psi))
    truth, others = (read_factors(judge, _rendered(judge, faces, seed)) for seed in (0, 1))
    return {"frechet": frechet_distance(drawn, truth), "floor": frechet_distance(others, truth)}


def read_factors(judge: AnalyserModel, batches: Iterable[Images]) -> Statistics:
    """Mean and covariance of all that the judge reads from faces in [-1, 1]."""
    moments = Moments()
    for images in batches:
        read = judge.predict(resize(images, int(judge.config["resolution"])))
        moments.add(np.concatenate([read.identity_vector, read.attribute_vector], axis=-1))
    return moments.statistics()


def _generated(generator: GeneratorModel, faces: int, truncation_psi: float) -> Iterator[Images]:
    draw = make_drawer(generator, None, truncation_psi, "random")
    for start in range(0, faces, BATCH):
        yield draw(list(range(start, min(start + BATCH, faces))))


def _rendered(judge: AnalyserModel, faces: int, seed: int) -> Iterator[Images]:
    key = primitives.split_key("test", seed)
    people = primitives.sample_identities(key, faces)
    looks = primitives.sample_attributes(key, faces)
    return render_in_batches(people, looks, int(judge.config["resolution"]))


def main(_: list[str]) -> int:
    """Measures and prints."""
    values = flags.FLAGS
    generator = load_generator(values.model)
    judge = load_analyser(values.judge)
    found = measure(generator, judge, values.faces, values.truncation_psi)
    asked = {name: values[name].value for name in ("model", "judge", "faces", "truncation_psi")}
    print(json.dumps(asked | found))
    return 0


def cli() -> NoReturn:
    """Defines the flags and runs ``main``."""
    command_line.DEFINE_path("model", None, "Generator.", required=True)
    command_line.DEFINE_path("judge", "embedded/judge_64", "Who reads the faces.")
    flags.DEFINE_integer("faces", 1000, "Number of faces of each set.", lower_bound=2)
    flags.DEFINE_float("truncation_psi", 1.0, "As in alrl generate.")
    command_line.run(main)


if __name__ == "__main__":
    cli()
