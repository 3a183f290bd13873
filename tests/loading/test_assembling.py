"""A swapper of converted parts: what it gives, what it is made of, and parts that do not fit."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from alrl_jax.commands.fabricate_models import fabricate
from alrl_jax.data.parsing_classes import bisenet_to_celebamask_channels
from alrl_jax.errors import UserError
from alrl_jax.loading import (
    SwapperModel,
    load_face_parser,
    load_generator,
    load_style_encoder,
    load_swapper,
)
from alrl_jax.loading.assembling import Parts, assemble
from alrl_jax.models.swapper.pose_space import POSE_SPACES
from alrl_jax.models.swapper.selection import SELECTORS
from alrl_jax.storage.model_directory import MODEL_FILE, read_meta, read_model, save_model
from alrl_jax.worlds.primitives.labels import FACE_LABELS
from tests.support.tiny import NARROW

pytestmark = pytest.mark.usefixtures("quick_compilation")

NAMES = ("generator", "encoder", "identity", "parser", "pose", "lpips")
RESOLUTION = 32
FACES = np.random.default_rng(0).uniform(-1, 1, (2, RESOLUTION, RESOLUTION, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Networks of the published kinds, narrow and random."""
    root = tmp_path_factory.mktemp("parts")
    small = dataclasses.replace(NARROW, parser_resolution=RESOLUTION)
    return {n: str(path) for n, path in fabricate(root, NAMES, RESOLUTION, small).items()}


def _parts(directories: dict[str, str], **changes: Any) -> Parts:
    named = {**directories, **{n: str(v) for n, v in changes.items() if n in NAMES}}
    rest = {n: v for n, v in changes.items() if n not in NAMES}
    return Parts(**{"directories": named, "selector": "psp_middle", "mask": "parser", **rest})


