"""Checkpoints in buckets: where Orbax is told to write them, and which of them are complete.

To ``gs://`` Orbax 0.12 writes as to a disk, but for renaming: an object of its own, put last, says
that a checkpoint is complete. It knows TensorStore's driver of ``gs://`` alone, and ``s3://`` goes
the same ways only when four of its functions are replaced, as ``reach`` does. A version without
them is refused in one line.
"""

import functools
import os
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from alrl_jax.errors import UserError
from alrl_jax.utils import buckets
from alrl_jax.utils.addresses import SCHEMES, address_of, place_of
from alrl_jax.utils.bucket_clients import prepare_clients
from alrl_jax.utils.leases import store_spec

COMPLETE = "commit_success.txt"
"""The object that Orbax puts last."""
_PREFIXES = tuple(f"{scheme}://" for scheme in SCHEMES)


def reach(directory: Path) -> str:
    """The place of checkpoints as Orbax takes it, which can be reached after this.

    Args:
        directory: of the checkpoints, local or the mirror of an address.

    Raises:
        UserError: this version of Orbax cannot write there.
    """
    address = address_of(directory)
    if address is not None:
        prepare_clients()
        _teach_orbax()
    return place_of(directory)


def steps_in(directory: Path) -> list[int]:
    """Steps of the complete checkpoints; reads names only, and none of the newest first."""
    if address_of(directory) is None:
        found = directory.iterdir() if directory.is_dir() else ()
        return sorted(int(p.name) for p in found if p.name.isdecimal())
    names = {n.partition("/")[::2] for n in buckets.listing(directory)}
    return sorted(int(step) for step, rest in names if step.isdecimal() and rest == COMPLETE)


def move(source: Path, target: Path) -> None:
    """Moves a checkpoint to where nothing else lies."""
    if address_of(source) is not None:
        buckets.move(source, target)
        return
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(exist_ok=True)
    shutil.move(source, target)


@functools.cache
def _teach_orbax() -> None:
    """Lets Orbax take addresses of ``s3://`` as it takes those of ``gs://``, and not for hours."""
    from orbax.checkpoint._src.path import gcs_utils
    from orbax.checkpoint._src.serialization import tensorstore_utils

    places: tuple[tuple[Any, str, Any], ...] = (
        (gcs_utils, "is_gcs_path", _is_in_a_bucket),
        (gcs_utils, "get_kvstore_for_gcs", store_spec),
        (tensorstore_utils, "_use_gcs_driver", lambda text: text.startswith(_PREFIXES)),
        (tensorstore_utils, "_normalize_path", _normal),
    )
    for module, name, replacement in places:
        if not callable(getattr(module, name, None)):
            raise UserError(
                f"got a version of orbax-checkpoint without {module.__name__}.{name}; expected "
                "0.12.8, which can be made to write to buckets; install it, or use a local path"
            )
        setattr(module, name, replacement)


def _is_in_a_bucket(path: PurePosixPath) -> bool:
    """Whether what says that it is complete is an object, as nothing is renamed there."""
    return os.fspath(path).startswith(_PREFIXES)


def _normal(text: str) -> str:
    """A path without superfluous slashes, but for those of a scheme."""
    scheme, separator, key = text.partition("://")
    return f"{scheme}://{os.path.normpath(key)}" if separator else os.path.normpath(text)
