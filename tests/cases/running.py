"""Commands as a user calls them, run within the test: exit status and the lines printed."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alrl_jax import infer, infer_frames
from tests.support.commands import run_command
from tests.support.fakes import FakeSwapper
from tests.support.photo_files import write_photo


class Command:
    """Runs commands in a folder of one test.

    Attributes:
        folder: where inputs are made; outputs are in ``folder / "out"``.
        said: the lines on standard error and standard output of the last command.
    """

    def __init__(
        self, folder: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self.said = folder, [""]
        self._patch, self._capture = patch, capture

    def __call__(self, module: ModuleType, *arguments: str) -> int:
        """The exit status of a command."""
        self._capture.readouterr()
        status, _ = run_command(self._patch, module, *arguments)
        captured = self._capture.readouterr()
        self.said = [*captured.out.splitlines(), *captured.err.splitlines()]
        return status

    def swap(self, target: Path, *more: str) -> int:
        """Swaps a face into a photo that is a crop, by a stand-in for a model."""
        self._patch.setattr(infer, "load_swapper", lambda directory: FakeSwapper())
        source = write_photo(self.folder / "source.png", 7)
        named = (f"--source={source}", f"--target={target}", f"--output={self.folder / 'out'}")
        return self(infer, "--model=m", *named, "--aligned", "--nomark", *more)

    def swap_video(self, frames: Path, *more: str) -> int:
        """Swaps a face into a video of crops."""
        self._patch.setattr(infer_frames, "load_swapper", lambda directory: FakeSwapper())
        source = write_photo(self.folder / "source.png", 7)
        named = (f"--source={source}", f"--frames={frames}", f"--output={self.folder / 'out'}")
        return self(infer_frames, "--model=m", *named, "--aligned", "--nomark", *more)

    @property
    def results(self) -> list[dict[str, Any]]:
        """The lines of ``results.jsonl``."""
        lines = (self.folder / "out" / "results.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def pixels(self, number: int = 0) -> np.ndarray:
        """The pixels of an output."""
        with Image.open(self.folder / "out" / self.results[number]["output"]) as image:
            return np.asarray(image)

    @property
    def error(self) -> str:
        """The one line about a mistake of the user's."""
        lines = [line for line in self.said if line.startswith("error: ")]
        assert len(lines) == 1 and len(lines[0]) <= 500, self.said
        return lines[0]
