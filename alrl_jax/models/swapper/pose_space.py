"""Where the pose of a face lives among its codes."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class PoseSpace:
    """Where pose lives.

    Attributes:
        uses_const: whether the encoder's spatial code is added to the generator's constant.
        coarse_layers: how many of the coarsest W+ codes are always those of the pose face.
    """

    uses_const: bool
    coarse_layers: int


POSE_SPACES: dict[str, PoseSpace] = {
    "spatial_const": PoseSpace(uses_const=True, coarse_layers=0),
    "coarse_codes": PoseSpace(uses_const=False, coarse_layers=3),
    "none": PoseSpace(uses_const=False, coarse_layers=0),
}
"""``spatial_const``: a 4x4 code moves the constant. ``coarse_codes``: the W+ codes up to 8x8."""
