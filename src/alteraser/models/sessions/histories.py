"""Whose session is to be continued, and what a deletion leaves of the groups of some users."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from alteraser.data import blocks
from alteraser.data.events import Events
from alteraser.data.grouping import BASKET
from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]

ITEM_BITS = 31
"""Of a number that holds a group and an item row"""


class Sets(NamedTuple):
    """Groups as sets of items, in the order of their users and, of one user, of time."""

    indptr: Rows
    """(groups + 1,)"""
    items: npt.NDArray[np.int32]
    """The distinct items of each group, increasing"""
    owners: Rows
    """(groups,) user rows"""
    ends: Rows
    """(groups,) the time of the last event of each; empty where times say no order"""


def events_of(data: Interactions, kind: str, *, ordered: bool = False) -> Events:
    """The events of ``data``; InvalidInput, naming ``kind``, for pairs alone, and where they are to
    be ``ordered`` for baskets.
    """
    if data.events is None or (ordered and data.events.grouping.name == BASKET):
        have = "pairs" if data.events is None else "in baskets, which have no order"
        raise InvalidInput(
            f"{kind} is of events in {'sessions' if ordered else 'sessions or baskets'}, and the "
            f"data are {have}: read them with session_column or session_gap (--session-column or "
            "--session-gap on the command line)" + ("" if ordered else ", or with basket_column")
        )
    return data.events


def sets_of(events: Events) -> Sets:
    """The groups of ``events`` as sets."""
    counts, items = np.zeros(events.owners.size, np.int64), [np.empty(0, np.int32)]
    for block in blocks.of_users(events.indptr):  # events are in the order of their groups
        keys = (events.numbers[block.entries] - block.first).astype(np.int64) << ITEM_BITS
        keys += events.items[block.entries]
        keys.sort()
        keys = keys[blocks.begins(keys)]
        counts[block.users] = np.bincount(keys >> ITEM_BITS, minlength=block.last - block.first)
        items.append((keys & (1 << ITEM_BITS) - 1).astype(np.int32))
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    ends = np.empty(0, np.int64) if events.ends is None else events.ends
    return Sets(indptr, np.concatenate(items), events.owners.astype(np.int64), ends)


def last_groups(events: Events, rows: Array) -> Rows:
    """The number of the last group of each of the users in ``rows``, −1 for one who has none."""
    last = np.searchsorted(events.owners, rows, side="right") - 1
    there = last >= 0
    there[there] = events.owners[last[there]] == np.asarray(rows)[there]
    return np.where(there, last, -1)


def of_users(events: Events, rows: Array) -> Events:
    """The events of the users in ``rows`` alone."""
    flags = np.zeros(int(events.users.max(initial=-1)) + 1, bool)
    flags[rows[rows < flags.size]] = True
    return events.keep(flags[events.users])


def replaced(before: Sets, after: Sets, users: Array) -> Sets:
    """``before`` with the groups of ``users`` (rows) exchanged for ``after``, which are of these
    users alone; both are in the order of their users.
    """
    flags = np.zeros(max(int(before.owners.max(initial=-1)), int(users.max(initial=-1))) + 1, bool)
    flags[users] = True
    kept = np.flatnonzero(~flags[before.owners])
    owners = np.concatenate([before.owners[kept], after.owners])
    order = np.argsort(owners, kind="stable")
    counts = np.concatenate([np.diff(before.indptr)[kept], np.diff(after.indptr)])[order]
    ends = np.concatenate([before.ends[kept] if before.ends.size else before.ends, after.ends])
    fresh = np.repeat(order >= kept.size, counts)
    items = np.empty(fresh.size, before.items.dtype)
    items[~fresh] = before.items[np.repeat(~flags[before.owners], np.diff(before.indptr))]
    items[fresh] = after.items
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Sets(indptr, items, owners[order], ends[order] if ends.size else ends)


def joined(parts: list[Sets], like: Sets) -> Sets:
    """Groups of one user after those of another; ``like`` has the types of what may be empty."""
    counts = np.concatenate([np.empty(0, np.int64), *(np.diff(part.indptr) for part in parts)])
    items, owners, ends = (
        np.concatenate([array[:0], *(getattr(part, name) for part in parts)])
        for name, array in (("items", like.items), ("owners", like.owners), ("ends", like.ends))
    )
    return Sets(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), items, owners, ends)


def spans(starts: Array, counts: Array) -> Rows:
    """start, start + 1, …, start + count − 1 of every span, one behind the other.

    >>> spans(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    total = int(counts.sum())
    return np.repeat(starts - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(
        total
    )


def check_rows(name: str, indptr: Array, rows: int, size: int) -> None:
    """ValueError unless ``indptr`` cuts ``size`` entries into so many rows."""
    if (
        indptr.size != rows + 1
        or indptr[0] != 0
        or indptr[-1] != size
        or np.any(np.diff(indptr) < 0)
    ):
        raise ValueError(f"{name} must rise from 0 to {size} over {rows} rows")
