"""The notebooks of ``docs/notebooks``: without outputs, with links and commands that there are, and
executed among the slow tests."""

import ast
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from alrl_jax.commands.main import COMMANDS
from tests.conftest import COMPILATION_CACHE, ROOT
from tests.support import doc_commands

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"\balrl ([a-z][\w-]*)((?:[ \\\n]+--[^\s`]+)*)")


def cells_of(path: Path, kind: str) -> list[str]:
    """The texts of a notebook's cells of one kind."""
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def test_every_notebook_has_its_line() -> None:
    page = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    linked = {link for link in LINK.findall(page) if link.endswith(".ipynb")}
    assert len(NOTEBOOKS) == 5 and linked == {f"notebooks/{path.name}" for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_hold_no_outputs_and_import_what_there_is(path: Path) -> None:
    book = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert code and not any(cell["outputs"] or cell["execution_count"] for cell in code)
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    for text in cells_of(path, "code"):
        for node in ast.parse(text).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                exec(compile(ast.Module([node], []), str(path), "exec"), {})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_notebooks_name_exists(path: Path) -> None:
    text = "\n".join(cells_of(path, "markdown"))
    for link in LINK.findall(text):
        page, _, anchor = link.partition("#")
        assert (path.parent / page).is_file(), link
        headings = re.findall(r"^#+ (.+)$", (path.parent / page).read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w\s-]", "", h).strip().lower().replace(" ", "-") for h in headings}
        assert not anchor or anchor in anchors, link
    for name, words in COMMAND.findall(text):
        assert name in COMMANDS, name
        named = {re.split(r"[=.]", word[2:])[0] for word in shlex.split(words) if word != "\n"}
        assert named <= doc_commands.flag_names(COMMANDS[name][0]) | {"help"}, words


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs the extra notebooks")
    nbformat = pytest.importorskip("nbformat", reason="needs the extra notebooks")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(COMPILATION_CACHE))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    where = {"metadata": {"path": str(tmp_path)}}
    done = nbclient.NotebookClient(book, timeout=900, resources=where).execute()
    assert all(cell.execution_count for cell in done.cells if cell.cell_type == "code")
