"""What a contributor adds: a format in its family, or a family in the table, and nothing else."""

import ast
import dataclasses
import itertools
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest

import alrl_jax.convert
from alrl_jax.convert.engine import convert_file
from alrl_jax.convert.families import FAMILIES, FORMATS
from alrl_jax.convert.families.stylegan2 import rules
from alrl_jax.convert.format import Format
from alrl_jax.convert.networks import Network
from alrl_jax.convert.rules import Layout, Row
from alrl_jax.convert.same_names import same_names
from alrl_jax.convert.shapes import Config, shape_of, shapes_by
from alrl_jax.errors import UserError
from alrl_jax.storage.model_directory import read_model
from tests.goldens.golden import read_golden
from tests.support.checkpoints.torch_writer import save_torch

CONVERT = Path(alrl_jax.convert.__file__).parent

Tensors = dict[str, np.ndarray]


# A generator as another project saves it: names of its own, dense weights kept as ours are.

ROSINALITY = next(row for row in FORMATS if (row.kind, row.project) == ("generator", "rosinality"))
MATRIX = {"dense": "matrix"}
LAYOUT_OF = {n: key for n, (_, key) in rules.expand(rules.ROSINALITY_GENERATOR, 32, 8).items()}


def _renamed(name: str) -> str:
    return f"net/{name.replace('.', '/')}"


def _other_config(network: Network) -> Config:
    """The architecture is in the same shapes, but for the dense weights, which are turned."""
    own = {n.removeprefix("net/").replace("/", "."): x for n, x in network.tensors.items()}
    turned = {n: x.T if n.startswith("style.") else x for n, x in own.items()}
    return ROSINALITY.read_config(Network(turned))


def _other_rows(config: Config) -> dict[str, Row]:
    table = rules.ROSINALITY_GENERATOR
    rows = rules.expand(table, config["resolution"], config["num_mapping_layers"])
    return {_renamed(n): (path, MATRIX.get(key, key)) for n, (path, key) in rows.items()}


OTHER = dataclasses.replace(
    ROSINALITY,
    project="another",
    signature=("net/input/input", "net/style/1/weight"),
    sections=("averaged",),
    beside=(),
    prepare=lambda network: {"remark": f"{len(network.tensors)} tensors"},
    read_config=_other_config,
    rows=_other_rows,
    layouts={**rules.LAYOUTS, "matrix": Layout(2, lambda x: x)},
)


def test_a_new_layout_of_a_known_kind_is_a_format(tmp_path: Path) -> None:
    tensors = read_golden("rosinality_g_32").tensors
    centre = {"latent_avg": np.linspace(-1, 1, 64, dtype=np.float32)}
    known = save_torch(tmp_path / "known.pt", {"g_ema": tensors, **centre})
    turned = {n: x.T if LAYOUT_OF[n] == "dense" else x for n, x in (tensors | centre).items()}
    renamed = {_renamed(n): x for n, x in turned.items()}
    other = save_torch(tmp_path / "other.pt", {"averaged": renamed, "raw": renamed, "step": 3})
    with pytest.raises(UserError, match="no network that is known"):
        convert_file(other, "auto", tmp_path / "b")
    convert_file(known, "generator", tmp_path / "a")
    convert_file(other, "auto", tmp_path / "b", formats=(*FORMATS, OTHER))
    (meta, expected), (found, actual) = (read_model(tmp_path / name) for name in "ab")
    assert found["config"] == meta["config"] and found["kind"] == "generator"
    assert found["source"]["project"] == "another" and found["source"]["section"] == "averaged"
    assert found["source"]["skipped"] == ["raw", "step"]
    assert found["source"]["remark"] == f"{len(renamed)} tensors"
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


# A network that measures something new: how old a face looks.


class _AgeNetwork(nn.Module):
    """A module whose names are those of the published network."""

    width: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        maps = nn.Conv(self.width, (3, 3), use_bias=False, name="stem")(images)
        maps = nn.BatchNorm(use_running_average=True, name="norm")(maps)
        return nn.Dense(1, name="age")(maps.mean((1, 2)))


AGE_SHAPES = shapes_by(lambda config: _AgeNetwork(config["width"]), lambda _: [(1, 8, 8, 3)])

