"""Which version of the package and of its source tree this is."""

import subprocess
from pathlib import Path

PACKAGE = "alrl_jax"
VERSION = "0.2.0"
"""Of the package; pyproject.toml reads it here."""


def tool_version() -> str:
    """Version of the package that runs."""
    return VERSION


def git_revision() -> str | None:
    """Commit of the source tree, with "-modified" where it differs; None outside git."""
    here = Path(__file__).resolve()
    # A virtual environment inside somebody's repository is not under its version control.
    tracked = _git(here.parent, "ls-files", "--error-unmatch", here.name)
    revision = _git(here.parent, "rev-parse", "HEAD")
    if tracked is None or revision is None:
        return None
    changed = _git(here.parent, "status", "--porcelain", "--untracked-files=no")
    return revision + ("-modified" if changed else "")


def _git(directory: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(directory), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
