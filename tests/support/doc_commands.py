"""The commands that the documentation shows: found, parsed by their own flags, and run."""

import contextlib
import dataclasses
import functools
import importlib.util
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from absl import flags
from ml_collections import config_flags

from alrl_jax.commands.main import COMMANDS
from alrl_jax.config import Config
from alrl_jax.utils import command_line

ROOT = Path(__file__).parents[2]
COMMAND = "alrl"
PYTHON = ("python", "-m")
"""What runs a module that is no sub-command: one of ``tools/bench``."""

NEEDS = (
    "a bucket",
    "a certificate",
    "a checkout of version 0.1.0",
    "a face that can be found",
    "a fresh machine",
    "a landmark file",
    "GPU",
    "minutes",
    "published data sets",
    "published weights",
    "runs that were trained",
    "several hosts",
    "the compilers",
)
"""What the test machine lacks: a block that needs one of these is parsed, not run."""

_FENCE = re.compile(
    r"^(?:(?P<indent> *)<!-- (?P<mark>needs: [^>]+|slow) -->\n)?"
    r"(?P<margin> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=margin)```$",
    re.MULTILINE | re.DOTALL,
)
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_NESTED = re.compile(r"\$\(([^)]+)\)")
_TAKE_FLAGS = [
    (owner, name)
    for owner in (flags, config_flags)
    for name, function in inspect.getmembers(owner, inspect.isfunction)
    if "flag_values" in inspect.signature(function).parameters
]
"""Functions that define flags, or say something about them."""


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: file that it stands in.
        line: of its fence, from 1.
        language: ``sh``, ``python`` or another one.
        text: what stands between the fences.
        needs: what the test machine lacks to run it, of ``NEEDS``; None where it has all.
        slow: whether it belongs to the slow tests.
    """

    page: Path
    line: int
    language: str
    text: str
    needs: str | None = None
    slow: bool = False

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start()) + 1,
            found["language"],
            re.sub(rf"^{found['margin']}", "", found["text"], flags=re.MULTILINE),
            (found["mark"] or "").partition("needs: ")[2] or None,
            found["mark"] == "slow",
        )
        for found in _FENCE.finditer(text)
    ]


def spans(page: Path) -> list[str]:
    """Every inline code of a page, with its lines joined."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [" ".join(found.split()) for found in _SPAN.findall(text)]


def commands(text: str) -> list[list[str]]:
    """The commands of a shell text as words; what stands in ``$(...)`` comes before its command."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        nested = _NESTED.findall(line)
        words = shlex.split(_NESTED.sub("", line), comments=True)
        found += [shlex.split(command) for command in nested]
        while "&&" in words:
            found.append(words[: words.index("&&")])
            words = words[words.index("&&") + 1 :]
        found.append(words)
    return [words for words in found if words]


def split_command(words: list[str]) -> tuple[str, list[str]] | None:
    """Module and arguments of a command of this project; None for commands of others.

    What stands before it (``srun -n 4``, ``NAME=VALUE``) is left out.

    Raises:
        AssertionError: a sub-command that there is not.
    """
    for index, word in enumerate(words):
        rest = words[index + 1 :]
        if word == COMMAND:
            assert rest, "alrl without a sub-command"
            return _module_of(rest[0]), rest[1:]
        if tuple(words[index : index + 2]) == PYTHON:
            assert rest[1].startswith("tools.bench."), f"{rest[1]}: write the command of alrl"
            return rest[1], rest[2:]
    return None


def _module_of(name: str) -> str:
    """The module of a sub-command."""
    assert name in COMMANDS, f"{COMMAND} {name}: no such command"
    return COMMANDS[name][0]


def _file(module: str) -> Path:
    return ROOT / (module.replace(".", "/") + ".py")


@contextlib.contextmanager
def own_flags(module: str, arguments: list[str]) -> Iterator[tuple[ModuleType, flags.FlagValues]]:
    """A copy of a command's module that defines its flags apart from those of all others."""
    values = flags.FlagValues()
    assert _file(module).is_file(), f"{module}: no such module"
    spec = importlib.util.spec_from_file_location(module, _file(module))
    assert spec is not None and spec.loader is not None
    with contextlib.ExitStack() as stack:
        for owner, name in _TAKE_FLAGS:
            own = _with_values(getattr(owner, name), values)
            stack.enter_context(mock.patch.object(owner, name, own))
        stack.enter_context(mock.patch.object(flags, "FLAGS", values))
        stack.enter_context(mock.patch.object(sys, "argv", [module, *arguments]))
        copy = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(copy)
        yield copy, values


def _with_values(function: Callable[..., Any], values: flags.FlagValues) -> Callable[..., Any]:
    signature = inspect.signature(function)

    @functools.wraps(function)
    def own(*positional: Any, **named: Any) -> Any:
        if "flag_values" not in signature.bind_partial(*positional, **named).arguments:
            named["flag_values"] = values
        return function(*positional, **named)

    return own


class _Defined(Exception):
    """Raised in the place of running, once all flags are there."""


def parse(module: str, arguments: list[str]) -> flags.FlagValues:
    """The flags of a command with these arguments, as the command itself reads them.

    Raises:
        flags.Error: an unknown flag, a value that it does not take, or a required one that lacks.
        AttributeError: a field that the config does not have.
        AssertionError: arguments that are no flags, for a command that takes none.
        UserError: a config that there is not, or whose values are out of range.
    """
    with own_flags(module, arguments) as (copy, values):
        positional = _define(copy)
        rest = values(command_line.with_config_found([module, *arguments]))
        assert positional or not rest[1:], f"{module} takes no {rest[1:]}"
        if "config" in values and values["config"].value is not None:
            Config.from_dict(values["config"].value.to_dict())
    return values


def _define(copy: ModuleType) -> bool:
    """Lets a command define its flags; gives whether it takes arguments that are none."""
    taken: dict[str, Any] = {}

    def instead(main: Any, *, positional: bool = False) -> None:
        taken["positional"] = positional
        raise _Defined

    with mock.patch.object(command_line, "run", instead), contextlib.suppress(_Defined):
        copy.cli()
    return taken["positional"]


def flag_names(module: str) -> set[str]:
    """Every flag of a command; of a boolean one ``noNAME`` too."""
    with own_flags(module, []) as (copy, values):
        _define(copy)
        return set(values) | {f"no{name}" for name in values if values[name].boolean}


def run_here(module: str, arguments: list[str]) -> int:
    """Runs a command within this process; gives its exit status."""
    with own_flags(module, arguments) as (copy, _):
        try:
            copy.cli()
        except SystemExit as end:
            assert isinstance(end.code, int | None), end.code
            return end.code or 0
    raise AssertionError(f"{module} did not end the process")


def program(module: str, arguments: list[str]) -> list[str]:
    """The words that run a command in a process of its own."""
    start = f"import sys; sys.argv[0] = {module!r}; from {module} import cli; cli()"
    return [sys.executable, "-c", start, *arguments]
