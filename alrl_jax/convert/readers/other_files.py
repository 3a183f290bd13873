"""What is saved under the name of a weight file and is none: told by its first bytes."""

import re
from collections.abc import Mapping

_PAGE = "a web page (HTML or XML), not the file that the page links to"
_SAVE = "follow the link in a browser and save the file itself"
_UNPACK = "unpack it, and name the checkpoint inside"

STARTS: Mapping[bytes, tuple[str, str]] = {
    b"version https://git-lfs": (
        "a Git LFS pointer, which stands for a file that is stored elsewhere",
        "run git lfs pull in its repository",
    ),
    b"/annex/objects/": (
        "a git-annex pointer, which stands for a file that is stored elsewhere",
        "run git annex get in its repository",
    ),
    b"\x1f\x8b": ("a gzip archive", _UNPACK),
    b"BZh": ("a bzip2 archive", _UNPACK),
    b"\xfd7zXZ": ("an xz archive", _UNPACK),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", _UNPACK),
    b"Rar!": ("a RAR archive", _UNPACK),
    b"\x89HDF": ("an HDF5 file (Keras)", "take the weights that PyTorch saved"),
    b"\x93NUMPY": ("a NumPy array", "take the checkpoint with all tensors"),
    b"\x89PNG": ("a PNG picture", "name the weights"),
    b"\xff\xd8\xff": ("a JPEG picture", "name the weights"),
    b"%PDF": ("a PDF document", "name the weights"),
}
"""First bytes of a file: what it is, and what to do."""

_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]*")


def what_it_is(head: bytes) -> tuple[str, str] | None:
    """What a file is that is no checkpoint, and what to do; None where that is not known.

    Args:
        head: its first bytes.
    """
    for start, answer in STARTS.items():
        if head.startswith(start):
            return answer
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        return _PAGE, _SAVE
    if text[:1] in (b"{", b"[") and _TEXT.fullmatch(text):
        return "a text (JSON), perhaps a server's answer", _SAVE
    if not head.strip(b"\0"):
        return "nothing but zeros" if head else "empty", "download it again"
    return None
