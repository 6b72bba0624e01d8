"""What a dry run predicts: the time of an evaluation that nothing disturbs, times a count that
training bounds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.models.ease import cost
from alteraser.verbs import choose
from alteraser.verbs.choose import CONVERGE, LOCAL


@given(st.lists(st.floats(1.0, 1e4), min_size=2, max_size=5))
def test_forgetting_is_no_dearer_than_the_training_it_follows(evaluations: list[float]) -> None:
    """Unless that was so short that what is done once counts; and after a longer one it takes no
    less."""
    for way in (LOCAL, CONVERGE):
        assert all(way.of(x) < x for x in evaluations if x > way.least)
        assert all(way.of(a) <= way.of(b) for a, b in pairwise(sorted(evaluations)))
    assert all(LOCAL.of(x) < CONVERGE.of(x) for x in [*evaluations, None])


@pytest.mark.parametrize("seconds", [[9.0, 1.0, 3.0], [0.05] * 3 + [0.02] * 6, [7.0]])
def test_the_first_evaluation_which_waits_for_memory_counts_for_nothing(
    seconds: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timed again until that took ``ENOUGH``, and ``TIMES`` at most."""
    clock, left = [0.0], list(seconds)

    def timed(*of: Any) -> float:
        clock[0] += left[0] / 100
        return left.pop(0)

    class Shift:
        after = original = workers = None

    monkeypatch.setattr(choose, "_timed", timed)
    monkeypatch.setattr(choose, "TIMES", len(seconds))
    monkeypatch.setattr(choose.time, "perf_counter", lambda: clock[0])
    assert choose._evaluation_seconds(Shift()) == min(seconds)  # type: ignore[arg-type]


def test_a_long_evaluation_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, times = [0.0], [0]

    def timed(*of: Any) -> float:
        clock[0], times[0] = clock[0] + 10 * choose.ENOUGH, times[0] + 1
        return 1.0

    class Shift:
        after = original = workers = None

    monkeypatch.setattr(choose, "_timed", timed)
    monkeypatch.setattr(choose.time, "perf_counter", lambda: clock[0])
    choose._evaluation_seconds(Shift())  # type: ignore[arg-type]
    assert times == [1]


MEASURED = {
    # items, users, Σ|D_u|²/2 of all but some, (rows, entries, step over fit)
    "ml-1m": (3706, 1.9e8, [(302, 239_394, 0.24), (302, 6_429, 0.12), (302, 53_705, 0.16)]),
    "ml-100k": (1682, 1.0e7, [(47, 18_911, 0.16), (47, 955, 0.10), (47, 5_053, 0.12)]),
}
"""``alteraser bench exact SET --only share --repeats 5``"""


@pytest.mark.parametrize("name", list(MEASURED))
def test_what_a_step_of_ease_is_predicted_to_take_is_what_it_took(name: str) -> None:
    n, shared, steps = MEASURED[name]
    for rows, entries, took in steps:
        change = cost.update(n, rows, entries) + cost.copied(n)
        assert change / cost.anew(n, shared) == pytest.approx(took, abs=0.045)
