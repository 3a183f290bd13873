"""What stands where on the page; ``page`` says what happens there."""

import dataclasses
from typing import Any

import gradio as gr

from alrl_jax.app import pictures
from alrl_jax.app.desk import FIRST_SEEDS, MOST_STEPS
from alrl_jax.app.models import NEUTRAL, Opened, Shelf
from alrl_jax.app.queues import MOST_TARGETS
from alrl_jax.inference.settings import FACES
from alrl_jax.photos.paste import BLENDS

GROUP_SLOTS = 16
"""Controls for attribute groups; a model has as many as its groups."""
OWN = ""
"""What the control of selections says for the model's own."""
SIDES = [("target", "target"), ("as learned", NEUTRAL), ("source", "source")]
CONSENT = (
    "Everyone who can be seen in the photos and videos that I use here agreed to it: to be the "
    "source, or the target. I will say in words that the results are synthetic."
)
ABOUT = (
    "Everything stays on the machine that serves this page. Uploads lie in a folder that only its "
    "user can read, and go when you leave the page. Use photos of people who agreed; invented "
    "people need nobody's agreement."
)


@dataclasses.dataclass(frozen=True)
class Side:
    """The controls of the source, or of the target."""

    shown: Any
    drop: Any
    cropped: Any
    seed: Any
    invent: Any
    face: Any


@dataclasses.dataclass(frozen=True)
class Controls:
    """What is asked for."""

    model: Any
    selector: Any
    identity: Any
    pose: Any
    groups: list[Any]
    refused: Any
    blend: Any
    colour_match: Any
    feather: Any
    detail: Any
    optimise: Any

    @property
    def live(self) -> list[Any]:
        """Those that swap again as soon as a user moves them."""
        plain = [self.selector, self.identity, self.pose, self.blend, self.colour_match]
        return [*plain, self.feather, self.detail, *self.groups]


@dataclasses.dataclass(frozen=True)
class Results:
    """What the page shows of a swap."""

    main: Any
    said: Any
    parts: Any
    gates: Any
    provenance: Any
    files: Any
    swap: Any
    refine: Any
    stop: Any
    save: Any


@dataclasses.dataclass(frozen=True)
class Queue:
    """A tab with something that takes long."""

    drop: Any
    start: Any
    stop: Any
    progress: Any
    lines: Any
    files: Any
    more: dict[str, Any]


def consent() -> tuple[Any, Any]:
    """The line that has to be accepted, and the box around it."""
    with gr.Group(elem_classes="alrl-consent") as box:
        tick = gr.Checkbox(label=CONSENT, value=False, elem_id="consent")
    return box, tick


def side(name: str) -> Side:
    """A photo that is chosen: shown, dropped, or invented."""
    with gr.Column(min_width=240):
        gr.Markdown(f"### {name.capitalize()}")
        shown = gr.HTML(elem_id=f"{name}-shown", elem_classes="alrl-chosen")
        drop = gr.File(
            label=f"{name.capitalize()} photo: drop or choose",
            height=140,
            elem_id=f"{name}-drop",
        )
        cropped = gr.Checkbox(label=f"{name.capitalize()}: my photo is a face crop", value=False)
        face = gr.Dropdown(
            [("the only one", pictures.LARGEST)],
            value=pictures.LARGEST,
            label=f"Face of the {name}",
            elem_id=f"{name}-face",
            interactive=True,
        )
        with gr.Row():
            seed = gr.Number(
                FIRST_SEEDS[name], label=f"Seed of the {name}", precision=0, minimum=0, min_width=90
            )
            invent = gr.Button(
                f"Invent a {name}",
                elem_id=f"{name}-invent",
                elem_classes="alrl-invent",
                min_width=120,
            )
    return Side(shown, drop, cropped, seed, invent, face)


def results() -> Results:
    """The swap, and what can be done with it."""
    with gr.Column(min_width=280, elem_classes="alrl-result"):
        gr.Markdown("### Swap")
        main = gr.HTML(elem_id="result", elem_classes="alrl-chosen")
        said = gr.HTML(elem_id="files-said")
        with gr.Row():
            swap = gr.Button("Swap", variant="primary", elem_id="swap", min_width=100)
            save = gr.Button("Make files to download", elem_id="save", min_width=100)
        files = gr.File(
            label="Files: the photo, and what is to be kept beside it",
            file_count="multiple",
            interactive=False,
            visible=False,
            elem_id="files",
        )
    parts = gates = provenance = refine = stop = None
    return Results(main, said, parts, gates, provenance, files, swap, refine, stop, save)


def details(shown: Results) -> Results:
    """What a swap is made of, below it."""
    with gr.Accordion("What the model made of it", open=True):
        parts = gr.HTML(elem_id="parts")
    with gr.Accordion("Gates: which codes came from which face", open=False):
        gates = gr.HTML(elem_id="gates")
    with gr.Accordion("Provenance: what the result says of itself", open=False):
        provenance = gr.HTML(elem_id="provenance")
    return dataclasses.replace(shown, parts=parts, gates=gates, provenance=provenance)


