"""Streams: requests one by one, in batches and at once, given back and undone, end where forgetting
ends."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import alteraser as ae
from alteraser.data.interactions import Interactions
from alteraser.engines.session import Stream
from alteraser.errors import IntegrityError, InvalidInput, NotFound
from alteraser.evidence.certificate import Limits
from alteraser.metrics import relative_model_distance
from alteraser.models import Factors, Problem
from alteraser.solvers.rows.ah_newton import AHNewton
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import evaluate, gradient_norm

KINDS = ["uniform", "weighted", "popularity", "frequency"]


@cache
def data(kind: str = "uniform") -> Interactions:
    rng = np.random.default_rng(7)
    m, n, d = 50, 36, 3
    taste = rng.standard_normal((m, d)) @ rng.standard_normal((d, n)) + 0.8 * rng.standard_normal(
        (m, n)
    )
    u, v = np.nonzero(taste > np.quantile(taste, 0.85))
    table = ae.Interactions.from_pairs(list(zip(u.tolist(), v.tolist(), strict=True))).to_table()
    table = table.append_column("timestamp", [rng.integers(0, 100, u.size)])
    if kind == "weighted":
        table = table.append_column("confidence", [rng.uniform(0.1, 3.0, u.size)])
        table = table.append_column("target", [rng.uniform(0.3, 1.5, u.size)])
    return Interactions.from_table(table)


@cache
def model(kind: str = "uniform") -> ae.Model:
    extra = {
        "popularity": {"missing_weighting": "popularity"},
        "frequency": {
            "regularization_scaling": "frequency",
            "scaling_offset": 0.1,
            "regularization": 0.03,
        },
    }.get(kind, {})
    settings = {
        "factors": 3,
        "missing_weight": 0.2,
        "regularization": 0.25,
        "dtype": "float64",
        "tolerance": 1e-10,
    }
    return ae.ENMF(**(settings | extra)).fit(data(kind))  # type: ignore[arg-type]


def stream(kind: str = "uniform") -> Stream:
    return Stream(model(kind), data(kind), threads=1)


def pairs_of(interactions: Interactions, places: np.ndarray) -> list[tuple[int, int]]:
    table = interactions.to_table().take(places)
    return list(zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))


# ------------------------------------------------------------------ one request


@cache
def pushed(kind: str) -> float:
    """The push of the request below, with the blocks that were kept before it."""
    here = stream(kind)
    return here.forget(pairs_of(data(kind), np.array([3, 4, 50, 111]))).push


@pytest.mark.parametrize("room", ["all", "items", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_touched_rows_are_exact_and_others_stay(
    kind: str, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # that have room for their blocks
    rows = {"all": 10**9, "items": sum(data(kind).shape) - 1, "none": 0}[room]
    for place in ("solvers.joint", "engines.session.kept"):
        monkeypatch.setattr(f"alteraser.{place}.room_for", lambda asked, *_: asked <= rows)
    here = stream(kind)
    gone = pairs_of(data(kind), np.array([3, 4, 50, 111]))
    touched = here.forget(gone)
    assert touched.changed == 4
    assert 0.5 < touched.push / pushed(kind) < 2  # kept blocks are those from before the request
    removal = data(kind).remove(gone)
    assert here.remaining().digest == removal.remaining.digest
    problem = Problem(model(kind).objective, removal.remaining, np.float64)
    P, Q = padded(model(kind).factors.users), padded(model(kind).factors.items)
    AHNewton().solve(problem.users, Q, P, touched.users, rank=3, threads=1)
    AHNewton().solve(problem.items, P, Q, touched.items, rank=3, threads=1)
    now = here.publish().factors
    np.testing.assert_allclose(now.users, P[:, :3], atol=1e-5)
    np.testing.assert_allclose(now.items, Q[:, :3], atol=1e-5)
    rest = np.setdiff1d(np.arange(problem.users.rows), touched.users)
    assert np.array_equal(now.users[rest], model(kind).factors.users[rest])


@pytest.mark.parametrize("kind", KINDS)
def test_bound_holds_whatever_was_done(kind: str) -> None:
    here = stream(kind)
    here.forget([data(kind).users.ids[4].as_py()], whole_users=True)
    here.forget(pairs_of(here.remaining(), np.array([9])))
    here.forget(pairs_of(here.remaining(), np.array([9, 77])))
    problem = Problem(model(kind).objective, here.remaining(), np.float64)
    factors = here.publish().factors
    now = evaluate(problem, factors)
    residual = (
        gradient_norm(problem, factors, now.user_gradient, now.item_gradient) / here.kept.push
    )
    assert residual <= here.residual_bound * (1 + 1e-9)


def left(here: Stream, kind: str) -> float:
    """The residual, from scratch."""
    problem = Problem(model(kind).objective, here.remaining(), np.float64)
    factors = here.publish().factors
    now = evaluate(problem, factors)
    return (
        float(gradient_norm(problem, factors, now.user_gradient, now.item_gradient))
        / here.kept.push
    )


@pytest.mark.parametrize("kind", KINDS)
def test_relaxing_holds_the_tolerance_for_all_rows(kind: str) -> None:
    here = stream(kind)
    here.forget(pairs_of(data(kind), np.array([0, 1, 60])))
    before = left(here, kind)
    goal = before / 8
    relaxed = here.relax(goal)
    now = left(here, kind)
    assert now <= goal * 1.02 < before
    assert relaxed.residual == pytest.approx(now, rel=0.02)  # kept blocks are of before the request
    assert here.residual_bound >= now
    assert relaxed.solved > 0
    assert here.polish().converged


def test_slow_directions_outlive_an_item_that_loses_its_last_interaction() -> None:
    here = stream()
    here.forget([data().users.ids[2].as_py()], whole_users=True)
    here.polish()
    kept = here.kept.slow
    assert kept is not None
    item = int(
        np.argmin(np.where(here.remaining().item_counts > 0, here.remaining().item_counts, 10**6))
    )
    assert kept.left[item].any()
    here.forget(items=[data().items.ids[item].as_py()])
    outcome = here.polish()
    assert outcome.converged
    assert outcome.passes < 15
    assert not outcome.factors.items[item].any()
    assert outcome.measured is not None
    assert outcome.measured.holds(Limits())


def test_relaxing_without_a_request_does_nothing_and_bad_tolerances_are_refused() -> None:
    here = stream()
    assert here.relax(1e-6).solved == 0
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(InvalidInput, match="above 0"):
            here.relax(bad)


def test_relaxing_leaves_alone_what_no_request_reached() -> None:
    """Two groups that share nothing, and no missing cells: rows of the other group are never
    solved."""
    rng = np.random.default_rng(3)
    pairs = [
        (20 * g + int(u), 20 * g + int(v)) for g in (0, 1) for u, v in rng.integers(0, 20, (150, 2))
    ]
    whole = Interactions.from_pairs(sorted(set(pairs)))
    table = whole.to_table().append_column("target", [rng.uniform(0.5, 2, len(whole))])
    table = table.append_column("confidence", [np.ones(len(whole))])
    explicit = Interactions.from_table(table)
    trained = ae.ENMF(
        factors=2, missing_weight=0.0, regularization=0.4, dtype="float64", tolerance=1e-11
    )
    here = Stream(trained.fit(explicit), explicit, threads=1)
    factors = here.publish().factors
    here.forget([pairs[0]])
    here.relax(1e-2)
    now = here.publish().factors
    users = explicit.users.rows_of(list(range(20, 40)))
    users = users[users >= 0]
    assert np.array_equal(now.users[users], factors.users[users])
    assert not np.array_equal(now.users, factors.users)


def test_polishing_to_a_tolerance_alone_chooses_rows_by_their_residual() -> None:
    """Two groups without missing cells: rows of the other group are not open and stay, bit by bit,
    what they were."""
    rng = np.random.default_rng(3)
    pairs = sorted(
        {
            (20 * g + int(u), 20 * g + int(v))
            for g in range(5)
            for u, v in rng.integers(0, 20, (150, 2))
        }
    )
    table = Interactions.from_pairs(pairs).to_table()
    table = table.append_column("target", [rng.uniform(0.5, 2, len(table))])
    explicit = Interactions.from_table(table.append_column("confidence", [np.ones(len(table))]))
    trained = ae.ENMF(
        factors=2, missing_weight=0.0, regularization=0.4, dtype="float64", tolerance=1e-11
    )
    here = Stream(trained.fit(explicit), explicit, threads=1, limits=None, tolerance=1e-2)
    factors = here.publish().factors
    here.forget([pairs[0]])
    outcome = here.polish()
    assert outcome.converged
    assert outcome.route == ("rows",)
    assert outcome.residual <= 1e-2
    assert outcome.objective == pytest.approx(
        evaluate(
            Problem(trained.objective(explicit), here.remaining(), np.float64),
            here.publish().factors,
        ).objective
    )
    users = explicit.users.rows_of(list(range(20, 100)))
    np.testing.assert_array_equal(
        here.publish().factors.users[users[users >= 0]], factors.users[users[users >= 0]]
    )


def test_what_training_left_counts_against_the_tolerance() -> None:
    """A request far from where the model is unfinished moves little, and says nothing of the
    rest."""
    rng = np.random.default_rng(5)
    pairs = [*sorted({(int(u), int(v)) for u, v in rng.integers(0, 20, (150, 2))}), (100, 100)]
    table = Interactions.from_pairs(pairs).to_table()
    table = table.append_column("target", [rng.uniform(0.5, 2, len(table))])
    explicit = Interactions.from_table(table.append_column("confidence", [np.ones(len(table))]))
    trained = ae.ENMF(
        factors=2, missing_weight=0.0, regularization=0.5, dtype="float64", tolerance=1e-2
    ).fit(explicit)
    here = Stream(trained, explicit, threads=1, limits=None, tolerance=1e-3)
    push = here.forget([(100, 100)]).push
    problem = Problem(trained.objective, here.remaining(), np.float64)
    for finished in (False, True):
        factors = here.publish().factors
        now = evaluate(problem, factors)
        left = gradient_norm(problem, factors, now.user_gradient, now.item_gradient) / push
        assert left > 1e-3 or finished
        if finished:
            assert left <= 1e-3 * 1.05
        else:
            assert here.residual_bound >= 0.9 * left
            assert here.polish().converged


@pytest.mark.parametrize("kind", KINDS)
def test_polished_is_what_forget_finds(kind: str) -> None:
    here = stream(kind)
    gone = pairs_of(data(kind), np.array([0, 1, 60, 130, 200]))
    here.forget(gone)
    outcome = here.polish()
    assert outcome.converged
    assert outcome.measured is not None
    published = here.publish()
    other = ae.forget(model(kind), gone, data=data(kind))
    assert published.trained_on == other.model.trained_on
    apart = relative_model_distance(published.factors, other.model.factors)
    assert apart <= 2 * (outcome.measured.distance + other.details["measured"]["distance"]) + 1e-12
    assert ae.verify(published, here.remaining(), before=model(kind)).certificate.passed


# ------------------------------------------------------------------ nothing is left behind


def test_after_polishing_memory_follows_from_the_published_model() -> None:
    here = stream()
    here.forget([data().users.ids[2].as_py(), data().users.ids[9].as_py()], whole_users=True)
    here.polish()
    published = here.publish()
    fresh = Stream(
        published, here.remaining().with_maps(published.users, published.items), threads=1
    )
    for mine, theirs in zip(here.kept.halves, fresh.kept.halves, strict=True):
        for name, value in vars(mine).items():
            other = getattr(theirs, name)
            if name == "rows":
                assert all(
                    np.array_equal(a, b)
                    for a, b in zip(vars(value).values(), vars(other).values(), strict=True)
                )
            else:
                assert np.array_equal(value, other), name
    assert not here.kept.earlier


def test_freed_places_hold_nothing() -> None:
    here = stream("weighted")
    here.forget(pairs_of(data("weighted"), np.arange(0, 120, 3)))
    for half in here.kept.halves:
        rows = half.rows
        held = np.zeros(rows.indices.size, bool)
        for begin, end in zip(rows.start, rows.stop, strict=True):
            held[begin:end] = True
        for values in (rows.indices, rows.confidence, rows.target, rows.stamp):
            if values.size:
                assert not values[~held].any()


def test_a_user_who_is_gone_has_no_row_and_no_id() -> None:
    here = stream()
    name = data().users.ids[5].as_py()
    here.forget([name], whole_users=True)
    here.polish()
    published = here.publish()
    assert published.users.rows_of([name]).tolist() == [-1]
    assert not published.factors.users[5].any()


# ------------------------------------------------------------- the order of requests does not count


@pytest.mark.parametrize("size", [1, 4, 20])
def test_one_by_one_in_batches_and_at_once_end_in_the_same_model(size: int) -> None:
    rng = np.random.default_rng(2)
    places = rng.permutation(len(data()))[:20]
    gone = pairs_of(data(), places)
    here, at_once = stream(), stream()
    worst = 0.0
    for start in range(0, len(gone), size):
        for pair in gone[start : start + size]:
            here.forget([pair])
        outcome = here.polish()
        assert outcome.measured is not None
        worst = max(worst, outcome.measured.distance)
    at_once.forget(gone)
    last = at_once.polish()
    assert last.measured is not None
    apart = relative_model_distance(here.publish().factors, at_once.publish().factors)
    assert apart <= 2 * (worst + last.measured.distance) + 1e-12


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["pair", "user", "item", "window", "back", "undo"]),
            st.integers(0, 10**6),
        ),
        max_size=8,
    )
)
def test_any_mixture_of_requests_ends_at_the_optimum_of_what_remains(
    steps: list[tuple[str, int]],
) -> None:
    here, known, taken = stream(), data(), []
    for kind, number in steps:
        now = here.remaining()
        if kind == "pair":
            taken.append(here.forget(pairs_of(now, np.array([number % len(now)]))))
        elif kind == "user":
            present = np.flatnonzero(now.user_counts)
            taken.append(
                here.forget(
                    [now.users.ids[int(present[number % present.size])].as_py()], whole_users=True
                )
            )
        elif kind == "item":
            present = np.flatnonzero(now.item_counts)
            taken.append(
                here.forget(items=[now.items.ids[int(present[number % present.size])].as_py()])
            )
        elif kind == "window":
            assert now.timestamp is not None
            begin = int(now.timestamp[number % len(now)])
            taken.append(here.forget(window=(begin, begin + 1)))
        elif kind == "undo" and taken:
            here.undo(taken.pop())
        elif kind == "back":
            missing = known.remove(now).remaining if len(now) < len(known) else None
            if missing is not None:
                here.give_back(missing)
                taken.clear()
    assert here.polish().converged
    problem = Problem(model().objective, here.remaining(), np.float64)
    factors = here.publish().factors
    fresh = evaluate(problem, factors)
    assert gradient_norm(problem, factors, fresh.user_gradient, fresh.item_gradient) <= 1e-3 * max(
        fresh.theta_norm, 1
    )
    assert len(here.remaining()) == len(known) or here.remaining().digest != known.digest


def test_undo_brings_the_model_back() -> None:
    here = stream("weighted")
    first = here.forget([data("weighted").users.ids[3].as_py()], whole_users=True)
    second = here.forget(items=[data("weighted").items.ids[8].as_py()])
    here.polish()
    here.undo(second)
    here.undo(first)
    assert here.remaining().digest == data("weighted").digest
    outcome = here.polish()
    assert outcome.measured is not None
    apart = relative_model_distance(here.publish().factors, model("weighted").factors)
    assert apart <= 2 * outcome.measured.distance + 1e-6
    with pytest.raises(NotFound, match="given back already"):
        here.undo(first)


def test_rows_grow_beyond_their_room() -> None:
    here = stream()
    name = data().users.ids[0].as_py()
    everything = [(name, item) for item in data().items.ids.to_pylist()]
    here.give_back(everything)
    assert here.remaining().user_counts[0] == data().items.size
    assert here.remaining().timestamp is not None
    here.polish()
    assert ae.verify(here.publish(), here.remaining()).certificate.passed


def test_adaptive_requests_do_not_drift() -> None:
    """Always the user whose list changed most: what is left is still the optimum of what
    remains."""
    here = stream()
    before = here.publish()
    gone: list[int] = []
    for _ in range(12):
        after = here.publish()
        known = after.users.ids.to_pylist()
        moved = np.linalg.norm(after.factors.users - before.factors.users, axis=1)
        moved[gone] = -1.0
        alive = [int(r) for r in after.users.rows_of(known)]
        target = max(alive, key=lambda row: moved[row])
        before = after
        here.forget([data().users.ids[target].as_py()], whole_users=True)
        gone.append(target)
        here.polish()
        assert ae.verify(here.publish(), here.remaining()).certificate.passed


# ------------------------------------------------------------------ refusals


def test_what_cannot_be_done_is_said() -> None:
    here = stream()
    digest = here.remaining().digest
    with pytest.raises(NotFound, match="nothing to forget"):
        here.forget([(10**6, 10**6)])
    with pytest.raises(NotFound, match="nothing to forget"):
        here.forget([123456], whole_users=True)
    with pytest.raises(InvalidInput, match="exactly one of forget_set, items and window"):
        here.forget()
    with pytest.raises(InvalidInput, match="exactly one"):
        here.forget([(0, 0)], window=(0, 1))
    with pytest.raises(NotFound, match=r"user_id 999 has no row"):
        here.give_back([(999, 0)])
    with pytest.raises(NotFound, match="all of these interactions are in the data"):
        here.give_back(pairs_of(data(), np.array([0])))
    assert here.remaining().digest == digest
    untimed = Interactions(data().users, data().items, data().indptr, data().indices)
    with pytest.raises(InvalidInput, match="no timestamps"):
        Stream(model(), untimed).forget(window=(0, 5))
    with pytest.raises(IntegrityError):
        Stream(model(), data().remove(pairs_of(data(), np.array([0]))).remaining)
    trained_h = ae.Model(
        **{
            **vars(model()),
            "factors": Factors(model().factors.users, model().factors.items, np.array([1.0, 1, 2])),
        }
    )
    with pytest.raises(InvalidInput, match="prediction vector"):
        Stream(trained_h, data())


def test_unmatched_rows_are_listed_and_doubled_ones_count_once() -> None:
    here = stream()
    pair = pairs_of(data(), np.array([5]))[0]
    touched = here.forget([pair, pair, (pair[0], 10**6)])
    assert touched.changed == 1
    assert touched.unmatched.to_pylist() == [{"user_id": pair[0], "item_id": 10**6}]
