"""Machines for which something that the package stands on has no builds, and what to do there.

``python alrl_jax/utils/platforms.py`` says it before anything is installed; so it imports nothing
of the package.
"""

import importlib.util
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

BUILDS: Mapping[tuple[str, str], tuple[tuple[str, ...], str]] = {
    ("Windows", ""): (
        ("array_record",),
        "Windows, for which array_record has no builds; expected Linux or a Mac with Apple "
        "silicon; use WSL 2 (wsl --install), and install there",
    ),
    ("Darwin", "x86_64"): (
        ("jaxlib", "array_record"),
        "a Mac with an Intel processor, for which jaxlib and array_record have no builds; expected "
        "Apple silicon or Linux; use a Linux machine or container",
    ),
}
"""By system and processor, "" for any: the packages without builds, and the line."""


def line_about(system: str, machine: str) -> str | None:
    """What is to be known of a machine; None where there are builds, or the packages are there.

    Args:
        system: as ``platform.system`` calls it.
        machine: as ``platform.machine`` calls it.
    """
    for (own, processor), (packages, line) in BUILDS.items():
        if system == own and processor in ("", machine):
            missing = [name for name in packages if importlib.util.find_spec(name) is None]
            return f"got {line}" if missing else None
    return None


def check_platform() -> None:
    """Ends a command with its line, or raises an ImportError for whoever imports the package.

    Raises:
        SystemExit: with status 2, in a command.
        ImportError: elsewhere.
    """
    line = line_about(platform.system(), platform.machine())
    if line is None:
        return
    # While ``python -m`` looks for its module, that is its name.
    program = sys.argv[0] if sys.argv else ""
    if program == "-m" or Path(program).stem in ("alrl", Path(__file__).stem):
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(2)
    raise ImportError(line)


if __name__ == "__main__":
    check_platform()
