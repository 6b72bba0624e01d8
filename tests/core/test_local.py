"""Forgetting the effect of a deletion alone: against a dense solution, and what it never does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import OBJECTIVES
from hypothesis import given, settings
from hypothesis import strategies as st

import alteraser as ae
from alteraser.cli.forget_options import How
from alteraser.cli.shortfall import words
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection
from alteraser.erasers import Local, Shift
from alteraser.erasers.anchored_point import REACH, AnchoredPoint
from alteraser.erasers.driver import Settings, run_passes
from alteraser.errors import IntegrityError, InvalidInput, NumericFailure
from alteraser.evidence.certificate.anchored import anchored
from alteraser.evidence.certificate.plain import Plain
from alteraser.metrics import effect_left, model_distance
from alteraser.models import Factors, Problem
from alteraser.solvers import JointNewton
from alteraser.solvers.anchors import Anchors, anchors, rows_effect
from alteraser.solvers.joint import Joint, JointStep
from alteraser.solvers.limits import DEFAULT
from alteraser.solvers.stationarity import evaluate
from alteraser.verbs.choose import Auto, choose
from alteraser.verbs.forget import match, plan
from alteraser.verbs.lists import lists_changed
from alteraser.verbs.replaying import remember, remembered

EARLY = {"factors": 3, "missing_weight": 0.2, "regularization": 2.0, "dtype": "float64"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def toy(seed: int = 0, shape: tuple[int, int] = (60, 40)) -> Interactions:
    """Three tastes with noise."""
    rng = np.random.default_rng(seed)
    users, items = (rng.choice(3, size, p=[0.5, 0.3, 0.2]) for size in shape)
    tastes = users[:, None] == items[None, :]
    u, v = np.nonzero(rng.random(shape) < np.where(tastes, 0.6, 0.08))
    return Interactions.from_pairs(list(zip(u.tolist(), v.tolist(), strict=True)))


def early(data: Interactions, passes: int = 12, **settings: object) -> ae.Model:
    """A model that was stopped before it came to rest."""
    recipe = (
        EARLY
        | {"solver": "ah-newton", "memory": 0, "max_passes": passes, "tolerance": 0.0}
        | settings
    )
    return ae.ENMF(**recipe).fit(data)  # type: ignore[arg-type]


def task(model: ae.Model, data: Interactions, gone: object, *, whole: bool = False) -> Shift:
    removal = match(model, Selection.of(gone, whole_users=whole), data).removal
    dtype = model.factors.dtype
    return Shift(
        model.factors,
        Problem(model.objective, data, dtype),
        Problem(model.objective, removal.remaining, dtype),
        Shift.rows(removal.removed.user_rows),
        Shift.rows(removal.removed.indices),
    )


def some(data: Interactions, every: int = 41) -> Interactions:
    return data.keep(np.arange(len(data)) % every == 0)


class Dense:
    """∇L_{D_r}(Θ) − g R and its Newton steps among the Θ whose items are turned as Q_a R are, with
    matrices of all parameters, in NumPy alone.
    """

    def __init__(self, model: ae.Model, whole: Interactions, rest: Interactions) -> None:
        self.model, self.rest, self.m = model, rest, rest.shape[0]
        self.live = np.concatenate([rest.user_counts > 0, rest.item_counts > 0])[:, None]
        self.held = np.vstack(Plain(model.objective, whole, model.factors).gradient) * self.live
        self.original = self.stacked(model.factors)

    def stacked(self, factors: Factors) -> np.ndarray:
        return np.vstack([factors.users, factors.items]).astype(np.float64) * self.live

    def left(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, Plain]:
        """(what is not to stay of the gradient, a basis of the directions that are looked along)"""
        m, d = self.m, theta.shape[1]
        U, _, Vt = np.linalg.svd(self.original[m:].T @ theta[m:])
        level, held = self.original @ (U @ Vt), self.held @ (U @ Vt)
        plain = Plain(self.model.objective, self.rest, Factors(theta[:m], theta[m:], np.ones(d)))
        free = np.broadcast_to(self.live, theta.shape).ravel()
        turns = []
        for i in range(d):
            for j in range(i):
                turned = np.zeros_like(theta)
                turned[m:, i], turned[m:, j] = level[m:, j], -level[m:, i]
                turns.append(turned.ravel()[free])
        across = np.eye(int(free.sum()))
        if turns:
            across = np.linalg.qr(np.array(turns).T, mode="complete")[0][:, len(turns) :]
        return (np.vstack(plain.gradient) * self.live - held).ravel()[free], across, plain

    def step(self, theta: np.ndarray) -> np.ndarray:
        """A Newton step."""
        left, across, plain = self.left(theta)
        free = np.broadcast_to(self.live, theta.shape).ravel()
        H = across.T @ plain.dense_hessian()[np.ix_(free, free)] @ across
        step = np.zeros(theta.size)
        step[free] = -across @ np.linalg.solve(H, across.T @ left)
        return step.reshape(theta.shape)

    def size(self, theta: np.ndarray) -> float:
        """‖what is left‖ along these directions."""
        left, across, _ = self.left(theta)
        return float(np.linalg.norm(across.T @ left))

    def point(self, start: Factors) -> Factors:
        """The anchored stationary point that Newton's method leads to, each step halved until
        less is left.
        """
        theta = self.stacked(start)
        for _ in range(40):
            step, left, t = self.step(theta), self.size(theta), 1.0
            while self.size(theta + t * step) > (1.0 - 0.1 * t) * left and t > 1e-3:
                t /= 2.0
            theta = theta + t * step
            if np.linalg.norm(step) < 1e-11 * np.linalg.norm(theta):
                break
        return Factors(theta[: self.m], theta[self.m :], np.ones(theta.shape[1]))

    def distance(self, one: Factors, other: Factors) -> float:
        """min_R ‖Θ − Θ' R‖_F over the rows that D_r leaves."""
        pair = [
            Factors(x[: self.m], x[self.m :], np.ones(x.shape[1]))
            for x in (self.stacked(one), self.stacked(other))
        ]
        return model_distance(*pair)


