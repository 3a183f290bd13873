"""The mark: what it survives, what it costs, and that images without it are not called marked."""

import datetime
import json
import math
import types
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from PIL import Image, ImageFilter

from alrl_jax.errors import UserError
from alrl_jax.provenance.watermark import codec, fit, payload_code, waves
from tools.bench import measure_watermark
from tools.bench.measure_watermark import ATTACKS, crop, jpeg, resize

PAYLOAD = payload_code.make_payload("0123abcd" * 8, datetime.date(2026, 11, 25))


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Discs and boxes of any colour over a gradient, with grain: edges, flats and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / min(height, width)
    image = np.stack([90 + 60 * y, 120 + 40 * x, 150 - 50 * y], -1)
    for _ in range(25):
        cy, cx, r = rng.random(3) * [y.max(), x.max(), 0.25]
        inside = np.hypot(y - cy, x - cx) < r if rng.random() < 0.5 else abs(y - cy + x - cx) < r
        image[inside] = 0.6 * image[inside] + 0.4 * rng.uniform(20, 235, 3)
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def test_code_corrects_errors_and_refuses_wrong_words() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        number = int(rng.integers(2**payload_code.PAYLOAD_BITS))
        sent = 1.0 - 2.0 * payload_code.encode(number)
        assert payload_code.decode(sent + rng.normal(0, 1.3, sent.shape)) == (number, True)
        flipped = sent * np.where(rng.random(sent.shape) < 0.1, -1, 1)
        assert payload_code.decode(flipped) == (number, True)
    valid = sum(payload_code.decode(rng.normal(size=sent.shape))[1] for _ in range(100))
    assert valid <= 1


def test_crc_is_the_published_one() -> None:
    """CRC-16/CCITT-FALSE of "123456789" is 0x29b1."""
    assert payload_code.crc(int.from_bytes(b"123456789", "big"), 72) == 0x29B1


def test_payload_holds_format_model_and_week() -> None:
    number = payload_code.pack(PAYLOAD)
    assert number.bit_length() <= payload_code.PAYLOAD_BITS == 48
    again = payload_code.unpack(number)
    assert again == PAYLOAD == payload_code.Payload("0123abcd", datetime.date(2026, 11, 23), 1)


@pytest.mark.parametrize("sha256, year", [("xyz", 2026), ("0123", 2026), ("0" * 64, 2023)])
def test_bad_payloads_are_refused(sha256: str, year: int) -> None:
    with pytest.raises(UserError, match="got the"):
        payload_code.make_payload(sha256, datetime.date(year, 1, 1))


@pytest.mark.parametrize("size", [(256, 256), (300, 480), (700, 512)])
def test_mark_is_faint_and_read_back(size: tuple[int, int]) -> None:
    image = scene(*size)
    marked = codec.embed(image, PAYLOAD)
    assert marked.shape == image.shape and marked.dtype == np.uint8
    error = np.mean((marked.astype(float) - image) ** 2)
    assert 10 * math.log10(255**2 / error) >= 42
    found = codec.detect(marked)
    assert found.marked and found.payload == PAYLOAD and found.z > 1.5 * codec.THRESHOLD
    before = codec.detect(image)
    assert not before.marked and before.payload is None and before.z < codec.THRESHOLD - 3


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_mark_survives(name: str) -> None:
    marked = codec.embed(scene(256, 256, 1), PAYLOAD)
    attacked = ATTACKS[name](marked, np.random.default_rng(0))
    assert codec.detect(attacked).payload == PAYLOAD


def test_mark_of_a_photograph_survives_two_attacks() -> None:
    marked = codec.embed(scene(480, 640, 2), PAYLOAD)
    attacked = jpeg(crop(marked, 0.8, np.random.default_rng(1)), 70)
    assert codec.detect(attacked).payload == PAYLOAD
    assert codec.detect(jpeg(resize(marked, 0.5), 70)).payload == PAYLOAD


