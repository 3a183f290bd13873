"""Measures throughput: ``alrl benchmark --output=FILE [--rows=a,b] [--seconds=3]``.

Every row runs on one device of the machine and is set against what that device can do: the rate
of a large matrix product (float32, JAX's default precision) and of a large copy. Floating-point
operations are those of convolutions and matrix products as the network defines them, counted from
shapes (``alrl_jax.profiling.count_flops``), beside them XLA's count for the program before
optimisation: it has elementwise work on top, and less where CPUs draw wide convolutions with fewer
products (``alrl_jax.models.stylegan2.winograd``). The renderer loops as long as its data need, so
it gets null. Bytes are what the compiled program reads and writes, by XLA's count; ``alrl
roofline`` draws both. Each row is the median of repeated calls after compilation.
``cpu_busy_share`` is what this process used of all cores meanwhile, ``cpu_seconds_per_image`` what
an image took. ``infer_64`` goes from files to files; beside it stands what the device alone does:
the share of its rate that is reached (``fraction_of_device``), and its processor time.
"""

import dataclasses
import importlib.util
import itertools
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from PIL import Image
from tqdm import tqdm

from alrl_jax.config import Config
from alrl_jax.data.pipeline import make_iterator
from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import open_source
from alrl_jax.errors import UserError
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.swapping import Swapping
from alrl_jax.loading import load_swapper
from alrl_jax.models.stylegan2.generator import Generator
from alrl_jax.photos.pair_list import list_pairs
from alrl_jax.profiling.ceilings import copy_rate, matmul_flops, repeat
from alrl_jax.profiling.count_flops import count_flops
from alrl_jax.training.sharding import make_mesh, replicate, replicated, shard_batch
from alrl_jax.training.step import lower_step
from alrl_jax.training.tasks import make_task
from alrl_jax.types import FaceBatch, PairBatch
from alrl_jax.utils import command_line
from alrl_jax.utils.destinations import check_file
from alrl_jax.utils.files import write_json
from alrl_jax.worlds import humans, primitives

LAZY_CYCLE = 16
"""Steps after which lazy regularisation repeats."""


@dataclasses.dataclass(frozen=True)
class Work:
    """What a row measures.

    Attributes:
        call: does the work once and returns what to wait for.
        images: images a call handles.
        flops: operations of a call's convolutions and matrix products, from shapes; None where they
            cannot be counted.
        lowered_flops: XLA's count of a call.
        moved_bytes: bytes that a call reads and writes.
        device: does what the device does in a call, and no more.
    """

    call: Callable[[], Any]
    images: int
    flops: float | None = None
    lowered_flops: float | None = None
    moved_bytes: float | None = None
    device: Callable[[], Any] | None = None


def program(traced: jax.stages.Traced, images: int, call: Callable[[Any], Any]) -> Work:
    """Work of one program.

    Args:
        traced: the program.
        images: images a call handles.
        call: runs it, given what it compiled to.
    """
    lowered = traced.lower()
    compiled = lowered.compile()
    return Work(
        lambda: call(compiled), images, count_flops(traced.jaxpr), _flops(lowered), _bytes(compiled)
    )


def renderer(resolution: int, batch: int) -> Work:
    """Synthetic faces; sphere tracing loops until rays arrive, so there is no count."""
    identities = primitives.sample_identities(jax.random.key(0), batch)
    attributes = primitives.sample_attributes(jax.random.key(1), batch)
    return Work(lambda: primitives.render(identities, attributes, resolution), batch)


def heads(resolution: int, batch: int) -> Work:
    """Human heads, one after the other in this process; data sets are prepared by several."""
    identities = humans.sample_identities(jax.random.key(0), batch)
    attributes = humans.sample_attributes(jax.random.key(1), batch)
    return Work(lambda: humans.render(identities, attributes, resolution), batch)


def synthesis(resolution: int, batch: int, width: int, channel_base: int) -> Work:
    """StyleGAN2 images from W+ codes.

    Args:
        resolution: side of the images.
        batch: images a call.
        width: of W, and the upper limit of the feature maps.
        channel_base: feature maps times resolution.
    """
    generator = Generator(
        resolution=resolution,
        z_dim=width,
        w_dim=width,
        channel_base=channel_base,
        channel_max=width,
    )
    z = jax.random.normal(jax.random.key(0), (batch, width))
    variables = jax.jit(generator.init)(jax.random.key(1), z)
    ws = generator.apply(variables, z, method="map")
    function = jax.jit(lambda v, codes: generator.apply(v, codes, method="synthesize"))
    return program(function.trace(variables, ws), batch, lambda run: run(variables, ws))


def input_pipeline(resolution: int, batch: int) -> Work:
    """Batches of pairs as training draws them, from prepared shards in the user's cache."""
    source = open_source(DataRequest("synthetic", None, resolution, 32, 4))
    batches = make_iterator(
        source, kind="pairs", batch_size=batch, seed=0, same_identity_share=0.5, flip=True
    )
    moved = sum(leaf.nbytes for leaf in jax.tree.leaves(next(batches)))
    return Work(lambda: next(batches), 2 * batch, moved_bytes=moved)


