import numpy as np

from tools.bench.measure_references import rates


def test_errors_by_threshold() -> None:
    """Of four people one is missed from .6 on, and one pair of strangers of twelve is as near."""
    cosines = np.full((4, 4), 0.12)
    np.fill_diagonal(cosines, [0.9, 0.9, 0.9, 0.58])
    cosines[0, 1] = 0.7
    found = rates(cosines)
    table = {least: errors for least, *errors in found["thresholds"]}  # type: ignore[union-attr]
    assert table[0.5] == [0.0, round(1 / 12, 4)] and table[0.6] == [0.25, round(1 / 12, 4)]
    assert table[0.75] == [0.25, 0.0] and table[0.1] == [0.0, 1.0]
    assert found["strangers"][1] == 0.12  # type: ignore[index]
