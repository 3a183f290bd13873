"""Says where images come from: ``alrl verify-image FILE...``.

Prints one JSON object a file: ``marked`` and ``payload``, of the invisible mark; ``metadata``, what
the file itself says; ``c2pa``, what its Content Credentials say, where there are any and the extra
``c2pa`` is installed; ``error`` instead of all, where it cannot be read. All of these are hints,
not proof: metadata is lost when an image is encoded again, a mark can be removed, and both can be
forged. Exit status: 0 all read; 2 a file cannot be read.
"""

import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from alrl_jax.errors import UserError
from alrl_jax.provenance import content_credentials, image_metadata
from alrl_jax.provenance.watermark import codec
from alrl_jax.utils import command_line
from alrl_jax.utils.opening import open_image
from alrl_jax.utils.paths import local_path


def verify(path: Path) -> dict[str, Any]:
    """What an image says of its provenance.

    Raises:
        UserError: no such file, or no image.
    """
    try:
        fields = image_metadata.read_metadata(path)
        with open_image(path) as image:
            # Deep gray images would be clipped on their way to RGB.
            deep = np.asarray(image) / 257 if image.mode.startswith("I") else None
            rgb = np.asarray(image.convert("RGB"))
    # Broken files make decoders raise nearly anything.
    except Exception as error:
        raise UserError(
            f"got {path} ({type(error).__name__}: {error}); expected an image; check the path"
        ) from error
    if deep is not None:
        rgb = np.repeat(np.clip(deep, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)
    found = codec.detect(rgb)
    return {
        "file": str(path),
        "marked": found.marked,
        "payload": found.payload.as_json() if found.payload else None,
        "mark_z": round(found.z, 2),
        "mark_threshold": round(codec.THRESHOLD, 2),
        "metadata": fields,
        "c2pa": content_credentials.read(path),
    }


def main(argv: list[str]) -> int:
    """Prints one line a file; 2 where one of them cannot be read."""
    if len(argv) < 2:
        raise UserError("got no file; expected alrl verify-image FILE...; name one")
    status = 0
    for name in argv[1:]:
        try:
            found = verify(Path(local_path(name)))
        except UserError as error:
            found, status = {"file": name, "error": str(error)}, 2
        print(json.dumps(found))
    return status


def define_flags() -> None:
    """This command has no flags, but files."""


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main, positional=True)
