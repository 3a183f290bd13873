"""Formats of outputs, and what is said of photos that are not what they seem."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from alrl_jax.commands.verify_image import verify
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.swapping import Swapping
from alrl_jax.photos import decoding
from alrl_jax.photos.decoding import UnreadableImageError, read_image, read_pixels
from alrl_jax.photos.pair_list import PairFiles
from alrl_jax.provenance.encoding import ENCODERS, NotEncodableError
from alrl_jax.utils import hashing, png
from tests.support import photo_kinds
from tests.support.fakes import FakeSwapper
from tests.support.photo_files import write_photo

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
HEIC = Path(__file__).parents[1] / "goldens" / "photo.heic"
"""``photo_kinds.image()``."""


def run(folder: Path, pair: PairFiles, **choices: Any) -> dict[str, Any]:
    (folder / "out").mkdir(exist_ok=True)
    swapping = Swapping(FakeSwapper(), Settings(aligned=True, **choices), folder / "out")
    (result,) = swapping.run([pair], 1)
    return result


@pytest.mark.parametrize(("name", "suffix"), [("jpeg", ".jpg"), ("webp", ".webp")])
def test_outputs_are_of_the_format_that_is_asked_for(
    tmp_path: Path, name: str, suffix: str
) -> None:
    """With size, profile, metadata and mark; a mask stays a PNG."""
    y, x = np.mgrid[:320, :300]
    waves = np.stack([128 + 60 * np.sin((x + k * y) / 23) for k in range(3)], axis=-1)
    Image.fromarray(waves.astype(np.uint8)).save(tmp_path / "t.png", icc_profile=PROFILE)
    pair = PairFiles(write_photo(tmp_path / "s.png", 0), tmp_path / "t.png")
    result = run(tmp_path, pair, format=name, masks=True)
    path = tmp_path / "out" / result["output"]
    assert path.suffix == suffix and result["status"] == "done"
    with Image.open(path) as image:
        assert image.format == name.upper() and image.size == (300, 320)
        assert image.info["icc_profile"] == PROFILE
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert sidecar["output"]["sha256"] == hashing.file_sha256(path)
    assert sidecar["mask"]["file"] == f"masks/{path.stem}.png"
    said = verify(path)
    assert said["metadata"]["modelSHA256"] == sidecar["model"]["sha256"]
    assert said["metadata"]["digitalSourceType"].endswith("compositeWithTrainedAlgorithmicMedia")
    assert said["marked"], "the mark outlives the encoding"
    assert run(tmp_path, pair, format=name, masks=True)["status"] == "skipped"
    assert run(tmp_path, pair, masks=True)["output"].endswith(".png")


def test_deep_and_transparent_pictures_in_other_formats() -> None:
    deep = np.full((20, 30, 4), 32896, np.uint16)
    deep[:10, :, 3] = 0
    for name, opaque in (("jpeg", (255, 255, 255)), ("webp", (128, 128, 128))):
        content = ENCODERS[name][1](deep, {}, None)
        pixels = read_pixels_of(content)
        assert np.abs(pixels[15, 15].astype(int)[:3] - (192 if name == "jpeg" else 128)).max() < 4
        assert np.abs(pixels[3, 15].astype(int)[:3] - opaque).max() < 4
    with pytest.raises(NotEncodableError, match="16383 pixels a side"):
        ENCODERS["webp"][1](np.zeros((1, 16384, 3), np.uint8), {}, None)


def read_pixels_of(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def test_too_large_for_a_format_fails_the_pair(tmp_path: Path) -> None:
    (tmp_path / "t.png").write_bytes(png.encode(np.zeros((16, 16400, 3), np.uint8)))
    pair = PairFiles(write_photo(tmp_path / "s.png", 0), tmp_path / "t.png")
    result = run(tmp_path, pair, format="webp", mark=False)
    assert result["status"] == "failed" and "16383" in result["reason"]
    assert not list((tmp_path / "out").glob("*.webp"))


@pytest.mark.parametrize("name", ["animated.gif", "animated.webp", "animated.png"])
def test_the_first_of_several_pictures_is_said(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / name).write_bytes(photo_kinds.READABLE[name]())
    pair = PairFiles(write_photo(tmp_path / "s.png", 0), tmp_path / name)
    result = run(tmp_path, pair)
    assert result["notes"] == ["target: the first of 3 pictures"]
    sidecar = (tmp_path / "out" / result["output"]).with_suffix(".json")
    assert json.loads(sidecar.read_text())["notes"] == result["notes"]
    assert run(tmp_path, pair)["notes"] == result["notes"], "of an earlier run too"


def test_a_photo_that_can_hardly_be_a_crop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        "alrl_jax.photos.face_photos.logging.log_first_n",
        lambda level, text, count, *values: said.append(text % values),
    )
    square = write_photo(tmp_path / "s.png", 0)
    run(tmp_path, PairFiles(square, write_photo(tmp_path / "t.png", 1, (20, 32))))
    assert len(said) == 1 and said[0].startswith("t.png has 32x20 pixels")
    run(tmp_path, PairFiles(square, write_photo(tmp_path / "t.png", 1, (32, 32))))
    assert len(said) == 1


def test_a_crop_in_which_the_model_sees_no_face(tmp_path: Path) -> None:
    class Faint(FakeSwapper):
        def mask(self, batch: int) -> Any:
            return super().mask(batch) * 0.01

    pair = PairFiles(write_photo(tmp_path / "s.png", 0), write_photo(tmp_path / "t.png", 1))
    (tmp_path / "out").mkdir()
    (result,) = Swapping(Faint(), Settings(aligned=True), tmp_path / "out").run([pair], 1)
    assert result["status"] == "done" and "hardly a face" in result["notes"][0]
    assert run(tmp_path, pair, mark=False)["notes"] == []


def test_heic_without_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_opens_heif", lambda: False)
    with pytest.raises(UnreadableImageError, match=r"pip install 'alrl_jax\[heif\]'"):
        read_pixels(HEIC)
    (tmp_path / "a.avif").write_bytes(b"\0\0\0\x1cftypmif1" + bytes(40))
    with pytest.raises(UnreadableImageError, match="not a JPEG"):
        read_pixels(tmp_path / "a.avif")


def test_heic_shows_the_photo() -> None:
    pytest.importorskip("pi_heif")
    pixels = read_image(HEIC, photo_kinds.SIDE)
    assert np.abs(pixels.astype(int) - np.asarray(photo_kinds.image())).mean() < 12
