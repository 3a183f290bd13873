"""House rules that a reader relies on: short functions, short files, documented and annotated."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(
    path for top in ("alrl_jax", "configs", "tools", "tests") for path in (ROOT / top).rglob("*.py")
)
PRODUCT = [path for path in FILES if path.relative_to(ROOT).parts[0] != "tests"]

FUNCTION_LINES = 80
FILE_LINES = 400

# What reads better longer: "path" or "path:function" -> the reason.
LONGER: dict[str, str] = {}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def _annotated(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    typed = (a.annotation is not None for a in named if a.arg not in ("self", "cls"))
    return function.returns is not None and all(typed)


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    lines = text.count("\n")
    assert lines <= FILE_LINES or _name(path) in LONGER, f"{lines} lines"
    for function in _functions(ast.parse(text)):
        key = f"{_name(path)}:{function.name}"
        assert _lines(function) <= FUNCTION_LINES or key in LONGER, f"{key}: {_lines(function)}"


def test_longer_ones_are_still_longer() -> None:
    for key in LONGER:
        name, _, function = key.partition(":")
        text = (ROOT / name).read_text()
        sizes = [_lines(f) for f in _functions(ast.parse(text)) if f.name == function]
        long = max(sizes) > FUNCTION_LINES if function else text.count("\n") > FILE_LINES
        assert long, f"{key} is short now; take it off the list"


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_every_function_is_annotated(path: Path) -> None:
    functions = _functions(ast.parse(path.read_text()))
    missing = [f"{f.name}:{f.lineno}" for f in functions if not _annotated(f)]
    assert not missing


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_annotations_are_not_postponed(path: Path) -> None:
    """jaxtyping checks annotations as they stand, not strings of them."""
    lines = path.read_text().splitlines()
    assert not [line for line in lines if line.startswith("from __future__")]


@pytest.mark.parametrize("path", PRODUCT, ids=_name)
def test_public_names_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree) or not tree.body, "the module has no docstring"
    public = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
    ]
    missing = [node.name for node in public if not ast.get_docstring(node)]
    assert not missing, "public, without a docstring"
