"""Command lines run within a test: real flags, of their own, and what they end with."""

import functools
from types import ModuleType

import pytest
from absl import flags

_TAKE_FLAGS = (
    "DEFINE_boolean",
    "DEFINE_enum",
    "DEFINE_float",
    "DEFINE_integer",
    "DEFINE_string",
    "adopt_module_key_flags",
)


def run_command(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, *arguments: str
) -> tuple[int, flags.FlagValues]:
    """Calls ``module.cli`` as ``python -m MODULE ARGUMENTS`` does; gives exit status and flags."""
    values = flags.FlagValues()
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:
        for name in _TAKE_FLAGS:
            own = functools.partial(getattr(flags, name), flag_values=values)
            patch.setattr(flags, name, own)
        patch.setattr(flags, "FLAGS", values)
        patch.setattr("sys.argv", [module.__name__, *arguments])
        module.cli()
    assert isinstance(end.value.code, int | None)
    return end.value.code or 0, values
