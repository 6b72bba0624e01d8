"""How far a solve is, as a bar shows it: it moves while a step takes long, and is full only when
all is done.

Passes and steps converge roughly geometrically, so what is done is measured on the logarithm of the
residual. Between two records the bar goes on at the pace so far, ever slower, towards where the
next record may put it.
"""

from __future__ import annotations

import math
from typing import Any

from rich.progress import BarColumn, Task
from rich.progress_bar import ProgressBar

from alteraser.runtime import events

BEYOND = 0.7
"""Where the bar stands at the tolerance, if the solve goes on from there until a class can be
measured."""

DECADES = 2.0
"""Decades of the residual below the tolerance in which 1 − 1/e of the rest is done."""

UNKNOWN = 20.0
"""Seconds that a solve is taken for of which nothing is known."""

SOONEST, CREEP = 1.0, 0.3
"""Seconds before which records say nothing of the pace; share of it at which the bar goes on where
it was ahead."""

WORDS = {
    "touched": "rows of the request",
    "all": "pass",
    "joint": "joint step",
    "polish": "last step",
}


class Pace:
    """Share done of a solve whose residual falls to ``tolerance``, and with ``beyond`` on from
    there.

    >>> pace = Pace(1e-3, beyond=False)
    >>> pace.record(1e-1, 1.0); pace.record(1e-2, 2.0)
    >>> round(pace.at(2.0), 3)
    0.5
    >>> pace.at(2.0) < pace.at(3.0) < pace.at(300.0) < 1.0
    True
    """

    def __init__(self, tolerance: float, *, beyond: bool) -> None:
        self.tolerance, self.beyond = max(tolerance, 1e-16), beyond
        self._first: float | None = None
        self._done, self._since, self._shown, self._asked = 0.0, 0.0, 0.0, 0.0

    def record(self, residual: float | None, seconds: float) -> None:
        """A pass ended after ``seconds`` since the beginning with ``residual``; None where it is
        not known.
        """
        if residual is None or not 0 < residual < math.inf:
            return
        self._first = self._first or residual
        self._done, self._since = max(self._done, self._share(residual)), seconds

    def at(self, seconds: float) -> float:
        """Share done ``seconds`` after the beginning, below 1 and never less than was said
        before.
        """
        rate = self._done / max(self._since, SOONEST) if self._done > 0 else 1.0 / UNKNOWN
        left = 1.0 - self._done
        ahead = (
            left * -math.expm1(-rate * max(seconds - self._since, 0.0) / left) if left > 0 else 0.0
        )
        creep = CREEP * (1.0 - self._shown) * -math.expm1(-rate * max(seconds - self._asked, 0.0))
        self._asked = max(self._asked, seconds)
        self._shown = min(max(self._shown + creep, self._done + 0.9 * ahead), 0.999)
        return self._shown

    def _share(self, residual: float) -> float:
        assert self._first is not None
        to_go = math.log10(max(self._first / self.tolerance, 1.001))
        fell = math.log10(self._first / residual)
        top = BEYOND if self.beyond else 1.0
        if fell <= to_go:
            return top * max(fell, 0.0) / to_go
        return top + (1.0 - top) * -math.expm1(-(fell - to_go) / DECADES)


class PaceColumn(BarColumn):
    """A bar that asks a ``Pace`` whenever it is drawn."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self.pace = pace

    def render(self, task: Task) -> ProgressBar:
        """The bar at this moment."""
        if not task.finished:
            task.completed = self.pace.at(task.elapsed or 0.0)
        return super().render(task)


def said(told: events.Event) -> dict[str, Any]:
    """What stands beside the bar after a ``pass`` event: which pass or step, and what is left."""
    residual, values = told.values["residual"], told.values
    known = isinstance(residual, float) and residual > 0
    left = f"residual {residual:.1e}" if known else ""
    return {"what": f"{WORDS[str(values['scope'])]} {values['number']}", "left": left}