def dense_way(model: ae.Model, whole: Interactions, rest: Interactions, here: Factors) -> float:
    """The length of a Newton step, but for what of it only turns the model."""
    dense = Dense(model, whole, rest)
    theta = dense.stacked(here)
    step, turns = dense.step(theta), []
    for i in range(theta.shape[1]):
        for j in range(i):
            turned = np.zeros_like(theta)
            turned[:, i], turned[:, j] = theta[:, j], -theta[:, i]
            turns.append(turned.ravel())
    if turns:
        orbit = np.linalg.qr(np.array(turns).T)[0]
        step = step.ravel() - orbit @ (orbit.T @ step.ravel())
    return float(np.linalg.norm(step))


@pytest.mark.parametrize("whole", [False, True])
def test_it_is_the_dense_anchored_stationary_point(whole: bool) -> None:
    data = toy()
    model = early(data, 60)
    gone = [3] if whole else some(data)
    job = task(model, data, gone, whole=whole)
    outcome = Local(tolerance=1e-9, effect=1e-6, max_passes=60, products=200).erase(job)
    assert outcome.converged
    expected = Dense(model, data, job.after.interactions).point(model.factors)
    moved = model_distance(model.factors, expected)
    assert model_distance(outcome.factors, expected) < 1e-3 * moved


def test_at_an_optimum_it_is_the_effect_on_the_optimum() -> None:
    data = toy()
    model = ae.ENMF(**EARLY, tolerance=1e-11, max_passes=3000).fit(data)  # type: ignore[arg-type]
    erasure = ae.forget(
        model, some(data), data=data, method=Local(tolerance=1e-8, effect=1e-4, max_passes=40)
    )
    best = ae.ENMF(**EARLY, tolerance=1e-11, max_passes=3000).fit(erasure.remaining)  # type: ignore[arg-type]
    assert effect_left(model.factors, erasure.model.factors, model.factors, best.factors) < 1e-3


@pytest.mark.parametrize(("seed", "passes"), [(0, 5), (1, 12), (2, 30), (3, 80)])
@pytest.mark.parametrize("whole", [False, True])
def test_no_more_is_missing_than_is_said(seed: int, passes: int, whole: bool) -> None:
    """Against a Newton step with the dense Hessian, at several stages of training."""
    data = toy(seed)
    model = early(data, passes)
    job = task(model, data, [seed, seed + 20] if whole else some(data, 23), whole=whole)
    # the estimate ends the run at the second, since any residual would do
    for tolerance in (1e-3, 0.05):
        outcome = Local(tolerance=tolerance).erase(job)
        effect = outcome.effect
        assert effect is not None
        assert outcome.converged == (
            outcome.residual <= max(tolerance, effect.stored) and (effect.left or 9) <= 0.05
        )
        if effect.left is not None:
            lacks = dense_way(model, data, job.after.interactions, outcome.factors)
            assert lacks <= effect.left * effect.moved + 1e-6 * effect.size


