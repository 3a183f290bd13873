"""A video and its masks while they are made: neither has its name before both are whole."""

import contextlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from alrl_jax.errors import UserError
from alrl_jax.inference.outputs import MANIFEST_FILE, MASKS, OutputFolder, mask_name
from alrl_jax.inference.video.segments import Segments
from alrl_jax.provenance import image_metadata
from alrl_jax.utils import hashing
from alrl_jax.utils.files import give_names, json_text, remove, temporary_name

DONE = "done"
"""Status of a frame in which a face was swapped."""


class VideoParts:
    """The files of one video, under hidden names until ``publish``.

    What is left at the end goes, but for the finished segments.

    Args:
        output: where they are to lie.
        name: of the video.
        segments: that earlier runs finished.
        masks: whether there are masks.
        fields: provenance of every mask.

    Attributes:
        video: where to write the video.
    """

    def __init__(
        self,
        output: OutputFolder,
        name: str,
        segments: Segments,
        masks: bool,
        fields: Mapping[str, str],
    ) -> None:
        self._output, self._name, self._fields = output, name, fields
        self._segments = segments
        self.video = temporary_name(output.directory / name)
        self._masks = segments.masks if masks else None
        self._swapped: list[list[int]] = []

    def __enter__(self) -> "VideoParts":
        self._segments.open()
        if self._masks is not None:
            self._masks.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        remove(self.video)
        self._segments.leave()
        if self._masks is not None:
            with contextlib.suppress(OSError):  # others lie in it
                self._output.mask(self._name).parent.rmdir()

    def write_mask(self, number: int, mask: UInt8[np.ndarray, "h w 1"]) -> None:
        """Writes the mask of a frame, where masks are wanted; in any order, from any thread.

        Args:
            number: of the frame, from 0.
            mask: share of the generated face in every pixel, in units of 1 / 255.

        Raises:
            UserError: it cannot be written; a video without one of its masks is none.
        """
        if self._masks is None:
            return
        path = self._masks / mask_name(number)
        content = image_metadata.png_bytes(mask, {**self._fields, "frame": str(number)})
        try:
            path.write_bytes(content)
        except OSError as error:
            raise UserError(
                f"got {path} ({error.strerror}); expected a mask that can be written; make room "
                "and start again"
            ) from error

    def count(self, number: int, status: str) -> None:
        """Takes note of a frame, in the order in which they are shown."""
        if status != DONE:
            return
        if self._swapped and self._swapped[-1][1] == number - 1:
            self._swapped[-1][1] = number
        else:
            self._swapped.append([number, number])

    def facts(self) -> dict[str, Any]:
        """What the sidecar says of video and masks, once both are written.

        ``swapped``: first and last number of every run of frames in which a face was swapped.
        """
        video = {"file": self._name, "sha256": hashing.file_sha256(self.video)}
        if self._masks is None:
            return {"output": video, "mask": None}
        sha256 = hashing.folder_sha256(self._masks)
        mask = {"folder": f"{MASKS}/{self._name}", "sha256": sha256, "swapped": self._swapped}
        return {"output": video, "mask": mask}

    def publish(self, sidecar: Mapping[str, Any]) -> None:
        """Gives masks, sidecar and video their names, in this order.

        What an earlier run left under them goes, the video first: it is never there beside masks of
        another. So does the manifest, where it listed other masks.

        Raises:
            OSError: that cannot be done; none of the new ones is left.
        """
        video, masks = self._output.directory / self._name, self._output.mask(self._name)
        beside = self._output.sidecar(self._name)
        temporary = temporary_name(beside)
        try:
            temporary.write_text(json_text(sidecar), encoding="utf-8")
            remove(video)
            remove(beside)
            if self._masks is not None or masks.exists():
                remove(self._output.directory / MANIFEST_FILE)
            remove(masks)
            if self._masks is not None:
                masks.parent.mkdir(exist_ok=True)
            of_masks = {} if self._masks is None else {masks: self._masks}
            give_names({**of_masks, beside: temporary, video: self.video})
            self._segments.remove()
        finally:
            temporary.unlink(missing_ok=True)
