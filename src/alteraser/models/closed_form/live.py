"""State that changes person by person, at the cost of what that person had: what a warm session
keeps.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Had(NamedTuple):
    """What somebody has: ``items`` (h,) int64 rows, increasing, and ``times`` (h,) where the data
    have some.
    """

    items: Array
    times: Array | None


class Lost(Exception):
    """A state in working form cannot follow a change: what it stands for has to be made of the
    data.
    """


class Live(Protocol):
    """A state of a kind in working form."""

    def change(self, before: Had, after: Had) -> None:
        """Somebody who had ``before`` now has ``after``; rows are those that there were at the
        beginning.

        ``Lost`` where it cannot follow: from then on it is of no use.
        """
        ...

    def state(self) -> dict[str, Array]:
        """As ``ExactKind.state`` gives it for the data as they are now, in every bit."""
        ...


class LiveCounts:
    """How many people have each item, how many people there are, and how many interactions: all
    integers.
    """

    def __init__(self, frequencies: Array, people: int) -> None:
        self.frequencies, self.people = frequencies.astype(np.int64), people

    def change(self, before: Had, after: Had) -> None:
        """One count for every item."""
        self.frequencies[before.items] -= 1
        self.frequencies[after.items] += 1
        self.people += int(after.items.size > 0) - int(before.items.size > 0)

    def state(self) -> dict[str, Array]:
        """As ``Popularity`` keeps them."""
        return {"counts": self.frequencies.copy()}
