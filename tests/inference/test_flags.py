"""The flags of the commands that swap: each reaches the place where it counts."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from alrl_jax import infer, infer_frames
from alrl_jax.inference.settings import DEFAULTS, Settings
from alrl_jax.inference.swapping import Swapping
from alrl_jax.inference.video.frame_folder import FolderSwapping
from alrl_jax.inference.video.frames import FrameSwapping
from alrl_jax.inference.video.tracking import SMOOTHING
from alrl_jax.inference.video.video_file import VideoSwapping
from alrl_jax.photos.pair_list import PairFiles
from alrl_jax.photos.paste import PasteOptions
from alrl_jax.utils import hashing
from tests.support.commands import run_command
from tests.support.fakes import FakeSwapper
from tests.support.photo_files import write_photo

# Other values than the flags have by themselves.
CHOSEN = {
    "pose_from": "source",
    "identity_from": "target",
    "aligned_source": True,
    "landmarks_from": "file",
    "face": "1",
    "source_face": "2",
    "mark": False,
    "masks": True,
}
PASTE = {"blend": "multiband", "colour_match": True, "feather": 0.25, "detail": 0.5}
OWN = {
    "model": "m",
    "output": "out",
    "landmarks_path": "faces.json",
    "batch_size": 5,
    "strict": True,
}
RESULT = {"status": "done", "reason": None, "number": 0}


def arguments(values: dict[str, Any]) -> list[str]:
    """``--NAME=VALUE``, ``--NAME`` or ``--noNAME``."""
    flags = {True: "--{}", False: "--no{}"}
    return [
        flags[value].format(name) if isinstance(value, bool) else f"--{name}={value}"
        for name, value in values.items()
    ]


@pytest.fixture
def given_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the parts of the commands are given, by name; nothing is swapped."""
    given_to: dict[str, Any] = {}

    def recorded(kind: type) -> None:
        def __init__(self: Any, *given: Any) -> None:
            given_to[kind.__name__] = given

        def run(self: Any, *given: Any) -> Iterator[dict[str, Any]]:
            given_to["run"] = given
            return iter([RESULT])

        monkeypatch.setattr(kind, "__init__", __init__)
        monkeypatch.setattr(kind, "run", run)

    def loaded(directory: str) -> FakeSwapper:
        given_to["model"] = directory
        return FakeSwapper()

    monkeypatch.chdir(tmp_path)
    for name in ("s.png", "frames/f1.png", "frames/f2.png"):
        write_photo(tmp_path / name, 0)
    (tmp_path / "faces.json").write_text("{}")
    for kind in (Swapping, FrameSwapping, FolderSwapping, VideoSwapping):
        recorded(kind)
    monkeypatch.setattr(infer, "load_swapper", loaded)
    monkeypatch.setattr(infer_frames, "load_swapper", loaded)
    monkeypatch.setattr(infer_frames, "count_frames", lambda path: 1)
    return given_to


def run(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, *runs: dict[str, Any]
) -> Iterator[None]:
    """Runs a command several times, whose flags together are all that it has."""
    for values in runs:
        status, known = run_command(monkeypatch, module, *arguments(values))
        assert status == 0
        own = {flag.name for flag in known.get_key_flags_for_module(module.__name__)}
        assert own == {name for given in runs for name in given}, "each has its place here"
        yield


def settings_chosen(folder: Path) -> Settings:
    sha256 = hashing.file_sha256(folder / "faces.json")
    return Settings(**CHOSEN, landmarks_sha256=sha256, paste=PasteOptions(**PASTE))


def test_every_flag_of_frames_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given_to: dict[str, Any]
) -> None:
    more = {"source": "s.png", "frames": "frames", "fps": 12.5, "smooth": False}
    usual = {"model": "m", "output": "out", "source": "s.png", "frames": "s.png"}
    given = {**CHOSEN, **PASTE, **OWN, **more}
    runs = run(monkeypatch, infer_frames, given, usual, usual | {"aligned": True})
    next(runs)
    model, settings, source, landmarks, smoothing = given_to["FrameSwapping"]
    assert given_to["model"] == "m" and isinstance(model, FakeSwapper)
    assert settings == settings_chosen(tmp_path)
    assert (source, landmarks, smoothing) == (Path("s.png"), Path("faces.json"), None)
    swapping, output, rate = given_to["FolderSwapping"]
    assert isinstance(swapping, FrameSwapping) and output == Path("out") and rate == 12.5
    files, batch_size = given_to["run"]
    assert [file.path for file in files] == [Path("frames/f1.png"), Path("frames/f2.png")]
    assert batch_size == 5 and (tmp_path / "out").is_dir()
    next(runs)
    assert given_to["FrameSwapping"][1:] == (DEFAULTS, Path("s.png"), None, SMOOTHING)
    assert given_to["VideoSwapping"][1:] == (Path("out"), Path("s.png")) and given_to["run"] == (
        16,
    )
    next(runs)
    assert given_to["FrameSwapping"][1] == dataclasses.replace(DEFAULTS, aligned=True)


def test_every_flag_of_photos_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given_to: dict[str, Any]
) -> None:
    more = {"source": "frames", "target": "frames/*.png", "pairing": "zip"}
    (tmp_path / "pairs.csv").write_text("source,target\ns.png,frames/f1.png\n")
    usual = {"model": "m", "output": "out", "pairs": "pairs.csv"}
    given = {**CHOSEN, **PASTE, **OWN, **more}
    runs = run(monkeypatch, infer, given, usual, usual | {"aligned": True})
    next(runs)
    model, settings, output, landmarks, refused = given_to["Swapping"]
    assert given_to["model"] == "m" and isinstance(model, FakeSwapper) and not refused
    assert settings == settings_chosen(tmp_path)
    assert (output, landmarks) == (Path("out"), Path("faces.json"))
    pairs, batch_size = given_to["run"]
    assert [pair.source for pair in pairs] == [pair.target for pair in pairs] and len(pairs) == 2
    assert batch_size == 5 and (tmp_path / "out").is_dir()
    next(runs)
    assert given_to["Swapping"][1] == DEFAULTS
    assert given_to["run"] == ([PairFiles(Path("s.png"), Path("frames/f1.png"))], 16)
    next(runs)
    assert given_to["Swapping"][1] == dataclasses.replace(DEFAULTS, aligned=True)


@pytest.mark.parametrize("module", [infer, infer_frames])
def test_without_the_extra_that_finds_faces(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: ModuleType,
) -> None:
    """The first command of the README, by who has not installed the extra yet."""
    there = write_photo(tmp_path / "a.png", 0)
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setattr(module, "load_swapper", lambda directory: FakeSwapper())
    side = "target" if module is infer else "frames"
    given = {"model": "m", "source": there, side: there, "output": tmp_path / "out"}
    status, _ = run_command(monkeypatch, module, *arguments(given))
    said = capsys.readouterr().err
    assert status == 2 and said.count("\n") == 1
    assert "pip install 'alrl_jax[photos]'" in said and "--aligned" in said
    assert not (tmp_path / "out").exists()
