"""Model cards: what stands in them, that they can be made again, and that every model has one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.provenance import lineage
from alrl_jax.provenance.model_card import (
    CARD_FILE,
    FIGURES_FILE,
    card,
    read_figures,
    read_record,
    training_record,
    write_card,
)
from alrl_jax.storage.model_directory import EMBEDDED, read_meta, save_model
from tests.conftest import RunCli
from tests.provenance.test_lineage import NVIDIA, converted, origin

FIGURES: dict[str, Any] = {
    "protocol": {
        "benchmark": "counterfactual",
        "num_pairs": 5,
        "units": {"psnr": "dB", "pose_error_degrees": "degrees"},
        "judge": {"name": "embedded/judge_64", "kind": "judge"},
        "model": {"name": "swapper", "kind": "swapper", "sha256": "0123456789abcdef"},
        "judge_seen_in_training": True,
    },
    "rows": {
        "target_image": {"psnr": 12.34567, "pose_error_degrees": None},
        "adaptive": {
            "psnr": 23.0,
            "pose_error_degrees": None,
            "by_skin_tone": {"light": {"count": 3, "psnr": 25.5}, "dark": {"count": 2}},
        },
    },
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A packaged swapper that was made from converted weights."""
    pretrained = lineage.entries({"generator": str(converted(tmp_path / "ffhq"))})
    values = Config.from_dict({"task": "swap", "data": {"path": "/home/me/faces"}}).to_dict()
    source = origin(pretrained=pretrained, command="python -m x --workdir=/home/me/run --a=b")
    source["terms"] = lineage.terms(source["data"], pretrained)
    source |= {"config": values, "steps": 7, "images": 112, "licence": NVIDIA}
    source["last_metrics"] = {"step": 7, "loss/identity": 0.123456}
    weights = {"generator": {"w": np.ones(3, np.float32)}}
    save_model(tmp_path / "swapper", "swapper", {"resolution": 8}, weights, source=source)
    return tmp_path / "swapper"


def test_card_tells_all_of_a_model(model: Path) -> None:
    text = write_card(model).read_text()
    meta = read_meta(model)
    for part in (
        "# Model card: swapper",
        meta["sha256"],
        "| training steps | 7 |",
        "| generator | ffhq | generator | nvidia, ffhq.pkl |",
        f"- weights ffhq: {NVIDIA}",
        lineage.DATA_LICENCES["synthetic"],
        "| loss/identity | 0.1235 |",
        "It has not been measured yet",
        "**Consent.**",
        "No compliance with any law, standard or policy is claimed",
        '"task": "swap"',
        "--workdir=run --a=b",
        '"path": "faces"',
    ):
        assert part in text, part
    assert "/home/me" not in text
    assert write_card(model).read_text() == text, "the same again"


def test_card_shows_figures_and_tones(model: Path) -> None:
    (model / FIGURES_FILE).write_text(json.dumps(FIGURES))
    text = write_card(model).read_text()
    for part in (
        "| row | psnr, dB |",
        "| `target_image` | 12.35 |",
        "| light | 3 | 25.5 |",
        "| dark | 2 | not measured |",
        "| judge: judge | embedded/judge_64 (judge) |",
        "0123456789abcdef",
        "A judge was used in the training",
    ):
        assert part in text, part
    assert "pose error" not in text, "no row has it"
    (model / FIGURES_FILE).write_text('{"top1": 0.98765, "people": 200}')
    assert "| top1 | 0.9877 |" in write_card(model).read_text()
    for content in ("", "[]", '{"rows": 1}'):
        (model / FIGURES_FILE).write_text(content)
        with pytest.raises(UserError, match="expected the metrics.json"):
            read_figures(model / FIGURES_FILE)


def test_a_run_that_noted_nothing_says_no_more_than_is_sure(tmp_path: Path) -> None:
    """As runs of before there were notes; what they started from lies where the config says."""
    values = {"seed": 3, "batch_size": 4, "data": {"source": "synthetic"}}
    values["pretrained"] = {"generator": str(converted(tmp_path / "ffhq"))}
    (tmp_path / "config.json").write_text(json.dumps(values))
    record = training_record(tmp_path, 5, "make it so")
    assert record["command"] == "make it so" and record["images"] == 20 and record["seed"] == 3
    assert record["terms"] == {"weights ffhq": NVIDIA}
    values["pretrained"] = {"generator": str(tmp_path / "gone")}
    (tmp_path / "config.json").write_text(json.dumps(values))
    record = training_record(tmp_path, 5)
    assert lineage.ancestors(record) is None and record["licence"] == lineage.NOT_STATED
    record = {"name": "run", "kind": "swapper", "sha256": None, "source": record, "figures": None}
    assert "There is no record of them" in card(record) and lineage.NOT_STATED in card(record)


def test_command_line_keeps_the_figures(model: Path, tmp_path: Path, run_cli: RunCli) -> None:
    (tmp_path / "found.json").write_text(json.dumps(FIGURES))
    arguments = (f"--model={model}", f"--metrics={tmp_path / 'found.json'}")
    done = run_cli("tools.model_card", *arguments)
    assert done.returncode == 0 and done.stdout.strip() == str(model / CARD_FILE)
    text = (model / CARD_FILE).read_text()
    assert "| light | 3 | 25.5 |" in text and write_card(model).read_text() == text
    with pytest.raises(UserError, match="holds no model.json"):
        read_record(tmp_path)


@pytest.mark.parametrize("name", sorted(p.name for p in EMBEDDED.iterdir() if p.is_dir()))
def test_shipped_models_have_their_cards(name: str) -> None:
    shipped = (EMBEDDED / name / CARD_FILE).read_text(encoding="utf-8")
    assert shipped == card(read_record(f"embedded/{name}"))
    assert "Apache-2.0" in shipped and "no record" not in shipped
