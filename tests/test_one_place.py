"""One place each, tried: an entry of one table is enough for the config, the task and the data."""

import functools
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax import train
from alrl_jax.data.opening import known_shapes, open_batches
from alrl_jax.data.origin import run_origin
from alrl_jax.data.records import Layout, Source, to_dict
from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import SOURCES, SourceKind, world_source
from alrl_jax.models.build import build_swapper
from alrl_jax.models.stylegan2 import ops
from alrl_jax.models.swapper.backbones import BACKBONES, Backbone
from alrl_jax.models.swapper.encoder import HEADS, DualSpaceEncoder
from alrl_jax.models.swapper.pose_space import POSE_SPACES, PoseSpace
from alrl_jax.models.swapper.selection import SELECTORS, FixedSwap
from alrl_jax.models.swapper.swapper import Swapper
from alrl_jax.training.losses.table import LOSSES
from alrl_jax.training.tasks import Task, make_task
from alrl_jax.worlds import WORLDS, World, primitives
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

NAME = "contributed"
OFFERED = [
    name
    for name in {*World.__annotations__, *vars(World)} & set(vars(primitives))
    if not name.startswith("_")
]
"""What the protocol of a world asks for, beside the place of its module."""


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_tiny_identity(tmp_path_factory.mktemp("identity") / "model")


def swap_task(identity: Path, **changes: Any) -> tuple[Task, Swapper]:
    """A task of a config with changes, and the swapper that a model of it is opened as."""
    task = make_task(tiny.tiny_config("synthetic_64", identity, **changes))
    state = jax.eval_shape(task.init, jax.random.key(0), {})
    return task, build_swapper(task.export(state, task.load_frozen()).config)


def test_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES["identity"], NAME, LOSSES["identity"]["pose_regression"])

    def metrics(weight: float) -> set[str]:
        changes: dict[str, Any] = {f"losses__{NAME}": weight}
        task = make_task(tiny.tiny_config("identity_64", **changes))
        state = jax.eval_shape(task.init, jax.random.key(0), {})
        step = functools.partial(task.step, phase=task.phase(0))
        return set(jax.eval_shape(step, state, {}, tiny.random_batch("faces"))[1])

    assert metrics(2.0) - metrics(0.0) == {f"loss/{NAME}"}


def test_a_fixed_selection(monkeypatch: pytest.MonkeyPatch, identity: Path) -> None:
    monkeypatch.setitem(SELECTORS, NAME, lambda layers: [0.25] * (layers + 1))
    _, swapper = swap_task(identity, swap__selector=NAME)
    assert isinstance(swapper.selector, FixedSwap)
    assert swapper.selector.source_weights == (0.25,) * 9


def test_a_pose_space(monkeypatch: pytest.MonkeyPatch, identity: Path) -> None:
    monkeypatch.setitem(POSE_SPACES, NAME, PoseSpace(uses_const=False, coarse_layers=2))
    images, w_avg = tiny.random_faces(2).image, jnp.zeros(16)
    moved = {}
    for space in ("spatial_const", NAME):
        _, swapper = swap_task(identity, encoder__pose_space=space)
        encoder = jax.jit(swapper.encoder.init)(jax.random.key(0), images, w_avg)
        networks = {"encoder": encoder, "generator": {"constants": {"mapping": {"w_avg": w_avg}}}}
        moved[space] = np.abs(jax.jit(swapper.encode)(networks, images).codes.pose).max()
    assert moved["spatial_const"] > 0 == moved[NAME]


class Pooled(nn.Module):
    """A backbone of one convolution at every resolution."""

    width: int

    @nn.compact
    def __call__(self, images: jax.Array) -> list[jax.Array]:
        half = ops.mean_pool(images)
        quarter = ops.mean_pool(half)
        pools = (half, quarter, ops.mean_pool(quarter))
        return [nn.Conv(self.width, (1, 1), name=f"only{i}")(x) for i, x in enumerate(pools)]


