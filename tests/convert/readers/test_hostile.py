"""Files that lie, loop, or want to be executed."""

import collections
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alrl_jax.convert.engine import convert_file
from alrl_jax.convert.finding import find_networks
from alrl_jax.convert.readers.containers import read_checkpoint
from alrl_jax.convert.readers.legacy_files import MAGIC, VERSION
from alrl_jax.errors import UserError
from tests.support.checkpoints.legacy_writer import MACHINE, LegacyWriter, rebuild, save_legacy
from tests.support.checkpoints.nvidia_writer import GENERATIONS, NvidiaWriter
from tests.support.checkpoints.pickle_writer import Call, Named, NumpyWriter, dump
from tests.support.checkpoints.tf_writer import tf_network
from tests.support.checkpoints.torch_writer import save_torch

NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)
LOAD = Named("torch.storage", "_load_from_bytes")
MODULE = Named("torch_utils.persistence", "_reconstruct_persistent_obj")
NUMPY = NumpyWriter("core")


def _nested(value: Any, writer: LegacyWriter | None = None) -> Call:
    return Call(LOAD, ((writer or LegacyWriter()).stream(value),))


def _storage(**changes: Any) -> Call:
    writer = LegacyWriter(changes.pop("view_metadata", None))
    return _nested(writer.storage(NUMBERS, **changes), writer)


def _lying_count() -> Call:
    writer = LegacyWriter()
    storage = writer.storage(NUMBERS)
    writer.counts = dict.fromkeys(writer.counts, 2**40)
    return _nested(storage, writer)


def _object_array() -> Call:
    dtype = Call(Named("numpy", "dtype"), ("O8", False, True), (3, "|", None, None, None, -1, -1))
    state = (1, (1,), dtype, False, [Call(Named("os", "getcwd"))])
    arguments = (Named("numpy", "ndarray"), (0,), b"b")
    return Call(Named("numpy.core.multiarray", "_reconstruct"), arguments, state)


def _module(**changes: Any) -> Call:
    state = {"_parameters": {}, "_buffers": {}, "_modules": {}}
    meta = {"type": "class", "version": 6, "module_src": "raise SystemExit", "class_name": "G"}
    return Call(MODULE, ({**meta, "state": state, **changes},))


def _many_paths() -> Call:
    """Sixteen modules in a diamond: 4 ** 7 ways through them."""
    module = _module()
    for _ in range(7):
        children = {name: module for name in "abcd"}
        module = _module(state={"_parameters": {}, "_buffers": {}, "_modules": children})
    return module


def _read_over_and_over() -> list[Call]:
    stream = _storage().arguments
    return [Call(LOAD, stream) for _ in range(5000)]


def _deep(value: Any) -> list[Any]:
    for _ in range(200):
        value = [value]
    return value


CONTENTS: dict[str, tuple[Callable[[], Any], str]] = {
    "system": (lambda: Call(Named("os", "system"), ("true",)), "os system"),
    "eval": (lambda: _deep(Call(Named("builtins", "eval"), ("1",))), "builtins eval"),
    "getattr": (lambda: Call(Named("builtins", "getattr"), ("a", "b")), "builtins getattr"),
    "torch.load": (lambda: Call(Named("torch", "load"), ("x",)), "torch load"),
    "nested eval": (lambda: _nested(Call(Named("builtins", "eval"), ("1",))), "builtins eval"),
    "nested nested": (lambda: _nested(_storage()), "_load_from_bytes"),
    "nested tensor": (lambda: _nested(3), "something else than a storage"),
    "nested text": (lambda: Call(LOAD, (b"hello",)), "damaged"),
    "nested nothing": (lambda: Call(LOAD, (b"",)), "damaged"),
    "nested no bytes": (lambda: Call(LOAD, ("hello",)), "no bytes"),
    "stride": (lambda: rebuild(_storage(), (3, 4), (5, 1)), "beyond its storage"),
    "offset": (lambda: rebuild(_storage(), (3, 4), None, 1), "beyond its storage"),
    "negative": (lambda: rebuild(_storage(), (3, 4), (-4, 1)), "shape of a tensor"),
    "huge": (lambda: rebuild(_storage(), (2**40, 2**40)), "reaches beyond|shape of a tensor"),
    "repeated": (lambda: rebuild(_storage(), (10**6, 10**6), (0, 0)), "beyond its storage"),
    "count": (lambda: _storage(count=2**45), "beyond the end of the file"),
    "count in data": (_lying_count, "says that it has others"),
    "view": (lambda: _storage(view_metadata=("0", 0, 12)), "view_metadata"),
    "complex": (lambda: _storage(type="ComplexFloatStorage"), "ComplexFloatStorage"),
    "objects": (_object_array, "something else than numbers"),
    "short array": (
        lambda: Call(
            Named("numpy.core.multiarray", "_reconstruct"),
            (Named("numpy", "ndarray"), (0,), b"b"),
            (1, (2**40,), NUMPY.dtype(np.dtype("f4")), False, b"1234"),
        ),
        "has 4 bytes",
    ),
    "another version": (lambda: _module(version=7), "version 7"),
    "no state": (lambda: _module(state=[]), "state of a module"),
    "many paths": (_many_paths, "more than 1000"),
    "no dicts": (lambda: _module(state={"_modules": {}}), "damaged"),
    "no tensor": (
        lambda: _module(state={"_parameters": {"x": 1}, "_buffers": {}, "_modules": {}}),
        "no tensor",
    ),
    "over and over": (_read_over_and_over, "over and over"),
    "large key": (lambda: {2**61 - 1: 1}, "key above"),
    "tuple key": (lambda: {(1, 2): 1}, "key of type tuple"),
    "long number": (lambda: 1 << 5000, "more than 16 bytes"),
    "components": (
        lambda: Call(
            Named("dnnlib.tflib.network", "Network"),
            state={"version": 4, "static_kwargs": {}, "variables": [], "components": {"a": 1}},
            new=True,
        ),
        "no network",
    ),
    "variables": (
        lambda: Call(
            Named("dnnlib.tflib.network", "Network"),
            state={"version": 4, "static_kwargs": {}, "variables": [("a", "b")]},
            new=True,
        ),
        "variable",
    ),
    "reconstructor": (
        lambda: Call(Named("copyreg", "_reconstructor"), (LOAD, LOAD, None)),
        "object that a weight file does not need",
    ),
    "rot13": (lambda: Call(Named("_codecs", "encode"), ("a", "rot13")), "latin1"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_pickles_that_are_refused(tmp_path: Path, name: str) -> None:
    make, message = CONTENTS[name]
    path = tmp_path / "a.pkl"
    path.write_bytes(dump({"G_ema": make()}, 3))
    with pytest.raises(UserError, match=message) as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value) and "a.pkl" in str(error.value)


def test_module_in_itself(tmp_path: Path) -> None:
    children = Call(Named("dnnlib.util", "EasyDict"), new=True)
    module = _module(state={"_parameters": {}, "_buffers": {}, "_modules": children})
    children.items["again"] = module
    (tmp_path / "a.pkl").write_bytes(dump({"first": children, "G_ema": module}, 3))
    with pytest.raises(UserError, match="modules more than 8 deep"):
        read_checkpoint(tmp_path / "a.pkl")


RAW_PICKLES = {
    "long": b"\x80\x02\x8b\x00\x00\x10\x00" + b"\x01" * 2**20 + b".",
    "long text": b"L" + b"9" * 100_000 + b"L\n.",
    "number text": b"I" + b"9" * 4000 + b"\n.",
    "string": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "bytes": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0fabc.",
    "bytearray": b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x0fabc.",
    "frame": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff}.",
    "memo": b"\x80\x02}r\xff\xff\xff\x7f.",
    "extension": b"\x80\x02\x82\x01.",
    "next buffer": b"\x80\x05\x97.",
    "duplicates": b"\x80\x02]" + b"2" * 1000 + b"t.",
}


@pytest.mark.parametrize("name", RAW_PICKLES)
def test_instructions_that_ask_for_much(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(RAW_PICKLES[name])
    with pytest.raises(UserError) as error:
        convert_file(path, "auto", tmp_path / "out")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


class _Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_in_a_file_is_run(tmp_path: Path, protocol: int) -> None:
    trap = tmp_path / "sprung"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"G": _Trap(trap)}, protocol))
    old = max(protocol, 2)
    head = [pickle.dumps(part, old) for part in (MAGIC, VERSION, MACHINE, _Trap(trap))]
    (tmp_path / "a.pt").write_bytes(b"".join(head))
    for name in ("a.pkl", "a.pt"):
        with pytest.raises(UserError, match="names"):
            read_checkpoint(tmp_path / name)
    assert not trap.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_read(tmp_path: Path, protocol: int) -> None:
    arrays = {"a": np.arange(3, dtype=np.float32), "b": np.ones((2, 2), np.float16)}
    content = {"arrays": arrays, "list": [1, -2.5, None, True, "é", 2**40], "tuple": (1, 2, 3, 4)}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    read = read_checkpoint(tmp_path / "a.pkl")
    assert read["list"] == content["list"] and read["tuple"] == content["tuple"]
    for name, array in arrays.items():
        assert np.array_equal(read["arrays"][name], array)
        assert read["arrays"][name].dtype == array.dtype


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_legacy_containers_hold_what_archives_hold(tmp_path: Path, protocol: int) -> None:
    content = {"net": {"w": NUMBERS, "h": NUMBERS.astype(np.float16), "n": np.asarray(7)}}
    writer = LegacyWriter()
    (tmp_path / "a.pt").write_bytes(writer.stream(writer.wrap(content), protocol))
    legacy = read_checkpoint(tmp_path / "a.pt")
    archive = read_checkpoint(save_torch(tmp_path / "b.pt", content))
    for name, value in content["net"].items():
        assert np.array_equal(legacy["net"][name], value)
        assert np.array_equal(archive["net"][name], value)
        assert legacy["net"][name].dtype == value.dtype


def test_pickles_end_where_the_file_ends(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({}, 4) + b"N.")
    with pytest.raises(UserError, match="behind its end"):
        read_checkpoint(tmp_path / "a.pkl")


def test_objects_of_a_trainer_stay_closed(tmp_path: Path) -> None:
    options = Call(Named("argparse", "Namespace"), state={"batch": 16}, new=True)
    path = save_legacy(tmp_path / "a.pt", {"args": options, "step": 3})
    assert read_checkpoint(path)["step"] == 3


LEGACY_DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "more": lambda data: data + b"\x00",
    "less": lambda data: data[:-1],
    "count": lambda data: data[:-56] + (11).to_bytes(8, "little") + data[-48:],
    "version": lambda data: data.replace(b"M\xe9\x03.", b"M\xe8\x03."),
    "big-endian": lambda data: data.replace(b"little_endian", b"biggle_endian"),
}


@pytest.mark.parametrize("name", LEGACY_DAMAGE)
def test_legacy_streams_that_are_damaged(tmp_path: Path, name: str) -> None:
    path = save_legacy(tmp_path / "a.pt", {"w": NUMBERS})
    data = path.read_bytes()
    damaged = LEGACY_DAMAGE[name](data)
    assert damaged != data
    path.write_bytes(damaged)
    with pytest.raises(UserError, match="a.pt"):
        read_checkpoint(path)


def test_tensors_that_outgrow_their_file(tmp_path: Path) -> None:
    """A name costs a few bytes; a view of a large storage must not cost its size each time."""
    storage = _storage()
    tensors = {f"mapping.fc{i}.weight": rebuild(storage, (3, 4)) for i in range(64)}
    tensors |= {"synthesis.b4.const": rebuild(storage, (3, 2, 2))}
    path = tmp_path / "a.pkl"
    path.write_bytes(dump({"G_ema": collections.OrderedDict(tensors)}, 4))
    assert len(read_checkpoint(path)["G_ema"]) == 65
    writer = LegacyWriter()
    large = writer.storage(np.zeros(10_000, np.float32))
    tensors = {f"mapping.fc{i}.weight": rebuild(large, (100, 100)) for i in range(64)}
    tensors |= {"synthesis.b4.const": rebuild(large, (3, 2, 2))}
    path.write_bytes(writer.stream({"G_ema": tensors}))
    with pytest.raises(UserError, match="shared"):
        convert_file(path, "generator", tmp_path / "out")


def test_a_dict_of_many_names_is_looked_into_once() -> None:
    tensors = {f"module.{i}": np.zeros(1, np.float32) for i in range(5000)}
    outer = {"a": tensors, "b": tensors}
    found, others = find_networks({f"n{i}": outer if i % 2 else tensors for i in range(5000)})
    assert not found and len(others) == 5000  # 5e7 names, were they read each time


def test_names_fit_in_a_line(tmp_path: Path) -> None:
    networks = tf_network({"a\nb" * 100: NUMBERS, "Output/weight": NUMBERS}, 5)
    path = tmp_path / "a.pkl"
    path.write_bytes(dump({"D\n\ud800": networks, "G": networks}, 4))
    with pytest.raises(UserError) as error:
        convert_file(path, "auto", tmp_path / "out")
    assert "\n" not in str(error.value)


def test_modules_are_not_executed(tmp_path: Path) -> None:
    writer = NvidiaWriter(GENERATIONS["ada"])
    path = tmp_path / "a.pkl"
    path.write_bytes(writer.dump({"G_ema": writer.network({"b4.x.weight": NUMBERS})}))
    read = read_checkpoint(path)
    assert np.array_equal(read["G_ema"].tensors["b4.x.weight"], NUMBERS)
