"""Prints what is installed here and what is missing: ``alrl doctor``.

Versions of the package, of Python and of the dependencies, and whether they are those that were
tested together; the devices that JAX sees, and why there are not more; the caches with their sizes;
the optional parts, each with the command that adds it. It changes nothing, needs no network, and
ends with exit status 0 whatever it finds. Put its output into a report of a fault.
"""

import collections
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from alrl_jax.photos.finder.package import INSTALL, PACKAGE
from alrl_jax.utils import command_line, version
from alrl_jax.utils.extras import is_installed
from alrl_jax.utils.user_cache import cache_directory

TESTED: Mapping[str, str] = {
    "absl-py": "2.5.1",
    "array_record": "0.8.6",
    "etils": "1.15.0",
    "flax": "0.12.8",
    "grain": "0.2.18",
    "jaxtyping": "0.3.11",
    "Jinja2": "3.1.6",
    "MarkupSafe": "3.0.4",
    "ml_collections": "1.1.0",
    "numpy": "2.4.6",
    "optax": "0.2.8",
    "orbax-checkpoint": "0.12.8",
    "pillow": "13.0.0",
    "safetensors": "0.8.0",
    "tqdm": "4.70.1",
}
"""Versions of the dependencies that were tested together: those of ``requirements.lock``."""
TESTED_JAX: Mapping[tuple[int, int], str] = {(3, 11): "0.10.2", (3, 12): "0.11.2"}
"""Of jax and jaxlib, by the Python from which on they are pinned."""
TRIED: Mapping[str, str] = {
    "jax": "0.12.0.1",
    "jaxlib": "0.12.0.1",
    "flax": "0.12.12",
    "numpy": "2.5.5",
}
"""Versions beside these with which, on Python 3.13, a part of the tests was run alone."""

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
CUDA_PLUGINS = ("jax-cuda12-plugin", "jax-cuda13-plugin")
TPU_DEVICES = (Path("/dev/accel0"), Path("/dev/vfio/0"))
TPU_VARIABLES = ("TPU_NAME", "TPU_WORKER_ID", "TPU_ACCELERATOR_TYPE")
"""What a TPU VM has set."""
OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
"""Distributions that all install the one package ``cv2``."""


@dataclasses.dataclass(frozen=True)
class Part:
    """An optional part.

    Attributes:
        purpose: what it is for.
        modules: packages that it needs.
        imported: whether importing them is quick enough to see if they load.
    """

    purpose: str
    modules: tuple[str, ...]
    imported: bool = True


PARTS: Mapping[str, Part] = {
    "photos": Part("a coarse finder of faces", ("skimage",)),
    "mediapipe": Part("landmarks by MediaPipe", ("mediapipe",)),
    "yunet": Part("landmarks by YuNet", ("cv2",)),
    "app": Part("alrl app", ("gradio",), imported=False),
    "video": Part("swaps in video files", ("av",)),
    "parquet": Part("Parquet manifests of forensics sets", ("pyarrow",)),
    "c2pa": Part("Content Credentials", ("c2pa",)),
    "tfds": Part(
        "TensorFlow Datasets, TensorBoard files",
        ("tensorflow_datasets", "clu", "tensorflow", "tensorboard"),
        imported=False,
    ),
    "heif": Part("reading HEIC photos", ("pi_heif",)),
    "notebooks": Part("running docs/notebooks", ("nbclient", "ipykernel")),
    "export": Part("alrl export-model", ("flatbuffers",)),
    "onnx": Part("ArcFace's ONNX file", ("onnx",)),
    "compile": Part("alrl compile-for", ("libtpu", "jax_cuda12_plugin"), imported=False),
    "gcs": Part("buckets of Cloud Storage (gs://)", ("gcsfs",), imported=False),
    "s3": Part("buckets of S3 (s3://)", ("s3fs",), imported=False),
    "wandb": Part("figures at Weights & Biases", ("wandb",), imported=False),
}
"""By the name of the extra that installs each."""
DATA: Mapping[str, tuple[str, str, str]] = {
    "finder": ("the default finder of faces", PACKAGE, INSTALL),
}
"""Packages of ``requirements-data.lock``: purpose, module, and what installs it."""


