"""Model cards: kind, data, weights, terms, figures and intended use of a model.

``MODEL_CARD.md`` stands beside every trained model. It depends on the files of the directory alone
(``model.json``, or the records of a run, and ``metrics.json`` where there is one): written again,
it is the same.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from alrl_jax.errors import UserError
from alrl_jax.provenance import lineage, model_card_texts
from alrl_jax.storage.checkpoint import newest_step
from alrl_jax.storage.model_directory import MODEL_FILE, read_meta, resolve_directory
from alrl_jax.storage.workdir import OF_THE_MACHINE, read_config, read_metrics
from alrl_jax.utils.files import write_text

CARD_FILE = "MODEL_CARD.md"
FIGURES_FILE = "metrics.json"
"""The figures that a card shows: of ``alrl evaluate``, or numbers by name."""

Record = dict[str, Any]


def training_record(workdir: Path, step: int, command: str = "") -> Record:
    """How a run was made: all that is needed to repeat it, without the folders of the machine.

    Args:
        workdir: directory of the run.
        step: of the checkpoint.
        command: line that started the training; by default the one that training recorded.
    """
    lines = [line for line in read_metrics(workdir) if line["step"] <= step]
    config = read_config(workdir) or {}
    origin = lineage.read_origin(workdir) or _origin_by_config(config)
    return {
        "command": _bare(command or origin.pop("command", "")),
        "seed": config.get("seed"),
        "steps": step,
        "images": step * config.get("batch_size", 0),
        **{name: value for name, value in origin.items() if name != "command"},
        "config": _bare(config),
        "last_metrics": _without_machine(lines[-1]) if lines else None,
    }


def _without_machine(line: Mapping[str, Any]) -> Record:
    """Figures of a line that are the same wherever a run is repeated."""
    return {name: x for name, x in line.items() if not name.startswith(OF_THE_MACHINE)}


def _origin_by_config(config: Mapping[str, Any]) -> Record:
    """The origin of a run without a record, as far as its configuration says it for certain."""
    data = config.get("data", {})
    known = None
    if data.get("source") in ("synthetic", "humans"):
        name = data["source"]
        known = {"name": name, "licence": lineage.DATA_LICENCES[name]}
    try:
        pretrained = lineage.entries(config.get("pretrained", {}))
    except UserError:  # what it started from is gone
        return {"data": known, "licence": lineage.NOT_STATED}
    terms = lineage.terms(known, pretrained)
    return {
        "data": known,
        "pretrained": pretrained,
        "terms": terms,
        "licence": lineage.licence(terms),
    }


def read_record(directory: str | Path) -> Record:
    """The fields of a card, from a model or work directory.

    Returns:
        ``name``, ``kind``, ``sha256`` (None of a run), ``source`` and ``figures`` (None where
        there are none).

    Raises:
        UserError: neither a model nor a run with a checkpoint.
    """
    path = resolve_directory(directory)
    config = None if (path / MODEL_FILE).is_file() else read_config(path)
    step = None if config is None else newest_step(path)
    if config is None or step is None:
        meta = read_meta(path)
        kind, sha256, source = meta["kind"], meta["sha256"], meta["source"]
    else:
        kind, sha256 = model_card_texts.kind_of_run(config), None
        source = training_record(path, step)
    figures = path / FIGURES_FILE
    return {
        "name": path.resolve().name,
        "kind": kind,
        "sha256": sha256,
        "source": source,
        "figures": read_figures(figures) if figures.is_file() else None,
    }


def read_figures(path: Path) -> Record:
    """The figures of a card.

    Raises:
        UserError: no such file, or neither an evaluation nor numbers by name.
    """
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"got --metrics={path} ({error}); expected the metrics.json of an evaluation"
        ) from error
    if not isinstance(figures, dict) or not isinstance(figures.get("rows", {}), dict):
        raise UserError(
            f"got --metrics={path} without rows; expected the metrics.json of an evaluation, or a "
            "JSON object of numbers by name"
        )
    return figures


def write_card(directory: str | Path) -> Path:
    """Writes the card of a model or work directory beside it, whole or not at all.

    Raises:
        UserError: there is no model.
    """
    path = resolve_directory(directory) / CARD_FILE
    write_text(path, card(read_record(directory)))
    return path


def card(record: Record) -> str:
    """The text of a card; the same for the same record."""
    source = record["source"]
    parts = [
        f"# Model card: {record['name']}\n",
        model_card_texts.KINDS.get(record["kind"], "A network."),
        _table(("", ""), list(_facts(record))),
        "## Data\n",
        _data(source),
        "## Weights that went into it\n",
        _weights(source),
        "## Terms\n",
        _terms(source),
        "## Figures\n",
        *_figures(record["figures"]),
        *_last_metrics(source.get("last_metrics")),
        model_card_texts.USE.strip() + "\n",
        "## Configuration\n",
        f"```json\n{json.dumps(_bare(source.get('config') or {}), indent=1)}\n```\n",
    ]
    return "\n".join(parts)


def _facts(record: Record) -> Iterator[tuple[str, str]]:
    source = record["source"]
    yield "kind", str(record["kind"])
    if record["sha256"]:
        yield "sha256 of the weights", f"`{record['sha256']}`"
    named = {
        "project": "converted from",
        "file": "file",
        "sha256": "sha256 of the file",
        "command": "made by",
        "git_revision": "revision of the code",
        "steps": "training steps",
        "images": "images seen in training",
        "seed": "seed",
        "hardware": "hardware",
        "jax": "jax",
    }
    for name, title in named.items():
        value = source.get(name)
        if value not in (None, ""):
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield title, f"`{_bare(text)}`" if name == "command" else text


def _data(source: Record) -> str:
    data = source.get("data")
    if data is None:
        known = "Its makers say what it was trained on." if "project" in source else ""
        return (known or "There is no record of the data.") + "\n"
    named = {"images": "images", "people": "people", "split": "part", "kind": "kind"}
    rows = [("name", data["name"])]
    rows += [(title, str(data[key])) for key, title in named.items() if data.get(key) is not None]
    return _table(("", ""), [*rows, ("licence", data["licence"])])


def _weights(source: Record) -> str:
    found = lineage.ancestors(source)
    if found is None:
        return "There is no record of them.\n"
    if not found:
        return "None: it was trained from random weights, or converted as it is.\n"
    rows = list(_weights_rows(found, 0))
    return _table(("as", "weights", "kind", "from", "sha256", "licence"), rows)


def _weights_rows(found: Sequence[Record], depth: int) -> Iterator[tuple[str, ...]]:
    for each in found:
        file = each["file"] if isinstance(each["file"], str) else " + ".join(each["file"] or ())
        origin = ", ".join(filter(None, (each["project"], file)))
        indent = "&rarr; " * depth
        name = f"{indent}{each['name']}"
        digest = f"`{(each['sha256'] or '')[:16]}`" if each["sha256"] else ""
        yield each.get("network", ""), name, str(each["kind"]), origin, digest, each["licence"]
        yield from _weights_rows(each["started_from"] or [], depth + 1)


def _terms(source: Record) -> str:
    held = source.get("terms")
    if held:
        lines = [f"- {name}: {text}" for name, text in held.items()]
        return "What all of these allow, and no more:\n\n" + "\n".join(lines) + "\n"
    return f"{source.get('licence') or lineage.NOT_STATED}\n"


def _figures(figures: Record | None) -> list[str]:
    if figures is None:
        return [model_card_texts.NO_FIGURES]
    if "rows" not in figures:
        numbers = [(k, _number(v)) for k, v in sorted(figures.items())]
        return [_table(("figure", "value"), numbers)]
    protocol, rows = figures.get("protocol", {}), figures["rows"]
    columns = [name for name in model_card_texts.METRICS if _measured(rows, name)]
    units = protocol.get("units", {})
    heads = [_head(name, units) for name in columns]
    lines = [(f"`{row}`", *(_number(of.get(m)) for m in columns)) for row, of in rows.items()]
    parts = [_table(("", ""), list(_protocol(protocol)))]
    if protocol.get("judge_seen_in_training"):
        parts.append(model_card_texts.SEEN_IN_TRAINING)
    parts.append(_table(("row", *heads), lines))
    own = (protocol.get("selectors") or ["adaptive"])[0]
    tones = rows.get(own, {}).get("by_skin_tone")
    if not tones:
        return [*parts, "By skin tone: not measured, as the images have no such labels.\n"]
    shown = [m for m in columns if any(tone.get(m) is not None for tone in tones.values())]
    heads = ["pairs", *(_head(name, units) for name in shown)]
    lines = [(n, str(t["count"]), *(_number(t.get(m)) for m in shown)) for n, t in tones.items()]
    return [*parts, f"Row `{own}` by skin tone of the target:\n", _table(("tone", *heads), lines)]


def _measured(rows: Mapping[str, Record], name: str) -> bool:
    return any(row.get(name) is not None for row in rows.values())


def _protocol(protocol: Record) -> Iterator[tuple[str, str]]:
    names = ("benchmark", "protocol", "pair_set", "split", "seed", "num_pairs")
    names = (*names, "gallery_size", "resolution")
    for name in names:
        if protocol.get(name) is not None:
            yield name.replace("_", " "), str(protocol[name])
    judges = {"judge": protocol.get("judge")} | (protocol.get("judges") or {})
    for role, judge in judges.items():
        if judge is not None:
            yield f"judge: {role}", f"{judge['name']} ({judge['kind']})"
    model = protocol.get("model")
    if model is not None:
        yield "measured weights", f"{model['name']}, values' sha256 `{model['sha256'][:16]}`"


def _head(name: str, units: Mapping[str, str]) -> str:
    unit = units.get(name, "1")
    title = name.removesuffix("_degrees").replace("_", " ")
    return title if unit in ("1", "") else f"{title}, {unit}"


def _last_metrics(line: Mapping[str, Any] | None) -> list[str]:
    if not line:
        return []
    rows = [(name, _number(value)) for name, value in sorted(line.items())]
    text = "What training logged last (no measure of quality):\n"
    return [f"<details><summary>{text.strip()}</summary>\n", _table(("", ""), rows), "</details>\n"]


def _number(value: Any) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, bool | int | str):
        return str(value)
    return f"{value:.4g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


def _bare(value: Any) -> Any:
    """A value without the folders of a machine: absolute paths become their last name."""
    if isinstance(value, Mapping):
        return {key: _bare(each) for key, each in value.items()}
    if isinstance(value, str):
        return re.sub(r"(?<![^\s='\"])[/~][^\s'\"]*/(?=[^\s/'\"])", "", value)
    return value
