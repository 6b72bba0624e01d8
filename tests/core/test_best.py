"""Insertion into a list of the best: whatever comes, in any order, it is the sorted beginning; and
the two ways to make all lists."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from alteraser.data.interactions import Interactions
from alteraser.models.neighbors import _best, _pairs, lists
from alteraser.models.neighbors.similarity import NAMES, Name, Similarity

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


@given(
    data=st.data(),
    seed=st.integers(0, 10_000),
    name=st.sampled_from(NAMES),
    length=st.integers(1, 6),
    threads=st.integers(1, 3),
)
def test_by_pairs_and_row_by_row(
    data: st.DataObject, seed: int, name: Name, length: int, threads: int
) -> None:
    """The same bits, of data in which few or most items share somebody, with ties, weights and
    weights of both signs (tfidf, of who has nearly everything)."""
    rng = np.random.default_rng(seed)
    shape = data.draw(st.integers(2, 12)), data.draw(st.integers(2, 12))
    there = rng.random(shape) < data.draw(st.sampled_from([0.1, 0.5, 0.95]))
    there[0, 0] = True
    users, items = np.nonzero(there)
    table = {"user_id": users, "item_id": items}
    if data.draw(st.booleans()):
        table["confidence"] = rng.integers(1, 4, users.size)
    whole = Interactions.read(
        pa.table(table), **({"confidence": "confidence"} if len(table) > 2 else {})
    )
    measure = Similarity(name, data.draw(st.sampled_from([0.0, 2.0])))
    by_row = lists._empty(whole.shape[1], length)
    lists._fill(whole, measure, None, *by_row, threads)
    by_pairs = lists._all(whole, measure, length, threads)
    for one, other in zip(by_row, by_pairs, strict=True):
        assert np.array_equal(one, other)
