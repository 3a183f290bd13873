"""Imports only point downwards, and the package stands on its own dependencies."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "alrl_jax"

# From the ground up. A module imports from the lines below its own, never from its own line or
# above; `name.*` stands for every module of a folder that no other line names, and these may
# import each other. `__init__` modules stand above what their folder holds.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "types"),
    ("command_line", "config", "model_directory", "provenance", "workdir"),
    ("models.ops",),
    ("models.layers",),
    ("models.*",),
    ("models.swapper",),
    ("models.build",),
    ("models",),
    ("losses", "optim", "state"),
    ("synthetic.labels", "synthetic.primitives", "synthetic.sampling"),
    ("synthetic.scene",),
    ("synthetic.head",),
    ("synthetic.landmarks", "synthetic.shading"),
    ("synthetic.renderer",),
    ("synthetic",),
    ("tasks.task",),
    ("tasks.*",),
    ("tasks",),
    ("data.records",),
    ("data.*",),
    ("data.sources", "data.pipeline"),
    ("data",),
    ("convert.*",),
    ("convert",),
    ("sharding", "checkpoint", "metrics"),
    ("step",),
    ("loop",),
    ("loading",),
    ("__init__",),
    ("evaluation.*",),
    ("evaluation",),
    ("train", "evaluate", "infer"),
)

# A module takes plain values; only these read the configuration.
READS_CONFIG = ("config", "tasks", "data", "train", "evaluate", "infer", "loading")

# The only places that know meshes, Orbax and clu.
CONFINED = {
    "orbax": ("checkpoint", "loading"),
    "clu": ("metrics",),
    "jax.sharding": ("sharding", "train", "evaluate", "infer"),
}

# May be loaded by the function that needs them, never by importing the package.
OPTIONAL = (
    "clu",
    "matplotlib",
    "scipy",
    "skimage",
    "tensorboard",
    "tensorflow",
    "tensorflow_datasets",
    "torch",
)

# Modules that are loaded only by who has such a dependency.
MAY_IMPORT = {"data.tfds_builder": "tensorflow_datasets"}

# What training, inference and conversion may stand on.
DEPENDENCIES = (
    "PIL",
    "absl",
    "array_record",
    "etils",
    "flax",
    "grain",
    "jax",
    "jaxtyping",
    "ml_collections",
    "numpy",
    "optax",
    "orbax",
    "safetensors",
    "tqdm",
)

FORBIDDEN = ("flax.training", "jax.experimental.pjit", "tests", "tools")

GOLDENS_LIMIT_BYTES = 12 * 2**20
EMBEDDED_LIMIT_BYTES = 15_000_000


def _modules() -> dict[str, Path]:
    """Every module of the package by its dotted name within it."""
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts
        modules[".".join(parts)] = path
    return modules


MODULES = _modules()


def _imports(path: Path, *, everywhere: bool) -> Iterator[str]:
    """Full dotted names a file imports: at module level, or inside its functions too."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree)) if everywhere else list(_module_level(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module_level(tree: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _module_level(child)


def _layer(module: str) -> int | None:
    folder = module.rpartition(".")[0]
    for name in (module, f"{folder}.*"):
        for index, layer in enumerate(LAYERS):
            if name in layer:
                return index
    return None


def _own_imports(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports, wherever in it, by their name within it."""
    for name in _imports(path, everywhere=True):
        if name == "alrl_jax":
            yield "__init__"
        if not name.startswith("alrl_jax."):
            continue
        parts = name.split(".")[1:]
        while parts and ".".join(parts) not in MODULES:
            parts.pop()
        yield ".".join(parts) or "__init__"


def _starts(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards(module: str) -> None:
    own = _layer(module)
    assert own is not None, f"{module} stands on no line of LAYERS; give it its place"
    for other in _own_imports(MODULES[module]):
        layer = _layer(other)
        siblings = layer == own and any(name.endswith(".*") for name in LAYERS[own])
        assert layer is not None and (layer < own or siblings), f"{module} imports {other}"


def test_every_layer_exists() -> None:
    names = [name for layer in LAYERS for name in layer]
    assert len(names) == len(set(names))
    missing = [n for n in names if not n.endswith(".*") and n not in MODULES]
    assert not missing, f"LAYERS names modules that do not exist: {missing}"


@pytest.mark.parametrize("module", MODULES)
def test_dependencies(module: str) -> None:
    path = MODULES[module]
    for name in _imports(path, everywhere=False):
        top = name.partition(".")[0]
        standard = top in sys.stdlib_module_names
        known = (*DEPENDENCIES, "alrl_jax", MAY_IMPORT.get(module))
        assert standard or top in known, f"{module} needs {name} on import"
    for name in _imports(path, everywhere=True):
        top = name.partition(".")[0]
        known = (*DEPENDENCIES, *OPTIONAL, "alrl_jax")
        assert top in known or top in sys.stdlib_module_names, f"{module}: {name}"
        assert not _starts(name, FORBIDDEN), f"{module} imports {name}"
        for package, homes in CONFINED.items():
            if _starts(name, (package,)):
                assert _starts(module, homes), f"{module} imports {name}; only {homes} may"


@pytest.mark.parametrize("module", [m for m in MODULES if not _starts(m, READS_CONFIG)])
def test_takes_plain_values(module: str) -> None:
    assert "config" not in set(_own_imports(MODULES[module])), f"{module} reads the config"


@pytest.mark.parametrize("module", MODULES)
def test_uses_no_legacy_parallelism(module: str) -> None:
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        name = getattr(node, "attr", getattr(node, "id", ""))
        assert name not in ("pmap", "pjit", "xmap"), f"{module} uses {name}"


def test_package_list_is_complete() -> None:
    """What pyproject.toml installs is what the package holds."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {p.parent for p in PACKAGE.rglob("*.py")}
    expected = {".".join(f.relative_to(ROOT).parts) for f in folders} | {"alrl_jax.configs"}
    assert set(settings["packages"]) == expected


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_what_is_committed_stays_small() -> None:
    assert _size(ROOT / "tests" / "goldens") < GOLDENS_LIMIT_BYTES
    assert _size(PACKAGE / "embedded") < EMBEDDED_LIMIT_BYTES