AGE = Format(
    kind="age",
    project="how-old",
    signature=("stem.weight", "age.weight"),
    read_config=lambda network: {"width": shape_of(network.tensors, "stem.weight", 4)[0]},
    rows=same_names(AGE_SHAPES, {"gender.weight": (None, "dense")}),
    shapes=AGE_SHAPES,
    files=("STEM", "HEAD"),
)


def _age_tensors() -> tuple[Tensors, Tensors]:
    random = np.random.default_rng(0)
    draw = lambda *shape: random.standard_normal(shape).astype(np.float32)  # noqa: E731
    stem = {"stem.weight": draw(5, 3, 3, 3), "norm.num_batches_tracked": np.asarray(7)}
    stem |= {f"norm.{leaf}": draw(5) for leaf in ("weight", "bias", "running_mean")}
    stem["norm.running_var"] = random.uniform(0.5, 2, 5).astype(np.float32)
    head = {"age.weight": draw(1, 5), "age.bias": draw(1), "gender.weight": draw(2, 5)}
    return stem, head


def test_a_new_measuring_network_is_a_family(tmp_path: Path) -> None:
    families = {**FAMILIES, "age": (AGE,)}
    formats = tuple(itertools.chain.from_iterable(families.values()))
    stem, head = _age_tensors()
    sources = [save_torch(tmp_path / "s.pt", stem), save_torch(tmp_path / "h.pt", head)]
    converted = convert_file(sources, "age", tmp_path / "age", formats=formats)
    assert converted.summary == {"width": "5"}
    meta, variables = read_model(tmp_path / "age")
    assert (meta["kind"], meta["config"]) == ("age", {"width": 5})
    assert meta["source"]["file"] == ["s.pt", "h.pt"]
    images = np.random.default_rng(1).uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
    ages: Any = _AgeNetwork(5).apply(variables, images)
    np.testing.assert_allclose(ages, _age_by_hand(images, stem | head), rtol=1e-5, atol=1e-5)
    lone = save_torch(tmp_path / "x.pt", {"x": stem["stem.weight"]})
    with pytest.raises(UserError, match=r"inception, age \(lpips as .*, age as --source=STEM,HEAD"):
        convert_file(lone, "age", tmp_path / "y", formats=formats)


def _age_by_hand(images: np.ndarray, tensors: Tensors) -> np.ndarray:
    """What the published network computes, in PyTorch's layouts."""
    padded = np.pad(images.transpose(0, 3, 1, 2), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    maps = np.einsum("nchwij,ocij->nohw", windows, tensors["stem.weight"])
    gain = tensors["norm.weight"] / np.sqrt(tensors["norm.running_var"] + 1e-5)
    maps = (maps - tensors["norm.running_mean"][:, None, None]) * gain[:, None, None]
    vectors = maps.mean((2, 3)) + tensors["norm.bias"]
    return vectors @ tensors["age.weight"].T + tensors["age.bias"]


# One place each.

BUILT_ON = {("face_encoders", "stylegan2")}
"""pSp's and e4e's files hold a decoder, whose mapping network tells the centre of the codes."""


def _imports(path: Path) -> set[str]:
    """Full names that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _families_in(names: set[str]) -> set[str]:
    start = "alrl_jax.convert.families."
    tails = {name.removeprefix(start).partition(".")[0] for name in names if name.startswith(start)}
    return tails & FAMILIES.keys()


def test_every_family_is_in_the_table_and_stands_alone() -> None:
    folder = CONVERT / "families"
    names = {path.stem for path in folder.iterdir() if not path.stem.startswith("__")}
    assert names == set(FAMILIES)
    used = {
        (name, other)
        for name in names
        for path in [*(folder / name).rglob("*.py"), *folder.glob(f"{name}.py")]
        for other in _families_in(_imports(path)) - {name}
    }
    assert used == BUILT_ON


def test_shared_machinery_names_no_family() -> None:
    shared = [path for path in CONVERT.rglob("*.py") if "families" not in path.parts]
    assert len(shared) > 10
    named = {path.name: _families_in(_imports(path)) for path in shared}
    assert not {name: families for name, families in named.items() if families}
