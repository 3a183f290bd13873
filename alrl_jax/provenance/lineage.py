"""Which weights and data a model was made from, and under which terms they stand.

A model directory has it in ``source`` of ``model.json``; a work directory in ``origin.json``,
which training writes before its first step. Entries of weights hold those that they were made from
in turn, so that terms are carried on however many trainings lie between.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util

from alrl_jax.errors import UserError
from alrl_jax.storage.model_directory import MODEL_FILE, read_meta, resolve_directory
from alrl_jax.storage.workdir import read_config
from alrl_jax.utils.files import write_json

ORIGIN_FILE = "origin.json"
NOT_STATED = "not stated; whoever made the weights says what they may be used for"
OWN_TERMS = "Apache-2.0; trained on faces that this project renders"
"""Terms of what comes of rendered faces and of nothing else."""

DATA_LICENCES: Mapping[str, str] = {
    "synthetic": "Apache-2.0; rendered by this project",
    "humans": "Apache-2.0; rendered by this project from MakeHuman's meshes, morphs and facial "
    "actions (CC0 1.0)",
    "ffhq": "FFHQ: CC BY-NC-SA 4.0 as a whole, every photograph under terms of its own; "
    "non-commercial",
    "celebamask": "CelebA and CelebAMask-HQ: non-commercial research and education alone",
}
"""The terms of data, by name."""
UNKNOWN_DATA = "not stated; whoever made the images says what they may be used for"

Entry = dict[str, Any]


def name_of(directory: str | Path) -> str:
    """A directory's name without the folders of a machine."""
    text = str(directory)
    return text if text.startswith("embedded/") else Path(text).expanduser().resolve().name


def entry(directory: str | Path) -> Entry:
    """The record of the weights in a model or work directory.

    Args:
        directory: a path, or ``embedded/NAME``.

    Returns:
        ``name``, ``kind``, ``sha256`` (of the file of weights; None of a work directory),
        ``licence``, ``terms`` (see ``terms``; None of what others made), ``project``, ``file`` and
        ``file_sha256`` (of what was converted), and ``started_from``: the same of what these
        weights were made from, None where there is no record.

    Raises:
        UserError: no model there.
    """
    path = resolve_directory(directory)
    meta = _description(path)
    source = meta["source"]
    return {
        "name": name_of(directory),
        "kind": meta["kind"],
        "sha256": meta["sha256"],
        "licence": source.get("licence") or NOT_STATED,
        "terms": source.get("terms"),
        "project": source.get("project"),
        "file": source.get("file"),
        "file_sha256": source.get("sha256"),
        "started_from": ancestors(source),
    }


def _description(path: Path) -> dict[str, Any]:
    if (path / MODEL_FILE).is_file() or read_config(path) is None:
        return read_meta(path)
    origin = read_origin(path) or {}
    return {"kind": None, "sha256": None, "source": origin}


def entries(pretrained: Mapping[str, str]) -> list[Entry]:
    """An entry for every pretrained network that a configuration names.

    Raises:
        UserError: one of them is no model.
    """
    return [
        {"network": network, **entry(directory)}
        for network, directory in sorted(pretrained.items())
        if directory
    ]


def ancestors(source: Mapping[str, Any]) -> list[Entry] | None:
    """The weights that a model was made from; None where there is no record.

    Args:
        source: ``source`` of ``model.json``, or the contents of ``origin.json``.
    """
    if "pretrained" in source:
        return list(source["pretrained"])
    if "project" in source:  # converted: made elsewhere, from what its project says
        return []
    named = source.get("config", {}).get("pretrained")
    return [] if named is not None and not any(named.values()) else None


def known_ancestors(directory: str | Path) -> list[Entry] | None:
    """``ancestors`` of the model in a model or work directory."""
    return ancestors(_description(resolve_directory(directory))["source"])


def every(found: Iterable[Entry]) -> Iterator[Entry]:
    """All entries, each followed by those that it was made from."""
    for each in found:
        yield each
        yield from every(each["started_from"] or [])


