"""What a run says on the terminal: its log, and a bar of what is done."""

import sys
from typing import Any

import jax
from absl import logging
from tqdm import tqdm

from alrl_jax.training import sharding

PyTree = Any


def progress_bar(first: int, num_steps: int, batch_size: int) -> tqdm:
    """Counts images, so that it shows images a second and the time left; only on a terminal."""
    return tqdm(
        total=num_steps * batch_size,
        initial=first * batch_size,
        unit="img",
        desc="training",
        dynamic_ncols=True,
        disable=None if jax.process_index() == 0 else True,
    )


def say(text: str) -> None:
    """Logs a line without tearing the progress bar."""
    with tqdm.external_write_mode(file=sys.stderr):
        logging.info("%s", text)


def report_start(
    state: PyTree, frozen: PyTree, mesh: jax.sharding.Mesh, batch_size: int, steps: tuple[int, int]
) -> None:
    """Says what is trained on which devices, and what they keep.

    Args:
        state: of the run.
        frozen: variables that no update changes.
        mesh: devices.
        batch_size: images of the global batch.
        steps: finished updates, and those of the whole run.
    """
    sizes = {
        name: sum(leaf.size for leaf in jax.tree.leaves(tree))
        for name, tree in state.params.items()
    }
    kept = {"state": state, "frozen networks": frozen}
    sizes_kept = {name: sharding.bytes_per_device(tree) / 2**20 for name, tree in kept.items()}
    parts = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    held = ", ".join(f"{size:.1f} MiB of {name}" for name, size in sizes_kept.items())
    device = mesh.devices.flat[0]
    say(
        f"{sum(sizes.values()):,} parameters ({parts}); a device keeps {held}; "
        f"{mesh.size} x {device.device_kind} ({device.platform}); batch {batch_size}; "
        f"steps {steps[0]} to {steps[1]}"
    )
