"""Curves over training steps, of one run or of several in one plot."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from markupsafe import Markup

from alrl_jax.evaluation.report import page, svg
from alrl_jax.evaluation.report.svg import GRID, INK, Number, Shape, short

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 344.0, 160.0, 54.0, 10.0, 28.0, 22.0
GROUPS = {
    "loss": "Losses",
    "held_out": "Held-out people",
    "rate": "Rates of learning",
    "gradient": "Norms of gradients",
    "speed": "Speed",
    "memory": "Memory",
    "gates": "Gates over codes",
    "space": "Gates in space",
    "owners": "Ownership of codes",
    "mask": "Mask",
    "dead": "Units that never fire",
}
"""Titles by what stands before the ``/`` of a figure's name, in the order of the page."""
OTHERS = "Other figures"
FIRST = ("loss/total",)
"""Figures that stand before the others of their group."""
MOST_POINTS = 60_000
"""Points of all curves of a page together: a point has about 30 bytes."""
LEAST_POINTS = 50
COLOURS = ("#2f6fde", "#c2571a", "#0f8a5f", "#a23bb0", "#7a6200", "#0b7f93", "#c2294f", "#4b4b57")
DASHES = ("", "5 2", "2 2")
"""Of the second and the third eight runs."""
LOGARITHMIC = 30.0
"""A plot whose greatest figure is more than this many times the least has a log scale."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run by its name, and the lines of its ``metrics.jsonl``."""

    name: str
    lines: Sequence[Mapping[str, float | int]]


Series = tuple[list[Number], list[Number]]
"""Steps and figures."""
Place = Callable[[Number, Number], svg.Point]
"""Where a step and a figure lie in a plot."""


