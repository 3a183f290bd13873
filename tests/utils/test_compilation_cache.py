import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from alrl_jax.utils.compilation_cache import MIN_SECONDS, keep_compiled_programs, shrink
from tests.support import several

FOLDER = "jax_compilation_cache_dir"


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """As for a user who chose nothing; the suite's own folder is back afterwards."""
    before = {name: jax.config.values[name] for name in (FOLDER, MIN_SECONDS.lower())}
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(MIN_SECONDS, raising=False)
    jax.config.update(FOLDER, None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.usefixtures("unset")
def test_the_user_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir is None
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    jax.config.update(FOLDER, "chosen")
    keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir == "chosen"
    jax.config.update(FOLDER, None)
    keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "alrl_jax" / "compiled")


@pytest.mark.usefixtures("unset")
@pytest.mark.parametrize(("chosen", "least"), [(None, 0.0), ("0.25", 1.0)])
def test_quickly_compiled_programs_are_kept(
    chosen: str | None, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable of the user's was read when JAX was imported, before this test."""
    if chosen is not None:
        monkeypatch.setenv(MIN_SECONDS, chosen)
    jax.config.update(MIN_SECONDS.lower(), 1.0)
    keep_compiled_programs()
    assert jax.config.values[MIN_SECONDS.lower()] == least


@pytest.mark.usefixtures("unset")
def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "alrl_jax").write_text("")
    keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir is None


def test_what_was_not_used_for_longest_goes(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "middle", "old")):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    shrink(tmp_path, 30)
    assert len(list(tmp_path.iterdir())) == 3
    shrink(tmp_path, 25)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["middle", "new"]


@pytest.mark.slow
def test_the_second_start_finds_what_the_first_compiled(tmp_path: Path) -> None:
    changes = {
        "num_steps": 1,
        "sample_every": 0,
        "resolution": 16,
        "data.num_identities": 4,
        "data.images_per_identity": 2,
        "batch_size": 4,
    }
    values = several.environment(1, XDG_CACHE_HOME=str(tmp_path / "cache"))
    values.pop("JAX_COMPILATION_CACHE_DIR", None)
    values.pop(MIN_SECONDS, None)
    kept = []
    for workdir in ("one", "two"):
        command = [
            "alrl_jax.train",
            "--config=configs/identity_64.py",
            f"--workdir={tmp_path}/{workdir}",
        ]
        command += [f"--config.{name}={value}" for name, value in changes.items()]
        several.finish([several.start(command, values)])
        compiled = tmp_path / "cache" / "alrl_jax" / "compiled"
        kept.append({path.name for path in compiled.iterdir() if path.name.endswith("-cache")})
    # Rendering the data is compiled by the first alone.
    assert kept[0] and kept[0] == kept[1]
