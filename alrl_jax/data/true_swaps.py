"""True swaps for training: the stated ceiling's alone.

Only a world can show one person with the looks of another image. The images are
drawn as batches need them, as there are too many pairs to draw them beforehand.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from alrl_jax.data.records import to_float, to_uint8
from alrl_jax.data.request import DataRequest
from alrl_jax.data.world_faces import draw_faces, population
from alrl_jax.worlds import World, primitives


@dataclasses.dataclass(frozen=True)
class TrueSwaps:
    """Draws the true swaps of pairs of records of a world; see ``world_plan``.

    Attributes:
        resolution: side of the images, in pixels.
        images_per_identity: records of each person.
        people: who there is.
        looks: the attributes of every record.
        world: who draws them.
        covers: what covers the face of every record; None for nothing.
    """

    resolution: int
    images_per_identity: int
    people: Any
    looks: Any
    world: World
    covers: Any = None

    def draw(
        self,
        sources: Int[np.ndarray, " b"],
        targets: Int[np.ndarray, " b"],
        flip: Bool[np.ndarray, " b"],
    ) -> Float[np.ndarray, "b r r 3"]:
        """The people of the sources, as the targets look, behind what covers the targets.

        Args:
            sources: numbers of records.
            targets: likewise.
            flip: which targets are mirrored.

        Returns:
            Images of 8 bits in [-1, 1], like those of records.
        """
        who = jax.tree.map(lambda x: x[sources // self.images_per_identity], self.people)
        how, covers = jax.tree.map(lambda x: x[targets], (self.looks, self.covers))
        image = np.asarray(draw_faces(who, how, covers, self.resolution, self.world).image)
        image = np.where(flip[:, None, None, None], image[:, :, ::-1], image)
        return to_float(to_uint8(image))


def true_swaps(request: DataRequest, world: World = primitives) -> TrueSwaps:
    """The true swaps of the records that ``world_plan`` plans for the same request."""
    people, looks, covers = population(request, world)
    each = request.images_per_identity
    return TrueSwaps(request.resolution, each, people, looks, world, covers)
