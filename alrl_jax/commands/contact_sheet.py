"""Draws a world on one sheet: people by circumstances, then every factor swept.

The first rows show one person each under circumstances that are shared by a column; the rows below
sweep one attribute each over its range, and then one identity factor each, all else average.

    alrl contact-sheet --output=sheet.png --count=6 --resolution=64
    alrl contact-sheet --world=humans --output=sheet.png --count=4 --resolution=128 --nosweeps
"""

from collections.abc import Mapping
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from PIL import Image, ImageDraw

from alrl_jax.utils import command_line
from alrl_jax.utils.destinations import check_file
from alrl_jax.worlds import WORLDS, World, humans, primitives
from alrl_jax.worlds.humans import sampling as humans_sampling
from alrl_jax.worlds.humans.laws import Factor
from alrl_jax.worlds.primitives import sampling

_LABEL_WIDTH = 130


def _images(
    world: World, identities: Any, attributes: Any, resolution: int, parsing: bool
) -> list[np.ndarray]:
    """Rendered faces as bytes, with their parsing beside them on demand."""
    drawn: Any = world.render(identities, attributes, resolution)
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


def _sweep_of_heads(name: str, count: int) -> tuple[humans.Identities, humans.Attributes]:
    """The first head with all factors of the tables in their middle, and one of them swept."""
    key = humans.split_key("train")
    who, how = humans.sample_identities(key, 1), humans.sample_attributes(key, 1)
    who, how = jax.tree.map(lambda x: jnp.repeat(x, count, axis=0), (who, how))
    who = who.replace(**_middles(humans_sampling.IDENTITY_TABLE, who))
    how = how.replace(**_middles(humans_sampling.ATTRIBUTE_TABLE, how))
    table, of = humans_sampling.ATTRIBUTE_TABLE, how
    if name not in table:
        table, of = humans_sampling.IDENTITY_TABLE, who
    steps = jnp.linspace(table[name].low, table[name].high, count)
    old = getattr(of, name)
    new = of.replace(**{name: steps if old.ndim == 1 else old.at[:, 0].set(steps)})
    return (new, how) if of is who else (who, new)


def _middles(table: Mapping[str, Factor], struct: Any) -> dict[str, jax.Array]:
    """The middle of every factor (least for the rare ones), as wide as in the struct."""
    return {
        name: jnp.full_like(
            getattr(struct, name),
            factor.low if factor.law == "rare" else (factor.low + factor.high) / 2,
        )
        for name, factor in table.items()
    }


SWEEPS: dict[str, Any] = {
    "primitives": (_sweep, (*sampling.ATTRIBUTE_TABLE, *sampling.IDENTITY_TABLE)),
    "humans": (
        _sweep_of_heads,
        (*humans_sampling.ATTRIBUTE_TABLE, *humans_sampling.IDENTITY_TABLE),
    ),
}
"""How a world sweeps a factor, and which it sweeps."""


def _labelled(name: str, images: list[np.ndarray]) -> np.ndarray:
    """A row of images with its name in front."""
    height = images[0].shape[0]
    label = Image.new("RGB", (_LABEL_WIDTH, height), "white")
    ImageDraw.Draw(label).text((4, height // 2 - 6), name, fill="black")
    return np.concatenate([np.asarray(label), *images], axis=1)


def _sheet(
    name: str, count: int, resolution: int, seed: int, sweeps: bool, parsing: bool
) -> np.ndarray:
    """The whole sheet."""
    world, (sweep, factors) = WORLDS[name], SWEEPS[name]
    key = world.split_key("train", seed)
    people, moments = world.sample_identities(key, count), world.sample_attributes(key, count)
    rows = []
    for i in range(count):
        one = jax.tree.map(lambda x, i=i: jnp.repeat(x[i : i + 1], count, axis=0), people)
        rows.append(_labelled(f"person {i}", _images(world, one, moments, resolution, parsing)))
    for factor in factors if sweeps else ():
        swept, moments = sweep(factor, count)
        images = _images(world, swept, moments, resolution, parsing)
        rows.append(_labelled(factor, images))
    return np.concatenate(rows, axis=0)


def main(_: list[str]) -> int:
    """Writes the sheet."""
    values, path = flags.FLAGS, check_file(flags.FLAGS.output)
    sizes = values.count, values.resolution, values.seed
    sheet = _sheet(values.world, *sizes, values.sweeps, values.parsing)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path)
    print(f"wrote {path} ({sheet.shape[1]} x {sheet.shape[0]})")
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path("output", "contact_sheet.png", "PNG file to write.")
    flags.DEFINE_enum("world", "primitives", tuple(SWEEPS), "World to draw.")
    flags.DEFINE_integer("count", 6, "People (rows) and circumstances (columns).", 2, 32)
    flags.DEFINE_integer("resolution", 64, "Side of one image in pixels.", lower_bound=16)
    flags.DEFINE_integer("seed", 0, "Number of the world.", lower_bound=0)
    flags.DEFINE_boolean("sweeps", True, "Whether to sweep every factor as well.")
    flags.DEFINE_boolean("parsing", False, "Draw parsing classes and landmarks beside images.")


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
