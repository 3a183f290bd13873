"""A run whose work directory is a bucket is that of a disk, killed or not."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from alrl_jax.storage.checkpoint import newest_step, read_fields
from alrl_jax.utils import buckets
from alrl_jax.utils.addresses import mirror
from tests.conftest import LONGEST_WAIT
from tests.support import several
from tests.support.object_store import Store, connected
from tests.support.same_run import lines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    ),
]
FIELDS = ("step", "params", "ema", "opt_state", "mutable")
CONFIG = """
import ml_collections
from alrl_jax.config import Config

def get_config():
    values = {"task": "identity", "num_steps": 8, "batch_size": 8, "log_every": 1}
    values |= {"checkpoint_every": 2, "sample_every": 4}
    return ml_collections.ConfigDict(Config.from_dict(values).to_dict())
"""


@pytest.fixture(params=["s3", "gs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A server, which programs find too."""
    with connected(request.param, tmp_path / "cache") as store:
        yield store


def start(workdir: str, folder: Path, steps: int, *more: str, **values: str) -> subprocess.Popen:
    """The command in a process."""
    config = folder / "config.py"
    config.write_text(CONFIG)
    environment = several.environment(1, **values)
    given = [f"--config={config}", f"--workdir={workdir}", f"--config.num_steps={steps}", *more]
    return several.start(["tests.support.bucket_training", *given], environment)


def finished(*processes: subprocess.Popen) -> None:
    results = [process.communicate(timeout=LONGEST_WAIT) for process in processes]
    assert not any(process.returncode for process in processes), [e[-3000:] for _, e in results]


def wait_for_step(workdir: Path, step: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + LONGEST_WAIT
    while (newest_step(workdir) or 0) < step:
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def assert_same(whole: Path, other: Path) -> None:
    (step, state), (_, found) = read_fields(whole, FIELDS), read_fields(other, FIELDS)
    assert step == read_fields(other, FIELDS)[0]
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(a, b)
    assert lines(whole) == lines(buckets.pull(other, ("checkpoints",)))


def test_killed_run_goes_on_bit_by_bit(store: Store, tmp_path: Path) -> None:
    address = store.address("killed/run")
    workdir = mirror(address)
    killed = start(address, tmp_path, 1000)
    wait_for_step(workdir, 4, killed)
    killed.kill()
    killed.communicate()
    step = newest_step(workdir)
    assert step is not None and 4 <= step < 1000
    finished(start(address, tmp_path, step + 5))
    finished(start(str(tmp_path / "whole"), tmp_path, step + 5))
    assert_same(tmp_path / "whole", workdir)
    assert {"config.json", "MODEL_CARD.md", "metrics.jsonl"} <= buckets.names_in(workdir)


def test_two_processes_train_in_one_bucket(store: Store, tmp_path: Path) -> None:
    """Each with a cache of its own, as hosts have."""
    address = store.address("two/run")
    for steps in (4, 8):
        finished(
            *(
                start(address, tmp_path, steps, *each, XDG_CACHE_HOME=str(tmp_path / str(i)))
                for i, each in enumerate(several.by_hand(2))
            )
        )
    assert newest_step(mirror(address)) == 8
    finished(start(str(tmp_path / "whole"), tmp_path, 8))
    (_, whole), (_, two) = (
        read_fields(path, ("params",)) for path in (tmp_path / "whole", mirror(address))
    )
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_hosts_that_do_not_see_one_place_are_named(store: Store, tmp_path: Path) -> None:
    flags = several.by_hand(2)
    processes = [
        start(store.address("seen/run"), tmp_path, 4, *flags[0]),
        start(str(tmp_path / "run"), tmp_path, 4, *flags[1]),
    ]
    results = [process.communicate(timeout=LONGEST_WAIT) for process in processes]
    assert [process.returncode for process in processes] == [2, 2], results
    for _, errors in results:
        assert "another directory for the processes 1 than for process 0" in errors


def test_a_bucket_that_vanishes_ends_the_run(store: Store, tmp_path: Path) -> None:
    address = store.address("vanishes/run")
    process = start(address, tmp_path, 1000, ALRL_BUCKET_SECONDS="5")
    wait_for_step(mirror(address), 2, process)
    store.turn("deny")
    try:
        begin = time.monotonic()
        _, errors = process.communicate(timeout=LONGEST_WAIT)
    finally:
        store.turn("well")
    assert process.returncode == 2, errors[-3000:]
    assert time.monotonic() - begin < 200
    errors = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and re.search(f"got {address}", errors[0]), errors
