"""Task ``generator``: style mixing, in the images and in the path lengths, and what it leaves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.errors import UserError
from alrl_jax.models.functional import apply
from alrl_jax.training.tasks import generator, make_task
from alrl_jax.training.tasks.generator import GeneratorTask, draw_replaced
from alrl_jax.training.tasks.task import Phase
from tests.support import tiny

LAYERS, SAMPLES = 6, 4096


def _task(**changes: float) -> GeneratorTask:
    task = make_task(tiny.tiny_config("generator_64", losses__path_length=2.0, **changes))
    assert isinstance(task, GeneratorTask)
    return task


def test_styles_change_once_at_any_layer_but_the_first() -> None:
    mixed = np.asarray(draw_replaced(jax.random.key(3), SAMPLES, LAYERS, 0.9), np.float32)
    assert (np.diff(mixed, axis=1) >= 0).all() and not mixed[:, 0].any()
    second = mixed.sum(axis=1)  # layers with the second latent's code
    assert np.mean(second > 0) == pytest.approx(0.9, abs=0.02)
    shares = np.bincount(second.astype(int), minlength=LAYERS)[1:] / (second > 0).sum()
    np.testing.assert_allclose(shares, 1 / (LAYERS - 1), atol=0.03)


@pytest.mark.parametrize(("probability", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_none_or_all_are_mixed(probability: float, expected: float) -> None:
    mixed = draw_replaced(jax.random.key(0), 64, LAYERS, probability)
    np.testing.assert_array_equal(mixed[:, -1], expected)


def test_without_mixing_the_codes_are_those_of_one_latent() -> None:
    task, key = _task(), jax.random.key(1)
    assert task._style_mixing == 0.0
    network = task._generator
    variables = network.init(key, jnp.zeros((1, 16)), method="map")
    drawing = task._drawing(key, 4, 0.0, None, {})
    alone = apply(network, variables, drawing.z, method="map")
    np.testing.assert_array_equal(task._codes(variables, drawing), alone)
    mixed = task._codes(variables, task._drawing(key, 4, 1.0, None, {}))
    np.testing.assert_array_equal(mixed[:, 0], alone[:, 0])
    assert (np.asarray(mixed[:, -1]) != np.asarray(alone[:, -1])).any(axis=1).all()
    # The centre of truncation follows the first latents alone.
    constants = variables["constants"]
    averages = (
        generator._track_average(constants, ws)["mapping"]["w_avg"] for ws in (alone, mixed)
    )
    np.testing.assert_array_equal(*averages)


def test_images_and_path_lengths_are_drawn_with_mixed_styles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[int, float]] = []

    def spy(key: jax.Array, count: int, layers: int, probability: float) -> jax.Array:
        seen.append((count, probability))
        return draw_replaced(key, count, layers, probability)

    monkeypatch.setattr(generator, "draw_replaced", spy)
    for style_mixing in (0.0, 0.5):
        task = _task(generator__style_mixing=style_mixing)
        state = jax.eval_shape(task.init, jax.random.key(0), {})
        step = functools.partial(task.step, phase=Phase(path_length=True))
        jax.eval_shape(step, state, {}, tiny.random_batch("faces"))
        assert seen == ([] if style_mixing == 0.0 else [(tiny.BATCH, 0.5), (tiny.BATCH // 2, 0.5)])


def test_faces_of_classes() -> None:
    """Traced, not run: a class for every person, in both networks and in what is exported."""
    task = _task(generator__class_conditional=True, data__num_identities=8)
    state = jax.eval_shape(task.init, jax.random.key(0), {})
    assert {"mapping"} <= state.params["generator"]["synthesis"].keys()
    assert {"mapping"} <= state.params["discriminator"].keys()
    step = functools.partial(task.step, phase=Phase(r1=True, path_length=True))
    after, metrics = jax.eval_shape(step, state, {}, tiny.random_batch("faces"))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert {"rate/generator", "gradient/discriminator"} <= metrics.keys()
    assert task.export(state, {}).config["label_dim"] == 8
    with pytest.raises(UserError, match="generator.class_conditional is True with task identity"):
        tiny.tiny_config("identity_64", generator__class_conditional=True)
