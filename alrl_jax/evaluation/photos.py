"""The benchmark of one's own photos: nobody knows the true swap, so only judges can speak."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from alrl_jax.data.alignment import centre_square, crop_face, find_face
from alrl_jax.data.decode import UnreadableImageError, read_photo
from alrl_jax.data.pair_list import PairFiles
from alrl_jax.errors import UserError
from alrl_jax.evaluation import judging
from alrl_jax.evaluation.measuring import Collector, Examiner, Measurement, batches, keep_row
from alrl_jax.evaluation.rows import Question, Row
from alrl_jax.models.identity import unit_length

NOTES = {
    "identity": "gallery: the source pictures themselves, every file once; ties count against "
    "the row; the judge knows synthetic faces alone",
    "pose_error_degrees": "L2 over yaw, pitch and roll; judge's pose of the row, judge's pose of "
    "the target",
    "not_measured": "everything that needs the true swap, the true face region or true factors",
}


def read_crop(path: Path, resolution: int, aligned: bool) -> Float[np.ndarray, "r r 3"]:
    """The face crop of a photo, in [-1, 1].

    Raises:
        UserError: it cannot be read, or no face is in it.
    """
    try:
        photo = read_photo(path)
    except (UnreadableImageError, OSError) as error:
        raise UserError(f"got {path} ({error}); expected a picture; mend the list") from error
    alignment = (centre_square if aligned else find_face)(photo, resolution)
    if alignment is None:
        raise UserError(f"got {path} without a face to be found; expected one; pass --aligned")
    return crop_face(photo, alignment)


def measure_photos(
    model: Any,
    judge: judging.Judge,
    pairs: list[PairFiles],
    rows: dict[str, Row],
    resolution: int,
    batch_size: int,
    num_pictures: int,
    aligned: bool,
) -> Measurement:
    """Measures what can be measured without the truth, on pairs of photos."""
    examiner, collector = Examiner(judge), Collector()
    todo = list(batches(len(pairs), batch_size))
    for numbers, valid in tqdm(todo, desc="evaluate", unit="batch"):
        chosen = [pairs[i] for i in numbers]
        source = np.stack([read_crop(pair.source, resolution, aligned) for pair in chosen])
        target = np.stack([read_crop(pair.target, resolution, aligned) for pair in chosen])
        shown = max(0, min(valid, num_pictures - int(numbers[0])))
        collector.add("pictures", "source", source, shown)
        collector.add("pictures", "target", target, shown)
        source_embedding = np.asarray(examiner.embed(source))
        collector.add("people", "source", source_embedding, valid)
        target_pose = examiner.predict(target).pose_degrees
        for name, row in rows.items():
            answer = row(model, Question(source, target))
            factors = examiner.predict(answer.image)
            embedding = np.asarray(unit_length(factors.identity_vector))
            similarity = judging.cosine(embedding, source_embedding)
            collector.add(name, "identity_similarity", similarity, valid)
            errors = judging.pose_errors(factors.pose_degrees, target_pose)
            collector.add(name, "pose_error_degrees", errors, valid)
            collector.add("embedding", name, embedding, valid)
            keep_row(collector, name, answer, shown, valid)
    return _finish(collector, pairs, tuple(rows))


def _finish(collector: Collector, pairs: list[PairFiles], rows: tuple[str, ...]) -> Measurement:
    files = [pair.source.resolve() for pair in pairs]
    people = list(dict.fromkeys(files))
    gallery = collector.get("people")["source"][[files.index(path) for path in people]]
    owners = [people.index(path) for path in files]
    values, embeddings = {}, collector.get("embedding")
    for name in rows:
        values[name] = collector.get(name)
        for top in (1, 5):
            found = judging.retrieval(embeddings[name], gallery, owners, top)
            values[name][f"identity_top{top}"] = found
    shares = collector.get("owners").get("owners")
    return Measurement(
        values=values,
        tones=np.zeros(0, np.float32),
        pictures=collector.get("pictures"),
        gates=collector.get("gates"),
        owners=None if shares is None else shares[0],
    )
