"""What version 0.1.0 wrote: model directories open, work directories are refused in one line."""

import json
from pathlib import Path

import numpy as np
import pytest

import alrl_jax
from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.storage.checkpoint import Checkpointer, read_fields
from alrl_jax.storage.model_directory import read_meta, read_model, save_model
from alrl_jax.storage.workdir import EARLIER_FIELDS, read_config
from alrl_jax.train import train
from tests.conftest import RunCli

EARLIER_NAMES = {"shares": "source_weights", "requests": "attribute_control"}
EARLIER_NAMES |= {"impostors": "cycle_targets", "disguise": "target_warp"}


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    """A run of two steps, as version 0.1.0 left it: its names in config and checkpoint."""
    workdir = tmp_path / "run"
    values = Config(num_steps=2).to_dict()
    for earlier, present in EARLIER_NAMES.items():
        values["swap"][earlier] = values["swap"].pop(present)
    state = {name: {"w": np.zeros(2, np.float32)} for name in ("params", "ema", "moving")}
    with Checkpointer(workdir, keep=1) as checkpointer:
        checkpointer.save(2, {"step": np.array(2, np.int32), **state}, {})
    (workdir / "config.json").write_text(json.dumps(values))
    return workdir


def files(workdir: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in workdir.rglob("*") if p.name != ".lock"}


REFUSED = "work directory of a run of version 0.1.0 .*; expected one of this version; train again"


def test_a_work_directory_is_refused_by_all_who_read_it(workdir: Path) -> None:
    before = files(workdir)
    for read in (lambda: train(Config(num_steps=2), workdir), lambda: alrl_jax.load(workdir)):
        with pytest.raises(UserError, match=REFUSED) as error:
            read()
        assert "\n" not in str(error.value) and "tools.package_model" in str(error.value)
        assert str(workdir) in str(error.value)
    assert {name: files(workdir)[name] for name in before if Path(name).is_file()} == {
        name: stamp for name, stamp in before.items() if Path(name).is_file()
    }


@pytest.mark.parametrize("field", sorted(EARLIER_FIELDS))
def test_each_earlier_field_gives_it_away(tmp_path: Path, field: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"swap": {field: 0}}))
    with pytest.raises(UserError, match=rf"0.1.0 \(swap.{field} in its config.json\)"):
        read_config(tmp_path)


def test_so_does_a_checkpoint(workdir: Path) -> None:
    with pytest.raises(UserError, match=f"{REFUSED}") as error:
        read_fields(workdir, ("ema", "mutable"))
    assert "moving in its checkpoints" in str(error.value)


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("alrl_jax.train", ("--config=configs/synthetic_64.py", "--workdir={run}")),
        ("alrl_jax.evaluate", ("--workdir={run}", "--output={run}_out")),
        (
            "alrl_jax.infer",
            ("--model={run}", "--source=a.png", "--target=b.png", "--output={run}_out"),
        ),
    ],
)
def test_commands_end_with_status_2(
    workdir: Path, run_cli: RunCli, module: str, arguments: tuple[str, ...]
) -> None:
    done = run_cli(module, *(text.format(run=workdir) for text in arguments))
    assert done.returncode == 2
    assert "version 0.1.0" in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_model_directory_opens_under_the_present_names(tmp_path: Path) -> None:
    config = {"swap": {"selector": "best_fixed", "shares": [0.0, 1.0]}}
    save_model(tmp_path / "m", "swapper", config, {"generator": {"w": np.zeros(2, np.float32)}})
    meta, variables = read_model(tmp_path / "m")
    present = {"selector": "best_fixed", "source_weights": [0.0, 1.0]}
    assert meta["config"]["swap"] == {**present, "owners_trained": False}
    assert variables["generator"]["w"].shape == (2,)


@pytest.mark.parametrize(("losses", "trained"), [({"attribute_groups": 0.1}, True), ({}, False)])
def test_whether_owners_were_trained_follows_from_the_losses_of_the_run(
    tmp_path: Path, losses: dict[str, float], trained: bool
) -> None:
    source = {"config": {"losses": losses}}
    save_model(tmp_path, "swapper", {"swap": {"width": 8}}, {"a": np.zeros(2)}, source=source)
    assert read_meta(tmp_path)["config"]["swap"]["owners_trained"] is trained
