"""Damages files of every container: an error for the user or a whole model, nothing else.

python -m tests.support.checkpoints.fuzz 1000
"""

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from alrl_jax.convert.engine import convert_file
from alrl_jax.convert.export import export
from alrl_jax.convert.families import FORMATS
from alrl_jax.errors import UserError
from tests.support.checkpoints.legacy_writer import save_legacy
from tests.support.checkpoints.nvidia_writer import GENERATIONS, NvidiaWriter, save_snapshot
from tests.support.checkpoints.tf_writer import save_tf, tf_network, tf_variables
from tests.support.checkpoints.torch_writer import save_torch

SECONDS = 5
"""Longest time that a file may take."""
CONFIG = {"resolution": 8, "channel_base": 16, "channel_max": 2, "mbstd_num_channels": 1}


def _tensors(layout: str) -> dict[str, np.ndarray]:
    """A tiny discriminator."""
    row = next(row for row in FORMATS if row.kind == "discriminator")
    config = {**CONFIG, "label_dim": 0, "num_mapping_layers": 0, "mbstd_group_size": 4}
    tree = row.shapes(config)["params"]
    weights = {
        block: {
            layer: {n: np.full(x.shape, 0.5, np.float32) for n, x in values.items()}
            for layer, values in layers.items()
        }
        for block, layers in tree.items()
    }
    meta = {"kind": "discriminator", "config": config}
    return export(meta, {"params": weights}, layout).tensors


def sound_files(folder: Path) -> list[bytes]:
    """One small, sound file of each container."""
    rosinality, nvidia = _tensors("rosinality"), _tensors("nvidia")
    network = tf_network(tf_variables(nvidia), 5)
    paths = [
        save_torch(folder / "zip.pt", {"d": rosinality}),
        save_legacy(folder / "legacy.pt", {"d": rosinality, "step": 3}),
        save_snapshot(folder / "ada.pkl", NvidiaWriter(GENERATIONS["ada"]), {"D": nvidia}),
        save_snapshot(folder / "sg3.pkl", NvidiaWriter(GENERATIONS["stylegan3"]), {"D": nvidia}),
        save_tf(folder / "tf.pkl", (network, network, network)),
    ]
    for path in paths:
        convert_file(path, "discriminator", folder / "out")
    return [path.read_bytes() for path in paths]


def _mutants(files: list[bytes], count: int) -> Iterator[bytes]:
    """Bytes flipped, cut off, taken out, doubled, or spliced in from another file."""
    random = np.random.default_rng(0)
    for i in range(count):
        data = bytearray(files[i % len(files)])
        start, end = sorted(int(x) for x in random.integers(0, len(data), 2))
        match int(random.integers(8)):
            case 0:
                data = data[:start]
            case 1:
                del data[start : min(end, start + 64)]
            case 2:
                data[start:start] = data[start : start + 64]
            case 3:
                other = files[int(random.integers(len(files)))]
                at = int(random.integers(len(other)))
                data[start:end] = other[at : at + end - start]
            case _:
                for position in random.integers(0, len(data), int(random.integers(1, 9))):
                    data[position] ^= 1 << int(random.integers(8))
        yield bytes(data)


def _too_long(*_: object) -> None:
    raise TimeoutError


def convert_mutants(files: list[bytes], folder: Path, count: int) -> int:
    """Converts mutants in an empty folder; returns how many were whole models still."""
    path, output, sound = folder / "mutant", folder / "out", 0
    before = signal.signal(signal.SIGPROF, _too_long)
    try:
        for data in _mutants(files, count):
            path.write_bytes(data)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                convert_file(path, "auto", output)
                sound += 1
            except UserError as error:
                assert "\n" not in str(error) and "mutant" in str(error)
                assert not output.exists()
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            shutil.rmtree(output, ignore_errors=True)
            assert [p.name for p in folder.iterdir()] == ["mutant"]
    finally:
        signal.signal(signal.SIGPROF, before)
    return sound


def main() -> None:
    """Says how many of the mutants were whole models."""
    with tempfile.TemporaryDirectory() as sound, tempfile.TemporaryDirectory() as folder:
        print(convert_mutants(sound_files(Path(sound)), Path(folder), int(sys.argv[1])))


if __name__ == "__main__":
    main()
