"""Albums: each person has one source in all photos, and whatever fails shows no original."""

import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from absl import flags
from PIL import Image

from alrl_jax import infer
from alrl_jax.errors import UserError
from alrl_jax.photos.landmarks import LANDMARK_SOURCES, FoundFace, LandmarkSource, of_points
from tests.inference.video import test_people
from tests.inference.video.test_people import PATCH, PLACES, SIDE, patch
from tests.inference.video.test_smoothing import FACE
from tests.support.fakes import OF_PHOTOS, PASTED, FakeSwapper

PHOTOS: list[tuple[int, ...]] = [(0, 1), (1,), (), (1, 0), (2,)]
"""The people of every photo, from left to right."""


def write_album(folder: Path) -> None:
    """Photos whose corner says which they are."""
    folder.mkdir(exist_ok=True)
    for number, people in enumerate(PHOTOS):
        pixels = np.full((SIDE, SIDE, 3), 127, np.uint8)
        pixels[:8] = 20 + 10 * number
        for place, person in enumerate(people):
            x, y = PLACES[place]
            pixels[y : y + PATCH, x : x + PATCH] = patch(person)
        Image.fromarray(pixels).save(folder / f"photo_{number}.png")


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """A folder of photos; what the detector finds may be an exception."""
    write_album(tmp_path / "photos")
    found: dict[int, Any] = {}

    def find(path: Path, photo: np.ndarray) -> list[FoundFace]:
        if path.parent.name == "people" or photo.shape[0] != SIDE:
            return [of_points(FACE * 0.3 + PATCH / 2 - 0.3 * np.array([45, 34]))]
        number = round((float(photo[:6].mean()) - 20) / 10)
        if isinstance(found.get(number), Exception):
            raise found[number]
        places = found.get(number, range(len(PHOTOS[number])))
        return [of_points(test_people.landmarks(place)) for place in places]

    monkeypatch.setitem(LANDMARK_SOURCES, "cascade", LandmarkSource(lambda path, options: find, ""))
    return found


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> int:
    values = {
        "model": "m",
        "pairs": None,
        "source": "sample:5",
        "target": str(folder / "photos"),
        **OF_PHOTOS,
        "output": str(folder / "out"),
        **PASTED,
        "detail": None,
        "mark": False,
        "face": "all",
        "batch_size": 4,
    }
    monkeypatch.setattr(infer, "load_swapper", lambda directory: FakeSwapper())
    monkeypatch.setattr(flags, "FLAGS", types.SimpleNamespace(**(values | given)))
    return infer.main(["infer"])


def results(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "out" / "results.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def middle(folder: Path, result: dict[str, Any], place: int) -> np.ndarray:
    with Image.open(folder / "out" / result["output"]) as image:
        return test_people.middle(np.asarray(image.convert("RGB")), place).astype(int)


def originals(people: tuple[int, ...] = (0, 1, 2)) -> list[np.ndarray]:
    edge = PATCH // 2 - 6
    return [patch(person)[edge:-edge, edge:-edge].astype(int) for person in people]


def seen(folder: Path) -> list[str]:
    """Outputs in which somebody can be seen."""
    found = []
    for path in (folder / "out").glob("*.png"):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        for place in PLACES:
            own = test_people.middle(pixels, place)
            if any((own == other).all(axis=-1).mean() > 0.1 for other in originals()):
                found.append(path.name)
    return found


def test_a_person_gets_one_invented_face_in_all_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, album: dict[int, Any]
) -> None:
    assert run(tmp_path, monkeypatch, deidentify=True, format="png") == 0
    records = results(tmp_path)
    assert [r["status"] for r in records] == ["done", "done", "skipped", "done", "done"]
    assert records[2]["output"] is None and "no face found" in records[2]["reason"]
    assert records[0]["output"] == "000000_invented_to_photo_0.png" and not seen(tmp_path)
    of_0 = [middle(tmp_path, records[0], 0), middle(tmp_path, records[3], 1)]
    of_1 = [middle(tmp_path, records[n], place) for n, place in ((0, 1), (1, 0), (3, 0))]
    for same in (of_0, of_1):
        assert max(np.abs(one - same[0]).max() for one in same) <= 2
    assert np.abs(of_0[0] - of_1[0]).mean() > 20
    text = "".join(p.read_text() for p in (tmp_path / "out").glob("*.json*"))
    assert "sample" not in text and "s.png" not in text
    assert run(tmp_path, monkeypatch, deidentify=True) == 0
    assert [r["status"] for r in results(tmp_path)] == ["skipped"] * 5
    assert results(tmp_path)[0]["output"] == records[0]["output"]