@dataclasses.dataclass(frozen=True)
class Accelerators:
    """What this machine has beside CPUs, and what JAX would need for it.

    Attributes:
        nvidia: whether there is a driver of NVIDIA's.
        tpu: whether this is a TPU VM.
        cuda_plugins: versions of installed plugins of JAX, by name.
        libtpu: version of libtpu; None where it is not installed.
        chosen: ``$JAX_PLATFORMS``; empty where it is not set.
    """

    nvidia: bool
    tpu: bool
    cuda_plugins: Mapping[str, str]
    libtpu: str | None
    chosen: str


def installed(distribution: str) -> str | None:
    """Version of a distribution; None where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def tested_versions(python: tuple[int, int]) -> dict[str, str]:
    """What was tested with a version of Python, by distribution."""
    jax = TESTED_JAX[max([known for known in TESTED_JAX if known <= python], default=(3, 11))]
    return {"jax": jax, "jaxlib": jax, **TESTED}


def dependency_lines(found: Mapping[str, str | None], tested: Mapping[str, str]) -> list[str]:
    """Lines about the dependencies.

    Args:
        found: installed versions; None of those that are missing.
        tested: the versions that were tested together.
    """
    lines = [f"{name:<18}{found[name] or 'missing'}" for name in tested]
    others = [f"{name}=={wanted}" for name, wanted in tested.items() if found[name] != wanted]
    if not others:
        return [*lines, "this combination is one that was tested (requirements.lock)"]
    if all(found.get(name) == wanted for name, wanted in {**tested, **TRIED}.items()):
        return [
            *lines,
            "this combination was tried with tests of checkpoints and of training alone",
        ]
    return [
        *lines,
        f"this combination was not tested; one that was: pip install {' '.join(others)}",
    ]


def find_accelerators() -> Accelerators:
    """Looks for accelerators without starting them."""
    plugins = {name: installed(name) for name in CUDA_PLUGINS}
    return Accelerators(
        nvidia=NVIDIA_DRIVER.exists() or shutil.which("nvidia-smi") is not None,
        tpu=any(name in os.environ for name in TPU_VARIABLES)
        or any(path.exists() for path in TPU_DEVICES),
        cuda_plugins={name: found for name, found in plugins.items() if found},
        libtpu=installed("libtpu"),
        chosen=os.environ.get("JAX_PLATFORMS", ""),
    )


def why_not_more(machine: Accelerators, seen: Sequence[str], jaxlib: str | None) -> list[str]:
    """Why JAX does not see all that the machine has.

    Args:
        machine: what it has.
        seen: platforms of the devices that JAX sees.
        jaxlib: its version.
    """
    lines = []
    if machine.chosen:
        lines.append(f"JAX_PLATFORMS={machine.chosen} is set: JAX looks for nothing else")
    if "gpu" not in seen and machine.nvidia and not machine.cuda_plugins:
        lines.append(
            "there is a driver of NVIDIA's, but JAX has no CUDA plugin: pip install "
            "'alrl_jax[cuda13]' (cuda12 for drivers before 580)"
        )
    if "gpu" not in seen and machine.cuda_plugins and not machine.nvidia:
        name = next(iter(machine.cuda_plugins))
        lines.append(f"{name} is installed, but there is no driver of NVIDIA's")
    for name, found in machine.cuda_plugins.items():
        if found != jaxlib:
            lines.append(
                f"{name} {found} stands beside jaxlib {jaxlib}; both have to be of one version"
            )
    if "tpu" not in seen and machine.tpu and machine.libtpu is None:
        lines.append("this is a TPU VM, but libtpu is missing: pip install 'alrl_jax[tpu]'")
    return lines


def device_lines() -> list[str]:
    """Lines about the devices; starts JAX."""
    # By itself JAX would take most of a GPU's memory from whoever uses it now.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    machine, seen = find_accelerators(), []
    try:
        jax = importlib.import_module("jax")
        devices = jax.devices()
    except Exception as error:  # whatever a broken installation raises is what is asked for
        lines = [f"JAX does not start: {_one_line(error)}"]
    else:
        seen = [device.platform for device in devices]
        kinds = collections.Counter(f"{d.device_kind} ({d.platform})" for d in devices)
        lines = [f"{count} x {kind}" for kind, count in kinds.items()]
    reasons = why_not_more(machine, seen, installed("jaxlib"))
    expected = {"gpu": machine.nvidia and machine.cuda_plugins, "tpu": machine.tpu}
    for name in (name for name, there in expected.items() if there and name not in seen):
        if not reasons:
            reasons.append(_refusal(name))
    return lines + reasons


def _refusal(platform_name: str) -> str:
    """What JAX says of a platform that it did not take though all seems to be there."""
    try:
        importlib.import_module("jax").devices(platform_name)
    except Exception as error:  # the reason is what is asked for
        return f"no {platform_name}: {_one_line(error)}"
    return f"no {platform_name}: JAX prefers another platform"


def cache_lines() -> list[str]:
    """Lines about the folders of what can be computed again."""
    own = cache_directory()
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    compiled = own / "compiled" if chosen is None else Path(chosen) if chosen else None
    caches: dict[str, list[Path]] = {"compiled programs": [] if compiled is None else [compiled]}
    others = sorted(own.iterdir()) if own.is_dir() else []
    caches["data"] = [path for path in others if path != own / "compiled"]
    places = {"compiled programs": compiled, "data": own}
    lines = []
    for name, folders in caches.items():
        size = sum(folder_size(folder) for folder in folders) / 2**20
        place = places[name]
        text = "none are kept (JAX_COMPILATION_CACHE_DIR is empty)" if place is None else place
        lines.append(f"{name:<18}{size:>9.1f} MiB   {text}")
    return lines


def folder_size(folder: Path) -> int:
    """Bytes of the files of a tree; 0 of one that is not there or cannot be read."""
    total = 0
    for directory, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(Path(directory) / name).st_size
            except OSError:  # another process removed it
                continue
    return total


def part_lines() -> list[str]:
    """Lines about the optional parts."""
    lines = []
    for name, part in PARTS.items():
        missing = [module for module in part.modules if importlib.util.find_spec(module) is None]
        if missing:
            text = f"missing ({', '.join(missing)}): pip install 'alrl_jax[{name}]'"
        else:
            text = _load_fault(part) or "present"
        lines.append(f"{name:<11}{part.purpose:<40}{text}")
    for name, (purpose, module, command) in DATA.items():
        text = "present" if is_installed(module) else f"missing: {command}"
        lines.append(f"{name:<11}{purpose:<40}{text}")
    several = [name for name in OPENCV if installed(name)]
    if len(several) > 1:
        lines.append(f"cv2 was installed several times: keep one of {', '.join(several)}")
    return lines


def _load_fault(part: Part) -> str | None:
    """Why an installed part does not load; None where it does, or where that takes long."""
    for module in part.modules if part.imported else ():
        try:
            importlib.import_module(module)
        except Exception as error:  # each library has its own
            return f"present, but does not load: {_one_line(error)}"
    return None


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def main(_: list[str]) -> int:
    """Prints all of it."""
    tested = tested_versions(sys.version_info[:2])
    revision = version.git_revision()
    sections = {
        f"{version.PACKAGE} {version.VERSION}": [
            f"in {Path(__file__).parents[1]}" + (f", {revision}" if revision else ""),
            f"Python {platform.python_version()} ({sys.executable})",
            platform.platform(),
        ],
        "dependencies": dependency_lines({name: installed(name) for name in tested}, tested),
        "devices": device_lines(),
        "caches": cache_lines(),
        "optional parts": part_lines(),
    }
    for title, lines in sections.items():
        print("\n".join([title, *(f"  {line}" for line in lines), ""]))
    return 0


def define_flags() -> None:
    """This command has no flags."""


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
