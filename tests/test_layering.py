"""Imports only point downwards, and the package stands on its own dependencies."""

import ast
import functools
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "alrl_jax"

# From the ground up. A module imports from the lines below its own, never from its own line or
# above; `name.*` stands for every module of a folder that no other line names, and these may
# import each other. `__init__` modules stand above what their folder holds.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("config_faults", "dataclass_building", "errors", "png", "types"),
    ("command_line", "config", "model_directory", "provenance", "workdir"),
    ("content_credentials", "payload_code"),
    ("mark_waves",),
    ("mark_fit",),
    ("watermark",),
    ("lineage", "model_texts"),
    ("models.upfirdn", "models.winograd"),
    ("models.ops",),
    ("models.layers",),
    ("models.*",),
    ("models.swapper",),
    ("models.build",),
    ("models",),
    ("gan_losses", "loss_parts", "optim", "state"),
    ("losses",),
    ("projection",),
    ("synthetic.labels", "synthetic.primitives", "synthetic.sampling"),
    ("synthetic.scene",),
    ("synthetic.head",),
    ("synthetic.landmarks", "synthetic.shading"),
    ("synthetic.renderer",),
    ("synthetic",),
    ("label_orders",),
    ("tasks.task",),
    ("tasks.*",),
    ("tasks",),
    ("data.records",),
    ("data.*",),
    ("data.sources", "data.pipeline"),
    ("data",),
    ("convert.*",),
    ("convert",),
    ("sharding", "checkpoint", "compilation_cache", "metrics", "processes"),
    ("model_card",),
    ("step",),
    ("loop",),
    ("loaded_model",),
    ("face_models", "measuring_models"),
    ("loading",),
    ("__init__",),
    ("evaluation.*",),
    ("evaluation",),
    ("inference.*",),
    ("inference",),
    ("train", "evaluate", "infer", "infer_frames"),
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
    "av",
    "c2pa",
    "clu",
    "cv2",
    "matplotlib",
    "mediapipe",
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
EMBEDDED_LIMIT_BYTES = 30_000_000


def _modules() -> dict[str, Path]:
    """Every module of the package by its dotted name within it."""
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts
        modules[".".join(parts)] = path
    return modules


MODULES = _modules()


@functools.cache
def _tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def _imports(module: str, *, everywhere: bool) -> Iterator[str]:
    """Full dotted names that a module imports: at its top, or inside its functions too."""
    for node in ast.walk(_tree(module)) if everywhere else _module_level(_tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import; write the full name"
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


def _own_imports(module: str) -> set[str]:
    """Modules of the package that a module imports, wherever in it, by their name within it."""
    found = set()
    for name in _imports(module, everywhere=True):
        parts = name.split(".")
        if parts.pop(0) == "alrl_jax":
            while parts and ".".join(parts) not in MODULES:
                parts.pop()
            found.add(".".join(parts) or "__init__")
    return found


def _starts(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def test_layers_are_those_of_the_package() -> None:
    names = [name for layer in LAYERS for name in layer]
    assert len(names) == len(set(names))
    assert not [n for n in names if not n.endswith(".*") and n not in MODULES], "no such module"
    assert not [m for m in MODULES if _layer(m) is None], "give it its place in LAYERS"


def test_imports_point_downwards() -> None:
    faults = []
    for module in MODULES:
        own = _layer(module)
        siblings = own is not None and any(name.endswith(".*") for name in LAYERS[own])
        for other in _own_imports(module):
            layer = _layer(other)
            allowed = own is not None and layer is not None and layer < own + siblings
            faults += [] if allowed else [f"{module} imports {other}"]
    assert not faults


def test_importing_needs_the_dependencies_alone() -> None:
    at_top = [(m, n) for m in MODULES for n in _imports(m, everywhere=False)]
    anywhere = [(m, n) for m in MODULES for n in _imports(m, everywhere=True)]
    known = {"alrl_jax", *DEPENDENCIES, *sys.stdlib_module_names}
    tops = [(m, n.partition(".")[0]) for m, n in at_top]
    assert not [f"{m}: {n}" for m, n in tops if n not in known and MAY_IMPORT.get(m) != n]
    tops = [(m, n.partition(".")[0]) for m, n in anywhere]
    assert not [f"{m}: {n}" for m, n in tops if n not in {*known, *OPTIONAL}]
    assert not [f"{m}: {n}" for m, n in anywhere if _starts(n, FORBIDDEN)]


def test_some_libraries_are_known_in_one_place() -> None:
    for library, homes in CONFINED.items():
        users = [m for m in MODULES for n in _imports(m, everywhere=True) if _starts(n, (library,))]
        assert not [m for m in users if not _starts(m, homes)], f"{library}: only {homes}"


def test_modules_take_plain_values() -> None:
    readers = [m for m in MODULES if "config" in _own_imports(m)]
    assert not [m for m in readers if not _starts(m, READS_CONFIG)]


def test_no_legacy_parallelism() -> None:
    nodes = ((m, node) for m in MODULES for node in ast.walk(_tree(m)))
    names = ((m, getattr(node, "attr", getattr(node, "id", ""))) for m, node in nodes)
    assert not [f"{m}: {name}" for m, name in names if name in ("pmap", "pjit", "xmap")]


def test_package_list_is_complete() -> None:
    """What pyproject.toml installs is what the package holds."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent for path in MODULES.values()}
    expected = {".".join(f.relative_to(ROOT).parts) for f in folders} | {"alrl_jax.configs"}
    assert set(settings["packages"]) == expected


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_what_is_committed_stays_small() -> None:
    assert _size(ROOT / "tests" / "goldens") < GOLDENS_LIMIT_BYTES
    assert _size(PACKAGE / "embedded") < EMBEDDED_LIMIT_BYTES
