"""Measures how steady a swap is over time.

    python -m tools.bench.measure_jitter [--output=FILE]

A head of the procedural world turns; its true landmarks are known. Noise is added to them in every
frame, as a detector would, and the face is followed with and without smoothing. It reports, each
as root mean square over the frames after the first half second:

- ``crop_error``: of the crop's centre to that from the true landmarks, percent of the crop's side;
- ``crop_jitter``: of the change of that error from frame to frame;
- ``roll_error``, ``roll_jitter``: the same of the crop's rotation, in degrees;
- ``delay``: in ms, by which the crop's centre fits the true one best.

With a model, the frames are swapped at those places, and the judge reads the pose in the result:
``pose_error`` to the true pose, L2 over yaw, pitch and roll in degrees, and ``pose_jitter``, of the
change of that error from frame to frame. The rows ``true landmarks`` and ``no swap`` say what the
model and the judge would give without any noise.
"""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jaxtyping import Array, Float

from alrl_jax.errors import UserError
from alrl_jax.inference.video.one_euro import OneEuro
from alrl_jax.inference.video.tracking import SMOOTHING, FaceTrack, Sighting
from alrl_jax.loading import load_analyser, load_swapper
from alrl_jax.photos.alignment import Alignment, crop_face, ffhq
from alrl_jax.photos.landmarks import of_points
from alrl_jax.photos.paste import paste_face
from alrl_jax.utils import command_line
from alrl_jax.utils.files import write_json
from alrl_jax.worlds import primitives

RATE = 25.0
SETTLING = 0.5
"""Seconds that are not counted."""
YAW, ROLL = 35.0, 8.0
YAW_SECONDS, ROLL_SECONDS = 2.5, 3.0
FIVE = ("l_eye_centre", "r_eye_centre", "nose_tip", "l_mouth_corner", "r_mouth_corner")
SIDE = 128
"""Of the frames that are swapped, in px."""

Points = Float[np.ndarray, "n 5 2"]
Places = Float[np.ndarray, "n 3"]


def head_turning(frames: int, person: int = 0) -> tuple[Any, Any]:
    """Identities and attributes of a head that turns to and fro and nods to its sides."""
    key = primitives.split_key("test")
    one = slice(person, person + 1)

    def turning(size: float, period: float) -> Float[Array, " n"]:
        seconds = np.arange(frames) / RATE
        return jnp.asarray(size * np.sin(2 * np.pi * seconds / period), jnp.float32)

    people = primitives.sample_identities(key, person + 1)
    looks = primitives.sample_attributes(key, person + 1)
    who, how = jax.tree.map(lambda x: jnp.repeat(x[one], frames, axis=0), (people, looks))
    yaw, roll = turning(YAW, YAW_SECONDS), turning(ROLL, ROLL_SECONDS)
    return who, dataclasses.replace(how, yaw=yaw, pitch=jnp.zeros(frames), roll=roll)


def five_points(frames: int, side: int) -> Points:
    """The true landmarks of that head, in px."""
    landmarks = np.asarray(primitives.project_landmarks(*head_turning(frames), side), np.float64)
    return landmarks[:, [primitives.LANDMARKS.index(name) for name in FIVE]]


def noisy(points: Points, noise: float, seed: int) -> Points:
    """Landmarks with normal noise of a share of the first face's size."""
    size = of_points(points[0]).area ** 0.5
    return points + np.random.default_rng(seed).normal(size=points.shape) * noise * size


def followed(points: Points, smoothing: OneEuro | None, resolution: int) -> list[Alignment]:
    """Where the track of a face has its crops."""
    track, still = FaceTrack("largest", smoothing), np.zeros((32, 32), np.float32)
    sightings = (Sighting([of_points(five)], still, i / RATE) for i, five in enumerate(points))
    return [track.follow(sighting).alignment(resolution) for sighting in sightings]


def places(alignments: list[Alignment]) -> Places:
    """Centre in px and rotation in degrees of crops."""
    found = []
    for alignment in alignments:
        inverse, half = np.linalg.inv(alignment.matrix), alignment.resolution / 2
        x, y, _ = inverse @ np.array([half, half, 1.0])
        found.append((x, y, np.degrees(np.arctan2(inverse[1, 0], inverse[0, 0]))))
    return np.array(found)


def steadiness(found: Places, truth: Places, crop_side: float) -> dict[str, float]:
    """The figures of crops; see the module."""
    start = round(SETTLING * RATE)
    error = (found - truth)[start:] * np.array([100 / crop_side, 100 / crop_side, 1.0])
    change = np.diff(error, axis=0)
    return {
        "crop_error": _size(error[:, :2]),
        "crop_jitter": _size(change[:, :2]),
        "roll_error": _size(error[:, 2:]),
        "roll_jitter": _size(change[:, 2:]),
        "delay": _delay(found[start:, 0], truth[:, 0]),
    }


def _size(errors: Float[np.ndarray, "n d"]) -> float:
    return float(np.sqrt(np.mean(np.sum(errors**2, axis=1))))


