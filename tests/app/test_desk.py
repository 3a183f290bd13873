"""What the page does for its users, without a browser."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alrl_jax.app import pictures, queues, showing
from alrl_jax.app.desk import Desk, reason_of, streamed
from alrl_jax.app.sessions import Session, Sessions
from alrl_jax.errors import UserError
from alrl_jax.photos.face_photos import FacePhoto
from alrl_jax.photos.found_face import FoundFace
from alrl_jax.photos.landmarks import FaceFinder
from alrl_jax.provenance import image_metadata
from tests.support import photo_kinds
from tests.support.fakes import FakeSwapper
from tests.support.page import ASKED, images_in, make_desk, make_session, upload

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:.*DecompressionBomb")


class Untrained(FakeSwapper):
    """A model whose ownership of codes was never trained."""

    attribute_groups = ("identity", "pose")

    def __init__(self) -> None:
        super().__init__()
        self.config["attribute_groups"] = ("identity", "pose", "expression")


class Asking(FakeSwapper):
    """Keeps what it is asked for, and shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[Any] = []

    def asked(self, **given: Any) -> tuple[None, None]:
        self.groups.append(given.get("groups"))
        return None, None


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return make_desk(monkeypatch)


@pytest.fixture
def session(desk: Desk, tmp_path: Path) -> Session:
    return make_session(desk, tmp_path / "page")


def test_nothing_is_swapped_before_the_line_on_consent(desk: Desk, session: Session) -> None:
    session.agreed = False
    video = session.chosen["target"]
    attempts = (
        lambda: desk.swap(session, ASKED),
        lambda: list(desk.compare(session, ASKED)),
        lambda: list(queues.swap_all(desk, session, ASKED)),
        lambda: list(queues.swap_video(desk, session, ASKED, video)),
    )
    for attempt in attempts:
        with pytest.raises(UserError, match="tick the box"):
            attempt()
    assert session.last is None


def test_a_swap_and_what_the_page_shows_of_it(desk: Desk, session: Session, tmp_path: Path) -> None:
    made = desk.swap(session, ASKED)
    side = pictures.SCENE_SIDE
    assert made.photo.pixels.shape == (side, side, 3) and made.photo.watermark["marked"]
    target = np.asarray(Image.open(session.chosen["target"].path))
    assert (made.photo.pixels != target).mean() > 0.1
    swapped, *others = images_in(showing.result(made) + showing.parts(made), tmp_path / "shown")
    assert len(others) == 5
    fields = image_metadata.read_metadata(swapped)
    assert fields["digitalSourceType"] == image_metadata.DIGITAL_SOURCE_TYPE
    generated = image_metadata.read_metadata(others[2])
    assert generated["digitalSourceType"] == image_metadata.GENERATED_SOURCE_TYPE
    said = showing.provenance(made)
    assert fields["modelSHA256"] in said and "put in" in said


def test_gates_by_layer_and_by_attribute(desk: Desk, session: Session) -> None:
    gates = desk.swap(session, ASKED).gates
    assert gates.by_group is not None and gates.by_group.shape == (6, 3)
    np.testing.assert_allclose(gates.by_group, 1.0)
    shown = showing.gates(gates, None)
    assert "layer 5 · 16²" in shown and "expression" in shown and "no features" in shown
    kept = {16: np.full((16, 16), 0.25, np.float32)}
    assert "0.25 on average" in showing.gates(dataclasses.replace(gates, space=kept), None)


@pytest.mark.parametrize(
    "changed",
    [
        {"identity_from": "target"},
        {"selector": "mean"},
        {"detail": 1.0},
        {"feather": 0.4},
        {"colour_match": True},
    ],
)
def test_controls_change_the_picture(desk: Desk, session: Session, changed: dict[str, Any]) -> None:
    plain = desk.swap(session, ASKED).photo.pixels
    other = desk.swap(session, dataclasses.replace(ASKED, **changed)).photo.pixels
    assert plain.shape == other.shape and not np.array_equal(plain, other)


def test_groups_are_asked_for_where_the_model_knows_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = Asking()
    desk = make_desk(monkeypatch, model)
    session = make_session(desk, tmp_path / "page")
    for face, expected in (("source", {"expression": "source"}), ("learned", None)):
        made = desk.swap(session, dataclasses.replace(ASKED, groups={"expression": face}))
        assert model.groups[-1] == expected and made.settings.groups == (expected or {})


