"""Small drawings for the report: bars, curves, points and heat maps as inline SVG."""

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

Number = float | int
INK, SOFT, GRID, ACCENT, SECOND = "#1d2433", "#667085", "#e4e7ec", "#2f6fde", "#e07a3f"
_FONT = "font-family='system-ui, sans-serif'"


def text(
    x: Number, y: Number, content: str, size: Number = 11, anchor: str = "start", fill: str = SOFT
) -> str:
    """One line of text."""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size:g}' text-anchor='{anchor}' fill='{fill}' "
        f"{_FONT}>{html.escape(content)}</text>"
    )


def frame(width: Number, height: Number, parts: Sequence[str], label: str) -> str:
    """A drawing of given size, with a label for screen readers."""
    return (
        f"<svg viewBox='0 0 {width:g} {height:g}' width='{width:g}' role='img' "
        f"aria-label='{html.escape(label, quote=True)}'>{''.join(parts)}</svg>"
    )


def short(value: Number) -> str:
    """A number in about three figures."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{value:.1e}"


def bars(
    title: str,
    names: Sequence[str],
    values: Sequence[Number | None],
    notes: Sequence[str],
    width: Number = 250,
) -> str:
    """Horizontal bars from zero, one for every name; None reads "not measured"."""
    left, row, top = 78.0, 24.0, 26.0
    known = [v for v in values if v is not None]
    high = max([0.0, *known]) or 1.0
    low = min([0.0, *known])
    scale = (width - left - 52) / (high - low)
    zero = left - low * scale
    parts = [text(0, 13, title, 12, fill=INK)]
    for i, (name, value, note) in enumerate(zip(names, values, notes, strict=True)):
        y = top + i * row
        parts.append(text(left - 8, y + 12, name, anchor="end"))
        if value is None:
            parts.append(text(left, y + 12, "not measured"))
            continue
        x, length = min(zero, zero + value * scale), max(1.0, abs(value) * scale)
        parts.append(
            f"<rect x='{x:.1f}' y='{y:.1f}' width='{length:.1f}' height='16' rx='2' "
            f"fill='{ACCENT}'><title>{html.escape(note)}</title></rect>"
        )
        parts.append(text(max(zero, zero + value * scale) + 5, y + 12, short(value), fill=INK))
    return frame(width, top + row * len(names), parts, title)


def curve(
    title: str, steps: Sequence[Number], values: Sequence[Number], width: Number = 330
) -> str:
    """One curve over training steps, with its range and last value; a log scale where it helps."""
    height, left, right, top, bottom = 140.0, 46.0, 12.0, 26.0, 20.0
    logarithmic = min(values) > 0 and max(values) > 30 * min(values)
    heights = [math.log10(v) for v in values] if logarithmic else list(values)
    low, high = min(heights), max(heights)
    span = (high - low) or 1.0
    first, last = min(steps), max(steps)
    across = (last - first) or 1.0
    points = [
        (
            left + (s - first) / across * (width - left - right),
            top + (high - h) / span * (height - top - bottom),
        )
        for s, h in zip(steps, heights, strict=True)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts = [text(0, 13, title + (" (log)" if logarithmic else ""), 12, fill=INK)]
    for y, value in ((top, max(values)), (height - bottom, min(values))):
        parts.append(
            f"<line x1='{left}' y1='{y}' x2='{width - right}' y2='{y}' stroke='{GRID}'/>"
            + text(left - 6, y + 4, short(value), 10, "end")
        )
    parts.append(
        f"<polyline points='{line}' fill='none' stroke='{ACCENT}' stroke-width='1.6' "
        "stroke-linejoin='round'/>"
    )
    x, y = points[-1]
    parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{ACCENT}'/>")
    parts.append(text(width - right, 13, short(values[-1]), 12, "end", INK))
    parts.append(text(left, height - 6, short(first), 10))
    parts.append(text(width - right, height - 6, f"step {last:g}", 10, "end"))
    return frame(width, height, parts, title)


def scatter(
    title: str,
    points: Mapping[str, tuple[Number, Number]],
    across: str,
    up: str,
    strong: str = "",
    width: Number = 460,
    front: Sequence[str] = (),
) -> str:
    """Named points between the least and the greatest of both figures.

    Args:
        title: of the drawing.
        points: figures by name, the one that runs across first.
        across: label of the figure that runs across.
        up: label of the figure that runs up.
        strong: name of the point that is drawn in another colour.
        width: of the drawing in pixels.
        front: names of the points that a line joins.
    """
    height, left, right, top, bottom = 300.0, 52.0, 74.0, 34.0, 34.0
    bounds = [(min(v), max(v)) for v in zip(*points.values(), strict=True)]
    (x_low, x_high), (y_low, y_high) = bounds
    x_span, y_span = (x_high - x_low) or 1.0, (y_high - y_low) or 1.0
    parts = [text(0, 13, title, 12, fill=INK)]
    parts.append(
        f"<path d='M{left} {top}V{height - bottom}H{width - right}' fill='none' stroke='{GRID}'/>"
    )
    parts += [text(left - 6, top + 4, short(y_high), 10, "end"), text(0, top - 8, up, 10)]
    parts.append(text(left - 6, height - bottom, short(y_low), 10, "end"))
    parts += [text(left, height - 18, short(x_low), 10), text(left, height - 4, across, 10)]
    parts.append(text(width - right, height - 18, short(x_high), 10, "end"))
    places = {
        name: (
            left + (x - x_low) / x_span * (width - left - right),
            height - bottom - (y - y_low) / y_span * (height - top - bottom),
        )
        for name, (x, y) in points.items()
    }
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (places[name] for name in front))
    if line:
        parts.append(
            f"<polyline points='{line}' fill='none' stroke='{SOFT}' stroke-dasharray='3'/>"
        )
    for name, (place, level) in places.items():
        colour = SECOND if name == strong else ACCENT
        parts.append(f"<circle cx='{place:.1f}' cy='{level:.1f}' r='4' fill='{colour}'/>")
        parts.append(text(place + 6, level + 4, name, 10, fill=INK if name == strong else SOFT))
    return frame(width, height, parts, title)


def heat_map(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Float[np.ndarray, "r c"],
    high: Number = 1.0,
) -> str:
    """Shares as coloured cells with their numbers; NaN leaves a cell empty."""
    left, top, cell_width, cell = 88.0, 44.0, 46.0, 21.0
    parts = [text(0, 13, title, 12, fill=INK)]
    for j, name in enumerate(columns):
        parts.append(text(left + (j + 0.5) * cell_width, top - 7, name, 8.6, "middle"))
    for i, name in enumerate(rows):
        y = top + i * cell
        parts.append(text(left - 8, y + 15, name, 10.5, "end"))
        for j in range(len(columns)):
            value = float(values[i, j])
            if not math.isnan(value):
                parts.append(_cell(left + j * cell_width, y, cell_width, cell, value, high))
    width = left + cell_width * len(columns) + 4
    return frame(width, top + cell * len(rows) + 4, parts, title)


def _cell(x: Number, y: Number, width: Number, height: Number, value: Number, high: Number) -> str:
    share = min(1.0, max(0.0, value / high))
    white, deep = (247, 249, 252), (21, 72, 160)
    colour = tuple(round(a + (b - a) * share) for a, b in zip(white, deep, strict=True))
    ink = "#ffffff" if share > 0.55 else INK
    return (
        f"<rect x='{x:.1f}' y='{y:.1f}' width='{width - 2:.1f}' height='{height - 2:.1f}' rx='2' "
        f"fill='rgb{colour}'/>" + text(x + width / 2 - 1, y + 14, f"{value:.2f}", 10, "middle", ink)
    )
