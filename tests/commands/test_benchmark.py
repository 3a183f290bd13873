"""What the benchmark counts and draws; its speeds are no test's business."""

import json
import xml.etree.ElementTree
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from alrl_jax.commands import benchmark, roofline
from alrl_jax.errors import UserError
from alrl_jax.models.stylegan2 import ops
from alrl_jax.models.stylegan2.generator import Generator
from alrl_jax.profiling.count_flops import count_flops


def products(function: Any, *shapes: tuple[int, ...]) -> float | None:
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return count_flops(jax.make_jaxpr(function)(*arguments))


def convolve(
    image: jax.Array, kernel: jax.Array, stride: int = 1, dilation: int = 1, groups: int = 1
) -> jax.Array:
    return jax.lax.conv_general_dilated(
        image,
        kernel,
        (stride, stride),
        [(1, 1), (1, 1)],
        lhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def test_products_are_counted_from_shapes() -> None:
    assert products(lambda a, b: a @ b, (3, 4), (4, 5)) == 2 * 3 * 4 * 5
    assert products(lambda a, b: jnp.einsum("nij,njk->nik", a, b), (2, 3, 4), (2, 4, 5)) == 240
    inner = 8 * 8 * 9 - 4 * 8 * 3 + 4  # without what the kernel sees beyond the border
    assert products(convolve, (2, 8, 8, 4), (3, 3, 4, 6)) == 2 * 2 * 6 * 4 * inner


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((3, 3, 4, 6), {}),
        ((3, 3, 4, 6), {"dilation": 2}),
        ((3, 3, 4, 6), {"stride": 2}),
        ((3, 3, 1, 8), {"groups": 4}),
    ],
)
def test_convolutions_are_counted_as_xla_does(kernel: tuple, options: dict[str, int]) -> None:
    def both(image: jax.Array, weights: jax.Array) -> Any:
        return jax.grad(lambda *v: (convolve(*v, **options) ** 2).sum(), (0, 1))(image, weights)

    for function in (lambda *values: convolve(*values, **options), both):
        shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((2, 8, 7, 4), kernel)]
        traced = jax.jit(function).trace(*shapes)
        counted = (traced.lower().cost_analysis() or {})["flops"]
        own = count_flops(traced.jaxpr)
        # The gradient is of a sum of squares: that is the rest.
        assert own is not None and own <= counted <= (1.03 * own if function is both else own)


def test_loops_and_branches() -> None:
    square = (4, 4)
    once = 2 * 4**3
    assert products(lambda a: jax.lax.fori_loop(0, 5, lambda _, x: x @ x, a), square) == 5 * once
    branch = lambda a: jax.lax.cond(a[0, 0] > 0, lambda x: x @ x @ x, lambda x: x @ x, a)  # noqa: E731
    assert products(branch, square) == 2 * once
    until = lambda a: jax.lax.while_loop(lambda x: x[0, 0] > 0, lambda x: x @ x, a)  # noqa: E731
    assert products(until, square) is None
    assert products(jax.checkpoint(jax.jit(lambda a: a @ a)), square) == once


def test_both_counts_of_a_network_agree() -> None:
    """XLA's has elementwise work on top."""
    network = Generator(resolution=32, z_dim=64, w_dim=64, channel_base=4096, channel_max=64)
    z = jnp.zeros((2, 64))
    variables = jax.eval_shape(network.init, jax.random.key(0), z)
    codes = jax.ShapeDtypeStruct((2, 8, 64), jnp.float32)
    synthesize = jax.jit(lambda v, ws: network.apply(v, ws, method="synthesize"))
    traced = synthesize.trace(variables, codes)
    counted, own = (traced.lower().cost_analysis() or {})["flops"], count_flops(traced.jaxpr)
    assert own is not None and 0.9 < own / counted <= 1


def test_operations_are_those_of_the_definition() -> None:
    """On CPUs, wide convolutions take fewer."""
    shapes = ((1, 8, 8, 256), (3, 3, 256, 256))
    traced = jax.jit(ops.conv2d).trace(*(jax.ShapeDtypeStruct(x, jnp.float32) for x in shapes))
    own, taken = count_flops(traced.jaxpr), (traced.lower().cost_analysis() or {})["flops"]
    assert own == products(convolve, *shapes) and 0.5 * own < taken < 0.7 * own


def result() -> dict[str, Any]:
    ceilings = {"matmul_flops": 1e11, "copy_bytes_per_second": 1e10}
    work = benchmark.Work(lambda: None, 4, flops=8e9, lowered_flops=6e9, moved_bytes=4e8)
    only_moves = benchmark.Work(lambda: None, 4, moved_bytes=4e8)
    rows = [
        benchmark._row("a<b", work, 0.5, ceilings),
        benchmark._row("in", only_moves, 1.0, ceilings),
    ]
    machine = {"device": "cpu", "processor": "x", "jax": "0"}
    return {"machine": machine, "ceilings": ceilings, "rows": rows}


def test_a_row_says_what_it_reaches() -> None:
    row, moves = result()["rows"]
    assert row["images_per_second"] == 8 and row["flops_per_image"] == 2e9
    assert row["lowered_flops_per_image"] == 1.5e9
    assert row["fraction_of_matmul"] == row["fraction_of_ceiling"] == pytest.approx(0.16)
    assert row["fraction_of_copy"] == pytest.approx(0.08)
    assert moves["flops_per_image"] is None and moves["fraction_of_matmul"] is None
    assert moves["fraction_of_ceiling"] == pytest.approx(0.04)


def test_the_roofline_shows_rows_with_operations() -> None:
    drawing = roofline.draw(json.loads(json.dumps(result())))
    tree = xml.etree.ElementTree.fromstring(drawing)
    names = [each.text for each in tree.iter() if each.tag.endswith("text")]
    # 20 operations a byte lie right of the ridge, at 10: 1.6e10 of 1e11 are 16%.
    assert "a<b 16%" in names and not [name for name in names if str(name).startswith("in")]
    (point,) = [each for each in tree.iter() if each.tag.endswith("circle")]
    assert 0 < float(point.attrib["cx"]) < roofline.WIDTH
    assert 0 < float(point.attrib["cy"]) < roofline.HEIGHT
    with pytest.raises(UserError, match="got no row"):
        roofline.draw({**result(), "rows": []})
