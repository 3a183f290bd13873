"""The frames of a video file without a copy of it: for those who look before they swap."""

import collections
from typing import Any

from alrl_jax.inference.video.pyav import Pixels, VideoCopy


class FramesAlone(VideoCopy):
    """Reads exactly the frames that ``VideoCopy`` reads, and writes nothing."""

    def _open_streams(self, frame: Any, pixels: Pixels) -> None:
        self._times = collections.deque(maxlen=1)
        self._encoder = self._stream

    def _hold(self, packet: Any) -> None:
        """Lets sound and subtitles go."""
