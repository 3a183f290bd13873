"""Accelerators that programs are compiled for without having one: what their makers say of them.

Figures of one chip are those of the data sheets: bfloat16 operations and bytes a second, and bytes
of memory. Names are those of XLA's topologies; a GPU is described to XLA by a target config.
"""

import dataclasses
import importlib.util
import math
import os
from typing import Any

import jax
from jax.experimental import topologies

from alrl_jax.errors import UserError, did_you_mean
from alrl_jax.training.pace import PEAK_FLOPS

GIB = 2**30
INSTALL = (
    "pip install --no-deps --target compilers libtpu jax-cuda12-plugin jax-cuda12-pjrt "
    "nvidia-cuda-nvcc-cu12, then PYTHONPATH=compilers alrl compile-for ..."
)


@dataclasses.dataclass(frozen=True)
class Chip:
    """What is known of an accelerator.

    Attributes:
        platform: as XLA calls it, ``tpu`` or ``cuda``.
        flops: bfloat16 operations a second.
        bandwidth: bytes a second to and from its memory.
        memory: bytes.
        shapes: of a TPU, the slices that XLA knows, chips along each axis.
        clock: of a TPU, cycles a second, in which its compiler estimates.
        spec: of a GPU, fields of XLA's ``GpuDeviceInfoProto``.
    """

    platform: str
    flops: float
    bandwidth: float
    memory: int
    shapes: tuple[str, ...] = ()
    clock: float = 0.0
    spec: tuple[tuple[str, str], ...] = ()


_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBES = ("1x1x1", "2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4")
_GPU = {
    "threads_per_block_limit": "1024",
    "threads_per_warp": "32",
    "shared_memory_per_block": "49152",
    "threads_per_core_limit": "2048",
    "block_dim_limit_x": "2147483647",
    "block_dim_limit_y": "65535",
    "block_dim_limit_z": "65535",
    "registers_per_core_limit": "65536",
    "registers_per_block_limit": "65536",
}
_A100 = _GPU | {
    "core_count": "108",
    "fpus_per_core": "64",
    "shared_memory_per_core": "167936",
    "shared_memory_per_block_optin": "166912",
    "memory_bandwidth": "1555000000000",
    "l2_cache_size": "41943040",
    "clock_rate_ghz": "1.41",
    "device_memory_size": str(40 * GIB),
    "cuda_compute_capability": "{ major: 8 }",
}
_H100 = _GPU | {
    "core_count": "132",
    "fpus_per_core": "128",
    "shared_memory_per_core": "233472",
    "shared_memory_per_block_optin": "232448",
    "memory_bandwidth": "3350000000000",
    "l2_cache_size": "52428800",
    "clock_rate_ghz": "1.98",
    "device_memory_size": str(80 * GIB),
    "cuda_compute_capability": "{ major: 9 }",
}

CHIPS: dict[str, Chip] = {
    "v4": Chip("tpu", PEAK_FLOPS["TPU v4"], 1.2e12, 32 * GIB, _CUBES, 1.05e9),
    "v5e": Chip("tpu", PEAK_FLOPS["TPU v5 lite"], 0.82e12, 16 * GIB, _FLAT, 1.5e9),
    "v5p": Chip("tpu", PEAK_FLOPS["TPU v5"], 2.77e12, 95 * GIB, _CUBES, 1.75e9),
    "v6e": Chip("tpu", PEAK_FLOPS["TPU v6 lite"], 1.64e12, 32 * GIB, _FLAT, 1.75e9),
    "a100": Chip(
        "cuda", PEAK_FLOPS["NVIDIA A100-SXM4-40GB"], 1.56e12, 40 * GIB, spec=tuple(_A100.items())
    ),
    "h100": Chip(
        "cuda", PEAK_FLOPS["NVIDIA H100 80GB HBM3"], 3.35e12, 80 * GIB, spec=tuple(_H100.items())
    ),
}
"""Chips by name."""
MOST_GPUS = 8
"""Of one host, which is all that a target config describes."""


@dataclasses.dataclass(frozen=True)
class Topology:
    """Chips that a program is compiled for.

    Attributes:
        chip: key of ``CHIPS``.
        shape: of a TPU slice, an entry of its ``shapes``.
        count: number of chips.
    """

    chip: str
    shape: str
    count: int


def parse_topology(text: str) -> Topology:
    """Reads ``v5e:2x4`` or ``a100:8``.

    Raises:
        UserError: an unknown chip, slice or number of GPUs.
    """
    name, _, rest = text.partition(":")
    if name not in CHIPS:
        raise UserError(
            f"got the topology {text!r}; expected CHIP:SHAPE with a chip of {', '.join(CHIPS)}, "
            f"such as v5e:2x4 or a100:8; {did_you_mean(name, CHIPS)}name one of them"
        )
    shapes = CHIPS[name].shapes
    if shapes and rest in shapes:
        return Topology(name, rest, math.prod(map(int, rest.split("x"))))
    if not shapes and rest.isdecimal() and 1 <= int(rest) <= MOST_GPUS:
        return Topology(name, "", int(rest))
    known = ", ".join(shapes) or f"1 to {MOST_GPUS} GPUs"
    raise UserError(f"got the topology {text!r}; expected {name}: and one of {known}; name one")


def describe_devices(topology: Topology) -> list[Any]:
    """Devices of a topology, to lay a mesh over; none of them is there.

    Raises:
        UserError: the compiler is not installed, or does not take the topology.
    """
    chip = CHIPS[topology.chip]
    package = "libtpu" if chip.platform == "tpu" else "jax_plugins.xla_cuda12"
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise UserError(
            f"compiling for {topology.chip} needs the package {package}, which is not there; "
            f"expected the compilers to be installed; {INSTALL}"
        )
    try:
        described = _describe(topology, chip)
    except UserError:
        raise
    except Exception as error:  # XLA raises whatever it likes
        raise UserError(
            f"XLA's compiler does not take {topology.chip}:{topology.shape or topology.count} "
            f"({str(error)[:200]}); expected a topology that it knows; name another"
        ) from error
    return list(described.devices)[: topology.count]


def _describe(topology: Topology, chip: Chip) -> Any:
    if chip.platform == "tpu":
        os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
        os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
        # XLA knows no slice of one chip by its shape alone.
        least = {"1x1": "2x2", "1x1x1": "2x2x1"}
        shape = least.get(topology.shape, topology.shape)
        name = f"{topology.chip}:{shape}"
        return topologies.get_topology_desc(platform="tpu", topology_name=name)
    fields = " ".join(f"{k}{'' if v.startswith('{') else ':'} {v}" for k, v in chip.spec)
    config = f'gpu_device_info {{ {fields} }} platform_name: "CUDA"'
    return topologies.get_topology_desc(
        platform="cuda",
        topology_name=topology.chip,
        target_config=config,
        topology=f"1x1x{topology.count}",
    )


def compiler_options(topology: Topology) -> dict[str, Any]:
    """What XLA has to be told where no device is there to try kernels on."""
    gpu = CHIPS[topology.chip].platform == "cuda"
    return {"xla_gpu_enable_triton_gemm": False} if gpu else {}


def stay_on_cpu() -> None:
    """Keeps JAX from looking for the accelerators whose compilers are installed."""
    jax.config.update("jax_platforms", "cpu")
