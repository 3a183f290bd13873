from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.convert.families.stylegan2 import rules
from alrl_jax.errors import UserError
from alrl_jax.models.stylegan2 import generator as stylegan2
from alrl_jax.models.stylegan2.generator import Generator
from tests.goldens.golden import assert_close, nhwc, read_golden
from tests.support.trees import make_tree, oihw

GOLDEN = read_golden("nvidia_g_32")
REGULARISERS = read_golden("nvidia_reg_32")
VARIABLES = make_tree(GOLDEN.tensors, rules.NVIDIA_GENERATOR, depth=8)
GENERATOR = Generator(
    resolution=32, z_dim=64, w_dim=64, channel_base=1024, channel_max=64, conv_clamp=256
)
TINY = Generator(resolution=8, z_dim=6, w_dim=5, channel_base=32, channel_max=4)


def _synthesize(generator: Generator, ws: Any, noise_mode: str = "const") -> jax.Array:
    run = jax.jit(lambda v, ws: generator.apply(v, ws, noise_mode=noise_mode, method="synthesize"))
    return run(VARIABLES, jnp.asarray(ws))


def _map(psi: float, cutoff: int | None) -> jax.Array:
    z = jnp.asarray(GOLDEN.arrays["z"])
    return GENERATOR.apply(VARIABLES, z, truncation_psi=psi, truncation_cutoff=cutoff, method="map")


@pytest.mark.parametrize(
    "name, psi, cutoff",
    [("ws_psi1", 1.0, None), ("ws_psi0.7", 0.7, None), ("ws_psi0.7_cut4", 0.7, 4)],
)
def test_mapping_and_truncation(name: str, psi: float, cutoff: int | None) -> None:
    assert_close(_map(psi, cutoff), GOLDEN.arrays[name])


@pytest.mark.parametrize("suffix", ["psi1", "psi0.7_cut4"])
def test_images(suffix: str) -> None:
    expected = GOLDEN.images("img" if suffix == "psi1" else f"img_{suffix}")
    assert_close(_synthesize(GENERATOR, GOLDEN.arrays[f"ws_{suffix}"][:2]), expected)


def test_every_block_with_a_code_for_every_layer() -> None:
    images, state = jax.jit(
        lambda v, ws: GENERATOR.apply(
            v,
            ws,
            method="synthesize",
            capture_intermediates=lambda module, _: isinstance(module, stylegan2.SynthesisBlock),
            mutable=["intermediates"],
        )
    )(VARIABLES, jnp.asarray(GOLDEN.arrays["ws_plus"]))
    assert_close(images, GOLDEN.images("img_plus"))
    for side in (4, 8, 16, 32):
        ((features, image),) = state["intermediates"]["synthesis"][f"b{side}"]["__call__"]
        assert_close(features, GOLDEN.images(f"plus_x_b{side}"))
        assert_close(image, GOLDEN.images(f"plus_img_b{side}"))


def test_without_noise() -> None:
    images = _synthesize(GENERATOR, GOLDEN.arrays["ws_plus"], "none")
    assert_close(images, GOLDEN.images("img_plus_noise_none"))


def test_clamp_acts_on_convolutions_and_colours() -> None:
    images = _synthesize(GENERATOR.clone(conv_clamp=2), GOLDEN.arrays["ws_plus"])
    assert_close(images, GOLDEN.images("img_plus_conv_clamp2"))


