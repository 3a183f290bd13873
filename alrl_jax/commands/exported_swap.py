"""Swaps faces with an exported swapper; needs jax alone, and what jax reads programs with.

    pip install jax flatbuffers
    python swap.py SOURCE.npy TARGET.npy OUTPUT.npy

The files hold faces ``[b, h, w, 3]``, float32 in [-1, 1], as many sources as targets. What this
draws carries no mark and no metadata: say that it is synthetic where you show it.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.export
import numpy as np

TYPES = {"F16": np.float16, "F32": np.float32, "I32": np.int32}


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Reads safetensors: the length of a header, the header as JSON, the numbers."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    weights = {}
    for name, entry in header.items():
        begin, end = (start + offset for offset in entry["data_offsets"])
        values = np.frombuffer(content[begin:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
        weights[name] = values.astype(np.float32) if entry["dtype"] == "F16" else values
    return weights


def load(directory: Path) -> Callable[..., dict[str, Any]]:
    """Opens an export.

    Returns:
        ``(source, target, **groups) -> image, generated, mask and gates by name``; groups say whose
        an attribute group shall be, such as ``expression="source"``.
    """
    facts = json.loads((directory / "export.json").read_text(encoding="utf-8"))
    program = jax.export.deserialize(bytearray((directory / facts["program"]).read_bytes()))
    call, weights = jax.jit(program.call), read_weights(directory / facts["weights"])

    def swap(source: np.ndarray, target: np.ndarray, **groups: str) -> dict[str, Any]:
        if unknown := sorted(set(groups) - set(facts["controlled_groups"])):
            raise ValueError(f"got {unknown[0]!r}; expected some of {facts['controlled_groups']}")
        chosen = {"pose": "target", **groups}
        owners = [facts["origins"][chosen.get(n, "module")] for n in facts["attribute_groups"]]
        return call(weights, source, target, np.array(owners, np.int32))

    return swap


if __name__ == "__main__":
    source_file, target_file, output_file = sys.argv[1:]
    swapped = load(Path(__file__).parent)(np.load(source_file), np.load(target_file))
    np.save(output_file, swapped["image"])
