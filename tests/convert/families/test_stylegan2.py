import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import alrl_jax
from alrl_jax.convert.engine import convert_file
from alrl_jax.convert.export import export
from alrl_jax.convert.families import FORMATS
from alrl_jax.errors import UserError
from alrl_jax.storage.model_directory import read_model
from tests.goldens import weights
from tests.goldens.golden import assert_close, nhwc, read_golden
from tests.support.checkpoints.nvidia_writer import GENERATIONS, NvidiaWriter, save_snapshot
from tests.support.checkpoints.refusals import assert_refused
from tests.support.checkpoints.tf_writer import save_tf, tf_network, tf_variables
from tests.support.trees import random_tree

G, D = read_golden("nvidia_g_32"), read_golden("nvidia_d_32")
RAW = weights.fill(G.info["spec"], "raw-")
"""The generator that is not averaged: other weights, so that a wrong choice shows."""

Tensors = dict[str, np.ndarray]


def _snapshot(folder: Path, name: str) -> Path:
    """A snapshot of one of the two generations, or of TensorFlow's."""
    path = folder / f"{name}.pkl"
    if name in GENERATIONS:
        networks = {"G": RAW, "D": D.tensors, "G_ema": G.tensors, "augment_pipe": None}
        return save_snapshot(path, NvidiaWriter(GENERATIONS[name]), networks)
    version = int(name[-1])
    clamp = {"conv_clamp": 256} if version == 5 else {}
    g, d, gs = (tf_variables(x) for x in (RAW, D.tensors, G.tensors))
    core, protocol = ("core", 2) if version == 4 else ("_core", 4)
    networks = (
        tf_network(g, version, core),
        tf_network(d, version, core, resolution=32, fmap_base=512, **clamp),
        tf_network(gs, version, core, resolution=32, latent_size=64, **clamp),
    )
    return save_tf(path, networks, protocol)


SNAPSHOTS = (*GENERATIONS, "tf4", "tf5")
CLAMP = {"ada": 256, "stylegan3": 256, "tf4": None, "tf5": 256}


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("snapshots")
    return {name: _snapshot(folder, name) for name in SNAPSHOTS}


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_generator_gives_the_same_images(
    snapshots: dict[str, Path], name: str, tmp_path: Path
) -> None:
    converted = convert_file(snapshots[name], "generator", tmp_path / "g")
    assert converted.config["conv_clamp"] == CLAMP[name]
    tensorflow = name.startswith("tf")
    assert converted.config["demod_convention"] == ("scaled" if tensorflow else "unscaled")
    assert converted.source["section"] == ("Gs" if tensorflow else "G_ema")
    assert {"G", "D"} <= set(converted.source["skipped"])
    model, arrays = alrl_jax.load(tmp_path / "g"), G.arrays
    cut = model.map(arrays["z"], truncation_psi=0.7, truncation_cutoff=4)
    assert_close(cut, arrays["ws_psi0.7_cut4"])
    assert_close(model.map(arrays["z"], truncation_psi=0.7), arrays["ws_psi0.7"])
    assert_close(model.map(arrays["z"]), arrays["ws_psi1"])
    assert_close(model.synthesize(arrays["ws_plus"]), G.images("img_plus"))
    assert_close(model.synthesize(cut[:2]), G.images("img_psi0.7_cut4"))


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_discriminator_gives_the_same_logits(
    snapshots: dict[str, Path], name: str, tmp_path: Path
) -> None:
    converted = convert_file(snapshots[name], "discriminator", tmp_path / "d")
    # What the TensorFlow files leave out is the default of their version.
    groups = None if name == "tf5" else 4
    assert converted.config["mbstd_group_size"] == groups
    model, images = alrl_jax.load(tmp_path / "d"), nhwc(D.arrays["img"])
    first = model(images[:4])
    np.testing.assert_allclose(first, D.arrays["logits_first4"], atol=2e-6)
    if groups == 4:
        np.testing.assert_allclose(model(images), D.arrays["logits"], atol=2e-6)


