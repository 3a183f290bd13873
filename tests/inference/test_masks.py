"""Masks and manifest: which pixels of an output come from the generated face."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alrl_jax import swap_stream
from alrl_jax.inference.manifest import COLUMNS, provenance_id
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.swapping import Swapping
from alrl_jax.photos.pair_list import PairFiles
from alrl_jax.photos.paste import PasteOptions
from alrl_jax.provenance import image_metadata
from alrl_jax.utils import hashing, png
from tests.support.fakes import FakeSwapper
from tests.support.photo_files import noise, pairs_in, write_photo

FIVE = np.array([[12.0, 14], [26, 13], [19, 20], [14, 27], [25, 26]])


def run(folder: Path, pairs: list[PairFiles], **choices: Any) -> list[dict[str, Any]]:
    output = folder / "out"
    output.mkdir(exist_ok=True)
    settings = Settings(**{"aligned": True, "masks": True, **choices})
    landmarks = None if settings.aligned else folder / "faces.json"
    return list(Swapping(FakeSwapper(), settings, output, landmarks).run(pairs, 4))


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sidecar_of(path: Path) -> dict[str, Any]:
    return json.loads(path.with_suffix(".json").read_text())


def test_mask_has_the_targets_size_and_names_its_photo(tmp_path: Path) -> None:
    source, target = (
        write_photo(tmp_path / "s.png", 0),
        write_photo(tmp_path / "t.png", 1, (16, 40)),
    )
    (result,) = run(tmp_path, [PairFiles(source, target)])
    path, mask = (tmp_path / "out" / f / result["output"] for f in ("", "masks"))
    values = pixels(mask)
    assert values.shape == (16, 40) and values.dtype == np.uint8
    assert (values[4:12, 16:24] == 255).all() and (values[:, :15] == 0).all()
    changed = (pixels(path) != pixels(target)).any(-1)
    assert not (changed & (values == 0)).any()
    fields = image_metadata.read_metadata(mask)
    sidecar = sidecar_of(path)
    assert fields["maskOf"] == sidecar["output"]["sha256"] == hashing.file_sha256(path)
    assert fields["digitalSourceType"] == image_metadata.GENERATED_SOURCE_TYPE
    assert sidecar["mask"]["sha256"] == hashing.file_sha256(mask)
    (row,) = manifest(tmp_path)
    assert tuple(row) == COLUMNS
    assert row == {
        "source": "../s.png",
        "target": "../t.png",
        "output": result["output"],
        "mask": f"masks/{result['output']}",
        "label": "fake",
        "provenance_id": f"{sidecar['model']['sha256']}:{hashing.file_sha256(path)}",
        "marked": "false",
    }
    assert row["provenance_id"] == provenance_id(sidecar)


@pytest.mark.parametrize("options", [{}, {"blend": "multiband", "feather": 0.2, "detail": 0.5}])
def test_outside_of_the_masks_of_all_faces_nothing_changes(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (60, 90, 4), dtype=np.uint16)
    (tmp_path / "t.png").write_bytes(png.encode(deep))
    faces = {"t.png": [FIVE.tolist(), (FIVE * 1.2 + [25, 8]).tolist()]}
    (tmp_path / "faces.json").write_text(json.dumps(faces))
    pair = PairFiles(write_photo(tmp_path / "s.png", 3), tmp_path / "t.png")
    (result,) = run(
        tmp_path,
        [pair],
        aligned=False,
        aligned_source=True,
        landmarks_from="file",
        face="all",
        paste=PasteOptions(**options),
    )
    mask = pixels(tmp_path / "out" / "masks" / result["output"])
    after = pixels(tmp_path / "out" / result["output"])
    changed = (after != pixels(tmp_path / "t.png")).any(-1)
    assert 0.02 < changed.mean() < 0.9 and not (changed & (mask == 0)).any()
    assert (mask > 0).mean() < 1.2 * changed.mean(), "and hardly anything else is in the mask"


def test_masks_are_resumed_like_outputs(tmp_path: Path) -> None:
    pairs = pairs_in(tmp_path, 4)
    pairs[2].source.write_bytes(b"no photo")
    first = run(tmp_path, pairs)
    assert [r["status"] for r in first] == ["done", "done", "failed", "done"]
    before = manifest(tmp_path)
    assert [row["output"] for row in before] == [first[i]["output"] for i in (0, 1, 3)]
    write_photo(tmp_path / "out" / "masks" / first[1]["output"], 5)
    (tmp_path / "out" / "masks" / first[3]["output"]).unlink()
    (tmp_path / "out" / "masks" / ".x.png.999999999.tmp").write_bytes(b"left by who was killed")
    again = run(tmp_path, pairs)
    assert [r["status"] for r in again] == ["skipped", "done", "failed", "done"]
    rows = manifest(tmp_path)
    assert rows[0] == before[0] and [r["mask"] for r in rows] == [r["mask"] for r in before]
    for row in rows:
        path = tmp_path / "out" / row["output"]
        mask = tmp_path / "out" / row["mask"]
        assert sidecar_of(path)["mask"]["sha256"] == hashing.file_sha256(mask)
    assert not list((tmp_path / "out" / "masks").glob(".*"))
    assert [r["status"] for r in run(tmp_path, pairs)] == ["skipped", "skipped", "failed"] + [
        "skipped"
    ]


def test_without_the_flag_there_are_none(tmp_path: Path) -> None:
    (result,) = run(tmp_path, pairs_in(tmp_path, 1), masks=False)
    assert not (tmp_path / "out" / "masks").exists()
    assert not (tmp_path / "out" / "manifest.csv").exists()
    assert sidecar_of(tmp_path / "out" / result["output"])["mask"] is None


def test_no_mask_of_an_earlier_photo_stays(tmp_path: Path) -> None:
    pairs = pairs_in(tmp_path, 1)
    (result,) = run(tmp_path, pairs)
    mask = tmp_path / "out" / "masks" / result["output"]
    assert mask.exists()
    (again,) = run(tmp_path, pairs, masks=False)
    assert again["output"] == result["output"] and again["status"] == "done"
    assert not mask.exists()


def test_odd_names_stay_whole_in_the_manifest(tmp_path: Path) -> None:
    name = 'a,"b"\nc.png'
    pair = PairFiles(write_photo(tmp_path / name, 0), write_photo(tmp_path / "t.png", 1))
    run(tmp_path, [pair])
    (row,) = manifest(tmp_path)
    assert row["source"] == f"../{name}"


def test_streams_give_masks_too() -> None:
    settings = Settings(aligned=True, masks=True)
    (result,) = swap_stream([(noise(0), noise(1))], FakeSwapper(), settings)
    assert result.photo is not None and result.photo.mask is not None
    assert result.photo.mask.shape == (16, 16, 1)
    assert set(np.unique(result.photo.mask[5:11, 5:11])) == {255}
