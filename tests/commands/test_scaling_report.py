"""What devices tell each other, as counted and as compiled."""

import dataclasses

import pytest

from alrl_jax.commands import memory_report, scaling_report
from alrl_jax.profiling.collectives import collective_bytes
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

CLUSTER = scaling_report.Cluster(
    flops=1e12, chips_a_host=8, inside=1e9, outside=1e8, latency=0.0, disk=1e9
)


def test_collectives_are_read_from_a_program() -> None:
    text = """
  %all-reduce.1 = (f32[16]{0}, f32[3,4]{1,0}) all-reduce(%a, %b), replica_groups={{0,1}}
  ROOT %r = bf16[8]{0} all-reduce(bf16[8]{0} %c), channel_id=2
  %ag = (f32[2]{0}, f32[8]{0}) all-gather-start(f32[2]{0} %p), dimensions={0}
  %done = f32[8]{0} all-gather-done(%ag)
  %s = f32[] add(%x, %all-reduce.1)
"""
    assert collective_bytes(text) == {
        "all-reduce": {"operations": 2, "bytes": 4 * 28 + 16},
        "all-gather": {"operations": 1, "bytes": 32},
    }


def test_a_compiled_step_sums_the_gradients_and_little_else() -> None:
    config = tiny.tiny_config("identity_64", optimizer__algorithm="adam")
    batch = tiny.random_batch("faces")
    abstract = dataclasses.replace(memory_report.abstract_run(config), batch=batch)
    found = scaling_report.compiled_collectives(abstract, shards=1)
    gradients = scaling_report.trained_bytes(abstract.state)
    assert set(found) == {"all-reduce"}
    assert gradients <= found["all-reduce"]["bytes"] < 1.05 * gradients


def test_only_what_is_trained_is_summed() -> None:
    state = memory_report.abstract_run(tiny.tiny_config("identity_64")).state
    assert scaling_report.trained_bytes(state) == scaling_report.tree_bytes(state.params)
    parts = dataclasses.replace(
        state, params={"a": state.params, "b": state.params}, opt_state={"a": {}}
    )
    assert scaling_report.trained_bytes(parts) == scaling_report.tree_bytes(state.params)


def test_seconds_of_a_step_on_many_chips() -> None:
    """One host: twice 7/8 of the bytes by each chip; eight: an eighth of them between hosts too."""
    one = scaling_report.predict(1e12, 1e9, 4e6, 2, 8, CLUSTER)
    assert one["compute_ms"] == 1000 and one["sum_ms"] == 1750
    assert one["efficiency"] == pytest.approx(1 / 2.75, abs=1e-3)
    assert one["efficiency_hidden"] == pytest.approx(1 / (1 + 1.75 - 2 / 3), abs=1e-3)
    assert one["host_reads_mb_per_second"] == pytest.approx(8 * 4 / 2.75, abs=0.1)
    many = scaling_report.predict(1e12, 1e9, 4e6, 2, 64, CLUSTER)
    assert many["batch"] == 128 and many["sum_ms"] == 1750 + 2 * 7 / 8 * 1000 / 8 / 0.1
    alone = scaling_report.predict(1e12, 1e9, 4e6, 2, 1, CLUSTER)
    assert alone["sum_ms"] == 0 and alone["efficiency"] == 1
