"""Counts and draws which parts of the package import which.

    python -m tools.bench.draw_imports --output=docs/images/imports.svg \\
        --page=docs/architecture.md --before=OLD_TREE

A tree is a checkout of the project. A part is a name in ``LAYERS`` of the tree's
``tests/test_layering.py``: a folder or a module. The drawing has a line for each of these layers,
the lowest at the bottom, and an arrow from every part to those that it imports; an arrow is left
out where a longer way says the same. ``--page`` replaces the table of counts between the two marks
in that file. The command prints the table. It needs the standard library and absl alone.
"""

import ast
import dataclasses
import html
from collections.abc import Iterator, Mapping
from pathlib import Path

from absl import flags

from alrl_jax.errors import UserError
from alrl_jax.utils import command_line

PACKAGE = "alrl_jax"
BEGIN, END = "<!-- imports: begin -->", "<!-- imports: end -->"
BOX_WIDTH, BOX_HEIGHT, GAP, LINE_HEIGHT, MARGIN = 110, 34, 34, 84, 20

Graph = Mapping[str, frozenset[str]]


@dataclasses.dataclass(frozen=True)
class Imports:
    """What imports what in one tree.

    Attributes:
        modules: imported modules by module; names within the package.
        layers: parts by layer, the lowest first.
    """

    modules: Graph
    layers: tuple[tuple[str, ...], ...]


def read_imports(tree: Path) -> Imports:
    """Reads the imports of the package in ``tree``, those inside functions too.

    Raises:
        UserError: ``tree`` holds no package with a layering test.
    """
    test = tree / "tests" / "test_layering.py"
    if not test.is_file():
        raise UserError(f"got {tree}; expected a checkout that has {test.relative_to(tree)}")
    paths = {_name(path, tree / PACKAGE): path for path in (tree / PACKAGE).rglob("*.py")}
    modules = {name: frozenset(_imported(path, set(paths))) for name, path in paths.items()}
    return Imports(modules, _layers(test))


