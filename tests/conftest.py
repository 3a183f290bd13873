"""The ground all tests stand on: 8 CPU devices, strict dtypes, full precision, no network.

Nothing of the package is imported here: its annotations are checked only in modules that are
imported after pytest's jaxtyping hook is in place.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# Tests run on the CPU unless asked otherwise: JAX_PLATFORMS=cuda,cpu python -m pytest -m gpu
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from absl import flags

ROOT = Path(__file__).parent.parent
CPU_DEVICES = 8
# Compiled programs are kept between runs: half of the suite's time would be compilation.
COMPILATION_CACHE = ROOT / ".pytest_cache" / "jax"
# Seconds after which a program hangs: far more than one needs on a machine under load.
LONGEST_WAIT = 600.0

jax.config.update("jax_num_cpu_devices", CPU_DEVICES)
# Ranks may promote (a bias added to an image is plain to read); jaxtyping watches the shapes.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_compilation_cache_dir", str(COMPILATION_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

# Grain reads an absl flag; outside of absl.app.run no one has parsed them.
flags.FLAGS.mark_as_parsed()

RunCli = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what this machine cannot run, each with its reason."""
    for item in items:
        if item.get_closest_marker("gpu") and jax.default_backend() != "gpu":
            item.add_marker(pytest.mark.skip(reason="needs a GPU and JAX_PLATFORMS=cuda,cpu"))


@pytest.fixture(scope="module")
def quick_compilation() -> Iterator[None]:
    """Halves the time of tests that compile much and compute little."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(autouse=True)
def _torch_or_skip(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("torch"):
        pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _flags_restored() -> Iterator[None]:
    """A test may set absl flags without the next one seeing them."""
    saved = flags.FLAGS.flag_values_dict()
    yield
    for name, value in saved.items():
        if flags.FLAGS[name].value != value:
            flags.FLAGS[name].value = value


@pytest.fixture
def run_cli() -> RunCli:
    """Runs ``python -m MODULE ARGUMENTS`` from the project's root, as a user would.

    Keyword arguments of the returned function: ``devices``, fake CPU devices (1);
    ``timeout`` in seconds (LONGEST_WAIT); ``cwd``, the folder to run in.
    """

    def run(
        module: str,
        *arguments: str,
        devices: int = 1,
        timeout: float = LONGEST_WAIT,
        cwd: Path = ROOT,
    ) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "JAX_NUM_CPU_DEVICES": str(devices),
            "JAX_COMPILATION_CACHE_DIR": str(COMPILATION_CACHE),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout
        )

    return run
