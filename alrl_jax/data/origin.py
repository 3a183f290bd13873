"""What is known of data before they are read: their name, size and terms."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from alrl_jax.data.shards import DESCRIPTION, IDENTITIES
from alrl_jax.photos.file_trees import list_images
from alrl_jax.provenance.lineage import DATA_LICENCES, UNKNOWN_DATA, name_of


def data_entry(
    source: str, path: str | None, split: str, num_identities: int, images_per_identity: int
) -> dict[str, Any]:
    """What a model's origin says of its data.

    Args:
        source: row of ``sources.SOURCES``.
        path: of the data; None lets "synthetic" use its own place.
        split: part of the data set.
        num_identities: number of synthetic people.
        images_per_identity: pictures of each of them.

    Returns:
        ``name``, ``source``, ``kind`` (what a prepared data set was prepared from), ``split``,
        ``images``, ``people`` (None where that is not known without reading all) and ``licence``.

    Raises:
        OSError: a prepared data set cannot be read.
    """
    found: dict[str, Any] = {"name": source if path is None else name_of(path), "source": source}
    found |= {"kind": source, "split": split, "images": None, "people": None}
    if source == "synthetic":
        count = num_identities * images_per_identity
        found |= {"name": "synthetic", "images": count, "people": num_identities}
    elif path is not None and source == "prepared":
        folder = Path(path).expanduser()
        text = (folder / DESCRIPTION).read_text(encoding="utf-8")
        parameters = json.loads(text)["parameters"]
        people = np.load(folder / IDENTITIES, allow_pickle=False)
        found |= {name: parameters[name] for name in ("kind", "split") if name in parameters}
        found |= {"images": len(people), "people": len(np.unique(people))}
    elif path is not None and source == "folder":
        found |= {"split": None, "images": len(list_images(Path(path).expanduser()))}
    return found | {"licence": DATA_LICENCES.get(found["kind"], UNKNOWN_DATA)}
