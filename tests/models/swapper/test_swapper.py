"""What a swap replaces: the face, or the head that has to turn with it."""

import jax
import jax.numpy as jnp
import numpy as np

from alrl_jax.models.build import build_swapper
from alrl_jax.models.swapper.blend import blend_mask
from alrl_jax.models.swapper.encoder import NUM_PARSING_CLASSES, FaceEncoding
from alrl_jax.models.swapper.pair_codes import FROM_SOURCE
from alrl_jax.models.swapper.swapper import Swapper
from alrl_jax.storage.model_directory import read_meta
from alrl_jax.types import LatentCodes
from alrl_jax.worlds import primitives

SIDE = 16
COLUMNS = {"background": 6, "skin": 2, "hair": 2, "cloth": 6}
"""What the columns of the image below show, from the left."""
SEEN = [name for name, count in COLUMNS.items() for _ in range(count)]
FACE = np.array([name == "skin" for name in SEEN])
REGION = np.tile(np.where(FACE, np.float32(4), np.float32(-4)), (1, SIDE, 1))[..., None]


def _swapper(head_labels: tuple[int, ...]) -> Swapper:
    values = read_meta("embedded/swapper_64")["config"]
    return build_swapper({**values, "swap": {**values["swap"], "head_labels": head_labels}})


def _replaced(head_labels: tuple[int, ...], **overrides: int) -> np.ndarray:
    classes = jnp.asarray([primitives.PARSING_LABELS.index(name) for name in SEEN])
    parsing = 10.0 * jax.nn.one_hot(classes, NUM_PARSING_CLASSES)
    parsing = jnp.broadcast_to(parsing, (1, SIDE, SIDE, NUM_PARSING_CLASSES))
    codes = LatentCodes(jnp.zeros((1, 4, 4, 1)), jnp.zeros((1, 2, 1)))
    encoding = FaceEncoding(codes, jnp.asarray(REGION), parsing)
    swapper = _swapper(head_labels)
    return np.asarray(swapper.replaced(encoding, swapper.overrides(overrides)))


def test_a_head_turns_as_a_whole() -> None:
    replaced = _replaced(primitives.HEAD_LABELS, pose=FROM_SOURCE)
    wide = np.convolve([name in ("skin", "hair") for name in SEEN], [1, 1, 1], "same") > 0
    np.testing.assert_array_equal(replaced[0, ..., 0] > 0, np.broadcast_to(wide, (SIDE, SIDE)))


def test_nothing_but_the_face_is_replaced_otherwise() -> None:
    np.testing.assert_array_equal(_replaced(primitives.HEAD_LABELS), REGION)
    np.testing.assert_array_equal(_replaced((), pose=FROM_SOURCE), REGION)


def test_the_mask_is_the_union_of_both_regions() -> None:
    swapper = _swapper(())
    generated, target = jnp.ones((1, SIDE, SIDE, 3)), -jnp.ones((1, SIDE, SIDE, 3))
    wider = np.roll(REGION, 3, axis=2)
    image, mask = swapper.finish({}, generated, target, jnp.asarray(REGION), jnp.asarray(wider))
    regions = (jax.nn.sigmoid(jnp.asarray(x)) for x in (REGION, wider))
    np.testing.assert_allclose(mask, blend_mask(*regions, swapper.feather), atol=1e-6)
    np.testing.assert_allclose(image, 2.0 * mask * jnp.ones(3) - 1.0, atol=1e-6)
