"""Losses that keep the target know a true swap from a source, though its face has another shape."""

from tools.bench.measure_target_losses import measure


def test_a_true_swap_keeps_more_of_the_target_than_the_source_has() -> None:
    found = measure(pairs=16, resolution=64)
    swap, source = found["true_swap"], found["source"]
    assert swap["pose"] == 0.0 < source["pose"]
    for name, most in {"landmarks": 0.6, "expression": 0.8, "gaze": 0.4, "light": 0.4}.items():
        assert swap[name] < most * source[name], name