def colours_of(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Names and colours, for a legend; eight colours, then they begin again with dashes."""
    return [(run.name, COLOURS[i % len(COLOURS)]) for i, run in enumerate(runs)]


def figures_of(runs: Iterable[Run]) -> dict[str, list[str]]:
    """Names of all figures by the title of their group, in the order of the page."""
    names = sorted({name for run in runs for line in run.lines for name in line} - {"step"})
    names.sort(key=lambda name: name not in FIRST)
    found: dict[str, list[str]] = {title: [] for title in (*GROUPS.values(), OTHERS)}
    for name in names:
        found[GROUPS.get(name.partition("/")[0], OTHERS)].append(name)
    return {title: of_group for title, of_group in found.items() if of_group}


def series_of(run: Run, name: str) -> Series:
    """Steps and values of a figure in a run; the last one counts where a step stands twice."""
    by_step = {line["step"]: line[name] for line in run.lines if name in line}
    steps = sorted(by_step)
    return list(steps), [by_step[step] for step in steps]


def thinned(series: Series, most: int) -> Series:
    """At most about so many points: of every stretch the least and the greatest figure.

    Both ends stay as well, and what is no number.
    """
    steps, values = series
    if len(steps) <= most:
        return series
    size = math.ceil(2 * len(steps) / most)
    kept = {0, len(steps) - 1}
    for start in range(0, len(steps), size):
        stretch = range(start, min(start + size, len(steps)))
        real = [i for i in stretch if math.isfinite(values[i])]
        extremes = (min, max) if real else ()
        kept |= {choose(real, key=values.__getitem__) for choose in extremes} or {start}
    order = sorted(kept)
    return [steps[i] for i in order], [values[i] for i in order]


def sections(runs: Sequence[Run]) -> list[page.Section | None]:
    """A section for each group of figures, a plot for each figure."""
    of_groups = figures_of(runs)
    count = sum(len(names) for names in of_groups.values()) * len(runs)
    most = max(LEAST_POINTS, MOST_POINTS // max(1, count))
    leads = {title: f"What stands under {key}/ in metrics.jsonl." for key, title in GROUPS.items()}
    return [
        page.section(title, leads.get(title, "The rest."), _plots(runs, names, most))
        for title, names in of_groups.items()
    ]


def parts(run: Run) -> list[Markup]:
    """The same of one run, as parts of a section."""
    of_groups = figures_of([run])
    count = sum(len(names) for names in of_groups.values())
    most = max(LEAST_POINTS, MOST_POINTS // 4 // max(1, count))
    drawn = ((title, _plots([run], names, most)) for title, names in of_groups.items())
    return [part for title, plots in drawn if plots for part in (page.heading(title), plots)]


def _plots(runs: Sequence[Run], names: Sequence[str], most: int) -> Markup | None:
    drawn = (plot(name, runs, most) for name in names)
    return page.plots([drawing for drawing in drawn if drawing])


def plot(name: str, runs: Sequence[Run], most: int = 400) -> Markup | None:
    """One figure of all runs that have it; None where none has a number.

    Args:
        name: of the figure.
        runs: in the order of their colours.
        most: points of a curve, about.
    """
    found = {i: series for i, run in enumerate(runs) if (series := series_of(run, name))[0]}
    real = [v for _, values in found.values() for v in values if math.isfinite(v)]
    if not real:
        return None
    first = min(steps[0] for steps, _ in found.values())
    last = max(steps[-1] for steps, _ in found.values())
    logarithmic = min(real) > 0 and max(real) > LOGARITHMIC * min(real)
    low, high = (math.log10(v) if logarithmic else v for v in (min(real), max(real)))

    def place(step: Number, value: Number) -> svg.Point:
        level = math.log10(value) if logarithmic else value
        x = LEFT + (step - first) / ((last - first) or 1) * (WIDTH - LEFT - RIGHT)
        return x, TOP + (high - level) / ((high - low) or 1) * (HEIGHT - TOP - BOTTOM)

    shapes = _frame(name, (first, last), (min(real), max(real)), logarithmic)
    if len(found) == 1:
        shapes.append(svg.text((WIDTH - RIGHT, 14), short(real[-1]), 13, "end", INK))
    for i, series in found.items():
        shapes.append(_curve(i, runs, thinned(series, most), place))
    axis = f"{LEFT:g} {WIDTH - RIGHT:g} {first} {last}"
    more = {"class": "curve", "tabindex": "0", "data-axis": axis, "data-figure": name.lower()}
    said = "; ".join(_in_words(runs[i].name, series) for i, series in found.items())
    return svg.draw(WIDTH, HEIGHT, shapes, f"{name}: {said}", more)


def _frame(
    name: str, steps: tuple[Number, Number], figures: tuple[Number, Number], logarithmic: bool
) -> list[Shape]:
    """Title, bounds of both axes, and the line that follows a pointer."""
    shapes = [svg.text((0, 14), name + (" (log)" if logarithmic else ""), 13, fill=INK)]
    for y, value in ((TOP, figures[1]), (HEIGHT - BOTTOM, figures[0])):
        shapes.append(svg.line((LEFT, y), (WIDTH - RIGHT, y)))
        shapes.append(svg.text((LEFT - 6, y + 4), short(value), 11, "end"))
    shapes.append(svg.text((LEFT, HEIGHT - 6), f"{steps[0]:g}", 11))
    shapes.append(svg.text((WIDTH - RIGHT, HEIGHT - 6), f"step {steps[1]:g}", 11, "end"))
    mark = svg.line((LEFT, TOP), (LEFT, HEIGHT - BOTTOM), GRID, 1.5)
    hidden = {"class": "mark", "style": "visibility: hidden", "stroke": "#98a1b0"}
    return [*shapes, Shape("line", {**mark.attributes, **hidden})]


def _curve(number: int, runs: Sequence[Run], series: Series, place: Place) -> Shape:
    """A line through what is a number, broken where something is not, and the last point."""
    steps, values = series
    colour = COLOURS[number % len(COLOURS)]
    dash = DASHES[number // len(COLOURS) % len(DASHES)]
    shapes = []
    pairs = zip(steps, values, strict=True)
    for real, stretch in itertools.groupby(pairs, key=lambda pair: math.isfinite(pair[1])):
        if real:
            points = [place(*pair) for pair in stretch]
            shapes += [svg.path(points, colour, 1.6, dash), svg.circle(points[-1], 2.4, colour)]
        else:
            x, _ = place(next(stretch)[0], 1.0)
            shapes.append(svg.text((x, TOP + 10), "✕", 11, "middle", "#b42318", "not a number"))
    data = {
        "data-steps": " ".join(map(str, steps)),
        "data-values": " ".join(f"{value:.5g}" for value in values),
    }
    name = {"data-run": runs[number].name} if len(runs) > 1 else {}
    return svg.group(shapes, data | name)


def _in_words(name: str, series: Series) -> str:
    (first, *_), (start, *_) = series
    last, end = series[0][-1], series[1][-1]
    return f"{name} from {short(start)} at step {first} to {short(end)} at step {last}"
