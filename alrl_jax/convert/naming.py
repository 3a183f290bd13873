"""Names of tensors that wrappers and owners of a network have prefixed, on all names or on some."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

WRAPPERS = ("module", "_orig_mod")
"""Parts of a name that data parallelism and ``torch.compile`` add, wherever they stand in it."""

OWNERS = ("model", "generator", "net")
"""What trainers call the attribute that holds a network; it stands first in a name."""


def without_wrapper(tensors: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Tensors by the names that they had before their network was wrapped.

    Args:
        tensors: by the names of a file, some or all with ``WRAPPERS`` in them.

    Returns:
        The tensors as they are where two of them would get the same name.
    """
    return _renamed(tensors, _is_no_wrapper)


def without_owner(tensors: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Tensors by their names without the ``OWNERS`` in front, see ``without_wrapper``."""
    return _renamed(tensors, _is_no_owner)


_Keeps = Callable[[str, bool], bool]
"""Whether a part of a name is kept; of the part, and whether nothing that is kept is before it."""


def _is_no_wrapper(part: str, leads: bool) -> bool:
    return part not in WRAPPERS


def _is_no_owner(part: str, leads: bool) -> bool:
    return not (leads and part in OWNERS)


def _renamed(tensors: Mapping[Any, Any], keeps: _Keeps) -> Mapping[Any, Any]:
    renamed = {_without(name, keeps): tensor for name, tensor in tensors.items()}
    return renamed if len(renamed) == len(tensors) else tensors


def _without(name: Any, keeps: _Keeps) -> Any:
    """A name without the parts that are not kept."""
    if not isinstance(name, str):
        return name
    parts: list[str] = []
    for part in name.split("."):
        if keeps(part, not parts):
            parts.append(part)
    return ".".join(parts) or name


def prefixes(names: Collection[Any], signature: Sequence[str]) -> Iterator[str]:
    """What stands before all names of ``signature``, e.g. "" or "encoder."; each once."""
    first = signature[0]
    found = dict.fromkeys(
        name[: -len(first)]
        for name in names
        if isinstance(name, str) and name.endswith(first) and name[: -len(first)][-1:] in ("", ".")
    )
    for prefix in found:
        if all(prefix + name in names for name in signature):
            yield prefix


def part_of(
    tensors: Mapping[Any, Any], prefix: str, taken: Iterable[str], signature: Sequence[str]
) -> dict[Any, Any]:
    """The tensors of one network of several, by its own names.

    Beside those behind the prefix, these are the strays: tensors whose name lacks the prefix, or
    has an owner before it, and then begins as the name of another tensor of this network does.

    Args:
        tensors: of all networks that stand together.
        prefix: of this network's names, "" where the others' are not known apart.
        taken: prefixes of the other networks.
        signature: names that this network has.

    Returns:
        Names of the network to names of ``tensors``.
    """
    own = {k[len(prefix) :]: k for k in tensors if isinstance(k, str) and k.startswith(prefix)}
    own = own if prefix else {k: k for k in tensors}
    others = tuple(other for other in taken if other and other != prefix)
    firsts = {str(name).partition(".")[0] for name in (*own, *signature)} - {*OWNERS}
    for key in tensors:
        if (
            not isinstance(key, str)
            or key.startswith(others)
            or (prefix and key.startswith(prefix))
        ):
            continue
        name = _without(key, _is_no_owner)
        if name not in own and name.partition(".")[0] in firsts:
            own.pop(key, None)
            own[name] = key
    return own
