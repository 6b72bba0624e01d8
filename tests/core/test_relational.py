"""Linear models of several relations: value, gradient and Hessian against brute force over all
cells.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array

from alteraser import Interactions
from alteraser.errors import InvalidInput
from alteraser.models import Factors, Objective, Problem
from alteraser.models.relational import (
    Cells,
    Identity,
    LinearProblem,
    MissingWeights,
    Part,
    Point,
    Product,
    Propagation,
    Relation,
    Sparse,
    Table,
    normalized,
    stacked,
)
from alteraser.solvers import stationarity
from alteraser.solvers.relational import evaluate, hessian_product, scores
from alteraser.solvers.relational.evaluation import LinearCurvature


def sparse(rows: int, columns: int, rng: np.random.Generator, density: float = 0.4) -> csr_array:
    return csr_array(random_array((rows, columns), density=density, rng=rng, format="csr"))


def some_cells(
    rows: int, columns: int, rng: np.random.Generator, *, weighted: bool = True
) -> Cells:
    places = np.flatnonzero(rng.random(rows * columns) < 0.3)
    rng.shuffle(places)
    extra = (
        (rng.uniform(0.5, 3.0, places.size), rng.normal(1.0, 0.5, places.size)) if weighted else ()
    )
    return Cells.at(places // columns, places % columns, (rows, columns), *extra)


def a_graph(cells: Cells) -> csr_array:
    rows, columns = cells.shape
    counts = csr_array((np.ones(len(cells)), cells.indices, cells.indptr), shape=cells.shape)
    size = rows + columns
    whole = np.zeros((size, size))
    whole[:rows, rows:] = counts.toarray()
    return normalized(csr_array(whole + whole.T))


def a_problem(seed: int = 0) -> LinearProblem:
    """Every form at once: features, a graph, contexts, a table with itself, a trained h, biases and
    missing weights.
    """
    rng = np.random.default_rng(seed)
    users, items, tags = 7, 6, 4
    nodes = Table.numbered("node", users + items)
    features, labels = Table.numbered("feature", users + 3), Table.numbered("tag", tags)
    bought = some_cells(users, items, rng, weighted=False)
    walk = Propagation(a_graph(bought), layers=2)
    left, right = Part(walk, 0, users), Part(walk, users, users + items)
    contexts = sparse(9, users, rng)
    hybrid = stacked([users, sparse(users, 3, rng)])
    relations = (
        Relation("bought", "node", "node", left, right, bought, MissingWeights(0.2), 1.0),
        Relation(
            "seen",
            "feature",
            "node",
            hybrid,
            right,
            some_cells(users, items, rng),
            MissingWeights(0.1, rng.uniform(0.5, 2.0, users), rng.uniform(0.5, 2.0, items)),
            0.7,
            prediction=0.3,
        ),
        Relation(
            "tagged",
            "node",
            "tag",
            right,
            Identity(tags),
            some_cells(items, tags, rng),
            MissingWeights.popular(0.3, np.arange(tags)),
            1.5,
            biases=True,
        ),
        Relation(
            "friends",
            "feature",
            "feature",
            hybrid,
            hybrid,
            some_cells(users, users, rng),
            MissingWeights(0.05),
            0.5,
            prediction=2.0,
            biases=True,
        ),
        Relation(
            "context",
            "node",
            "node",
            Product(Sparse(contexts), left),
            right,
            some_cells(9, items, rng),
            MissingWeights(0.4),
        ),
    )
    tables = (nodes, features, labels)
    ridge = {table.name: rng.uniform(0.1, 1.0, table.rows) for table in tables}
    return LinearProblem(tables, relations, ridge, rank=3)


def dense(operator: object) -> np.ndarray:
    return np.asarray(operator.apply(np.eye(operator.shape[1])))  # type: ignore[attr-defined]


def everything(relation: Relation) -> tuple[np.ndarray, np.ndarray]:
    """(weights, targets) of all cells, dense."""
    rows, columns = relation.cells.shape
    missing = relation.missing
    a = missing.rows if missing.rows.size else np.ones(rows)
    b = missing.columns if missing.columns.size else np.ones(columns)
    weights, targets = missing.weight * np.outer(a, b), np.zeros((rows, columns))
    for row in range(rows):
        for place in range(relation.cells.indptr[row], relation.cells.indptr[row + 1]):
            column = relation.cells.indices[place]
            weights[row, column] = (
                relation.cells.confidence[place] if relation.cells.confidence.size else 1.0
            )
            targets[row, column] = (
                relation.cells.target[place] if relation.cells.target.size else 1.0
            )
    return weights, targets


def by_brute_force(problem: LinearProblem, point: Point) -> float:
    total, d = 0.0, problem.rank
    for relation in problem.relations:
        X = dense(relation.left) @ point.tables[relation.source]
        Z = dense(relation.right) @ point.tables[relation.target]
        h = point.predictions.get(relation.name, np.ones(d))
        found = (X[:, :d] * h) @ Z[:, :d].T
        if relation.biases:
            found += X[:, d][:, None] + Z[:, d][None, :]
        weights, targets = everything(relation)
        total += relation.weight * float((weights * (targets - found) ** 2).sum())
        if relation.prediction is not None:
            total += relation.prediction * float(((h - 1) ** 2).sum())
    return total + sum(
        float((problem.ridge[name] * (E**2).sum(1)).sum()) for name, E in point.tables.items()
    )


def anywhere(problem: LinearProblem, seed: int = 1) -> Point:
    return problem.point(np.random.default_rng(seed).normal(size=problem.size))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_value_is_that_of_all_cells(seed: int) -> None:
    problem = a_problem(seed)
    point = anywhere(problem, seed)
    assert evaluate(problem, point, threads=1).value == pytest.approx(
        by_brute_force(problem, point), rel=1e-11
    )


def test_gradient_is_that_of_central_differences() -> None:
    problem = a_problem()
    point = anywhere(problem)
    gradient, step = evaluate(problem, point, threads=1).gradient.vector, 1e-5
    for place in range(problem.size):
        move = np.zeros(problem.size)
        move[place] = step
        up, down = (
            by_brute_force(problem, problem.point(point.vector + s * move)) for s in (1, -1)
        )
        assert gradient[place] == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-5)


def test_hessian_is_the_change_of_the_gradient_and_symmetric() -> None:
    problem = a_problem()
    point, along, other = (anywhere(problem, seed) for seed in (1, 2, 3))
    product = hessian_product(problem, point, along, threads=1).vector
    step = 1e-5
    up, down = (
        evaluate(
            problem, problem.point(point.vector + s * step * along.vector), threads=1
        ).gradient.vector
        for s in (1, -1)
    )
    np.testing.assert_allclose(product, (up - down) / (2 * step), rtol=1e-6, atol=1e-5)
    back = hessian_product(problem, point, other, threads=1).vector
    assert product @ other.vector == pytest.approx(back @ along.vector, rel=1e-11)


def test_products_in_float32_are_those_in_float64_to_its_digits() -> None:
    problem = a_problem()
    point = anywhere(problem, 1)
    short, whole = (LinearCurvature(problem, point, dtype=x, threads=1) for x in ("f4", "f8"))
    for seed in (2, 3):  # of one point, as many as are wanted
        along = anywhere(problem, seed)
        found, wanted = (curvature @ along for curvature in (short, whole))
        assert found.vector.dtype == np.float64
        apart = np.linalg.norm(found.vector - wanted.vector)
        assert 0 < apart < 1e-5 * np.linalg.norm(wanted.vector)
        again = hessian_product(problem, point, along, threads=1).vector
        assert np.array_equal(wanted.vector, again)


@pytest.mark.torch
def test_gradient_and_hessian_are_those_of_autograd() -> None:
    torch = pytest.importorskip("torch")

    problem = a_problem()
    point, along = anywhere(problem), anywhere(problem, 2)

    def loss(vector: Any) -> Any:
        total, d, at = torch.zeros((), dtype=torch.float64), problem.rank, 0
        tables = {}
        for table in problem.tables:
            tables[table.name] = vector[at : at + table.rows * problem.width].reshape(
                table.rows, problem.width
            )
            at += table.rows * problem.width
        for relation in problem.relations:
            X = torch.from_numpy(dense(relation.left)) @ tables[relation.source]
            Z = torch.from_numpy(dense(relation.right)) @ tables[relation.target]
            scale = torch.ones(d, dtype=torch.float64)
            if relation.prediction is not None:
                scale, at = vector[at : at + d], at + d
                total = total + relation.prediction * ((scale - 1) ** 2).sum()
            found = (X[:, :d] * scale) @ Z[:, :d].T
            if relation.biases:
                found = found + X[:, d][:, None] + Z[:, d][None, :]
            weights, targets = (torch.from_numpy(x) for x in everything(relation))
            total = total + relation.weight * (weights * (targets - found) ** 2).sum()
        for name, E in tables.items():
            total = total + (torch.from_numpy(problem.ridge[name]) * (E**2).sum(1)).sum()
        return total

    where = torch.from_numpy(point.vector.copy()).requires_grad_()
    value, product = torch.autograd.functional.hvp(
        loss, where, torch.from_numpy(along.vector.copy())
    )
    (gradient,) = torch.autograd.grad(loss(where), where)
    found = evaluate(problem, point, threads=1)
    assert found.value == pytest.approx(value.item(), rel=1e-12)
    np.testing.assert_allclose(found.gradient.vector, gradient.numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        hessian_product(problem, point, along, threads=1).vector,
        product.numpy(),
        rtol=1e-9,
        atol=1e-9,
    )


@pytest.mark.parametrize("weighting", ["uniform", "popularity", "activity"])
def test_factorization_is_a_case_of_it(weighting: str) -> None:
    rng = np.random.default_rng(3)
    pairs = [(u, v) for u in range(12) for v in range(9) if rng.random() < 0.3]
    objective = Objective(
        missing_weight=0.1,
        missing_weighting=weighting,
        regularization=0.4,
        regularization_scaling="frequency",
    )
    problem = Problem(objective, Interactions.from_pairs(pairs), np.float64)
    linear = LinearProblem.factorization(problem, 4)
    point = anywhere(linear)
    factors = Factors(point.tables["user"], point.tables["item"], np.ones(4))
    expected, found = (
        stationarity.evaluate(problem, factors, threads=1),
        evaluate(linear, point, threads=1),
    )
    assert found.value == pytest.approx(expected.objective, rel=1e-14)
    np.testing.assert_allclose(
        found.gradient.tables["user"], expected.user_gradient, rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(
        found.gradient.tables["item"], expected.item_gradient, rtol=1e-12, atol=1e-12
    )


def test_threads_change_no_bit() -> None:
    rng = np.random.default_rng(5)
    size = 900
    walk = Propagation(
        csr_array(random_array((size, size), density=0.2, rng=rng, format="csr")), layers=2
    )
    E = rng.normal(size=(size, 16))
    np.testing.assert_array_equal(walk.apply(E, threads=1), walk.apply(E, threads=3))


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_propagation_is_the_mean_of_the_layers_and_its_own_adjoint(layers: int) -> None:
    cells = some_cells(7, 6, np.random.default_rng(0))
    graph = a_graph(cells)
    walk = Propagation(graph, layers)
    expected = sum(np.linalg.matrix_power(graph.toarray(), k) for k in range(layers + 1)) / (
        layers + 1
    )
    np.testing.assert_allclose(dense(walk), expected, atol=1e-14)
    np.testing.assert_allclose(dense(walk), dense(walk).T, atol=1e-14)


@pytest.mark.parametrize(
    "operator",
    [
        Identity(6),
        stacked([6, csr_array(np.arange(18.0).reshape(6, 3))]),
        stacked([6, csr_array(np.ones((2, 3)))], diagonal=True),
        Product(
            Sparse(csr_array(np.arange(8.0).reshape(2, 4))),
            Part(Sparse(csr_array(np.eye(7)[:, :6])), 1, 5),
        ),
        Part(Part(Propagation(csr_array(np.ones((9, 9))), 2), 2, 8), 1, 4),
    ],
)
def test_adjoint_and_rows_are_those_of_the_matrix(operator: object) -> None:
    matrix, rng = dense(operator), np.random.default_rng(0)
    assert matrix.shape == operator.shape  # type: ignore[attr-defined]
    G = rng.normal(size=(matrix.shape[0], 2))
    np.testing.assert_allclose(operator.adjoint(G), matrix.T @ G, atol=1e-12)  # type: ignore[attr-defined]
    wanted = np.array([1, 0])
    found = operator.rows(wanted)  # type: ignore[attr-defined]
    if found is not None:
        np.testing.assert_allclose(found.toarray(), matrix[wanted], atol=1e-12)


def test_an_isolated_node_keeps_its_own_vector_and_no_more() -> None:
    walk = Propagation(normalized(csr_array(np.diag([0.0, 0.0]) + np.zeros((2, 2)))), layers=2)
    np.testing.assert_allclose(dense(walk), np.eye(2) / 3)


def test_scores_are_what_the_loss_is_of() -> None:
    problem = a_problem()
    point = anywhere(problem)
    total = sum(
        float((problem.ridge[name] * (E**2).sum(1)).sum()) for name, E in point.tables.items()
    )
    for relation in problem.relations:
        X, Z = scores(problem, point, relation)
        weights, targets = everything(relation)
        total += relation.weight * float((weights * (targets - X @ Z.T) ** 2).sum())
        if relation.prediction is not None:
            total += relation.prediction * float(
                ((point.predictions[relation.name] - 1) ** 2).sum()
            )
    assert total == pytest.approx(evaluate(problem, point).value, rel=1e-11)


def test_what_does_not_fit_together_is_named() -> None:
    problem = a_problem()
    with pytest.raises(InvalidInput, match="cell \\(0, 1\\) is there twice"):
        Cells.at(np.array([0, 0]), np.array([1, 1]), (2, 2))
    with pytest.raises(InvalidInput, match="a cell's column is not in 0 … 1"):
        Cells.at(np.array([0]), np.array([2]), (2, 2))
    with pytest.raises(InvalidInput, match="relation bought: its cells are"):
        replace(problem.relations[0], left=Identity(3))
    with pytest.raises(InvalidInput, match="there is no table elsewhere"):
        replace(problem, relations=(replace(problem.relations[0], source="elsewhere"),))
    with pytest.raises(InvalidInput, match="table tag: a ridge of shape \\(4,\\)"):
        replace(problem, ridge=problem.ridge | {"tag": np.ones(3)})
    with pytest.raises(InvalidInput, match="a point of shape \\(2,\\)"):
        problem.point(np.zeros(2))
