"""EASE, embarrassingly shallow autoencoders (Steck, WWW 2019): the item weights in closed form.

    B = argmin ‖X − XB‖_F² + λ‖B‖_F²  with diag(B) = 0,      P = (XᵀX + λI)⁻¹,      B_ij = −P_ij / P_jj

with X (m × n) holding 1 or the confidence of each interaction. A list is the history times B,
(xB)_j = x_j − (xP)_j/P_jj, so that P is all that is kept, a triangle of it. When rows of X change, XᵀX changes by
V D Vᵀ, V the old and the new rows of who is concerned and D = diag(−1 for an old, +1 for a new one), and

    P' = P − W M⁻¹ Wᵀ,      W = PV,      M = D + VᵀW                   (Sherman, Morrison 1950; Woodbury 1950)

which with M = QΛQᵀ is two symmetric updates, one for each sign of Λ. Where M is near singular, where rounding has
added up, or where as many people are concerned that it would cost more, P is computed anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from alteraser.errors import InvalidInput, NumericFailure
from alteraser.models.closed_form.kind import ExactKind
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.interactions import Interactions, Removal
    from alteraser.models.closed_form import by_item
    from alteraser.models.linear import packed
    from alteraser.runtime import workers

    Array = npt.NDArray[Any]
else:
    np = late("numpy")
    by_item = late("alteraser.models.closed_form.by_item")
    packed = late("alteraser.models.linear.packed")
    workers = late("alteraser.runtime.workers")

LARGEST = 65_535
"""Items beyond which LAPACK's indices do not reach"""
PANEL = 512
"""Columns of P that are unpacked at a time"""
CHEAPER = 0.35
"""Share of n in rows of V up to which an update costs less than computing P anew: n² k against n³ and the product."""
DENSE = 0.02
"""Share of cells from which a dense product is faster"""
SINGULAR = 1e-4
"""Smallest |Λ| (D has ±1) with which an update is made; below it digits are lost."""


