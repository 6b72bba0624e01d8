"""Columns that a model has discarded: a saddle that no gradient shows is left, and is no optimum to
a certificate.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alteraser.evidence.certificate.relational import PlainLinear, certify
from alteraser.models.relational import LinearProblem, Point
from alteraser.solvers.limits import Limits
from alteraser.solvers.relational import Goal, evaluate, hessian_product, minimize, scores
from alteraser.solvers.relational.collapse import critical_share
from alteraser.solvers.relational.discarded import _Form, escape

from test_relational import a_problem  # isort: skip
from test_relational_solver import on_a_graph  # isort: skip

FORMS = {
    "graph": on_a_graph(1, 2, ridge=0.2),
    "no graph": on_a_graph(2, 0, ridge=0.3),
    "several relations": replace(
        a_problem(),
        relations=tuple(replace(x, prediction=None, biases=False) for x in a_problem().relations),
    ),
    "biases": replace(
        a_problem(), relations=tuple(replace(x, prediction=None) for x in a_problem().relations)
    ),
    "h of their own": a_problem(),
}


def with_nothing(problem: LinearProblem) -> tuple[LinearProblem, Point]:
    """A problem of one column more, and the optimum of the other beside zeros."""
    found = minimize(problem, problem.random(0), Goal(Limits(distance=1e-9)), threads=1).point
    wider, rank = replace(problem, rank=problem.rank + 1), problem.rank
    point = wider.point(np.zeros(wider.size))
    for name, E in point.tables.items():
        E[:, :rank], E[:, rank + 1 :] = found.tables[name][:, :rank], found.tables[name][:, rank:]
    for name, h in point.predictions.items():
        h[:] = [*found.predictions[name], 1.0]
    return wider, point


def narrow(name: str, rank: int = 1) -> tuple[LinearProblem, Point]:
    return with_nothing(replace(FORMS[name], rank=rank))


@pytest.mark.parametrize("name", FORMS)
def test_the_form_is_the_hessian_in_a_column_of_nothing(name: str) -> None:
    """And what L gains is that form and a fourth power, to the last digit."""
    problem, point = narrow(name)
    for h in point.predictions.values():
        h[-1] = 1.7  # which L does not see as long as the column is zeros, but for its penalty
    axis = np.eye(problem.rank)[-1]
    rows = sum(table.rows for table in problem.tables)
    column = np.random.default_rng(0).normal(size=rows)
    along, at = problem.point(np.zeros(problem.size)), 0
    for E in along.tables.values():
        E[:, problem.rank - 1], at = column[at : at + len(E)], at + len(E)
    ridge = np.concatenate([problem.ridge[table.name] for table in problem.tables])
    form = _Form(problem, point, axis, 1)
    square = float(ridge @ column**2 + column @ form.pulled(column))
    bent = float(along.vector @ hessian_product(problem, point, along).vector)
    assert square == pytest.approx(bent / 2.0, rel=1e-9)
    before, after = (
        evaluate(problem, problem.point(point.vector + t * along.vector)).value for t in (0.0, 0.7)
    )
    expected = 0.49 * square + 0.7**4 * form.fourth(column)
    assert after - before == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", FORMS)
def test_a_saddle_is_left_and_refused(name: str) -> None:
    problem, point = narrow(name)
    size = float(np.linalg.norm(point.vector))
    assert np.linalg.norm(evaluate(problem, point).gradient.vector) < 1e-5 * size
    found = escape(problem, point, threads=1)
    assert found is not None
    value = evaluate(problem, point).value
    assert evaluate(problem, problem.point(point.vector + found.step)).value < value
    # the certificate's own arithmetic sees it as well, as deep at least
    curvature, away = PlainLinear(problem).saddle(point)
    assert curvature < 0 < away
    sides = scores(problem, point, problem.relations[0])
    refused = certify(problem, point, sides, sides)
    assert refused.kind == "D"
    assert next(x.name for x in refused.checks if not x.passed) == "curvature"
    # from there the way goes on, to what a start at random finds
    there = minimize(problem, point, Goal(Limits(distance=1e-8)), threads=1)
    anew = min(
        minimize(problem, problem.random(s), Goal(Limits(distance=1e-8)), threads=1).value
        for s in range(3)
    )
    assert there.converged
    assert there.value < value
    assert there.value == pytest.approx(anew, rel=1e-9)


@pytest.mark.parametrize("name", ["graph", "no graph", "several relations", "biases"])
def test_a_column_too_many_is_left_where_it_is(name: str) -> None:
    """With enough of them, an optimum leaves some at nothing, and nothing is found beside it."""
    problem, point = narrow(name, rank=12)
    assert escape(problem, point, threads=1) is None
    assert PlainLinear(problem).saddle(point) == (0.0, 0.0)


@pytest.mark.parametrize("share", [1.01, 1.3, 100.0])
def test_a_model_that_shrinks_is_nothing_at_the_end(share: float) -> None:
    """Just above the penalty from which on zeros are the least, as well as far above it."""
    problem = on_a_graph(1, 2, ridge=1.0)
    least = critical_share(problem)
    assert least is not None
    ridge = {name: share * least * x for name, x in problem.ridge.items()}
    found = minimize(
        replace(problem, ridge=ridge), problem.random(0), Goal(max_passes=2_000), threads=1
    )
    assert found.converged
    assert found.valley
    assert not np.any(found.point.vector)
    assert found.distance == 0.0


def test_zeros_are_a_saddle_where_the_penalty_does_not_outweigh_the_data() -> None:
    problem = on_a_graph(1, 2, ridge=0.2)
    zeros = problem.point(np.zeros(problem.size))
    found = escape(problem, zeros, threads=1)
    assert found is not None
    heavy = replace(problem, ridge={name: 1e3 * x for name, x in problem.ridge.items()})
    assert escape(heavy, zeros, threads=1) is None
    assert minimize(problem, zeros, Goal(), threads=1).value < evaluate(problem, zeros).value
