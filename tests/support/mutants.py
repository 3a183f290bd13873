"""Small faults, applied one by one: do the tests notice?

    python -m tests.support.mutants [--only=PART_OF_A_NAME] [--workers=2]

Each fault changes one place of a copy of the working tree. The test files that import the changed
module run on the copy until the first failure; a fault that passes them all is missed. The exit
status is 1 where one is missed. Prints a line a fault, and the time of all.
"""

import argparse
import ast
import dataclasses
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent import futures
from pathlib import Path

from tests.support.mutant_table import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
LONGEST_SECONDS = 900
CAUGHT, MISSED = 1, 0  # what pytest ends with


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the tests said of a fault: pytest's exit status, and the seconds that it took."""

    mutant: Mutant
    status: int
    seconds: float

    def line(self) -> str:
        """One line for a reader."""
        words = {CAUGHT: "caught", MISSED: "MISSED"}
        found = words.get(self.status, f"undecided (pytest ended with {self.status})")
        return f"{found:8} {self.seconds:5.0f} s  {self.mutant.file}: {self.mutant.fault}"


def test_files(module_file: str) -> list[str]:
    """Quick test files that import a module, the one that mirrors it first.

    Args:
        module_file: path of the module from the project's root.
    """
    module = module_file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    found = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if _imports(path, module)]
    mirrored = f"test_{Path(module_file).stem}.py"
    found.sort(key=lambda path: (path.name != mirrored, path.stat().st_size))
    return [str(path.relative_to(ROOT)) for path in found]


def _imports(path: Path, module: str) -> bool:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return module in names


def copy_tree(target: Path) -> None:
    """Copies all files that git knows, as they are in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    # What is compiled for unchanged code is found again, and kept for the next fault.
    (ROOT / ".pytest_cache").mkdir(exist_ok=True)
    (target / ".pytest_cache").symlink_to(ROOT / ".pytest_cache")


def mutate(tree: Path, mutant: Mutant) -> str:
    """Applies a fault to a copy; returns the text that stood there.

    Raises:
        ValueError: if its place is not found exactly once.
    """
    path = tree / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.file}: {mutant.old!r} stands there {text.count(mutant.old)} times"
        )
    path.write_text(text.replace(mutant.old, mutant.new))
    return text


def run_tests(tree: Path, mutant: Mutant) -> Outcome:
    """Runs a fault's tests on a copy of the tree, which is restored afterwards."""
    begin, text = time.monotonic(), mutate(tree, mutant)
    files = mutant.tests or test_files(mutant.file)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *files]
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=LONGEST_SECONDS
        )
        status = done.returncode
    except subprocess.TimeoutExpired:
        status = -1
    finally:
        (tree / mutant.file).write_text(text)
    return Outcome(mutant, status, time.monotonic() - begin)


def main() -> int:
    """Applies all faults; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of a file's name or of a fault's")
    parser.add_argument("--workers", type=int, default=2, help="faults at a time")
    flags = parser.parse_args()
    chosen = [m for m in MUTANTS if flags.only in m.file or flags.only in m.fault]
    begin, outcomes = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="mutants") as scratch:
        trees: queue.Queue[Path] = queue.Queue()
        for number in range(flags.workers):
            tree = Path(scratch) / str(number)
            copy_tree(tree)
            trees.put(tree)

        def work(mutant: Mutant) -> Outcome:
            tree = trees.get()
            try:
                return run_tests(tree, mutant)
            finally:
                trees.put(tree)

        with futures.ThreadPoolExecutor(flags.workers) as pool:
            for outcome in pool.map(work, chosen):
                print(outcome.line(), flush=True)
                outcomes.append(outcome)
    caught = sum(outcome.status == CAUGHT for outcome in outcomes)
    minutes = (time.monotonic() - begin) / 60
    print(f"{caught} of {len(outcomes)} faults caught in {minutes:.0f} minutes")
    return int(caught < len(outcomes) or not outcomes)


if __name__ == "__main__":
    sys.exit(main())
