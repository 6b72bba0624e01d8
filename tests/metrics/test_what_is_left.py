"""Re-predict and the gap left."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.errors import InvalidInput
from alteraser.metrics import forgetting as implementation
from alteraser.metrics import gap_left, re_predict


class Triple(NamedTuple):
    users: np.ndarray
    items: np.ndarray
    prediction: np.ndarray


@settings(deadline=None)
@given(
    m=st.integers(1, 8),
    n=st.integers(1, 8),
    d=st.integers(1, 5),
    cells=st.integers(1, 30),
    chunk=st.integers(1, 9),
    seed=st.integers(0, 1000),
)
def test_re_predict_is_the_mean_of_dense_scores(
    m: int, n: int, d: int, cells: int, chunk: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    theta = Triple(*(rng.standard_normal(shape) for shape in ((m, d), (n, d), d)))
    u, v = rng.integers(0, m, cells), rng.integers(0, n, cells)
    expected = (theta.users @ np.diag(theta.prediction) @ theta.items.T)[u, v].mean()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(implementation, "CELLS_AT_A_TIME", chunk)
        assert re_predict(theta, u, v) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_re_predict_accumulates_in_float64() -> None:
    # (1 + 2⁻¹²)² = 1 + 2⁻¹¹ + 2⁻²⁴, whose last term float32 drops
    theta = Triple(*(np.array(x, np.float32) for x in ([[1 + 2**-12]], [[1 + 2**-12]], [1])))
    assert re_predict(theta, np.zeros(3, int), np.zeros(3, int)) == 1 + 2**-11 + 2**-24


CELLS = {"user_rows": np.array([0, 1]), "item_rows": np.array([2, 0])}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"user_rows": [], "item_rows": []}, "user_rows is empty, expected at least one cell"),
        (
            {"user_rows": [0]},
            r"user_rows have shape \(1,\) and item_rows \(2,\), expected \(N,\) twice: give",
        ),
        ({"user_rows": [[0, 1]], "item_rows": [[0, 1]]}, r"expected \(N,\) twice"),
        (
            {"user_rows": [0, 2]},
            "user_rows runs from 0 to 2, expected rows 0 to 1 of the model: leave out",
        ),
        ({"item_rows": [0, 3]}, "item_rows runs from 0 to 3, expected rows 0 to 2"),
        ({"item_rows": [-1, 0]}, "item_rows runs from -1 to 0, expected rows 0 to 2"),
        ({"item_rows": [0.0, 1.0]}, "item_rows holds float64, expected integers: translate ids"),
    ],
)
def test_re_predict_refuses(change: dict[str, Any], words: str) -> None:
    theta = Triple(np.ones((2, 2)), np.ones((3, 2)), np.ones(2))
    with pytest.raises(InvalidInput, match=words):
        re_predict(theta, **{**CELLS, **change})


OBJECTIVE = st.floats(-1e6, 1e6)


@given(best=OBJECTIVE, gap=st.floats(1e-3, 1e6), share=st.floats(-2, 2))
def test_gap_left_is_the_share_that_was_made_up(best: float, gap: float, share: float) -> None:
    original, unlearned = best + gap, best + share * gap
    rounding = 4 * np.spacing(max(abs(best), abs(original), abs(unlearned))) / gap
    assert gap_left(unlearned, original, best) == pytest.approx(share, abs=10 * rounding + 1e-12)
    assert gap_left(original, original, best) == 1.0
    assert gap_left(best, original, best) == 0.0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            (1.0, 2.0, 2.0),
            "objective_original is 2.0, expected more than objective_retrained, 2.0: retrain",
        ),
        ((1.0, 2.0, 3.0), "objective_original is 2.0, expected more"),
        ((float("nan"), 2.0, 1.0), "objective_unlearned is nan, expected a finite number"),
        ((1.0, float("inf"), 1.0), "objective_original is inf, expected a finite"),
        ((1.0, 2.0, float("-inf")), "objective_retrained is -inf, expected a finite"),
    ],
)
def test_gap_left_refuses(values: tuple[float, float, float], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        gap_left(*values)
