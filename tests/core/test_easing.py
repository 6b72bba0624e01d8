"""Confidences over many orders of magnitude: what is left of a heavy cell, and that steps get there
with it."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import toy_interactions

from alteraser import ENMF, forget
from alteraser.data.interactions import Interactions
from alteraser.models import Factors, Objective, Problem
from alteraser.solvers.easing import eased_confidence, is_wide
from alteraser.solvers.joint import Joint
from alteraser.solvers.rows.protocol import padded
from alteraser.verbs.verify import verify


def spread(decades: float) -> Interactions:
    data = toy_interactions(20, 14, 0.5, seed=2, lonely=False)
    c = 10 ** np.random.default_rng(1).uniform(0, decades, len(data))
    return Interactions._assemble(
        data.users,
        data.items,
        data.user_rows,
        data.indices.astype(np.int64),
        c,
        None,
        None,
        "refuse",
    )


def test_what_is_left_is_what_the_schur_complement_has_on_its_diagonal() -> None:
    """Two routes: solves with the packed blocks, and the blocks written out and inverted."""
    data = spread(6)
    problem = Problem(Objective(missing_weight=0.3, regularization=0.7), data, np.float64)
    start = Factors.random(*data.shape, 3, seed=0, dtype=np.float64)
    P, Q = padded(start.users), padded(start.items)
    joint = Joint(problem, P, Q, start.prediction, 1)
    joint.settle()
    found = eased_confidence(problem.users, joint.Q, joint.users.factors)
    assert joint.eased
    assert joint.light is not None
    gram = 0.3 * joint.Q.T @ joint.Q
    for u in range(data.shape[0]):
        cells = slice(data.indptr[u], data.indptr[u + 1])
        Z, c = joint.Q[data.indices[cells]], data.confidence[cells]
        A = gram + Z.T @ ((c - 0.3)[:, None] * Z) + 0.7 * np.eye(Q.shape[1])
        leverage = np.einsum("id,id->i", Z, np.linalg.solve(A, Z.T).T)
        np.testing.assert_allclose(found[cells], c * (1 - c * leverage), rtol=1e-6, atol=1e-4)
    assert np.all(found > 0)


def test_only_float64_and_wide_confidences_are_eased() -> None:
    for decades, dtype, eased in (
        (6, np.float64, True),
        (6, np.float32, False),
        (1, np.float64, False),
    ):
        data = spread(decades)
        problem = Problem(Objective(missing_weight=0.3, regularization=0.7), data, dtype)
        start = Factors.random(*data.shape, 2, seed=0, dtype=dtype)
        assert (
            Joint(problem, padded(start.users), padded(start.items), start.prediction, 1).eased
            is eased
        )
    assert not is_wide(np.empty(0))


@pytest.mark.parametrize("outlier", [True, False])
def test_six_orders_of_magnitude_are_trained_forgotten_and_verified(outlier: bool) -> None:
    data = spread(6)
    if outlier:
        c = np.where(np.arange(len(data)) == 3, 1e6, 1.0)
        data = Interactions._assemble(
            data.users,
            data.items,
            data.user_rows,
            data.indices.astype(np.int64),
            c,
            None,
            None,
            "refuse",
        )
    model, outcome = ENMF(
        factors=8,
        missing_weight=0.3,
        regularization=3.0,
        dtype="float64",
        to_rest=True,
        tolerance=1e-6,
    ).run(data)
    assert outcome.converged
    assert outcome.measured is not None
    assert outcome.measured.distance <= 1e-6
    assert outcome.rest is not None
    assert outcome.rest <= 3e-6
    assert verify(model, data).certificate.passed
    u, v = int(data.user_rows[5]), int(data.indices[5])
    erasure = forget(model, [(u, v)], data=data)
    assert erasure.kind == "C"
    assert verify(erasure.model, erasure.remaining, before=model).certificate.passed
