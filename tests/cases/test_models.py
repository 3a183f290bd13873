"""Model directories of strangers: read whole, or refused in one line before they take memory."""

import hashlib
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from alrl_jax.commands import generate
from alrl_jax.storage.model_directory import MODEL_FILE, WEIGHTS_FILE, read_model
from tests.cases.running import Command
from tests.support.fuzz import save_tiny_model
from tools.bench import measure_retrieval

MOST_BYTES = 2**26
"""What refusing a directory may take."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    save_tiny_model(folder)
    return folder


def copy(sound: Path, folder: Path) -> Path:
    (folder / "m").mkdir()
    for name in (MODEL_FILE, WEIGHTS_FILE):
        (folder / "m" / name).write_bytes((sound / name).read_bytes())
    return folder / "m"


def config(**changes: Any) -> Callable[[Path], Any]:
    """Changes the config; a value of None takes a key out."""

    def change(folder: Path) -> None:
        meta = json.loads((folder / MODEL_FILE).read_text())
        meta["config"] = {k: v for k, v in (meta["config"] | changes).items() if v is not None}
        (folder / MODEL_FILE).write_text(json.dumps(meta))

    return change


def meta(**changes: Any) -> Callable[[Path], Any]:
    """Changes what stands beside the config."""

    def change(folder: Path) -> None:
        values = json.loads((folder / MODEL_FILE).read_text())
        (folder / MODEL_FILE).write_text(json.dumps(values | changes))

    return change


def weights(change: Callable[[dict[str, np.ndarray]], Any]) -> Callable[[Path], Any]:
    """Changes arrays, and the hash with them."""

    def act(folder: Path) -> None:
        path = folder / WEIGHTS_FILE
        arrays = safetensors.numpy.load_file(path)
        change(arrays)
        safetensors.numpy.save_file(arrays, path)
        meta(sha256=hashlib.sha256(path.read_bytes()).hexdigest())(folder)

    return act


def header(text: bytes, numbers: bytes = b"") -> Callable[[Path], Any]:
    """A weights file of a header and the bytes of its arrays."""
    content = len(text).to_bytes(8, "little") + text + numbers
    return lambda folder: (folder / WEIGHTS_FILE).write_bytes(content)


def _without(name: str) -> Callable[[dict[str, np.ndarray]], Any]:
    return lambda arrays: arrays.pop(next(n for n in arrays if name in n))


def _scale(arrays: dict[str, np.ndarray]) -> None:
    """A broadcast that would take 4 TB."""
    arrays["params/x"] = np.zeros((1000, 1), np.int8)
    arrays["params/x:scale"] = np.zeros((2**20,), np.float32)


def _base(folder: Path) -> None:
    here = {"directory": str(folder), "sha256": "0", "arrays": []}
    meta(base=here)(folder)


def _pipe(folder: Path) -> None:
    (folder / WEIGHTS_FILE).unlink()
    os.mkfifo(folder / WEIGHTS_FILE)


def _device(folder: Path) -> None:
    (folder / MODEL_FILE).unlink()
    (folder / MODEL_FILE).symlink_to("/dev/zero")


HUGE = b'{"a": {"dtype": "F32", "shape": [65536, 65536], "data_offsets": [0, 17179869184]}}'
ODD = b'{"a": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}'

REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "unknown key": (config(hiden=4), "unknown key 'hiden'; did you mean hidden"),
    "missing key": (config(hidden=None), "config lacks 'hidden'"),
    "negative": (config(hidden=-1), "config.hidden is -1; expected a whole number from 1 to 4096"),
    "a text": (config(hidden="4"), "config.hidden is '4'; expected a whole number"),
    "absurd": (config(widths=[10**9]), "config.widths is [1000000000]; expected a list"),
    "other width": (config(hidden=8), "arrays are not those of the identity"),
    "config is a list": (meta(config=[]), "without a dict 'config'"),
    "kind is a number": (meta(kind=3), "without a str 'kind'"),
    "base is a number": (meta(base=5), "with base 5"),
    "base is itself": (_base, "whose base"),
    "array is missing": (weights(_without("kernel")), "arrays are not those"),
    "integers": (
        weights(lambda a: a.update({n: x.astype(np.int32) for n, x in a.items()})),
        "holds no floating-point numbers",
    ),
    "odd name": (weights(lambda a: a.update({"params": np.zeros(1)})), "no sound safetensors"),
    "broadcast": (weights(_scale), "is no scale of an array in 8 bits"),
    "fp8": (header(ODD, b"\0"), "is of F8_E4M3; expected F64"),
    "promises": (header(HUGE), "bytes of numbers; its arrays have 17179869184"),
    "deep": (
        lambda folder: (folder / MODEL_FILE).write_text("[" * 200_000),
        "unreadable",
    ),
    "pipe": (_pipe, "not a regular file"),
    "device": (_device, "not a regular file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_strange_directory_is_refused(command: Command, sound: Path, name: str) -> None:
    change, line = REFUSED[name]
    folder = copy(sound, command.folder)
    change(folder)
    tracemalloc.start()
    try:
        assert command(measure_retrieval, f"--model={folder}") == 2
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert line in command.error and peak < MOST_BYTES


def test_a_sound_directory_is_opened(command: Command, sound: Path) -> None:
    """It is of another kind than the command needs, which is said once it is read."""
    output = f"--output={command.folder / 'out'}"
    assert command(generate, f"--model={sound}", "--seeds=0", output) == 2
    assert "got a model of kind 'identity'" in command.error


def test_a_model_that_is_replaced_is_read_whole(sound: Path, tmp_path: Path) -> None:
    """Its files are exchanged in one step, and what is read is of one of the two models."""
    from alrl_jax.storage.model_directory import save_model

    link = tmp_path / "link"
    link.symlink_to(copy(sound, tmp_path))
    meta_before, variables = read_model(link)
    save_model(link, "identity", meta_before["config"], variables, source={"n": 2})
    assert link.is_symlink(), "a link stays one"
    assert read_model(tmp_path / "m")[0]["source"] == {"n": 2}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "m"]
