"""The centre of W that the encoders of pSp and e4e add to their codes.

This family is built on StyleGAN2's here: such an encoder was trained with a generator of
rosinality's, which its file holds as ``decoder``, and a file that does not hold the centre itself
leaves it to be computed with that generator's mapping network.
"""

import numpy as np

from alrl_jax.convert.families.face_encoders.architecture import MAX_STYLES
from alrl_jax.convert.families.stylegan2.centres import AVERAGE_SAMPLES, LATENT_AVERAGE, mean_code
from alrl_jax.convert.networks import OPTIONS, Network
from alrl_jax.convert.shapes import count_numbers
from alrl_jax.errors import UserError

DECODER = "decoder."
DECODER_MAPPING = tuple(
    f"{DECODER}style.{i}.{leaf}" for i in range(1, 17) for leaf in ("weight", "bias")
)
"""The mapping network beside an encoder, which gives the centre of W where nothing else does."""


def encoder_centre(network: Network) -> dict[str, str]:
    """Leaves in ``latent_avg`` what is added to the codes, [l, d], or nothing where nothing is.

    Args:
        network: an encoder with what stands beside it.

    Returns:
        What is to be noted.

    Raises:
        UserError: if the options ask for a centre that the file does not tell.
    """
    tensors = network.tensors
    mapping = {name: tensors.pop(name) for name in DECODER_MAPPING if name in tensors}
    starts = network.settings.get(OPTIONS, {}).get("start_from_latent_avg")
    centre = tensors.pop(LATENT_AVERAGE, None)
    if starts is False:
        return {LATENT_AVERAGE: "not added: start_from_latent_avg is False"}
    notes = {}
    if centre is None and starts is True:
        if not mapping:
            raise UserError(
                f"got start_from_latent_avg=True without {LATENT_AVERAGE} and decoder; expected "
                "one of them; is the file complete?"
            )
        centre = mean_code(mapping, DECODER)
        notes = {LATENT_AVERAGE: f"mean of {AVERAGE_SAMPLES} codes: the file holds none"}
    if centre is not None:
        rows = centre[None] if centre.ndim == 1 else centre
        count = count_numbers(tensors, r"styles\.(\d+)\..*")
        same = rows.ndim == 2 and len(rows) == 1 and count <= MAX_STYLES
        tensors[LATENT_AVERAGE] = np.repeat(rows, count, axis=0) if same else rows
    return notes