@pytest.mark.parametrize("name, golden", [("ada", "pkl_32"), ("stylegan3", "pkl_sg3_32")])
def test_the_averaged_generator_is_taken(
    snapshots: dict[str, Path], name: str, golden: str, tmp_path: Path
) -> None:
    """What upstream's own snapshot of these weights computes, either generator of it."""
    convert_file(snapshots[name], "generator", tmp_path / "g")
    model, arrays = alrl_jax.load(tmp_path / "g"), read_golden(f"nvidia_{golden}").arrays
    ws = model.map(arrays["z"])
    assert_close(ws, arrays["G_ema_ws"])
    assert_close(model.synthesize(ws[:1]), nhwc(arrays["G_ema_img"]))
    assert np.abs(np.asarray(ws) - arrays["G_ws"]).max() > 0.1


def test_model_file_tells_where_every_tensor_went(
    snapshots: dict[str, Path], tmp_path: Path
) -> None:
    convert_file(snapshots["ada"], "generator", tmp_path / "g")
    source = json.loads((tmp_path / "g" / "model.json").read_text())["source"]
    assert source["tensors"].keys() == G.tensors.keys()
    affine = source["tensors"]["synthesis.b8.conv0.affine.weight"]
    assert affine == "params/synthesis/b8/conv0/affine/weight [64, 64] dense"
    assert source["skipped"] == ["G", "D", "training_set_kwargs", "augment_pipe"]
    assert "NVIDIA Source Code License" in source["licence"] and len(source["sha256"]) == 64
    assert source["float16_modules"] == "synthesis.b16, synthesis.b32, synthesis.b8"


CONDITIONAL: dict[str, tuple[str, dict[str, Any]]] = {
    "generator": (
        "generator",
        {
            "resolution": 16,
            "z_dim": 5,
            "w_dim": 7,
            "label_dim": 3,
            "channels": ((4, 6), (8, 9), (16, 4)),
            "num_mapping_layers": 2,
            "conv_clamp": 2.5,
        },
    ),
    "discriminator": (
        "discriminator",
        {
            "resolution": 16,
            "label_dim": 3,
            "channels": ((4, 6), (8, 9), (16, 4)),
            "num_mapping_layers": 2,
            "cmap_dim": 5,
            "mbstd_num_channels": 1,
            "mbstd_group_size": None,
        },
    ),
}