@pytest.mark.parametrize("on_failure", ["blur", "withhold"])
def test_what_fails_shows_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, album: dict[int, Any], on_failure: str
) -> None:
    assert run(tmp_path, monkeypatch) == 0
    album[1] = RuntimeError("odd")
    album[3] = MemoryError()
    (tmp_path / "photos" / "photo_4.png").write_bytes(b"no photo")
    assert run(tmp_path, monkeypatch, deidentify=True, on_failure=on_failure) == 3
    records = results(tmp_path)
    assert [r["status"] for r in records] == ["done", "failed", "skipped", "failed", "failed"]
    blurred = {"blur": "blurred", "withhold": "withheld"}[on_failure]
    assert [r.get("action") for r in records] == [None, blurred, None, blurred, "withheld"]
    assert [r["output"] is None for r in records[1:]] == [blurred == "withheld", True] + [
        blurred == "withheld",
        True,
    ]
    assert not seen(tmp_path) and "odd" in records[1]["reason"]
    assert len(list((tmp_path / "out").glob("*.png"))) == 1 + 2 * (on_failure == "blur")


def test_faces_that_are_hardly_drawn_are_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, album: dict[int, Any]
) -> None:
    class HardlyAny(FakeSwapper):
        def mask(self, batch: int) -> Any:
            return 0.05 * super().mask(batch)

    monkeypatch.setattr("tests.inference.test_album.FakeSwapper", HardlyAny)
    assert run(tmp_path, monkeypatch, deidentify=True) == 3
    records = results(tmp_path)
    assert [r.get("action") for r in records] == ["blurred", "blurred", None, "blurred", "blurred"]
    assert [len(r["hidden"]) for r in records if "hidden" in r] == [2, 1, 2, 1]
    assert not seen(tmp_path)


def test_a_map_names_the_source_of_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, album: dict[int, Any]
) -> None:
    (tmp_path / "people").mkdir()
    for person in (1, 3):
        Image.fromarray(patch(person)).save(tmp_path / "people" / f"{person}.png")
    Image.new("RGB", (PATCH, PATCH), (10, 10, 10)).save(tmp_path / "me.png")
    entry = f"{tmp_path}/people/1.png={tmp_path}/me.png"
    assert run(tmp_path, monkeypatch, source=None, face="largest", map=[entry]) == 0
    records = results(tmp_path)
    assert [r["status"] for r in records] == ["done", "done", "skipped", "done", "skipped"]
    assert records[4]["reason"] == "no face of the map; nothing is written"
    for number, place in ((0, 1), (1, 0), (3, 0)):
        assert abs(middle(tmp_path, records[number], place).mean() - 10) < 12
        assert records[number]["doubtful"] == "source: nothing can be seen in the crop"
    assert (middle(tmp_path, records[0], 0) == originals()[0]).all(), "nobody's source"
    sidecar = json.loads((tmp_path / "out" / records[0]["output"]).with_suffix(".json").read_text())
    assert sidecar["settings"]["paste"]["detail"] == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"map": ["a.png"]}, "PERSON=SOURCE"),
        ({"map": ["people/3.png=sample:1"]}, "whose person is not here"),
        ({"map": ["people/3.png=none.png"]}, "expected a photo after the ="),
        ({"map": ["people/3.png=sample:x"]}, "sample:SEED"),
        ({"map": ["people/3.png=people/3.png"], "source": "people/3.png"}, "--map with --source"),
        ({"map": ["people/3.png=people/3.png"], "deidentify": True}, "--deidentify with --map"),
        ({"pairs": "p.csv"}, "--pairs=p.csv"),
        ({"target": None}, "no --target"),
        ({"average": True, "deidentify": True}, "--average"),
    ],
)
def test_mistakes_are_one_line_each(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    album: dict[int, Any],
    given: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people").mkdir()
    Image.fromarray(patch(3)).save(tmp_path / "people" / "3.png")
    with pytest.raises(UserError, match=message) as error:
        run(tmp_path, monkeypatch, **given)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "out").glob("*.png"))
