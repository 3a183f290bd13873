"""What covers a face: glasses, a mask, a scarf, a hand, a microphone, a board.

A cover is a struct of its own beside people and looks, so that the true swap of a covered target is
``render(identities of the sources, attributes of the targets, resolution, covers of the targets)``.
"""

from typing import NamedTuple

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from alrl_jax.errors import UserError
from alrl_jax.worlds.humans.laws import uniforms
from alrl_jax.worlds.humans.sampling import AnyArray

_STREAM = 20


class CoverKind(NamedTuple):
    """A kind of cover, and the law of its draw.

    Attributes:
        label: name of its parsing class.
        size: least and greatest size, times the usual one.
        x: range of its shift to the viewer's right, in decimetres.
        y: range of its shift upwards, likewise.
        tilt: range of its turn within its plane, in degrees, counter-clockwise.
    """

    label: str
    size: tuple[float, float]
    x: tuple[float, float]
    y: tuple[float, float]
    tilt: tuple[float, float]


COVERS = {
    "none": CoverKind("background", (1, 1), (0, 0), (0, 0), (0, 0)),
    "glasses": CoverKind("eye_g", (0.9, 1.15), (0, 0), (-0.04, 0.02), (-2, 2)),
    "mask": CoverKind("cloth", (1, 1), (0, 0), (-0.04, 0.03), (0, 0)),
    "scarf": CoverKind("cloth", (1, 1), (0, 0), (-0.10, 0.12), (0, 0)),
    "hand": CoverKind("background", (0.9, 1.15), (-0.4, 0.4), (-0.6, 0.1), (-50, 50)),
    "microphone": CoverKind("background", (0.8, 1.3), (-0.25, 0.25), (-0.25, 0.05), (-40, 40)),
    "board": CoverKind("background", (0.7, 1.1), (-0.5, 0.5), (-0.8, 0.3), (-35, 35)),
}
"""Kinds of covers by name. A thing that is neither worn nor a part of the head is ``background``,
as in CelebAMask-HQ; glasses are ``eye_g``, which belongs to ``FACE_LABELS``."""

COVER_KINDS = tuple(COVERS)
"""Names of the kinds; ``Covers.kind`` is the place in the tuple, 0 where nothing covers a face."""


@flax.struct.dataclass
class Covers:
    """What covers faces, one entry an image.

    Attributes:
        kind: place in ``COVER_KINDS``.
        size: times the usual size.
        x: shift to the viewer's right, in decimetres.
        y: shift upwards, likewise.
        tilt: turn within its plane, degrees, counter-clockwise.
        opacity: of the glasses' lenses, from 0 (clear) to 1.
        colour: sRGB shares; a hand has the colour of the skin.
    """

    kind: Int[AnyArray, "*n"]
    size: Float[AnyArray, "*n"]
    x: Float[AnyArray, "*n"]
    y: Float[AnyArray, "*n"]
    tilt: Float[AnyArray, "*n"]
    opacity: Float[AnyArray, "*n"]
    colour: Float[AnyArray, "*n 3"]


_LAW = ("size", "x", "y", "tilt")


def _drawn(shares: Float[np.ndarray, "n w"], kind: Int[np.ndarray, " n"]) -> Covers:
    """Covers of given kinds from numbers from 0 to 1."""
    law = np.asarray([[getattr(of, name) for name in _LAW] for of in COVERS.values()])
    low, high = law[kind, :, 0], law[kind, :, 1]
    values = (low + (high - low) * shares[:, : len(_LAW)]).astype(np.float32)
    lens = shares[:, len(_LAW)]
    opacity = np.where(lens < 0.7, 0.04 + 0.2 * lens, 0.55 + 1.4 * (lens - 0.7))
    return Covers(
        kind=jnp.asarray(kind, jnp.int32),
        **{name: jnp.asarray(values[:, i]) for i, name in enumerate(_LAW)},
        opacity=jnp.asarray(opacity, jnp.float32),
        colour=jnp.asarray(0.05 + 0.9 * shares[:, len(_LAW) + 1 : len(_LAW) + 4], jnp.float32),
    )


def covers_of_kind(key: Key[Array, ""], kind: Int[AnyArray, " n"]) -> Covers:
    """Draws covers of given kinds; cover i depends on ``key``, i and its kind alone.

    Args:
        key: a key of ``split_key``.
        kind: places in ``COVER_KINDS``.
    """
    return _drawn(uniforms(key, _STREAM, len(kind), len(_LAW) + 6), np.asarray(kind))


def sample_covers(key: Key[Array, ""], n: int, share: float = 1.0) -> Covers:
    """Draws covers of all kinds; cover i depends on ``key``, ``share`` and i alone, not on ``n``.

    Args:
        key: a key of ``split_key`` (the same key may serve the other samplers).
        n: number of images.
        share: of the images that are covered; the others are of the kind "none".

    Raises:
        UserError: the share is not between 0 and 1.
    """
    if not 0.0 <= share <= 1.0:
        raise UserError(f"got a share of covers of {share}; expected 0 to 1; correct it")
    shares = uniforms(key, _STREAM, n, len(_LAW) + 6)
    which = 1 + np.minimum(shares[:, -1] * (len(COVERS) - 1), len(COVERS) - 2).astype(int)
    return _drawn(shares, np.where(shares[:, -2] < share, which, 0))


def no_covers(n: int) -> Covers:
    """Covers of the kind "none"."""
    return _drawn(np.full((n, len(_LAW) + 6), 0.5), np.zeros(n, int))
