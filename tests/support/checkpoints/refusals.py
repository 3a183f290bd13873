"""What holds of every file that the converter refuses."""

from pathlib import Path

import pytest

from alrl_jax.convert.engine import convert_file
from alrl_jax.errors import UserError


def assert_refused(path: Path, kind: str, message: str) -> None:
    """One line names the file and what is wrong with it, and nothing is written.

    Args:
        path: the checkpoint, alone in its folder.
        kind: of the network in it.
        message: pattern of a part of the line.
    """
    with pytest.raises(UserError, match=message) as error:
        convert_file(path, kind, path.parent / "out")
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