def _name(path: Path, package: Path) -> str:
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _imported(path: Path, known: set[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts.pop(0) == PACKAGE:
                while parts and ".".join(parts) not in known:
                    parts.pop()
                yield ".".join(parts) or "__init__"


def _layers(test: Path) -> tuple[tuple[str, ...], ...]:
    for node in ast.parse(test.read_text()).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "LAYERS":
            assert node.value is not None
            return ast.literal_eval(node.value)
    raise UserError(f"got {test}; expected one that lists LAYERS")


def part_of(module: str, imports: Imports) -> str:
    """The part that a module belongs to; its own name where ``LAYERS`` has none for it."""
    listed = {part for layer in imports.layers for part in layer}
    folder = module.partition(".")[0]
    return next((p for p in (module, f"{folder}.*", folder) if p in listed), module)


def between_parts(imports: Imports) -> Graph:
    """Which parts import which; the package's public face is left out."""
    parts: dict[str, set[str]] = {}
    for module, others in imports.modules.items():
        if module != "__init__":
            found = {part_of(other, imports) for other in others if other != "__init__"}
            parts.setdefault(part_of(module, imports), set()).update(found)
    return {part: frozenset(others - {part}) for part, others in parts.items()}


def cut(imports: Imports, depth: int) -> Graph:
    """The same between names of ``depth`` words: 1, top folders and modules of the root."""
    found: dict[str, set[str]] = {}
    for module, others in imports.modules.items():
        own = ".".join(module.split(".")[:depth])
        found.setdefault(own, set()).update(".".join(o.split(".")[:depth]) for o in others)
    return {name: frozenset(others - {name}) for name, others in found.items()}


def reached(graph: Graph, start: str) -> frozenset[str]:
    """Everything that ``start`` imports, and what that imports, and so on."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph.get(waiting.pop(), frozenset()) - found
        found |= new
        waiting += new
    return frozenset(found)


def circles(imports: Imports) -> list[str]:
    """Pairs of folders or modules that reach each other, however deep."""
    deepest = max(name.count(".") for name in imports.modules) + 1
    found = set()
    for depth in range(1, deepest + 1):
        graph = cut(imports, depth)
        ways = {name: reached(graph, name) for name in graph}
        found |= {f"{a} <-> {b}" for a in ways for b in ways[a] if a < b and a in ways[b]}
    return sorted(found)


def upward(imports: Imports) -> list[str]:
    """Imports of a part that does not lie in a lower layer."""
    level = {part: index for index, layer in enumerate(imports.layers) for part in layer}
    graph = between_parts(imports)
    return sorted(
        f"{part} -> {other}"
        for part, others in graph.items()
        for other in others
        if level.get(other, len(level)) >= level.get(part, -1)
    )


def counts(imports: Imports) -> dict[str, int]:
    """The rows of the table."""
    names = set(imports.modules) - {"__init__"}
    folders = {name.partition(".")[0] for name in names if "." in name}
    return {
        "modules": len(imports.modules),
        "modules in the root of the package": len({n for n in names if "." not in n} - folders),
        "folders in the root": len(folders),
        "imports between folders and modules of the root": sum(map(len, cut(imports, 1).values())),
        "layers that hold the order": len(imports.layers),
        "upward imports": len(upward(imports)),
        "circles, between folders or modules at any depth": len(circles(imports)),
    }


def table(columns: Mapping[str, Imports]) -> str:
    """The counts as a Markdown table with a column for each tree."""
    figures = {name: counts(imports) for name, imports in columns.items()}
    lines = [f"| | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    for row in next(iter(figures.values())):
        lines.append(f"| {row} | {' | '.join(str(f[row]) for f in figures.values())} |")
    return "\n".join(lines)


def drawn_arrows(graph: Graph) -> list[tuple[str, str]]:
    """The imports without those that follow from others."""
    return sorted(
        (part, other)
        for part, others in graph.items()
        for other in others
        if not any(other in reached(graph, between) for between in others - {other})
    )


def svg(imports: Imports) -> str:
    """The drawing; the lowest layer is at the bottom."""
    places, height = {}, LINE_HEIGHT * len(imports.layers) + MARGIN
    most = max(map(len, imports.layers))
    width = most * (BOX_WIDTH + GAP) + GAP + 2 * MARGIN
    for index, layer in enumerate(reversed(imports.layers)):
        start = (width - len(layer) * (BOX_WIDTH + GAP) + GAP) / 2 + index % 2 * GAP
        for place, part in enumerate(layer):
            places[part] = start + place * (BOX_WIDTH + GAP), MARGIN + index * LINE_HEIGHT
    arrows = [_arrow(places[a], places[b]) for a, b in drawn_arrows(between_parts(imports))]
    boxes = [_box(part, *place) for part, place in places.items()]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        'font-family="sans-serif" font-size="13" role="img">\n'
        "<title>Parts of alrl_jax; an arrow means: imports</title>\n"
        f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#5a6b7b"/></marker></defs>'
    )
    return "\n".join([head, *arrows, *boxes, "</svg>\n"])


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    x, y = start[0] + BOX_WIDTH / 2, start[1] + BOX_HEIGHT
    to_x, to_y = end[0] + BOX_WIDTH / 2, end[1]
    half = (to_y - y) / 2
    return (
        f'<path d="M{x:g} {y:g}C{x:g} {y + half:g} {to_x:g} {to_y - half:g} {to_x:g} {to_y:g}" '
        'fill="none" stroke="#5a6b7b" stroke-opacity="0.7" marker-end="url(#tip)"/>'
    )


def _box(part: str, x: float, y: float) -> str:
    middle = f'x="{x + BOX_WIDTH / 2:g}" y="{y + BOX_HEIGHT / 2 + 5:g}" text-anchor="middle"'
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="5" '
        f'fill="#e8eef5" stroke="#35506b"/><text {middle} fill="#1b2a38">{html.escape(part)}</text>'
    )


def replace_table(page: Path, new: str) -> None:
    """Puts the table between the two marks of a page.

    Raises:
        UserError: the page has no such marks.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"got {page}; expected a page with {BEGIN} and {END}; add both lines")
    page.write_text(f"{before}{BEGIN}\n\n{new}\n\n{END}{after}", encoding="utf-8")


def main(argv: list[str]) -> int:
    """Prints the table, and writes what the flags name."""
    del argv
    values = flags.FLAGS
    now = read_imports(Path(values.tree))
    columns = {"before": read_imports(Path(values.before))} if values.before else {}
    text = table(columns | {"after" if columns else "now": now})
    print("\n".join([text, *upward(now), *circles(now)]))
    if values.output:
        Path(values.output).write_text(svg(now), encoding="utf-8")
    if values.page:
        replace_table(Path(values.page), text)
    return 0


def cli() -> None:
    """Defines the flags and runs ``main``."""
    flags.DEFINE_string("tree", ".", "Checkout to read.")
    flags.DEFINE_string("before", None, "Earlier checkout, for a column beside it.")
    flags.DEFINE_string("output", None, "SVG file to write.")
    flags.DEFINE_string("page", None, "Page whose table is replaced.")
    command_line.run(main)


if __name__ == "__main__":
    cli()
