"""Files as people hold them: copied, wrapped, cut, and of networks that are not converted."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from alrl_jax.convert.engine import convert_file, describe
from alrl_jax.convert.families.stylegan2.centres import NOISE_SEED
from alrl_jax.convert.readers.containers import read_checkpoint
from alrl_jax.convert.readers.inert_pickle import Opaque
from tests.conftest import RunCli
from tests.goldens import weights
from tests.goldens.golden import read_golden
from tests.support.checkpoints import face_files
from tests.support.checkpoints.legacy_writer import save_legacy
from tests.support.checkpoints.pickle_writer import Call, Named, dump
from tests.support.checkpoints.refusals import assert_refused
from tests.support.checkpoints.torch_writer import TorchWriter, save_torch

GOLDEN = read_golden("rosinality_g_32")
TENSORS = dict(GOLDEN.tensors)
CENTRE = weights.fill({"latent_avg": [64]})["latent_avg"]
DISCRIMINATOR = weights.fill(GOLDEN.info["discriminator_spec"])
Checkpoint = dict[str, Any]


def _prefixed(prefix: str, tensors: Checkpoint) -> Checkpoint:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _flat(variables: Any) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def _converted(path: Path, kind: str = "generator") -> Any:
    return convert_file(path, kind, path.parent / f"{path.stem}_out")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The variables of the file as rosinality's converter writes it."""
    folder = tmp_path_factory.mktemp("plain")
    content = {"g_ema": TENSORS, "latent_avg": CENTRE}
    return _flat(_converted(save_torch(folder / "g.pt", content)).variables)


def _assert_same(path: Path, expected: dict[str, np.ndarray], rtol: float = 0.0) -> Any:
    converted = _converted(path)
    actual = _flat(converted.variables)
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=rtol, err_msg=name)
    return converted


def _some(tensors: Checkpoint, prefix: str, every: int) -> Checkpoint:
    """Names of which each ``every``-th lacks the prefix."""
    return {n if i % every == 0 else prefix + n: x for i, (n, x) in enumerate(tensors.items())}


WRAPPED: dict[str, Callable[[], Checkpoint]] = {
    **{
        f"{prefix} on all": lambda prefix=prefix: {"g_ema": _prefixed(prefix, TENSORS)}
        for prefix in (
            "module.",
            "_orig_mod.",
            "_orig_mod.module.",
            "model.",
            "generator.",
            "net.",
            "model.module.",
        )
    },
    **{
        f"{prefix} on some": lambda prefix=prefix: {"g_ema": _some(TENSORS, prefix, 7)}
        for prefix in ("module.", "_orig_mod.", "model.", "generator.", "net.")
    },
    "module. on one": lambda: {
        "g_ema": {("module." if n == "noises.noise_2" else "") + n: x for n, x in TENSORS.items()}
    },
    "model. on one": lambda: {
        "g_ema": {("model." if n == "to_rgbs.1.bias" else "") + n: x for n, x in TENSORS.items()}
    },
    "lightning": lambda: {
        "state_dict": _prefixed("generator.", TENSORS) | _prefixed("discriminator.", DISCRIMINATOR),
        "epoch": 3,
    },
    "lightning, averaged": lambda: {
        "state_dict": _prefixed("model.g_ema.", TENSORS)
        | _prefixed("model.g.", {n: x + 1 for n, x in TENSORS.items()})
    },
    "wrapped inside": lambda: {"state_dict": _prefixed("decoder.module.", TENSORS)},
}


@pytest.mark.parametrize("name", WRAPPED)
def test_names_that_wrappers_and_owners_prefix(
    tmp_path: Path, plain: dict[str, np.ndarray], name: str
) -> None:
    content = WRAPPED[name]() | {"latent_avg": CENTRE}
    _assert_same(save_torch(tmp_path / "g.pt", content), plain)


def test_a_prefix_that_is_no_owner_makes_a_leftover(tmp_path: Path) -> None:
    strange = {("other." if n == "noises.noise_2" else "") + n: x for n, x in TENSORS.items()}
    path = save_torch(tmp_path / "g.pt", {"g_ema": strange, "latent_avg": CENTRE})
    assert_refused(path, "generator", "without noises.noise_2")


