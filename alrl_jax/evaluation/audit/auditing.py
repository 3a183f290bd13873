"""An audit: a folder of originals and the folder of what was made of them, picture by picture."""

import collections
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from alrl_jax.errors import UserError
from alrl_jax.evaluation import judges, judging
from alrl_jax.evaluation.audit.figures import (
    ASSUMED,
    attributes_kept,
    joined,
    reidentified,
    same_person,
)
from alrl_jax.evaluation.audit.looking import OUTCOMES, Looked, described, look
from alrl_jax.evaluation.presets import OWN_VIEWS
from alrl_jax.loading.protocols import Judge, MeasuringNetwork
from alrl_jax.photos.file_trees import list_images
from alrl_jax.photos.landmarks import FaceFinder
from alrl_jax.utils.opening import MAX_JSON_BYTES, open_regular, parse_json

BATCH = 8
"""Faces that a judge sees at a time: one shape, one compiled program."""
RESULTS_FILE = "results.jsonl"

Crop = Float[np.ndarray, "r r 3"]


@dataclasses.dataclass(frozen=True)
class Pair:
    """An original and what was made of it.

    Attributes:
        name: of the original, relative to its folder.
        original: file.
        result: file; None where nothing is shown.
        line: of ``results.jsonl``; empty where there is none.
    """

    name: str
    original: Path
    result: Path | None
    line: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def list_pairs(originals: Path, results: Path) -> list[Pair]:
    """Originals with their results: as ``results.jsonl`` says, or else of the same name.

    Raises:
        UserError: one of the folders has no pictures, or no original has a result.
    """
    names = list_images(originals) if originals.is_dir() else []
    if not names:
        raise UserError(
            f"got --originals={originals}; expected a directory of photos; check the path"
        )
    if not results.is_dir():
        raise UserError(f"got --results={results}; expected a directory of photos; check the path")
    lines = _lines(results)
    by_name = {Path(name).with_suffix("").as_posix(): name for name in list_images(results)}
    pairs = []
    for name in names:
        line = lines.get((originals / name).resolve(), {})
        output = line.get("output") if line else by_name.get(Path(name).with_suffix("").as_posix())
        result = results / output if isinstance(output, str) else None
        pairs.append(Pair(name, originals / name, result, line))
    if not any(pair.result or pair.line for pair in pairs):
        raise UserError(
            f"got --results={results}, in which nothing belongs to a photo of {originals}; "
            "expected the output of alrl infer, or photos of the same names; check the paths"
        )
    return pairs


def _lines(results: Path) -> dict[Path, Mapping[str, Any]]:
    """Lines of ``results.jsonl`` by the photo that they speak of; none of a video."""
    path = results / RESULTS_FILE
    if not path.is_file():
        return {}
    found: dict[Path, Mapping[str, Any]] = {}
    with open_regular(path, MAX_JSON_BYTES) as file:
        for text in file:
            try:
                line = parse_json(text)
                found[(results / line["target"]).resolve()] = line
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"got {path} with a line that is no result; expected what alrl infer wrote; "
                    "remove it, or name another directory"
                ) from error
    return found


class _Reader:
    """What judges read in faces, in batches; crops are let go as soon as they were seen."""

    def __init__(self, read: Callable[[np.ndarray], Any]) -> None:
        self._read, self._waiting, self._parts = read, list[Crop](), list[Any]()

    def add(self, crop: Crop) -> None:
        self._waiting.append(crop)
        if len(self._waiting) == BATCH:
            self._flush()

    def _flush(self) -> None:
        count = len(self._waiting)
        padded = np.stack(self._waiting + [self._waiting[-1]] * (BATCH - count))
        read = self._read(padded)
        self._parts.append(jax.tree.map(lambda values: values[:count], read))
        self._waiting = []

    def parts(self) -> list[Any]:
        """All that was read, a part a batch."""
        if self._waiting:
            self._flush()
        return self._parts


