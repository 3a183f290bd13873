"""Swappers that start from networks of others: exactly there, or a clear line says why not."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alrl_jax
from alrl_jax.commands.fabricate_models import Sizes, fabricate
from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.loading.loader import KINDS
from alrl_jax.models.stylegan2 import ops
from alrl_jax.storage.model_directory import read_model, save_model
from alrl_jax.training.tasks import SwapTask, make_task
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

RESOLUTION = 64
FEW_LOSSES = {f"losses__{name}": 0.0 for name in ("adversarial", "perceptual", "self_perceptual")}


def _identity(directory: Path, resolution: int) -> Path:
    task = make_task(tiny.tiny_config("identity_64", resolution=resolution))
    model = task.export(jax.jit(task.init)(jax.random.key(7), {}), {})
    save_model(directory, model.kind, model.config, model.variables)
    return directory


def _config(
    identity: Path, resolution: int, sizes: Sizes, paths: dict[str, Path], **changes: Any
) -> Config:
    values = {
        "resolution": resolution,
        "encoder__backbone": "ir_se",
        "encoder__resolution": sizes.encoder_resolution,
        "encoder__widths": sizes.widths,
        "encoder__units": sizes.units,
        "encoder__squeeze": sizes.squeeze,
        "generator__train": False,
        **{f"pretrained__{name}": str(path) for name, path in paths.items()},
        **FEW_LOSSES,
        **changes,
    }
    return tiny.tiny_config("synthetic_64", identity, **values)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("models")
    names = ("generator", "encoder", "identity", "discriminator")
    paths = fabricate(directory, names, RESOLUTION, tiny.NARROW)
    paths["arcface"] = paths.pop("identity")
    return paths | {"identity": _identity(directory / "analyser", RESOLUTION)}


def _as_e4e(path: Path, output: Path) -> Path:
    """The same tensors, read as e4e's."""
    meta, variables = read_model(path)
    save_model(output, "e4e", {**meta["config"], "offsets": True}, variables)
    return output


