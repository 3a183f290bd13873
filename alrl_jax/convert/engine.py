"""Turns a foreign checkpoint into a model directory: find, read, account for all, write.

Nothing is guessed and nothing is left over: the network is known by its tensors, its architecture
by their shapes, and every tensor of the source and every variable of ours is used exactly once.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from alrl_jax.convert.formats import FORMATS, KINDS, Format, Tensors, generator_module
from alrl_jax.convert.rules import LAYOUTS, Row, expand
from alrl_jax.convert.torch_files import read_torch_zip
from alrl_jax.errors import UserError
from alrl_jax.model_directory import save_model
from alrl_jax.models.functional import apply

AVERAGE_SAMPLES = 10_000
_AVERAGE = "constants/mapping/w_avg"
_NAMED = 4
"""How many names an error message lists."""

READERS = {b"PK\x03\x04": read_torch_zip}
"""Container readers by the first bytes of a file."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A network found in a checkpoint.

    Attributes:
        format: what it is.
        section: the checkpoint's name for it, "" for the checkpoint itself.
        tensors: its tensors by name, with what belongs to it from beside it.
    """

    format: Format
    section: str
    tensors: Tensors


@dataclasses.dataclass(frozen=True)
class Converted:
    """A network in our layout, ready for ``save_model``."""

    kind: str
    config: dict[str, Any]
    variables: dict[str, Any]
    conventions: dict[str, str]
    source: dict[str, Any]

    @property
    def num_parameters(self) -> int:
        """Numbers in collection ``params``."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.variables["params"]))


def convert_file(
    source: Path,
    kind: str,
    output: Path,
    progress: Callable[[list[str]], Iterable[str]] = iter,
) -> Converted:
    """Converts one network of a checkpoint and writes it, whole or not at all.

    Args:
        source: the checkpoint.
        kind: one of ``KINDS``, or ``auto`` where the file holds only one.
        output: the model directory to write.
        progress: wraps the loop over the tensors, e.g. in a progress bar.

    Raises:
        UserError: if anything about the file is not as it should be; nothing is written then.
    """
    candidates, others = find_networks(read_checkpoint(source))
    chosen = choose(candidates, kind)
    converted = convert(chosen, progress)
    converted.source.update(
        file=source.name,
        sha256=file_sha256(source),
        skipped=[c.section for c in candidates if c is not chosen] + others,
    )
    save_model(
        output,
        converted.kind,
        converted.config,
        converted.variables,
        conventions=converted.conventions,
        source=converted.source,
    )
    return converted


