"""Turns a foreign checkpoint into a model directory: find, read, account for all, write.

Nothing is guessed and nothing is left over: the network is known by its tensors, its architecture
by their shapes, and every tensor of the source and every variable of ours is used exactly once.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from alrl_jax.convert import rules, rules_tf
from alrl_jax.convert.containers import read_checkpoint
from alrl_jax.convert.formats import FORMATS, KINDS, LICENCES, Format
from alrl_jax.convert.inert_pickle import shown
from alrl_jax.convert.networks import Network
from alrl_jax.convert.rules import Row
from alrl_jax.convert.settings import INIT_KWARGS, float16_modules
from alrl_jax.errors import UserError
from alrl_jax.model_directory import save_model
from alrl_jax.models.build import build_generator
from alrl_jax.models.functional import apply
from alrl_jax.provenance import file_sha256

LAYOUTS = rules.LAYOUTS | rules_tf.LAYOUTS
AVERAGE_SAMPLES = 10_000
_AVERAGE = "constants/mapping/w_avg"
_NAMED = 4
"""How many names an error message lists."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A network found in a checkpoint.

    Attributes:
        format: what it is.
        section: the checkpoint's name for it, "" for the checkpoint itself.
        network: its tensors, with what belongs to it from beside it, and its settings.
    """

    format: Format
    section: str
    network: Network


@dataclasses.dataclass(frozen=True)
class Converted:
    """A network in our layout, ready for ``save_model``."""

    kind: str
    config: dict[str, Any]
    variables: dict[str, Any]
    conventions: dict[str, str]
    source: dict[str, Any]
    summary: dict[str, str]

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
    converted = _convert_from(source, kind, progress)
    save_model(
        output,
        converted.kind,
        converted.config,
        converted.variables,
        conventions=converted.conventions,
        source=converted.source,
    )
    return converted


def _convert_from(
    source: Path, kind: str, progress: Callable[[list[str]], Iterable[str]]
) -> Converted:
    """Converts without writing; whatever was read and is not used is gone on return."""
    candidates, others = find_networks(read_checkpoint(source))
    try:
        chosen = choose(candidates, kind)
        skipped = [c.section for c in candidates if c is not chosen] + others
        candidates.clear()
        _check_size(chosen, source.stat().st_size)
        converted = convert(chosen, progress)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    tensors = converted.source.pop("tensors")
    converted.source.update(
        file=source.name,
        sha256=file_sha256(source),
        skipped=skipped,
        licence=LICENCES.get(source.name, chosen.format.licence),
        tensors=tensors,
    )
    return converted


def _check_size(candidate: Candidate, file_bytes: int) -> None:
    """Refuses tensors that share their numbers until they outgrow the file.

    A number takes a byte at least.
    """
    arrays = (x for x in candidate.network.tensors.values() if isinstance(x, np.ndarray))
    count = sum(array.size for array in arrays)
    if count > file_bytes:
        raise UserError(f"got {count} numbers in {file_bytes} bytes; expected no shared tensors")


def find_networks(checkpoint: Any) -> tuple[list[Candidate], list[str]]:
    """The networks in a checkpoint, and the names of all else in it."""
    if isinstance(checkpoint, Network):
        checkpoint = {"": checkpoint}
    if not isinstance(checkpoint, dict):
        return [], [type(checkpoint).__name__]
    flat = {k: v for k, v in checkpoint.items() if isinstance(v, np.ndarray)}
    row = _recognise(flat)
    if row is not None:
        others = [shown(k) for k in checkpoint if k not in flat]
        return [Candidate(row, "", Network(flat, _built_with(checkpoint)))], others
    found: list[Candidate] = []
    for name, section in checkpoint.items():
        tensors = section.tensors if isinstance(section, Network) else section
        row = _recognise(tensors)
        if row is not None:
            beside = {k: flat[k] for k in row.beside if k in flat}
            said = section.settings if isinstance(section, Network) else _built_with(checkpoint)
            network = Network({**tensors, **beside}, said)
            found.append(Candidate(row, shown(name), network))
    used = {c.section for c in found} | {k for c in found for k in c.format.beside}
    return found, [shown(name) for name in checkpoint if shown(name) not in used]


def _built_with(checkpoint: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    """The arguments of a network whose tensors stand alone, where the file has them beside."""
    arguments = checkpoint.get(INIT_KWARGS)
    if not isinstance(arguments, dict):
        return {}
    nested = [arguments.get(f"{part}_kwargs") for part in ("synthesis", "block", "epilogue")]
    merged = dict(arguments)
    for part in nested:
        merged |= part if isinstance(part, dict) else {}
    return {INIT_KWARGS: merged}


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
    row, tensors = candidate.format, candidate.network.tensors
    _check_tensors(tensors)
    config = row.read_config(candidate.network)
    rows = row.rows(config)
    absent = rows.keys() - tensors.keys()
    estimated = [name for name in row.beside if name in absent]
    missed = {n for n in absent if not (row.optional and re.fullmatch(row.optional, n))}
    _check_names(missed - set(estimated), tensors.keys() - rows.keys(), candidate)
    expected: dict[str, Any] = traverse_util.flatten_dict(row.shapes(config), sep="/")
    flat: dict[str, np.ndarray] = {}
    report: dict[str, str] = {}
    for name in progress(sorted(tensors)):
        # Taken out, so that the source makes room for the result.
        tensor = tensors.pop(name)
        path, array = _place(name, tensor, rows[name])
        report[name] = f"{path or 'checked'} {list(tensor.shape)} {rows[name][1]}"
        if path is None:
            continue
        if path not in expected or array.shape != expected[path].shape:
            shape = list(expected[path].shape) if path in expected else "no such tensor"
            raise UserError(
                f"got {name} of shape {list(tensor.shape)}, for us {list(array.shape)}; "
                f"expected {shape}; is the file complete?"
            )
        flat[path] = array
    if estimated:
        flat[_AVERAGE] = np.zeros(expected[_AVERAGE].shape, np.float32)
        flat[_AVERAGE] = _average_code(config, flat)
    _check_names(expected.keys() - flat.keys(), (), candidate)
    source: dict[str, Any] = {"project": row.project, "section": candidate.section}
    if estimated:
        source["w_avg"] = f"mean of {AVERAGE_SAMPLES} codes: the file holds none"
    halves = float16_modules(candidate.network)
    if halves:
        source["float16_modules"] = ", ".join(map(shown, halves))
    source["tensors"] = report
    variables = traverse_util.unflatten_dict(flat, sep="/")
    conventions, summary = dict(row.conventions), row.summary(config)
    return Converted(row.kind, config, variables, conventions, source, summary)


def _check_tensors(tensors: Mapping[Any, Any]) -> None:
    names = [repr(name) for name in tensors if not isinstance(name, str)]
    if names:
        raise UserError(f"got tensors named {_listed(names)}; expected text; is it damaged?")
    for name, tensor in tensors.items():
        if not isinstance(tensor, np.ndarray):
            raise UserError(f"got {shown(name)}, a {type(tensor).__name__}; expected a tensor")


def _place(name: str, tensor: np.ndarray, row: Row) -> tuple[str | None, np.ndarray]:
    """The target of a tensor and its value there, checked."""
    path, layout = row[0], LAYOUTS[row[1]]
    number = tensor.dtype.kind in "fiu" or tensor.dtype == jnp.bfloat16
    if tensor.ndim != layout.axes or not number:
        raise UserError(
            f"got {name} of shape {list(tensor.shape)} and type {tensor.dtype}; expected "
            f"{layout.axes} axes of real numbers; is it damaged?"
        )
    with np.errstate(over="ignore"):  # told below, with the name
        value = np.array(layout.convert(tensor), np.float32, order="C")
    if not np.isfinite(value).all():
        raise UserError(f"got {name} with NaN or infinite values; expected numbers; is it damaged?")
    if layout.constant is not None and (
        value.shape != layout.constant.shape or not np.allclose(value, layout.constant, atol=1e-6)
    ):
        raise UserError(f"got another filter in {name}; expected [1, 3, 3, 1]; it is unsupported")
    return path, value


def _average_code(config: dict[str, Any], flat: Mapping[str, np.ndarray]) -> np.ndarray:
    """The mean of W, for files that do not hold it."""
    module = build_generator(config)
    mapping = {path: array for path, array in flat.items() if "/mapping/" in path}
    variables = traverse_util.unflatten_dict(mapping, sep="/")
    z = jax.random.normal(jax.random.key(0), (AVERAGE_SAMPLES, module.z_dim))
    codes = jax.jit(lambda v, z: apply(module, v, z, method="map")[:, 0].mean(0))(variables, z)
    return np.asarray(codes)


def _check_names(missing: Iterable[str], extra: Iterable[str], candidate: Candidate) -> None:
    missing, extra = sorted(missing), sorted(extra)
    where = f"the {candidate.format.kind}" + (f" {candidate.section!r}" * bool(candidate.section))
    if missing:
        raise UserError(
            f"got {where} without {_listed(missing)}; expected all; is the file complete?"
        )
    if extra:
        raise UserError(f"got {where} with {_listed(extra)}; expected nothing beyond its layers")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(shown, names[:_NAMED])) + more


def describe(converted: Converted) -> list[tuple[str, str]]:
    """What a person wants to see of a converted network."""
    arrays = jax.tree.leaves(converted.variables)
    return [
        ("kind", converted.kind),
        ("project", converted.source["project"]),
        ("section", converted.source["section"] or "(the whole file)"),
        *converted.summary.items(),
        ("parameters", f"{converted.num_parameters:,}"),
        ("arrays", f"{len(arrays)}, {sum(a.nbytes for a in arrays) / 2**20:.1f} MiB"),
        ("licence", converted.source["licence"]),
        ("skipped", ", ".join(converted.source["skipped"]) or "nothing"),
    ]
