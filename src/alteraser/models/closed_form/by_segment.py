"""How many interactions of each segment each item has, and of which segment everybody is.

A segment is what a column says of an interaction: a country, a device, an age group. Somebody is of
the segment that most of their interactions are of, of the first by name among equals, and so of
another one when those that decided it are gone. A segment that nothing is of any more is gone, its
name with it.

Forgetting takes the counts of what goes away, and nothing else of the state moves but of whom they
are: integers, so that it is what counting the rest gives, in every bit.

The state of S segments, in the order of their ids:

    starts (S + 1,) int64       where each segment's cells begin
    items (z,) int32            the items of a segment, increasing, each once (or once a day)
    days (z,) int32             with ages alone: the days on which an item has any, increasing
    counts (z,)                 int64, or float64 sums of confidences where the data have some
    of_user (m,) int32          the segment of everybody, −1 of who has nothing
    of_item (n,) int64          how many interactions each item has, of whatever segment
    names (b,) uint8            the ids as text, UTF-8, one behind the other
    name_ends (S,) int64        where each of them ends
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alteraser.data.selection import unit_of
from alteraser.errors import IntegrityError, InvalidInput, NotFound
from alteraser.models.closed_form.by_day import days_of, one_unit
from alteraser.models.closed_form.kind import largest_difference

if TYPE_CHECKING:
    from alteraser.data.deletion import Deletion
    from alteraser.data.interactions import Interactions

Array = npt.NDArray[Any]

ANOTHER = (
    "the segments (or times) of these interactions are not those of the data that the model was "
    "trained on"
)


@dataclass(frozen=True, eq=False)
class SegmentCells:
    """Counts by segment, item and day, in this order; without ages every day is 0."""

    segments: Array
    items: Array
    days: Array
    counts: Array

    def keys(self, days: Array, items: int) -> Array:
        """Each in one number, in the same order; ``days``: all that there are, increasing."""
        place = np.searchsorted(days, self.days)
        return np.asarray((self.segments * np.int64(items) + self.items) * days.size + place)

    def where(self, mask: Array) -> SegmentCells:
        """Some of them."""
        return SegmentCells(
            self.segments[mask], self.items[mask], self.days[mask], self.counts[mask]
        )


def counted(data: Interactions, *, aged: bool) -> dict[str, Array]:
    """The arrays of ``data``; ``aged`` where ages count."""
    return _packed(_cells(data, aged), data, aged)


def without(state: Mapping[str, Array], deletion: Deletion, *, aged: bool) -> dict[str, Array]:
    """``state`` of what remains; sums of confidences are formed anew.

    IntegrityError where what goes is not in the state.
    """
    before, remaining = deletion.data, deletion.removal.remaining
    found = names(before)
    there = np.flatnonzero(_present(before))
    if found != names_of(state):
        raise IntegrityError(ANOTHER)
    sums = before.confidence is not None or state["counts"].dtype != np.int64
    if sums or (aged and not one_unit(before, deletion.removed, remaining)):
        return counted(remaining, aged=aged)
    have, gone = cells_of(state, aged), _cells(deletion.removed, aged)
    have = SegmentCells(there[have.segments], have.items, have.days, have.counts)
    days, items = np.union1d(have.days, gone.days), before.shape[1]
    keys, lost = have.keys(days, items), gone.keys(days, items)
    places = np.searchsorted(keys, lost)
    if np.any(places == keys.size) or not np.array_equal(keys[places], lost):
        raise IntegrityError(ANOTHER)
    counts = have.counts.copy()
    counts[places] -= gone.counts
    if np.any(counts < 0):
        raise IntegrityError(ANOTHER)
    left = SegmentCells(have.segments, have.items, have.days, counts).where(counts > 0)
    renumbered = np.cumsum(_present(remaining)) - 1
    left = SegmentCells(renumbered[left.segments], left.items, left.days, left.counts)
    return _packed(left, remaining, aged)


def apart(state: Mapping[str, Array], data: Interactions, *, aged: bool) -> float:
    """The largest relative difference from tables by SciPy and NumPy's calendar; ∞ where a cell,
    a name or somebody's segment is another one.
    """
    from scipy.sparse import coo_array

    assert data.segments is not None
    texts = np.array([str(each) for each in data.segments.ids.ids.to_pylist()], object)
    wide = len(texts)
    of = np.searchsorted(data.segments.ids.rows, data.segments.rows)
    used = sorted(set(of.tolist()))
    if [texts[at] for at in used] != names_of(state):
        return np.inf
    moments = np.zeros(len(data), np.int64)
    if aged:
        assert data.timestamp is not None
        stamps = data.timestamp.astype(f"datetime64[{unit_of(data.timestamp)}]")
        moments = stamps.astype("datetime64[D]").astype(np.int64)
    rows = np.stack([of, data.indices.astype(np.int64), moments])
    distinct, where = np.unique(rows, axis=1, return_inverse=True)
    weights = np.ones(len(data)) if data.confidence is None else data.confidence
    counts = np.bincount(where.ravel(), weights, distinct.shape[1])
    have = cells_of(state, aged)
    same = np.array_equal(np.array(used)[have.segments], distinct[0]) if used else True
    same = same and np.array_equal(have.items, distinct[1])
    if not same or not np.array_equal(have.days, distinct[2]):
        return np.inf
    table = coo_array((np.ones(len(data)), (data.user_rows, of)), (data.shape[0], wide)).toarray()
    best = np.where(table.sum(1) > 0, table.argmax(1) if wide else -1, -1)
    mine = state["of_user"].astype(np.int64)
    mine = np.where(mine >= 0, np.array([*used, -1])[np.minimum(mine, len(used))], -1)
    totals = np.bincount(data.indices, minlength=data.shape[1])
    if not (np.array_equal(best, mine) and np.array_equal(totals, state["of_item"])):
        return np.inf
    return largest_difference({"counts": state["counts"]}, {"counts": counts})


def scores(
    state: Mapping[str, Array], rows: Array, half_life: float | None, today: int | None
) -> Array:
    """(len(rows), n): of everybody in ``rows`` the sums of their segment; −∞ for an item that
    nobody of it has.
    """
    of, where = np.unique(state["of_user"][rows], return_inverse=True)
    weights, items = _weights(state, half_life, today), state["of_item"].size
    table = np.full((of.size, items), -np.inf)
    for place, segment in enumerate(of.tolist()):
        if segment >= 0:
            table[place] = _sums(state, weights, items, segment)
    return table[where]


def scores_of(
    state: Mapping[str, Array], asked: Sequence[str], half_life: float | None, today: int | None
) -> Array:
    """(len(asked), n): the sums of each segment, by its name; −∞ for an item that nobody of it has.

    NotFound for a name that is none.
    """
    places = {name: place for place, name in enumerate(names_of(state))}
    for name in asked:
        if name not in places:
            some = ", ".join(repr(each) for each in list(places)[:10])
            raise NotFound(
                f"segment {name!r} is not in the model, which has {len(places):,}: {some}"
                + (", …" if len(places) > 10 else "")
            )
    weights, items = _weights(state, half_life, today), state["of_item"].size
    return np.stack([_sums(state, weights, items, places[name]) for name in asked])


def totals(state: Mapping[str, Array], half_life: float | None, today: int | None) -> Array:
    """(n,) the sums of all segments together."""
    weights = _weights(state, half_life, today)
    return np.bincount(state["items"], weights, state["of_item"].size)


def shapes(items: int, aged: bool) -> dict[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
    """{name: (shape, dtypes)}."""
    found: dict[str, tuple[tuple[int | None, ...], tuple[str, ...]]] = {
        "starts": ((None,), ("int64",)),
        "items": ((None,), ("int32",)),
        "counts": ((None,), ("int64", "float64")),
        "of_user": ((None,), ("int32",)),
        "of_item": ((items,), ("int64",)),
        "names": ((None,), ("uint8",)),
        "name_ends": ((None,), ("int64",)),
    }
    return found | ({"days": ((None,), ("int32",))} if aged else {})


def check(state: Mapping[str, Array], shape: tuple[int, int], *, aged: bool) -> None:
    """InvalidInput for arrays that do not belong together."""
    starts, ends, cells = state["starts"], state["name_ends"], state["counts"].size
    lengths = {state[name].size for name in ("items", "counts", *(["days"] if aged else []))}
    fits = (
        starts.size == ends.size + 1
        and starts[0] == 0
        and starts[-1] == cells
        and lengths == {cells}
        and bool(np.all(np.diff(starts) >= 0))
        and bool(np.all(np.diff(ends, prepend=0) >= 0))
        and int(ends[-1] if ends.size else 0) == state["names"].size
        and state["of_user"].size == shape[0]
    )
    bounds = (("items", shape[1], 0), ("of_user", ends.size, -1))
    inside = all(
        not state[name].size or least <= state[name].min() <= state[name].max() < most
        for name, most, least in bounds
    )
    if not fits or not inside:
        raise InvalidInput("starts, items, names and users are no counts by segment")


def names(data: Interactions) -> list[str]:
    """The ids of the segments that occur, as text, in their order."""
    assert data.segments is not None
    ids = data.segments.ids.ids_of(np.flatnonzero(_present(data)))
    return [str(each) for each in ids.to_pylist()]


def names_of(state: Mapping[str, Array]) -> list[str]:
    """The same of a state."""
    text, ends = state["names"].tobytes(), state["name_ends"].tolist()
    return [text[begin:end].decode() for begin, end in zip([0, *ends[:-1]], ends, strict=False)]


def _present(data: Interactions) -> Array:
    """(ids of segments,), whether anything is of each."""
    assert data.segments is not None
    return np.bincount(data.segments.rows, minlength=data.segments.ids.size) > 0


def _cells(data: Interactions, aged: bool) -> SegmentCells:
    """Of ``data``, segments by the rows of their map."""
    assert data.segments is not None
    days = np.zeros(len(data), np.int64)
    if aged:
        assert data.timestamp is not None
        days = days_of(data.timestamp)
    universe = np.unique(days)
    one = SegmentCells(data.segments.rows, data.indices.astype(np.int64), days, np.ones(len(data)))
    keys = one.keys(universe, data.shape[1])
    order = np.argsort(keys, kind="stable")
    _, first, times = np.unique(keys[order], return_index=True, return_counts=True)
    counts: Array = times
    if data.confidence is not None:
        counts = np.add.reduceat(data.confidence[order], first) if first.size else np.empty(0)
    at = order[first]
    return SegmentCells(one.segments[at], one.items[at], one.days[at], counts)


def cells_of(state: Mapping[str, Array], aged: bool) -> SegmentCells:
    """Of a state, segments by their place in it."""
    days = state["days"] if aged else np.zeros(state["items"].size)
    items = state["items"].astype(np.int64)
    return SegmentCells(_segments_of(state), items, days.astype(np.int64), state["counts"])


def _segments_of(state: Mapping[str, Array]) -> Array:
    return np.repeat(np.arange(state["starts"].size - 1), np.diff(state["starts"]))


def _of_users(data: Interactions) -> Array:
    """(m,) the segment of everybody, by its place among those that occur; −1: of none."""
    assert data.segments is not None
    present = _present(data)
    wide = np.int64(max(int(present.sum()), 1))
    mine = (np.cumsum(present) - 1)[data.segments.rows]
    pairs, counts = np.unique(data.user_rows * wide + mine, return_counts=True)
    users, segments = pairs // wide, pairs % wide
    best = np.lexsort((-segments, counts, users))  # the last of a user: most, then the first by id
    found = np.full(data.shape[0], -1, np.int32)
    found[users[best]] = segments[best]
    return found


def _packed(cells: SegmentCells, data: Interactions, aged: bool) -> dict[str, Array]:
    """``cells``, which are those of ``data``, as the state keeps them; segments are renumbered."""
    encoded = [text.encode() for text in names(data)]
    _, places = np.unique(cells.segments, return_inverse=True)
    packed: dict[str, Array] = {
        "starts": np.searchsorted(places.ravel(), np.arange(len(encoded) + 1)).astype(np.int64),
        "items": cells.items.astype(np.int32),
        "counts": cells.counts,
        "of_user": _of_users(data),
        "of_item": data.item_counts.astype(np.int64),
        "names": np.frombuffer(b"".join(encoded), np.uint8),
        "name_ends": np.cumsum([len(each) for each in encoded], dtype=np.int64),
    }
    return packed | ({"days": cells.days.astype(np.int32)} if aged else {})


def _weights(state: Mapping[str, Array], half_life: float | None, today: int | None) -> Array:
    """What each cell counts for, (z,) float64."""
    if half_life is None:
        return state["counts"].astype(np.float64)
    days = state["days"].astype(np.int64)
    ages = (days.max(initial=0) if today is None else today) - days
    faded = np.exp2(-np.maximum(ages, 0) / half_life)
    return np.asarray(state["counts"] * np.where(ages >= 0, faded, 0.0))


def _sums(state: Mapping[str, Array], weights: Array, items: int, segment: int) -> Array:
    """(n,) of one segment; −∞ where an item has nothing of it."""
    part = slice(*state["starts"][segment : segment + 2].tolist())
    sums = np.bincount(state["items"][part], weights[part], items)
    return np.where(sums > 0, sums, -np.inf)
