"""Batches are a function of (seed, t): whatever the processes, the prefetch and the resumes."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from alrl_jax.data.pipeline import Partners, batch_shapes, make_iterator
from alrl_jax.errors import UserError
from alrl_jax.types import UNLABELLED

ROOT = Path(__file__).parents[2]
MakeSource = Callable[..., Any]


def assert_equal(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def take(iterator: Any, n: int) -> list[Any]:
    batches = [next(iterator) for _ in range(n)]
    iterator.close()
    return batches


def indices_of(source: Any, image: np.ndarray) -> list[int]:
    """Numbers of the images of an unmirrored batch."""
    pixels = np.rint((image + 1) * 127.5).astype(np.uint8)
    matches = (pixels[:, None] == source.records["image"][None]).all(axis=(2, 3, 4))
    assert (matches.sum(axis=1) == 1).all()
    return matches.argmax(axis=1).tolist()


@pytest.mark.parametrize("kind", ["faces", "pairs"])
@pytest.mark.parametrize("process_count", [1, 2, 4])
def test_slices_of_processes_make_the_global_batch(
    make_source: MakeSource, kind: str, process_count: int
) -> None:
    source = make_source(np.arange(10) // 3)
    whole = take(make_iterator(source, kind, 8, 5, prefetch=0), 4)
    parts = [
        take(make_iterator(source, kind, 8, 5, process_index=p, process_count=process_count), 4)
        for p in range(process_count)
    ]
    for t, batch in enumerate(whole):
        joined = jax.tree.map(lambda *x: np.concatenate(x), *(part[t] for part in parts))
        assert_equal(batch, joined)


@pytest.mark.parametrize("kind", ["faces", "pairs"])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_resume_is_exact(make_source: MakeSource, kind: str, prefetch: int) -> None:
    source = make_source(np.arange(7) // 2)
    iterator = make_iterator(source, kind, 4, 1, prefetch=prefetch)
    for _ in range(5):
        next(iterator)
    state = json.loads(json.dumps(iterator.get_state()))
    expected = take(iterator, 4)
    fresh = make_iterator(source, kind, 4, 1, prefetch=prefetch)
    next(fresh)
    fresh.set_state(state)
    for a, b in zip(expected, take(fresh, 4), strict=True):
        assert_equal(a, b)


def test_resume_with_another_number_of_processes(make_source: MakeSource) -> None:
    source = make_source(np.arange(6))
    iterator = make_iterator(source, "pairs", 4, 1, process_index=1, process_count=2)
    take(iterator, 3)
    state = iterator.get_state()
    alone = make_iterator(source, "pairs", 4, 1)
    alone.set_state(state)
    expected = take(make_iterator(source, "pairs", 4, 1), 4)[3]
    assert_equal(expected, take(alone, 1)[0])


@pytest.mark.parametrize("kind", ["faces", "pairs"])
@pytest.mark.parametrize("witnesses", [False, True])
def test_shapes_of_a_batch_are_known_before(
    make_source: MakeSource, kind: str, witnesses: bool
) -> None:
    source = make_source(np.arange(6) // 2)
    batch = take(make_iterator(source, kind, 4, 1, witnesses=witnesses), 1)[0]
    shapes = batch_shapes(source.layout, kind, 4, witnesses=witnesses)
    assert jax.tree.structure(batch) == jax.tree.structure(shapes)
    for known, leaf in zip(jax.tree.leaves(shapes), jax.tree.leaves(batch), strict=True):
        assert (known.shape, known.dtype) == (leaf.shape, leaf.dtype)


def test_resume_with_other_data_is_refused(make_source: MakeSource) -> None:
    iterator = make_iterator(make_source(np.arange(7) // 2), "faces", 4, 1)
    next(iterator)
    state = json.loads(json.dumps(iterator.get_state()))
    assert state == {"next_index": 1, "records": 7, "people": 4}
    for identities in (np.arange(8) // 2, np.arange(7) // 3):
        other = make_iterator(make_source(identities), "faces", 4, 1)
        message = f"got {len(identities)} faces of .* expected the 7 of 4 .*another --workdir"
        with pytest.raises(UserError, match=message):
            other.set_state(state)


def test_states_without_sizes_are_those_of_older_checkpoints(make_source: MakeSource) -> None:
    source = make_source(np.arange(6))
    expected = take(make_iterator(source, "faces", 4, 1), 4)[3]
    resumed = make_iterator(source, "faces", 4, 1)
    resumed.set_state({"next_index": 3})
    assert_equal(expected, take(resumed, 1)[0])


def test_every_epoch_shows_every_image_once(make_source: MakeSource) -> None:
    source = make_source(np.arange(8))
    batches = take(make_iterator(source, "pairs", 4, 3, flip=False), 6)
    order = [i for batch in batches for i in indices_of(source, batch.target.image)]
    epochs = [order[:8], order[8:16], order[16:]]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_seed_decides_order_and_partners(make_source: MakeSource) -> None:
    source = make_source(np.arange(12))
    a, b = (take(make_iterator(source, "pairs", 8, s, flip=False), 1)[0] for s in (0, 1))
    assert indices_of(source, a.target.image) != indices_of(source, b.target.image)
    assert indices_of(source, a.source.image) != indices_of(source, b.source.image)


def test_share_of_pairs_of_one_person_is_exact(make_source: MakeSource) -> None:
    source = make_source(np.arange(24) // 3)
    for share, allowed in ((0.0, {0}), (0.25, {2}), (0.5, {4}), (0.3, {2, 3}), (1.0, {8})):
        iterator = make_iterator(source, "pairs", 8, 0, same_identity_share=share)
        batches = take(iterator, 20)
        counts = [int(batch.same_identity.sum()) for batch in batches]
        assert set(counts) == allowed
        assert np.mean(counts) == pytest.approx(8 * share, abs=0.3)
        rows = np.concatenate([batch.same_identity for batch in batches]).reshape(20, 8)
        if 0 < share < 1:  # no place in the batch is special
            assert ((rows.mean(axis=0) > 0) & (rows.mean(axis=0) < 1)).all()


def test_partner_of_the_same_person_is_another_image_if_there_is_one(
    make_source: MakeSource,
) -> None:
    source = make_source([0, 0, 0, 1, 2, 2])
    iterator = make_iterator(source, "pairs", 6, 0, same_identity_share=1.0, flip=False)
    for batch in take(iterator, 10):
        targets = indices_of(source, batch.target.image)
        for target, partner in zip(targets, indices_of(source, batch.source.image), strict=True):
            assert source.identities[target] == source.identities[partner]
            assert (target == partner) == (target == 3)


def test_a_witness_is_another_image_of_the_source(make_source: MakeSource) -> None:
    source = make_source([0, 0, 0, 1, 2, 2])
    options = {"same_identity_share": 0.5, "flip": False}
    plain = take(make_iterator(source, "pairs", 6, 0, **options), 10)
    iterator = make_iterator(source, "pairs", 6, 0, witnesses=True, **options)
    for batch, without in zip(take(iterator, 10), plain, strict=True):
        assert without.witness is None
        assert_equal(dataclasses.replace(batch, witness=None), without)
        targets, sources, witnesses = (
            indices_of(source, image)
            for image in (batch.target.image, batch.source.image, batch.witness)
        )
        for same, target, face, seen in zip(
            batch.same_identity, targets, sources, witnesses, strict=True
        ):
            assert source.identities[seen] == source.identities[face]
            assert (seen == target) if same else ((seen == face) == (face == 3))


def test_who_has_one_picture_alone_is_shown_it_mirrored(make_source: MakeSource) -> None:
    source = make_source([0, 0, 1, 2])
    seen = []
    for batch in take(make_iterator(source, "pairs", 4, 0, same_identity_share=1.0), 8):
        for row, person in enumerate(batch.target.identity):
            pair = [face.pose_degrees[row, 0] for face in (batch.source, batch.target)]
            seen.append((int(person) > 0, pair[0] == -pair[1]))
    assert (True, True) in seen and (True, False) not in seen
    unmirrored = make_iterator(source, "pairs", 4, 0, same_identity_share=1.0, flip=False)
    batch = take(unmirrored, 1)[0]
    alone = batch.target.identity > 0
    np.testing.assert_array_equal(batch.source.image[alone], batch.target.image[alone])


def test_labels_can_be_hidden(make_source: MakeSource) -> None:
    source = make_source([0, 0, 1, 1])
    shown, hidden = (
        take(make_iterator(source, "pairs", 4, 0, labels=labels), 1)[0] for labels in (True, False)
    )
    for known, face in ((shown.source, hidden.source), (shown.target, hidden.target)):
        np.testing.assert_array_equal(face.image, known.image)
        np.testing.assert_array_equal(face.identity, known.identity)
        assert known.labelled.all() and not face.labelled.any()
        assert (face.parsing == UNLABELLED).all() and face.parsing.dtype == known.parsing.dtype
        for unknown in (face.identity_factors, face.attribute_factors, face.pose_degrees):
            assert unknown.size and np.isnan(unknown).all()


def test_partners_are_drawn_evenly() -> None:
    identities = np.array([5, 9, 5, 2, 9, 5])
    partners = Partners.of(identities)
    rng = np.random.default_rng(0)
    targets = np.full(6000, 2)
    same = partners.draw(targets, np.full(6000, True), rng)
    strangers = partners.draw(targets, np.full(6000, False), rng)
    assert dict(zip(*np.unique(same, return_counts=True), strict=True)).keys() == {0, 5}
    values, counts = np.unique(strangers, return_counts=True)
    assert values.tolist() == [1, 3, 4]
    np.testing.assert_allclose(counts / 6000, 1 / 3, atol=0.03)
    np.testing.assert_allclose(np.mean(same == 0), 1 / 2, atol=0.03)


def test_half_of_the_faces_are_mirrored_with_their_annotations(make_source: MakeSource) -> None:
    source = make_source(np.arange(16))
    batches = take(make_iterator(source, "faces", 16, 0), 8)
    mirrored = []
    for batch in batches:
        for row, person in enumerate(batch.identity):
            record = source.records[person]
            yaw = batch.pose_degrees[row, 0]
            flipped = bool(yaw == -record["pose_degrees"][0])
            expected = record["image"][:, ::-1] if flipped else record["image"]
            np.testing.assert_array_equal(
                np.rint((batch.image[row] + 1) * 127.5).astype(np.uint8), expected
            )
            mirrored.append(flipped)
    assert 0.35 < np.mean(mirrored) < 0.65


def test_types_and_ranges(make_source: MakeSource) -> None:
    batch = take(make_iterator(make_source(np.arange(4)), "faces", 2, 0), 1)[0]
    assert batch.image.dtype == np.float32 and batch.parsing.dtype == np.int32
    assert batch.image.min() >= -1 and batch.image.max() <= 1
    assert batch.labelled.dtype == bool and batch.labelled.all()
    assert all(x.flags.c_contiguous for x in jax.tree.leaves(batch))


def test_one_image_is_enough_for_faces(make_source: MakeSource) -> None:
    batch = take(make_iterator(make_source([0]), "faces", 3, 0), 2)[1]
    assert batch.image.shape[0] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "triples"}, "kind 'triples'"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"process_count": 3}, "batch_size 4 for 3 processes"),
        ({"process_index": 1}, "process_index 1"),
        ({"seed": -1}, "seed -1"),
        ({"same_identity_share": 1.5}, "same_identity_share 1.5"),
    ],
)
def test_impossible_values(
    make_source: MakeSource, arguments: dict[str, Any], message: str
) -> None:
    values = {"kind": "pairs", "batch_size": 4, "seed": 0} | arguments
    with pytest.raises(UserError, match=message):
        make_iterator(make_source([0, 1]), **values)


def test_swaps_need_two_people(make_source: MakeSource) -> None:
    with pytest.raises(UserError, match="2 images of one person"):
        make_iterator(make_source([0, 0]), "pairs", 4, 0)
    take(make_iterator(make_source([0, 0]), "pairs", 4, 0, same_identity_share=1.0), 1)


def test_works_in_a_script_that_parses_no_flags() -> None:
    script = """
import numpy as np
from alrl_jax.data.pipeline import make_iterator
from alrl_jax.data.records import Layout
class Black:
    layout, identities, report = Layout(16), np.arange(5), []
    def __len__(self): return 5
    def read(self, indices):
        records = self.layout.empty(len(indices))
        records["identity"] = indices
        return records
print(next(make_iterator(Black(), "pairs", 4, 0)).target.image.shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(4, 16, 16, 3)"
