"""All people of a video: each keeps one invented face, and whatever fails shows no original."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from alrl_jax.errors import UserError
from alrl_jax.inference.video.people import PeopleSwapping, face_box
from alrl_jax.photos.landmarks import LANDMARK_SOURCES, FoundFace, LandmarkSource, of_points
from tests.inference.video.test_frames import results, run
from tests.inference.video.test_smoothing import FACE
from tests.support.fakes import FakeSwapper
from tests.support.photo_files import write_photo

SIDE, PATCH, SCALE = 96, 40, 0.3
PLACES = {0: (4, 30), 1: (52, 30)}
"""Left upper corners of two people's patches in a frame."""
FILM = 8
GIVEN = {
    "source": "sample:5",
    "landmarks_from": "cascade",
    "landmarks_path": None,
    "aligned_source": False,
    "detail": None,
    "face": "all",
    "smooth": False,
    "mark": False,
}


def patch(person: int) -> np.ndarray:
    """A person: coarse colours that tell who it is, and fine noise that no network draws."""
    rng = np.random.default_rng(100 + person)
    coarse = np.kron(rng.integers(60, 196, (4, 4, 3)), np.ones((PATCH // 4, PATCH // 4, 1)))
    return (coarse + rng.integers(-50, 50, (PATCH, PATCH, 3))).astype(np.uint8)


def landmarks(person: int) -> np.ndarray:
    """Whose crop lies over the patch of a person."""
    x, y = PLACES[person]
    return FACE * SCALE + np.array([x, y]) + PATCH / 2 - SCALE * np.array([45, 34])


def frame(number: int) -> np.ndarray:
    pixels = np.full((SIDE, SIDE, 3), 127, np.uint8)
    pixels[:8] = 20 + 10 * number
    for person, (x, y) in PLACES.items():
        pixels[y : y + PATCH, x : x + PATCH] = patch(person)
    return pixels


def middle(pixels: np.ndarray, person: int) -> np.ndarray:
    """The part of a person that the stand-in swaps."""
    x, y = PLACES[person]
    edge = PATCH // 2 - 6
    return pixels[y + edge : y + PATCH - edge, x + edge : x + PATCH - edge]


def shows(pixels: np.ndarray, person: int) -> bool:
    """Whether a person can be seen."""
    original = middle(frame(0), person)
    return float((middle(pixels, person) == original).all(axis=-1).mean()) > 0.1


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """A folder of frames, and what the detector finds in each: people, or an exception."""
    (tmp_path / "frames").mkdir()
    for number in range(FILM):
        Image.fromarray(frame(number)).save(tmp_path / "frames" / f"f_{number}.png")
    found: dict[int, Any] = {number: (0, 1) for number in range(FILM)}

    def find(path: Path, photo: np.ndarray) -> list[FoundFace]:
        own = found[round((float(photo[:6].mean()) - 20) / 10)]
        if isinstance(own, Exception):
            raise own
        return [of_points(landmarks(person)) for person in own]

    monkeypatch.setitem(LANDMARK_SOURCES, "cascade", LandmarkSource(lambda path, options: find, ""))
    return found


def outputs(folder: Path) -> dict[int, np.ndarray]:
    found = {}
    for path in sorted((folder / "out").glob("f_*.png")):
        with Image.open(path) as image:
            found[int(path.stem[2:])] = np.asarray(image.convert("RGB"))
    return found


def test_each_person_gets_one_invented_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, film: dict[int, Any]
) -> None:
    film[3] = (1,)  # the other is lost for a moment
    assert run(tmp_path, monkeypatch, **GIVEN) == 0
    shown = outputs(tmp_path)
    assert sorted(shown) == list(range(FILM))
    for person in (0, 1):
        assert not any(shows(pixels, person) for pixels in shown.values())
        first = middle(shown[0], person).astype(int)
        assert max(np.abs(middle(p, person) - first).max() for p in shown.values()) <= 2
    assert np.abs(middle(shown[0], 0).astype(int) - middle(shown[0], 1)).mean() > 20
    sidecar = json.loads((tmp_path / "out" / "f_3.json").read_text())
    assert len(sidecar["target"]["all_photo_to_crop"]) == 2
    assert sidecar["settings"]["paste"]["detail"] == 0
    assert {r["source"] for r in results(tmp_path)} == {"invented"}
    assert run(tmp_path, monkeypatch, **GIVEN) == 0
    assert {r["reason"] for r in results(tmp_path)} == {"done by an earlier run"}


class HardlyAny(FakeSwapper):
    """Sees hardly a face in anybody."""

    def mask(self, batch: int) -> Any:
        return 0.05 * super().mask(batch)


class NotFinite(FakeSwapper):
    """Draws what is no number."""

    def swap(self, *given: Any, **more: Any) -> Any:
        drawn = super().swap(*given, **more)
        return dataclasses.replace(drawn, generated=drawn.generated * jnp.nan)


FAULTS = {
    "detector breaks": (RuntimeError("odd"), FakeSwapper),
    "too little memory": (MemoryError(), FakeSwapper),
    "no mask": ((0, 1), HardlyAny),
    "no numbers": ((0, 1), NotFinite),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("on_failure", [None, "withhold"])
def test_what_fails_shows_nobody(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    film: dict[int, Any],
    fault: str,
    on_failure: str | None,
) -> None:
    film[4], model = FAULTS[fault]
    given = {**GIVEN, "deidentify": True, "on_failure": on_failure}
    monkeypatch.setattr("tests.inference.video.test_frames.FakeSwapper", model)
    assert run(tmp_path, monkeypatch, **given) == 3
    record = results(tmp_path)[4]
    assert record["status"] == "failed" and record["reason"]
    shown = outputs(tmp_path)
    assert not any(shows(pixels, person) for pixels in shown.values() for person in PLACES)
    assert record["action"] == "withheld" and 4 not in shown
    assert len(record["hidden"]) == 2, "carried through the frame in which nothing was looked for"


def test_a_face_that_comes_late_is_hidden_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, film: dict[int, Any]
) -> None:
    """A detector that finds somebody in the third frame alone missed them in the others."""
    for number in range(FILM):
        film[number] = (0, 1) if number == 2 else (0,)
    stale = {
        **GIVEN,
        "source": str(write_photo(tmp_path / "s.png", 7, (32, 32))),
        "face": "largest",
    }
    assert run(tmp_path, monkeypatch, **{**stale, "aligned_source": True}) == 0
    assert run(tmp_path, monkeypatch, **GIVEN, deidentify=True) == 3
    records, shown = results(tmp_path), outputs(tmp_path)
    assert [r["status"] == "done" for r in records] == [n == 2 for n in range(FILM)]
    assert not any(shows(pixels, person) for pixels in shown.values() for person in PLACES)
    assert len(shown) == FILM and records[0]["action"] == "blurred"
    assert [hidden["reason"] for hidden in records[0]["hidden"]] == [
        "a face was found just before or after, and may be here"
    ]
    assert run(tmp_path, monkeypatch, **GIVEN, deidentify=True, on_failure="withhold") == 3
    assert sorted(outputs(tmp_path)) == [2]


def write_film(path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        stream.options = {"crf": "4"}
        for number in range(FILM):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(number), format="rgb24")))
        container.mux(stream.encode(None))