class Audit:
    """Reads pictures one after another, and says at the end what was found.

    Args:
        finders: of faces, by name; at least one that did not make the results.
        identity: the judge of identities.
        attributes: the judge of attributes; None for none.
        people: of ``figures.PEOPLE``.
    """

    def __init__(
        self,
        finders: Mapping[str, FaceFinder],
        identity: MeasuringNetwork,
        attributes: Judge | None,
        people: str,
    ) -> None:
        self._finders, self._people, self._kind = finders, people, identity.kind
        view = OWN_VIEWS[identity.kind]
        embed = lambda crops: judges.embed(identity, view, crops, None)  # noqa: E731
        self._before, self._after = _Reader(embed), _Reader(embed)
        self._factors = None
        if attributes is not None:
            side = int(attributes.config["resolution"])
            predict = lambda crops: attributes.predict(judging.resize(crops, side))  # noqa: E731
            self._factors = _Reader(predict), _Reader(predict)
        self._records = list[dict[str, Any]]()
        self._owners = list[tuple[int, str]]()

    def run(self, pairs: Sequence[Pair]) -> Iterator[tuple[dict[str, Any], Looked]]:
        """Looks at every pair; gives the record of each and what was seen."""
        for number, pair in enumerate(pairs):
            looked = look(pair.original, pair.result, self._finders)
            for sight in looked.sights:
                self._owners.append((number, str(Path(pair.name).parent)))
                self._before.add(sight.before)
                self._after.add(sight.before if sight.after is None else sight.after)
                if self._factors is not None:
                    same_place = sight.before if sight.same_place is None else sight.same_place
                    self._factors[0].add(sight.before)
                    self._factors[1].add(same_place)
            self._records.append(_record(pair, looked))
            yield self._records[-1], looked

    def finish(self) -> dict[str, Any]:
        """Counts, figures and the record of every picture."""
        faces = [face for record in self._records for face in record["faces"]]
        figures: dict[str, Any] = {"reidentification": None, "attributes": None}
        if faces:
            before = np.concatenate(self._before.parts())
            after = np.concatenate(self._after.parts())
            has_result = np.array([face["outcome"] is not None for face in faces])
            pictures, folders = zip(*self._owners, strict=True)
            least = ASSUMED[self._kind]
            same = same_person(self._people, folders, pictures, before @ before.T, least)
            figures["reidentification"], found = reidentified(before, after, has_result, same)
            cosines = np.sum(before * after, axis=1)
            for face, hit, cosine in zip(faces, found, cosines, strict=True):
                shown = face["outcome"] is not None
                face["found_again"] = bool(hit) if shown else None
                face["similarity"] = round(float(cosine), 4) if shown else None
            if self._factors is not None:
                replaced = np.array([face["outcome"] == "replaced" for face in faces])
                read = [joined(reader.parts()) for reader in self._factors]
                figures["attributes"] = attributes_kept(read[0], read[1], replaced)
        return {"counts": _counts(self._records), **figures, "pictures": self._records}


def _record(pair: Pair, looked: Looked) -> dict[str, Any]:
    """What is said of a picture."""
    faces = [described(sight) for sight in looked.sights]
    outcomes = collections.Counter(face["outcome"] for face in faces)
    shown = looked.result is not None
    return {
        "original": pair.name,
        "result": None if pair.result is None else pair.result.name,
        "status": pair.line.get("status"),
        "action": pair.line.get("action"),
        "shown": shown,
        "fault": looked.fault,
        "before": len(faces),
        "after": looked.after if shown else None,
        **{name: outcomes[name] if shown else 0 for name in OUTCOMES},
        "faces": faces,
    }


def _counts(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over all pictures, and over all faces by finder."""
    faces = [face for record in records for face in record["faces"]]
    shown = [record for record in records if record["shown"]]
    return {
        "pictures": len(records),
        "shown": len(shown),
        "not_shown": len(records) - len(shown),
        "faults": sum(record["fault"] is not None for record in records),
        "before": len(faces),
        "before_in_shown": sum(record["before"] for record in shown),
        "after": sum(record["after"] for record in shown),
        **{name: sum(record[name] for record in shown) for name in OUTCOMES},
        "found_by": dict(collections.Counter(name for face in faces for name in face["found_by"])),
    }
