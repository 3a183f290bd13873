"""How fast a run is, and what it takes up: figures of time and memory for lines of the log."""

import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
from tqdm import tqdm

from alrl_jax.storage.workdir import OF_THE_MACHINE

PEAK_FLOPS = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H200": 989e12,
}
"""Most operations a second in bfloat16, from the makers' data sheets, by the name of a device."""

SPEED, MEMORY = OF_THE_MACHINE


class Pace:
    """Images a second between two lines of the log, compiling and drawing left out."""

    def __init__(self, batch_size: int, devices: Sequence[Any]) -> None:
        """Starts at step 0.

        Args:
            batch_size: images of the global batch.
            devices: all of the run.
        """
        self._batch_size, self._devices = batch_size, devices
        self._time = 0.0
        self._step = 0
        self._flops: dict[Any, float] = {}

    def start(self, step: int) -> None:
        """Begins to count after a step."""
        self._time, self._step = time.perf_counter(), step

    def pause(self, seconds: float) -> None:
        """Leaves out seconds that were none of training."""
        self._time += seconds

    @property
    def counts(self) -> bool:
        """Whether operations are worth counting, as the devices' peak is known."""
        return self._devices[0].device_kind in PEAK_FLOPS

    def note(self, phase: Any, flops: float | None) -> None:
        """Notes the operations of an update of a phase, on all devices together."""
        if flops:
            self._flops[phase] = flops

    def figures(self, step: int, phases: Sequence[Any]) -> dict[str, float]:
        """Speed since the last line, and what device and host take up, by name.

        ``speed/mfu`` is the share of the devices' peak in bfloat16 that the program's own
        operations make up, where both are known.

        Args:
            step: finished updates.
            phases: of the updates since the last line.
        """
        seconds = max(time.perf_counter() - self._time, 1e-9)
        found = {f"{SPEED}images_per_second": (step - self._step) * self._batch_size / seconds}
        peak = PEAK_FLOPS.get(self._devices[0].device_kind)
        if peak and phases and all(phase in self._flops for phase in phases):
            done = sum(self._flops[phase] for phase in phases)
            found[f"{SPEED}mfu"] = done / (seconds * peak * len(self._devices))
        return found | memory_figures(jax.local_devices())

    def left(self, step: int, num_steps: int) -> str:
        """Time that the rest takes at the speed since the last line."""
        seconds = time.perf_counter() - self._time
        return tqdm.format_interval((num_steps - step) * seconds / max(step - self._step, 1))


def memory_figures(devices: Sequence[Any]) -> dict[str, float]:
    """The most that this process and its fullest device have held, in GiB.

    Args:
        devices: of this process; those that do not say are left out.
    """
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    found = {f"{MEMORY}host_gib": held / 2**30}
    peaks = [(device.memory_stats() or {}).get("peak_bytes_in_use") for device in devices]
    known = [peak for peak in peaks if peak is not None]
    if known:
        found[f"{MEMORY}device_gib"] = max(known) / 2**30
    return found
