"""Faces on the devices: the batches are those that the host reads, to the last bit."""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from alrl_jax.data.on_device import DeviceBatches
from alrl_jax.data.pipeline import make_draws, make_iterator
from alrl_jax.data.records import Layout
from alrl_jax.errors import UserError
from alrl_jax.types import PairBatch

MakeSource = Callable[..., Any]


def assert_equal(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("faces", {}), ("faces", {"flip": False}), ("pairs", {}), ("pairs", {"witnesses": True})],
)
def test_batches_are_those_of_the_host(
    make_source: MakeSource, kind: str, options: dict[str, Any]
) -> None:
    source = make_source(np.arange(10) // 3)
    source.records["labelled"][::3] = False  # what is unknown stays as it is in a mirror
    source.records["attribute_factors"][4] = np.nan
    host = make_iterator(source, kind, 8, 5, **options)
    device = DeviceBatches(source, make_draws(source, kind, 8, 5, **options), progress=False)
    columns, expand = device.columns(), jax.jit(device.expand)
    for _ in range(4):
        assert_equal(expand(columns, next(device)), next(host))
    assert sum(x.nbytes for x in columns.values()) == device.bytes_held()
    assert columns["image"].dtype == columns["parsing"].dtype == np.uint8
    host.close()
    device.close()


def test_photographs_without_labels(make_source: MakeSource) -> None:
    source = make_source(np.arange(6))
    layout = Layout(source.layout.resolution)
    records = layout.empty(6)
    records["image"] = source.records["image"]
    source.layout, source.records = layout, records
    records["identity"] = source.identities
    device = DeviceBatches(source, make_draws(source, "pairs", 4, 0), progress=False)
    host = make_iterator(source, "pairs", 4, 0)
    assert_equal(jax.jit(device.expand)(device.columns(), next(device)), next(host))


def test_draws_share_the_states_of_batches(make_source: MakeSource) -> None:
    """A run may go on with its faces on the devices, and off them."""
    source = make_source(np.arange(9) // 2)
    host = make_iterator(source, "pairs", 4, 1)
    for _ in range(3):
        next(host)
    state = json.loads(json.dumps(host.get_state()))
    device = DeviceBatches(source, make_draws(source, "pairs", 4, 1), progress=False)
    device.set_state(state)
    assert device.get_state() == state
    drawn, batch = next(device), next(host)
    assert isinstance(batch, PairBatch)
    assert {values.dtype for values in drawn.values()} == {np.dtype(np.int32), np.dtype(bool)}
    np.testing.assert_array_equal(source.identities[drawn["index"]], batch.target.identity)
    with pytest.raises(UserError, match="got 9 faces of 5 people; expected the 8 of 5"):
        device.set_state(state | {"records": 8})


def test_processes_draw_their_own_rows(make_source: MakeSource) -> None:
    source = make_source(np.arange(8) // 2)
    whole = next(make_draws(source, "pairs", 8, 3))
    parts = [
        next(make_draws(source, "pairs", 8, 3, process_index=i, process_count=2)) for i in (0, 1)
    ]
    for name, values in whole.items():
        np.testing.assert_array_equal(values, np.concatenate([part[name] for part in parts]))
