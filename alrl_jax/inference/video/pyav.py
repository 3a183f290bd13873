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
from alrl_jax.inference.video.display_matrix import UPRIGHT, Matrix, read_matrix, shown
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
FORMATS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpegts", "mpeg", "flv"),
    *("ogg", "asf", "mxf", "gif", "apng", "ivf", "h264", "hevc", "av1", "obu", "m4v", "mpegvideo"),
    *("y4m", "yuv4mpegpipe", "nut", "dv", "wtv", "rm"),
)
"""Containers that are read. Playlists are not: they name other files."""
MAX_PIXELS = 2**25
"""Of a frame: somewhat more than 8K video has."""
LOOKAHEAD_BYTES = 2**29
"""What the encoder may hold of frames that it looks at ahead."""
LATEST_FRAMES, LATEST_END = 2.5, 1.0
"""Frames, and seconds where a file says nothing of its frames, by which it may end early."""
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
            self._input = _opened(self._av, path)
        if not self._input.streams.video:
            raise UserError(f"got {path}, which has no frames; expected a video file; take another")
        self._stream = self._input.streams.video[0]
        self._check_size(self._stream.codec_context.width, self._stream.codec_context.height)
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
        self._size: tuple[int, int] | None = None
        self._matrix = UPRIGHT
        self._read_frames, self._broken, self._end = 0, 0, 0.0
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
                self._note_end(packet)
                if packet.stream is not self._stream:
                    if packet.dts is not None:  # None: the end of the stream
                        self._hold(packet)
                    continue
                for frame in self._decoded(packet):
                    yield self._read(frame)
        if self._broken and not self._read_frames:
            raise UserError(
                f"got {self._path}, of which no frame can be decoded; expected a video file that "
                "is whole; repair it or take another"
            )

    @property
    def lost(self) -> int:
        """Frames of the file that were not given: damaged ones, and what a cut has taken away."""
        stream, container = self._stream, self._input
        if stream.duration:
            end = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
            least = LATEST_FRAMES / float(self.rate)
        else:  # the end of the longest stream
            end = ((container.start_time or 0) + (container.duration or 0)) / self._av.time_base
            least = LATEST_END
        cut = max(0.0, end - self._end)
        return self._broken + (round(cut * float(self.rate)) if cut > least else 0)

    def _note_end(self, packet: Any) -> None:
        """Remembers until when there are packets; of any stream if the video's end is unknown."""
        if packet.pts is None or (self._stream.duration and packet.stream is not self._stream):
            return
        end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
        self._end = max(self._end, end)

    def _decoded(self, packet: Any) -> list[Any]:
        """The frames of a packet; none of one that is damaged: the video goes on behind it."""
        try:
            frames = packet.decode()
        except self._av.error.InvalidDataError:
            self._broken += 1
            return []
        self._read_frames += len(frames)
        return frames

    def _check_size(self, width: int, height: int) -> None:
        """UserError for frames of which a few would fill the memory."""
        if width * height > MAX_PIXELS:
            raise UserError(
                f"got {self._path} with frames of {width}x{height} pixels; expected at most "
                f"{MAX_PIXELS} of them, as of 8K video; scale it down first"
            )

    def _check_frame(self, frame: Any) -> None:
        """UserError for a frame that cannot be written as it is meant to be seen."""
        if frame.color_trc in _HIGH_DYNAMIC_RANGE:
            raise UserError(
                f"got {self._path}, whose colours are of high dynamic range; expected a video of "
                "standard range; convert it first"
            )
        size = (frame.width, frame.height)
        if self._size is None:
            self._check_size(*size)
            self._size, self._matrix = size, self._display_matrix(frame)
        if size != self._size:
            raise UserError(
                f"got {self._path}, whose frames change from {self._size[0]}x{self._size[1]} to "
                f"{size[0]}x{size[1]} pixels; expected one size; convert it first"
            )

    def _display_matrix(self, frame: Any) -> Matrix:
        """How the frames are turned and mirrored."""
        data = frame.side_data.get("DISPLAYMATRIX")
        matrix = UPRIGHT if data is None else read_matrix(data)
        if matrix is None:
            raise UserError(
                f"got {self._path}, which is to be shown at an angle or skewed; expected quarter "
                "turns and mirrorings; convert it first"
            )
        return matrix

    def _read(self, frame: Any) -> tuple[float, Pixels]:
        self._check_frame(frame)
        pixels = shown(frame.to_ndarray(format="rgb24"), self._matrix)
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
            turned = self._matrix[0, 0] == 0
            stream.codec_context.sample_aspect_ratio = 1 / shape if turned else shape
        stream.width, stream.height = width, height
        # Half the colours' resolution needs even sides.
        stream.pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
        stream.options = {"crf": CRF} | self._encoder_options(width * height)
        stream.time_base = self._stream.time_base
        context = stream.codec_context
        context.time_base = self._stream.time_base
        for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
            setattr(context, name, getattr(frame, name))
        self._encoder = stream
        if any(part.is_alpha for part in frame.format.components) or (
            self._stream.metadata.get("alpha_mode") == "1"
        ):
            self.left_out.append("the frames' transparency")
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

    def _encoder_options(self, pixels: int) -> dict[str, str]:
        """Options of the codec beside its quality; fewer frames ahead where they are large."""
        if "vpx" in self._codec:
            return {"b": "0"}
        return {"rc-lookahead": str(max(1, min(40, LOOKAHEAD_BYTES // (2 * pixels))))}

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
        with _opened(av, path) as container:
            return (container.streams.video[0].frames or None) if container.streams.video else None
    except av.FFmpegError:  # opening it for the swap says so
        return None


def _opened(av: Any, path: Path) -> Any:
    """A video file, opened by FFmpeg as this file and no list of others or address of one."""
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)}
    return av.open(f"file:{path.absolute()}", container_options=options)


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
