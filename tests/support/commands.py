"""Command lines run within a test: real flags, of their own, and what they end with."""

import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest
from absl import flags

from alrl_jax.utils import command_line


@contextmanager
def own_flags(monkeypatch: pytest.MonkeyPatch) -> Iterator[flags.FlagValues]:
    """Within it, flags are defined and read apart from those of the process."""
    values = flags.FlagValues()
    with monkeypatch.context() as patch:
        for name, function in inspect.getmembers(flags, inspect.isfunction):
            given = inspect.signature(function).parameters
            if "flag_values" in given and name != "DEFINE_flag":  # which always gets them
                patch.setattr(flags, name, functools.partial(function, flag_values=values))
        for name in ("DEFINE_path", "DEFINE_paths", "DEFINE_config"):
            # absl takes the caller of the innermost function for the one who defines a flag: that
            # would be what checks annotations in tests.
            patch.setattr(command_line, name, inspect.unwrap(getattr(command_line, name)))
        patch.setattr(flags, "FLAGS", values)
        yield values


def run_command(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, *arguments: str
) -> tuple[int, flags.FlagValues]:
    """Calls ``module.cli`` as ``python -m MODULE ARGUMENTS`` does; gives exit status and flags."""
    with own_flags(monkeypatch) as values, monkeypatch.context() as patch:
        patch.setattr("sys.argv", [module.__name__, *arguments])
        with pytest.raises(SystemExit) as end:
            module.cli()
    assert isinstance(end.value.code, int | None)
    return end.value.code or 0, values
