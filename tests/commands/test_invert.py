"""GAN inversion finds what a generator drew, goes on where it was stopped, tells of failures."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from PIL import Image

from alrl_jax.commands import invert
from alrl_jax.errors import UserError
from alrl_jax.evaluation.report.images import to_bytes
from alrl_jax.loading.loader import GeneratorModel
from alrl_jax.models.build import build_generator, build_lpips
from alrl_jax.models.stylegan2 import ops
from alrl_jax.provenance import image_metadata
from alrl_jax.storage.model_directory import save_model
from alrl_jax.training import inversion
from tests.conftest import RunCli

CONFIG = {
    "resolution": 32,
    "z_dim": 16,
    "w_dim": 16,
    "channel_base": 512,
    "channel_max": 16,
    "num_mapping_layers": 2,
}
SMALL = {**CONFIG, "resolution": 8}


def _model(config: dict[str, Any]) -> GeneratorModel:
    """A random generator whose images fill the range of pixels and hardly leave it."""
    module = build_generator(config)
    z = jnp.zeros((1, module.z_dim))
    shapes = traverse_util.flatten_dict(jax.eval_shape(module.init, jax.random.key(0), z), sep="/")
    rng = np.random.default_rng(0)
    flat = {}
    for name, leaf in shapes.items():
        scale = 100 if "mapping/fc" in name else 0.25 if "torgb/weight" in name else 1
        drawn = rng.normal(0, scale, leaf.shape).astype(np.float32)
        start = 1.0 if name.endswith("affine/bias") else 0.0
        fixed = name.endswith(("bias", "noise_strength", "w_avg"))
        flat[name] = np.full(leaf.shape, start, np.float32) if fixed else drawn
    return GeneratorModel("generator", config, traverse_util.unflatten_dict(flat, sep="/"))


def _photos(model: GeneratorModel, folder: Path, count: int) -> list[invert.Photo]:
    folder.mkdir()
    z = np.random.default_rng(1).standard_normal((count, 16)).astype(np.float32)
    for i, image in enumerate(np.asarray(model.synthesize(model.map(z)))):
        # The reader refuses photos below 16 px; enlarged ones are shrunk again.
        photo = Image.fromarray(to_bytes(image))
        side = max(16, photo.width)
        photo.resize((side, side), Image.Resampling.NEAREST).save(folder / f"face{i}.png")
    return invert.list_photos(folder)


def _inverting(
    model: GeneratorModel, output: Path, measure: invert.Measure = invert.PIXELS, **changes: Any
) -> invert.Inverting:
    output.mkdir(exist_ok=True)
    return invert.Inverting(model, measure, invert.Settings(**changes), output)


def test_images_of_the_generator_are_found(tmp_path: Path) -> None:
    model = _model(CONFIG)
    photos = _photos(model, tmp_path / "photos", 2)
    output = tmp_path / "out"
    lines = _inverting(model, output, steps=150).run(photos, batch_size=2)
    assert [line["status"] for line in lines] == ["done", "done"]
    assert min(line["psnr"] for line in lines) > 30
    with np.load(output / "face1.npz") as found:
        assert found["ws"].shape == (8, 16) and found["psnr"] == lines[1]["psnr"]
        again = to_bytes(np.asarray(model.synthesize(found["ws"][None]))[0])
    with Image.open(output / "face1.png") as drawn:
        assert np.abs(np.asarray(drawn).astype(int) - again).max() <= 1
    fields = image_metadata.read_metadata(output / "face1.png")
    assert fields["digitalSourceType"] == image_metadata.GENERATED_SOURCE_TYPE
    assert (output / invert.RESULTS_FILE).read_text().count("\n") == 2
    assert not (output / invert.STATE_FILE).exists()


class _Stopped(Exception):
    pass


def test_a_stopped_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invert, "SAVE_EVERY", 3)
    model = _model(SMALL)
    photos = _photos(model, tmp_path / "photos", 2)
    whole = _inverting(model, tmp_path / "whole", steps=8).run(photos, 2)
    broken = _inverting(model, tmp_path / "broken", steps=8)
    save = broken._save

    def save_and_stop(batch: list[invert.Photo], state: inversion.InversionState) -> None:
        save(batch, state)
        if int(state.step) == 6:
            raise _Stopped

    monkeypatch.setattr(broken, "_save", save_and_stop)
    with pytest.raises(_Stopped):
        broken.run(photos, 2)
    resumed = _inverting(model, tmp_path / "broken", steps=8)
    advance, steps = resumed._advance, []
    monkeypatch.setattr(resumed, "_advance", lambda *a: [steps.append(int(a[-1])), advance(*a)][1])
    assert resumed.run(photos, 2) == whole
    assert steps == [2]
    for name in ("face0", "face1"):
        with (
            np.load(tmp_path / "whole" / f"{name}.npz") as a,
            np.load(tmp_path / "broken" / f"{name}.npz") as b,
        ):
            assert np.array_equal(a["ws"], b["ws"])
    # What is finished stays, unless it was touched.
    steps.clear()
    (tmp_path / "broken" / "face1.png").write_bytes(b"")
    statuses = [line["status"] for line in resumed.run(photos, 2)]
    assert statuses == ["skipped", "done"] and steps == [3, 3, 2]


def test_a_damaged_or_foreign_state_is_not_used(tmp_path: Path) -> None:
    model = _model(SMALL)
    (photo,) = _photos(model, tmp_path / "photos", 1)
    run = _inverting(model, tmp_path / "out", steps=4)
    start = run.search.init(run.prior, 1)
    moved = dataclasses.replace(start, step=start.step + 2)
    run._save([photo], moved)
    assert int(run._restore([photo], start).step) == 2
    other = _inverting(model, tmp_path / "out", steps=5)
    assert int(other._restore([photo], start).step) == 0
    (tmp_path / "out" / invert.STATE_FILE).write_bytes(b"PK\x03\x04")
    assert int(run._restore([photo], start).step) == 0


def test_failures_are_reported_and_the_others_done(tmp_path: Path) -> None:
    model = _model(SMALL)
    _photos(model, tmp_path / "photos", 1)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no photo")
    photos = invert.list_photos(tmp_path / "photos")
    lines = _inverting(model, tmp_path / "out", steps=1).run(photos, 4)
    assert [line["status"] for line in lines] == ["failed", "done"]
    assert lines[0]["reason"] and lines[0]["output"] is None


def test_outputs_of_equal_stems_have_names_of_their_own(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.png", "sub/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [photo.name for photo in invert.list_photos(tmp_path)]
    assert names == ["a.jpg", "a.png", "b", "sub_b"]
    with pytest.raises(UserError, match="--images"):
        invert.list_photos(tmp_path / "nowhere")


def test_distance_grows_with_the_difference_and_sees_every_scale() -> None:
    targets = np.zeros((3, 16, 16, 3), np.float32)
    images = targets.copy()
    images[1] = (np.indices((16, 16)).sum(0) % 2 * 2 - 1)[..., None]
    images[2] = 1
    same, checkered, bright = inversion.pyramid_distance(jnp.asarray(images), jnp.asarray(targets))
    assert same == 0 and 0 < checkered < bright


def test_lpips_of_another_kind_is_refused(tmp_path: Path) -> None:
    model = _model(SMALL)
    save_model(tmp_path / "g", "generator", SMALL, model.variables)
    with pytest.raises(UserError, match="kind 'generator'.*expected 'lpips'"):
        invert.load_measure(str(tmp_path / "g"))
    assert invert.load_measure(None) is invert.PIXELS


def test_lpips_joins_the_loss(tmp_path: Path) -> None:
    network = build_lpips({"backbone": "alex"})
    image = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), image, image)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: rng.uniform(0, 0.1, x.shape).astype(x.dtype), shapes)
    save_model(tmp_path / "lpips", "lpips", {"backbone": "alex"}, variables)
    measure = invert.load_measure(str(tmp_path / "lpips"))
    assert measure.lpips_sha256 is not None
    run = _inverting(_model(SMALL), tmp_path / "out", measure)
    images = jnp.asarray(rng.uniform(-1, 1, (2, 1, 512, 512, 3)), jnp.float32)
    losses = jax.jit(run.search.distance)(run.networks, *images)
    # LPIPS sees no more than 256 pixels.
    lpips = jax.jit(network.apply)(variables, *map(ops.mean_pool, images))
    pixels = inversion.pyramid_distance(*images)
    np.testing.assert_allclose(losses, lpips + pixels, rtol=1e-5)
    assert lpips > 1e-3 * pixels


def test_command_line(tmp_path: Path, run_cli: RunCli) -> None:
    model = _model(SMALL)
    save_model(tmp_path / "g", "generator", SMALL, model.variables)
    _photos(model, tmp_path / "photos", 1)
    output = tmp_path / "out"
    arguments = (f"--images={tmp_path / 'photos'}", f"--output={output}", "--steps=2")
    refused = run_cli("tools.invert", "--model=embedded/judge_64", *arguments)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and not output.exists()
    done = run_cli("tools.invert", f"--model={tmp_path / 'g'}", *arguments)
    assert done.returncode == 0, done.stderr
    assert "1 done; PSNR" in done.stdout
    (line,) = map(json.loads, (output / invert.RESULTS_FILE).read_text().splitlines())
    assert line["image"] == "../photos/face0.png" and line["output"] == "face0.npz"
