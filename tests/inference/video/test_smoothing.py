"""Landmarks over time: the filter, which face is followed, and what smoothing does to a head."""

import math

import numpy as np
import pytest

from alrl_jax.errors import UserError
from alrl_jax.inference.video.one_euro import OneEuro, OneEuroFilter
from alrl_jax.inference.video.tracking import SMOOTHING, FaceTrack, Sighting, overlap, thumbnail
from alrl_jax.photos.landmarks import FaceNotFoundError, FoundFace, of_points
from tools.bench.measure_jitter import (
    RATE,
    five_points,
    followed,
    noisy,
    places,
    read_noises,
    steadiness,
)

DELAY_LIMIT = 25.0
"""Milliseconds; a frame of a video has 40."""
GREY = np.full((32, 32), 0.5, np.float32)
FACE = np.array([[30.0, 30], [60, 30], [45, 50], [33, 65], [58, 65]])


def seen(*faces: np.ndarray, at: float, light: float = 0.5) -> Sighting:
    return Sighting([of_points(face) for face in faces], np.full_like(GREY, light), at)


def test_filter_is_that_of_the_paper() -> None:
    """By hand: low-pass of the speed, cutoff from it, low-pass of the value."""
    step, parameters = 0.04, OneEuro(min_cutoff=1.2, beta=0.7, speed_cutoff=2.0)
    smooth = OneEuroFilter(parameters)
    first, second = np.array([[1.0, 4.0]]), np.array([[3.0, 4.0]])
    np.testing.assert_array_equal(smooth(first, 0.0), first)
    found = smooth(second, step)
    share = lambda cutoff: 1 / (1 + 1 / (2 * math.pi * cutoff) / step)  # noqa: E731
    speed = share(2.0) * (2.0 / step)
    assert found[0, 0] == pytest.approx(1.0 + share(1.2 + 0.7 * speed) * 2.0)
    assert found[0, 1] == 4.0
    with pytest.raises(ValueError, match="rising"):
        smooth(second, step)
    smooth.reset()
    np.testing.assert_array_equal(smooth(first, 0.0), first)


def test_rest_is_smoothed_more_than_motion() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(200, 4, 2)) * 0.01
    smooth = OneEuroFilter(SMOOTHING)
    found = np.stack([smooth(values, i / RATE) for i, values in enumerate(noise)])
    assert found[20:].std() < 0.6 * noise[20:].std()
    smooth.reset()
    ramp = [np.full((4, 2), 2.0 * i / RATE) for i in range(50)]
    lag = [float((values - smooth(values, i / RATE)).max()) for i, values in enumerate(ramp)][-1]
    assert lag / 2.0 < 0.02, "seconds behind what moves two faces a second"


@pytest.mark.parametrize("noise", [0.01, 0.02])
def test_smoothing_steadies_a_turning_head_without_delaying_it(noise: float) -> None:
    points = five_points(100, 128)
    truth = places(followed(points, None, 64))
    side = 128.0
    figures = []
    for smoothing in (None, SMOOTHING):
        found = [
            steadiness(places(followed(noisy(points, noise, seed), smoothing, 64)), truth, side)
            for seed in range(3)
        ]
        figures.append({name: np.mean([f[name] for f in found]) for name in found[0]})
    plain, smooth = figures
    assert smooth["crop_jitter"] < 0.65 * plain["crop_jitter"]
    assert smooth["roll_jitter"] < 0.6 * plain["roll_jitter"]
    assert smooth["roll_error"] < 0.9 * plain["roll_error"]
    assert abs(plain["delay"]) < 2 and smooth["delay"] < DELAY_LIMIT


def test_without_noise_smoothing_moves_little() -> None:
    points = five_points(100, 128)
    truth = places(followed(points, None, 64))
    figures = steadiness(places(followed(points, SMOOTHING, 64)), truth, 128.0)
    assert figures["crop_error"] < 0.6 and figures["delay"] < DELAY_LIMIT


def points_of(face: FoundFace) -> np.ndarray:
    assert face.points is not None
    return face.points


