"""Which control does what: the page as Gradio serves it.

Swaps of all users wait in one line, queues in another, each in the order in which they came. No
event has a name or a documentation by which programs would call it.
"""

from typing import Any

import gradio as gr

from alrl_jax.app import layout, style
from alrl_jax.app.desk import Desk
from alrl_jax.app.layout import Controls, Queue, Results, Side
from alrl_jax.app.page import Page
from alrl_jax.app.sessions import Sessions

TITLE = "Face swaps with alrl_jax"
LEAD = "See what the model makes of two faces, and which codes it takes from which."
ONE_BY_ONE: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
QUEUED: dict[str, Any] = {"concurrency_id": "queue", "concurrency_limit": 1}
AT_ONCE: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
BUSY: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
LATEST: dict[str, Any] = {"trigger_mode": "always_last"}
"""While a swap is under way, only the last of a user's moves waits."""


def theme() -> Any:
    """The colours, and the fonts of the machine that shows the page."""
    return gr.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        font=list(style.FONTS),
        font_mono=list(style.MONOSPACE),
    ).set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        input_placeholder_color="*neutral_600",
        input_placeholder_color_dark="*neutral_300",
        color_accent="#1d4ed8",
        button_primary_background_fill="#1d4ed8",
        button_primary_background_fill_hover="#1e40af",
        button_primary_background_fill_dark="#1d4ed8",
        button_primary_background_fill_hover_dark="#1e40af",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
    )


def build(desk: Desk, sessions: Sessions) -> Any:
    """The page, ready to be served.

    Args:
        desk: does the work.
        sessions: of all users.
    """
    page = Page(desk, sessions)
    with gr.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        gr.Markdown(f"# {TITLE}\n{LEAD}", elem_classes="alrl-title")
        box, tick = layout.consent()
        with gr.Tabs():
            with gr.Tab("Swap", id="swap"):
                with gr.Row():
                    sides = {name: layout.side(name) for name in ("source", "target")}
                    results = layout.results()
                controls, results = layout.controls(desk.shelf, results)
                results = layout.details(results)
            with gr.Tab("Compare", id="compare"):
                gr.Markdown("The pair of the first tab under every selection of the model.")
                compare = gr.Button("Compare", variant="primary", elem_id="compare-start")
                compared = gr.HTML(elem_id="compared")
            with gr.Tab("Batch", id="batch"):
                batch = layout.batch()
            with gr.Tab("Video", id="video"):
                video = layout.video()
        gr.Markdown(layout.ABOUT)
        inputs = _inputs(controls, sides)
        _wire_sides(page, sides, controls, results, inputs)
        _wire_swap(page, controls, results, inputs)
        shown = [results.main, results.parts, results.gates, results.provenance]
        tick.input(page.agree, tick, box, **QUIET).then(
            page.swap, inputs, shown, **BUSY, **ONE_BY_ONE
        )
        compare.click(page.compare, inputs, compared, **BUSY, **ONE_BY_ONE)
        _wire_batch(page, batch, inputs)
        _wire_video(page, video, inputs)
        begun = [sides["source"].shown, sides["target"].shown, results.main, controls.refused]
        blocks.load(page.begin, None, begun, **QUIET, **ONE_BY_ONE)
        blocks.unload(page.end)
    return blocks


def _inputs(controls: Controls, sides: dict[str, Side]) -> list[Any]:
    """What every swap reads, in the order of ``Page.asked``."""
    return [
        controls.model,
        controls.selector,
        controls.identity,
        controls.pose,
        controls.blend,
        controls.colour_match,
        controls.feather,
        controls.detail,
        sides["source"].face,
        sides["target"].face,
        *controls.groups,
    ]


def _wire_sides(
    page: Page, sides: dict[str, Side], controls: Controls, results: Results, inputs: list[Any]
) -> None:
    shown = [results.main, results.parts, results.gates, results.provenance]
    for name, side in sides.items():
        out = [side.shown, side.face]
        events = [
            side.drop.upload(
                page.upload(name),
                [side.drop, side.cropped],
                [side.drop, *out, controls.detail],
                **BUSY,
                **ONE_BY_ONE,
            ),
            side.invent.click(
                page.invent(name),
                [side.seed, controls.model],
                [*out, controls.detail],
                **BUSY,
                **ONE_BY_ONE,
            ),
            side.cropped.input(page.say_cropped(name), side.cropped, out, **BUSY, **ONE_BY_ONE),
        ]
        for event in events:
            event.then(page.swap, inputs, shown, **BUSY, **ONE_BY_ONE)
        side.face.input(page.swap, inputs, shown, **BUSY, **ONE_BY_ONE, **LATEST)


def _wire_swap(page: Page, controls: Controls, results: Results, inputs: list[Any]) -> None:
    shown = [results.main, results.parts, results.gates, results.provenance]
    results.swap.click(page.swap, inputs, shown, **BUSY, **ONE_BY_ONE)
    moved = [control.input for control in controls.live if control is not controls.selector]
    # A slider that is moved to 0 says so only when it is let go.
    moved += [controls.feather.release, controls.detail.release]
    gr.on(moved, page.swap, inputs, shown, **BUSY, **ONE_BY_ONE, **LATEST)
    groups = [controls.refused, *controls.groups]
    controls.model.input(
        page.change_model, controls.model, [controls.selector, *groups], **QUIET
    ).then(page.swap, inputs, shown, **BUSY, **ONE_BY_ONE)
    controls.selector.input(
        page.change_selector, [controls.model, controls.selector], groups, **QUIET
    ).then(page.swap, inputs, shown, **BUSY, **ONE_BY_ONE)
    results.refine.click(page.refine, [controls.optimise, *inputs], shown, **BUSY, **ONE_BY_ONE)
    results.stop.click(page.stop_search, None, None, **AT_ONCE)
    results.save.click(page.save, None, [results.files, results.said], **BUSY)


def _wire_batch(page: Page, batch: Queue, inputs: list[Any]) -> None:
    more = batch.more
    waiting = more["waiting"]
    batch.drop.upload(page.add, [batch.drop, more["cropped"]], [batch.drop, waiting], **BUSY)
    more["invent"].click(page.add_invented, [more["count"], *inputs], waiting, **BUSY, **ONE_BY_ONE)
    more["clear"].click(page.empty, None, waiting, **QUIET)
    out = [batch.progress, batch.lines, batch.files, waiting]
    batch.start.click(page.batch, inputs, out, **QUIET, **QUEUED)
    batch.stop.click(page.stop, None, None, **AT_ONCE)


def _wire_video(page: Page, video: Queue, inputs: list[Any]) -> None:
    given = [video.drop, video.more["cropped"], *inputs]
    out = [video.drop, video.progress, video.lines, video.files, video.more["player"]]
    video.start.click(page.video, given, out, **QUIET, **QUEUED)
    video.stop.click(page.stop, None, None, **AT_ONCE)
