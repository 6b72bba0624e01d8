"""The differentiated objective against the kernels' and against brute force."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from conftest import OBJECTIVES, random_factors, toy_interactions  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from alteraser.errors import InvalidInput  # noqa: E402
from alteraser.models import Objective, Problem  # noqa: E402
from alteraser.solvers.differentiable.cells import ScoredProblem, SquaredCells, SquaredRows, rows_of  # noqa: E402
from alteraser.solvers.differentiable.sparse import Pattern, combine, products  # noqa: E402
from alteraser.solvers.kernels import twins  # noqa: E402
from alteraser.solvers.stationarity import evaluate  # noqa: E402

pytestmark = pytest.mark.torch


def pattern_of(mask: np.ndarray) -> Pattern:
    indptr = np.concatenate([[0], np.cumsum(mask.sum(1))])
    return Pattern.of(indptr, np.nonzero(mask)[1], mask.shape[1])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 6), st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_sparse_operations_are_the_dense_ones(m: int, n: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((m, n)) < 0.4
    pattern = pattern_of(mask)
    a, b = (
        torch.from_numpy(rng.standard_normal((m, d))),
        torch.from_numpy(rng.standard_normal((n, d))),
    )
    dense = (a @ b.T).numpy()
    found = products(a, b, pattern)
    np.testing.assert_allclose(found.numpy(), dense[mask], atol=1e-12)
    weights = np.zeros((m, n))
    weights[mask] = found.numpy()
    np.testing.assert_allclose(combine(found, b, pattern).numpy(), weights @ b.numpy(), atol=1e-12)
    across = pattern.transposed
    assert across.shape == (n, m)
    np.testing.assert_array_equal(across.transposed.columns.numpy(), pattern.columns.numpy())


def test_sparse_operations_have_first_and_second_derivatives() -> None:
    rng = np.random.default_rng(3)
    mask = rng.random((4, 5)) < 0.5
    pattern = pattern_of(mask)
    a, b = (torch.from_numpy(rng.standard_normal((k, 3))).requires_grad_() for k in (4, 5))
    w = torch.from_numpy(rng.standard_normal(int(mask.sum()))).requires_grad_()
    for function, inputs in ((products, (a, b)), (combine, (w, b))):
        assert torch.autograd.gradcheck(lambda *x, f=function: f(*x, pattern), inputs)
        assert torch.autograd.gradgradcheck(lambda *x, f=function: f(*x, pattern), inputs)


@pytest.mark.parametrize("batch", [0, 4])
def test_squared_cells_are_the_objective(problem: Problem, batch: int) -> None:
    """Shares of a partition add up to L, and their gradients to the kernels' gradient, for a
    trained h too."""
    theta = random_factors(problem, 4, trained=True)
    here = evaluate(problem, theta)
    cells = SquaredCells(problem)
    P, Q, h = (
        torch.tensor(x, requires_grad=True) for x in (theta.users, theta.items, theta.prediction)
    )
    total = sum(cells.loss(P, Q, h, part) for part in cells.batches(batch, seed=5))
    total.backward()
    assert total.item() == pytest.approx(here.objective, rel=1e-10)
    np.testing.assert_allclose(P.grad, here.user_gradient, atol=1e-9)
    np.testing.assert_allclose(Q.grad, here.item_gradient, atol=1e-9)


def test_scored_cells_with_a_squared_link_are_the_objective_too(problem: Problem) -> None:
    theta = random_factors(problem, 4, trained=True)
    here = evaluate(problem, theta)
    dense = evaluate(
        ScoredProblem(problem.objective, problem.interactions, np.float64, link="squared"), theta
    )
    assert dense.objective == pytest.approx(here.objective, rel=1e-10)
    np.testing.assert_allclose(dense.user_gradient, here.user_gradient, atol=1e-9)
    np.testing.assert_allclose(dense.item_gradient, here.item_gradient, atol=1e-9)


@pytest.mark.parametrize("name", ["users", "items"])
@pytest.mark.parametrize("rows", [None, np.array([5, 1, 7])], ids=["all", "some"])
def test_row_batches_have_the_gradient_and_the_curvature_of_their_systems(
    problem: Problem, name: str, rows: np.ndarray | None
) -> None:
    theta = random_factors(problem, 4)
    side = getattr(problem, name)
    x, other = (theta.users, theta.items) if name == "users" else (theta.items, theta.users)
    chosen = np.arange(side.rows) if rows is None else rows
    batch = SquaredRows(side).batch(torch.from_numpy(other), rows)
    point, direction = torch.from_numpy(x[chosen]), torch.from_numpy(x[chosen][::-1].copy())
    losses, gradient, product = batch.hessian(point)
    _, again, gauss_newton = batch.gauss_newton(point)
    np.testing.assert_allclose(batch.values(point), losses, rtol=1e-12)
    constant = SquaredRows(side).constant(rows)
    value = 0.0
    for place, row in enumerate(chosen):
        A, b = twins.system(side.arrays, other, row)
        own = x[row]
        np.testing.assert_allclose(gradient[place], 2 * (A @ own - b), atol=1e-9)
        np.testing.assert_allclose(
            product(direction)[place], 2 * A @ direction[place].numpy(), atol=1e-9
        )
        value += own @ A @ own - 2 * b @ own
        alone = batch.row(place)
        assert float(alone.values(point[place : place + 1])[0]) == pytest.approx(
            float(losses[place]), rel=1e-10
        )
    np.testing.assert_allclose(gauss_newton(direction), product(direction), atol=1e-9)
    np.testing.assert_allclose(again, gradient, atol=1e-9)
    assert float(losses.sum()) - constant == pytest.approx(value, rel=1e-9, abs=1e-9)


def test_logistic_rows_are_the_cross_entropy_over_every_cell() -> None:
    objective = OBJECTIVES["popularity"]
    data = toy_interactions()
    problem = ScoredProblem(objective, data, np.float64)
    theta = random_factors(Problem(objective, data, np.float64), 3)
    losses = (
        rows_of(problem.users)
        .batch(torch.from_numpy(theta.items), None)
        .values(torch.from_numpy(theta.users))
    )
    squared = Problem(objective, data, np.float64)
    for row in range(data.shape[0]):
        own = data.indices[data.indptr[row] : data.indptr[row + 1]]
        expected = squared.users.ridge[row] * np.sum(theta.users[row] ** 2)
        for item in range(data.shape[1]):
            s = theta.users[row] @ theta.items[item]
            probability = 1 / (1 + np.exp(-s))
            if item in own:
                expected -= np.log(probability)
            else:
                expected -= (
                    objective.missing_weight * squared.users.other[item] * np.log(1 - probability)
                )
        assert float(losses[row]) == pytest.approx(expected, rel=1e-9)


def test_a_module_is_a_score_of_two_embeddings() -> None:
    """A perceptron of both embeddings: the row's gradient is that of the whole loss, by autograd on
    everything."""
    torch.manual_seed(0)
    layer = torch.nn.Sequential(
        torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)
    ).double()

    def score(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        p, q = torch.broadcast_tensors(p, q)
        return layer(torch.cat([p, q], dim=-1))[..., 0]

    data = toy_interactions()
    problem = ScoredProblem(OBJECTIVES["uniform"], data, np.float64, score=score)
    theta = random_factors(Problem(OBJECTIVES["uniform"], data, np.float64), 3)
    here = evaluate(problem, theta)
    _, users = (
        rows_of(problem.users)
        .batch(torch.from_numpy(theta.items), None)
        .gradient(torch.from_numpy(theta.users))
    )
    _, items = (
        rows_of(problem.items)
        .batch(torch.from_numpy(theta.users), None)
        .gradient(torch.from_numpy(theta.items))
    )
    np.testing.assert_allclose(users, here.user_gradient, atol=1e-9)
    np.testing.assert_allclose(items, here.item_gradient, atol=1e-9)


def test_padding_counts_as_positives_only_where_asked() -> None:
    problem = Problem(
        Objective(missing_weight=0.2, regularization=0.3), toy_interactions(), np.float64
    )
    theta = random_factors(problem, 3)
    P, Q, h = (torch.from_numpy(x) for x in (theta.users, theta.items, theta.prediction))
    pad = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)

    def total(cells: SquaredCells) -> float:
        return float(sum(cells.loss(P, Q, h, part) for part in cells.batches(4, seed=0)))

    counts = problem.users.counts
    score = theta.users @ pad.numpy()
    extra = np.sum((counts.max() - counts) * ((1 - 0.2) * score**2 - 2 * score))
    assert total(SquaredCells(problem, pad=pad)) - total(SquaredCells(problem)) == pytest.approx(
        extra
    )


def test_logistic_loss_refuses_targets_outside_its_range() -> None:
    data = toy_interactions(weighted=True)
    with pytest.raises(InvalidInput, match=r"targets in \[0, 1\]"):
        ScoredProblem(OBJECTIVES["uniform"], data)
