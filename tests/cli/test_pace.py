"""The bar moves while a step takes long, never falls, and is full only when all is done."""

from __future__ import annotations

import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from alteraser.cli.pace import Pace
from alteraser.cli.screen import Screen
from alteraser.erasers import PassRecord
from alteraser.runtime import events

steps = st.lists(
    st.tuples(st.one_of(st.none(), st.floats(1e-12, 1e3)), st.floats(0.01, 50)), max_size=12
)


@given(steps, st.booleans(), st.floats(0, 1e-2))
def test_it_never_falls_never_stands_and_is_never_full(
    passes: list[tuple[float | None, float]], beyond: bool, tolerance: float
) -> None:
    pace, now, seen = Pace(tolerance, beyond=beyond), 0.0, [0.0]
    for residual, seconds in passes:
        for part in (0.3, 0.6, 1.0):  # while it works
            seen.append(pace.at(now + part * seconds))
        now += seconds
        pace.record(residual, now)
        seen.append(pace.at(now))
    assert seen == sorted(seen)
    assert seen[-1] < 1.0
    later = [pace.at(now + wait) for wait in (1.0, 2.0, 4.0)]
    assert later == sorted(later)
    if later[-1] < 0.9:
        assert len(set(later)) == 3


def test_beyond_the_tolerance_something_is_left() -> None:
    ends, goes_on = Pace(1e-3, beyond=False), Pace(1e-3, beyond=True)
    for pace in (ends, goes_on):
        pace.record(1.0, 1.0)
        pace.record(1e-3, 2.0)
    assert ends.at(2.0) > 0.99
    assert goes_on.at(2.0) == pytest.approx(0.7)
    goes_on.record(1e-6, 3.0)
    assert 0.9 < goes_on.at(3.0) < 1.0


def test_a_terminal_sees_it_move_within_one_joint_step(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(Screen, "stderr", property(lambda self: console))
    with Screen(False, False).passes("solve", "forgetting", 1e-3):
        on_pass = events.passes(None)  # as a verb takes it
        assert on_pass is not None
        on_pass(PassRecord(1, "all", 1.0, 1.0, 0.1, 5, False))
        on_pass(PassRecord(2, "joint", 1.0, 1e-1, 0.1, 5, False))
        time.sleep(0.6)
    drawn = [
        line
        for line in text.getvalue().replace("\x1b[2K", "\r").split("\r")
        if "joint step 2" in line
    ]
    assert len({line.split("joint")[0] for line in drawn}) > 1
    assert "residual 1.0e-01" in drawn[-1]
