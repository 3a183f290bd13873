"""True swaps for the stated ceiling: the right person, the right looks, and only when asked for."""

import jax
import numpy as np
import pytest

from alrl_jax.data.pipeline import make_iterator
from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import known_layout, open_source, open_true_swaps
from alrl_jax.data.true_swaps import true_swaps
from alrl_jax.errors import UserError
from alrl_jax.worlds import primitives

PEOPLE, EACH, SIDE = 3, 2, 16


def test_the_truth_shows_the_source_as_the_target_looks() -> None:
    truths = true_swaps(DataRequest("synthetic", None, SIDE, PEOPLE, EACH, split="development"))
    sources, targets = np.array([5, 0, 2]), np.array([1, 4, 3])
    flip = np.array([False, True, False])
    images = truths.draw(sources, targets, flip)
    key = primitives.split_key("development")
    who = jax.tree.map(lambda x: x[sources // EACH], primitives.sample_identities(key, PEOPLE))
    looks = primitives.sample_attributes(key, PEOPLE * EACH)
    how = jax.tree.map(lambda x: x[targets], looks)
    expected = np.array(primitives.render(who, how, SIDE).image)
    expected[1] = expected[1, :, ::-1]
    np.testing.assert_allclose(images, expected, atol=1.01 / 255)
    assert images.dtype == np.float32


def test_the_truth_of_one_persons_pair_is_the_target() -> None:
    source = open_source(DataRequest("synthetic", None, SIDE, PEOPLE, EACH, progress=False))
    truths = open_true_swaps(DataRequest("synthetic", None, SIDE, PEOPLE, EACH))
    batches = make_iterator(source, "pairs", 6, 0, truths=truths, prefetch=0)
    pairs = next(batches)
    assert pairs.same_identity.any() and not pairs.same_identity.all()
    # Images are drawn in batches of other sizes, which may round one of 255 steps otherwise.
    same, other = pairs.same_identity, ~pairs.same_identity
    apart = np.abs(pairs.truth - pairs.target.image)
    assert apart[same].max() < 1.01 * 2 / 255
    assert apart[other].mean() > 5 * apart[same].mean()


def test_every_process_draws_its_own_share() -> None:
    source = open_source(DataRequest("synthetic", None, SIDE, PEOPLE, EACH, progress=False))
    truths = open_true_swaps(DataRequest("synthetic", None, SIDE, PEOPLE, EACH))
    whole = next(make_iterator(source, "pairs", 4, 1, truths=truths, prefetch=0)).truth
    options = {"truths": truths, "prefetch": 0, "process_count": 2}
    parts = [
        next(make_iterator(source, "pairs", 4, 1, process_index=i, **options)).truth for i in (0, 1)
    ]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1.01 * 2 / 255)


def test_the_truth_is_seen_only_where_it_was_asked_for() -> None:
    source = open_source(DataRequest("synthetic", None, SIDE, PEOPLE, EACH, progress=False))
    assert next(make_iterator(source, "pairs", 4, 1, prefetch=0)).truth is None
    with pytest.raises(UserError, match="data.true_swaps is True with data.source prepared"):
        known_layout(DataRequest("prepared", None, SIDE, true_swaps=True))
    with pytest.raises(UserError, match="expected one of .*'synthetic'"):
        open_true_swaps(DataRequest("prepared", None, SIDE))
