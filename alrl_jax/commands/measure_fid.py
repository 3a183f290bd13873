"""FID between two folders of images.

    alrl measure-fid --model=DIR --images=GENERATED --others=PHOTOS

The model is a converted Inception (``alrl convert-weights --kind=inception``).  Images are taken
as they are, of any size, with the protocol of pytorch-fid.  Statistics of a folder are kept in the
cache, by what its images hold.  Prints one JSON object.  FID falls with the number of images:
compare figures of equally many alone, thousands where you can.
"""

import functools
import json
from pathlib import Path
from typing import Any, NoReturn

from absl import flags
from tqdm import tqdm

from alrl_jax.errors import UserError
from alrl_jax.evaluation.fid import frechet_distance, measure_files
from alrl_jax.loading import InceptionModel, load_inception
from alrl_jax.photos.file_trees import list_images
from alrl_jax.utils import command_line
from alrl_jax.utils.user_cache import cache_directory


def image_files(directory: str) -> list[Path]:
    """The images of a tree.

    Raises:
        UserError: if there are none.
    """
    folder = Path(directory)
    names = list_images(folder) if folder.is_dir() else []
    if not names:
        raise UserError(f"got {folder}; expected a directory tree of images; check the path")
    return [folder / name for name in names]


def compare(
    model: InceptionModel, images: list[Path], others: list[Path], cache: Path, batch_size: int
) -> dict[str, Any]:
    """FID of two lists of files, and how many there are in each."""
    bar = functools.partial(tqdm, desc="inception", unit="image")
    a, b = (measure_files(model, paths, cache, batch_size, bar) for paths in (images, others))
    return {"fid": frechet_distance(a, b), "images": a.count, "others": b.count}


def main(_: list[str]) -> int:
    """Measures what the flags say."""
    values = flags.FLAGS
    images, others = image_files(values.images), image_files(values.others)
    model = load_inception(values.model)
    cache = Path(values.cache) if values.cache else cache_directory() / "fid"
    print(json.dumps(compare(model, images, others, cache, values.batch_size)))
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path("model", None, "Converted Inception.", required=True)
    command_line.DEFINE_path("images", None, "Directory tree of images.", required=True)
    command_line.DEFINE_path("others", None, "The one to compare it with.", required=True)
    command_line.DEFINE_path("cache", None, "Where statistics are kept; default: the cache folder.")
    flags.DEFINE_integer("batch_size", 32, "Images at a time.", lower_bound=1)


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
