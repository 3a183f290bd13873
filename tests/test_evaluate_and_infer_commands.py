"""Both commands as a user runs them, on a small swapper and judge with random weights."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from alrl_jax import synthetic
from alrl_jax.evaluation.metric_table import METRICS
from alrl_jax.model_directory import save_model
from alrl_jax.models.build import build_analyser, build_swapper
from alrl_jax.models.swap import SELECTORS
from tests.conftest import RunCli

RESOLUTION = 32
ANALYSER = {
    "block": "plain",
    "widths": [8, 8],
    "hidden": 8,
    "resolution": RESOLUTION,
    "identity_width": len(synthetic.IDENTITY_FACTORS),
    "attribute_width": len(synthetic.ATTRIBUTE_FACTORS),
    "num_landmarks": len(synthetic.LANDMARKS),
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
    swapper = build_swapper(SWAPPER).init(jax.random.key(0), images)
    save_model(folder / "swapper", "swapper", SWAPPER, swapper, half=True)
    judge = build_analyser(ANALYSER).init(jax.random.key(1), images)
    save_model(folder / "judge", "judge", ANALYSER, judge)
    return folder


def test_evaluate_writes_metrics_and_report(models: Path, run_cli: RunCli, tmp_path: Path) -> None:
    flags = (
        f"--workdir={models / 'swapper'}",
        f"--judge={models / 'judge'}",
        "--split=development",
    )
    sizes = ("--num_pairs=6", "--batch_size=4", "--num_pictures=2")
    done = run_cli("alrl_jax.evaluate", *flags, *sizes, f"--output={tmp_path / 'one'}")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "one" / "metrics.json").read_text())
    assert set(metrics["rows"]) == {
        "target_image",
        "source_image",
        "truth",
        "reconstruction",
        *SELECTORS,
    }
    adaptive = metrics["rows"]["adaptive"]
    assert [name for name in METRICS if adaptive[name] is None] == []
    assert metrics["protocol"]["split"] == "development"
    assert metrics["protocol"]["judge"]["name"] == "judge"
    assert str(models) not in json.dumps(metrics), "a protocol names no folders of a machine"
    page = (tmp_path / "one" / "report" / "index.html").read_text()
    assert "Which codes come from which face" in page and "hair" in page
    again = run_cli(
        "alrl_jax.evaluate",
        *flags,
        *sizes,
        f"--output={tmp_path / 'two'}",
        f"--before={tmp_path / 'one'}",
    )
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "two" / "metrics.json").read_text())["rows"] == metrics["rows"]
    assert "before training" in (tmp_path / "two" / "report" / "index.html").read_text()


def test_a_model_of_another_kind_is_told(models: Path, run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli(
        "alrl_jax.evaluate", f"--workdir={models / 'judge'}", f"--output={tmp_path / 'out'}"
    )
    assert done.returncode == 2 and "'judge'" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()


def test_infer_gives_the_same_on_1_and_8_devices(
    models: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for name, size in (("a", (24, 24)), ("b", (30, 40))):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (tmp_path / "pairs.csv").write_text("source,target\na.png,b.png\nb.png,a.png\na.png,none.png\n")
    outputs = []
    for devices in (1, 8):
        output = tmp_path / f"out{devices}"
        done = run_cli(
            "alrl_jax.infer",
            f"--model={models / 'swapper'}",
            f"--pairs={tmp_path / 'pairs.csv'}",
            f"--output={output}",
            "--aligned",
            devices=devices,
        )
        assert done.returncode == 3, done.stderr
        results = [json.loads(x) for x in (output / "results.jsonl").read_text().splitlines()]
        assert [r["status"] for r in results] == ["done", "done", "failed"]
        pictures = []
        for result in results[:2]:
            with Image.open(output / result["output"]) as image:
                pictures.append(np.asarray(image).astype(int))
        outputs.append(pictures)
    assert [p.shape for p in outputs[0]] == [(30, 40, 3), (24, 24, 3)]
    for one, eight in zip(*outputs, strict=True):
        assert np.abs(one - eight).max() <= 1


def test_pose_and_identity_follow_the_flags(models: Path) -> None:
    from alrl_jax.loading import load

    model = load(models / "swapper")
    source, target = np.random.default_rng(1).uniform(-1, 1, (2, 2, 32, 32, 3)).astype(np.float32)
    usual = model.swap(source, target)
    turned = model.swap(source, target, pose_from="source")
    assert float(usual.gates.pose.max()) == 0 and float(turned.gates.pose.min()) == 1
    kept = model.swap(source, target, identity_from="target")
    assert float(kept.gates.attributes.max()) == 0
