"""What the page shows, as HTML: pictures that carry their provenance, gates, reasons.

Pictures stand in the page itself: none of them has an address from which another user could fetch
it. Everything that comes from files, models or users is escaped.
"""

import base64
import html
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from alrl_jax.app.pictures import to_bytes
from alrl_jax.app.swaps import Gates, Swap
from alrl_jax.photos.face_photos import FacePhoto
from alrl_jax.provenance import image_metadata
from alrl_jax.utils.printing import one_line

LONGEST_SIDE = 640
"""Pixels of a photo on the page; the files to download have them all."""
VIDEOS = (".mp4", ".mov", ".m4v", ".webm", ".mkv")
_BOX = (255, 122, 0)
SAID = {
    "digitalSourceType": "IPTC source type",
    "tool": "made by",
    "version": "version",
    "modelSHA256": "weights (SHA-256)",
    "time": "time",
}


def escape(text: Any) -> str:
    """Text that is shown as it is."""
    return html.escape(one_line(str(text), 400), quote=True)


def reason(text: str) -> str:
    """Why something was not done; screen readers read it out."""
    return f'<p class="alrl-reason" role="alert">{escape(text)}</p>'


def note(text: str) -> str:
    """What was done, or is being done."""
    return f'<p class="alrl-note" role="status">{escape(text)}</p>' if text else ""


