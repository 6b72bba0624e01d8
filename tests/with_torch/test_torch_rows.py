"""Rows and products by PyTorch against the compiled ones: two routes to one answer, on the CPU
backend."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from conftest import random_factors  # noqa: E402

from alteraser import ENMF, Interactions  # noqa: E402
from alteraser.errors import NumericFailure  # noqa: E402
from alteraser.evidence.certificate.plain import Plain  # noqa: E402
from alteraser.models import Objective, Problem  # noqa: E402
from alteraser.solvers import AHNewton, strategy  # noqa: E402
from alteraser.solvers.rows import torch_rows  # noqa: E402
from alteraser.solvers.rows.protocol import padded  # noqa: E402
from alteraser.solvers.rows.torch_rows import TorchRows, hessian_product  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("numbers", [1, 1 << 25], ids=["a row at a time", "all at once"])
@pytest.mark.parametrize("trained", [False, True])
def test_rows_are_the_compiled_ones(
    problem: Problem, trained: bool, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_rows, "NUMBERS_AT_A_TIME", numbers)
    theta = random_factors(problem, trained=trained)
    solver = TorchRows("cpu")
    for side, mine, theirs in (
        (problem.users, theta.users, theta.items * theta.prediction),
        (problem.items, theta.items, theta.users * theta.prediction),
    ):
        for rows in (None, np.array([1, 4, 5])):
            ours, reference = padded(mine), padded(mine)
            found = solver.solve(side, padded(theirs), ours, rows, rank=theta.rank, threads=1)
            expected = AHNewton().solve(
                side, padded(theirs), reference, rows, rank=theta.rank, threads=1
            )
            np.testing.assert_allclose(ours, reference, atol=1e-9)
            assert found.rows == expected.rows
            assert found.decrement == pytest.approx(expected.decrement)
            assert found.value == pytest.approx(expected.value)


@pytest.mark.parametrize("numbers", [64, 1 << 25], ids=["in slices", "whole"])
@pytest.mark.parametrize("trained", [False, True])
def test_products_are_the_plain_ones(
    problem: Problem, trained: bool, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_rows, "NUMBERS_AT_A_TIME", numbers)
    theta = random_factors(problem, trained=trained)
    rng = np.random.default_rng(0)
    line = rng.standard_normal(theta.users.shape), rng.standard_normal(theta.items.shape)
    found = hessian_product(problem, theta, line, device="cpu")
    expected = Plain(problem.objective, problem.interactions, theta).product(line)
    for ours, plain in zip(found, expected, strict=True):
        np.testing.assert_allclose(2 * ours, plain, atol=1e-9)


def test_it_trains_like_the_exact_solver() -> None:
    data = Interactions.from_pairs([(u, v) for u in range(12) for v in range(u % 3, 10, 3)])
    settings = {
        "factors": 2,
        "missing_weight": 0.2,
        "regularization": 0.3,
        "dtype": "float64",
        "tolerance": 1e-9,
    }
    ours, exact = (ENMF(solver=name, **settings).fit(data) for name in ("torch", "ah-newton"))  # type: ignore[arg-type]
    assert strategy("torch").name == "torch"
    np.testing.assert_allclose(
        ours.factors.users @ ours.factors.items.T,
        exact.factors.users @ exact.factors.items.T,
        atol=1e-7,
    )


def test_a_singular_row_is_named() -> None:
    problem = Problem(
        Objective(missing_weight=0.0, regularization=0.0),
        Interactions.from_pairs([(0, 0), (1, 0)]),
        np.float64,
    )
    theta = random_factors(problem, 3)
    with pytest.raises(NumericFailure, match=r"user row\(s\) have no solution; the first is row 0"):
        TorchRows("cpu").solve(
            problem.users, padded(theta.items), padded(theta.users), None, rank=3, threads=1
        )
