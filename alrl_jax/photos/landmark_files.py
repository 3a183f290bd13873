"""Files of face landmarks: JSON, NumPy archives and CSV.

Each names photos, by paths relative to the file itself (``~`` is expanded), and gives the faces of
each:

- ``.json``: ``{"a.jpg": [[x, y], ...], "b.jpg": [[[x, y], ...], [[x, y], ...]], "c.jpg": []}``:
  one face, two faces, none.
- ``.npz``: arrays by the same names, of one face ``[n, 2]`` or of several ``[faces, n, 2]``.
- ``.csv``: header ``file,x0,y0,x1,y1,...``, one line a face; a line without numbers says that the
  photo has none. Cells at the end may be empty.

n is 5, 68 or 478 (``alignment.LANDMARK_GROUPS``). Coordinates are pixels of the photo as it is
seen, upright, x to the right and y down; (0, 0) is the centre of the pixel at the top left, as
dlib, OpenCV and scikit-image count.
"""

import csv
import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from alrl_jax.errors import UserError
from alrl_jax.utils.opening import open_regular, read_json
from alrl_jax.utils.paths import local_path

Faces = list[Float[np.ndarray, "n 2"]]
MAX_BYTES = 2**26
"""Of a landmark file, and of the arrays that an archive holds together."""
MOST_FACES = 1000
"""Of a photo."""
_BROKEN = (
    *(OSError, ValueError, TypeError, EOFError, RuntimeError, OverflowError, KeyError),
    *(SyntaxError, struct.error, AttributeError, IndexError),  # of NumPy's and zip's headers
)
CENTRE = 0.5
"""From coordinates that count centres of pixels to continuous ones."""


def read_landmark_file(path: Path) -> dict[Path, Faces]:
    """The faces of every photo that a file names, in continuous coordinates.

    Returns:
        Faces by absolute path of their photo; the photos themselves are not opened.

    Raises:
        UserError: no such file, of another kind, or not as the module says.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None or not path.is_file():
        kinds = ", ".join(READERS)
        raise UserError(f"got landmarks {path}; expected a file of {kinds}; check the path")
    try:
        named = reader(path)
        return {
            absolute(path.parent / local_path(name)): _faces(name, v) for name, v in named.items()
        }
    except (*_BROKEN, zipfile.BadZipFile, zlib.error, csv.Error) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"got landmarks {path} ({reason}); expected photos' names with points of their "
            "faces; correct the file"
        ) from None


def absolute(path: Path) -> Path:
    """The path by which a photo is looked up; links are not followed."""
    return Path(os.path.abspath(path))


def _faces(name: str, values: Any) -> Faces:
    """ValueError for what is no face's points."""
    array = np.asarray(values, np.float64)
    if array.size == 0:  # as tools write a photo without a face
        return []
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.shape[-1] != 2:
        raise ValueError(f"{name}: shape {list(array.shape)}, not [n, 2] or [faces, n, 2]")
    if len(array) > MOST_FACES:
        raise ValueError(f"{name}: {len(array)} faces; expected at most {MOST_FACES}")
    return [points + CENTRE for points in array]


def _read_json(path: Path) -> dict[str, Any]:
    named = read_json(path, MAX_BYTES)
    if not isinstance(named, dict):
        raise ValueError("no JSON object")
    return named


def _read_npz(path: Path) -> dict[str, Any]:
    with open_regular(path, MAX_BYTES) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > MAX_BYTES:
            raise ValueError(f"arrays of more than {MAX_BYTES} bytes")
        return {m.filename.removesuffix(".npy"): _read_array(archive.read(m)) for m in members}


def _read_array(content: bytes) -> np.ndarray:
    """Numbers of a ``.npy`` file; ValueError where its header promises more than it holds."""
    stream = io.BytesIO(content)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, by_columns, dtype = readers[np.lib.format.read_magic(stream)](stream)
    if dtype.kind not in "fiu" or math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise ValueError(f"an array of {dtype} and shape {list(shape)[:8]} that it does not hold")
    values = np.frombuffer(content, dtype, math.prod(shape), stream.tell())
    return values.reshape(shape, order="F" if by_columns else "C")


def _read_csv(path: Path) -> dict[str, Any]:
    named: dict[str, Any] = {}
    with (
        open_regular(path, MAX_BYTES) as binary,
        io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as file,
    ):
        rows = csv.reader(file, skipinitialspace=True)
        if next(rows, [""])[0].strip() != "file":
            raise ValueError("no header file,x0,y0,...")
        for name, *cells in (row for row in rows if any(row)):
            numbers = [cell.strip() for cell in cells]
            while numbers and not numbers[-1]:
                numbers.pop()
            faces = named.setdefault(name.strip(), [])
            if numbers:
                if len(numbers) % 2:
                    raise ValueError(f"line {rows.line_num}: {len(numbers)} numbers")
                faces.append(np.array(numbers, np.float64).reshape(-1, 2))
    return named


READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".json": _read_json,
    ".npz": _read_npz,
    ".csv": _read_csv,
}