@settings(max_examples=40, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    users=st.integers(10, 28),
    items=st.integers(7, 20),
    factors=st.integers(1, 4),
    passes=st.integers(2, 60),
    regularization=st.floats(-1.5, 0.7),
    missing=st.sampled_from([0.02, 0.2, 1.0]),
    gone=st.one_of(st.just(0), st.integers(5, 60)),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_what_is_said_is_from_above_or_the_class_is_d(
    seed: int,
    users: int,
    items: int,
    factors: int,
    passes: int,
    regularization: float,
    missing: float,
    gone: int,
    dtype: str,
) -> None:
    """Of any small model, however far from rest and in however many directions: where class L is
    said, the anchored point is found by Newton's method with dense matrices, and is no further
    away."""
    data = toy(seed, (users, items))
    if not len(data):
        return
    model = early(
        data,
        passes,
        factors=factors,
        regularization=10.0**regularization,
        missing_weight=missing,
        dtype=dtype,
    )
    whole = gone == 0
    asked = data.users.ids_of(np.array([seed % len(data.users)])) if whole else some(data, gone)
    erasure = ae.forget(model, asked, data=data, whole_users=whole, method="local")
    if erasure.kind != "L" or not erasure.details["effect"]["moved"]:
        return
    said = erasure.effect_left
    assert said is not None
    dense = Dense(model, data, erasure.remaining)
    new = erasure.model.factors
    best = dense.point(new)
    moved, lacks = dense.distance(model.factors, new), dense.distance(best, new)
    unit = 1e-9 * float(np.linalg.norm(dense.original))  # rounding of this test
    assert lacks <= said * moved + unit


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_that_is_measured_depends_on_how_a_model_is_turned(seed: int) -> None:
    """Every model is the same as its rotations: the new one may be turned against the old one, and
    both together.
    """
    data = toy(seed)
    model = early(data, 15)
    erasure = ae.forget(model, [5], data=data, whole_users=True, method="local")
    R = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]

    def turned(at: Factors) -> Factors:
        return Factors(at.users @ R, at.items @ R, at.prediction)

    found = [
        anchored(model.objective, erasure.remaining, data, a, b, threads=1, limit=1e-9)
        for a, b in (
            (model.factors, erasure.model.factors),
            (model.factors, turned(erasure.model.factors)),
            (turned(model.factors), turned(erasure.model.factors)),
        )
    ]
    assert found[0].effect_left is not None
    for other in found[1:]:
        assert other.residual == pytest.approx(found[0].residual, rel=1e-6, abs=1e-12)
        assert other.moved == pytest.approx(found[0].moved, rel=1e-9)
        assert other.effect_left == pytest.approx(found[0].effect_left, rel=0.02)


def test_where_two_dimensions_are_lost_it_is_not_known_how_the_model_has_turned() -> None:
    """Only two together: one that is gone leaves no doubt of where the others are."""
    rng = np.random.default_rng(0)
    level = np.linalg.qr(rng.standard_normal((9, 3)))[0] * [3.0, 2.0, 1.0]
    held = Anchors(np.zeros((4, 3)), np.zeros((9, 3)), level)
    for kept, known in (
        ([1.0, 1.0, 1.0], True),
        ([1.0, 0.5, 0.0], True),
        ([1.0, 0.05, 0.05], False),
    ):
        items = level * kept
        assert held.turned(items).know(items) == known
    assert replace(held, level=None).know(np.zeros((9, 3)))


