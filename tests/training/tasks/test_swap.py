"""What the swap task computes beside its networks and losses."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.training.tasks import make_task
from alrl_jax.training.tasks.diagnostics import gate_image
from alrl_jax.training.tasks.discriminator import DiscriminatorTraining
from alrl_jax.training.tasks.swap_schedules import gate_temperature
from alrl_jax.training.tasks.values import ATTRIBUTE_GROUPS, attribute_factors, factor_groups
from alrl_jax.worlds import FACTOR_GROUPS, WORLDS
from tests.support import tiny


@pytest.mark.parametrize(("step", "expected"), [(0, 1.0), (50, 0.5), (100, 0.25), (300, 0.25)])
def test_the_temperature_falls_geometrically(step: int, expected: float) -> None:
    found = gate_temperature(jnp.asarray(step), 100, 1.0, 0.25)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_gates_from_the_source_are_white() -> None:
    gates = jnp.asarray([[[1.0, 0.0], [0.0, 0.5]]])
    picture = np.asarray(gate_image(gates, 4))
    assert picture.shape == (1, 4, 4, 3)
    np.testing.assert_allclose(picture[0, ::2, ::2, 0], [[1.0, -1.0], [-1.0, 0.0]])


@pytest.mark.parametrize(("source", "name"), [("synthetic", "primitives"), ("humans", "humans")])
def test_every_factor_belongs_to_an_attribute_group(source: str, name: str) -> None:
    config, world = tiny.tiny_config("synthetic_64", data__source=source), WORLDS[name]
    groups = factor_groups(config)
    assert set(groups) == set(ATTRIBUTE_GROUPS)
    assert len(groups) == len(world.IDENTITY_FACTORS) + len(world.ATTRIBUTE_FACTORS)
    assert groups[: len(world.IDENTITY_FACTORS)] == ("identity",) * len(world.IDENTITY_FACTORS)
    assert attribute_factors(config) == world.ATTRIBUTE_FACTORS


def test_a_name_that_worlds_share_has_the_same_group_in_all_of_them() -> None:
    for world in WORLDS.values():
        assert tuple(world.ATTRIBUTE_GROUPS) == ATTRIBUTE_GROUPS[1:]
        assert {FACTOR_GROUPS[name] for name in world.IDENTITY_FACTORS} == {"identity"}
        for group, names in world.ATTRIBUTE_GROUPS.items():
            assert {FACTOR_GROUPS[name] for name in names} == {group}


def test_the_discriminator_sees_targets_and_generated_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced, not run: which array is which is known by identity."""
    identity = tiny.save_tiny_identity(tmp_path / "identity")
    task = make_task(tiny.tiny_config("synthetic_64", identity))
    seen: list[tuple[Any, Any]] = []
    gradient = DiscriminatorTraining.gradient

    def noting(self: Any, params: Any, real: Any, fake: Any, *others: Any) -> Any:
        seen.append((real, fake))
        return gradient(self, params, real, fake, *others)

    monkeypatch.setattr(DiscriminatorTraining, "gradient", noting)
    state = jax.eval_shape(task.init, jax.random.key(0), {})
    batch = tiny.random_batch("pairs")

    def step(state: Any, frozen: Any, images: Any) -> Any:
        target = dataclasses.replace(batch.target, image=images)
        pairs = dataclasses.replace(batch, target=target)
        result = task.step(state, frozen, pairs, task.phase(0))
        ((real, fake),) = seen
        assert real is images and fake is not images
        return result

    jax.eval_shape(step, state, task.load_frozen(), batch.target.image)
    assert len(seen) == 1
