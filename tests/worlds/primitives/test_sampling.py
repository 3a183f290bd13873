"""The law of faces: determinism, standardisation, splits."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.errors import UserError
from alrl_jax.worlds import primitives
from alrl_jax.worlds.primitives import sampling

STRUCTS = (
    (primitives.sample_identities, primitives.identity_vector, primitives.IDENTITY_FACTORS),
    (primitives.sample_attributes, primitives.attribute_vector, primitives.ATTRIBUTE_FACTORS),
)


@pytest.mark.parametrize(("sample", "vector", "names"), STRUCTS)
def test_row_depends_on_key_and_place_alone(
    sample: Callable[..., Any], vector: Callable[..., Any], names: tuple[str, ...]
) -> None:
    key = primitives.split_key("train")
    few, many = vector(sample(key, 3)), vector(sample(key, 50))
    np.testing.assert_array_equal(few, many[:3])
    assert few.shape == (3, len(names))


@pytest.mark.parametrize(("sample", "vector", "names"), STRUCTS)
def test_vectors_are_standardised(
    sample: Callable[..., Any], vector: Callable[..., Any], names: tuple[str, ...]
) -> None:
    values = np.asarray(vector(sample(primitives.split_key("train"), 4000)))
    np.testing.assert_allclose(values.mean(axis=0), 0.0, atol=0.08, err_msg=str(names))
    np.testing.assert_allclose(values.std(axis=0), 1.0, atol=0.06, err_msg=str(names))


@pytest.mark.parametrize(("sample", "vector", "names"), STRUCTS)
def test_splits_share_no_person(
    sample: Callable[..., Any], vector: Callable[..., Any], names: tuple[str, ...]
) -> None:
    drawn = [vector(sample(primitives.split_key(split), 20)) for split in primitives.SPLITS]
    rows = np.concatenate([np.asarray(d) for d in drawn])
    assert len(np.unique(rows, axis=0)) == len(rows) == 20 * len(primitives.SPLITS)


def test_every_struct_field_is_a_row_of_its_table() -> None:
    for struct, table in (
        (primitives.Identities, sampling.IDENTITY_TABLE),
        (primitives.Attributes, sampling.ATTRIBUTE_TABLE),
    ):
        assert list(struct.__dataclass_fields__) == list(table)


def test_draws_stay_in_their_range() -> None:
    moments = primitives.sample_attributes(primitives.split_key("test"), 500)
    for name, factor in sampling.ATTRIBUTE_TABLE.items():
        values = getattr(moments, name)
        assert jnp.all((values >= factor.low) & (values <= factor.high)), name


def test_groups_cover_all_attributes_once() -> None:
    grouped = [name for names in primitives.ATTRIBUTE_GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(primitives.ATTRIBUTE_FACTORS)


def test_unknown_split_is_the_users_error() -> None:
    with pytest.raises(UserError, match="got split 'holdout'; expected one of train"):
        primitives.split_key("holdout")


def test_same_key_serves_both_structs() -> None:
    key = jax.random.key(0)
    people = primitives.identity_vector(primitives.sample_identities(key, 200))
    moments = primitives.attribute_vector(primitives.sample_attributes(key, 200))
    correlation = np.corrcoef(np.asarray(people).T, np.asarray(moments).T)
    across = correlation[: people.shape[1], people.shape[1] :]
    assert np.abs(across).max() < 0.35
