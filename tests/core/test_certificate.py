"""The certificate: what it must accept, what it must refuse, and that its bound is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from conftest import OBJECTIVES, random_factors, toy_interactions

from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.erasers import AltEraser, Shift
from alteraser.erasers.driver import Settings, run_passes
from alteraser.errors import InvalidInput
from alteraser.evidence.certificate import Certificate, Limits, certify
from alteraser.evidence.certificate.compiled import Compiled
from alteraser.evidence.certificate.curvature import estimated, proved
from alteraser.evidence.certificate.plain import Plain, inner, norm
from alteraser.evidence.certificate.rotation import Slice
from alteraser.evidence.certificate.solve import Solver
from alteraser.evidence.certificate.theorem import ball
from alteraser.evidence.certificate.words import sentence
from alteraser.metrics import model_distance
from alteraser.models import Factors, Objective, Problem
from alteraser.runtime import events
from alteraser.solvers.joint_newton import JointNewton
from alteraser.solvers.rows.ah_newton import AHNewton
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import evaluate


def stacked(pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return np.concatenate([x.ravel() for x in pair])


def random_pair(factors: Factors, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(factors.users.shape), rng.standard_normal(factors.items.shape)


# ----------------------------------------------------------- arithmetic: two routes to every number


@pytest.mark.parametrize("trained", [False, True])
def test_plain_gradient_is_the_kernels(problem: Problem, trained: bool) -> None:
    theta = random_factors(problem, trained=trained)
    ours, theirs = Plain(problem.objective, problem.interactions, theta), evaluate(problem, theta)
    np.testing.assert_allclose(ours.gradient[0], theirs.user_gradient, atol=1e-10)
    np.testing.assert_allclose(ours.gradient[1], theirs.item_gradient, atol=1e-10)


@pytest.mark.parametrize("trained", [False, True])
def test_product_dense_hessian_and_differences_agree(problem: Problem, trained: bool) -> None:
    theta = random_factors(problem, trained=trained)
    plain, line = Plain(problem.objective, problem.interactions, theta), random_pair(theta)
    product = stacked(plain.product(line))
    np.testing.assert_allclose(plain.dense_hessian() @ stacked(line), product, atol=1e-10)

    def gradient(t: float) -> np.ndarray:
        moved = Factors(theta.users + t * line[0], theta.items + t * line[1], theta.prediction)
        return stacked(Plain(problem.objective, problem.interactions, moved).gradient)

    # the gradient is a cubic in t, so four points give its derivative but for rounding
    slope = (8 * (gradient(1e-2) - gradient(-1e-2)) - (gradient(2e-2) - gradient(-2e-2))) / 0.12
    np.testing.assert_allclose(slope, product, rtol=1e-8, atol=1e-8)


def test_magnitudes_bound_their_signed_sums(problem: Problem) -> None:
    theta = random_factors(problem)
    signed, bound = (
        Plain(problem.objective, problem.interactions, theta, magnitudes=m) for m in (False, True)
    )
    assert all(
        np.all(np.abs(a) <= b + 1e-12) for a, b in zip(signed.gradient, bound.gradient, strict=True)
    )
    assert np.all(np.abs(signed.dense_hessian()) <= bound.dense_hessian() + 1e-12)


def test_block_distances_are_those_to_the_solved_rows(problem: Problem) -> None:
    theta = random_factors(problem)
    plain = Plain(problem.objective, problem.interactions, theta)
    for side, mine, theirs, found in (
        (problem.users, theta.users, theta.items, plain.user_distances()),
        (problem.items, theta.items, theta.users, plain.item_distances()),
    ):
        rows = padded(mine)
        AHNewton().solve(side, padded(theirs), rows, None, rank=theta.rank, threads=1)
        np.testing.assert_allclose(
            found, np.linalg.norm(rows[:, : theta.rank] - mine, axis=1), atol=1e-9
        )


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("magnitudes", [False, True])
def test_compiled_loops_are_their_twins(problem: Problem, trained: bool, magnitudes: bool) -> None:
    theta = random_factors(problem, trained=trained)
    plain, line = (
        Plain(problem.objective, problem.interactions, theta, magnitudes),
        random_pair(theta),
    )
    quick = Compiled(problem.objective, problem.interactions, theta, magnitudes)
    close = {"rtol": 1e-11, "atol": 1e-11}
    np.testing.assert_allclose(stacked(quick.gradient), stacked(plain.gradient), **close)
    np.testing.assert_allclose(stacked(quick.product(line)), stacked(plain.product(line)), **close)
    np.testing.assert_allclose(quick.errors, plain.errors, **close)
    if not magnitudes:
        np.testing.assert_allclose(quick.user_distances(), plain.user_distances(), **close)
        np.testing.assert_allclose(quick.item_distances(), plain.item_distances(), **close)
        assert quick.block_norm(line) == pytest.approx(plain.block_norm(line), rel=1e-11)
        assert quick.block_size == pytest.approx(plain.block_size, rel=1e-11)


def test_kept_factors_solve_the_blocks(problem: Problem) -> None:
    theta = random_factors(problem)
    quick, line = Compiled(problem.objective, problem.interactions, theta), random_pair(theta)
    for dtype, close in ((np.float32, 1e-4), (np.float64, 1e-11)):
        solver = Solver(quick, Slice(quick.P, quick.Q, True), dtype=dtype)
        for place in (0, 1):
            found = solver.solved(place, line[place].astype(dtype))
            np.testing.assert_allclose(
                found, quick._solved(place, line[place]), rtol=close, atol=close
            )


def test_a_block_without_an_inverse_is_infinite_and_an_unmoved_one_is_not() -> None:
    problem = Problem(
        Objective(missing_weight=0.0, regularization=0.0), toy_interactions(), np.float64
    )
    theta = random_factors(problem, 2)
    counts = problem.interactions.user_counts
    right = np.ones(theta.users.shape)
    right[3] = 0.0
    for plain in (Plain, Compiled):
        found = plain(problem.objective, problem.interactions, theta)._solved(0, right)
        alone = (counts == 0) & right.any(axis=1)
        assert np.isinf(found[alone]).all()
        assert alone.any()
        assert not found[3].any()
        assert np.isfinite(found[counts >= 2]).all()


# ------------------------------------------------------------------ the slice


def test_gradient_lies_in_the_slice_and_orbits_do_not(problem: Problem) -> None:
    theta = random_factors(problem)
    plain = Plain(problem.objective, problem.interactions, theta)
    across = Slice(plain.P, plain.Q, True)
    gradient = plain.gradient
    np.testing.assert_allclose(stacked(across.project(gradient)), stacked(gradient), atol=1e-9)
    skew = np.triu(np.random.default_rng(0).standard_normal((theta.rank, theta.rank)), 1)
    turned = plain.P @ (skew - skew.T), plain.Q @ (skew - skew.T)
    assert norm(across.project(turned)) < 1e-9 * norm(turned)
    line = across.project(random_pair(theta))
    symmetric = plain.P.T @ line[0] + plain.Q.T @ line[1]
    np.testing.assert_allclose(symmetric, symmetric.T, atol=1e-9)
    np.testing.assert_allclose(across.orbit().T @ stacked(line), 0, atol=1e-9)


# --------------------------------------------------------- a world in which something was forgotten


@dataclass(frozen=True)
class Scene:
    objective: Objective
    data: Interactions
    remaining: Interactions
    original: Factors
    unlearned: Factors

    def certify(self, factors: Factors | None = None, **changed: object) -> Certificate:
        arguments = {
            "objective": self.objective,
            "data": self.remaining,
            "before": self.original,
            **changed,
        }
        return certify(factors=factors or self.unlearned, threads=1, **arguments)  # type: ignore[arg-type]


def interactions(mask: np.ndarray) -> Interactions:
    ids = [IdMap.build(np.arange(size))[0] for size in mask.shape]
    return Interactions._assemble(*ids, *np.nonzero(mask), None, None, None, "refuse")


@cache
def scene(weighting: str = "uniform") -> Scene:
    rng = np.random.default_rng(3)
    m, n, d = 90, 60, 5
    taste = rng.standard_normal((m, d)) @ rng.standard_normal((d, n)) + 0.7 * rng.standard_normal(
        (m, n)
    )
    mask = taste > np.quantile(taste, 0.88)
    gone = mask & (rng.random((m, n)) < 0.05)
    objective = Objective(missing_weight=0.1, regularization=0.4, missing_weighting=weighting)  # type: ignore[arg-type]
    before, after = (Problem(objective, interactions(x), np.float64) for x in (mask, mask & ~gone))
    start = Factors.random(m, n, d, seed=0, dtype=np.float64)
    original = run_passes(before, start, Settings(JointNewton(), 1e-11, 500)).factors
    users, items = np.nonzero(gone)
    outcome = AltEraser(1e-9).erase(
        Shift(original, before, after, Shift.rows(users), Shift.rows(items), 1)
    )
    assert outcome.measured is not None
    assert outcome.measured.holds(Limits())
    return Scene(objective, before.interactions, after.interactions, original, outcome.factors)


def rotated(factors: Factors) -> Factors:
    R = np.linalg.qr(np.random.default_rng(1).standard_normal((factors.rank, factors.rank)))[0]
    return Factors(factors.users @ R, factors.items @ R, factors.prediction)


def with_row(
    factors: Factors, other: Factors, *, user: int | None = None, item: int | None = None
) -> Factors:
    users, items = factors.users.copy(), factors.items.copy()
    if user is not None:
        users[user] = other.users[user]
    if item is not None:
        items[item] = other.items[item]
    return Factors(users, items, factors.prediction)


HONEST: dict[str, Callable[[Scene], Factors]] = {
    "as erased": lambda s: s.unlearned,
    "rotated": lambda s: rotated(s.unlearned),
    "stored in float32": lambda s: s.unlearned.astype(np.float32),
    "rotated, then float32": lambda s: rotated(s.unlearned).astype(np.float32),
}


@pytest.mark.parametrize("how", HONEST)
@pytest.mark.parametrize("weighting", ["uniform", "popularity"])
def test_honest_models_are_accepted_with_proof(how: str, weighting: str) -> None:
    here = scene(weighting)
    found = here.certify(HONEST[how](here))
    assert found.kind == "B", found
    assert found.name == "certified"
    assert found.rho is not None
    assert model_distance(HONEST[how](here), here.unlearned) <= found.rho + 1e-9
    # without the proof it is the same measurement, and says so
    measured = here.certify(HONEST[how](here), prove_up_to=0)
    assert measured.kind == "C"
    assert "estimated" in str(measured.why_not_proved)


def a_removed_pair(s: Scene) -> tuple[int, int]:
    gone = set(zip(s.data.user_rows, s.data.indices, strict=True)) - set(
        zip(s.remaining.user_rows, s.remaining.indices, strict=True)
    )
    return min((int(u), int(v)) for u, v in gone)


def solved(s: Scene, mask: np.ndarray, objective: Objective | None = None) -> Factors:
    """The optimum near the unlearned model for other data or another objective, as an eraser gone
    wrong finds it."""
    problem = Problem(objective or s.objective, interactions(mask), np.float64)
    return run_passes(problem, s.unlearned, Settings(JointNewton(), 1e-11, 300)).factors


def mask_of(data: Interactions) -> np.ndarray:
    mask = np.zeros(data.shape, bool)
    mask[data.user_rows, data.indices] = True
    return mask


def one_deleted_kept(s: Scene) -> Factors:
    mask = mask_of(s.remaining)
    mask[a_removed_pair(s)] = True
    return solved(s, mask)


def moved_to_another_user(s: Scene) -> Factors:
    mask = mask_of(s.remaining)
    _, v = a_removed_pair(s)
    mask[int(np.flatnonzero(~mask[:, v])[0]), v] = True
    return solved(s, mask)


def one_retained_dropped(s: Scene) -> Factors:
    mask = mask_of(s.remaining)
    u, v = np.argwhere(mask)[7]
    mask[u, v] = False
    return solved(s, mask)


def label_removed_weight_left(s: Scene) -> Factors:
    """The positives became y = 0 but kept the weight of an observed cell."""
    data = s.data
    kept = mask_of(s.remaining)[data.user_rows, data.indices]
    wrong = replace(data, target=kept.astype(np.float64), confidence=np.ones(len(data)))
    problem = Problem(s.objective, wrong, np.float64)
    return run_passes(problem, s.unlearned, Settings(JointNewton(), 1e-11, 300)).factors


def one_pass_too_few(s: Scene) -> Factors:
    problem = Problem(s.objective, s.remaining, np.float64)
    gone = Settings(AHNewton(), 0.0, 3, memory=0)
    return run_passes(problem, s.original, gone).factors


def wrong_prediction(s: Scene) -> Factors:
    return Factors(s.unlearned.users, s.unlearned.items, np.full(s.unlearned.rank, 1.001))


def half_precision(s: Scene) -> Factors:
    return Factors(*(x.astype(np.float16).astype(np.float32) for x in vars(s.unlearned).values()))


def wrong_lambda(s: Scene) -> Factors:
    objective = s.objective.model_copy(
        update={"regularization": s.objective.regularization * 1.001}
    )
    return solved(s, mask_of(s.remaining), objective)


MUTANTS: dict[str, Callable[[Scene], Factors]] = {
    "old model untouched": lambda s: s.original,
    "one deleted interaction kept": one_deleted_kept,
    "label removed, weight left": label_removed_weight_left,
    "one user row old": lambda s: with_row(s.unlearned, s.original, user=a_removed_pair(s)[0]),
    "one item row old": lambda s: with_row(s.unlearned, s.original, item=a_removed_pair(s)[1]),
    "stored in float16": half_precision,
    "lambda wrong by 0.1 %": wrong_lambda,
    "deleted row moved to another user": moved_to_another_user,
    "one retained row dropped": one_retained_dropped,
    "passes stopped early": one_pass_too_few,
    "wrong h": wrong_prediction,
}


@pytest.mark.parametrize("how", MUTANTS)
@pytest.mark.parametrize("proof", [True, False], ids=["with proof", "measured"])
@pytest.mark.parametrize("before", [True, False], ids=["with the original", "alone"])
def test_mutants_are_refused(how: str, proof: bool, before: bool) -> None:
    here = scene()
    found = here.certify(
        MUTANTS[how](here),
        prove_up_to=6000 if proof else 0,
        before=here.original if before else None,
    )
    assert found.kind == "D", found
    assert not found.passed
    assert any(not check.passed for check in found.checks)


def test_stale_popularity_weights_are_refused() -> None:
    here = scene("popularity")
    kept = mask_of(here.remaining)[here.data.user_rows, here.data.indices]

    class Stale(Interactions):
        """The remaining interactions, but counted as they were before."""

        @property
        def item_counts(self) -> np.ndarray:
            return here.data.item_counts

    assert kept.sum() == len(here.remaining)
    stale = Stale(
        **{name: getattr(here.remaining, name) for name in Interactions.__dataclass_fields__}
    )
    problem = Problem(here.objective, stale, np.float64)
    wrong = run_passes(problem, here.unlearned, Settings(JointNewton(), 1e-11, 300)).factors
    # it is the optimum of what it was given
    assert certify(here.objective, stale, wrong, threads=1).kind == "B"
    assert here.certify(wrong).kind == "D"


def test_saddle_and_zero_model_are_refused() -> None:
    here = scene()
    zero = Factors(
        *(np.zeros_like(x) for x in (here.unlearned.users, here.unlearned.items)),
        here.unlearned.prediction,
    )
    found = here.certify(zero, before=None)
    assert found.kind == "D"  # a stationary point, but not a minimum
    assert found.curvature < 0
    assert found.eta == np.inf


def test_thousand_random_mutants_never_lie_outside_their_bound() -> None:
    problem = Problem(
        Objective(missing_weight=0.2, regularization=0.3),
        toy_interactions(12, 9, 0.4, lonely=False),
        np.float64,
    )
    best = run_passes(
        problem,
        Factors.random(12, 9, 2, seed=0, dtype=np.float64),
        Settings(JointNewton(), 1e-13, 300),
    )
    truth, rng = best.factors, np.random.default_rng(11)
    size = float(np.hypot(np.linalg.norm(truth.users), np.linalg.norm(truth.items)))
    kinds = set()
    loose = Limits(distance=0.5, block=0.99, influence=0.99, residual=0.99)
    for trial in range(1000):
        scale = 10.0 ** rng.uniform(-10, 0)
        users, items = truth.users.copy(), truth.items.copy()
        side = (users, items)[trial % 2]
        rows = rng.integers(side.shape[0], size=1 + trial % 3)
        side[rows] += scale * rng.standard_normal((rows.size, side.shape[1]))
        mutant = Factors(users, items, truth.prediction)
        distance = model_distance(mutant, truth)
        found = certify(problem.objective, problem.interactions, mutant, limits=loose, threads=1)
        kinds.add(found.kind)
        if found.kind == "B":
            assert found.rho is not None
            assert distance <= found.rho + 1e-10 * size, (trial, distance, found)
        strict = (
            certify(problem.objective, problem.interactions, mutant, threads=1)
            if trial % 10 == 0
            else None
        )
        if strict is not None and strict.passed:
            assert distance <= 1.01e-6 * size
    assert {"B", "D"} <= kinds


@pytest.mark.parametrize("away", [0.3, 1e-4, 1e-9])
def test_what_may_be_left_of_the_way_is_a_number_whatever_storing_moves(away: float) -> None:
    """As measured; a model that is as near as storing allows passes, and it is said why."""
    problem = Problem(
        Objective(missing_weight=0.2, regularization=0.3),
        toy_interactions(12, 9, 0.4, lonely=False),
        np.float64,
    )
    best = run_passes(
        problem,
        Factors.random(12, 9, 2, seed=0, dtype=np.float64),
        Settings(JointNewton(), 1e-13, 300),
    ).factors
    rng = np.random.default_rng(3)
    near, far = (
        Factors(best.users + x * rng.standard_normal(best.users.shape), best.items, best.prediction)
        for x in (1e-9, away)
    )
    found = certify(problem.objective, problem.interactions, near, before=far, threads=1)
    assert found.passed
    (check,) = (x for x in found.checks if x.name == "influence")
    assert found.moved is not None
    assert found.rho is not None
    told = found.moved > 1e-7
    assert check.passed
    assert check.value == found.influence
    assert 0.0 < check.value <= (2.0 * found.rho / found.moved if told else 1.0)
    assert ("no further than storing" in check.meaning) is not told


# ------------------------------------------------------------------ curvature


@pytest.mark.parametrize("name", OBJECTIVES)
def test_curvature_is_bounded_below_and_met_from_above(name: str) -> None:
    objective = OBJECTIVES[name].model_copy(
        update={"regularization": 0.3 * OBJECTIVES[name].regularization}
    )
    problem = Problem(objective, toy_interactions(lonely=False), np.float64)
    theta = run_passes(
        problem, random_factors(problem, 2), Settings(JointNewton(), 1e-12, 300)
    ).factors
    plain = Plain(problem.objective, problem.interactions, theta)
    across = Slice(plain.P, plain.Q, True)
    basis = np.linalg.qr(np.hstack([across.orbit(), np.eye(theta.users.size + theta.items.size)]))[
        0
    ]
    rest = basis[:, across.orbit().shape[1] :]
    exact = float(np.linalg.eigvalsh(rest.T @ plain.dense_hessian() @ rest)[0])
    bound = proved(plain, across)
    assert bound is not None
    assert 0.4 * exact <= bound <= exact
    solver = Solver(Compiled(problem.objective, problem.interactions, theta), across)
    solver.solve(across.project(random_pair(theta)), forcing=0.01)
    guess = estimated(plain, across, solver).value
    assert exact * (1 - 1e-6) <= guess <= 1.3 * exact


def test_newton_step_solves_on_the_slice() -> None:
    here = scene()
    theta = here.unlearned
    plain = Plain(here.objective, here.remaining, theta)
    across = Slice(plain.P, plain.Q, True)
    line = across.project(random_pair(theta))
    solver = Solver(Compiled(here.objective, here.remaining, theta), across, dtype=np.float64)
    found = solver.solve(across.project(plain.product(line)), forcing=1e-9)
    assert found.step is not None
    step = across.project(found.step)
    np.testing.assert_allclose(stacked(step), -stacked(line), atol=1e-5)
    assert inner(step, line) < 0


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alteraser.runtime.workers.SMALL", 0)
    here = scene()
    for proof in (0, 6000):
        one, four = (
            certify(
                here.objective,
                here.remaining,
                here.unlearned,
                before=here.original,
                prove_up_to=proof,
                threads=n,
            )
            for n in (1, 4)
        )
        assert one == four


def test_little_memory_costs_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    here = scene()
    whole = here.certify(prove_up_to=0)
    monkeypatch.setattr("alteraser.runtime.memory.planned", lambda: 0)
    monkeypatch.setattr("alteraser.evidence.certificate.solve.KEPT_BYTES", 0)
    lean = here.certify(prove_up_to=0)
    assert lean.kind == whole.kind == "C"
    assert lean.curvature == pytest.approx(whole.curvature, rel=0.3)
    assert here.certify(here.original, prove_up_to=0).kind == "D"


def test_confidences_of_many_magnitudes_are_solved_or_refused_soon() -> None:
    here = scene()
    for magnitudes, kind, passes in ((2, "C", 250), (6, "D", 20)):
        spread = 10.0 ** np.random.default_rng(0).uniform(0, magnitudes, len(here.remaining))
        weighed = replace(here.remaining, confidence=spread)
        problem = Problem(here.objective, weighed, np.float64)
        theta = run_passes(problem, here.unlearned, Settings(JointNewton(), 1e-12, passes)).factors
        found = certify(here.objective, weighed, theta, prove_up_to=0, threads=1)
        assert found.kind == kind
        bends = np.linalg.eigvalsh(Plain(here.objective, weighed, theta).dense_hessian())[0] < -1e-6
        assert bends or found.curvature > 0  # what is estimated is never below what there is
        assert found.products < 100


def test_progress_names_what_is_done_and_never_goes_back() -> None:
    seen: list[Any] = []
    with events.listening(lambda event: seen.append(event.values)):
        scene().certify(prove_up_to=0)
    shares = [step["share"] for step in seen]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] <= 1.0
    assert {"gradient", "every row's own optimum", "Newton step", "curvature", "rounding"} <= {
        step["what"] for step in seen
    }


# ------------------------------------------------------------------ the theorem and its words


def test_ball_is_the_smaller_root() -> None:
    for curvature, eta, K in ((2.0, 0.01, 10.0), (0.3, 1e-6, 400.0), (1.0, 0.5, 1.0)):
        rho = ball(curvature, eta, K).rho
        assert rho is not None
        assert eta - rho + K * rho**2 / (2 * curvature) == pytest.approx(0, abs=1e-12)
        assert rho <= 2 * eta * (1 + 1e-12)
    assert ball(1.0, 0.51, 1.0).rho is None
    assert ball(-1.0, 1e-9, 1.0).kappa == np.inf


@pytest.mark.parametrize("kind", ["C", "D"])
def test_weak_classes_never_use_strong_words(kind: str) -> None:
    text = sentence(kind, 0.1, 0.01).lower()  # type: ignore[arg-type]
    assert not any(word in text for word in ("certified", "proved", "guarantee"))
    here = scene()
    factors = here.unlearned if kind == "C" else here.original
    found = here.certify(factors, prove_up_to=0)
    assert found.kind == kind
    said = " ".join([found.name, found.sentence, str(found.why_not_proved)]).lower()
    assert not any(word in said for word in ("certified", "guarantee"))


def test_rows_that_do_not_fit_are_named() -> None:
    here = scene()
    short = Factors(here.unlearned.users[1:], here.unlearned.items, here.unlearned.prediction)
    with pytest.raises(InvalidInput, match=r"the model has 89 × 60 rows, the data 90 × 60"):
        here.certify(short)
    with pytest.raises(InvalidInput, match="the model from before"):
        here.certify(before=short)


@pytest.mark.parametrize("stored", [np.float64, np.float32])
def test_unused_dimensions_are_certified_as_zero(stored: type) -> None:
    # λ so large that the optimum uses fewer dimensions than there are
    s = scene()
    objective = s.objective.model_copy(update={"regularization": 4.0})
    problem = Problem(objective, s.remaining, np.float64)
    theta = run_passes(problem, s.unlearned, Settings(JointNewton(), 1e-12, 400)).factors
    tilted = rotated(Factors(theta.users + 1e-11, theta.items - 1e-11, theta.prediction)).astype(
        stored
    )
    found = certify(objective, s.remaining, tilted, threads=1)
    assert found.rank < found.factors
    assert found.kind == "B", found
    assert found.rho is not None
    assert model_distance(tilted, theta) <= found.rho + 1e-12
    # an unused dimension that should be used is a saddle
    hollow = Factors(
        *(
            np.hstack([x[:, :-1], 0 * x[:, -1:]])
            for x in vars(rotated(s.unlearned)).values()
            if x.ndim == 2
        ),
        np.ones(5),
    )
    reduced = run_passes(
        Problem(s.objective, s.remaining, np.float64), hollow, Settings(AHNewton(), 1e-11, 3000, 0)
    ).factors
    assert certify(s.objective, s.remaining, reduced, threads=1).kind == "D"
