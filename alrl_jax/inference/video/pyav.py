"""Video files through PyAV (extra ``video``): frames out and in, all other streams as they are.

Times of frames are kept, whatever their rate, where they rise; a frame without a time, or with one
that is over, follows the one before it by a frame's duration. Audio and subtitles are copied packet
by packet. Places (GPS) in the container's metadata are left out. Frames are encoded again, with 8
bits a channel, upright, in the colour space that they had.
"""

import collections
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8

from alrl_jax.errors import UserError
from alrl_jax.inference.video.clock import Clock
from alrl_jax.inference.video.display_matrix import UPRIGHT, Matrix, read_matrix, shown
from alrl_jax.inference.video.encoding import (
    CONTAINERS,
    OTHER,
    USUAL,
    FrameEncoder,
    VideoOptions,
    unpacked,
)
from alrl_jax.inference.video.muxing import COPIED, PLACES, Muxer
from alrl_jax.utils.extras import importing

FORMATS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpegts", "mpeg", "flv"),
    *("ogg", "asf", "mxf", "gif", "apng", "ivf", "h264", "hevc", "av1", "obu", "m4v", "mpegvideo"),
    *("y4m", "yuv4mpegpipe", "nut", "dv", "wtv", "rm"),
)
"""Containers that are read. Playlists are not: they name other files."""
MAX_PIXELS = 2**25
"""Of a frame: somewhat more than 8K video has."""
LATEST_FRAMES, LATEST_END = 2.5, 1.0
"""Frames, and seconds where a file says nothing of its frames, by which it may end early."""
_HIGH_DYNAMIC_RANGE = (16, 18)  # transfer functions: PQ and HLG

Pixels = UInt8[np.ndarray, "h w 3"]
V = TypeVar("V", bound="VideoReader")


def output_suffix(path: Path) -> str:
    """Suffix of the output of a video file."""
    suffix = path.suffix.lower()
    return suffix if suffix in CONTAINERS else OTHER


class VideoReader:
    """Reads the frames of a video file.

    Args:
        path: of the input.
        options: which part of it counts, and what becomes of transparency.

    Raises:
        UserError: PyAV is not installed, or the input is no video that it reads.
    """

    def __init__(self, path: Path, options: VideoOptions = USUAL) -> None:
        self._av = _library()
        self._path, self._options = path, options
        with self._explained("a video file"):
            self._input = _opened(self._av, path)
        if not self._input.streams.video:
            raise UserError(f"got {path}, which has no frames; expected a video file; take another")
        self._stream = self._input.streams.video[0]
        self._check_size(self._stream.codec_context.width, self._stream.codec_context.height)
        self._stream.thread_type = "AUTO"
        self.rate = self._stream.average_rate or 25
        self._step = max(1, round(1 / (self.rate * self._stream.time_base)))
        self._clock = Clock(float(1 / self._stream.time_base), self._step)
        self._times: collections.deque[tuple[int, Any, Any]] = collections.deque()
        self._size: tuple[int, int] | None = None
        self._matrix = UPRIGHT
        self._read_frames, self._broken, self._end = 0, 0, 0.0
        self._stopped = False

    def __enter__(self: V) -> V:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._input.close()

    def frames(self) -> Iterator[tuple[float, Pixels]]:
        """Time in s and upright pixels of every frame, in the order in which they are shown.

        Times count from the beginning of the part that was chosen.

        Raises:
            UserError: the file is damaged, its colours are of high dynamic range, or its frames are
                transparent.
        """
        wanted = [s for s in self._input.streams if s is self._stream or s.type in COPIED]
        with self._explained("a video file that is whole"):
            for packet in self._input.demux(wanted):
                self._note_end(packet)
                if packet.stream is not self._stream:
                    continue
                for frame in self._decoded(packet):
                    read = self._read(frame)
                    if self._stopped:
                        return
                    if read is not None:
                        yield read
        if self._broken and not self._read_frames:
            raise UserError(
                f"got {self._path}, of which no frame can be decoded; expected a video file that "
                "is whole; repair it or take another"
            )

    @property
    def lost(self) -> int:
        """Frames of the file that were not given: damaged ones, and what a cut has taken away."""
        if self._stopped:
            return self._broken
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
            self._check_alpha(frame)
            self._check_size(*size)
            self._size, self._matrix = size, self._display_matrix(frame)
        if size != self._size:
            raise UserError(
                f"got {self._path}, whose frames change from {self._size[0]}x{self._size[1]} to "
                f"{size[0]}x{size[1]} pixels; expected one size; convert it first"
            )

    def _check_alpha(self, frame: Any) -> None:
        """UserError for frames with transparency, which no output keeps, unless it may go."""
        if self._transparent(frame) and not self._options.drop_alpha:
            raise UserError(
                f"got {self._path}, whose frames are transparent in places; expected opaque ones, "
                "as outputs keep no transparency; give --drop_alpha to leave it out"
            )

    def _transparent(self, frame: Any) -> bool:
        marked = self._stream.metadata.get("alpha_mode") == "1"
        return marked or any(part.is_alpha for part in frame.format.components)

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

    def _read(self, frame: Any) -> tuple[float, Pixels] | None:
        """Time and pixels of a frame; None of one before the part that counts."""
        self._check_frame(frame)
        begin, last = self._stream.start_time or 0, self._clock.last
        following = begin if last is None else last + self._step
        time = following - self._clock.shift if frame.pts is None else frame.pts
        pts = self._clock.at(time, self._step)
        seconds = float((pts - begin) * self._stream.time_base)
        if seconds < self._options.start:
            return None
        end = self._options.end
        if end is not None and seconds >= end:
            self._stopped = True
            return None
        pixels = shown(frame.to_ndarray(format="rgb24"), self._matrix)
        self._seen(frame, pixels)
        shift = round(self._options.start / self._stream.time_base)
        self._times.append((pts - shift, frame.colorspace, frame.color_range))
        return seconds - self._options.start, pixels

    def _seen(self, frame: Any, pixels: Pixels) -> None:
        """Takes note of a frame that counts; whoever writes keeps its time."""
        del frame, pixels
        self._times.clear()

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


