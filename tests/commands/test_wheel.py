"""What somebody has who installed the package with pip: no clone, and an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from alrl_jax.commands.export_weights import Permissions, export_file
from alrl_jax.commands.fabricate_models import Sizes, fabricate
from alrl_jax.utils.version import VERSION
from tests.conftest import COMPILATION_CACHE, ROOT

SOURCES = (
    "alrl_jax",
    "configs",
    "tests/commands",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
)
"""What the build sees; of the tests, some, to see that they stay out."""
BUILD = "import setuptools.build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"
FEW = ("--config.data.num_identities=8", "--config.data.images_per_identity=2")

Alrl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a wheel and of an sdist."""
    tree = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, tree / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, tree / name)
    done = subprocess.run([sys.executable, "-c", BUILD], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tree / "dist"


@pytest.fixture(scope="module")
def alrl(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Alrl:
    """Runs the installed command ``alrl`` in a folder.

    Its environment has the wheel, and sees the dependencies of the one that runs the tests.
    """
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    paths = {"base": str(home), "platbase": str(home)}
    packages = Path(sysconfig.get_path("purelib", vars=paths))
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    # A folder in a .pth file is searched; .pth files in it, such as a clone's, are not read.
    (packages / "dependencies.pth").write_text("\n".join(sorted(dependencies)))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-index", str(next(built.glob("*.whl")))], check=True)

    def run(folder: Path, *arguments: str, timeout: int = 600) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
            "HOME": str(folder / "home"),
            "XDG_CACHE_HOME": str(folder / "home" / "cache"),
            "JAX_COMPILATION_CACHE_DIR": str(COMPILATION_CACHE),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        command = [str(home / "bin" / "alrl"), *arguments]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout
        )

    return run


def test_metadata_and_contents(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    assert sdist.name == f"alrl_jax-{VERSION}.tar.gz"
    assert next(built.glob("*.whl")).name == f"alrl_jax-{VERSION}-py3-none-any.whl"
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert "configs/demo.py" in names and "alrl_jax/commands/main.py" in names
    assert not [name for name in names if name.startswith("tests")], "whole tests or none"
    assert f"\nversion: {VERSION}\n" in (ROOT / "CITATION.cff").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"alrl": "alrl_jax.commands.main:cli"}


def test_help_and_doctor(alrl: Alrl, tmp_path: Path) -> None:
    done = alrl(tmp_path, "--help")
    assert done.returncode == 0 and "convert-weights" in done.stdout, done.stderr
    done = alrl(tmp_path, "doctor")
    assert done.returncode == 0 and f"alrl_jax {VERSION}" in done.stdout, done.stderr
    assert str(ROOT / "alrl_jax") not in done.stdout, "the clone is not what runs"
    assert not list(tmp_path.iterdir())


def test_swaps_in_an_empty_folder(alrl: Alrl, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    for name, colour in (("a.png", "tan"), ("home/b.png", "brown")):
        Image.new("RGB", (32, 32), colour).save(tmp_path / name)
    given = ["--model=embedded/swapper_64", "--aligned", "--source=a.png", "--target=~/b.png"]
    done = alrl(tmp_path, "infer", *given, "--output=~/out", "--batch_size=1")
    assert done.returncode == 0, done.stderr
    (line,) = (tmp_path / "home" / "out" / "results.jsonl").read_text().splitlines()
    assert json.loads(line)["status"] == "done"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "home"]


def test_pages_in_an_empty_folder(alrl: Alrl, tmp_path: Path) -> None:
    """Their templates come with the wheel."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1, "loss/total": 2.0}\n')
    done = alrl(tmp_path, "curves", "run", "--output=curves.html")
    assert done.returncode == 0, done.stderr
    assert "loss/total" in (tmp_path / "curves.html").read_text()


def test_converts_weights_in_an_empty_folder(alrl: Alrl, tmp_path: Path) -> None:
    sizes = Sizes(w_dim=8, channel_base=64, channel_max=8, mapping_layers=1)
    made = fabricate(tmp_path / "random", ["generator"], 16, sizes)["generator"]
    export_file(str(made), "rosinality", tmp_path / "g.pt", Permissions())
    done = alrl(tmp_path, "convert-weights", "--source=g.pt", "--output=models/g")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "models/g/model.json").read_text())["kind"] == "generator"


def test_training_starts_from_a_config_by_name(alrl: Alrl, tmp_path: Path) -> None:
    """As far as the networks that it would start from, which this folder lacks."""
    given = ["--config=demo", "--workdir=run", "--config.num_steps=1", *FEW]
    done = alrl(tmp_path, "train", *given, "--config.pretrained.swapper=no_such_model")
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: pretrained.swapper: got no_such_model, which holds no model")
    assert "Traceback" not in done.stderr
    done = alrl(tmp_path, "train", "--config=no_such_config", "--workdir=run")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "demo, ffhq_1024" in done.stderr


@pytest.mark.slow
def test_trains_a_step_in_an_empty_folder(alrl: Alrl, tmp_path: Path) -> None:
    given = ["--config=demo", "--workdir=run", "--config.num_steps=1", "--config.batch_size=2"]
    done = alrl(tmp_path, "train", *given, *FEW, timeout=1200)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "MODEL_CARD.md").is_file()
