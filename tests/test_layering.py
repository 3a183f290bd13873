"""Imports only point downwards, and the package stands on its own dependencies."""

import ast
import functools
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "alrl_jax"

# From the ground up: folders of the package, and modules of its root. Code of one line imports
# from the lines below its own and from its own folder, never from its neighbours or from above.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("types", "errors"),
    ("utils",),
    ("config", "storage"),
    ("models", "worlds"),
    ("synthetic", "provenance"),
    ("photos",),
    ("data", "convert"),
    ("training",),
    ("loading",),
    ("inference", "evaluation", "profiling"),
    ("train", "evaluate", "infer", "infer_frames", "app"),
    ("commands",),
)
# ``alrl_jax/__init__.py`` is the public face: it imports from anywhere, and nothing imports it.
PUBLIC_FACE = "__init__"

# A module takes plain values; only these read the configuration.
READS_CONFIG = ("config", "training.tasks", "train", "loading.loader", "commands")

# The only places that know a library; ``jax.make_mesh`` and ``jax.sharding`` count where they are
# used as attributes too. Annotations that name a mesh or a sharding make nothing.
CONFINED: dict[tuple[str, ...], tuple[str, ...]] = {
    ("orbax",): ("storage.checkpoint", "storage.bucket_checkpoints"),
    ("fsspec",): ("utils.bucket_clients",),
    ("tensorstore",): ("utils.leases",),
    ("clu",): ("training.writers",),
    ("wandb",): ("training.writers",),
    ("jax.sharding", "jax.make_mesh", "jax.experimental.mesh_utils"): ("training.sharding",),
}

# May be loaded by the function that needs them, never by importing the package.
OPTIONAL = (
    "av",
    "c2pa",
    "clu",
    "cv2",
    "fsspec",
    "gradio",
    "google",  # protobuf, which comes with onnx
    "matplotlib",
    "mediapipe",
    "onnx",
    "pi_heif",
    "pyarrow",
    "scipy",
    "skimage",
    "tensorboard",
    "tensorflow",
    "tensorflow_datasets",
    "tensorstore",
    "torch",
    "wandb",
)

# Modules that are loaded only by who has such a dependency.
MAY_IMPORT = {
    "app.layout": "gradio",
    "app.page": "gradio",
    "app.wiring": "gradio",
    "data.prepare.tfds_builder": "tensorflow_datasets",
}

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
    "jinja2",
    "markupsafe",
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


def _place(module: str) -> str:
    """The name in ``LAYERS`` that a module belongs to."""
    return module.partition(".")[0]


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


def _names_used(module: str) -> Iterator[str]:
    """Full dotted names of other libraries that a module imports or reaches by attribute."""
    yield from _imports(module, everywhere=True)
    local: dict[str, str] = {}
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            local |= {
                a.asname or a.name.partition(".")[0]: a.asname
                and a.name
                or a.name.partition(".")[0]
                for a in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            local |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    annotations = {id(inner) for node in _annotations(module) for inner in ast.walk(node)}
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Attribute) and id(node) not in annotations:
            dotted = _dotted(node)
            if dotted is not None and dotted.partition(".")[0] in local:
                first, _, rest = dotted.partition(".")
                yield f"{local[first]}.{rest}"


def _dotted(node: ast.expr) -> str | None:
    """``a.b.c`` of nested attributes of a name; None for attributes of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return None if before is None else f"{before}.{node.attr}"
    return None


def _annotations(module: str) -> Iterator[ast.expr]:
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            yield node.annotation
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            yield node.returns


def _folder_graph(depth: int) -> dict[str, set[str]]:
    """Which folders import which, ``depth`` names deep; modules stand for themselves."""
    cut = lambda module: ".".join(module.split(".")[:depth])  # noqa: E731
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        graph.setdefault(cut(module), set()).update(map(cut, _own_imports(module)))
    return {name: others - {name} for name, others in graph.items()}


def _circles(graph: dict[str, set[str]]) -> list[str]:
    """Pairs of names that reach each other."""

    @functools.cache
    def reached(name: str) -> frozenset[str]:
        found, waiting = set(), [name]
        while waiting:
            new = graph[waiting.pop()] - found
            found |= new
            waiting += new
        return frozenset(found)

    return [f"{a} <-> {b}" for a in graph for b in reached(a) if a < b and a in reached(b)]


def test_layers_are_those_of_the_package() -> None:
    names = [name for layer in LAYERS for name in layer]
    assert len(names) == len(set(names))
    assert set(names) == {_place(module) for module in MODULES} - {PUBLIC_FACE}


def test_imports_point_downwards() -> None:
    level = {name: index for index, layer in enumerate(LAYERS) for name in layer}
    faults = []
    for module in set(MODULES) - {PUBLIC_FACE}:
        for other in _own_imports(module):
            own, there = _place(module), _place(other)
            if own != there and not (there in level and level[there] < level[own]):
                faults.append(f"{module} imports {other}")
    assert not faults


def test_no_import_circles() -> None:
    """Neither between modules nor between folders, however deep."""
    deepest = max(module.count(".") for module in MODULES) + 1
    assert not [
        circle for depth in range(1, deepest + 1) for circle in _circles(_folder_graph(depth))
    ]


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    assert _circles(graph) == ["b <-> c"]


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
    for libraries, homes in CONFINED.items():
        users = {m for m in MODULES for n in _names_used(m) if _starts(n, libraries)}
        assert not [m for m in sorted(users) if not _starts(m, homes)], f"{libraries}: only {homes}"
        assert not [h for h in homes if h not in users], f"{libraries}: stale home"


def test_modules_take_plain_values() -> None:
    readers = {m for m in MODULES if {"config", "config.schema"} & _own_imports(m)}
    assert not [m for m in sorted(readers) if not _starts(m, READS_CONFIG)]
    assert not [h for h in READS_CONFIG if not any(_starts(m, (h,)) for m in readers)], "stale"


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
