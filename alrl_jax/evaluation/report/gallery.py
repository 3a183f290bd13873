"""The first pairs of an evaluation as images, each with every step on its way."""

from collections.abc import Iterable, Mapping, Sequence

from alrl_jax.evaluation.report import page
from alrl_jax.evaluation.report.images import data_uri
from alrl_jax.evaluation.rows import REFERENCE_ROWS

OWN, BEFORE = "own", "before"
"""Stand for the model's own row, and for that of an earlier evaluation in the names of files."""
COLUMNS = {
    "source": "source",
    "target": "target",
    OWN: "swap",
    BEFORE: "before training",
    "truth": "true swap",
    "generated": "generated",
    "mask": "mask",
    "space": "target's features kept",
    "reconstruction": "truth, re-drawn",
    "self_swap": "target into itself",
}
"""What is shown of a pair where it exists, and the words below: the swap is among the first three,
which stand side by side on the narrowest screen."""
CAVEAT = (
    "The fixed rules select here among codes that were trained for the model's own selection, "
    "which favours it. A fair comparison trains each row for its own selection: alrl compare-rows "
    "makes the table of such rows."
)


def columns_of(own: str) -> dict[str, str]:
    """Columns of the images and their titles, where the model's own row is called ``own``."""
    return {own if name == OWN else name: title for name, title in COLUMNS.items()}


def file_name(column: str, number: int) -> str:
    """Name of one image beside the page."""
    return f"{column}_{number:03d}.png"


def section(images: Mapping[str, bytes], own: str, resized: bool) -> page.Section | None:
    """The pairs.

    Args:
        images: files by name, see ``file_name``.
        own: the model's own row.
        resized: whether they are smaller than what was measured.
    """
    titles = columns_of(own)
    found = {name.rsplit("_", 1)[0] for name in images}
    others = sorted(found - set(titles) - set(REFERENCE_ROWS))
    parts, i = [], 0
    while file_name("source", i) in images:
        parts.append(page.pictures(_pictures(images, i, titles)))
        if rest := _pictures(images, i, {name: name for name in others}):
            shown = page.pictures(rest)
            parts.append(page.details(f"Pair {i + 1} by other selections of codes", shown))
        i += 1
    small = "They are shown smaller than they were measured; the files beside the page are whole."
    return page.section(
        "Images",
        "The first pairs of the benchmark, not chosen. The swap should show the person of the "
        "source with pose, expression, light and background of the target."
        + (f" {small}" if resized else ""),
        *parts,
    )


def _pictures(
    images: Mapping[str, bytes], number: int, titles: Mapping[str, str]
) -> list[page.Picture]:
    return [
        page.Picture(data_uri(content), title, f"pair {number + 1}: {title}")
        for name, title in titles.items()
        if (content := images.get(file_name(name, number))) is not None
    ]


def caveat(swaps: Iterable[str], own: str, fixed: Sequence[str], found_for: str | None) -> str:
    """What to know before the model's own row is compared with rules of earlier work.

    Args:
        swaps: the rows that are swaps.
        own: the model's own.
        fixed: names of fixed rules.
        found_for: the model that ``best_fixed`` was found for; None for this very one.
    """
    others = [name for name in swaps if name != own]
    if not set(others) & set(fixed):
        return ""
    if "best_fixed" not in others:
        best = "There is no row best_fixed, as nothing has searched for it (alrl search-selection)."
    elif found_for is None:
        best = "best_fixed is the best of all fixed selections of this model on development pairs."
    else:
        best = (
            "best_fixed is the best of all fixed selections of the model that this run went on "
            f"from ({found_for}), on development pairs."
        )
    return f"{CAVEAT} {best}"
