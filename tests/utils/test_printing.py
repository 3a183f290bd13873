"""Cells of tables that a spreadsheet would compute."""

import pytest

from alrl_jax.utils.printing import no_formula


@pytest.mark.parametrize("text", ["=1+2", "+x", "-x", "@sum(a)", "\t=1", "\r=1", "＝1+2"])
def test_formulas_are_texts(text: str) -> None:
    assert no_formula(text) == f"./{text}"
    assert no_formula(text, "'") == f"'{text}"


@pytest.mark.parametrize("value", ["a=1", "-1", "+3.5", "-1e-3", "", "./=1", 7, None])
def test_other_cells_stay(value: object) -> None:
    assert no_formula(value) == value
