"""When the next batch begins. One polish pays for many requests, so those that can wait wait, until
the first of them no longer can.

    cost(n) = fixed + each · n            seconds of a batch of n requests, fitted to past batches
    start   = earliest due date − SAFETY · cost(n) − margin

is the latest moment that keeps every due date. A batch at that moment of everything that waits is
the cheapest way there is: with a cost like this, the fewest batches are the cheapest, and each has
to begin before the first due date of what it takes (intervals that are stabbed at their ends). With
``hours`` work begins inside of them, unless a due date would be missed by that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

import numpy as np
from sqlalchemy import Connection, func, select

from alteraser.errors import InvalidInput
from alteraser.ledger import states
from alteraser.ledger.due import moment
from alteraser.ledger.schema import batches, requests

SAFETY = 2.0
"""Times the predicted cost that is kept free before a due date"""
MARGIN = timedelta(hours=1)
"""The same whatever is predicted"""
RECENT = 50
"""Past batches that the cost is fitted to"""


@dataclass(frozen=True)
class Hours:
    """A part of every day (UTC); over midnight where it ends before it begins."""

    begin: time
    end: time

    @classmethod
    def read(cls, text: str) -> Hours:
        """From ``22:00-06:00``; InvalidInput.

        >>> Hours.read("22:00-06:00").begin
        datetime.time(22, 0)
        """
        found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", text)
        if found is None or found[1] + found[2] == found[3] + found[4]:
            raise InvalidInput(f"--hours {text}: expected two times of day, such as 22:00-06:00")
        return cls(time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4])))

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"

    def has(self, at: datetime) -> bool:
        """Whether ``at`` lies in them."""
        now = at.time()
        if self.begin < self.end:
            return self.begin <= now < self.end
        return now >= self.begin or now < self.end

    def next(self, at: datetime) -> datetime:
        """The first moment in them from ``at`` on."""
        if self.has(at):
            return at
        today = datetime.combine(at.date(), self.begin, at.tzinfo)
        return today if today >= at else today + timedelta(days=1)

    def last(self, at: datetime) -> datetime:
        """The last moment in them up to ``at``, to the second."""
        if self.has(at):
            return at
        today = datetime.combine(at.date(), self.end, at.tzinfo) - timedelta(seconds=1)
        return today if today <= at else today - timedelta(days=1)


@dataclass(frozen=True)
class Cost:
    """Seconds of a batch, and how far that was off."""

    fixed: float = 60.0
    each: float = 0.0
    error: float = 0.0
    """Root mean square of what past batches took beyond it, seconds"""
    batches: int = 0
    """That it was fitted to; 0: nothing is known yet"""

    def of(self, count: int) -> float:
        """Predicted seconds of a batch of ``count`` requests."""
        return self.fixed + self.each * count

    @classmethod
    def fitted(cls, counts: Sequence[int], seconds: Sequence[float]) -> Cost:
        """Least squares with neither part negative.

        >>> Cost.fitted([1, 3], [11.0, 13.0]).of(10)
        20.0
        """
        if not counts:
            return cls()
        n, took = np.asarray(counts, float), np.asarray(seconds, float)
        spread = n - n.mean()
        slope = float(spread @ took / (spread @ spread)) if spread.any() else 0.0
        each = min(max(slope, 0.0), float(took.mean() / n.mean()))
        fixed = float(took.mean() - each * n.mean())
        error = float(np.sqrt(np.mean((took - fixed - each * n) ** 2)))
        return cls(round(fixed, 9), round(each, 9), error, len(counts))


@dataclass(frozen=True)
class Tempo:
    """How long requests may wait for each other."""

    wait: bool = False
    """Until a due date is near; False: a batch begins as soon as something is queued"""
    hours: Hours | None = None
    """When work begins"""

    def start(self, now: datetime, count: int, due: datetime, cost: Cost, most: int) -> datetime:
        """When a batch of the ``count`` requests that wait begins, the first of which is due at
        ``due``; ``now`` or before: at once. ``most``: requests that one batch takes.
        """
        latest = due - timedelta(seconds=SAFETY * (cost.of(count) + cost.error)) - MARGIN
        if latest <= now:
            return now
        if not self.wait or count >= most:
            first = now if self.hours is None else self.hours.next(now)
            return min(first, latest)
        if self.hours is None:
            return latest
        within = self.hours.last(latest)
        return within if within >= now else latest


def cost(connection: Connection) -> Cost:
    """Of the last batches of this state."""
    took_part = select(func.count()).where(requests.c.batch == batches.c.number).scalar_subquery()
    found = connection.execute(
        select(batches.c.started, batches.c.published, took_part)
        .where(batches.c.published.is_not(None), took_part > 0)
        .order_by(batches.c.number.desc())
        .limit(RECENT)
    ).all()
    seconds = [(moment(row.published) - moment(row.started)).total_seconds() for row in found]
    return Cost.fitted([row[2] for row in found], [max(each, 0.0) for each in seconds])


def waiting(connection: Connection) -> tuple[int, datetime | None]:
    """(requests in the queue, the first due date among them)."""
    count, first = connection.execute(
        select(func.count(), func.min(requests.c.due)).where(requests.c.state == states.QUEUED)
    ).one()
    return int(count), None if first is None else moment(first)
