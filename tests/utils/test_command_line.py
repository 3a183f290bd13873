"""A user's mistake ends with exit status 2 and one line, whatever program it was made in."""

import asyncio
import errno
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from absl import flags
from absl import logging as absl_logging
from ml_collections import config_flags

from alrl_jax.errors import UserError
from alrl_jax.utils import command_line
from tests.conftest import RunCli

FILES = {
    "config.py": (
        "import ml_collections\n\ndef get_config():\n"
        "    return ml_collections.ConfigDict({'seed': 1, 'data': {'path': 'here', 'count': 2}})\n"
    ),
    "broken.py": "def get_config():\n    return no_such_name\n",
    "attribute.py": "def get_config():\n    return get_config.no_such_name\n",
    "syntax.py": "def get_config(:\n",
    "empty.py": "",
    "value.py": "def get_config():\n    raise ValueError('odd')\n",
}

Run = Callable[..., int | str]


def main(argv: list[str]) -> int | None:
    """What the program does."""
    action = flags.FLAGS.action
    if action == "user":
        raise UserError("got 1\n  expected 2\n  do 3")
    if action == "path":
        Path("folder").read_text()
    if action.startswith("E"):
        number = getattr(errno, action)
        raise OSError(number, os.strerror(number))
    if action == "interrupt":
        raise KeyboardInterrupt
    if action == "bug":
        raise RuntimeError("ours")
    if action.startswith("abandon"):
        abandon_a_task(action.removeprefix("abandon "))
    if action == "some failed":
        return 3
    print(flags.FLAGS.config.data.path, argv[1:])
    return None


def abandon_a_task(where: str) -> None:
    """A task of asyncio fails in a file of that name, and nobody waits for it."""
    scope: dict[str, Callable[[], None]] = {}
    exec(compile("def fail():\n    raise ValueError('no room')\n", where, "exec"), scope)

    async def task() -> None:
        scope["fail"]()

    async def begin() -> None:
        running = asyncio.ensure_future(task())
        await asyncio.sleep(0)
        del running

    asyncio.run(begin())
    gc.collect()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``main`` as a program with flags of its own; returns the exit status."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, positional: bool = False) -> int | str:
        values = flags.FlagValues()
        config_flags.DEFINE_config_file("config", lock_config=True, flag_values=values)
        flags.DEFINE_string("action", "print", "what to do", flag_values=values)
        monkeypatch.setattr(flags, "FLAGS", values)
        command_line.DEFINE_path("path", None, "a path")
        command_line.DEFINE_paths("paths", None, "several")
        monkeypatch.setattr("sys.argv", ["program", *arguments])
        # ml_collections loads every config file as one module, which would keep old contents.
        monkeypatch.delitem(sys.modules, "config_config", raising=False)
        with pytest.raises(SystemExit) as end:
            command_line.run(main, positional=positional)
        return end.value.code or 0

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
        (("--config=attribute.py",), ("no_such_name", "attribute.py:2")),
        (("--config=syntax.py",), ("SyntaxError", "syntax.py")),
        (("--config=empty.py",), ("get_config", "empty.py")),
        (("--config=value.py",), ("ValueError: odd",)),
        (("--config=config.py", "--no_such_flag=1"), ("no_such_flag",)),
        (("--config=config.py", "stray"), ("stray", "flags alone")),
        (("--config=config.py", "--action=user"), ("got 1; expected 2; do 3",)),
        (("--config=config.py", "--action=path"), ("folder",)),
        (("--config=config.py", "--action=ENOSPC"), ("no room on the disk", "make room")),
        (("--config=config.py", "--action=EDQUOT"), ("no room on the disk", "make room")),
        (("--config=config.py", "--action=EFBIG"), ("no room on the disk", "make room")),
    ],
)
def test_mistakes_end_with_status_2_and_one_line(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert run(*arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1
    for word in words:
        assert word in printed


def test_statuses_that_are_no_mistake(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--config", "config.py", "--config.data.path=there") == 0
    assert capsys.readouterr().out == "there []\n"
    assert run("--config=config.py", "--action=some failed") == 3
    assert run("--config=config.py", "--action=interrupt") == 130


def test_a_bug_keeps_its_traceback(run: Run) -> None:
    with pytest.raises(RuntimeError, match="ours"):
        run("--config=config.py", "--action=bug")
    with pytest.raises(OSError, match="Input/output"):
        run("--config=config.py", "--action=EIO")


@pytest.mark.parametrize(("where", "shown"), [("site-packages/orbax/a.py", False), ("a.py", True)])
def test_what_orbax_raises_is_not_logged_as_well(
    run: Run, caplog: pytest.LogCaptureFixture, where: str, shown: bool
) -> None:
    """The program gets the same error, and says it in one line."""
    assert run("--config=config.py", f"--action=abandon {where}") == 0
    (record,) = (r for r in caplog.records if r.name == "asyncio")
    assert bool(absl_logging.get_absl_handler().filter(record)) == shown


def test_positional_arguments_where_the_program_takes_them(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--config=config.py", "a.png", "b.png", positional=True) == 0
    assert capsys.readouterr().out == "here ['a.png', 'b.png']\n"


def test_help_ends_with_status_0(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("A user's mistake") and "--action" in printed


def test_a_real_program(run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli(
        "alrl_jax.train",
        "--config=configs/synthetic_64.py",
        f"--workdir={tmp_path}",
        "--config.no_such_key=1",
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and "no_such_key" in result.stderr
    assert "Traceback" not in result.stderr and not list(tmp_path.iterdir())


def test_configs_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = sorted(command_line.shipped_configs().glob("[!_]*.py"))
    assert shipped
    monkeypatch.chdir(tmp_path)
    for file in shipped:
        for named in (file.stem, file.name, f"configs/{file.name}", f"configs/{file.stem}"):
            assert Path(command_line.find_config(named)).samefile(file)
    (tmp_path / "configs").mkdir()
    own = tmp_path / "configs" / shipped[0].name
    own.write_text("")
    assert Path(command_line.find_config(f"configs/{own.name}")).samefile(own)
    assert Path(command_line.find_config(shipped[0].stem)).samefile(shipped[0])
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Path(command_line.find_config(f"~/configs/{own.name}")).samefile(own)
    for named in ("no_such", f"elsewhere/{shipped[0].name}"):
        with pytest.raises(
            UserError, match=f"got --config={named}.*: autoencoder_64, demo, .*; name one"
        ):
            command_line.find_config(named)


def test_a_config_by_name_takes_an_argument(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--config=rows_64:ftm4", "--config.data.path=there") == 0
    assert run("--config", "rows_64.py:ftm4", "--config.data.path=there") == 0
    assert capsys.readouterr().out == 2 * "there []\n"
    assert flags.FLAGS.config.swap.selector == "ftm4"


def test_flags_that_hold_paths(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run("--config=~/config.py", "--path=~/a", "--paths=~/a,b=~/c,d") == 0
    assert flags.FLAGS.path == f"{tmp_path}/a"
    assert flags.FLAGS.paths == [f"{tmp_path}/a", f"b={tmp_path}/c", "d"]
    capsys.readouterr()
    for argument in ("--path=gs://a/b", "--paths=a,b=gs://a/b", "--config=gs://a/b"):
        assert run(argument) == 2
        printed = capsys.readouterr().err
        assert printed.startswith("error: got 'gs://a/b', which") and printed.count("\n") == 1