def training(config_file: str) -> Work:
    """Steps of a shipped config, over one whole cycle of lazy regularisation."""
    config = _read_config(config_file)
    task = make_task(config)
    mesh = make_mesh(jax.devices()[:1])
    frozen = replicate(mesh, task.load_frozen())
    init = jax.jit(task.init, out_shardings=replicated(mesh))
    state = init(jax.random.key(0), task.load_pretrained())
    size = (config.batch_size, config.resolution)
    batch = shard_batch(mesh, _batch(task.batch_kind, *size, config.data.witnesses))
    cycle = [task.phase(step) for step in range(LAZY_CYCLE)]
    cycle = cycle[:1] if len(set(cycle)) == 1 else cycle
    compiled = {
        p: lower_step(task, p, mesh, state, frozen, batch).compile() for p in dict.fromkeys(cycle)
    }
    step = jax.jit(task.step, static_argnums=3)
    traced = {phase: step.trace(state, frozen, batch, phase) for phase in compiled}
    leaves = jax.tree.leaves(state)
    others = jax.tree.leaves((frozen, batch))

    def call() -> Any:
        nonlocal leaves
        metrics = None
        for phase in cycle:
            leaves, metrics = compiled[phase](leaves, others)
        return leaves, metrics

    return Work(
        call,
        len(cycle) * config.batch_size,
        _total(cycle, {phase: count_flops(each.jaxpr) for phase, each in traced.items()}),
        _total(cycle, {phase: _flops(each.lower()) for phase, each in traced.items()}),
        _total(cycle, {phase: _bytes(each) for phase, each in compiled.items()}),
    )


def swaps(model: str, batch: int) -> Work:
    """Swaps by a shipped model, encoder to blend, of faces that lie on the device."""
    swapper = load_swapper(model)
    faces = _batch("pairs", batch, 64)
    assert isinstance(faces, PairBatch)
    source, target = faces.source.image, faces.target.image
    traced = jax.jit(swapper.swap).trace(source, target)
    return program(traced, batch, lambda _: swapper.swap(source, target).image)


