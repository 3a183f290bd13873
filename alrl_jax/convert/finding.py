"""Which networks a checkpoint holds, and which of them is meant."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from alrl_jax.convert.families import FORMATS
from alrl_jax.convert.faults import shown
from alrl_jax.convert.format import Format, divided
from alrl_jax.convert.naming import part_of, prefixes, without_owner, without_wrapper
from alrl_jax.convert.networks import INIT_KWARGS, OPTIONS, Network, Settings, join_names
from alrl_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A network found in a checkpoint.

    Attributes:
        format: how it is saved.
        section: the checkpoint's name for it, "" for the checkpoint itself.
        network: its tensors, with what belongs to it from beside it, and its settings.
    """

    format: Format
    section: str
    network: Network


def find_networks(
    checkpoint: Any, formats: Sequence[Format] = FORMATS
) -> tuple[list[Candidate], list[str]]:
    """The networks in a checkpoint, and the names of all else in it.

    A network stands alone in the file, under a name of it, or one name deeper; several may share
    a name and differ in the prefixes of their tensors.  Where the file leaves open which network
    some tensors are, each that they may be is a candidate.

    Args:
        checkpoint: what ``read_sources`` gives.
        formats: the networks that are looked for.
    """
    if isinstance(checkpoint, Network):
        checkpoint = {"": checkpoint}
    if not isinstance(checkpoint, dict):
        return [], [type(checkpoint).__name__]
    alone = {k: v for k, v in checkpoint.items() if isinstance(v, np.ndarray)}
    said = _said_beside(checkpoint)
    options = said.get(OPTIONS, {})
    given = {k: v for k, v in options.items() if isinstance(v, np.ndarray)}
    beside = _Beside(given | alone, said, formats)
    found, others = _in_section("", alone, beside.said, beside)
    if found:
        return found, others + [shown(k) for k in checkpoint if k not in {*alone, OPTIONS}]
    others, seen = [], {id(checkpoint)}
    for name, content in checkpoint.items():
        section, rest = _below(shown(name), content, beside, seen)
        found += section
        others += rest if section else [shown(name)]
    used = {k for candidate in found for k in (*candidate.format.beside, OPTIONS)}
    return found, [name for name in others if name not in used]


@dataclasses.dataclass(frozen=True)
class _Beside:
    """What counts for every network of a checkpoint.

    Attributes:
        tensors: those of the checkpoint itself, and of its options.
        said: what the checkpoint says of networks whose tensors stand alone.
        formats: the networks that are looked for.
    """

    tensors: Mapping[Any, Any]
    said: Settings
    formats: Sequence[Format]


def _below(
    name: str, content: Any, beside: _Beside, seen: set[int]
) -> tuple[list[Candidate], list[str]]:
    """What stands under a name of the checkpoint, or one name deeper.

    Args:
        name: the name.
        content: what it stands for.
        beside: what stands beside it.
        seen: contents that were looked into; a file may name one a million times.
    """
    if id(content) in seen or not isinstance(content, Network | Mapping):
        return [], []
    seen.add(id(content))
    if isinstance(content, Network):
        return _in_section(name, content.tensors, content.settings, beside)
    found, others = _in_section(name, content, beside.said, beside)
    if found:
        return found, others
    others = []
    for key, inner in content.items():
        if isinstance(inner, Mapping) and id(inner) not in seen:
            seen.add(id(inner))
            deeper = f"{name}/{shown(key)}"
            section, rest = _in_section(deeper, inner, beside.said, beside)
            found += section
            others += rest if section else [deeper]
        else:
            others.append(f"{name}/{shown(key)}")
    return found, others


def _in_section(
    name: str, tensors: Mapping[Any, Any], said: Settings, beside: _Beside
) -> tuple[list[Candidate], list[str]]:
    """The networks whose tensors stand together under a name, and all else there.

    Names are first read without what wrappers add.  Networks of which some names lead with their
    owner, and others do not, are known by the names without; and if all this finds nothing, a
    network may have a part that is called as a wrapper is.
    """
    plain = without_wrapper(tensors)
    found: list[Candidate] = []
    others: list[str] = []
    for names in (plain, without_owner(plain), tensors):
        found, others = _by_names(name, names, said, beside)
        if found:
            break
    return found, others


