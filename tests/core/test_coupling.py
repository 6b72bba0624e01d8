"""Entities that share rows: the preconditioner against the Hessian where it is exact, and what it
is for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array, hstack

from alteraser.models.relational import (
    Cells,
    Identity,
    LinearProblem,
    MissingWeights,
    Product,
    Relation,
    Sparse,
    Table,
)
from alteraser.solvers.kernels.joint import back_solve_rows, half_solve_rows, solve_rows
from alteraser.solvers.relational import Goal, Preconditioner, hessian_product, minimize
from alteraser.solvers.relational import coupling as coupling_module
from alteraser.solvers.rows.protocol import aligned_empty

USERS, DAYS, PLACES, ITEMS = 6, 3, 4, 8


def in_contexts(
    seed: int, *, even: bool = False, rank: int = 3, biases: bool = False
) -> LinearProblem:
    """Rows that are a user, a day and a place; ``even``: every cell weighs the same."""
    rng = np.random.default_rng(seed)
    rows = np.array(
        [
            (u, rng.integers(DAYS), rng.integers(PLACES))
            for u in range(USERS)
            for _ in range(rng.integers(2, 5))
        ]
    )
    parts = [
        csr_array((np.ones(len(rows)), (np.arange(len(rows)), rows[:, k])), shape=(len(rows), size))
        for k, size in enumerate((USERS, DAYS, PLACES))
    ]
    A = csr_array(hstack(parts, format="csr"))
    places = np.flatnonzero(rng.random(len(rows) * ITEMS) < 0.3)
    cells = Cells.at(
        places // ITEMS,
        places % ITEMS,
        (len(rows), ITEMS),
        np.full(places.size, 0.2) if even else rng.uniform(0.5, 2.0, places.size),
        rng.normal(1.0, 0.3, places.size),
    )
    size = USERS + DAYS + PLACES
    relation = Relation(
        "used",
        "user",
        "item",
        Sparse(A),
        Identity(ITEMS),
        cells,
        MissingWeights(0.2),
        biases=biases,
    )
    return LinearProblem(
        (Table.numbered("user", size), Table.numbered("item", ITEMS)),
        (relation,),
        {"user": rng.uniform(0.02, 0.1, size), "item": np.full(ITEMS, 0.05)},
        rank,
    )


def both(problem: LinearProblem, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(M⁻¹, the Hessian) in the rows of the users' table, dense."""
    point = problem.random(seed)
    count = problem.width * problem.tables[0].rows
    M, units = Preconditioner(problem, point, 1), np.eye(problem.size)[:count]
    inverse = np.column_stack([M(unit)[:count] for unit in units])
    hessian = np.column_stack(
        [hessian_product(problem, point, problem.point(unit)).vector[:count] for unit in units]
    )
    return inverse, hessian


@pytest.mark.parametrize("form", ["sparse", "product"])
def test_it_is_the_hessian_where_rows_are_all_alike(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coupling_module, "TRUST", 1.0)
    monkeypatch.setattr(coupling_module, "STEP", 1.001)
    problem = in_contexts(0, even=True)
    if form == "product":
        relation = problem.relations[0]
        product = Product(relation.left, Identity(relation.left.shape[1]))
        problem = replace(problem, relations=(replace(relation, left=product),))
    inverse, hessian = both(problem)
    np.testing.assert_allclose(inverse @ hessian, np.eye(len(hessian)), atol=0.02)


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("limit", ["none", "words", "work", "room"])
def test_it_is_symmetric_and_above_zero(
    limit: str, biases: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if limit == "words":
        monkeypatch.setattr(coupling_module, "WORDS", 2)
    if limit == "work":
        monkeypatch.setattr(coupling_module, "WORK", 0.0)
    if limit == "room":
        module = "alteraser.solvers.relational.preconditioner.room_for"
        monkeypatch.setattr(module, lambda *_: False)
    inverse, _ = both(in_contexts(1, biases=biases))
    np.testing.assert_allclose(inverse, inverse.T, rtol=1e-3, atol=1e-4 * np.abs(inverse).max())
    assert np.linalg.eigvalsh((inverse + inverse.T) / 2).min() > 0


def test_without_trust_every_entity_is_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coupling_module, "TRUST", 0.0)
    problem = in_contexts(2)
    inverse, hessian = both(problem)
    for entity in range(USERS + DAYS + PLACES):
        at = slice(entity * problem.width, (entity + 1) * problem.width)
        np.testing.assert_allclose(inverse[at, at] @ hessian[at, at], np.eye(3), atol=1e-3)
    off = inverse.copy()
    for entity in range(USERS + DAYS + PLACES):
        at = slice(entity * problem.width, (entity + 1) * problem.width)
        off[at, at] = 0.0
    np.testing.assert_allclose(off, 0.0, atol=1e-5)


def spread(inverse: np.ndarray, hessian: np.ndarray) -> float:
    values = np.linalg.eigvals(inverse @ hessian).real
    return float(values.max() / values.min())


@pytest.mark.parametrize("seed", range(4))
def test_what_only_the_penalty_holds_is_no_longer_slow(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adding to all users what is taken from all days: of the condition number little is left."""
    problem = in_contexts(seed)
    coupled = spread(*both(problem))
    monkeypatch.setattr(coupling_module, "TRUST", 0.0)
    assert coupled < 0.3 * spread(*both(problem))


def test_it_leads_to_the_same_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = in_contexts(3)
    found = minimize(problem, problem.random(0), Goal(), threads=1)
    assert found.converged
    monkeypatch.setattr(coupling_module, "TRUST", 0.0)
    slow = minimize(problem, problem.random(0), Goal(), threads=1)
    assert found.value == pytest.approx(slow.value, rel=1e-9)
    assert found.passes + found.products < slow.passes + slow.products


def test_halves_of_a_solve_are_a_solve() -> None:
    from alteraser.solvers.kernels.joint import _pack, packed_size

    rng = np.random.default_rng(0)
    d, rows = 16, np.arange(3)
    U = aligned_empty((3, packed_size(d)), np.float64)
    for i in rows:
        B = rng.normal(size=(d, d))
        _pack(np.linalg.cholesky(B @ B.T + d * np.eye(d)).T.copy(), U[i])
    right = rng.normal(size=(3, d))
    half, whole, back = (np.empty_like(right) for _ in range(3))
    half_solve_rows(rows, U, right, half)
    back_solve_rows(rows, U, half, back)
    solve_rows(rows, U, right, whole)
    np.testing.assert_allclose(back, whole, rtol=1e-12)
    # (L⁻¹ r)·(L⁻¹ r) = r·A⁻¹ r
    energies: Any = np.einsum("ik,ik->i", half, half)
    np.testing.assert_allclose(energies, np.einsum("ik,ik->i", right, whole), rtol=1e-12)
