"""Where a picture comes from: file hashes, and what is written into every PNG that a model draws.

This is metadata: whoever re-encodes the picture may lose it; ``watermark`` is what stays. It
follows IPTC's vocabulary of digital source types, both as PNG text and as an XMP packet.
"""

import functools
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr, unescape

import numpy as np
from flax import traverse_util
from jaxtyping import UInt8, UInt16
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from alrl_jax.utils import png

DIGITAL_SOURCE_TYPE = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)
"""IPTC: a composite that contains media drawn by a trained algorithm."""
GENERATED_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC: drawn by a trained algorithm alone."""
RENDERED_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia"
"""IPTC: drawn by an algorithm that was not trained on anything."""
TOOL = "alrl_jax"
FIELDS = ("digitalSourceType", "tool", "version", "modelSHA256")
"""Of every picture; ``time`` may stand beside them."""
_PREFIX = "alrl_jax:"
_XMP_KEY = "XML:com.adobe.xmp"
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:alrl="urn:alrl_jax:provenance"
    Iptc4xmpExt:DigitalSourceType={source_type}
    xmp:CreatorTool={tool}{more}/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


@functools.cache
def tool_version() -> str:
    """Version of the installed package; "unknown" in a bare source tree."""
    try:
        return importlib.metadata.version(TOOL)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_sha256(folder: Path) -> str:
    """SHA-256 over names and contents of all files that lie in a folder, in hexadecimal.

    Raises:
        OSError: there is no such folder, or something in it is no file that can be read.
    """
    digest = hashlib.sha256()
    for name in sorted(os.listdir(folder)):
        digest.update(os.fsencode(f"{name} {file_sha256(folder / name)}\n"))
    return digest.hexdigest()


def variables_sha256(variables: Mapping[str, Any]) -> str:
    """SHA-256 over names, types, shapes and values of a model's variables.

    The same for a model whatever kind of directory it was loaded from.
    """
    digest = hashlib.sha256()
    flat = traverse_util.flatten_dict(dict(variables), sep="/")
    for name in sorted(flat):
        values = np.ascontiguousarray(flat[name])
        digest.update(f"{name} {values.dtype} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def metadata(
    model_sha256: str, source_type: str = DIGITAL_SOURCE_TYPE, time: str | None = None
) -> dict[str, str]:
    """The provenance fields of a picture, ``FIELDS`` by name, and ``time`` where it is given.

    Args:
        model_sha256: see ``variables_sha256``.
        source_type: IPTC's term; the default is that of a swapped picture.
        time: when the picture was made, ISO 8601.
    """
    fields: dict[str, str] = dict(
        zip(FIELDS, (source_type, TOOL, tool_version(), model_sha256), strict=True)
    )
    return fields if time is None else fields | {"time": time}


def xmp_packet(fields: Mapping[str, str]) -> str:
    """The XMP packet of provenance fields: IPTC's and XMP's properties, and all of ours."""
    own = {f"alrl:{name}": value for name, value in fields.items() if name != "digitalSourceType"}
    if "time" in fields:
        own = {"xmp:CreateDate": fields["time"], **own}
    more = "".join(f"\n    {name}={quoteattr(value)}" for name, value in own.items())
    return _XMP.format(
        source_type=quoteattr(fields["digitalSourceType"]),
        tool=quoteattr(f"{fields['tool']} {fields['version']}"),
        more=more,
    )


def png_bytes(
    image: UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"],
    fields: Mapping[str, str],
    icc_profile: bytes | None = None,
) -> bytes:
    """A PNG file of a picture with provenance fields.

    Args:
        image: grey, RGB or RGBA, of 8 or 16 bits.
        fields: see ``metadata``; none are written where this is empty.
        icc_profile: colour profile of the image.
    """
    info = PngInfo()
    for name, value in fields.items():
        info.add_text(_PREFIX + name, value)
    if fields:
        info.add_text("Software", f"{fields['tool']} {fields['version']}")
        info.add_itxt(_XMP_KEY, xmp_packet(fields))
    return png.encode(image, info, icc_profile)


def write_png(
    path: Path,
    image: UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"],
    fields: Mapping[str, str],
    icc_profile: bytes | None = None,
) -> None:
    """Writes a picture with provenance fields, all at once or not at all; see ``png_bytes``."""
    write_files({path: png_bytes(image, fields, icc_profile)})


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Writes files that belong together: no name is given before all of them are on the disk.

    Names are given in order. Where that fails, those that were given are taken back.

    Args:
        contents: of the files, by path.

    Raises:
        OSError: they cannot be written; nothing new is left.
    """
    temporaries = {path: temporary_name(path) for path in contents}
    given = []
    try:
        for path, content in contents.items():
            temporaries[path].write_bytes(content)
        for path, temporary in temporaries.items():
            os.replace(temporary, path)
            given.append(path)
    except BaseException:
        for path in given:
            path.unlink(missing_ok=True)
        raise
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)


def temporary_name(path: Path) -> Path:
    """The name under which a file or folder of this process is made, before it gets its own."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def remove_leftovers(directory: Path) -> None:
    """Removes the unfinished files and folders of processes of this machine that were killed."""
    for path in directory.glob(".*.*.tmp"):
        process = path.name.removesuffix(".tmp").rpartition(".")[2]
        if process.isdecimal() and not _is_running(int(process)):
            remove(path)


def remove(path: Path) -> None:
    """Removes a file, or a folder with all that is in it, where there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is somebody else's
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Writes a text file, all at once or not at all."""
    write_files({path: text.encode("utf-8")})


def json_text(values: Any) -> str:
    """JSON that every reader accepts: NaN and infinity are errors."""
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def write_json(path: Path, values: Any) -> None:
    """Writes JSON, all at once or not at all; see ``json_text``."""
    write_text(path, json_text(values))


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes an ``.npz`` file, all at once or not at all."""
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_metadata(path: Path) -> dict[str, str]:
    """The provenance fields that a picture carries; empty where there are none.

    They stand in PNG's text and in the XMP packet of PNG, JPEG and WebP files; a packet of others
    gives ``digitalSourceType`` alone.

    Raises:
        OSError: the file is no picture that can be read.
    """
    with Image.open(path) as image:
        image.load()
        text = {str(k): str(v) for k, v in image.info.items() if isinstance(v, str)}
        packet = image.info.get(_XMP_KEY) or image.info.get("xmp") or ""
    found = {k.removeprefix(_PREFIX): v for k, v in text.items() if k.startswith(_PREFIX)}
    if isinstance(packet, bytes):
        packet = packet.decode("utf-8", errors="replace")
    for name, _, value in re.findall(r"\balrl:(\w+)=([\"'])(.*?)\2", packet):
        found.setdefault(name, unescape(value, {"&quot;": '"'}))
    source_type = re.search(r"DigitalSourceType\s*(?:=\s*[\"']|>)\s*([^\"'<\s]+)", packet)
    if source_type:
        found.setdefault("digitalSourceType", source_type.group(1))
    return found


def git_revision() -> str | None:
    """Commit of the source tree, with "-modified" where it differs; None outside git."""
    here = Path(__file__).resolve()
    # A virtual environment inside somebody's repository is not under its version control.
    tracked = _git(here.parent, "ls-files", "--error-unmatch", here.name)
    revision = _git(here.parent, "rev-parse", "HEAD")
    if tracked is None or revision is None:
        return None
    changed = _git(here.parent, "status", "--porcelain", "--untracked-files=no")
    return revision + ("-modified" if changed else "")


def _git(directory: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(directory), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