def test_what_the_last_solve_left_counts_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its estimate was short by a quarter on real data, where it came from five products."""
    left: list[float] = []

    def recorded(self: Joint, *given: Any, **settings: Any) -> JointStep:
        found = solve(self, *given, **settings)
        left.append(found.ahead)
        return replace(found, ahead=100.0 * found.ahead)  # no small matter beside the rest

    solve = Joint.solve
    monkeypatch.setattr(Joint, "solve", recorded)
    data = toy(2)
    outcome = Local().erase(task(early(data, 30), data, some(data, 23)))
    assert outcome.converged
    assert len(left) > 1
    point = outcome.effect
    assert point is not None
    assert point.left is not None
    assert point.left * point.moved >= 100.0 * 2.0 * left[-1] > 0


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_verify_measures_the_dense_way(dtype: str, whole: bool) -> None:
    data = toy(3)
    model = early(data, 25, dtype=dtype)
    erasure = ae.forget(
        model, [3] if whole else some(data), data=data, whole_users=whole, method="local"
    )
    assert erasure.kind == "L"
    found = anchored(
        model.objective,
        erasure.remaining,
        data,
        model.factors,
        erasure.model.factors,
        threads=1,
        limit=1e-9,
    )
    assert found.effect_left is not None
    true = dense_way(model, data, erasure.remaining, erasure.model.factors) / found.moved
    assert true / 1.1 <= found.effect_left <= 1.5 * true + 1e-5
    verified = ae.verify(erasure.model, erasure.remaining, before=model, forgotten=erasure.removed)
    assert verified.certificate.kind == "L"
    assert verified.certificate.effect_left >= found.effect_left / 1.01


def test_a_long_solve_of_verify_stays_off_the_rotations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most dimensions are nearly unused here, and what is no projection makes conjugate gradients
    diverge."""
    monkeypatch.setattr("alteraser.evidence.certificate.anchored.FALLEN", 1e-5)
    monkeypatch.setattr("alteraser.evidence.certificate.anchored.SURE", 1e-3)
    data = toy(3)
    model = early(data, 25, factors=16, dtype="float32")
    erasure = ae.forget(model, [3], data=data, whole_users=True, method="local")
    assert erasure.kind == "L"
    found = ae.verify(erasure.model, erasure.remaining, before=model, forgotten=erasure.removed)
    assert found.certificate.kind == "L"


def test_class_l_is_not_said_of_an_effect_that_is_not_known() -> None:
    """The residual alone would pass: forget and verify both ask for the effect as well."""
    data = toy()
    model = early(data)
    erasure = ae.forget(model, [3], data=data, whole_users=True, method="local")
    assert erasure.kind == "L"
    for claimed, reason in ((0.2, False), (None, True), (True, True)):
        training = {**erasure.model.training, "effect_left": claimed}
        found = ae.verify(
            replace(erasure.model, training=training),
            erasure.remaining,
            before=model,
            forgotten=erasure.removed,
        ).certificate
        assert found.kind == "D"
        assert [check.passed for check in found.checks[:2]] == [True, False]
        assert ("not known" in found.checks[1].meaning) == reason


def test_a_run_that_was_cut_short_is_not_class_l() -> None:
    """One product of conjugate gradients brings the residual down, and tells nothing of how far it
    was."""
    data = toy()
    model = early(data, 30)
    short = ae.forget(model, some(data), data=data, method=Local(tolerance=0.3, products=1))
    assert short.residual <= 0.3
    assert (short.kind, short.reached(), short.converged) == ("D", False, False)
    said = words(short, How())
    assert said.startswith("not reached: what is missing of the deletion's effect is not known")
    assert "asked for" not in said  # the residual is what was asked for
    assert "what is missing of the deletion's effect is not known" in short.evidence.lacks
    found = ae.verify(short.model, short.remaining, before=model, forgotten=short.removed)
    assert found.certificate.kind == "D"


@pytest.mark.parametrize("passes", [2, 4, 8, 15, 40])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_bounded_and_never_behind_the_rows_alone(passes: int, dtype: str) -> None:
    data = toy(2)
    model = early(data, passes, dtype=dtype)
    erasure = ae.forget(model, [5], data=data, whole_users=True, method="local")
    effect = erasure.details["effect"]
    assert effect["residual"] <= effect["rows_alone"] * (1 + 1e-9) + effect["stored"]
    assert effect["residual"] < 1.0
    assert effect["moved"] < 0.2 * effect["size"]
    assert erasure.kind == ("L" if erasure.converged else "D")
    assert erasure.reached() == erasure.converged
    assert erasure.model.factors.dtype == np.dtype(dtype)
    assert not erasure.model.factors.users[5].any()


