"""The console command: its table is whole, its help is quick, and every command has one shape."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from absl import flags

from alrl_jax.commands import main
from alrl_jax.utils import addresses, command_line
from alrl_jax.utils.version import VERSION
from tests.conftest import RunCli
from tests.support.commands import own_flags, run_command

ROOT = Path(__file__).parents[2]
NO_COMMANDS = {"__init__", "main", "exported_swap"}
"""Modules beside the commands: the table, and what an export takes along."""
ADDRESS = "gs://bucket/folder/x"
NEEDED = f"got {ADDRESS}, for which the package gcsfs is not installed"
"""What is said of an address where one may stand, without the package for it."""
NO_PATHS = {
    "against",
    "command",
    "coordinator_address",
    "face",
    "host",
    "part",
    "seeds",
    "selector",
    "source_face",
    "split",
    "topology",
    # lists
    "chips",
    "detector_angles",
    "finders",
    "compressions",
    "groups",
    "layouts",
    "methods",
    "int8",
    "rows",
    "selectors",
}
"""Flags of text that name no path."""


def module_of(name: str) -> ModuleType:
    """The module of a sub-command."""
    return importlib.import_module(main.COMMANDS[name][0])


def defined(monkeypatch: pytest.MonkeyPatch, name: str) -> dict[str, flags.Flag]:
    """The flags that a sub-command defines."""
    with own_flags(monkeypatch) as values:
        module_of(name).define_flags()
        return {each: values[each] for each in values}


def output_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *words: str) -> tuple:
    """Exit status, and what ``alrl WORDS`` writes to both streams."""
    monkeypatch.setattr("sys.argv", ["alrl", *words])
    with pytest.raises(SystemExit) as end:
        main.cli()
    captured = capsys.readouterr()
    return end.value.code, captured.out, captured.err


def test_every_command_is_in_the_table() -> None:
    files = {path.stem for path in (ROOT / "alrl_jax" / "commands").glob("*.py")} - NO_COMMANDS
    modules = {module.rpartition(".")[2] for module, _ in main.COMMANDS.values()}
    assert modules == files | {"train", "evaluate", "infer", "infer_frames"}
    for name, (module, text) in main.COMMANDS.items():
        assert name.replace("-", "_") == module.rpartition(".")[2]
        assert text.endswith(".") and len(text) < 80


def test_fronts_call_the_commands_of_their_name() -> None:
    fronts = sorted((ROOT / "tools").glob("*.py"))
    assert fronts
    for front in fronts:
        imports = [
            n for n in ast.walk(ast.parse(front.read_text())) if isinstance(n, ast.ImportFrom)
        ]
        assert [(node.module, node.names[0].name) for node in imports] == [
            (f"alrl_jax.commands.{front.stem}", "cli")
        ]
        assert front.stem.replace("_", "-") in main.COMMANDS
        assert front.read_text().count("\n") <= 10


def test_help_lists_the_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = output_of(monkeypatch, capsys, "--help")
    assert status == 0 and not err
    for name, (_, text) in main.COMMANDS.items():
        assert f"  {name} " in out and text in out
    assert output_of(monkeypatch, capsys, "--version") == (0, f"alrl_jax {VERSION}\n", "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "no sub-command"),
        (("infr",), "did you mean infer or invert?"),
        (("convert_weights", "--help"), "did you mean convert-weights"),
        (("zzzz",), "see alrl --help"),
    ],
)
def test_other_words_end_with_status_2_and_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    expected: str,
) -> None:
    status, out, err = output_of(monkeypatch, capsys, *words)
    assert status == 2 and not out and err.count("\n") == 1 and expected in err


def test_importing_is_quick_and_defines_no_flags() -> None:
    """One process: the help without JAX, then all commands at once."""
    modules = [module for module, _ in main.COMMANDS.values()]
    program = f"""
import importlib, sys
from absl import flags
from alrl_jax.commands import main
assert main.main(["alrl", "--help"]) == 0
for heavy in ("jax", "numpy", "flax"):
    assert heavy not in sys.modules, heavy
for module in {modules}:
    importlib.import_module(module)
