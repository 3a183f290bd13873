"""Pages that are read in a browser, all of one make: templates, and the values that fill them.

A page is a list of sections, and a section a list of parts: ``table``, ``tiles``, ``plots`` and the
others below. All markup stands in ``templates/``, and what is filled in is escaped there. A page
holds all that it shows, style and script included, and loads nothing.
"""

import dataclasses
import functools
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: what it says.
        note: a smaller line below.
        strong: whether it stands out.
        order: the number by which its column is sorted; None sorts by the text.
        shade: how dark it is, from 0 to 1; None for no colour.
        wide: whether it holds prose, which may take several lines.
    """

    text: str
    note: str = ""
    strong: bool = False
    order: float | int | None = None
    shade: float | int | None = None
    wide: bool = False


@dataclasses.dataclass(frozen=True)
class Head:
    """The head of a column: name, a smaller line below, and what it means."""

    text: str
    note: str = ""
    meaning: str = ""


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a table; the first cell names it.

    Attributes:
        cells: one a column; plain text stands for a cell without more.
        strong: whether the line stands out.
        group: title of the lines that it belongs to, which are sorted among themselves.
    """

    cells: Sequence[Cell | str]
    strong: bool = False
    group: str = ""


@dataclasses.dataclass(frozen=True)
class Tile:
    """A figure that is seen first.

    Attributes:
        label: its name.
        value: the figure, with its unit.
        remarks: what to compare it with, a line each.
        share: how far it is on the way that ``share_text`` names, from 0 to 1; None for no bar.
        share_text: the same in words.
    """

    label: str
    value: str
    remarks: Sequence[str] = ()
    share: float | None = None
    share_text: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image of a page: its bytes as an address, what is written below, and the text for who
    cannot see it."""

    source: str
    caption: str
    description: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A titled part of a page; ``anchor`` is where the contents lead."""

    title: str
    lead: str
    parts: Sequence[Markup]
    anchor: str


def section(title: str, lead: str, *parts: Markup | None) -> Section | None:
    """A titled part of the page; None without parts.

    Args:
        title: its heading, one of its kind on the page.
        lead: what it shows, in a sentence or two.
        parts: as the functions below make them; None is left out.
    """
    anchor = re.sub(r"\W+", "-", title.lower()).strip("-")
    found = tuple(part for part in parts if part)
    return Section(title, lead, found, anchor) if found else None


def warning(text: str) -> Markup:
    """A sentence that a reader must not miss."""
    return _part("warning", text)


def paragraph(text: str) -> Markup:
    """A sentence or more between other parts."""
    return _part("paragraph", text)


def heading(text: str) -> Markup:
    """A title within a section."""
    return _part("heading", text)


def tiles(found: Sequence[Tile]) -> Markup | None:
    """Figures side by side; None without any."""
    return _part("tiles", found) if found else None


def table(label: str, head: Sequence[Head | str], lines: Sequence[Line]) -> Markup | None:
    """A table whose columns can be sorted; None without lines.

    Args:
        label: what it shows, for readers who cannot see it.
        head: of every column.
        lines: those of a group one after the other.
    """
    heads = [Head(each) if isinstance(each, str) else each for each in head]
    groups = [
        {"title": title, "lines": [_with_cells(line) for line in group]}
        for title, group in itertools.groupby(lines, key=lambda line: line.group)
    ]
    return _part("table", label, heads, groups) if lines else None


def definitions(items: Sequence[tuple[str, str]]) -> Markup | None:
    """Terms and what they mean; None without any."""
    return _part("definitions", items) if items else None


def plots(drawings: Sequence[Markup]) -> Markup | None:
    """Drawings side by side; None without any."""
    return _part("plots", drawings) if drawings else None


def scroll(label: str, content: Markup) -> Markup:
    """A part that is scrolled sideways, with a sign, where it is wider than the screen."""
    return _part("scroll", label, 0, content)


def pictures(found: Sequence[Picture]) -> Markup:
    """Images side by side; they go on below where the screen is narrow."""
    return _part("pictures", found)


def wide_picture(found: Picture) -> Markup:
    """One image as wide as the page at most."""
    return _part("wide_picture", found)


def details(summary: str, *parts: Markup | None) -> Markup | None:
    """What is shown on demand; None without parts."""
    found = [part for part in parts if part]
    return _part("details", summary, found) if found else None


def listing(text: str) -> Markup:
    """Text as it stands, in letters of one width."""
    return _part("listing", text)


def legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """Names of runs and their colours, to choose those that plots show."""
    return _part("legend", entries)


def page(
    title: str,
    lead: str,
    content: Sequence[Section | Markup | None],
    footer: str,
    live: float = 0.0,
) -> str:
    """The whole page; it loads nothing from other files or servers.

    Args:
        title: of the page.
        lead: what it shows.
        content: sections, and notices that stand above all of them; None is left out.
        footer: its last line.
        live: seconds between two questions for news to the server that serves the page; 0 for none.
    """
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            lead=lead,
            notices=Markup().join(part for part in content if isinstance(part, Markup)),
            sections=[part for part in content if isinstance(part, Section)],
            footer=footer,
            live=live,
        )
    )


def render(template: str, **values: object) -> Markup:
    """A template of ``templates/`` with values filled in, escaped."""
    return Markup(_environment().get_template(template).render(**values))


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _part(name: str, *values: object) -> Markup:
    macros = _environment().get_template("parts.html").module
    return Markup(getattr(macros, name)(*values))


def _with_cells(line: Line) -> Line:
    cells = [Cell(each) if isinstance(each, str) else each for each in line.cells]
    return dataclasses.replace(line, cells=cells)