def _without(pattern: str) -> Checkpoint:
    return {name: tensor for name, tensor in TENSORS.items() if pattern not in name}


def test_a_generator_without_maps_of_noise_gets_them_from_a_seed(
    tmp_path: Path, plain: dict[str, np.ndarray]
) -> None:
    content = {"g_ema": _without("noises."), "latent_avg": CENTRE}
    converted = _converted(save_torch(tmp_path / "g.pt", content))
    actual = _flat(converted.variables)
    noises = {name for name in plain if "noise_const" in name}
    assert actual.keys() == plain.keys() and noises
    assert all(np.array_equal(actual[n], plain[n]) for n in plain.keys() - noises)
    first = np.random.default_rng(NOISE_SEED).standard_normal((1, 1, 4, 4), np.float32)
    drawn = converted.variables["constants"]["synthesis"]["b4"]["conv1"]["noise_const"]
    assert np.array_equal(drawn, first.transpose(0, 2, 3, 1))
    assert len({actual[name].tobytes() for name in noises}) == len(noises)
    assert "seed 0" in converted.source["noise"]
    assert "seed 0" in dict(describe(converted))["noise"]


def test_one_map_of_noise_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    content = {"g_ema": _without("noises.noise_2"), "latent_avg": CENTRE}
    assert_refused(save_torch(tmp_path / "g.pt", content), "generator", "without noises.noise_2")


def test_constant_kernels_may_be_missing(tmp_path: Path, plain: dict[str, np.ndarray]) -> None:
    content = {"g_ema": _without(".kernel"), "latent_avg": CENTRE}
    _assert_same(save_torch(tmp_path / "g.pt", content), plain)
    bare = {n: x for n, x in DISCRIMINATOR.items() if not n.endswith(".kernel")}
    assert len(bare) < len(DISCRIMINATOR)
    assert _converted(save_torch(tmp_path / "d.pt", {"d": bare}), "discriminator")


@pytest.mark.parametrize("where", ["vector", "layers", "opts", "opts, layers"])
def test_the_centre_stands_beside_or_in_the_options(
    tmp_path: Path, plain: dict[str, np.ndarray], where: str
) -> None:
    centre = CENTRE[None].repeat(8, 0) if "layers" in where else CENTRE
    said = {"latent_avg": centre}
    content = {"state_dict": _prefixed("decoder.", TENSORS)}
    content |= {"opts": {"output_size": 32, **said}} if "opts" in where else said
    _assert_same(save_torch(tmp_path / "g.pt", content), plain)


SAFE: dict[str, Callable[[], Checkpoint]] = {
    "flat": lambda: TENSORS | {"latent_avg": CENTRE},
    "sections": lambda: _prefixed("g_ema.", TENSORS) | {"latent_avg": CENTRE},
    "both": lambda: (
        _prefixed("g_ema.", TENSORS) | _prefixed("d.", DISCRIMINATOR) | {"latent_avg": CENTRE}
    ),
    "nested": lambda: _prefixed("state_dict.decoder.", TENSORS) | {"latent_avg": CENTRE},
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("name", SAFE)
def test_safetensors_of_any_name(
    tmp_path: Path, plain: dict[str, np.ndarray], name: str, suffix: str
) -> None:
    path = tmp_path / f"g{suffix}"
    tensors = {n: np.ascontiguousarray(x) for n, x in SAFE[name]().items()}
    safetensors.numpy.save_file(tensors, path)
    _assert_same(path, plain)


@pytest.mark.parametrize("length", [9, 300, -5])
def test_safetensors_that_are_cut(tmp_path: Path, length: int) -> None:
    path = tmp_path / "g.safetensors"
    safetensors.numpy.save_file({n: np.ascontiguousarray(x) for n, x in TENSORS.items()}, path)
    path.write_bytes(path.read_bytes()[:length])
    assert_refused(path, "generator", "damaged safetensors file .* download it again")


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16])
def test_half_precision(tmp_path: Path, plain: dict[str, np.ndarray], dtype: Any) -> None:
    half = {n: np.ascontiguousarray(x.astype(dtype)) for n, x in TENSORS.items()}
    safetensors.numpy.save_file(half | {"latent_avg": CENTRE}, tmp_path / "s.safetensors")
    expected = {n: x for n, x in plain.items() if "noise_const" not in n}
    for path in (tmp_path / "s.safetensors", _torch_half(tmp_path, half)):
        actual = _flat(_converted(path).variables)
        for name, value in expected.items():
            np.testing.assert_allclose(actual[name], value, rtol=0.01, atol=1e-3, err_msg=name)


