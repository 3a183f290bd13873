"""The page of an audit: figures, what each means, and a contact sheet of the results."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from PIL import Image, ImageDraw

from alrl_jax.evaluation.report import page
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
    notes = [f"{left} faces of originals are shown as they were."] if left else []
    if faults:
        notes.append(f"{faults} pictures could not be looked at in full.")
    warnings = [page.warning(note) for note in [*notes, *audit["protocol"]["warnings"]]]
    lead = f"{counts['pictures']} originals, {counts['shown']} results"
    parts = [*warnings, _overview(audit), _attributes(audit), _sheet(sheet), _protocol(audit)]
    return page.page("Audit of a de-identified folder", lead, parts, "alrl audit")


def _share(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "not measured"
    low, high = found["ci95"]
    return f"{found['value']:.1%} ({low:.1%} to {high:.1%})"


def _overview(audit: Mapping[str, Any]) -> page.Section | None:
    counts, found = audit["counts"], audit["reidentification"] or {}
    of = (f"of {counts['before_in_shown']} faces in pictures that are shown",)
    tiles = [page.Tile(name, str(counts[name]), of) for name in ("replaced", "hidden", "left")]
    chance = found.get("rank1_by_chance")
    remarks = () if chance is None else (f"by chance {chance:.2%}; intervals of 95%",)
    tiles.append(page.Tile("found again (rank 1)", _share(found.get("rank1")), remarks))
    for name in ("0.1%", "1%"):
        share = found.get(f"tar_at_far_{name}") or {"value": None}
        reasons = tuple(filter(None, [share.get("reason")]))
        tiles.append(page.Tile(f"TAR at FAR {name}", _share(share), reasons))
    lead = "By a finder and a judge beside the model."
    return page.section("What became of the faces", lead, page.tiles(tiles))


def _attributes(audit: Mapping[str, Any]) -> page.Section | None:
    lines = []
    for name, found in (audit["attributes"] or {}).items():
        value, interval, other = found["value"], found["ci95"], found["strangers"]
        error = "" if value is None else f"{value:.3g}"
        between = "" if interval is None else f"{interval[0]:.3g} to {interval[1]:.3g}"
        strangers = "" if other is None else f"{other:.3g}"
        lines.append(page.Line([name, page.Cell(error, order=value), between, strangers]))
    head = ["attribute", "error", "95% interval", "strangers"]
    lead = "Errors of replaced faces to their originals, as the judge reads both."
    return page.section("What is kept", lead, page.table("Errors by attribute", head, lines))


def _sheet(sheet: Sequence[Mapping[str, Any]]) -> page.Section | None:
    shown = [entry for entry in sheet if entry["result"] is not None]
    results = [page.Picture(e["result"], _caption(e["record"]), "result") for e in shown]
    originals = [
        page.Picture(e["original"], e["record"]["original"], "original")
        for e in sheet
        if e["original"] is not None
    ]
    lead = "Green: replaced; yellow: hidden; red: left, such pictures first."
    hidden = page.details("Originals", page.pictures(originals)) if originals else None
    withheld = [_withheld(e["record"]) for e in sheet if e["result"] is None]
    head = ["original", "became", "faces", "fault"]
    pictures: list[Markup | None] = [page.pictures(results) if results else None, hidden]
    without = page.table("Pictures that are not shown", head, withheld)
    return page.section("Contact sheet", lead, *pictures, without)


def _caption(record: Mapping[str, Any]) -> str:
    fault = f"; {record['fault']}" if record["fault"] else ""
    return f"{record['original']}: {_counted(record)}{fault}"


def _counted(record: Mapping[str, Any]) -> str:
    names = ("replaced", "hidden", "left")
    return ", ".join(f"{record[n]} {n}" for n in names if record[n]) or "no face"


def _withheld(record: Mapping[str, Any]) -> page.Line:
    became = record["action"] or record["status"] or ""
    return page.Line([record["original"], became, _counted(record), record["fault"] or ""])


def _protocol(audit: Mapping[str, Any]) -> page.Section | None:
    items = [(name, str(value)) for name, value in audit["protocol"].items() if name != "warnings"]
    return page.section("How it was measured", "", page.definitions([*MEANINGS, *items]))
