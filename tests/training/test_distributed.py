"""How processes find each other: what the flags may say, and which cluster is asked."""

import os
from typing import Any

import jax
import pytest

from alrl_jax.errors import UserError
from alrl_jax.training.distributed import CLUSTERS, Meeting, connect, meeting


def test_one_process_meets_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax.distributed, "initialize", lambda *a, **k: pytest.fail("met"))
    assert meeting(None, None, None) is None
    connect(None, None)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("host:1", None, 0), "got no --num_processes; expected all of --coordinator_address, "),
        ((None, 2, None), "got no --coordinator_address and no --process_id"),
        (("host", 2, 0), "--coordinator_address=host; expected HOST:PORT"),
        ((":1", 2, 0), "expected HOST:PORT"),
        (("host:1", 2, 2), "--process_id=2; expected 0 to 1 for --num_processes=2"),
    ],
)
def test_what_is_said_by_hand_has_to_be_whole(flags: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        meeting(*flags)


def test_the_cluster_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[tuple, dict[str, Any]]] = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *a, **k: calls.append((a, k)))
    connect(None, meeting("[::1]:80", 2, 1))
    connect("slurm", None)
    connect("auto", None)
    assert calls[0][0] == ("[::1]:80", 2, 1)
    methods = [keywords["cluster_detection_method"] for _, keywords in calls]
    assert methods == ["deactivate", "slurm", None]
    with pytest.raises(UserError, match="expected one of the two"):
        connect("slurm", Meeting("host:1", 2, 0))


def test_jax_knows_the_clusters() -> None:
    """By the same names: it says so of those that it knows and does not find here."""
    from jax._src.clusters import ClusterEnv

    names = {kind.name for kind in ClusterEnv._cluster_types}
    assert {name for name in CLUSTERS.values() if name} <= names


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith(("SLURM_", "KUBERNETES_", "OMPI_"))]:
        monkeypatch.delenv(name)
    with pytest.raises(UserError, match="--distributed=slurm, but the processes could not meet"):
        connect("slurm", None)
