"""What has an address of a bucket is fetched to its mirror, and put from there: see ``addresses``.

What is read is fetched before (``pull``), and what ``utils.files`` gives a name is put to its
address at once (``put``). An object is there whole or not at all; of what has several objects, the
one goes last that says that they are complete.

Requests go through fsspec (gcsfs, s3fs), whose settings are read from the environment as usual.
Each is bounded: a bucket that does not answer is an error after ``$ALRL_BUCKET_SECONDS``.
"""

import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterable
from glob import has_magic
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from alrl_jax.errors import UserError
from alrl_jax.utils.addresses import address_of, is_own, key_of, mirror, place_of, root_of
from alrl_jax.utils.bucket_clients import filesystem
from alrl_jax.utils.waiting import within

T = TypeVar("T")


SECONDS = 60.0
"""A request is given, and a second more for every MiB; ``$ALRL_BUCKET_SECONDS`` says otherwise."""
_VERSIONS = ".versions"
LEASE = ".lease"
"""Name of the object that ``utils.leases`` writes; it is never fetched."""
_lost: dict[str, str] = {}
"""Addresses whose lease another process has taken, and what that is called."""


class Entry(NamedTuple):
    """An object.

    Attributes:
        size: in bytes.
        version: changes with its content.
    """

    size: int
    version: str


def pull(path: Path, leave_out: Collection[str] = ()) -> Path:
    """Fetches what lies at the address of a mirror, a file or a folder; local paths stay.

    What is there already in the same version is not fetched again. What is not in the bucket (any
    more) goes, but where this process writes.

    Args:
        path: a mirror, or any local path.
        leave_out: names of folders and files within it that are not wanted.

    Returns:
        The path.

    Raises:
        UserError: the bucket cannot be read, or the disk has no room.
    """
    address = address_of(path)
    if address is None:
        return path
    for _ in range(3):
        if _pulled(path, {LEASE, *leave_out}):
            return path
    raise UserError(
        f"got {address}, in which objects go while they are read; expected one run at a time; "
        "wait for the other to end"
    )


def _pulled(path: Path, leave_out: Collection[str]) -> bool:
    """See ``pull``; False where something went before it was fetched."""
    entries = {
        name: entry
        for name, entry in listing(path).items()
        if not {*name.split("/")}.intersection(leave_out)
    }
    paths = {name: path / name if name else path for name in entries}
    wanted = {*paths.values()}
    for local in [] if is_own(path) else [path, *path.rglob("*")]:
        kept = local in wanted or local.name.endswith(".tmp")
        if local.is_file() and not kept and not {*local.relative_to(path).parts} & {*leave_out}:
            local.unlink(missing_ok=True)
    old = {name for name, entry in entries.items() if not _is_current(paths[name], entry)}
    fetched = {name: entry for name, entry in entries.items() if name in old}
    _check_room(path, sum(entry.size for entry in fetched.values()))
    return _fetch(place_of(path), {paths[name]: (name, entry) for name, entry in fetched.items()})


def fetch(path: Path) -> None:
    """Fetches a mirrored file once in the life of this process; local paths are left be.

    What is not there is not there afterwards either: whoever opens it says so.

    Raises:
        UserError: the bucket cannot be read, or the disk has no room.
    """
    address = address_of(path)
    if address is not None and address not in _fetched:
        entry = listing(path).get("")
        if entry is not None and not _is_current(path, entry):
            _check_room(path, entry.size)
            _fetch(address, {path: ("", entry)})
        _fetched.add(address)


_fetched: set[str] = set()
_put: set[str] = set()


def files_of(path: Path) -> list[Path]:
    """Mirrors of the files that an address names, in order: a file, a pattern, or a folder's.

    Nothing is fetched. Of a folder, hidden names are left out.
    """
    address = address_of(path)
    assert address is not None, f"{path} mirrors nothing"
    if has_magic(address):
        found = _ask(address, lambda fs: fs.glob(key_of(address)), missing=[])
        return [mirror(f"{address.partition('://')[0]}://{name}") for name in sorted(found)]
    names = [n for n in sorted(listing(path)) if not any(p.startswith(".") for p in n.split("/"))]
    return [path / name if name else path for name in names]


