"""How the page is bound, who gets in, and what it leaves behind."""

import os
import stat
import sys
from pathlib import Path

import pytest

from alrl_jax.app import serving, sessions
from alrl_jax.app.sessions import Sessions, make_folder
from alrl_jax.errors import UserError
from alrl_jax.utils.locks import locked


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("192.168.1.4", False),
        ("example.org", False),
    ],
)
def test_other_addresses_get_a_password(host: str, local: bool) -> None:
    assert serving.is_local(host) is local
    password = serving.read_password(None, host)
    assert (password is None) is local
    if password is not None:
        assert len(password) >= serving.LEAST_PASSWORD
        assert password != serving.read_password(None, host)


def test_a_password_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("correct horse battery\nsecond line\n")
    assert serving.read_password(path, "127.0.0.1") == "correct horse battery"
    path.write_text("short\n")
    with pytest.raises(UserError, match="5 characters"):
        serving.read_password(path, "0.0.0.0")
    path.write_bytes(b"")
    with pytest.raises(UserError, match="0 characters"):
        serving.read_password(path, "0.0.0.0")
    with pytest.raises(UserError, match="a text file"):
        serving.read_password(tmp_path / "none", "0.0.0.0")


def test_without_the_extra_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in serving.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=r"pip install 'alrl_jax\[app\]'") as error:
        serving.check_gradio()
    assert len(str(error.value).splitlines()) == 1
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_folders_are_the_users_alone_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions.tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"{sessions.PREFIX}left"
    held = tmp_path / f"{sessions.PREFIX}held"
    other = tmp_path / "other"
    for folder in (left, held, other):
        folder.mkdir()
        (folder / "photo.png").touch()
    with locked(held, "folder"):
        made = make_folder()
    assert not left.exists() and held.exists() and other.exists()
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    folder = Sessions(made).of("key").folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and len(folder.name) >= 32


def test_the_page_leaves_nothing_and_restores_what_it_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("GRADIO_TEMP_DIR", "elsewhere")
    with serving._private_folder() as folder:
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        Sessions(folder).of("key")
        assert list(folder.iterdir())
    assert not list(tmp_path.iterdir()) and os.environ["GRADIO_TEMP_DIR"] == "elsewhere"


def test_of_too_many_sessions_the_oldest_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_SESSIONS", 2)
    kept = Sessions(tmp_path)
    first, second = kept.of("first"), kept.of("second")
    kept.of("first")
    third = kept.of("third")
    assert len(kept) == 2 and second.stop.is_set() and not second.folder.exists()
    assert first.folder.exists() and third.folder.exists() and not first.stop.is_set()
    kept.end("third")
    kept.end("third")
    assert not third.folder.exists()
