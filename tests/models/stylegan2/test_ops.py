from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.errors import UserError
from alrl_jax.models.stylegan2 import layers, ops, upfirdn
from tests.goldens.golden import assert_close, nhwc, read_golden

GOLDEN = read_golden("ops")
CASES = {case["name"]: case for case in GOLDEN.info["cases"]}


def _names(prefix: str) -> list[str]:
    return [name for name in CASES if name.startswith(prefix)]


def _array(case: str, name: str) -> np.ndarray:
    return GOLDEN.arrays[f"{case}/{name}"]


def _check(
    case: str,
    function: Callable[..., jax.Array],
    arguments: dict[str, jax.Array],
    to_golden: Callable[[Any], Any],
    gradients: dict[str, Callable[[Any], Any]],
) -> None:
    """Compares the output and the gradients of sum(output * dy), brought into PyTorch's layout."""
    cotangent = _array(case, "dy")
    cotangent = jnp.asarray(nhwc(cotangent) if cotangent.ndim == 4 else cotangent)

    @jax.jit
    def run(arguments: dict[str, jax.Array], cotangent: jax.Array) -> tuple[Any, Any]:
        output, pull = jax.vjp(lambda a: function(**a), arguments)
        return output, pull(cotangent)[0]

    output, actual = run(arguments, cotangent)
    assert_close(to_golden(output), _array(case, "y"))
    for name, layout in gradients.items():
        assert_close(layout(actual[name]), _array(case, f"d{name}"))


def _nchw(x: Any) -> np.ndarray:
    return np.asarray(x).transpose(0, 3, 1, 2)


def _oihw(x: Any) -> np.ndarray:
    return np.asarray(x).transpose(3, 2, 0, 1)


def _hwio(x: np.ndarray) -> jax.Array:
    return jnp.asarray(x.transpose(2, 3, 1, 0))


def _image(case: str) -> jax.Array:
    return jnp.asarray(nhwc(_array(case, "x")))


@pytest.mark.parametrize("name", _names("setup_filter"))
def test_setup_filter(name: str) -> None:
    case, expected = CASES[name], _array(name, "y")
    options = {k: v for k, v in case["options"].items() if k in ("gain", "normalize")}
    kernel = upfirdn.setup_filter(case["filter"], **options)
    if expected.ndim == 2 and kernel.ndim == 1:
        kernel = np.outer(kernel, kernel)
    if case["options"].get("flip_filter"):
        kernel = np.flip(kernel)
    assert_close(kernel, expected)


@pytest.mark.parametrize("name", _names("upfirdn2d"))
def test_upfirdn2d(name: str) -> None:
    given = CASES[name]["options"].items()
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in given}
    kernel = GOLDEN.arrays.get(f"{name}/f")
    _check(
        name,
        lambda x: upfirdn.upfirdn2d(x, kernel, **options),
        {"x": _image(name)},
        _nchw,
        {"x": _nchw},
    )


def test_separable_and_full_filters_agree() -> None:
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))
    rows = upfirdn.setup_filter([1.0, 2.0, 4.0])
    options: dict[str, Any] = {"up": (2, 3), "down": (3, 2), "padding": (2, -1, 1, 3), "gain": 2.0}
    full = upfirdn.upfirdn2d(x, np.outer(rows, rows), **options)
    assert_close(upfirdn.upfirdn2d(x, rows, **options), np.asarray(full))


RESAMPLING = {"upsample2d": upfirdn.upsample2d, "downsample2d": upfirdn.downsample2d}


@pytest.mark.parametrize("name", RESAMPLING)
def test_resampling_by_two(name: str) -> None:
    case, function = f"{name}/0", RESAMPLING[name]
    assert_close(np.outer(upfirdn.FIR_FILTER, upfirdn.FIR_FILTER), _array(case, "f"))
    _check(case, lambda x: function(x), {"x": _image(case)}, _nchw, {"x": _nchw})


@pytest.mark.parametrize("name", RESAMPLING)
def test_resampling_by_two_with_another_filter(name: str) -> None:
    case, function = f"{name}/1", RESAMPLING[name]
    kernel = _array(case, "f")
    _check(case, lambda x: function(x, kernel), {"x": _image(case)}, _nchw, {"x": _nchw})


CONVOLUTIONS = {
    "conv2d_resample/00": ops.upsample_conv2d,
    "conv2d_resample/04": ops.upsample_conv2d,
    "conv2d_resample/05": ops.downsample_conv2d,
    "conv2d_resample/08": ops.downsample_conv2d,
    "conv2d_resample/09": ops.conv2d,
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str) -> None:
    function = CONVOLUTIONS[name]
    arguments = {"x": _image(name), "w": _hwio(_array(name, "w"))}
    _check(name, lambda x, w: function(x, w), arguments, _nchw, {"x": _nchw, "w": _oihw})


