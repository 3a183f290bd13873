"""A page that is served by a process of its own, and a headless Chromium that visits it."""

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from alrl_jax.storage.model_directory import EMBEDDED
from alrl_jax.utils.files import json_text
from alrl_jax.utils.opening import read_json

ROOT = Path(__file__).parents[2]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
LONGEST_START = 300.0
"""Seconds until the page answers, on a machine under load."""
SWAPPED = "#result img[alt='The swap']"
PATIENCE = 240_000
"""Milliseconds that a browser waits for a swap, whose first compiles."""


@dataclasses.dataclass(frozen=True)
class Served:
    """A page at work.

    Attributes:
        url: its address.
        folder: of its temporary files.
        process: that serves it.
        seconds: from its start until it answered.
    """

    url: str
    folder: Path
    process: "subprocess.Popen[str]"
    seconds: float

    def end(self) -> None:
        """Ends it as Ctrl-C does, and waits."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)


def chromium() -> str:
    """The browser of this machine; the test is skipped where there is none."""
    pytest.importorskip("playwright.sync_api", reason="needs playwright")
    pytest.importorskip("gradio", reason="the page needs Gradio (extra app)")
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.skip("needs a Chromium, such as Debian's package")
    return found


def trained_owners(folder: Path) -> Path:
    """The shipped swapper, as if its ownership of codes had been trained: it takes all groups."""
    shutil.copytree(EMBEDDED / "swapper_64", folder)
    about = read_json(folder / "model.json")
    about["config"]["swap"]["owners_trained"] = True
    (folder / "model.json").write_text(json_text(about))
    return folder


@contextlib.contextmanager
def serve(folder: Path, *flags: str, **environment: str) -> Iterator[Served]:
    """Serves a page, whose temporary files lie in a folder.

    Args:
        folder: for temporary files and the log.
        flags: of ``alrl app``.
        environment: variables of the process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log, begin = folder / "log.txt", time.monotonic()
    temporary = folder / "temporary"
    temporary.mkdir()
    variables = {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1", **environment}
    command = [sys.executable, "-m", "alrl_jax.commands.main", "app", *flags]
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, text=True, env=variables
        )
    try:
        url = _address(process, log, begin)
        yield Served(url, temporary, process, time.monotonic() - begin)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _address(process: "subprocess.Popen[str]", log: Path, begin: float) -> str:
    """What the page says of where it is, once it says so."""
    while time.monotonic() - begin < LONGEST_START:
        found = re.search(r"^the page: (\S+)", log.read_text(), re.MULTILINE)
        if found:
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"the page does not start: {log.read_text()}")


class Visit:
    """One user's browser.

    Args:
        browser: of playwright.
        url: of the page.
        options: of the browser's context, such as ``viewport``.
    """

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.outside: list[str] = []
        self.faults: list[str] = []
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("request", self._seen)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.host = urlparse(url).netloc
        self.page.goto(url)
        self.page.wait_for_selector("#source-shown img")

    def _seen(self, request: Any) -> None:
        parts = urlparse(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self.host:
            self.outside.append(request.url)

    def tick(self) -> None:
        """Accepts the line on consent, which goes then: nothing of it can be looked at after."""
        self.page.locator("#consent input").click()

    def agree(self) -> None:
        """Accepts the line on consent, and waits for the first swap."""
        self.tick()
        self.page.wait_for_selector(SWAPPED)

    def swapped(self) -> str:
        """The swap that is shown, as the page has it."""
        return self.page.locator(SWAPPED).get_attribute("src") or ""

    def wait_for_change(self, before: str) -> str:
        """The next swap that is shown."""
        self.page.wait_for_function(
            "([selector, before]) => { const image = document.querySelector(selector);"
            " return image && image.src !== before; }",
            arg=[SWAPPED, before],
        )
        return self.swapped()

    def upload(self, side: str, path: Path) -> None:
        """Gives a photo to a side."""
        self.page.locator(f"#{side}-drop input[type=file]").set_input_files(str(path))

    def leave(self) -> None:
        """Leaves the page; the browser's end closes the rest."""
        self.page.goto("about:blank")
