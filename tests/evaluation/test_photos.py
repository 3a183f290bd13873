"""Pairs of photographs: every figure against a computation of its own, and nulls without judges."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from PIL import Image

from alrl_jax import evaluate
from alrl_jax.data.parsing_classes import BISENET_LABELS
from alrl_jax.errors import UserError
from alrl_jax.evaluation import opening, photos, presets
from alrl_jax.evaluation.fid import frechet_distance, measure_files, measure_images
from alrl_jax.evaluation.image_metrics import PSNR_CAP
from alrl_jax.evaluation.judges import Judges
from alrl_jax.evaluation.metric_table import METRICS, OF_PHOTOS
from alrl_jax.evaluation.protocol import describe
from alrl_jax.evaluation.report import report
from alrl_jax.loading import load
from alrl_jax.models.published.inception import resize_for_inception
from alrl_jax.photos.alignment import crop_face, ffhq
from alrl_jax.photos.landmarks import FaceFinder
from alrl_jax.photos.pair_list import PairFiles, draw_pairs, read_pairs
from alrl_jax.types import SwapOutput
from alrl_jax.worlds import primitives
from tests.evaluation.test_fid import Thumbnails
from tests.support.fakes import FakeSwapper

SIDE = 32
PEOPLE = 6


class Lossy(FakeSwapper):
    """Loses a tenth of the contrast of what it draws."""

    def swap(self, source: Array, target: Array, **options: Any) -> SwapOutput:
        drawn = 0.9 * jnp.asarray(source)
        return super().swap(drawn, target, **options)


class Inception(Thumbnails):
    def __call__(self, images: Any) -> Any:
        return self.features(np.asarray(resize_for_inception(images)))


class Network:
    """What every model says of itself."""

    kind = ""
    config: dict[str, Any] = {}
    variables = {"params": {"w": np.ones(3, np.float32)}}


class Embedder(Network):
    """Unit vectors of pixels, as a published identity net: takes images of its size alone."""

    kind = "arcface"
    config = {"resolution": 16}

    def __call__(self, images: Array) -> Array:
        assert images.shape[1:] == (16, 16, 3)
        flat = images.reshape(len(images), -1) + 0.1
        return flat / jnp.linalg.norm(flat, axis=1, keepdims=True)


class Parser(Network):
    """Sees a nose in the middle quarter of everything, in a parser's order of classes."""

    kind = "face_parser"

    def __call__(self, images: Array) -> Array:
        classes = np.zeros(images.shape[:3], int)
        quarter = images.shape[1] // 4
        classes[:, quarter:-quarter, quarter:-quarter] = BISENET_LABELS.index("nose")
        return jnp.asarray(np.eye(len(BISENET_LABELS), dtype=np.float32)[classes])


class Distance(Network):
    kind = "lpips"

    def __call__(self, a: Array, b: Array) -> Array:
        return jnp.mean(jnp.abs(jnp.asarray(a) - jnp.asarray(b)), axis=(1, 2, 3))


class Compass(Network):
    """Reads degrees off the corner of an image."""

    kind = "hopenet"

    def __call__(self, images: Array) -> Array:
        assert images.shape[1:] == (224, 224, 3)
        return 30 * images[:, 0, 0]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[PairFiles]:
    """Five pairs of noise; the first source and the first target come twice."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(
            folder / f"{i}.png"
        )
    lines = ("0.png,4.png,V", "1.png,5.png,I", "2.png,6.png,", "3.png,4.png,V", "0.png,7.png,II")
    (folder / "pairs.csv").write_text("source,target,skin_tone\n" + "\n".join(lines) + "\n")
    return read_pairs(folder / "pairs.csv")


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(np.float64)


def _measure(
    pairs: list[PairFiles], judged_by: Judges, protocol: str = "pairs", **settings: Any
) -> tuple[dict[str, Any], Any]:
    values: dict[str, Any] = {"resolution": SIDE, "batch_size": 2, "num_shown": 2} | settings
    chosen = photos.Settings(presets.preset_of(protocol), **values)
    return evaluate.evaluate_pairs(Lossy(SIDE), judged_by, pairs, chosen)


@pytest.fixture(scope="module")
def judged(pairs: list[PairFiles]) -> dict[str, Any]:
    """Figures of all judges together."""
    every = Judges(Embedder(), Compass(), Distance(), Inception(), Parser())
    return _measure(pairs, every)[0]["rows"]


def _swapped(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The result of ``Lossy`` for 8-bit images, in 8 bits."""
    result = target.copy()
    middle = slice(SIDE // 4, 3 * SIDE // 4)
    drawn = np.rint(127.5 + 0.9 * (source - 127.5))
    result[middle, middle] = drawn[middle, middle]
    return result


def _decibels(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean(np.square(a - b))))


