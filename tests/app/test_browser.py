"""The page in a real browser, where there is one: headless Chromium through Playwright."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support import browser as browsers
from tests.support.browser import SWAPPED, Served, Visit

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

CONTRAST = """() => {
  const linear = (c) => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
  const channel = (c) => linear(c / 255);
  const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    const hidden = style.visibility === 'hidden' || !box.width || !box.height;
    const off = element.closest('[disabled], [aria-disabled=true], script, style, .disabled');
    if (!text || hidden || off || style.opacity === '0') continue;
    const a = light(parse(style.color)), b = light(ground(element));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) faint.push([text.slice(0, 40), ratio.toFixed(2), style.color]);
  }
  return faint;
}"""
NAMELESS = """() => [...document.querySelectorAll('input, button, select, textarea')]
  .filter((e) => e.getBoundingClientRect().width > 0 && e.type !== 'hidden')
  .filter((e) => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.title
    || (e.labels && [...e.labels].some((l) => l.textContent.trim())) || e.textContent.trim()))
  .map((e) => e.outerHTML.slice(0, 160))"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    browsers.chromium()
    folder = tmp_path_factory.mktemp("page")
    model = browsers.trained_owners(folder / "model")
    with browsers.serve(folder / "served", f"--model={model}", "--model=embedded/swapper_64") as s:
        yield s


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = browsers.chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=browsers.FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def visit(served: Served, browser: Any) -> Iterator[Visit]:
    made = Visit(browser, served.url)
    yield made
    assert not made.outside and not made.faults
    made.leave()


def photo(path: Path, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(path)
    return path


def test_a_swap_a_group_and_another_model(visit: Visit) -> None:
    page = visit.page
    assert page.locator(SWAPPED).count() == 0
    visit.agree()
    first = visit.swapped()
    assert not page.locator("#consent").is_visible()
    assert page.locator("#parts img").count() == 5
    page.get_by_role("group", name="Expression").get_by_label("source").check()
    second = visit.wait_for_change(first)
    begin = time.monotonic()
    page.locator("#pose").get_by_label("source").check()
    third = visit.wait_for_change(second)
    assert time.monotonic() - begin < 10
    assert len({first, second, third}) == 3
    page.get_by_role("button", name="Gates").click()
    assert "expression" in page.locator("#gates").inner_text()
    page.get_by_role("button", name="Provenance").click()
    page.locator("#provenance", has_text="compositeWithTrained").wait_for()
    page.locator("#save").click()
    page.wait_for_selector("#files a[href*='gradio_api/file=']")


def test_an_upload_and_a_file_that_is_none(visit: Visit, tmp_path: Path) -> None:
    visit.agree()
    first = visit.swapped()
    visit.page.get_by_label("Source: my photo is a face crop").check()
    visit.upload("source", photo(tmp_path / "mine.png", 1))
    visit.page.wait_for_selector("#source-shown img[alt*='mine.png']")
    second = visit.wait_for_change(first)
    assert first != second
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    visit.upload("source", tmp_path / "bad.png")
    said = visit.page.wait_for_selector("#source-shown [role=alert]").inner_text()
    assert "bad.png" in said and "\n" not in said
    assert visit.page.locator("#source-shown img[alt*='mine.png']").count() == 1
    visit.page.locator("#source-invent").click()
    visit.wait_for_change(second)


def test_two_users_at_once_see_their_own(served: Served, browser: Any, tmp_path: Path) -> None:
    visits = [Visit(browser, served.url) for _ in range(2)]
    for visit in visits:
        visit.tick()
    for number, visit in enumerate(visits):
        visit.page.wait_for_selector(SWAPPED)
        visit.page.get_by_label("Source: my photo is a face crop").check()
        before = visit.swapped()
        visit.upload("source", photo(tmp_path / f"user{number}.png", number))
        visit.wait_for_change(before)
    shown = [visit.page.content() for visit in visits]
    assert "user0.png" in shown[0] and "user1.png" not in shown[0]
    assert "user1.png" in shown[1] and "user0.png" not in shown[1]
    assert visits[0].swapped() != visits[1].swapped()
    visits[0].page.locator("#save").click()
    visits[0].page.wait_for_selector("#files a[href*='gradio_api/file=']")
    folders = {p.parent for p in served.folder.rglob("*.json")}
    visits[0].leave()
    deadline = time.monotonic() + 60
    while any(folder.exists() for folder in folders) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert folders and not any(folder.exists() for folder in folders)
    visits[1].leave()


def test_a_batch_is_stopped_and_its_files_are_there(visit: Visit) -> None:
    page = visit.page
    visit.agree()
    page.get_by_role("tab", name="Batch").click()
    page.get_by_label("Invented targets").fill("60")
    page.locator("#batch-invent").click()
    page.wait_for_function(
        "document.querySelector('#batch-waiting').innerText.startsWith('60 in the queue')"
    )
    page.locator("#batch-start").click()
    page.wait_for_selector("#batch-lines tbody tr")
    page.locator("#batch-stop").click()
    page.wait_for_function(
        "document.querySelector('#batch-progress').innerText.startsWith('stopped')"
    )
    assert page.locator("#batch-lines tbody tr").count() < 60
    page.wait_for_selector("#batch-files a[href*='.zip']")


def test_the_keyboard_alone(visit: Visit) -> None:
    page = visit.page
    _tab_to(page, "#consent input")
    page.keyboard.press("Space")
    page.wait_for_selector(SWAPPED)
    first = visit.swapped()
    _tab_to(page, "#pose input")
    page.keyboard.press("ArrowLeft")
    second = visit.wait_for_change(first)
    _tab_to(page, "#source-invent", back=True)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    visit.wait_for_change(second)
    _tab_to(page, "[role=tab][aria-selected=true]", back=True)


def _tab_to(page: Any, selector: str, back: bool = False) -> None:
    """Moves the focus until it is on one of some elements."""
    for _ in range(120):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_narrow_and_dark(
    served: Served, browser: Any, width: int, scheme: str, tmp_path: Path
) -> None:
    visit = Visit(
        browser,
        served.url,
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
    )
    visit.agree()
    page = visit.page
    for name in ("Compare", "Batch", "Video", "Swap"):
        page.get_by_role("tab", name=name).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not page.evaluate(CONTRAST), (name, scheme)
        assert not page.evaluate(NAMELESS), name
    images = page.locator("img")
    assert images.count() >= 8
    assert all(images.nth(n).get_attribute("alt") for n in range(images.count()))
    assert not visit.outside and not visit.faults
    page.screenshot(path=str(tmp_path / "page.png"), full_page=True)
    visit.leave()


def test_the_page_ends_and_leaves_nothing(browser: Any, tmp_path: Path) -> None:
    with browsers.serve(tmp_path / "served") as served:
        visit = Visit(browser, served.url)
        visit.agree()
        assert list(served.folder.iterdir())
        served.end()
        assert served.process.returncode == 0 and not list(served.folder.iterdir())


def test_another_address_asks_for_a_password(browser: Any, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("a password of words\n")
    flags = ("--host=0.0.0.0", f"--password_path={secret}")
    with browsers.serve(tmp_path / "served", *flags) as served:
        assert "other machines can reach it" in (tmp_path / "served" / "log.txt").read_text()
        context = browser.new_context()
        page = context.new_page()
        page.goto(served.url.replace("0.0.0.0", "127.0.0.1"))
        page.wait_for_selector("input[type=password]")
        assert page.locator("#source-shown").count() == 0