@pytest.mark.parametrize("function", [ops.upsample_conv2d, ops.downsample_conv2d])
def test_second_order_gradients_are_those_of_plain_convolutions(
    function: Callable[[jax.Array, jax.Array], jax.Array],
) -> None:
    """Own differentiation rules, against a dense matrix made of the same linear map."""
    keys = jax.random.split(jax.random.key(1), 3)
    x = jax.random.normal(keys[0], (2, 4, 6, 3))
    weight = jax.random.normal(keys[1], (3, 3, 3, 2))
    bent = jnp.tanh

    basis = jnp.eye(weight.size).reshape(-1, *weight.shape)
    unit = jax.vmap(lambda w: jax.vmap(lambda p: function(p[None], w)[0])(_basis(x[:1])))(basis)

    def dense(x: jax.Array, weight: jax.Array) -> jax.Array:
        return jnp.einsum("bp,q,qphwo->bhwo", x.reshape(len(x), -1), weight.ravel(), unit)

    def penalty(convolve: Callable[..., jax.Array], x: jax.Array, w: jax.Array) -> jax.Array:
        slope = jax.grad(lambda x, w: bent(convolve(x, w)).sum(), argnums=(0, 1))(x, w)
        return sum(jnp.sum(jnp.square(part)) for part in slope)

    expected = jax.jit(jax.grad(lambda *a: penalty(dense, *a), argnums=(0, 1)))(x, weight)
    actual = jax.jit(jax.grad(lambda *a: penalty(function, *a), argnums=(0, 1)))(x, weight)
    for one, other in zip(actual, expected, strict=True):
        assert_close(one, np.asarray(other), worst=1e-4, relative_l2=2e-5)


def _basis(x: jax.Array) -> jax.Array:
    return jnp.eye(x.size).reshape(-1, *x.shape[1:])


@pytest.mark.parametrize("name", [f"bias_act/{i}" for i in range(5)])
def test_activation(name: str) -> None:
    options = CASES[name]["options"]
    clamp = options.get("clamp")
    if options["act"] == "lrelu":
        gain = options.get("gain", ops.LEAKY_GAIN) / ops.LEAKY_GAIN

        def function(x: jax.Array, b: jax.Array) -> jax.Array:
            return ops.leaky_relu(x + b, gain, clamp and clamp / gain)
    else:

        def function(x: jax.Array, b: jax.Array) -> jax.Array:
            return ops.clip(x + b, clamp)

    arguments = {"x": _image(name), "b": jnp.asarray(_array(name, "b"))}
    _check(name, function, arguments, _nchw, {"x": _nchw, "b": np.asarray})


@pytest.mark.parametrize("name", _names("modulated_conv2d"))
def test_modulated_conv2d(name: str) -> None:
    options = CASES[name]["options"]
    arguments = {
        "x": _image(name),
        "weight": _hwio(_array(name, "weight")),
        "styles": jnp.asarray(_array(name, "styles")),
    }
    gradients = {"x": _nchw, "weight": _oihw, "styles": np.asarray}
    if "noise" in CASES[name]["arguments"]:
        arguments["noise"] = jnp.asarray(nhwc(_array(name, "noise")))
        gradients["noise"] = _nchw

    def function(
        x: jax.Array, weight: jax.Array, styles: jax.Array, noise: jax.Array | None = None
    ) -> jax.Array:
        y = layers.modulated_conv2d(
            x, weight, styles, up=options["up"] == 2, demodulate=options["demodulate"]
        )
        return y if noise is None else y + noise

    _check(name, function, arguments, _nchw, gradients)


