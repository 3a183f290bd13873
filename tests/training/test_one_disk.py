"""Processes that do not see one disk say so before they train."""

from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from alrl_jax.errors import UserError
from alrl_jax.training import one_disk


def test_one_process_needs_no_meeting(tmp_path: Path) -> None:
    one_disk.check_one_disk(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seen", [True, False])
def test_a_process_elsewhere_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    """Of three, the last reads nothing; here runs the first."""

    def gather(own: np.ndarray) -> np.ndarray:
        assert (tmp_path / one_disk.FILE).read_text()
        return np.array([own, own, own if seen else 0])

    monkeypatch.setattr(jax, "process_count", lambda: 3)
    monkeypatch.setattr(one_disk, "wait_for_all", lambda point: None)
    monkeypatch.setattr(multihost_utils, "process_allgather", gather)
    if seen:
        one_disk.check_one_disk(tmp_path)
    else:
        with pytest.raises(UserError, match="another directory for the processes 2 than for"):
            one_disk.check_one_disk(tmp_path)
    assert not list(tmp_path.iterdir())
