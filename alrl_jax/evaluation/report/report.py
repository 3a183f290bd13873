"""The report of an evaluation: one page with all its images inside, and the same as files."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alrl_jax.evaluation.measuring import Measurement
from alrl_jax.evaluation.metric_table import METRICS, OF_PHOTOS, label
from alrl_jax.evaluation.report import gates, page, svg, tables, trade
from alrl_jax.evaluation.report.images import data_uri, grid, to_bytes
from alrl_jax.evaluation.report.tables import number
from alrl_jax.evaluation.rows import REFERENCE_ROWS, own_row
from alrl_jax.utils.files import write_files, write_text
from alrl_jax.utils.png import encode

OWN, BEFORE = "own", "before"
"""Stand for the model's own row, and for that of an earlier evaluation in the names of files."""
COLUMNS = {
    "source": "source",
    "target": "target",
    "generated": "generated",
    "mask": "mask",
    "space": "target's features kept",
    OWN: "swap",
    "truth": "true swap",
    "reconstruction": "truth, re-drawn",
    "self_swap": "target into itself",
}
"""Columns of the image grid, where they exist."""
TONE_METRICS = (
    "identity_similarity",
    "face_psnr",
    "lpips_like",
    "pose_error_degrees",
    "background_psnr",
    "mask_iou",
    "expression_error",
)
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


def columns_of(own: str) -> dict[str, str]:
    """Columns of the image grid and their titles, where the model's own row is called ``own``."""
    return {own if name == OWN else name: title for name, title in COLUMNS.items()}


def file_name(column: str, number: int) -> str:
    """Name of one image beside the page."""
    return f"{column}_{number:03d}.png"


def build_page(
    metrics: dict[str, Any], found: Measurement, images: dict[str, bytes], extras: Extras
) -> str:
    """The HTML text of the report."""
    protocol, rows = metrics["protocol"], metrics["rows"]
    synthetic = protocol["benchmark"] == "counterfactual"
    lead = (
        f"{protocol['num_pairs']} pairs, split “{protocol['split']}”, "
        f"{protocol['resolution']} px. Benchmark: {protocol['benchmark']}. The people on this page "
        "were not used in training, and neither was the judge that measures."
        if synthetic
        else f"{protocol['num_pairs']} pairs of photographs, {protocol['resolution']} px. "
        f"Protocol: {protocol['protocol']}."
    )
    if protocol.get("judge_seen_in_training"):
        sections = [page.warning(SEEN_IN_TRAINING)]
    else:
        sections = []
    sections += [
        _summary(rows),
        _grid(images, extras, own_row(rows)),
        tables.figures(rows, () if synthetic else OF_PHOTOS),
        _trade(rows),
        tables.comparisons_table(metrics.get("comparisons", {}), own_row(rows)),
        gates.section(found, extras.group_names),
        tables.control_table(metrics.get("control", {})),
        tables.hard_pairs_table(rows),
        _tones(rows),
        tables.before_and_after(rows, extras.before),
        _training(extras),
        _protocol(protocol),
        page.section("Responsible use", NOTICE if synthetic else PHOTO_NOTICE, " "),
    ]
    version, revision = protocol["versions"]["alrl_jax"], protocol["git_revision"]
    footer = f"alrl_jax {version or ''}, revision {revision or 'unknown'}"
    return page.page("Face swapping: evaluation", lead, sections, footer)


def _summary(rows: dict[str, Any]) -> str:
    own = own_row(rows)
    if not {own, "target_image", "source_image"} <= rows.keys():
        return ""
    swap, target, source = rows[own], rows["target_image"], rows["source_image"]
    chosen = (
        ("identity_similarity", target, "untouched target"),
        ("pose_error_degrees", source, "untouched source"),
        ("face_psnr", target, "untouched target"),
        ("background_psnr", source, "untouched source"),
    )
    tiles = []
    for name, other, untouched in chosen:
        if swap[name] is None:
            continue
        unit = METRICS[name].unit
        better = "higher" if METRICS[name].higher_is_better else "lower"
        remark = f"{untouched}: {number(other[name])} ({better} is better)"
        tiles.append(page.tile(label(name), f"{number(swap[name])} {unit}", remark))
    return page.section(
        "At a glance",
        "The swap beside an untouched image, which does not swap at all.",
        f"<div class='tiles'>{''.join(tiles)}</div>" if tiles else "",
    )


