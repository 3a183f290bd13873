"""What git keeps for ever stays small, and the lock files agree."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILE_LIMIT_BYTES = 15_000_000
LOCKS = (
    "requirements.lock",
    "requirements-data.lock",
    "requirements-dev.lock",
    "requirements-docs.lock",
)


def test_no_tracked_file_is_large() -> None:
    """Git keeps every version of every file: docs/architecture.md, "How weights are replaced"."""
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout of git")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    files = [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    assert len(files) > 100
    assert not [str(f) for f in files if f.stat().st_size > FILE_LIMIT_BYTES]


def _pins(lock: str) -> dict[tuple[str, str], str]:
    """Versions by package, in the spelling of package indexes, and marker."""
    pins = {}
    for line in (ROOT / lock).read_text().splitlines():
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        name, exact, version = requirement.partition("==")
        if requirement and not requirement.startswith(("#", "--")):
            assert exact, f"{lock}: {line}; expected an exact pin"
            pins[name.lower().replace("_", "-").replace(".", "-"), marker] = version
    return pins


def test_lock_files_are_exact_and_agree() -> None:
    versions: dict[tuple[str, str], set[str]] = {}
    for lock in LOCKS:
        for package, version in _pins(lock).items():
            versions.setdefault(package, set()).add(version)
    assert not {package: v for package, v in versions.items() if len(v) > 1}
