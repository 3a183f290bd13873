"""One swap with all that it is made of: what the page shows."""

import dataclasses
import time
from collections.abc import Collection, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from alrl_jax.app.models import Opened
from alrl_jax.errors import UserError
from alrl_jax.inference import doubts
from alrl_jax.inference.finishing import SwappedPhoto, finish
from alrl_jax.inference.job import Job, PairFailed, SwappedFace
from alrl_jax.inference.optimising import Watch
from alrl_jax.inference.settings import FACES, Settings
from alrl_jax.photos.face_photos import Face
from alrl_jax.types import SwapOutput


@dataclasses.dataclass(frozen=True)
class Gates:
    """Which codes came from the source (1) and which from the target (0), of one pair.

    Attributes:
        layers: share of the source in every W+ layer, coarse to fine.
        pose: share of the source in the pose code.
        by_group: share of the source in what every attribute group owns; None where nothing is
            decided by group, or groups own codes by chance.
        groups: names of the columns of ``by_group``.
        space: by resolution, how much of the target's features every pixel keeps.
    """

    layers: Float[np.ndarray, " l"]
    pose: float
    by_group: Float[np.ndarray, "l k"] | None
    groups: tuple[str, ...]
    space: dict[int, Float[np.ndarray, "r r"]]


@dataclasses.dataclass(frozen=True)
class Swap:
    """A swap and its parts.

    Attributes:
        job: the pair, with its swapped faces and what was measured.
        settings: what was asked for.
        photo: the target with its faces swapped, marked as every output is.
        image: the first face's crop after the swap.
        gates: of the first face.
        seconds: that it took.
    """

    job: Job
    settings: Settings
    photo: SwappedPhoto
    image: Float[np.ndarray, "r r 3"]
    gates: Gates
    seconds: float


def swap(
    opened: Opened,
    job: Job,
    settings: Settings,
    doubted: Collection[str] = (),
    watch: Watch | None = None,
) -> Swap:
    """Swaps a pair as the command does, and keeps what the result is made of.

    Args:
        opened: the model.
        job: a pair with its faces; of the target those that are swapped.
        settings: what is asked for.
        doubted: of ``FACES``, those of which nobody knows whether a face is in the crop.
        watch: sees the refinement of codes, where there is one; see ``PairOptimiser``.

    Raises:
        UserError: the model refuses what is asked for, or gives no image.
    """
    begin = time.perf_counter()
    faces, outputs = [], []
    for place in job.places:
        face, output = _one(opened, place, settings, doubted, watch)
        faces.append(face)
        outputs.append(output)
    job = dataclasses.replace(job, swapped=tuple(faces))
    assert job.target is not None
    try:
        # Looking whether the mark can be read takes longer than the swap: files are looked at.
        photo = finish(job.target, job.swapped, settings, opened.sha256, check_mark=False)
    except PairFailed as error:
        raise UserError(
            f"got a swap that failed ({error}); expected an image; take other photos"
        ) from error
    job = dataclasses.replace(job, facts=doubts.facts(job, settings))
    gates = gates_of(opened, outputs[0], settings)
    image = np.asarray(outputs[0].image[0])
    return Swap(job, settings, photo, image, gates, time.perf_counter() - begin)


def _one(
    opened: Opened,
    place: tuple[Face, Face],
    settings: Settings,
    doubted: Collection[str],
    watch: Watch | None,
) -> tuple[SwappedFace, SwapOutput]:
    """One face of a pair."""
    model = opened.model
    given = {name: face.crop[None] for name, face in zip(FACES, place, strict=True)}
    crops = opened.on_device(given)
    output = model.swap(crops["source"], crops["target"], **settings.asked())
    refined = None
    if settings.optimise:
        search = opened.optimiser(settings)
        found = search(crops["source"], crops["target"], output, watch)
        output, refined = found.output, found.facts[0]
    alike = jnp.sum(model.embed(crops["source"]) * model.embed(output.image))
    return SwappedFace(
        generated=np.array(output.generated[0]),
        mask=np.array(output.mask[0]),
        attribute_gates=np.asarray(output.gates.attributes[0]).mean(axis=-1),
        pose_gate=float(output.gates.pose[0].mean()),
        identity_similarity=float(alike),
        refined=refined,
        drawn_again=_drawn_again(opened, crops, doubted),
    ), output


def _drawn_again(opened: Opened, crops: Any, doubted: Collection[str]) -> dict[str, float]:
    """PSNR in dB of crops that the model cannot draw again; see ``SwappedFace``."""
    least, found = opened.model.least_face_psnr, {}
    for name in doubted if least is not None else ():
        error = jnp.mean(jnp.square(opened.model.reconstruct(crops[name]) - crops[name]))
        found[name] = float(10 * jnp.log10(4 / jnp.maximum(error, 1e-6)))
    return {name: psnr for name, psnr in found.items() if least is not None and psnr < least}


def gates_of(opened: Opened, output: SwapOutput, settings: Settings) -> Gates:
    """The gates of the first pair of a batch, as they are shown."""
    gates = output.gates
    attributes = np.asarray(gates.attributes[0])
    owners, names = np.asarray(gates.owners), opened.all_groups
    named = owners.shape[-1] == len(names) and owners.shape[:2] == attributes.shape
    selector = settings.selector or opened.model.selectors[0]
    by_group = None
    if named and opened.groups_refused(selector) is None:
        shares = np.einsum("lg,lgk->lk", attributes, owners)
        by_group = shares / np.maximum(owners.sum(axis=1), 1e-8)
    space = {side: np.asarray(kept[0]).mean(axis=-1) for side, kept in gates.space.items()}
    layers, pose = attributes.mean(axis=-1), float(gates.pose[0].mean())
    return Gates(layers, pose, by_group, names if named else (), space)


def side_by_side(opened: Opened, job: Job, settings: Settings) -> Iterator[tuple[str, Swap]]:
    """The pair under every selection that the model can work by, one after another.

    Args:
        opened: the model.
        job: the pair.
        settings: what else is asked for; groups are left out, as fixed rules refuse them.

    Returns:
        The name of every selection, and its swap.
    """
    plain = dataclasses.replace(settings, groups={}, optimise=0, tune_generator=0)
    for selector in opened.model.selectors:
        yield selector, swap(opened, job, dataclasses.replace(plain, selector=selector))