@pytest.fixture(scope="module")
def swapper(directories: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> SwapperModel:
    """The whole of them, assembled."""
    output = tmp_path_factory.mktemp("swapper") / "s"
    assemble(_parts(directories), output, "alrl assemble-swapper --generator=/home/me/ffhq")
    card = (output / "MODEL_CARD.md").read_text()
    assert "assembled of converted parts, without training" in card and "/home/me" not in card
    for name in NAMES:
        assert f"| {name} | {Path(directories[name]).name} |" in card
    return load_swapper(output)


def test_codes_are_selected_by_the_rule_and_pose_is_in_the_coarse_ones(
    swapper: SwapperModel, directories: dict[str, str]
) -> None:
    encoder = load_style_encoder(directories["encoder"])
    source, target = np.asarray(encoder(FACES)), np.asarray(encoder(FACES[::-1].copy()))
    out = swapper.swap(FACES, FACES[::-1].copy())
    coarse = POSE_SPACES["coarse_codes"].coarse_layers
    rule = SELECTORS["psp_middle"]
    assert rule is not None
    weights = np.asarray(rule(source.shape[1])[1:])[None, :, None]
    weights[:, :coarse] = 0.0
    np.testing.assert_allclose(
        out.codes.attributes, target + weights * (source - target), atol=2e-5
    )
    turned = swapper.swap(FACES, FACES[::-1].copy(), pose_from="source")
    np.testing.assert_allclose(turned.codes.attributes[:, :coarse], source[:, :coarse], atol=2e-5)
    generator = load_generator(directories["generator"])
    np.testing.assert_allclose(out.generated, generator.synthesize(out.codes.attributes), atol=1e-4)
    assert swapper.selectors[0] == "psp_middle" and "lcr4" in swapper.selectors
    assert swapper.attribute_groups == ("identity", "pose")
    text = repr(swapper)
    assert "psp_middle" in text and "32 px" in text and "parameters" in text


def test_the_mask_is_the_parsers_face(swapper: SwapperModel, directories: dict[str, str]) -> None:
    out = swapper.swap(FACES, FACES[::-1].copy())
    parser = load_face_parser(directories["parser"])

    def region(images: Any) -> np.ndarray:
        logits = bisenet_to_celebamask_channels(np.asarray(parser(np.asarray(images))))
        classes = np.asarray(jax.nn.softmax(logits))
        return classes[..., np.asarray(FACE_LABELS)].sum(-1, keepdims=True)

    union = 1 - (1 - region(FACES[::-1].copy())) * (1 - region(out.generated))
    mask = np.asarray(out.mask)
    assert (mask >= union - 1e-4).all()
    np.testing.assert_allclose(mask[union > 0.999], 1.0, atol=2e-3)
    shown = mask * np.asarray(out.generated) + (1 - mask) * FACES[::-1]
    np.testing.assert_allclose(out.image, shown, atol=1e-4)


def test_a_searched_selection_comes_from_its_file(
    directories: dict[str, str], tmp_path: Path
) -> None:
    found = tmp_path / "found.json"
    weights = [0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]
    found.write_text(json.dumps({"source_weights": weights, "face_psnr": 20.0}))
    parts = _parts(directories, selector="best_fixed", mask="ellipse", selection=found)
    config = assemble(parts, tmp_path / "s")
    assert config["swap"]["source_weights"] == weights
    assert load_swapper(tmp_path / "s").selectors[0] == "best_fixed"


def test_weights_are_those_of_the_parts(directories: dict[str, str], tmp_path: Path) -> None:
    assemble(_parts(directories, mask="ellipse"), tmp_path / "s")
    _, variables = read_model(tmp_path / "s")
    assert {*variables} == {"encoder", "generator", "identity", "parser", "pose", "lpips"}
    for name, part in (("identity", "identity"), ("parser", "parser"), ("pose", "pose")):
        same = jax.tree.map(np.array_equal, variables[name], read_model(directories[part])[1])
        assert jax.tree.all(same)
    trunk = {n: tree["trunk"] for n, tree in variables["encoder"].items() if "trunk" in tree}
    encoder = read_model(directories["encoder"])[1]
    assert jax.tree.all(jax.tree.map(np.array_equal, trunk, encoder))


def _changed(directory: str, output: Path, **values: Any) -> Path:
    """A model directory that says something else of itself."""
    meta, variables = read_model(directory)
    save_model(output, meta["kind"], meta["config"] | values, variables)
    return output


def _fault_kinds() -> dict[str, tuple[Any, str]]:
    return {
        "layers": (
            lambda d, p: {"encoder": _changed(d["encoder"], p / "e", num_styles=18)},
            "num_styles=18; expected 8",
        ),
        "width": (
            lambda d, p: {"encoder": _changed(d["encoder"], p / "e", code_width=512)},
            "code_width=512; expected 16",
        ),
        "larger encoder": (
            lambda d, p: {"encoder": _changed(d["encoder"], p / "e", resolution=256)},
            "sees 256 px, with a generator of 32 px",
        ),
        "labels": (
            lambda d, p: {"parser": _changed(d["parser"], p / "x", num_classes=11)},
            "of 11 classes; expected the 19",
        ),
        "kind": (lambda d, p: {"identity": d["parser"]}, "kind face_parser; expected one of kind"),
        "classes": (
            lambda d, p: {"generator": _changed(d["generator"], p / "g", label_dim=3)},
            "of 3 classes",
        ),
        "no parser": (lambda d, p: {"parser": ""}, "--mask=parser without --parser"),
        "no file": (lambda d, p: {"selector": "best_fixed"}, "without --selection=FILE"),
        "another file": (
            lambda d, p: {
                "selector": "best_fixed",
                "selection": Path(d["parser"]) / MODEL_FILE,
            },
            "expected what alrl search-selection prints, with 9",
        ),
        "selector": (lambda d, p: {"selector": "adaptive"}, "--selector=adaptive; expected one of"),
        "nothing there": (lambda d, p: {"encoder": p / "nowhere"}, "holds no model.json"),
    }


FAULTS = _fault_kinds()


@pytest.mark.parametrize("fault", FAULTS)
def test_parts_that_do_not_belong_together(
    directories: dict[str, str], tmp_path: Path, fault: str
) -> None:
    change, message = FAULTS[fault]
    parts = _parts(directories, **change(directories, tmp_path))
    with pytest.raises(UserError, match=message) as error:
        assemble(parts, tmp_path / "out")
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_an_identity_net_of_another_input(directories: dict[str, str], tmp_path: Path) -> None:
    meta = read_meta("embedded/identity_64")
    assert meta["config"]["resolution"] == 64
    with pytest.raises(UserError, match="sees 64 px; expected a divisor"):
        assemble(_parts(directories, identity="embedded/identity_64"), tmp_path / "out")
