"""The law of faces: determinism, standardisation, splits."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax import synthetic
from alrl_jax.errors import UserError
from alrl_jax.synthetic import sampling

STRUCTS = (
    (synthetic.sample_identities, synthetic.identity_vector, synthetic.IDENTITY_FACTORS),
    (synthetic.sample_attributes, synthetic.attribute_vector, synthetic.ATTRIBUTE_FACTORS),
)


@pytest.mark.parametrize(("sample", "vector", "names"), STRUCTS)
def test_row_depends_on_key_and_place_alone(
    sample: Callable[..., Any], vector: Callable[..., Any], names: tuple[str, ...]
) -> None:
    key = synthetic.split_key("train")
    few, many = vector(sample(key, 3)), vector(sample(key, 50))
    np.testing.assert_array_equal(few, many[:3])
    assert few.shape == (3, len(names))


@pytest.mark.parametrize(("sample", "vector", "names"), STRUCTS)
def test_vectors_are_standardised(
    sample: Callable[..., Any], vector: Callable[..., Any], names: tuple[str, ...]
) -> None:
    values = np.asarray(vector(sample(synthetic.split_key("train"), 4000)))
    np.testing.assert_allclose(values.mean(axis=0), 0.0, atol=0.08, err_msg=str(names))
    np.testing.assert_allclose(values.std(axis=0), 1.0, atol=0.06, err_msg=str(names))


@pytest.mark.parametrize(("sample", "vector", "names"), STRUCTS)
def test_splits_share_nobody(
    sample: Callable[..., Any], vector: Callable[..., Any], names: tuple[str, ...]
) -> None:
    drawn = [vector(sample(synthetic.split_key(split), 20)) for split in synthetic.SPLITS]
    rows = np.concatenate([np.asarray(d) for d in drawn])
    assert len(np.unique(rows, axis=0)) == len(rows) == 20 * len(synthetic.SPLITS)


def test_every_struct_field_is_a_row_of_its_table() -> None:
    for struct, table in (
        (synthetic.Identities, sampling.IDENTITY_TABLE),
        (synthetic.Attributes, sampling.ATTRIBUTE_TABLE),
    ):
        assert list(struct.__dataclass_fields__) == list(table)


def test_draws_stay_in_their_range() -> None:
    moments = synthetic.sample_attributes(synthetic.split_key("test"), 500)
    for name, factor in sampling.ATTRIBUTE_TABLE.items():
        values = getattr(moments, name)
        assert jnp.all((values >= factor.low) & (values <= factor.high)), name


def test_groups_cover_all_attributes_once() -> None:
    grouped = [name for names in synthetic.ATTRIBUTE_GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(synthetic.ATTRIBUTE_FACTORS)


def test_unknown_split_is_the_users_error() -> None:
    with pytest.raises(UserError, match="got split 'holdout'; expected one of train"):
        synthetic.split_key("holdout")


def test_same_key_serves_both_structs() -> None:
    key = jax.random.key(0)
    people = synthetic.identity_vector(synthetic.sample_identities(key, 200))
    moments = synthetic.attribute_vector(synthetic.sample_attributes(key, 200))
    correlation = np.corrcoef(np.asarray(people).T, np.asarray(moments).T)
    across = correlation[: people.shape[1], people.shape[1] :]
    assert np.abs(across).max() < 0.35