def test_a_video_hides_what_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, film: dict[int, Any]
) -> None:
    av = pytest.importorskip("av")
    write_film(tmp_path / "clip.mp4")
    film[4] = RuntimeError("odd")
    given = {**GIVEN, "frames": str(tmp_path / "clip.mp4"), "deidentify": True}
    alike = {}
    for on_failure in ("blur", "withhold"):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        assert run(tmp_path, monkeypatch, **given, on_failure=on_failure) == 3
        records = results(tmp_path)
        assert [r["status"] for r in records] == ["done"] * 4 + ["failed"] + ["done"] * 3
        assert records[4]["action"] == {"blur": "blurred", "withhold": "withheld"}[on_failure]
        with av.open(str(tmp_path / "out" / "clip.mp4")) as container:
            frames = [f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)]
        assert len(frames) == FILM
        noise = [np.diff(middle(f, 0), axis=0).std() for f in frames]
        alike[on_failure] = noise[4]
        sidecar = json.loads((tmp_path / "out" / "clip.mp4.json").read_text())
        assert sidecar["people"] == {"tracks": 2, "people": 2}
    original = np.diff(middle(frame(4), 0).astype(int), axis=0).std()
    assert alike["blur"] < 0.2 * original and alike["withhold"] < 0.1 * original


def test_a_video_that_stops_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, film: dict[int, Any]
) -> None:
    write_film(tmp_path / "clip.mp4")
    given = {**GIVEN, "frames": str(tmp_path / "clip.mp4"), "deidentify": True}

    def stops(self: PeopleSwapping, job: Any) -> Any:
        raise KeyboardInterrupt

    (tmp_path / "out").mkdir()
    shutil.copy(tmp_path / "clip.mp4", tmp_path / "out" / "clip.mp4")
    monkeypatch.setattr(PeopleSwapping, "swapped_frame", stops)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, monkeypatch, **given)
    left = [p.name for p in (tmp_path / "out").rglob("*") if p.suffix in (".mp4", ".png")]
    assert left == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": "me.jpg"}, "an invented source"),
        ({"identity_from": "target"}, "--identity_from=target"),
        ({"selector": "all_target"}, "--selector"),
        ({"detail": 0.5}, "--detail=0.5"),
        ({"face": "0"}, "--face=0"),
        ({"groups": ["identity=target"]}, "--groups=identity=target"),
        ({"masks": True}, "--masks"),
        ({"deidentify": False, "on_failure": "blur"}, "--on_failure=blur"),
        ({"deidentify": False, "face": "largest", "pseudonyms": "p"}, "--pseudonyms"),
        ({"source": "sample:x"}, "sample:SEED"),
    ],
)
def test_mistakes_are_reported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    film: dict[int, Any],
    given: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        run(tmp_path, monkeypatch, **{**GIVEN, "deidentify": True, **given})


def test_one_invented_face_may_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, film: dict[int, Any]
) -> None:
    assert run(tmp_path, monkeypatch, **{**GIVEN, "face": "largest"}) == 0
    assert (tmp_path / "out" / "sample_5.png").exists()
    assert sum(shows(outputs(tmp_path)[0], person) for person in PLACES) == 1


def test_a_face_is_more_than_its_landmarks() -> None:
    """Five landmarks span eyes to mouth; forehead and chin are hidden as well."""
    five = of_points(FACE)
    left, top, right, bottom = face_box(five)
    side = 3.6 * 36.0 / 2  # half of FFHQ's crop, whose half side is 1.8 ways from eyes to mouth
    assert right - left == pytest.approx(side, rel=0.05) and top < 3 and bottom > 64
    wrong = FoundFace((10.0, 20.0, 30.0, 50.0), np.zeros((5, 2)))
    assert face_box(wrong) == (10, 20, 30, 50)
    box = face_box(FoundFace((10.0, 20.0, 30.0, 50.0)))
    assert box[0] <= 10 and box[3] >= 50