@pytest.mark.parametrize("whole", [False, True])
def test_a_step_ends_where_the_anchored_objective_is_least(whole: bool) -> None:
    """L_{D_r}(Θ) − ⟨g, Θ⟩ at points along a line, by ``evaluate``: none of them is lower, whatever
    the line, and a line that leads up is taken whole for the residual to judge.
    """
    data = toy(1)
    model = early(data, 8)
    job = task(model, data, [3] if whole else some(data), whole=whole)
    assert job.before is not None
    point = AnchoredPoint(job, job.before, 1e-3)
    point.move_touched()
    rng = np.random.default_rng(0)

    def objective(users: np.ndarray, items: np.ndarray) -> float:
        at = Factors(users, items, np.ones(users.shape[1]))
        held = np.vdot(point.held.users, users) + np.vdot(point.held.items, items)
        return evaluate(point.after, at).objective - float(held)

    for size in (0.01, 0.3, 1.0):
        down = [
            -size * g * (1 + 0.5 * rng.standard_normal(g.shape)) * live[:, None]
            for g, live in zip(point.gradient, point.live, strict=True)
        ]
        t = point.least_along((down[0], down[1]))
        along = [
            objective(point.at.users + s * t * down[0], point.at.items + s * t * down[1])
            for s in (0.0, 0.5, 0.9, 0.99, 1.0, 1.01, 1.1)
        ]
        assert min(along) == along[4] or t == REACH
        assert along[4] < along[0]
        assert point.least_along((-down[0], -down[1])) == 1.0


@pytest.mark.parametrize(("seed", "rank"), [(4, 10), (5, 6), (8, 6)])
def test_it_finds_the_point_where_whole_steps_went_past_it(seed: int, rank: int) -> None:
    """With more factors than tastes L hardly bends along some of them. The way that is left, by the
    dense Hessian, is within what is claimed.
    """
    data = toy(seed)
    settings = EARLY | {"factors": rank, "regularization": 1.0}
    model = ae.ENMF(**settings, tolerance=1e-4).fit(data)  # type: ignore[arg-type]
    gone = some(data)
    outcome = Local().erase(task(model, data, gone))
    assert outcome.converged
    assert outcome.effect is not None
    assert outcome.effect.left is not None
    way = dense_way(model, data, data.remove(gone).remaining, outcome.factors)
    assert way <= outcome.effect.left * outcome.effect.moved


def test_rows_that_nothing_asks_to_move_stay() -> None:
    """Two halves of the data that share neither users nor items, without missing cells: of the
    other half no score changes (all rows may be turned together, which changes none).
    """
    rng = np.random.default_rng(1)
    pairs = [
        (u, v) for u in range(20) for v in range(12) if (u < 10) == (v < 6) and rng.random() < 0.8
    ]
    data = Interactions.from_pairs(pairs)
    model = early(data, 6, missing_weight=0.0, regularization=0.5)
    gone = [pair for pair in pairs if pair[0] == 2]
    erasure = ae.forget(model, gone, data=data, method="local")
    assert erasure.converged
    before, after = (x.users @ x.items.T for x in (model.factors, erasure.model.factors))
    assert np.abs(after - before)[10:, 6:].max() < 1e-6
    assert np.abs(after - before)[:10, :6].max() > 1e-2


def test_a_chain_of_two_is_the_deletion_of_both() -> None:
    data = toy()
    model = early(data)
    first, second = some(data, 41), some(data, 67)
    second = second.remove(first).remaining
    fine = Local(tolerance=1e-7, effect=1e-4, max_passes=40, products=200)
    step = ae.forget(model, first, data=data, method=fine)
    chain = ae.forget(step.model, second, data=step.remaining, method=fine)
    both = Interactions.from_pairs(
        [
            (int(r["user_id"]), int(r["item_id"]))
            for r in (*first.to_table().to_pylist(), *second.to_table().to_pylist())
        ]
    )
    once = ae.forget(model, both, data=data, method=fine)
    moved = model_distance(once.model.factors, model.factors)
    assert model_distance(chain.model.factors, once.model.factors) < 1e-3 * moved
    assert chain.model.training["rest"] == model.training["rest"]


