"""How many interactions each item has of each day: what sums that fade with age are formed of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alteraser.data import blocks
from alteraser.data.selection import UNITS, bounds_of, unit_of
from alteraser.models.closed_form.kind import largest_difference
from alteraser.models.closed_form.live import Had, Lost

if TYPE_CHECKING:
    from alteraser.data.interactions import Interactions

Array = npt.NDArray[Any]

DAY = 86_400
EPOCH = date(1970, 1, 1).toordinal()
_BITS = 32
"""Of a key, its lower half: the day, which may be before 1970"""


def day_of(text: str) -> int:
    """Days from 1970 to a date as people write it; ValueError for one that is none.

    >>> day_of("1970-01-02")
    1
    """
    try:
        return date.fromisoformat(text).toordinal() - EPOCH
    except ValueError:
        raise ValueError(f"{text!r} is not a day such as 2026-03-01") from None


def days_of(times: Array) -> Array:
    """Days from 1970, rounded down, of times in the unit they seem to be in, int64."""
    return np.asarray(times // (DAY * UNITS[unit_of(times)]))


def one_unit(*parts: Interactions) -> bool:
    """Whether the times of all ``parts`` that have any seem to be in one unit: of early ones alone
    another may seem so.
    """
    times = [part.timestamp for part in parts if part.timestamp is not None and len(part)]
    return len({unit_of(each) for each in times}) < 2


def cells(data: Interactions) -> dict[str, Array]:
    """{``starts`` (n + 1,) int64, ``days`` (z,) int32, ``counts`` (z,)}: item by item, the days on
    which it has any.

    Counts are int64, or float64 sums of confidences where the data have some.
    """
    keys = _keys(data)
    if data.confidence is None:
        keys.sort()
        order = None
    else:
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
    first = np.flatnonzero(blocks.begins(keys))
    counts: Array = np.diff(first, append=keys.size)
    if data.confidence is not None:
        counts = np.add.reduceat(data.confidence[order], first) if first.size else np.empty(0)
    return _state(keys[first], counts, data.shape[1])


def without(
    state: Mapping[str, Array], removed: Interactions, remaining: Interactions
) -> dict[str, Array] | None:
    """``cells(remaining)`` from those of both together; None where something ``removed`` is not in
    ``state``.
    """
    keys, counts = _of(state), state["counts"].copy()
    gone, times = np.unique(_keys(removed), return_counts=True)
    places = np.searchsorted(keys, gone)
    if np.any(places == keys.size) or not np.array_equal(keys[places], gone):
        return None
    if remaining.confidence is None and counts.dtype == np.int64:
        counts[places] -= times
        if np.any(counts[places] < 0):
            return None
        left = counts > 0
        return _state(keys[left], counts[left], state["starts"].size - 1)
    lost = np.isin(_keys(remaining), gone)
    again = cells(remaining.keep(lost))
    counts = counts.astype(again["counts"].dtype)
    left = np.ones(keys.size, bool)
    left[places] = False
    kept = np.searchsorted(keys, _of(again))
    left[kept] = True
    counts[kept] = again["counts"]
    return _state(keys[left], counts[left], state["starts"].size - 1)


def decayed(state: Mapping[str, Array], half_life: float, today: int | None) -> Array:
    """Σ c 2^(−age / half_life) of every item, (n,), ages in days back from ``today``; None: from
    the newest.
    """
    starts, days = state["starts"], state["days"].astype(np.int64)
    ages = (days.max(initial=0) if today is None else today) - days
    weights = state["counts"] * np.where(ages >= 0, np.exp2(-np.maximum(ages, 0) / half_life), 0.0)
    scores = np.zeros(starts.size - 1)
    full = np.flatnonzero(np.diff(starts))
    if full.size:
        scores[full] = np.add.reduceat(weights, starts[full])
    return scores


def apart(state: Mapping[str, Array], data: Interactions) -> float:
    """The largest relative difference from a table by NumPy's calendar; ∞ where other days have
    any.
    """
    assert data.timestamp is not None
    moments = (
        data.timestamp.astype(f"datetime64[{unit_of(data.timestamp)}]")
        .astype("datetime64[D]")
        .astype(np.int64)
    )
    confidence = np.ones(len(data)) if data.confidence is None else data.confidence
    pairs, where = np.unique(
        np.stack([data.indices.astype(np.int64), moments]), axis=1, return_inverse=True
    )
    starts = np.searchsorted(pairs[0], np.arange(data.shape[1] + 1))
    counts = np.bincount(where.ravel(), confidence, pairs.shape[1])
    if not (np.array_equal(state["starts"], starts) and np.array_equal(state["days"], pairs[1])):
        return np.inf
    return largest_difference({"counts": state["counts"]}, {"counts": counts})


class LiveDays:
    """``cells`` that change person by person, of interactions without confidences; ``Lost`` where
    the times seem to be in another unit than those of the beginning.
    """

    def __init__(self, state: Mapping[str, Array], data: Interactions) -> None:
        assert data.timestamp is not None
        self._keys, self._counts = _of(state), state["counts"].copy()
        unit = unit_of(data.timestamp)
        self._items, self._unit = state["starts"].size - 1, UNITS[unit]
        self._least, self._limit = bounds_of(unit)
        self._telling = int(np.count_nonzero(np.abs(data.timestamp) >= self._least))
        self._more: dict[int, int] = {}  # days on which an item had nothing when it began

    def change(self, before: Had, after: Had) -> None:
        """One count for every item, of its day."""
        for had, by in ((before, -1), (after, 1)):
            if not had.items.size:
                continue
            assert had.times is not None
            self._tell(had.times, by)
            keys = (had.items << _BITS) + had.times // (DAY * self._unit) + (1 << _BITS - 1)
            places = np.minimum(np.searchsorted(self._keys, keys), self._keys.size - 1)
            there = self._keys[places] == keys
            self._counts[places[there]] += by
            for key in keys[~there].tolist():
                self._more[key] = self._more.get(key, 0) + by
        if not self._telling:
            raise Lost

    def _tell(self, times: Array, by: int) -> None:
        """Count the times by which the unit is told."""
        sizes = np.abs(times)
        self._telling += by * int(np.count_nonzero(sizes >= self._least))
        if by > 0 and np.any(sizes >= self._limit):
            raise Lost

    def state(self) -> dict[str, Array]:
        """The cells as they are now."""
        keys = np.concatenate([self._keys, np.array(list(self._more), np.int64)])
        counts = np.concatenate([self._counts, np.array(list(self._more.values()), np.int64)])
        order = np.argsort(keys)
        keys, counts = keys[order], counts[order]
        return _state(keys[counts > 0], counts[counts > 0], self._items)


def _keys(data: Interactions) -> Array:
    """Item and day of every interaction in one number, that sorts by item and then by day."""
    assert data.timestamp is not None
    keys = data.indices.astype(np.int64)
    keys <<= _BITS
    keys += days_of(data.timestamp)
    keys += 1 << _BITS - 1
    return keys


def _of(state: Mapping[str, Array]) -> Array:
    items = np.repeat(np.arange(state["starts"].size - 1, dtype=np.int64), np.diff(state["starts"]))
    return (items << _BITS) + state["days"] + (1 << _BITS - 1)


def _state(keys: Array, counts: Array, items: int) -> dict[str, Array]:
    days = (keys & (1 << _BITS) - 1) - (1 << _BITS - 1)
    starts = np.searchsorted(keys >> _BITS, np.arange(items + 1)).astype(np.int64)
    return {"starts": starts, "days": days.astype(np.int32), "counts": counts}
