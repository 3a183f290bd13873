"""A page's desk over a stand-in for the model, and sessions of users."""

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alrl_jax.app import pictures
from alrl_jax.app.desk import Asked, Desk
from alrl_jax.app.models import Opened, Shelf
from alrl_jax.app.sessions import Session, Sessions
from alrl_jax.utils import hashing
from tests.support.fakes import FakeSwapper
from tests.support.photo_files import noise

NAME = "models/fake"
ASKED = Asked(NAME, detail=0.0)
_IMAGES = re.compile(r'src="data:image/png;base64,([^"]+)"')


def scene(seed: int) -> np.ndarray:
    """What stands in for a rendered face: the renderer takes seconds to compile."""
    side = pictures.SCENE_SIDE
    return (noise(1000 + seed, (side, side)).astype(np.float32) / 127.5) - 1


def make_desk(monkeypatch: pytest.MonkeyPatch, model: Any = None) -> Desk:
    """A desk over one model."""
    monkeypatch.setattr(pictures, "scene", scene)
    model = FakeSwapper() if model is None else model
    return Desk(Shelf([Opened(NAME, model, hashing.variables_sha256(model.variables))]))


def make_session(desk: Desk, folder: Path, key: str = "one", seed: int = 1) -> Session:
    """A session that agreed, with two invented people."""
    folder.mkdir(exist_ok=True)
    session = Sessions(folder).of(key)
    session.agreed = True
    desk.invent(session, "source", seed)
    desk.invent(session, "target", seed + 1)
    return session


def images_in(html: str, folder: Path) -> list[Path]:
    """The pictures that stand in a page, as files."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number, data in enumerate(_IMAGES.findall(html)):
        paths.append(folder / f"shown_{number}.png")
        paths[-1].write_bytes(base64.b64decode(data))
    return paths


def upload(folder: Path, name: str, seed: int = 7) -> Path:
    """A photo as the server leaves it."""
    path = folder / "uploads" / name
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(noise(seed, (32, 32))).save(path)
    return path
