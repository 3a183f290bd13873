"""A user's mistake ends with exit status 2 and one line, whatever program it was made in."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from alrl_jax import command_line
from alrl_jax.errors import UserError

ROOT = Path(__file__).parent.parent

PROGRAM = '''"""What the program does."""
from absl import flags
from ml_collections import config_flags
from alrl_jax import command_line
from alrl_jax.errors import UserError
CONFIG = config_flags.DEFINE_config_file("config", lock_config=True)
ACTION = flags.DEFINE_string("action", "print", "what to do")


def main(argv):
    if ACTION.value == "user":
        raise UserError("got 1\\n  expected 2\\n  do 3")
    if ACTION.value == "path":
        open("folder")
    if ACTION.value == "interrupt":
        raise KeyboardInterrupt
    if ACTION.value == "bug":
        raise RuntimeError("ours")
    if ACTION.value == "some failed":
        return 3
    print(CONFIG.value.data.path, argv[1:])


if __name__ == "__main__":
    command_line.run(main, positional=POSITIONAL)
'''

CONFIG = """import ml_collections

def get_config():
    return ml_collections.ConfigDict({"seed": 1, "data": {"path": "here", "count": 2}})
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "program.py").write_text(PROGRAM.replace("POSITIONAL", "False"))
    (tmp_path / "files.py").write_text(PROGRAM.replace("POSITIONAL", "True"))
    (tmp_path / "config.py").write_text(CONFIG)
    (tmp_path / "broken.py").write_text("def get_config():\n    return no_such_name\n")
    (tmp_path / "syntax.py").write_text("def get_config(:\n")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "value.py").write_text("def get_config():\n    raise ValueError('odd')\n")
    (tmp_path / "folder").mkdir()

    def call(*arguments: str, program: str = "program.py") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, program, *arguments]
        environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )

    return call


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--config=config.py", "--config.no_such_key=1"), ("no_such_key", "config.py")),
        (("--config=config.py", "--config.data.pth=1"), ("pth", "Did you mean", "path")),
        (("--config=config.py", "--config.seed=abc"), ("--config.seed=abc", "int")),
        (("--config=config.py", "--config.seed=1.5"), ("1.5",)),
        (("--config=config.py", "--config.data=3"), ("--config.data=3",)),
        (("--config=none_such.py",), ("none_such.py", "no file")),
        (("--config=folder",), ("folder", "no file")),
        (("--config=broken.py",), ("no_such_name", "broken.py:2")),
        (("--config=syntax.py",), ("SyntaxError", "syntax.py")),
        (("--config=empty.py",), ("get_config", "empty.py")),
        (("--config=value.py",), ("ValueError: odd",)),
        (("--config=config.py", "--no_such_flag=1"), ("no_such_flag",)),
        (("--config=config.py", "stray"), ("stray", "flags alone")),
        (("--config=config.py", "--action=user"), ("got 1; expected 2; do 3",)),
        (("--config=config.py", "--action=path"), ("folder",)),
    ],
)
def test_mistakes_end_with_status_2_and_one_line(
    run: Run, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    result = run(*arguments)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr


def test_statuses_that_are_no_mistake(run: Run) -> None:
    fine = run("--config", "config.py", "--config.data.path=there")
    assert (fine.returncode, fine.stdout) == (0, "there []\n")
    assert run("--config=config.py", "--action=some failed").returncode == 3
    assert run("--config=config.py", "--action=interrupt").returncode == 130
    bug = run("--config=config.py", "--action=bug")
    assert bug.returncode == 1 and "Traceback" in bug.stderr


def test_positional_arguments_where_the_program_takes_them(run: Run) -> None:
    result = run("--config=config.py", "a.png", "b.png", program="files.py")
    assert (result.returncode, result.stdout) == (0, "here ['a.png', 'b.png']\n")


def test_help_ends_with_status_0(run: Run) -> None:
    result = run("--help")
    assert result.returncode == 0
    assert result.stdout.startswith("What the program does.") and "--action" in result.stdout


def test_configs_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = sorted(command_line.shipped_configs().glob("[!_]*.py"))
    assert shipped
    monkeypatch.chdir(tmp_path)
    for file in shipped:
        assert Path(command_line.find_config(f"configs/{file.name}")).samefile(file)
        assert Path(command_line.find_config(file.name)).samefile(file)
    (tmp_path / "configs").mkdir()
    own = tmp_path / "configs" / shipped[0].name
    own.write_text("")
    assert Path(command_line.find_config(f"configs/{own.name}")).samefile(own)
    with pytest.raises(UserError, match=shipped[0].name):
        command_line.find_config(f"elsewhere/{shipped[0].name}")
