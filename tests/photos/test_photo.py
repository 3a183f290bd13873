"""Photos read to be changed and written again: depth, alpha, orientation and profile stay."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from alrl_jax.photos.decoding import UnreadableImageError, read_pixels
from alrl_jax.photos.photo import read_photo
from alrl_jax.utils import png
from tests.support.photo_kinds import deep_png

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RNG = np.random.default_rng(0)


def values(channels: int, dtype: type = np.uint8) -> np.ndarray:
    most = np.iinfo(dtype).max
    return RNG.integers(0, most + 1, (20, 24, channels), dtype=dtype)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_written_and_read_again(tmp_path: Path, channels: int, dtype: type) -> None:
    pixels, info = values(channels, dtype), PngInfo()
    info.add_text("Title", "a title")
    (tmp_path / "a.png").write_bytes(png.encode(pixels, info, PROFILE))
    photo = read_photo(tmp_path / "a.png")
    assert photo.colour.dtype == dtype and photo.icc_profile == PROFILE
    np.testing.assert_array_equal(photo.colour, pixels[..., :3])
    assert (photo.alpha is None) == (channels == 3)
    np.testing.assert_array_equal(photo.with_alpha(photo.colour), pixels)
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.info["Title"] == "a title"


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("channels", "kind"), [(1, 0), (2, 4), (3, 2), (4, 6)])
def test_sixteen_bits_of_every_kind(
    tmp_path: Path, channels: int, kind: int, interlaced: bool
) -> None:
    pixels = values(channels, np.uint16)
    (tmp_path / "a.png").write_bytes(deep_png(pixels, kind, interlaced))
    photo = read_photo(tmp_path / "a.png")
    colour = np.broadcast_to(pixels[..., : max(1, channels - 1 + channels % 2)], (20, 24, 3))
    np.testing.assert_array_equal(photo.colour, colour)
    if channels % 2:
        assert photo.alpha is None
        np.testing.assert_allclose(photo.seen, colour / 257.0, atol=0.51)
    else:
        np.testing.assert_array_equal(photo.alpha, pixels[..., -1:])
        opacity = pixels[..., -1:] / 65535
        seen = opacity * colour / 257.0 + (1 - opacity) * 255
        np.testing.assert_allclose(photo.seen, seen, atol=0.51)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_orientation(tmp_path: Path, orientation: int, dtype: type) -> None:
    """Upright as Pillow turns the same photo."""
    pixels, exif = values(3), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "8.png", exif=exif)
    if dtype == np.uint16:
        chunks = PngInfo()
        chunks.add(b"eXIf", exif.tobytes()[6:])
        deep = pixels.astype(np.uint16) * 257
        (tmp_path / "8.png").write_bytes(png.encode(deep, chunks))
    upright = read_pixels(tmp_path / "8.png")
    photo = read_photo(tmp_path / "8.png")
    assert photo.colour.dtype == dtype
    np.testing.assert_array_equal(photo.seen, upright)
    np.testing.assert_array_equal(photo.colour // (257 if dtype == np.uint16 else 1), upright)


def test_a_transparent_colour_becomes_alpha(tmp_path: Path) -> None:
    pixels = values(3)
    key = tuple(int(v) for v in pixels[3, 4])
    Image.fromarray(pixels).save(tmp_path / "8.png", transparency=key)
    chunks = PngInfo()
    chunks.add(b"tRNS", np.array(key, ">u2").tobytes())
    (tmp_path / "16.png").write_bytes(png.encode(pixels.astype(np.uint16), chunks))
    for name, opaque in (("8.png", 255), ("16.png", 65535)):
        alpha = read_photo(tmp_path / name).alpha
        assert alpha is not None and alpha[3, 4, 0] == 0
        assert (alpha == opaque).sum() == (pixels != key).any(-1).sum()


def test_what_is_seen_is_what_others_read(tmp_path: Path) -> None:
    Image.fromarray(values(4)).save(tmp_path / "rgba.png")
    Image.fromarray(values(4)).convert("P").save(tmp_path / "palette.png", transparency=3)
    Image.fromarray(values(3)).convert("L").save(tmp_path / "grey.jpg")
    Image.fromarray(values(4), "CMYK").save(tmp_path / "cmyk.jpg", icc_profile=PROFILE)
    Image.fromarray(values(4)).save(tmp_path / "alpha.webp", lossless=True)
    for path in sorted(tmp_path.iterdir()):
        photo = read_photo(path)
        np.testing.assert_array_equal(photo.seen, read_pixels(path))
        assert photo.colour.shape == (20, 24, 3)
        assert (photo.alpha is not None) == (path.stem in ("rgba", "palette", "alpha"))


def test_a_profile_of_another_colour_space_is_dropped(tmp_path: Path) -> None:
    grey = PROFILE[:16] + b"GRAY" + PROFILE[20:]
    Image.fromarray(values(1)[..., 0]).save(tmp_path / "a.png", icc_profile=grey)
    assert read_photo(tmp_path / "a.png").icc_profile is None


def test_a_broken_deep_file_is_reported(tmp_path: Path) -> None:
    content = deep_png(values(3, np.uint16), 2)
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableImageError):
        read_photo(tmp_path / "a.png")
