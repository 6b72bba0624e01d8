"""What a sequence model is trained on, in an order that is each sequence's own.

A *window* is up to ``length`` + 1 events of a session, one after the other; from each of its first
``length`` events the next one is predicted. Longer sessions are several windows, which share the
event at which they meet.

**Order.** Would a shuffle draw the order of a pass, taking one session out would put all others in
other batches, and two trainings would differ in everything. Here every window has a number of its
own, a hash of (seed, pass, user, session, place in the session), and

    batch = the number's leading bits,   order within it = the number.

So whoever goes leaves the batches of everybody else as they were, but for themselves: what training
without them does differs from what training with them did by their own terms alone, from the first
step on. That is what makes an original, a warm start and a retrained model comparable. There are
2^b batches, b being what makes them at least ``batch`` windows large on average: a deletion that
takes the number of windows across ``batch`` 2^b changes b, and with it everybody's batches, as
training on the rest would have had them.

**Items** are put in the order of the hashes of their ids, and items without an event do not occur
at all. So it is the same whether somebody's items were never there, or were taken away, and whether
ids are kept as numbers or as text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.events import Events
from alteraser.data.interactions import Interactions
from alteraser.linalg.hashing import hashed, of_ids
from alteraser.models.sessions.histories import spans

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Items:
    """The items that occur, in the order that training has them."""

    rows: Array
    """(k,) their rows in the data"""
    keys: npt.NDArray[np.uint64]
    """(k,) increasing: the hashes of their ids"""
    size: int
    """n, the rows of items in the data"""

    @classmethod
    def of(cls, data: Interactions) -> Items:
        """Those with events in ``data``."""
        rows = np.flatnonzero(data.item_counts)
        keys = of_ids(data.items.ids_of(rows).to_pylist())
        order = np.argsort(keys, kind="stable")
        return cls(rows[order], keys[order], data.shape[1])

    def places(self) -> Array:
        """(n,) where each row is among them, −1 for one that does not occur."""
        found = np.full(self.size, -1, np.int64)
        found[self.rows] = np.arange(self.rows.size)
        return found


@dataclass(frozen=True)
class Windows:
    """Windows of events."""

    items: Array
    """(E,) places among ``Items``, sessions one behind the other"""
    starts: Array
    """(W,) where in ``items`` each begins"""
    sizes: Array
    """(W,) events of each, at least 2"""
    keys: npt.NDArray[np.uint64]
    """(W,) hashes of whose they are"""

    @classmethod
    def of(cls, data: Interactions, events: Events, items: Items, length: int) -> Windows:
        """All windows of ``events``, those of ``data``."""
        sizes = np.diff(events.indptr)
        steps = np.maximum(sizes - 1, 0)  # events that one comes before
        counts = -(-steps // length)
        group = np.repeat(np.arange(sizes.size), counts)
        place = spans(np.zeros(counts.size, np.int64), counts)
        starts = events.indptr[group] + place * length
        left = np.minimum(steps[group] - place * length, length) + 1
        keys = hashed(_sessions(data, events)[group], place)
        return cls(items.places()[events.items], starts, left, keys)

    def __len__(self) -> int:
        return int(self.starts.size)

    def bits(self, batch: int) -> int:
        """b: there are 2^b batches, of at least ``batch`` windows on average where there are that
        many.

        >>> none = np.empty(0, np.int64)
        >>> [Windows(none, np.zeros(w, int), none, none).bits(4) for w in (0, 7, 8, 15, 16)]
        [0, 0, 1, 1, 2]
        """
        return max(len(self) // batch, 1).bit_length() - 1

    def order(self, batch: int, *, seed: int, number: int) -> Iterator[Array]:
        """The windows of each batch of pass ``number``; empty ones too."""
        bits = self.bits(batch)
        drawn = hashed(seed, number, self.keys)
        order = np.argsort(drawn, kind="stable")
        which = (drawn[order] >> np.uint64(63 - bits)) >> np.uint64(1)  # a shift by 64 is none
        ends = np.searchsorted(which, np.arange(1 << bits, dtype=np.uint64), side="right")
        return iter(np.split(order, ends[:-1]))

    def padded(self, chosen: Array) -> tuple[Array, Array]:
        """(windows, longest) places of items and what follows each, −1 behind the end of a
        window.
        """
        sizes = self.sizes[chosen] - 1
        within = np.arange(int(sizes.max(initial=0)))
        there = within < sizes[:, None]
        at = np.where(there, self.starts[chosen][:, None] + within, 0)
        return np.where(there, self.items[at], -1), np.where(there, self.items[at + there], -1)


def _sessions(data: Interactions, events: Events) -> npt.NDArray[np.uint64]:
    """A number for each session: a hash of its user's id and of what tells it from the user's
    others.
    """
    firsts = events.indptr[:-1]
    users, back = np.unique(events.owners, return_inverse=True)
    owners = of_ids(data.users.ids_of(users).to_pylist())[back]
    if events.groups is not None:
        rows, back = np.unique(events.groups.rows[firsts], return_inverse=True)
        return hashed(owners, of_ids(events.groups.ids.ids_of(rows).to_pylist())[back])
    assert events.time is not None  # what a gap cuts has times
    return hashed(owners, events.time[firsts].astype(np.int64).view(np.uint64))
