"""What a sequence model is trained on.

A *window* is up to ``length`` + 1 events of a session, one after the other; from each of its first
``length`` events the next one is predicted. Longer sessions are several windows, which share the
event at which they meet. Whose a window is, is a hash of the user, the session and the place in it;
``order`` makes batches of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.events import Events
from alteraser.data.interactions import Interactions
from alteraser.linalg.hashing import hashed, of_ids
from alteraser.models.networks.order import Present
from alteraser.models.sessions.histories import spans

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Windows:
    """Windows of events."""

    items: Array
    """(E,) places among the items that occur, sessions one behind the other"""
    starts: Array
    """(W,) where in ``items`` each begins"""
    sizes: Array
    """(W,) events of each, at least 2"""
    keys: npt.NDArray[np.uint64]
    """(W,) hashes of whose they are"""

    @classmethod
    def of(cls, data: Interactions, events: Events, items: Present, length: int) -> Windows:
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
