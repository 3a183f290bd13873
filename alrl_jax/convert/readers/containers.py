"""Opens checkpoints of every container that is understood, without running anything in them."""

import mmap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alrl_jax.convert.faults import CheckpointError
from alrl_jax.convert.networks import Network
from alrl_jax.convert.readers.inert_pickle import Budget, ByteReader, read_pickle
from alrl_jax.convert.readers.legacy_files import MAGIC_BYTES, read_legacy
from alrl_jax.convert.readers.numpy_objects import NUMPY_NAMES
from alrl_jax.convert.readers.nvidia_files import Module, flatten_module, nvidia_names
from alrl_jax.convert.readers.onnx_files import is_onnx, read_onnx
from alrl_jax.convert.readers.other_files import what_it_is
from alrl_jax.convert.readers.safetensors_files import is_safetensors, read_safetensors
from alrl_jax.convert.readers.tf_files import SECTIONS, TF_NAMES, TFNetwork, flatten_network
from alrl_jax.convert.readers.torch_files import read_torch_zip
from alrl_jax.convert.readers.torch_objects import TORCH_NAMES
from alrl_jax.errors import UserError

_ZIP = b"PK\x03\x04"
_HEAD_BYTES = 512
_LEGACY_BYTES = 64


def read_checkpoint(path: Path) -> Any:
    """Reads a file of any container that is understood.

    Args:
        path: the file.

    Returns:
        What was saved: dicts, lists, tuples, plain values, read-only arrays for tensors, and
        ``Network`` for networks that were pickled whole, or are an ONNX graph.

    Raises:
        UserError: if there is no such file, or it is none of these containers, or damaged, or
            holds more than data.
    """
    head, data = _open(path)
    if is_safetensors(head):  # before the others: it may begin with any byte
        return read_safetensors(path)
    other = what_it_is(head)
    if other is not None:
        raise UserError(f"got {path}: {other[0]}; expected a checkpoint file; {other[1]}")
    if head.startswith(_ZIP):
        return read_torch_zip(path)
    try:
        return read_onnx(path) if is_onnx(head) else _read_stream(memoryview(data), head)
    except CheckpointError as error:
        raise UserError(
            f"got {path}, which is not read: {error}; expected a checkpoint of PyTorch or of "
            "StyleGAN2 with plain tensors; is it complete? download it again"
        ) from error


def _open(path: Path) -> tuple[bytes, bytes | mmap.mmap]:
    """The first bytes of a file, and the whole of it, mapped: what is not used is never copied."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if head else b""
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it cannot be mapped"
        raise UserError(f"got {path}: {reason}; expected a checkpoint file") from error
    return head, data


def _read_stream(data: memoryview, head: bytes) -> Any:
    # At the very beginning: pickles of NVIDIA hold such streams further on.
    if MAGIC_BYTES in head[:_LEGACY_BYTES]:
        return read_legacy(data, TORCH_NAMES | NUMPY_NAMES)
    budget = Budget(len(data))
    names = TORCH_NAMES | NUMPY_NAMES | nvidia_names(budget) | TF_NAMES
    reader = ByteReader(data)
    content = read_pickle(reader, names, budget=budget)
    if reader.position != len(data):
        raise CheckpointError("there is more behind its end")
    return _open_networks(content)


def _open_networks(content: Any) -> Any:
    """Whole networks as ``Network``; the tuple of the TensorFlow files as a dict."""
    if isinstance(content, tuple) and len(content) == len(SECTIONS):
        content = dict(zip(SECTIONS, content, strict=True))
    if isinstance(content, dict):
        return {name: _open_network(value) for name, value in content.items()}
    return _open_network(content)


def _open_network(value: Any) -> Any:
    for kind, flatten in _NETWORKS.items():
        if isinstance(value, kind):
            return flatten(value)
    return value


_NETWORKS: Mapping[type, Callable[[Any], Network]] = {
    Module: flatten_module,
    TFNetwork: flatten_network,
}
