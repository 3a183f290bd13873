import jax
import pytest

from alrl_jax.loading import loader
from alrl_jax.training.tasks.generator import GeneratorTask
from tests.support.tiny import tiny_config
from tools.bench.measure_generator import measure


def test_an_untrained_generator_is_further_away_than_other_people() -> None:
    task = GeneratorTask(tiny_config("generator_64"))
    exported = task.export(jax.jit(task.init)(jax.random.key(0), {}), {})
    generator = loader.GeneratorModel(exported.kind, exported.config, exported.variables)
    judge = loader.load("embedded/judge_64")
    assert isinstance(judge, loader.AnalyserModel)
    found = measure(generator, judge, faces=30)
    assert found["frechet"] > 2 * found["floor"] > 0
    # The renders are the same each time; what is generated depends on the truncation.
    again = measure(generator, judge, faces=30, truncation_psi=0.0)
    assert again["floor"] == pytest.approx(found["floor"])
    assert again["frechet"] != pytest.approx(found["frechet"])
