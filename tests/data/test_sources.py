"""The table of sources, and the synthetic one with the real renderer."""

from pathlib import Path

import jax
import numpy as np
import pytest

from alrl_jax.data.pipeline import make_iterator
from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import SOURCES, open_source
from alrl_jax.data.world_faces import DRAWS_ALIKE, code_alone, renderer_version, world_plan
from alrl_jax.errors import UserError
from alrl_jax.utils.user_cache import cache_directory
from alrl_jax.worlds import primitives


def test_synthetic_records_are_the_rendered_faces() -> None:
    source = open_source(
        DataRequest("synthetic", None, 16, 2, 3, split="development", progress=False)
    )
    assert len(source) == 6 and source.identities.tolist() == [0, 0, 0, 1, 1, 1]
    key = primitives.split_key("development")
    people = primitives.sample_identities(key, 2)
    attributes = primitives.sample_attributes(key, 6)
    twice = jax.tree.map(lambda x: x[np.array([0, 0, 0, 1, 1, 1])], people)
    rendering = primitives.render(twice, attributes, 16)
    for i in range(6):
        record = source[i]
        assert record["labelled"] and record["identity"] == i // 3 and record["index"] == i
        expected = (rendering.image[i] + 1) * 127.5
        np.testing.assert_allclose(record["image"], expected, atol=0.51)
        np.testing.assert_array_equal(record["parsing"], rendering.parsing[i])
        np.testing.assert_array_equal(record["landmarks"], rendering.landmarks[i])
        np.testing.assert_array_equal(record["pose_degrees"], rendering.pose_degrees[i])
        vector = primitives.identity_vector(people)[i // 3]
        np.testing.assert_allclose(record["identity_factors"], vector, atol=1e-6)
        vector = primitives.attribute_vector(attributes)[i]
        np.testing.assert_allclose(record["attribute_factors"], vector, atol=1e-6)


def test_synthetic_is_prepared_once_for_every_set_of_parameters() -> None:
    def open_two(resolution: int, split: str) -> None:
        open_source(DataRequest("synthetic", None, resolution, 1, 2, split=split, progress=False))

    open_two(16, "train")
    (first,) = cache_directory().iterdir()
    stamps = {path: path.stat().st_mtime_ns for path in first.iterdir()}
    open_two(16, "train")
    assert {path: path.stat().st_mtime_ns for path in first.iterdir()} == stamps
    open_two(16, "test")
    assert len(list(cache_directory().iterdir())) == 2


def test_prepared_reads_what_synthetic_wrote(tmp_path: Path) -> None:
    written = open_source(DataRequest("synthetic", tmp_path / "data", 16, 2, 2, progress=False))
    source = open_source(DataRequest("prepared", tmp_path / "data", 16))
    rows = np.arange(4)
    np.testing.assert_array_equal(source.read(rows), written.read(rows))
    batch = next(make_iterator(source, "pairs", 2, 0))
    assert batch.target.labelled.all()
    with pytest.raises(UserError, match="got resolution 32 .*expected 16"):
        open_source(DataRequest("prepared", tmp_path / "data", 32))
    with pytest.raises(UserError, match="num_identities=3 where it has 2"):
        open_source(DataRequest("synthetic", tmp_path / "data", 16, 3, 2, progress=False))


def test_the_renderer_is_part_of_the_key() -> None:
    plan = world_plan(DataRequest("synthetic", None, 16, 1, 1))
    version = renderer_version()
    assert plan.parameters["renderer_version"] == DRAWS_ALIKE.get(version, version)
    covered = world_plan(DataRequest("synthetic", None, 16, 1, 1, cover_share=0.5))
    assert covered.parameters["renderer_version"] == version
    code = 'A = 1\n"""Of A."""\ndef f(x):\n    """Twice."""\n    return x * 2\n'
    prose = 'A   = 1 # one\n"""Of it."""\n\ndef f(x):\n    """Doubles."""\n\n    return (x*2)\n'
    assert code_alone(code) == code_alone(prose)
    assert code_alone(code) != code_alone(code.replace("x * 2", "x * 3"))


@pytest.mark.parametrize("name", ["prepared", "folder", "tfds"])
def test_a_path_is_asked_for(name: str) -> None:
    with pytest.raises(UserError, match="data.path=None"):
        open_source(DataRequest(name, None, 16))


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=f"'webcam'; expected one of .*{', '.join(map(repr, SOURCES))}"
    ):
        open_source(DataRequest("webcam", None, 16))
    with pytest.raises(UserError, match="data.num_identities=0"):
        open_source(DataRequest("synthetic", None, 16, 0, 2))
    with pytest.raises(UserError, match="split 'holdout'"):
        open_source(DataRequest("synthetic", None, 16, 1, 2, split="holdout"))
    with pytest.raises(UserError, match="no dataset.json"):
        open_source(DataRequest("prepared", tmp_path, 16))
