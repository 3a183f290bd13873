"""Masks by a face parser for photographs that have none, once and for all.

Training asks the same parser at every step where records have no masks.
"""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from alrl_jax.data.face_parsing import PARSER_KINDS, parser_network
from alrl_jax.data.records import to_float
from alrl_jax.data.shard_files import Made
from alrl_jax.data.shards import Plan
from alrl_jax.errors import UserError
from alrl_jax.provenance.lineage import name_of
from alrl_jax.storage.model_directory import read_model

BATCH = 8
"""Faces that are parsed at once; fewer are filled up, so that one program serves all."""

Parse = Callable[[Float[np.ndarray, "b h w 3"]], Int[np.ndarray, "b h w"]]


@dataclasses.dataclass(frozen=True)
class ParsedMaker:
    """Makes records, and gives those a mask that have none.

    Attributes:
        make: makes the records.
        parse: classes of the pixels of ``BATCH`` faces in [-1, 1], with CelebAMask-HQ's ids.
        lock: one thread parses at a time, so that memory does not grow with the threads.
    """

    make: Callable[[int, int], Made]
    parse: Parse
    lock: Any = dataclasses.field(default_factory=threading.Lock)

    def __call__(self, start: int, stop: int) -> Made:
        """The records start..stop that can be made, and why others cannot."""
        made = self.make(start, stop)
        records, faults = made if isinstance(made, tuple) else (made, ())
        bare = np.flatnonzero(~records["labelled"])
        for first in range(0, len(bare), BATCH):
            rows = bare[first : first + BATCH]
            images = to_float(records["image"][np.resize(rows, BATCH)])
            with self.lock:
                classes = self.parse(images)
            records["parsing"][rows] = classes[: len(rows)]
            records["pose_degrees"][rows] = np.nan
            records["labelled"][rows] = True
        return records, faults


def parsed_plan(plan: Plan, directory: str) -> Plan:
    """A plan whose records have masks, their own or a parser's.

    Args:
        plan: of photographs; its ``workers`` become threads, as they share one parser.
        directory: of a model of kind ``face_parser``.

    Raises:
        UserError: there is no such model, or it has other classes.
    """
    meta, variables = read_model(directory)
    if meta["kind"] not in PARSER_KINDS:
        raise UserError(
            f"got --parser={directory}, a model of kind {meta['kind']}; expected "
            f"{' or '.join(PARSER_KINDS)}; name another directory"
        )
    network = parser_network(meta["config"], f"got --parser={directory}")
    side = plan.layout.resolution
    labels = jax.jit(lambda variables, images: network.labels(variables, images, side))
    held = jax.device_put(variables)

    def parse(images: Float[np.ndarray, "b h w 3"]) -> Int[np.ndarray, "b h w"]:
        return np.asarray(labels(held, images))

    about = {
        "name": name_of(directory),
        "sha256": meta["sha256"],
        "licence": meta["source"].get("licence"),
    }
    return dataclasses.replace(
        plan,
        parameters={**plan.parameters, "parser": about},
        make=ParsedMaker(plan.make, parse),
        workers=0 if plan.workers > 1 else plan.workers,
    )
