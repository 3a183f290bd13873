"""What models say to images and codes that they cannot take."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.errors import UserError
from alrl_jax.loading.checking import check_codes, check_images, check_label, check_pair

FACES = np.zeros((2, 8, 8, 3), np.float32)

IMAGES: dict[str, tuple[Callable[[], Any], str]] = {
    "0 to 255": (lambda: FACES + 200, "values from 200 to 200; .* divide those from 0 to 255"),
    "bytes": (lambda: FACES.astype(np.uint8), "type uint8"),
    "whole numbers": (lambda: FACES.astype(int), "type int64"),
    "no batch": (lambda: FACES[0], r"add a batch axis: images\[None\]"),
    "channels first": (lambda: FACES.transpose(0, 3, 1, 2), "move the channels to the end"),
    "grey": (lambda: FACES[..., :1], r"shape \[2, 8, 8, 1\]; expected \[n, 8, 8, 3\]"),
    "size": (lambda: FACES[:, :4], "resize them to 8 px"),
    "none": (lambda: FACES[:0], r"shape \[0, 8, 8, 3\]"),
    "list": (lambda: FACES.tolist(), "a list; expected an array"),
    "NaN": (lambda: FACES + np.nan, "values from nan to nan"),
    "of jax": (lambda: jnp.asarray(FACES) + 100.0, "values from 100"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_that_are_none(name: str) -> None:
    make, message = IMAGES[name]
    images = jax.block_until_ready(make())
    with pytest.raises(UserError, match=message) as error:
        check_images(images, 8)
    assert "\n" not in str(error.value)


def test_images_that_are_some() -> None:
    check_images(FACES, 8)
    check_images(FACES + 1.4, 8)
    check_images(FACES[:, :4])
    jax.jit(lambda x: check_images(x, 8))(FACES)


def test_pairs_have_as_many_of_each() -> None:
    with pytest.raises(UserError, match="1 images as source and 2 as target"):
        check_pair(FACES[:1], FACES, 8)
    with pytest.raises(UserError, match="got target with values from 5"):
        check_pair(FACES, FACES + 5, 8)


def test_codes_and_labels_of_another_generator() -> None:
    codes = np.zeros((2, 6, 16), np.float32)
    check_codes(codes, "ws", 16, "[n, 6, 16]", 6)
    for wrong in (codes[:, :5], codes[..., :8], codes[0]):
        with pytest.raises(UserError, match=r"expected \[n, 6, 16\], as this generator has"):
            check_codes(wrong, "ws", 16, "[n, 6, 16]", 6)
    check_label(None, 0, 2)
    check_label(np.eye(2), 2, 2)
    with pytest.raises(UserError, match="shape none; expected"):
        check_label(None, 2, 2)
