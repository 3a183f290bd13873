"""Drawings as inline SVG: shapes, and the template that writes them down, escaped."""

import dataclasses
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from alrl_jax.evaluation.report import page

Number = float | int
Point = tuple[Number, Number]
INK, SOFT, GRID, ACCENT, SECOND = "#1d2433", "#5b6577", "#e4e7ec", "#2f6fde", "#c2571a"
_FONT = "system-ui, sans-serif"


@dataclasses.dataclass(frozen=True)
class Shape:
    """An element of a drawing.

    Attributes:
        kind: its name in SVG.
        attributes: of that element.
        content: the words of a text, or the shapes of a group.
        tip: what is shown where a pointer rests on it.
    """

    kind: str
    attributes: Mapping[str, str]
    content: str | Markup = ""
    tip: str = ""


def text(
    at: Point,
    content: str,
    size: Number = 12,
    anchor: str = "start",
    fill: str = SOFT,
    tip: str = "",
) -> Shape:
    """One line of text; ``anchor`` says which end of it lies at the point."""
    place = {"x": _plain(at[0]), "y": _plain(at[1]), "font-size": _plain(size)}
    look = {"text-anchor": anchor, "fill": fill, "font-family": _FONT}
    return Shape("text", place | look, content, tip)


def line(a: Point, b: Point, stroke: str = GRID, width: Number = 1, dash: str = "") -> Shape:
    """A straight line."""
    ends = {"x1": a[0], "y1": a[1], "x2": b[0], "y2": b[1]}
    found = {name: _plain(value) for name, value in ends.items()}
    return Shape("line", found | _stroke(stroke, width, dash))


def rectangle(corner: Point, width: Number, height: Number, fill: str, tip: str = "") -> Shape:
    """A filled rectangle with slightly round corners, from its upper left one."""
    sizes = {"x": corner[0], "y": corner[1], "width": width, "height": height, "rx": 2}
    return Shape("rect", {n: _plain(v) for n, v in sizes.items()} | {"fill": fill}, tip=tip)


def circle(at: Point, radius: Number, fill: str, tip: str = "") -> Shape:
    """A filled circle."""
    sizes = {"cx": at[0], "cy": at[1], "r": radius}
    return Shape("circle", {n: _plain(v) for n, v in sizes.items()} | {"fill": fill}, tip=tip)


def path(
    points: Sequence[Point], stroke: str, width: Number = 1.6, dash: str = "", tip: str = ""
) -> Shape:
    """A line through points."""
    places = " ".join(f"{_plain(x)},{_plain(y)}" for x, y in points)
    look = {"points": places, "fill": "none", "stroke-linejoin": "round"}
    return Shape("polyline", look | _stroke(stroke, width, dash), tip=tip)


def polygon(points: Sequence[Point], fill: str, tip: str = "") -> Shape:
    """A filled polygon."""
    places = " ".join(f"{_plain(x)},{_plain(y)}" for x, y in points)
    return Shape("polygon", {"points": places, "fill": fill}, tip=tip)


def group(shapes: Sequence[Shape], attributes: Mapping[str, str]) -> Shape:
    """Shapes that belong together."""
    return Shape("g", attributes, page.render("drawing.svg", frame=None, shapes=shapes))


def draw(
    width: Number,
    height: Number,
    shapes: Sequence[Shape],
    label: str,
    attributes: Mapping[str, str] | None = None,
) -> Markup:
    """A drawing of given size, for a page or as a file.

    Args:
        width: in pixels.
        height: in pixels.
        shapes: from the one at the back to the one at the front.
        label: what it shows, for readers who cannot see it.
        attributes: more of them, of the whole drawing.
    """
    frame = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {_plain(width)} {_plain(height)}",
        "width": _plain(width),
        "role": "img",
        "aria-label": label,
    }
    return page.render("drawing.svg", frame=frame | dict(attributes or {}), shapes=shapes)


def short(value: Number) -> str:
    """A number in about three figures."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{value:.1e}"


def _plain(value: Number) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _stroke(stroke: str, width: Number, dash: str) -> dict[str, str]:
    found = {"stroke": stroke, "stroke-width": _plain(width)}
    return found | {"stroke-dasharray": dash} if dash else found