def listing(path: Path) -> dict[str, Entry]:
    """All objects under the address of a mirror, by what follows it; "" is the address itself.

    Raises:
        UserError: the bucket cannot be read.
    """
    address = address_of(path)
    assert address is not None, f"{path} mirrors nothing"
    key = key_of(address)
    found = _ask(address, lambda fs: fs.find(key, detail=True), missing={})
    if not found and "/" in key:  # perhaps there is not even the bucket
        bucket = key.partition("/")[0]
        _ask(address, lambda fs: fs.ls(bucket, detail=False))
    return {
        name.removeprefix(key).lstrip("/"): _entry(info)
        for name, info in found.items()
        if (name == key or name.startswith(f"{key}/")) and _is_a_file(name)
    }


def _is_a_file(key: str) -> bool:
    """Whether a key is that of a file which has a place here; keys may hold anything."""
    return not {"", ".", ".."}.intersection(key.split("/")) and "\0" not in key


def names_in(path: Path) -> set[str]:
    """Names of what lies directly in a folder with an address, whether file or folder."""
    address = address_of(path)
    assert address is not None, f"{path} mirrors nothing"
    found = _ask(address, lambda fs: fs.ls(key_of(address), detail=False), missing=[])
    return {name.rstrip("/").rpartition("/")[2] for name in found} - {""}


def put(paths: Iterable[Path]) -> None:
    """Puts files to the addresses that they mirror, one after the other; local paths are left be.

    A folder's files are put in the order of their names, JSON last.

    Raises:
        UserError: the bucket cannot be written, or another run has taken over.
    """
    for path in paths:
        address = address_of(path)
        if address is None:
            continue
        check_held(address)
        if path.is_dir():
            inner = [file for file in path.rglob("*") if file.is_file()]
            put(sorted(inner, key=lambda file: (file.suffix == ".json", file)))
        else:
            key, size = key_of(address), path.stat().st_size
            _ask(address, lambda fs, f=str(path), k=key: fs.put_file(f, k), size, "written")
            _put.add(address)


def put_folder(path: Path) -> None:
    """Puts a folder in place of what has its address; what is in it no more goes at the end."""
    if address_of(path) is not None:
        before = set(listing(path))
        put([path])
        now = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
        _delete(path, before - now)


def remove(path: Path) -> None:
    """Removes all objects under the address of a mirror; local paths are left be."""
    if address_of(path) is not None:
        _delete(path, listing(path))


def move(path: Path, target: Path) -> None:
    """Moves all objects under the address of a mirror to that of another."""
    address, other = address_of(path), address_of(target)
    assert address is not None and other is not None
    remove(target)
    names = sorted(listing(path))
    sources, targets = ([f"{key_of(a)}/{name}" for name in names] for a in (address, other))
    _ask(address, lambda fs: fs.copy(sources, targets), missing=None)
    _delete(path, names)


def read_bytes(path: Path) -> bytes:
    """What the object at the address of a mirror holds now; empty where there is none."""
    address = address_of(path)
    assert address is not None
    return _ask(address, lambda fs: fs.cat_file(key_of(address)), missing=b"")


def check_held(address: str) -> None:
    """UserError if another process has taken the lease of a folder that an address lies in."""
    for folder, called in _lost.items():
        if address == folder or address.startswith(f"{folder}/"):
            raise UserError(
                f"got {called}={folder}, which another run has taken over, as this one did not "
                "reach the bucket for long; expected one at a time; start again when that has ended"
            )


def note_lost(folder: str, called: str) -> None:
    """Makes ``check_held`` refuse everything in a folder from now on."""
    _lost[folder] = called


def note_held(folder: str) -> None:
    """Forgets that a folder's lease was lost, as it is held again."""
    _lost.pop(folder, None)


