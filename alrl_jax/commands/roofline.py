"""Draws the roofline of a benchmark: what rows reach, under what the machine can do.

    alrl roofline --benchmark=FILE.json --output=FILE.svg

Across: operations a byte, as XLA counts both. Up: operations a second. The roof rises with the rate
of a copy up to the rate of a matrix product. XLA counts a byte each time an operation of the
compiled program reads or writes it, so a row whose data stay in a cache can stand above the slope.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import flags
from markupsafe import Markup

from alrl_jax.errors import UserError
from alrl_jax.evaluation.report.svg import ACCENT, GRID, INK, SECOND, Shape, circle, line, text
from alrl_jax.evaluation.report.svg import draw as drawing
from alrl_jax.utils import command_line
from alrl_jax.utils.destinations import check_file
from alrl_jax.utils.files import write_text
from alrl_jax.utils.opening import read_json

WIDTH, HEIGHT = 640.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 70.0, 20.0, 34.0, 44.0
UNITS = {9: "G", 12: "T", 15: "P"}
MOST_TICKS = 60
"""Powers of ten along an axis: more than any machine and its smallest program are apart."""

Row = Mapping[str, Any]


class Axes:
    """Two logarithmic axes, in whole powers of ten."""

    def __init__(self, across: Sequence[float], up: Sequence[float]) -> None:
        self.x = (math.floor(math.log10(min(across))), math.ceil(math.log10(max(across))))
        self.y = (math.floor(math.log10(min(up))), math.ceil(math.log10(max(up))))
        if max(self.x[1] - self.x[0], self.y[1] - self.y[0]) > MOST_TICKS:
            raise ValueError(f"rates that are more than {MOST_TICKS} powers of ten apart")

    def place(self, intensity: float, rate: float) -> tuple[float, float]:
        """Where a point lies in the drawing."""
        x = (math.log10(intensity) - self.x[0]) / max(self.x[1] - self.x[0], 1)
        y = (math.log10(rate) - self.y[0]) / max(self.y[1] - self.y[0], 1)
        return LEFT + x * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM)


def measured_rows(result: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Name, operations a byte and operations a second of every row that has both."""
    rows = []
    for row in result["rows"]:
        flops, moved = row.get("flops_per_image"), row.get("bytes_per_image")
        if flops and moved:
            rows.append((row["name"], flops / moved, flops * row["images_per_second"]))
    return rows


def draw(result: Mapping[str, Any]) -> Markup:
    """A roofline as SVG.

    Args:
        result: what ``alrl benchmark`` writes.

    Raises:
        UserError: no row has operations and bytes.
    """
    rows = measured_rows(result)
    if not rows:
        raise UserError("got no row with operations and bytes; expected one; measure synthesis_64")
    peak = result["ceilings"]["matmul_flops"]
    copy = result["ceilings"]["copy_bytes_per_second"]
    ridge = peak / copy
    across = [ridge, *(intensity for _, intensity, _ in rows)]
    axes = Axes(across, [peak, *(rate for _, _, rate in rows)])
    parts = [*_grid(axes), *_roof(axes, ridge, peak, copy)]
    for name, intensity, rate in rows:
        parts += _point(axes, name, intensity, rate, min(peak, intensity * copy))
    machine = result["machine"]
    title = f"{machine['device']} ({machine['processor']}), jax {machine['jax']}"
    parts.append(text((LEFT, 16), f"Roofline: {title}", 13, fill=INK))
    parts.append(text((WIDTH / 2, HEIGHT - 8), "operations a byte", 11, "middle"))
    parts.append(text((8, 28), "operations a second", 10))
    said = "; ".join(f"{name} {_short(rate)}FLOP/s" for name, _, rate in rows)
    return drawing(WIDTH, HEIGHT, parts, f"Roofline of the benchmark: {said}")


def _grid(axes: Axes) -> list[Shape]:
    parts = []
    for power in range(axes.x[0], axes.x[1] + 1):
        x, bottom = axes.place(10.0**power, 10.0 ** axes.y[0])
        parts.append(line((x, TOP), (x, bottom), GRID))
        parts.append(text((x, bottom + 15), f"{10.0**power:g}", 10, "middle"))
    for power in range(axes.y[0], axes.y[1] + 1):
        left, y = axes.place(10.0 ** axes.x[0], 10.0**power)
        parts.append(line((left, y), (WIDTH - RIGHT, y), GRID))
        parts.append(text((left - 6, y + 4), _short(10.0**power), 10, "end"))
    return parts


def _roof(axes: Axes, ridge: float, peak: float, copy: float) -> list[Shape]:
    # The slope begins where it enters the drawing: at its left side, or at its bottom.
    start = max(10.0 ** axes.x[0], 10.0 ** axes.y[0] / copy)
    corner, end = axes.place(ridge, peak), axes.place(10.0 ** axes.x[1], peak)
    return [
        line(axes.place(start, start * copy), corner, SECOND, 2),
        line(corner, end, SECOND, 2),
        text((end[0], end[1] - 5), f"matrix product: {_short(peak)}FLOP/s", 10, "end", SECOND),
    ]


def _point(axes: Axes, name: str, intensity: float, rate: float, roof: float) -> list[Shape]:
    x, y = axes.place(intensity, rate)
    label = f"{name}: {_short(rate)}FLOP/s, {intensity:.3g} FLOP a byte, {rate / roof:.0%} of roof"
    named = text((x + 7, y + 4), f"{name} {rate / roof:.0%}", 10, fill=INK)
    return [circle((x, y), 4, ACCENT, label), named]


def _short(value: float) -> str:
    power = max((p for p in UNITS if value >= 10.0**p), default=0)
    return f"{value / 10.0**power:.3g} {UNITS.get(power, '')}"


def main(_: list[str]) -> int:
    """Draws the file that the flags name."""
    output = check_file(flags.FLAGS.output)
    write_text(output, draw_file(Path(flags.FLAGS.benchmark)))
    return 0


def draw_file(path: Path) -> str:
    """A roofline of a file of ``alrl benchmark``, as SVG.

    Raises:
        UserError: it is none, or no row has operations and bytes.
    """
    try:
        return draw(read_json(path))
    # Of what is no benchmark, anything may be missing, of another type, or no rate at all.
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise UserError(f"got {path} ({error!r}); expected what alrl benchmark wrote") from error


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path("benchmark", None, "JSON file of alrl benchmark.", required=True)
    command_line.DEFINE_path("output", None, "SVG file to write.", required=True)


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
