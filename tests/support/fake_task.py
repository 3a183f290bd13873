"""A linear regression with the interface of a task, and its data: small enough to train in a test.

Run as a program, it trains in a directory until it is killed or done, alone or as one of several
processes.
"""

import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from alrl_jax.storage.model_directory import read_model
from alrl_jax.training.loop import Schedule, fit
from alrl_jax.training.state import TrainState, new_state, update_networks
from alrl_jax.training.tasks.pretrained import Reader
from alrl_jax.utils.command_line import run

BATCH = 16
WIDTH = 3


class FakeTask:
    """Fits ``y = x w``; every fourth update has a penalty, as lazy regularisation has."""

    name = "fake"
    batch_kind = "faces"

    def __init__(self, bad_metric_at: int = -1, bad_state_at: int = -1) -> None:
        self.optimizers = {"line": optax.sgd(0.05, momentum=0.9)}
        self.bad_metric_at = bad_metric_at
        self.bad_state_at = bad_state_at

    def load_frozen(self, read: Reader = read_model) -> dict[str, Any]:
        return {"scale": np.float32(2.0)}

    def load_pretrained(self, read: Reader = read_model) -> dict[str, Any]:
        return {}

    def init(self, key: Key[Array, ""], pretrained: dict[str, Any]) -> TrainState:
        params = {"line": {"w": jax.random.normal(key, (WIDTH,))}}
        return new_state(params, self.optimizers, ("line",), {})

    def phase(self, step: int) -> bool:
        return step % 4 == 0

    def step(
        self, state: TrainState, frozen: dict[str, Any], batch: dict[str, Array], phase: bool
    ) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(1), state.step), (WIDTH,))

        def loss(line: dict[str, Array]) -> Float[Array, ""]:
            error = batch["x"] @ (line["w"] + 0.01 * noise) * frozen["scale"] - batch["y"]
            return (error**2).mean() + (0.01 * (line["w"] ** 2).sum() if phase else 0.0)

        value, gradient = jax.value_and_grad(loss)(state.params["line"])
        metrics = {"loss/error": jnp.where(state.step + 1 == self.bad_metric_at, jnp.nan, value)}
        if phase:
            metrics["loss/penalty"] = (state.params["line"]["w"] ** 2).sum()
        gradient = jax.tree.map(
            lambda w: jnp.where(state.step + 1 == self.bad_state_at, jnp.nan, w), gradient
        )
        return update_networks(state, {"line": gradient}, self.optimizers, BATCH, 0.1), metrics

    def preview(
        self, state: TrainState, frozen: dict[str, Any], batch: dict[str, Array]
    ) -> dict[str, Float[Array, "b ..."]]:
        image = jnp.broadcast_to(batch["x"][:, None, None, :], (len(batch["x"]), 8, 8, WIDTH))
        return {"image": jnp.tanh(image), "gates": jax.nn.sigmoid(image[..., 0])}


class FakeBatches:
    """Batch t is a function of t alone; a process gets its slice."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.position = 0
        self.seconds = seconds
        count = BATCH // jax.process_count()
        self.share = slice(jax.process_index() * count, (jax.process_index() + 1) * count)

    def __next__(self) -> dict[str, np.ndarray]:
        time.sleep(self.seconds)
        generator = np.random.default_rng(self.position)
        self.position += 1
        x = generator.normal(size=(BATCH, WIDTH)).astype(np.float32)
        y = x @ np.array([1.0, -2.0, 3.0], np.float32)
        return {"x": x[self.share], "y": y[self.share]}

    def get_state(self) -> dict[str, int]:
        return {"position": self.position}

    def set_state(self, state: dict[str, int]) -> None:
        self.position = state["position"]


def schedule(num_steps: int, **changes: int) -> Schedule:
    """A short run that logs every 3 steps and saves every 2."""
    values = {
        "batch_size": BATCH,
        "log_every": 3,
        "checkpoint_every": 2,
        "sample_every": 0,
        "keep_checkpoints": 3,
    }
    return Schedule(num_steps=num_steps, **(values | changes))


def main(argv: list[str]) -> None:
    """Trains in the directory of the first argument; the last step is what it prints."""
    directory, steps = Path(argv[1]), int(argv[2])
    if len(argv) > 3:
        address, count, index = argv[3:]
        jax.distributed.initialize(address, int(count), int(index))
    directory.mkdir(exist_ok=True)
    print(fit(FakeTask(), FakeBatches(seconds=0.05), directory, schedule(steps), seed=0))


if __name__ == "__main__":
    run(main, positional=True)
