"""A few bits and their protection: a 48-bit payload, a checksum, a convolutional code.

The payload says what drew an image, never who: a format number, the first bits of the model's hash
and the week. A 16-bit CRC separates wrong payloads from right ones. The code has rate 1/6,
constraint length 7 and generators from Forney's family of good codes; decoding is Viterbi's, on
soft values.
"""

import dataclasses
import datetime
import functools

import numpy as np
from jaxtyping import Float, Int

from alrl_jax.errors import UserError

FORMAT = 1
PAYLOAD_BITS = 48
CRC_BITS = 16
_FORMAT_BITS, _MODEL_BITS, _WEEK_BITS = 4, 32, 12
FREE_BITS = _MODEL_BITS + _WEEK_BITS
"""Of a payload of this format."""
_CRC_POLYNOMIAL = 0x1021
_MEMORY = 6
# Octal, as the tables of convolutional codes print them.
_GENERATORS = (0o133, 0o165, 0o171, 0o145, 0o135, 0o177)
CODED_BITS = (PAYLOAD_BITS + CRC_BITS + _MEMORY) * len(_GENERATORS)
_FIRST_DAY = datetime.date(2024, 1, 1)

Bits = Int[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True)
class Payload:
    """What a mark says.

    Attributes:
        model: the first 8 hexadecimal digits of the model's SHA-256.
        week: Monday of the week in which the image was made.
        format: layout of these bits.
    """

    model: str
    week: datetime.date
    format: int = FORMAT

    def as_json(self) -> dict[str, str | int]:
        """For records and reports."""
        return {"format": self.format, "model": self.model, "week": self.week.isoformat()}


def make_payload(model_sha256: str, day: datetime.date) -> Payload:
    """The payload of an image that a model drew on a day.

    Raises:
        UserError: the hash is no hash, or the day lies outside 2024 to 2102.
    """
    model = model_sha256[:8].lower()
    if len(model) < 8 or set(model) - set("0123456789abcdef"):
        raise UserError(f"got the hash {model_sha256!r}; expected hexadecimal SHA-256; pass one")
    weeks = (day - _FIRST_DAY).days // 7
    if not 0 <= weeks < 2**_WEEK_BITS:
        raise UserError(f"got the day {day}; expected one from {_FIRST_DAY} on; set the clock")
    return Payload(model, _FIRST_DAY + datetime.timedelta(weeks=weeks))


def pack(payload: Payload) -> int:
    """The payload as a number of ``PAYLOAD_BITS`` bits."""
    weeks = (payload.week - _FIRST_DAY).days // 7
    return (payload.format << _MODEL_BITS | int(payload.model, 16)) << _WEEK_BITS | weeks


def unpack(number: int) -> Payload:
    """The payload of ``pack``'s number."""
    weeks = number & (2**_WEEK_BITS - 1)
    model = number >> _WEEK_BITS & (2**_MODEL_BITS - 1)
    day = _FIRST_DAY + datetime.timedelta(weeks=weeks)
    return Payload(f"{model:08x}", day, number >> _WEEK_BITS + _MODEL_BITS)


def crc(number: int, bits: int) -> int:
    """CRC-16 of a number's bits, highest first (polynomial 0x1021, start value 0xffff)."""
    # Not 0, which would give a payload of zeros a checksum of zeros.
    value = 0xFFFF
    for i in reversed(range(bits)):
        carry = (value >> 15 ^ number >> i) & 1
        value = (value << 1 & 0xFFFF) ^ (_CRC_POLYNOMIAL if carry else 0)
    return value


def encode(number: int) -> Bits:
    """The ``CODED_BITS`` bits (0 or 1) that stand for a payload."""
    word = number << CRC_BITS | crc(number, PAYLOAD_BITS)
    length = PAYLOAD_BITS + CRC_BITS
    # The zeros lead back to state 0, so that the last bits are as safe as the others.
    bits = [word >> i & 1 for i in reversed(range(length))] + [0] * _MEMORY
    state, coded = 0, []
    for bit in bits:
        register = bit << _MEMORY | state
        coded += [(register & generator).bit_count() & 1 for generator in _GENERATORS]
        state = register >> 1
    return np.array(coded)


@functools.cache
def _trellis() -> tuple[Int[np.ndarray, "states 2"], Float[np.ndarray, "states 2 generators"]]:
    """For every state the two states before it, and the signs sent on the way from each."""
    states = np.arange(2**_MEMORY)
    # A state is the newest bit (highest) and those before it; the oldest one drops out.
    register = (states[:, None] << 1) | np.arange(2)
    previous = register & (2**_MEMORY - 1)
    parity = np.array(
        [[[(int(r) & g).bit_count() & 1 for g in _GENERATORS] for r in row] for row in register]
    )
    return previous, 1.0 - 2.0 * parity


def decode(soft: Float[np.ndarray, " n"]) -> tuple[int, bool]:
    """The likeliest payload, and whether its checksum is right.

    Args:
        soft: ``CODED_BITS`` values, positive where a 0 is likelier.
    """
    previous, signs = _trellis()
    steps = soft.reshape(-1, len(_GENERATORS))
    score = np.full(len(previous), -np.inf)
    # Encoding begins in state 0 and ends there: no other way counts.
    score[0] = 0.0
    choices = np.zeros((len(steps), len(previous)), np.int64)
    for i, values in enumerate(steps):
        ways = score[previous] + signs @ values
        choices[i] = np.argmax(ways, axis=1)
        score = np.max(ways, axis=1)
    state, word = 0, 0
    for i in reversed(range(len(steps))):
        # The newest bit of a state led to it; those of the tail are known to be 0.
        if i < len(steps) - _MEMORY:
            word |= (state >> _MEMORY - 1) << len(steps) - _MEMORY - 1 - i
        state = int(previous[state, choices[i, state]])
    number = word >> CRC_BITS
    return number, crc(number, PAYLOAD_BITS) == word & (2**CRC_BITS - 1)
