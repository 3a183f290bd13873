"""Finds the codes from which a generator draws given photographs (GAN inversion into W+).

    alrl invert --model=DIR --images=PHOTOS --output=DIR --steps=1000

Photographs are face crops, aligned as the generator's training images were; the centre square of
each is taken.  Every one gives NAME.npz (``ws``, ``loss``, ``psnr``; ``pose`` where the generator
has pose codes), NAME.png (what is drawn from them) and NAME.json (settings, hashes);
``results.jsonl`` says how each went.  A run that was stopped goes on where it was; what an earlier
run with the same photographs, model and settings finished is skipped.  Exit status: 0 all done; 2
bad usage; 3 finished, some photographs failed.
"""

import collections
import dataclasses
import json
import os
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jaxtyping import Array, Float, UInt8
from tqdm import tqdm

from alrl_jax.errors import UserError
from alrl_jax.evaluation.image_metrics import psnr
from alrl_jax.evaluation.report.images import to_bytes
from alrl_jax.loading import GeneratorModel, load_generator, load_lpips
from alrl_jax.models.functional import apply
from alrl_jax.models.stylegan2 import ops
from alrl_jax.photos.decoding import UnreadableImageError, read_image
from alrl_jax.photos.file_trees import list_images
from alrl_jax.provenance import image_metadata
from alrl_jax.training.inversion import (
    Codes,
    Distance,
    InversionState,
    Inverter,
    Prior,
    measure_prior,
    pyramid_distance,
)
from alrl_jax.utils import command_line, hashing, version
from alrl_jax.utils.destinations import check_folder
from alrl_jax.utils.files import write_arrays, write_json, write_text

SOME_FAILED = 3
RESULTS_FILE = "results.jsonl"
STATE_FILE = ".unfinished.npz"
PRIOR_SAMPLES = 1024
SAVE_EVERY = 100
"""Steps between two saved states, and at most between two moves of the progress bar."""
LPIPS_SIDE = 256
"""LPIPS is measured at no more than these pixels, as inversion usually does."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a search depends on beside model and photograph."""

    steps: int = 1000
    learning_rate: float = 0.1
    noise_mode: str = "const"
    lpips_sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photograph to invert, under the name of its outputs."""

    path: Path
    name: str
    sha256: str = ""
    pixels: UInt8[np.ndarray, "r r 3"] | None = None
    failure: str | None = None


def list_photos(path: Path) -> list[Photo]:
    """A file, or all photos in a tree; outputs are named by their stems where these differ.

    Raises:
        UserError: if there is none.
    """
    if path.is_file():
        return [Photo(path, path.stem)]
    names = list_images(path) if path.is_dir() else []
    if not names:
        raise UserError(f"got --images={path}; expected a photo or a tree of some; check the path")
    flat = [name.replace("/", "_") for name in names]
    stems = [Path(name).stem for name in flat]
    count = collections.Counter(stems)
    unique = [s if count[s] == 1 else f for s, f in zip(stems, flat, strict=True)]
    return [Photo(path / name, stem) for name, stem in zip(names, unique, strict=True)]


@dataclasses.dataclass(frozen=True)
class Measure:
    """What a search makes small.

    Attributes:
        distance: of weights of LPIPS, images and targets.
        variables: the weights, None without LPIPS.
    """

    distance: Distance
    variables: Any = None

    @property
    def lpips_sha256(self) -> str | None:
        """Hash of the weights, None without LPIPS."""
        return None if self.variables is None else hashing.variables_sha256(self.variables)


def _pixels(_: Any, images: Array, targets: Array) -> Float[Array, " b"]:
    return pyramid_distance(images, targets)


PIXELS = Measure(_pixels)


def load_measure(directory: str | None) -> Measure:
    """Pixels, and LPIPS where there is one.

    Raises:
        UserError: nothing there, or a model of another kind.
    """
    if directory is None:
        return PIXELS
    model = load_lpips(directory)

    def distance(variables: Any, images: Array, targets: Array) -> Float[Array, " b"]:
        pixels = pyramid_distance(images, targets)
        while images.shape[1] > LPIPS_SIDE:
            images, targets = ops.mean_pool(images), ops.mean_pool(targets)
        return model.distances(variables, images, targets) + pixels

    return Measure(distance, model.variables)


def sample_prior(model: GeneratorModel) -> Prior:
    """Where the generator's codes lie, from latents of a fixed seed."""
    stream = np.random.RandomState(0)
    z = stream.randn(PRIOR_SAMPLES, model.network.z_dim).astype(np.float32)
    classes = model.network.label_dim
    labels = (
        np.eye(classes, dtype=np.float32)[np.arange(PRIOR_SAMPLES) % classes] if classes else None
    )
    latents = stream.randn(PRIOR_SAMPLES, model.pose_latent_dim).astype(np.float32)
    pose = model.pose_code(latents) if model.pose_latent_dim else None
    return measure_prior(
        model.variables["constants"]["mapping"]["w_avg"], Codes(model.map(z, labels), pose)
    )