@pytest.mark.parametrize(
    "name", [name for name in OBJECTIVES if name not in ("explicit", "heavy missing")]
)
@pytest.mark.parametrize("whole", [False, True])
def test_what_forget_says_verify_says(name: str, whole: bool) -> None:
    """Class L of the run and of the certificate, whose arithmetic is its own, for every
    weighting."""
    data = toy(4)
    settings = {
        k: v
        for k, v in OBJECTIVES[name].model_dump().items()
        if k not in ("confidence", "target", "absent_users", "absent_items")
    }
    settings["regularization"] *= 2
    for passes in (3, 25):
        model = early(data, passes, **settings)
        for tolerance in (1e-3, 1e-6):
            gone = [7] if whole else some(data)
            erasure = ae.forget(
                model, gone, data=data, whole_users=whole, method=Auto("local", tolerance)
            )
            found = ae.verify(
                erasure.model, erasure.remaining, before=model, forgotten=erasure.removed
            )
            assert (found.certificate.kind in ("L", "C", "B")) == erasure.reached(), (
                passes,
                tolerance,
            )
            if erasure.reached() and found.certificate.kind == "L":
                assert found.certificate.checks[0].value == pytest.approx(
                    erasure.residual, rel=0.01
                )
            without = ae.verify(erasure.model, erasure.remaining, before=model)
            if found.certificate.kind == "L":
                assert without.certificate.kind == "D"
                assert "cannot be told from" in without.certificate.sentence


def test_verify_is_told_what_was_trained_on_and_checks_it() -> None:
    data = toy()
    model = early(data)
    erasure = ae.forget(model, [3], data=data, whole_users=True, method="local")
    pairs = [(int(r["user_id"]), int(r["item_id"])) for r in erasure.removed.to_table().to_pylist()]
    for forgotten in (pairs, data, erasure.removed):
        found = ae.verify(erasure.model, erasure.remaining, before=model, forgotten=forgotten)
        assert found.certificate.kind == "L"
    with pytest.raises(IntegrityError, match="not what the model was trained on"):
        ae.verify(erasure.model, erasure.remaining, before=model, forgotten=pairs[1:])
    with pytest.raises(InvalidInput, match="give the original model as well"):
        ae.verify(erasure.model, erasure.remaining, forgotten=pairs)


def test_verify_refuses_a_model_that_only_says_it_was_made_by_local() -> None:
    """The old model, its user's row zeroed, another row moved, or one interaction kept: none of
    them is class L."""
    data = toy()
    model = early(data)
    erasure = ae.forget(model, [3], data=data, whole_users=True, method="local")
    users, items = model.factors.users.copy(), model.factors.items
    users[3] = 0.0
    other = erasure.model.factors.items.copy()
    other[4] *= 1.01
    for factors in (
        Factors(users, items, model.factors.prediction),
        replace(erasure.model.factors, items=other),
    ):
        found = ae.verify(
            replace(erasure.model, factors=factors),
            erasure.remaining,
            before=model,
            forgotten=erasure.removed,
        )
        assert found.certificate.kind == "D"


# ------------------------------------------------------------------ which way


def test_auto_converges_at_rest_and_stays_local_elsewhere() -> None:
    data = toy()
    rested = ae.ENMF(**EARLY, to_rest=True).fit(data)  # type: ignore[arg-type]
    assert rested.training["rest"] < 1e-6
    erasure = ae.forget(rested, some(data), data=data)
    assert (erasure.method, erasure.way.asked, erasure.kind) == ("converge", "auto", "C")
    assert erasure.way.details["at_rest"]
    erasure = ae.forget(early(data, 4), some(data), data=data)
    assert erasure.method == "local"
    assert str(erasure.way.why).startswith("not at rest")


@pytest.mark.parametrize(("seed", "dtype"), [(0, "float64"), (1, "float32"), (2, "float64")])
def test_the_distance_from_rest_is_no_less_than_it_is(seed: int, dtype: str) -> None:
    """Measured by train, and by forget where there is no record: against where it leads, from early
    and late, along directions in which L hardly bends too (a small λ, more factors than tastes).
    """
    data = toy(seed)
    settings = EARLY | {"factors": 3 + 2 * (seed % 3), "regularization": (2.0, 0.5)[seed % 2]}
    for tolerance in (1e-3, 1e-4, 1e-6 if dtype == "float64" else 1e-5):
        model = ae.ENMF(**settings | {"dtype": dtype}, tolerance=tolerance).fit(data)  # type: ignore[arg-type]
        factors = replace(
            model.factors,
            users=model.factors.users.astype(np.float64),
            items=model.factors.items.astype(np.float64),
        )
        best = run_passes(
            Problem(model.objective, data, np.float64),
            factors,
            Settings(JointNewton(), 1e-9, 3000, limits=DEFAULT),
            origin=factors,
        ).factors
        true = ae.metrics.relative_model_distance(factors, best)
        said = model.training["rest"]
        assert said is not None
        assert true <= said * 1.02 + 1e-7
        assert said <= 2.0 * true + 2e-6
        gone = match(model, Selection.of(some(data)), data)
        choice = plan(model, gone, "auto")
        assert choice is not None
        assert choice.rest == said
        old = {k: v for k, v in model.training.items() if k not in ("rest", "distance")}
        choice = plan(replace(model, training=old), gone, "auto")
        assert choice is not None
        assert choice.rest is not None
        assert true <= choice.rest * 1.02 + 1e-7


