"""The One-Euro filter: little noise at rest, little delay in motion.

A low-pass filter of first order whose cutoff rises with the speed of what it smooths.

Source: Casiez, Roussel and Vogel 2012, 1 Euro filter: a simple speed-based low-pass filter for
noisy input in interactive systems (CHI).
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

Values = Float[np.ndarray, "n d"]


@dataclasses.dataclass(frozen=True)
class OneEuro:
    """How much is smoothed.

    Attributes:
        min_cutoff: in Hz, of what rests; lower is smoother.
        beta: how fast the cutoff rises, in Hz by unit of value a second; higher follows faster.
        speed_cutoff: in Hz, of the filter of the speed itself.
    """

    min_cutoff: float
    beta: float
    speed_cutoff: float = 1.0


class OneEuroFilter:
    """Smooths points over time, each coordinate by itself."""

    def __init__(self, parameters: OneEuro) -> None:
        self._parameters = parameters
        self._last: tuple[float, Values, Values] | None = None

    def reset(self) -> None:
        """Forgets all: the next values are given back as they are."""
        self._last = None

    def __call__(self, values: Values, seconds: float) -> Values:
        """The values of a time, smoothed; times must rise.

        Args:
            values: as many as before, unless the filter was reset.
            seconds: when they were seen.

        Raises:
            ValueError: a time that is not after the last one.
        """
        if self._last is None:
            self._last = (seconds, values, np.zeros_like(values))
            return values
        before, smooth, speed = self._last
        step = seconds - before
        if step <= 0:
            raise ValueError(f"time {seconds} s after {before} s; expected rising times")
        p = self._parameters
        share = _share(np.full_like(values, p.speed_cutoff), step)
        speed = speed + share * ((values - smooth) / step - speed)
        share = _share(p.min_cutoff + p.beta * np.abs(speed), step)
        smooth = smooth + share * (values - smooth)
        self._last = (seconds, smooth, speed)
        return smooth


def _share(cutoff: Values, step: float) -> Values:
    """Weight of a new value in a low-pass filter of a cutoff in Hz, sampled every ``step`` s."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * step))
