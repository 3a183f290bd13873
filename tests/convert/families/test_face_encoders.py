"""pSp, e4e, ArcFace and iresnet: files in their projects' layouts, held against an own oracle."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import alrl_jax
from alrl_jax.convert.engine import convert_file
from alrl_jax.errors import UserError
from alrl_jax.storage.model_directory import read_model
from tests.conftest import RunCli
from tests.goldens.golden import assert_close, nhwc, read_golden
from tests.support.checkpoints import face_files
from tests.support.checkpoints.face_files import Body
from tests.support.checkpoints.legacy_writer import save_legacy
from tests.support.checkpoints.refusals import assert_refused
from tests.support.checkpoints.torch_writer import TorchWriter, save_torch

pytestmark = pytest.mark.usefixtures("quick_compilation")

Checkpoint = dict[str, Any]

GENERATOR = read_golden("rosinality_g_32")
STYLES, WIDTH = 8, 64
RNG = np.random.default_rng(0)
FACES = RNG.uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
CENTRE = RNG.standard_normal((STYLES, WIDTH)).astype(np.float32)

OPTIONS: dict[str, dict[str, Any]] = {
    "psp": {
        "encoder_type": "GradualStyleEncoder",
        "output_size": 32,
        "start_from_latent_avg": True,
    },
    "e4e": {"encoder_type": "Encoder4Editing", "stylegan_size": 32, "start_from_latent_avg": True},
}
ENCODER = face_files.fill(face_files.style_encoder_spec())


def _prefixed(prefix: str, tensors: Checkpoint) -> Checkpoint:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _checkpoint(kind: str = "psp", **options: Any) -> Checkpoint:
    """What the trainers of pSp and e4e write."""
    networks = _prefixed("encoder.", ENCODER) | _prefixed("decoder.", GENERATOR.tensors)
    said = {**OPTIONS[kind], "lpips_lambda": 0.8, "checkpoint_path": None, **options}
    return {"state_dict": networks, "opts": said, "latent_avg": CENTRE}


def _codes(directory: Path) -> np.ndarray:
    return np.asarray(alrl_jax.load(directory)(nhwc(FACES)))


@pytest.mark.parametrize("kind", ["psp", "e4e"])
def test_an_encoder_gives_the_same_codes(tmp_path: Path, kind: str) -> None:
    path = save_torch(tmp_path / "e.pt", _checkpoint(kind) | {"global_step": 7})
    convert_file(path, kind, tmp_path / "e")
    meta, _ = read_model(tmp_path / "e")
    assert meta["kind"] == kind and meta["config"]["offsets"] is (kind == "e4e")
    assert meta["config"]["units"] == [1, 2, 1, 2] and meta["config"]["centred"]
    assert meta["source"]["section"] == "state_dict/encoder"
    assert meta["source"]["skipped"] == ["state_dict/decoder", "global_step"]
    plain = face_files.style_encoder(FACES, ENCODER, offsets=kind == "e4e")
    assert_close(_codes(tmp_path / "e"), plain + CENTRE)


def test_features_are_the_ends_of_the_later_stages(tmp_path: Path) -> None:
    convert_file(save_torch(tmp_path / "e.pt", _checkpoint()), "psp", tmp_path / "e")
    model = alrl_jax.load(tmp_path / "e")
    maps = face_files.ir_body(FACES, ENCODER)
    for actual, expected in zip(
        model.features(nhwc(FACES)), (maps[2], maps[3], maps[5]), strict=True
    ):
        assert_close(actual, nhwc(expected))


def _generator(path: Path, output: Path) -> tuple[dict[str, Any], Any]:
    convert_file(path, "generator", output)
    return read_model(output)


def test_the_decoder_is_a_generator_of_rosinalitys(tmp_path: Path) -> None:
    content = _checkpoint() | {"latent_avg": CENTRE[:1].repeat(STYLES, 0)}
    meta, variables = _generator(save_torch(tmp_path / "e.pt", content), tmp_path / "g")
    alone = {"g_ema": GENERATOR.tensors, "latent_avg": CENTRE[0]}
    expected, same = _generator(save_torch(tmp_path / "g.pt", alone), tmp_path / "h")
    assert meta["source"]["section"] == "state_dict/decoder"
    assert meta["source"]["skipped"] == ["state_dict/encoder"]
    assert meta["config"] == expected["config"]
    assert jax.tree.all(jax.tree.map(np.array_equal, variables, same))


@pytest.mark.parametrize("shape", ["vector", "row", "rows", "layers", "absent"])
def test_centres_of_every_shape(tmp_path: Path, shape: str) -> None:
    centres = {
        "vector": CENTRE[0],
        "row": CENTRE[:1],
        "rows": CENTRE[:1].repeat(STYLES, 0),
        "layers": CENTRE,
    }
    content = _checkpoint("e4e")
    del content["latent_avg"]
    content |= {"latent_avg": centres[shape]} if shape in centres else {}
    path = save_torch(tmp_path / "e.pt", content)
    meta, generator = _generator(path, tmp_path / "g")
    center = generator["constants"]["mapping"]["w_avg"]
    known = shape in ("vector", "row", "rows")
    assert ("w_avg" in meta["source"]) is not known
    if known:
        assert np.array_equal(center, CENTRE[0])
    else:
        assert_close(center, GENERATOR.arrays["w"].mean(0), worst=2.0, relative_l2=1.0)
    convert_file(path, "e4e", tmp_path / "e")
    meta, encoder = read_model(tmp_path / "e")
    assert ("latent_avg" in meta["source"]) is (shape == "absent")
    expected = np.broadcast_to(centres.get(shape, center), CENTRE.shape)
    assert np.array_equal(encoder["constants"]["latent_avg"], expected)


def test_a_centre_that_was_not_trained_with_is_not_added(tmp_path: Path) -> None:
    path = save_torch(tmp_path / "e.pt", _checkpoint(start_from_latent_avg=False))
    convert_file(path, "psp", tmp_path / "e")
    meta, _ = read_model(tmp_path / "e")
    assert not meta["config"]["centred"] and "not added" in meta["source"]["latent_avg"]
    assert_close(_codes(tmp_path / "e"), face_files.style_encoder(FACES, ENCODER, offsets=False))


def test_options_may_be_a_namespace_and_names_wrapped(tmp_path: Path) -> None:
    writer, content = TorchWriter(), _checkpoint("e4e")
    content["state_dict"] = _prefixed("module.", content["state_dict"])
    content["opts"] = writer.namespace(content["opts"])
    path = writer.save(tmp_path / "e.pt", writer.pickle(content))
    with pytest.raises(UserError, match="expected what the file holds: e4e, generator"):
        convert_file(path, "psp", tmp_path / "e")
    assert convert_file(path, "e4e", tmp_path / "e").config["offsets"]


@pytest.mark.parametrize(
    "said", [{}, {"encoder_type": None}, {"output_size": 32, "stylegan_size": 32}]
)
def test_the_user_decides_what_the_file_leaves_open(tmp_path: Path, said: Checkpoint) -> None:
    content = {"state_dict": _prefixed("encoder.", ENCODER), "latent_avg": CENTRE}
    content |= {"opts": said} if said else {}
    path = save_torch(tmp_path / "e.pt", content)
    with pytest.raises(UserError, match="--kind to choose one: e4e, psp"):
        convert_file(path, "auto", tmp_path / "e")
    for kind in ("psp", "e4e"):
        converted = convert_file(path, kind, tmp_path / kind)
        assert converted.config["offsets"] is (kind == "e4e") and converted.config["centred"]
        assert converted.kind == kind and converted.source["skipped"] == []


@pytest.mark.parametrize(("name", "kind"), [("output_size", "psp"), ("stylegan_size", "e4e")])
def test_the_name_of_the_size_tells_whose_file_it_is(tmp_path: Path, name: str, kind: str) -> None:
    content = {"state_dict": _prefixed("encoder.", ENCODER), "opts": {name: 32}}
    assert convert_file(save_torch(tmp_path / "e.pt", content), "auto", tmp_path / "e").kind == kind


def test_inputs_of_other_channels(tmp_path: Path) -> None:
    tensors = face_files.fill(face_files.style_encoder_spec(depth=2, channels=5))
    path = save_torch(tmp_path / "e.pt", tensors)
    convert_file(path, "psp", tmp_path / "e")
    labels = RNG.uniform(0, 1, (1, 5, 64, 64)).astype(np.float32)
    codes = alrl_jax.load(tmp_path / "e")(nhwc(labels))
    assert_close(codes, face_files.style_encoder(labels, tensors, offsets=False))


EMBEDDERS: dict[str, tuple[Callable[..., face_files.Spec], Callable[..., np.ndarray]]] = {
    "arcface": (face_files.arcface_spec, face_files.arcface),
    "iresnet": (face_files.iresnet_spec, face_files.iresnet),
}


def _counted(name: str) -> bool:
    return name.endswith("num_batches_tracked")


VARIANTS: dict[str, tuple[Callable[[Checkpoint], Checkpoint], Callable[..., Path], str]] = {
    "flat": (lambda t: t, save_torch, ""),
    "legacy": (lambda t: t, save_legacy, ""),
    "wrapped": (lambda t: _prefixed("module.", t), save_torch, ""),
    "nested": (lambda t: {"state_dict": t, "epoch": 3}, save_torch, "state_dict"),
    "twice nested": (lambda t: {"m": {"backbone": t, "lr": 1}}, save_torch, "m/backbone"),
    "prefixed": (
        lambda t: {"state_dict": _prefixed("backbone.", t)},
        save_torch,
        "state_dict/backbone",
    ),
    "old": (lambda t: {n: x for n, x in t.items() if not _counted(n)}, save_torch, ""),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", EMBEDDERS)
def test_an_embedder_gives_the_same_embeddings(tmp_path: Path, kind: str, variant: str) -> None:
    wrap, save, section = VARIANTS[variant]
    spec, oracle = EMBEDDERS[kind]
    tensors = face_files.fill(spec())
    converted = convert_file(save(tmp_path / "a.pth", wrap(tensors)), "auto", tmp_path / "a")
    assert converted.kind == kind and converted.source["section"] == section
    if variant in ("flat", "wrapped"):
        assert_close(_codes(tmp_path / "a"), oracle(FACES, tensors))


BODIES = {
    "deeper": Body(widths=(4, 6, 10, 12), units=(2, 3, 4, 1), squeeze=2),
    "without squeeze": Body(widths=(4, 6, 8, 10), squeeze=None),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_are_read_from_their_tensors(tmp_path: Path, name: str) -> None:
    body = BODIES[name]
    tensors = face_files.fill(face_files.arcface_spec(body))
    config = convert_file(save_torch(tmp_path / "a.pth", tensors), "auto", tmp_path / "a").config
    assert tuple(config["units"]) == body.units and config["squeeze"] == body.squeeze
    assert_close(_codes(tmp_path / "a"), face_files.arcface(FACES, tensors, body))


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    tensors = face_files.fill(face_files.arcface_spec())
    convert_file(save_torch(tmp_path / "a.pth", tensors), "arcface", tmp_path / "a")
    with pytest.raises(UserError, match="expected \\[n, 32, 32, 3\\]"):
        alrl_jax.load(tmp_path / "a")(np.zeros((1, 64, 64, 3), np.float32))


def _change(name: str, value: Callable[[np.ndarray], Any]) -> Callable[[Checkpoint], None]:
    def change(content: Checkpoint) -> None:
        networks = content["state_dict"]
        networks[name] = value(networks.get(name, np.zeros(3, np.float32)))

    return change


def _remove(name: str) -> Callable[[Checkpoint], None]:
    return lambda content: content["state_dict"].pop(name)


def _say(name: str, value: Any) -> Callable[[Checkpoint], None]:
    return lambda content: content["opts"].update({name: value})


FAULTS: dict[str, tuple[Callable[[Checkpoint], Any], str]] = {
    "missing lateral": (_remove("encoder.latlayer1.weight"), "latlayer1.weight"),
    "missing statistic": (_remove("encoder.body.3.res_layer.4.running_var"), "running_var"),
    "missing kernel": (_remove("encoder.body.2.res_layer.1.weight"), "body.2.res_layer.1.weight"),
    "missing head": (_remove("encoder.styles.4.linear.weight"), "styles.4.linear.weight"),
    "missing convolution": (_remove("encoder.styles.7.convs.4.weight"), "styles.7.convs.4.weight"),
    "surplus": (_change("encoder.extra.weight", lambda x: x), "extra.weight"),
    "surplus unit": (_change("encoder.body.6.res_layer.9.weight", lambda x: x), "body.6"),
    "surplus convolution": (
        _change("encoder.styles.1.convs.2.bias", lambda x: x),
        "styles.1.convs.2",
    ),
    "wrong shape": (_change("encoder.styles.1.convs.0.weight", lambda x: x[:, :-1]), "styles.1"),
    "wrong axes": (_change("encoder.latlayer2.weight", lambda x: x[..., 0]), "latlayer2.weight"),
    "wrong centre": (lambda c: c.update(latent_avg=CENTRE[:5]), "latent_avg"),
    "NaN": (_change("encoder.body.0.res_layer.2.weight", lambda x: x * np.nan), "NaN"),
    "another encoder": (_say("encoder_type", "BackboneEncoderUsingLastLayerIntoW"), "IntoW;"),
    "codes of W": (_say("learn_in_w", True), "learn_in_w"),
    "another size": (_say("output_size", 64), "output_size=64"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_and_nothing_is_written(tmp_path: Path, fault: str) -> None:
    damage, message = FAULTS[fault]
    content = _checkpoint()
    damage(content)
    assert_refused(save_torch(tmp_path / "e.pt", content), "psp", message)


def test_a_centre_that_nothing_tells(tmp_path: Path) -> None:
    content = {"state_dict": _prefixed("encoder.", ENCODER), "opts": OPTIONS["psp"]}
    with pytest.raises(UserError, match="start_from_latent_avg=True without latent_avg"):
        convert_file(save_torch(tmp_path / "e.pt", content), "psp", tmp_path / "e")


EMBEDDER_FAULTS: dict[str, tuple[str, Callable[[Checkpoint], Any], str]] = {
    "arcface": ("arcface", lambda t: t.pop("body.1.res_layer.5.fc2.weight"), "fc2.weight"),
    "arcface head": ("arcface", lambda t: t.pop("output_layer.3.weight"), "output_layer.3.weight"),
    "iresnet": ("iresnet", lambda t: t.pop("layer2.1.bn3.bias"), "layer2.1.bn3.bias"),
    "classes": ("iresnet", lambda t: t.update({"head.weight": np.zeros((2, 2))}), "head.weight"),
    "map": ("iresnet", lambda t: t.update({"fc.weight": t["fc.weight"][:, 1:]}), "square"),
}


@pytest.mark.parametrize("fault", EMBEDDER_FAULTS)
def test_faults_of_embedders(tmp_path: Path, fault: str) -> None:
    kind, damage, message = EMBEDDER_FAULTS[fault]
    tensors = face_files.fill(EMBEDDERS[kind][0]())
    damage(tensors)
    with pytest.raises(UserError, match=message):
        convert_file(save_torch(tmp_path / "a.pth", tensors), "auto", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_command_line(tmp_path: Path, run_cli: RunCli) -> None:
    path = save_torch(tmp_path / "e.pt", _checkpoint("e4e"))
    arguments = (f"--source={path}", f"--output={tmp_path / 'e'}")
    refused = run_cli("tools.convert_weights", *arguments)
    assert refused.returncode == 2 and not (tmp_path / "e").exists()
    assert refused.stderr.count("\n") == 1 and "e4e, generator" in refused.stderr
    done = run_cli("tools.convert_weights", *arguments, "--kind=e4e")
    assert done.returncode == 0, done.stderr
    assert "skipped     state_dict/decoder" in done.stdout and "8 of 64" in done.stdout
