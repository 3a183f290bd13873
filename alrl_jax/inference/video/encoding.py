"""How frames are encoded: containers, codecs, and what a user may choose of them."""

import dataclasses
import io
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from alrl_jax.errors import UserError

CONTAINERS: Mapping[str, tuple[str, str]] = {
    ".mp4": ("mp4", "h264"),
    ".mov": ("mov", "h264"),
    ".m4v": ("mp4", "h264"),
    ".mkv": ("matroska", "h264"),
    ".webm": ("webm", "vp9"),
}
"""Container and codec of an output, by the suffix of the input."""
OTHER = ".mkv"
"""Suffix of the output of any other input; it takes every stream."""


@dataclasses.dataclass(frozen=True)
class Codec:
    """A codec of outputs.

    Attributes:
        encoder: FFmpeg's name of what encodes it.
        crf: constant rate factor at which frames are hardly distinguishable from the original.
        most: the largest factor.
        containers: that take it.
    """

    encoder: str
    crf: int
    most: int
    containers: tuple[str, ...] = ("mp4", "mov", "matroska")


CODECS: Mapping[str, Codec] = {
    "h264": Codec("libx264", 18, 51),
    "hevc": Codec("libx265", 20, 51),
    "vp9": Codec("libvpx-vp9", 18, 63, ("matroska", "webm", "mp4")),
    "av1": Codec("libsvtav1", 20, 63, ("mp4", "matroska", "webm")),
}
LOOKAHEAD_BYTES = 2**29
"""What the encoder may hold of frames that it looks at ahead."""
_MATRICES = (1, 4, 5, 7, 9)  # that swscale knows
_ITU601 = 5
_FULL, _NARROW = 2, 1
_HEAD = struct.Struct("<qqq?q")
"""Of a packet: time it is shown, time it is decoded, duration, whether it is a key, bytes."""

Pixels = UInt8[np.ndarray, "h w 3"]
Packet = tuple[int, int, int, bool, bytes]
"""Times and duration in units of the stream, whether it is a key, content."""


@dataclasses.dataclass(frozen=True)
class VideoOptions:
    """What a user chose of an output video.

    Attributes:
        codec: key of ``CODECS``; None for that of the container.
        crf: constant rate factor; None for the codec's own.
        start: seconds of the input from which frames count.
        end: seconds of the input from which they do not; None for its end.
        drop_alpha: whether frames with transparency become opaque.
    """

    codec: str | None = None
    crf: int | None = None
    start: float = 0.0
    end: float | None = None
    drop_alpha: bool = False

    def chosen(self) -> dict[str, Any]:
        """What differs from a run without any choice."""
        values = dataclasses.asdict(self)
        return {name: v for name, v in values.items() if v != getattr(USUAL, name)}

    def codec_for(self, suffix: str) -> tuple[str, Codec]:
        """Container and codec of an output.

        Args:
            suffix: an entry of ``CONTAINERS``.

        Raises:
            UserError: the container does not take the codec, or the codec no such factor.
        """
        container, usual = CONTAINERS[suffix]
        name = self.codec or usual
        codec = CODECS[name]
        if container not in codec.containers:
            taken = [n for n, other in CODECS.items() if container in other.containers]
            raise UserError(
                f"got --codec={name} for {suffix}; expected one of {', '.join(taken)}; choose, or "
                "rename the video to .mkv"
            )
        if self.crf is not None and self.crf > codec.most:
            raise UserError(
                f"got --crf={self.crf} for {name}; expected 0 to {codec.most}; correct it"
            )
        return container, codec


USUAL = VideoOptions()


def output_sides(width: int, height: int) -> tuple[int, int]:
    """Sides of an output: even, as half the colours' resolution needs."""
    return width + width % 2, height + height % 2


