"""A swapper that was assembled is a model like any other: commands take it as it is."""

from pathlib import Path

import pytest

from alrl_jax import infer_frames
from alrl_jax.commands import export_model
from alrl_jax.commands.fabricate_models import fabricate
from alrl_jax.loading.assembling import Parts, assemble
from tests.support.commands import run_command
from tests.support.photo_files import write_photo
from tests.support.tiny import NARROW

SIDE = 32


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compilation")
def test_commands_take_an_assembled_swapper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = fabricate(tmp_path / "parts", ("generator", "encoder", "identity"), SIDE, NARROW)
    named = {name: str(path) for name, path in parts.items()}
    assemble(Parts(named, "psp_middle", "ellipse"), tmp_path / "swapper")
    photos = [write_photo(tmp_path / "t" / f"{n}.png", n, (SIDE, SIDE)) for n in range(3)]
    model = f"--model={tmp_path / 'swapper'}"
    given = (model, f"--source={photos[0]}", f"--frames={tmp_path / 't'}", "--aligned")
    output = tmp_path / "frames"
    assert run_command(monkeypatch, infer_frames, *given, f"--output={output}", "--nomark")[0] == 0
    assert len(list(output.glob("*.png"))) == len(photos)
    output = tmp_path / "exported"
    assert run_command(monkeypatch, export_model, model, f"--output={output}")[0] == 0
    assert any(output.iterdir())
