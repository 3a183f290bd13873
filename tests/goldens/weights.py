"""Deterministic test weights from a {name: shape} spec (numpy only).

``fill(spec, salt)`` gives every tensor its own PCG64 stream, seeded with crc32(salt + name), so
the values do not depend on the order of the spec.  ``n`` below is a float32 N(0,1) draw of the
tensor's shape; the first rule that matches a name applies.
"""

import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

Spec = Mapping[str, Sequence[int]]

FIR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / np.float32(64)
MAPPING = re.compile(r"(^|\.)(mapping\.fc\d+|style\.\d+)\.(weight|bias)$")  # lr multiplier 0.01
RESIDUAL = re.compile(r"\.res_layer\.\d+\.weight$|(^|\.)layer\d+\.\d+\.conv\d+\.weight$")
STYLES = re.compile(r"(^|\.)styles\.\d+\.linear\.weight$")
PLACES = 5
TOLERANCE = 5e-7
BATCHNORM = {"weight": (1, 0.1), "bias": (0, 0.1), "running_mean": (0, 0.1)}  # offset, scale


def _affine(name: str, shape: tuple[int, ...], spec: Spec, equalised: bool) -> tuple[float, float]:
    """Offset and scale of the draw."""
    stem, _, leaf = name.rpartition(".")
    if leaf == "noise_strength" or name.endswith("noise.weight"):
        return 0, 0.1
    if leaf in ("w_avg", "latent_avg"):
        return 0, 0.3
    if stem + ".running_mean" in spec:  # BatchNorm
        return BATCHNORM[leaf]
    if MAPPING.search(name):
        return 0, 100 if leaf == "weight" else 10
    if leaf == "bias":
        return (1 if stem.endswith(("affine", "modulation")) else 0), 0.1
    if leaf == "weight" and len(shape) == 1:  # PReLU slope
        return 0.25, 0.05
    if leaf != "weight" or equalised or STYLES.search(name):
        return 0, 1  # run-time gain, constants, noise maps
    fan_in = float(np.prod(shape[1:]))  # ordinary convolution or linear
    return 0, (0.7 if RESIDUAL.search(name) else 2**0.5) / fan_in**0.5


def _one(name: str, shape: tuple[int, ...], spec: Spec, equalised: bool, salt: str) -> np.ndarray:
    rng = np.random.Generator(np.random.PCG64(zlib.crc32((salt + name).encode())))
    n = np.asarray(rng.standard_normal(shape, dtype=np.float32), np.float32).reshape(shape)
    stem, _, leaf = name.rpartition(".")
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.float32)
    if leaf == "resample_filter":
        return FIR.copy()
    if leaf == "kernel":  # FIR buffers with gain up**2 built in
        return FIR * np.float32(4) if stem.endswith((".blur", ".upsample")) else FIR.copy()
    if leaf == "running_var":
        return np.float32(1) + np.float32(0.2) * np.abs(n)
    offset, scale = _affine(name, shape, spec, equalised)
    return np.float32(offset) + np.float32(scale) * n


def fill(spec: Spec, salt: str = "") -> dict[str, np.ndarray]:
    """Weights of every tensor of a spec."""
    equalised = any(k.endswith(("resample_filter", ".kernel")) for k in spec)  # StyleGAN2 family
    return {
        k: np.asarray(_one(k, tuple(s), spec, equalised and not k.startswith("encoder."), salt))
        for k, s in spec.items()
    }


def _probe(values: np.ndarray) -> np.ndarray:
    flat = values.ravel().astype(np.float64)
    tilt = flat @ np.linspace(-1, 1, flat.size) / flat.size
    places = np.arange(PLACES) * (flat.size - 1) // (PLACES - 1)
    return np.array([flat.mean(), flat.std(), tilt, *flat[places]], np.float32)


def probes(tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """What tells weights from others: [tensors in the order of their names, 3 + PLACES] float32.

    Of each tensor its mean, its standard deviation, its tilt (the mean of value times place, with
    places from -1 at the first value to 1 at the last: another order has another), and PLACES
    values, evenly spaced from the first to the last.
    """
    return np.stack([_probe(tensors[name]) for name in sorted(tensors)])


def assert_same(tensors: Mapping[str, np.ndarray], expected: np.ndarray) -> None:
    """Checks weights against probes that were stored.

    Machines need not draw the same bits: the tails of a normal go through libm's ``log1pf``, which
    rounds differently in other versions.  A probed value may therefore deviate by TOLERANCE of
    itself, and the mean, the deviation and the tilt by TOLERANCE of the tensor's root mean square;
    zero remains zero.  TOLERANCE is about four last bits of float32: every value may be off by one.

    Raises:
        AssertionError: a tensor is missing or too many, or one is not the same.
    """
    names = sorted(tensors)
    assert len(names) == len(expected), f"{len(names)} tensors, expected {len(expected)}"
    stored = expected.astype(np.float64)
    scale = np.abs(stored)
    scale[:, :3] = np.hypot(stored[:, :1], stored[:, 1:2])
    limit = TOLERANCE * np.maximum(scale, np.finfo(np.float32).tiny)
    same = (np.abs(probes(tensors) - stored) <= limit).all(axis=1)
    other = [names[i] for i in np.flatnonzero(~same)]
    assert not other, f"another random stream, in {len(other)} tensors: {other[:5]}"
