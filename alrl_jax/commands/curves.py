"""Curves of training runs side by side: ``alrl curves RUN... --output=FILE.html``.

A run is the work directory of one, or NAME=DIR. One page shows losses, rates, norms of gradients,
speed, held-out figures and all else that stands in ``metrics.jsonl``, from these files alone: a
plot for each figure, a line for each run. ``--watch`` serves the page at http://127.0.0.1:PORT
until Ctrl-C, where it keeps up with runs that go on, and writes ``--output``, where that is given,
again each time. A line that cannot be read, such as the last one of a killed run, is left out and
counted.
"""

import dataclasses
import datetime
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from absl import flags
from markupsafe import Markup

from alrl_jax.errors import UserError
from alrl_jax.evaluation.report import curves, page
from alrl_jax.evaluation.report.curves import Run
from alrl_jax.evaluation.report.live import LivePage
from alrl_jax.evaluation.report.page import Cell, Line
from alrl_jax.evaluation.report.svg import short
from alrl_jax.storage.workdir import METRICS_FILE, step_of
from alrl_jax.utils import command_line
from alrl_jax.utils.destinations import check_file
from alrl_jax.utils.files import write_text
from alrl_jax.utils.opening import open_regular
from alrl_jax.utils.paths import local_path
from alrl_jax.utils.printing import say

SPEED, TOTAL = "speed/images_per_second", "loss/total"
MAX_BYTES = 2**30
"""Of a ``metrics.jsonl``: years of any run."""


@dataclasses.dataclass(frozen=True)
class Found:
    """A run as it stands in its file.

    Attributes:
        run: its name and what could be read.
        spoiled: lines that could not be read.
        written: when the file was last written, in seconds since 1970; None where there is none.
    """

    run: Run
    spoiled: int
    written: float | None


def named_runs(entries: Sequence[str], must_have_begun: bool) -> dict[str, Path]:
    """Directories by the names that the page gives to the runs.

    Args:
        entries: DIR or NAME=DIR; the file ``metrics.jsonl`` itself stands for its directory.
        must_have_begun: whether every run needs to have its file already.

    Raises:
        UserError: a run that is not there, or two of one name.
    """
    parted = [_parted(entry) for entry in entries]
    paths = [path.parent if path.name == METRICS_FILE else path for _, path in parted]
    short_names = _short_names(paths)
    names = [name or made for (name, _), made in zip(parted, short_names, strict=True)]
    for name, path in zip(names, paths, strict=True):
        lacking = "no directory" if not path.is_dir() else f"no {METRICS_FILE} in it"
        if not path.is_dir() or (must_have_begun and not (path / METRICS_FILE).exists()):
            raise UserError(
                f"got {path} ({lacking}); expected the work directory of a run; check the path"
            )
        if names.count(name) > 1:
            raise UserError(
                f"got two runs named {name!r}; expected every name once; write NAME=DIR"
            )
    return dict(zip(names, paths, strict=True))


