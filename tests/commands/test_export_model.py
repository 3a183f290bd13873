"""A swapper outside of the package: its program, its weights, and the file that runs it."""

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from alrl_jax import load
from alrl_jax.commands.export_model import EXAMPLE_FILE, export_model
from alrl_jax.errors import UserError
from alrl_jax.storage.model_directory import read_meta, save_model
from alrl_jax.training.tasks import make_task
from alrl_jax.types import SwapOutput
from tests.support import tiny

pytest.importorskip("flatbuffers")
pytestmark = pytest.mark.usefixtures("quick_compilation")

LICENCE = "what its makers allow"
SOURCE, TARGET = (np.asarray(tiny.random_faces(3, seed).image) for seed in (0, 1))


@pytest.fixture(scope="module")
def swapper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A swapper with random weights and terms of its own."""
    folder = tmp_path_factory.mktemp("swapper")
    identity = tiny.save_tiny_identity(folder / "identity")
    task = make_task(tiny.tiny_config("synthetic_64", identity, swap__target_features="pair"))
    rng = np.random.default_rng(0)
    # Random, not initialised: that would have to be compiled.
    state = jax.tree.map(
        lambda leaf: np.asarray(0.2 * rng.standard_normal(leaf.shape)).astype(leaf.dtype),
        jax.eval_shape(task.init, jax.random.key(0), {}),
    )
    model = task.export(state, task.load_frozen())
    source = {"licence": LICENCE, "terms": {"weights x": LICENCE}}
    save_model(folder / "model", model.kind, model.config, model.variables, source=source)
    return folder / "model"


@pytest.fixture(scope="module")
def exported(swapper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("exports") / "swapper"
    export_model(str(swapper), output)
    return output


@pytest.fixture(scope="module")
def swap(exported: Path) -> Callable[..., dict[str, Any]]:
    """What the file that lies in an export makes of it."""
    spec = importlib.util.spec_from_file_location("exported_example", exported / EXAMPLE_FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load(exported)


@pytest.fixture(scope="module")
def expected(swapper: Path) -> SwapOutput:
    """Three swaps of the model itself."""
    return load(swapper).swap(SOURCE, TARGET, groups={"expression": "source"})


@pytest.mark.parametrize("count", [1, 3])
def test_the_program_swaps_as_the_model_does(
    expected: SwapOutput, swap: Callable[..., dict[str, Any]], count: int
) -> None:
    found = swap(SOURCE[:count], TARGET[:count], expression="source")
    assert np.std(found["generated"]) > 0.1
    for name in ("image", "generated", "mask"):
        wanted = getattr(expected, name)[:count]
        np.testing.assert_allclose(found[name], wanted, rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(found["attribute_gates"], expected.gates.attributes[:count])
    np.testing.assert_array_equal(found["pose_gates"], expected.gates.pose[:count])


@pytest.mark.slow
def test_the_example_is_a_program(expected: SwapOutput, exported: Path, tmp_path: Path) -> None:
    """With nothing of this project in reach: the package stands where Python does not look."""
    for name, images in (("source", SOURCE), ("target", TARGET)):
        np.save(tmp_path / f"{name}.npy", images)
    files = [str(tmp_path / f"{name}.npy") for name in ("source", "target", "output")]
    forbidden = "import sys; sys.modules['alrl_jax'] = None; import runpy; sys.argv = sys.argv[1:];"
    run = f"{forbidden} runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", run, str(exported / EXAMPLE_FILE), *files]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert np.load(files[-1]).shape == np.asarray(expected.image).shape


def test_whose_a_group_is_can_be_said(swap: Callable[..., dict[str, Any]]) -> None:
    for owner, gate in {"target": 0, "source": 1}.items():
        gates = swap(SOURCE[:1], TARGET[:1], pose=owner)["pose_gates"]
        np.testing.assert_array_equal(gates, np.full(gates.shape, gate))
    with pytest.raises(ValueError, match="got 'shoes'; expected some of .'identity', 'pose'"):
        swap(SOURCE[:1], TARGET[:1], shoes="source")


def test_the_example_needs_jax_alone(exported: Path) -> None:
    tree = ast.parse((exported / EXAMPLE_FILE).read_text())
    names = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    names += [str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    others = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    assert others == {"jax", "numpy"}


def test_terms_are_carried_on(exported: Path) -> None:
    written = json.loads((exported / "export.json").read_text())
    assert written["licence"] == LICENCE == read_meta(exported)["source"]["licence"]
    assert LICENCE in (exported / "MODEL_CARD.md").read_text()
    assert written["platforms"] == ["cpu", "cuda", "tpu"]
    assert written["inputs"]["source"] == "float32[b, 32, 32, 3]"


def test_what_cannot_be_exported(swapper: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="of kind 'identity'.*expected 'swapper'"):
        export_model(str(swapper.parent / "identity"), tmp_path / "new")
    with pytest.raises(UserError, match="which is there and no export"):
        export_model(str(swapper), tmp_path)
    assert not list(tmp_path.iterdir())