@jax.jit
def _path_lengths(variables: Any, ws: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
    def project(ws: jax.Array) -> jax.Array:
        return jnp.sum(GENERATOR.apply(variables, ws, method="synthesize") * noise)

    slopes = jax.grad(project)(ws)
    return jnp.sqrt(jnp.mean(jnp.sum(jnp.square(slopes), axis=2), axis=1)), slopes


def test_path_lengths_and_their_gradients() -> None:
    arrays, norms = REGULARISERS.arrays, REGULARISERS.info["pl_param_grad_norms"]
    ws, noise = jnp.asarray(arrays["pl_ws"]), jnp.asarray(nhwc(arrays["pl_noise"]))
    lengths, slopes = _path_lengths(VARIABLES, ws, noise)
    assert_close(lengths, arrays["pl_lengths"], worst=1e-5)
    assert_close(slopes, arrays["pl_grads"])

    def loss(params: Any) -> jax.Array:
        lengths, _ = _path_lengths({**VARIABLES, "params": params}, ws, noise)
        return jnp.mean(2.0 * jnp.square(lengths - 2.0))

    value, gradients = jax.jit(jax.value_and_grad(loss))(VARIABLES["params"])
    np.testing.assert_allclose(value, arrays["pl_loss_weight2"][0], rtol=1e-5)
    synthesis = gradients["synthesis"]
    assert_close(
        synthesis["b4"]["const"][0].transpose(2, 0, 1),
        arrays["pl_dloss/synthesis.b4.const"],
        worst=1e-4,
        relative_l2=2e-5,
    )
    assert_close(
        oihw(synthesis["b16"]["torgb"]["weight"]),
        arrays["pl_dloss/synthesis.b16.torgb.weight"],
        worst=1e-4,
        relative_l2=2e-5,
    )
    rows = rules.expand(rules.NVIDIA_GENERATOR, 32, 8)
    for name, norm in norms.items():
        leaf = gradients
        for part in rows[name][0].split("/")[1:]:
            leaf = leaf[part]
        np.testing.assert_allclose(jnp.linalg.norm(leaf), norm, rtol=1e-4, atol=1e-9)


@pytest.fixture(scope="module")
def tiny() -> dict[str, Any]:
    variables = jax.jit(TINY.init)(jax.random.key(0), jnp.ones((1, 6)))
    return jax.tree.map(lambda x: x + 0.3 if x.ndim == 0 else x, variables)  # visible noise


def _draw(variables: dict[str, Any], **options: Any) -> jax.Array:
    ws = jax.random.normal(jax.random.key(1), (2, 4, 5))
    modes = {k: v for k, v in options.items() if k == "noise_mode"}
    arrays = {k: v for k, v in options.items() if k != "noise_mode"}
    return jax.jit(lambda v, ws, arrays: TINY.apply(v, ws, **arrays, **modes, method="synthesize"))(
        variables, ws, arrays
    )


def test_initial_variables() -> None:
    variables = jax.jit(TINY.init)(jax.random.key(0), jnp.ones((1, 6)))
    layer = variables["params"]["synthesis"]["b8"]["conv0"]
    assert np.all(np.asarray(layer["affine"]["bias"]) == 1)
    assert layer["noise_strength"] == 0
    spread = float(np.std(np.asarray(variables["params"]["mapping"]["fc7"]["weight"])))
    assert 60 < spread < 140  # stored divided by the learning-rate multiplier 0.01
    maps = variables["constants"]["synthesis"]["b8"]
    assert not np.array_equal(maps["conv0"]["noise_const"], maps["conv1"]["noise_const"])
    assert np.all(np.asarray(variables["constants"]["mapping"]["w_avg"]) == 0)


def test_every_layer_draws_noise_of_its_own(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[np.ndarray] = []
    original = jax.random.normal

    def spy(key: jax.Array, *arguments: Any) -> jax.Array:
        drawn.append(jax.random.key_data(key))
        return original(key, *arguments)

    monkeypatch.setattr(stylegan2.jax.random, "normal", spy)
    ws = jnp.ones((2, 4, 5))
    TINY.apply(tiny, ws, noise_mode="random", noise_key=jax.random.key(5), method="synthesize")
    assert len({tuple(np.asarray(key)) for key in drawn}) == len(drawn) == 3


def test_noise_modes(tiny: dict[str, Any]) -> None:
    fixed = _draw(tiny)
    one = _draw(tiny, noise_mode="random", noise_key=jax.random.key(0))
    same = _draw(tiny, noise_mode="random", noise_key=jax.random.key(0))
    other = _draw(tiny, noise_mode="random", noise_key=jax.random.key(1))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other) and not np.allclose(one, fixed)


@pytest.mark.parametrize(
    "options", [{"noise_mode": "random"}, {"noise_key": jax.random.key(0)}], ids=["no key", "key"]
)
def test_noise_arguments_that_do_not_fit(tiny: dict[str, Any], options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="noise_key"):
        _draw(tiny, **options)


def test_pose_code_is_added_to_the_constant(tiny: dict[str, Any]) -> None:
    code = jax.random.normal(jax.random.key(2), (2, 4, 4, 4))
    assert_close(_draw(tiny, pose_code=jnp.zeros_like(code)), np.asarray(_draw(tiny)))
    moved = jax.tree.map(lambda x: x, tiny)
    moved["params"]["synthesis"]["b4"]["const"] += code[:1]
    first = _draw(moved)[:1]
    assert_close(_draw(tiny, pose_code=code)[:1], np.asarray(first), worst=1e-4)


def test_labels_steer_a_conditional_generator() -> None:
    generator = TINY.clone(label_dim=3, num_mapping_layers=1)
    z = jax.random.normal(jax.random.key(0), (2, 6))
    label = jnp.eye(3)[:2]
    variables = jax.jit(generator.init)(jax.random.key(1), z, label)
    weights = jax.tree.map(np.asarray, variables["params"]["mapping"])
    embedded = (np.asarray(label) @ weights["embed"]["weight"]) / np.sqrt(3)
    parts = [np.asarray(z), embedded]
    x = np.concatenate([p / np.sqrt(np.mean(p**2, 1, keepdims=True)) for p in parts], axis=1)
    x = x @ weights["fc0"]["weight"] * 0.01 / np.sqrt(11)
    expected = np.where(x < 0, 0.2 * x, x) * np.sqrt(2)
    ws = generator.apply(variables, z, label, method="map")
    assert_close(ws[:, 0], expected, worst=1e-4)
    with pytest.raises(UserError, match="label"):
        generator.apply(variables, z, method="map")


def test_bfloat16_convolutions_stay_close(tiny: dict[str, Any]) -> None:
    ws = jax.random.normal(jax.random.key(1), (2, 4, 5))
    half = TINY.clone(dtype=jnp.bfloat16)
    images = jax.jit(lambda v, ws: half.apply(v, ws, method="synthesize"))(tiny, ws)
    assert images.dtype == jnp.float32
    variables = jax.eval_shape(half.init, jax.random.key(0), jnp.ones((1, 6)))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    expected = np.asarray(_draw(tiny))
    assert 0 < np.abs(images - expected).max() / expected.std() < 0.1


def test_channels_follow_the_rule_or_the_table() -> None:
    assert stylegan2.channel_table(32, 1024, 64) == {4: 64, 8: 64, 16: 64, 32: 32}
    table = ((4, 8), (8, 6), (16, 4))
    assert stylegan2.channel_table(16, 1, 1, table) == dict(table)
    with pytest.raises(UserError, match="channels"):
        stylegan2.channel_table(32, 1, 1, table)


@pytest.mark.parametrize("resolution", [0, 4, 48])
def test_resolution_is_a_power_of_two(resolution: int) -> None:
    with pytest.raises(UserError, match="resolution"):
        stylegan2.block_resolutions(resolution)


def test_shapes_that_do_not_fit(tiny: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="W\\+ codes"):
        TINY.apply(tiny, jnp.ones((1, 3, 5)), method="synthesize")
    with pytest.raises(UserError, match="z_dim"):
        TINY.apply(tiny, jnp.ones((1, 5)), method="map")
