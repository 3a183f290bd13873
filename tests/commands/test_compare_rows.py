"""One table of rows that were trained apart: means over seeds, paired intervals, the front."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alrl_jax.commands.compare_rows import read_evaluations, write_table
from alrl_jax.errors import UserError
from alrl_jax.evaluation.metric_table import METRICS
from alrl_jax.evaluation.row_table import front_of

PAIRS = 50
TRAINING = {"command": "make it so", "seed": 3, "steps": 7}
PROTOCOL = {
    "benchmark": "counterfactual",
    "split": "test",
    "seed": 0,
    "num_pairs": PAIRS,
    "resolution": 64,
    "judge": {"sha256": "a"},
}


def evaluation(
    directory: Path, own: str, psnr: float, pose: float, keeps_pairs: bool = True, **said: Any
) -> str:
    """An output of an evaluation of which two metrics are known."""
    noise = np.random.default_rng(0).normal(size=PAIRS)
    noise -= noise.mean()  # the same for every row: pairs are hard for all alike
    values = {"face_psnr": psnr + 5 * noise, "pose_error_degrees": pose + noise}
    unknown = dict.fromkeys(METRICS)
    figures = {name: float(x.mean()) for name, x in values.items()}
    rows = {
        "target_image": {**unknown, "face_psnr": 10.0, "pose_error_degrees": 1.0},
        own: {**unknown, **figures, "identity_similarity": psnr / 100},
        "all_target": unknown,
    }
    protocol = {**PROTOCOL, "training": TRAINING, **said}
    directory.mkdir()
    (directory / "metrics.json").write_text(json.dumps({"protocol": protocol, "rows": rows}))
    if keeps_pairs:
        arrays = {f"{own}/{name}": x for name, x in values.items()}
        np.savez(directory / "pairs.npz", **arrays, **{"target_image/face_psnr": noise})
    return str(directory)


def test_seeds_are_averaged_and_pairs_compared(tmp_path: Path) -> None:
    named = [
        evaluation(tmp_path / "a0", "adaptive", 20.0, 3.0),
        evaluation(tmp_path / "a1", "adaptive", 22.0, 4.0),
        evaluation(tmp_path / "f", "ftm4", 20.5, 3.0),
        "plain=" + evaluation(tmp_path / "p", "adaptive", 19.0, 5.0),
        evaluation(tmp_path / "m", "mean", 18.0, 6.0, keeps_pairs=False),
    ]
    found, shared = read_evaluations(named)
    text = write_table(tmp_path / "out", found, shared, "adaptive")
    written = json.loads((tmp_path / "out" / "table.json").read_text())
    rows = written["rows"]
    assert list(rows) == ["target_image", "adaptive", "ftm4", "plain", "mean"]
    adaptive = rows["adaptive"]
    assert adaptive["seeds"] == 2 and adaptive["training"][0] == TRAINING
    assert adaptive["face_psnr"] == pytest.approx(21.0)
    assert adaptive["face_psnr_sd"] == pytest.approx(np.sqrt(2.0))
    assert rows["ftm4"]["face_psnr_sd"] is None and adaptive["ssim"] is None
    assert list(written["comparisons"]) == ["ftm4", "plain"], (
        "without pairs there is nothing to draw"
    )
    apart = written["comparisons"]["ftm4"]["face_psnr"]
    # Noise is common to both rows, so that every pair differs by the same.
    assert apart["difference"] == pytest.approx(0.5)
    assert apart["ci95"] == pytest.approx([0.5, 0.5])
    assert written["protocol"] == PROTOCOL | {"pair_set": "usual"}, "it is older than the sets"
    assert written["against"] == "adaptive"
    assert (tmp_path / "out" / "table.md").read_text() == text
    assert "| `adaptive` | 2 | 21.0 ± 1.41 |" in text and "+0.500 [+0.500, +0.500]" in text
    drawing = (tmp_path / "out" / "trade.svg").read_text()
    page = (tmp_path / "out" / "index.html").read_text()
    assert drawing.strip() in page and "make it so" in page and "references, not swaps" in page
    assert "<b>+0.500</b><i>[+0.500, +0.500]</i>" in page, "better beyond chance"
    assert "polyline" in drawing and all(name in drawing for name in ("ftm4", "plain", "mean"))


def test_swappers_measured_beside_another_are_rows(tmp_path: Path) -> None:
    """Each with the training that made it; a name that is given is that of the first."""
    directory = evaluation(tmp_path / "a", "adaptive", 20.0, 3.0)
    file = tmp_path / "a" / "metrics.json"
    metrics = json.loads(file.read_text())
    metrics["rows"]["mixer"] = {**metrics["rows"]["adaptive"], "face_psnr": 19.0}
    metrics["protocol"]["beside"] = {"mixer": {"training": {"seed": 4, "steps": 9}}}
    file.write_text(json.dumps(metrics))
    other = evaluation(tmp_path / "b", "mixer", 18.0, 3.0)
    found, _ = read_evaluations([f"mine={directory}", other])
    trained = [one for one in found if one.row != "target_image"]
    assert [one.row for one in trained] == ["mine", "mixer", "mixer"]
    assert [one.training["seed"] for one in trained] == [3, 4, 3]
    again = [*[f"mine={directory}"] * 2, other]
    metrics["protocol"] |= {"model": {"sha256": "x"}}
    metrics["protocol"]["beside"]["mixer"]["model"] = {"sha256": "y"}
    file.write_text(json.dumps(metrics))
    rows = [one.row for one in read_evaluations(again)[0]]
    assert rows == ["target_image", "mine", "mixer", "mixer"], "a model counts once"
    assert [one.figures["face_psnr"] for one in trained[1:]] == pytest.approx([19.0, 18.0])


def test_the_front_is_what_nothing_beats() -> None:
    points = {"a": (1.0, 0.2), "b": (2.0, 0.9), "c": (2.5, 0.8), "d": (1.0, 0.1), "e": (3.0, 1.0)}
    assert front_of(points) == ["a", "b", "e"]
    assert front_of({"x": (1.0, 1.0), "y": (1.0, 1.0)}) == ["x", "y"], "equals do not beat"


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    first = evaluation(tmp_path / "a", "adaptive", 20.0, 3.0)
    with pytest.raises(UserError, match="with num_pairs 7; expected 50"):
        read_evaluations([first, evaluation(tmp_path / "b", "ftm4", 20.0, 3.0, num_pairs=7)])
    with pytest.raises(UserError, match="with pair_set 'occlusion'; expected 'usual'"):
        read_evaluations([first, evaluation(tmp_path / "c", "m", 20.0, 3.0, pair_set="occlusion")])
    with pytest.raises(UserError, match="expected the output of an evaluation"):
        read_evaluations([first, str(tmp_path / "nowhere")])
    found, shared = read_evaluations([first])
    with pytest.raises(UserError, match="--against=mixer; expected one of target_image, adaptive"):
        write_table(tmp_path / "out", found, shared, "mixer")
