"""Export is the converter backwards: bit by bit the same, or an error."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from alrl_jax.commands.export_weights import export_file
from alrl_jax.convert.engine import convert_file
from alrl_jax.convert.export import export
from alrl_jax.convert.families.stylegan2 import rules
from alrl_jax.convert.readers.torch_files import read_torch_zip
from alrl_jax.convert.target import Permissions
from alrl_jax.errors import UserError
from alrl_jax.models.build import build_discriminator, build_generator
from alrl_jax.storage.model_directory import read_model, save_model
from tests.conftest import RunCli
from tests.goldens.golden import assert_close, read_golden
from tests.support.trees import make_tree, random_tree

KEEP = Permissions()
GENERATOR = {"resolution": 8, "z_dim": 6, "w_dim": 5, "channel_base": 64, "channel_max": 8}
DISCRIMINATOR = {"resolution": 8, "channel_base": 64, "channel_max": 8}
GOLDENS = {
    ("generator", "nvidia"): ("nvidia_g_32", rules.NVIDIA_GENERATOR),
    ("generator", "rosinality"): ("rosinality_g_32", rules.ROSINALITY_GENERATOR),
    ("discriminator", "nvidia"): ("nvidia_d_32", rules.NVIDIA_DISCRIMINATOR),
    ("discriminator", "rosinality"): ("rosinality_d_32", rules.ROSINALITY_DISCRIMINATOR),
}
CONFIGS: dict[tuple[str, str], dict[str, Any]] = {
    ("generator", "nvidia"): {"z_dim": 64, "w_dim": 64, "conv_clamp": 256},
    ("generator", "rosinality"): {"z_dim": 64, "w_dim": 64, "demod_convention": "scaled"},
    ("discriminator", "nvidia"): {"conv_clamp": 256},
    ("discriminator", "rosinality"): {},
}
WIDTHS = {
    "nvidia": {"channel_base": 1024, "channel_max": 64},
    "rosinality": {"channels": [[4, 64], [8, 64], [16, 48], [32, 32]]},
}


def _random(module: Any, *inputs: Any) -> dict[str, Any]:
    """Variables of a module, every number drawn, so that swapped ones show."""
    return random_tree(jax.eval_shape(module.init, jax.random.key(0), *inputs))


def _generator(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    config = {**GENERATOR, **changes}
    module = build_generator(config)
    label = [jnp.zeros((1, module.label_dim))] if module.label_dim else []
    variables = _random(module, jnp.zeros((1, module.z_dim)), *label)
    return {"kind": "generator", "config": config, "source": {}}, variables


def _discriminator(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    config = {**DISCRIMINATOR, **changes}
    module = build_discriminator(config)
    side = module.resolution
    label = [jnp.zeros((1, module.label_dim))] if module.label_dim else []
    variables = _random(module, jnp.zeros((1, side, side, 3)), *label)
    return {"kind": "discriminator", "config": config, "source": {}}, variables


def _same(a: Any, b: Any) -> None:
    a, b = (traverse_util.flatten_dict(tree, sep="/") for tree in (a, b))
    assert a.keys() == b.keys()
    assert not [name for name in a if not np.array_equal(a[name], b[name])]


@pytest.mark.parametrize("kind, layout", GOLDENS)
def test_all_tensors_of_upstream_by_name_and_number(kind: str, layout: str) -> None:
    """Buffers included: what the class upstream holds, neither more nor less."""
    name, table = GOLDENS[kind, layout]
    golden = read_golden(name)
    tensors = dict(golden.tensors)
    if name == "rosinality_g_32":
        tensors["latent_avg"] = np.linspace(-1, 1, 64, dtype=np.float32)
    depth = 8 if kind == "generator" else 0
    depth = sum(n.startswith("style.") and n.endswith("bias") for n in tensors) or depth
    config = {"resolution": 32, "num_mapping_layers": depth, **WIDTHS[layout]}
    config |= CONFIGS[kind, layout]
    meta = {"kind": kind, "config": config}
    exported = export(meta, make_tree(tensors, table, depth), layout, KEEP)
    assert exported.tensors.keys() == tensors.keys()
    for key, expected in tensors.items():
        actual = exported.tensors[key]
        assert actual.shape == expected.shape and actual.dtype == np.float32, key
        assert np.array_equal(actual, expected), key


@pytest.mark.parametrize("channels", [None, [[4, 7], [8, 12]]])
@pytest.mark.parametrize("depth", [2, 8])
def test_there_and_back_again(tmp_path: Path, depth: int, channels: Any) -> None:
    """Through a file of rosinality's layout and the converter."""
    meta, variables = _generator(
        demod_convention="scaled", num_mapping_layers=depth, channels=channels
    )
    save_model(tmp_path / "g", **meta, variables=variables)
    record = export_file(str(tmp_path / "g"), "rosinality", tmp_path / "g.pt", KEEP)
    assert "other widths" in record["notes"][0]
    convert_file(tmp_path / "g.pt", "generator", tmp_path / "again")
    again, reread = read_model(tmp_path / "again")
    _same(variables, reread)
    assert build_generator(again["config"]) == build_generator(
        {**meta["config"], **{k: again["config"][k] for k in ("channel_base", "channel_max")}}
    )