ours = [name for name in flags.FLAGS.flags_by_module_dict() if name.startswith("alrl_jax")]
assert not ours, ours
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", main.COMMANDS)
def test_help_shows_documentation_and_flags(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    module = module_of(name)
    status, _ = run_command(monkeypatch, module, "--help")
    out = capsys.readouterr().out
    assert status == 0 and module.__doc__ is not None
    assert out.startswith(module.__doc__.strip()) and f"alrl {name}" in module.__doc__
    for flag in defined(monkeypatch, name):
        assert f"--{flag}:" in out or f"--[no]{flag}:" in out


@pytest.mark.parametrize("module", ["tools.contact_sheet", "alrl_jax.infer"])
def test_help_of_modules_that_are_run(run_cli: RunCli, module: str) -> None:
    done = run_cli(module, "--help")
    assert done.returncode == 0, done.stderr
    assert "alrl " in done.stdout and "--output:" in done.stdout


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_flag_that_holds_a_path_expands_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for flag in defined(monkeypatch, name).values():
        if isinstance(flag.parser, command_line.PathParser):
            assert flag.parser.parse("~/x") == f"{tmp_path}/x"
        elif isinstance(flag.parser, command_line.PathsParser):
            assert flag.parser.parse("~/x,a=~/y") == [f"{tmp_path}/x", f"a={tmp_path}/y"]
        else:
            of_text = isinstance(flag.parser, flags.ListParser) or flag.flag_type() == "string"
            known = flag.name in NO_PATHS or flag.name.startswith("config")
            assert known or not of_text, "a path: DEFINE_path; if it is none, into NO_PATHS"


@pytest.mark.parametrize("name", main.COMMANDS)
def test_addresses_of_buckets_are_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(addresses, "is_installed", lambda package: False)
    kinds = (command_line.PathParser, command_line.PathsParser)
    named = defined(monkeypatch, name)
    paths = [each for each, flag in named.items() if isinstance(flag.parser, kinds)]
    for flag in [*paths, *(each for each in named if each == "config")]:
        status, _ = run_command(monkeypatch, module_of(name), f"--{flag}={ADDRESS}")
        err = capsys.readouterr().err
        assert status == 2 and err.count("\n") == 1, flag
        assert (f"got '{ADDRESS}', which is an address of a bucket" in err) != (NEEDED in err)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("field", ["data.path", "pretrained.swapper"])
def test_addresses_in_a_config_are_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    field: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(addresses, "is_installed", lambda package: False)
    given = ["--config=demo", "--workdir=run", f"--config.{field}={ADDRESS}"]
    assert run_command(monkeypatch, module_of("train"), *given)[0] == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and ("is an address of a bucket" in err) != (NEEDED in err)
    assert not list(tmp_path.iterdir())


BAD = {
    "train": ["--config=demo", "--workdir=~/file/run"],
    "evaluate": ["--workdir=~/m", "--output=~/o", "--judge=~/j"],
    "infer": ["--model=~/m", "--source=~/s.png", "--target=~/t.png", "--output=~/o"],
    "app": ["--model=~/m", "--password_path=~/none"],
    "infer-frames": ["--model=~/m", "--source=~/s.png", "--frames=~/f", "--output=~/o"],
    "convert-weights": ["--source=~/x.pt", "--output=~/o"],
    "assemble-swapper": [f"--{n}=~/m" for n in ("generator", "encoder", "identity", "output")],
    "train-selection": ["--model=~/m", "--workdir=~/w", "--output=~/o"],
    "export-weights": ["--model=~/m", "--format=nvidia", "--output=~/o.pt"],
    "prepare-dataset": ["--source=~/photos", "--output=~/o"],
    "generate": ["--model=~/m", "--seeds=0", "--output=~/o"],
    "invert": ["--model=~/m", "--images=~/i", "--output=~/o"],
    "benchmark": ["--output=~/b.json", "--rows=nothing"],
    "make-dataset": ["--model=~/m", "--faces=~/f", "--output=~/o"],
    "audit": ["--originals=~/o", "--results=~/r", "--output=~/a"],
    "sign-image": [f"--{n}=~/x" for n in ("picture", "target", "output", "certificates", "key")],
    "export-model": ["--model=~/m", "--output=~/o"],
    "package-model": ["--workdir=~/w", "--output=~/o"],
    "model-card": ["--model=~/m", "--metrics=~/f.json"],
    "compare-rows": ["--evaluations=a=~/e,~/f", "--output=~/o"],
    "curves": ["~/run", "--output=~/c.html"],
    "search-selection": ["--model=~/m"],
    "measure-fid": ["--model=~/m", "--images=~/i", "--others=~/i", "--cache=~/c"],
    "memory-report": ["--config=~/none.py"],
    "scaling-report": ["--config=~/none.py"],
    "compile-for": ["--config=~/none.py", "--topology=v5e:2x2", "--output=~/o.json"],
    "roofline": ["--benchmark=~/b.json", "--output=~/r.svg"],
    "contact-sheet": ["--output=~/s.png", "--resolution=17"],
    "fabricate-models": ["--config=~/none.py", "--output=~/o"],
    "doctor": ["stray"],
}
"""Arguments that each command refuses: nothing lies in the home directory but a file."""


@pytest.mark.parametrize("name", [name for name in main.COMMANDS if name != "verify-image"])
def test_bad_usage_ends_with_status_2_and_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir(), work.mkdir()
    (home / "file").touch()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    status, _ = run_command(monkeypatch, module_of(name), *BAD[name])
    err = capsys.readouterr().err
    assert status == 2 and err.startswith("error: ") and err.count("\n") == 1
    assert not list(work.iterdir()) and [path.name for path in home.iterdir()] == ["file"]
    assert "~" not in err, "the path that was looked at is the one that is named"


def test_files_of_the_home_directory_are_verified(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.png").write_bytes(b"no photo")
    verify = module_of("verify-image")
    assert run_command(monkeypatch, verify)[0] == 2
    assert "alrl verify-image FILE" in capsys.readouterr().err
    assert run_command(monkeypatch, verify, "~/a.png", ADDRESS)[0] == 2
    first, second = capsys.readouterr().out.splitlines()
    assert f"got {tmp_path}/a.png" in first and "address of a bucket" in second
