"""What is asked of data before a run: labels where the losses need them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from alrl_jax.data import sources
from alrl_jax.data.opening import BatchRequest, known_shapes, open_batches
from alrl_jax.data.records import Layout
from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import SourceKind
from alrl_jax.errors import UserError

MakeSource = Callable[..., Any]
REQUEST = DataRequest("fake", None, 16)


def batches(*labels: str) -> BatchRequest:
    return BatchRequest("faces", 4, 0, needed_labels=labels)


@pytest.fixture
def source(make_source: MakeSource, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Unlabelled photographs, as the source `fake`."""
    made = make_source(np.arange(8))
    made.layout = Layout(16)
    made.records = made.layout.empty(8)
    made.records["identity"] = np.arange(8)
    kind = SourceKind(lambda request: made, layout=lambda request: made.layout)
    monkeypatch.setitem(sources.SOURCES, "fake", kind)
    return made


def test_losses_that_all_need_labels_refuse_data_without_them(source: Any) -> None:
    wanted = batches("landmarks", "pose_degrees")
    assert known_shapes(REQUEST, wanted) is None, "minutes of compiling before the refusal"
    with pytest.raises(UserError, match="source fake without .* of landmarks, pose_degrees, as"):
        open_batches(REQUEST, wanted)
    open_batches(REQUEST, batches()).close()
    assert known_shapes(REQUEST, batches()) is not None


def test_masks_alone_are_no_labels_of_regressions(source: Any) -> None:
    source.records["labelled"] = True
    source.records["pose_degrees"] = np.nan
    with pytest.raises(UserError, match="without labels"):
        open_batches(REQUEST, batches("pose_degrees"))


def test_one_known_label_is_enough(source: Any) -> None:
    source.records["labelled"] = True
    open_batches(REQUEST, batches("landmarks", "pose_degrees")).close()
    source.layout = Layout(16, landmarks=("nose",))
    assert known_shapes(REQUEST, batches("landmarks", "pose_degrees")) is not None
