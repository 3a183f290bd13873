"""``~`` is the home directory wherever a path stands: in flags, in models' names, in files."""

import json
from pathlib import Path

import pytest

from alrl_jax.convert.joining import split_sources
from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import open_source
from alrl_jax.errors import UserError
from alrl_jax.loading import load
from alrl_jax.photos.landmark_files import read_landmark_file
from alrl_jax.photos.pair_list import PairFiles, list_files, read_pairs
from alrl_jax.utils.paths import local_path

ADDRESSES = ("gs://bucket/x", "s3://bucket/x", "https://host/x")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's home, which is not where the files lie that name it."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


def test_home_is_expanded_at_the_start_alone(home: Path) -> None:
    assert local_path("~") == str(home) and local_path("~/a/~b") == f"{home}/a/~b"
    for text in ("a/~/b", "./~", "embedded/swapper_64", "sample:7", "~no_such_user_here.png", ""):
        assert local_path(text) == text


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_are_refused_in_one_line(address: str) -> None:
    with pytest.raises(UserError, match=f"got '{address}'.*address of a bucket.*local paths"):
        local_path(address)


def test_without_a_home_there_is_no_folder_of_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda text: text)
    with pytest.raises(UserError, match="without a home directory.*HOME"):
        local_path("~/runs")


def test_lists_of_pairs(home: Path, tmp_path: Path) -> None:
    listed = tmp_path / "pairs.csv"
    listed.write_text("source,target\n~/a.png,b.png\n")
    assert read_pairs(listed) == [PairFiles(home / "a.png", tmp_path / "b.png")]
    (home / "a.png").touch()
    assert list_files("source", "~/*.png") == ([home / "a.png"], {})
    listed.write_text("source,target\na.png,http://host/b.png\n")
    with pytest.raises(UserError, match="a scheme that is not known"):
        read_pairs(listed)


def test_landmark_files(home: Path, tmp_path: Path) -> None:
    points = [[1, 2]] * 5
    (tmp_path / "a.json").write_text(json.dumps({"~/a.png": points, "b.png": []}))
    assert set(read_landmark_file(tmp_path / "a.json")) == {home / "a.png", tmp_path / "b.png"}
    cells = ",".join("12345" * 2)
    (tmp_path / "a.csv").write_text(f"file,x0,y0\n~/a.png,{cells}\n")
    assert set(read_landmark_file(tmp_path / "a.csv")) == {home / "a.png"}
    (tmp_path / "a.json").write_text(json.dumps({"s3://bucket/a.png": points}))
    with pytest.raises(UserError, match="address of a bucket"):
        read_landmark_file(tmp_path / "a.json")


def test_both_files_of_a_checkpoint(home: Path) -> None:
    assert split_sources("~/a.pth,~/b.pth") == (home / "a.pth", home / "b.pth")
    with pytest.raises(UserError, match="address of a bucket"):
        split_sources("a.pth,gs://bucket/b.pth")


def test_models_and_data_of_a_config(home: Path) -> None:
    """As ``pretrained.NAME`` and ``data.path`` name them."""
    with pytest.raises(UserError, match=str(home / "model")):
        load("~/model")
    with pytest.raises(UserError, match=str(home / "photos")):
        open_source(DataRequest("folder", "~/photos", 16))
    with pytest.raises(UserError, match="address of a bucket"):
        open_source(DataRequest("synthetic", "gs://bucket/photos", 16, 2, 1))
