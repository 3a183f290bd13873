"""Programs compiled for devices that are not there; here, for those of this machine instead."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import pytest

from alrl_jax.commands import compile_for
from alrl_jax.errors import UserError
from alrl_jax.profiling import machines
from tests.support import tiny

A100 = machines.Topology("a100", "", 2)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices of this machine stand for two GPUs."""
    monkeypatch.setattr(machines, "describe_devices", lambda _: jax.devices()[:2])
    monkeypatch.setattr(machines, "compiler_options", lambda _: {})


@pytest.mark.usefixtures("here", "quick_compilation")
def test_a_programs_costs_are_those_of_one_chip() -> None:
    config = tiny.tiny_config("generator_64").to_dict()
    (row,) = compile_for.compile_for(config, A100, 2, "synthesis", fabricate=False)
    assert row["what"] == "synthesis" and row["fits"] and row["collectives"] == {}
    assert row["memory_gib_in_all"] + row["spare_gib"] == pytest.approx(40.0, abs=0.01)
    assert row["gigabytes"] >= 0 and row["bound_by"] in ("operations", "bytes")
    assert 0 < len(row["slowest"]) <= 10
    json.dumps(row)


@pytest.mark.usefixtures("here")
def test_what_a_config_does_not_have_is_refused() -> None:
    config = tiny.tiny_config("identity_64").to_dict()
    with pytest.raises(UserError, match="--what=synthesis with a config of kind"):
        compile_for.compile_for(config, A100, 2, "synthesis", fabricate=False)
    with pytest.raises(UserError, match="--what=infer with a config of kind"):
        compile_for.compile_for(config, A100, 2, "infer", fabricate=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("topology", "package"),
    [("v5e:2x2", "libtpu"), ("a100:4", "jax_plugins.xla_cuda12")],
)
def test_a_step_for_real_hardware_sums_gradients_alone(
    topology: str, package: str, tmp_path: Path
) -> None:
    """Where that hardware's compiler is installed."""
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        found = None
    if found is None:
        pytest.skip(f"{package} is not installed")
    output = tmp_path / "found.json"
    command = [sys.executable, "-m", "alrl_jax.commands.main", "compile-for", "--config=rows_64"]
    arguments = [f"--topology={topology}", "--batch=4", f"--output={output}"]
    subprocess.run([*command, *arguments], check=True)
    report: dict[str, Any] = json.loads(output.read_text())
    assert report["chips"] == 4
    for row in report["programs"]:
        assert set(row["collectives"]) == {"all-reduce"} and row["fits"]
        assert row["memory_gib_in_all"] < 2.0 and row["teraflops"] > 0
