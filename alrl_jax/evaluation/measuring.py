"""Runs the rows over a benchmark and collects one number for every pair and metric."""

import dataclasses
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from tqdm import tqdm

from alrl_jax.evaluation import image_metrics, judges, judging
from alrl_jax.evaluation.benchmark import Counterfactuals, PairPlan, render_pairs, take
from alrl_jax.evaluation.metric_table import Values
from alrl_jax.evaluation.presets import OWN_VIEWS
from alrl_jax.evaluation.rows import Question, Row, RowImages, own_row
from alrl_jax.evaluation.shared_batches import Arrays, Sharing, measured_batches
from alrl_jax.loading.protocols import Judge, MeasuringNetwork, Swapper
from alrl_jax.models.face_analyser import FaceFactors, feature_distance, unit_length
from alrl_jax.types import AnyArray, SwapGates
from alrl_jax.worlds import primitives

Images = Float[AnyArray, "b h w 3"]
Embeddings = dict[str, Float[AnyArray, "b k"]]
"""Unit embeddings by judge, see ``Examiner.identities``."""

SHOWN_BY_PAIR = ("target_image", "source_image", "truth", "truth_blended")
"""Rows whose images the report shows under another name, or not at all."""


@dataclasses.dataclass
class Measurement:
    """The result of a benchmark.

    Attributes:
        values: one number a pair, by row and metric.
        tones: melanin of every target; empty where unknown.
        images: first pairs, by column name, as ``b h w c`` arrays (masks have one channel).
        gates: gates of the model's own row for every pair, by field name; empty without any.
        owners: share of every attribute group in every gate; None without any.
        of_sets: figures of all images of a row together, by row and metric.
        hard: which pairs are hard, by what makes them so; empty where unknown.
    """

    values: dict[str, Values]
    tones: Float[np.ndarray, " t"]
    images: dict[str, Float[np.ndarray, "_ _ _ _"]]
    gates: dict[str, np.ndarray]
    owners: Float[np.ndarray, "l g k"] | None
    of_sets: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    hard: dict[str, Bool[np.ndarray, " n"]] = dataclasses.field(default_factory=dict)


class Collector:
    """Gathers batches, without the padding of the last one."""

    def __init__(self) -> None:
        self._parts: Arrays = {}

    def add(self, group: str, name: str, values: AnyArray, count: int) -> None:
        """Keeps the first ``count`` entries of one batch."""
        self._parts.setdefault((group, name), []).append(np.asarray(values)[:count])

    @property
    def parts(self) -> Arrays:
        """All that was added, by group and name, batches apart."""
        return self._parts

    def join(self, parts: Arrays) -> None:
        """Adds what another one gathered behind what is here."""
        for key, arrays in parts.items():
            self._parts.setdefault(key, []).extend(arrays)

    def get(self, group: str) -> dict[str, np.ndarray]:
        """All values of a group by name, batches joined."""
        return {n: np.concatenate(p) for (g, n), p in self._parts.items() if g == group}


def batches(count: int, batch_size: int) -> Iterator[tuple[Int[np.ndarray, " b"], int]]:
    """Numbers of the pairs of full-sized batches, and how many count.

    The last batch repeats its last pair, so that all have one size.
    """
    for start in range(0, count, batch_size):
        numbers = np.minimum(np.arange(start, start + batch_size), count - 1)
        yield numbers, min(batch_size, count - start)


class Examiner:
    """Runs the judges on images of any size.

    Args:
        judge: the net that measures.
        second: one of another kind, which knows identities alone; None for none.
    """

    def __init__(self, judge: Judge, second: MeasuringNetwork | None = None) -> None:
        self.judge, self.second = judge, second
        self.resolution = int(judge.config["resolution"])

    def predict(self, images: Float[AnyArray, "b h w 3"]) -> FaceFactors:
        """Factors that the judge reads from images."""
        return self.judge.predict(judging.resize(images, self.resolution))

    def embed(self, images: Float[AnyArray, "b h w 3"]) -> Float[Array, "b k"]:
        """Unit embeddings of identity."""
        return unit_length(self.predict(images).identity_vector)

    def identities(self, images: Images) -> Embeddings:
        """Unit embeddings by judge: ``identity``, and ``second_identity`` where there is one."""
        return {"identity": self.embed(images), **self.second_identities(images)}

    def second_identities(self, images: Images) -> Embeddings:
        """What the second judge alone says, as ``identities`` has it."""
        if self.second is None:
            return {}
        view = OWN_VIEWS[self.second.kind]
        return {"second_identity": judges.embed(self.second, view, images, None)}

    def distance(
        self, images: Float[AnyArray, "b h w 3"], references: Float[AnyArray, "b h w 3"]
    ) -> Float[Array, " b"]:
        """LPIPS-like distances over the judge's features."""
        first, second = (judging.resize(x, self.resolution) for x in (images, references))
        return feature_distance(self.judge.features(first), self.judge.features(second))