def _delay(found: Float[np.ndarray, " k"], truth: Float[np.ndarray, " n"]) -> float:
    """Milliseconds by which a track lags behind the truth."""
    seconds = np.arange(len(truth)) / RATE
    at = seconds[len(truth) - len(found) :]
    lags = np.arange(-0.1, 0.3, 0.001)
    errors = [np.mean((np.interp(at - lag, seconds, truth) - found) ** 2) for lag in lags]
    return float(1000 * lags[int(np.argmin(errors))])


class Video:
    """The frames of the head, a source, a model to swap it in and a judge to look."""

    def __init__(self, model: Any, judge: Any, frames: int) -> None:
        self.model, self.judge = model, judge
        who, how = head_turning(frames)
        drawn = primitives.render(who, how, SIDE)
        self.pose = np.asarray(drawn.pose_degrees)
        self.frames = np.rint((np.asarray(drawn.image) + 1) * 127.5).astype(np.uint8)
        key = primitives.split_key("test")
        people = primitives.sample_identities(key, 2)
        looks = primitives.sample_attributes(key, 2)
        self.resolution = int(model.config["resolution"])
        self.source = np.asarray(primitives.render(people, looks, self.resolution).image)[1]

    def swapped(self, alignments: list[Alignment]) -> Float[np.ndarray, "n h w 3"]:
        """The frames with the source's face at these places, in [-1, 1]."""
        crops = [crop_face(f, a) for f, a in zip(self.frames, alignments, strict=True)]
        source = np.repeat(self.source[None], len(crops), axis=0)
        drawn = self.model.swap(source, np.stack(crops))
        columns = self.frames, alignments, crops, np.asarray(drawn.generated), drawn.mask
        pasted = [
            paste_face(f, a, c, g, np.asarray(m)) for f, a, c, g, m in zip(*columns, strict=True)
        ]
        return np.stack(pasted).astype(np.float32) / np.float32(127.5) - np.float32(1)

    def pose_figures(self, frames: Float[np.ndarray, "n h w 3"]) -> dict[str, float]:
        """The figures of the pose; see the module."""
        side = int(self.judge.config["resolution"])
        n, times = len(frames), SIDE // side
        small = frames.reshape(n, side, times, side, times, 3).mean(axis=(2, 4))
        error = np.asarray(self.judge.predict(small).pose_degrees) - self.pose
        error = error[round(SETTLING * RATE) :]
        return {"pose_error": _size(error), "pose_jitter": _size(np.diff(error, axis=0))}


def measure(frames: int, noises: list[float], video: Video | None) -> dict[str, Any]:
    """All rows; see the module."""
    points = five_points(frames, SIDE)
    resolution = 64 if video is None else video.resolution
    true = [ffhq(five, resolution) for five in points]
    truth, side = places(true), resolution * float(np.linalg.inv(true[0].matrix)[0, 0])
    rows: dict[str, Any] = {}
    if video is not None:
        still = video.frames.astype(np.float32) / np.float32(127.5) - np.float32(1)
        rows["no swap"] = video.pose_figures(still)
        rows["true landmarks"] = video.pose_figures(video.swapped(true))
    for noise in noises:
        for name, smoothing in (("as found", None), ("smoothed", SMOOTHING)):
            found = followed(noisy(points, noise, seed=0), smoothing, resolution)
            figures = steadiness(places(found), truth, side)
            if video is not None:
                figures |= video.pose_figures(video.swapped(found))
            rows[f"noise {100 * noise:g}%, {name}"] = figures
    settings = dataclasses.asdict(SMOOTHING)
    return {"frames": frames, "frames_per_second": RATE, "smoothing": settings, "rows": rows}


def read_noises(words: list[str]) -> list[float]:
    """The shares that a flag names.

    Raises:
        UserError: what is no number from 0 on.
    """
    try:
        noises = [float(word) for word in words]
        if all(0 <= noise < math.inf for noise in noises):
            return noises
    except ValueError:
        pass
    raise UserError(
        f"got --noise={','.join(words)}; expected numbers from 0 on, with commas between them"
    )


def main(argv: list[str]) -> int:
    """Measures and prints, and writes the file where one is named."""
    del argv
    values = flags.FLAGS
    noises = read_noises(values.noise)
    video = None
    if values.model:
        models = load_swapper(values.model), load_analyser(values.judge)
        video = Video(*models, values.frames)
    found = measure(values.frames, noises, video)
    for name, figures in found["rows"].items():
        print(json.dumps({"row": name, **{k: round(v, 3) for k, v in figures.items()}}))
    if values.output:
        write_json(Path(values.output), found)
    return 0


def cli() -> None:
    """Defines the flags and runs ``main``."""
    flags.DEFINE_integer("frames", 125, "Frames of the video.", lower_bound=25)
    flags.DEFINE_list("noise", ["0.01", "0.02"], "Of the landmarks, shares of the face's size.")
    command_line.DEFINE_path("model", "embedded/swapper_64", "Swapper; empty for the crops alone.")
    command_line.DEFINE_path("judge", "embedded/judge_64", "Judge of the pose.")
    command_line.DEFINE_path("output", None, "JSON file to write.")
    command_line.run(main)


if __name__ == "__main__":
    cli()
