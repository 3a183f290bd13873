"""Control: whether a swap takes from each face what the caller asks for.

The same pairs are swapped once as trained and once for every attribute control, and the judge
measures how far each swap is from the source and from the target. A control succeeds if the
attribute that it names comes nearer to the face that it names, and the other attributes stay where
they were.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from alrl_jax.evaluation import judging
from alrl_jax.evaluation.benchmark import Counterfactuals, PairPlan, render_pairs, take
from alrl_jax.evaluation.measuring import Collector, Examiner, batches
from alrl_jax.evaluation.metric_table import Values
from alrl_jax.loading.protocols import Judge, Swapper
from alrl_jax.models.face_analyser import FaceFactors, unit_length
from alrl_jax.worlds import primitives

CONTROLS: dict[str, dict[str, Any]] = {
    "as_trained": {},
    "pose_from_source": {"pose_from": "source"},
    "identity_from_target": {"identity_from": "target"},
    **{
        f"{group}_from_{face}": {"groups": {group: face}}
        for group in judging.JUDGED_GROUPS
        for face in ("source", "target")
    },
}
"""Arguments of ``SwapperModel.swap`` by name; groups that a model does not have are left out."""

FACES = ("source", "target")

WHOLE = {"identity": "identity_vector", "pose": "pose_degrees"}
"""Groups that a judge reads as a whole, and the field of its reading."""

Control = dict[str, dict[str, dict[str, float]]]
"""Mean distances by control, face and metric."""


def measure_control(
    model: Swapper,
    judge: Judge,
    plan: PairPlan,
    count: int,
    resolution: int,
    batch_size: int,
    render: Callable[[PairPlan, int], Counterfactuals] = render_pairs,
) -> Control:
    """Swaps the pairs of a plan with every control, and measures the swaps against both faces.

    Args:
        model: a swapper.
        judge: the net that measures; swaps are compared with its readings of source and target,
            so that its own errors cancel.
        plan: at least ``count`` pairs.
        count: number of pairs.
        resolution: of the rendered faces, in px.
        batch_size: pairs at a time.
        render: draws a slice of the plan.

    Returns:
        By control: ``source`` and ``target``, the distances from that face
        (``identity_similarity``, ``pose_error_degrees`` and the errors of the judged groups in
        standard deviations), and ``way``, how far every group has gone from the target to the
        source, see ``way_gone``.
    """
    examiner, collector = Examiner(judge), Collector()
    controls = {
        name: asked
        for name, asked in CONTROLS.items()
        if asked.get("groups", {}).keys() <= set(model.attribute_groups)
    }
    for numbers, valid in tqdm(list(batches(count, batch_size)), desc="control", unit="batch"):
        pair = render(take(plan, numbers), resolution)
        faces = {face: examiner.predict(getattr(pair, face)) for face in FACES}
        for control, asked in controls.items():
            swapped = examiner.predict(model.swap(pair.source, pair.target, **asked).image)
            for face in FACES:
                for name, values in distances(swapped, faces[face]).items():
                    collector.add(f"{control} {face}", name, values, valid)
            for name, values in way_gone(swapped, faces["source"], faces["target"]).items():
                collector.add(f"{control} way", name, values, valid)
    return {control: _of_control(collector, control) for control in controls}


def _of_control(collector: Collector, control: str) -> dict[str, dict[str, float]]:
    means = {
        face: {
            name: float(np.mean(values, dtype=np.float64))
            for name, values in collector.get(f"{control} {face}").items()
        }
        for face in FACES
    }
    # A share of sums: pairs whose faces hardly differ in a group say hardly anything of it.
    sums = {
        name: values.sum(axis=0, dtype=np.float64)
        for name, values in collector.get(f"{control} way").items()
    }
    return means | {"way": {name: float(gone / way) for name, (gone, way) in sums.items()}}


def way_gone(
    swap: FaceFactors, source: FaceFactors, target: FaceFactors
) -> dict[str, Float[np.ndarray, "b 2"]]:
    """How far swaps have gone from the target to the source, by what the judge reads of a group.

    Args:
        swap: read from the swaps.
        source: read from the sources.
        target: read from the targets.

    Returns:
        By group, the movement's product with the way, and the way's with itself: their sums over
        pairs, divided, are 0 at the target and 1 at the source.
    """
    found = {}
    for group in (*WHOLE, *judging.JUDGED_GROUPS):
        at, start, end = (_reading(face, group) for face in (swap, target, source))
        way = end - start
        found[group] = np.stack([((at - start) * way).sum(-1), (way * way).sum(-1)], axis=-1)
    return found


def _reading(face: FaceFactors, group: str) -> Float[np.ndarray, "b n"]:
    if group in WHOLE:
        return np.asarray(getattr(face, WHOLE[group]), np.float64)
    columns = [
        primitives.ATTRIBUTE_FACTORS.index(name) for name in primitives.ATTRIBUTE_GROUPS[group]
    ]
    return np.asarray(face.attribute_vector, np.float64)[:, columns]


def distances(swap: FaceFactors, face: FaceFactors) -> Values:
    """How far a swap is from a face, by the judge's readings of both."""
    embeddings = (unit_length(read.identity_vector) for read in (swap, face))
    return {
        "identity_similarity": judging.cosine(*embeddings),
        "pose_error_degrees": judging.pose_errors(swap.pose_degrees, face.pose_degrees),
        **judging.group_errors(
            np.asarray(swap.attribute_vector),
            np.asarray(face.attribute_vector),
            primitives.ATTRIBUTE_FACTORS,
            primitives.ATTRIBUTE_GROUPS,
        ),
    }
