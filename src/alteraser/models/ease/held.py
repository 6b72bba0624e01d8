"""P of EASE in a warm process: it changes where it lies, is watched, and made anew where digits
would be lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.models.closed_form.live import Had, Lost
from alteraser.models.ease import cost, inverse, packed

Array = npt.NDArray[Any]


class EASESettings(Protocol):
    """What is asked of the settings of EASE."""

    regularization: float

    @property
    def share(self) -> float:
        """How much of (XᵀX)_jj is added to itself."""
        ...

    def added(self, squares: Array) -> Array:
        """The diagonal of Λ (n,), from that of XᵀX."""
        ...

    def drift_limit(self, data: Interactions) -> float:
        """The drift beyond which P is made anew."""
        ...

    def make(self, matrix: Array, data: Interactions, *, threads: int = 0) -> float:
        """Write P of ``data`` into ``matrix``; its drift."""
        ...


class Held:
    """The state of EASE, changed in place by rows of people who change.

    For one vector z of random signs (XᵀX)z and the diagonal of XᵀX go along, in integers where X
    holds 1. So after each change P((XᵀX + Λ)z) − z is known for one reading of P, without the data:
    beyond the kind's limit P is made anew.
    """

    def __init__(
        self, kind: EASESettings, state: dict[str, Array], data: Interactions, threads: int = 0
    ) -> None:
        self.state = state
        """{``inverse``, ``counts``, ``drift``}, up to date"""
        self.refreshes = 0
        """How often P was made anew"""
        self._kind, self._threads = kind, threads
        self._z = inverse.probe(data.shape[1], len(data))
        self._squares: Array
        self._look(data)

    @property
    def drift(self) -> float:
        """‖P(XᵀX + Λ)z − z‖_∞ after the last change."""
        return float(self.state["drift"][0])

    def change(self, old: Any, new: Any, remaining: Callable[[], Interactions]) -> None:
        """Rows ``old`` (sparse, k × n) go and ``new`` join; of ``remaining`` P is made anew where
        it has to be.

        Raises NumericFailure where that cannot be; then the state is of no use.
        """
        from scipy.sparse import vstack

        kind, n, matrix = self._kind, self._z.size, self.state["inverse"]
        gone, come = (_sums(part) for part in (old, new))
        counts = self.state["counts"]
        counts += come[0] - gone[0]
        squares = self._squares + come[1] - gone[1]
        diagonal = inverse.diagonal_rows(self._squares, squares, kind.share)
        self._squares = squares
        self._shared += new.T @ (new @ self._z) - old.T @ (old @ self._z)
        touched = np.flatnonzero(gone[0] | come[0])
        if kind.share:
            old, new = (
                vstack(pair, format="csr") for pair in zip((old, new), diagonal, strict=True)
            )
        if self._cheaper(old, new) and inverse.change(matrix, n, old, new, self._threads):
            packed.isolate(matrix, n, touched[counts[touched] == 0], 1.0 / kind.regularization)
            if self._looked(old.shape[0] + new.shape[0]):
                return
        data = remaining()
        self.refreshes += 1
        self.state["drift"][:] = kind.make(matrix, data, threads=self._threads), 0.0
        self._look(data)

    def _cheaper(self, *rows: Any) -> bool:
        n = self._z.size
        return sum(cost.update(n, part.shape[0], part.nnz) for part in rows) < cost.anew(n, 0.0)

    def _look(self, data: Interactions) -> None:
        """Take from ``data`` what goes along."""
        x = inverse.cells(data)
        self._shared = np.asarray(x.T @ (x @ self._z))
        self._squares = inverse.squares(data)
        self._limit = self._kind.drift_limit(data)

    def _looked(self, rows: int) -> bool:
        """Write down the drift after ``rows`` rows; False beyond the limit."""
        wanted = self._shared + self._kind.added(self._squares) * self._z
        found = float(
            np.abs(inverse.times_one(self.state["inverse"], wanted) - self._z).max(initial=0.0)
        )
        self.state["drift"][:] = found, self.state["drift"][1] + rows
        return found <= self._limit


class LiveInverse:
    """``Held`` of X that holds 1, person by person; its arrays are its own.

    Where P would have to be made anew it is ``Lost``: then that is done of all that remains, when
    it is asked for.
    """

    bulk = 64
    """People in one request from which on one step for all of them, when it is asked for, is
    cheaper"""

    def __init__(self, held: Held) -> None:
        self._held = held

    def change(self, before: Had, after: Had) -> None:
        """One step for the row that goes, one for the row that comes."""
        n = self._held.state["counts"].size
        self._held.change(_row(before.items, n), _row(after.items, n), _lost)

    def state(self) -> dict[str, Array]:
        """{``inverse``, ``counts``, ``drift``}, copies."""
        return {name: array.copy() for name, array in self._held.state.items()}


def _lost() -> Interactions:
    raise Lost


def _row(items: Array, n: int) -> Any:
    from scipy.sparse import csr_array

    shape = int(items.size > 0), n
    return csr_array(
        (np.ones(items.size), items, np.linspace(0, items.size, shape[0] + 1, dtype=np.int64)),
        shape=shape,
    )


def _sums(rows: Any) -> tuple[Array, Array]:
    """How many entries items have in ``rows``, (n,) int64, and the sum of their squares, (n,)."""
    n = rows.shape[1]
    return np.bincount(rows.indices, minlength=n), np.bincount(rows.indices, rows.data**2, n)
