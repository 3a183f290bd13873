"""Reads safetensors, which hold tensors by name and nothing else."""

import json
from pathlib import Path

import numpy as np
import safetensors

from alrl_jax.errors import UserError

_LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100 * 2**20


def is_safetensors(head: bytes) -> bool:
    """Whether a file begins as safetensors do: the length of a header, and JSON."""
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    return head[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{" and length <= MAX_HEADER_BYTES


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name.

    Raises:
        UserError: if the file is damaged, cut short, or holds numbers of a type that NumPy lacks.
    """
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, json.JSONDecodeError, ValueError, TypeError) as error:
        raise UserError(
            f"got {path}, a damaged safetensors file ({' '.join(str(error).split())[:200]}); "
            "expected a whole one; download it again"
        ) from error
