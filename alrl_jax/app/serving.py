"""Serves the page: to this machine alone unless another address is named, and with a password then.

Nothing of it leaves the machine: no figures about its use, no link through the servers of others,
no run history in the browser, fonts and scripts of its own. All files lie in one private folder.
"""

import contextlib
import importlib.util
import ipaddress
import logging as standard_logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from absl import logging

from alrl_jax.app.desk import Desk
from alrl_jax.app.models import Shelf
from alrl_jax.app.queues import MAX_VIDEO_BYTES
from alrl_jax.app.sessions import Sessions, make_folder
from alrl_jax.app.style import CSS, HEAD
from alrl_jax.errors import UserError
from alrl_jax.utils.extras import importing
from alrl_jax.utils.locks import locked
from alrl_jax.utils.printing import say

USER = "alrl"
"""Whom the password belongs to."""
LEAST_PASSWORD = 12
"""Characters of a password."""
MOST_WAITING = 64
"""Swaps that may wait in line; who comes later is asked to try again."""
MISSING = (
    "got no package gradio; expected it, as it serves the page; do pip install 'alrl_jax[app]'"
)
ENVIRONMENT: Mapping[str, str] = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_MCP_SERVER": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""What is set before Gradio is loaded, whatever the machine says."""


def check_gradio() -> None:
    """UserError where the extra ``app`` is missing; Gradio is not loaded.

    It reads its settings as it is loaded, and makes a folder for temporary files then, which has to
    lie in the private one.
    """
    os.environ.update(ENVIRONMENT)
    standard_logging.getLogger("httpx").setLevel(standard_logging.WARNING)
    if importlib.util.find_spec("gradio") is None:
        raise UserError(MISSING)


def is_local(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_password(path: Path | None, host: str) -> str | None:
    """The password of the page; None where it needs none.

    Args:
        path: of a file whose first line it is; None to have one made where it is needed.
        host: address that the page is bound to.

    Raises:
        UserError: the file cannot be read, or its line is too short.
    """
    if path is None:
        return None if is_local(host) else secrets.token_urlsafe(16)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(
            f"got --password_path={path} ({error}); expected a text file; correct it"
        ) from None
    password = lines[0].strip() if lines else ""
    if len(password) < LEAST_PASSWORD:
        raise UserError(
            f"got a password of {len(password)} characters in {path}; expected at least "
            f"{LEAST_PASSWORD} in its first line; take a longer one"
        )
    return password


def serve(shelf: Shelf, host: str, port: int | None, password: str | None, made: bool) -> None:
    """Serves the page until the process is asked to end.

    Args:
        shelf: the models.
        host: address to bind to.
        port: on it; None for the first that is free from 7860 on.
        password: that a browser has to give; None for none.
        made: whether the password was made here, so that it has to be said.

    Raises:
        UserError: Gradio is missing, or nothing can be bound there.
    """
    check_gradio()
    over = threading.Event()
    with _private_folder() as folder, _ending(over):
        with importing("gradio", MISSING):
            from alrl_jax.app.wiring import build, theme

        desk = Desk(shelf)
        blocks = build(desk, Sessions(folder))
        blocks.queue(max_size=MOST_WAITING, api_open=False)
        try:
            url = _launch(blocks, theme(), host, port, password)
        except OSError as error:
            raise UserError(
                f"got --host={host} --port={port or 'any'} ({error}); expected an address of this "
                "machine with a free port; choose another"
            ) from None
        say(f"the page: {url}")
        _say_who_may_see_it(host, password, made)
        threading.Thread(target=_warmed_up, args=(desk,), daemon=True).start()
        try:
            over.wait()
        finally:
            blocks.close(verbose=False)


def _launch(blocks: Any, theme: Any, host: str, port: int | None, password: str | None) -> str:
    """Binds the page; gives its address."""
    _, url, _ = blocks.launch(
        server_name=host,
        server_port=port,
        auth=None if password is None else (USER, password),
        share=False,
        inbrowser=False,
        prevent_thread_lock=True,
        quiet=True,
        show_error=False,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        pwa=False,
        allowed_paths=[],
        max_file_size=MAX_VIDEO_BYTES,
        theme=theme,
        css=CSS,
        head=HEAD,
    )
    return url


def _say_who_may_see_it(host: str, password: str | None, made: bool) -> None:
    if not is_local(host):
        logging.warning(
            "the page is bound to %s: other machines can reach it, and what they send and see is "
            "not encrypted; put a server with TLS before it",
            host,
        )
    if password is not None and made:
        say(f"user {USER}, password {password}")


def _warmed_up(desk: Desk) -> None:
    """Compiles ahead; what fails here fails again, and is said, where a user asks for it."""
    try:
        desk.warm_up()
    except Exception as error:
        logging.warning("the first swap could not be prepared: %s", error)


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """The folder of all files of the page, uploads included; it is removed at the end."""
    folder = make_folder()
    before = os.environ.get("GRADIO_TEMP_DIR"), tempfile.tempdir
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    tempfile.tempdir = str(folder)
    try:
        with locked(folder, "folder"):
            yield folder
    finally:
        tempfile.tempdir = before[1]
        if before[0] is None:
            os.environ.pop("GRADIO_TEMP_DIR", None)
        else:
            os.environ["GRADIO_TEMP_DIR"] = before[0]
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _ending(over: threading.Event) -> Iterator[None]:
    """Lets SIGTERM and SIGINT end the page in order, so that its files go."""

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        over.set()

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
