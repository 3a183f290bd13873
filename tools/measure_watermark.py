"""Measures what the invisible mark survives, and how often it is seen where there is none.

    python -m tools.measure_watermark --output=DIR [--renders=24] [--null_renders=1000] [--crops=20]

Pictures: renders of the procedural world, and those that scikit-image ships, portraits left out.
``DIR/watermark.json`` gets the attack matrix (a trial counts where the whole payload comes back)
and the null distribution: the largest z of pictures without a mark, over all scales and offsets
that the detector tries.
"""

import datetime
import io
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from alrl_jax import command_line, payload_code, provenance, synthetic, watermark
from alrl_jax.errors import UserError

Picture = UInt8[np.ndarray, "h w 3"]
Attack = Callable[[Picture, np.random.Generator], Picture]

SIDE = 256
PICTURES = (
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "moon",
    "page",
    "retina",
    "rocket",
    "text",
)
"""Of scikit-image's own files. No picture is ever written out."""


def jpeg(picture: Picture, quality: int) -> Picture:
    """Encoded and decoded again."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        return np.asarray(image.convert("RGB"))


def resize(picture: Picture, factor: float) -> Picture:
    """Bicubic, both sides by the same factor."""
    height, width = (max(1, round(side * factor)) for side in picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


def crop(picture: Picture, share: float, rng: np.random.Generator) -> Picture:
    """A random part whose sides are ``share`` of the picture's."""
    sides = [round(side * share) for side in picture.shape[:2]]
    top, left = (
        rng.integers(whole - part + 1) for whole, part in zip(picture.shape[:2], sides, strict=True)
    )
    return picture[top : top + sides[0], left : left + sides[1]]


def tones(picture: Picture, brightness: float, contrast: float) -> Picture:
    """Brightness as a share of the whole range; contrast about its middle."""
    changed = (picture.astype(np.float32) - 127.5) * contrast + 127.5 + 255 * brightness
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


ATTACKS: dict[str, Attack] = {
    "none": lambda picture, rng: picture,
    "JPEG, quality 70": lambda picture, rng: jpeg(picture, 70),
    "resize 0.5x": lambda picture, rng: resize(picture, 0.5),
    "resize, random 0.5x to 2x": lambda picture, rng: resize(picture, 2 ** rng.uniform(-1, 1)),
    "resize 2x": lambda picture, rng: resize(picture, 2.0),
    "crop, 20% of the area": lambda picture, rng: crop(picture, math.sqrt(0.8), rng),
    "crop, 20% of each side": lambda picture, rng: crop(picture, 0.8, rng),
    "brightness +15%": lambda picture, rng: tones(picture, 0.15, 1.0),
    "brightness -15%": lambda picture, rng: tones(picture, -0.15, 1.0),
    "contrast +15%": lambda picture, rng: tones(picture, 0.0, 1.15),
    "contrast -15%": lambda picture, rng: tones(picture, 0.0, 0.85),
    "crop, 20% of each side, then JPEG 70": lambda p, rng: jpeg(crop(p, 0.8, rng), 70),
}


def rendered(count: int, side: int, batch: int, seed: int) -> Iterator[Picture]:
    """Faces of the procedural world."""

    def draw(key: jax.Array) -> jax.Array:
        people = synthetic.sample_identities(key, batch)
        attributes = synthetic.sample_attributes(jax.random.fold_in(key, 1), batch)
        return synthetic.render(people, attributes, side).image

    drawn = jax.jit(draw)
    for start in tqdm(range(0, count, batch), desc=f"render {side} px"):
        images = np.asarray(drawn(jax.random.fold_in(jax.random.key(seed), start)))
        for image in images[: count - start]:
            yield np.clip(np.rint((image + 1) * 127.5), 0, 255).astype(np.uint8)


def photographs() -> dict[str, Picture]:
    """scikit-image's pictures, cut square, ``SIDE`` px.

    Raises:
        UserError: scikit-image is not installed.
    """
    try:
        import skimage.data
    except ImportError:
        raise UserError(
            "got no scikit-image; expected its pictures; do pip install 'alrl_jax[photos]'"
        ) from None
    found = {}
    for name in PICTURES:
        values = np.asarray(getattr(skimage.data, name)())
        image = Image.fromarray(values).convert("RGB")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side))
        found[name] = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    return found


