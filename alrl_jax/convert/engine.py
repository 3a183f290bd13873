"""Turns a foreign checkpoint into a model directory: find, read, account for all, write.

Nothing is guessed and nothing is left over: the network is known by its tensors, its architecture
by their shapes, and every tensor of the source and every variable of ours is used exactly once.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from alrl_jax.convert.families import FORMATS
from alrl_jax.convert.faults import shown
from alrl_jax.convert.finding import Candidate, choose, find_networks, skipped
from alrl_jax.convert.format import Format
from alrl_jax.convert.joining import read_sources
from alrl_jax.convert.rules import lay_out
from alrl_jax.convert.unsupported import all_names, unsupported
from alrl_jax.errors import UserError
from alrl_jax.storage.model_directory import check_target, save_model
from alrl_jax.utils.hashing import file_sha256

_NAMED = 4
"""How many names an error message lists."""


@dataclasses.dataclass(frozen=True)
class Converted:
    """A network in our layout, ready for ``save_model``."""

    kind: str
    config: dict[str, Any]
    variables: dict[str, Any]
    conventions: dict[str, str]
    source: dict[str, Any]
    summary: dict[str, str]
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    """What the file left open and how that was settled; stands in ``source`` too."""

    @property
    def num_parameters(self) -> int:
        """Numbers in collection ``params``."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.variables["params"]))


def convert_file(
    source: Path | Sequence[Path],
    kind: str,
    output: Path,
    progress: Callable[[list[str]], Iterable[str]] = iter,
    formats: Sequence[Format] = FORMATS,
) -> Converted:
    """Converts one network of a checkpoint and writes it, whole or not at all.

    Args:
        source: the checkpoint; the files of a network that its project divides into several.
        kind: one of ``KINDS``, or ``auto`` where the file holds only one.
        output: the model directory to write.
        progress: wraps the loop over the tensors, e.g. in a progress bar.
        formats: the networks that are looked for.

    Raises:
        UserError: if anything about the file is not as it should be; nothing is written then.
    """
    check_target(output)  # before minutes are spent
    sources = (source,) if isinstance(source, Path) else tuple(source)
    converted = _convert_from(sources, kind, progress, formats)
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
    sources: tuple[Path, ...],
    kind: str,
    progress: Callable[[list[str]], Iterable[str]],
    formats: Sequence[Format],
) -> Converted:
    """Converts without writing; whatever was read and is not used is gone on return."""
    checkpoint = read_sources(sources)
    candidates, others = find_networks(checkpoint, formats)
    names = all_names(checkpoint)
    del checkpoint
    try:
        _check_supported(candidates, kind, names)
        chosen = choose(candidates, kind, formats)
        rest = skipped(candidates, chosen, others)
        candidates.clear()
        _check_files(chosen, len(sources))
        _check_size(chosen, sum(source.stat().st_size for source in sources))
        converted = convert(chosen, progress)
    except UserError as error:
        raise UserError(f"{', '.join(map(str, sources))}: {error}") from error
    names, hashes = [source.name for source in sources], [file_sha256(s) for s in sources]
    tensors = converted.source.pop("tensors")
    converted.source.update(
        file=names if len(names) > 1 else names[0],
        sha256=hashes if len(names) > 1 else hashes[0],
        skipped=rest,
        licence=chosen.format.named_licences.get(names[0], chosen.format.licence),
        tensors=tensors,
    )
    return converted


def _check_supported(candidates: list[Candidate], kind: str, names: list[str]) -> None:
    """Names what the file holds where that is known and is not converted.

    A network beside it is converted where ``kind`` asks for it.
    """
    if kind in {c.format.kind for c in candidates}:
        return
    own = {name for c in candidates for name in c.network.tensors}
    said = unsupported(name for name in names if name not in own)
    if said is not None:
        raise UserError(f"got {said}")


def _check_files(candidate: Candidate, count: int) -> None:
    entry = candidate.format
    if count not in (1, len(entry.files)):
        expected = "one" if len(entry.files) == 1 else f"one or {len(entry.files)}"
        raise UserError(
            f"got {count} files with {entry.kind}; expected {expected}; name that alone"
        )


def _check_size(candidate: Candidate, file_bytes: int) -> None:
    """Refuses tensors that share their numbers until they outgrow the file.

    A number takes a byte at least.
    """
    arrays = (x for x in candidate.network.tensors.values() if isinstance(x, np.ndarray))
    count = sum(array.size for array in arrays)
    if count > file_bytes:
        raise UserError(f"got {count} numbers in {file_bytes} bytes; expected no shared tensors")


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
    entry, tensors = candidate.format, candidate.network.tensors
    _check_tensors(tensors)
    notes = entry.prepare(candidate.network)
    config = entry.read_config(candidate.network)
    rows = entry.rows(config)
    absent = rows.keys() - tensors.keys()
    missed = {n for n in absent if not (entry.optional and re.fullmatch(entry.optional, n))}
    _check_names(missed, tensors.keys() - rows.keys(), candidate)
    expected: dict[str, Any] = traverse_util.flatten_dict(entry.shapes(config), sep="/")
    flat: dict[str, np.ndarray] = {}
    report: dict[str, str] = {}
    for name in progress(sorted(tensors)):
        # Taken out, so that the source makes room for the result.
        tensor = tensors.pop(name)
        path, key = rows[name]
        layout = entry.layouts[key]
        array = lay_out(name, tensor, layout)
        fate = "checked" if layout.constant is not None else "not used"
        report[name] = f"{path or fate} {list(tensor.shape)} {key}"
        if path is None:
            continue
        if path not in expected or array.shape != expected[path].shape:
            shape = list(expected[path].shape) if path in expected else "no such tensor"
            raise UserError(
                f"got {name} of shape {list(tensor.shape)}, for us {list(array.shape)}; "
                f"expected {shape}; is the file complete?"
            )
        flat[path] = array
    _check_names(expected.keys() - flat.keys(), (), candidate)
    source: dict[str, Any] = {"project": entry.project, "section": candidate.section, **notes}
    source["tensors"] = report
    variables = traverse_util.unflatten_dict(flat, sep="/")
    conventions, summary = dict(entry.conventions), entry.summary(config)
    return Converted(entry.kind, config, variables, conventions, source, summary, notes)


def _check_tensors(tensors: Mapping[Any, Any]) -> None:
    names = [repr(name) for name in tensors if not isinstance(name, str)]
    if names:
        raise UserError(f"got tensors named {_listed(names)}; expected text; is it damaged?")
    for name, tensor in tensors.items():
        if not isinstance(tensor, np.ndarray):
            raise UserError(f"got {shown(name)}, a {type(tensor).__name__}; expected a tensor")


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
        *converted.notes.items(),
        ("parameters", f"{converted.num_parameters:,}"),
        ("arrays", f"{len(arrays)}, {sum(a.nbytes for a in arrays) / 2**20:.1f} MiB"),
        ("licence", converted.source["licence"]),
        ("skipped", ", ".join(converted.source["skipped"]) or "nothing"),
    ]
