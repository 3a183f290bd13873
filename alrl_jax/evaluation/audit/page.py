"""The page of an audit: figures, what each means, and a contact sheet of the results."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw

from alrl_jax.evaluation.report.page import (
    definitions,
    escape,
    line,
    page,
    section,
    table,
    tile,
    warning,
)
from alrl_jax.photos.alignment import Pixels

SIDE = 320
"""Longer side of a picture on the sheet, px."""
COLOURS = {
    "replaced": (30, 140, 70),
    "hidden": (200, 140, 0),
    "left": (200, 30, 30),
    None: (90,) * 3,
}
"""Of the box of a face, by what became of it."""
MEANINGS = (
    ("replaced", "the middle of the face changed, and a finder sees a face in the result there"),
    ("hidden", "it changed, and no finder sees a face there"),
    ("left", "it did not change: the original is shown"),
    ("rank 1", "share of results whose nearest original is of the same person"),
    (
        "TAR at FAR 1%",
        "share of results that are taken for their own original, at the threshold which 1% of the "
        "pairs of different people of the originals pass",
    ),
    ("strangers", "the same error between one original and another: what is not kept at all"),
)


def thumbnail(pixels: Pixels, faces: Sequence[Mapping[str, Any]]) -> str:
    """A picture for the page, with the boxes of its faces, as an address of data."""
    scale = min(1.0, SIDE / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    image = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(image)
    for face in faces:
        box = [edge * scale for edge in face["box"]]
        if box[2] > box[0] and box[3] > box[1]:
            draw.rectangle(box, outline=COLOURS[face["outcome"]], width=2)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def page_of(audit: Mapping[str, Any], sheet: Sequence[Mapping[str, Any]]) -> str:
    """The page, which loads nothing from elsewhere.

    Args:
        audit: what ``audit.json`` holds.
        sheet: of every picture that is shown its ``record``, its ``result`` and, where originals
            may be on the page, its ``original``: addresses of data, or None.
    """
    counts = audit["counts"]
    left, faults = counts["left"], counts["faults"]
    warnings = [warning(f"{left} faces of originals are shown as they were.")] if left else []
    if faults:
        warnings.append(warning(f"{faults} pictures could not be looked at in full."))
    warnings += [warning(note) for note in audit["protocol"]["warnings"]]
    lead = f"{counts['pictures']} originals, {counts['shown']} results"
    parts = [*warnings, _overview(audit), _attributes(audit), _sheet(sheet), _protocol(audit)]
    return page("Audit of a de-identified folder", lead, parts, "alrl audit")


def _share(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "not measured"
    low, high = found["ci95"]
    return f"{found['value']:.1%} ({low:.1%} to {high:.1%})"


def _overview(audit: Mapping[str, Any]) -> str:
    counts, found = audit["counts"], audit["reidentification"] or {}
    of = f"of {counts['before_in_shown']} faces in pictures that are shown"
    tiles = [tile(name, str(counts[name]), of) for name in ("replaced", "hidden", "left")]
    chance = found.get("rank1_by_chance")
    remark = "" if chance is None else f"by chance {chance:.2%}; intervals of 95%"
    tiles.append(tile("found again (rank 1)", _share(found.get("rank1")), remark))
    for name in ("0.1%", "1%"):
        share = found.get(f"tar_at_far_{name}") or {"value": None}
        tiles.append(tile(f"TAR at FAR {name}", _share(share), str(share.get("reason") or "")))
    body = f"<div class='tiles'>{''.join(tiles)}</div>"
    return section("What became of the faces", "By a finder and a judge beside the model.", body)


def _attributes(audit: Mapping[str, Any]) -> str:
    kept = audit["attributes"]
    if kept is None:
        return ""
    lines = []
    for name, found in kept.items():
        value, interval, other = found["value"], found["ci95"], found["strangers"]
        error = "" if value is None else f"{value:.3g}"
        between = "" if interval is None else f"{interval[0]:.3g} to {interval[1]:.3g}"
        lines.append(line([escape(name), error, between, "" if other is None else f"{other:.3g}"]))
    head = ["attribute", "error", "95% interval", "strangers"]
    text = "Errors of replaced faces to their originals, as the judge reads both."
    return section("What is kept", text, table(head, lines))


def _sheet(sheet: Sequence[Mapping[str, Any]]) -> str:
    cells = []
    for entry in sheet:
        record = entry["record"]
        counted = ", ".join(f"{record[n]} {n}" for n in ("replaced", "hidden", "left") if record[n])
        parts = [f"<b>{escape(record['original'])}</b><i>{escape(counted or 'no face')}</i>"]
        if record["fault"]:
            parts.append(f"<i>{escape(record['fault'])}</i>")
        if entry["result"] is None:
            parts.append(f"<i>not shown ({escape(record['action'] or record['status'] or '')})</i>")
        else:
            parts.append(f"<img src='{entry['result']}' alt='result'>")
        if entry["original"] is not None:
            shown = f"<img src='{entry['original']}' alt='original'>"
            parts.append(f"<details><summary>original</summary>{shown}</details>")
        cells.append(f"<div class='tile'>{''.join(parts)}</div>")
    text = "Green: replaced; yellow: hidden; red: left, such pictures first."
    return section("Contact sheet", text, f"<div class='tiles'>{''.join(cells)}</div>")


def _protocol(audit: Mapping[str, Any]) -> str:
    items = [(name, str(value)) for name, value in audit["protocol"].items() if name != "warnings"]
    return section("How it was measured", "", definitions([*MEANINGS, *items]))
