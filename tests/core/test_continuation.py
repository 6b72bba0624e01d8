"""The penalty that comes down to the one asked for: where it starts, and where it ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from alteraser import Interactions, forget
from alteraser.metrics import score_distance
from alteraser.models.relational import LinearProblem
from alteraser.models.relational.lightgcn import LinearLightGCN
from alteraser.models.relational.setup import LinearSetup
from alteraser.solvers.relational import Goal, evaluate, hessian_product, minimize
from alteraser.solvers.relational.collapse import critical_shares
from alteraser.solvers.relational.continuation import BELOW, STEP, stages, strongest
from alteraser.verbs.relational.train import train


def ring(seed: int, groups: int = 12, size: int = 6) -> Interactions:
    """Groups that like their own items, and some of the next one's: more of them than columns."""
    rng = np.random.default_rng(seed)
    likes = rng.random((groups * size, groups * size)) < 0.02
    for group in range(groups):
        own, following = (
            slice(at * size, at * size + size) for at in (group, (group + 1) % groups)
        )
        likes[own, own] |= rng.random((size, size)) < 0.6
        likes[own, following] |= rng.random((size, size)) < 0.12
    return Interactions.from_pairs([(int(u), int(v)) for u, v in np.argwhere(likes)])


def posed(data: Interactions, factors: int = 4) -> LinearProblem:
    return LinearLightGCN(factors=factors).settled(data).problem(data)


@pytest.mark.parametrize("most", [1.0, 1.2, 1.5, 2.0, 7.3, 8.0, 100.0])
def test_stages_come_down_by_one_step_to_within_one_of_what_is_asked(most: float) -> None:
    found = np.array([most, *stages(most)[1:], 1.0] if most >= STEP else [*stages(most), 1.0])
    assert np.all(found[:-1] / found[1:] < STEP**1.51)
    assert np.all(np.diff(found) < 0)


def test_shares_below_which_columns_come_to_be_are_those_of_the_whole_form() -> None:
    problem = posed(ring(3, groups=4))
    one = replace(problem, rank=1)
    ridge = one.ridge["node"]
    zeros = one.point(np.zeros(one.size))
    columns = [hessian_product(one, zeros, one.point(x)).vector for x in np.eye(one.size)]
    root = np.sqrt(ridge)
    pull = np.eye(one.size) - np.array(columns) / 2.0 / np.outer(root, root)
    dense = np.sort(np.linalg.eigvalsh(pull))[::-1]
    np.testing.assert_allclose(critical_shares(problem, 6), dense[:6], rtol=1e-3)
    np.testing.assert_allclose(critical_shares(problem, 500), dense, rtol=1e-8, atol=1e-10)


def test_it_starts_where_the_last_column_comes_to_be_and_no_higher_than_asked() -> None:
    problem = posed(ring(3))
    last = critical_shares(problem, problem.rank)[-1]
    assert strongest(problem, 100.0, threads=1) == pytest.approx(BELOW * last)
    assert strongest(problem, 1.6, threads=1) == 1.6
    assert strongest(problem, 1.0, threads=1) == 1.0


@pytest.mark.parametrize("seed", [0, 1])
def test_starts_that_end_in_several_places_end_in_one(seed: int) -> None:
    problem = posed(ring(seed))
    direct, down = (
        [
            minimize(problem, problem.random(seed=x), Goal(continuation=c), threads=1)
            for x in range(6)
        ]
        for c in (1.0, 8.0)
    )
    assert np.ptp([x.value for x in direct]) > 0.1
    assert np.ptp([x.value for x in down]) < 1e-6
    assert all(x.converged and x.valley for x in down)


def test_it_ends_at_the_optimum_of_the_penalty_asked_for() -> None:
    problem = posed(ring(2))
    found = minimize(problem, problem.random(seed=0), Goal(continuation=8.0), threads=1)
    there = evaluate(problem, found.point)
    assert found.converged
    assert found.value == pytest.approx(there.value, rel=1e-14)
    assert np.linalg.norm(there.gradient.vector) < 1e-4 * there.norm


@pytest.mark.parametrize("cap", [1, 5, 20])
def test_a_run_that_is_cut_short_on_the_way_speaks_of_the_penalty_asked_for(cap: int) -> None:
    problem = posed(ring(2))
    goal = Goal(continuation=8.0, max_passes=cap)
    found = minimize(problem, problem.random(seed=0), goal, threads=1)
    assert (found.passes, found.converged, found.reason) == (cap, False, "passes")
    there = evaluate(problem, found.point)
    assert found.value == pytest.approx(there.value, rel=1e-14)
    assert found.residual > 1e-3


@pytest.mark.parametrize("seed", [0, 1])
def test_forgetting_ends_where_training_without_does(seed: int) -> None:
    clean = ring(seed)
    rng = np.random.default_rng(seed + 10)
    likes = csr_array((np.ones(len(clean)), clean.indices, clean.indptr), shape=clean.shape)
    pairs = set(zip(*(x.tolist() for x in likes.nonzero()), strict=True))
    noise = set(zip(*rng.integers(0, 72, (2, 60)).tolist(), strict=True)) - pairs
    data = Interactions.from_pairs(sorted(pairs | noise))
    settings = LinearLightGCN(factors=4, continuation=8.0)
    original = train(settings, data, threads=1)
    erasure = forget(original, sorted(noise), data=data)
    again = train(original.settings.model_copy(update={"seed": 5}), erasure.remaining, threads=1)
    assert erasure.kind == "C"
    assert score_distance(erasure.model.factors, again.factors) < 1e-6


def test_models_from_before_it_go_straight() -> None:
    assert LinearLightGCN.model_validate({"factors": 4}).strengthened == 1.0
    assert LinearSetup().strengthened == 1.0