class Inverting:
    """One run: a generator, settings and an output directory.

    Args:
        model: the generator.
        measure: what is made small.
        settings: length and rate of the search.
        output: directory of the outputs; must exist.
    """

    def __init__(
        self, model: GeneratorModel, measure: Measure, settings: Settings, output: Path
    ) -> None:
        self.settings, self.output = settings, output
        self.resolution = model.network.resolution
        self.model_sha256 = hashing.variables_sha256(model.variables)
        self.prior = sample_prior(model)
        generator = {name: model.variables[name] for name in ("params", "constants")}
        self.networks = {"generator": generator, "lpips": measure.variables}
        network, mode = model.network, settings.noise_mode

        def synthesize(networks: Any, codes: Codes) -> Float[Array, "b h w 3"]:
            return apply(
                network, networks["generator"], codes.ws, codes.pose, mode, method="synthesize"
            )

        def distance(networks: Any, images: Array, targets: Array) -> Float[Array, " b"]:
            return measure.distance(networks["lpips"], images, targets)

        self.search = Inverter(synthesize, distance, settings.steps, settings.learning_rate)
        self._advance = jax.jit(self.search.advance)
        self._result = jax.jit(self.search.result)

    def run(self, photos: list[Photo], batch_size: int) -> list[dict[str, Any]]:
        """Inverts all photographs; the lines of ``results.jsonl``, in their order."""
        photos = [self._read(photo) for photo in photos]
        done = {photo.name for photo in photos if not photo.failure and self._is_done(photo)}
        waiting = [photo for photo in photos if not photo.failure and photo.name not in done]
        results: dict[str, dict[str, Any]] = {}
        with tqdm(total=len(waiting) * self.settings.steps, desc="invert", unit="step") as bar:
            for start in range(0, len(waiting), batch_size):
                batch = waiting[start : start + batch_size]
                results |= self._invert(batch, bar)
        lines = [self._line(photo, results.get(photo.name)) for photo in photos]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_text(self.output / RESULTS_FILE, text)
        return lines

    def _read(self, photo: Photo) -> Photo:
        try:
            digest = hashing.file_sha256(photo.path)
            return dataclasses.replace(
                photo, sha256=digest, pixels=read_image(photo.path, self.resolution)
            )
        except (OSError, UnreadableImageError) as error:
            return dataclasses.replace(photo, failure=str(error))

    def _invert(self, batch: list[Photo], bar: Any) -> dict[str, dict[str, Any]]:
        """Searches for a batch and writes its outputs; what goes into their lines, by name."""
        pixels = np.stack([np.asarray(photo.pixels, np.float32) for photo in batch])
        targets = jnp.asarray(pixels / 127.5 - 1)
        state = self._restore(batch, self.search.init(self.prior, len(batch)))
        bar.update(int(state.step) * len(batch))
        while (left := self.settings.steps - int(state.step)) > 0:
            count = min(SAVE_EVERY, left)
            state = self._advance(self.networks, self.prior, state, targets, jnp.asarray(count))
            self._save(batch, state)
            bar.update(count * len(batch))
        found = self._result(self.networks, self.prior, state, targets)
        codes, images, losses = jax.tree.map(np.asarray, found)
        drawn = np.stack([to_bytes(image) for image in images])
        quality = np.asarray(psnr(drawn.astype(np.float32) / 127.5 - 1, targets))
        results = {}
        for place, photo in enumerate(batch):
            figures = {"loss": float(losses[place]), "psnr": float(quality[place])}
            if np.isfinite(images[place]).all() and np.isfinite(losses[place]):
                own = {"ws": codes.ws[place]}
                own |= {} if codes.pose is None else {"pose": codes.pose[place]}
                self._write(photo, own, drawn[place], figures)
            else:
                figures = {"failure": "the search ran into numbers that are not finite"}
            results[photo.name] = figures
        (self.output / STATE_FILE).unlink(missing_ok=True)
        return results

    def _write(
        self,
        photo: Photo,
        codes: dict[str, np.ndarray],
        drawn: UInt8[np.ndarray, "r r 3"],
        figures: dict[str, float],
    ) -> None:
        """Writes codes and image, and last the sidecar that vouches for them."""
        npz, png, sidecar = self._paths(photo)
        write_arrays(npz, {**codes, **figures})
        fields = image_metadata.metadata(self.model_sha256, image_metadata.GENERATED_SOURCE_TYPE)
        image_metadata.write_png(png, drawn, fields)
        outputs = {path.name: hashing.file_sha256(path) for path in (npz, png)}
        write_json(sidecar, {**self._recipe([photo]), **figures, "outputs": outputs})

    def _paths(self, photo: Photo) -> tuple[Path, Path, Path]:
        return tuple(self.output / f"{photo.name}{end}" for end in (".npz", ".png", ".json"))  # pyright: ignore

    def _recipe(self, photos: list[Photo]) -> dict[str, Any]:
        """All that the outputs depend on."""
        return {
            "tool": image_metadata.TOOL,
            "version": version.tool_version(),
            "model_sha256": self.model_sha256,
            "settings": dataclasses.asdict(self.settings),
            "photos_sha256": [photo.sha256 for photo in photos],
        }

    def _is_done(self, photo: Photo) -> bool:
        """Whether an earlier run left this very output."""
        try:
            *outputs, sidecar = self._paths(photo)
            record = json.loads(sidecar.read_text(encoding="utf-8"))
            same = all(record[key] == value for key, value in self._recipe([photo]).items())
            hashes = {path.name: hashing.file_sha256(path) for path in outputs}
            return same and record["outputs"] == hashes
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _save(self, batch: list[Photo], state: InversionState) -> None:
        leaves = {f"leaf{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
        recipe = json.dumps(self._recipe(batch))
        write_arrays(self.output / STATE_FILE, {"recipe": np.asarray(recipe), **leaves})

    def _restore(self, batch: list[Photo], start: InversionState) -> InversionState:
        """The state of an earlier run of this very batch, or the start where there is none."""
        leaves, treedef = jax.tree.flatten(start)
        try:
            path = self.output / STATE_FILE
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                saved = [stored[f"leaf{i}"] for i in range(len(leaves))]
                same = str(stored["recipe"]) == json.dumps(self._recipe(batch))
        except UserError:
            raise
        # Whatever a damaged file makes the reader raise: the search starts again.
        except Exception:
            return start
        shapes = [leaf.shape == new.shape for leaf, new in zip(leaves, saved, strict=True)]
        return (
            jax.tree.unflatten(treedef, map(jnp.asarray, saved)) if same and all(shapes) else start
        )

    def _line(self, photo: Photo, figures: dict[str, Any] | None) -> dict[str, Any]:
        reason = photo.failure or (figures or {}).get("failure")
        status = "failed" if reason else "done" if figures else "skipped"
        if status == "skipped":
            record = json.loads(self._paths(photo)[2].read_text(encoding="utf-8"))
            figures, reason = record, "done by an earlier run"
        return {
            "image": Path(os.path.relpath(photo.path, self.output)).as_posix(),
            "output": None if status == "failed" else f"{photo.name}.npz",
            "status": status,
            "reason": reason,
            **{key: (figures or {}).get(key) for key in ("loss", "psnr")},
        }


def main(_: list[str]) -> int:
    """Inverts what the flags say; gives the exit status."""
    values = flags.FLAGS
    photos = list_photos(Path(values.images))
    output = check_folder(values.output)
    model = load_generator(values.model)
    measure = load_measure(values.lpips)
    settings = Settings(values.steps, values.learning_rate, values.noise_mode, measure.lpips_sha256)
    output.mkdir(parents=True, exist_ok=True)
    results = Inverting(model, measure, settings, output).run(photos, values.batch_size)
    counts = collections.Counter(result["status"] for result in results)
    known = [result["psnr"] for result in results if result["psnr"] is not None]
    summary = ", ".join(f"{count} {status}" for status, count in counts.items())
    quality = f"; PSNR {np.mean(known):.2f} dB on average" if known else ""
    print(f"{summary}{quality}: {output / RESULTS_FILE}")
    for result in results:
        if result["status"] == "failed":
            print(f"  {result['image']}: {result['reason']}")
    return SOME_FAILED if counts["failed"] else 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path("model", None, "Generator: model or work directory.", required=True)
    command_line.DEFINE_path(
        "images", None, "A face crop, or a directory tree of some.", required=True
    )
    command_line.DEFINE_path("output", None, "Directory of the results.", required=True)
    flags.DEFINE_integer("steps", 1000, "Steps of the search.", lower_bound=1)
    flags.DEFINE_float(
        "learning_rate", 0.1, "Peak rate, in standard deviations of the codes.", lower_bound=0
    )
    flags.DEFINE_enum("noise_mode", "const", ("const", "none"), "The fixed noise maps, or none.")
    flags.DEFINE_integer("batch_size", 8, "Photographs inverted at a time.", lower_bound=1)
    command_line.DEFINE_path(
        "lpips", None, "Directory of a converted LPIPS, to search with as well."
    )


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