def _random_model(kind: str, fields: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Config and random weights, no bias or noise left at 0."""
    config = {"channel_base": 64, "channel_max": 6, **fields}
    entry = next(entry for entry in FORMATS if entry.kind == kind)
    return config, random_tree(entry.shapes(config))


@pytest.mark.parametrize("name", SNAPSHOTS)
@pytest.mark.parametrize("case", CONDITIONAL)
def test_conditional_networks_of_odd_shapes_come_back(tmp_path: Path, name: str, case: str) -> None:
    """What we export and a writer of theirs stores is what we started from."""
    kind, fields = CONDITIONAL[case]
    config, variables = _random_model(kind, fields)
    tensors = export({"kind": kind, "config": config}, variables, "nvidia").tensors
    path = tmp_path / "conditional.pkl"
    if name in GENERATIONS:
        writer = NvidiaWriter(GENERATIONS[name], config.get("conv_clamp"), None)
        save_snapshot(path, writer, {"D" if kind == "discriminator" else "G_ema": tensors})
    else:
        network = tf_network(_tf_names(kind, tensors), 5, conv_clamp=config.get("conv_clamp"))
        if name == "tf4":
            network = tf_network(_tf_names(kind, tensors), 4, label_size=3)
        save_tf(path, (network, network, network))
    if name == "tf4":
        with pytest.raises(UserError, match="classes"):
            convert_file(path, kind, tmp_path / "out")
        return
    converted = convert_file(path, kind, tmp_path / "out")
    meta, actual = read_model(tmp_path / "out")
    for field, value in fields.items():
        expected = [list(pair) for pair in value] if field == "channels" else value
        assert meta["config"][field] == expected, field
    flat = dict(_leaves(actual))
    assert flat.keys() == dict(_leaves(variables)).keys()
    for path_, value in _leaves(variables):
        np.testing.assert_allclose(flat[path_], value, atol=3e-7)
    assert converted.num_parameters > 0
    _run(alrl_jax.load(tmp_path / "out"), kind)


def _tf_names(kind: str, tensors: Tensors) -> Tensors:
    """A discriminator's mapping has no folder of its own in TensorFlow."""
    variables = tf_variables(tensors)
    if kind == "generator":
        return variables
    short = {name: name.removeprefix("mapping/") for name in variables}
    return {
        short[n].replace("Dense", "Mapping") if n != short[n] else n: x
        for n, x in variables.items()
    }


def _leaves(tree: Any, path: str = "") -> list[tuple[str, np.ndarray]]:
    if not isinstance(tree, dict):
        return [(path, tree)]
    return [leaf for name, value in tree.items() for leaf in _leaves(value, f"{path}/{name}")]


def _run(model: Any, kind: str) -> None:
    label = jnp.eye(3)[:2]
    if kind == "generator":
        images = model.synthesize(model.map(jnp.ones((2, 5)), label))
        assert images.shape == (2, 16, 16, 3) and not np.allclose(images[0], images[1])
    else:
        assert model(jnp.zeros((2, 16, 16, 3)), label).shape == (2, 1)


def _write(folder: Path, change: Callable[[Tensors], Any], **attributes: Any) -> Path:
    tensors = dict(G.tensors)
    change(tensors)
    writer = NvidiaWriter(GENERATIONS["ada"], **attributes)
    return save_snapshot(folder / "g.pkl", writer, {"G_ema": tensors})


def _keep(_: Tensors) -> None:
    pass


def _bad(module: str, **values: Any) -> dict[str, Any]:
    return {"changes": {module: values}}


NAN = np.full(64, np.nan, np.float32)
FAULTS: dict[str, tuple[Callable[[Tensors], Any], dict[str, Any], str]] = {
    "missing": (lambda t: t.pop("synthesis.b8.conv1.bias"), {}, "synthesis.b8.conv1.bias"),
    "no noise": (lambda t: t.pop("synthesis.b8.conv1.noise_const"), {}, "noise_const"),
    "no centre": (lambda t: t.pop("mapping.w_avg"), {}, "mapping.w_avg"),
    "extra": (lambda t: t.update({"synthesis.b8.skip.weight": NAN}), {}, "b8.skip.weight"),
    "NaN": (lambda t: t.update({"mapping.fc3.bias": NAN}), {}, "mapping.fc3.bias with NaN"),
    "clamps": (_keep, _bad("synthesis.b8.conv1", conv_clamp=3), "conv_clamp=256, 3"),
    "negative clamp": (_keep, {"conv_clamp": -1}, "conv_clamp=-1"),
    "resnet": (_keep, _bad("synthesis.b8", architecture="resnet"), "architecture=resnet"),
    "relu": (_keep, _bad("synthesis.b8.conv1", activation="relu"), "activation=relu"),
    "gain": (_keep, _bad("mapping.fc1", weight_gain=0.5), "weight_gain=0.5 in mapping.fc1"),
    "no noise layer": (_keep, _bad("synthesis.b4.conv1", use_noise=False), "use_noise"),
    "classes": (_keep, _bad("", c_dim=10), "c_dim=10"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_and_nothing_is_written(tmp_path: Path, fault: str) -> None:
    change, attributes, message = FAULTS[fault]
    assert_refused(_write(tmp_path, change, **attributes), "generator", message)


TF_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "resnet": ({"architecture": "resnet"}, "architecture=resnet"),
    "unknown": ({"sorcery": 1}, "sorcery=1"),
    "filter": ({"resample_kernel": [1, 2, 1]}, "resample_kernel"),
    "resolution": ({"resolution": 64}, "resolution=64"),
    "clamp": ({"conv_clamp": "much"}, "conv_clamp=much"),
}


@pytest.mark.parametrize("fault", TF_FAULTS)
def test_arguments_of_tensorflow_that_are_unsupported(tmp_path: Path, fault: str) -> None:
    arguments, message = TF_FAULTS[fault]
    network = tf_network(tf_variables(G.tensors), 5, **arguments)
    path = save_tf(tmp_path / "g.pkl", (network, network, network))
    assert_refused(path, "generator", message)


def test_state_of_an_older_tensorflow_network(tmp_path: Path) -> None:
    network = tf_network(tf_variables(G.tensors), 3)
    path = save_tf(tmp_path / "g.pkl", (network, network, network))
    assert_refused(path, "generator", "version 3")