def measure_row(
    row: RowImages,
    pair: Counterfactuals,
    source: Embeddings,
    target: Embeddings,
    examiner: Examiner,
) -> tuple[Values, Embeddings]:
    """All figures of one batch except retrieval, and the embeddings that retrieval needs.

    Args:
        row: images of the batch.
        pair: what is known of the pairs.
        source: embeddings of the sources, see ``Examiner.identities``.
        target: likewise of the targets.
        examiner: the judges.
    """
    image, size = row.image, row.image.shape[1]
    factors = examiner.predict(image)
    found = {"identity": unit_length(factors.identity_vector)}
    found |= examiner.second_identities(image)
    values = {
        "face_psnr": image_metrics.psnr(image, pair.truth, pair.face_region),
        "psnr": image_metrics.psnr(image, pair.truth),
        "ssim": image_metrics.ssim(image, pair.truth),
        "face_ssim": image_metrics.ssim(image, pair.truth, pair.face_region),
        "lpips_like": examiner.distance(image, pair.truth),
        **{f"{name}_similarity": judging.cosine(x, source[name]) for name, x in found.items()},
        "target_similarity": judging.cosine(found["identity"], target["identity"]),
        "pose_error_degrees": judging.pose_errors(factors.pose_degrees, pair.pose_degrees),
        "landmark_error": judging.landmark_errors(
            np.asarray(factors.landmarks) * size, pair.landmarks, pair.visible
        ),
        "background_psnr": image_metrics.psnr(image, pair.target, pair.background),
        **judging.group_errors(
            factors.attribute_vector,
            pair.attribute_factors,
            primitives.ATTRIBUTE_FACTORS,
            primitives.ATTRIBUTE_GROUPS,
        ),
    }
    if row.mask is not None:
        values["mask_iou"] = image_metrics.mask_iou(row.mask, pair.face_region)
    return {name: np.asarray(v) for name, v in values.items()}, found


def measure_counterfactual(
    model: Swapper,
    judge: Judge,
    plan: PairPlan,
    count: int,
    rows: dict[str, Row],
    resolution: int,
    batch_size: int,
    num_shown: int,
    render: Callable[[PairPlan, int], Counterfactuals] = render_pairs,
    second: MeasuringNetwork | None = None,
    sharing: Sharing | None = None,
) -> Measurement:
    """Measures every row on all pairs of a plan.

    Args:
        model: a swapper.
        judge: the net that measures.
        plan: ``count`` pairs.
        count: number of pairs.
        rows: what to measure, by name.
        resolution: of the rendered faces, in px.
        batch_size: pairs rendered and swapped at a time; figures do not depend on it.
        num_shown: how many of the first pairs to keep images of.
        render: draws a slice of the plan.
        second: a judge of another kind, which knows identities alone.
        sharing: which batches are this process's, where several share them; see
            ``measured_batches``.
    """
    examiner, sharing = Examiner(judge, second), sharing or Sharing()
    todo = list(batches(count, batch_size))
    own = len(range(sharing.share.index, len(todo), sharing.share.count))

    def measure(batch: tuple[Int[np.ndarray, " b"], int]) -> Arrays:
        numbers, valid = batch
        collector = Collector()
        pair = render(take(plan, numbers), resolution)
        shown = max(0, min(valid, num_shown - int(numbers[0])))
        _show_pair(collector, pair, shown)
        people = examiner.identities(pair.source), examiner.identities(pair.target)
        for name, embedding in examiner.identities(pair.gallery).items():
            collector.add("gallery", name, embedding, valid)
        collector.add("people", "tone", pair.skin_tone, valid)
        for reason, hard in pair.hard.items():
            collector.add("hard", reason, hard, valid)
        question = Question(pair.source, pair.target, pair.truth, pair.face_region)
        for name, row in rows.items():
            answer = row(model, question)
            values, embeddings = measure_row(answer, pair, *people, examiner)
            for metric, numbers_of in values.items():
                collector.add(name, metric, numbers_of, valid)
            for judged, embedding in embeddings.items():
                collector.add(f"{judged} of rows", name, embedding, valid)
            keep_row(collector, name, answer, shown, valid, own=name == own_row(rows))
        bar.update()
        return collector.parts

    collector = Collector()
    with tqdm(total=own, desc="evaluate", unit="batch") as bar:
        for parts in measured_batches(todo, measure, sharing):
            collector.join(parts)
    return _finish(collector, tuple(rows))


def _show_pair(collector: Collector, pair: Counterfactuals, shown: int) -> None:
    for name in ("source", "target", "truth"):
        collector.add("images", name, getattr(pair, name), shown)


def keep_row(
    collector: Collector, name: str, row: RowImages, shown: int, valid: int, own: bool
) -> None:
    """Keeps the first ``shown`` images of a row, and all ``valid`` gates of the model's own."""
    if own:
        for part in ("generated", "mask"):
            collector.add("images", part, getattr(row, part), shown)
        if row.gates is not None and row.gates.space:
            collector.add("images", "space", kept_in_space(row.gates, row.image.shape[1]), shown)
        if row.gates is not None:
            collector.add("gates", "pose", row.gates.pose, valid)
            collector.add("gates", "attributes", row.gates.attributes, valid)
            collector.add("owners", "owners", jnp.asarray(row.gates.owners)[None], 1)
    if name not in SHOWN_BY_PAIR:
        collector.add("images", name, row.image, shown)


def kept_in_space(gates: SwapGates, side: int) -> Float[Array, "b h h 1"]:
    """How much of the target's features every pixel keeps, at the finest resolution that has gates.

    Args:
        gates: with gates in space.
        side: of the result.
    """
    finest = gates.space[max(gates.space)]
    mean = jnp.mean(finest, axis=-1, keepdims=True)
    return jax.image.resize(mean, (mean.shape[0], side, side, 1), "nearest")


def _finish(collector: Collector, rows: tuple[str, ...]) -> Measurement:
    people = collector.get("people")
    values = {name: collector.get(name) for name in rows}
    for judged, gallery in collector.get("gallery").items():
        for name, embeddings in collector.get(f"{judged} of rows").items():
            for top in (1, 5):
                found = judging.retrieval(embeddings, gallery, top=top)
                values[name][f"{judged}_top{top}"] = found
    owners = collector.get("owners").get("owners")
    return Measurement(
        values=values,
        tones=people["tone"],
        images=collector.get("images"),
        gates=collector.get("gates"),
        owners=None if owners is None else owners[0],
        hard=collector.get("hard"),
    )
