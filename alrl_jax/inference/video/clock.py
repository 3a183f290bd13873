"""Times of a stream that rise."""

import dataclasses


@dataclasses.dataclass
class Clock:
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
