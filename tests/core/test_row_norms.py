"""gᵀA⁻¹g of rows: three routes to one number, and the bound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from alteraser.data.interactions import Interactions
from alteraser.models import Objective, Problem
from alteraser.models.factorization.problem import Seeing
from alteraser.solvers.row_norms import RowNorms
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import block_solve

USERS, ITEMS, RANK = 50, 30, 10


def problem(seed: int, dtype: Any = np.float64, least: float = 1.0, **objective: Any) -> Problem:
    """Rows of 0 to 15 interactions: fewer and more than what counts as short."""
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((USERS, ITEMS)) < rng.random((USERS, 1)) * 0.5)
    ids = [list(range(n)) for n in (USERS, ITEMS)]
    pairs = list(zip(users.tolist(), items.tolist(), strict=True))
    everything = [(u, 0) for u in ids[0]] + [(0, v) for v in ids[1]] + pairs
    data = Interactions.from_pairs(sorted(set(everything)))
    data = data.keep(np.isin(data.user_rows * ITEMS + data.indices, users * ITEMS + items))
    data = replace(data, confidence=least + 5.0 * rng.random(len(data)))
    return Problem(
        Objective(**({"missing_weight": 1.0, "regularization": 0.1} | objective)), data, dtype
    )


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"missing_weight": 0.3},
        {"regularization_scaling": "frequency", "scaling_offset": 0.1},
        {"least": 0.0},
        {"missing_weighting": "popularity"},
        {"missing_weighting": "activity"},
    ],
    ids=str,
)
def test_norms_are_those_of_dense_blocks_and_bounds_are_above(
    place: int, given: dict[str, Any]
) -> None:
    made = problem(3, **given)
    rng = np.random.default_rng(5)
    P, Q = rng.standard_normal((USERS, RANK)), rng.standard_normal((ITEMS, RANK))
    side, other = (made.users, padded(Q)) if place == 0 else (made.items, padded(P))
    half = rng.standard_normal((side.rows, RANK))
    half[side.counts == 0] = 0
    norms = RowNorms(side, other, half, threads=1)
    gram, Z = side.gram(other)[:RANK, :RANK], other[:, :RANK]
    for row in side.all_rows:
        cells = slice(side.indptr[row], side.indptr[row + 1])
        seen = Z[side.indices[cells]]
        missing = side.missing_weight * side.own[row]
        weights = side.confidence[cells] - missing * (
            side.other[side.indices[cells]] if side.other.size else 1.0
        )
        A = (
            side.own[row] * gram
            + side.ridge[row] * np.eye(RANK)
            + (seen * weights[:, None]).T @ seen
        )
        g = 2.0 * half[row]
        exact = g @ np.linalg.solve(A, g) if g.any() else 0.0
        assert norms.total(np.array([row])) == pytest.approx(exact, rel=1e-9)
        assert norms.bounds[row] >= exact * (1 - 1e-9)
    together = block_solve(side, other, 2.0 * half, side.all_rows, rank=RANK, threads=1)[0]
    assert norms.total(side.all_rows) == pytest.approx(together, rel=1e-9)


def test_short_rows_of_single_precision_agree_with_factored_ones() -> None:
    made = problem(1, np.float32)
    rng = np.random.default_rng(0)
    Q = padded(rng.standard_normal((ITEMS, RANK)).astype(np.float32))
    half = rng.standard_normal((USERS, RANK))
    factored = block_solve(made.users, Q, 2.0 * half, made.users.all_rows, rank=RANK, threads=1)[0]
    assert RowNorms(made.users, Q, half, threads=1).total(made.users.all_rows) == pytest.approx(
        factored, rel=1e-4
    )


def test_a_gram_matrix_that_is_known_is_the_one_that_is_used() -> None:
    side = problem(0).users
    known = np.eye(RANK)
    seeing = Seeing(**vars(side), known=known)
    assert seeing.gram(np.zeros((ITEMS, RANK))) is known
    assert seeing.take(np.array([3, 1])).gram(np.zeros((ITEMS, RANK))) is known
    assert seeing.part(2, 5).gram(np.zeros((ITEMS, RANK))) is known
