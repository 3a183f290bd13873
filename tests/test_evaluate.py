"""Evaluations end to end with a fake model and judge: rows, nulls, bounds, report."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from PIL import Image

from alrl_jax import evaluate
from alrl_jax.errors import UserError
from alrl_jax.evaluation import benchmark, earlier, opening, pair_sets, protocol
from alrl_jax.evaluation.blocks import blocks_of
from alrl_jax.evaluation.control import measure_control, way_gone
from alrl_jax.evaluation.image_metrics import PSNR_CAP
from alrl_jax.evaluation.measuring import Measurement, measure_counterfactual
from alrl_jax.evaluation.metric_table import METRICS, attainable_share
from alrl_jax.evaluation.report import gates, report, tables
from alrl_jax.evaluation.rows import own_row, rows_of
from alrl_jax.worlds import primitives
from tests.conftest import RunCli
from tests.support import doc_commands
from tests.support.fakes import RESOLUTION, FakeJudge, FakeSwapper

COUNT = 7


def judge() -> FakeJudge:
    return FakeJudge(len(primitives.ATTRIBUTE_FACTORS), len(primitives.LANDMARKS))


def draw(plan: benchmark.PairPlan, resolution: int) -> benchmark.Counterfactuals:
    """Coloured noise in place of faces: quick, and a function of the pair alone."""

    def noise(seeds: Array, low: float) -> Array:
        places = jnp.arange(resolution * resolution * 3, dtype=jnp.float32)
        values = jnp.sin(seeds[:, None] * 37 + places[None] * (1.3 + seeds[:, None])) / 2 + low
        return values.reshape(-1, resolution, resolution, 3)

    source, target = plan.source_identities.jaw_width, plan.target_identities.jaw_width
    batch = len(source)
    region = jnp.zeros((batch, resolution, resolution, 1)).at[:, 4:12, 4:12].set(1)
    m = len(primitives.LANDMARKS)
    background = noise(target, 0.2)
    return benchmark.Counterfactuals(
        source=noise(source, -0.2),
        target=background,
        truth=region * noise(source, -0.2) + (1 - region) * background,
        gallery=noise(source, -0.25),
        face_region=region,
        background=benchmark.background_of(region),
        pose_degrees=30 * background.reshape(batch, -1)[:, :3],
        attribute_factors=background[:, ::2, ::2].reshape(batch, -1)[
            :, : len(primitives.ATTRIBUTE_FACTORS)
        ],
        landmarks=jnp.full((batch, m, 2), resolution / 2),
        visible=jnp.ones((batch, m), bool),
        skin_tone=plan.target_attributes.skin_melanin,
        hard=benchmark.hard_pairs(plan, jnp.zeros((batch, 3)), 60 * background[:, 0, 0]),
    )


def measure(batch_size: int = 3) -> Measurement:
    model = FakeSwapper()
    rows = rows_of(model.selectors, with_truth=True)
    plan = benchmark.plan_pairs("test", 0, COUNT)
    return measure_counterfactual(
        model, judge(), plan, COUNT, rows, RESOLUTION, batch_size, 4, render=draw
    )


@pytest.fixture(scope="module")
def found() -> Measurement:
    return measure()


@pytest.fixture(scope="module")
def metrics(found: Measurement) -> dict[str, Any]:
    extra = {"benchmark": "counterfactual", "split": "test", "num_pairs": COUNT, "resolution": 16}
    extra["selectors"] = ["adaptive", "mean"]
    bins = benchmark.skin_tone_bins(found.tones)
    blocks = blocks_of(found, extra, bins, benchmark.SKIN_TONE_BINS)
    blocks["protocol"] = protocol.describe(blocks["protocol"])
    plan = benchmark.plan_pairs("test", 0, COUNT)
    blocks["control"] = measure_control(FakeSwapper(), judge(), plan, 4, RESOLUTION, 3, render=draw)
    return blocks


def test_the_way_goes_from_the_target_to_what_codes_carry(metrics: dict[str, Any]) -> None:
    shares = {name: row["attainable_share"] for name, row in metrics["rows"].items()}
    assert shares["target_image"] == 0.0 and shares["reconstruction"] == 1.0
    # 6 dB nearer is a quarter of the error: three quarters of the way to none.
    far, near, there = (
        {"face_psnr": np.full(3, x)} for x in (10.0, 10.0 + 20 * np.log10(2), 100.0)
    )
    assert attainable_share(near, far, there) == pytest.approx(0.75, rel=1e-6)
    assert attainable_share({}, far, there) is None


def test_every_row_has_every_metric(metrics: dict[str, Any]) -> None:
    rows = metrics["rows"]
    assert list(rows) == [
        "target_image",
        "source_image",
        "truth",
        "truth_blended",
        "reconstruction",
        "adaptive",
        "mean",
    ]
    for row in rows.values():
        for name in METRICS:
            assert name in row and f"{name}_ci95" in row
            if row[name] is not None:
                low, high = row[f"{name}_ci95"]
                assert low - 1e-6 <= row[name] <= high + 1e-6
        assert sum(tone["count"] for tone in row["by_skin_tone"].values()) == COUNT
    json.dumps(metrics, allow_nan=False)


def test_hard_pairs_are_those_of_their_reason() -> None:
    plan = benchmark.plan_pairs("test", 0, 40)
    pose = jnp.zeros((40, 3)).at[:4, 0].set(46.0)
    hard = benchmark.hard_pairs(plan, jnp.zeros((40, 3)), pose)
    assert np.flatnonzero(hard["wide_pose_gap"]).tolist() == [0, 1, 2, 3]
    for reason, field, limit in (
        ("extreme_light", "light_azimuth", 60.0),
        ("covering_hair", "hair_fringe", 0.7),
    ):
        looks = (plan.source_attributes, plan.target_attributes)
        most = np.maximum(*(np.abs(getattr(look, field)) for look in looks))
        np.testing.assert_array_equal(hard[reason], most > limit)
        assert 0 < np.sum(most > limit) < 40


def test_hard_pairs_are_measured_apart(found: Measurement, metrics: dict[str, Any]) -> None:
    for name, row in metrics["rows"].items():
        for reason, values in row["hard_pairs"].items():
            inside = found.hard[reason]
            assert values["count"] == inside.sum()
            if inside.any():
                expected = np.mean(found.values[name]["psnr"][inside])
                assert values["psnr"] == pytest.approx(expected, rel=1e-5)


def test_a_set_of_hard_pairs_is_measured_by_its_reasons(
    found: Measurement, metrics: dict[str, Any]
) -> None:
    assert not any("by_reason" in row for row in metrics["rows"].values()), "the usual set"
    reasons = {
        name: np.arange(COUNT) % len(pair_sets.REASONS) == i
        for i, name in enumerate(pair_sets.REASONS)
    }
    hard = dataclasses.replace(found, hard=found.hard | reasons)
    bins = benchmark.skin_tone_bins(found.tones)
    blocks = blocks_of(hard, {}, bins, benchmark.SKIN_TONE_BINS)
    for name, row in blocks["rows"].items():
        assert row["hard_pairs"] == metrics["rows"][name]["hard_pairs"]
        assert [of["count"] for of in row["by_reason"].values()] == [2, 2, 1, 1, 1]
        for reason, values in row["by_reason"].items():
            expected = np.mean(found.values[name]["psnr"][reasons[reason]])
            assert values["psnr"] == pytest.approx(expected, rel=1e-5)
    assert "harsh light" in str(tables.hard_pairs_table(blocks["rows"]))


def test_pairs_are_of_development_and_usual_unless_asked_otherwise() -> None:
    values = doc_commands.parse("alrl_jax.evaluate", ["--workdir=a", "--output=b"])
    assert values["split"].value == "development"
    assert (values["pair_set"].value or pair_sets.USUAL) == "usual"


def test_control_tells_whose_a_swap_is(metrics: dict[str, Any]) -> None:
    """The stand-in obeys ``identity_from`` and nothing else."""
    control = metrics["control"]
    groups = {f"expression_from_{face}" for face in ("source", "target")}
    assert set(control) == {"as_trained", "pose_from_source", "identity_from_target"} | groups
    trained, target = control["as_trained"], control["identity_from_target"]
    assert target["target"]["identity_similarity"] == pytest.approx(1, abs=1e-5)
    assert target["target"]["pose_error_degrees"] == pytest.approx(0, abs=1e-4)
    assert trained["source"]["identity_similarity"] > target["source"]["identity_similarity"]
    assert control["pose_from_source"] == trained
    assert target["way"] == pytest.approx(dict.fromkeys(target["way"], 0.0), abs=1e-5)
    assert 0 < trained["way"]["identity"] < 1, "the middle of the image is the source's"


def test_the_way_is_that_of_what_a_judge_reads() -> None:
    judged, faces = judge(), [jax.random.uniform(jax.random.key(i), (3, 16, 16, 3)) for i in (1, 2)]
    source, target = (judged.predict(face) for face in faces)
    half = jax.tree.map(lambda a, b: (a + b) / 2, source, target)
    for swap, share in ((source, 1.0), (target, 0.0), (half, 0.5)):
        gone = way_gone(swap, source, target)
        assert set(gone) == {"identity", "pose", "expression", "gaze", "light", "skin"}
        for parts in gone.values():
            assert parts[:, 0].sum() / parts[:, 1].sum() == pytest.approx(share, abs=1e-5)


def test_bounds_are_where_they_must_be(metrics: dict[str, Any]) -> None:
    rows = metrics["rows"]
    assert rows["truth"]["psnr"] == PSNR_CAP and rows["truth"]["lpips_like"] == 0
    blended = rows["truth_blended"]
    assert blended["face_psnr"] == blended["background_psnr"] == PSNR_CAP
    assert rows["target_image"]["background_psnr"] == PSNR_CAP
    assert rows["target_image"]["pose_error_degrees"] == pytest.approx(0, abs=1e-4)
    assert rows["source_image"]["identity_similarity"] == pytest.approx(1, abs=1e-5)
    assert rows["source_image"]["identity_top1"] == 1
    assert rows["adaptive"]["face_psnr"] == PSNR_CAP
    assert rows["adaptive"]["mask_iou"] == 1 and rows["target_image"]["mask_iou"] is None
    assert rows["adaptive"]["background_psnr"] == PSNR_CAP
    assert rows["mean"]["face_psnr"] < PSNR_CAP
    assert metrics["comparisons"]["mean"]["face_psnr"]["difference"] > 0


def test_figures_do_not_depend_on_the_batch(found: Measurement) -> None:
    other = measure(batch_size=7)
    for row, values in found.values.items():
        for name, numbers in values.items():
            np.testing.assert_allclose(numbers, other.values[row][name], rtol=1e-4, atol=1e-4)
    assert {n: len(p) for n, p in found.images.items()} == dict.fromkeys(found.images, 4)


class Links(HTMLParser):
    """Collects what a page points to."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.unnamed = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [v or "" for k, v in attrs if k in ("src", "href")]
        self.unnamed += tag == "img" and not dict(attrs).get("alt")


