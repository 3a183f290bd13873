"""Model directories: ``model.json`` and ``weights.safetensors``, all that a trained model is.

A model that shares weights with another can leave them out and name that one as its ``base``.
Weights stored in 8 bits have their scales beside them, under their name and ``:scale``.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from alrl_jax.errors import UserError
from alrl_jax.storage.stored_arrays import computed_shapes, nested, packed, unpacked
from alrl_jax.storage.tensor_file import open_tensors
from alrl_jax.storage.workdir import LARGE
from alrl_jax.utils import buckets
from alrl_jax.utils.addresses import address_of
from alrl_jax.utils.destinations import check_folder
from alrl_jax.utils.files import atomic_folder, json_text, write_json, write_sparse
from alrl_jax.utils.opening import read_json
from alrl_jax.utils.paths import path_or_mirror

PyTree = Any
Check = Callable[[Mapping[str, Any], PyTree], None]

MODEL_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"
_PRESENT_NAMES = {"shares": "source_weights"}
"""Fields of models' configurations that were called otherwise before 0.2.0."""

EMBEDDED = Path(__file__).parents[1] / "embedded"
"""Where the package keeps the models it ships."""

MOST_BASES = 4
"""Models that may stand on one another."""
_META_TYPES = {"kind": str, "config": dict, "conventions": dict, "source": dict, "sha256": str}
_BASE_FIELDS = {"directory", "sha256", "arrays"}


def resolve_directory(directory: str | Path) -> Path:
    """The path that a directory argument means.

    Args:
        directory: ``embedded/NAME`` for a model that the package ships, or a path, which need
            not exist; what has the address of a bucket is fetched.

    Raises:
        UserError: if the package ships no model of that name, or a bucket cannot be read.
    """
    path = Path(path_or_mirror(str(directory)))
    if len(path.parts) != 2 or path.parts[0] != "embedded":
        return buckets.pull(path, LARGE)
    shipped = EMBEDDED / path.name
    if not shipped.is_dir():
        names = sorted(p.parent.name for p in EMBEDDED.glob(f"*/{MODEL_FILE}"))
        raise UserError(
            f"got {path}; expected one of embedded/{{{', '.join(names)}}}; name one of these"
        )
    return shipped


def save_model(
    directory: str | Path,
    kind: str,
    config: Mapping[str, Any],
    variables: PyTree,
    *,
    conventions: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
    half: bool = False,
    int8: Collection[str] = (),
    base: str | Path | None = None,
) -> None:
    """Writes a model directory, whole or not at all.

    An older model directory of that name is replaced.

    Args:
        directory: where to.
        kind: what the model is, e.g. ``generator``.
        config: plain values that say how to build the model's modules.
        variables: nested dict of arrays; names joined by "/" in the file.
        conventions: what a reader of the weights has to know beyond ``config``.
        source: where the weights come from.
        half: store float32 as float16.
        int8: networks (outermost names of ``variables``) whose matrices and filters are stored in 8
            bits, each output (last axis) with a scale of its own; all else then as with ``half``.
        base: model directory whose arrays are left out here where they are equal. It has to be
            found under this name whenever the model is read.

    Raises:
        UserError: if ``directory`` is something else than a model directory, ``int8`` names what is
            no network of the model, a weight is too large for float16, or the base cannot be read.
    """
    target = check_target(directory)
    if unknown := sorted(set(int8) - set(variables)):
        known_names = ", ".join(sorted(variables))
        raise UserError(
            f"got int8 {', '.join(unknown)}; expected some of {known_names}; name these"
        )
    flat: dict[str, Any] = traverse_util.flatten_dict(jax.device_get(variables), sep="/")
    known, shared = {}, {}
    if base is not None:
        known, shared = _shared_with(base, flat)
    arrays = packed({n: x for n, x in flat.items() if n not in shared}, half, int8)
    meta = {
        "kind": kind,
        "config": dict(config),
        "conventions": dict(conventions or {}),
        "source": dict(source or {}),
        **known,
    }
    json_text(meta)  # what cannot be written fails before anything is
    with atomic_folder(target) as fresh:
        # To the file, not to memory first: the weights may be most of what there is.
        _save(arrays, fresh / WEIGHTS_FILE)
        # As readable as any file that is made here; safetensors' are the user's alone.
        (fresh / WEIGHTS_FILE).chmod(fresh.stat().st_mode & 0o666)
        with (fresh / WEIGHTS_FILE).open("rb") as written:
            meta["sha256"] = hashlib.file_digest(written, "sha256").hexdigest()
        write_json(fresh / MODEL_FILE, meta)


