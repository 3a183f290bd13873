"""Audits: what became of every face, who is found again, and what the page shows."""

import json
import shutil
import types
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from PIL import Image

from alrl_jax.commands import audit
from alrl_jax.errors import UserError
from alrl_jax.evaluation.audit.figures import reidentified, same_person
from alrl_jax.evaluation.statistics import wilson_interval
from alrl_jax.photos.landmarks import LANDMARK_SOURCES, FoundFace, LandmarkSource, of_points
from alrl_jax.worlds import primitives
from tests.inference.video import test_people
from tests.inference.video.test_people import PATCH, PLACES, SIDE, patch
from tests.support.fakes import FakeJudge

PHOTOS = 4


class FakeIdentityJudge(FakeJudge):
    """Knows people by coarse colours."""

    def __init__(self) -> None:
        super().__init__(len(primitives.ATTRIBUTE_FACTORS), 4)

    def __call__(self, images: Any) -> Any:
        coarse = jnp.asarray(images)[:, 2::4, 2::4].reshape(len(images), -1)
        return coarse / jnp.linalg.norm(coarse, axis=-1, keepdims=True)


def picture(number: int, people: tuple[int, int]) -> np.ndarray:
    pixels = np.full((SIDE, SIDE, 3), 127, np.uint8)
    pixels[:8] = 20 + 10 * number
    for place, person in enumerate(people):
        x, y = PLACES[place]
        pixels[y : y + PATCH, x : x + PATCH] = patch(person)
    return pixels


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two people a picture; all are replaced but one, one is hidden, one picture is withheld."""
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    for number in range(PHOTOS):
        before = picture(number, (2 * number, 2 * number + 1))
        Image.fromarray(before).save(tmp_path / "before" / f"p{number}.png")
        after = picture(number, (50 + 2 * number, 51 + 2 * number))
        if number == 1:
            after = picture(number, (50, 3))  # the second is left
        if number == 2:
            x, y = PLACES[0]
            after[y : y + PATCH, x : x + PATCH] = 127
        if number != 3:
            Image.fromarray(after).save(tmp_path / "after" / f"p{number}.png")

    def find(path: Path, photo: np.ndarray) -> list[FoundFace]:
        edge = PATCH // 2
        there = [p for p, (x, y) in PLACES.items() if photo[y + edge, x + edge].std() > 0]
        return [of_points(test_people.landmarks(place)) for place in there]

    monkeypatch.setitem(LANDMARK_SOURCES, "cascade", LandmarkSource(lambda path, options: find, ""))
    return tmp_path


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> int:
    values = {
        "originals": str(folder / "before"),
        "results": str(folder / "after"),
        "output": str(folder / "out"),
        "finders": ["cascade"],
        "landmarks_path": None,
        "min_confidence": 0.3,
        "judge": "j",
        "identity_judge": None,
        "model": None,
        "people": "judge",
        "show_originals": False,
        "num_shown": 3,
    }
    monkeypatch.setattr(audit, "load_analyser", lambda directory, kind: FakeIdentityJudge())
    monkeypatch.setattr(flags, "FLAGS", types.SimpleNamespace(**(values | given)))
    return audit.main(["audit"])


def test_every_face_is_replaced_hidden_or_left(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folders, monkeypatch) == 3
    found = json.loads((folders / "out" / "audit.json").read_text())
    counts = found["counts"]
    assert {n: counts[n] for n in ("pictures", "shown", "before", "before_in_shown", "after")} == {
        "pictures": 4,
        "shown": 3,
        "before": 8,
        "before_in_shown": 6,
        "after": 5,
    }
    outcomes = [[face["outcome"] for face in p["faces"]] for p in found["pictures"]]
    assert outcomes == [
        ["replaced", "replaced"],
        ["replaced", "left"],
        ["hidden", "replaced"],
        [None, None],
    ]
    again = [[face["found_again"] for face in p["faces"]] for p in found["pictures"]]
    assert again[1][1] is True and again[3] == [None, None]
    rank1 = found["reidentification"]["rank1"]
    assert rank1["value"] == pytest.approx(sum(sum(a) for a in again[:3]) / 6)
    assert rank1["ci95"][0] < rank1["value"] < rank1["ci95"][1]
    assert found["reidentification"]["tar_at_far_1%"]["value"] is None
    assert "at least 100 pairs" in found["reidentification"]["tar_at_far_1%"]["reason"]
    assert set(found["attributes"]) == {
        "pose_error_degrees",
        "expression_error",
        "gaze_error",
        "light_error",
    }
    assert all(kept["value"] > 0 for kept in found["attributes"].values())
    out = capsys.readouterr().out
    assert "4 replaced, 1 hidden, 1 left" in out and "found again" in out
    page = (folders / "out" / "index.html").read_text()
    assert page.count("<img") == 3 and "<details>" not in page and "p1.png" in page
    assert page.index("p1.png") < page.index("p0.png"), "what is left comes first"
    assert "://" not in page, "it loads nothing"
    assert run(folders, monkeypatch, show_originals=True) == 3
    page = (folders / "out" / "index.html").read_text()
    assert page.count("<img") == 6 and page.count("<details>") == 1, "originals on demand"


def test_results_say_what_belongs_together(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(folders / "after" / "p0.png", folders / "after" / "000000_invented_to_p0.jpg.png")
    lines = [
        {"target": f"../before/p{n}.png", "output": out, "status": status, "action": action}
        for n, out, status, action in (
            (0, "000000_invented_to_p0.jpg.png", "done", None),
            (1, None, "failed", "withheld"),
            (2, "p2.png", "failed", "blurred"),
            (3, None, "skipped", None),
        )
    ]
    text = "\n".join(map(json.dumps, lines)) + "\n"
    (folders / "after" / "results.jsonl").write_text(text)
    assert run(folders, monkeypatch) == 0
    found = json.loads((folders / "out" / "audit.json").read_text())
    assert [p["shown"] for p in found["pictures"]] == [True, False, True, False]
    assert [p["action"] for p in found["pictures"]] == [None, "withheld", "blurred", None]
    (folders / "after" / "results.jsonl").write_text("no line\n")
    with pytest.raises(UserError, match="no result"):
        run(folders, monkeypatch)


def test_pictures_that_cannot_be_compared_count(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (SIDE, 50)).save(folders / "after" / "p0.png")
    (folders / "after" / "p2.png").write_bytes(b"no photo")
    Image.fromarray(picture(1, (60, 61))).save(folders / "after" / "p1.png")
    assert run(folders, monkeypatch) == 3
    found = json.loads((folders / "out" / "audit.json").read_text())
    faults = [p["fault"] for p in found["pictures"]]
    assert faults[0] == f"result: {SIDE}x50 pixels, not the original's {SIDE}x{SIDE}"
    assert faults[2].startswith("result: not a") and not faults[1] and not faults[3]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"originals": "none"}, "--originals=none"),
        ({"results": "before/none"}, "--results"),
        ({"finders": ["file"]}, "--finders=file"),
        ({"finders": ["yunet"]}, "--landmarks_path"),
        ({"results": "other"}, "nothing belongs"),
    ],
)
def test_mistakes_are_one_line_each(
    folders: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], message: str
) -> None:
    (folders / "other").mkdir()
    monkeypatch.chdir(folders)
    with pytest.raises(UserError, match=message):
        run(folders, monkeypatch, **given)
    assert not (folders / "out").exists()


def test_rates_are_those_that_were_made() -> None:
    """300 people; a tenth of the results still are their originals, the others are strangers."""
    rng = np.random.default_rng(0)

    def unit(values: np.ndarray) -> np.ndarray:
        return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)

    before = unit(rng.normal(size=(300, 32)))
    after = unit(rng.normal(size=(300, 32)))
    after[::10] = unit(before[::10] + 0.05 * rng.normal(size=(30, 32)))
    shown = np.ones(300, bool)
    same = same_person("pictures", [""] * 300, list(range(300)), before @ before.T, 0.5)
    figures, found = reidentified(before, after, shown, same)
    assert found[::10].all() and figures["rank1"]["value"] == pytest.approx(0.1, abs=0.02)
    assert figures["rank1_by_chance"] == pytest.approx(1 / 300)
    tar = figures["tar_at_far_0.1%"]
    assert tar["value"] == pytest.approx(0.1, abs=0.01)
    assert tar["ci95"][0] < 0.1 < tar["ci95"][1]
    impostors = (before @ before.T)[~same]
    assert np.mean(impostors > tar["threshold"]) <= 0.001
    folders = [f"{n // 2}" for n in range(300)]
    of_folders = same_person("folders", folders, list(range(300)), before @ before.T, 0.5)
    assert of_folders.sum() == 600
    twice = np.concatenate([before, before])
    judged = same_person("judge", [""] * 600, list(range(600)), twice @ twice.T, 0.9)
    assert judged.sum() == 1200, "pictures of one person are no strangers"


def test_an_interval_of_a_share_has_a_width() -> None:
    """Figures of Wilson's interval for 0 of 10, 1 of 10 and 10 of 10 (worked out by hand)."""
    np.testing.assert_allclose(wilson_interval(0, 10), [0, 0.2775], atol=1e-4)
    np.testing.assert_allclose(wilson_interval(1, 10), [0.0179, 0.4042], atol=1e-4)
    np.testing.assert_allclose(wilson_interval(10, 10), [0.7225, 1], atol=1e-4)
