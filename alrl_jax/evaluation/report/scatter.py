"""Named points in a plane: a few that lie far out do not press the others together, and no label
lies over another."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from alrl_jax.evaluation.report import svg
from alrl_jax.evaluation.report.svg import ACCENT, GRID, INK, SECOND, SOFT, Number, Point, short

LEFT, RIGHT, TOP, BOTTOM = 56.0, 30.0, 44.0, 46.0
FENCE = 3.0
"""Points this many spans of the middle half beyond it are far out (Tukey, Exploratory Data
Analysis, 1977: the outer fence)."""
SIZE, RADIUS, GAP = 12.0, 4.5, 4.0
LETTER = 0.6
"""Width of a letter by its size: more than that of most, so that boxes hold their words."""

Box = tuple[float, float, float, float]
"""Left, upper, right and lower side."""


@dataclasses.dataclass(frozen=True)
class Axis:
    """From figures to pixels, between two bounds."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Where a figure lies, or the bound that it is beyond."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def holds(self, value: float) -> bool:
        """Whether a figure lies between the bounds."""
        return self.low <= value <= self.high


def bounds_of(values: Sequence[Number], kept: Sequence[Number] = ()) -> tuple[float, float]:
    """Bounds of an axis that leave out what lies far beyond the middle half.

    Args:
        values: all figures.
        kept: those that have to lie between the bounds.
    """
    first, third = np.quantile(np.asarray(values, np.float64), (0.25, 0.75))
    reach = FENCE * (third - first)
    near = [v for v in values if first - reach <= v <= third + reach] + list(kept)
    low, high = float(min(near)), float(max(near))
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def scatter(
    title: str,
    points: Mapping[str, tuple[Number, Number]],
    across: str,
    up: str,
    strong: str = "",
    width: Number = 760,
    front: Sequence[str] = (),
) -> Markup:
    """Named points; an arrow at the edge stands for one that lies far out, with its figures.

    Args:
        title: of the drawing.
        points: figures by name, the one that runs across first.
        across: label of the figure that runs across.
        up: label of the figure that runs up.
        strong: name of the point that is drawn in another colour.
        width: of the drawing in pixels.
        front: names of the points that a line joins.
    """
    height = max(420.0, 22.0 * len(points))
    kept = [points[name] for name in (strong, *front) if name in points]
    (xs, ys), seen = zip(*points.values(), strict=True), list(zip(*kept, strict=True)) or ((), ())
    x = Axis(*bounds_of(xs, seen[0]), LEFT, width - RIGHT)
    y = Axis(*bounds_of(ys, seen[1]), height - BOTTOM, TOP)
    places = {name: (x.place(a), y.place(b)) for name, (a, b) in points.items()}
    shapes = [svg.text((0, 14), title, 13, fill=INK), *_axes(x, y, across, up)]
    if len(front) > 1:
        shapes.append(svg.path([places[name] for name in front], SOFT, 1, "3"))
    texts = {name: _label(name, points[name], x, y) for name in points}
    boxes = place_labels(places, texts, (LEFT + 2, TOP - 8, float(width) - 2, height - BOTTOM - 2))
    shapes += [leader for name, place in places.items() for leader in _leader(place, boxes[name])]
    for name in sorted(places, key=lambda each: each == strong):
        at = places[name]
        colour = SECOND if name == strong else ACCENT
        a, b = points[name]
        tip = f"{name}: {across} {short(a)}, {up} {short(b)}"
        shapes.append(_point(at, (a, b), x, y, colour, tip))
        left, upper, _, _ = boxes[name]
        fill = INK if name == strong else SOFT
        shapes.append(svg.text((left, upper + SIZE - 1), texts[name], SIZE, fill=fill))
    said = "; ".join(f"{name} {short(a)}, {short(b)}" for name, (a, b) in points.items())
    return svg.draw(width, height, shapes, f"{title}. {across}, {up}: {said}")


