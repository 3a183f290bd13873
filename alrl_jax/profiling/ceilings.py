"""What one device of this machine can do: the rates of a large matrix product and of a copy."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

MATMUL_SIZE = {"cpu": 2048}
ACCELERATOR_MATMUL_SIZE = 8192
COPY_BYTES = 2**28
MIN_CALLS = 3


def matmul_flops(seconds: float) -> float:
    """Operations a second of a float32 product at JAX's default precision.

    Args:
        seconds: how long to repeat it, at least.
    """
    n = MATMUL_SIZE.get(jax.default_backend(), ACCELERATOR_MATMUL_SIZE)
    a = jax.random.normal(jax.random.key(0), (n, n))
    product = jax.jit(lambda x, y: x @ y)
    return 2 * n**3 / _median_seconds(lambda: product(a, a), seconds)


def copy_rate(seconds: float) -> float:
    """Bytes a second that are read and written by a pass over memory.

    Args:
        seconds: how long to repeat it, at least.
    """
    a = jnp.ones(COPY_BYTES // 4, jnp.float32)
    copy = jax.jit(lambda x: -x)
    return 2 * COPY_BYTES / _median_seconds(lambda: copy(a), seconds)


def repeat(call: Callable[[], Any], seconds: float) -> tuple[list[float], float]:
    """Seconds of each of several calls, and processor seconds of all."""
    times: list[float] = []
    used = time.process_time()
    while len(times) < MIN_CALLS or sum(times) < seconds:
        begin = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - begin)
    return times, time.process_time() - used


def _median_seconds(call: Callable[[], Any], seconds: float) -> float:
    jax.block_until_ready(call())  # compiles
    return statistics.median(repeat(call, seconds)[0])
