from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.convert.engine import convert_file
from alrl_jax.errors import UserError
from alrl_jax.models.build import build_generator
from alrl_jax.models.stylegan2.discriminator import Discriminator
from alrl_jax.storage.model_directory import read_model
from tests.conftest import RunCli
from tests.goldens import weights
from tests.goldens.golden import assert_close, read_golden
from tests.support.checkpoints.refusals import assert_refused
from tests.support.checkpoints.torch_writer import save_torch

GOLDEN = read_golden("rosinality_g_32")
Checkpoint = dict[str, Any]


def _checkpoint() -> Checkpoint:
    """The layout of rosinality's own converter; ``g`` differs, so that a wrong choice shows."""
    spec = GOLDEN.info["spec"]
    return {
        "g_ema": dict(GOLDEN.tensors),
        "latent_avg": weights.fill({"latent_avg": [64]})["latent_avg"],
        "g": weights.fill(spec, "raw-"),
        "d": weights.fill(GOLDEN.info["discriminator_spec"]),
    }


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_torch(tmp_path_factory.mktemp("source") / "g.pt", _checkpoint())


def test_generator_gives_the_same_images(checkpoint: Path, tmp_path: Path) -> None:
    convert_file(checkpoint, "generator", tmp_path / "g")
    meta, variables = read_model(tmp_path / "g")
    assert meta["kind"] == "generator"
    assert meta["source"]["section"] == "g_ema" and meta["source"]["file"] == "g.pt"
    assert meta["source"]["skipped"] == ["g", "d"]
    generator = build_generator(meta["config"])
    assert generator.demod_convention == "scaled"
    arrays = GOLDEN.arrays

    @jax.jit
    def run(variables: Any, z: jax.Array, ws: jax.Array) -> tuple[jax.Array, ...]:
        codes = generator.apply(variables, z, method="map")
        images = [generator.apply(variables, w, method="synthesize") for w in (codes[:2], ws)]
        return codes, *images

    codes, images, plus = run(variables, jnp.asarray(arrays["z"]), jnp.asarray(arrays["w_plus"]))
    assert_close(codes[:, 0], arrays["w"])
    assert_close(images, GOLDEN.images("img"))
    assert_close(plus, GOLDEN.images("img_plus"))
    expected = weights.fill({"latent_avg": [64]})["latent_avg"]
    assert np.array_equal(variables["constants"]["mapping"]["w_avg"], expected)


def test_discriminator_gives_the_same_logits(checkpoint: Path, tmp_path: Path) -> None:
    convert_file(checkpoint, "discriminator", tmp_path / "d")
    meta, variables = read_model(tmp_path / "d")
    assert meta["source"]["skipped"] == ["g_ema", "g"]
    channels = tuple(tuple(pair) for pair in meta["config"].pop("channels"))
    discriminator = Discriminator(**meta["config"], channels=channels)
    golden = read_golden("rosinality_d_32")
    logits = jax.jit(discriminator.apply)(variables, jnp.asarray(golden.images("img")))
    np.testing.assert_allclose(logits, golden.arrays["logits"], atol=2e-6)


def test_a_lone_network_needs_no_kind(tmp_path: Path) -> None:
    path = save_torch(tmp_path / "d.pt", _checkpoint()["d"])
    assert convert_file(path, "auto", tmp_path / "d").kind == "discriminator"


def test_the_centre_of_truncation_is_computed_where_the_file_has_none(tmp_path: Path) -> None:
    path = save_torch(tmp_path / "g.pt", {"g_ema": _checkpoint()["g_ema"], "step": 5})
    converted = convert_file(path, "auto", tmp_path / "g")
    assert "w_avg" in converted.source and converted.source["skipped"] == ["step"]
    center = converted.variables["constants"]["mapping"]["w_avg"]
    assert_close(center, GOLDEN.arrays["w"].mean(0), worst=2.0, relative_l2=1.0)
    assert float(np.std(center)) > 0.1


