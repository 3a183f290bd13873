"""Measures what the invisible mark survives, and how often it is seen where there is none.

    python -m tools.bench.measure_watermark --output=DIR [--renders=24] [--trials=2]
        [--null_renders=1000] [--crops=20] [--render_crops=1] [--seconds=0]

Images: renders of the procedural world, and those that scikit-image ships, portraits left out.
``DIR/watermark.json`` gets the attack matrix (a trial counts where the whole payload comes back)
and the null distribution: the largest z of images without a mark, over all scales and offsets
that the detector tries. Every trial is a line of ``DIR/trials.jsonl`` as soon as it is over: a run
that was stopped, or whose time ran out (exit status 3), goes on when it is started again.
"""

import datetime
import io
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from alrl_jax.errors import UserError
from alrl_jax.provenance.watermark import codec, payload_code
from alrl_jax.utils import command_line
from alrl_jax.utils.files import write_json
from alrl_jax.utils.opening import open_image
from alrl_jax.worlds import primitives

Pixels = UInt8[np.ndarray, "h w 3"]
Attack = Callable[[Pixels, np.random.Generator], Pixels]

SIDE = 256
PHOTOGRAPHS = (
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
"""Of scikit-image's own files. No image is ever written out."""


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """Encoded and decoded again."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    with open_image(buffer.getvalue()) as image:
        return np.asarray(image.convert("RGB"))


def resize(pixels: Pixels, factor: float) -> Pixels:
    """Bicubic, both sides by the same factor."""
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def crop(pixels: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """A random part whose sides are ``share`` of the image's."""
    sides = [round(side * share) for side in pixels.shape[:2]]
    top, left = (
        rng.integers(whole - part + 1) for whole, part in zip(pixels.shape[:2], sides, strict=True)
    )
    return pixels[top : top + sides[0], left : left + sides[1]]


def tones(pixels: Pixels, brightness: float, contrast: float) -> Pixels:
    """Brightness as a share of the whole range; contrast about its middle."""
    changed = (pixels.astype(np.float32) - 127.5) * contrast + 127.5 + 255 * brightness
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


ATTACKS: dict[str, Attack] = {
    "none": lambda pixels, rng: pixels,
    "JPEG, quality 70": lambda pixels, rng: jpeg(pixels, 70),
    "resize 0.5x": lambda pixels, rng: resize(pixels, 0.5),
    "resize, random 0.5x to 2x": lambda pixels, rng: resize(pixels, 2 ** rng.uniform(-1, 1)),
    "resize 2x": lambda pixels, rng: resize(pixels, 2.0),
    "crop, 20% of the area": lambda pixels, rng: crop(pixels, math.sqrt(0.8), rng),
    "crop, 20% of each side": lambda pixels, rng: crop(pixels, 0.8, rng),
    "brightness +15%": lambda pixels, rng: tones(pixels, 0.15, 1.0),
    "brightness -15%": lambda pixels, rng: tones(pixels, -0.15, 1.0),
    "contrast +15%": lambda pixels, rng: tones(pixels, 0.0, 1.15),
    "contrast -15%": lambda pixels, rng: tones(pixels, 0.0, 0.85),
    "crop, 20% of each side, then JPEG 70": lambda p, rng: jpeg(crop(p, 0.8, rng), 70),
}


def rendered(
    count: int, side: int, batch: int, seed: int, wanted: Callable[[int], bool]
) -> Iterator[tuple[int, Pixels]]:
    """Faces of the procedural world, by number; those that are not wanted are left out."""

    def draw(key: jax.Array) -> jax.Array:
        people = primitives.sample_identities(key, batch)
        attributes = primitives.sample_attributes(jax.random.fold_in(key, 1), batch)
        return primitives.render(people, attributes, side).image

    drawn = jax.jit(draw)
    for start in range(0, count, batch):
        numbers = [n for n in range(start, min(start + batch, count)) if wanted(n)]
        if not numbers:
            continue
        images = np.asarray(drawn(jax.random.fold_in(jax.random.key(seed), start)))
        for n in numbers:
            pixels = np.clip(np.rint((images[n - start] + 1) * 127.5), 0, 255)
            yield n, pixels.astype(np.uint8)


def photographs() -> dict[str, Pixels]:
    """scikit-image's images, cut square, ``SIDE`` px.

    Raises:
        UserError: scikit-image is not installed.
    """
    try:
        import skimage.data
    except ImportError:
        raise UserError(
            "got no scikit-image; expected its images; do pip install 'alrl_jax[photos]'"
        ) from None
    found = {}
    for name in PHOTOGRAPHS:
        values = np.asarray(getattr(skimage.data, name)())
        image = Image.fromarray(values).convert("RGB")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side))
        found[name] = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    return found


def attacked(number: int, pixels: Pixels, trial: int) -> dict[str, Any]:
    """What each attack leaves of one mark: its z, and whether the whole payload comes back."""
    rng = np.random.default_rng((number, trial))
    model = f"{int(rng.integers(2**32)):08x}"
    payload = payload_code.make_payload(model, datetime.date(2026, 11, 23))
    marked = codec.embed(pixels, payload)
    record: dict[str, Any] = {"psnr": codec.psnr(pixels, marked), "z": {}, "decoded": {}}
    for name, attack in ATTACKS.items():
        found = codec.detect(attack(marked, rng))
        record["z"][name] = round(found.z, 2)
        record["decoded"][name] = found.payload == payload
    return record


