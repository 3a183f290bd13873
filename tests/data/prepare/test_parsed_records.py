"""Photographs without masks get a parser's when they are prepared, and training asks no more."""

from pathlib import Path

import jax
import numpy as np
import pytest

from alrl_jax.commands.fabricate_models import fabricate
from alrl_jax.data.face_parsing import parser_network
from alrl_jax.data.origin import data_entry
from alrl_jax.data.prepare import photo_records
from alrl_jax.data.prepare.layouts import Wish
from alrl_jax.data.prepare.parsed_records import BATCH, parsed_plan
from alrl_jax.data.records import to_float
from alrl_jax.data.request import DataRequest
from alrl_jax.data.shards import Plan, prepare
from alrl_jax.errors import UserError
from alrl_jax.photos.file_trees import open_tree
from alrl_jax.storage.model_directory import read_model
from tests.support import fabricated, tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIDE = 16
COUNT = BATCH + 2
BARE = (1, 4)


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models")
    return str(fabricate(folder, ["parser"], SIDE, tiny.NARROW)["parser"])


def photo_plan(root: Path, workers: int = 1) -> Plan:
    wish, tree = Wish(root), open_tree(root)
    layout = photo_records.recognise(tree, wish)
    album = photo_records.LAYOUTS[layout](tree, wish)
    return photo_records.photo_plan(layout, album, SIDE, wish, None, workers, progress=False)


def wanted(parser: str, images: np.ndarray) -> np.ndarray:
    meta, variables = read_model(parser)
    network = parser_network(meta["config"], "")
    parse = jax.jit(lambda images: network.labels(variables, images, SIDE))
    return np.asarray(parse(np.resize(to_float(images), (BATCH, SIDE, SIDE, 3))))[: len(images)]


def test_faces_without_masks_get_the_parsers(parser: str, tmp_path: Path) -> None:
    root = tmp_path / "CelebAMask-HQ"
    fabricated.write_celebamask(root, range(COUNT), {n: n + 1 for n in range(COUNT)})
    for number in BARE:
        for path in (root / "CelebAMask-HQ-mask-anno" / "0").glob(f"{number:05d}_*"):
            path.unlink()
    plain = prepare(tmp_path / "plain", photo_plan(root)).read(np.arange(COUNT))
    source = prepare(tmp_path / "out", parsed_plan(photo_plan(root), parser))
    records = source.read(np.arange(COUNT))
    assert records["labelled"].all() and np.isnan(records["pose_degrees"]).all()
    np.testing.assert_array_equal(records["image"], plain["image"])
    own = plain["labelled"]
    assert np.flatnonzero(~own).tolist() == list(BARE)
    np.testing.assert_array_equal(records["parsing"][own], plain["parsing"][own])
    classes = wanted(parser, records["image"][list(BARE)])
    np.testing.assert_array_equal(records["parsing"][list(BARE)], classes)
    # Whose masks they are, and under which terms, is carried on; other weights are other data.
    about = data_entry(DataRequest("prepared", tmp_path / "out", SIDE))
    assert about["parser"]["name"] == "parser" and "; masks by parser: " in about["licence"]
    with pytest.raises(UserError, match="parser=None where it has"):
        prepare(tmp_path / "out", photo_plan(root))


def test_any_other_model_is_refused(parser: str, tmp_path: Path) -> None:
    for number in range(2):
        fabricated.save(tmp_path / "photos" / f"{number}.png", fabricated.pixels(number))
    plan = photo_plan(tmp_path / "photos", workers=2)
    own = tiny.save_tiny_identity(tmp_path / "own")
    with pytest.raises(UserError, match="a model of kind identity; expected face_parser"):
        parsed_plan(plan, str(own))
    parsed = parsed_plan(plan, parser)
    records, faults = parsed.make(0, 2)
    assert records["labelled"].all() and records["parsing"].max() < 19 and list(faults) == []
    assert parsed.workers < 2, "processes would each open a parser of their own"