def _entry(info: dict[str, Any]) -> Entry:
    version = next((str(info[k]) for k in ("ETag", "generation", "etag") if info.get(k)), "")
    return Entry(int(info.get("size") or 0), version or str(info.get("LastModified", "")))


def _is_current(path: Path, entry: Entry) -> bool:
    """Whether a mirror holds this version, or is where it comes from."""
    try:
        if is_own(path) and address_of(path) in _put:
            return path.stat().st_size == entry.size
        known = _version_file(path).read_text(encoding="utf-8")
        return path.stat().st_size == entry.size and known == entry.version
    except OSError:
        return False


def _version_file(path: Path) -> Path:
    """Where the version of what a mirror holds stands."""
    root = root_of(path)
    return root / _VERSIONS / path.relative_to(root).with_name(f"{path.name}.version")


def _check_room(path: Path, size: int) -> None:
    root = root_of(path)
    root.mkdir(parents=True, exist_ok=True)
    wanted, free = -(-size // 2**20), shutil.disk_usage(root).free // 2**20
    if wanted > free:
        raise UserError(
            f"got {place_of(path)} of {wanted} MiB and {free} MiB left in {root}; expected room "
            "for it; make some, or set $XDG_CACHE_HOME to a larger disk"
        )


def _fetch(address: str, wanted: dict[Path, tuple[str, Entry]]) -> bool:
    """Fetches objects; each gets its name here when it is whole. False where one is gone."""
    if not wanted:
        return True
    own = f"{threading.get_ident()}.{os.getpid()}"
    temporaries = {path: path.with_name(f".{path.name}.{own}.tmp") for path in wanted}
    keys = [f"{key_of(address)}/{name}".rstrip("/") for name, _ in wanted.values()]
    for path in wanted:
        if path.is_dir():
            shutil.rmtree(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _version_file(path).parent.mkdir(parents=True, exist_ok=True)
    size = sum(entry.size for _, entry in wanted.values())
    places = list(map(str, temporaries.values()))

    def get(fs: Any) -> bool:
        fs.get(keys, places)
        return True

    try:
        if not _ask(address, get, size, missing=False):
            return False
        for path, (_, entry) in wanted.items():
            _version_file(path).unlink(missing_ok=True)
            os.replace(temporaries[path], path)
            _version_file(path).write_text(entry.version, encoding="utf-8")
        return True
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)


def _delete(path: Path, names: Iterable[str]) -> None:
    address = place_of(path)
    keys = sorted(f"{key_of(address)}/{name}".rstrip("/") for name in names)
    if keys:
        check_held(address)
        _ask(address, lambda fs: fs.rm(keys), missing=None)


def patience(size: int = 0) -> float:
    """Seconds that a request of so many bytes is given."""
    text = os.environ.get("ALRL_BUCKET_SECONDS", "")
    try:
        seconds = float(text) if text else SECONDS
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < 1e6:
        raise UserError(f"got $ALRL_BUCKET_SECONDS={text!r}; expected seconds; correct it")
    return seconds + size / 2**20


_RAISED: Any = object()


def _ask(
    address: str,
    call: Callable[[Any], T],
    size: int = 0,
    to_be: str = "read",
    missing: Any = _RAISED,
) -> T:
    """What a request gives, within its time.

    Args:
        address: what it is about.
        call: makes the request of a file system.
        size: bytes that go over the net.
        to_be: what is done there, for the message.
        missing: what to give where there is no such object; the default is an error.
    """
    fs, seconds = filesystem(address.partition("://")[0]), patience(size)
    try:
        return within(lambda: call(fs), seconds)
    except TimeoutError as error:
        reason = str(error)
    except FileNotFoundError as error:
        if missing is not _RAISED and "specified bucket" not in str(error):
            return missing
        reason = _reason(error)
    except UserError:
        raise
    except Exception as error:  # each client has errors of its own
        reason = _reason(error)
    raise UserError(
        f"got {address} ({reason}); expected a bucket that exists and may be {to_be}; check its "
        "name, the rights of this machine and the network"
    )


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
