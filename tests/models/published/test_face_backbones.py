"""Face backbones and encoders into W+ against stored outputs of their projects."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.convert.engine import convert
from alrl_jax.convert.finding import choose, find_networks
from alrl_jax.models.build import build_face_embedder, build_style_encoder
from alrl_jax.models.functional import apply
from alrl_jax.models.published.face_backbones import (
    Body,
    ChannelPReLU,
    SqueezeExcite,
    StoredNorm,
    Unit,
)
from alrl_jax.models.published.psp import StyleEncoder, head_depth, level_of
from tests.goldens.golden import Golden, assert_close, nhwc, read_golden
from tests.support.checkpoints import face_files

DEEP = 5e-5
"""Largest deviation over the standard deviation of the output, for networks of so many layers."""

RNG = np.random.default_rng(0)
MAPS = RNG.standard_normal((2, 6, 8, 8)).astype(np.float32)
OURS = jnp.asarray(nhwc(MAPS))


def _converted(golden: Golden, kind: str) -> tuple[dict[str, Any], Any]:
    tensors = dict(golden.tensors)
    golden.tensors.clear()
    candidates, others = find_networks(tensors)
    assert not others
    chosen = choose(candidates, kind)
    tensors.clear()
    candidates.clear()
    converted = convert(chosen)
    return converted.config, converted.variables


def _mean(x: Any) -> np.ndarray:
    return np.asarray(x).mean((1, 2))


def _check_embedder(name: str, kind: str, stored: dict[str, str]) -> None:
    """``stored``: names of the raw and of the unit embedding, then of the means of the stages."""
    golden = read_golden(name)
    config, variables = _converted(golden, kind)
    network = build_face_embedder(config)

    @jax.jit
    def run(variables: Any, images: jax.Array) -> dict[str, Any]:
        maps, raw = network.apply(
            variables, images, method=lambda m, x: (m.features(x), m.embed_raw(x))
        )
        return {"raw": raw, "unit": network.apply(variables, images), "maps": maps}

    found = run(variables, jnp.asarray(golden.images("img")))
    assert_close(found["raw"], golden.arrays[stored["raw"]], worst=DEEP)
    assert_close(found["unit"], golden.arrays[stored["unit"]], worst=DEEP)
    for stage, x in enumerate(found["maps"]):
        assert_close(_mean(x), golden.arrays[stored[f"stage{stage}"]], worst=DEEP)


IR = {"raw": "embedding_before_norm", "unit": "embedding"} | {
    f"stage{i}": f"body_{unit}_mean" for i, unit in enumerate((2, 6, 20, 23))
}
IRESNET = {"raw": "embedding", "unit": "embedding_normalised"} | {
    f"stage{i}": f"layer{i + 1}_mean" for i in range(4)
}


def test_ir_se50() -> None:
    _check_embedder("ir_se50_arcface", "arcface", IR)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iresnet50", "iresnet100"])
def test_iresnet(name: str) -> None:
    _check_embedder(name, "iresnet", IRESNET)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["psp", "e4e"])
def test_style_encoders(kind: str) -> None:
    golden = read_golden(f"{kind}_encoder")
    config, variables = _converted(golden, kind)
    network = build_style_encoder(config)
    images = jnp.asarray(golden.images("img"))
    run = jax.jit(network.apply, static_argnames="method")
    assert_close(run(variables, images), golden.arrays["codes_plus_avg"], worst=DEEP)
    plain = jax.jit(network.clone(centred=False).apply)
    assert_close(plain(variables, images), golden.arrays["codes"], worst=DEEP)
    for i, x in enumerate(run(variables, images, method="features")):
        assert_close(_mean(x), golden.arrays[f"c{i + 1}_mean"], worst=DEEP)
        corner = golden.images(f"c{i + 1}_corner")
        assert_close(np.asarray(x)[:, :4, :4, :8], corner, worst=DEEP)


def test_normalisation_is_by_stored_statistics() -> None:
    scale, offset, mean = RNG.standard_normal((3, 6)).astype(np.float32)
    variance = RNG.uniform(0.1, 2, 6).astype(np.float32)
    variables = {
        "params": {"scale": scale, "bias": offset},
        "batch_stats": {"mean": mean, "var": variance},
    }
    expected = (nhwc(MAPS) - mean.astype(np.float64)) / np.sqrt(variance + 1e-5) * scale + offset
    assert_close(StoredNorm().apply(variables, OURS), expected)


def test_slopes_are_one_for_every_channel() -> None:
    slope = np.array([0.25, 0.1, 2.0, -0.5, 0.0, 1.0], np.float32)
    variables = {"params": {"slope": slope}}
    expected = face_files.prelu(MAPS, slope)
    assert np.array_equal(apply(ChannelPReLU(), variables, OURS), nhwc(expected))


def test_squeeze_and_excitation() -> None:
    tensors = face_files.fill({"se.fc1.weight": [3, 6, 1, 1], "se.fc2.weight": [6, 3, 1, 1]})
    names = {"squeeze": "se.fc1.weight", "excite": "se.fc2.weight"}
    kernels = {k: {"kernel": tensors[n].transpose(2, 3, 1, 0)} for k, n in names.items()}
    found = SqueezeExcite(2).apply({"params": kernels}, OURS)
    assert_close(found, nhwc(face_files.squeeze_excite(MAPS, tensors, "se")))


def test_a_unit_without_projection_passes_every_other_pixel_on() -> None:
    unit = Unit(width=6, stride=2, project=False)
    variables = unit.init(jax.random.key(0), OURS)
    variables["params"]["norm2"]["scale"] = jnp.zeros(6)
    assert np.array_equal(jax.jit(unit.apply)(variables, OURS), nhwc(MAPS)[:, ::2, ::2])


def _encoder(**changes: Any) -> StyleEncoder:
    fields: dict[str, Any] = {
        "resolution": 32,
        "widths": (4, 6, 8, 10),
        "units": (1, 1, 1, 1),
        "squeeze": 2,
        "num_styles": 8,
        "code_width": 10,
        "offsets": False,
        "centred": True,
    }
    return StyleEncoder(**{**fields, **changes})


@pytest.fixture(scope="module")
def encoder() -> tuple[StyleEncoder, Any]:
    network = _encoder()
    variables = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    return network, variables


@pytest.mark.usefixtures("quick_compilation")
def test_the_pyramid_doubles_with_corners_upon_each_other(
    encoder: tuple[StyleEncoder, Any],
) -> None:
    network, variables = encoder
    maps = [
        RNG.standard_normal((1, w, s, s)).astype(np.float32) for w, s in ((6, 8), (8, 4), (10, 2))
    ]
    zero = {
        name: jax.tree.map(jnp.zeros_like, variables["params"][name])
        for name in ("latlayer1", "latlayer2")
    }
    bare = {**variables, "params": {**variables["params"], **zero}}
    run = jax.jit(lambda v, x: network.apply(v, x, method="pyramid"))
    levels = run(bare, [jnp.asarray(nhwc(x)) for x in maps])
    twice = face_files.double(maps[2])
    for found, expected in zip(levels, (maps[2], twice, face_files.double(twice)), strict=True):
        assert_close(found, nhwc(expected))


@pytest.mark.usefixtures("quick_compilation")
def test_what_is_frozen_stands_apart(encoder: tuple[StyleEncoder, Any]) -> None:
    """A trunk is trained by ``params`` alone; its parts bear the names of the published ones."""
    network, variables = encoder
    assert set(variables) == {"params", "batch_stats", "constants"}
    parts = {"input_layer", "body", "latlayer1", "latlayer2", "styles"}
    assert set(variables["params"]) == parts
    assert set(variables["batch_stats"]) == {"input_layer", "body"}
    assert variables["constants"]["latent_avg"].shape == (8, 10)


@pytest.mark.usefixtures("quick_compilation")
def test_half_precision_computes_and_stores_float32(encoder: tuple[StyleEncoder, Any]) -> None:
    network, variables = encoder
    images = jnp.asarray(RNG.uniform(-1, 1, (1, 32, 32, 3)), jnp.float32)
    half = _encoder(dtype=jnp.bfloat16)
    kept = jax.eval_shape(half.init, jax.random.key(0), images)
    assert {leaf.dtype for leaf in jax.tree.leaves(kept)} == {jnp.dtype(jnp.float32)}
    found, exact = jax.jit(lambda v, x: (half.apply(v, x), network.apply(v, x)))(variables, images)
    assert found.dtype == jnp.float32
    error = float(jnp.abs(found - exact).max() / exact.std())
    assert 0 < error < 0.2


def test_stages_halve_the_map() -> None:
    body = Body(widths=(4, 4, 6, 6), units=(1, 2, 1, 1), iresnet=True)
    maps = jax.eval_shape(body.init_with_output, jax.random.key(0), jnp.zeros((1, 32, 32, 4)))[0]
    assert [x.shape for x in maps] == [(1, 16, 16, 4), (1, 8, 8, 4), (1, 4, 4, 6), (1, 2, 2, 6)]


def test_levels_of_the_heads() -> None:
    assert [level_of(i) for i in (0, 2, 3, 6, 7, 17)] == [0, 0, 1, 1, 2, 2]
    assert [head_depth(256, i) for i in (0, 3, 7)] == [4, 5, 6]