def test_report_is_one_page_with_its_images(
    found: Measurement, metrics: dict[str, Any], tmp_path: Path
) -> None:
    curves = [{"step": s, "loss/identity": 1 / s, "odd": -s} for s in range(1, 9)]
    extras = report.Extras(FakeSwapper.attribute_groups, curves, before=metrics)
    path = evaluate.write_outputs(tmp_path, metrics, found, extras)
    assert path == tmp_path / "report" / "index.html"
    text = path.read_text()
    links = Links()
    links.feed(text)
    images = [link for link in links.links if not link.startswith("#")]
    assert images and all(link.startswith("data:image/png;base64,") for link in images)
    assert len(images) < len(links.links), "the contents lead to the sections"
    assert not links.unnamed and path.stat().st_size < 6_000_000
    assert not re.search(r"https?://(?!www\.w3\.org|cv\.iptc\.org)", text)
    for word in (
        "loss/identity",
        "Responsible use",
        "expression",
        "What training did",
        "Identity against pose",
        "Hard pairs",
        "identity from target",
        "very dark",
        "There is no row best_fixed",
        "ceiling (true swap, encoded and generated)",
    ):
        assert word in text
    with Image.open(tmp_path / "report" / "adaptive_000.png") as image:
        expected = np.rint((found.images["adaptive"][0] + 1) * 127.5)
        np.testing.assert_allclose(np.asarray(image), expected, atol=1)
    assert (tmp_path / "report" / "overview.png").is_file()
    assert json.loads((tmp_path / "metrics.json").read_text())["rows"] == metrics["rows"]
    assert earlier.read_before(tmp_path)[0]["rows"] == metrics["rows"]
    assert len(earlier.read_before(tmp_path)[1]) == 4
    with np.load(tmp_path / evaluate.OF_PAIRS) as of_pairs:
        np.testing.assert_array_equal(of_pairs["mean/psnr"], found.values["mean"]["psnr"])
        assert len(of_pairs["truth/identity_top1"]) == COUNT


