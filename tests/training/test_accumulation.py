"""A batch that goes through the networks in parts makes the update of the whole batch."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.training.accumulation import in_parts
from alrl_jax.training.tasks import make_task
from alrl_jax.training.tasks.task import Phase
from tests.support import tiny


@pytest.mark.parametrize("together", [1, 2])
def test_parts_give_what_the_whole_gives(together: int) -> None:
    rows, scale = jnp.arange(24.0).reshape(8, 3), jnp.float32(3.0)

    def function(part: Any, rows: Any, scale: Any) -> dict[str, Any]:
        # Rows that stay together may look at each other.
        pairs = rows.reshape(-1, together, 3).sum(axis=1).repeat(together, axis=0)
        return {"rows": pairs * scale, "same": scale * jnp.ones(3)}

    whole = function(0, rows, scale)
    found = in_parts(function, 2, rows, scale, together=together)
    jax.tree.map(np.testing.assert_array_equal, found, whole)

    def loss(count: int, scale: Any) -> Any:
        values = in_parts(function, count, rows, scale, together=together)
        return jnp.mean(jnp.square(values["rows"])) + jnp.sum(values["same"])

    wanted, got = (jax.grad(lambda x, n=n: loss(n, x))(scale) for n in (1, 4))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"accumulate": 3}, r"accumulate is 3; expected a divisor of batch_size \(8\)"),
        ({"accumulate": 4}, "accumulate is 4 with a discriminator; expected a divisor of the 1"),
        ({"accumulate": 0}, "accumulate is 0"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, int], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        tiny.tiny_config("generator_64", discriminator__mbstd_blocks=2, **changes)


def updated(config: Config, phase: Phase) -> tuple[Any, Any]:
    """Metrics, and the first moments of the gradients, after an update."""
    task = make_task(config)
    state = jax.jit(task.init)(jax.random.key(0), task.load_pretrained())
    # Noise that is not nought: the same rows have to have it.
    params = jax.tree.map(lambda x: x + 0.3 if x.ndim == 0 else x, state.params)
    state = state.replace(params=params)
    batch = tiny.random_batch(task.batch_kind)
    state, metrics = jax.jit(task.step, static_argnums=3)(state, task.load_frozen(), batch, phase)
    return metrics, state.opt_state


def assert_same_update(one: Config, parts: Config, phase: Phase) -> None:
    (metrics, moments), (metrics_apart, moments_apart) = updated(one, phase), updated(parts, phase)
    assert metrics.keys() == metrics_apart.keys()
    for name, value in metrics.items():
        assert float(metrics_apart[name]) == pytest.approx(float(value), rel=1e-5, abs=1e-6), name
    for a, b in zip(jax.tree.leaves(moments), jax.tree.leaves(moments_apart), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5 * float(np.abs(a).max()) + 1e-9)


def test_a_network_that_reads_faces() -> None:
    one, parts = (tiny.tiny_config("identity_64", accumulate=n) for n in (1, 4))
    assert_same_update(one, parts, Phase())


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [1, 2])
def test_a_generator(blocks: int) -> None:
    """With groups of a block in every part, and with whole blocks in every part."""
    one, parts = (
        tiny.tiny_config(
            "generator_64",
            accumulate=n,
            discriminator__mbstd_blocks=blocks,
            generator__style_mixing=0.5,
            generator__class_conditional=True,
            data__num_identities=8,
            losses__path_length=2.0,
        )
        for n in (1, 2)
    )
    assert_same_update(one, parts, Phase(r1=True, path_length=True))


@pytest.mark.slow
def test_a_swapper(tmp_path: Path) -> None:
    identity = tiny.save_tiny_identity(tmp_path / "identity")
    one, parts = (
        tiny.tiny_config(
            "synthetic_64",
            identity,
            accumulate=n,
            discriminator__mbstd_blocks=2,
            swap__attribute_control=0.5,
        )
        for n in (1, 2)
    )
    assert_same_update(one, parts, Phase(r1=True))
