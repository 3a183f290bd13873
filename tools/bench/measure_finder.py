"""Measures what a finder finds of an album whose faces are known.

    python -m tools.bench.measure_finder [--landmarks_from=NAME] [--output=FILE]

The album has 200 photos and 310 faces, the same ones every time. Backgrounds are pictures without a
face; faces are renders of the procedural world and a portrait (both from packages; nothing is
stored), pasted at .22 to .5 of the photo's shorter side, turned by 0 to 90 degrees, one over
another where chance says so. It reports

- ``found``: share of the faces of which less than a quarter is covered that were found: eyes on
  average at most .05 of the pasted picture's side away, a quarter of what lies between them where
  a face is seen from the front (of a face seen from the side, less lies between them);
- ``found_covered``: how many of the others were found;
- ``misplaced``: faces that were found at such a place, and not their eyes: upside down, say;
- ``false``: faces that were found where none is, or twice;
- ``eye_error``: median distance of the found eyes from the true ones, over that side;
- ``milliseconds``: for a photo, the first one left out, which compiles.
"""

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import jax
import numpy as np
from absl import flags
from jaxtyping import Float, UInt8
from PIL import Image

from alrl_jax.photos.alignment import five_points
from alrl_jax.photos.landmarks import DEFAULT_SOURCE, LANDMARK_SOURCES, open_landmarks
from alrl_jax.utils import command_line
from alrl_jax.utils.extras import importing
from alrl_jax.utils.files import write_json
from alrl_jax.worlds import primitives

PHOTOS, FACES = 200, 310
SIZES = ((480, 640), (640, 480), (512, 512), (720, 1080), (400, 900))
"""Heights and widths of photos, px."""
TURNS = (0, 5, -8, 12, -20, 30, 90)
"""Degrees."""
LEAST, MOST = 0.22, 0.5
"""Side of a pasted picture over the photo's shorter side."""
RENDERED = 60
SIDE = 256
"""Of renders and portrait, px."""
BACKGROUNDS = ("brick", "coffee", "coins", "grass", "gravel", "moon", "page", "rocket")
PORTRAIT_CROP = (131, 27, 321, 217)
"""Left, top, right, bottom of the portrait in its picture."""
PORTRAIT_EYES = ((206.0, 107.0), (246.5, 106.0))
EYES = ("l_eye_centre", "r_eye_centre")
FACE_RADIUS = 0.28
"""Of the disc that stands for a face, over the side of its picture."""
COVERED = 0.25
NEAR = 0.05
AT_A_FACE = 0.15
"""Of the middle between the eyes, over the side: what is found so near is found at that face."""

Eyes = Float[np.ndarray, "2 2"]
Pixels = UInt8[np.ndarray, "h w 3"]


@dataclasses.dataclass(frozen=True)
class Pasted:
    """A face of an album.

    Attributes:
        eyes: the one that is left in the upright face, and the other, px.
        covered: share of it that others cover.
        side: of its picture, px.
    """

    eyes: Eyes
    covered: float
    side: float


def pictures() -> list[tuple[UInt8[np.ndarray, "s s 3"], Eyes]]:
    """Pictures of one face each, with its eyes; every second one is the portrait."""
    with importing("skimage", "got no scikit-image; expected it, as its portrait is part of this"):
        from skimage import data
    key = jax.random.key(7)
    people = primitives.sample_identities(key, RENDERED)
    looks = primitives.sample_attributes(key, RENDERED)
    drawn = primitives.render(people, looks, SIDE)
    images = np.rint((np.asarray(drawn.image) + 1) * 127.5).astype(np.uint8)
    places = [primitives.LANDMARKS.index(name) for name in EYES]
    eyes = np.asarray(drawn.landmarks, np.float64)[:, places]
    left, top, right, bottom = PORTRAIT_CROP
    whole = Image.fromarray(data.astronaut()).crop(PORTRAIT_CROP)
    portrait = np.asarray(whole.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    own = (np.array(PORTRAIT_EYES) - [left, top]) * [SIDE / (right - left), SIDE / (bottom - top)]
    return [pair for two in zip(images, eyes, strict=True) for pair in (two, (portrait, own))]


def backgrounds() -> list[Pixels]:
    """Pictures without a face."""
    from skimage import data

    found = []
    for name in BACKGROUNDS:
        pixels = np.asarray(getattr(data, name)())
        found.append(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1))
    return found


def album(photos: int = PHOTOS, faces: int = FACES) -> Iterator[tuple[Pixels, list[Pasted]]]:
    """The photos of the album, with their faces.

    Args:
        photos: how many.
        faces: in all of them; at least one in each.
    """
    rng = np.random.default_rng(2026)
    known, grounds = pictures(), backgrounds()
    counts = 1 + np.bincount(rng.integers(0, photos, faces - photos), minlength=photos)
    following = 0
    for count in counts:
        height, width = SIZES[rng.integers(len(SIZES))]
        ground = Image.fromarray(grounds[rng.integers(len(grounds))])
        photo = np.array(ground.resize((width, height), Image.Resampling.BILINEAR), np.float64)
        discs, places = [], []
        for _ in range(count):
            picture, own = known[following % len(known)]
            following += 1
            photo, disc, shape, *placed = _paste(photo, picture, own, rng)
            discs = [(whole, left & ~shape) for whole, left in discs] + [(disc, disc)]
            places.append(placed)
        covered = [1 - float(left.sum() / max(1, whole.sum())) for whole, left in discs]
        truth = [Pasted(e, c, side) for (e, side), c in zip(places, covered, strict=True)]
        yield np.rint(photo).astype(np.uint8), truth


