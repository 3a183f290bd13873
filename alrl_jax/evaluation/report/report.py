"""The report of an evaluation: one page with all its images inside, and the same as files."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alrl_jax.evaluation.measuring import Measurement
from alrl_jax.evaluation.metric_table import OF_PHOTOS
from alrl_jax.evaluation.report import curves, gallery, gates, glance, page, tables, tones, trade
from alrl_jax.evaluation.report.gallery import columns_of, file_name
from alrl_jax.evaluation.report.images import data_uri, fitted, grid, to_bytes
from alrl_jax.evaluation.rows import REFERENCE_ROWS, own_row
from alrl_jax.utils.files import write_files, write_text
from alrl_jax.utils.png import encode

NOTICE = (
    "Every face on this page is synthetic: drawn by a procedural renderer or a network trained "
    "on its images. Swap faces only of people who agreed, say so where the result is shown, and "
    "keep the provenance data in the files."
)
SEEN_IN_TRAINING = (
    "A judge on this page is a network that the model was trained with, or made from. Its figures "
    "flatter the model and measure nothing; the protocol says which judge it is."
)
PHOTO_NOTICE = (
    "This page shows photographs that its maker supplied. Swap faces only of people who agreed, "
    "say so where the result is shown, and do not pass this page on without their consent."
)


@dataclasses.dataclass(frozen=True)
class Extras:
    """What a report shows besides its own figures; each field may be empty.

    Attributes:
        group_names: attribute groups, in the order of the gates' owners.
        curves: lines of the training's ``metrics.jsonl``.
        samples: image grids of the training by title, as PNG bytes.
        before: the ``metrics.json`` of an earlier evaluation.
        before_images: swaps of that evaluation, by file name, as PNG bytes.
    """

    group_names: tuple[str, ...] = ()
    curves: Sequence[Mapping[str, float | int]] = ()
    samples: dict[str, bytes] = dataclasses.field(default_factory=dict)
    before: dict[str, Any] | None = None
    before_images: dict[str, bytes] = dataclasses.field(default_factory=dict)


def write_report(
    directory: Path, metrics: dict[str, Any], found: Measurement, extras: Extras
) -> Path:
    """Writes ``index.html`` and the images it shows as files beside it.

    Args:
        directory: of the report; made where it is missing.
        metrics: what ``metrics.json`` holds.
        found: images and gates.
        extras: training curves and the like.

    Returns:
        Path of the page.
    """
    directory.mkdir(parents=True, exist_ok=True)
    images = {
        file_name(name, i): encode(to_bytes(values[i]))
        for name, values in found.images.items()
        for i in range(len(values))
    }
    for name, content in images.items():
        write_files({directory / name: content})
    columns = columns_of(own_row(metrics["rows"]))
    shown = [name for name in columns if len(found.images.get(name, ()))]
    if shown:
        overview = grid([found.images[name] for name in shown])
        write_files({directory / "overview.png": encode(overview)})
    path = directory / "index.html"
    write_text(path, build_page(metrics, found, images, extras))
    return path


def build_page(
    metrics: dict[str, Any], found: Measurement, images: dict[str, bytes], extras: Extras
) -> str:
    """The HTML text of the report."""
    protocol, rows = metrics["protocol"], metrics["rows"]
    synthetic, own = protocol["benchmark"] == "counterfactual", own_row(rows)
    whole = images | extras.before_images | extras.samples
    inside = fitted(whole)
    samples = {title: inside.pop(title) for title in extras.samples}
    seen = protocol.get("judge_seen_in_training")
    sections = [
        page.warning(SEEN_IN_TRAINING) if seen else None,
        glance.section(rows),
        gallery.section(inside, own, inside | samples != whole),
        tables.figures(rows, () if synthetic else OF_PHOTOS),
        _trade(rows),
        tables.comparisons_table(metrics.get("comparisons", {}), own, _caveat(protocol, rows)),
        gates.section(found, extras.group_names),
        tables.control_table(metrics.get("control", {})),
        tables.hard_pairs_table(rows),
        tones.section(rows),
        tables.before_and_after(rows, extras.before),
        _training(extras.curves, samples),
        _protocol(protocol),
        page.section(
            "Responsible use", "Before you pass anything on.", page.paragraph(_notice(synthetic))
        ),
    ]
    version, revision = protocol["versions"]["alrl_jax"], protocol["git_revision"]
    footer = f"alrl_jax {version or ''}, revision {revision or 'unknown'}"
    return page.page("Face swapping: evaluation", _lead(protocol), sections, footer)


def _lead(protocol: dict[str, Any]) -> str:
    if protocol["benchmark"] != "counterfactual":
        return (
            f"{protocol['num_pairs']} pairs of photographs, {protocol['resolution']} px. "
            f"Protocol: {protocol['protocol']}."
        )
    return (
        f"{protocol['num_pairs']} pairs, split “{protocol['split']}”, "
        f"{protocol['resolution']} px. Benchmark: {protocol['benchmark']}. The people on this page "
        "were not used in training, and neither was the judge that measures."
    )


def _notice(synthetic: bool) -> str:
    return NOTICE if synthetic else PHOTO_NOTICE


def _caveat(protocol: dict[str, Any], rows: dict[str, Any]) -> str:
    """What to know of fixed rules, where there are some."""
    own, fixed = own_row(rows), (protocol.get("selectors") or [])[1:]
    swaps = [name for name in rows if name not in REFERENCE_ROWS]
    return gallery.caveat(swaps, own, fixed, protocol.get("best_fixed_found_for"))


def _trade(rows: dict[str, Any]) -> page.Section | None:
    points = trade.trade_points(rows)
    if len(points) < 2:
        return None
    drawing = trade.drawing(points, own_row(rows))
    return page.section(
        "Identity against pose",
        f"The best place is that of the true swap, or above and left of it. {trade.FAR_OUT}",
        page.scroll("identity against pose", drawing),
    )


def _training(
    lines: Sequence[Mapping[str, float | int]], samples: Mapping[str, bytes]
) -> page.Section | None:
    parts = curves.parts(curves.Run("this run", lines))
    for title, content in samples.items():
        picture = page.Picture(data_uri(content), title, f"{title} of the training")
        parts += [page.heading(title), page.wide_picture(picture)]
    lead = "Curves from the work directory, and what it drew last."
    return page.section("Training", lead, *parts)


def _protocol(protocol: dict[str, Any]) -> page.Section | None:
    plain = [(key, str(v)) for key, v in protocol.items() if isinstance(v, str | int | float)]
    judges = tables.judges_table(protocol["judges"]) if "judges" in protocol else None
    notes = page.definitions(list(protocol.get("notes", {}).items()))
    return page.section(
        "Protocol",
        "Figures compare only where all of this is the same.",
        page.definitions([(key.replace("_", " "), value) for key, value in plain]),
        page.heading("The judges") if judges else None,
        judges,
        page.heading("How it is measured"),
        notes,
        page.details("All of it", page.listing(json.dumps(protocol, indent=2))),
    )
