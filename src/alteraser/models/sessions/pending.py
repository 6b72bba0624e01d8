"""P of slist in a warm process: what changes is kept beside it as a low-rank correction, and
applied when scoring.

    P_now = P − Yᵀ diag(s) Y,
        a step with rows V, s = 1 for rows that join and −1 for rows that go:
    W = V P_now,   M = I + s W Vᵀ = LLᵀ,   Y grows by L⁻¹W
        (Sherman, Morrison 1950; Woodbury 1950)

A step gathers some columns of P and never touches the rest of it. What has gathered is folded into
the triangle as soon as that is worth it: folding r rows in is a pass over the triangle, which all
of them share, and r k²/2 multiply-adds, which nobody is spared, so once ``FOLD`` rows wait the pass
is less than half of it. Then a fold is short, few rows wait for a list, and nobody has to ask; who
has time folds earlier (``fold``), and publishing begins anew.

Drift. For one vector q of random signs z = Pq is taken when it begins, so that Az = q where
A = P⁻¹; a step with rows V adds s Vᵀ(Vz) to that. So ‖P(Az) − z‖_∞ / ‖z‖_∞ says what rounding has
done since, without the data, for one reading of P: it is looked at with every ``LOOK``-th fold.
Beyond ``LIMIT`` P has to be made anew, as where a step would lose digits: ``spent``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from alteraser.data.events import Events
from alteraser.models.ease import inverse, packed
from alteraser.models.sessions import prefixes
from alteraser.models.sessions.ages import Ages, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alteraser.data.interactions import Interactions

Array = npt.NDArray[Any]

FOLD = 16
"""Rows of a correction from which on it is folded in: a pass over the triangle takes as long as
folding 12 of them (10,000 items: 10 ms and 0.8 ms a row in float32, 20 and 1.6 in float64)"""
LOOK = 8
"""Folds for each time that the drift is looked at, which takes as long as a pass"""
SPARSE = 8
"""Changes of Cᵀ are kept apart while they have fewer entries than it by so much"""
LIMIT = {"float32": 1e-4, "float64": 1e-9}
"""Drift beyond which P is made anew: what ``slist`` takes for rounding in a list"""


class SLISTSettings(Protocol):
    """What is asked of the settings of SLIST."""

    alpha: float
    as_of: str | None

    def summed(self, together: Any, ahead: Any) -> Any:
        """C of both sums of some rows."""
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
        self.folds = 0
        """How often corrections were folded in"""
        self.fold_seconds = 0.0
        """CPU seconds of that, the drift included"""
        self.drift = 0.0
        """As it was when it was last looked at"""
        self.spent = False
        """Whether P has to be made anew: then this is of no use any more"""
        self._matrix, self._own = state["inverse"], False
        self._rows_of_y = np.empty((0, self.formed.kept.size), self._matrix.dtype)
        self._signs = np.empty(0)
        self._diagonal = self.formed.diagonal.copy()
        self._ahead: list[Any] = []  # what Cᵀ has to be changed by
        self._gathered: Any = None  # the same, of what is folded in
        self._since = Ages(*state["ages"].tolist()) if "ages" in state else None
        self._wanted: Array = inverse.probe(self.formed.kept.size, 0)  # Az
        self._z = inverse.times_one(self._matrix, self._wanted) if self._wanted.size else None

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

    def is_today(self, span: Callable[[], Span]) -> bool:
        """Whether ages are still counted from the same day, in the same unit of times; ``span``
        looks at these.
        """
        return self._since is None or Ages.at(span(), self.kind.as_of) == self._since

    def change(self, before: Events, after: Events) -> None:
        """Somebody had ``before`` and has ``after``; ``spent`` where digits are lost by that."""
        old, new = (self._rows(events) for events in (before, after))
        gone, come = prefixes.changed(old.stacked(self.kind.alpha), new.stacked(self.kind.alpha))
        for rows, sign in ((come, 1.0), (gone, -1.0)):
            if rows.shape[0] and not self.spent:
                self.spent = not self._step(rows, sign)
        if self.kind.alpha < 1.0:
            self._ahead.append((self._sums(new) - self._sums(old)).T.tocsr())
        if self.rank >= FOLD:
            self.fold()
        elif len(self._ahead) >= FOLD:
            self._gather()

    def fold(self, *, look: bool = False) -> None:
        """Put the correction into the triangle; nothing where there is none. ``look``: at the drift
        in any case.
        """
        if self.spent:
            return
        began = time.process_time()
        if self.rank:
            self._fold()
        if self._z is not None and (look or self.folds % LOOK == 0):
            away = np.abs(inverse.times_one(self._matrix, self._wanted) - self._z).max()
            self.drift = float(away / np.abs(self._z).max())
            self.spent = not self.drift <= LIMIT[self._matrix.dtype.name]
        self.fold_seconds += time.process_time() - began

    def _fold(self) -> None:
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
        self._diagonal = packed.diagonal(self._matrix, k).astype(np.float64)
        self._gather()
        self.folds += 1

    def _gather(self) -> None:
        """One change of Cᵀ of several; a list multiplies by each of them."""
        changes = self._ahead if self._gathered is None else [self._gathered, *self._ahead]
        if changes:
            self._gathered, self._ahead = sum(changes[1:], changes[0]), []
        if self._gathered is not None and SPARSE * self._gathered.nnz > self.formed.ahead.nnz:
            self.formed = self.formed._replace(ahead=self.formed.ahead + self._gathered)
            self._gathered = None

    def continued(self, session: Array) -> Array:
        """``SLIST.continued`` of the state as it is now."""
        more = self._ahead if self._gathered is None else [self._gathered, *self._ahead]
        return self.kind.scored(self.formed, session, self._solved, self._diagonal, more)

    def _rows(self, events: Events) -> prefixes.IntegerRows:
        return self.kind.rows(events, self.formed.kept, self.formed.places.size, self._since)

    def _sums(self, rows: prefixes.IntegerRows) -> Any:
        return self.kind.summed(rows.together(), rows.ahead())

    def _solved(self, items: Array, weights: Array) -> Array:
        """P times the vector, or each of the rows, that is ``weights`` at ``items``."""
        found = weights @ packed.columns(self._matrix, self.formed.kept.size, items).astype(
            np.float64
        )
        return np.asarray(found - ((weights @ self._y[:, items].T) * self._signs) @ self._y)

    def _step(self, rows: Any, sign: float) -> bool:
        """Take ``rows`` in; False, and nothing done, where digits would be lost."""
        from scipy.linalg import solve_triangular

        items, at = np.unique(rows.indices, return_inverse=True)
        few = np.zeros((rows.shape[0], items.size))
        few[np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), at] = rows.data
        w = self._solved(items, few)
        m = np.eye(rows.shape[0]) + sign * w[:, items] @ few.T
        m = (m + m.T) / 2
        if np.linalg.eigvalsh(m)[0] < inverse.SINGULAR[self._matrix.dtype.name]:
            return False
        y = solve_triangular(np.linalg.cholesky(m), w, lower=True)
        count, size = self.rank + rows.shape[0], len(self._rows_of_y)
        if count > size:  # twice as many, so that they are not copied at every step
            more = np.empty((max(count, 2 * size), w.shape[1]), self._matrix.dtype)
            more[: self.rank] = self._y
            self._rows_of_y = more
        self._rows_of_y[self.rank : count] = y
        self._signs = np.append(self._signs, np.full(rows.shape[0], sign))
        self._diagonal -= sign * (y * y).sum(axis=0)
        if self._z is not None:
            self._wanted += sign * (rows.T @ (rows @ self._z))
        return True