def test_an_estimate_from_below_is_not_trusted() -> None:
    """A file of an earlier version holds the last step alone: far enough it says so, near it is
    measured.
    """
    data = toy()
    model = ae.ENMF(**EARLY, tolerance=1e-3).fit(data)  # type: ignore[arg-type]
    old = {k: v for k, v in model.training.items() if k != "rest"}
    gone = match(model, Selection.of(some(data)), data)
    far = plan(replace(model, training=old | {"distance": 0.9}), gone, "auto")
    near = plan(replace(model, training=old | {"distance": 1e-12}), gone, "auto")
    assert far is not None
    assert near is not None
    assert (far.rest, far.method) == (None, "local")
    assert "at least 9.0e-01" in far.why
    assert near.rest is not None
    assert near.rest == pytest.approx(model.training["rest"], rel=0.5)


def test_a_replay_is_the_training_without_the_data() -> None:
    data = toy()
    model = early(data, 5)
    erasure = ae.forget(model, some(data), data=data, method="replay")
    again = early(erasure.remaining, 5)
    assert np.array_equal(erasure.model.factors.items, again.factors.items)
    assert (erasure.kind, erasure.reached(), erasure.method) == ("A", True, "replay")
    assert ae.verify(erasure.model, erasure.remaining).certificate.kind == "A"
    chained = ae.forget(
        erasure.model, some(erasure.remaining, 31), data=erasure.remaining, method="replay"
    )
    assert chained.kind == "A"


def test_a_replay_is_refused_where_the_training_gives_something_else() -> None:
    data = toy()
    model = early(data, 5)
    other = replace(model, factors=replace(model.factors, items=model.factors.items * (1 + 1e-12)))
    with pytest.raises(InvalidInput, match="does not give this model's bytes here"):
        ae.forget(other, some(data), data=data, method="replay")
    erased = ae.forget(model, some(data), data=data, method="local")
    with pytest.raises(InvalidInput, match="no training to run again"):
        ae.forget(erased.model, some(erased.remaining, 31), data=erased.remaining, method="replay")


def test_the_check_of_a_replay_is_remembered_by_the_file(tmp_path: object) -> None:
    data = toy()
    model = early(data, 5).save(f"{tmp_path}/model")
    assert remembered(model) is None
    assert ae.forget(model, some(data), data=data).method == "local"
    ae.forget(model, some(data), data=data, method="replay")
    assert remembered(model) is True
    erasure = ae.forget(model, some(data), data=data)
    assert (erasure.method, erasure.kind) == ("replay", "A")
    remember(model, False)
    with pytest.raises(InvalidInput, match="does not give"):
        ae.forget(model, some(data), data=data, method="replay")


def test_auto_replays_again_what_a_replay_made(tmp_path: object) -> None:
    data = toy()
    model = early(data, 5).save(f"{tmp_path}/model")
    first = ae.forget(model, some(data), data=data, method="replay")
    assert remembered(first.save(f"{tmp_path}/first")) is True
    loaded = ae.load(f"{tmp_path}/first")
    second = ae.forget(loaded, some(first.remaining, 31), data=first.remaining)
    assert (second.method, second.way.asked, second.kind) == ("replay", "auto", "A")
    assert ae.verify(second.model, second.remaining).certificate.kind == "A"
    local = ae.forget(model, some(data), data=data, method="local")
    assert remembered(local.save(f"{tmp_path}/local")) is None


@pytest.mark.parametrize("tolerance", [0.0, -1.0, 1.1, float("nan"), float("inf")])
def test_the_tolerance_of_a_request_is_a_share(tolerance: float) -> None:
    with pytest.raises(InvalidInput, match="expected a number above 0 and at most 1, such as 1e-3"):
        Auto(tolerance=tolerance)


