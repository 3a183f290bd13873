"""Counts the multiplications and additions of convolutions and matrix products in a program.

The count is made from shapes alone, before any compiler sees the program: two operations for every
pair of numbers that is multiplied, without the zeros of padding and dilation. XLA counts products
in the same way and elementwise work on top, so its count is a little higher; it checks this one.
"""

import math
from typing import Any

from jax.extend import core


def count_flops(program: core.ClosedJaxpr | core.Jaxpr) -> float | None:
    """Operations of all convolutions and matrix products of a program.

    Loops of known length count as often as they run, and of branches the dearest counts.

    Returns:
        None where a loop runs until its data say so, with products in it.
    """
    jaxpr = program.jaxpr if isinstance(program, core.ClosedJaxpr) else program
    counts = [_count(equation) for equation in jaxpr.eqns]
    known = [count for count in counts if count is not None]
    return sum(known, 0.0) if len(known) == len(counts) else None


def _count(equation: Any) -> float | None:
    name, values = equation.primitive.name, equation.params
    if name == "dot_general":
        return _dot(equation)
    if name == "conv_general_dilated":
        return _convolution(equation)
    inner = [count_flops(each) for value in values.values() for each in _programs(value)]
    known = [count for count in inner if count is not None]
    if len(known) < len(inner) or (name == "while" and sum(known)):
        return None
    if name == "cond":
        return max(known, default=0.0)
    return sum(known, 0.0) * (values["length"] if name == "scan" else 1)


def _programs(value: Any) -> list[Any]:
    """Programs among the parameters of an operation: called functions, bodies, branches."""
    several = value if isinstance(value, tuple | list) else [value]
    return [each for each in several if isinstance(each, core.ClosedJaxpr | core.Jaxpr)]


def _dot(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    products = math.prod(equation.outvars[0].aval.shape)
    return 2.0 * products * math.prod(left[axis] for axis in contracted)


def _convolution(equation: Any) -> float:
    """Axes of space do not depend on each other, so what meets is counted along each."""
    values = equation.params
    layout = values["dimension_numbers"]
    image, kernel = (variable.aval.shape for variable in equation.invars)
    out = equation.outvars[0].aval.shape
    count = 2.0 * out[layout.out_spec[0]] * out[layout.out_spec[1]] * kernel[layout.rhs_spec[1]]
    for axis in range(len(values["padding"])):
        count *= _pairs(
            image[layout.lhs_spec[2 + axis]],
            kernel[layout.rhs_spec[2 + axis]],
            out[layout.out_spec[2 + axis]],
            values["window_strides"][axis],
            values["padding"][axis][0],
            values["lhs_dilation"][axis],
            values["rhs_dilation"][axis],
        )
    return count


def _pairs(
    image: int, kernel: int, out: int, stride: int, before: int, spread: int, reach: int
) -> int:
    """Pairs of a place of the result and one of the kernel that meet a number of the image."""
    places = (o * stride + k * reach - before for o in range(out) for k in range(kernel))
    return sum(place % spread == 0 and 0 <= place < image * spread for place in places)
