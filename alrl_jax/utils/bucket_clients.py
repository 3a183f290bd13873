"""Clients of buckets, with their settings: the only place that knows fsspec."""

import functools
import os
from typing import Any

from alrl_jax.utils.addresses import SCHEMES

_OPTIONS: dict[str, dict[str, Any]] = {
    "gcs": {"requests_timeout": 30},
    "s3": {
        "config_kwargs": {
            "connect_timeout": 5,
            "read_timeout": 30,
            "retries": {"max_attempts": 3, "mode": "standard"},
        }
    },
}
"""How patient clients are, by protocol, where the user's configuration of fsspec says nothing."""


@functools.cache
def filesystem(scheme: str) -> Any:
    """The client of a scheme, made once; Orbax's own takes the same settings."""
    prepare_clients()
    import fsspec

    return fsspec.filesystem(SCHEMES[scheme].protocol)


@functools.cache
def prepare_clients() -> None:
    """Sets what the libraries take from the environment, before they first look there."""
    from fsspec.config import conf

    for protocol, options in _OPTIONS.items():
        # What another process has just put has to be seen.
        usual = {"use_listings_cache": False, **options}
        conf[protocol] = usual | conf.get(protocol, {})
    # Orbax's paths would go through TensorFlow's client where that is installed.
    os.environ.setdefault("EPATH_USE_TF", "false")
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if emulator:
        os.environ.setdefault("TENSORSTORE_GCS_HTTP_URL", emulator)
        conf["gcs"].setdefault("token", "anon")