class SecondJudge:
    """Embeds the pixels that it sees."""

    kind, config, variables = "arcface", {"resolution": 8}, {}  # noqa: RUF012

    def __call__(self, images: Array) -> Array:
        assert images.shape[1:] == (8, 8, 3)  # the crop that its kind takes
        flat = images.reshape(len(images), -1)
        return flat / jnp.linalg.norm(flat, axis=1, keepdims=True)


def test_a_second_judge_says_who_is_seen() -> None:
    model, plan = FakeSwapper(), benchmark.plan_pairs("test", 0, COUNT)
    rows = rows_of(model.selectors, with_truth=True)
    found = measure_counterfactual(
        model, judge(), plan, COUNT, rows, RESOLUTION, 3, 0, render=draw, second=SecondJudge()
    )
    source, target = (found.values[name] for name in ("source_image", "target_image"))
    np.testing.assert_allclose(source["second_identity_similarity"], 1.0, rtol=1e-5)
    assert np.all(target["second_identity_similarity"] < 0.99)
    # The gallery's images are the sources', a little darker: each is found by its own.
    assert np.all(source["second_identity_top1"] == 1.0)
    alone = measure()
    assert "second_identity_similarity" not in alone.values["source_image"]
    np.testing.assert_array_equal(
        alone.values["mean"]["identity_top1"], found.values["mean"]["identity_top1"]
    )