class VideoCopy(VideoReader):
    """Reads the frames of a video file and writes others in their place.

    Args:
        path: of the input.
        output: of the file to write, under any name.
        suffix: an entry of ``CONTAINERS``.
        comment: goes into the metadata of the output, before the comment of the input.
        options: what a user chose of the output.

    Raises:
        UserError: PyAV is not installed, the input is no video that it reads, or the container does
            not take the codec.
    """

    def __init__(
        self,
        path: Path,
        output: Path,
        suffix: str,
        comment: str,
        options: VideoOptions = USUAL,
    ) -> None:
        self._container, self._codec = options.codec_for(suffix)
        super().__init__(path, options)
        self._output, self._comment = output, comment
        self._encoder: FrameEncoder | None = None
        self.left_out: list[str] = []
        self.changes: list[str] = []

    def _seen(self, frame: Any, pixels: Pixels) -> None:
        """Learns from the first frame how all are encoded."""
        if self._encoder is not None:
            return
        height, width = pixels.shape[:2]
        shape = self._stream.sample_aspect_ratio or None
        if shape is not None and self._matrix[0, 0] == 0:
            shape = 1 / shape
        self._encoder = FrameEncoder(
            *(self._av, self._container, self._codec, self._options.crf, self.rate),
            *(self._stream.time_base, frame, (width, height), shape),
        )
        self.changes += [self._encoder.padding] if self._encoder.padding else []
        if self._transparent(frame):
            self.left_out.append("the frames' transparency")

    def write(self, pixels: Pixels) -> None:
        """Encodes the next frame, in the order in which they were read.

        Raises:
            UserError: the codec cannot take it.
        """
        assert self._encoder is not None
        with self._explained("a file that can be written"):
            self._encoder.encode(pixels, *self._times.popleft())

    def skip(self) -> None:
        """Leaves out the next frame, which an earlier run encoded."""
        self._times.popleft()

    def ended(self) -> bytes:
        """The packets since the last call; the next frame begins another encoder.

        Raises:
            UserError: the codec cannot encode them.
        """
        if self._encoder is None:
            raise UserError(f"got {self._path} without a frame; expected a video; take another")
        with self._explained("a file that can be written"):
            return self._encoder.ended()

    def finish(self, blocks: Iterable[bytes] = ()) -> None:
        """Writes the file.

        Args:
            blocks: of ``ended``, before what was encoded since.

        Raises:
            UserError: the file cannot be written, or there was no frame.
        """
        last = self.ended()
        assert self._encoder is not None
        with self._explained("a file that can be written"):
            with _opened(self._av, self._path) as source:
                muxer = Muxer(
                    *(self._av, source, self._output, self._encoder),
                    *(self._metadata(), self._options),
                )
                try:
                    for block in itertools.chain(blocks, [last]):
                        muxer.write(unpacked(block), self._stream.time_base)
                    muxer.finish()
                finally:
                    muxer.close()
            self.left_out += muxer.left_out

    def _metadata(self) -> dict[str, str]:
        """Of the output: that of the input without places, and the comment."""
        kept = {
            key: value
            for key, value in self._input.metadata.items()
            if not any(word in key.lower() for word in PLACES)
        }
        old = self._input.metadata.get("comment", "")
        return kept | {"comment": f"{self._comment}\n{old}" if old else self._comment}


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
