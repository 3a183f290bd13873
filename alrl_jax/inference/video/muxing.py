"""Puts encoded frames and the other streams of their input into one file."""

import collections
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from alrl_jax.inference.video.clock import Clock
from alrl_jax.inference.video.encoding import FrameEncoder, Packet, VideoOptions

COPIED = ("audio", "subtitle")
PLACES = ("location", "gps", "iso6709")
"""Words in the names of metadata that say where a video was made; those are not copied."""


class Muxer:
    """Writes one video file.

    Args:
        av: PyAV.
        source: the input, opened for this alone; whoever opened it closes it.
        output: of the file to write.
        encoder: made the packets.
        metadata: of the file.
        options: which part of the input counts.
    """

    def __init__(
        self,
        av: Any,
        source: Any,
        output: Path,
        encoder: FrameEncoder,
        metadata: Mapping[str, str],
        options: VideoOptions,
    ) -> None:
        self._av, self._input, self._options = av, source, options
        self._output = av.open(str(output), "w", format=encoder.container)
        for key, value in metadata.items():
            self._output.metadata[key] = value
        self._stream = encoder.configured(self._output)
        self._last: int | None = None
        self._copies: dict[int, Any] = {}
        self.left_out: list[str] = []
        self._clocks: dict[int, Clock] = {}
        self._held: collections.deque[Any] = collections.deque()
        self._copy_streams()
        self._others = self._other_packets()

    def _copy_streams(self) -> None:
        """Adds the streams that are copied, and names those that cannot be."""
        video = self._input.streams.video[0]
        for other in self._input.streams:
            if other is video:
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

    def write(self, packets: Iterable[Packet], time_base: Any) -> None:
        """Writes packets of frames, and what else comes until then.

        Args:
            packets: in the order in which they are decoded.
            time_base: unit of their times, in s.
        """
        for pts, dts, duration, key, content in packets:
            # Where encoders follow each other, the first times of one may meet the other's last.
            dts = dts if self._last is None else min(pts, max(dts, self._last + 1))
            self._last = dts
            packet = self._av.Packet(content)
            packet.pts, packet.dts, packet.duration = pts, dts, duration
            packet.time_base, packet.is_keyframe = time_base, key
            packet.stream = self._stream
            self._copy(until=float(dts * time_base))
            self._output.mux(packet)

    def finish(self) -> None:
        """Writes what is left, and the end of the file."""
        self._copy(until=float("inf"))
        self._output.close()

    def close(self) -> None:
        """Gives up the file."""
        with contextlib.suppress(self._av.FFmpegError):
            self._output.close()

    def _copy(self, until: float) -> None:
        """Copies the packets of other streams up to a time in s."""
        while True:
            packet = next(self._others, None) if not self._held else self._held.popleft()
            if packet is None:
                return
            if float(packet.dts * packet.time_base) > until:
                self._held.append(packet)
                return
            packet.stream = self._copies[packet.stream.index]
            self._output.mux(packet)

    def _other_packets(self) -> Iterator[Any]:
        """Packets of the copied streams, at times that rise."""
        wanted = [s for s in self._input.streams if s.index in self._copies]
        if not wanted:
            return
        start, end = self._options.start, self._options.end
        video = self._input.streams.video[0]
        begin = float((video.start_time or 0) * video.time_base)
        for packet in self._input.demux(wanted):
            if packet.dts is None:  # the end of the stream
                continue
            self._rising(packet)
            shown = packet.dts if packet.pts is None else packet.pts
            time = float(shown * packet.time_base) - begin
            # Sound may begin before the first frame, where nothing was cut off.
            if (start and time < start) or (end is not None and time >= end):
                continue
            if start:
                shift = round(start / packet.time_base)
                packet.dts -= shift
                packet.pts = None if packet.pts is None else packet.pts - shift
            yield packet

    def _rising(self, packet: Any) -> None:
        """Moves a packet to a time that rises."""
        stream = packet.stream
        least = 1 if stream.type == "audio" else 0  # two subtitles may begin at once
        second = float(1 / packet.time_base)
        clock = self._clocks.setdefault(stream.index, Clock(second, least))
        moved = clock.at(packet.dts, packet.duration or 0) - packet.dts
        packet.dts += moved
        if packet.pts is not None:
            packet.pts += moved