def read_checkpoint(path: Path) -> Any:
    """Reads a file of any format that is understood, without running anything in it.

    Raises:
        UserError: if there is no such file, or it is none of these formats, or damaged.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise UserError(f"got {path}: {error.strerror}; expected a checkpoint file") from error
    for magic, reader in READERS.items():
        if head.startswith(magic):
            return reader(path)
    raise UserError(
        f"got {path}, which is no zip archive of PyTorch; expected a .pt file of PyTorch 1.6 or "
        "later; save it anew with a recent torch.save"
    )


def find_networks(checkpoint: Any) -> tuple[list[Candidate], list[str]]:
    """The networks in a checkpoint, and the names of all else in it."""
    if not isinstance(checkpoint, dict):
        return [], [type(checkpoint).__name__]
    flat = {k: v for k, v in checkpoint.items() if isinstance(v, np.ndarray)}
    row = _recognise(flat)
    if row is not None:
        return [Candidate(row, "", flat)], [str(k) for k in checkpoint if k not in flat]
    found: list[Candidate] = []
    for name, section in checkpoint.items():
        row = _recognise(section)
        if row is not None:
            beside = {k: flat[k] for k in row.beside if k in flat}
            found.append(Candidate(row, str(name), {**section, **beside}))
    used = {c.section for c in found} | {k for c in found for k in c.format.beside}
    return found, [str(name) for name in checkpoint if name not in used]


def _recognise(section: Any) -> Format | None:
    if not isinstance(section, Mapping):
        return None
    for row in FORMATS:
        if all(isinstance(section.get(name), np.ndarray) for name in row.signature):
            return row
    return None


def choose(candidates: list[Candidate], kind: str) -> Candidate:
    """The one network of that kind.

    Args:
        candidates: what was found.
        kind: one of ``KINDS``, or ``auto`` where there is only one kind.

    Raises:
        UserError: if there is none, or more than one to choose from.
    """
    kinds = sorted({candidate.format.kind for candidate in candidates})
    if not candidates:
        raise UserError(f"got no network that is known; expected one of {', '.join(KINDS)}")
    if kind == "auto" and len(kinds) > 1:
        raise UserError(f"got several networks; expected --kind to choose one: {', '.join(kinds)}")
    if kind != "auto" and kind not in kinds:
        raise UserError(f"got --kind={kind}; expected what the file holds: {', '.join(kinds)}")
    rest = [c for c in candidates if kind in ("auto", c.format.kind)]
    for section in rest[0].format.sections:
        for candidate in rest:
            if candidate.section == section:
                return candidate
    if len(rest) > 1:
        names = ", ".join(c.section for c in rest)
        raise UserError(f"got several networks of one kind: {names}; expected one; save it alone")
    return rest[0]


def convert(
    candidate: Candidate, progress: Callable[[list[str]], Iterable[str]] = iter
) -> Converted:
    """Rearranges the tensors of a network into our variables.

    Args:
        candidate: the network.
        progress: wraps the loop over its tensors, e.g. in a progress bar.

    Raises:
        UserError: if a tensor is missing, left over, of another shape, or not finite.
    """
    row, tensors = candidate.format, candidate.tensors
    bad_names = [repr(name) for name in tensors if not isinstance(name, str)]
    if bad_names:
        raise UserError(f"got tensors named {_listed(bad_names)}; expected text; is it damaged?")
    config = row.read_config(tensors)
    depth = config.get("num_mapping_layers", 0)
    rows = expand(row.rules, config["resolution"], depth)
    estimated = [n for n in row.beside if n in rows and n not in tensors]
    _check_names(rows.keys() - set(estimated), tensors.keys(), candidate)
    expected: dict[str, Any] = traverse_util.flatten_dict(row.shapes(config), sep="/")
    flat: dict[str, np.ndarray] = {}
    for name in progress(sorted(tensors)):
        path, array = _place(name, tensors[name], rows[name])
        if path is None:
            continue
        if path not in expected or array.shape != expected[path].shape:
            shape = list(expected[path].shape) if path in expected else "no such tensor"
            raise UserError(
                f"got {name} of shape {list(tensors[name].shape)}, for us {list(array.shape)}; "
                f"expected {shape}; is the file complete?"
            )
        flat[path] = array
    if estimated:
        flat[_AVERAGE] = np.zeros(expected[_AVERAGE].shape, np.float32)
        flat[_AVERAGE] = _average_code(config, flat)
    _check_names(set(expected), flat.keys(), candidate)
    source: dict[str, Any] = {"project": row.project, "section": candidate.section}
    if estimated:
        source["w_avg"] = f"mean of {AVERAGE_SAMPLES} codes: the file holds none"
    variables = traverse_util.unflatten_dict(flat, sep="/")
    return Converted(row.kind, config, variables, dict(row.conventions), source)


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(name: str, tensor: np.ndarray, row: Row) -> tuple[str | None, np.ndarray]:
    """The target of a tensor and its value there, checked."""
    path, layout = row[0], LAYOUTS[row[1]]
    if tensor.ndim != layout.axes or not np.issubdtype(tensor.dtype, np.number):
        raise UserError(
            f"got {name} of shape {list(tensor.shape)} and type {tensor.dtype}; expected "
            f"{layout.axes} axes of real numbers; is it damaged?"
        )
    value = np.asarray(layout.convert(tensor), np.float32)
    if not np.isfinite(value).all():
        raise UserError(f"got {name} with NaN or infinite values; expected numbers; is it damaged?")
    if layout.constant is not None and (
        value.shape != layout.constant.shape or not np.allclose(value, layout.constant, atol=1e-6)
    ):
        raise UserError(f"got another filter in {name}; expected [1, 3, 3, 1]; it is unsupported")
    return path, np.ascontiguousarray(value).reshape(value.shape)


def _average_code(config: dict[str, Any], flat: Mapping[str, np.ndarray]) -> np.ndarray:
    """The mean of W, for files that do not hold it."""
    module = generator_module(config)
    variables = traverse_util.unflatten_dict(dict(flat), sep="/")
    z = jax.random.normal(jax.random.key(0), (AVERAGE_SAMPLES, module.z_dim))
    codes = jax.jit(lambda v, z: apply(module, v, z, method="map")[:, 0].mean(0))(variables, z)
    return np.asarray(codes)


def _check_names(expected: Iterable[str], got: Iterable[str], candidate: Candidate) -> None:
    expected, got = set(expected), set(got)
    where = f"the {candidate.format.kind}" + (f" {candidate.section!r}" * bool(candidate.section))
    if expected - got:
        missing = _listed(sorted(expected - got))
        raise UserError(f"got {where} without {missing}; expected all; is the file complete?")
    if got - expected:
        extra = _listed(sorted(got - expected))
        raise UserError(f"got {where} with {extra}; expected nothing beyond its layers")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def describe(converted: Converted) -> list[tuple[str, str]]:
    """What a person wants to see of a converted network."""
    config = converted.config
    widths = config["channels"] or f"{config['channel_base']} / r, at most {config['channel_max']}"
    arrays = jax.tree.leaves(converted.variables)
    return [
        ("kind", converted.kind),
        ("project", converted.source["project"]),
        ("section", converted.source["section"] or "(the whole file)"),
        ("resolution", str(config["resolution"])),
        ("channels", str(widths)),
        ("parameters", f"{converted.num_parameters:,}"),
        ("arrays", f"{len(arrays)}, {sum(a.nbytes for a in arrays) / 2**20:.1f} MiB"),
        ("skipped", ", ".join(converted.source["skipped"]) or "nothing"),
    ]