def attack_matrix(pictures: dict[str, Picture], trials: int) -> dict[str, Any]:
    """How many payloads come back after each attack, and what marking cost."""
    rows = {name: {"pictures": 0, "decoded": 0, "smallest_z": math.inf} for name in ATTACKS}
    failed: dict[str, list[str]] = {}
    costs = []
    for number, (title, picture) in enumerate(tqdm(pictures.items(), desc="attack")):
        for trial in range(trials):
            rng = np.random.default_rng((number, trial))
            hexadecimal = f"{int(rng.integers(2**32)):08x}"
            payload = payload_code.make_payload(hexadecimal, datetime.date(2026, 11, 23))
            marked = watermark.embed(picture, payload)
            costs.append(watermark.psnr(picture, marked))
            for name, attack in ATTACKS.items():
                found = watermark.detect(attack(marked, rng))
                right = found.payload == payload
                rows[name]["pictures"] += 1
                rows[name]["decoded"] += right
                rows[name]["smallest_z"] = min(rows[name]["smallest_z"], round(found.z, 2))
                if not right:
                    failed.setdefault(title, []).append(name)
    psnr = {"min": min(costs), "mean": float(np.mean(costs))}
    return {"psnr": psnr, "attacks": rows, "failed": failed}


def null_distribution(pictures: dict[str, Picture], crops: int) -> dict[str, Any]:
    """z of crops and rescales of pictures without a mark."""
    values = []
    marked = 0
    for number, picture in enumerate(tqdm(pictures.values(), desc="null")):
        rng = np.random.default_rng((1, number))
        for _ in range(crops):
            part = resize(crop(picture, rng.uniform(0.5, 1), rng), rng.uniform(0.5, 2))
            found = watermark.detect(part)
            marked += found.marked
            values.append(found.z)
    shares = {f"{q:g}": float(np.quantile(values, q)) for q in (0.5, 0.9, 0.99, 0.999)}
    return {
        "pictures": len(values),
        "marked": marked,
        "threshold": watermark.THRESHOLD,
        "largest_z": max(values),
        "quantiles_of_z": shares,
        "mean_z": float(np.mean(values)),
        "standard_deviation_of_z": float(np.std(values)),
    }


def main(_: list[str]) -> int:
    """Measures what the flags say."""
    values = flags.FLAGS
    output = Path(values.output)
    output.mkdir(parents=True, exist_ok=True)
    faces = {f"render {i}": p for i, p in enumerate(rendered(values.renders, SIDE, 4, 0))}
    photos = photographs()
    results: dict[str, Any] = {
        "false_positive_bound": watermark.FALSE_POSITIVES,
        "renders": attack_matrix(faces, values.trials) if faces else None,
        "photographs": attack_matrix(photos, values.trials),
    }
    provenance.write_json(output / "watermark.json", results)
    small = rendered(values.null_renders, 64, 50, 1)
    others = {f"render {i}": p for i, p in enumerate(small)}
    results["null_renders"] = null_distribution(others, values.crops) if others else None
    results["null_photographs"] = null_distribution(photos, values.crops)
    provenance.write_json(output / "watermark.json", results)
    print(json.dumps(results, indent=2))
    return 0


def cli() -> None:
    """Defines the flags and runs."""
    flags.DEFINE_string("output", None, "Directory of the figures.", required=True)
    flags.DEFINE_integer("renders", 24, "Rendered faces that are marked.", lower_bound=0)
    flags.DEFINE_integer("trials", 2, "Payloads tried with each picture.", lower_bound=1)
    flags.DEFINE_integer("null_renders", 1000, "Faces looked at unmarked, 64 px.", lower_bound=0)
    flags.DEFINE_integer("crops", 20, "Crops and rescales of each unmarked one.", lower_bound=1)
    command_line.run(main)


if __name__ == "__main__":
    cli()
