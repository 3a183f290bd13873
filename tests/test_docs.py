"""What the documentation says can be done: commands, flags, fields, Python, links and paths."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from absl import flags

import alrl_jax
from alrl_jax.config import Config
from alrl_jax.config.schema import default_config
from alrl_jax.errors import UserError
from alrl_jax.training.losses.table import LOSSES
from alrl_jax.utils import addresses
from tests.conftest import COMPILATION_CACHE
from tests.support import doc_commands, fabricated
from tests.support.doc_commands import NEEDS, ROOT, Block, blocks, commands, spans, split_command
from tests.support.tiny import CONFIG_NAMES, load_config_file

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
# What earlier versions had is named in the changelog; its links count alone.
LINKED = [*PAGES, ROOT / "CHANGELOG.md"]
BLOCKS = [block for page in PAGES for block in blocks(page)]
SHELL = [block for block in BLOCKS if block.language == "sh"]
PYTHON = [block for block in BLOCKS if block.language == "python"]
RUN_FIRST = ("README.md", "train.md")
"""Pages whose slow blocks make what those of other pages read."""
OF_OTHERS = ("pip", "make", "source", "srun", "mpirun")
"""First words of commands that are not the project's own."""

LESS: dict[str, list[str]] = {
    "alrl_jax.train": [
        "--config.num_steps=1",
        "--config.checkpoint_every=1",
        "--config.sample_every=0",
        "--config.data.num_identities=8",
        "--config.data.images_per_identity=2",
    ],
    "alrl_jax.evaluate": ["--num_pairs=4", "--num_pictures=1", "--batch_size=4"],
    "alrl_jax.commands.invert": ["--steps=2"],
    "alrl_jax.commands.contact_sheet": ["--count=2", "--nosweeps"],
    "alrl_jax.commands.prepare_dataset": ["--resolution=64"],
    "alrl_jax.commands.benchmark": ["--seconds=0"],
}
"""What tests add to a command that is run: as little as it can do."""

FIELD = re.compile(r"(?:--config\.)?((?:\w+\.)?\w+)=?")
SECTIONS = ("data", "discriminator", "encoder", "generator", "losses", "optimizer", "swap")
CODE_PATH = re.compile(r"(?:alrl_jax|configs|tests|tools|docs)/[\w./-]+")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def _names(values: list[Block]) -> list[str]:
    return [str(value) for value in values]


@pytest.fixture(scope="module")
def user_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the documentation names."""
    folder = tmp_path_factory.mktemp("user")
    for number, name in enumerate(("me.jpg", "picture.jpg")):
        fabricated.save(folder / name, fabricated.pixels(number, 64))
    for number in range(6):
        person = folder / "PHOTOS" / f"person{number % 3}"
        fabricated.save(person / f"{number}.png", fabricated.pixels(number, 64))
    for number in range(2):
        fabricated.save(folder / "FRAMES" / f"{number:03d}.png", fabricated.pixels(number, 64))
    (folder / "pairs.csv").write_text("source,target\nme.jpg,picture.jpg\n")
    for name in ("SOURCE.npy", "TARGET.npy"):
        np.save(folder / name, np.zeros((1, 64, 64, 3), np.float32))
    return folder


def _of_this_project(block: Block) -> Iterator[tuple[str, list[str]]]:
    for words in commands(block.text):
        found = split_command(words)
        if found is not None:
            yield found


@pytest.mark.parametrize("block", SHELL, ids=_names(SHELL))
def test_commands_are_parsed_by_their_own_flags(
    block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An address of a bucket needs a package before it is one.
    monkeypatch.setattr(addresses, "is_installed", lambda package: True)
    for words in commands(block.text):
        found = split_command(words)
        if found is not None:
            doc_commands.parse(*found)
        elif words[:1] == ["python"]:
            assert words[1] == "runs/export/swap.py", words
        else:
            assert words[0] in OF_OTHERS, words
            _check_of_others(words)


def _check_of_others(words: list[str]) -> None:
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1:] and set(words[1:]) <= set(targets), words
    for extra in re.findall(r"\.\[([\w,]+)\]", " ".join(words)):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert set(extra.split(",")) <= set(project["optional-dependencies"]), words


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("alrl infer --modle=a --output=b", flags.Error),
        ("alrl infer --model=a", flags.Error),
        ("alrl infer --model=a --output=b --blend=glue", flags.Error),
        ("alrl infer --model=a --output=b c", AssertionError),
        ("alrl project --model=a --images=b --output=c", AssertionError),
        ("alrl convert_weights --source=a --output=b", AssertionError),
        ("python -m tools.project --model=a", AssertionError),
        ("python -m tools.bench.measure_nothing", AssertionError),
        ("alrl train --config=demo --workdir=a --config.swap.impostors=1", AttributeError),
        ("alrl train --config=demo --workdir=a --config.num_steps=0", UserError),
        ("alrl train --config=no_such --workdir=a", UserError),
        ("srun -n 4 alrl train --config=demo --workdir=a --nodes=4", flags.Error),
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str, fault: type[Exception]) -> None:
    (words,) = commands(line)
    with pytest.raises(fault):
        found = split_command(words)
        assert found is not None
        doc_commands.parse(*found)


def test_marks_stand_before_blocks_and_are_known() -> None:
    for page in PAGES:
        marks = re.findall(r"^ *<!-- (?:needs|slow)", page.read_text(encoding="utf-8"), re.M)
        marked = [block for block in blocks(page) if block.needs or block.slow]
        assert len(marks) == len(marked), page
    assert {block.needs for block in BLOCKS} <= {None, *NEEDS}
    assert not [str(b) for b in BLOCKS if b.language not in ("sh", "python", "json", "text")]


@pytest.fixture(scope="module")
def known_flags() -> dict[str, set[str]]:
    """Flags by module, of every command."""
    files = [ROOT / f"alrl_jax/{n}.py" for n in ("train", "evaluate", "infer", "infer_frames")]
    files += [
        f
        for f in (ROOT / "alrl_jax/commands").glob("[!_]*.py")
        if f.stem != "main" and "def cli" in f.read_text()
    ]
    files += (ROOT / "tools/bench").glob("*.py")
    modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return {module: doc_commands.flag_names(module) for module in modules}


def test_flags_in_texts_exist(known_flags: dict[str, set[str]]) -> None:
    anywhere = set().union(*known_flags.values())
    faults = []
    for page in PAGES:
        for span in spans(page):
            found = _command_in(span.split())
            if found or span.startswith("--"):
                module, words = found or ("", span.split())
                known = known_flags.get(module, anywhere) | {"help"}
                names = {re.split(r"[=.]", w[2:])[0] for w in words if w.startswith("--")}
                faults += [f"{page.name}: {span}"] if names - known else []
    assert not faults


def _command_in(words: list[str]) -> tuple[str, list[str]] | None:
    """Module and arguments of the command that a text names; words in capitals stand for any."""
    if "alrl" in words[:-1]:
        name = words[words.index("alrl") + 1]
        return None if name.isupper() or name.startswith("-") else split_command(words)
    if "python" in words[:-2]:
        module = words[words.index("python") + 2]
        path = ROOT / (module.replace(".", "/") + ".py")
        assert "NAME" in module or path.is_file() or module == "pytest", words
        return (module, words) if module.startswith("tools.bench.") else None
    return None


def test_fields_in_texts_exist() -> None:
    known = {f"losses.{loss}" for table in LOSSES.values() for loss in table}
    for name in CONFIG_NAMES:
        config = load_config_file(name).get_config().to_dict()
        known |= {f"losses.{key}" for key in config["losses"]}
        known |= {f"pretrained.{key}" for key in config["pretrained"]}
    for key, value in default_config("swap", {}).to_dict().items():
        known |= {key} | {f"{key}.{inner}" for inner in value} if isinstance(value, dict) else {key}
    assert known >= set(Config().to_dict())
    faults = []
    for page in PAGES:
        for word in (word for span in spans(page) for word in span.split()):
            found = FIELD.match(word)
            named = word.startswith("--config.") or word.partition(".")[0] in SECTIONS
            if found and named and "/" not in word and not word.endswith(".py"):
                if found[1] not in known and not found[1].isupper() and "NAME" not in found[1]:
                    faults.append(f"{page.name}: {word}")
    assert not faults


def test_paths_in_texts_exist() -> None:
    faults = []
    for page in PAGES:
        for path in (path for span in spans(page) for path in CODE_PATH.findall(span)):
            if not path.isupper() and "NAME" not in path and not (ROOT / path).exists():
                faults.append(f"{page.name}: {path}")
    assert not faults


def test_links_lead_somewhere() -> None:
    faults = []
    for page in LINKED:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            path, _, anchor = link.partition("#")
            if ":" in link:
                continue
            file = (page.parent / path) if path else page
            if not file.exists() or (anchor and anchor not in _anchors(file)):
                faults.append(f"{page.name}: {link}")
    assert not faults


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"\s", "-", heading) for heading in plain}


def test_python_is_python_and_imports_what_there_is() -> None:
    for block in PYTHON:
        tree = ast.parse(block.text, str(block))
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                exec(compile(ast.Module([node], []), str(block), "exec"), {})
        used = re.findall(r"alrl_jax\.(\w+)", block.text)
        assert all(hasattr(alrl_jax, name) for name in used), f"{block}: {used}"


QUICK_PYTHON = [b for b in PYTHON if not b.needs]


@pytest.mark.parametrize("block", QUICK_PYTHON, ids=_names(QUICK_PYTHON))
def test_python_runs(block: Block, user_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(user_folder)
    exec(compile(block.text, str(block), "exec"), {})


QUICK_SHELL = [b for b in SHELL if not b.needs and not b.slow]


@pytest.mark.parametrize("block", QUICK_SHELL, ids=_names(QUICK_SHELL))
def test_quick_commands_run(
    block: Block, user_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(user_folder)
    for module, arguments in _of_this_project(block):
        assert doc_commands.run_here(module, arguments) == 0, arguments


@pytest.mark.slow
def test_slow_commands_run(user_folder: Path) -> None:
    """In the order of the pages, as later ones read what earlier ones made."""
    early = sorted(SHELL, key=lambda b: b.page.name not in RUN_FIRST)
    for block in (block for block in early if block.slow):
        for words in commands(block.text):
            found = split_command(words)
            if found is None and words[0] != "python":
                continue
            line = [sys.executable, *words[1:]]
            if found is not None:
                module, arguments = found
                line = doc_commands.program(module, [*arguments, *LESS.get(module, [])])
            environment = os.environ | {
                "PYTHONPATH": str(ROOT),
                "XDG_CACHE_HOME": str(user_folder / "cache"),
                "JAX_COMPILATION_CACHE_DIR": str(COMPILATION_CACHE),
            }
            done = subprocess.run(
                line, cwd=user_folder, env=environment, capture_output=True, text=True, timeout=900
            )
            assert done.returncode == 0, f"{block}: {words}\n{done.stderr[-3000:]}"


def test_the_image_of_the_swaps_is_the_shipped_models() -> None:
    shown = (ROOT / "docs/images/swaps.png").read_bytes()
    assert shown == (ROOT / "alrl_jax/embedded/swapper_64/overview.png").read_bytes()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 160
