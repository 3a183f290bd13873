"""Lists the losses of every task in a page: what each means, what it reads, which recipe weighs it.

    python -m tools.bench.list_losses

The page keeps what people wrote there about a loss. What a loss reads and its weights come from
``LOSSES`` and from ``configs/``. A loss that the page does not know yet enters it with the first
line of its function's docstring; one that is gone leaves it. ``tests/tools/test_list_losses.py``
fails where the page is not what this command makes.
"""

import importlib.util
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from absl import flags

from alrl_jax.errors import UserError
from alrl_jax.training.losses.table import LOSSES, REGULARISERS
from alrl_jax.utils import command_line

ROOT = Path(__file__).parents[2]
CONFIGS, PAGE = ROOT / "configs", ROOT / "docs" / "losses.md"
BY_ROW = "rows_64"
"""The config that is a recipe for each of its ``ROWS``."""

Weights = Mapping[str, float]


def marks(task: str) -> tuple[str, str]:
    """The lines of a page between which the losses of a task are listed."""
    return f"<!-- losses of {task}: begin -->", f"<!-- losses of {task}: end -->"


def recipes(configs: Path = CONFIGS) -> dict[str, tuple[str, Weights]]:
    """Task and weights by recipe: of every config, and of rows that weigh losses otherwise."""
    found: dict[str, tuple[str, Weights]] = {}
    for path in sorted(configs.glob("*.py")):
        module = _module(path)
        found[path.stem] = _weights(module.get_config())
        if path.stem == BY_ROW:
            usual = found[path.stem][1]
            rows = {row: _weights(module.get_config(row)) for row in module.ROWS}
            found |= {
                f"{path.stem}:{row}": (task, weights)
                for row, (task, weights) in rows.items()
                if weights != usual
            }
    return found


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _weights(config: Any) -> tuple[str, Weights]:
    values = config.to_dict()
    return values["task"], {name: weight for name, weight in values["losses"].items() if weight}


def listed(page: str, task: str) -> dict[str, str]:
    """Meanings by loss, as a page lists them for a task.

    Raises:
        UserError: the page has no place for the task.
    """
    begin, end = marks(task)
    _, found, rest = page.partition(begin)
    block, ended, _ = rest.partition(end)
    if not (found and ended):
        raise UserError(f"got a page without {begin} and {end}; expected both; add these lines")
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", block.partition("\n\n| loss | in")[0], re.M))


def tables(task: str, meanings: Mapping[str, str], known: Mapping[str, tuple[str, Weights]]) -> str:
    """The two tables of a task: meanings and parts that are read, then weights.

    Args:
        task: key of ``LOSSES``.
        meanings: by loss; one that is not among them gets its function's docstring.
        known: see ``recipes``.
    """
    about = ["| loss | what it is | reads |", "| --- | --- | --- |"]
    for name, loss in LOSSES[task].items():
        said = meanings.get(name) or (inspect.getdoc(loss.function) or "").split("\n")[0]
        about.append(f"| `{name}` | {said} | {', '.join(f'`{part}`' for part in loss.reads)} |")
    for name in REGULARISERS[task]:
        about.append(f"| `{name}` | {meanings.get(name, '')} | the network that it regularises |")
    columns = {name: weights for name, (of, weights) in known.items() if of == task}
    weighed = [
        "| loss | " + " | ".join(f"in `{name}`" for name in columns) + " |",
        "| --- |" + " --- |" * len(columns),
    ]
    for name in (*LOSSES[task], *REGULARISERS[task]):
        cells = (f"{weights[name]:g}" if name in weights else "" for weights in columns.values())
        weighed.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join([*about, "", *weighed])


def renewed(page: str, known: Mapping[str, tuple[str, Weights]]) -> str:
    """The text of a page with the losses as they are now; see ``listed``."""
    for task in LOSSES:
        new = tables(task, listed(page, task), known)
        begin, end = marks(task)
        before, after = page.partition(begin)[0], page.partition(end)[2]
        page = f"{before}{begin}\n\n{new}\n\n{end}{after}"
    return page


def main(_: list[str]) -> int:
    """Brings the page of the flags up to date."""
    page = Path(flags.FLAGS.page or PAGE)
    page.write_text(renewed(page.read_text(encoding="utf-8"), recipes()), encoding="utf-8")
    return 0


def cli() -> None:
    """Defines the flags and runs ``main``."""
    flags.DEFINE_string("page", None, "Page whose tables are replaced; docs/losses.md by default.")
    command_line.run(main)


if __name__ == "__main__":
    cli()