def test_mark_is_heard_in_dense_texture() -> None:
    """Noise 12 times as loud as the mark; fitted to it, the mark can still be read."""
    grain = np.random.default_rng(0).normal(0, 60, (256, 256))
    image = Image.fromarray((grain + 128).clip(0, 255).astype(np.uint8))
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(0.7))).astype(float)
    soft = (soft - soft.mean()) / soft.std() * 25 + 128
    image = np.repeat(soft.clip(0, 255).astype(np.uint8)[..., None], 3, axis=-1)
    marked = codec.embed(image, PAYLOAD)
    assert codec.psnr(image, marked) >= 42
    assert codec.detect(marked).payload == PAYLOAD
    assert not codec.detect(image).marked


def test_gradient_of_the_fit_is_that_of_the_statistic() -> None:
    """But for the levels, which it takes as constants; hence the direction alone."""
    rng = np.random.default_rng(0)
    count = len(waves.pattern().ky)
    turned = rng.normal(size=count) + 1j * rng.normal(size=count) + 0.1
    z, ascent = fit._z(turned)
    terms = waves.agreement(turned, waves.weights(turned))
    assert z == pytest.approx(float(np.sum(np.real(terms))))
    step = 1e-3 * ascent / np.linalg.norm(ascent)
    gained = fit._z(turned + step)[0] - fit._z(turned - step)[0]
    assert gained / 2e-3 == pytest.approx(np.linalg.norm(ascent), rel=0.1)


def test_a_payload_of_another_format_is_no_mark() -> None:
    other = payload_code.Payload(PAYLOAD.model, PAYLOAD.week, format=2)
    found = codec.detect(codec.embed(scene(256, 256), other))
    assert not found.marked and found.payload is None and found.z > codec.THRESHOLD


