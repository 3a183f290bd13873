"""What is known of data before they are read: their name, size and terms."""

import os
from typing import Any

from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import SOURCES
from alrl_jax.provenance.lineage import DATA_LICENCES, UNKNOWN_DATA, name_of


def data_entry(request: DataRequest) -> dict[str, Any]:
    """What a model's origin says of its data.

    Args:
        request: what the source is asked for.

    Returns:
        ``name``, ``source``, ``kind`` (what a prepared data set was prepared from), ``split``,
        ``images``, ``people`` (None where that is not known without reading all) and ``licence``.

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
    return found | {"licence": DATA_LICENCES.get(found["kind"], UNKNOWN_DATA)}
