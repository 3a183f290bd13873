"""The losses that keep the target once more, in NumPy, face by face and part by part."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from alrl_jax.training.tasks.swap_forward import SwapForward


def sigmoid(x: Any) -> np.ndarray:
    """The logistic function in float64."""
    return 1.0 / (1.0 + np.exp(-np.asarray(x, np.float64)))


def in_both(f: SwapForward) -> list[list[int]]:
    """Parts of every face that both show and that are the target's."""
    areas = np.minimum(f.read.parts.area, f.wanted.parts.area) > 2e-4
    return [np.flatnonzero(a & k).tolist() for a, k in zip(areas, f.wanted.keeps, strict=True)]


def spread(centres: Any) -> tuple[np.ndarray, float]:
    """Places relative to their mean, and how far they lie from it."""
    relative = np.asarray(centres, np.float64) - np.mean(centres, axis=0)
    return relative, float(np.sqrt(np.mean(np.sum(relative**2, axis=-1)) + 1e-6))


def landmarks(f: SwapForward) -> float:
    errors = []
    for b, seen in enumerate(in_both(f)):
        if seen:
            drawn, _ = spread(f.read.parts.centre[b, jnp.asarray(seen)])
            wanted, unit = spread(f.wanted.parts.centre[b, jnp.asarray(seen)])
            errors.append((drawn - wanted) / unit / 0.1)
    return float(np.mean(np.concatenate(errors) ** 2))


def expression(f: SwapForward) -> float:
    read, wanted, errors = f.read.parts, f.wanted.parts, []
    for b, seen in enumerate(in_both(f)):
        _, unit = spread(wanted.centre[b, jnp.asarray(seen)]) if seen else (None, 1.0)
        for part in set(seen) & {0, 1}:
            errors.append((read.height - wanted.height)[b, part] / unit / 0.025)
            if part + 2 in seen:
                eye, brow = (read.centre - wanted.centre)[b, [part, part + 2], 1]
                errors.append((eye - brow) / unit / 0.3)
        if 5 in seen:
            errors.append((read.height - wanted.height)[b, 5] / unit / 0.05)
            errors.append((read.bend - wanted.bend)[b, 5] / unit / 0.03)
            errors.append((read.opening - wanted.opening)[b] / 0.2)
    return float(np.mean(np.square(errors)))


def gaze(f: SwapForward) -> float:
    errors = []
    for b, seen in enumerate(in_both(f)):
        for eye in set(seen) & {0, 1}:
            _, unit = spread(f.wanted.parts.centre[b, jnp.asarray(seen)])
            errors.append((f.read.parts.gaze - f.wanted.parts.gaze)[b, eye] / unit / 0.04)
    return float(np.mean(np.square(errors)))


def light(f: SwapForward) -> float:
    """Of pictures of 4 pixels a side, every pixel is a cell of its own."""
    total = weights = 0.0
    regions = (sigmoid(x.region_logits)[..., 0] for x in (f.encoded.generated, f.encoded.target))
    weight = np.prod(np.stack(list(regions)), axis=0)
    for b in np.flatnonzero(f.wanted.keeps):
        grey = (
            np.asarray(x[b]) @ [0.2126, 0.7152, 0.0722] for x in (f.drawn.generated, f.pairs.truth)
        )
        drawn, wanted = grey
        total += np.sum(weight[b] * ((drawn - wanted) / 0.4) ** 2)
        weights += np.sum(weight[b])
    return float(total / weights)