def _parted(entry: str) -> tuple[str, Path]:
    """Name and path of an entry; a path may have a = of its own."""
    name, equals, path = entry.partition("=")
    if not equals or Path(local_path(entry)).exists():
        return "", Path(local_path(entry))
    return name, Path(local_path(path))


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The ends of paths in which they differ."""
    whole = [path.absolute() for path in paths]
    if len(set(whole)) < 2:
        return [path.name for path in whole]
    common = os.path.commonpath([path.parent for path in whole])
    return [str(path.relative_to(common)) for path in whole]


def read_run(name: str, directory: Path) -> Found:
    """What a run has written so far; no lines where it has not begun.

    Args:
        name: of the run.
        directory: its work directory.
    """
    try:
        with open_regular(directory / METRICS_FILE, MAX_BYTES) as file:
            written = os.fstat(file.fileno()).st_mtime
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return Found(Run(name, []), 0, None)
    lines = [line for line in text.splitlines() if line.strip()]
    read = [json.loads(line) for line in lines if step_of(line) is not None]
    return Found(Run(name, read), len(lines) - len(read), written)


def build_page(found: Sequence[Found], live: float = 0.0) -> str:
    """The page of runs.

    Args:
        found: the runs, in the order of their colours.
        live: seconds between two questions for news; 0 for a page that stays as it is.
    """
    runs = [one.run for one in found]
    sections = [
        page.section(
            "Runs",
            "Point at a curve for its figures, or choose it and go along it with the arrow keys.",
            page.legend(curves.colours_of(runs)),
            _overview(found),
        ),
        *curves.sections(runs),
        _last_figures(runs),
    ]
    count = "One run" if len(runs) == 1 else f"{len(runs)} runs side by side"
    lead = f"{count}, from {METRICS_FILE} alone." + (" This page keeps up." if live else "")
    return page.page("Training curves", lead, sections, "alrl curves", live)


def _overview(found: Sequence[Found]) -> Markup | None:
    head = ["run", "last step", "lines", "spoiled lines", TOTAL, SPEED, "last written (UTC)"]
    lines = []
    for one in found:
        last = {name: value for line in one.run.lines for name, value in line.items()}
        figures = (_figure(last.get(name)) for name in ("step", TOTAL, SPEED))
        step, total, speed = figures
        counts = [Cell(str(n), order=n) for n in (len(one.run.lines), one.spoiled)]
        lines.append(Line([one.run.name, step, *counts, total, speed, _time(one.written)]))
    return page.table("runs", head, lines)


def _last_figures(runs: Sequence[Run]) -> page.Section | None:
    last: list[Mapping[str, float | int]] = [
        {name: value for line in run.lines for name, value in line.items()} for run in runs
    ]
    names = [name for of_group in curves.figures_of(runs).values() for name in of_group]
    lines = [Line([name, *(_figure(of.get(name)) for of in last)]) for name in names]
    return page.section(
        "Last figures",
        "What each run wrote last; a click on a head sorts.",
        page.table("last figures", ["figure", *(run.name for run in runs)], lines),
    )


def _figure(value: float | int | None) -> Cell | str:
    if value is None:
        return "–"
    return Cell(str(value) if isinstance(value, int) else short(value), order=value)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "not begun"
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def stamp_of(runs: Mapping[str, Path]) -> list[tuple[int, int] | None]:
    """Size and time of every file, by which it is known whether there is something new."""
    stamps: list[tuple[int, int] | None] = []
    for directory in runs.values():
        try:
            state = (directory / METRICS_FILE).stat()
            stamps.append((state.st_size, state.st_mtime_ns))
        except OSError:
            stamps.append(None)
    return stamps


def watch(runs: Mapping[str, Path], output: Path | None, port: int, every: float) -> None:
    """Serves the page and keeps it up with the runs, until Ctrl-C."""

    def build() -> str:
        return build_page([read_run(*run) for run in runs.items()], every)

    live = LivePage(build, lambda: stamp_of(runs), port)
    say(f"{live.address} shows the curves; Ctrl-C ends it")
    try:
        fresh = True
        while True:
            if fresh and output is not None:
                write_text(output, live.text)
            time.sleep(every)
            fresh = live.refresh()
    except KeyboardInterrupt:
        live.close()


def main(argv: list[str]) -> int:
    """Writes the page, or serves it."""
    values = flags.FLAGS
    if len(argv) < 2:
        raise UserError("got no run; expected alrl curves RUN...; name a work directory")
    if values.output is None and not values.watch:
        raise UserError(
            "got neither --output nor --watch; expected a file to write or a page to serve; "
            "give one"
        )
    output = None if values.output is None else check_file(values.output)
    runs = named_runs(argv[1:], must_have_begun=not values.watch)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
    if values.watch:
        watch(runs, output, values.port, values.every)
    elif output is not None:
        write_text(output, build_page([read_run(*run) for run in runs.items()]))
        print(output)
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path("output", None, "HTML file to write.")
    flags.DEFINE_boolean("watch", False, "Serve the page on this machine, and keep it up.")
    flags.DEFINE_integer(
        "port", 8642, "Of the page that is served; 0 for any.", lower_bound=0, upper_bound=65535
    )
    flags.DEFINE_float("every", 5.0, "Seconds between two looks at the runs.", lower_bound=0.5)


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main, positional=True)
