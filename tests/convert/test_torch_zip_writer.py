import pickletools
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alrl_jax.convert.readers.torch_files import read_torch_zip
from alrl_jax.convert.torch_zip_writer import ALIGNMENT, write_torch_zip

CONTENT: dict[str, Any] = {
    "net": {
        "map": np.arange(12, dtype=np.float32).reshape(3, 4),
        "turned": np.arange(12, dtype=np.float32).reshape(3, 4).T,
        "scalar": np.asarray(0.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "half": np.linspace(0, 1, 5).astype(np.float16),
        "count": np.asarray([7, 2**40], np.int64),
    },
    "kwargs": {"layers": 8, "large": 2**40, "negative": -(2**31) - 1, "clamp": None, "on": True},
    "list": [1, 2.5, "three", False, (4, "ä")],
}

# What PyTorch's unpickler for weights alone knows of protocol 2.
SAFE_GLOBALS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch FloatStorage",
    "torch HalfStorage",
    "torch LongStorage",
}
SAFE_INSTRUCTIONS = set(
    "PROTO STOP GLOBAL REDUCE MARK TUPLE EMPTY_TUPLE EMPTY_DICT EMPTY_LIST SETITEMS APPENDS NONE "
    "NEWTRUE NEWFALSE BININT LONG1 BINFLOAT BINUNICODE BINPERSID".split()
)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    write_torch_zip(tmp_path / "a.pt", CONTENT)
    read = read_torch_zip(tmp_path / "a.pt")
    for name, expected in CONTENT["net"].items():
        actual = read["net"].pop(name)
        assert actual.dtype == expected.dtype and actual.shape == expected.shape
        assert np.array_equal(actual, expected)
    assert read == {**CONTENT, "net": {}}
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_only_what_a_reader_of_weights_alone_accepts(tmp_path: Path) -> None:
    write_torch_zip(tmp_path / "a.pt", CONTENT)
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        steps = list(pickletools.genops(archive.read("archive/data.pkl")))
    assert {step.name for step, _, _ in steps} <= SAFE_INSTRUCTIONS
    assert {name for step, name, _ in steps if step.name == "GLOBAL"} <= SAFE_GLOBALS


def test_members_are_plain_aligned_and_of_no_time(tmp_path: Path) -> None:
    write_torch_zip(tmp_path / "a.pt", CONTENT)
    write_torch_zip(tmp_path / "b.pt", CONTENT)
    data = (tmp_path / "a.pt").read_bytes()
    assert data == (tmp_path / "b.pt").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        assert archive.testzip() is None
        for member in archive.infolist():
            name_bytes, extra_bytes = (
                int.from_bytes(data[member.header_offset + at :][:2], "little") for at in (26, 28)
            )
            assert (member.header_offset + 30 + name_bytes + extra_bytes) % ALIGNMENT == 0
            assert member.compress_type == zipfile.ZIP_STORED


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", np.zeros(2, complex), object()])
def test_other_things_are_refused_and_nothing_is_left(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError):
        write_torch_zip(tmp_path / "a.pt", {"x": value})
    assert not list(tmp_path.iterdir())


@pytest.mark.torch
def test_pytorch_reads_it(tmp_path: Path) -> None:
    import torch  # pyright: ignore

    write_torch_zip(tmp_path / "a.pt", CONTENT)
    for mapped in (False, True):
        read = torch.load(tmp_path / "a.pt", weights_only=True, mmap=mapped)
        for name, expected in CONTENT["net"].items():
            assert np.array_equal(read["net"][name].numpy(), expected)
        assert read["kwargs"] == CONTENT["kwargs"] and read["list"] == CONTENT["list"]
