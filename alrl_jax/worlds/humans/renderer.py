"""Images of the world of human heads.

Every image is drawn by itself, so that it depends on its own person, look and cover alone, bit for
bit, whatever is drawn beside it.
"""

import functools
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from alrl_jax.errors import UserError
from alrl_jax.worlds.humans import scenery
from alrl_jax.worlds.humans.camera import HALF, SAMPLES, project, rays, taken
from alrl_jax.worlds.humans.casting import Hits
from alrl_jax.worlds.humans.covers import Covers
from alrl_jax.worlds.humans.labels import LABEL, PARSING_LABELS
from alrl_jax.worlds.humans.landmarks import landmark_points
from alrl_jax.worlds.humans.sampling import FORM_TABLE, Attributes, Identities
from alrl_jax.worlds.humans.scene import Scene, make_scene
from alrl_jax.worlds.humans.shading import hits_of, layer

RESOLUTION_STEP, MAX_RESOLUTION = 16, 1024

SEEN = 0.06
"""How much nearer than a landmark a surface may be that does not hide it, in decimetres."""


LAYERS = 4
"""Surfaces that a ray may pass before the last: lashes and hair let light through."""


class _Drawn(NamedTuple):
    picture: np.ndarray
    label: np.ndarray
    depth: np.ndarray


def _draw(
    scene: Scene, person: Identities, look: Attributes, resolution: int, cover: Covers | None = None
) -> _Drawn:
    """Casts all rays, layer by layer."""
    ways = rays(scene.view, resolution)
    count, footprint = len(ways), 2 * HALF / resolution
    light_left = np.ones(count, np.float32)
    colour = np.zeros((count, 3), np.float32)
    label = np.full(count, -1)
    depth = np.full(count, np.inf, np.float32)
    alive, start = np.arange(count), np.zeros(count, np.float32)
    for number in range(LAYERS):
        origins = scene.view.eye + start[alive, None] * ways[alive]
        found = scene.caster.first(origins, ways[alive])
        met = found.triangle >= 0
        alive = alive[met]
        if not len(alive):
            break
        hit = hits_of(scene, alive, ways[alive], Hits(*(x[met] for x in found)))
        away = start[alive] + found.distance[met]
        depth[alive] = np.minimum(depth[alive], away)
        start[alive] = away + 0.002
        for part in layer(scene, hit, person, look, cover, footprint):
            alpha = part.alpha if number < LAYERS - 1 else np.where(part.label < 0, part.alpha, 1.0)
            share = light_left[part.ray] * alpha
            colour[part.ray] += share[:, None] * part.colour
            clear = part.label == LABEL["eye_g"]  # lenses are glasses, however clear they are
            named = (label[part.ray] < 0) & ((alpha > 0.5) | clear) & (part.label >= 0)
            label[part.ray[named]] = part.label[named]
            light_left[part.ray] *= 1.0 - alpha
        alive = alive[light_left[alive] > 0.02]
    return _Drawn(*_developed(scene, colour, light_left, label, look, resolution), depth)


