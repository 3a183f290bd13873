"""Where what can be computed again is kept."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alrl_jax.errors import UserError


def cache_directory() -> Path:
    """The package's folder in the user's cache (``$XDG_CACHE_HOME``, by default ``~/.cache``).

    Raises:
        UserError: it is not known where the home directory is.
    """
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if folder.startswith("~"):
        raise UserError(
            "got no home directory, in which what can be computed again is kept; expected $HOME or "
            "$XDG_CACHE_HOME to be set; set one"
        )
    return Path(folder) / "alrl_jax"


def keyed_directory(parameters: Mapping[str, Any]) -> Path:
    """Cache folder of the data that these JSON values define: other values, another folder."""
    text = json.dumps(parameters, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return cache_directory() / f"{parameters['kind']}-{parameters['resolution']}-{key}"
