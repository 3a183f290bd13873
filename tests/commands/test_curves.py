"""Curves of runs from their files alone: spoiled lines, names, several runs, live pages."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from alrl_jax.commands import curves
from alrl_jax.commands.curves import build_page, named_runs, read_run, stamp_of
from alrl_jax.errors import UserError
from alrl_jax.evaluation.report.live import LivePage
from tests.support.commands import run_command

SPOILED = '{"step": 30, "loss/to'


def write_run(directory: Path, losses: dict[int, Any], end: str = "") -> Path:
    """A work directory whose metrics are these losses by step, and what stands at their end."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"step": step, "loss/total": loss, "held_out/psnr": 20.0 + step / 10})
        for step, loss in losses.items()
    ]
    (directory / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines) + end)
    return directory


def test_a_spoiled_line_is_left_out_and_counted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {10: 2.0, 20: float("nan")}, SPOILED)
    found = read_run("a", run)
    assert [line["step"] for line in found.run.lines] == [10, 20] and found.spoiled == 1
    (run / "metrics.jsonl").write_bytes(b"\xff\xfe\n[1]\n\n" + b'{"step": 1, "loss/total": 2}\n')
    found = read_run("a", run)
    assert [line["step"] for line in found.run.lines] == [1] and found.spoiled == 2
    assert read_run("b", tmp_path) == curves.Found(curves.Run("b", []), 0, None)


def test_runs_stand_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_run(tmp_path / "lr=1" / "run", {10: 2.0, 20: 1.0})
    second = write_run(tmp_path / "b" / "run", {10: 3.0, 20: 1.5, 30: 1.2}, SPOILED)
    output = tmp_path / "out" / "curves.html"
    words = (str(first), f"second={second / 'metrics.jsonl'}", f"--output={output}")
    assert run_command(monkeypatch, curves, *words)[0] == 0
    assert capsys.readouterr().out == f"{output}\n"
    page = output.read_text()
    assert page.count("<title>") > 0 and "2 runs side by side" in page
    assert page.count('data-run="lr=1/run"') == 3, "in the legend and in two plots"
    assert page.count('data-steps="10 20 30"') == 2 and 'data-values="2 1"' in page
    assert "loss/total: lr=1/run from 2 at step 10 to 1 at step 20; second from 3" in page
    for title in ("Losses", "Held-out people", "Last figures"):
        assert f">{title}</h2>" in page
    assert "connect-src" not in page and "data-every" not in page.split("<body")[1].split(">")[0]


def test_names_are_the_ends_in_which_paths_differ(tmp_path: Path) -> None:
    for path in ("x/a/run", "x/b/run", "x/a/other"):
        write_run(tmp_path / path, {1: 1.0})
    paths = [str(tmp_path / "x" / name) for name in ("a/run", "b/run", "a/other")]
    assert list(named_runs(paths, True)) == ["a/run", "b/run", "a/other"]
    assert list(named_runs(paths[:1], True)) == ["run"]
    assert list(named_runs([f"{paths[0]}", f"mine={paths[2]}"], True)) == ["run", "mine"]
    (tmp_path / "new").mkdir()
    assert named_runs([str(tmp_path / "new")], False), "it may begin yet"
    for entries, message in (
        ([str(tmp_path / "new")], "no metrics.jsonl in it"),
        ([str(tmp_path / "none")], "no directory"),
        ([paths[0], paths[0]], "two runs named 'run'"),
        ([f"a={paths[0]}", f"a={paths[1]}"], "two runs named 'a'"),
    ):
        with pytest.raises(UserError, match=message):
            named_runs(entries, True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [((), "got no run"), (("RUN",), "neither --output nor --watch"), (("--port=-1",), "port")],
)
def test_what_lacks_is_said(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    expected: str,
) -> None:
    assert run_command(monkeypatch, curves, *words)[0] == 2
    assert expected in capsys.readouterr().err


def fetch(live: LivePage, path: str = "", **headers: str) -> str:
    """What a browser gets."""
    request = urllib.request.Request(live.address + path, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def test_a_live_page_keeps_up(tmp_path: Path) -> None:
    runs = {"run": write_run(tmp_path / "run", {10: 2.0})}

    def build() -> str:
        return build_page([read_run(*run) for run in runs.items()], 5.0)

    live = LivePage(build, lambda: stamp_of(runs), 0)
    try:
        assert live.address.startswith("http://127.0.0.1:")
        before, version = fetch(live), fetch(live, "version")
        assert "connect-src 'self'" in before and 'data-every="5.0"' in before
        assert not live.refresh() and fetch(live, "version") == version
        write_run(tmp_path / "run", {10: 2.0, 20: 1.0}, SPOILED)
        assert live.refresh() and fetch(live, "version") != version
        assert 'data-steps="10 20"' in fetch(live)
        (tmp_path / "run" / "metrics.jsonl").unlink()
        assert live.refresh() and "not begun" in fetch(live)
        for path, headers, status in (("other", {}, 404), ("", {"Host": "elsewhere.org"}, 403)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                fetch(live, path, **headers)
            assert refused.value.code == status
            refused.value.close()
        with pytest.raises(UserError, match="expected a free one"):
            LivePage(build, lambda: None, live.port)
    finally:
        live.close()


def test_watching_ends_with_ctrl_c_and_writes_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {"run": write_run(tmp_path / "run", {10: 2.0})}
    output, rounds = tmp_path / "page.html", []

    def sleep(seconds: float) -> None:
        rounds.append('data-steps="10 20"' in output.read_text())
        write_run(tmp_path / "run", {10: 2.0, 20: 1.0})
        if len(rounds) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(curves.time, "sleep", sleep)
    curves.watch(runs, output, 0, 1.0)
    assert rounds == [False, True, True]
    assert "Ctrl-C ends it" in capsys.readouterr().out
