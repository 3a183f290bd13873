"""A swapper that was assembled is a model like any other: commands take it as it is."""

import json
from pathlib import Path

import pytest

from alrl_jax import evaluate, infer, infer_frames
from alrl_jax.commands import assemble_swapper, export_model
from alrl_jax.commands.fabricate_models import fabricate
from alrl_jax.loading import load_swapper
from tests.support.commands import run_command
from tests.support.photo_files import write_photo
from tests.support.tiny import NARROW

pytestmark = pytest.mark.usefixtures("quick_compilation")
SIDE = 32
PARTS = ("generator", "encoder", "identity")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Networks of the published kinds, narrow and random."""
    return fabricate(tmp_path_factory.mktemp("parts"), PARTS, SIDE, NARROW)


def assemble(parts: dict[str, Path], output: Path, patch: pytest.MonkeyPatch) -> str:
    """The flag that names a model that the command has put together."""
    named = [f"--{name}={path}" for name, path in parts.items()]
    assert (
        run_command(patch, assemble_swapper, *named, "--mask=ellipse", f"--output={output}")[0] == 0
    )
    return f"--model={output}"


def test_from_parts_to_swaps_figures_and_a_program(
    parts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = assemble(parts, tmp_path / "swapper", monkeypatch)
    assert load_swapper(tmp_path / "swapper").selectors[0] == "psp_middle"
    photos = [write_photo(tmp_path / "t" / f"{n}.png", n, (SIDE, SIDE)) for n in range(2)]
    given = (model, f"--source={photos[0]}", f"--target={photos[1]}", "--aligned", "--nomark")
    assert run_command(monkeypatch, infer, *given, f"--output={tmp_path / 'swaps'}")[0] == 0
    (line,) = (tmp_path / "swaps" / "results.jsonl").read_text().splitlines()
    assert json.loads(line)["status"] == "done"
    (tmp_path / "pairs.csv").write_text("source,target\nt/0.png,t/1.png\nt/1.png,t/0.png\n")
    asked = (f"--workdir={tmp_path / 'swapper'}", "--benchmark=pairs", "--aligned")
    asked += (f"--pairs={tmp_path / 'pairs.csv'}", f"--output={tmp_path / 'figures'}")
    assert run_command(monkeypatch, evaluate, *asked, "--batch_size=2")[0] == 0
    rows = json.loads((tmp_path / "figures" / "metrics.json").read_text())["rows"]
    assert {"psp_middle", "self_swap", "target_image"} <= rows.keys(), rows.keys()
    assert run_command(monkeypatch, export_model, model, f"--output={tmp_path / 'program'}")[0] == 0
    assert any((tmp_path / "program").iterdir())


@pytest.mark.slow
def test_frames_take_an_assembled_swapper(
    parts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = assemble(parts, tmp_path / "swapper", monkeypatch)
    photos = [write_photo(tmp_path / "t" / f"{n}.png", n, (SIDE, SIDE)) for n in range(3)]
    given = (model, f"--source={photos[0]}", f"--frames={tmp_path / 't'}", "--aligned")
    output = tmp_path / "frames"
    assert run_command(monkeypatch, infer_frames, *given, f"--output={output}", "--nomark")[0] == 0
    assert len(list(output.glob("*.png"))) == len(photos)