def test_a_swap_with_itself_is_measured_against_the_photo(
    pairs: list[PairFiles], judged: dict[str, Any]
) -> None:
    targets = [_pixels(pair.target) for pair in pairs]
    answers = [_swapped(target, target) for target in targets]
    row = judged["self_swap"]
    whole = np.mean([_decibels(a, b) for a, b in zip(answers, targets, strict=True)])
    assert row["psnr"] == pytest.approx(whole, rel=1e-4)
    middle = (slice(SIDE // 4, 3 * SIDE // 4),) * 2
    face = [_decibels(a[middle], b[middle]) for a, b in zip(answers, targets, strict=True)]
    assert row["face_psnr"] == pytest.approx(np.mean(face), rel=1e-4)
    apart = [np.abs(a - b).mean() / 127.5 for a, b in zip(answers, targets, strict=True)]
    assert row["lpips"] == pytest.approx(np.mean(apart), rel=1e-4)
    assert row["mask_iou"] == 1 and row["background_psnr"] == PSNR_CAP
    assert 0.5 < row["ssim"] < 1 and row["identity_similarity"] > 0.9
    assert row["identity_top1"] is None, "its person is in no gallery"
    for name in ("psnr", "ssim", "lpips", "face_psnr", "mask_iou"):
        assert judged["adaptive"][name] is None, "the true swap is unknown"


def test_identity_pose_and_background(pairs: list[PairFiles], judged: dict[str, Any]) -> None:
    assert judged["source_image"]["identity_similarity"] == pytest.approx(1, abs=1e-5)
    assert judged["source_image"]["identity_top1"] == 1
    assert judged["adaptive"]["identity_top1"] == 1
    assert judged["adaptive"]["identity_top5"] is None, "of four source photos"
    assert judged["adaptive"]["pose_error_degrees"] == 0, "the corner is not swapped"
    assert judged["adaptive"]["background_psnr"] == PSNR_CAP
    corners = []
    for pair in pairs:
        seen = [
            np.asarray(photos.judges.resize(photos.read_crop(p, SIDE, None)[None], 224))[0, 0, 0]
            for p in (pair.source, pair.target)
        ]
        corners.append(30 * np.linalg.norm(seen[0] - seen[1]))
    assert judged["source_image"]["pose_error_degrees"] == pytest.approx(np.mean(corners), rel=1e-4)
    grown = SIDE // 4 - round(3 * SIDE / 64)
    outside = np.ones((SIDE, SIDE), bool)
    outside[grown:-grown, grown:-grown] = False
    apart = [_decibels(_pixels(p.source)[outside], _pixels(p.target)[outside]) for p in pairs]
    assert judged["source_image"]["background_psnr"] == pytest.approx(np.mean(apart), rel=1e-4)


def test_fid_is_that_of_files(
    pairs: list[PairFiles], judged: dict[str, Any], tmp_path: Path
) -> None:
    swaps = [_swapped(_pixels(p.source), _pixels(p.target)).astype(np.uint8) for p in pairs]
    targets = sorted({pair.target for pair in pairs})
    reference = measure_files(Inception(), targets)
    expected = frechet_distance(measure_images(Inception(), swaps), reference)
    assert reference.count == 4 and expected > 1e-3
    assert judged["adaptive"]["fid"] == pytest.approx(expected, rel=1e-4)
    assert judged["adaptive"]["fid_ci95"] is None
    others = measure_files(Inception(), [pair.source for pair in pairs], tmp_path)
    rows = _measure(pairs, Judges(inception=Inception()), fid_reference=others)[0]["rows"]
    assert rows["source_image"]["fid"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(UserError, match="--inception with 1 pairs"):
        _measure(pairs[:1], Judges(inception=Inception()))
    with pytest.raises(UserError, match="without --inception"):
        opening.open_reference(str(tmp_path), Judges())


def test_what_no_judge_says_is_null(pairs: list[PairFiles], tmp_path: Path) -> None:
    blocks, found = _measure(pairs, Judges())
    for name, row in blocks["rows"].items():
        measured = {m for m in METRICS if row[m] is not None}
        assert measured == ({"psnr", "ssim"} if name == "self_swap" else set()), name
        assert all(row[f"{m}_ci95"] is None for m in METRICS if m not in measured)
    described = opening.describe_judges(Judges(), {}, presets.PROTOCOLS["pairs"], "", Lossy())
    assert described["judge_seen_in_training"] is None
    assert set(described["judges"]) == set(presets.ROLES)
    assert not any(described["judges"].values())
    extra = blocks["protocol"] | described | {"benchmark": "pairs", "protocol": "pairs"}
    blocks["protocol"] = describe(extra | {"num_pairs": len(pairs)}, photos.NOTES, None)
    page = evaluate.write_outputs(tmp_path, blocks, found, report.Extras()).read_text()
    for metric in OF_PHOTOS:
        assert metric in page
    assert page.count("not measured") > 40 and "photographs" in page and "self_swap" in page


def test_figures_do_not_depend_on_the_batch(pairs: list[PairFiles], judged: dict[str, Any]) -> None:
    every = Judges(Embedder(), Compass(), Distance(), Inception(), Parser())
    other = _measure(pairs, every, batch_size=5)[0]["rows"]
    for name, row in judged.items():
        for metric in METRICS:
            assert (row[metric] is None) == (other[name][metric] is None)
            if row[metric] is not None:
                assert row[metric] == pytest.approx(other[name][metric], rel=1e-4, abs=1e-4)


def test_skin_tones_of_the_list(pairs: list[PairFiles], judged: dict[str, Any]) -> None:
    tones = judged["self_swap"]["by_skin_tone"]
    assert {name: tone["count"] for name, tone in tones.items()} == {"I": 1, "II": 1, "V": 2}
    target = _pixels(pairs[1].target)
    alone = _decibels(_swapped(target, target), target)
    assert tones["I"]["psnr"] == pytest.approx(alone, rel=1e-4)
    assert tones["I"]["fid"] is None
    plain = [dataclasses.replace(pair, skin_tone="") for pair in pairs]
    assert "by_skin_tone" not in _measure(plain, Judges())[0]["rows"]["self_swap"]


def test_protocols_are_had_or_refused(pairs: list[PairFiles]) -> None:
    blocks, _ = _measure(pairs, Judges(), "self_swap")
    assert set(blocks["rows"]) == {"target_image", "self_swap"} and not blocks["comparisons"]
    masked = Judges(Embedder(), Compass(), parser=Parser())
    rows = _measure(pairs, masked, "reface")[0]["rows"]

    assert rows["adaptive"]["identity_similarity"] > 0.95, "the net sees nothing but the face"
    for name in ("casia", "ffpp"):
        with pytest.raises(UserError, match=f"{name}; expected one .* CosFace.*; take "):
            opening.open_judges(name, {})
    with pytest.raises(UserError, match="no --identity_judge with --protocol=reface.*arcface"):
        presets.check_judges("reface", {"pose": "hopenet"})
    with pytest.raises(UserError, match="--pose_judge of kind 'judge'.*expected.*hopenet"):
        presets.check_judges("ffpp_degrees", {"identity": "iresnet", "pose": "judge"})
    with pytest.raises(UserError, match="--lpips=embedded/judge_64.*'judge'; expected lpips"):
        opening.open_judges("pairs", {"lpips": "embedded/judge_64"})


def test_synthetic_people_as_photographs(tmp_path: Path) -> None:
    """The readings of the shipped judge for rendered files are near the truth."""
    key = primitives.split_key("test", 3)
    people = primitives.sample_identities(key, 2 * PEOPLE)
    faces = primitives.render(people, primitives.sample_attributes(key, 2 * PEOPLE), 64)
    for i, image in enumerate(np.asarray(faces.image)):
        Image.fromarray(photos.fid.as_stored(image[None])[0]).save(tmp_path / f"{i}.png")
    lines = "".join(f"{i}.png,{i + PEOPLE}.png\n" for i in range(PEOPLE))
    (tmp_path / "pairs.csv").write_text("source,target\n" + lines)
    named = {"identity": "embedded/judge_64", "pose": "embedded/judge_64"}
    preset, judged_by = opening.open_judges("pairs", named)
    settings = photos.Settings(preset, 64, batch_size=PEOPLE)
    pairs = read_pairs(tmp_path / "pairs.csv")
    rows = evaluate.evaluate_pairs(Lossy(64), judged_by, pairs, settings)[0]["rows"]
    degrees = np.asarray(faces.pose_degrees)
    true = np.linalg.norm(degrees[:PEOPLE] - degrees[PEOPLE:], axis=1).mean()
    assert rows["source_image"]["pose_error_degrees"] == pytest.approx(true, abs=2.5)
    assert rows["source_image"]["identity_top1"] == 1
    assert rows["target_image"]["identity_similarity"] < 0.5
    embedder = load("embedded/judge_64")
    first, second = (np.asarray(embedder(faces.image[s])) for s in (slice(6), slice(6, None)))
    direct = np.sum(first * second, axis=1).mean()
    assert rows["target_image"]["identity_similarity"] == pytest.approx(direct, abs=0.02)


def test_pairs_of_a_folder(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        Image.new("RGB", (20, 20)).save(tmp_path / f"{name}.png")
    pairs = draw_pairs(tmp_path, None, seed=1)
    assert sorted(p.source.name for p in pairs) == ["a.png", "b.png", "c.png"]
    assert all(pair.source != pair.target for pair in pairs)
    every = draw_pairs(tmp_path, 6, seed=1)
    assert every[:3] == pairs and len({(p.source, p.target) for p in every}) == 6
    with pytest.raises(UserError, match="--num_pairs=7 of 3 photos; expected at most 6"):
        draw_pairs(tmp_path, 7, seed=1)
    with pytest.raises(UserError, match="at least two"):
        draw_pairs(tmp_path / "none", None, seed=1)


def test_numbers_that_are_not_finite_are_refused(
    pairs: list[PairFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    def mask(self: FakeSwapper, batch: int) -> Array:
        return jnp.full((batch, SIDE, SIDE, 1), jnp.nan)

    monkeypatch.setattr(Lossy, "mask", mask)
    with pytest.raises(UserError, match="not finite in row self_swap"):
        _measure(pairs, Judges())


def test_a_photo_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    missing = [PairFiles(tmp_path / "a.png", tmp_path / "b.png")]
    with pytest.raises(UserError, match="a.png"):
        _measure(missing, Judges())
    with pytest.raises(UserError, match="a.png"):
        photos.pictures_sha256(missing)


def test_crops_follow_landmarks(pairs: list[PairFiles], tmp_path: Path) -> None:
    folder = pairs[0].source.parent
    points = [[10.0, 12.0], [21.0, 12.0], [15.5, 17.0], [11.0, 22.0], [20.0, 22.0]]
    list_file = folder / "faces.json"
    list_file.write_text(json.dumps({"0.png": points}))
    finder = FaceFinder("file", list_file, SIDE)
    found = photos.read_crop(folder / "0.png", SIDE, finder)
    with Image.open(folder / "0.png") as image:
        expected = crop_face(np.asarray(image), ffhq(np.array(points) + 0.5, SIDE))
    np.testing.assert_allclose(found, expected, atol=1.01 / 127.5)
    assert not np.allclose(found, photos.read_crop(folder / "0.png", SIDE, None), atol=0.1)
    with pytest.raises(UserError, match="1.png .*expected a face in it"):
        photos.read_crop(folder / "1.png", SIDE, finder)
    described = opening.describe_pairs(pairs, folder / "pairs.csv", None, "file", list_file)
    assert "FFHQ's crop" in described["detector"] and len(described["detector_file_sha256"]) == 64
    assert tuple(described[n] for n in ("num_pairs", "gallery_size", "num_target_pictures")) == (
        5,
        4,
        4,
    )
