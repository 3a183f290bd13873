"""TFDS data sets: our builders write them, the source reads them, both without TensorFlow."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alrl_jax.data.pipeline import make_iterator
from alrl_jax.data.prepare import photo_records
from alrl_jax.data.prepare.layouts import Wish
from alrl_jax.data.request import DataRequest
from alrl_jax.data.shards import prepare
from alrl_jax.data.sources import open_source
from alrl_jax.errors import UserError
from alrl_jax.photos.file_trees import open_tree
from tests.support import fabricated

pytest.importorskip("tensorflow_datasets")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tiny synthetic data set; its directory."""
    from alrl_jax.data.prepare.tfds_builder import SyntheticConfig, SyntheticFaces

    config = SyntheticConfig(
        name="tiny",
        resolution=16,
        num_identities=2,
        images_per_identity=2,
        splits=("train", "test"),
    )
    directory = tmp_path_factory.mktemp("tfds")
    builder = SyntheticFaces(config=config, data_dir=directory, file_format="array_record")
    builder.download_and_prepare()
    yield Path(builder.data_path)


def test_builder_and_source_agree_with_the_synthetic_source(faces: Path) -> None:
    assert faces.parts[-3:] == ("synthetic_faces", "tiny", "1.0.0")
    for split in ("train", "test"):
        source = open_source(DataRequest("tfds", faces, 16, split=split, progress=False))
        expected = open_source(
            DataRequest("synthetic", None, 16, 2, 2, split=split, progress=False)
        )
        assert source.layout == expected.layout
        # TFDS shuffles what it writes: records are found by their factors.
        a, b = (s.read(np.arange(4)) for s in (source, expected))
        order = [
            int(np.argmin(np.abs(a["attribute_factors"] - row).sum(axis=1)))
            for row in b["attribute_factors"]
        ]
        assert sorted(order) == [0, 1, 2, 3]
        np.testing.assert_array_equal(a[order], b)
        np.testing.assert_array_equal(source.identities[order], expected.identities)
    assert next(make_iterator(source, "pairs", 2, 0)).target.labelled.all()


def test_photographs(tmp_path: Path) -> None:
    from alrl_jax.data.prepare.tfds_builder import FolderConfig, FolderFaces

    for name in ("ann/1.png", "ann/2.png", "bob/1.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (10, 20, 30)).save(path)
    config = FolderConfig(
        name="photos", directory=str(tmp_path / "photos"), resolution=24, person_per="folder"
    )
    builder = FolderFaces(config=config, data_dir=tmp_path / "out", file_format="array_record")
    builder.download_and_prepare()
    source = open_source(DataRequest("tfds", builder.data_path, 16, progress=False))
    record = source[0]
    assert record["image"].shape == (16, 16, 3) and (record["image"] == (10, 20, 30)).all()
    assert not record["labelled"]
    assert sorted(np.unique(source.identities, return_counts=True)[1]) == [1, 2]


def test_what_was_prepared(tmp_path: Path) -> None:
    """Masks, people and faces without labels come through, split by split."""
    from alrl_jax.data.prepare.tfds_builder import PreparedConfig, PreparedFaces

    root = tmp_path / "CelebAMask-HQ"
    fabricated.write_celebamask(root, range(4), {n: n + 1 for n in range(4)})
    for path in (root / "CelebAMask-HQ-mask-anno" / "0").glob("00002_*"):
        path.unlink()
    wish = Wish(root)
    album = photo_records.LAYOUTS["celebamask"](open_tree(root), wish)
    made = {}
    for split, limit in (("train", 4), ("test", 2)):
        plan = photo_records.photo_plan("celebamask", album, 16, wish, limit, 1, progress=False)
        made[split] = prepare(tmp_path / split, plan)
    config = PreparedConfig(
        name="tiny", directories={split: str(tmp_path / split) for split in made}
    )
    builder = PreparedFaces(config=config, data_dir=tmp_path / "out", file_format="array_record")
    builder.download_and_prepare()
    for split, expected in made.items():
        source = open_source(
            DataRequest("tfds", builder.data_path, 16, split=split, progress=False)
        )
        order = np.argsort(source.identities)
        records = source.read(order)
        assert records.tobytes() == expected.read(np.arange(len(expected))).tobytes()
        assert records["labelled"].tolist() == [True, True, False, True][: len(expected)]


def test_mistakes(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="got resolution 32 .*expected 16"):
        open_source(DataRequest("tfds", faces, 32, progress=False))
    with pytest.raises(UserError, match="split 'holdout'"):
        open_source(DataRequest("tfds", faces, 16, split="holdout", progress=False))
    with pytest.raises(UserError, match="expected a prepared split"):
        open_source(DataRequest("tfds", "mnist:3.0.1", 16, progress=False))
    with pytest.raises(UserError, match="expected NAME"):
        open_source(DataRequest("tfds", "no_such_data_set_at_all", 16, progress=False))
    with pytest.raises(UserError, match="expected NAME"):
        open_source(DataRequest("tfds", tmp_path, 16, progress=False))