def place_labels(
    places: Mapping[str, Point], texts: Mapping[str, str], inside: Box
) -> dict[str, Box]:
    """Boxes of labels, each as near to its point as no other label and no point is in the way.

    Args:
        places: of the points by name.
        texts: of the labels.
        inside: where labels may lie.
    """
    taken: list[Box] = [
        (x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in places.values()
    ]
    found: dict[str, Box] = {}
    for name in sorted(places, key=lambda n: (places[n][1], places[n][0])):
        wide, (x, y) = LETTER * SIZE * len(texts[name]), places[name]
        *near, last = _candidates(x, y, wide, inside)
        box = next((b for b in near if not _hits(b, taken)), last)
        found[name] = box
        taken.append(box)
    return found


def _candidates(x: float, y: float, wide: float, inside: Box) -> list[Box]:
    """Boxes around a point, the near ones first; the last is anywhere, for want of a better."""
    left, upper, right, lower = inside
    near = []
    for radius in itertools.chain((9.0, 13.0), np.arange(18.0, 400.0, 6.0)):
        for angle in (0, 180, 30, -30, 150, -150, 60, -60, 120, -120, 90, -90):
            dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            start = x + radius * dx - (wide if dx < -0.1 else wide / 2 if dx < 0.1 else 0.0)
            top = y - radius * dy - SIZE / 2
            box = (start, top, start + wide, top + SIZE + 1)
            if left <= box[0] and box[2] <= right and upper <= box[1] and box[3] <= lower:
                near.append(box)
    return [*near, (x, y, x + wide, y + SIZE)]


def _hits(box: Box, others: Sequence[Box]) -> bool:
    a, b, c, d = box
    return any(
        a < right + GAP and left < c + GAP and b < lower and upper < d
        for left, upper, right, lower in others
    )


def _label(name: str, point: tuple[Number, Number], x: Axis, y: Axis) -> str:
    far = [short(v) for v, axis in zip(point, (x, y), strict=True) if not axis.holds(v)]
    return f"{name} ({', '.join(far)})" if far else name


def _axes(x: Axis, y: Axis, across: str, up: str) -> list[svg.Shape]:
    corner = (x.start, y.start)
    shapes = [svg.path([(x.start, y.end), corner, (x.end, y.start)], GRID, 1)]
    shapes.append(svg.text((0, y.end - 12), f"↑ {up}"))
    shapes.append(svg.text((x.start, y.start + 38), f"→ {across}"))
    for value in ticks(x.low, x.high):
        shapes.append(svg.line((x.place(value), y.start), (x.place(value), y.start + 4)))
        shapes.append(svg.text((x.place(value), y.start + 18), short(value), 11, "middle"))
    for value in ticks(y.low, y.high):
        shapes.append(svg.line((x.start, y.place(value)), (x.end, y.place(value))))
        shapes.append(svg.text((x.start - 6, y.place(value) + 4), short(value), 11, "end"))
    return shapes


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers between two bounds, about as many as wanted."""
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _point(
    at: Point, figures: tuple[Number, Number], x: Axis, y: Axis, colour: str, tip: str
) -> svg.Shape:
    """A circle, or an arrow that points to where the point would lie."""
    (px, py), (a, b) = at, figures
    dx = (a > x.high) - (a < x.low)
    dy = (b < y.low) - (b > y.high)
    if not dx and not dy:
        return svg.circle(at, RADIUS, colour, tip)
    along, size = math.atan2(dy, dx), 8.0
    corners = [(along, size), (along + 2.3, size), (along - 2.3, size)]
    ends = [(px + r * math.cos(w), py + r * math.sin(w)) for w, r in corners]
    return svg.polygon(ends, colour, tip)


def _leader(place: Point, box: Box) -> list[svg.Shape]:
    """A thin line to a label that lies away from its point."""
    (x, y), (left, upper, right, lower) = place, box
    end = (min(max(x, left), right), min(max(y, upper), lower))
    return [svg.line(place, end, "#b6bdc9")] if math.dist(place, end) > 9 else []
