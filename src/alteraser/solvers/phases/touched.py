"""The rows of the deletion alone: the paper's first pass (Liu et al., RecSys 2022, Algorithm 1)."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from alteraser.solvers.loop import Move
from alteraser.solvers.trace import PassRecord

Rows = npt.NDArray[Any]


class Solves(Protocol):
    """A state whose rows can be solved a few at a time."""

    def solve(self, name: str, rows: Rows | None) -> Any:
        """Rows of the ``user`` or ``item`` side, each to its minimum given the other side; all for
        None.
        """
        ...


class TouchedRows:
    """One move, over some users and then some items. Signals: ``done``."""

    def __init__(self, users: Rows, items: Rows) -> None:
        self._users, self._items = np.asarray(users), np.asarray(items)

    def move(self, state: Solves) -> Move:
        """Each to its minimum given the others."""
        for name, rows in (("user", self._users), ("item", self._items)):
            if rows.size:
                state.solve(name, rows)
        return Move(
            PassRecord.of("touched", float("nan"), None, int(self._users.size + self._items.size))
        )

    def judge(self, state: Solves) -> str:
        """Whatever it has come to."""
        return "done"