def test_wide_convolutions_are_plain_ones_with_fewer_products() -> None:
    """Values, gradients, and what R1 takes of the gradients."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (2, 6, 4, 256))
    weight = jax.random.normal(keys[1], (3, 3, 256, 260)) / 48
    cotangent = jax.random.normal(keys[2], (2, 6, 4, 260))

    def run(convolve: Callable[..., jax.Array]) -> list[jax.Array]:
        def penalty(x: jax.Array, weight: jax.Array) -> jax.Array:
            pulled = jax.vjp(convolve, x, weight)[1](cotangent)
            return sum(jnp.sum(jnp.square(each)) for each in pulled) + jnp.sum(
                jnp.square(convolve(x, weight))
            )

        pulled = jax.vjp(convolve, x, weight)[1](cotangent)
        return [convolve(x, weight), *pulled, *jax.grad(penalty, (0, 1))(x, weight)]

    assert ops._is_wide(x, weight)
    wide, plain = jax.jit(run, static_argnums=0)(ops.conv2d), run(ops._conv_same)
    for actual, wanted in zip(wide, plain, strict=True):
        assert_close(actual, np.asarray(wanted))


@pytest.mark.parametrize(
    ("sides", "channels", "kernel", "dtype"),
    [
        ((5, 4), 256, 3, jnp.float32),
        ((4, 4), 255, 3, jnp.float32),
        ((4, 4), 256, 5, jnp.float32),
        ((4, 4), 256, 3, jnp.bfloat16),
    ],
)
def test_other_convolutions_stay_plain(
    sides: tuple[int, int], channels: int, kernel: int, dtype: Any
) -> None:
    x = jnp.zeros((1, *sides, channels), dtype)
    assert not ops._is_wide(x, jnp.zeros((kernel, kernel, channels, 256), dtype))


def test_demodulation_conventions_differ_by_their_guard() -> None:
    weight = jax.random.normal(jax.random.key(0), (3, 3, 16, 4))
    styles = jnp.full((2, 16), 1e-4)
    energy = np.sum(np.square(np.asarray(weight, np.float64)), (0, 1, 2)) * 1e-8
    gain = 1 / 12.0
    unscaled = layers.demodulation(weight, styles, 1.0)
    scaled = layers.demodulation(weight, styles, gain)
    assert_close(unscaled[0], 1 / np.sqrt(energy + 1e-8))
    assert_close(scaled[0], gain / np.sqrt(energy * gain**2 + 1e-8))


def test_normalize_2nd_moment() -> None:
    name = "normalize_2nd_moment"
    arguments = {"x": jnp.asarray(_array(name, "x"))}
    _check(name, ops.normalize_2nd_moment, arguments, np.asarray, {"x": np.asarray})


@pytest.mark.parametrize("name", _names("minibatch_std"))
def test_minibatch_stddev(name: str) -> None:
    options = CASES[name]["options"]

    def function(x: jax.Array) -> jax.Array:
        maps = ops.minibatch_stddev(x, options["group_size"], options["num_channels"])
        return jnp.concatenate([x, maps], axis=-1)

    _check(name, function, {"x": _image(name)}, _nchw, {"x": _nchw})


def test_minibatch_stddev_blocks_do_not_see_each_other() -> None:
    x = jax.random.normal(jax.random.key(0), (8, 2, 2, 3))
    whole = ops.minibatch_stddev(x, 2, num_blocks=2)
    assert_close(whole[:4], np.asarray(ops.minibatch_stddev(x[:4], 2)))
    assert_close(whole[4:], np.asarray(ops.minibatch_stddev(x[4:], 2)))


@pytest.mark.parametrize("blocks, group, channels", [(3, 2, 1), (1, 3, 1), (1, 2, 2)])
def test_minibatch_stddev_refuses_uneven_parts(blocks: int, group: int, channels: int) -> None:
    with pytest.raises(UserError, match="expected"):
        ops.minibatch_stddev(jnp.zeros((8, 2, 2, 3)), group, channels, blocks)


@pytest.mark.parametrize("name", _names("fully_connected"))
def test_equalized_dense(name: str) -> None:
    options = CASES[name]["options"]
    dense = layers.EqualizedDense(
        5, lr_multiplier=options["lr"], activate=options["act"] == "lrelu"
    )

    def function(x: jax.Array, weight: jax.Array, bias: jax.Array) -> jax.Array:
        return dense.apply({"params": {"weight": weight, "bias": bias}}, x)

    arguments = {
        "x": jnp.asarray(_array(name, "x")),
        "weight": jnp.asarray(_array(name, "weight").T),
        "bias": jnp.asarray(_array(name, "bias")),
    }
    gradients = {"x": np.asarray, "weight": np.transpose, "bias": np.asarray}
    _check(name, function, arguments, np.asarray, gradients)


def test_setup_filter_refuses_what_is_no_filter() -> None:
    with pytest.raises(UserError):
        upfirdn.setup_filter([1.0, -1.0])
    with pytest.raises(UserError):
        upfirdn.setup_filter([])


def test_a_bias_starts_at_its_value_whatever_the_learning_speed() -> None:
    layer = layers.EqualizedDense(3, bias_init=2.0, lr_multiplier=0.01)
    variables = layer.init(jax.random.key(0), jnp.zeros((1, 4)))
    np.testing.assert_allclose(layer.apply(variables, jnp.zeros((1, 4))), 2.0, rtol=1e-6)


@pytest.mark.parametrize("factor", [2, 4])
def test_pooling_by_axis_is_pooling_at_once(factor: int) -> None:
    """TPUs pool one axis after the other."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 12, 3)), jnp.float32)
    at_once, by_axis = ops._pool_at_once(x, factor), ops._pool_by_axis(x, factor)
    np.testing.assert_allclose(at_once, by_axis, atol=1e-6)
    np.testing.assert_array_equal(ops.mean_pool(x, factor), at_once)
    np.testing.assert_allclose(
        at_once[1, 0, 1], x[1, :factor, factor : 2 * factor].mean((0, 1)), atol=1e-6
    )