def _by_names(
    name: str, tensors: Mapping[Any, Any], said: Settings, beside: _Beside
) -> tuple[list[Candidate], list[str]]:
    found: list[Candidate] = []
    used: set[Any] = set()
    for entry, prefix, part in _recognised(tensors, beside.formats):
        near = {k: v for k, v in {**beside.tensors, **tensors}.items() if k in entry.beside}
        network = Network({n: tensors[k] for n, k in part.items()} | near, said)
        if entry.applies(network):
            section = join_names("/", name, prefix.rstrip(".").replace(".", "/"))
            found.append(Candidate(entry, section, network))
            used |= {*part.values(), *near}
    parts = (shown(k).partition(".")[0] for k in tensors if k not in used)
    return found, [join_names("/", name, part) for part in dict.fromkeys(parts)]


def _recognised(
    tensors: Mapping[Any, Any], formats: Sequence[Format]
) -> Iterator[tuple[Format, str, dict[Any, Any]]]:
    """Formats whose signature is there, with the prefix of the names, and names by own names."""
    arrays = {name for name, tensor in tensors.items() if isinstance(tensor, np.ndarray)}
    found = [(entry, p) for entry in formats for p in prefixes(arrays, entry.signature)]
    for entry, prefix in found:
        part = part_of(tensors, prefix, (p for _, p in found), entry.signature)
        yield entry, prefix, {n: k for n, k in part.items() if not _is_apart(entry, n)}


def _is_apart(entry: Format, name: Any) -> bool:
    return entry.apart is not None and re.fullmatch(entry.apart, str(name)) is not None


def _said_beside(checkpoint: Mapping[Any, Any]) -> Settings:
    """The arguments and options of networks whose tensors stand alone, where the file has them."""
    said: Settings = {}
    options = checkpoint.get(OPTIONS)
    if isinstance(options, dict):
        said[OPTIONS] = options
    arguments = checkpoint.get(INIT_KWARGS)
    if not isinstance(arguments, dict):
        return said
    nested = [arguments.get(f"{part}_kwargs") for part in ("synthesis", "block", "epilogue")]
    merged = dict(arguments)
    for part in nested:
        merged |= part if isinstance(part, dict) else {}
    return said | {INIT_KWARGS: merged}


def choose(
    candidates: list[Candidate], kind: str, formats: Sequence[Format] = FORMATS
) -> Candidate:
    """The one network of that kind.

    Args:
        candidates: what was found.
        kind: one of ``KINDS``, or ``auto`` where there is only one kind.
        formats: the networks that were looked for.

    Raises:
        UserError: if there is none, or more than one to choose from.
    """
    kinds = sorted({candidate.format.kind for candidate in candidates})
    if not candidates:
        known = ", ".join(dict.fromkeys(entry.kind for entry in formats))
        several = ", ".join(f"{k} as --source={files}" for k, files in divided(formats).items())
        known += f" ({several})" * bool(several)
        raise UserError(f"got no network that is known; expected one of {known}")
    if kind == "auto" and len(kinds) > 1:
        raise UserError(
            f"got several networks, or one of several kinds; expected --kind to choose one: "
            f"{', '.join(kinds)}"
        )
    if kind != "auto" and kind not in kinds:
        raise UserError(f"got --kind={kind}; expected what the file holds: {', '.join(kinds)}")
    rest = [c for c in candidates if kind in ("auto", c.format.kind)]
    for section in rest[0].format.sections:
        for candidate in rest:
            if f"/{candidate.section}".endswith(f"/{section}"):
                return candidate
    if len(rest) > 1:
        names = ", ".join(c.section for c in rest)
        raise UserError(f"got several networks of one kind: {names}; expected one; save it alone")
    return rest[0]


def skipped(candidates: list[Candidate], chosen: Candidate, others: list[str]) -> list[str]:
    """Names of what a file holds beside the chosen network, each once."""
    sections = [c.section for c in candidates if c.section != chosen.section]
    return list(dict.fromkeys([*sections, *others]))
