"""How long ago a session was, and what is left of its weight.

    w(s) = exp(−age(s)/δ),      age(s) in whole days (UTC), from the last event of s back from today

rounded to multiples of 1 / ``WHOLE``, so that sums of it are integers and what is taken out of them
leaves what the rest gives, to the last bit; what is too old for that, or later than today, does not
count. Today is the day of the newest event, or the one that is named.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from alteraser.data.events import Events
from alteraser.data.selection import UNITS, unit_of
from alteraser.models.closed_form.by_day import DAY, day_of

Array = npt.NDArray[Any]

WHOLE = 1 << 10
"""The weight of a session of today, as an integer"""


class Span(NamedTuple):
    """What ages are told from of some times; 0 where there are none."""

    newest: int
    farthest: int
    """The largest distance from 1970, which tells the unit"""


def span_of(times: Array) -> Span:
    """Of ``times``.

    >>> span_of(np.array([-7, 3]))
    Span(newest=3, farthest=7)
    """
    return Span(int(times.max(initial=0)), int(np.abs(times).max(initial=0)))


class Ages(NamedTuple):
    """What ages are counted from, and in which unit times are."""

    today: int
    """Days from 1970"""
    ticks: int
    """Of a day, in the unit of the times"""

    @classmethod
    def of(cls, events: Events, as_of: str | None) -> Ages:
        """Of ``events`` that have times."""
        assert events.time is not None
        return cls.at(span_of(events.time), as_of)

    @classmethod
    def at(cls, span: Span, as_of: str | None) -> Ages:
        """Of events with such times."""
        ticks = DAY * UNITS[unit_of(np.array([span.farthest]))]
        return cls(span.newest // ticks if as_of is None else day_of(as_of), ticks)

    @property
    def array(self) -> Array:
        """As a state keeps it."""
        return np.array(self, np.int64)

    def weights(self, events: Events, decay: float) -> Array:
        """WHOLE w(s) of every session, (sessions,) int64."""
        assert events.ends is not None
        ages = self.today - events.ends // self.ticks
        faded = WHOLE * np.exp(-np.maximum(ages, 0) / decay)
        return np.where(ages < 0, 0, np.rint(faded)).astype(np.int64)