def test_a_backbone(monkeypatch: pytest.MonkeyPatch, identity: Path) -> None:
    def build(values: Any, shapes: Any, remat: str) -> DualSpaceEncoder:
        body = Pooled(*values["widths"])
        return DualSpaceEncoder(body, shapes.pose_channels, shapes.num_layers, shapes.code_width)

    monkeypatch.setitem(BACKBONES, NAME, Backbone(build, stages=1, fields=("widths",)))
    changes = {"encoder__backbone": NAME, "encoder__widths": (8,)}
    task, swapper = swap_task(identity, **changes)
    assert isinstance(swapper.encoder.backbone, Pooled)
    state = jax.eval_shape(task.init, jax.random.key(0), {})
    encoder = state.params["encoder"]["params"]
    assert encoder["backbone"]["only2"]["kernel"].shape == (1, 1, 3, 8)


class Mean(nn.Module):
    """A head that reads one number."""

    @nn.compact
    def __call__(self, images: jax.Array, features: list[jax.Array]) -> jax.Array:
        return nn.Dense(1)(features[-1].mean(axis=(1, 2)))


def test_a_head(monkeypatch: pytest.MonkeyPatch, identity: Path) -> None:
    monkeypatch.setitem(HEADS, NAME, Mean)
    _, swapper = swap_task(identity)
    images = tiny.random_faces(2).image

    def said(key: jax.Array) -> tuple[Any, Any]:
        encoding, variables = swapper.encoder.init_with_output(key, images, jnp.zeros(16))
        return encoding.others, variables["params"]

    others, params = jax.eval_shape(said, jax.random.key(0))
    assert others[NAME].shape == (2, 1) and NAME in params


class GreyFaces:
    """Four images of two people."""

    def __init__(self, resolution: int) -> None:
        self.layout, self.report = Layout(resolution), []
        self.identities = np.array([0, 0, 1, 1], np.int32)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Any]:
        return to_dict(self.read(np.array([index]))[0], index)

    def read(self, indices: np.ndarray) -> np.ndarray:
        records = self.layout.empty(len(indices))
        records["image"], records["identity"] = 255, self.identities[indices]
        return records


def batch_of(source: str, tmp_path: Path, **more: Any) -> Any:
    """The first batch that training draws of a source, by a config that names it."""
    data = {"source": source, "path": str(tmp_path / "data"), "images_per_identity": 2}
    changes = {f"data__{name}": value for name, value in data.items()} | more
    config = tiny.tiny_config("identity_64", batch_size=4, data__num_identities=2, **changes)
    task = make_task(config)
    data, batches = train.data_request(config), train.batch_request(config, task.batch_kind)
    assert run_origin(data, {}, "")["data"]["source"] == source
    batch = next(open_batches(data, batches))
    known = known_shapes(data, batches)
    if known is not None:
        shapes = [[np.shape(x) for x in jax.tree.leaves(tree)] for tree in (known, batch)]
        assert shapes[0] == shapes[1]
    return batch


def test_a_data_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def open_grey(request: DataRequest) -> Source:
        return GreyFaces(request.resolution)

    monkeypatch.setitem(SOURCES, NAME, SourceKind(open_grey))
    # Grey faces have no labels: their people are all there is to learn.
    assert (batch_of(NAME, tmp_path, losses__arcface=1.0).image == 1.0).all()


def flat_world() -> ModuleType:
    """The people of the procedural world, drawn as grey squares."""
    world = ModuleType(NAME)
    vars(world).update({name: getattr(primitives, name) for name in OFFERED})
    world.__file__ = primitives.__file__

    def render(identities: Any, attributes: Any, resolution: int) -> SimpleNamespace:
        n, side = len(jax.tree.leaves(attributes)[0]), resolution
        return SimpleNamespace(
            image=np.zeros((n, side, side, 3), np.float32),
            parsing=np.ones((n, side, side), np.uint8),
            pose_degrees=np.zeros((n, 3), np.float32),
            landmarks=np.ones((n, len(primitives.LANDMARKS), 2), np.float32),
        )

    vars(world)["render"] = render
    return world


def test_a_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(WORLDS, NAME, flat_world())
    monkeypatch.setitem(SOURCES, NAME, world_source(NAME))
    batch = batch_of(NAME, tmp_path)
    assert batch.labelled.all() and (batch.parsing == 1).all()
    np.testing.assert_allclose(batch.image, 1 / 255, atol=1e-6)  # 0, in 8 bits
