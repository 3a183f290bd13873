"""The configs for photographs at their real size, by shapes alone: no weights, no arithmetic."""

import importlib.util
from pathlib import Path

import jax
import pytest

from alrl_jax.commands.memory_report import GIB, abstract_run, fabricated, report
from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.storage.model_directory import read_model, read_shapes
from tests.support import tiny

GENERATORS = {256: 24_767_458, 1024: 30_370_060}
"""Parameters of StyleGAN2 at config F's width, and of the published ones of 256 px at half."""


def full_config(name: str) -> Config:
    """A config as it stands, at two images."""
    spec = importlib.util.spec_from_file_location(name, tiny.CONFIGS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    values = module.get_config().to_dict()
    values["batch_size"] = 2
    values["discriminator"]["mbstd_blocks"] = 1
    return Config.from_dict(values)


def count(tree: dict) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    "name",
    [
        name if name == "ffhq_1024_finetune" else pytest.param(name, marks=pytest.mark.slow)
        for name in tiny.PHOTO_CONFIGS
    ],
)
def test_a_full_size_config_lowers(name: str, tmp_path: Path) -> None:
    config = fabricated(full_config(name), tmp_path)
    run = abstract_run(config)
    trains = config.generator.train
    assert ("generator" in run.state.params) is trains
    assert ("generator" in run.state.ema) is trains
    assert ("generator" in run.state.opt_state) is trains
    assert ("generator" in run.frozen) is not trains
    generator = run.state.params["generator"] if trains else run.frozen["generator"]["params"]
    assert count(generator) == GENERATORS[config.resolution]
    trunk = run.state.params["encoder"]["params"]["trunk"]
    codes = 18 if config.resolution == 1024 else 14
    assert len(trunk["styles"]) == codes and len(trunk["body"]) == 24
    assert {"identity", "lpips", "parser"} <= set(run.frozen)
    lowered = run.lower(run.phases()[0])
    leaves, metrics = lowered.out_info
    assert [leaf.shape for leaf in leaves] == [leaf.shape for leaf in jax.tree.leaves(run.state)]
    weighted = {f"loss/{name}" for name, weight in config.losses.items() if weight}
    assert weighted <= set(metrics)


def test_shapes_are_no_weights(tmp_path: Path) -> None:
    config = fabricated(full_config("ffhq_1024"), tmp_path)
    directory = config.pretrained["encoder"]
    meta, shapes = read_shapes(directory)
    assert meta["kind"] == "psp" and shapes["params"]["latlayer1"]["kernel"].shape[-1] == 512
    assert sum(path.stat().st_blocks for path in Path(directory).iterdir()) < 1000
    with pytest.raises(UserError, match="expected its sha256"):
        read_model(directory)


def test_a_report_of_memory_and_work() -> None:
    run = abstract_run(tiny.tiny_config("identity_64"))
    (phase,) = run.phases()
    figures = report(phase, run.lower(phase))
    held = sum(leaf.size * 4 for leaf in jax.tree.leaves((run.state, run.batch)))
    assert figures["gib"]["arguments"] == pytest.approx(held / GIB, abs=0.01)
    assert figures["gib_in_all"] == pytest.approx(sum(figures["gib"].values()), abs=0.02)
    assert figures["teraflops"] >= 0.0 and "cpu" in figures["device"]
