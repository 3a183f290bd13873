"""Tiny data sets in the layouts of those that people have; every pixel is made up."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from alrl_jax.data.parsing_classes import CELEBAMASK_LABELS

SIDE = 32
MASK_SIDE = 48
Masks = Mapping[str, np.ndarray]

ATTRIBUTE_NAMES = ("Bald", "Eyeglasses", "Male", "Smiling", "Young")


def pixels(number: int, side: int = SIDE) -> np.ndarray:
    """Pixels that are a function of its number."""
    rng = np.random.default_rng(number)
    return np.kron(rng.integers(0, 256, (side // 8, side // 8, 3)), np.ones((8, 8, 1))).astype("u1")


def save(path: Path, image: np.ndarray, **options: object) -> None:
    """Writes an image file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)


def write_ffhq(root: Path, numbers: Iterable[int]) -> None:
    """``images1024x1024/01000/01234.png`` with the thumbnails and texts that come with them."""
    for number in numbers:
        folder, name = f"{number - number % 1000:05d}", f"{number:05d}.png"
        save(root / "images1024x1024" / folder / name, pixels(number))
        save(root / "thumbnails128x128" / folder / name, pixels(number, 16))
    (root / "LICENSE.txt").write_text("terms")
    (root / "ffhq-dataset-v2.json").write_text("{}")


def masks_of(number: int) -> dict[str, np.ndarray]:
    """Parts that overlap at random, of every class but one that depends on the number."""
    rng = np.random.default_rng(1000 + number)
    parts = [part for label, part in enumerate(CELEBAMASK_LABELS) if label and label != number % 7]
    return {part: rng.random((MASK_SIDE, MASK_SIDE)) < 0.2 for part in parts}


def write_celebamask(root: Path, numbers: Iterable[int], origin: Mapping[int, int]) -> None:
    """The folders and the three text files; ``origin`` gives the numbers of CelebA's files."""
    numbers = list(numbers)
    for number in numbers:
        save(root / "CelebA-HQ-img" / f"{number}.jpg", pixels(number), quality=95)
        folder = root / "CelebAMask-HQ-mask-anno" / str(number // 2000)
        for part, mask in masks_of(number).items():
            grey = np.where(mask, 255, 0).astype(np.uint8)
            save(folder / f"{number:05d}_{part}.png", np.repeat(grey[..., None], 3, axis=-1))
    lines = [f"{n} {origin[n] - 1} {origin[n]:06d}.jpg" for n in numbers]
    _write(root / "CelebA-HQ-to-CelebA-mapping.txt", ["idx\torig_idx\torig_file", *lines])
    lines = [f"{n}.jpg  " + " ".join(str(value) for value in attributes(n)) for n in numbers]
    head = [str(len(numbers)), " ".join(ATTRIBUTE_NAMES)]
    _write(root / "CelebAMask-HQ-attribute-anno.txt", [*head, *lines])
    lines = [f"{n}.jpg {n}.25 -{n}.5 0.125" for n in numbers]
    _write(root / "CelebAMask-HQ-pose-anno.txt", [str(len(numbers)), "Yaw Pitch Raw", *lines])


def attributes(number: int) -> list[int]:
    """1 or -1 each."""
    return [1 if number >> place & 1 else -1 for place in range(len(ATTRIBUTE_NAMES))]


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("\n".join(lines) + "\n")


def zipped(root: Path, archive: Path, prefix: str = "") -> Path:
    """Packs a tree, as downloads come: with folders of their own and what systems add."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(root.rglob("*")):
            file.write(path, prefix + path.relative_to(root).as_posix())
        file.writestr(f"__MACOSX/{prefix}._00000.png", b"resource fork")
    return archive


def training_zip(archive: Path, numbers: Iterable[int]) -> Path:
    """``00001/img00001234.png``, stored, with a table of labels: what trainers make of FFHQ."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for number in numbers:
            content = io.BytesIO()
            Image.fromarray(pixels(number)).save(content, "PNG")
            file.writestr(f"{number // 1000:05d}/img{number:08d}.png", content.getvalue())
        file.writestr("dataset.json", '{"labels": null}')
    return archive