def _save(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Writes a weights file; what the disk refuses is an OSError, as everywhere."""
    try:
        safetensors.numpy.save_file(arrays, path)
    except safetensors.SafetensorError as error:
        if said := re.search(r"os error (\d+)", str(error)):
            number = int(said[1])
            raise OSError(number, os.strerror(number), str(path)) from error
        raise


def save_shapes(
    directory: str | Path,
    kind: str,
    config: Mapping[str, Any],
    shapes: PyTree,
    *,
    source: Mapping[str, Any],
) -> None:
    """Writes a model directory without weights, whole or not at all.

    Its weights file says all names and shapes; the numbers are a hole in it. ``read_shapes`` reads
    such a directory and ``read_model`` refuses it. An older model directory of that name is
    replaced.

    Args:
        directory: where to.
        kind: see ``save_model``, as the next one.
        config: plain values that say how to build the model's modules.
        shapes: nested dict of what has a ``shape``; all is float32.
        source: what the directory is.

    Raises:
        UserError: if ``directory`` is something else than a model directory.
    """
    target = check_target(directory)
    header, end = {}, 0
    flat: dict[str, Any] = traverse_util.flatten_dict(shapes, sep="/")
    for name, leaf in sorted(flat.items()):
        begin, end = end, end + 4 * math.prod(leaf.shape)
        header[name] = {"dtype": "F32", "shape": list(leaf.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    head = len(text).to_bytes(8, "little") + text  # the layout of a safetensors file
    meta = {
        "kind": kind,
        "config": dict(config),
        "conventions": {},
        "source": dict(source),
        "sha256": "none: the file holds shapes and no weights",
    }
    with atomic_folder(target) as fresh:
        write_sparse(fresh / WEIGHTS_FILE, head, len(head) + end)
        write_json(fresh / MODEL_FILE, meta)


def read_model(directory: str | Path, check: Check | None = None) -> tuple[dict[str, Any], PyTree]:
    """Reads a model directory.

    Args:
        directory: a path, or ``embedded/NAME``.
        check: is shown ``model.json`` and the shapes of all arrays before any is read, and raises
            a UserError if they are none of a model.

    Returns:
        The contents of ``model.json``, and the variables as a nested dict of host arrays
        (float16 read as float32).

    Raises:
        UserError: if there is no model, or it is damaged.
    """
    return _read_model(directory, 0, check)


def _read_model(
    directory: str | Path, depth: int, check: Check | None = None
) -> tuple[dict[str, Any], PyTree]:
    """See ``read_model``; ``depth`` counts models that name one another as base."""
    meta = read_meta(directory)
    with open_tensors(resolve_directory(directory) / WEIGHTS_FILE) as file:
        shapes = computed_shapes(file)
        if check is not None:
            check(meta, nested(file, _with_base(meta, shapes, _read_shapes, depth)))
        if file.sha256() != meta["sha256"]:
            if read_meta(directory) != meta:  # replaced between the opening of its two files
                return _read_model(directory, depth, check)
            raise UserError(
                f"got {file.path} of another content than {MODEL_FILE} says; expected its sha256; "
                "copy the directory again"
            )
        whole = unpacked(file.arrays())
        return meta, nested(file, _with_base(meta, whole, _read_model, depth))


def read_meta(directory: str | Path) -> dict[str, Any]:
    """Reads what a model directory says of its model: ``model.json``.

    Args:
        directory: a path, or ``embedded/NAME``.

    Raises:
        UserError: if there is no model, or the file is damaged.
    """
    path = resolve_directory(directory)
    try:
        meta = read_json(path / MODEL_FILE)
    except FileNotFoundError as error:
        raise UserError(
            f"got {path}, which holds no {MODEL_FILE}; expected a model directory; "
            "name one that training or alrl convert-weights wrote"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"got an unreadable {path / MODEL_FILE} ({error}); copy it again"
        ) from error
    for name, kind in _META_TYPES.items():
        if not isinstance(meta, dict) or not isinstance(meta.get(name), kind):
            raise UserError(
                f"got {path / MODEL_FILE} without a {kind.__name__} {name!r}; expected what "
                "training or alrl convert-weights writes"
            )
    base = meta.get("base")
    if base is not None and not _is_base(base):
        raise UserError(
            f"got {path / MODEL_FILE} with base {str(base)[:200]}; expected "
            f"{', '.join(sorted(_BASE_FIELDS))} of a model directory; copy it again"
        )
    return meta | {"config": _with_trained_owners(meta, _with_present_names(meta["config"]))}


def _is_base(base: Any) -> bool:
    """Whether a value names arrays of another model directory."""
    if not isinstance(base, dict) or not base.keys() >= _BASE_FIELDS:
        return False
    names, texts = base["arrays"], (base["directory"], base["sha256"])
    if not isinstance(names, list) or not all(isinstance(text, str) for text in texts):
        return False
    return all(isinstance(name, str) for name in names)


def _with_trained_owners(meta: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """A swapper's configuration that says whether its ownership of codes was trained.

    Models of 0.1.0 do not say so, but note the losses of their run.
    """
    swap = config.get("swap")
    if meta["kind"] != "swapper" or not isinstance(swap, dict) or "owners_trained" in swap:
        return config
    run = meta["source"].get("config")
    losses = run.get("losses") if isinstance(run, dict) else None
    trained = bool(losses.get("attribute_groups")) if isinstance(losses, dict) else False
    return {**config, "swap": {**swap, "owners_trained": trained}}


def _with_present_names(config: dict[str, Any]) -> dict[str, Any]:
    """A model's configuration with the fields of earlier versions under their present names."""
    renamed = {}
    for name, value in config.items():
        value = _with_present_names(value) if isinstance(value, dict) else value
        renamed[_PRESENT_NAMES.get(name, name)] = value
    return renamed


def read_shapes(directory: str | Path) -> tuple[dict[str, Any], PyTree]:
    """Reads a model directory without its weights.

    Args:
        directory: see ``read_model``.

    Returns:
        What ``read_model`` returns, each array as a ``jax.ShapeDtypeStruct``.

    Raises:
        UserError: if there is no model. Damaged weights do not show.
    """
    return _read_shapes(directory, 0)


def _read_shapes(directory: str | Path, depth: int) -> tuple[dict[str, Any], PyTree]:
    """See ``read_shapes`` and ``_read_model``."""
    meta = read_meta(directory)
    with open_tensors(resolve_directory(directory) / WEIGHTS_FILE) as file:
        return meta, nested(file, _with_base(meta, computed_shapes(file), _read_shapes, depth))


def check_target(directory: str | Path) -> Path:
    """Where a model directory is to lie; nothing is made yet.

    Raises:
        UserError: it would replace something else, or cannot be written.
    """
    target = check_folder(path_or_mirror(str(directory), written=True))
    if address_of(target) is not None:
        names = buckets.names_in(target)
        foreign = bool(names) and MODEL_FILE not in names
    else:
        foreign = target.exists() and not (target / MODEL_FILE).is_file() and not _is_empty(target)
    if foreign:
        raise UserError(f"got {target}; expected a new or a model directory; name another one")
    return target


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _shared_with(
    base: str | Path, flat: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What ``model.json`` says of a base, and the arrays that are the same there."""
    meta, variables = read_model(base)
    theirs: dict[str, Any] = traverse_util.flatten_dict(variables, sep="/")
    shared = {
        name: value
        for name, value in flat.items()
        if name in theirs and np.array_equal(value, theirs[name])
    }
    left_out = {
        "directory": address_of(base) or str(base),
        "sha256": meta["sha256"],
        "arrays": sorted(shared),
    }
    return {"base": left_out}, shared


def _with_base(
    meta: Mapping[str, Any],
    flat: dict[str, Any],
    read: Callable[[str | Path, int], tuple[dict[str, Any], PyTree]],
    depth: int,
) -> dict[str, Any]:
    """The arrays of a model, those of its base among them."""
    base = meta.get("base")
    if base is None:
        return flat
    if depth >= MOST_BASES:
        raise UserError(
            f"got a model whose base {base['directory']} has a base in turn, {MOST_BASES} times or "
            "in a circle; expected one that ends; package it again"
        )
    theirs, variables = read(base["directory"], depth + 1)
    if theirs["sha256"] != base["sha256"]:
        raise UserError(
            f"got {base['directory']} with other weights than those that this model shares; "
            f"expected sha256 {base['sha256']}; put that model back, or package this one again"
        )
    shared = traverse_util.flatten_dict(variables, sep="/")
    if missing := [name for name in base["arrays"] if name not in shared]:
        raise UserError(
            f"got a model that shares {missing[0][:80]!r} with {base['directory']}, which has no "
            "such array; expected one of its names; package it again"
        )
    return {**{name: shared[name] for name in base["arrays"]}, **flat}