def inference(model: str, batch: int, count: int) -> Work:
    """Swaps of every image of a directory with one source, from files to files.

    Args:
        model: a shipped swapper.
        batch: faces at a time.
        count: of images in the directory, of 64 px.
    """
    swapper = load_swapper(model)
    folder = tempfile.TemporaryDirectory(prefix="alrl_jax_benchmark")
    faces = _batch("faces", count, 64)
    assert isinstance(faces, FaceBatch)
    targets = Path(folder.name, "targets")
    targets.mkdir()
    for i, image in enumerate(np.asarray(faces.image)):
        Image.fromarray(np.rint((image + 1) * 127.5).astype(np.uint8)).save(targets / f"{i}.png")
    pairs = list_pairs(None, str(targets / "0.png"), str(targets)).pairs
    alone = swaps(model, batch)
    runs = itertools.count()

    def call() -> None:
        output = Path(folder.name, f"out{next(runs)}")
        output.mkdir()
        run = Swapping(swapper, Settings(aligned=True), output)
        failed = [result for result in run.run(pairs, batch) if result["status"] != "done"]
        if failed:
            raise RuntimeError(f"{len(failed)} swaps failed; the first: {failed[0]}")
        shutil.rmtree(output)

    def device() -> Any:
        return [alone.call() for _ in range(count // batch)]

    flops = None if alone.flops is None else alone.flops * count / batch
    return Work(call, count, flops, device=device)


ROWS: dict[str, Callable[[], Work]] = {
    "renderer_64": lambda: renderer(64, batch=16),
    "humans_128": lambda: heads(128, batch=4),
    "humans_256": lambda: heads(256, batch=4),
    "synthesis_64": lambda: synthesis(64, batch=16, width=64, channel_base=1024),
    "synthesis_256": lambda: synthesis(256, batch=4, width=512, channel_base=16384),
    "synthesis_1024": lambda: synthesis(1024, batch=1, width=512, channel_base=32768),
    "input_64": lambda: input_pipeline(64, batch=16),
    "train_generator_64": lambda: training("generator_64.py"),
    "train_identity_64": lambda: training("identity_64.py"),
    "train_swap_64": lambda: training("synthetic_64.py"),
    "swap_64": lambda: swaps("embedded/swapper_64", batch=16),
    "infer_64": lambda: inference("embedded/swapper_64", batch=16, count=128),
}
"""What can be measured."""


def measure(names: Sequence[str], seconds: float) -> dict[str, Any]:
    """Runs rows of ``ROWS``.

    Args:
        names: the rows.
        seconds: how long to repeat each, at least.

    Returns:
        ``machine``, ``ceilings`` and ``rows``: plain values for JSON.
    """
    ceilings = {
        "matmul_flops": matmul_flops(seconds),
        "copy_bytes_per_second": copy_rate(seconds),
    }
    rows = []
    for name in tqdm(names, desc="benchmark"):
        begin = time.perf_counter()
        work = ROWS[name]()
        jax.block_until_ready(work.call())
        prepared = time.perf_counter() - begin
        rows.append(_measured(name, work, seconds, ceilings) | {"prepare_seconds": prepared})
        tqdm.write(f"{name}: {rows[-1]['images_per_second']:.1f} images/s")
    return {"machine": _machine(), "ceilings": ceilings, "rows": rows}


def _measured(name: str, work: Work, seconds: float, ceilings: dict[str, float]) -> dict[str, Any]:
    """A row, with what it took of the processors."""
    times, used = repeat(work.call, seconds)
    call = statistics.median(times)
    row = _row(name, work, call, ceilings)
    row["cpu_busy_share"] = used / sum(times) / (os.cpu_count() or 1)
    row["cpu_seconds_per_image"] = used / len(times) / work.images
    if work.device is not None:
        times, used = repeat(work.device, seconds)
        row["fraction_of_device"] = statistics.median(times) / call
        row["device_cpu_seconds_per_image"] = used / len(times) / work.images
    return row


def _row(name: str, work: Work, seconds: float, ceilings: dict[str, float]) -> dict[str, Any]:
    flops, moved = work.flops, work.moved_bytes
    matmul = _share(flops, seconds * ceilings["matmul_flops"])
    copy = _share(moved, seconds * ceilings["copy_bytes_per_second"])
    return {
        "name": name,
        "images_per_second": work.images / seconds,
        "flops_per_image": _share(flops, work.images),
        "lowered_flops_per_image": _share(work.lowered_flops, work.images),
        "bytes_per_image": _share(moved, work.images),
        "fraction_of_matmul": matmul,
        "fraction_of_copy": copy,
        "fraction_of_ceiling": copy if matmul is None else matmul,
        "images_per_call": work.images,
    }


def _share(part: float | None, whole: float | int) -> float | None:
    return None if part is None else part / whole


def _flops(lowered: jax.stages.Lowered) -> float | None:
    """XLA's count; a loop's body counts once, but here only the drawing of numbers loops."""
    analysis = lowered.cost_analysis()
    return float(analysis["flops"]) if analysis else None


def _bytes(compiled: jax.stages.Compiled) -> float | None:
    """XLA's count of what the operations of a compiled program read and write."""
    analysis = compiled.cost_analysis()
    return float(analysis["bytes accessed"]) if analysis else None


def _total(cycle: Sequence[Any], counts: Mapping[Any, float | None]) -> float | None:
    """Sum of counts by phase over the phases of a cycle; None where one is not known."""
    known = [count for phase in cycle if (count := counts[phase]) is not None]
    return sum(known) if len(known) == len(cycle) else None


def _batch(
    kind: str, batch: int, resolution: int, witnesses: bool = False
) -> FaceBatch | PairBatch:
    def faces(seed: int) -> FaceBatch:
        who = primitives.sample_identities(jax.random.key(seed), batch)
        how = primitives.sample_attributes(jax.random.key(seed + 1), batch)
        seen = primitives.render(who, how, resolution)
        return FaceBatch(
            image=seen.image,
            parsing=seen.parsing,
            identity=jnp.arange(batch),
            identity_factors=primitives.identity_vector(who),
            attribute_factors=primitives.attribute_vector(how),
            pose_degrees=seen.pose_degrees,
            landmarks=seen.landmarks,
            labelled=jnp.ones(batch, bool),
        )

    if kind == "faces":
        return faces(0)
    same = jnp.arange(batch) % 2 == 0
    witness = faces(4).image if witnesses else None
    return PairBatch(source=faces(0), target=faces(2), same_identity=same, witness=witness)


def _read_config(name: str) -> Config:
    path = command_line.shipped_configs() / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Config.from_dict(module.get_config().to_dict())


def _machine() -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "device": device.device_kind,
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "python": platform.python_version(),
        "jax": jax.__version__,
    }


def main(_: list[str]) -> int:
    """Measures and writes the file."""
    names = flags.FLAGS.rows or list(ROWS)
    unknown = sorted(set(names) - set(ROWS))
    if unknown:
        raise UserError(f"got --rows={','.join(unknown)}; expected rows of: {', '.join(ROWS)}")
    output = check_file(flags.FLAGS.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_json(output, measure(names, flags.FLAGS.seconds))
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path("output", None, "JSON file to write.", required=True)
    flags.DEFINE_list("rows", None, f"Rows to measure, of: {', '.join(ROWS)}; all by default.")
    flags.DEFINE_float("seconds", 3.0, "How long to repeat each row.", lower_bound=0.0)


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