def test_a_cut_a_jump_and_a_gap_reset_the_filter() -> None:
    track = FaceTrack("largest")
    near = FACE + 2.0
    track.follow(seen(FACE, at=0.0))
    followed_face = points_of(track.follow(seen(near, at=0.04)))
    assert (followed_face < near).all() and (followed_face > FACE).all(), "smoothed"
    cut = track.follow(seen(FACE, at=0.08, light=0.9))
    np.testing.assert_array_equal(points_of(cut), FACE)
    jump = track.follow(seen(FACE + 100, at=0.12, light=0.9))
    np.testing.assert_array_equal(points_of(jump), FACE + 100)
    with pytest.raises(FaceNotFoundError, match="no face found"):
        track.follow(seen(at=0.16, light=0.9))
    again = track.follow(seen(FACE + 101, at=0.2, light=0.9))
    np.testing.assert_array_equal(points_of(again), FACE + 101)
    assert track.resets == 3


def test_a_time_that_does_not_rise_resets_the_filter() -> None:
    track = FaceTrack("largest")
    for at in (0.0, 0.04, 0.04, 0.02, 0.06):
        found = track.follow(seen(FACE + 3 * at, at=at))
    assert track.resets == 2
    assert not np.array_equal(points_of(found), FACE + 0.18)


def test_the_same_face_is_followed_among_others() -> None:
    track = FaceTrack("largest", None)
    small, large = FACE + [120, 0], FACE * 1.1
    track.follow(seen(small, large, at=0.0))
    for i in range(1, 6):
        other = FACE * 1.5 + [150, 0]  # now the largest one
        face = track.follow(seen(other, large + i, at=i * 0.04))
        np.testing.assert_array_equal(points_of(face), large + i)
    second = FaceTrack("1", None)
    np.testing.assert_array_equal(points_of(second.follow(seen(large, small, at=0.0))), small)


def test_who_was_beside_a_lost_face_does_not_take_its_place() -> None:
    track, other = FaceTrack("largest", None), FACE + 300
    track.follow(seen(FACE, other * 0.9 + 30, at=0.0))
    with pytest.raises(FaceNotFoundError, match="others are"):
        track.follow(seen(other * 0.9 + 30, at=0.04))
    back = track.follow(seen(FACE + 1, other * 0.9 + 30, at=0.08))
    np.testing.assert_array_equal(points_of(back), FACE + 1)
    with pytest.raises(FaceNotFoundError):
        track.follow(seen(other * 0.9 + 30, at=0.12))
    late = track.follow(seen(other * 0.9 + 30, at=0.12 + 1.0))
    np.testing.assert_array_equal(points_of(late), other * 0.9 + 30)


def test_boxes_are_smoothed_too() -> None:
    track = FaceTrack("largest")
    boxes = [FoundFace((10.0, 10.0, 50.0, 50.0)), FoundFace((12.0, 10.0, 52.0, 50.0))]
    assert overlap(*boxes) == pytest.approx(38 / 42)
    track.follow(Sighting(boxes[:1], GREY, 0.0))
    left, top, right, bottom = track.follow(Sighting(boxes[1:], GREY, 0.04)).box
    assert 10 < left < 12 and 50 < right < 52 and top == 10 and bottom == 50


@pytest.mark.parametrize("words", [["abc"], ["0.1", "nan"], ["-1"]])
def test_noise_is_a_number(words: list[str]) -> None:
    assert read_noises(["0", "0.01"]) == [0.0, 0.01]
    with pytest.raises(UserError, match="got --noise="):
        read_noises(words)


def test_thumbnails_tell_scenes_apart() -> None:
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (9, 16, 3), dtype=np.uint8).repeat(20, 0).repeat(20, 1)
    moved, other = np.roll(scene, 4, axis=1), scene[::-1, ::-1]
    assert np.abs(thumbnail(scene) - thumbnail(moved)).mean() < 0.12
    assert np.abs(thumbnail(scene) - thumbnail(other)).mean() > 0.12