def terms(data: Mapping[str, Any] | None, pretrained: Iterable[Entry]) -> dict[str, str]:
    """The terms that hold for weights which were trained on data, from other weights.

    Args:
        data: has ``name`` and ``licence``; None where it is not known.
        pretrained: see ``entries``.

    Returns:
        Text by what it is of, the project's own left out.
    """
    name, text = (data["name"], data["licence"]) if data else ("of training", UNKNOWN_DATA)
    found = [(f"data {name}", text)]
    for each in pretrained:
        if each["terms"] is None:
            found.append((f"weights {each['name']}", each["licence"]))
        else:
            found += each["terms"].items()
    own = (DATA_LICENCES["synthetic"], DATA_LICENCES["humans"], OWN_TERMS)
    known: dict[str, str] = {}
    for name, text in found:
        if text not in own:
            same = known.setdefault(name, text) == text
            known |= {} if same else {f"{name} (another)": text}
    return known


def licence(held: Mapping[str, str]) -> str:
    """One text of all ``terms`` that hold."""
    if not held:
        return OWN_TERMS
    listed = "; ".join(f"{name}: {text}" for name, text in held.items())
    return f"what all of these allow, and no more: {listed}"


def read_origin(workdir: Path) -> dict[str, Any] | None:
    """The origin of a run as training recorded it; None where there is no record.

    Raises:
        UserError: the record cannot be read.
    """
    path = workdir / ORIGIN_FILE
    try:
        origin = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(
            f"got {path} ({error}); expected the JSON that training wrote; bring back a good copy"
        ) from error
    if not isinstance(origin, dict):
        raise UserError(f"got {path} with {origin!r}; expected a JSON object; bring back a copy")
    return origin


def write_origin(workdir: Path, origin: Mapping[str, Any]) -> None:
    """Records the origin of a run, and keeps what an earlier part of the run started from."""
    known = read_origin(workdir) or {}
    pretrained = list(known.get("pretrained", []))
    pretrained += [each for each in origin["pretrained"] if each not in pretrained]
    merged = {**origin, **known, "pretrained": pretrained}
    merged["terms"] = terms(merged["data"], pretrained)
    merged["licence"] = licence(merged["terms"])
    if merged != known:
        write_json(workdir / ORIGIN_FILE, merged)


def used_by(
    judge: Entry,
    weights: Mapping[str, Any],
    found: Iterable[Entry] | None,
    networks: Mapping[str, Mapping[str, Any]],
) -> bool | None:
    """Whether a judge is a network that a model was trained with, or made from.

    Args:
        judge: see ``entry``.
        weights: its variables.
        found: see ``ancestors`` of the model.
        networks: the model's own networks, by name; the identity net is among them.

    Returns:
        None where no record names it, and records are missing.
    """
    if any(_same_weights(weights, network) for network in networks.values()):
        return True
    for each in every(found or []):
        converted = each["kind"] == judge["kind"] and each["file_sha256"] is not None
        if each["sha256"] is not None and each["sha256"] == judge["sha256"]:
            return True
        if converted and each["file_sha256"] == judge["file_sha256"]:
            return True
    complete = found is not None and all(e["started_from"] is not None for e in every(found))
    return False if complete else None


def _same_weights(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether weights are equal as half precision stores them."""
    first: dict[str, Any] = traverse_util.flatten_dict(dict(a), sep="/")
    second: dict[str, Any] = traverse_util.flatten_dict(dict(b), sep="/")
    if not first or first.keys() != second.keys():
        return False
    pairs = [(value, second[name]) for name, value in first.items()]
    if any(np.shape(x) != np.shape(y) for x, y in pairs):
        return False
    half = ((np.asarray(x).astype(np.float16), np.asarray(y).astype(np.float16)) for x, y in pairs)
    return all(np.array_equal(x, y) for x, y in half)
