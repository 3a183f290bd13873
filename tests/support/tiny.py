"""Every config at a size that compiles in seconds, on random faces."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alrl_jax.commands.fabricate_models import Sizes
from alrl_jax.config import Config
from alrl_jax.storage.model_directory import save_model
from alrl_jax.training.tasks import make_task
from alrl_jax.types import FaceBatch, PairBatch
from alrl_jax.worlds import primitives

CONFIGS = Path(__file__).parents[2] / "configs"
CONFIG_NAMES = sorted(path.stem for path in CONFIGS.glob("*.py"))
PHOTO_CONFIGS = tuple(name for name in CONFIG_NAMES if name.startswith("ffhq"))
"""Those that start from networks of others."""
WITH_PUBLISHED = (*PHOTO_CONFIGS, "rehearsal_64")
"""Those whose losses read with networks of the published kinds."""
ROWS_CONFIG = "rows_64"
"""The one that trains on the features of a swapper."""
RESOLUTION = 32
BATCH = 8
NARROW = Sizes(
    w_dim=16,
    channel_base=256,
    channel_max=16,
    mapping_layers=2,
    widths=(4, 6, 8, 16),
    units=(1, 2, 1, 1),
    squeeze=2,
    encoder_resolution=32,
    identity_resolution=32,
    embedding_width=10,
    parser_width=4,
    parser_resolution=64,
    pose_width=4,
    pose_depths=(1, 1, 1, 1),
    pose_resolution=32,
)
"""Sizes of networks of others, as small as the tiny configs."""


def load_config_file(name: str) -> ModuleType:
    """The module of a file of ``configs/``."""
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tiny_config(name: str, identity: Path | None = None, **changes: Any) -> Config:
    """A config of ``configs/``, narrow and at 32 px.

    Args:
        name: file name without its ending; after a colon, what the file is asked for.
        identity: model directory of the identity net, for swap configs.
        changes: fields by dotted name, dots written as double underscores.
    """
    name, _, row = name.partition(":")
    module = load_config_file(name)
    config = module.get_config(row) if row else module.get_config()
    encoder = {"encoder.widths": (8, 8, 8)}
    if config.encoder.backbone == "ir_se":
        encoder = {
            "loss_resolution": 0,
            "remat": "none",  # has tests of its own, and is long to compile
            "encoder.resolution": 0,
            "encoder.widths": NARROW.widths,
            "encoder.units": NARROW.units,
            "encoder.squeeze": NARROW.squeeze,
        }
    small = {
        "resolution": RESOLUTION,
        "batch_size": BATCH,
        "generator.channel_base": 256,
        "generator.channel_max": 16,
        "generator.w_dim": 16,
        "generator.z_dim": 16,
        "generator.num_mapping_layers": 2,
        "discriminator.channel_base": 256,
        "discriminator.channel_max": 16,
        "discriminator.mbstd_blocks": min(config.discriminator.mbstd_blocks, BATCH // 2),
        **encoder,
        "swap.width": 8,
        "swap.context": min(config.swap.context, 8),
        "swap.channel_groups": 4,
        "identity.widths": (8, 8),
        "identity.hidden": 16,
        "optimizer.warmup_steps": 0,
        **{key.replace("__", "."): value for key, value in changes.items()},
    }
    if identity is not None:
        named = {f"pretrained.{key}": "" for key in config.pretrained}
        # The other tasks take no networks.
        given = {"pretrained.identity": str(identity)} if config.task == "swap" else {}
        small = {**named, **given, **small}
    config.update_from_flattened_dict(small)
    return Config.from_dict(config.to_dict())


def save_tiny_identity(directory: Path) -> Path:
    """Writes an untrained identity net for swap configs."""
    task = make_task(tiny_config("identity_64"))
    state = jax.jit(task.init)(jax.random.key(7), {})
    model = task.export(state, {})
    save_model(directory, model.kind, model.config, model.variables)
    return directory


def save_tiny_swapper(directory: Path, identity: Path, **changes: Any) -> Path:
    """Writes an untrained swapper, whose features and generator rows can be trained on."""
    task = make_task(tiny_config("synthetic_64", identity, **changes))
    state = jax.jit(task.init)(jax.random.key(3), {})
    model = task.export(state, task.load_frozen())
    kept = {n: tree for n, tree in model.variables.items() if n not in ("probe", "discriminator")}
    save_model(directory, model.kind, model.config, kept)
    return directory


def random_faces(count: int, seed: int = 0) -> FaceBatch:
    """Noise with random labels, standardised like real ones."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)  # noqa: E731
    return FaceBatch(
        image=jnp.clip(0.5 * normal(count, RESOLUTION, RESOLUTION, 3), -1.0, 1.0),
        parsing=jnp.asarray(rng.integers(0, 19, (count, RESOLUTION, RESOLUTION)), jnp.int32),
        identity=jnp.arange(count, dtype=jnp.int32),
        identity_factors=normal(count, len(primitives.IDENTITY_FACTORS)),
        attribute_factors=normal(count, len(primitives.ATTRIBUTE_FACTORS)),
        pose_degrees=20.0 * normal(count, 3),
        landmarks=jnp.asarray(
            rng.uniform(0, RESOLUTION, (count, len(primitives.LANDMARKS), 2)), jnp.float32
        ),
        labelled=jnp.ones((count,), bool),
    )


def random_batch(kind: str, count: int = BATCH, seed: int = 0) -> FaceBatch | PairBatch:
    """A batch of the kind that a task wants."""
    faces = random_faces(count, seed)
    if kind == "faces":
        return faces
    same = jnp.arange(count) % 2 == 0
    return PairBatch(source=random_faces(count, seed + 1), target=faces, same_identity=same)
