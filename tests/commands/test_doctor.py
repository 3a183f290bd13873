"""What the doctor says: the tested versions are the lock's, and every finding has its remedy."""

import re
import tomllib
from pathlib import Path

import pytest

from alrl_jax.commands import doctor
from alrl_jax.commands.doctor import Accelerators, Part
from tests.support.commands import run_command

ROOT = Path(__file__).parents[2]
NOTHING = Accelerators(nvidia=False, tpu=False, cuda_plugins={}, libtpu=None, chosen="")


def locked(python: tuple[int, int]) -> dict[str, str]:
    """The pins of the lock file for a version of Python."""
    pins = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if match := re.match(r'([\w.-]+)==([\w.]+)(?: ; python_version (<|>=) "3\.(\d+)")?', line):
            name, version, sign, minor = match.groups()
            if sign is None or (python < (3, int(minor))) == (sign == "<"):
                pins[name] = version
    return pins


def dependencies() -> set[str]:
    """Names of what the package depends on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {re.split(r"[\[<>=]", each)[0] for each in project["dependencies"]}


@pytest.mark.parametrize("python", [(3, 11), (3, 12), (3, 13), (3, 14)])
def test_tested_versions_are_those_of_the_lock(python: tuple[int, int]) -> None:
    tested, pins = doctor.tested_versions(python), locked(python)
    assert set(tested) == dependencies() | {"jaxlib"}
    assert tested == {name: pins[name] for name in tested}


def test_parts_are_the_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    others = {"dev", "cuda12", "cuda13", "tpu"}
    assert set(doctor.PARTS) == set(project["optional-dependencies"]) - others


def test_another_combination_is_named_with_its_remedy() -> None:
    tested = {"jax": "1.0", "numpy": "2.0"}
    assert doctor.dependency_lines(tested, tested)[-1].startswith("this combination is one that")
    lines = doctor.dependency_lines({"jax": "1.1", "numpy": None}, tested)
    assert lines[:2] == ["jax               1.1", "numpy             missing"]
    tested = doctor.tested_versions((3, 13))
    assert "was tried with tests of" in doctor.dependency_lines(tested | doctor.TRIED, tested)[-1]
    assert lines[2].endswith("not tested; one that was: pip install jax==1.0 numpy==2.0")


@pytest.mark.parametrize(
    ("machine", "seen", "expected"),
    [
        ({}, ["cpu"], ()),
        ({"chosen": "cpu"}, ["cpu"], ("JAX_PLATFORMS=cpu is set",)),
        ({"nvidia": True}, ["cpu"], ("no CUDA plugin: pip install 'alrl_jax[cuda13]'",)),
        ({"nvidia": True, "cuda_plugins": {"p": "1"}}, ["gpu"], ()),
        ({"cuda_plugins": {"p": "1"}}, ["cpu"], ("p is installed, but there is no driver",)),
        ({"nvidia": True, "cuda_plugins": {"p": "2"}}, ["cpu"], ("p 2 stands beside jaxlib 1",)),
        ({"tpu": True}, ["cpu"], ("libtpu is missing: pip install 'alrl_jax[tpu]'",)),
        ({"tpu": True, "libtpu": "1"}, ["tpu"], ()),
    ],
)
def test_why_there_are_not_more_devices(machine: dict, seen: list[str], expected: tuple) -> None:
    found = Accelerators(**{**vars(NOTHING), **machine})
    lines = doctor.why_not_more(found, seen, "1")
    assert len(lines) == len(expected)
    for line, words in zip(lines, expected, strict=True):
        assert words in line


def test_accelerators_are_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "NVIDIA_DRIVER", tmp_path / "version")
    monkeypatch.setattr(doctor, "TPU_DEVICES", ())
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    for name in (*doctor.TPU_VARIABLES, "JAX_PLATFORMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor, "installed", lambda name: None)
    assert doctor.find_accelerators() == NOTHING
    (tmp_path / "version").touch()
    monkeypatch.setenv("TPU_NAME", "local")
    monkeypatch.setattr(doctor, "installed", lambda name: "1" if "13" in name else None)
    found = doctor.find_accelerators()
    assert found.nvidia and found.tpu and found.cuda_plugins == {"jax-cuda13-plugin": "1"}


def test_a_device_that_does_not_start_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """All seems to be there: what JAX itself says is the reason."""
    there = Accelerators(
        True, False, {"jax-cuda13-plugin": doctor.installed("jaxlib") or ""}, None, ""
    )
    monkeypatch.setattr(doctor, "find_accelerators", lambda: there)
    lines = doctor.device_lines()
    assert "(cpu)" in lines[0] and lines[-1].startswith("no gpu: RuntimeError: ")


def test_caches_are_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    assert all("    0.0 MiB" in line for line in doctor.cache_lines())
    assert not list(tmp_path.iterdir()), "it only looks"
    for folder, mebibytes in (("compiled", 2), ("synthetic-64-abc/shards", 3)):
        (tmp_path / "alrl_jax" / folder).mkdir(parents=True)
        (tmp_path / "alrl_jax" / folder / "file").write_bytes(bytes(mebibytes * 2**20))
    compiled, data = doctor.cache_lines()
    assert "2.0 MiB" in compiled and compiled.endswith(str(tmp_path / "alrl_jax" / "compiled"))
    assert "3.0 MiB" in data and data.endswith(str(tmp_path / "alrl_jax"))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    assert "none are kept" in doctor.cache_lines()[0]


def test_parts_that_are_missing_or_do_not_load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_part.py").write_text("raise ImportError('libxcb.so.1: no such file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    parts = {
        "a": Part("what is there", ("json",)),
        "b": Part("what is not", ("json", "no_such_part")),
        "c": Part("what lacks something", ("broken_part",)),
        "d": Part("what is not tried", ("broken_part",), imported=False),
    }
    monkeypatch.setattr(doctor, "PARTS", parts)
    monkeypatch.setattr(doctor, "installed", lambda name: "5" if "headless" in name else None)
    data = {"e": ("data that is there", "json", "do this"), "f": ("not there", "no_such", "do it")}
    monkeypatch.setattr(doctor, "DATA", data)
    a, b, c, d, e, f, several = doctor.part_lines()
    assert e.endswith(" present") and f.endswith("missing: do it")
    assert a.endswith(" present") and d.endswith(" present")
    assert b.endswith("missing (no_such_part): pip install 'alrl_jax[b]'")
    assert c.endswith("present, but does not load: ImportError: libxcb.so.1: no such file")
    assert "cv2 was installed several times" in several


def test_it_prints_all_of_it_and_ends_with_status_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "PARTS", {"export": doctor.PARTS["export"]})
    status, _ = run_command(monkeypatch, doctor)
    out = capsys.readouterr().out
    assert status == 0 and not list(tmp_path.iterdir())
    for title in ("alrl_jax 0.", "dependencies", "devices", "caches", "optional parts"):
        assert re.search(f"^{title}", out, re.MULTILINE)


def test_a_jax_that_does_not_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError(f"no {name}")

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    assert doctor.device_lines()[0] == "JAX does not start: ImportError: no jax"
