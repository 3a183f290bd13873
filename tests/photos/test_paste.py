"""Crops brought back into their photos: what may change, and what must not."""

import numpy as np
import pytest

from alrl_jax.photos.alignment import (
    Alignment,
    apply,
    bilinear,
    centre_square,
    crop_face,
    ffhq,
    square,
)
from alrl_jax.photos.face_photos import cut_faces, face_shares, paste_faces
from alrl_jax.photos.paste import BLENDS, PasteOptions, match_colour, paste_face
from alrl_jax.photos.photo import Photo
from tests.support.faces import FIVE, moved, transform

EVERY_WAY = [
    PasteOptions(blend, colour, feather)
    for blend in BLENDS
    for colour in (False, True)
    for feather in (0.0, 0.1)
]
TURNED = ffhq(moved(FIVE, transform(25, 0.13, (35.0, -25.0))), 32)


def noise(height: int, width: int, dtype: type = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(height * width)
    return rng.integers(0, np.iinfo(dtype).max + 1, (height, width, 3), dtype=dtype)


def hole(side: int) -> np.ndarray:
    """A mask that is 1 in the middle half."""
    mask = np.zeros((side, side, 1), np.float32)
    mask[side // 4 : -side // 4, side // 4 : -side // 4] = 1
    return mask


def seen(photo: np.ndarray) -> np.ndarray:
    return photo if photo.dtype == np.uint8 else (photo >> 8).astype(np.uint8)


@pytest.mark.parametrize("options", EVERY_WAY, ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_model_that_changes_nothing(options: PasteOptions, dtype: type) -> None:
    photo = noise(150, 130, dtype)
    for alignment in (TURNED, square(20.0, -9.0, 140.0, 32), square(40.5, 33.2, 10.0, 32)):
        crop = crop_face(seen(photo), alignment)
        mask = np.random.default_rng(5).uniform(0, 1, (32, 32, 1)).astype(np.float32)
        pasted = paste_face(photo, alignment, crop, crop.copy(), mask, options)
        assert pasted.dtype == dtype
        np.testing.assert_array_equal(pasted, photo)


@pytest.mark.parametrize("options", EVERY_WAY, ids=str)
@pytest.mark.parametrize(
    "alignment", [TURNED, square(20.0, 30.0, 48.0, 32), square(50.0, 50.0, 9.0, 32)]
)
def test_outside_the_mask_every_bit_stays(options: PasteOptions, alignment: Alignment) -> None:
    photo = noise(150, 130)
    mask, generated = hole(32), noise(32, 32).astype(np.float32) / 127.5 - 1
    crop = crop_face(photo, alignment)
    pasted = paste_face(photo, alignment, crop, generated, mask, options)
    x, y = np.meshgrid(np.arange(130) + 0.5, np.arange(150) + 0.5)
    u, v = apply(alignment.matrix, x, y)
    inside = (u >= 0) & (u <= 32) & (v >= 0) & (v <= 32) & (bilinear(mask, u, v)[..., 0] > 0)
    assert 5 < inside.sum() < 0.5 * inside.size
    np.testing.assert_array_equal(pasted[~inside], photo[~inside])
    assert (pasted[inside] != photo[inside]).any(-1).mean() > (0.3 if options.feather else 0.5)


def test_the_difference_is_added() -> None:
    """Grain of the photo that the crop cannot hold stays; the change comes on top of it."""
    photo = noise(128, 128) // 2 + 40
    alignment = square(0.0, 0.0, 128.0, 32)
    crop = crop_face(photo, alignment)
    added = np.float32(20 / 127.5)
    pasted = paste_face(photo, alignment, crop, crop + added, hole(32))
    np.testing.assert_array_equal(pasted[48:80, 48:80], photo[48:80, 48:80] + 20)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_detail_goes_as_far_as_one_likes(dtype: type) -> None:
    """A flat face over noise: none of the noise is left, or half of it, or all."""
    photo = noise(128, 128, dtype) // 2
    alignment = square(0.0, 0.0, 128.0, 32)
    crop, half = crop_face(seen(photo), alignment), np.iinfo(dtype).max / 2
    grey = np.full((32, 32, 3), 0.1, np.float32)

    def middle(detail: float) -> np.ndarray:
        options = PasteOptions(detail=detail)
        pasted = paste_face(photo, alignment, crop, grey, hole(32), options)
        np.testing.assert_array_equal(pasted[:16], photo[:16])
        return pasted[48:80, 48:80] / half - 1

    np.testing.assert_allclose(middle(0.0), 0.1, atol=0.51 / half + 1e-6)
    np.testing.assert_allclose(middle(0.5), (middle(0.0) + middle(1.0)) / 2, atol=1.6 / half)
    assert middle(1.0).std() > 0.2


def test_sixteen_bits_are_kept() -> None:
    photo = noise(64, 64, np.uint16) // 2
    alignment = square(0.0, 0.0, 64.0, 64)
    crop = crop_face(seen(photo), alignment)
    added = np.float32(2 * 1234 / 65535)
    pasted = paste_face(photo, alignment, crop, crop + added, hole(64))
    middle = pasted[20:44, 20:44].astype(int) - photo[20:44, 20:44]
    assert np.abs(middle - 1234).max() <= 1


def test_white_and_black_are_the_ends() -> None:
    for dtype in (np.uint8, np.uint16):
        photo = noise(32, 32, dtype)
        alignment = square(0.0, 0.0, 32.0, 32)
        flat = np.zeros((32, 32, 3), np.float32)
        white = paste_face(photo, alignment, flat - 1, flat + 1, hole(32))[10:20, 10:20]
        black = paste_face(photo, alignment, flat + 1, flat - 1, hole(32))[10:20, 10:20]
        assert (white == np.iinfo(dtype).max).all() and (black == 0).all()


def test_edges_inside_the_photo_fade() -> None:
    photo = np.zeros((100, 100, 3), np.uint8)
    whole, white = np.ones((50, 50, 1), np.float32), np.ones((50, 50, 3), np.float32)
    inside = square(25.0, 25.0, 50.0, 50)
    pasted = paste_face(photo, inside, crop_face(photo, inside), white, whole)
    assert pasted[50, 50].tolist() == [255] * 3
    assert pasted[50, 25, 0] < 60 and pasted[25, 50, 0] < 60
    at_border = centre_square(photo, 50)
    pasted = paste_face(photo, at_border, crop_face(photo, at_border), white, whole)
    assert (pasted == 255).all()


def test_crop_beyond_the_photo_and_photo_beyond_reach() -> None:
    photo = noise(40, 40)
    over, ones = square(-20.0, -20.0, 80.0, 32), np.ones((32, 32, 1), np.float32)
    crop = crop_face(photo, over)
    np.testing.assert_allclose((crop[0, 0] + 1) * 127.5, photo[:2, :2].mean((0, 1)), atol=1)
    assert paste_face(photo, over, crop, crop + 1, ones).shape == photo.shape
    away = square(100.0, 100.0, 20.0, 32)
    np.testing.assert_array_equal(paste_face(photo, away, crop, crop + 1, ones), photo)


def test_a_turned_crop_comes_back_in_its_place() -> None:
    """The middle half of a crop of side s, turned, whitens s * s / 4 pixels round its centre."""
    photo = np.zeros((150, 130, 3), np.uint8)
    black, white = np.full((32, 32, 3), -1, np.float32), np.ones((32, 32, 3), np.float32)
    pasted = paste_face(photo, TURNED, black, white, hole(32))[..., 0].astype(float) / 255
    side = 32 / np.linalg.norm(TURNED.matrix[:2, 0])
    assert pasted.sum() == pytest.approx(side**2 / 4, rel=0.05)
    y, x = np.mgrid[:150, :130] + 0.5
    centre = moved(np.array([[16.0, 16.0]]), np.linalg.inv(TURNED.matrix))[0]
    found = np.array([(x * pasted).sum(), (y * pasted).sum()]) / pasted.sum()
    np.testing.assert_allclose(found, centre, atol=0.2)


def test_a_fine_change_in_a_coarse_photo_does_not_alias() -> None:
    """A checkerboard of a crop of 8 px a pixel of the photo averages to nothing."""
    photo = np.full((32, 32, 3), 100, np.uint8)
    alignment = square(8.0, 8.0, 16.0, 128)
    board = np.indices((128, 128)).sum(0)[..., None] % 2 * 0.5 - 0.25
    crop = crop_face(photo, alignment)
    generated = (crop + board).astype(np.float32)
    pasted = paste_face(photo, alignment, crop, generated, np.ones((128, 128, 1), np.float32))
    assert np.abs(pasted[11:21, 11:21].astype(int) - 100).max() <= 1


def test_bands_sum_to_the_difference() -> None:
    """Where the mask is whole, bands change nothing; whatever the side."""
    for side in (8, 33, 64):
        difference = np.random.default_rng(side).normal(size=(side, side, 3)).astype(np.float32)
        blended = BLENDS["multiband"](difference, np.ones((side, side, 1), np.float32))
        np.testing.assert_allclose(blended, difference, atol=1e-5)
        np.testing.assert_array_equal(
            BLENDS["multiband"](difference, np.zeros((side, side, 1), np.float32)), 0 * difference
        )


def test_bands_make_a_wider_edge_of_coarse_things() -> None:
    flat, mask = np.ones((64, 64, 3), np.float32), hole(64)

    def steepest(blend: str) -> float:
        inside = BLENDS[blend](flat, mask)[32, :, 0] * (mask[32, :, 0] > 0)
        return float(np.abs(np.diff(inside)).max())

    assert steepest("feather") == 1.0 and steepest("multiband") < 0.5
    assert BLENDS["multiband"](flat, mask)[32, 32, 0] > 0.8


def test_colours_are_matched_within_the_mask() -> None:
    rng = np.random.default_rng(7)
    crop = rng.normal(0.1, 0.2, (16, 16, 3)).astype(np.float32)
    generated = (crop[::-1] * 0.8 - [0.3, 0.0, -0.2]).astype(np.float32)
    matched = match_colour(generated, crop, np.ones((16, 16, 1), np.float32))
    np.testing.assert_allclose(matched, crop[::-1], atol=1e-5)
    np.testing.assert_array_equal(match_colour(crop, crop, hole(16)), crop)
    nothing = np.zeros((16, 16, 1), np.float32)
    np.testing.assert_array_equal(match_colour(generated, crop, nothing), generated)
    flat = match_colour(np.zeros_like(crop), crop, hole(16))
    np.testing.assert_allclose(flat[0, 0], crop[4:12, 4:12].mean((0, 1)), atol=1e-6)


def test_faces_that_meet_lie_over_each_other() -> None:
    """Where both masks are 1 the larger face shows, and nowhere both differences are added."""
    pixels = np.full((100, 140, 3), 100, np.uint8)
    photo = Photo(pixels, None, pixels, None)
    places = [square(60.0, 20.0, 70.0, 32), square(20.0, 20.0, 60.0, 32)]
    target = cut_faces(photo, places, "")
    levels = (200, 40)
    swapped = [(np.full((32, 32, 3), level / 127.5 - 1, np.float32), hole(32)) for level in levels]
    for options in (PasteOptions(), PasteOptions("multiband"), PasteOptions(feather=0.1)):
        pasted = paste_faces(target, swapped, options)
        assert pasted.min() >= 40 and pasted.max() <= 200
        shares = face_shares(target, [mask for _, mask in swapped], options)
        assert ((pasted != 100).any(-1, keepdims=True) <= (shares > 0)).all()
        backwards = paste_faces(cut_faces(photo, places[::-1], ""), swapped[::-1], options)
        np.testing.assert_array_equal(pasted, backwards)
    assert (paste_faces(target, swapped, PasteOptions())[50, 82] == 200).all()
    apart = cut_faces(photo, [square(0.0, 20.0, 60.0, 32), square(75.0, 20.0, 60.0, 32)], "")
    one_by_one = pixels
    for face, (generated, mask) in zip(apart.faces, swapped, strict=True):
        one_by_one = paste_face(one_by_one, face.alignment, face.crop, generated, mask)
    np.testing.assert_array_equal(paste_faces(apart, swapped, PasteOptions()), one_by_one)
