from alrl_jax.loading.loader import AnalyserModel, load
from tools.bench.measure_retrieval import find_people


def test_the_shipped_identity_net_tells_people_apart() -> None:
    model = load("embedded/identity_64")
    assert isinstance(model, AnalyserModel)
    assert find_people(model, "test", seed=1, people=12)["top1"] > 0.9
