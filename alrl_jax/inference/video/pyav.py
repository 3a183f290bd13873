"""Video files through PyAV (extra ``video``): frames out and in, all other streams as they are.

Times of frames are kept, whatever their rate, where they rise; a frame without a time, or with one
that is over, follows the one before it by a frame's duration. Audio and subtitles are copied packet
by packet. Places (GPS) in the container's metadata are left out. Frames are encoded again, with 8
bits a channel, upright, in the colour space that they had.
"""

import collections
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from alrl_jax.errors import UserError
from alrl_jax.utils.extras import importing

CONTAINERS: dict[str, tuple[str, str]] = {
    ".mp4": ("mp4", "libx264"),
    ".mov": ("mov", "libx264"),
    ".m4v": ("mp4", "libx264"),
    ".mkv": ("matroska", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
}
"""Container and codec of an output, by the suffix of the input."""
OTHER = ".mkv"
"""Suffix of the output of any other input; it takes every stream."""
CRF = "18"
"""Quality of the encoded frames: hardly distinguishable from the original."""
COPIED = ("audio", "subtitle")
PLACES = ("location", "gps", "iso6709")
"""Words in the names of metadata that say where a video was made; those are not copied."""
_MATRICES = (1, 4, 5, 7, 9)  # that swscale knows
_ITU601 = 5
_FULL, _NARROW = 2, 1
_HIGH_DYNAMIC_RANGE = (16, 18)  # transfer functions: PQ and HLG

Pixels = UInt8[np.ndarray, "h w 3"]


@dataclasses.dataclass
class _Clock:
    """Times of a stream that rise, from times that may not.

    Attributes:
        second: units of time in a second.
        least: units by which a time rises that did not; 0 lets times be equal.
        last: the last time that was given.
        shift: added to times: more since every fall by a second or more, as where files are joined.
    """

    second: float
    least: int
    last: int | None = None
    shift: int = 0

    def at(self, time: int, duration: int) -> int:
        """The time itself where it rises; else one that does.

        Args:
            time: of a frame or packet.
            duration: of the one before it.
        """
        now = time + self.shift
        if self.last is not None and now < self.last + min(1, self.least):
            if self.last - now >= self.second:
                self.shift = self.last + duration - time
            now = max(time + self.shift, self.last + self.least)
        self.last = now
        return now


def output_suffix(path: Path) -> str:
    """Suffix of the output of a video file."""
    suffix = path.suffix.lower()
    return suffix if suffix in CONTAINERS else OTHER


class VideoCopy:
    """Reads the frames of a video file and writes others in their place.

    Args:
        path: of the input.
        output: of the file to write, under any name.
        suffix: an entry of ``CONTAINERS``.
        comment: goes into the metadata of the output, before the comment of the input.

    Raises:
        UserError: PyAV is not installed, or the input is no video that it reads.
    """

    def __init__(self, path: Path, output: Path, suffix: str, comment: str) -> None:
        self._av = _library()
        self._path = path
        container, self._codec = CONTAINERS[suffix]
        with self._explained("a video file"):
            self._input = self._av.open(str(path))
        if not self._input.streams.video:
            raise UserError(f"got {path}, which has no frames; expected a video file; take another")
        self._stream = self._input.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.rate = self._stream.average_rate or 25
        with self._explained("an output that can be written"):
            self._output = self._av.open(str(output), "w", format=container)
        for key, value in self._input.metadata.items():
            if not any(word in key.lower() for word in PLACES):
                self._output.metadata[key] = value
        old = self._input.metadata.get("comment", "")
        self._output.metadata["comment"] = f"{comment}\n{old}" if old else comment
        self._encoder: Any = None
        self._copies: dict[int, Any] = {}
        self._held: collections.deque[Any] = collections.deque()
        self._step = max(1, round(1 / (self.rate * self._stream.time_base)))
        self._clock = _Clock(float(1 / self._stream.time_base), self._step)
        self._clocks: dict[int, _Clock] = {}
        self._times: collections.deque[tuple[int, Any, Any]] = collections.deque()
        self.left_out: list[str] = []

    def __enter__(self) -> "VideoCopy":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._input.close()
        with contextlib.suppress(self._av.FFmpegError):
            self._output.close()

    def frames(self) -> Iterator[tuple[float, Pixels]]:
        """Time in s and upright pixels of every frame, in the order in which they are shown.

        Raises:
            UserError: the file is damaged, or its colours are of high dynamic range.
        """
        wanted = [s for s in self._input.streams if s is self._stream or s.type in COPIED]
        with self._explained("a video file that is whole"):
            for packet in self._input.demux(wanted):
                if packet.stream is not self._stream:
                    if packet.dts is not None:  # None: the end of the stream
                        self._hold(packet)
                    continue
                for frame in packet.decode():
                    yield self._read(frame)

    def _read(self, frame: Any) -> tuple[float, Pixels]:
        if frame.color_trc in _HIGH_DYNAMIC_RANGE:
            raise UserError(
                f"got {self._path}, whose colours are of high dynamic range; expected a video of "
                "standard range; convert it first"
            )
        pixels = frame.to_ndarray(format="rgb24")
        pixels = np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))
        if self._encoder is None:
            self._open_streams(frame, pixels)
        start, last = self._stream.start_time or 0, self._clock.last
        following = start if last is None else last + self._step
        time = following - self._clock.shift if frame.pts is None else frame.pts
        pts = self._clock.at(time, self._step)
        self._times.append((pts, frame.colorspace, frame.color_range))
        return float((pts - start) * self._stream.time_base), pixels

    def _hold(self, packet: Any) -> None:
        """Keeps a packet of another stream, at a time that rises, until its turn comes."""
        stream = packet.stream
        least = 1 if stream.type == "audio" else 0  # two subtitles may begin at once
        second = float(1 / packet.time_base)
        clock = self._clocks.setdefault(stream.index, _Clock(second, least))
        moved = clock.at(packet.dts, packet.duration or 0) - packet.dts
        packet.dts += moved
        if packet.pts is not None:
            packet.pts += moved
        self._held.append(packet)

    def _open_streams(self, frame: Any, pixels: Pixels) -> None:
        """Adds the streams of the output, once it is known how the frames look."""
        height, width = pixels.shape[:2]
        stream = self._output.add_stream(self._codec, rate=self.rate)
        shape = self._stream.sample_aspect_ratio
        if shape:
            turned = round(frame.rotation / 90) % 2
            stream.codec_context.sample_aspect_ratio = 1 / shape if turned else shape
        stream.width, stream.height = width, height
        # Half the colours' resolution needs even sides.
        stream.pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
        stream.options = {"crf": CRF} | ({"b": "0"} if "vpx" in self._codec else {})
        stream.time_base = self._stream.time_base
        context = stream.codec_context
        context.time_base = self._stream.time_base
        for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
            setattr(context, name, getattr(frame, name))
        self._encoder = stream
        for other in self._input.streams:
            if other is self._stream:
                continue
            copied = other.type in COPIED
            # A plain ValueError: the container does not take such a stream.
            with contextlib.suppress(ValueError, self._av.FFmpegError):
                if copied:
                    self._copies[other.index] = self._output.add_stream_from_template(other)
            if other.index not in self._copies:
                codec = getattr(other.codec_context, "name", None)
                of = f" ({codec}, not for {self._output.format.name})" if copied else ""
                self.left_out.append(f"{other.type} stream {other.index}{of}")

    def write(self, pixels: Pixels) -> None:
        """Writes the next frame, in the order in which they were read.

        Raises:
            UserError: the file cannot be written.
        """
        pts, colorspace, color_range = self._times.popleft()
        frame = self._av.VideoFrame.from_ndarray(pixels, format="rgb24")
        matrix = colorspace if colorspace in _MATRICES else _ITU601
        narrow = color_range if color_range in (_NARROW, _FULL) else _NARROW
        frame = frame.reformat(
            format=self._encoder.pix_fmt, dst_colorspace=matrix, dst_color_range=narrow
        )
        frame.colorspace, frame.color_range = colorspace, color_range
        frame.pts, frame.time_base = pts, self._stream.time_base
        with self._explained("a file that can be written"):
            self._copy(until=float(pts * self._stream.time_base))
            self._output.mux(self._encoder.encode(frame))

    def finish(self) -> None:
        """Writes what is left, and the end of the file.

        Raises:
            UserError: the file cannot be written, or there was no frame.
        """
        if self._encoder is None:
            raise UserError(f"got {self._path} without a frame; expected a video; take another")
        with self._explained("a file that can be written"):
            self._output.mux(self._encoder.encode(None))
            self._copy(until=float("inf"))
            self._output.close()

    def _copy(self, until: float) -> None:
        """Copies the packets of other streams up to a time in s."""
        while self._held and float(self._held[0].dts * self._held[0].time_base) <= until:
            packet = self._held.popleft()
            if packet.stream.index in self._copies:
                packet.stream = self._copies[packet.stream.index]
                self._output.mux(packet)

    @contextmanager
    def _explained(self, expected: str) -> Iterator[None]:
        """UserError for what FFmpeg refuses."""
        try:
            yield
        except self._av.FFmpegError as error:
            raise UserError(
                f"got {self._path} ({error.strerror or error}); expected {expected}; repair it or "
                "take another"
            ) from error


def count_frames(path: Path) -> int | None:
    """Number of frames of a video file, as it says itself; None where it does not.

    Raises:
        UserError: PyAV is not installed.
    """
    av = _library()
    try:
        with av.open(str(path)) as container:
            return (container.streams.video[0].frames or None) if container.streams.video else None
    except av.FFmpegError:  # opening it for the swap says so
        return None


def comment_of(fields: Mapping[str, str]) -> str:
    """The provenance fields of a video, one a line: ``alrl_jax:digitalSourceType=...``."""
    return "\n".join(f"alrl_jax:{name}={value}" for name, value in fields.items())


def _library() -> Any:
    missing = (
        "got a video file without the package av; expected it for video; do "
        "pip install 'alrl_jax[video]', or pass a directory of frames"
    )
    with importing("av", missing):
        import av

        return av
