"""Forensics sets: disjoint people, equally processed counterparts, nothing that tells the label."""

import csv
import json
import shutil
import tarfile
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from absl import flags
from PIL import Image

from alrl_jax.commands import make_dataset
from alrl_jax.commands.verify_image import verify
from alrl_jax.errors import UserError
from alrl_jax.inference.forensics.plan import split_people
from alrl_jax.inference.forensics.processing import COMPRESSIONS, difference
from alrl_jax.utils import hashing
from tests.support.fakes import FakeSwapper

PEOPLE, FAKES, SIDE = 15, 20, 40


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each of some people, two face crops in it."""
    root = tmp_path_factory.mktemp("faces")
    for person in range(PEOPLE):
        (root / f"person{person:02d}").mkdir()
        for number in range(2):
            rng = np.random.default_rng([person, number])
            coarse = np.kron(rng.integers(40, 216, (10, 10, 3)), np.ones((4, 4, 1)))
            path = root / f"person{person:02d}" / f"{number}.png"
            Image.fromarray(coarse.astype(np.uint8)).save(path)
    return root


def run(photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> int:
    values = {
        "model": "m",
        "output": str(output),
        "faces": str(photos),
        "world": None,
        "people": 14,
        "images_per_person": 1,
        "fakes": FAKES,
        "seed": 3,
        "methods": ["swap", "reenactment", "attribute"],
        "compressions": ["png", "jpeg50"],
        "size": 32,
        "marks": "none",
        "layouts": [],
        "aligned": True,
        "landmarks_from": None,
        "landmarks_path": None,
        "part": "0/1",
        "batch_size": 8,
    }
    monkeypatch.setattr(make_dataset, "load_swapper", lambda directory: FakeSwapper())
    monkeypatch.setattr(flags, "FLAGS", types.SimpleNamespace(**(values | given)))
    return make_dataset.main(["make_dataset"])


def rows_of(output: Path) -> list[dict[str, str]]:
    with (output / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def contents(output: Path) -> dict[str, str]:
    """Hashes of all files of a set."""
    return {
        path.relative_to(output).as_posix(): hashing.file_sha256(path)
        for path in sorted(output.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with all layouts."""
    output = tmp_path_factory.mktemp("sets") / "SET"
    layouts = ["csv", "webdataset", "ffpp", "deepfakebench"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert run(photos, output, monkeypatch, layouts=layouts) == 0
    return output


def test_people_are_of_one_split_and_every_fake_has_its_counterpart(made: Path) -> None:
    rows = rows_of(made)
    assert len(rows) == 2 * FAKES
    people: dict[str, set[str]] = {}
    for row in rows:
        people.setdefault(row["split"], set()).update(
            {row["target_person"], row["source_person"]} - {""}
        )
    assert set(people) == {"train", "validation", "test"}
    assert sum(map(len, people.values())) == len(set.union(*people.values()))
    fakes = {row["file"]: row for row in rows if row["label"] == "fake"}
    reals = {row["file"]: row for row in rows if row["label"] == "real"}
    assert len(fakes) == len(reals) == FAKES
    assert {row["method"] for row in fakes.values()} == {"swap", "reenactment", "attribute"}
    for row in fakes.values():
        real = reals[row["counterpart"]]
        assert real["counterpart"] == row["file"] and not real["mask"] and not real["method"]
        for name in ("item", "split", "target", "size", "compression", "window", "marked"):
            assert row[name] == real[name]
        assert row["source_person"] != row["target_person"]
        assert row["group"] == ("expression" if row["method"] == "attribute" else "")
    slots = [row["file"].endswith("_a.png") for row in fakes.values()]
    assert 0 < sum(slots) < FAKES, "the name does not tell"


def test_masks_say_what_is_generated_and_what_differs(made: Path, photos: Path) -> None:
    for row in rows_of(made):
        if row["label"] == "real":
            continue
        fake, real = (pixels(made / row[name]) for name in ("file", "counterpart"))
        assert fake.shape == real.shape == (32, 32, 3)
        mask, after = pixels(made / row["mask"]), pixels(made / row["mask_compressed"])
        np.testing.assert_array_equal(after[..., None], difference(fake, real))
        assert mask.max() > 0
        if row["compression"] == "png":
            outside = np.asarray(Image.fromarray(mask).resize((32, 32))) == 0
            assert (after[outside] <= 40).all() and np.median(after[outside]) == 0
            box = json.loads(row["window"])
            with Image.open(photos / row["target"]) as photo:
                shown = photo.resize((32, 32), Image.Resampling.LANCZOS, box=box)
                np.testing.assert_array_equal(real, np.asarray(shown))


def test_layouts_hold_the_same_pictures(made: Path) -> None:
    rows = rows_of(made)
    known = {Path(row["file"]).stem: row for row in rows}
    seen = {}
    for shard in sorted((made / "webdataset").glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar.getmembers():
                key, _, suffix = member.name.partition(".")
                file = tar.extractfile(member)
                assert file is not None
                seen.setdefault(key, {})[suffix] = file.read()
                assert known[key]["split"] == shard.name.rpartition("-")[0]
    assert set(seen) == set(known)
    for key, parts in seen.items():
        assert parts["png"] == (made / known[key]["file"]).read_bytes()
        assert parts["cls"] == (b"1" if known[key]["label"] == "fake" else b"0")
        assert ("mask.png" in parts) == (known[key]["label"] == "fake")
        assert json.loads(parts["json"])["sha256"] == known[key]["sha256"]
    tree = json.loads((made / "deepfakebench" / "SET.json").read_text())["SET"]
    assert set(tree) == {"SET_fake", "SET_real"}
    assert set(tree["SET_fake"]) == {"train", "val", "test"}
    frames = [
        frame
        for label in tree.values()
        for split in label.values()
        for video in split.values()
        for frame in video["frames"]
    ]
    assert sorted(frames) == sorted(row["file"] for row in rows)
    originals = list((made / "ffpp" / "original_sequences").rglob("0000.png"))
    pairs = [json.loads(p.read_text()) for p in (made / "ffpp" / "splits").glob("*.json")]
    assert len(originals) == FAKES == sum(map(len, pairs))
    for target, source in (pair for own in pairs for pair in own):
        manipulated = made / "ffpp" / "manipulated_sequences"
        found = list(manipulated.rglob(f"frames/{target}_{source}/0000.png"))
        assert len(found) == 2 and len([p for p in found if "masks" in p.parts]) == 1


def test_parts_and_stops_change_nothing(
    made: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts = ["csv", "webdataset", "ffpp", "deepfakebench"]
    output = tmp_path / "SET"
    assert run(photos, output, monkeypatch, part="1/2", layouts=layouts) == 0
    assert not (output / "manifest.csv").exists()
    for spoilt in sorted((output / "images").rglob("*.png"))[:3]:
        spoilt.write_bytes(b"half")
    for lost in sorted((output / "items").rglob("*.json"))[5:8]:
        lost.unlink()
    assert run(photos, output, monkeypatch, part="0/2", layouts=layouts) == 0
    assert not (output / "manifest.csv").exists(), "items of the other part are not whole"
    assert run(photos, output, monkeypatch, part="1/2", layouts=layouts) == 0
    assert contents(output) == contents(made)
    assert run(photos, output, monkeypatch, fakes=FAKES + 2, layouts=layouts) == 0
    grown = rows_of(output)
    assert grown[: 2 * FAKES] == rows_of(made) and len(grown) == 2 * FAKES + 4


def probe(features: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy of a linear probe that is fitted to every other item."""
    scaled = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-9)
    design = np.concatenate([scaled, np.ones((len(scaled), 1))], axis=1)
    train = np.arange(len(labels)) // 2 % 2 == 0
    ridge = design[train].T @ design[train] + 1e-3 * np.eye(design.shape[1])
    weights = np.linalg.solve(ridge, design[train].T @ (2.0 * labels[train] - 1))
    return float(np.mean((design[~train] @ weights > 0) == labels[~train]))


def features_of(path: Path) -> list[float]:
    """What a file says beside its picture: its name, its chunks, metadata and mark."""
    chunks, data = [], path.read_bytes()[8:]
    while data:
        length, name = int.from_bytes(data[:4], "big"), data[4:8]
        chunks += [(name, length)] if name != b"IDAT" else []
        data = data[length + 12 :]
    found = verify(path)
    return [
        float(path.stem.endswith("a")),
        float(len(chunks)),
        float(sum(length for _, length in chunks)),
        float(len(found["metadata"] or {})),
        float(bool(found["marked"])),
        *pixels(path).shape,
    ]


@pytest.mark.parametrize("marks", ["none", "all"])
def test_metadata_and_mark_do_not_tell_the_label(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marks: str
) -> None:
    given = {"marks": marks, "fakes": 30 if marks == "none" else 12, "compressions": ["png"]}
    assert run(photos, tmp_path / "set", monkeypatch, **given, size=256) == 0
    rows = rows_of(tmp_path / "set")
    labels = np.array([row["label"] == "fake" for row in rows])
    features = np.array([features_of(tmp_path / "set" / row["file"]) for row in rows])
    assert {row["marked"] for row in rows} == {str(marks == "all").lower()}
    assert (features[:, 3] > 0).all() == (features[:, 4] > 0).all() == (marks == "all")
    most = 0.5 + 1.96 * 0.5 / np.sqrt(len(rows) / 2)
    assert probe(features, labels) <= most
    told = features.copy()
    told[:, 2] += 100 * labels
    assert probe(told, labels) == 1.0


def test_photos_that_cannot_be_used_fail_their_items(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(photos, tmp_path / "faces")
    (tmp_path / "faces" / "person04" / "1.png").write_bytes(b"no photo")
    assert run(tmp_path / "faces", tmp_path / "set", monkeypatch) == 3
    rows = rows_of(tmp_path / "set")
    assert 0 < len(rows) < 2 * FAKES and len(rows) % 2 == 0
    out = capsys.readouterr().out
    assert f"{FAKES - len(rows) // 2} items failed" in out and "not a JPEG" in out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"world": "humans"}, "expected one of them"),
        ({"faces": None}, "expected one of them"),
        ({"faces": "none"}, "a folder of photos for each"),
        ({"methods": ["blink"]}, "--methods=blink"),
        ({"compressions": ["png", "png"]}, "--compressions=png,png"),
        ({"layouts": ["tfds"]}, "--layouts=tfds"),
        ({"part": "4/4"}, "--part=4/4"),
        ({"size": 33}, "--size=33"),
        ({"marks": "all"}, "--size=32"),
    ],
)
def test_mistakes_are_one_line_each(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        run(photos, tmp_path / "set", monkeypatch, **given)
    assert not (tmp_path / "set").exists()


def test_another_recipe_is_refused(
    made: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="a set of other splits, seed"):
        run(photos, made, monkeypatch, seed=4)
    with pytest.raises(UserError, match="14 of them"):
        split_people(["a", "b", "c"], 0)


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compressions_lose_more_and_more_and_are_repeatable(name: str) -> None:
    if name.startswith("c"):
        pytest.importorskip("av")
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(0, 256, (16, 16, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    picture = (picture // 2 + rng.integers(0, 64, picture.shape)).astype(np.uint8)
    once, again = (COMPRESSIONS[name](picture) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    error = float(np.abs(once.astype(int) - picture).mean())
    assert once.shape == picture.shape and (error == 0) == (name == "png")
    if name == "c40":
        assert error > float(np.abs(COMPRESSIONS["c23"](picture).astype(int) - picture).mean())
