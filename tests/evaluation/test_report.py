"""Pages: escaped, whole, readable; drawings whose labels and outliers stay apart."""

import html.parser
import io
import math
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alrl_jax.evaluation import best_fixed
from alrl_jax.evaluation.report import curves, gallery, glance, page, scatter, tables, tones
from alrl_jax.evaluation.report.bars import bars
from alrl_jax.evaluation.report.curves import Run
from alrl_jax.evaluation.report.images import data_uri, fitted
from alrl_jax.evaluation.report.page import Cell, Line
from alrl_jax.utils.png import encode

ODD = "<script>alert('&\"')</script>"
"""A name that nobody should have, in a page that has to show it as it stands."""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
VOID = ("meta", "img", "input")


class Tags(html.parser.HTMLParser):
    """Every tag of a page with its attributes; tags have to be closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.found if name == tag)


def picture(side: int = 8, seed: int = 0) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    return encode(noise)


def odd_page() -> str:
    """A page of every part, each of which holds a name that is markup."""
    table = page.table(
        ODD, [ODD, page.Head(ODD, ODD, ODD)], [Line([ODD, Cell(ODD, ODD, True, 2.0)], True, ODD)]
    )
    shown = page.Picture(data_uri(picture()), ODD, ODD)
    runs = [Run(ODD, [{"step": 1, ODD: 2.0}, {"step": 2, ODD: 3.0}]), Run("b", [])]
    drawings = [
        bars(ODD, [ODD], [1.0], [ODD], {ODD: [0.5]}),
        scatter.scatter(ODD, {ODD: (1.0, 2.0), "b": (2.0, 1.0)}, ODD, ODD),
    ]
    sections = [
        page.section(ODD, ODD, page.paragraph(ODD), table, page.plots(drawings)),
        page.section("Pictures", ODD, page.pictures([shown]), page.wide_picture(shown)),
        page.section("More", ODD, page.details(ODD, page.definitions([(ODD, ODD)]))),
        page.section("Tiles", ODD, page.tiles([page.Tile(ODD, ODD, [ODD], 0.5, ODD)])),
        page.section("Runs", ODD, page.legend(curves.colours_of(runs)), page.listing(ODD)),
        *curves.sections(runs),
    ]
    return page.page(ODD, ODD, [page.warning(ODD), *sections], ODD)


def test_names_are_escaped_wherever_they_stand() -> None:
    text = odd_page()
    tags = Tags(text)
    assert len(list(tags.of("script"))) == 1, "the page's own"
    assert ODD not in text and text.count("&lt;script&gt;alert(") > 30
    assert "javascript" not in text and not any("onerror" in a for _, a in tags.found)


def test_a_page_holds_all_that_it_shows() -> None:
    tags = Tags(odd_page())
    policy = next(a["content"] for a in tags.of("meta") if "http-equiv" in a)
    assert policy and policy.startswith("default-src 'none'; img-src data:;")
    assert "connect-src" not in policy, "a page that is not live asks nobody"
    assert all((a["src"] or "").startswith("data:image/") for a in tags.of("img"))
    assert all(a["alt"] for a in tags.of("img")) and len(list(tags.of("img"))) == 2
    assert all(a["aria-label"] for a in tags.of("svg"))
    anchors = {a["id"] for a in tags.of("section")}
    assert [a["href"] for a in tags.of("a")] == [f"#{a['id']}" for a in tags.of("section")]
    assert len(anchors) == len(list(tags.of("section"))) >= 6
    assert not [a for _, a in tags.found if {"src", "href"} & a.keys() and "http" in str(a)]


def test_empty_parts_make_no_section() -> None:
    assert page.section("a", "b", None, page.table("c", ["d"], []), page.plots([])) is None
    text = page.page("a", "b", [None], "c")
    assert "<section" not in text and "<nav" not in text


def test_lines_of_a_group_stand_together() -> None:
    lines = [Line(["a"], group="x"), Line(["b"], group="x"), Line(["c"], group="y")]
    text = str(page.table("t", ["h"], lines))
    assert text.count("<tbody>") == 2 and text.index(">x<") < text.index(">b<") < text.index(">y<")


def test_an_outlier_does_not_stretch_an_axis() -> None:
    near = [2.05, 1.99, 2.02, 1.92, 1.97, 2.40, 2.41, 2.39]
    low, high = scatter.bounds_of([*near, 27.8])
    assert 1.5 < low < 1.92 and 2.41 < high < 3.0
    assert scatter.bounds_of([*near, 27.8], [27.8])[1] > 27.8, "what has to be seen is"
    assert scatter.bounds_of([1.0, 1.0])[0] < 1.0 < scatter.bounds_of([1.0, 1.0])[1]
    points = {f"p{i}": (x, 0.1 * i) for i, x in enumerate(near)} | {"far": (27.8, 0.3)}
    drawing = scatter.scatter("t", points, "x", "y")
    assert drawing.count("<polygon") == 1 and "far (27.8)" in drawing


def test_no_label_lies_over_another() -> None:
    rng = np.random.default_rng(0)
    places = {f"a_long_name_of_a_row_{i}": tuple(rng.normal(300, 25, 2)) for i in range(14)}
    places |= {f"the_same_{i}": (300.0, 300.0) for i in range(4)}
    boxes = scatter.place_labels(places, {n: n for n in places}, (50.0, 30.0, 740.0, 560.0))
    for (a, b, c, d), (e, f, g, h) in combinations(boxes.values(), 2):
        assert c <= e or g <= a or d <= f or h <= b
    for (left, upper, right, lower), (x, y) in ((boxes[n], places[n]) for n in places):
        assert 50 <= left and right <= 740 and 30 <= upper and lower <= 560
        near = (min(max(x, left), right), min(max(y, upper), lower))
        assert math.dist((x, y), near) < 200


def test_curves_keep_their_extremes() -> None:
    steps = list(range(10_000))
    values = [math.sin(s / 100) for s in steps]
    values[1234], values[7777] = 9.0, float("nan")
    few, kept = curves.thinned((steps, values), 200)
    assert len(few) < 220 and (few[0], few[-1]) == (0, 9999) and 9.0 in kept
    assert min(kept) == pytest.approx(-1.0, abs=1e-3) and sorted(few) == few
    assert curves.thinned((steps[:50], values[:50]), 200) == (steps[:50], values[:50])


def test_curves_are_broken_where_there_is_no_number() -> None:
    lines = [{"step": s, "loss/a": float("nan") if s == 3 else 1.0 + s} for s in range(1, 7)]
    drawing = curves.plot("loss/a", [Run("r", lines)])
    assert drawing and drawing.count("<polyline") == 2 and "not a number" in drawing
    assert curves.plot("loss/a", [Run("r", lines[2:3])]) is None
    wide = [{"step": s, "loss/a": 10.0**s} for s in range(4)]
    assert "(log)" in str(curves.plot("loss/a", [Run("r", wide)]))
    assert "(log)" not in str(curves.plot("loss/a", [Run("r", [*wide, {"step": 9, "loss/a": 0}])]))


def test_figures_of_runs_stand_in_groups() -> None:
    names = ("odd", "loss/b", "loss/total", "held_out/x", "speed/images_per_second")
    runs = [Run("a", [{"step": 1, **dict.fromkeys(names[:3], 1.0)}]), Run("b", [])]
    runs[1] = Run("b", [{"step": 1, **dict.fromkeys(names[2:], 1.0)}])
    assert curves.figures_of(runs) == {
        "Losses": ["loss/total", "loss/b"],
        "Held-out people": ["held_out/x"],
        "Speed": ["speed/images_per_second"],
        "Other figures": ["odd"],
    }
    twice = Run("c", [{"step": 2, "x": 1.0}, {"step": 1, "x": 5.0}, {"step": 2, "x": 7.0}])
    assert curves.series_of(twice, "x") == ([1, 2], [5.0, 7.0])


def test_images_that_are_too_large_for_a_page_are_shown_smaller() -> None:
    images = {f"i{n}": picture(160, n) for n in range(3)}
    assert fitted(images) == images
    limit = 60_000
    small = fitted(images, limit)
    assert sum(len(data_uri(content)) for content in small.values()) < limit + 200
    for content in small.values():
        assert data_uri(content).startswith("data:image/jpeg")
        with Image.open(io.BytesIO(content)) as image:
            assert image.size == (128, 128)


def figures(psnr: float, tone_psnr: tuple[float, float], **others: float) -> dict[str, Any]:
    known = dict.fromkeys(tables.METRICS) | {"face_psnr": psnr} | others
    bins = zip(("very_light", "dark"), tone_psnr, strict=True)
    of_tones = {n: dict.fromkeys(tables.METRICS) | {"face_psnr": p, "count": 3} for n, p in bins}
    return {**known, **{f"{m}_ci95": None for m in tables.METRICS}, "by_skin_tone": of_tones}


ROWS = {
    "target_image": figures(18.0, (15.0, 20.0), identity_similarity=0.01, pose_error_degrees=2.0),
    "source_image": figures(12.0, (11.0, 14.0), identity_similarity=1.0, pose_error_degrees=28.0),
    "truth": figures(100.0, (100.0, 100.0), identity_similarity=0.7, pose_error_degrees=2.0),
    "truth_blended": figures(100.0, (100.0, 100.0), identity_similarity=0.66),
    "reconstruction": figures(25.0, (22.0, 26.0)),
    "adaptive": figures(20.0, (17.5, 22.0), identity_similarity=0.335, pose_error_degrees=2.4),
}


def test_tiles_show_bounds_and_ceilings() -> None:
    found = glance.section(ROWS)
    assert found is not None
    (text,) = map(str, found.parts)
    assert "nothing done (untouched target): 18.0" in text
    assert "ceiling (true swap, encoded and generated): 25.0" in text
    assert "ceiling (true swap in the face region, target elsewhere): 0.660" in text
    assert "50% of the way from nothing done to the ceiling" in text, "identity: .01, .335, .66"
    assert text.count('class="tile"') == 3, "what was not measured has none"
    photos = {n: ROWS[n] for n in ("target_image", "source_image", "adaptive")}
    assert "ceiling (true" not in str(glance.section(photos).parts)  # type: ignore[union-attr]
    assert glance.section({"target_image": ROWS["target_image"]}) is None


def test_uneven_psnr_by_skin_tone_is_explained_by_its_bounds() -> None:
    remark = tones.psnr_remark(ROWS)
    assert "from 17.5 dB (very light) to 22.0 dB (dark)" in remark
    assert "from 15.0 dB (very light) to 20.0 dB (dark)" in remark
    assert "2.00 to 2.50 dB nearer" in remark
    even = {**ROWS, "adaptive": figures(20.0, (20.1, 20.0))}
    assert tones.psnr_remark(even) == ""
    assert tones.psnr_remark({n: r for n, r in ROWS.items() if n != "reconstruction"}) == ""


def test_fixed_rules_come_with_a_caveat() -> None:
    swaps = ["adaptive", "mean", "frozen_codes"]
    assert gallery.caveat(["adaptive", "frozen_codes"], "adaptive", ["mean"], None) == ""
    assert "There is no row best_fixed" in gallery.caveat(swaps, "adaptive", ["mean"], None)
    swaps, fixed = [*swaps, "best_fixed"], ["mean", "best_fixed"]
    assert "favours it" in gallery.caveat(swaps, "adaptive", fixed, None)
    assert "(embedded/swapper_64)" in gallery.caveat(
        swaps, "adaptive", fixed, "embedded/swapper_64"
    )


class OfRun:
    """A model without a best fixed selection of its own."""

    def __init__(self) -> None:
        self.config = {"resolution": 64}
        self.selectors: tuple[str, ...] = ("adaptive", "mean")
        self.weights: list[float] = []

    def add_selection(self, name: str, source_weights: list[float]) -> None:
        self.selectors, self.weights = (*self.selectors, name), source_weights


def test_a_run_takes_the_best_fixed_selection_of_what_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Any = OfRun()
    began: dict[str, Any] = {"pretrained": {"swapper": "embedded/swapper_64"}}
    monkeypatch.setattr(best_fixed, "read_config", lambda _: began)
    assert best_fixed.carry_best_fixed(str(tmp_path), run) == "embedded/swapper_64"
    assert run.selectors[-1] == "best_fixed" and len(run.weights) == 11
    assert best_fixed.carry_best_fixed(str(tmp_path), run) is None, "it has one"
    for start in (None, "", "gone", "embedded/identity_64"):
        other: Any = OfRun()
        monkeypatch.setattr(
            best_fixed, "read_config", lambda _, s=start: {"pretrained": {"swapper": s}}
        )
        assert best_fixed.carry_best_fixed(str(tmp_path), other) is None
        assert other.selectors == ("adaptive", "mean")
    assert best_fixed.carry_best_fixed(str(tmp_path / "none"), other) is None


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_runs_the_page(tmp_path: Path) -> None:
    """Under the page's own policy: heads sort, and a wide table says what is not seen."""
    heads = [f"a long head of column {i}" for i in range(30)]
    wide = page.table("wide", heads, [Line([str(i) for i in range(30)])])
    file = tmp_path / "page.html"
    file.write_text(page.page("t", "l", [page.section("s", "l", wide)], "f"), encoding="utf-8")
    line = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    line += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=400,800", file.as_uri()]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert done.stdout.count("<button") == 30
    assert "of 30 columns are further right" in done.stdout
