"""Bars from zero, with marks where bounds lie."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from alrl_jax.evaluation.report import svg
from alrl_jax.evaluation.report.svg import ACCENT, INK, SECOND, Number, short

LEFT, STEP, TOP, RIGHT = 84.0, 24.0, 28.0, 52.0
MARKS = (INK, SECOND)
"""Colours of the marks, in the order of the bounds: black and orange."""


def bars(
    title: str,
    names: Sequence[str],
    values: Sequence[Number | None],
    notes: Sequence[str],
    bounds: Mapping[str, Sequence[Number | None]],
    width: Number = 340,
) -> Markup:
    """Horizontal bars, one for every name; None reads "not measured".

    Args:
        title: of the drawing.
        names: of the bars.
        values: their lengths.
        notes: what is shown where a pointer rests on a bar, beside its figure.
        bounds: at most two marks by their meaning, one value a bar; None leaves one out.
        width: of the drawing in pixels.
    """
    marks = [v for of in bounds.values() for v in of if v is not None]
    known = [0.0, *(v for v in values if v is not None), *marks]
    low, span = min(known), (max(known) - min(known)) or 1.0

    def across(value: Number) -> float:
        return LEFT + (value - low) / span * (width - LEFT - RIGHT)

    shapes = [svg.text((0, 14), title, 13, fill=INK)]
    for i, (name, value, note) in enumerate(zip(names, values, notes, strict=True)):
        y = TOP + i * STEP
        shapes.append(svg.text((LEFT - 8, y + 12), name, anchor="end"))
        if value is None:
            shapes.append(svg.text((LEFT, y + 12), "not measured"))
            continue
        start, end = sorted((across(0.0), across(value)))
        tip = f"{name}: {short(value)} ({note})"
        shapes.append(svg.rectangle((start, y), max(1.0, end - start), 16, ACCENT, tip))
        for (meaning, of), colour in zip(bounds.items(), MARKS, strict=False):
            if (bound := of[i]) is not None:
                tip = f"{name}, {meaning}: {short(bound)}"
                shapes.append(svg.rectangle((across(bound) - 1.5, y - 2), 3, 20, colour, tip))
        shapes.append(svg.text((width, y + 12), short(value), anchor="end", fill=INK))
    figures = zip(names, values, strict=True)
    said = ", ".join(f"{n} {'not measured' if v is None else short(v)}" for n, v in figures)
    return svg.draw(width, TOP + STEP * len(names), shapes, f"{title}: {said}")
