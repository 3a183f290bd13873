import errno
import json
from pathlib import Path
from typing import Any

import pytest

from alrl_jax.errors import UserError
from alrl_jax.storage.workdir import check_same_run, open_workdir, read_config

CONFIG: dict[str, Any] = {
    "task": "swap",
    "num_steps": 10,
    "resolution": 64,
    "encoder": {"widths": (32, 64)},
    "data": {"source": "synthetic", "path": None},
    "losses": {},
}


def changed(**fields: Any) -> dict[str, Any]:
    return CONFIG | fields


def test_first_start_writes_the_configuration(tmp_path: Path) -> None:
    workdir = tmp_path / "a" / "b"
    with open_workdir(workdir, CONFIG, begun=False):
        pass
    assert json.loads((workdir / "config.json").read_text()) == json.loads(json.dumps(CONFIG))
    assert sorted(p.name for p in workdir.iterdir()) == [".lock", "config.json"]


def test_resumed_run_may_change_its_schedule(tmp_path: Path) -> None:
    with open_workdir(tmp_path, CONFIG, begun=False):
        pass
    data = {"source": "synthetic", "path": "/elsewhere"}
    with open_workdir(tmp_path, changed(num_steps=20, data=data), begun=True):
        pass
    stored = read_config(tmp_path)
    assert stored is not None
    assert (stored["num_steps"], stored["data"]["path"]) == (20, "/elsewhere")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "generator"}, "task is 'generator' but this run began with 'swap'"),
        ({"resolution": 32}, "resolution is 32 but this run began with 64"),
        ({"encoder": {"widths": (32, 48)}}, r"encoder.widths is \[32, 48\] but .* \[32, 64\]"),
        ({"losses": {"l1": 1.0}}, "losses.l1 is 1.0 but this run began with absent"),
        ({"data": {"source": "folder", "path": None}}, "data.source is 'folder' but"),
    ],
)
def test_other_run_is_refused(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with open_workdir(tmp_path, CONFIG, begun=False):
        pass
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(UserError, match=message + ".*use the old values or another --workdir"):
        with open_workdir(tmp_path, changed(**fields), begun=True):
            pass
    assert (tmp_path / "config.json").read_bytes() == before


def test_fields_that_the_program_got_later(tmp_path: Path) -> None:
    """A run goes on with their defaults, and with nothing else."""
    with open_workdir(tmp_path, CONFIG, begun=False):
        pass
    new = {"remat": "none", "losses": {"l1": 0.0}, "encoder": {"widths": (32, 64), "units": (1,)}}
    defaults = {"resolution": 32, **new}
    for fields in ({"remat": "all"}, {"losses": {"l1": 1.0}}, {"resolution": 32}):
        with pytest.raises(UserError, match=f"{next(iter(fields))}.* but this run began with"):
            with open_workdir(tmp_path, changed(**{**new, **fields}), True, defaults):
                pass
    with open_workdir(tmp_path, changed(**new), True, defaults):
        pass
    stored = read_config(tmp_path)
    assert stored is not None and stored["encoder"]["units"] == [1]


def test_disk_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(file: Any, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(UserError, match="cannot be locked .No locks available.*another --workdir"):
        with open_workdir(tmp_path, CONFIG, begun=False):
            pass


def test_all_differences_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="resolution.*task"):
        check_same_run(tmp_path, CONFIG, changed(task="identity", resolution=32))


def test_file_in_place_of_the_directory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    for workdir in (path, path / "below"):
        with (
            pytest.raises(UserError, match="cannot be used"),
            open_workdir(workdir, CONFIG, begun=False),
        ):
            pass


def test_directory_that_cannot_be_written() -> None:
    with pytest.raises(UserError, match="cannot be used"):
        with open_workdir(Path("/proc/self/run"), CONFIG, begun=False):
            pass


def test_run_without_a_checkpoint_may_begin_again(tmp_path: Path) -> None:
    for resolution in (64, 32):
        with open_workdir(tmp_path, changed(resolution=resolution), begun=False):
            pass
    stored = read_config(tmp_path)
    assert stored is not None and stored["resolution"] == 32


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_unreadable_configuration(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="config.json"):
        with open_workdir(tmp_path, CONFIG, begun=True):
            pass


def test_checkpoints_without_configuration(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no config.json"):
        with open_workdir(tmp_path, CONFIG, begun=True):
            pass


def refuse(workdir: Path, begun: bool = False) -> None:
    """A run that a user's mistake ends, as in a config or a path."""
    with pytest.raises(UserError, match="no such network"):
        with open_workdir(workdir, CONFIG, begun):
            (workdir / "checkpoints").mkdir(exist_ok=True)
            raise UserError("got no such network")


def test_a_refused_run_leaves_nothing_that_it_made(tmp_path: Path) -> None:
    refuse(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
    (tmp_path / "a").mkdir()
    refuse(tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert not list((tmp_path / "a").iterdir())


def test_a_refused_run_keeps_what_was_there_before(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    refuse(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_run_that_trained_is_kept_whatever_ends_it(tmp_path: Path) -> None:
    for number, error in enumerate((UserError("disk full"), KeyboardInterrupt())):
        workdir = tmp_path / str(number)
        with pytest.raises(type(error)), open_workdir(workdir, CONFIG, begun=False):
            (workdir / "metrics.jsonl").write_text("")
            raise error
        assert (workdir / "config.json").is_file()


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with open_workdir(tmp_path, CONFIG, begun=False):
        with pytest.raises(UserError, match="in use"), open_workdir(tmp_path, CONFIG, begun=False):
            pass
    with open_workdir(tmp_path, CONFIG, begun=False):
        pass


def test_weights_of_0_may_be_left_out(tmp_path: Path) -> None:
    """A config lists only the losses that it weighs; others did list them all."""
    zero, none = {"losses": {"l1": 0.0}, "pretrained": {"a": ""}}, {"losses": {}, "pretrained": {}}
    for number, (old, new) in enumerate(((zero, none), (none, zero))):
        with open_workdir(tmp_path / str(number), changed(**old), begun=False):
            pass
        with open_workdir(tmp_path / str(number), changed(**new), begun=True):
            pass
