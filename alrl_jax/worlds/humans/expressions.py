"""Facial expressions: plausible combinations of ARKit's facial actions, and their moments.

An expression is one of a few, more or less strong, with a little of every action beside it.
"""

import numpy as np
from jaxtyping import Array, Float, Key

from alrl_jax.worlds.humans import morphs
from alrl_jax.worlds.humans.laws import uniforms

ACTIONS = (*morphs.PAIRED_ACTIONS, *morphs.SINGLE_ACTIONS, *morphs.SIDE_ACTIONS)
"""Names of the columns of ``Attributes.actions``."""

TILTS = tuple(f"{name}_tilt" for name in morphs.PAIRED_ACTIONS)
"""Names of the columns of ``Attributes.action_tilts``: how much more an action moves the person's
left, the viewer's right."""

EXPRESSIONS: dict[str, tuple[float, dict[str, float]]] = {
    "neutral": (0.2, {}),
    "smile": (0.18, {"smile": 0.9, "cheek_squint": 0.5, "eye_squint": 0.3, "mouth_dimple": 0.3}),
    "laugh": (
        0.1,
        {
            "smile": 1.0,
            "jaw_open": 0.38,
            "cheek_squint": 0.8,
            "eye_squint": 0.5,
            "mouth_upper_up": 0.35,
            "mouth_lower_down": 0.3,
        },
    ),
    "speech_open": (0.08, {"jaw_open": 0.4, "mouth_lower_down": 0.3, "mouth_upper_up": 0.15}),
    "speech_round": (0.07, {"mouth_funnel": 0.6, "jaw_open": 0.25, "mouth_pucker": 0.3}),
    "speech_closed": (0.05, {"mouth_press": 0.6, "mouth_roll_lower": 0.4, "mouth_roll_upper": 0.3}),
    "surprise": (
        0.06,
        {"brow_inner_up": 0.9, "brow_outer_up": 0.9, "eye_wide": 0.8, "jaw_open": 0.45},
    ),
    "anger": (
        0.06,
        {
            "brow_down": 1.0,
            "eye_squint": 0.5,
            "nose_sneer": 0.5,
            "mouth_press": 0.5,
            "mouth_frown": 0.4,
        },
    ),
    "disgust": (
        0.04,
        {"nose_sneer": 0.9, "mouth_upper_up": 0.6, "brow_down": 0.6, "cheek_squint": 0.4},
    ),
    "sadness": (
        0.05,
        {"brow_inner_up": 0.9, "mouth_frown": 0.8, "mouth_shrug_lower": 0.5, "eye_squint": 0.2},
    ),
    "pucker": (0.04, {"mouth_pucker": 1.0, "mouth_funnel": 0.2}),
    "shut_eyes": (0.05, {"blink": 1.0}),
    "tongue": (0.02, {"tongue_out": 0.9, "jaw_open": 0.35}),
}
"""Share of an expression, and its actions where it is strong."""

_SHARES = np.array([share for share, _ in EXPRESSIONS.values()])
_STRONG = np.array(
    [[actions.get(name, 0.0) for name in ACTIONS] for _, actions in EXPRESSIONS.values()]
)
_LEAST = 0.35
"""Strength of the weakest expression; the strongest is 1."""

_BESIDE = np.array(
    [0.0 if name in ("tongue_out", "blink", "eye_wide") else 0.18 for name in ACTIONS]
)
"""Most of an action that comes beside the expression; both signs for what goes to a side."""

_TO_A_SIDE = np.array([name in morphs.SIDE_ACTIONS for name in ACTIONS])
TILT = 0.15
"""Most of a tilt, either way."""


def draw_actions(
    key: Key[Array, ""], stream: int, n: int
) -> tuple[Float[np.ndarray, "n a"], Float[np.ndarray, "n t"]]:
    """Draws actions and tilts; entry i depends on ``key``, ``stream`` and i alone."""
    a, t = len(ACTIONS), len(TILTS)
    drawn = uniforms(key, stream, n, 2 + 2 * a + 2 * t)
    which, strength, beside, tilt = np.split(drawn, [1, 2, 2 + 2 * a], axis=1)
    kind = (which >= np.cumsum(_SHARES)[:-1]).sum(axis=1)
    some = np.where(_TO_A_SIDE, 2.0 * beside[:, a:] - 1.0, 1.0) * beside[:, :a] ** 3
    actions = _STRONG[kind] * (_LEAST + (1.0 - _LEAST) * strength) + _BESIDE * some
    bell = 0.5 * (tilt[:, :t] + tilt[:, t:])
    return actions.astype(np.float32), (TILT * (2.0 * bell - 1.0)).astype(np.float32)


def _moments() -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of every action."""
    strength, square = (1 + _LEAST) / 2, (1 + _LEAST + _LEAST**2) / 3
    mean_strong, mean_square = _SHARES @ _STRONG * strength, _SHARES @ _STRONG**2 * square
    some = np.where(_TO_A_SIDE, 0.0, _BESIDE / 4)
    some_square = _BESIDE**2 / 7 * np.where(_TO_A_SIDE, 1 / 3, 1.0)
    mean = mean_strong + some
    variance = mean_square + 2 * mean_strong * some + some_square - mean**2
    return mean, np.sqrt(np.maximum(variance, 1e-6))


MEAN, DEVIATION = _moments()
TILT_DEVIATION = TILT * 2 / np.sqrt(24)


def standardised(
    actions: Float[np.ndarray, "n a"], tilts: Float[np.ndarray, "n t"]
) -> list[Float[np.ndarray, "n c"]]:
    """Columns of mean 0 and deviation 1: ``ACTIONS``, then ``TILTS``."""
    return [(actions - MEAN) / DEVIATION, tilts / TILT_DEVIATION]


def unit_weights(
    actions: Float[np.ndarray, " a"], tilts: Float[np.ndarray, " t"]
) -> dict[str, float]:
    """Weights of ARKit's actions, 0 to 1, by ARKit's names; left is the person's."""
    value = dict(zip(ACTIONS, actions.tolist(), strict=True))
    tilt = dict(zip(morphs.PAIRED_ACTIONS, tilts.tolist(), strict=True))
    weights = {unit: value[name] for name, unit in morphs.SINGLE_ACTIONS.items()}
    for name, unit in morphs.PAIRED_ACTIONS.items():
        # A tilt belongs to what moves at all: a still face is even.
        shift = 2.0 * tilt[name] * min(1.0, 2.0 * value[name])
        weights[f"{unit}Left"], weights[f"{unit}Right"] = value[name] + shift, value[name] - shift
    for name, (right, left) in morphs.SIDE_ACTIONS.items():
        weights[right], weights[left] = -value[name], value[name]
    return {unit: min(max(weight, 0.0), 1.0) for unit, weight in weights.items()}
