"""The share of the penalty from which on zeros are a minimum of a linear problem: against a dense
Hessian, the rule of matrix factorization, and where training ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import toy_interactions

from alteraser.models import Objective, Problem
from alteraser.models.relational import LinearProblem
from alteraser.models.relational.lightgcn import LinearLightGCN
from alteraser.solvers.collapse import critical_regularization
from alteraser.solvers.relational import Goal, hessian_product, minimize
from alteraser.solvers.relational.collapse import DIGITS, critical_share


def test_of_a_factorization_it_is_the_critical_penalty() -> None:
    data = toy_interactions(20, 15, 0.3, lonely=False)
    problem = Problem(Objective(missing_weight=0.1, regularization=0.7), data, np.float64)
    wanted = critical_regularization(problem) / 0.7
    found = critical_share(LinearProblem.factorization(problem, 3))
    assert found == pytest.approx(wanted, rel=2 * DIGITS)


@pytest.mark.parametrize("layers", [1, 2])
def test_zeros_are_a_minimum_from_there_on_and_training_ends_in_them(layers: int) -> None:
    data = toy_interactions(20, 15, 0.3, lonely=False)
    kind = LinearLightGCN(factors=2, layers=layers, missing_weight=0.1, regularization=0.5)
    problem = kind.problem(data)
    share = critical_share(problem)
    assert share is not None
    for factor, zeros in ((1.05, True), (0.9, False)):
        ridge = {name: x * share * factor for name, x in problem.ridge.items()}
        scaled = replace(problem, ridge=ridge)
        nothing = scaled.point(np.zeros(scaled.size))
        hessian = np.column_stack(
            [
                hessian_product(scaled, nothing, scaled.point(unit)).vector
                for unit in np.eye(scaled.size)
            ]
        )
        assert bool(np.linalg.eigvalsh(hessian).min() > 0) is zeros
        found = minimize(scaled, scaled.random(0), Goal(), threads=1)
        assert bool(np.abs(found.point.vector).max() < 1e-6) is zeros
