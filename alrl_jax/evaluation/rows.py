"""The rows of an evaluation: every way to make the image that a swap should give."""

from collections.abc import Callable, Iterable, Mapping

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float

from alrl_jax.loading.protocols import Swapper
from alrl_jax.models.swapper.blend import blend
from alrl_jax.types import AnyArray, SwapGates


@flax.struct.dataclass
class RowImages:
    """The images of a row; only swaps have a mask, a generated face and gates."""

    image: Float[AnyArray, "b h w 3"]
    mask: Float[Array, "b h w 1"] | None = None
    generated: Float[Array, "b h w 3"] | None = None
    gates: SwapGates | None = None


@flax.struct.dataclass
class Question:
    """The faces that a row may use; ``truth`` and ``face_region`` are unknown of photos."""

    source: Float[AnyArray, "b h w 3"]
    target: Float[AnyArray, "b h w 3"]
    truth: Float[AnyArray, "b h w 3"] | None = None
    face_region: Float[AnyArray, "b h w 1"] | None = None


Row = Callable[[Swapper, Question], RowImages]


def target_image(model: Swapper, question: Question) -> RowImages:
    """The untouched target: perfect pose and background, nothing of the source."""
    return RowImages(question.target)


def source_image(model: Swapper, question: Question) -> RowImages:
    """The untouched source: perfect identity, nothing of the target."""
    return RowImages(question.source)


def truth(model: Swapper, question: Question) -> RowImages:
    """The true swap: the errors of the judges themselves."""
    return RowImages(_known(question.truth))


def truth_blended(model: Swapper, question: Question) -> RowImages:
    """The true swap in the face region, the target elsewhere: the most that changing a face gives.

    Ears, neck and the outline of the head are the source's in the true swap, and not here.
    """
    true, region = _known(question.truth), _known(question.face_region)
    return RowImages(blend(jnp.asarray(true), jnp.asarray(question.target), jnp.asarray(region)))


def reconstruction(model: Swapper, question: Question) -> RowImages:
    """The true swap encoded and generated again, not blended: the most that the codes carry."""
    return RowImages(model.reconstruct(_known(question.truth)))


def reconstruction_with_features(model: Swapper, question: Question) -> RowImages:
    """The same, drawn with the features that the swap of a face with itself takes over."""
    return RowImages(model.reconstruct(_known(question.truth), with_features=True))


def swap(model: Swapper, question: Question, selector: str | None = None) -> RowImages:
    """A swap by the model, its codes selected as it was trained or by a rule of earlier work."""
    output = model.swap(question.source, question.target, selector=selector)
    return RowImages(output.image, output.mask, output.generated, output.gates)


def self_swap(model: Swapper, question: Question) -> RowImages:
    """The target swapped with itself, the true result of which is the target itself."""
    return swap(model, Question(question.target, question.target, question.target))


REFERENCE_ROWS: dict[str, Row] = {
    "target_image": target_image,
    "source_image": source_image,
    "truth": truth,
    "truth_blended": truth_blended,
    "reconstruction": reconstruction,
    "reconstruction_with_features": reconstruction_with_features,
    "self_swap": self_swap,
}
"""Rows that are no swaps of two people."""

WITH_FEATURES = "reconstruction_with_features"
NEEDS_TRUTH = ("truth", "truth_blended", "reconstruction", WITH_FEATURES)
IN_PLACE_OF_TRUTH = ("self_swap",)
"""The only swap of photos whose true result is known."""


def rows_of(
    selectors: tuple[str, ...], with_truth: bool, with_features: bool = False
) -> dict[str, Row]:
    """All rows to measure: the references, then every selector, the model's own first.

    Args:
        selectors: of the model.
        with_truth: whether true swaps are known.
        with_features: whether the model's generator takes features of the target.
    """
    left_out = IN_PLACE_OF_TRUTH if with_truth else NEEDS_TRUTH
    left_out = left_out if with_features else (*left_out, WITH_FEATURES)
    rows = {name: row for name, row in REFERENCE_ROWS.items() if name not in left_out}
    return rows | {name: _selector_row(name) for name in selectors}


def rows_of_models(models: Mapping[str, Swapper]) -> dict[str, Row]:
    """Rows of other swappers, each with the selection it was trained with, by the names given."""
    return {name: _model_row(model) for name, model in models.items()}


def own_row(rows: Iterable[str]) -> str:
    """The row of the selection that the model was trained with: the first that is no reference.

    ``adaptive`` where there is no such row, as in a protocol that measures no swaps of two people.
    """
    return next((name for name in rows if name not in REFERENCE_ROWS), "adaptive")


def _known(value: AnyArray | None) -> AnyArray:
    if value is None:
        raise ValueError("this benchmark has no true swaps")
    return value


def _selector_row(name: str) -> Row:
    return lambda model, question: swap(model, question, name)


def _model_row(other: Swapper) -> Row:
    return lambda _, question: swap(other, question)
