"""Networks that are lists of operators, as files of other frameworks describe them.

``OPERATORS`` is all that they may be made of. Maps are ``b h w c``; weights of convolutions lie as
TensorFlow Lite's files keep them: ``o h w i``, depthwise ones ``1 h w c``.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Shaped

from alrl_jax.types import AnyArray


@dataclasses.dataclass(frozen=True)
class Operator:
    """One step of a network.

    Attributes:
        kind: key of ``OPERATORS``.
        inputs: names of tensors, constants included.
        output: name of what it computes.
        options: of its kind, by name, sorted.
    """

    kind: str
    inputs: tuple[str, ...]
    output: str
    options: tuple[tuple[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A network of square images.

    Attributes:
        input: name of the batch of images.
        side: of these, px.
        outputs: names of the tensors that it gives.
        operators: in the order in which they run.
        constants: by name: weights (float32), and whole numbers that shape the program.
    """

    input: str
    side: int
    outputs: tuple[str, ...]
    operators: tuple[Operator, ...]
    constants: Mapping[str, Shaped[np.ndarray, "..."]]

    def __call__(
        self, weights: Mapping[str, Shaped[AnyArray, "..."]], images: Float[AnyArray, "b s s 3"]
    ) -> tuple[Float[Array, "b ..."], ...]:
        """Runs it.

        Args:
            weights: constants of float32, by name: an argument, so that a compiled program does
                not hold them.
            images: as its makers scale them.

        Returns:
            Its outputs, in order.
        """
        tensors: dict[str, Any] = {**self.constants, **weights, self.input: images}
        for operator in self.operators:
            given = [tensors[name] for name in operator.inputs]
            options = dict(operator.options)
            activation = options.pop("activation", "")
            result = OPERATORS[operator.kind](*given, **options)
            tensors[operator.output] = ACTIVATIONS[activation](result)
        return tuple(tensors[name] for name in self.outputs)


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "": lambda x: x,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
}


def _convolve(
    x: Float[Array, "b h w i"],
    kernel: Float[AnyArray, "o y x i"],
    bias: Float[AnyArray, " o"],
    *,
    padding: str,
    stride_y: int,
    stride_x: int,
) -> Float[Array, "b h2 w2 o"]:
    if kernel.shape[1:3] == (1, 1) and (stride_y, stride_x) == (1, 1):
        return jnp.einsum("bhwi,oi->bhwo", x, kernel[:, 0, 0]) + bias
    return (
        lax.conv_general_dilated(
            x, kernel, (stride_y, stride_x), padding, dimension_numbers=("NHWC", "OHWI", "NHWC")
        )
        + bias
    )


def _convolve_depthwise(
    x: Float[Array, "b h w c"],
    kernel: Float[AnyArray, "1 y x c"],
    bias: Float[AnyArray, " c"],
    *,
    padding: str,
    stride_y: int,
    stride_x: int,
) -> Float[Array, "b h2 w2 c"]:
    """As a sum of shifted maps, which XLA fuses: grouped convolutions are slow on CPUs."""
    strides, window = (1, stride_y, stride_x, 1), (1, *kernel.shape[1:3], 1)
    margins = lax.padtype_to_pads(x.shape, window, strides, padding)
    padded = jnp.pad(x, margins)
    sizes = [(padded.shape[k] - window[k]) // strides[k] + 1 for k in (1, 2)]
    result = bias
    for i, j in itertools.product(range(window[1]), range(window[2])):
        ends = (i + (sizes[0] - 1) * stride_y + 1, j + (sizes[1] - 1) * stride_x + 1)
        result = (
            result + padded[:, i : ends[0] : stride_y, j : ends[1] : stride_x] * kernel[0, i, j]
        )
    return jnp.asarray(result)


def _max_pool(
    x: Float[Array, "b h w c"],
    *,
    padding: str,
    stride_y: int,
    stride_x: int,
    height: int,
    width: int,
) -> Float[Array, "b h2 w2 c"]:
    window, strides = (1, height, width, 1), (1, stride_y, stride_x, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, padding)


def _resize_bilinear(
    x: Float[Array, "b h w c"],
    *,
    shape: tuple[int, ...],
    align_corners: int,
    half_pixels: int,
) -> Float[Array, "b h2 w2 c"]:
    if align_corners or not half_pixels:
        raise NotImplementedError("a grid other than that of pixels' centres")
    return jax.image.resize(x, (x.shape[0], *shape), "bilinear", antialias=False)


def _pad(
    x: Float[Array, "b h w c"], margins: Shaped[np.ndarray, "4 2"]
) -> Float[Array, "b h2 w2 c2"]:
    return jnp.pad(x, [(int(before), int(after)) for before, after in margins])


def _reshape(x: Float[Array, "b ..."], *, shape: tuple[int, ...]) -> Float[Array, "b ..."]:
    return x.reshape(x.shape[0], *shape)


OPERATORS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "concatenate": lambda *parts, axis: jnp.concatenate(parts, axis),
    "convolve": _convolve,
    "convolve_depthwise": _convolve_depthwise,
    "max_pool": _max_pool,
    "pad": _pad,
    "prelu": lambda x, slope: jnp.where(x >= 0, x, slope * x),
    "relu": jax.nn.relu,
    "reshape": _reshape,
    "resize_bilinear": _resize_bilinear,
}
"""What networks may be made of, by name."""
