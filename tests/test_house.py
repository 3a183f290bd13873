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

# A handler of every exception that may hear user errors too: "path:function" -> the reason.
HEARS_ALL = {
    "alrl_jax/app/desk.py:_report": "hands it to whoever waits for the reports",
    "alrl_jax/app/page.py:_attempted": "says why on the page, which goes on",
    "alrl_jax/app/page.py:_whole": "says why on the page, which goes on",
    "alrl_jax/app/serving.py:_warmed_up": "whoever asks for a swap hears of it",
    "alrl_jax/commands/doctor.py:device_lines": "says why, whatever it is",
    "alrl_jax/commands/doctor.py:_refusal": "says why, whatever it is",
    "alrl_jax/commands/doctor.py:_load_fault": "says why, whatever it is",
    "alrl_jax/inference/bounded_cache.py:_fill": "hands it to whoever waits for the value",
    "alrl_jax/photos/decoding.py:_orientation": "reads EXIF through Pillow alone",
    "alrl_jax/training/stopping.py:_collect": "hands it to whoever waits for the value",
    "alrl_jax/utils/waiting.py:_collect": "hands it to whoever waits for the value",
    "alrl_jax/storage/checkpoint.py:restore": "all processes have to hear of it before one raises",
    "alrl_jax/commands/verify_image.py:verify": "opens an image through Pillow alone",
    "alrl_jax/provenance/content_credentials.py:_mime_type": "opens an image through Pillow alone",
}

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


def _names(handler: ast.ExceptHandler) -> set[str]:
    """What a handler catches; a bare ``except`` catches BaseException."""
    caught = handler.type
    listed = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return {"BaseException" if each is None else ast.unparse(each) for each in listed}


def _swallows_user_errors(attempt: ast.Try) -> bool:
    """Whether a user's mistake ends in a handler that was meant for faults of other kinds."""
    for handler in attempt.handlers:
        if "UserError" in _names(handler):
            return False
        if _names(handler) & {"Exception", "BaseException"}:
            last = handler.body[-1]
            return not (isinstance(last, ast.Raise) and last.exc is None)
    return False


def test_no_broad_handler_swallows_a_user_error() -> None:
    """A reader's own message reaches the user; see ``alrl_jax.errors.UserError``."""
    swallowing = {
        f"{_name(path)}:{function.name}"
        for path in PRODUCT
        for function in _functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.Try) and _swallows_user_errors(node)
    }
    assert swallowing == set(HEARS_ALL)


def test_images_are_opened_in_one_place() -> None:
    """What Pillow opens without a list of formats it may hand to a program; see that module."""
    opened = {
        _name(path)
        for path in PRODUCT
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "Image.open"
    }
    assert opened == {"alrl_jax/utils/opening.py"}
