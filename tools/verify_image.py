"""Tells where pictures come from: ``python -m tools.verify_image FILE...``.

Prints one JSON object a file. It reads metadata alone: there is no invisible mark to detect, so
``marked`` is false, ``payload`` and ``c2pa`` are null, and a picture that was re-encoded or whose
metadata was removed tells nothing. Exit status: 0 all read; 2 a file cannot be read.
"""

import json
from pathlib import Path
from typing import Any

from alrl_jax import command_line, provenance
from alrl_jax.errors import UserError


def verify(path: Path) -> dict[str, Any]:
    """What a picture says of its provenance.

    Raises:
        UserError: no such file, or no picture.
    """
    try:
        fields = provenance.read_metadata(path)
    # Broken files make decoders raise nearly anything.
    except Exception as error:
        raise UserError(
            f"got {path} ({type(error).__name__}: {error}); expected a picture; check the path"
        ) from error
    return {"file": str(path), "marked": False, "payload": None, "metadata": fields, "c2pa": None}


def main(argv: list[str]) -> int:
    """Prints one line a file."""
    if len(argv) < 2:
        raise UserError("got no file; expected tools.verify_image FILE...; name one")
    for name in argv[1:]:
        print(json.dumps(verify(Path(name))))
    return 0


if __name__ == "__main__":
    command_line.run(main, positional=True)
