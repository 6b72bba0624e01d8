"""Where the time of a command went: every moment is in one part, and the parts are the total."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.cli.screen import Screen

NAMES = ("read", "check", "solve", "compare", "write")
WAYS = ("phase", "passes", "steps")
work = st.recursive(
    st.integers(1, 9),
    lambda within: st.tuples(
        st.sampled_from(NAMES), st.sampled_from(WAYS), st.booleans(), st.lists(within, max_size=3)
    ),
    max_leaves=12,
)


class Clock:
    """Goes on by what is done alone; ``spent`` is another account of it."""

    def __init__(self) -> None:
        self.now, self.spent, self.within = 0, Counter[str](), ["other"]

    def __call__(self) -> float:
        return float(self.now)

    def work(self, seconds: int) -> None:
        self.now += seconds
        self.spent[self.within[-1]] += seconds


def done(screen: Screen, clock: Clock, what: Any) -> None:
    """Work for so long, or a part with work within it, which may fail at its end."""
    if isinstance(what, int):
        clock.work(what)
        return
    name, way, fails, within = what
    goal = (1e-3,) if way == "passes" else ()
    clock.within.append(name)
    with suppress(ArithmeticError), getattr(screen, way)(name, name, *goal):
        for each in within:
            done(screen, clock, each)
        if fails:
            raise ArithmeticError
    clock.within.pop()


@given(st.lists(work, max_size=4))
def test_the_parts_are_the_total(whole: list[Any]) -> None:
    clock = Clock()
    screen = Screen(json=True, quiet=True, clock=clock)
    for each in whole:
        done(screen, clock, each)
    found = screen.timing()
    total = found.pop("total")
    assert {name: seconds for name, seconds in found.items() if seconds} == dict(clock.spent)
    assert sum(found.values()) == total == clock.now
    assert {"read", "solve", "write", "other"} <= found.keys()


@pytest.mark.parametrize("way", WAYS)
def test_what_failed_took_its_time(way: str) -> None:
    clock = Clock()
    screen = Screen(json=True, quiet=True, clock=clock)
    done(screen, clock, ("solve", way, True, [3]))
    assert screen.timing()["solve"] == 3