def figure(
    pixels: UInt8[np.ndarray, "h w c"],
    caption: str,
    described: str,
    fields: Mapping[str, str] | None = None,
    kind: str = "",
) -> str:
    """A picture with its caption.

    Args:
        pixels: grey or RGB.
        caption: below it.
        described: what it shows, for who does not see it.
        fields: provenance, for its metadata; None of a photo as it was.
        kind: a class of the style sheet.
    """
    file = image_metadata.png_bytes(pixels, fields or {})
    data = base64.b64encode(file).decode()
    return (
        f'<figure class="alrl-figure {escape(kind)}"><img alt="{escape(described)}" '
        f'src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def strip(figures: Sequence[str]) -> str:
    """Pictures side by side; they wrap where the screen is narrow."""
    return f'<div class="alrl-strip">{"".join(figures)}</div>'


def smaller(pixels: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """A photo as the page shows it: RGB of 8 bits, at most ``LONGEST_SIDE`` along a side."""
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if max(pixels.shape[:2]) <= LONGEST_SIDE:
        return np.ascontiguousarray(pixels[..., :3])
    image = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)


def chosen(photo: FacePhoto, name: str, side: str, fields: Mapping[str, str] | None = None) -> str:
    """A photo that was chosen, its faces framed.

    Args:
        photo: with all its faces.
        name: for the screen.
        side: ``source`` or ``target``.
        fields: provenance, of an invented one.
    """
    assert photo.photo is not None
    pixels = smaller(_framed(photo)).copy()
    count = len(photo.faces)
    faces = "a face crop" if photo.faces[0].found is None else f"{count} face{'s'[: count > 1]}"
    return figure(pixels, f"{name} · {faces}", f"The {side}: {name}, {faces}", fields)


def _framed(photo: FacePhoto) -> UInt8[np.ndarray, "h w 3"]:
    """A photo with a frame around every face that was found."""
    assert photo.photo is not None
    pixels = photo.photo.seen.copy()
    height, width = pixels.shape[:2]
    thick = max(2, max(height, width) // 200)
    for face in photo.faces:
        if face.found is None:
            continue
        edges = np.clip(face.found.box, 0, (width - 1, height - 1) * 2).astype(int).tolist()
        left, top, right, bottom = edges
        pixels[top : top + thick, left:right] = _BOX
        pixels[max(0, bottom - thick) : bottom, left:right] = _BOX
        pixels[top:bottom, left : left + thick] = _BOX
        pixels[top:bottom, max(0, right - thick) : right] = _BOX
    return pixels


def result(swap: Swap) -> str:
    """The photo with its faces swapped, and what speaks against it."""
    pixels = swap.photo.pixels
    size = f"{pixels.shape[1]} x {pixels.shape[0]} px"
    shown = figure(smaller(pixels), f"swap · {size}", "The swap", swap.photo.fields, "alrl-main")
    doubtful = swap.job.facts.get("doubtful")
    similarity = swap.job.facts.get("identity_similarity")
    said = f"cosine {similarity:.2f} of the identities of source and result, by the model's own "
    said = said + "identity net" if similarity is not None else "no figure of identity"
    words = [note(f"{said}; {swap.seconds:.2f} s")]
    words += [reason(f"doubtful: {doubtful}")] if doubtful else []
    words += [note(f"refined: {steps}") for steps in _refined(swap)]
    return shown + "".join(words)


def _refined(swap: Swap) -> list[str]:
    """What the optimisation did to its losses, a line for each face."""
    lines = []
    for facts in swap.job.facts.get("optimised") or []:
        before, after = facts["before"], facts["after"]
        losses = [f"{name} {before[name]} to {after[name]}" for name in before if name in after]
        lines.append(f"{facts['steps']} steps; {', '.join(losses)}")
    return lines


def parts(swap: Swap) -> str:
    """What a swap is made of: both crops, the generated face, the mask, the blend."""
    job, fields = swap.job, swap.photo.fields
    source, target = job.places[0]
    face = job.swapped[0]
    generated = {**fields, "digitalSourceType": image_metadata.GENERATED_SOURCE_TYPE}
    mask = np.rint(255 * np.clip(face.mask, 0, 1)).astype(np.uint8)
    share = f"{float(face.mask.mean()):.0%}"
    return strip(
        [
            figure(to_bytes(source.crop), "source", "The crop of the source's face"),
            figure(to_bytes(target.crop), "target", "The crop of the target's face"),
            figure(
                to_bytes(face.generated),
                "generated face",
                "What the generator drew",
                generated,
            ),
            figure(
                mask,
                f"mask · {share}",
                f"The mask, white where the generated face counts: {share} of the crop",
                generated,
            ),
            figure(to_bytes(swap.image), "swap", "The generated face in the target", fields),
        ]
    )


def gates(shown: Gates, refused: str | None) -> str:
    """Which codes came from which face: by layer, by attribute, in space.

    Args:
        shown: the gates of a pair.
        refused: why nothing is said by attribute; None where it is.
    """
    names = layer_names(len(shown.layers))
    shares = [("pose code 4²", shown.pose), *zip(names, shown.layers.tolist(), strict=True)]
    lines = [
        f'<tr><th scope="row">{escape(name)}</th><td><span class="alrl-bar">'
        f'<span style="width:{100 * share:.0f}%"></span></span></td><td>{share:.2f}</td></tr>'
        for name, share in shares
    ]
    heads = "<th scope='col'>codes</th><th scope='col'>from the source</th><th scope='col'>share"
    by_layer = (
        '<h3>By layer</h3><div class="alrl-scroll"><table class="alrl-table"><thead><tr>'
        f"{heads}</th></tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )
    return (
        '<p>1: the code came from the source; 0: from the target.</p><div class="alrl-gates">'
        f"<section>{by_layer}</section><section>{_by_group(shown, refused)}</section>"
        f"<section>{_in_space(shown)}</section></div>"
    )


def _by_group(shown: Gates, refused: str | None) -> str:
    """A table of layers and attribute groups, darker where more came from the source."""
    title = "<h3>By attribute</h3>"
    if shown.by_group is None:
        why = refused or "this selection decides nothing by attribute"
        return f"{title}<p>{escape(why)}.</p>"
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in shown.groups)
    lines = []
    for name, shares in zip(layer_names(len(shown.layers)), shown.by_group, strict=True):
        cells = "".join(
            f'<td style="--share:{float(share):.2f}">{float(share):.2f}</td>' for share in shares
        )
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return (
        f'{title}<div class="alrl-scroll" tabindex="0" role="region" '
        'aria-label="Gates by attribute">'
        f'<table class="alrl-table alrl-heat"><thead><tr><th scope="col">layer</th>{heads}</tr>'
        f"</thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _in_space(shown: Gates) -> str:
    """Maps of how much of the target's features every pixel keeps."""
    title = "<h3>In space</h3>"
    if not shown.space:
        return f"{title}<p>This model's generator takes no features of the target.</p>"
    maps = [
        figure(
            np.rint(255 * np.clip(kept, 0, 1)).astype(np.uint8)[..., None],
            f"{side} px · {float(kept.mean()):.2f}",
            f"Share of the target's features kept at {side} px, white for all; "
            f"{float(kept.mean()):.2f} on average",
            kind="alrl-sharp",
        )
        for side, kept in sorted(shown.space.items())
    ]
    return title + strip(maps)


def layer_names(layers: int) -> list[str]:
    """W+ layers with the side of the maps that they style, which starts at 4 and doubles."""
    sides = [4 * 2 ** min((i + 1) // 2, layers // 2 - 1) for i in range(layers)]
    return [f"layer {i} · {side}²" for i, side in enumerate(sides)]


def provenance(swap: Swap) -> str:
    """What the result says of itself, in its metadata and in its pixels."""
    mark = swap.photo.watermark
    lines = {SAID[name]: value for name, value in swap.photo.fields.items() if name in SAID}
    read = {
        True: "can be read",
        False: "too faint to be read",
        None: "files to download are looked at whether it can be read",
    }
    marked = f"put in, {read[mark['readable']]}" if mark["marked"] else f"none: {mark['reason']}"
    lines["invisible mark"] = marked
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in lines.items()
    )
    return (
        "<p>Every result says that a trained algorithm made it. Leave that in, and say so in words "
        "wherever you show one.</p>"
        f'<div class="alrl-scroll"><table class="alrl-table"><tbody>{rows}</tbody></table></div>'
    )


def comparison(swaps: Mapping[str, Swap], own: str) -> str:
    """The swaps of several selections, side by side.

    Args:
        swaps: by the selection's name, in order.
        own: the model's own selection.
    """
    figures = []
    for name, swap in swaps.items():
        similarity = swap.job.facts.get("identity_similarity")
        words = f"{name}{' (its own)' if name == own else ''}"
        words += "" if similarity is None else f" · cosine {similarity:.2f}"
        described = f"The swap by the selection {name}"
        figures.append(figure(to_bytes(swap.image), words, described, swap.photo.fields))
    return strip(figures)


def preview(image: Float[np.ndarray, "r r 3"], step: int, steps: int, sha256: str) -> str:
    """The face that a search has found so far."""
    fields = image_metadata.metadata(sha256, image_metadata.GENERATED_SOURCE_TYPE)
    caption = f"refining · step {step} of {steps}"
    return figure(to_bytes(image), caption, "The face so far", fields, "alrl-main")


def progress(done: int, total: int | None, words: str) -> str:
    """How far a queue is."""
    most = f' max="{total}" value="{done}"' if total else ""
    count = f"{done} of {total}" if total else f"{done}"
    return (
        f'<div class="alrl-progress" role="status"><progress aria-label="{escape(words)}"{most}>'
        f"</progress><span>{escape(words)} · {count}</span></div>"
    )


def player(files: Sequence[str]) -> str:
    """The video among the files of a queue; empty where there is none."""
    videos = [path for path in files if Path(path).suffix in VIDEOS]
    return "".join(
        f'<video class="alrl-video" controls aria-label="The swapped video" '
        f'src="gradio_api/file={escape(urllib.parse.quote(path))}"></video>'
        for path in videos
    )


def listed(lines: Sequence[tuple[str, str, str]]) -> str:
    """What became of every photo of a queue: name, status, reason."""
    if not lines:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(status)}</td>'
        f"<td>{escape(why)}</td></tr>"
        for name, status, why in lines
    )
    return (
        '<div class="alrl-scroll" tabindex="0" role="region" aria-label="Results"><table '
        'class="alrl-table"><thead><tr><th scope="col">photo</th><th scope="col">status</th>'
        f'<th scope="col">reason</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )
