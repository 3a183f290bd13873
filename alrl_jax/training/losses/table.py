"""The table of losses: a function and the parts of a forward pass that it reads, by task and name.

A new loss is a function in this folder and an entry here. Its weight is 0 unless a config sets it;
a loss of weight 0 is never called, and what only it reads is never computed: tasks ask
``readers`` what is read at all.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from alrl_jax.training.losses import gan, identity, swap, target
from alrl_jax.training.losses.parts import Scalar, factor_error, parsing_error


@dataclasses.dataclass(frozen=True)
class Loss:
    """An entry of ``LOSSES``.

    Attributes:
        function: gives a mean over the global batch.
        reads: its arguments in order, as dotted names of parts of the task's forward pass
            (``SwapForward``, ``GeneratorForward``, ``AnalyserForward``).
    """

    function: Callable[..., Scalar]
    reads: tuple[str, ...]


LOSSES: dict[str, dict[str, Loss]] = {
    "swap": {
        "identity": Loss(swap.identity, ("read.embedding", "wanted.embedding")),
        "identity_factors": Loss(swap.identity_factors, ("read.factors", "wanted.person")),
        "attributes": Loss(swap.attributes, ("read.factors", "wanted.attributes")),
        "pose": Loss(target.pose, ("read.pose_degrees", "wanted.pose_degrees")),
        "landmarks": Loss(target.landmarks, ("read.parts", "wanted.parts", "wanted.keeps")),
        "expression": Loss(target.expression, ("read.parts", "wanted.parts", "wanted.keeps")),
        "gaze": Loss(target.gaze, ("read.parts", "wanted.parts", "wanted.keeps")),
        "light": Loss(
            target.light,
            (
                "drawn.generated",
                "pairs.truth",
                "encoded.generated.region_logits",
                "encoded.target.region_logits",
                "wanted.keeps",
            ),
        ),
        "reconstruction": Loss(
            swap.reconstruction,
            ("drawn.generated", "pairs.truth", "drawn.mask", "pairs.same_identity"),
        ),
        "perceptual": Loss(swap.perceptual, ("read.distance", "pairs.same_identity")),
        "blended_reconstruction": Loss(
            swap.blended_reconstruction, ("drawn.image", "pairs.truth", "pairs.same_identity")
        ),
        "blended_perceptual": Loss(
            swap.perceptual, ("read.blended_distance", "pairs.same_identity")
        ),
        "blended_identity": Loss(swap.identity, ("read.blended_embedding", "wanted.embedding")),
        "self_reconstruction": Loss(
            swap.self_reconstruction,
            ("drawn.reconstructed", "pairs.source.image", "encoded.source.region_logits"),
        ),
        "self_perceptual": Loss(swap.self_perceptual, ("read.self_distance",)),
        "region": Loss(
            swap.region,
            (
                "encoded.source.region_logits",
                "wanted.source_labels",
                "encoded.target.region_logits",
                "wanted.target_labels",
                "constants.face_classes",
            ),
        ),
        "parsing": Loss(swap.parsing, ("encoded.target.parsing_logits", "wanted.target_labels")),
        "background": Loss(
            swap.background,
            ("drawn.generated", "pairs.target.image", "drawn.mask", "pairs.keeps_background"),
        ),
        "pose_consistency": Loss(
            swap.code_consistency, ("encoded.generated.codes.pose", "drawn.codes.pose")
        ),
        "attribute_consistency": Loss(
            swap.code_consistency, ("encoded.generated.codes.attributes", "drawn.codes.attributes")
        ),
        "latent": Loss(swap.latent, ("encoded.target.codes.attributes", "constants.w_avg")),
        "gate_budget": Loss(swap.gate_budget, ("drawn.gates.probabilities", "constants.budget")),
        "gate_entropy": Loss(swap.gate_entropy, ("drawn.gates.probabilities",)),
        "gate_information": Loss(swap.gate_information, ("drawn.gates.probabilities",)),
        "attribute_groups": Loss(
            swap.attribute_groups,
            (
                "probe_factors",
                "pairs.target.identity_factors",
                "pairs.target.attribute_factors",
                "pairs.target.labelled",
            ),
        ),
        "adversarial": Loss(gan.adversarial, ("fake_logits",)),
        "supervised": Loss(
            swap.supervised,
            ("drawn.generated", "pairs.true_swap", "drawn.mask", "read.true_distance"),
        ),
    },
    "generator": {"adversarial": Loss(gan.adversarial, ("fake_logits",))},
    "identity": {
        "identity_regression": Loss(
            factor_error, ("factors.identity_vector", "faces.identity_factors", "faces.labelled")
        ),
        "attribute_regression": Loss(
            factor_error, ("factors.attribute_vector", "faces.attribute_factors", "faces.labelled")
        ),
        "pose_regression": Loss(
            identity.pose, ("pose_degrees", "faces.pose_degrees", "faces.labelled")
        ),
        "landmark_regression": Loss(
            identity.landmarks,
            ("factors.landmarks", "faces.landmarks", "faces.labelled", "faces.image"),
        ),
        "arcface": Loss(identity.arcface, ("class_logits", "faces.identity")),
        "parsing": Loss(parsing_error, ("parsing_logits", "faces.parsing", "faces.labelled")),
    },
}
"""Losses by task and name."""

LABELS = ("identity_factors", "attribute_factors", "pose_degrees", "landmarks")
"""Fields of ``FaceBatch`` that data of photographs lack; masks can come from a parser as well."""

REGULARISERS: dict[str, tuple[str, ...]] = {
    "swap": ("r1",),
    "generator": ("r1", "path_length"),
    "identity": (),
}
"""Lazy regularisers by task; each has a weight beside the losses, and runs every few steps."""


def readers(task: str, weights: Mapping[str, float]) -> dict[str, str]:
    """What the losses that have a weight read: part of the forward pass -> first loss to read it.

    Args:
        task: key of ``LOSSES``.
        weights: weight by name; a loss that is not among them has none.
    """
    found: dict[str, str] = {}
    for name, loss in LOSSES[task].items():
        if weights.get(name):
            found |= {part: name for part in loss.reads if part not in found}
    return found


def needed_labels(task: str, weights: Mapping[str, float]) -> tuple[str, ...]:
    """The labels of a face without which no loss that has a weight learns anything.

    Args:
        task: key of ``LOSSES``.
        weights: weight by name; a loss that is not among them has none.

    Returns:
        Fields of ``FaceBatch``, each needed by some loss; none where a loss needs no labels.
    """
    needed: dict[str, None] = {}
    for name, loss in LOSSES[task].items():
        if weights.get(name):
            fields = (part.rpartition(".")[2] for part in loss.reads)
            labels = [field for field in fields if field in LABELS]
            if not labels:
                return ()
            needed |= dict.fromkeys(labels)
    return tuple(needed)


def total_loss(
    task: str, forward: Any, weights: Mapping[str, float]
) -> tuple[Scalar, dict[str, Scalar]]:
    """Weighted sum of a task's losses, and every loss that has a weight.

    Args:
        task: key of ``LOSSES``.
        forward: the struct whose parts the task's losses read.
        weights: weight by name; those of regularisers are left to the task.
    """
    table = LOSSES[task]
    values = {
        name: evaluate(table[name], forward) for name, w in weights.items() if name in table and w
    }
    total = sum((weights[name] * value for name, value in values.items()), jnp.zeros(()))
    return total, values


def evaluate(loss: Loss, forward: Any) -> Scalar:
    """A loss of a forward pass.

    Raises:
        AttributeError: the loss reads a part that there is not.
    """
    return loss.function(*(_part(forward, name) for name in loss.reads))


def _part(forward: Any, name: str) -> Any:
    value = forward
    for field in name.split("."):
        if not hasattr(value, field):
            known = ", ".join(sorted(vars(value)))
            raise AttributeError(f"a loss reads {name}; {type(value).__name__} has {known}")
        value = getattr(value, field)
    assert value is not None, f"the forward pass left out {name}, which a loss with a weight reads"
    return value