def test_what_local_cannot_do_it_says() -> None:
    data = toy()
    model = early(data)
    more = Interactions.from_pairs([*_pairs(data), (0, 41)])
    with pytest.raises(InvalidInput, match="local needs the interactions as trained on"):
        ae.forget(model, some(data), data=more, grown=True, method="local")
    assert ae.forget(model, some(data), data=more, grown=True).method == "converge"
    damaged = replace(
        model, factors=replace(model.factors, users=np.full_like(model.factors.users, np.nan))
    )
    with pytest.raises(NumericFailure, match="user row 0 of the original is not finite"):
        ae.forget(damaged, some(data), data=data, method=Local())
    for wrong in ({"tolerance": -1.0}, {"effect": 0.0}):
        with pytest.raises(InvalidInput, match="tolerance is a number"):
            Local(**wrong)
    with pytest.raises(InvalidInput, match="at least 1"):
        Local(max_passes=0)


@pytest.mark.parametrize("name", ["uniform", "popularity"])
def test_what_rows_do_alone_is_one_solve_each(name: str) -> None:
    """Where both data see the same other side, its Gram matrix is taken once; by ``Plain``, of
    which each has its own.
    """
    data = toy()
    rest = data.keep(np.arange(len(data)) % 9 != 0)
    model, rng = early(data), np.random.default_rng(0)
    objective = OBJECTIVES[name]
    rows = tuple(np.sort(rng.choice(size, 7, replace=False)) for size in data.shape)
    before, after = (Plain(objective, each, model.factors) for each in (data, rest))
    total = 0.0
    for place in (0, 1):
        push = np.zeros_like(after.gradient[place])
        push[rows[place]] = 0.5 * (after.gradient[place] - before.gradient[place])[rows[place]]
        total += float(np.sum(np.square(after._solved(place, push))))
    found = rows_effect(
        Problem(objective, data, np.float64),
        Problem(objective, rest, np.float64),
        model.factors,
        (rows[0], rows[1]),
        threads=1,
    )
    assert found == pytest.approx(np.sqrt(total), rel=1e-9)


def test_anchors_of_erased_rows_are_zero() -> None:
    data = toy()
    model = early(data)
    job = task(model, data, [3], whole=True)
    assert job.before is not None
    held = anchors(job.before, job.after, model.factors)
    assert not held.users[3].any()
    assert held.users[2].any()


def test_lists_of_others_are_compared_as_sets() -> None:
    data = toy()
    model = early(data)
    turned = replace(model, factors=replace(model.factors, users=-model.factors.users))
    asking = np.zeros(60, bool)
    assert lists_changed(model, model, data, asking).changed == 0.0
    found = lists_changed(model, turned, data, asking)
    assert found.changed > 0.9
    assert found.overlap < 0.7
    assert lists_changed(model, turned, data, np.ones(60, bool)).users == 0


def test_choose_warns_only_where_it_can_judge() -> None:
    data = toy()
    flat = early(data, 4, regularization=0.0)
    choice = choose(flat, task(flat, data, some(data)))
    assert choice.method == "converge"
    assert "regularization is 0" in choice.why


def _pairs(data: Interactions) -> list[tuple[int, int]]:
    return [(int(r["user_id"]), int(r["item_id"])) for r in data.to_table().to_pylist()]


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES.keys())
def test_the_push_from_the_rows_that_see_the_deletion_is_that_of_all_rows(
    objective: ae.Objective,
) -> None:
    data = toy(2)
    rest = data.keep((data.user_rows != 7) & (np.arange(len(data)) % 29 != 3))
    rng = np.random.default_rng(1)
    factors = Factors(
        rng.standard_normal((60, 4)), rng.standard_normal((40, 4)), rng.random(4) + 0.5
    )
    before, after = Problem(objective, data, np.float64), Problem(objective, rest, np.float64)
    gone = data.keep((data.user_rows == 7) | (np.arange(len(data)) % 29 == 3))
    asked = Shift(factors, before, after, Shift.rows(gone.user_rows), Shift.rows(gone.indices), 1)
    first, second = evaluate(before, factors), evaluate(after, factors)
    change, value = AnchoredPoint(asked, before, 1e-3).change(first)
    np.testing.assert_allclose(change[0], second.user_gradient - first.user_gradient, atol=1e-9)
    np.testing.assert_allclose(change[1], second.item_gradient - first.item_gradient, atol=1e-9)
    assert value == pytest.approx(second.objective, rel=1e-12)
