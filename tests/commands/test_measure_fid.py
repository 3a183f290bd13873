from pathlib import Path

import pytest
from PIL import Image

from alrl_jax.commands import measure_fid
from alrl_jax.errors import UserError
from tests.conftest import RunCli
from tests.evaluation.test_fid import Thumbnails


def _folder(path: Path, colours: list[str]) -> list[Path]:
    path.mkdir()
    for i, colour in enumerate(colours):
        Image.new("RGB", (20, 20), colour).save(path / f"{i}.png")
    return measure_fid.image_files(str(path))


def test_a_folder_against_itself_and_another(tmp_path: Path) -> None:
    images = _folder(tmp_path / "a", ["red", "green", "blue"])
    others = _folder(tmp_path / "b", ["white", "black", "red", "grey"])
    itself = measure_fid.compare(Thumbnails(), images, images, tmp_path / "cache", 2)
    assert itself == {"fid": pytest.approx(0, abs=1e-9), "images": 3, "others": 3}
    apart = measure_fid.compare(Thumbnails(), images, others, tmp_path / "cache", 2)
    assert apart["fid"] > 1 and apart["others"] == 4
    with pytest.raises(UserError, match="expected a directory tree of images"):
        measure_fid.image_files(str(tmp_path / "nowhere"))


def test_command_line_refuses_another_model(tmp_path: Path, run_cli: RunCli) -> None:
    _folder(tmp_path / "a", ["red", "green"])
    folders = (f"--images={tmp_path / 'a'}", f"--others={tmp_path / 'a'}")
    refused = run_cli("tools.measure_fid", "--model=embedded/identity_64", *folders)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert "'identity'" in refused.stderr and "--kind=inception" in refused.stderr