def _torch_half(folder: Path, half: Checkpoint) -> Path:
    """As PyTorch saves them; its writer here names no type of NumPy's for bfloat16."""
    writer = TorchWriter()
    kind = {np.dtype(np.float16): "HalfStorage"}.get(
        next(iter(half.values())).dtype, "BFloat16Storage"
    )
    tensors = {name: writer.tensor(value, type=kind) for name, value in half.items()}
    return writer.save(folder / "t.pt", writer.pickle({"g_ema": tensors, "latent_avg": CENTRE}))


def _call(module: str, name: str, *arguments: Any, **rest: Any) -> Call:
    return Call(Named(module, name), arguments, **rest)


def _omegaconf() -> Call:
    meta = _call(
        "omegaconf.base",
        "ContainerMetadata",
        state={"ref_type": Named("typing", "Any"), "object_type": Named("builtins", "dict")},
        new=True,
    )
    node = lambda value: _call(  # noqa: E731
        "omegaconf.nodes", "AnyNode", state={"_metadata": meta, "_val": value}, new=True
    )
    state = {"_metadata": meta, "_content": {"size": node(8), "name": node("ffhq")}}
    return _call("omegaconf.dictconfig", "DictConfig", state=state, new=True)


OBJECTS: dict[str, tuple[Callable[[], Any], Any]] = {
    "path": (lambda: _call("pathlib", "PosixPath", "data", "x"), Opaque("pathlib PosixPath")),
    "path 3.13": (
        lambda: _call("pathlib._local", "PosixPath", "/"),
        Opaque("pathlib._local PosixPath"),
    ),
    "device": (lambda: _call("torch", "device", "cuda", 0), Opaque("torch device")),
    "size": (lambda: _call("torch", "Size", (1, 2)), Opaque("torch Size")),
    "version": (
        lambda: _call("torch.torch_version", "TorchVersion", "2.4"),
        Opaque("torch.torch_version TorchVersion"),
    ),
    "slice": (lambda: _call("builtins", "slice", 0, 8, None), Opaque("builtins slice")),
    "omegaconf": (_omegaconf, {"size": 8, "name": "ffhq"}),
    "default dict": (
        lambda: _call("collections", "defaultdict", Named("builtins", "list"), items={"a": 1}),
        {"a": 1},
    ),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", OBJECTS)
def test_objects_of_options_are_inert(tmp_path: Path, name: str, protocol: int) -> None:
    make, expected = OBJECTS[name]
    path = TorchWriter().save(tmp_path / "a.pt", dump({"opts": {"x": make()}}, protocol))
    assert read_checkpoint(path) == {"opts": {"x": expected}}


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_types_of_numbers_are_inert(tmp_path: Path, name: str) -> None:
    path = TorchWriter().save(tmp_path / "a.pt", dump({"dtype": Named("torch", name)}, 2))
    assert read_checkpoint(path)["dtype"].make is None


REFUSED = {
    "path": ("pathlib", "PosixPath.unlink"),
    "device": ("torch", "load"),
    "omegaconf": ("omegaconf", "OmegaConf"),
    "builtin": ("builtins", "exec"),
    "enum": ("mycode.config", "Mode"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    module, attribute = REFUSED[name]
    content = {"g_ema": {}, "opts": _call(module, attribute, "x")}
    path = TorchWriter().save(tmp_path / "a.pt", dump(content, 2))
    assert_refused(path, "generator", f"it names '{module} {attribute}'.*save the state dict alone")


OTHERS: dict[str, tuple[bytes, str]] = {
    "page": (b"<!DOCTYPE html><html><head><title>Virus scan", "a web page .*save the file itself"),
    "page after a line": (b"\n  <html lang='en'>", "a web page"),
    "page with a mark": (b"\xef\xbb\xbf<HTML>", "a web page"),
    "bucket": (b'<?xml version="1.0"?><Error>AccessDenied', "a web page"),
    "answer": (json.dumps({"error": "quota exceeded"}).encode(), "JSON"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
    "annex": (b"/annex/objects/SHA256E-s3--00.pt\n", "git annex get"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(20), "gzip archive.*unpack it"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(20), "7z archive"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5"),
    "zeros": (bytes(4096), "nothing but zeros"),
    "empty": (b"", "empty.*download it again"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_checkpoint_is_named(tmp_path: Path, name: str) -> None:
    content, message = OTHERS[name]
    (tmp_path / "ffhq.pt").write_bytes(content)
    assert_refused(tmp_path / "ffhq.pt", "generator", message)


def test_a_zip_of_other_files_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "g.pt", "w") as archive:
        archive.writestr("weights/ffhq.pkl", b"x")
    assert_refused(tmp_path / "g.pt", "generator", "zip archive of other files .*ffhq.pkl.*unpack")


@pytest.mark.parametrize("save", [save_torch, save_legacy])
@pytest.mark.parametrize("share", [0.5, 0.99])
def test_half_a_download(tmp_path: Path, save: Callable[..., Path], share: float) -> None:
    path = save(tmp_path / "g.pt", {"g_ema": TENSORS, "latent_avg": CENTRE})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert_refused(path, "generator", "download it again")


SHAPE = np.zeros((2, 2), np.float32)
ENCODER = _prefixed("encoder.", face_files.fill(face_files.style_encoder_spec()))

UNSUPPORTED: dict[str, tuple[Checkpoint, str, str]] = {
    "StyleGAN3": ({"G_ema": {"synthesis.input.freqs": SHAPE}}, "generator", "StyleGAN3"),
    "StyleGAN3, auto": (
        {"G_ema": {"synthesis.L3_52_512.affine.weight": SHAPE}, "d": DISCRIMINATOR},
        "auto",
        "StyleGAN3",
    ),
    "GFPGAN": (
        {"params_ema": {"stylegan_decoder.style_mlp.1.weight": SHAPE}},
        "generator",
        "GFPGAN.*stylegan2-ffhq-config-f",
    ),
    "ReStyle": (
        {"state_dict": ENCODER, "opts": {"encoder_type": "ProgressiveBackboneEncoder"}},
        "auto",
        "ReStyle",
    ),
    "ReStyle, psp": (
        {"state_dict": ENCODER, "opts": {"encoder_type": "BackboneEncoder", "output_size": 32}},
        "psp",
        "ReStyle",
    ),
    "ReStyle, no options": (
        {"state_dict": {n: x for n, x in ENCODER.items() if "latlayer" not in n}},
        "e4e",
        "ReStyle.*e4e_ffhq_encode.pt",
    ),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_networks_that_are_not_converted_are_named(tmp_path: Path, name: str) -> None:
    content, kind, message = UNSUPPORTED[name]
    assert_refused(save_torch(tmp_path / "x.pt", content), kind, message)


def test_what_lies_beside_an_unsupported_network_is_converted(tmp_path: Path) -> None:
    content = {"G_ema": {"synthesis.input.freqs": SHAPE}, "d": DISCRIMINATOR}
    assert _converted(save_torch(tmp_path / "x.pt", content), "discriminator")


def test_command_line(tmp_path: Path, run_cli: RunCli) -> None:
    source = save_torch(tmp_path / "g.pt", {"g_ema": _without("noises."), "latent_avg": CENTRE})
    done = run_cli("tools.convert_weights", f"--source={source}", f"--output={tmp_path / 'g'}")
    assert done.returncode == 0, done.stderr
    assert "noise       drawn from seed 0: the file holds none" in done.stdout
    source.write_bytes(b"<html>")
    refused = run_cli("tools.convert_weights", f"--source={source}", f"--output={tmp_path / 'h'}")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert "a web page" in refused.stderr and not (tmp_path / "h").exists()
