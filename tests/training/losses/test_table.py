"""The table: losses read parts that exist, weight 0 costs nothing, sums are weighted."""

import dataclasses
import inspect
from types import SimpleNamespace
from typing import Any, get_args

import jax.numpy as jnp
import pytest

from alrl_jax.training.losses.table import (
    LABELS,
    LOSSES,
    REGULARISERS,
    Loss,
    evaluate,
    needed_labels,
    readers,
    total_loss,
)
from alrl_jax.training.tasks.generator import GeneratorForward
from alrl_jax.training.tasks.identity import AnalyserForward
from alrl_jax.training.tasks.swap_forward import SwapForward
from alrl_jax.training.tasks.task import check_losses
from tests.support import tiny

FORWARDS: dict[str, type] = {
    "swap": SwapForward,
    "generator": GeneratorForward,
    "identity": AnalyserForward,
}
ENTRIES = [(task, name) for task, losses in LOSSES.items() for name in losses]


def exists(kind: Any, part: str) -> bool:
    """Whether a struct has a part of that dotted name."""
    name, _, rest = part.partition(".")
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    if name not in types or not rest:
        return name in types
    inner = next(t for t in (types[name], *get_args(types[name])) if dataclasses.is_dataclass(t))
    return exists(inner, rest)


@pytest.mark.parametrize(("task", "name"), ENTRIES)
def test_a_loss_reads_parts_that_exist(task: str, name: str) -> None:
    loss = LOSSES[task][name]
    assert [part for part in loss.reads if not exists(FORWARDS[task], part)] == []
    assert len(loss.reads) == len(inspect.signature(loss.function).parameters)


@pytest.mark.parametrize("task", LOSSES)
def test_a_loss_without_weight_is_not_called(task: str) -> None:
    for weights in ({}, dict.fromkeys(LOSSES[task], 0.0)):
        total, values = total_loss(task, None, weights)
        assert float(total) == 0.0 and values == {}
        assert readers(task, weights) == {}


def test_the_total_is_the_weighted_sum() -> None:
    weights = {"adversarial": 3.0, "r1": 5.0, "path_length": 1.0}
    total, values = total_loss("generator", GeneratorForward(jnp.zeros((2, 1))), weights)
    assert values.keys() == {"adversarial"}, "regularisers are the task's"
    assert float(total) == pytest.approx(3 * float(jnp.log(2.0)))


def test_a_new_loss_is_a_function_and_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Loss(lambda logits: jnp.mean(jnp.square(logits)), ("fake_logits",))
    monkeypatch.setitem(LOSSES["generator"], "drift", entry)
    check_losses("generator", ("adversarial", "drift"))
    assert readers("generator", {"drift": 2.0}) == {"fake_logits": "drift"}
    forward = GeneratorForward(jnp.asarray([[1.0], [3.0]]))
    total, values = total_loss("generator", forward, {"drift": 2.0})
    assert values.keys() == {"drift"} and float(total) == pytest.approx(10.0)


def test_what_is_read_is_read_by_the_first_that_has_a_weight() -> None:
    found = readers("swap", {"self_perceptual": 0.0, "attributes": 2.0, "identity_factors": 1.0})
    assert found == {
        "read.factors": "identity_factors",
        "wanted.person": "identity_factors",
        "wanted.attributes": "attributes",
    }


def test_what_was_left_out_is_named() -> None:
    loss = Loss(lambda logits: logits, ("fake_logits",))
    with pytest.raises(AssertionError, match="left out fake_logits"):
        evaluate(loss, SimpleNamespace(fake_logits=None))


@pytest.mark.parametrize("name", tiny.CONFIG_NAMES)
def test_configs_weigh_losses_of_their_task_alone(name: str) -> None:
    config = tiny.tiny_config(name)
    assert set(config.losses) <= {*LOSSES[config.task], *REGULARISERS[config.task]}


def test_labels_are_needed_where_every_loss_with_a_weight_reads_some() -> None:
    regressions = {"pose_regression": 1.0, "landmark_regression": 0.1, "arcface": 0.0}
    assert needed_labels("identity", regressions) == ("pose_degrees", "landmarks")
    assert needed_labels("identity", regressions | {"arcface": 1.0}) == ()
    assert needed_labels("swap", {"r1": 1.0, "attribute_groups": 0.1}) == LABELS[:2]
    assert needed_labels("generator", {"adversarial": 1.0}) == ()
