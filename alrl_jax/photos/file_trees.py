"""Files of a data set where they lie: in a directory, or in a zip that is never unpacked.

Either is a table from names (relative, with "/") to small objects that can be sent to another
process and read there. Nothing of an archive is ever written to a path that it names; still, one
that names paths outside of itself, or promises far more than it holds, is refused as a whole.
"""

import dataclasses
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from alrl_jax.errors import UserError
from alrl_jax.photos.decoding import SUFFIXES, UnreadableImageError

MAX_FILE_BYTES = 2**28
"""No photograph is larger; it bounds what reading one file can cost."""
MAX_EXPANSION = 100
"""Times that a member of a zip may grow; photos and tables grow a few times at most."""
SMALL_BYTES = 2**20
"""Members below this size are no danger, however far they grow."""
READ_SUFFIXES = (*SUFFIXES, ".txt")
"""Suffixes of members that are read; others are not checked."""

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclasses.dataclass(frozen=True, slots=True)
class DirectoryFile:
    """A file below ``root``."""

    root: str
    name: str

    @property
    def path(self) -> Path:
        """Where it lies."""
        return Path(self.root, self.name)

    @property
    def mark(self) -> tuple[int, int]:
        """Size and time: equal marks mean the same content."""
        try:
            status = self.path.stat()
        except OSError:  # a dangling link; reading it says so
            return -1, -1
        return status.st_size, status.st_mtime_ns

    def read(self) -> bytes:
        """The content.

        Raises:
            UnreadableImageError: it cannot be read.
        """
        try:
            status = self.path.stat()
            if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
                raise UnreadableImageError("not a regular file")
            if fault := _too_large(status.st_size):
                raise UnreadableImageError(fault)
            if self.path.is_symlink() and not _is_inside(self.path, Path(self.root)):
                raise UnreadableImageError("a link that leads out of its directory")
            return self.path.read_bytes()
        except OSError as error:
            raise UnreadableImageError(error.strerror or str(error)) from error


@dataclasses.dataclass(frozen=True, slots=True)
class ZipMember:
    """A file in a zip: where its packed bytes begin and what they should give."""

    archive: str
    name: str
    header: int
    packed: int
    size: int
    method: int
    checksum: int
    fault: str | None

    @property
    def mark(self) -> tuple[int, int]:
        """Size and checksum: equal marks mean the same content."""
        return self.size, self.checksum

    def read(self) -> bytes:
        """The content, checked against its size and checksum.

        Raises:
            UnreadableImageError: it cannot be read.
        """
        if self.fault is not None:
            raise UnreadableImageError(self.fault)
        try:
            with open(self.archive, "rb") as file:
                file.seek(self.header)
                head = file.read(_LOCAL_HEADER.size)
                signature, name, extra = _LOCAL_HEADER.unpack(head)
                file.seek(self.header + _LOCAL_HEADER.size + name + extra)
                data = file.read(self.packed)
            if signature != b"PK\3\4" or len(data) != self.packed:
                raise UnreadableImageError("damaged in the zip: truncated, or not where it says")
            if self.method == zipfile.ZIP_DEFLATED:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, self.size + 1)
        except OSError as error:
            raise UnreadableImageError(error.strerror or str(error)) from error
        except (struct.error, zlib.error) as error:
            raise UnreadableImageError(f"damaged in the zip: {error}") from error
        if len(data) != self.size or zlib.crc32(data) != self.checksum:
            raise UnreadableImageError("damaged in the zip: another size or checksum than it says")
        return data


File = DirectoryFile | ZipMember
Tree = dict[str, File]


def open_tree(path: Path) -> Tree:
    """Lists a directory or a zip; hidden names and links to directories are left out.

    Raises:
        UserError: it is neither, it or a folder in it cannot be read, or it is a zip that is
            not to be trusted.
    """
    if path.is_dir():
        return {name: DirectoryFile(str(path), name) for name in sorted(walk(path))}
    if not path.is_file():
        raise UserError(f"got {path}, which is not there; expected a directory or a zip; name one")
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(
            f"got {path}, which is neither a directory nor a zip that can be read ({error}); "
            "expected one of them; download it again, or unpack it and name the directory"
        ) from error
    for info in infos:
        _check(path, info)
    members = [_member(path, info) for info in infos if not info.is_dir()]
    tree: Tree = {m.name: m for m in sorted(members, key=lambda m: m.name) if not _hidden(m.name)}
    if len({member.name for member in members}) < len(members):
        raise UserError(
            f"got {path}, which holds two files of one name; expected each name once; "
            "unpack it, look at them, and name the directory"
        )
    return tree


def walk(directory: Path) -> Iterator[str]:
    """Names of all files below a directory, relative and with "/"; hidden ones are left out.

    Raises:
        UserError: a folder of it cannot be read.
    """
    for root, folders, files in os.walk(directory, onerror=_unreadable):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        prefix = Path(root).relative_to(directory).as_posix()
        for file in files:
            if not file.startswith("."):
                yield file if prefix == "." else f"{prefix}/{file}"


def _unreadable(error: OSError) -> None:
    """A folder that is skipped in silence would look like one without files."""
    raise UserError(
        f"got the folder {error.filename}, which cannot be read ({error.strerror}); expected "
        "folders that can; change its permissions, or move it away"
    ) from error


def _is_inside(path: Path, directory: Path) -> bool:
    """Whether a link leads to somewhere in a directory, which others may have filled."""
    return path.resolve().is_relative_to(directory.resolve())


def _too_large(size: int) -> str | None:
    """Why a file of that many bytes is not read, or None where it is."""
    return f"{size} bytes; no photograph has as many" if size > MAX_FILE_BYTES else None


def _hidden(name: str) -> bool:
    """Whether systems put such a name into an archive by themselves."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _check(path: Path, info: zipfile.ZipInfo) -> None:
    """UserError for a member that points out of the archive, or promises too much."""
    name = info.orig_filename
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or set(name) & {"\\", "\0"}:
        raise UserError(
            f"got {path}, which holds a file named {name!r}; expected relative names that stay "
            "inside; do not trust that archive"
        )
    grown = info.file_size > max(SMALL_BYTES, MAX_EXPANSION * info.compress_size)
    if grown and pure.suffix.lower() in READ_SUFFIXES:
        raise UserError(
            f"got {path}, in which {name!r} would grow from {info.compress_size} to "
            f"{info.file_size} bytes; expected at most {MAX_EXPANSION} times as many; "
            "do not trust that archive"
        )


def _member(path: Path, info: zipfile.ZipInfo) -> ZipMember:
    """What is known of a member."""
    fault = _too_large(info.file_size)
    if info.flag_bits & 0x1:
        fault = "encrypted in the zip"
    elif info.compress_type not in _METHODS:
        fault = f"packed by method {info.compress_type} in the zip; expected stored or deflated"
    elif stat.S_ISLNK(info.external_attr >> 16):
        fault = "a link in the zip"
    return ZipMember(
        archive=str(path),
        name=PurePosixPath(info.orig_filename).as_posix(),
        header=info.header_offset,
        packed=info.compress_size,
        size=info.file_size,
        method=info.compress_type,
        checksum=info.CRC,
        fault=fault,
    )


def list_images(directory: Path) -> list[str]:
    """Returns the sorted relative paths, with "/", of all files that are named like images."""
    return sorted(name for name in walk(directory) if is_image_name(name))


def is_image_name(name: str) -> bool:
    """Whether a file is named like an image."""
    return Path(name).suffix.lower() in SUFFIXES
