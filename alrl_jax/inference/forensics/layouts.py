"""A forensics set as loaders read it: manifests, tar shards, and layouts of known data sets.

Pictures are written once, below ``images/``; FaceForensics++'s tree links to them where the disk
can do that.
"""

import csv
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alrl_jax.inference.forensics.making import FAKE, REAL
from alrl_jax.inference.forensics.plan import SPLITS
from alrl_jax.utils.extras import importing
from alrl_jax.utils.files import atomic_folder, atomic_write, json_text
from alrl_jax.utils.printing import no_formula

Row = Mapping[str, Any]
ROWS_A_SHARD = 1000
PARQUET_MISSING = (
    "got --layouts with parquet without the package pyarrow; expected it for Parquet; do "
    "pip install 'alrl_jax[parquet]', or leave parquet out"
)
FFPP_SPLITS = {"train": "train", "validation": "val", "test": "test"}
"""Names of FaceForensics++'s files of splits."""
FFPP_METHODS = {"swap": "FaceSwap", "reenactment": "Face2Face", "attribute": "NeuralTextures"}
"""Folders of FaceForensics++ whose place the methods take: so its loaders find them."""
ORIGINALS = "youtube"
"""Folder of the originals there."""


def write_csv(output: Path, rows: Sequence[Row]) -> None:
    """``manifest.csv``, a line for each picture."""
    with atomic_write(output / "manifest.csv") as path, path.open("wb") as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: no_formula(_cell(v)) for name, v in row.items()} for row in rows)
        text.flush()
        text.detach()


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def write_parquet(output: Path, rows: Sequence[Row]) -> None:
    """``manifest.parquet``: the same, with types; cells that real pictures lack are null."""
    with importing("pyarrow", PARQUET_MISSING):
        import pyarrow
        import pyarrow.parquet as parquet
    names = list(rows[0])
    columns = {name: [None if row[name] == "" else row[name] for row in rows] for name in names}
    with atomic_write(output / "manifest.parquet") as path:
        parquet.write_table(pyarrow.table(columns), path)


def write_webdataset(output: Path, rows: Sequence[Row]) -> None:
    """``webdataset/SPLIT-000000.tar``: of every picture KEY.png, KEY.cls (1: fake), KEY.json.

    Fakes have KEY.mask.png as well. Equal sets give equal bytes.
    """
    with atomic_folder(output / "webdataset") as folder:
        for split in SPLITS:
            own = [row for row in rows if row["split"] == split]
            for start in range(0, len(own), ROWS_A_SHARD):
                name = f"{split}-{start // ROWS_A_SHARD:06d}.tar"
                with tarfile.open(folder / name, "w", format=tarfile.PAX_FORMAT) as shard:
                    for row in own[start : start + ROWS_A_SHARD]:
                        _add_sample(shard, output, row)


def _add_sample(shard: tarfile.TarFile, output: Path, row: Row) -> None:
    key = Path(row["file"]).stem
    parts = {
        "png": (output / row["file"]).read_bytes(),
        "cls": str(int(row["label"] == FAKE)).encode(),
        "json": json.dumps(dict(row), sort_keys=True).encode(),
    }
    if row["mask"]:
        parts["mask.png"] = (output / row["mask"]).read_bytes()
    for suffix, content in parts.items():
        member = tarfile.TarInfo(f"{key}.{suffix}")
        member.size, member.mtime = len(content), 0
        shard.addfile(member, io.BytesIO(content))


def write_ffpp(output: Path, rows: Sequence[Row]) -> None:
    """``ffpp/``: the tree of FaceForensics++ with its frames, where a picture is a video of one.

    ``original_sequences/youtube/COMPRESSION/frames/TARGET/0000.png``,
    ``manipulated_sequences/METHOD/COMPRESSION/frames/TARGET_SOURCE/0000.png``, masks beside them,
    and ``splits/train.json`` with pairs of ids. Of item n the target is 2n, the source 2n + 1.
    """
    with atomic_folder(output / "ffpp") as folder:
        pairs: dict[str, list[list[str]]] = {name: [] for name in FFPP_SPLITS.values()}
        for row in rows:
            target, source = f"{2 * row['item']:07d}", f"{2 * row['item'] + 1:07d}"
            level = "raw" if row["compression"] == "png" else row["compression"]
            if row["label"] == REAL:
                place = folder / "original_sequences" / ORIGINALS / level / "frames" / target
                _link(output / row["file"], place / "0000.png")
                continue
            video = f"{target}_{source}"
            method = folder / "manipulated_sequences" / FFPP_METHODS[row["method"]]
            _link(output / row["file"], method / level / "frames" / video / "0000.png")
            _link(output / row["mask"], method / "masks" / "frames" / video / "0000.png")
            pairs[FFPP_SPLITS[row["split"]]].append([target, source])
        (folder / "splits").mkdir(parents=True)
        for name, own in pairs.items():
            (folder / "splits" / f"{name}.json").write_text(json_text(own), encoding="utf-8")


def _link(source: Path, place: Path) -> None:
    """The same file under another name, or a copy where the disk takes no links."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, place)
    except OSError:
        shutil.copyfile(source, place)


def write_deepfakebench(output: Path, rows: Sequence[Row]) -> None:
    """``deepfakebench/NAME.json`` as DeepfakeBench reads it: data set, label, split, video.

    Every picture is a video of one frame; paths are relative to the set's directory.
    """
    name = output.resolve().name
    labels = {row["label"]: f"{name}_{row['label']}" for row in rows}
    tree: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        label = labels[row["label"]]
        of_split = tree.setdefault(label, {}).setdefault(FFPP_SPLITS[row["split"]], {})
        entry = {"label": label, "frames": [row["file"]]}
        masks = {"masks": [row["mask"]]} if row["mask"] else {}
        of_split[Path(row["file"]).stem] = entry | masks
    (output / "deepfakebench").mkdir(exist_ok=True)
    path = output / "deepfakebench" / f"{name}.json"
    with atomic_write(path) as temporary:
        temporary.write_text(json_text({name: tree}), encoding="utf-8")


LAYOUTS: Mapping[str, Callable[[Path, Sequence[Row]], None]] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "webdataset": write_webdataset,
    "ffpp": write_ffpp,
    "deepfakebench": write_deepfakebench,
}
"""Writers by name; each makes the same of the same rows, whatever was there."""


def rows_of(records: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The rows of all items that were made, in order."""
    return [row for record in records for row in record["rows"]]