def unmarked(number: int, pixels: Pixels, crops: int) -> dict[str, Any]:
    """z of crops and rescales of an image without a mark."""
    rng = np.random.default_rng((1, number))
    parts = (
        resize(crop(pixels, rng.uniform(0.5, 1), rng), rng.uniform(0.5, 2)) for _ in range(crops)
    )
    found = [codec.detect(part) for part in parts]
    return {"z": [round(f.z, 3) for f in found], "marked": sum(f.marked for f in found)}


def attack_table(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many payloads come back after each attack, and what marking cost."""
    rows = {}
    failed: dict[str, list[str]] = {}
    for name in ATTACKS:
        decoded = [record["decoded"][name] for record in records]
        smallest = min(record["z"][name] for record in records)
        rows[name] = {"pictures": len(records), "decoded": sum(decoded), "smallest_z": smallest}
        for record, right in zip(records, decoded, strict=True):
            if not right:
                failed.setdefault(record.get("picture", ""), []).append(name)
    costs = [record["psnr"] for record in records]
    psnr = {"min": min(costs), "mean": float(np.mean(costs))}
    return {"psnr": psnr, "attacks": rows, "failed": failed}


def null_table(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The distribution of z of images without a mark."""
    values = [z for record in records for z in record["z"]]
    shares = {f"{q:g}": float(np.quantile(values, q)) for q in (0.5, 0.9, 0.99, 0.999)}
    return {
        "pictures": len(values),
        "marked": sum(record["marked"] for record in records),
        "threshold": codec.THRESHOLD,
        "largest_z": max(values),
        "quantiles_of_z": shares,
        "mean_z": float(np.mean(values)),
        "standard_deviation_of_z": float(np.std(values)),
    }


class Trials:
    """``trials.jsonl``: what was measured, a line a trial; a run goes on where one was stopped.

    Args:
        path: of the file.
        seconds: after which the run ends, from its first trial on; 0 for no end.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds or math.inf
        self._begin: float | None = None
        lines = path.read_text().splitlines() if path.exists() else []
        self.records: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self._known = {(r["part"], r["picture"], r["trial"]) for r in self.records}

    def __contains__(self, trial: tuple[str, str, int]) -> bool:
        return trial in self._known

    @property
    def is_over(self) -> bool:
        """Whether the time has run out."""
        return self._begin is not None and time.monotonic() - self._begin > self._seconds

    def add(self, part: str, name: str, trial: int, record: dict[str, Any]) -> None:
        """Writes a trial down."""
        self._begin = self._begin or time.monotonic()
        record = {"part": part, "picture": name, "trial": trial, **record}
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self.records.append(record)

    def of(self, part: str) -> list[dict[str, Any]]:
        """All trials of a part."""
        return [record for record in self.records if record["part"] == part]


def remaining(trials: Trials, values: Any) -> Iterator[tuple[str, str, int, Pixels]]:
    """Part, name, number and pixels of what is still to be looked at."""

    def faces(part: str, count: int, side: int, batch: int, last: int) -> Iterator[Any]:
        def missing(number: int) -> bool:
            return (part, f"render {number}", last) not in trials

        seed = 1 if part.startswith("null") else 0
        for n, pixels in rendered(count, side, batch, seed, missing):
            yield part, f"render {n}", n, pixels

    def photos(part: str, last: int) -> Iterator[Any]:
        for n, (name, pixels) in enumerate(photographs().items()):
            if (part, name, last) not in trials:
                yield part, name, n, pixels

    yield from photos("photographs", values.trials - 1)
    yield from photos("null_photographs", 0)
    yield from faces("renders", values.renders, SIDE, 4, values.trials - 1)
    yield from faces("null_renders", values.null_renders, 64, 50, 0)


def main(_: list[str]) -> int:
    """Measures what the flags say; 3 where the time ran out before."""
    values = flags.FLAGS
    output = Path(values.output)
    output.mkdir(parents=True, exist_ok=True)
    trials = Trials(output / "trials.jsonl", values.seconds)
    for part, name, number, pixels in tqdm(remaining(trials, values), desc="images"):
        if trials.is_over:
            return 3
        if part.startswith("null"):
            crops = values.crops if part == "null_photographs" else values.render_crops
            trials.add(part, name, 0, unmarked(number, pixels, crops))
            continue
        for trial in range(values.trials):
            if (part, name, trial) not in trials:
                trials.add(part, name, trial, attacked(number, pixels, trial))
    tables = {"renders": attack_table, "photographs": attack_table}
    tables |= {"null_renders": null_table, "null_photographs": null_table}
    results: dict[str, Any] = {"false_positive_bound": codec.FALSE_POSITIVES}
    for part, table in tables.items():
        records = trials.of(part)
        results[part] = table(records) if records else None
    write_json(output / "watermark.json", results)
    print(json.dumps(results, indent=2))
    return 0


def cli() -> None:
    """Defines the flags and runs."""
    command_line.DEFINE_path("output", None, "Directory of the figures.", required=True)
    flags.DEFINE_integer("renders", 24, "Rendered faces that are marked.", lower_bound=0)
    flags.DEFINE_integer("trials", 2, "Payloads tried with each image.", lower_bound=1)
    flags.DEFINE_integer("null_renders", 1000, "Faces looked at unmarked, 64 px.", lower_bound=0)
    flags.DEFINE_integer(
        "crops", 20, "Crops and rescales of each unmarked photograph.", lower_bound=1
    )
    flags.DEFINE_integer("render_crops", 1, "The same, of each unmarked face.", lower_bound=1)
    flags.DEFINE_float("seconds", 0, "End after so long; the next run goes on. 0: no end.", 0)
    command_line.run(main)


if __name__ == "__main__":
    cli()
