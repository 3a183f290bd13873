"""Files are read as what they show, or refused with a reason."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alrl_jax.photos.decoding import UnreadableImageError, read_image
from tests.support import photo_kinds

SIDE = photo_kinds.SIDE
pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")


def read(tmp_path: Path, name: str, data: bytes, resolution: int = SIDE) -> np.ndarray:
    path = tmp_path / name
    path.write_bytes(data)
    return read_image(path, resolution)


@pytest.mark.parametrize("name", photo_kinds.READABLE)
def test_shows_the_photo(tmp_path: Path, name: str) -> None:
    pixels = read(tmp_path, name, photo_kinds.READABLE[name]())
    assert pixels.shape == (SIDE, SIDE, 3) and pixels.dtype == np.uint8
    expected = np.asarray(photo_kinds.image()).astype(int)
    assert np.abs(pixels - expected).mean() < 12
    for y, x in ((2, 20), (30, 5), (30, 40)):  # far from edges, which JPEG blurs
        assert np.abs(pixels[y, x] - expected[y, x]).max() < 20


def test_grey(tmp_path: Path) -> None:
    pixels = read(tmp_path, "a.jpg", photo_kinds.OTHER_READABLE["grey.jpg"]())
    assert (pixels == pixels[..., :1]).all()
    assert abs(int(pixels[30, 5, 0]) - 76) < 5 and abs(int(pixels[30, 40, 0]) - 29) < 5


def test_grey_with_alpha_and_black_and_white(tmp_path: Path) -> None:
    pixels = read(tmp_path, "a.png", photo_kinds.OTHER_READABLE["grey_alpha.png"]())
    assert pixels[30, 5].tolist() == [76, 76, 76]
    pixels = read(tmp_path, "b.png", photo_kinds.OTHER_READABLE["bilevel.png"]())
    assert set(np.unique(pixels)) <= {0, 255}


def test_transparent_lies_on_white(tmp_path: Path) -> None:
    pixels = read(tmp_path, "a.png", photo_kinds.OTHER_READABLE["transparent.png"]())
    assert (pixels[40] == 255).all()
    assert pixels[18, 5].tolist() == [255, 0, 0]
    pixels = read(tmp_path, "b.png", photo_kinds.OTHER_READABLE["palette_transparent.png"]())
    assert (pixels == 255).all(axis=-1).any()


def test_sixteen_bits(tmp_path: Path) -> None:
    pixels = read(tmp_path, "a.png", photo_kinds.OTHER_READABLE["deep_grey.png"]())
    ramp = np.linspace(0, 255, SIDE)
    np.testing.assert_allclose(pixels[10, :, 1], ramp, atol=1)
    pixels = read(tmp_path, "b.png", photo_kinds.OTHER_READABLE["deep_rgb.png"]())
    np.testing.assert_allclose(pixels[10, 10], (255, 128, 0), atol=1)


@pytest.mark.parametrize("name", photo_kinds.BROKEN)
def test_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    make, reason = photo_kinds.BROKEN[name]
    with pytest.raises(UnreadableImageError, match=reason) as caught:
        read(tmp_path, name, make())
    assert str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(96, 48), (48, 96), (97, 50)])
def test_centre_square_is_cut_out(tmp_path: Path, kind: str, size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, "white")
    x, y = size[0] // 2, size[1] // 2
    image.paste("black", (x - 12, y - 12, x + 12, y + 12))
    data = photo_kinds.encoded(image, kind)
    pixels = read(tmp_path, "a.img", data, 24)
    dark = np.argwhere(pixels[..., 0] < 128)
    np.testing.assert_allclose(dark.mean(axis=0), (11.5, 11.5), atol=0.5)


def test_shrinking_is_antialiased(tmp_path: Path) -> None:
    checkers = (np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8)
    for kind in ("PNG", "JPEG"):
        data = photo_kinds.encoded(Image.fromarray(checkers), kind)
        pixels = read(tmp_path, "a.img", data, 16)
        np.testing.assert_allclose(pixels, 127.5, atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation(tmp_path: Path, orientation: int) -> None:
    """As Pillow's own transposition does it, for photos that are not square."""
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    wide = photo_kinds.image().resize((SIDE * 2, SIDE))
    data = photo_kinds.encoded(wide, "PNG", exif=exif)
    pixels = read(tmp_path, "a.png", data, 24)
    upright = ImageOps.exif_transpose(Image.open(tmp_path / "a.png")).convert("RGB")
    expected = read(tmp_path, "b.png", photo_kinds.encoded(upright, "PNG"), 24)
    np.testing.assert_allclose(pixels, expected.astype(int), atol=1)
