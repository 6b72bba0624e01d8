"""Insertion into a list of the best: whatever comes, in any order, it is the sorted beginning."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alteraser.models.neighbors import _best, _pairs

ENTRIES = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from([0.25, 0.5, 1.0, 2.0])),
    unique_by=lambda entry: entry[0],
    max_size=20,
)


def sorted_beginning(
    entries: list[tuple[int, float]], length: int
) -> tuple[list[int], list[float]]:
    best = sorted(entries, key=lambda entry: (-entry[1], entry[0]))[:length]
    missing = length - len(best)
    return [i for i, _ in best] + [-1] * missing, [v for _, v in best] + [0.0] * missing


@given(entries=ENTRIES, length=st.integers(1, 8))
def test_a_list_is_the_sorted_beginning(entries: list[tuple[int, float]], length: int) -> None:
    """Of items in any order, equal values among them; what lies behind is not looked at."""
    items, values = np.full(length, 7, np.int32), np.full(length, 9.0)
    held = 0
    for item, value in entries:
        last = held - 1
        if held < length or _best.before(value, item, values[last], items[last]):
            held = _best.put(item, value, held, items, values)
    _best.close(held, items, values)
    assert (items.tolist(), values.tolist()) == sorted_beginning(entries, length)
    assert _best.held_by(items) == held == min(len(entries), length)


@given(entries=ENTRIES, length=st.integers(1, 8), below=st.floats(0.0, 0.25))
def test_entering_a_closed_list(
    entries: list[tuple[int, float]], length: int, below: float
) -> None:
    """The same of lists that are closed all along; the bound is the end of a full list, if that is
    above."""
    neighbors, values = np.full((1, length), -1, np.int32), np.zeros((1, length))
    worst = np.array([below])
    for item, value in entries:
        _pairs.enter(0, item, value, neighbors, values, worst)
    wanted = sorted_beginning(entries, length)
    assert (neighbors[0].tolist(), values[0].tolist()) == wanted
    assert worst[0] == (max(below, wanted[1][-1]) if len(entries) >= length else below)
