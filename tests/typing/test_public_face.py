"""The public face is typed: a checker in standard mode knows what every call gives."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
LOADING = HERE.parent.parent / "alrl_jax" / "loading"


def check() -> dict[str, Any]:
    """What pyright says of the public face and of the example of a user's code."""
    pytest.importorskip("pyright")
    command = [sys.executable, "-m", "pyright"]
    if subprocess.run([*command, "--version"], capture_output=True).returncode:
        pytest.skip("pyright needs node, which is not here")
    arguments = ["--project", str(HERE), "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=300)
    return json.loads(done.stdout)


def test_a_type_checker_knows_what_models_give() -> None:
    found = check()
    assert not [
        f"{fault['file']}:{fault['range']['start']['line'] + 1}: {fault['message']}"
        for fault in found["generalDiagnostics"]
        if fault["severity"] == "error"
    ]
    assert found["summary"]["filesAnalyzed"] == 4 + len(list(LOADING.rglob("*.py")))