class FrameEncoder:
    """Makes encoders of one kind: what they encode can be joined.

    Args:
        av: PyAV.
        container: FFmpeg's name of it.
        codec: what encodes.
        crf: constant rate factor; None for the codec's own.
        rate: frames a second.
        time_base: unit of times, in s.
        frame: the first of the input, whose colour space stays.
        size: width and height of what is shown.
        shape: of a pixel, width over height; None where nothing is said.
    """

    def __init__(
        self,
        av: Any,
        container: str,
        codec: Codec,
        crf: int | None,
        rate: Any,
        time_base: Any,
        frame: Any,
        size: tuple[int, int],
        shape: Any,
    ) -> None:
        self._av, self.container, self._codec = av, container, codec
        self._crf = codec.crf if crf is None else crf
        self._rate, self._time_base, self._shape = rate, time_base, shape
        self._size, self._shown = output_sides(*size), size
        names = ("colorspace", "color_range", "color_primaries", "color_trc")
        self._colours = {name: getattr(frame, name) for name in names}
        self._holder: Any = None
        self._stream: Any = None
        self._packets: list[Packet] = []

    @property
    def padding(self) -> str | None:
        """What was added to odd sides, in words; None where nothing was."""
        if self._size == self._shown:
            return None
        (width, height), (own_width, own_height) = self._size, self._shown
        parts = ["a column at the right"] * (width - own_width)
        parts += ["a row at the bottom"] * (height - own_height)
        return f"padded from {own_width}x{own_height} to {width}x{height} by {' and '.join(parts)}"

    def configured(self, container: Any) -> Any:
        """A stream of an open container, as every encoder of this kind has it."""
        stream = container.add_stream(self._codec.encoder, rate=self._rate)
        if self._shape is not None:
            stream.codec_context.sample_aspect_ratio = self._shape
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(self._crf)} | self._encoder_options()
        stream.time_base = self._time_base
        context = stream.codec_context
        context.time_base = self._time_base
        for name, value in self._colours.items():
            setattr(context, name, value)
        return stream

    def _encoder_options(self) -> dict[str, str]:
        """Options of the codec beside its quality; fewer frames ahead where they are large."""
        name, pixels = self._codec.encoder, self._size[0] * self._size[1]
        if name == "libvpx-vp9":
            return {"b": "0"}
        if name == "libx265":
            return {"x265-params": "log-level=error"}
        if name == "libsvtav1":
            return {}
        return {"rc-lookahead": str(max(1, min(40, LOOKAHEAD_BYTES // (2 * pixels))))}

    def encode(self, pixels: Pixels, pts: int, colorspace: int, color_range: int) -> None:
        """Encodes a frame; its packet may come later."""
        if self._stream is None:
            self._holder = self._av.open(io.BytesIO(), "w", format=self.container)
            self._stream = self.configured(self._holder)
        width, height = self._size
        if pixels.shape[:2] != (height, width):
            rest = ((0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0))
            pixels = np.pad(pixels, rest, mode="edge")
        frame = self._av.VideoFrame.from_ndarray(pixels, format="rgb24")
        matrix = colorspace if colorspace in _MATRICES else _ITU601
        narrow = color_range if color_range in (_NARROW, _FULL) else _NARROW
        frame = frame.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=narrow)
        frame.colorspace, frame.color_range = colorspace, color_range
        frame.pts, frame.time_base = pts, self._time_base
        self._keep(self._stream.encode(frame))

    def ended(self) -> bytes:
        """All packets since the last end; this encoder ends, and the next frame begins one."""
        if self._stream is not None:
            self._keep(self._stream.encode(None))
            self._holder, self._stream = None, None
        packets, self._packets = self._packets, []
        return packed(packets)

    def _keep(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            scale = packet.time_base / self._time_base
            times = [round(t * scale) for t in (packet.pts, packet.dts, packet.duration or 0)]
            self._packets.append((*times, bool(packet.is_keyframe), bytes(packet)))


def packed(packets: Iterable[Packet]) -> bytes:
    """Packets as bytes."""
    parts = []
    for pts, dts, duration, key, content in packets:
        parts += [_HEAD.pack(pts, dts, duration, key, len(content)), content]
    return b"".join(parts)


def unpacked(block: bytes) -> Iterator[Packet]:
    """Packets of ``packed``."""
    place = 0
    while place < len(block):
        pts, dts, duration, key, size = _HEAD.unpack_from(block, place)
        place += _HEAD.size
        yield pts, dts, duration, key, block[place : place + size]
        place += size
