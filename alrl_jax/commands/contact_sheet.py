"""Draws the synthetic world on one sheet: people by circumstances, then every factor swept.

The first rows show one person each under circumstances that are shared by a column; the rows below
sweep one attribute each over its range, and then one identity factor each, all else average.

    alrl contact-sheet --output=sheet.png --count=6 --resolution=64
"""

from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from PIL import Image, ImageDraw

from alrl_jax.utils import command_line
from alrl_jax.utils.destinations import check_file
from alrl_jax.worlds import primitives
from alrl_jax.worlds.primitives import sampling

_LABEL_WIDTH = 130


def _images(
    identities: primitives.Identities,
    attributes: primitives.Attributes,
    resolution: int,
    parsing: bool,
) -> list[np.ndarray]:
    """Rendered faces as bytes, with their parsing beside them on demand."""
    drawn = primitives.render(identities, attributes, resolution)
    images = np.asarray(jnp.round((drawn.image + 1.0) * 127.5)).astype(np.uint8)
    if not parsing:
        return list(images)
    palette = np.random.default_rng(4).integers(40, 255, (len(primitives.PARSING_LABELS), 3))
    maps = palette.astype(np.uint8)[np.asarray(drawn.parsing)]
    for parsed, points, seen in zip(maps, drawn.landmarks, drawn.visibility, strict=True):
        for (x, y), visible in zip(np.asarray(points), np.asarray(seen), strict=True):
            column, row = (int(np.clip(c, 0, resolution - 1)) for c in (x, y))
            parsed[row, column] = 255 if visible else 0
    return [np.concatenate(pair, axis=1) for pair in zip(images, maps, strict=True)]


def _average(table: dict[str, sampling.Factor], count: int) -> dict[str, jax.Array]:
    """The middle of every factor of a table (least for the rare ones)."""
    values = {}
    for name, factor in table.items():
        middle = factor.low if factor.law == "rare" else (factor.low + factor.high) / 2
        values[name] = jnp.full(
            (count, 3) if name in ("background", "clothes") else (count,), middle
        )
    values.update({k: jnp.full_like(v, 0.25) for k, v in values.items() if k == "skin_melanin"})
    return values


def _sweep(name: str, count: int) -> tuple[primitives.Identities, primitives.Attributes]:
    """An average face with one factor going from its least to its greatest value."""
    who, how = _average(sampling.IDENTITY_TABLE, count), _average(sampling.ATTRIBUTE_TABLE, count)
    values, table = (
        (how, sampling.ATTRIBUTE_TABLE) if name in how else (who, sampling.IDENTITY_TABLE)
    )
    steps = jnp.linspace(table[name].low, table[name].high, count)
    values[name] = steps if values[name].ndim == 1 else values[name].at[:, 0].set(steps)
    return primitives.Identities(**who), primitives.Attributes(**how)


def _labelled(name: str, images: list[np.ndarray]) -> np.ndarray:
    """A row of images with its name in front."""
    height = images[0].shape[0]
    label = Image.new("RGB", (_LABEL_WIDTH, height), "white")
    ImageDraw.Draw(label).text((4, height // 2 - 6), name, fill="black")
    return np.concatenate([np.asarray(label), *images], axis=1)


def _sheet(count: int, resolution: int, seed: int, sweeps: bool, parsing: bool) -> np.ndarray:
    """The whole sheet."""
    key = primitives.split_key("train", seed)
    people, moments = (
        primitives.sample_identities(key, count),
        primitives.sample_attributes(key, count),
    )
    rows = []
    for i in range(count):
        one = jax.tree.map(lambda x, i=i: jnp.repeat(x[i : i + 1], count, axis=0), people)
        rows.append(_labelled(f"person {i}", _images(one, moments, resolution, parsing)))
    for name in (*sampling.ATTRIBUTE_TABLE, *sampling.IDENTITY_TABLE) if sweeps else ():
        rows.append(_labelled(name, _images(*_sweep(name, count), resolution, parsing)))
    return np.concatenate(rows, axis=0)


def main(_: list[str]) -> int:
    """Writes the sheet."""
    values, path = flags.FLAGS, check_file(flags.FLAGS.output)
    sheet = _sheet(values.count, values.resolution, values.seed, values.sweeps, values.parsing)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path)
    print(f"wrote {path} ({sheet.shape[1]} x {sheet.shape[0]})")
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path("output", "contact_sheet.png", "PNG file to write.")
    flags.DEFINE_integer("count", 6, "People (rows) and circumstances (columns).", 2, 32)
    flags.DEFINE_integer("resolution", 64, "Side of one image in pixels.", lower_bound=16)
    flags.DEFINE_integer("seed", 0, "Number of the world.", lower_bound=0)
    flags.DEFINE_boolean("sweeps", True, "Whether to sweep every factor as well.")
    flags.DEFINE_boolean("parsing", False, "Draw parsing classes and landmarks beside images.")


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
