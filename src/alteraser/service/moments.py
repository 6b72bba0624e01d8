"""Times of rows that are added, in the unit of those that are there: in another one they would be
of another age, and outside every window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.selection import UNITS, moment, unit_of
from alteraser.errors import InvalidInput

Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Unit:
    """What the times of a state, or of one of its relations, count."""

    name: str
    """s, ms, us or ns since 1970"""
    told: bool
    """Whether there are times that say so; else it is seconds, and numbers are taken as they are"""

    @classmethod
    def of(cls, times: Times | None) -> Unit:
        """That of times that are there, by their size."""
        told = times is not None and bool(np.any(times))
        return cls(unit_of(times) if told and times is not None else "s", told)

    def of_rows(self, rows: Sequence[Mapping[str, Any]], now: datetime) -> list[int]:
        """When each row of a body was: ``now``, where it does not say it; InvalidInput."""
        at = self.now(now)
        return [
            self.ticks(row["timestamp"], place) if "timestamp" in row else at
            for place, row in enumerate(rows)
        ]

    def now(self, at: datetime) -> int:
        """A moment in it."""
        return int(at.timestamp() * UNITS[self.name])

    def ticks(self, given: Any, place: int) -> int:
        """The time of the row at ``place`` of a body, a number or ISO 8601; InvalidInput."""
        if isinstance(given, bool) or not isinstance(given, int | str):
            raise _not_a_time(place)
        try:
            at = moment(given, "timestamp")
        except InvalidInput:
            raise _not_a_time(place) from None
        if isinstance(at, datetime):
            return self.now(at)
        assert at is not None
        self._check(at, f"interactions[{place}].timestamp")
        return at

    def check(self, times: Times | None, where: str) -> None:
        """InvalidInput, naming ``where``, for a file's times that seem to be in another unit."""
        if times is not None:
            self._check(int(np.abs(times).max(initial=0)), where)

    def _check(self, largest: int, where: str) -> None:
        found = unit_of(np.array([largest], np.int64))
        if self.told and largest and found != self.name:
            raise InvalidInput(
                f"{where}: by its size in {found} since 1970, where the times here are in "
                f"{self.name}. Send it in {self.name}",
                code="timestamp",
            )


def _not_a_time(place: int) -> InvalidInput:
    return InvalidInput(
        f"interactions[{place}].timestamp: expected ISO 8601 or a whole number", code="timestamp"
    )
