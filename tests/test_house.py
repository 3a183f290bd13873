"""House rules that a reader relies on: short functions, short files, documented and annotated."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PRODUCT = sorted(
    path for top in ("alrl_jax", "configs", "tools") for path in (ROOT / top).rglob("*.py")
)
FILES = [*PRODUCT, *sorted((ROOT / "tests").rglob("*.py"))]

FUNCTION_LINES = 80
FILE_LINES = 400

# What reads better longer: "path" or "path:function" -> the reason.
LONGER: dict[str, str] = {}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _sizes() -> Iterator[tuple[str, int, int]]:
    """Name, lines and limit of every file and function."""
    for path in FILES:
        yield _name(path), path.read_text().count("\n"), FILE_LINES
        for function in _functions(path):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            yield f"{_name(path)}:{function.name}", lines, FUNCTION_LINES


def _annotated(function: Function) -> bool:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    typed = (a.annotation is not None for a in named if a.arg not in ("self", "cls"))
    return function.returns is not None and all(typed)


def test_files_and_functions_are_short() -> None:
    too_long = {name: lines for name, lines, limit in _sizes() if lines > limit}
    assert not {name: lines for name, lines in too_long.items() if name not in LONGER}
    assert set(LONGER) <= set(too_long), "short now; take it off the list"


def test_every_function_is_annotated() -> None:
    functions = ((path, f) for path in FILES for f in _functions(path))
    assert not [f"{_name(p)}:{f.lineno} {f.name}" for p, f in functions if not _annotated(f)]


def test_annotations_are_not_postponed() -> None:
    """jaxtyping checks annotations as they stand, not strings of them."""
    imports = ((p, n) for p in FILES for n in _tree(p).body if isinstance(n, ast.ImportFrom))
    assert not [_name(path) for path, node in imports if node.module == "__future__"]


def test_modules_and_public_names_are_documented() -> None:
    missing = []
    for path in PRODUCT:
        tree = _tree(path)
        if tree.body and not ast.get_docstring(tree):
            missing.append(_name(path))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if not node.name.startswith("_") and not ast.get_docstring(node):
                    missing.append(f"{_name(path)}:{node.lineno} {node.name}")
    assert not missing
