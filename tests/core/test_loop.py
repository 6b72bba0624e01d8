"""The loop on a toy: counting, ends, plans, watchers, interrupts; and the safeguard of
extrapolation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from alteraser.errors import Interrupted
from alteraser.linalg.anderson import Anderson, Safeguarded
from alteraser.solvers.loop import AGAIN, End, Move, Plan, Until, minimize
from alteraser.solvers.trace import PassRecord


@dataclass
class Number:
    """x, to be halved down to 0; the residual is |x|."""

    start: np.ndarray
    x: np.ndarray = field(init=False)
    finished: int = 0

    def __post_init__(self) -> None:
        self.x = self.start.copy()

    def factors(self) -> np.ndarray:
        return self.x.copy()

    def finish(self) -> tuple[float, float]:
        self.finished += 1
        return float(abs(self.x[0])), float(self.x[0] ** 2)


@dataclass
class Halving:
    """Halves x; ``small`` once that is below ``enough``."""

    enough: float = 0.0
    raising: Iterator[bool] | None = None

    def move(self, state: Number) -> Move:
        state.x /= 2
        if self.raising is not None and next(self.raising):
            raise KeyboardInterrupt
        return Move(PassRecord.of("all", float(state.x[0]), None, 1))

    def judge(self, state: Number) -> str:
        return "small" if state.x[0] < self.enough else AGAIN


@dataclass
class Look:
    """Moves nothing and is not counted; says ``signal``."""

    signal: str = "seen"
    calls: int = 0

    def move(self, state: Number) -> Move:
        self.calls += 1
        return Move(signal=self.signal)

    def judge(self, state: Number) -> str:
        raise AssertionError("never asked: there was no move without a signal")


@dataclass
class Deciding:
    """A counted move that knows itself what follows."""

    signal: str

    def move(self, state: Number) -> Move:
        state.x -= 1
        return Move(PassRecord.of("joint", float(state.x[0]), None, 1), signal=self.signal)

    def judge(self, state: Number) -> str:
        raise AssertionError("never asked")


def run(plan: Plan[Number], until: Until, **more: object):  # type: ignore[no-untyped-def]
    start = np.array([16.0])
    solution = minimize(lambda: (Number(start), plan), until, **more)  # type: ignore[arg-type]
    assert start == 16.0
    return solution


def halving(enough: float = 0.0) -> Plan[Number]:
    return Plan("halving", {"halving": Halving(enough)}, {("halving", "small"): End("tolerance")})


@pytest.mark.parametrize("cap", [0, 1, 5])
def test_moves_are_counted_numbered_and_told_up_to_the_cap(cap: int) -> None:
    told: list[PassRecord] = []
    solution = run(halving(), Until(0.0, cap), on_pass=told.append)
    assert [record.number for record in solution.trace] == list(range(1, cap + 1))
    assert [record.objective for record in solution.trace] == [16 / 2**k for k in range(1, cap + 1)]
    assert all(record.seconds >= 0 for record in solution.trace)
    assert tuple(told) == solution.trace
    assert (solution.reason, solution.converged, solution.state.finished) == ("passes", False, 1)
    assert solution.residual == 16 / 2**cap
    assert solution.objective == solution.residual**2


def test_the_first_number_may_be_another() -> None:
    assert [record.number for record in run(halving(), Until(0.0, 3, first=0)).trace] == [0, 1, 2]


def test_reasons_of_an_end() -> None:
    # the plan says so, whatever the residual is
    assert run(halving(3.0), Until(0.0, 99)).reason == "tolerance"
    capped = run(halving(), Until(1.0, 4))
    # the cap came first, and it was there
    assert (capped.reason, capped.converged) == ("tolerance", True)
    rounded = Plan("halving", {"halving": Halving(9.0)}, {("halving", "small"): End("rounding")})
    assert run(rounded, Until(99.0, 5)).reason == "rounding"


def test_the_table_says_what_follows_what() -> None:
    look, other = Look(), Halving(1.0)
    plan = Plan(
        "halving",
        {"halving": Halving(5.0), "look": look, "other": other, "last": Deciding("done")},
        {
            ("halving", "small"): "look",
            ("look", "seen"): "other",
            ("other", "small"): "last",
            ("last", "done"): End("bent"),
        },
    )
    solution = run(plan, Until(0.0, 99))
    # 8, 4 | a look, not counted | 2, 1, 0.5 | −0.5
    assert [record.objective for record in solution.trace] == [8.0, 4.0, 2.0, 1.0, 0.5, -0.5]
    assert [record.scope for record in solution.trace] == ["all"] * 5 + ["joint"]
    assert (look.calls, solution.reason) == (1, "bent")


def test_going_on_may_lead_elsewhere_too() -> None:
    """``again`` stays, unless the table has another answer to it."""
    plan = Plan(
        "one",
        {"one": Halving(), "two": Deciding("end")},
        {("one", AGAIN): "two", ("two", "end"): End("tolerance")},
    )
    assert [record.scope for record in run(plan, Until(0.0, 9)).trace] == ["all", "joint"]


def test_a_plan_without_an_answer_is_a_fault_of_the_plan() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        Plan("halving", {"halving": Halving()}, {("halving", "small"): "nowhere"})
    with pytest.raises(KeyError, match="begin"):
        Plan("begin", {"halving": Halving()}, {})
    with pytest.raises(KeyError, match="seen"):
        run(Plan("look", {"look": Look()}, {}), Until(0.0, 9))


def test_a_watcher_sees_every_move_but_the_one_that_ends_the_run() -> None:
    seen: list[tuple[int, float]] = []

    def watch(number: int, factors: object) -> bool:
        seen.append((number, float(factors()[0])))  # type: ignore[operator]
        return number == 3

    solution = run(halving(), Until(0.0, 99), watch=watch)
    assert seen == [(1, 8.0), (2, 4.0), (3, 2.0)]
    assert (solution.reason, len(solution.trace), solution.residual) == ("watch", 3, 2.0)
    seen.clear()
    ends = Plan("last", {"last": Deciding("done")}, {("last", "done"): End("tolerance")})
    assert run(ends, Until(0.0, 99), watch=watch).reason == "tolerance"
    assert seen == []


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("where", ["move", "record", "watch", "finish", "begin"])
def test_an_interrupt_anywhere_leaves_the_start_as_it_was(at: int, where: str) -> None:
    start, calls = np.array([16.0]), iter(range(9))

    def stop(*_: object) -> bool:
        if next(calls) == at:
            raise KeyboardInterrupt
        return False

    class Stopping(Number):
        def finish(self) -> tuple[float, float]:
            raise KeyboardInterrupt

    def begin() -> tuple[Number, Plan[Number]]:
        if where == "begin":
            raise KeyboardInterrupt
        raising = iter([k == at for k in range(9)]) if where == "move" else None
        state = Stopping(start) if where == "finish" else Number(start)
        return state, Plan("halving", {"halving": Halving(raising=raising)}, {})

    listening = {"record": {"on_pass": stop}, "watch": {"watch": stop}}.get(where, {})
    with pytest.raises(Interrupted, match=r"^interrupted; nothing was changed$"):
        minimize(begin, Until(0.0, at + 1), **listening)  # type: ignore[arg-type]
    assert start == 16.0


# ---------------------------------------------------------------- the safeguard


def test_an_extrapolated_point_that_raises_the_objective_is_put_back() -> None:
    """x ← T(x) = x / 2 on f = x², but the history is made to point far past 0."""
    history = Anderson(3, np.ones(1))
    wrong = [None, np.array([[90.0]])]
    history.extrapolate = lambda point, image: wrong.pop(0) if wrong else None  # type: ignore[method-assign]
    guard = Safeguarded(history, lambda best: 0.0)
    x, again, values = np.array([[16.0]]), 0, []

    def redone() -> float:
        nonlocal again
        again += 1
        return float(x[0, 0] ** 2)

    for _ in range(3):
        guard.extrapolate(x)
        values.append(guard.halfway(x, float(x[0, 0] ** 2), redone))
        assert not guard.extrapolated
        x /= 2
    # the third was at 90, and begins at the plain image 4 after all
    assert values == [256.0, 64.0, 16.0]
    assert (again, guard.rejected) == (1, 1)
    assert guard.best == 16.0


def test_a_value_that_is_no_number_is_refused_and_rounding_is_not() -> None:
    for value, slack, kept in (
        (float("nan"), 0.0, False),
        (1.0 + 1e-9, 1e-8, True),
        (1.0 + 1e-9, 0.0, False),
    ):
        history = Anderson(3, np.ones(1))
        history.extrapolate = lambda point, image: image + 1.0  # type: ignore[method-assign]
        guard = Safeguarded(history, lambda best, slack=slack: slack)  # type: ignore[misc]
        x = np.ones((1, 1))
        guard.halfway(x, 1.0, lambda: 0.0)
        guard.extrapolate(x)
        assert guard.extrapolated
        guard.halfway(x, value, lambda: 0.5)
        assert (guard.extrapolated, guard.rejected) == (kept, 0 if kept else 1)
        assert x == (2.0 if kept else 1.0)


def test_without_a_history_nothing_is_extrapolated_or_refused() -> None:
    guard, x = Safeguarded(None, lambda best: 0.0), np.ones((2, 1))
    for value in (1.0, 5.0):
        guard.extrapolate(x)
        assert guard.halfway(x, value, lambda: 0.0) == value
    assert not guard.extrapolated
    np.testing.assert_array_equal(x, 1.0)