class EASE(ExactKind):
    """``inverse``, the packed lower triangle of P, and ``counts`` (n,) int64, how many interactions an item has."""

    name: ClassVar[str] = "ease"
    needs_history: ClassVar[bool] = True
    summary: ClassVar[str] = "the inverse of what items share"

    regularization: float = Field(
        default=500.0, gt=0.0, allow_inf_nan=False,
        description="λ, added to the diagonal; more for more interactions of an item",
    )  # fmt: skip
    dtype: Literal["float32", "float64"] = Field(default="float64", description="What the inverse is held in")

    @property
    def drift(self) -> float:
        """‖(XᵀX + λI)P z − z‖_∞ of a random sign vector z beyond which P is computed anew, and is not accepted."""
        return 1e-9 if self.dtype == "float64" else 1e-2

    def limit(self, data: Interactions) -> float:
        """``drift``, with room for the largest of n columns."""
        return 10 * self.drift

    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Array]:
        """{``inverse``, ``counts``}; NumericFailure where λ is lost beside the counts."""
        n = data.shape[1]
        if n > LARGEST:
            raise InvalidInput(f"{n:,} items: ease takes up to {LARGEST:,}; keep the most frequent ones")
        matrix = self._gram(data, threads or workers.default_threads())
        for step in ("pftrf", "pftri"):
            matrix, failed = packed.lapack(step, self.dtype)(n, matrix, transr="N", uplo="L", overwrite_a=1)
            if failed:
                raise NumericFailure(
                    f"--regularization {self.regularization:g} is lost beside the counts: XᵀX + λI is not positive "
                    f"definite in {self.dtype}; raise it, or use float64"
                )
        packed.isolate(matrix, n, np.flatnonzero(data.item_counts == 0), 1.0 / self.regularization)
        found = {"inverse": matrix, "counts": data.item_counts.astype(np.int64)}
        if self.drifted(found, data) > self.drift:
            squares = len(data) if data.confidence is None else float((data.confidence**2).sum())
            enough = 10 * float(np.finfo(self.dtype).eps) * squares / self.drift
            raise NumericFailure(
                f"--regularization {self.regularization:g} is too little beside these data: {self.dtype} does not hold "
                f"the digits of the inverse. From about {max(enough, 10 * self.regularization):.1g} on it does"
            )
        return found

    def without(
        self, state: Mapping[str, Array], before: Interactions, removal: Removal, *, threads: int = 0
    ) -> dict[str, Array]:
        """``state`` of what remains to rounding, by an update of rank k or anew."""
        changed = np.flatnonzero(removal.removed.user_counts)
        kept = changed[removal.remaining.user_counts[changed] > 0]
        n = before.shape[1]
        if not changed.size:
            return {name: array.copy() for name, array in state.items()}
        if changed.size + kept.size > CHEAPER * n:
            return self.state(removal.remaining, threads=threads)
        rows = _rows(before, changed), _rows(removal.remaining, kept)
        new = self._updated(state["inverse"], n, rows)
        if new is None:
            return self.state(removal.remaining, threads=threads)
        packed.isolate(new, n, np.flatnonzero(removal.remaining.item_counts == 0), 1.0 / self.regularization)
        found = {"inverse": new, "counts": state["counts"] - removal.removed.item_counts}
        if self.drifted(found, removal.remaining) > self.drift:
            return self.state(removal.remaining, threads=threads)
        return found

    def drifted(self, state: Mapping[str, Array], data: Interactions) -> float:
        """‖(XᵀX + λI)Pz − z‖_∞ for a vector z of signs that the data's size draws."""
        n = data.shape[1]
        z = np.random.default_rng(len(data)).choice([-1.0, 1.0], n)
        return float(np.abs(self._residual(state, data, z[None, :], None)).max(initial=0.0))

    def apart(self, state: Mapping[str, Array], data: Interactions) -> float:
        """Max |(XᵀX + λI)P − I|, all columns, by SciPy's products; ∞ where the counts are not the data's."""
        if not np.array_equal(state["counts"], np.bincount(data.indices, minlength=data.shape[1])):
            return np.inf
        n, worst = data.shape[1], 0.0
        for start in range(0, n, PANEL):
            wanted = np.arange(start, min(start + PANEL, n))
            worst = max(worst, float(np.abs(self._residual(state, data, None, wanted)).max(initial=0.0)))
        return worst

    def scores(self, state: Mapping[str, Array], rows: Array, history: Interactions | None) -> Array:
        """(len(rows), n) float64; −∞ for an item that nobody has, and for everything where somebody has nothing."""
        assert history is not None  # see needs_history
        n = history.shape[1]
        mine = _rows(history, rows)
        scores = np.empty((len(rows), n))
        diagonal = packed.diagonal(state["inverse"], n).astype(np.float64)
        for start in range(0, n, PANEL):
            wanted = np.arange(start, min(start + PANEL, n))
            panel = packed.columns(state["inverse"], n, wanted).astype(np.float64).T
            scores[:, wanted] = mine[:, wanted].toarray() - (mine @ panel) / diagonal[wanted]
        scores[:, state["counts"] == 0] = -np.inf
        scores[history.user_counts[rows] == 0] = -np.inf
        return scores

    def matrix(self, state: Mapping[str, Array]) -> Any:
        """B, (n, n), dense: for the distance of two models."""
        n = state["counts"].size
        whole = packed.columns(state["inverse"], n, np.arange(n)).astype(np.float64)
        weights = -whole / np.diag(whole)
        np.fill_diagonal(weights, 0.0)
        return weights

    def shapes(self, items: int) -> dict[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
        """{name: (shape, dtypes)} of the state of a model with so many item rows."""
        return {"inverse": ((packed.size(items),), (self.dtype,)), "counts": ((items,), ("int64",))}

    def _gram(self, data: Interactions, threads: int) -> Array:
        """XᵀX + λI, packed."""
        from alteraser.models.linear import _kernels

        n = data.shape[1]
        r, c, o = packed.rectangle(n)
        matrix = np.empty(packed.size(n), self.dtype)
        dense, view = matrix.reshape(c, r), data.by_item
        values = np.ones(1) if data.confidence is None else data.confidence
        workers.run(
            lambda part: _kernels.gram(
                part, view.indptr, view.indices, view.order, data.indptr, data.indices, values,
                data.confidence is not None, c, o, dense,
            ),
            workers.blocks(by_item.ItemWork(data), None, 1, threads), threads,
        )  # fmt: skip
        first, corner = np.arange(c), np.arange(n - c)
        dense[first, first + o] += self.regularization
        dense[corner + 1 - o, corner] += self.regularization
        return matrix

    def _updated(self, inverse: Array, n: int, rows: tuple[Any, Any]) -> Array | None:
        """P' for rows (old, new), each (k, n) sparse; None where digits would be lost."""
        from scipy.linalg import eigh
        from scipy.sparse import vstack

        v = vstack(rows, format="csr")
        signs = np.repeat([-1.0, 1.0], [part.shape[0] for part in rows])
        w = np.zeros((v.shape[0], n))  # Wᵀ
        touched = np.unique(v.indices)
        for start in range(0, touched.size, PANEL):
            wanted = touched[start : start + PANEL]
            part = v[:, wanted]
            part = part.toarray() if part.nnz > DENSE * part.shape[0] * wanted.size else part
            w += part @ packed.columns(inverse, n, wanted)
        small = np.asarray(v @ w.T)
        values, q = eigh((small + small.T) / 2 + np.diag(signs))
        if np.abs(values).min() < SINGULAR:
            return None
        w = (q / np.sqrt(np.abs(values))).T @ w
        new = inverse.copy()
        for sign in (-1.0, 1.0):  # P' = P − Σ (1/Λ) …
            part = np.asfortranarray(w[np.sign(values) == sign].T, self.dtype)
            if part.shape[1]:
                new = packed.lapack("sfrk", self.dtype)(
                    n, part.shape[1], -sign, part, 1.0, new, transr="N", uplo="L", overwrite_c=1
                )
        return new

    def _residual(self, state: Mapping[str, Array], data: Interactions, z: Array | None, wanted: Array | None) -> Array:
        """(XᵀX + λI)P z − z for rows z (k, n), or of the unit vectors ``wanted``; as rows."""
        n = data.shape[1]
        if wanted is not None:
            solved = packed.columns(state["inverse"], n, wanted).astype(np.float64)
            target = np.zeros_like(solved)
            target[np.arange(wanted.size), wanted] = 1.0
        else:
            assert z is not None
            target, solved = z, np.empty_like(z)
            for start in range(0, n, PANEL):
                some = np.arange(start, min(start + PANEL, n))
                solved[:, some] = z @ packed.columns(state["inverse"], n, some).T
        x = _rows(data, np.arange(data.shape[0]))
        return np.asarray((x.T @ (x @ solved.T)).T + self.regularization * solved - target)


def _rows(data: Interactions, rows: Array) -> Any:
    """Rows of X, (len(rows), n) sparse."""
    from scipy.sparse import csr_array

    values = np.ones(len(data)) if data.confidence is None else data.confidence
    return csr_array((values, data.indices, data.indptr), shape=data.shape)[rows]