def _paste(
    photo: Float[np.ndarray, "h w 3"],
    picture: UInt8[np.ndarray, "s s 3"],
    eyes: Eyes,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Eyes, float]:
    """The photo with a picture in it; where its face lies, where that does; its eyes, its side."""
    height, width = photo.shape[:2]
    side = rng.uniform(LEAST, MOST) * min(height, width)
    angle = np.deg2rad(TURNS[rng.integers(len(TURNS))])
    centre = np.array([rng.uniform(side / 2, n - side / 2) for n in (width, height)])
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s], [s, c]]) * (side / SIDE)
    back = np.linalg.inv(turn)
    matrix = np.column_stack([back, np.full(2, SIDE / 2) - back @ centre])
    data = tuple(matrix.ravel().tolist())
    size, affine, bilinear = (width, height), Image.Transform.AFFINE, Image.Resampling.BILINEAR
    factor = max(1, int(SIDE / side))
    small = Image.fromarray(picture).reduce(factor)
    reduced = tuple((matrix / factor).ravel().tolist())
    drawn = np.asarray(small.transform(size, affine, reduced, bilinear), np.float64)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    radius = np.hypot(x - SIDE / 2, y - SIDE / 2) / SIDE
    soft = Image.fromarray((255 * np.clip((0.49 - radius) / 0.04, 0, 1)).astype(np.uint8))
    share = np.asarray(soft.transform(size, affine, data, bilinear), np.float64)[..., None] / 255
    placed = (eyes - SIDE / 2) @ turn.T + centre
    middle = placed.mean(axis=0) + turn @ [0, 0.12 * SIDE]
    gy, gx = np.mgrid[:height, :width] + 0.5
    disc = np.hypot(gx - middle[0], gy - middle[1]) <= FACE_RADIUS * side
    return photo * (1 - share) + drawn * share, disc, share[..., 0] > 0.5, placed, side


@dataclasses.dataclass
class Score:
    """What was found of an album so far."""

    clear: int = 0
    clear_found: int = 0
    covered: int = 0
    covered_found: int = 0
    misplaced: int = 0
    false: int = 0
    errors: list[float] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)

    def add(self, truth: list[Pasted], found: list[Eyes]) -> None:
        """Compares the eyes that were found in a photo with the true ones."""
        left, missed = list(found), []
        for face in truth:
            away = [np.linalg.norm(e - face.eyes, axis=-1).mean() / face.side for e in left]
            hit = bool(away) and min(away) <= NEAR
            if hit:
                best = int(np.argmin(away))
                self.errors.append(float(away[best]))
                del left[best]
            else:
                missed.append(face)
            if face.covered < COVERED:
                self.clear, self.clear_found = self.clear + 1, self.clear_found + int(hit)
            else:
                self.covered, self.covered_found = self.covered + 1, self.covered_found + int(hit)
        for eyes in left:
            at = [
                f for f in missed if np.linalg.norm((eyes - f.eyes).mean(0)) <= AT_A_FACE * f.side
            ]
            self.misplaced, self.false = self.misplaced + bool(at), self.false + (not at)
            missed = [face for face in missed if not at or face is not at[0]]

    def summary(self) -> dict[str, float | int | None]:
        """Plain values; see the module."""
        return {
            "faces": self.clear,
            "found": round(self.clear_found / max(1, self.clear), 4),
            "faces_covered": self.covered,
            "found_covered": self.covered_found,
            "misplaced": self.misplaced,
            "false": self.false,
            "eye_error": round(float(np.median(self.errors)), 4) if self.errors else None,
            "milliseconds": round(1000 * float(np.mean(self.seconds[1:])), 1),
        }


def measure(name: str, path: Path | None, photos: int = PHOTOS, faces: int = FACES) -> Score:
    """Looks for the faces of the album by an entry of ``LANDMARK_SOURCES``."""
    find, score = open_landmarks(name, path), Score()
    for photo, truth in album(photos, faces):
        begin = time.perf_counter()
        found = find(Path(), photo)
        score.seconds.append(time.perf_counter() - begin)
        score.add(truth, [_eyes(face.points, face.box) for face in found])
    return score


def _eyes(points: Float[np.ndarray, "n 2"] | None, box: tuple[float, ...]) -> Eyes:
    """Of a box alone, where they are in most faces."""
    if points is not None:
        return five_points(points)[:2]
    left, top, right, bottom = box
    side = right - left
    return np.array([[left + 0.3 * side, top + 0.4 * side], [left + 0.7 * side, top + 0.4 * side]])


def main(argv: list[str]) -> None:
    """Measures what the flags name."""
    del argv
    values = flags.FLAGS
    path = None if values.landmarks_path is None else Path(values.landmarks_path)
    summary = {"finder": values.landmarks_from} | measure(values.landmarks_from, path).summary()
    print(json.dumps(summary, indent=2))
    if values.output:
        write_json(Path(values.output), summary)


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.DEFINE_enum("landmarks_from", DEFAULT_SOURCE, list(LANDMARK_SOURCES), "What is measured.")
    command_line.DEFINE_path("landmarks_path", None, "The detector's model.")
    command_line.DEFINE_path("output", None, "JSON file of the result.")


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)


if __name__ == "__main__":
    cli()