def _grid(images: dict[str, bytes], extras: Extras, own: str) -> str:
    titles = columns_of(own)
    shown = [name for name in titles if file_name(name, 0) in images]
    others = sorted({name.rsplit("_", 1)[0] for name in images} - set(titles) - set(REFERENCE_ROWS))
    parts = [_image_table(shown, own, images, extras.before_images)]
    if others:
        table = _image_table(["source", "target", own, *others], own, images, {})
        parts.append(f"<details><summary>Other selections of codes</summary>{table}</details>")
    return page.section(
        "Images",
        "The first pairs of the benchmark, not chosen. The swap should show the person of the "
        "source with pose, expression, light and background of the target.",
        *parts,
    )


def _image_table(
    columns: Sequence[str],
    own: str,
    images: dict[str, bytes],
    before: dict[str, bytes],
) -> str:
    titles = columns_of(own)
    heads = [titles.get(name, name) for name in columns]
    if before:
        heads.insert(heads.index(titles[own]), "before training")
    lines = []
    i = 0
    while file_name("source", i) in images:
        cells = []
        for name in columns:
            if before and name == own:
                cells.append(_image(before.get(file_name(BEFORE, i)), "before training"))
            cells.append(_image(images.get(file_name(name, i)), titles.get(name, name)))
        lines.append(f"<tr>{''.join(cells)}</tr>")
        i += 1
    head = "".join(f"<th>{page.escape(title)}</th>" for title in heads)
    return f"<div class='scroll'><table class='grid'><tr>{head}</tr>{''.join(lines)}</table></div>"


def _image(content: bytes | None, label: str) -> str:
    if content is None:
        return "<td></td>"
    return f"<td><img src='{data_uri(content)}' alt='{page.escape(label)}'></td>"


def _trade(rows: dict[str, Any]) -> str:
    points = trade.trade_points(rows)
    if len(points) < 2:
        return ""
    return page.section(
        "Identity against pose",
        "The best place is that of the true swap, or above and left of it.",
        page.plots([trade.drawing(points, own_row(rows))]),
    )


def _tones(rows: dict[str, Any]) -> str:
    tones = rows.get(own_row(rows), {}).get("by_skin_tone")
    if not tones:
        return ""
    names = [name.replace("_", " ") for name in tones]
    notes = [f"{tone['count']} pairs" for tone in tones.values()]
    drawings = [
        svg.bars(
            f"{label(m)} {METRICS[m].unit}".strip(),
            names,
            [tone[m] for tone in tones.values()],
            notes,
            width=340,
        )
        for m in TONE_METRICS
        if any(tone[m] is not None for tone in tones.values())
    ]
    counts = ", ".join(f"{name} {note}" for name, note in zip(names, notes, strict=True))
    return page.section(
        "By skin tone of the target",
        f"The swap on targets of different skin tone ({counts}). All metrics and rows are "
        "in metrics.json.",
        page.plots(drawings),
    )


def _training(extras: Extras) -> str:
    names = sorted({name for line in extras.curves for name in line} - {"step"})
    drawings = []
    for name in names:
        points = [(line["step"] + 0.0, line[name] + 0.0) for line in extras.curves if name in line]
        if len(points) > 1:
            steps, values = zip(*points, strict=True)
            drawings.append(svg.curve(name, steps, values))
    samples = "".join(
        f"<h3>{page.escape(title)}</h3><img class='wide' src='{data_uri(content)}' "
        f"alt='{page.escape(title)}'>"
        for title, content in extras.samples.items()
    )
    return page.section(
        "Training", "Curves from the work directory.", page.plots(drawings), samples
    )


def _protocol(protocol: dict[str, Any]) -> str:
    plain = [(key, str(v)) for key, v in protocol.items() if isinstance(v, str | int | float)]
    judges = tables.judges_table(protocol["judges"]) if "judges" in protocol else ""
    notes = page.definitions(list(protocol.get("notes", {}).items()))
    return page.section(
        "Protocol",
        "Figures compare only where all of this is the same.",
        page.definitions([(key.replace("_", " "), value) for key, value in plain]),
        f"<h3>The judges</h3>{judges}" if judges else "",
        f"<h3>How it is measured</h3>{notes}",
        "<details><summary>All of it</summary>"
        f"<pre>{page.escape(json.dumps(protocol, indent=2))}</pre></details>",
    )