def _drop(name: str) -> Callable[[Checkpoint], None]:
    return lambda c: c["g_ema"].pop(name)


def _set(name: str, value: Callable[[np.ndarray], np.ndarray]) -> Callable[[Checkpoint], None]:
    def change(checkpoint: Checkpoint) -> None:
        old = checkpoint["g_ema"].get(name, np.zeros((2, 2), np.float32))
        checkpoint["g_ema"][name] = value(old)

    return change


def _poison(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flat[0] = np.nan
    return x


FAULTS: dict[str, tuple[Callable[[Checkpoint], None], str]] = {
    "missing tensor": (_drop("convs.2.conv.weight"), "convs.2.conv.weight"),
    "missing bias": (_drop("to_rgb1.bias"), "to_rgb1.bias"),
    "missing mapping layer": (_drop("style.4.weight"), "style"),
    "extra tensor": (_set("convs.9.extra", lambda x: x), "convs.9.extra"),
    "extra block": (_set("to_rgbs.3.bias", lambda x: x), "convs.6.conv.weight"),
    "wrong shape": (_set("style.3.weight", lambda x: x[:, :-1]), "style.3.weight"),
    "wrong axes": (_set("style.3.weight", lambda x: x[0]), "style.3.weight"),
    "NaN": (_set("conv1.conv.weight", _poison), "NaN"),
    "infinity": (_set("convs.0.activate.bias", lambda x: x / 0.0), "infinite"),
    "whole numbers for a name": (lambda c: c["g_ema"].update({3: np.zeros(1)}), "named 3"),
    "another filter": (_set("to_rgbs.0.upsample.kernel", lambda x: x * 2), "filter"),
    "no network": (lambda c: [c.pop(k) for k in ("g_ema", "g", "d")], "no network"),
}


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_and_nothing_is_written(tmp_path: Path, fault: str) -> None:
    damage, message = FAULTS[fault]
    content = _checkpoint()
    damage(content)
    assert_refused(save_torch(tmp_path / "g.pt", content), "generator", message)


@pytest.mark.parametrize("content", [b"", b"hello, weights", b"PK\x03\x04 and then nothing"])
def test_files_of_another_kind(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "g.pt").write_bytes(content)
    with pytest.raises(UserError, match="g.pt"):
        convert_file(tmp_path / "g.pt", "auto", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.pt", tmp_path):
        with pytest.raises(UserError, match="expected a checkpoint file"):
            convert_file(path, "auto", tmp_path / "out")


def test_several_networks_need_a_kind(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="discriminator, generator"):
        convert_file(checkpoint, "auto", tmp_path / "out")


def test_a_kind_that_is_not_there(tmp_path: Path) -> None:
    path = save_torch(tmp_path / "d.pt", {"d": _checkpoint()["d"]})
    with pytest.raises(UserError, match="--kind=generator; expected what the file holds"):
        convert_file(path, "generator", tmp_path / "out")


def test_two_generators_that_nothing_tells_apart(tmp_path: Path) -> None:
    networks = {"one": GOLDEN.tensors, "two": GOLDEN.tensors}
    path = save_torch(tmp_path / "g.pt", networks)
    with pytest.raises(UserError, match="one, two"):
        convert_file(path, "auto", tmp_path / "out")


def test_command_line(checkpoint: Path, tmp_path: Path, run_cli: RunCli) -> None:
    arguments = (f"--source={checkpoint}", f"--output={tmp_path / 'g'}")
    refused = run_cli("tools.convert_weights", *arguments)
    assert refused.returncode == 2 and not (tmp_path / "g").exists()
    assert refused.stderr.count("\n") == 1 and "discriminator, generator" in refused.stderr
    done = run_cli("tools.convert_weights", *arguments, "--kind=generator")
    assert done.returncode == 0, done.stderr
    assert "skipped     g, d" in done.stdout and "255,795" in done.stdout
    assert read_model(tmp_path / "g")[0]["kind"] == "generator"
