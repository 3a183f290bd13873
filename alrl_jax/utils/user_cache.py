"""Where what can be computed again is kept."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def cache_directory() -> Path:
    """The package's folder in the user's cache (``$XDG_CACHE_HOME``, by default ``~/.cache``)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alrl_jax"


def keyed_directory(parameters: Mapping[str, Any]) -> Path:
    """Cache folder of the data that these JSON values define: other values, another folder."""
    text = json.dumps(parameters, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return cache_directory() / f"{parameters['kind']}-{parameters['resolution']}-{key}"
