"""Damages files that may come from strangers: a user error or a result, in time, and nothing else.

    python -m tests.support.fuzz KIND COUNT SEED

KIND is a row of ``KINDS``. A mutant that breaks the rule is written to ``KIND.mutant`` in the
working directory, and its number is said. Checkpoints have ``tests.support.checkpoints.fuzz``.
"""

import dataclasses
import functools
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alrl_jax.commands.roofline import draw_file
from alrl_jax.convert.engine import convert_file
from alrl_jax.errors import UserError
from alrl_jax.inference.outputs import OutputFolder
from alrl_jax.inference.pseudonyms import Pseudonyms
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.video.pyav import VideoCopy
from alrl_jax.loading.soundness import check_model
from alrl_jax.models.build import build_analyser
from alrl_jax.photos.landmark_files import read_landmark_file
from alrl_jax.photos.pair_list import read_pairs
from alrl_jax.storage.model_directory import MODEL_FILE, WEIGHTS_FILE, read_model, save_model
from alrl_jax.storage.workdir import METRICS_FILE, read_metrics

SECONDS = 10
"""Longest time that a mutant may take."""
_SPLICES = (b"", b"null", b"-1", b"[]", b"{}", b'""', b"1e999", b"NaN", b"9" * 400, b"\0", b"\xff")
"""What stands in the place of a part of a text."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """Files of one kind.

    Attributes:
        name: of the file; readers go by its suffix.
        make: writes sound ones into a folder, and gives their contents.
        read: reads the file in a folder, in which whatever stands beside it lies as well.
    """

    name: str
    make: Callable[[Path], list[bytes]]
    read: Callable[[Path], Any]


def _json(value: Any) -> Callable[[Path], list[bytes]]:
    return lambda folder: [json.dumps(value).encode()]


POINTS = [[30.0, 30.0], [60.0, 30.0], [45.0, 45.0], [33.0, 60.0], [57.0, 60.0]]


def _archives(folder: Path) -> list[bytes]:
    faces: dict[str, Any] = {"a.png": np.array(POINTS), "b.png": np.array([POINTS])}
    np.savez(folder / "plain.npz", **faces)
    np.savez_compressed(folder / "small.npz", **faces)
    return [(folder / name).read_bytes() for name in ("plain.npz", "small.npz")]


def save_tiny_model(folder: Path) -> None:
    """A tiny model of a kind that is traced in no time."""
    config = {
        "block": "plain",
        "widths": [4],
        "hidden": 4,
        "resolution": 16,
        "identity_width": 3,
        "attribute_width": 3,
        "num_landmarks": 2,
    }
    network = build_analyser(config)
    variables = network.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    save_model(folder, "identity", config, variables)


def _part_of_model(name: str) -> Callable[[Path], list[bytes]]:
    def make(folder: Path) -> list[bytes]:
        save_tiny_model(folder / "model")
        return [(folder / "model" / name).read_bytes()]

    return make


def _read_model(folder: Path) -> Any:
    return read_model(folder, functools.partial(check_model, folder))


def _videos(folder: Path) -> list[bytes]:
    import av

    contents = []
    for name, codec in (("a.mp4", "mpeg4"), ("b.mkv", "mpeg4"), ("c.mp4", "libx264")):
        with av.open(str(folder / name), "w") as container:
            stream: Any = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
            rng = np.random.default_rng(0)
            for number in range(8):
                pixels = rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        contents.append((folder / name).read_bytes())
    return contents


def _read_video(folder: Path) -> Any:
    with VideoCopy(folder / "clip.mp4", folder / "out.mkv", ".mkv", "") as copy:
        for _, pixels in copy.frames():
            copy.write(pixels)
        copy.finish()
        return copy.lost


def _sidecar(folder: Path) -> list[bytes]:
    recipe = OutputFolder(folder, "swapper", "0" * 64, Settings()).recipe({"source": "a"})
    more = {"output": {"file": "a.png", "sha256": "b"}, "gates": None, "doubtful": None}
    return [json.dumps(recipe | more).encode()]


def _read_sidecar(folder: Path) -> Any:
    output = OutputFolder(folder, "swapper", "0" * 64, Settings())
    (folder / "a.png").touch()
    return output.finished("a.png", {"source": "a"})


def _pseudonyms(folder: Path) -> list[bytes]:
    path = folder / "secret.json"
    Pseudonyms(7, "m", path).seeds({0: np.array([1.0, 0.0]), 1: np.array([0.0, 1.0])})
    return [path.read_bytes()]


def _read_pseudonyms(folder: Path) -> Any:
    return Pseudonyms(7, "m", folder / "secret.json").seeds({5: np.array([0.6, 0.8])})


BENCHMARK = {
    "machine": {"device": "cpu", "processor": "x86_64", "jax": "0.4"},
    "ceilings": {"matmul_flops": 1e11, "copy_bytes_per_second": 1e10},
    "rows": [
        {
            "name": "synthesis_64",
            "flops_per_image": 3e8,
            "bytes_per_image": 2e7,
            "images_per_second": 90.5,
        }
    ],
}


def _graphs(folder: Path) -> list[bytes]:
    """ONNX files of two ways in which exporters write a network."""
    from tests.support.checkpoints import face_files, onnx_writer

    tensors = face_files.fill(face_files.iresnet_spec())
    paths = [
        onnx_writer.save_iresnet(folder / f"{folds}.onnx", tensors, folds=folds, scales=not folds)
        for folds in (False, True)
    ]
    return [path.read_bytes() for path in paths]


KINDS: dict[str, Kind] = {
    "landmarks_json": Kind(
        "faces.json",
        _json({"a.png": POINTS, "b.png": [POINTS, POINTS], "c.png": []}),
        lambda folder: read_landmark_file(folder / "faces.json"),
    ),
    "landmarks_npz": Kind(
        "faces.npz", _archives, lambda folder: read_landmark_file(folder / "faces.npz")
    ),
    "landmarks_csv": Kind(
        "faces.csv",
        lambda folder: [b"file,x0,y0\na.png,1,2,3,4,5,6,7,8,9,10\nb.png\n"],
        lambda folder: read_landmark_file(folder / "faces.csv"),
    ),
    "pairs": Kind(
        "pairs.csv",
        lambda folder: [b"source,target,skin_tone\na.png,b.png,3\n~/c.png,d.png,\n"],
        lambda folder: read_pairs(folder / "pairs.csv"),
    ),
    "model_json": Kind(MODEL_FILE, _part_of_model(MODEL_FILE), _read_model),
    "safetensors": Kind(WEIGHTS_FILE, _part_of_model(WEIGHTS_FILE), _read_model),
    "sidecar": Kind("a.json", _sidecar, _read_sidecar),
    "metrics": Kind(
        METRICS_FILE,
        lambda folder: [b'{"step": 1, "loss/a": 0.5}\n{"step": 2, "loss/a": 0.25}\n'],
        read_metrics,
    ),
    "benchmark": Kind(
        "benchmark.json", _json(BENCHMARK), lambda folder: draw_file(folder / "benchmark.json")
    ),
    "onnx": Kind(
        "net.onnx",
        _graphs,
        lambda folder: convert_file(folder / "net.onnx", "iresnet", folder / "out"),
    ),
    "pseudonyms": Kind("secret.json", _pseudonyms, _read_pseudonyms),
    "video": Kind("clip.mp4", _videos, _read_video),
}
"""What is damaged, by name."""


def mutants(sound: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Bytes flipped, cut off, taken out, doubled, replaced, or spliced in from another file."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        data = bytearray(sound[number % len(sound)])
        start, end = sorted(rng.integers(0, len(data), 2).tolist())
        near = min(end, start + int(rng.integers(1, 32)))
        match int(rng.integers(7)):
            case 0:
                del data[start:]
            case 1:
                del data[start:near]
            case 2:
                data[start:start] = data[start:near] * int(rng.integers(1, 4))
            case 3:
                data[start:near] = _SPLICES[int(rng.integers(len(_SPLICES)))]
            case 4:
                other = sound[int(rng.integers(len(sound)))]
                at = int(rng.integers(len(other)))
                data[start:end] = other[at : at + end - start]
            case _:
                for place in rng.integers(0, len(data), int(rng.integers(1, 9))):
                    data[place] ^= 1 << int(rng.integers(8))
        yield bytes(data)


def read_mutants(name: str, count: int, seed: int, folder: Path) -> int:
    """How many mutants of a kind were read; the others were refused in one bounded line.

    Args:
        name: a row of ``KINDS``.
        count: of the mutants.
        seed: of the damage.
        folder: an empty one.

    Raises:
        Exception: whatever a reader raises beside a UserError; the mutant is kept.
    """
    kind, read = KINDS[name], 0
    (folder / "sound").mkdir()
    sound = kind.make(folder / "sound")
    where = folder / "sound" / "model" if (folder / "sound" / "model").is_dir() else folder
    for number, content in enumerate(mutants(sound, count, seed)):
        (where / kind.name).write_bytes(content)
        previous = signal.alarm(SECONDS)
        assert previous == 0
        try:
            kind.read(where)
            read += 1
        except UserError as error:
            assert str(error)
        except BaseException:
            Path(f"{name}.mutant").write_bytes(content)
            print(f"mutant {number} of {name}, seed {seed}", file=sys.stderr)
            raise
        finally:
            signal.alarm(0)
    return read


def main() -> None:
    """Damages what the command line says, and prints how many mutants were read."""
    name, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with tempfile.TemporaryDirectory() as folder:
        print(read_mutants(name, count, seed, Path(folder)))


if __name__ == "__main__":
    main()
