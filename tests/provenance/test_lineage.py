"""Where weights come from and their terms: carried through training, packaging and export."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from alrl_jax.data.origin import data_entry
from alrl_jax.data.request import DataRequest
from alrl_jax.errors import UserError
from alrl_jax.provenance import lineage
from alrl_jax.storage.model_directory import read_meta, save_model

NVIDIA = "NVIDIA Source Code License (non-commercial)"
WEIGHTS = {"params": {"layer": {"kernel": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)}}}


def converted(directory: Path, kind: str = "generator", scale: float = 1.0) -> Path:
    """A model directory as the converter writes it."""
    source = {"project": "nvidia", "file": "ffhq.pkl", "sha256": f"f{scale}", "licence": NVIDIA}
    weights = jax.tree.map(lambda x: x * np.float32(scale), WEIGHTS)
    save_model(directory, kind, {"resolution": 8}, weights, source=source)
    return directory


def origin(**changes: Any) -> dict[str, Any]:
    data = {"name": "synthetic", "licence": lineage.DATA_LICENCES["synthetic"]}
    return {"command": "train", "data": data, "pretrained": []} | changes


def test_own_data_and_weights_are_under_the_projects_own_terms(tmp_path: Path) -> None:
    lineage.write_origin(tmp_path, origin(pretrained=lineage.entries({"a": "embedded/judge_64"})))
    noted = lineage.read_origin(tmp_path)
    assert noted is not None and noted["terms"] == {}
    assert noted["licence"] == lineage.OWN_TERMS


def test_terms_go_through_trainings(tmp_path: Path) -> None:
    """Converted weights, a run that starts from them, and one that starts from what came of it."""
    pretrained = lineage.entries({"generator": str(converted(tmp_path / "ffhq")), "swapper": ""})
    (each,) = pretrained
    assert each["name"] == "ffhq" and each["network"] == "generator" and each["file"] == "ffhq.pkl"
    assert each["sha256"] == read_meta(tmp_path / "ffhq")["sha256"] and each["started_from"] == []
    faces = {"name": "ffhq_256", "licence": lineage.DATA_LICENCES["ffhq"]}
    run = tmp_path / "run"
    run.mkdir()
    lineage.write_origin(run, origin(data=faces, pretrained=pretrained))
    first = lineage.read_origin(run)
    assert first is not None
    assert first["terms"] == {"data ffhq_256": faces["licence"], "weights ffhq": NVIDIA}
    assert NVIDIA in first["licence"] and "CC BY-NC-SA" in first["licence"]
    save_model(tmp_path / "swapper", "swapper", {}, WEIGHTS, source=first)
    second = lineage.entries({"swapper": str(tmp_path / "swapper")})
    assert lineage.terms(origin()["data"], second) == first["terms"]
    assert [e["name"] for e in lineage.every(second)] == ["swapper", "ffhq"]
    unknown = lineage.terms(None, [])
    assert unknown == {"data of training": lineage.UNKNOWN_DATA}


def test_a_resumed_run_keeps_what_it_began_with(tmp_path: Path) -> None:
    one = lineage.entries({"generator": str(converted(tmp_path / "one"))})
    two = lineage.entries({"generator": str(converted(tmp_path / "two", scale=2))})
    lineage.write_origin(tmp_path, origin(pretrained=one))
    written = (tmp_path / lineage.ORIGIN_FILE).read_bytes()
    lineage.write_origin(tmp_path, origin(pretrained=one, command="again"))
    assert (tmp_path / lineage.ORIGIN_FILE).read_bytes() == written
    lineage.write_origin(tmp_path, origin(pretrained=two))
    noted = json.loads((tmp_path / lineage.ORIGIN_FILE).read_text())
    assert noted["command"] == "train" and [e["name"] for e in noted["pretrained"]] == [
        "one",
        "two",
    ]
    (tmp_path / lineage.ORIGIN_FILE).write_text("{")
    with pytest.raises(UserError, match="origin.json"):
        lineage.read_origin(tmp_path)


def test_a_judge_that_taught_is_known(tmp_path: Path) -> None:
    network = str(converted(tmp_path / "network", "arcface"))
    found = lineage.entries({"identity": network})
    other = {"params": {"other": np.zeros(2, np.float32)}}
    judge = lineage.entry(network)
    assert lineage.used_by(judge, other, found, {}) is True, "the same file of weights"
    again = judge | {"sha256": "another precision"}
    assert lineage.used_by(again, other, found, {}) is True, "converted from the same file"
    assert lineage.used_by(again | {"kind": "psp"}, other, found, {}) is False
    half = jax.tree.map(lambda x: x.astype(np.float16).astype(np.float32), WEIGHTS)
    stranger = lineage.entry(converted(tmp_path / "stranger", "arcface", 3.0))
    assert lineage.used_by(stranger, WEIGHTS, [], {"identity": half}) is True
    assert lineage.used_by(stranger, WEIGHTS, found, {"identity": other}) is False
    assert lineage.used_by(stranger, WEIGHTS, None, {}) is None, "there is no record"
    below = [{**found[0], "sha256": "x", "file_sha256": None, "started_from": None}]
    assert lineage.used_by(stranger, WEIGHTS, below, {}) is None, "nor what that was made from"
    nested = [{**below[0], "started_from": found}]
    assert lineage.used_by(judge, other, nested, {}) is True


def test_ancestors_of_models_that_noted_none() -> None:
    assert lineage.ancestors({"config": {"pretrained": {"identity": "embedded/x"}}}) is None
    assert lineage.ancestors({"config": {"pretrained": {"identity": ""}}}) == []
    assert lineage.ancestors({"project": "rosinality"}) == []
    assert lineage.ancestors({}) is None


def test_data_are_named_by_source(tmp_path: Path) -> None:
    world = data_entry(DataRequest("synthetic", None, 64, 30, 4))
    assert world["images"] == 120 and world["people"] == 30 and "Apache" in world["licence"]
    (tmp_path / "a.png").touch()
    photos = data_entry(DataRequest("folder", str(tmp_path), 64))
    assert photos["images"] == 1 and photos["licence"] == lineage.UNKNOWN_DATA
    parameters = {"kind": "celebamask", "split": "test"}
    (tmp_path / "dataset.json").write_text(json.dumps({"parameters": parameters}))
    np.save(tmp_path / "identities.npy", np.array([0, 0, 1], np.int32))
    prepared = data_entry(DataRequest("prepared", str(tmp_path), 64))
    assert (prepared["images"], prepared["people"], prepared["split"]) == (3, 2, "test")
    assert "non-commercial" in prepared["licence"] and prepared["name"] == tmp_path.name