def _reproduces(config: Config, paths: dict[str, Path], count: int) -> None:
    """A swapper of the config before its first step draws what encoder and generator draw."""
    task = make_task(config)
    state = jax.jit(task.init)(jax.random.key(0), task.load_pretrained())
    exported = task.export(state, task.load_frozen())
    swapper = KINDS["swapper"](exported.kind, exported.config, exported.variables)
    size = config.resolution
    faces = np.random.default_rng(0).uniform(-1, 1, (2, count, size, size, 3)).astype(np.float32)
    encoder, generator = (alrl_jax.load(paths[name]) for name in ("encoder", "generator"))
    codes = encoder(ops.mean_pool(jnp.asarray(faces[1]), size // encoder.resolution))
    drawn = np.asarray(generator.synthesize(codes))
    out = swapper.swap(faces[0], faces[1], identity_from="target")
    assert not np.asarray(out.codes.pose).any() and not np.asarray(out.gates.attributes).any()
    np.testing.assert_array_equal(out.codes.attributes, codes)
    np.testing.assert_array_equal(out.generated, drawn)
    np.testing.assert_array_equal(swapper.reconstruct(faces[1]), drawn)
    assert drawn.std() > 0.1 and out.image.shape == faces[1].shape
    other = swapper.swap(faces[0], faces[1], selector="all_source")
    assert np.abs(np.asarray(other.generated) - drawn).max() > 0.01


@pytest.mark.parametrize("kind", ["psp", "e4e"])
def test_a_swapper_starts_at_the_encoder_s_reconstruction(
    models: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    paths = {name: models[name] for name in ("generator", "encoder")}
    if kind == "e4e":
        paths["encoder"] = _as_e4e(paths["encoder"], tmp_path / "e4e")
    config = _config(models["identity"], RESOLUTION, tiny.NARROW, paths)
    _reproduces(config, paths, count=2)


@pytest.mark.slow
def test_a_swapper_starts_at_the_reconstruction_of_psp_at_full_width(tmp_path: Path) -> None:
    paths = fabricate(tmp_path, ("generator", "encoder"), 1024, Sizes())
    config = _config(_identity(tmp_path / "analyser", 1024), 1024, Sizes(), paths)
    _reproduces(config, paths, count=1)


def test_the_body_of_arcface_is_a_start_too(models: dict[str, Path]) -> None:
    paths = {"generator": models["generator"], "encoder": models["arcface"]}
    task = make_task(_config(models["identity"], RESOLUTION, tiny.NARROW, paths))
    state = jax.jit(task.init)(jax.random.key(0), task.load_pretrained())
    _, arcface = read_model(models["arcface"])
    _, generator = read_model(models["generator"])
    for name in ("input_layer", "body"):
        given = {"params": arcface["params"][name], "batch_stats": arcface["batch_stats"][name]}
        assert not given["batch_stats"] == {}
        jax.tree.map(
            np.testing.assert_array_equal,
            given,
            {
                "params": state.params["encoder"]["params"]["trunk"][name],
                "batch_stats": state.mutable["encoder"]["batch_stats"]["trunk"][name],
            },
        )
    centre = state.mutable["encoder"]["constants"]["trunk"]["latent_avg"]
    w_avg = generator["constants"]["mapping"]["w_avg"]
    np.testing.assert_array_equal(centre, np.broadcast_to(w_avg, centre.shape))


def _change(path: Path, output: Path, **values: Any) -> Path:
    """The same model, whose config says something else."""
    meta, variables = read_model(path)
    save_model(output, meta["kind"], {**meta["config"], **values}, variables)
    return output


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "codes": ({"encoder": {"num_styles": 18}}, "num_styles=18; expected 10"),
    "width": ({"encoder": {"code_width": 512}}, "code_width=512; expected 16"),
    "channels": ({"encoder": {"input_channels": 5}}, "input_channels=5; expected 3"),
    "size": ({"encoder": {"resolution": 256}}, "resolution=256; expected 32"),
    "generator's size": ({"generator": {"resolution": 32}}, "resolution 32; expected 64"),
    "classes": ({"generator": {"label_dim": 3}}, "3 classes; expected one without"),
    "groups": ({"generator": {"w_dim": 18}}, "width 18; expected a multiple of"),
    "discriminator's classes": ({"discriminator": {"label_dim": 3}}, "3 classes"),
    "kind of encoder": ({"encoder": "generator"}, "kind generator; expected psp or e4e or arcface"),
    "kind of generator": ({"generator": "encoder"}, "kind psp; expected generator"),
    "missing": ({"encoder": None}, r"pretrained.encoder: got .*; expected a model directory"),
    "small backbone": ({"encoder__backbone": "residual", "encoder__widths": (8, 8, 8)}, "ir_se"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_one_clear_line(
    models: dict[str, Path], tmp_path: Path, fault: str
) -> None:
    said, message = FAULTS[fault]
    paths = {name: models[name] for name in ("generator", "encoder", "discriminator")}
    changes = {}
    for name, value in said.items():
        if isinstance(value, dict):
            paths[name] = _change(models[name], tmp_path / name, **value)
        elif name in paths:
            paths[name] = models[value] if value else tmp_path / "nowhere"
        else:
            changes[name] = value
    with pytest.raises(UserError, match=message) as error:
        make_task(_config(models["identity"], RESOLUTION, tiny.NARROW, paths, **changes))
    assert "\n" not in str(error.value)


def test_a_discriminator_of_others_is_taken_over(models: dict[str, Path]) -> None:
    config = tiny.tiny_config(
        "synthetic_64",
        models["identity"],
        resolution=RESOLUTION,
        pretrained__discriminator=str(models["discriminator"]),
        discriminator__channel_base=64,
        discriminator__mbstd_blocks=4,
    )
    task = make_task(config)
    given = task.load_pretrained()["discriminator"]
    assert isinstance(task, SwapTask)
    shapes = jax.eval_shape(task.init, jax.random.key(0), task.load_pretrained())
    assert jax.tree.map(jnp.shape, given) == jax.tree.map(jnp.shape, shapes.params["discriminator"])
    assert task._discriminator.mbstd_blocks == 4
