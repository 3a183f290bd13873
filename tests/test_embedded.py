"""The swapper that the package ships does what the README says, on pairs whose truth is known."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

import alrl_jax
from alrl_jax.evaluation.benchmark import Counterfactuals, plan_pairs, render_pairs
from alrl_jax.evaluation.image_metrics import psnr
from alrl_jax.loading import SwapperModel, load_analyser
from alrl_jax.utils.hashing import variables_sha256

COUNT = 12
ROWS = ("adaptive", "best_fixed", "ftm4", "mixer")
RESULTS = Path(__file__).parent.parent / "results"
MEASURED = RESULTS / "rows_64" / "seed_0" / "metrics.json"


@pytest.fixture(scope="module")
def pairs() -> Counterfactuals:
    return render_pairs(plan_pairs("development", 3, COUNT), 64)


@pytest.fixture(scope="module")
def model() -> SwapperModel:
    return alrl_jax.load_swapper("embedded/swapper_64")


def test_gates_are_binary_and_differ_between_pairs(
    model: SwapperModel, pairs: Counterfactuals
) -> None:
    gates = np.asarray(model.swap(pairs.source, pairs.target).gates.attributes)
    assert np.isin(gates, (0.0, 1.0)).all()
    decided_by_the_pair = np.ptp(gates, axis=0) > 0
    assert decided_by_the_pair.mean() > 0.05
    assert len({row.tobytes() for row in gates}) > COUNT // 2


def test_swaps_come_nearer_to_the_truth_than_their_targets(
    model: SwapperModel, pairs: Counterfactuals
) -> None:
    swapped = model.swap(pairs.source, pairs.target).image
    won = psnr(swapped, pairs.truth, pairs.face_region) - psnr(
        pairs.target, pairs.truth, pairs.face_region
    )
    assert np.mean(won) > 1.0
    assert np.mean(psnr(swapped, pairs.target, pairs.background)) > 45.0


def test_the_pose_follows_the_face_that_is_asked_for(
    model: SwapperModel, pairs: Counterfactuals
) -> None:
    judge = load_analyser("embedded/judge_64", "judge")

    def distance(asked: str, face: str) -> float:
        swapped = model.swap(pairs.source, pairs.target, pose_from=asked).image
        of_face = judge.predict(getattr(pairs, face)).pose_degrees
        gap = judge.predict(swapped).pose_degrees - of_face
        return float(np.mean(np.linalg.norm(gap, axis=-1)))

    assert distance("target", "target") < 0.25 * distance("target", "source")
    assert distance("source", "source") < 0.5 * distance("source", "target")


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_the_table_differ_in_heads_and_selection_alone(
    name: str, model: SwapperModel
) -> None:
    row = alrl_jax.load_swapper(RESULTS / "models" / f"{name}_64")
    assert row.selectors[0] == name
    shared = [
        (networks["generator"], networks["identity"], networks["encoder"]["params"]["backbone"])
        for networks in (row.variables, model.variables)
    ]
    jax.tree.map(np.testing.assert_array_equal, *shared)
    protocol = json.loads(MEASURED.read_text())["protocol"]
    measured = {"adaptive": protocol, **protocol["beside"]}[name]["model"]["sha256"]
    assert measured == variables_sha256(row.variables), "measured figures are of these weights"
