"""bfloat16 learns what float32 learns, without a scale for its losses."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from alrl_jax.training import sharding
from alrl_jax.training.step import lower_step
from alrl_jax.training.tasks import make_task
from alrl_jax.types import FaceBatch, PairBatch
from tests.support import tiny

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_compilation")]

STEPS = 200
WINDOW = 50
BATCHES = 4
OFF = ("adversarial", "r1", "perceptual", "self_perceptual", "attributes", "attribute_groups")
"""What is expensive to compile, or has nothing to learn here; adversaries would not stay close."""


def smooth_faces(seed: int) -> FaceBatch:
    """Images of a few soft blobs: unlike noise, something that can be drawn."""
    faces = tiny.random_faces(tiny.BATCH, seed)
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-1, 1, (tiny.BATCH, 4, 4, 3)).astype(np.float32)
    side = tiny.RESOLUTION
    pixels = jax.image.resize(coarse, (tiny.BATCH, side, side, 3), "cubic").clip(-1, 1)
    return faces.replace(image=pixels)


def losses(dtype: str, identity: Path) -> np.ndarray:
    """The total loss of every step."""
    off = {f"losses__{name}": 0.0 for name in OFF}
    config = tiny.tiny_config("synthetic_64", identity, compute_dtype=dtype, num_steps=STEPS, **off)
    task = make_task(config)
    mesh = sharding.make_mesh(jax.devices()[:1])
    frozen = sharding.replicate(mesh, task.load_frozen())
    state = sharding.replicate(mesh, jax.jit(task.init)(jax.random.key(0), {}))
    batches = []
    for seed in range(BATCHES):
        same = np.arange(tiny.BATCH) % 2 == 0
        target = smooth_faces(2 * seed)
        source = smooth_faces(2 * seed + 1)
        # Where both show one person, it is the same image.
        image = np.where(same[:, None, None, None], target.image, source.image)
        pair = PairBatch(dataclasses.replace(source, image=image), target, same)
        batches.append(sharding.shard_batch(mesh, jax.tree.map(np.asarray, pair)))
    program = lower_step(task, task.phase(1), mesh, state, frozen, batches[0]).compile()
    leaves, found = jax.tree.leaves(state), []
    for step in range(STEPS):
        others = jax.tree.leaves((frozen, batches[step % BATCHES]))
        leaves, metrics = program(leaves, others)
        found.append(metrics["loss/total"])
    return np.asarray(jax.device_get(found), np.float32)


def test_bfloat16_tracks_float32(tmp_path: Path) -> None:
    identity = tiny.save_tiny_identity(tmp_path / "identity")
    single, half = (losses(dtype, identity) for dtype in ("float32", "bfloat16"))
    single, half = (values.reshape(-1, WINDOW).mean(1) for values in (single, half))
    print("float32", single, "bfloat16", half, "ratio", half / single)
    assert single[-1] < 0.8 * single[0], "nothing was learned"
    np.testing.assert_allclose(half, single, rtol=0.03)
    assert (half != single).all()
