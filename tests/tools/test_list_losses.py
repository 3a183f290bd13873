"""The page of losses lists what there is, and its tables are those that the command makes."""

import pytest

from alrl_jax.errors import UserError
from alrl_jax.training.losses.table import LOSSES, REGULARISERS, Loss
from tools.bench.list_losses import PAGE, listed, recipes, renewed

TABLE = "alrl_jax/training/losses/table.py"
COMMAND = "python -m tools.bench.list_losses"


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def faults(page: str) -> list[str]:
    """What a page lacks or has too much, a line each."""
    found = []
    for task in LOSSES:
        there = {*LOSSES[task], *REGULARISERS[task]}
        said = set(listed(page, task))
        found += [
            f"docs/losses.md has no line for the loss {name} of task {task}, which {TABLE} has; "
            f"run `{COMMAND}` and say there what it is"
            for name in sorted(there - said)
        ]
        found += [
            f"docs/losses.md lists {name} for task {task}, which {TABLE} has not; run `{COMMAND}`"
            for name in sorted(said - there)
        ]
    return found


def test_the_page_lists_every_loss(page: str) -> None:
    assert not faults(page), "\n".join(faults(page))


def test_what_is_read_and_weighed_is_as_the_code_has_it(page: str) -> None:
    now = renewed(page, recipes())
    others = [line for line in now.splitlines() if line not in page.splitlines()]
    assert now == page, f"docs/losses.md is not up to date: run `{COMMAND}`; it writes {others}"


def test_a_new_loss_is_missed_by_name_and_enters_with_its_docstring(
    page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drift(logits: float) -> float:
        """Logits should stay near 0.

        More about it.
        """
        return logits

    monkeypatch.setitem(LOSSES["generator"], "drift", Loss(drift, ("fake_logits",)))
    (fault,) = faults(page)
    assert "no line for the loss drift of task generator" in fault and TABLE in fault
    new = renewed(page, {"mine": ("generator", {"drift": 0.5}), "other": ("swap", {})})
    assert "| `drift` | Logits should stay near 0. | `fake_logits` |" in new
    assert "| loss | in `mine` |\n| --- | --- |\n| `adversarial` |  |\n| `drift` | 0.5 |" in new
    assert not faults(new)
    monkeypatch.undo()
    (fault,) = faults(new)
    assert fault.startswith("docs/losses.md lists drift for task generator")
    assert renewed(new, recipes()) == page, "words of people are kept"


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(UserError, match="losses of swap: begin"):
        listed("# Losses\n", "swap")
