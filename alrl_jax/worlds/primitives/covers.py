"""What covers a face: a hand, a mask, glasses, a lock of hair and so on, apart from who and how.

A cover is neither a factor of the person nor one of the attributes: it is a struct of its own that
``render`` takes beside them, so that the true swap of a covered target is ``render(identities of
the sources, attributes of the targets, resolution, covers of the targets)``.
"""

from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from alrl_jax.errors import UserError

_COVER_STREAM = 2
_KIND_STREAM = 3


class CoverKind(NamedTuple):
    """A kind of cover, and the law of its draw.

    Attributes:
        label: name of its parsing class.
        on_head: whether it is given in head coordinates and turns with the head; else it is held
            before the face, in coordinates of the scene.
        size: least and greatest size, times the usual one.
        x: range of its shift to the viewer's right, in scene units (half the frame's width).
        y: range of its shift upwards, in scene units.
        tilt: range of its turn within its plane, in degrees, counter-clockwise.
        softness: range of the width of its blurred edge, in scene units.
    """

    label: str
    on_head: bool
    size: tuple[float, float]
    x: tuple[float, float]
    y: tuple[float, float]
    tilt: tuple[float, float]
    softness: tuple[float, float]


COVERS = {
    "none": CoverKind("background", True, (1, 1), (0, 0), (0, 0), (0, 0), (0, 0)),
    "board": CoverKind(
        "background", False, (0.7, 1.1), (-0.4, 0.4), (-0.75, 0.25), (-35, 35), (0.0, 0.03)
    ),
    "hand": CoverKind(
        "background", True, (0.6, 0.85), (-0.32, 0.32), (-0.65, -0.15), (-50, 50), (0.0, 0.03)
    ),
    "mask": CoverKind("cloth", True, (0.95, 1.08), (0, 0), (-0.05, 0.05), (-3, 3), (0.0, 0.01)),
    "scarf": CoverKind("cloth", True, (0.96, 1.08), (0, 0), (-0.08, 0.08), (-5, 5), (0.0, 0.02)),
    "glasses": CoverKind("eye_g", True, (0.92, 1.15), (0, 0), (-0.03, 0.02), (-3, 3), (0.0, 0.006)),
    "lock": CoverKind(
        "hair", True, (0.9, 1.2), (-0.12, 0.12), (-0.06, 0.06), (-12, 12), (0.005, 0.02)
    ),
    "microphone": CoverKind(
        "background", False, (0.8, 1.2), (-0.2, 0.2), (-0.7, -0.42), (-40, 40), (0.0, 0.02)
    ),
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
        x: shift to the viewer's right, scene units; in head coordinates where the kind is worn.
        y: shift upwards, likewise.
        tilt: turn within its plane, degrees, counter-clockwise.
        softness: width of the blurred edge, scene units.
        opacity: of the glasses' lenses, from 0 (clear) to 1; nothing else lets light through.
        colour: sRGB shares; a hand has the colour of the skin and a lock that of the hair.
    """

    kind: Int[Array, "*n"]
    size: Float[Array, "*n"]
    x: Float[Array, "*n"]
    y: Float[Array, "*n"]
    tilt: Float[Array, "*n"]
    softness: Float[Array, "*n"]
    opacity: Float[Array, "*n"]
    colour: Float[Array, "*n 3"]


_LAW = ("size", "x", "y", "tilt", "softness")


def covers_of_kind(key: Key[Array, ""], kind: Int[Array, " n"]) -> Covers:
    """Draws covers of given kinds; cover i depends on ``key``, i and its kind alone.

    Args:
        key: a key of ``split_key``.
        kind: places in ``COVER_KINDS``.
    """
    stream = jax.random.fold_in(key, _COVER_STREAM)
    keys = jax.vmap(lambda i: jax.random.fold_in(stream, i))(jnp.arange(kind.shape[0]))
    share = jax.vmap(lambda k: jax.random.uniform(k, (len(_LAW) + 4,)))(keys)
    law = np.asarray([[getattr(of, name) for name in _LAW] for of in COVERS.values()], np.float32)
    low, high = jnp.asarray(law[..., 0])[kind], jnp.asarray(law[..., 1])[kind]
    drawn = dict(zip(_LAW, (low + (high - low) * share[:, : len(_LAW)]).T, strict=True))
    lens = share[:, len(_LAW)]
    return Covers(
        kind=jnp.asarray(kind, jnp.int32),
        opacity=jnp.where(lens < 0.5, 0.05 + 0.3 * lens, 0.7 + 0.5 * (lens - 0.5)),
        colour=0.05 + 0.9 * share[:, len(_LAW) + 1 :],
        **drawn,
    )


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

    def draw(i: Int[Array, ""]) -> Int[Array, ""]:
        whether, which = jax.random.split(jax.random.fold_in(kinds, i))
        kind = jax.random.randint(which, (), 1, len(COVERS))
        return jnp.where(jax.random.uniform(whether) < share, kind, 0)

    kinds = jax.random.fold_in(key, _KIND_STREAM)
    return covers_of_kind(key, jax.vmap(draw)(jnp.arange(n)))


def no_covers(n: int) -> Covers:
    """Covers of the kind "none"."""
    one, colour = jnp.zeros(n), jnp.zeros((n, 3))
    return Covers(jnp.zeros(n, jnp.int32), one + 1, one, one, one, one, one, colour)
