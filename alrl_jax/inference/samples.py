"""Sampled faces as sources: ``--source=sample:SEED`` puts a made-up identity into a photo."""

from pathlib import Path

import numpy as np

from alrl_jax.errors import UserError
from alrl_jax.inference.protocols import FaceSampler
from alrl_jax.provenance import image_metadata
from alrl_jax.utils import hashing
from alrl_jax.utils.files import write_files

SAMPLE = "sample:"


def read_seed(named: str) -> int:
    """The seed that ``sample:SEED`` names.

    Raises:
        UserError: it is no number from 0 to 2^32 - 1.
    """
    seed = named.removeprefix(SAMPLE)
    digits = seed.isascii() and seed.isdigit() and len(seed) <= len(str(2**32))
    if not (digits and int(seed) < 2**32):
        raise UserError(
            f"got --source={named}; expected sample:SEED with a whole number from 0 to 2^32 - 1; "
            "choose one"
        )
    return int(seed)


def write_sample(model: FaceSampler, named: str, directory: Path) -> Path:
    """Draws the face that a flag names, as a photo with its provenance.

    Args:
        model: draws the face.
        named: ``sample:SEED``, the seed a number from 0 to 2^32 - 1.
        directory: gets ``sample_SEED.png``.

    Raises:
        UserError: no such seed; the photo cannot be written.
    """
    seed = read_seed(named)
    path = directory / f"sample_{seed}.png"
    pixels = np.asarray(model.sample_face(seed))
    source_type = (
        image_metadata.RENDERED_SOURCE_TYPE
        if model.samples_are_rendered
        else image_metadata.GENERATED_SOURCE_TYPE
    )
    content = image_metadata.png_bytes(
        np.rint((np.clip(pixels, -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8),
        image_metadata.metadata(hashing.variables_sha256(model.variables), source_type),
    )
    try:
        write_files({path: content})
    except OSError as error:
        raise UserError(
            f"got {path} ({error.strerror}); expected a file that can be written; make room"
        ) from error
    return path
