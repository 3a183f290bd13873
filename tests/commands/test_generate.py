"""Images of seeds: the same whatever the batch, with labels, noise and pose codes as asked."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import traverse_util
from PIL import Image

from alrl_jax.commands import generate
from alrl_jax.errors import UserError
from alrl_jax.loading.loader import GeneratorModel
from alrl_jax.models.build import build_generator, constant_channels
from alrl_jax.provenance import image_metadata
from alrl_jax.storage.model_directory import save_model
from alrl_jax.training.tasks.drawing import PoseCodeSampler
from tests.conftest import RunCli

CONFIG = {
    "resolution": 8,
    "z_dim": 6,
    "w_dim": 5,
    "channel_base": 64,
    "channel_max": 8,
    "num_mapping_layers": 1,
}


def _model(**changes: Any) -> GeneratorModel:
    config = {**CONFIG, **changes}
    module = build_generator(config)
    label = [np.zeros((1, module.label_dim), np.float32)] if module.label_dim else []
    z = np.zeros((1, module.z_dim), np.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), z, *label)
    if config.get("pose_latent_dim"):
        sampler = PoseCodeSampler(constant_channels(module))
        latents = np.zeros((1, config["pose_latent_dim"]), np.float32)
        shapes["pose"] = jax.eval_shape(sampler.init, jax.random.key(0), latents)["params"]
    rng = np.random.default_rng(0)
    flat = traverse_util.flatten_dict(shapes, sep="/")
    values = {
        # The mapping network multiplies its parameters by 0.01.
        name: rng.normal(0, 100 if "fc0/weight" in name else 1, x.shape).astype(np.float32)
        for name, x in flat.items()
    }
    return GeneratorModel("generator", config, traverse_util.unflatten_dict(values, sep="/"))


@pytest.mark.parametrize(
    "text, seeds",
    [("0-3", [0, 1, 2, 3]), ("7", [7]), ("5, 1-2,5", [5, 1, 2]), ("4294967295", [2**32 - 1])],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert generate.parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "1,,2", "4294967296", "0-999999", "1-2-3"])
def test_bad_seeds(text: str) -> None:
    with pytest.raises(UserError, match="0-15,20"):
        generate.parse_seeds(text)


def test_latents_are_those_that_others_draw() -> None:
    """The first draw of the stream, whatever is drawn after it."""
    z, pose = generate.latents_of(3, 512, 4)
    assert np.array_equal(z, np.random.RandomState(3).randn(1, 512).astype(np.float32))
    assert z.dtype == np.float32 and pose.shape == (1, 4)


@pytest.mark.parametrize("noise_mode", ["const", "none", "random"])
def test_an_image_depends_on_its_seed_alone(noise_mode: Any) -> None:
    draw = generate.make_drawer(_model(), None, 0.7, noise_mode)
    together = dict(generate.drawn_in_batches(draw, [4, 9, 2], batch_size=2))
    (alone,) = generate.drawn_in_batches(draw, [9], batch_size=2)
    assert list(together) == [4, 9, 2]
    assert np.abs(together[9].astype(int) - alone[1]).max() <= 1
    assert np.abs(together[9].astype(int) - together[4]).mean() > 5


def test_truncation_and_noise_matter() -> None:
    model = _model()
    images = {
        (psi, mode): generate.make_drawer(model, None, psi, mode)([1])
        for psi, mode in [(1.0, "const"), (0.0, "const"), (1.0, "none"), (1.0, "random")]
    }
    plain = images.pop((1.0, "const"))
    assert all(np.abs(image - plain).max() > 1e-2 for image in images.values())
    average = generate.make_drawer(model, None, 0.0, "const")([2])
    np.testing.assert_allclose(average, images[0.0, "const"], atol=1e-5)


def test_classes() -> None:
    model = _model(label_dim=3)
    images = [generate.make_drawer(model, label, 1.0, "const")([1]) for label in (0, 2)]
    assert np.abs(images[0] - images[1]).max() > 1e-2
    for label in (None, 3, -1):
        with pytest.raises(UserError, match="a class from 0 to 2"):
            generate.make_drawer(model, label, 1.0, "const")
    with pytest.raises(UserError, match="no label"):
        generate.make_drawer(_model(), 0, 1.0, "const")


def test_our_own_generators_draw_with_sampled_pose_codes() -> None:
    model = _model(pose_latent_dim=3)
    assert model.pose_latent_dim == 3
    z, latents = generate.latents_of(5, model.network.z_dim, model.pose_latent_dim)
    expected = model.synthesize(model.map(z), pose_code=model.pose_code(latents))
    drawn = generate.make_drawer(model, None, 1.0, "const")([5])
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    assert np.abs(drawn - model.synthesize(model.map(z))).max() > 1e-3
    with pytest.raises(UserError, match="pose latents of width 1"):
        model.pose_code(np.zeros((1, 1), np.float32))


def test_grid_is_filled_up_with_white() -> None:
    grid = generate.make_grid([np.full((2, 3, 3), i, np.uint8) for i in range(5)])
    assert grid.shape == (4, 9, 3)
    assert (grid[2:, 3:6] == 4).all() and (grid[2:, 6:] == 255).all()


def test_command_line(tmp_path: Path, run_cli: RunCli) -> None:
    model = _model()
    save_model(tmp_path / "g", "generator", model.config, model.variables)
    arguments = (f"--model={tmp_path / 'g'}", f"--output={tmp_path / 'out'}")
    refused = run_cli("tools.generate", *arguments, "--seeds=1", "--label=2")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    done = run_cli("tools.generate", *arguments, "--seeds=0-1,30", "--truncation_psi=0.5")
    assert done.returncode == 0, done.stderr
    names = ["grid.png", "seed0000.png", "seed0001.png", "seed0030.png"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
    fields = image_metadata.read_metadata(tmp_path / "out" / "seed0030.png")
    assert fields["seed"] == "30" and fields["truncationPsi"] == "0.5"
    assert fields["digitalSourceType"] == image_metadata.GENERATED_SOURCE_TYPE
    with Image.open(tmp_path / "out" / "grid.png") as grid:
        assert grid.size == (16, 16)