def test_why_groups_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    desk = make_desk(monkeypatch, Untrained())
    session, opened = make_session(desk, tmp_path / "page"), desk.shelf.first
    why = opened.groups_refused("adaptive")
    assert opened.groups == ("expression",) and why is not None and "never trained" in why
    assert "no attribute queries" in (opened.groups_refused("mean") or "")
    with pytest.raises(UserError, match="never trained"):
        desk.swap(session, dataclasses.replace(ASKED, groups={"expression": "source"}))
    gates = desk.swap(session, ASKED).gates
    assert gates.by_group is None and "never trained" in showing.gates(gates, why)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"model": "other"}, "one of this page's"),
        ({"feather": 2.0}, "0 to 0.5"),
        ({"optimise": 10_000}, "0 to 400"),
        ({"optimise": 25}, "load_swapper"),
        ({"blend": "glue"}, "one of"),
        ({"target_face": "3"}, "one that is there"),
    ],
)
def test_what_no_control_says_is_refused(
    desk: Desk, session: Session, changed: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        desk.swap(session, dataclasses.replace(ASKED, **changed))


def test_every_broken_upload_gives_one_line_and_leaves_nothing(
    desk: Desk, session: Session, tmp_path: Path
) -> None:
    photo_kinds.write_zoo(tmp_path / "zoo")
    before = dict(session.chosen), set(session.folder.iterdir())
    for name in photo_kinds.BROKEN:
        with pytest.raises(UserError) as error:
            desk.upload(session, "source", tmp_path / "zoo" / name, cropped=True)
        assert len(reason_of(error.value).splitlines()) == 1
        assert not (tmp_path / "zoo" / name).exists()
    assert (session.chosen, set(session.folder.iterdir())) == before
    desk.swap(session, ASKED)


def test_two_hundred_damaged_photos_leave_the_desk_at_work(
    desk: Desk, session: Session, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    whole = [photo_kinds.encoded(photo_kinds.image(), kind) for kind in ("PNG", "JPEG", "WEBP")]
    outcomes = []
    for number in range(200):
        content = bytearray(whole[number % 3])
        for place in rng.integers(0, len(content), 8):
            content[place] = rng.integers(0, 256)
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(content[: int(rng.integers(1, len(content) + 1))])
        try:
            desk.upload(session, "source", path, cropped=True)
            outcomes.append("read")
        except UserError:
            outcomes.append("refused")
    assert outcomes.count("refused") > 100
    desk.swap(session, ASKED)


def test_a_crop_that_is_none_says_how_to_go_on(
    desk: Desk, session: Session, tmp_path: Path
) -> None:
    def nothing(path: Path, image: np.ndarray) -> list[FoundFace]:
        return []

    def whole(path: Path, image: np.ndarray) -> list[FoundFace]:
        return [FoundFace((2.0, 2.0, 10.0, 10.0), None)]

    vars(desk.shelf.first)["finder"] = _finder(nothing)
    with pytest.raises(UserError, match="no face found.*tick that it is a face crop"):
        desk.upload(session, "source", upload(tmp_path, "a.png"), cropped=False)
    desk.upload(session, "source", upload(tmp_path, "b.png"), cropped=True)
    with pytest.raises(UserError, match="no face found"):
        desk.say_cropped(session, "source", cropped=False)
    assert session.chosen["source"].cropped, "it stays as it was"
    desk.upload(session, "target", upload(tmp_path, "c.png"), cropped=True)
    vars(desk.shelf.first)["finder"] = _finder(whole)
    desk.say_cropped(session, "target", cropped=False)
    assert not session.chosen["target"].cropped


def _finder(find: Any) -> FaceFinder:
    """A finder that finds what it is given."""
    finder = FaceFinder.__new__(FaceFinder)
    finder.find, finder.resolution = find, 16
    return finder


def test_faces_of_a_photo_are_chosen_by_number(
    desk: Desk, session: Session, tmp_path: Path
) -> None:
    boxes = [(2.0, 2.0, 10.0, 10.0), (12.0, 8.0, 28.0, 24.0)]

    def two(path: Path, image: np.ndarray) -> list[FoundFace]:
        return [FoundFace(box, None) for box in boxes]

    vars(desk.shelf.first)["finder"] = _finder(two)
    read = desk.upload(session, "target", upload(tmp_path, "two.png"), cropped=False)
    assert [value for _, value in pictures.face_choices(read, several=True)] == [
        *("largest", "all", "0", "1")
    ]
    changed = {}
    for choice in ("largest", "all", "0", "1"):
        made = desk.swap(session, dataclasses.replace(ASKED, target_face=choice))
        changed[choice] = _boxes_changed(made.photo.pixels, read, boxes)
    assert changed == {
        "largest": [False, True],
        "all": [True, True],
        "0": [True, False],
        "1": [False, True],
    }


def _boxes_changed(
    pixels: np.ndarray, before: FacePhoto, boxes: list[tuple[float, float, float, float]]
) -> list[bool]:
    """In which boxes a photo differs from what it was."""
    assert before.photo is not None
    differs = (pixels != before.photo.seen).any(axis=-1)
    middles = [(int((x0 + x1) / 2), int((y0 + y1) / 2)) for x0, y0, x1, y1 in boxes]
    return [bool(differs[y - 1 : y + 1, x - 1 : x + 1].any()) for x, y in middles]


def test_files_to_keep_are_those_of_the_command(desk: Desk, session: Session) -> None:
    with pytest.raises(UserError, match="swap first"):
        desk.save(session)
    made = desk.swap(session, ASKED)
    photo, sidecar = map(Path, desk.save(session))
    assert made.photo.watermark["readable"] is None
    assert np.array_equal(np.asarray(Image.open(photo)), made.photo.pixels)
    said = json.loads(sidecar.read_text())
    assert said["output"]["file"] == photo.name and said["settings"]["target_is_crop"]
    assert said["settings"]["paste"]["detail"] == 0.0 and said["watermark"]["readable"] is not None
    assert photo.is_relative_to(session.folder)


def test_no_session_sees_another(desk: Desk, tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    made = {}
    for number in range(8):
        own = sessions.of(f"user {number}")
        own.agreed = True
        desk.invent(own, "source", 10 * number)
        desk.invent(own, "target", 10 * number + 1)
        made[number] = own, desk.swap(own, ASKED)
    pixels = {swap.photo.pixels.tobytes() for _, swap in made.values()}
    assert len(pixels) == 8
    for number, (own, swap) in made.items():
        assert sessions.of(f"user {number}") is own
        assert own.last is not None and own.last[0] is swap
        assert {path.parent for path in map(Path, desk.save(own))} == {own.folder}
    sessions.end("user 3")
    assert not made[3][0].folder.exists() and made[4][0].folder.exists()
    with pytest.raises(UserError):
        desk.swap(sessions.of("user 3"), ASKED)


def test_selections_side_by_side(desk: Desk, session: Session) -> None:
    swaps = dict(desk.compare(session, ASKED))
    assert list(swaps) == ["adaptive", "mean"]
    shown = showing.comparison(swaps, "adaptive")
    assert "adaptive (its own)" in shown and shown.count("<img") == 2


def test_a_seed_that_is_none(desk: Desk, session: Session) -> None:
    for seed in (-1.0, 0.5, None, 2.0**32):
        with pytest.raises(UserError, match="sample:SEED"):
            desk.invent(session, "target", seed)


def test_reports_come_before_what_was_raised() -> None:
    def work(put: Any) -> None:
        put(1)
        put(2)
        raise UserError("over")

    got: list[int] = []
    with pytest.raises(UserError, match="over"):
        for report in streamed(work):
            got.append(report)
    assert got == [1, 2]


def test_names_of_files_and_models_are_escaped() -> None:
    bad = '<img src=x onerror="alert(1)">\n'
    for text in (
        showing.reason(bad),
        showing.note(bad),
        showing.listed([(bad, bad, bad)]),
        showing.progress(1, 2, bad),
        showing.figure(np.zeros((4, 4, 3), np.uint8), bad, bad),
    ):
        assert "<img src=x" not in text and "onerror=&quot;" in text
