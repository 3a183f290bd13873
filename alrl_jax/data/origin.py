"""Where a run comes from: its data, before they are read, and what its weights are made of."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import SOURCES
from alrl_jax.provenance.lineage import (
    DATA_LICENCES,
    NOT_STATED,
    UNKNOWN_DATA,
    entries,
    name_of,
    write_origin,
)
from alrl_jax.utils.version import git_revision


def data_entry(request: DataRequest) -> dict[str, Any]:
    """What a model's origin says of its data.

    Args:
        request: what the source is asked for.

    Returns:
        ``name``, ``source``, ``kind`` (what a prepared data set was prepared from), ``split``,
        ``images``, ``people`` (None where that is not known without reading all) and ``licence``;
        ``parser``, where one gave the masks of a prepared data set.

    Raises:
        OSError: a prepared data set cannot be read.
    """
    source = request.source
    found: dict[str, Any] = {
        "name": source if request.path is None else name_of(os.fspath(request.path)),
        "source": source,
        "kind": source,
        "split": request.split,
        "images": None,
        "people": None,
        **SOURCES[source].facts(request),
    }
    licence = DATA_LICENCES.get(found["kind"], UNKNOWN_DATA)
    parser = found.get("parser")  # whose masks are part of the data
    if parser:
        licence += f"; masks by {parser['name']}: {parser['licence'] or NOT_STATED}"
    return found | {"licence": licence}


def run_origin(data: DataRequest, pretrained: Mapping[str, str], command: str) -> dict[str, Any]:
    """Where a run comes from: code, machine, data, and the weights that it takes from others.

    Args:
        data: what the source is asked for.
        pretrained: model directories by name; empty where the run names none.
        command: line that started the run.
    """
    device = jax.devices()[0]
    return {
        "command": command,
        "git_revision": git_revision(),
        "hardware": f"{jax.device_count()} x {device.device_kind} ({device.platform}), "
        f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "jax": jax.__version__,
        "data": data_entry(data),
        "pretrained": entries(pretrained),
    }


def record_origin(
    workdir: Path, data: DataRequest, pretrained: Mapping[str, str], command: str
) -> None:
    """Writes ``run_origin`` into a work directory; see ``write_origin``."""
    write_origin(workdir, run_origin(data, pretrained, command))