def test_sixteen_bits() -> None:
    """Deep images keep their depth, and the mark survives the way down to 8 bits."""
    rng = np.random.default_rng(3)
    deep = scene(256, 300).astype(np.uint16) * 257 + rng.integers(0, 100, (256, 300, 3), np.uint16)
    marked = codec.embed(deep, PAYLOAD)
    assert marked.dtype == np.uint16 and codec.psnr(deep, marked) >= 42
    assert len(np.unique(marked % 257)) > 200
    assert codec.detect(marked).payload == PAYLOAD
    assert codec.detect((marked // 257).astype(np.uint8)).payload == PAYLOAD


def test_record_says_what_was_done_and_why_not() -> None:
    day = datetime.date(2026, 11, 25)
    image = scene(256, 256)
    marked, record = codec.mark(image, "0123abcd", day, wanted=True)
    assert record["marked"] and record["readable"] and record["psnr"] >= 42
    assert record["payload"] == {"format": 1, "model": "0123abcd", "week": "2026-11-23"}
    assert (marked != image).any()
    for given, wanted, word in ((image, False, "--nomark"), (image[:200], True, "256 px")):
        same, record = codec.mark(given, "0123abcd", day, wanted=wanted)
        assert same is given and not record["marked"] and word in record["reason"]


def test_a_wrong_clock_matters_to_marks_alone() -> None:
    day, image = datetime.date(2020, 1, 1), scene(256, 256)
    with pytest.raises(UserError, match="set the clock"):
        codec.mark(image, "0123abcd" * 8, day, wanted=True)
    assert not codec.mark(image, "0123abcd" * 8, day, wanted=False)[1]["marked"]
    assert not codec.mark(image[:99], "0123abcd" * 8, day, wanted=True)[1]["marked"]


def test_another_payload_is_another_mark() -> None:
    other = payload_code.make_payload("fedc3210", datetime.date(2026, 11, 25))
    assert codec.detect(codec.embed(scene(256, 256), other)).payload == other


@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_images(value: int) -> None:
    flat = np.full((256, 256, 3), value, np.uint8)
    assert not codec.detect(flat).marked
    marked = codec.embed(flat, PAYLOAD)
    assert np.mean((marked.astype(float) - flat) ** 2) <= 255**2 / 10**4.2
    assert codec.detect(marked).payload == PAYLOAD


def test_noise_and_small_images_are_not_marked() -> None:
    rng = np.random.default_rng(0)
    for size in ((8, 8), (40, 60), (256, 300)):
        noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        assert not codec.detect(noise).marked
    with pytest.raises(UserError, match="at least 256 px"):
        codec.embed(scene(255, 400), PAYLOAD)


def test_threshold_bounds_everything_that_is_tried() -> None:
    """z of random phases has no larger tail than the bound that THRESHOLD rests on."""
    rng = np.random.default_rng(0)
    weights = rng.random(400) ** 2
    angles = rng.random((20000, 400)) * 2 * np.pi
    z = np.cos(angles) @ weights / np.sqrt(np.sum(weights**2) / 2)
    for t in (1.0, 2.0, 3.0):
        assert np.mean(z >= t) <= math.exp(-t * t / 2)
    tried = 2.0**44 * 64**2 * 108 * 3.0**12  # payloads of our format, offsets, scales, moves
    assert tried * math.exp(-(codec.THRESHOLD**2) / 2) < 1e-6


@pytest.mark.slow
def test_attack_matrix_and_null() -> None:
    """Everything on scenes: all decode, nothing without a mark comes near the threshold."""
    scenes = {f"scene {i}": scene(256 + 32 * i, 256 + 64 * i, i) for i in range(6)}
    records = [
        measure_watermark.attacked(n, image, trial)
        for n, image in enumerate(scenes.values())
        for trial in range(2)
    ]
    table = measure_watermark.attack_table(records)
    assert all(row["decoded"] == row["pictures"] for row in table["attacks"].values())
    assert table["psnr"]["min"] >= 42
    null = measure_watermark.null_table(
        [measure_watermark.unmarked(n, image, 20) for n, image in enumerate(scenes.values())]
    )
    assert null["marked"] == 0 and null["pictures"] == 120
    assert null["largest_z"] < codec.THRESHOLD


def test_measuring_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = {"a": scene(256, 256), "b": scene(256, 256, 1)}
    monkeypatch.setattr(measure_watermark, "photographs", lambda: photos)
    monkeypatch.setattr(measure_watermark, "ATTACKS", {"none": lambda image, rng: image})
    given = {"renders": 0, "null_renders": 0, "trials": 1, "crops": 1, "render_crops": 1}
    values = types.SimpleNamespace(output=str(tmp_path), seconds=1e-9, **given)
    monkeypatch.setattr(flags, "FLAGS", values)
    assert measure_watermark.main([]) == 3 and not (tmp_path / "watermark.json").exists()
    assert (tmp_path / "trials.jsonl").read_text().count("\n") == 1, "never none at all"
    values.seconds = 0
    assert measure_watermark.main([]) == 0
    lines = (tmp_path / "trials.jsonl").read_text().splitlines()
    (tmp_path / "trials.jsonl").write_text("\n".join(lines[:1] + lines[2:]) + "\n")
    assert measure_watermark.main([]) == 0
    lines = [json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines()]
    wanted = [(part, name) for part in ("photographs", "null_photographs") for name in "ab"]
    assert sorted((r["part"], r["picture"]) for r in lines) == sorted(wanted)
    table = json.loads((tmp_path / "watermark.json").read_text())
    assert table["photographs"]["attacks"]["none"] == table["photographs"]["attacks"]["none"] | {
        "pictures": 2,
        "decoded": 2,
    }
    assert table["null_photographs"]["marked"] == 0 and table["renders"] is None


def test_resizing_helper_keeps_shape() -> None:
    assert resize(scene(256, 300), 0.5).shape == (128, 150, 3)
    assert Image.fromarray(crop(scene(256, 300), 0.8, np.random.default_rng(0))).size == (240, 205)
