"""True swaps for training: the stated ceiling's, and nobody else's.

The synthetic world alone can show one person with the looks of another picture. The pictures are
drawn as batches need them, as there are too many pairs to draw them beforehand.
"""

import dataclasses

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from alrl_jax.data.records import to_float, to_uint8
from alrl_jax.data.world_faces import population
from alrl_jax.worlds import primitives


@dataclasses.dataclass(frozen=True)
class TrueSwaps:
    """Draws the true swaps of pairs of records of a synthetic source; see ``synthetic_plan``.

    Attributes:
        resolution: side of the images, in pixels.
        images_per_identity: records of each person.
        people: who there is.
        looks: the attributes of every record.
    """

    resolution: int
    images_per_identity: int
    people: primitives.Identities
    looks: primitives.Attributes

    def draw(
        self,
        sources: Int[np.ndarray, " b"],
        targets: Int[np.ndarray, " b"],
        flip: Bool[np.ndarray, " b"],
    ) -> Float[np.ndarray, "b r r 3"]:
        """The people of the sources, as the targets look.

        Args:
            sources: numbers of records.
            targets: likewise.
            flip: which targets are mirrored.

        Returns:
            Images of 8 bits in [-1, 1], like those of records.
        """
        who = jax.tree.map(lambda x: x[sources // self.images_per_identity], self.people)
        how = jax.tree.map(lambda x: x[targets], self.looks)
        image = np.asarray(primitives.render(who, how, self.resolution).image)
        image = np.where(flip[:, None, None, None], image[:, :, ::-1], image)
        return to_float(to_uint8(image))


def true_swaps(
    resolution: int, num_identities: int, images_per_identity: int, split: str, seed: int = 0
) -> TrueSwaps:
    """The true swaps of the records that ``synthetic_plan`` plans with the same arguments."""
    people, looks = population(
        num_identities, images_per_identity, primitives.split_key(split, seed)
    )
    return TrueSwaps(resolution, images_per_identity, people, looks)
