"""P of slist in a warm process: what changes is kept beside it as a low-rank correction, and
applied when scoring.

    P_now = P − Yᵀ diag(s) Y,
        a step with rows V, s = 1 for rows that join and −1 for rows that go:
    W = V P_now,   M = I + s W Vᵀ = LLᵀ,   Y grows by L⁻¹W
        (Sherman, Morrison 1950; Woodbury 1950)

A step gathers some columns of P and never touches the rest of it. What has gathered is folded into
the triangle at once where somebody has the time for that (``fold``); publishing begins anew. A
request does it only where so many rows are waiting that every list takes longer by them (``FOLD``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from alteraser.data.events import Events
from alteraser.errors import NumericFailure
from alteraser.models.ease import inverse, packed
from alteraser.models.sessions import prefixes
from alteraser.models.sessions.ages import Ages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alteraser.data.interactions import Interactions

Array = npt.NDArray[Any]

FOLD = 2048
"""Rows of a correction from which on a request folds it in"""


class SLISTSettings(Protocol):
    """What is asked of the settings of SLIST."""

    alpha: float
    as_of: str | None

    @property
    def unit(self) -> int:
        """What the sums are multiples of."""
        ...

    def rows(self, events: Events, kept: Array, n: int, since: Ages | None) -> prefixes.IntegerRows:
        """The rows of ``events``, of the items in ``kept`` alone."""
        ...

    def formed(self, state: Mapping[str, Array], history: Interactions | None) -> Any:
        """Where items are, and what P is made of."""
        ...

    def scored(
        self,
        formed: Any,
        session: Array,
        solved: Callable[[Array, Array], Array],
        diagonal: Array,
        more: list[Any],
    ) -> Array:
        """What may come next, P being what ``solved`` multiplies with, and ``more`` what Cᵀ is
        changed by.
        """
        ...


class Pending:
    """A state of slist, changed by what users had and have. Its items, and the day that ages are
    counted from, are those of the beginning.
    """

    def __init__(self, kind: SLISTSettings, state: dict[str, Array]) -> None:
        self.kind, self.formed = kind, kind.formed(state, None)
        self.folded = 0
        """How often corrections were folded in"""
        self._matrix, self._own = state["inverse"], False
        self._rows_of_y = np.empty((0, self.formed.kept.size), self._matrix.dtype)
        self._signs = np.empty(0)
        self._diagonal = self.formed.diagonal.copy()
        self._ahead: list[Any] = []  # what Cᵀ has to be changed by
        self._since = Ages(*state["ages"].tolist()) if "ages" in state else None

    @property
    def rank(self) -> int:
        """Rows of the correction that is not folded in."""
        return int(self._signs.size)

    @property
    def _y(self) -> Array:
        """Y, (rank, k)."""
        return self._rows_of_y[: self.rank]

    def knows(self, items: Array) -> bool:
        """Whether all of these item rows are kept, so that P can be changed by their sessions."""
        places = self.formed.places
        return bool(np.all(items < places.size) and np.all(places[items] >= 0))

    def is_today(self, newest: Callable[[], int]) -> bool:
        """Whether ages are still counted from the same day; ``newest`` says when the last event
        was.
        """
        since = self._since
        if since is None or self.kind.as_of is not None:
            return True
        return newest() // since.ticks == since.today

    def change(self, before: Events, after: Events) -> None:
        """Somebody had ``before`` and has ``after``. NumericFailure where digits would be lost:
        publish instead.
        """
        old, new = (self._rows(events) for events in (before, after))
        gone, come = prefixes.changed(old.stacked(self.kind.alpha), new.stacked(self.kind.alpha))
        for rows, sign in ((come, 1.0), (gone, -1.0)):
            if rows.shape[0]:
                self._step(rows, sign)
        if self.kind.alpha < 1.0:
            self._ahead.append((self._sums(new) - self._sums(old)).T.tocsr())
        if self.rank >= FOLD:
            self.fold()

    def fold(self) -> None:
        """Put the correction into the triangle; nothing where there is none."""
        if not self.rank:
            return
        if not self._own:
            self._matrix, self._own = self._matrix.copy(), True
        k = self.formed.kept.size
        for sign in (1.0, -1.0):
            y = self._y[self._signs == sign].T
            if y.shape[1]:
                routine = packed.lapack("sfrk", self._matrix.dtype)
                routine(
                    k, y.shape[1], -sign, y, 1.0, self._matrix, transr="N", uplo="L", overwrite_c=1
                )
        self._signs = self._signs[:0]
        self.folded += 1

    def continued(self, session: Array) -> Array:
        """``SLIST.continued`` of the state as it is now."""
        return self.kind.scored(self.formed, session, self._solved, self._diagonal, self._ahead)

    def _rows(self, events: Events) -> prefixes.IntegerRows:
        return self.kind.rows(events, self.formed.kept, self.formed.places.size, self._since)

    def _sums(self, rows: prefixes.IntegerRows) -> Any:
        alpha, unit = self.kind.alpha, self.kind.unit
        return (
            alpha / unit * rows.together().astype(np.float64)
            + (1.0 - alpha) / unit / prefixes.SCALE**2 * rows.ahead()
        )

    def _solved(self, items: Array, weights: Array) -> Array:
        """P times the vector, or each of the rows, that is ``weights`` at ``items``."""
        found = weights @ packed.columns(self._matrix, self.formed.kept.size, items).astype(
            np.float64
        )
        return np.asarray(found - ((weights @ self._y[:, items].T) * self._signs) @ self._y)

    def _step(self, rows: Any, sign: float) -> None:
        from scipy.linalg import solve_triangular

        items, at = np.unique(rows.indices, return_inverse=True)
        few = np.zeros((rows.shape[0], items.size))
        few[np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), at] = rows.data
        w = self._solved(items, few)
        m = np.eye(rows.shape[0]) + sign * w[:, items] @ few.T
        m = (m + m.T) / 2
        if np.linalg.eigvalsh(m)[0] < inverse.SINGULAR[self._matrix.dtype.name]:
            raise NumericFailure(
                "this step would lose digits of the inverse; publish makes it anew"
            )
        y = solve_triangular(np.linalg.cholesky(m), w, lower=True)
        count, size = self.rank + rows.shape[0], len(self._rows_of_y)
        if count > size:  # twice as many, so that they are not copied at every step
            more = np.empty((max(count, 2 * size), w.shape[1]), self._matrix.dtype)
            more[: self.rank] = self._y
            self._rows_of_y = more
        self._rows_of_y[self.rank : count] = y
        self._signs = np.append(self._signs, np.full(rows.shape[0], sign))
        self._diagonal -= sign * (y * y).sum(axis=0)