def _developed(
    scene: Scene,
    colour: np.ndarray,
    left: np.ndarray,
    label: np.ndarray,
    look: Attributes,
    resolution: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Exposes samples, lays them over the background, and averages them over pixels."""
    s = SAMPLES
    behind = scenery.background(look, resolution)
    some = left < 1.0
    share = (1.0 - left[some])[:, None]
    front = np.zeros((len(left), 4), np.float32)
    front[some, :3] = share * exposed(colour[some] / np.maximum(share, 1e-3))
    front[some, 3:] = share
    over = functools.reduce(np.add, _of_pixels(front, resolution)) / s**2
    picture = over[..., :3] + behind * (1.0 - over[..., 3:])
    return picture, _most(_of_pixels(np.maximum(label, 0), resolution))


def _of_pixels(samples: np.ndarray, resolution: int) -> list[np.ndarray]:
    """The first samples of all pixels, the second ones and so on."""
    s = SAMPLES
    blocks = samples.reshape(resolution, s, resolution, s, *samples.shape[1:])
    return [blocks[:, i, :, j] for i in range(s) for j in range(s)]


def _most(labels: list[np.ndarray]) -> Int[np.ndarray, "r r"]:
    """The class that most samples of a pixel have; the first of those that have equally many."""
    classes = len(PARSING_LABELS)
    ranks = []
    for one in labels:
        count = sum((one == other).astype(np.int32) for other in labels)
        ranks.append(count * classes + (classes - 1 - one))
    best = functools.reduce(np.maximum, ranks)
    return (classes - 1 - best % classes).astype(np.int32)


def exposed(linear: np.ndarray) -> np.ndarray:
    """SRGB shares of linear radiance, highlights rolled off."""
    x = np.maximum(linear, 0.0) * 0.95
    x = np.where(x > 0.7, 0.7 + 0.3 * (1 - np.exp(-(np.maximum(x, 0.7) - 0.7) / 0.3)), x)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055).astype(np.float32)


@flax.struct.dataclass
class Rendering:
    """Rendered images and their labels.

    Attributes:
        image: sRGB values scaled to [-1, 1].
        parsing: CelebAMask-HQ class of every pixel (``PARSING_LABELS``).
        pose_degrees: yaw, pitch, roll of the head.
        landmarks: x, y in pixels from the upper left corner of the image (``LANDMARKS``); the
            centre of the first pixel is (0.5, 0.5).
        visibility: whether a landmark is in the frame and nothing covers it.
    """

    image: Float[Array, "n r r 3"]
    parsing: Int[Array, "n r r"]
    pose_degrees: Float[Array, "n 3"]
    landmarks: Float[Array, "n m 2"]
    visibility: Bool[Array, "n m"]


def _visible(
    scene: Scene, points: Float[np.ndarray, "m 3"], pixels: Float[np.ndarray, "m 2"], side: int
) -> Bool[np.ndarray, " m"]:
    """Whether landmarks are in the frame with nothing nearer to the camera."""
    inside = ((pixels >= 0.0) & (pixels < side)).all(axis=1)
    away = points - scene.view.eye
    distance = np.linalg.norm(away, axis=1)
    found = scene.caster.first(
        np.repeat(scene.view.eye[None], len(points), axis=0), away / distance[:, None]
    )
    seen = inside & (found.distance > distance - SEEN)
    if scene.cover is not None:
        number = found.triangle - scene.starts[4]
        seen &= (number < 0) | scene.cover.film[np.maximum(number, 0)]
    return seen


def _face(
    person: Identities, look: Attributes, cover: Covers | None, resolution: int
) -> tuple[np.ndarray, ...]:
    """Image, parsing, landmarks and visibility of one face (fields without batch axis)."""
    scene = make_scene(person, look, cover)
    drawn = _draw(scene, person, look, resolution, cover)
    image = 2.0 * taken(drawn.picture, look) - 1.0
    points = landmark_points(scene.body.vertices)
    pixels = project(scene.view, points, resolution)
    return image, drawn.label, pixels, _visible(scene, points, pixels, resolution)


def _check(
    identities: Identities, attributes: Attributes, covers: Covers | None, resolution: int
) -> int:
    """Number of images, if the arguments make sense."""
    if not (RESOLUTION_STEP <= resolution <= MAX_RESOLUTION) or resolution % RESOLUTION_STEP:
        raise UserError(
            f"got resolution {resolution}; expected a multiple of {RESOLUTION_STEP} from "
            f"{RESOLUTION_STEP} to {MAX_RESOLUTION}; choose one such as 128 or 256"
        )
    people, looks = np.shape(identities.sex), np.shape(attributes.yaw)
    if people != looks or len(people) != 1 or people[0] == 0:
        raise UserError(
            f"got identities of shape {people} and attributes of shape {looks}; expected the same "
            "number of both, at least one; give every person one look"
        )
    if covers is not None and np.shape(covers.kind) != people:
        raise UserError(
            f"got identities of shape {people} and covers of shape {np.shape(covers.kind)}; "
            "expected the same number of both; give every image one cover"
        )
    form = np.asarray(identities.form)
    low = np.array([factor.low for factor in FORM_TABLE.values()]) - 1e-3
    wrong = np.argwhere((form > 1.001) | (form < low) | ~np.isfinite(form))
    if len(wrong):
        row, column = wrong[0]
        name = tuple(FORM_TABLE)[column]
        raise UserError(
            f"got {form[row, column]:g} for the factor {name} of person {row}; expected "
            f"{FORM_TABLE[name].low:g} to 1; correct it"
        )
    return people[0]


def render(
    identities: Identities,
    attributes: Attributes,
    resolution: int,
    covers: Covers | None = None,
) -> Rendering:
    """Renders person i with look i and, where there is one, the cover i.

    The true swap is ``render(identities of the sources, attributes of the targets, resolution,
    covers of the targets)``. An image depends on its own person, look and cover alone, bit for bit.

    Args:
        identities: n people.
        attributes: n looks.
        resolution: side of the images in pixels, a multiple of 16 up to 1024.
        covers: n covers; None stands for none at all. What a cover hides is neither labelled as
            face nor visible.

    Raises:
        UserError: for another resolution, numbers that differ, factors out of range, or where the
            package that the heads are built from is missing.
    """
    n = _check(identities, attributes, covers, resolution)
    rows = jax.tree.map(np.asarray, (identities, attributes, covers))
    row: Any = lambda values, i: jax.tree.map(lambda x: x[i, ...], values)  # noqa: E731
    each = [row(rows, i) for i in range(n)]
    faces = [_face(person, look, cover, resolution) for person, look, cover in each]
    image, parsing, landmarks, visibility = (
        jnp.asarray(np.stack(x)) for x in zip(*faces, strict=True)
    )
    pose = jnp.stack(
        [jnp.asarray(getattr(attributes, a), jnp.float32) for a in ("yaw", "pitch", "roll")], 1
    )
    return Rendering(image, parsing, pose, landmarks, visibility)
