"""Addresses of buckets (``gs://``, ``s3://``), and where what has one lies on this machine.

What has an address has a place here, its mirror: ``mirror("gs://b/runs/a")`` is a path in the
user's cache, and ``address_of`` gives the address back. So everything else works with paths, and
``utils.buckets`` carries what lies there to and fro.
"""

import atexit
import functools
import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

from alrl_jax.errors import UserError
from alrl_jax.utils.extras import is_installed
from alrl_jax.utils.processes import is_running
from alrl_jax.utils.user_cache import cache_directory


class Scheme(NamedTuple):
    """How objects of a scheme are reached.

    Attributes:
        protocol: the name that fsspec knows it by.
        package: what fsspec needs for it.
        extra: of this package, which installs that.
    """

    protocol: str
    package: str
    extra: str


SCHEMES = {"gs": Scheme("gcs", "gcsfs", "gcs"), "s3": Scheme("s3", "s3fs", "s3")}
"""What an address may begin with."""

READ, WRITTEN = "buckets", "bucket_outputs"
"""Folders of the user's cache: of what is read, for all processes; of what each one writes."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_NEARLY = re.compile(r"(gs|gcs|s3|s3a|s3n):/*(.*)", re.DOTALL | re.IGNORECASE)
_SPELLED = {"gcs": "gs", "s3a": "s3", "s3n": "s3"}
_TEMPORARY = re.compile(r"/\.[^/]+\.[0-9]+\.tmp(/|$)")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}(/.*)?", re.DOTALL)


def is_address(text: str) -> bool:
    """Whether a text begins with a scheme and ``://``."""
    return _ADDRESS.match(text) is not None


def check_spelling(text: str) -> None:
    """UserError for what is nearly the address of a bucket, such as ``gs:/bucket/folder``."""
    found = _NEARLY.fullmatch(text)
    if found is None or text.startswith(f"{found[1]}://{found[2]}") and found[1] in SCHEMES:
        return
    scheme = found[1].lower()
    meant = f"{_SPELLED.get(scheme, scheme)}://{found[2] or 'BUCKET'}"
    raise UserError(
        f"got {text!r}, which is no address of a bucket; expected {meant}; write it so, or "
        f"./{text} for a local path"
    )


def mirror(address: str, written: bool = False) -> Path:
    """Where what has an address lies on this machine; nothing is fetched yet.

    Args:
        address: such as ``gs://bucket/folder``.
        written: the command writes there, so that the mirror is this process's own.

    Raises:
        UserError: the scheme is not known, no bucket is named, or a package is missing.
    """
    scheme, _, key = address.partition("://")
    if scheme not in SCHEMES:
        known = " or ".join(f"{name}://" for name in SCHEMES)
        raise UserError(
            f"got {address!r}, an address of a scheme that is not known; expected {known}, or a "
            "local path; name one"
        )
    parts = key.rstrip("/").split("/")
    if not _KEY.fullmatch(key) or {"", ".", ".."}.intersection(parts) or "\0" in key:
        raise UserError(
            f"got {address!r}; expected {scheme}://BUCKET/FOLDER without empty parts, . and ..; "
            "correct it"
        )
    needed = SCHEMES[scheme]
    if not is_installed(needed.package):
        raise UserError(
            f"got {address}, for which the package {needed.package} is not installed; expected it; "
            f"install alrl-jax[{needed.extra}]"
        )
    _used.add(scheme)
    return (_scratch() if written else _root(READ)) / scheme / Path(*parts)


def address_of(path: str | Path) -> str | None:
    """The address of what a path mirrors; None of a path that is only local.

    What has, or lies in what has, a temporary name (``utils.files``) is only local.
    """
    if not _used:
        return None
    text = os.path.abspath(path)
    if _TEMPORARY.search(text):
        return None
    for root in _roots():
        if text.startswith(f"{root}{os.sep}"):
            scheme, _, key = Path(text).relative_to(root).as_posix().partition("/")
            return f"{scheme}://{key}" if scheme in SCHEMES and key else None
    return None


def place_of(path: str | Path) -> str:
    """Where something really lies: its address, or the absolute path of a local one."""
    return address_of(path) or os.path.abspath(path)


def shown(text: str) -> str:
    """A text for people, with addresses in place of their mirrors."""
    for root in _roots():
        for scheme in SCHEMES:
            text = text.replace(f"{root}/{scheme}/", f"{scheme}://")
    return text


def relative(path: Path, directory: Path) -> str:
    """A path as seen from a directory, whether either is an address or not."""
    there, here = address_of(path), address_of(directory)
    if there is None and here is None:
        return Path(os.path.relpath(path, directory)).as_posix()
    if there is None or here is None or there.split("/")[:3] != here.split("/")[:3]:
        return place_of(path)  # not in the same bucket
    return Path(os.path.relpath(f"/{key_of(there)}", f"/{key_of(here)}")).as_posix()


def key_of(address: str) -> str:
    """``bucket/key``, as fsspec takes it."""
    return address.partition("://")[2]


@functools.cache
def _root(name: str) -> Path:
    # Links are followed once and for all: other modules follow them too.
    return Path(os.path.realpath(cache_directory() / name))


@functools.cache
def _scratch() -> Path:
    """Of this process alone; removed when it ends, or by the next one."""
    root = _root(WRITTEN)
    for other in root.iterdir() if root.is_dir() else ():
        if other.name.isdecimal() and not is_running(int(other.name)):
            shutil.rmtree(other, ignore_errors=True)
    scratch = root / str(os.getpid())
    shutil.rmtree(scratch, ignore_errors=True)
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return scratch


def _roots() -> list[Path]:
    """Folders in which mirrors lie, each with a folder for every scheme."""
    try:
        return [_scratch(), _root(READ)] if _used else []
    except UserError:  # no home directory, and so no mirrors
        return []


_used: set[str] = set()
"""Schemes of which something has a mirror: without one, nothing is looked for."""


def is_own(path: Path) -> bool:
    """Whether a mirror is of what this process writes."""
    return path.is_relative_to(_scratch())


def root_of(path: Path) -> Path:
    """The folder of mirrors that a mirror lies in."""
    return next(root for root in _roots() if path.is_relative_to(root))