def test_a_second_judge_knows_identities_alone() -> None:
    with pytest.raises(UserError, match="--identity_judge=embedded/judge_64.*kind 'judge'"):
        opening.open_second_judge("embedded/judge_64")


def test_a_model_is_measured_by_its_own_name(tmp_path: Path) -> None:
    """A row that was trained by itself: its gates, comparisons and page are those of its name."""
    model = FakeSwapper()
    model.selectors = ("ftm4", "mean")
    rows = rows_of(model.selectors, with_truth=True)
    assert own_row(rows) == "ftm4" and own_row(["target_image", "self_swap"]) == "adaptive"
    plan = benchmark.plan_pairs("test", 0, COUNT)
    found = measure_counterfactual(model, judge(), plan, COUNT, rows, RESOLUTION, 3, 2, render=draw)
    extra = {"benchmark": "counterfactual", "split": "test", "num_pairs": COUNT, "resolution": 16}
    extra["selectors"] = ["ftm4", "mean"]
    bins = benchmark.skin_tone_bins(found.tones)
    blocks = blocks_of(found, extra, bins, benchmark.SKIN_TONE_BINS)
    blocks["protocol"] = protocol.describe(blocks["protocol"])
    assert "adaptive" not in blocks["rows"] and list(blocks["comparisons"]) == ["mean"]
    assert len(found.gates["attributes"]) == COUNT and "generated" in found.images
    extras = report.Extras(FakeSwapper.attribute_groups, before=blocks)
    text = evaluate.write_outputs(tmp_path, blocks, found, extras).read_text()
    assert "Ftm4 against other selections" in text and "Which codes come from" in text
    assert (tmp_path / "report" / "ftm4_000.png").is_file()
    assert len(earlier.read_before(tmp_path)[1]) == 2


def test_selectors_are_chosen_by_name() -> None:
    known = ("ftm4", "mean", "lcr4")
    assert evaluate.chosen_selectors(known, []) == ("ftm4",)
    assert evaluate.chosen_selectors(known, ["lcr4", "ftm4"]) == ("ftm4", "lcr4")
    with pytest.raises(UserError, match="--selectors with 'adaptive'; expected some of ftm4"):
        evaluate.chosen_selectors(known, ["adaptive"])


def test_gates_are_read_by_attribute_group(found: Measurement) -> None:
    shares = gates.gate_shares(found)
    assert shares is not None and shares.shape == (COUNT, 6, 3)
    np.testing.assert_allclose(shares, 1, rtol=1e-5)


def test_codes_are_named_by_the_face_that_they_come_from() -> None:
    pairs = np.zeros((100, 2, 3))
    pairs[:, 0, 1], pairs[::2, 1, 0], pairs[0, 1, 2] = 1.0, 1.0, 1.0
    always, varying, never = gates.deciders(pairs)
    assert (always, varying, never) == ([[1], []], [[], [0]], [[0, 2], [1, 2]])


def test_every_metric_has_its_table() -> None:
    shown = [name for names in tables.FAMILIES.values() for name in names]
    assert sorted(shown) == sorted(METRICS) and set(tables.COMPARED) <= set(METRICS)


def test_protocol_names_what_comparing_needs(metrics: dict[str, Any]) -> None:
    block = metrics["protocol"]
    assert set(block["units"]) == set(METRICS)
    assert block["versions"]["jax"] and block["device"]["platform"] == "cpu"
    assert block["git_revision"] is None or re.match(r"[0-9a-f]{40}", block["git_revision"])


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"rows": {}}'])
def test_before_must_be_an_evaluation(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.json").write_text(content)
    for path in (tmp_path, tmp_path / "metrics.json", tmp_path / "none"):
        with pytest.raises(UserError, match="--before"):
            earlier.read_before(path)


def test_before_must_be_of_the_same_pairs() -> None:
    before = {"protocol": {"seed": 0, "num_pairs": 5, "judge": {"sha256": "a"}}}
    earlier.check_comparable(before, {"seed": 0, "num_pairs": 5})
    with pytest.raises(UserError, match="num_pairs 5, not 6.*judge"):
        earlier.check_comparable(before, {"seed": 0, "num_pairs": 6, "judge": {"sha256": "b"}})


def test_empty_workdir_is_one_line(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli("alrl_jax.evaluate", f"--workdir={tmp_path}", f"--output={tmp_path / 'out'}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1
