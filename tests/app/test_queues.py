"""Batches and videos of the page: progress, stop, files to download."""

import dataclasses
import json
import zipfile
from pathlib import Path

import pytest

from alrl_jax.app import queues
from alrl_jax.app.desk import Desk
from alrl_jax.app.pictures import Picture
from alrl_jax.app.sessions import Session
from alrl_jax.errors import UserError
from alrl_jax.provenance import image_metadata
from tests.support.page import ASKED, make_desk, make_session, upload


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return make_desk(monkeypatch)


@pytest.fixture
def session(desk: Desk, tmp_path: Path) -> Session:
    return make_session(desk, tmp_path / "page")


def test_a_batch_gives_one_zip(desk: Desk, session: Session, tmp_path: Path) -> None:
    names = [f"target {n}.png" for n in range(3)]
    paths = [upload(tmp_path, name, seed) for seed, name in enumerate(names)]
    (tmp_path / "uploads" / "broken.png").write_bytes(b"no photo")
    assert queues.add(session, [*paths, tmp_path / "uploads" / "broken.png"], cropped=True) == []
    reports = list(queues.swap_all(desk, session, ASKED))
    assert [report.done for report in reports] == [0, 1, 2, 3, 4, 4]
    end = reports[-1]
    assert [status for _, status, _ in end.lines] == ["done"] * 3 + ["failed"]
    assert not session.batch and not end.stopped and end.lines[0][0] == names[0]
    with zipfile.ZipFile(end.files[0]) as archive:
        listed = archive.namelist()
        archive.extractall(tmp_path / "got")
    assert sorted(Path(name).suffix for name in listed) == [
        *(".json", ".json", ".json", ".jsonl", ".png", ".png", ".png")
    ]
    for path in (tmp_path / "got").glob("*.png"):
        fields = image_metadata.read_metadata(path)
        assert fields["digitalSourceType"] == image_metadata.DIGITAL_SOURCE_TYPE
        assert json.loads(path.with_suffix(".json").read_text())["output"]["file"] == path.name
    assert Path(end.files[0]).is_relative_to(session.folder)


def test_a_batch_that_is_stopped_keeps_what_is_done(desk: Desk, session: Session) -> None:
    queues.invent(desk, session, ASKED, 5)
    reports = []
    for report in queues.swap_all(desk, session, ASKED):
        reports.append(report)
        if report.done == 2:
            session.stop.set()
    end = reports[-1]
    assert end.stopped and end.done == 2 and end.total == 5
    with zipfile.ZipFile(end.files[0]) as archive:
        assert sum(name.endswith(".png") for name in archive.namelist()) >= 2
    queues.invent(desk, session, ASKED, 1)
    assert not list(queues.swap_all(desk, session, ASKED))[-1].stopped


def test_what_cannot_be_queued_is_said(desk: Desk, session: Session, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no targets"):
        list(queues.swap_all(desk, session, ASKED))
    for count in (0, None, queues.MOST_TARGETS + 1):
        with pytest.raises(UserError, match="invented targets"):
            queues.invent(desk, session, ASKED, count)
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "empty.png").touch()
    (said,) = queues.add(session, [tmp_path / "uploads" / "empty.png"], cropped=False)
    assert "empty file" in said
    queues.add(session, [upload(tmp_path, "a.png")], cropped=False)
    queues.add(session, [upload(tmp_path, "b.png")], cropped=True)
    with pytest.raises(UserError, match="one queue"):
        list(queues.swap_all(desk, session, ASKED))


def test_a_photo_does_not_go_into_crops(desk: Desk, session: Session, tmp_path: Path) -> None:
    source = session.chosen["source"]
    session.chosen["source"] = dataclasses.replace(source, cropped=False)
    queues.invent(desk, session, ASKED, 1)
    with pytest.raises(UserError, match="both to be crops"):
        list(queues.swap_all(desk, session, ASKED))


def test_a_queue_has_an_end(
    desk: Desk, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "MOST_TARGETS", 2)
    paths = [upload(tmp_path, f"{n}.png") for n in range(4)]
    (said,) = queues.add(session, paths, cropped=True)
    assert "more than 2" in said and len(session.batch) == 2
    assert not any(path.exists() for path in paths)


def test_a_file_that_is_no_video(desk: Desk, session: Session, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="videos need PyAV (extra video)")
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video at all")
    with pytest.raises(UserError, match="a.mp4|expected"):
        list(queues.swap_video(desk, session, ASKED, Picture(path, "a.mp4", cropped=True)))


def test_a_video_and_its_files(desk: Desk, session: Session, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="videos need PyAV (extra video)")
    from tests.support.photo_files import noise

    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(noise(number, (64, 64)), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    reports = list(queues.swap_video(desk, session, ASKED, Picture(path, "clip", cropped=True)))
    end = reports[-1]
    assert end.done == 4 and not end.stopped
    suffixes = sorted("".join(Path(file).suffixes) for file in end.files)
    assert suffixes == [".jsonl", ".mp4", ".mp4.json"]
