"""The page as Gradio serves it, without a browser."""

import gc
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alrl_jax.app import serving
from alrl_jax.app.desk import Desk
from alrl_jax.app.sessions import Sessions
from tests.support.page import NAME, make_desk, upload

pytest.importorskip("gradio", reason="the page needs Gradio (extra app)")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

ADDRESS = re.compile(r"https?://[\w.-]+|//[\w-]+\.[\w.-]+/")
PLAIN = [NAME, "", "source", "target", "feather", False, 0.0, 0.0, "largest", "largest"]


@pytest.fixture(autouse=True)
def _loops_collected() -> Iterator[None]:
    """Gradio leaves event loops to the collector, which complains of them: here, and not later."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    serving.check_gradio()
    return make_desk(monkeypatch)


@pytest.fixture
def page(desk: Desk, tmp_path: Path) -> Any:
    from alrl_jax.app.page import Page

    return Page(desk, Sessions(tmp_path))


def request(key: str = "one") -> Any:
    import gradio as gr

    made = gr.Request(username=None)
    made.session_hash = key
    return made


def values(**changed: Any) -> list[Any]:
    from alrl_jax.app.layout import GROUP_SLOTS

    names = ("model", "selector", "identity", "pose", "blend", "colour", "feather", "detail")
    given = dict(zip(names, PLAIN, strict=False)) | changed
    return [*given.values(), *PLAIN[8:], *["learned"] * GROUP_SLOTS]


def test_a_visit(page: Any, tmp_path: Path) -> None:
    source, target, waiting, refused = page.begin(request())
    assert "invented person 1" in source and "invented target 2" in target
    assert "Tick the box" in waiting and refused == ""
    assert "Tick the box" in page.swap(request(), *values())[0]
    assert page.agree(True, request())["visible"] is False
    swapped = page.swap(request(), *values())
    assert swapped[0].count("<img") == 1 and swapped[1].count("<img") == 5
    assert page.swap(request(), *values(identity="target"))[0] != swapped[0]
    files, said = page.save(request())
    assert files["visible"] and len(files["value"]) == 2 and said == ""
    page.end(request())
    assert not list(tmp_path.glob("*/*"))


def test_faults_are_said_in_one_line(page: Any, tmp_path: Path) -> None:
    page.begin(request())
    bad = tmp_path / "<b>bad.png"
    bad.write_bytes(b"no photo")
    cleared, shown, *_ = page.upload("source")(str(bad), True, request())
    assert cleared is None and 'role="alert"' in shown and "&lt;b&gt;bad.png" in shown
    assert "invented person 1" in shown
    page.agree(True, request())
    said = page.swap(request(), *values(model="other"))
    assert 'role="alert"' in said[0] and said[1:] == ["", "", ""]
    (failed,) = list(page.batch(request(), *values()))
    assert "no targets" in failed[0]
    *_, failed = page.refine(request(), 25, *values())
    assert "load_swapper" in failed[0]


def test_what_one_user_does_another_does_not_see(page: Any, tmp_path: Path) -> None:
    page.begin(request("one")), page.begin(request("two"))
    page.agree(True, request("one"))
    page.upload("source")(str(upload(tmp_path, "mine.png")), True, request("one"))
    assert page.session(request("two")).chosen["source"].name == "invented person 1"
    assert "Tick the box" in page.swap(request("two"), *values())[0]
    assert page.save(request("two"))[0]["visible"] is False


def test_a_batch_and_a_comparison(page: Any) -> None:
    page.begin(request()), page.agree(True, request())
    assert "3 in the queue" in page.add_invented(request(), 3, *values())
    *_, end = page.batch(request(), *values())
    assert "done, photos swapped · 3 of 3" in end[0] and len(end[2]["value"]) == 1
    *_, shown = page.compare(request(), *values())
    assert shown.count("<img") == 2


def test_nothing_of_the_page_comes_from_elsewhere(desk: Desk, tmp_path: Path) -> None:
    from alrl_jax.app.wiring import build, theme

    config = build(desk, Sessions(tmp_path)).get_config_file()
    assert not ADDRESS.findall(json.dumps([config.get(name) for name in ("css", "js", "head")]))
    assert not ADDRESS.findall(serving.CSS) and serving.HEAD.count("http") == 1  # a namespace
    assert not theme()._stylesheets
    assert all(fn["api_visibility"] == "private" for fn in config["dependencies"])


def test_controls_have_names(desk: Desk, tmp_path: Path) -> None:
    from alrl_jax.app.wiring import build

    blocks = build(desk, Sessions(tmp_path))
    seen: list[str] = []
    for component in blocks.get_config_file()["components"]:
        props = component["props"]
        if component["type"] in ("file", "checkbox", "dropdown", "number", "radio", "slider"):
            assert props.get("label"), component
            if props.get("visible") and props["label"] != "no group":
                seen.append(props["label"])
        if component["type"] == "button":
            assert props.get("value")
    assert len(seen) == len(set(seen)), "two controls of one name"


def test_launch_keeps_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def launch(**options: Any) -> tuple[None, str, None]:
        given.update(options)
        return None, "http://127.0.0.1:1/", None

    blocks = SimpleNamespace(launch=launch)
    serving._launch(blocks, None, "127.0.0.1", None, None)
    assert given["share"] is False and given["auth"] is None and given["run_history"] is False
    assert given["allowed_paths"] == [] and given["enable_monitoring"] is False
    serving._launch(blocks, None, "0.0.0.0", 8000, "a long password")
    assert given["auth"] == ("alrl", "a long password") and given["server_port"] == 8000
