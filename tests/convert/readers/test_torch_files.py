import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alrl_jax.convert.faults import CheckpointError
from alrl_jax.convert.readers.inert_pickle import Opaque, read_pickle
from alrl_jax.convert.readers.torch_files import read_torch_zip
from alrl_jax.errors import UserError
from tests.support.checkpoints.torch_writer import TorchWriter, save_torch

ARRAYS = {
    "single": np.arange(12, dtype=np.float32).reshape(3, 4),
    "half": np.linspace(0, 1, 5).astype(np.float16),
    "double": np.full((2, 1, 2), 0.1),
    "count": np.asarray(7, np.int64),
    "empty": np.zeros((0, 3), np.float32),
}


def test_tensors_of_all_types(tmp_path: Path) -> None:
    read = read_torch_zip(save_torch(tmp_path / "a.pt", {"net": ARRAYS, "step": 3}))
    assert read["step"] == 3
    for name, expected in ARRAYS.items():
        actual = read["net"][name]
        assert actual.dtype == expected.dtype and actual.shape == expected.shape
        assert np.array_equal(actual, expected)
        assert not actual.size or not actual.flags.writeable


def test_views_with_offset_and_strides(tmp_path: Path) -> None:
    writer = TorchWriter()
    numbers = np.arange(10, dtype=np.float32)
    tensor = writer.tensor(numbers, offset=1, size=(2, 3), stride=(1, 3))
    path = writer.save(tmp_path / "a.pt", writer.pickle({"x": tensor}))
    assert np.array_equal(read_torch_zip(path)["x"], [[1, 4, 7], [2, 5, 8]])


def test_the_options_of_a_trainer_are_a_dict(tmp_path: Path) -> None:
    writer = TorchWriter()
    path = writer.save(
        tmp_path / "a.pt", writer.pickle({"args": writer.namespace({"batch": 16, "seed": None})})
    )
    assert read_torch_zip(path) == {"args": {"batch": 16, "seed": None}}
    strange = b"cargparse\nNamespace\n)\x81" + writer.emit("text") + b"b"
    path = writer.save(tmp_path / "b.pt", writer.pickle({"args": strange}))
    assert read_torch_zip(path) == {"args": Opaque("argparse Namespace")}


class _Hostile:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nothing_in_a_file_is_run(tmp_path: Path, protocol: int) -> None:
    trap = tmp_path / "sprung"
    path = TorchWriter().save(tmp_path / "a.pt", pickle.dumps(_Hostile(trap), protocol))
    with pytest.raises(UserError, match="names"):
        read_torch_zip(path)
    assert not trap.exists()
    pickle.loads(pickle.dumps(_Hostile(trap), protocol))
    assert trap.exists(), "the trap itself works"


HOSTILE = {
    "builtins": b"cbuiltins\neval\n(X\x01\x00\x00\x001tR.",
    "posix": b"cposix\nsystem\n(X\x04\x00\x00\x00truetR.",
    "torch.load": b"ctorch.storage\n_load_from_bytes\n(C\x01atR.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "instance": b"(ios\nsystem\n.",
    "object": b"(cos\nsystem\no.",
    "extension": b"\x82\x01.",
    "calls a name": b"ctorch\nFloatStorage\n)R.",
    "calls a dict": b"})R.",
    "state of a list": b"]}b.",
    "deep key": b"}" + b")" + b"\x85" * 20_000 + b"Ks.",
    "deep value": b")" + b"\x85" * 20_000 + b"b.",
    "huge memo": b"}r\xff\xff\xff\xff0.",
    "long text": b"X\xff\xff\xff\x7fa.",
    "unknown memo": b"h\x05.",
    "empty stack": b"R.",
    "no end": b"}",
    "two objects": b"}}.",
    "nothing": b"",
    "text": b"hello",
    "bad text": b"X\x02\x00\x00\x00\xff\xfe.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_pickles_with_more_than_data(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError):
        read_pickle(HOSTILE[name], {})
    path = TorchWriter().save(tmp_path / "a.pt", HOSTILE[name])
    with pytest.raises(UserError) as error:
        read_torch_zip(path)
    assert "\n" not in str(error.value)


DAMAGED_TENSORS: dict[str, dict[str, Any]] = {
    "offset": {"offset": 1},
    "size": {"size": (4, 4)},
    "stride": {"stride": (5, 1)},
    "negative": {"stride": (-1, 1)},
    "repeated": {"size": (1000, 1000), "stride": (0, 0)},
    "axes": {"stride": (1,)},
    "count": {"count": 11},
    "type": {"type": "DoubleStorage"},
    "unknown type": {"type": "ComplexFloatStorage"},
}


@pytest.mark.parametrize("name", DAMAGED_TENSORS)
def test_tensors_stay_inside_their_storage(tmp_path: Path, name: str) -> None:
    writer = TorchWriter()
    tensor = writer.tensor(ARRAYS["single"], **DAMAGED_TENSORS[name])
    path = writer.save(tmp_path / "a.pt", writer.pickle({"x": tensor}))
    with pytest.raises(UserError):
        read_torch_zip(path)


def test_archives_that_are_larger_than_they_look(tmp_path: Path) -> None:
    writer = TorchWriter()
    content = writer.pickle({"x": np.zeros(1000, np.float32)})
    path = writer.save(tmp_path / "a.pt", content, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="compressed"):
        read_torch_zip(path)


def test_archives_of_something_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(UserError, match="data.pkl"):
        read_torch_zip(tmp_path / "a.npz")


def test_missing_storage(tmp_path: Path) -> None:
    writer = TorchWriter()
    content = writer.pickle({"x": ARRAYS["single"]})
    writer.storages.clear()
    with pytest.raises(UserError, match="missing"):
        read_torch_zip(writer.save(tmp_path / "a.pt", content))


def test_files_cut_anywhere_or_with_a_flipped_byte_never_get_through_silently(
    tmp_path: Path,
) -> None:
    path = save_torch(tmp_path / "a.pt", {"x": ARRAYS["single"], "y": ARRAYS["half"]})
    data = path.read_bytes()
    for cut in range(0, len(data), 7):
        path.write_bytes(data[:cut])
        with pytest.raises(UserError):
            read_torch_zip(path)
    for position in range(0, len(data), 5):
        damaged = bytearray(data)
        damaged[position] ^= 0x41
        path.write_bytes(bytes(damaged))
        try:
            read_torch_zip(path)
        except UserError:
            continue  # else: a byte that does not matter, such as a time stamp