def controls(shelf: Shelf, shown: Results) -> tuple[Controls, Results]:
    """Everything that can be asked for, and the buttons of the optimisation."""
    first = shelf.first
    with gr.Row():
        with gr.Column(min_width=260):
            gr.Markdown("### Who and how")
            model = gr.Dropdown(
                list(shelf.models), value=first.name, label="Model", visible=len(shelf.models) > 1
            )
            identity = gr.Radio(list(FACES), value="source", label="Identity from")
            pose = gr.Radio(list(FACES), value="target", label="Pose from", elem_id="pose")
            selector = gr.Dropdown(
                selections(first), value=OWN, label="Selection of codes", elem_id="selector"
            )
        with gr.Column(min_width=260):
            gr.Markdown("### Joining")
            blend = gr.Radio(list(BLENDS), value="feather", label="Blend")
            feather = gr.Slider(0, 0.5, 0.0, step=0.01, label="Feather, share of the crop's side")
            detail = gr.Slider(0, 1, 0.0, step=0.05, label="Detail of the target that stays")
            colour = gr.Checkbox(label="Match the colours of the original face")
        with gr.Column(min_width=260):
            gr.Markdown("### Optimisation")
            optimise = gr.Slider(25, MOST_STEPS, 100, step=25, label="Steps that refine the codes")
            with gr.Row():
                refine = gr.Button("Refine", elem_id="refine", min_width=90)
                stop = gr.Button("Stop", elem_id="stop-refine", min_width=90)
            gr.Markdown(
                "The first time compiles for a minute or more. The face is shown meanwhile."
            )
    groups, refused = _groups(first)
    asked = Controls(
        model, selector, identity, pose, groups, refused, blend, colour, feather, detail, optimise
    )
    return asked, dataclasses.replace(shown, refine=refine, stop=stop)


def _groups(opened: Opened) -> tuple[list[Any], Any]:
    with gr.Accordion("Attribute groups: target, as learned, or source", open=True):
        refused = gr.HTML(elem_id="groups-refused")
        with gr.Row():
            slots = [
                gr.Radio(SIDES, value=NEUTRAL, **group_slot(opened, OWN, n), min_width=220)
                for n in range(GROUP_SLOTS)
            ]
    return slots, refused


def group_slot(opened: Opened, selector: str, number: int) -> dict[str, Any]:
    """What the control of an attribute group says of one model."""
    groups = opened.groups
    able = opened.groups_refused(selector or opened.model.selectors[0]) is None
    label = groups[number].capitalize() if number < len(groups) else "no group"
    return {"label": label, "visible": number < len(groups), "interactive": able}


def selections(opened: Opened) -> list[tuple[str, str]]:
    """The selections of a model: words for the screen, and what they mean."""
    own, *others = opened.model.selectors
    return [(f"{own} (the model's own)", OWN), *((name, name) for name in others)]


def batch() -> Queue:
    """The tab of many targets."""
    gr.Markdown("The source of the first tab goes into every photo of the queue.")
    with gr.Row():
        with gr.Column(min_width=260):
            drop = gr.File(
                label="Target photos: drop or choose",
                file_count="multiple",
                height=140,
                elem_id="batch-drop",
            )
            cropped = gr.Checkbox(label="These photos are face crops", value=False)
        with gr.Column(min_width=260):
            count = gr.Number(8, label="Invented targets", precision=0, minimum=1)
            invent = gr.Button("Add invented targets", elem_id="batch-invent")
            clear = gr.Button("Empty the queue", elem_id="batch-clear")
    waiting = gr.HTML(elem_id="batch-waiting")
    more = {"cropped": cropped, "count": count, "invent": invent, "clear": clear}
    queue = _queue("batch", "Swap them all", f"Results as a zip, at most {MOST_TARGETS} photos")
    return dataclasses.replace(queue, drop=drop, more={**more, "waiting": waiting})


def video() -> Queue:
    """The tab of a video."""
    gr.Markdown(
        "The source of the first tab goes into every frame in which the largest face is found. "
        "Sound and times stay. It takes about as long as a swap for each frame."
    )
    drop = gr.File(label="Video: drop or choose", height=140, elem_id="video-drop")
    cropped = gr.Checkbox(label="Every frame is a face crop", value=False)
    queue = _queue("video", "Swap the video", "Results: the video, and what is kept beside it")
    player = gr.HTML(elem_id="video-player")
    return dataclasses.replace(queue, drop=drop, more={"cropped": cropped, "player": player})


def _queue(name: str, start: str, files: str) -> Queue:
    with gr.Row():
        begin = gr.Button(start, variant="primary", elem_id=f"{name}-start")
        stop = gr.Button("Stop", elem_id=f"{name}-stop")
    progress = gr.HTML(elem_id=f"{name}-progress")
    shown = gr.File(
        label=files,
        file_count="multiple",
        interactive=False,
        visible=False,
        elem_id=f"{name}-files",
    )
    lines = gr.HTML(elem_id=f"{name}-lines")
    return Queue(None, begin, stop, progress, lines, shown, {})
