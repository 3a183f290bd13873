"""Both commands from flags to files, on a small swapper and judge with random weights."""

import functools
import json
import types
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from PIL import Image

from alrl_jax import evaluate
from alrl_jax.errors import UserError
from alrl_jax.evaluation import opening
from alrl_jax.evaluation.flag_checks import PAIRS_ALONE
from alrl_jax.evaluation.metric_table import METRICS
from alrl_jax.evaluation.pair_sets import OCCLUSION_SHA256, REASONS
from alrl_jax.inference import engine
from alrl_jax.inference.outputs import make_output
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.swapping import Swapping
from alrl_jax.loading import load_analyser, load_swapper
from alrl_jax.models.build import build_analyser, build_swapper
from alrl_jax.models.swapper.selection import SELECTORS
from alrl_jax.photos.pair_list import PairFiles
from alrl_jax.storage.model_directory import save_model
from alrl_jax.training.sharding import make_mesh
from alrl_jax.worlds import primitives
from tests.support.fakes import FakeSwapper

OF_PROCESSES = ("distributed", "coordinator_address", "num_processes", "process_id")

RESOLUTION = 32
ANALYSER = {
    "block": "plain",
    "widths": [8, 8],
    "hidden": 8,
    "resolution": RESOLUTION,
    "identity_width": len(primitives.IDENTITY_FACTORS),
    "attribute_width": len(primitives.ATTRIBUTE_FACTORS),
    "num_landmarks": len(primitives.LANDMARKS),
}
SWAPPER = {
    "resolution": RESOLUTION,
    "generator": {
        "resolution": RESOLUTION,
        "z_dim": 8,
        "w_dim": 8,
        "channel_base": 128,
        "channel_max": 8,
        "num_mapping_layers": 1,
    },
    "identity": ANALYSER,
    "encoder": {"widths": [8, 8, 8], "pose_space": "spatial_const"},
    "swap": {"channel_groups": 2, "width": 8, "gate_mode": "hard", "feather": 1},
    "attribute_groups": ["identity", "pose", "expression", "hair"],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model directories ``swapper`` and ``judge``."""
    folder = tmp_path_factory.mktemp("models")
    images = jnp.zeros((1, RESOLUTION, RESOLUTION, 3))
    swapper = jax.jit(build_swapper(SWAPPER).init)(jax.random.key(0), images)
    save_model(folder / "swapper", "swapper", SWAPPER, swapper, half=True)
    judge = jax.jit(build_analyser(ANALYSER).init)(jax.random.key(1), images)
    save_model(folder / "judge", "judge", ANALYSER, judge)
    return folder


def _set_flags(monkeypatch: pytest.MonkeyPatch, **values: Any) -> None:
    """Flags of an evaluation, where they are not what the command takes by itself."""
    usual = {
        "judge": None,
        "benchmark": "counterfactual",
        "pair_set": None,
        "split": "development",
        "seed": 0,
        "num_pairs": None,
        "batch_size": 2,
        "num_pictures": 2,
        "aligned": False,
        "before": None,
        "beside": None,
        "selectors": None,
        "identity_judge": None,
        **dict.fromkeys((*PAIRS_ALONE, *OF_PROCESSES)),
    }
    given = {name: str(v) if isinstance(v, Path) else v for name, v in values.items()}
    monkeypatch.setattr(flags, "FLAGS", types.SimpleNamespace(**(usual | given)))


def test_evaluate_writes_metrics_and_report(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = load_swapper(str(models / "swapper"))
    assert model.selectors == tuple(SELECTORS) and "mean" in SELECTORS
    model.selectors = ("adaptive", "mean")  # every selector is a compilation
    judge = evaluate.load_analyser(models / "judge", "judge")
    monkeypatch.setattr(evaluate, "load_analyser", lambda *_: judge)
    monkeypatch.setattr(evaluate, "load_swapper", lambda _: model)
    monkeypatch.setattr(evaluate, "freeze", functools.partial(evaluate.freeze, count=3))
    given = {"workdir": models / "swapper", "judge": models / "judge", "output": tmp_path}
    _set_flags(
        monkeypatch,
        **given,
        pair_set="occlusion",
        num_pairs=3,
        beside=[f"other={models / 'swapper'}"],
    )
    assert evaluate.main(["evaluate"]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    references = {"target_image", "source_image", "truth", "truth_blended", "reconstruction"}
    swaps = {"adaptive", "frozen_codes", "frozen_gates", "mean", "other"}  # no features to freeze
    assert set(metrics["rows"]) == references | swaps
    assert set(metrics["comparisons"]) == swaps - {"adaptive"}
    assert metrics["rows"]["other"] == metrics["rows"]["adaptive"], "the same model"
    assert metrics["protocol"]["beside"]["other"]["model"] == metrics["protocol"]["model"]
    assert metrics["protocol"]["selectors"] == ["adaptive", "mean"]
    adaptive = metrics["rows"]["adaptive"]
    unknown = {"lpips", "identity_top5", "fid"}
    unknown |= {"second_identity_similarity", "second_identity_top1"}
    assert {n for n in METRICS if adaptive[n] is None} == unknown, "three people, and no such judge"
    assert metrics["protocol"]["split"] == "development"
    assert metrics["protocol"]["pair_set"] == "occlusion"
    assert metrics["protocol"]["pair_set_sha256"] == OCCLUSION_SHA256["development"]
    assert [adaptive["by_reason"][name]["count"] for name in REASONS] == [1, 1, 1, 0, 0]
    assert "by_reason" in metrics["protocol"]["notes"]
    assert metrics["protocol"]["judge"]["name"] == "judge"
    assert str(models) not in json.dumps(metrics), "a protocol names no folders of a machine"
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Which codes come from which face" in page and "hair" in page


def test_other_swappers_have_names_of_their_own() -> None:
    assert opening.named_directories(["a=x", "b=y=z"]) == {"a": "x", "b": "y=z"}
    for entries in (["x"], ["=x"], ["a="], ["a=x", "a=y"]):
        with pytest.raises(UserError, match="expected NAME=DIR, every name once"):
            opening.named_directories(entries)
    model, smaller = FakeSwapper(), FakeSwapper(8)
    opening.check_beside("m", model, {"other": model})
    for taken in ("truth", "mean"):
        with pytest.raises(UserError, match=f"got --beside={taken}=..., the name of another row"):
            opening.check_beside("m", model, {taken: model})
    with pytest.raises(UserError, match="of 8 pixels; expected 16, as m has"):
        opening.check_beside("m", model, {"other": smaller})


def test_evaluate_measures_photographs(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = load_swapper(str(models / "swapper"))
    model.selectors = ("adaptive",)
    monkeypatch.setattr(evaluate, "load_swapper", lambda _: model)
    rng = np.random.default_rng(0)
    for name in "abc":
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    identity = model.variables["identity"]
    save_model(tmp_path / "own", "identity", ANALYSER, identity, source={"licence": "ours"})
    given = {"workdir": models / "swapper", "data": tmp_path, "aligned": True, "num_pairs": 4}
    given |= {"benchmark": "pairs", "output": tmp_path / "out"}
    _set_flags(monkeypatch, **given, pose_judge=models / "judge", identity_judge=tmp_path / "own")
    assert evaluate.main(["evaluate"]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    protocol, adaptive = metrics["protocol"], metrics["rows"]["adaptive"]
    assert protocol["judge_seen_in_training"] is True
    assert protocol["judges"]["pose"]["seen_in_training"] is None, "no record of the training"
    assert protocol["judges"]["identity"]["licence"] == "ours"
    assert protocol["num_pairs"] == 4 and protocol["gallery_size"] == 3
    assert adaptive["identity_similarity"] is not None and adaptive["pose_error_degrees"] > 0
    for name in ("fid", "lpips", "background_psnr", "psnr", "face_psnr", "identity_top5"):
        assert adaptive[name] is None and adaptive[f"{name}_ci95"] is None
    assert metrics["rows"]["self_swap"]["psnr"] > 0
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "flatter the model" in page and "not measured" in page
    assert str(tmp_path) not in json.dumps(metrics)

    before = {"before": tmp_path / "out", "output": tmp_path / "again"}
    _set_flags(monkeypatch, **given | before, pose_judge=models / "judge")
    with pytest.raises(UserError, match="judges_sha256"):
        evaluate.main(["evaluate"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lpips": "x"}, "--lpips with --benchmark=counterfactual"),
        (
            {"benchmark": "pairs", "pairs": "a", "pair_set": "occlusion"},
            "got --pair_set=occlusion with --benchmark=pairs; expected it with",
        ),
        ({"benchmark": "pairs"}, "either a CSV file or a folder"),
        ({"benchmark": "pairs", "pairs": "a", "data": "b"}, "either a CSV file or a folder"),
        ({"benchmark": "pairs", "pairs": "a", "num_pairs": 3}, "--num_pairs=3 with --pairs"),
        ({"benchmark": "pairs", "data": "a", "aligned": True, "landmarks_from": "file"}, "--align"),
    ],
)
def test_flags_that_do_not_belong_together(
    given: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set_flags(monkeypatch, **given)
    with pytest.raises(UserError, match=message):
        evaluate.check_flags(flags.FLAGS)


def test_a_model_of_another_kind_is_refused(models: Path) -> None:
    with pytest.raises(UserError, match="'judge'.*expected 'swapper'"):
        evaluate.load_swapper(models / "judge")
    with pytest.raises(UserError, match="'judge'.*expected .swapper."):
        load_swapper(str(models / "judge"))


def test_infer_gives_the_same_on_1_and_8_devices(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for name, size in (("a", (24, 24)), ("b", (30, 40))):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    pairs = [PairFiles(a, b), PairFiles(b, a), PairFiles(a, tmp_path / "none.png")]
    outputs = []
    for devices in (1, 8):
        mesh = make_mesh(jax.devices()[:devices])
        monkeypatch.setattr(engine, "make_mesh", lambda _, mesh=mesh: mesh)
        output = make_output(str(tmp_path / f"out{devices}"))
        model = load_swapper(str(models / "swapper"))
        swapping = Swapping(model, Settings(aligned=True), output)
        results = list(swapping.run(pairs, 8))
        assert [r["status"] for r in results] == ["done", "done", "failed"]
        images = []
        for result in results[:2]:
            with Image.open(output / result["output"]) as image:
                images.append(np.asarray(image).astype(int))
        outputs.append(images)
    assert [p.shape for p in outputs[0]] == [(30, 40, 3), (24, 24, 3)]
    for one, eight in zip(*outputs, strict=True):
        assert np.abs(one - eight).max() <= 1


def test_pose_and_identity_follow_the_flags(models: Path) -> None:
    model: Any = load_swapper(str(models / "swapper"))
    source, target = np.random.default_rng(1).uniform(-1, 1, (2, 2, 32, 32, 3)).astype(np.float32)
    usual = model.swap(source, target)
    turned = model.swap(source, target, pose_from="source")
    assert float(usual.gates.pose.max()) == 0 and float(turned.gates.pose.min()) == 1
    kept = model.swap(source, target, identity_from="target")
    assert float(kept.gates.attributes.max()) == 0


def test_a_protocol_says_how_far_ownership_moved(models: Path) -> None:
    model: Any = load_swapper(str(models / "swapper"))
    judge: Any = load_analyser(models / "judge", "judge")
    paths = str(models / "swapper"), str(models / "judge")
    for said in ({}, {"owners_like_first": 0.25}):
        model.config = {**model.config, "swap": {**model.config["swap"], **said}}
        described = opening.describe_trained(paths[0], model, paths[1], judge)
        assert described["owners_like_first"] == said.get("owners_like_first")