def test_discriminator_there_and_back_again(tmp_path: Path) -> None:
    meta, variables = _discriminator()
    save_model(tmp_path / "d", **meta, variables=variables)
    export_file(str(tmp_path / "d"), "rosinality", tmp_path / "d.pt", KEEP)
    convert_file(tmp_path / "d.pt", "discriminator", tmp_path / "again")
    _same(variables, read_model(tmp_path / "again")[1])


@pytest.mark.parametrize("label_dim", [0, 3])
@pytest.mark.parametrize("channels", [None, [[4, 6], [8, 12]]])
def test_nvidia_there_and_back_again(tmp_path: Path, label_dim: int, channels: Any) -> None:
    """What no shape tells (clamp, statistic) included."""
    changes = {"label_dim": label_dim, "channels": channels, "conv_clamp": 64}
    for make, special in (
        (_generator, {"num_mapping_layers": 2}),
        (_discriminator, {"mbstd_group_size": None, "mbstd_num_channels": 2}),
    ):
        meta, variables = make(**changes, **special)
        kind = meta["kind"]
        save_model(tmp_path / kind, **meta, variables=variables)
        export_file(str(tmp_path / kind), "nvidia", tmp_path / f"{kind}.pt", KEEP)
        convert_file(tmp_path / f"{kind}.pt", "auto", tmp_path / "again")
        again, reread = read_model(tmp_path / "again")
        _same(variables, reread)
        for name, value in {**changes, **special, "resolution": 8}.items():
            assert again["config"][name] == value, name


@pytest.mark.parametrize("label_dim", [0, 3])
def test_nvidia_names_lead_back(tmp_path: Path, label_dim: int) -> None:
    for make, table, section in (
        (_generator, rules.NVIDIA_GENERATOR, "G_ema"),
        (_discriminator, rules.NVIDIA_DISCRIMINATOR, "D"),
    ):
        meta, variables = make(label_dim=label_dim, conv_clamp=256, num_mapping_layers=2)
        save_model(tmp_path / section, **meta, variables=variables)
        path = tmp_path / f"{section}.pt"
        export_file(str(tmp_path / section), "nvidia", path, KEEP)
        read = read_torch_zip(path)
        tensors, kwargs = read[section], read["init_kwargs"]
        depth = 2 if section == "G_ema" or label_dim else 0
        _same(make_tree(tensors, table, depth, 8, label_dim > 0), variables)
        assert kwargs["c_dim"] == label_dim and kwargs["img_resolution"] == 8
        assert kwargs.get("synthesis_kwargs", kwargs)["conv_clamp"] == 256


@pytest.mark.parametrize("convention, layout", [("unscaled", "rosinality"), ("scaled", "nvidia")])
def test_rescaled_kernels_draw_the_same(convention: str, layout: str) -> None:
    """The guard of the demodulation included: its share is large in these tiny kernels."""
    meta, variables = _generator(demod_convention=convention)
    flat = traverse_util.flatten_dict(variables, sep="/")
    for path in flat:
        if path.endswith("conv1/weight"):
            flat[path] = flat[path] * np.float32(1e-5)
    variables = traverse_util.unflatten_dict(flat, sep="/")
    with pytest.raises(UserError, match="--rescale_kernels"):
        export(meta, variables, layout, KEEP)
    exported = export(meta, variables, layout, Permissions(rescale_kernels=True))
    assert "rescaled" in " ".join(exported.notes)
    other = "scaled" if convention == "unscaled" else "unscaled"
    table = {"nvidia": rules.NVIDIA_GENERATOR, "rosinality": rules.ROSINALITY_GENERATOR}[layout]
    rescaled = make_tree(exported.tensors, table, 8, 8)
    z = jnp.asarray(np.random.default_rng(1).standard_normal((2, 6)), jnp.float32)
    network = build_generator(meta["config"])
    expected = np.asarray(jax.jit(network.apply)(variables, z))
    draw = jax.jit(network.clone(demod_convention=other).apply)
    assert_close(draw(rescaled, z), expected)
    assert np.abs(np.asarray(draw(variables, z)) - expected).max() > 1e-2


