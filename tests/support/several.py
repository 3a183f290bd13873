"""Programs that train together, as processes of this machine."""

import contextlib
import os
import random
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import COMPILATION_CACHE, LONGEST_WAIT

ROOT = Path(__file__).parents[2]
SLURM_FIRST_PORT = 2**16 - 2**12
"""JAX meets under Slurm at this port plus the number of the job, modulo 2**12."""


def free_port(first: int = 0, last: int = 0) -> int:
    """A port on which no process listens: any, or one of a range."""
    for port in random.sample(range(first, last + 1), last + 1 - first):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("localhost", port))
            return free.getsockname()[1]
    raise OSError(f"no port from {first} to {last} is free")


def environment(devices: int, **more: str) -> dict[str, str]:
    """For a program on fake CPU devices that compiles quickly, as the tests do, or not again."""
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COMPILATION_CACHE_DIR": str(COMPILATION_CACHE),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        **more,
    }


def start(arguments: Sequence[str], values: dict[str, str]) -> subprocess.Popen[str]:
    """``python -m ARGUMENTS`` in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=values,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def by_hand(count: int) -> list[list[str]]:
    """Flags of every process."""
    address = f"--coordinator_address=localhost:{free_port()}"
    return [[address, f"--num_processes={count}", f"--process_id={i}"] for i in range(count)]


def under_slurm(count: int) -> list[dict[str, str]]:
    """What Slurm tells every process of a job on one node."""
    port = free_port(SLURM_FIRST_PORT, 2**16 - 1)
    return [
        {
            "SLURM_JOB_ID": str(port - SLURM_FIRST_PORT),
            "SLURM_STEP_NODELIST": "localhost",
            "SLURM_NTASKS": str(count),
            "SLURM_PROCID": str(index),
            "SLURM_LOCALID": str(index),
        }
        for index in range(count)
    ]


def finish(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    """What processes printed, which all have to end well; none is left behind."""
    try:
        results = [process.communicate(timeout=LONGEST_WAIT) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, results, strict=True):
        assert process.returncode == 0, errors[-5000:]
    return [output for output, _ in results]
