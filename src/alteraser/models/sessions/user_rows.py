"""A row for each user over the items of their baskets: sums over baskets, and what a deletion
leaves of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from alteraser.data import blocks

if TYPE_CHECKING:
    from alteraser.data.events import Events

Array = npt.NDArray[Any]


class UserRows(NamedTuple):
    """A sparse matrix of users by items, items increasing within a row."""

    indptr: npt.NDArray[np.int64]
    """(m + 1,)"""
    items: npt.NDArray[np.int32]
    values: Array

    @classmethod
    def of(cls, state: Mapping[str, Array]) -> UserRows:
        """From a state under these names."""
        return cls(state["indptr"], state["items"], state["values"])

    def to_state(self, n: int) -> dict[str, Array]:
        """{``indptr``, ``items``, ``values``} and ``holders`` (n,), how many users have each
        item.
        """
        arrays = {name: np.ascontiguousarray(array) for name, array in self._asdict().items()}
        return arrays | {"holders": blocks.counts(self.items, n)}

    def matrix(self, n: int) -> Any:
        """As a SciPy array (m, n) of float64."""
        from scipy.sparse import csr_array

        return csr_array(
            (self.values.astype(np.float64), self.items, self.indptr), (self.indptr.size - 1, n)
        )


def summed(events: Events, weights: Array, m: int) -> UserRows:
    """Σ of ``weights`` (groups,) over the groups of a user that hold an item, however often.

    Each sum depends on its own terms alone, in the order of the groups: so it is the same in every
    bit whoever else is there.
    """
    counts = np.zeros(m, np.int64)
    parts = [(events.items[:0], weights[:0])]
    for block in blocks.of_users(blocks.user_starts(events.users, m)):
        users, items, numbers = (
            column[block.entries] for column in (events.users, events.items, events.numbers)
        )
        order = np.lexsort((numbers, items, users))
        users, items, numbers = users[order], items[order], numbers[order]
        begins = np.ones(users.size, bool)
        begins[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
        once = begins.copy()
        once[1:] |= numbers[1:] != numbers[:-1]
        users, items, numbers, begins = users[once], items[once], numbers[once], begins[once]
        starts = np.flatnonzero(begins)
        if starts.size:
            parts.append((items[starts], np.add.reduceat(weights[numbers], starts)))
        counts[block.users] = np.bincount(
            users[starts] - block.first, minlength=block.last - block.first
        )
    items, values = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return UserRows(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), items, values)


def exchanged(rows: UserRows, fresh: UserRows, users: Array) -> UserRows:
    """``rows`` with those of ``users`` taken from ``fresh``, which has as many."""
    flags = np.zeros(rows.indptr.size - 1, bool)
    flags[users] = True
    mine, theirs = np.diff(rows.indptr), np.diff(fresh.indptr)
    counts = np.where(flags, theirs, mine)
    there, stay, come = np.repeat(flags, counts), np.repeat(~flags, mine), np.repeat(flags, theirs)

    def column(old: Array, new: Array) -> Array:
        found = np.empty(there.size, old.dtype)
        found[there], found[~there] = new[come], old[stay]
        return found

    return UserRows(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        column(rows.items, fresh.items),
        column(rows.values, fresh.values),
    )


def part(events: Events, weights: Callable[[Events], Array]) -> tuple[Array, Array]:
    """(items, values) of the one user whose ``events`` these are; ``weights`` of their groups, as
    for ``summed``.
    """
    # so that it costs nothing to be in a late row
    alone = replace(events, users=np.zeros_like(events.users))
    rows = summed(alone, weights(alone), 1)
    return rows.items, rows.values


def merged(
    state: Mapping[str, Array], parts: Mapping[int, Any], shape: tuple[int, int]
) -> dict[str, Array]:
    """A state with the rows of some users exchanged for ``parts``; users behind them had none."""
    m, n = shape
    users = np.array(sorted(parts), np.int64)
    counts = np.zeros(m, np.int64)
    counts[users] = [parts[user][0].size for user in users.tolist()]
    rows = UserRows.of(state)
    more = np.full(m + 1 - rows.indptr.size, rows.indptr[-1])
    rows = rows._replace(indptr=np.concatenate([rows.indptr, more]))
    fresh = UserRows(
        np.concatenate([[0], np.cumsum(counts)]),
        np.concatenate([rows.items[:0], *(parts[user][0] for user in users.tolist())]),
        np.concatenate([rows.values[:0], *(parts[user][1] for user in users.tolist())]),
    )
    return exchanged(rows, fresh, users).to_state(n)


def check_rows(state: Mapping[str, Array], shape: tuple[int, int]) -> None:
    """ValueError where the arrays are no matrix of ``shape``."""
    (m, n), rows = shape, UserRows.of(state)
    indptr, items = rows.indptr, rows.items
    rises = (
        indptr.size == m + 1
        and indptr[0] == 0
        and indptr[-1] == items.size
        and not np.any(np.diff(indptr) < 0)
    )
    if not rises or rows.values.size != items.size:
        raise ValueError(f"indptr must rise from 0 to {items.size} over {m} users")
    if items.size and not 0 <= items.min() <= items.max() < n:
        raise ValueError(f"items must be within 0..{n - 1}")
    if not np.array_equal(state["holders"], np.bincount(items, minlength=n)):
        raise ValueError("holders must be how many users have each item")


def shapes(items: int, dtype: str) -> dict[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
    """What ``ExactKind.shapes`` says of a state of rows with ``values`` of ``dtype``."""
    return {
        "indptr": ((None,), ("int64",)),
        "items": ((None,), ("int32",)),
        "values": ((None,), (dtype,)),
        "holders": ((items,), ("int64",)),
    }


def rows_apart(state: Mapping[str, Array], wanted: Any) -> float:
    """The largest relative difference of an entry from ``wanted`` (SciPy, (m, n)); ∞ for entries in
    other places.
    """
    wanted = wanted.tocsr()
    wanted.sum_duplicates()
    rows = UserRows.of(state)
    if not np.array_equal(state["holders"], np.diff(wanted.tocsc().indptr)):
        return np.inf
    if not np.array_equal(rows.indptr, wanted.indptr) or not np.array_equal(
        rows.items, wanted.indices
    ):
        return np.inf
    apart = np.abs(rows.values - wanted.data)
    return float(
        np.max(
            np.where(apart > 0, apart / np.maximum(np.abs(wanted.data), np.finfo(float).tiny), 0.0),
            initial=0.0,
        )
    )