REFUSED: dict[str, tuple[Any, str, str]] = {
    "classes": (
        lambda: _generator(label_dim=3, demod_convention="scaled"),
        "rosinality",
        "classes",
    ),
    "classes of D": (lambda: _discriminator(label_dim=3), "rosinality", "classes"),
    "clamp": (lambda: _discriminator(conv_clamp=256), "rosinality", "conv_clamp=256"),
    "statistic": (lambda: _discriminator(mbstd_group_size=None), "rosinality", "groups of None"),
    "kind": (lambda: ({"kind": "swapper", "config": {}}, {}), "nvidia", "kind 'swapper'"),
    "config": (lambda: (_generator()[0], {"constants": {}}), "nvidia", "differ"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_layout_cannot_hold_is_refused(case: str) -> None:
    make, layout, message = REFUSED[case]
    with pytest.raises(UserError, match=message) as error:
        export(*make(), layout, KEEP)
    assert "\n" not in str(error.value)


def test_what_is_lost_without_harm_is_noted() -> None:
    meta, variables = _discriminator(conv_clamp=256, dtype="bfloat16")
    meta["config"]["mbstd_blocks"] = 8
    dropped = Permissions(drop_conv_clamp=True)
    notes = " ".join(export(meta, variables, "rosinality", dropped).notes)
    assert all(word in notes for word in ("conv_clamp=256", "8 blocks", "bfloat16", "widths"))


def test_a_generator_of_ours_goes_without_its_discriminator_but_not_its_sampler() -> None:
    meta, variables = _generator()
    notes = export(meta, variables | {"discriminator": {}}, "nvidia", KEEP).notes
    assert notes == ["Left out of the model: discriminator."]
    with pytest.raises(UserError, match="pose_latent_dim=0"):
        export(meta, variables | {"pose": {}}, "nvidia", KEEP)


def test_command_line(tmp_path: Path, run_cli: RunCli) -> None:
    meta, variables = _generator()
    meta["source"] = {"licence": "for research only", "file": "x.pkl"}
    save_model(tmp_path / "g", **meta, variables=variables)
    output = tmp_path / "new" / "g.pt"
    arguments = (f"--model={tmp_path / 'g'}", f"--output={output}")
    refused = run_cli("tools.export_weights", *arguments, "--format=rosinality")
    assert refused.returncode == 2 and not output.exists()
    assert refused.stderr.count("\n") == 1 and "--rescale_kernels" in refused.stderr
    done = run_cli("tools.export_weights", *arguments, "--format=nvidia")
    assert done.returncode == 0, done.stderr
    assert "for research only" in done.stdout
    record = json.loads((tmp_path / "new" / "g.pt.json").read_text())
    assert record["licence"] == "for research only" and record["source"]["file"] == "x.pkl"
    assert sorted(p.name for p in output.parent.iterdir()) == ["g.pt", "g.pt.json"]


def test_only_an_older_export_is_replaced(tmp_path: Path) -> None:
    meta, variables = _generator()
    save_model(tmp_path / "g", **meta, variables=variables)
    output = tmp_path / "g.pt"
    first = export_file(str(tmp_path / "g"), "nvidia", output, KEEP)
    assert export_file(str(tmp_path / "g"), "nvidia", output, KEEP) == first
    output.write_bytes(b"mine")
    with pytest.raises(UserError, match="no unchanged export"):
        export_file(str(tmp_path / "g"), "nvidia", output, KEEP)
    assert output.read_bytes() == b"mine"


@pytest.mark.torch
@pytest.mark.parametrize("layout", ["nvidia", "rosinality"])
def test_pytorch_reads_it(tmp_path: Path, layout: str) -> None:
    import torch  # pyright: ignore

    meta, variables = _generator(demod_convention="unscaled" if layout == "nvidia" else "scaled")
    save_model(tmp_path / "g", **meta, variables=variables)
    export_file(str(tmp_path / "g"), layout, tmp_path / "g.pt", KEEP)
    read = torch.load(tmp_path / "g.pt", weights_only=True)
    tensors = export(meta, variables, layout, KEEP).tensors
    for name, tensor in read["G_ema" if layout == "nvidia" else "g_ema"].items():
        assert np.array_equal(tensor.numpy(), tensors[name])
