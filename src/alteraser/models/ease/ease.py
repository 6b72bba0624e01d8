"""EASE, embarrassingly shallow autoencoders (Steck, WWW 2019): the item weights in closed form.

    B = argmin ‖X − XB‖_F² + ‖Λ^½ B‖_F²  with diag(B) = 0,      P = (XᵀX + Λ)⁻¹,
        B_ij = −P_ij / P_jj

with X (m × n) holding 1 or the confidence of each interaction, and Λ = λI. With dropout p it is the
denoising form (Steck, NeurIPS 2020): what is learned from is X with each entry left out at random,
in expectation

    Λ = diag(λ + δ (XᵀX)_jj),      δ = p / (1 − p)

A list is the history times B, (xB)_j = x_j − (xP)_j/P_jj, so that P is all that is kept, a triangle
of it. Forgetting changes it by the rows of who is concerned (``inverse``), or makes it anew where
that is cheaper by ``cost``, where a step is near singular, or where rounding has added up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from alteraser.errors import NumericFailure, ResourceLimit
from alteraser.models.closed_form.kind import ExactKind
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.deletion import Deletion
    from alteraser.data.interactions import Interactions
    from alteraser.models.closed_form.live import Live
    from alteraser.models.ease import cost, inverse, packed
    from alteraser.models.ease.held import Held
    from alteraser.runtime import memory

    Array = npt.NDArray[Any]
else:
    np = late("numpy")
    cost = late("alteraser.models.ease.cost")
    inverse = late("alteraser.models.ease.inverse")
    packed = late("alteraser.models.ease.packed")
    memory = late("alteraser.runtime.memory")

LARGEST = 65_535
"""Items beyond which LAPACK's indices do not reach"""
WITHIN = {"float32": (1e-6, 1e-3), "float64": (1e-11, 1e-9)}
"""What the limit of rounding is at least and at most"""
LARGE, SAMPLE = 20_000, 1_024
"""Items beyond which ``verify`` looks at a sample of columns, and how many that are"""
PANEL = 512
"""Columns of P that are unpacked at a time where lists are made and checked"""


class EASE(ExactKind):
    """The packed lower triangle of P, how many interactions items have, and how far rounding has
    gone.

    ``inverse`` (n(n + 1)/2,); ``counts`` (n,) int64; ``drift`` (2,) float64: ‖(XᵀX + Λ)Pz − z‖_∞ of
    a vector z of random signs when P was last changed, and by how many rows it has been changed
    since it was made anew.
    """

    name: ClassVar[str] = "ease"
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "regularization": (50.0, 200.0, 500.0, 1000.0, 2000.0)
    }
    needs_history: ClassVar[bool] = True
    summary: ClassVar[str] = "the inverse of what items share"

    regularization: float = Field(
        default=500.0,
        gt=0.0,
        allow_inf_nan=False,
        description="λ, added to the diagonal; more for more interactions of an item",
    )
    dropout: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        allow_inf_nan=False,
        description="p, the share of a history that is left out at random in expectation; "
        "forgetting is slower with it",
    )
    dtype: Literal["float32", "float64"] = Field(
        default="float64", description="What the inverse is held in"
    )

    @property
    def share(self) -> float:
        """δ, how much of (XᵀX)_jj is added to itself."""
        return float(self.dropout / (1.0 - self.dropout))

    def limit(self, data: Interactions) -> float:
        """Largest |(XᵀX + Λ)P − I| of an inverse that is taken for that of ``data``: below what one
        interaction does.

        Without an interaction of confidence c with item j, XᵀX is less by at least c² at (j, j),
        and (XᵀX + Λ)P − I is c² P_jj ≥ c² / (XᵀX + Λ)_jj there. The limit is a quarter of the least
        of these, within what the digits hold.
        """
        diagonal = inverse.squares(data)
        whole = diagonal + self.added(diagonal)
        if data.confidence is None:
            least = 1.0 / whole.max(initial=self.regularization)
        else:
            changed = data.confidence**2 / whole[data.indices]
            least = changed[changed > 0].min(initial=np.inf)
        return float(np.clip(least / 4, *WITHIN[self.dtype]))

    def drift_limit(self, data: Interactions) -> float:
        """‖(XᵀX + Λ)P z − z‖_∞ of a random sign vector z beyond which P is made anew, and is not
        accepted.

        That adds up n entries of (XᵀX + Λ)P − I, so it is their size times √n, of which an eighth
        is allowed.
        """
        return self.limit(data) * max(1.0, float(np.sqrt(data.shape[1])) / 8)

    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Array]:
        """{``inverse``, ``counts``, ``drift``}; NumericFailure where λ is lost beside the counts.

        ResourceLimit, before any work, where the memory is not there.
        """
        n = data.shape[1]
        self.check_memory(n)
        matrix = np.empty(packed.size(n), self.dtype)
        drift = self.make(matrix, data, threads=threads)
        return {
            "inverse": matrix,
            "counts": data.item_counts.astype(np.int64),
            "drift": np.array([drift, 0.0]),
        }

    def make(self, matrix: Array, data: Interactions, *, threads: int = 0) -> float:
        """Write P of ``data`` into ``matrix``; its drift. NumericFailure."""
        n, added = data.shape[1], self.added(inverse.squares(data))
        with inverse.one_for_each(threads):
            inverse.gram(data, added, matrix, threads)
            if not inverse.invert(matrix, n):
                raise NumericFailure(
                    f"--regularization {self.regularization:g} is lost beside the counts: XᵀX + "
                    f"λI is not positive definite in {self.dtype}; raise it, or use float64"
                )
        packed.isolate(matrix, n, np.flatnonzero(data.item_counts == 0), 1.0 / self.regularization)
        drift, limit = self.drifted(matrix, data), self.drift_limit(data)
        if not drift <= limit:
            enough = (
                10 * float(np.finfo(self.dtype).eps) * float(inverse.squares(data).sum()) / limit
            )
            raise NumericFailure(
                f"--regularization {self.regularization:g} is too little beside these data: "
                f"{self.dtype} does not hold the digits of the inverse. From about "
                f"{max(enough, 10 * self.regularization):.1g} on it does"
            )
        return drift

    def without(
        self,
        state: Mapping[str, Array],
        deletion: Deletion,
        *,
        threads: int = 0,
    ) -> dict[str, Array]:
        """``state`` of what remains to rounding, by an update of rank k or anew, whichever ``cost``
        says is cheaper.
        """
        changed = np.flatnonzero(deletion.removed.user_counts)
        if not changed.size:
            return {name: array.copy() for name, array in state.items()}
        remaining = deletion.removal.remaining
        kept = changed[remaining.user_counts[changed] > 0]
        rows = inverse.cells(deletion.data)[changed], inverse.cells(remaining)[kept]
        squares = inverse.squares(deletion.data), inverse.squares(remaining)
        if self.dearer(rows, squares, remaining):
            return self.state(remaining, threads=threads)
        self.check_memory(deletion.data.shape[1])
        held = self.held(
            {name: array.copy() for name, array in state.items()}, deletion.data, threads=threads
        )
        held.change(*rows, lambda: remaining)
        return held.state

    def held(self, state: dict[str, Array], data: Interactions, *, threads: int = 0) -> Held:
        """``state`` for a warm process, which changes it where it lies: its arrays are the result's
        from now on.
        """
        from alteraser.models.ease.held import Held

        return Held(self, state, data, threads)

    def live(self, state: Mapping[str, Array], data: Interactions) -> Live | None:
        """P for a warm session, where X holds 1."""
        from alteraser.models.ease.held import LiveInverse

        if data.confidence is not None:
            return None
        return LiveInverse(
            self.held({name: array.copy() for name, array in state.items()}, data, threads=1)
        )

    def dearer(
        self, rows: tuple[Any, Any], squares: tuple[Array, Array], remaining: Interactions
    ) -> bool:
        """Whether changing P by ``rows`` (old, new) costs more than making it of what remains."""
        n, lengths = remaining.shape[1], remaining.user_counts.astype(np.float64)
        diagonal = int(np.count_nonzero(squares[0] != squares[1])) if self.share else 0
        change = sum(cost.update(n, part.shape[0], part.nnz) for part in rows) + cost.update(
            n, diagonal, diagonal
        )
        return change + cost.copied(n) > cost.anew(n, float(lengths @ lengths) / 2)

    def added(self, squares: Array) -> Array:
        """The diagonal of Λ (n,), from that of XᵀX."""
        return self.regularization + self.share * squares

    def check_memory(self, n: int) -> None:
        """ResourceLimit where P of n items does not fit, with what would."""
        free, needed = (
            memory.available(),
            cost.WORKING * cost.triangle(n, np.dtype(self.dtype).itemsize),
        )
        if n <= LARGEST and (free is None or needed <= free):
            return
        most = (
            LARGEST
            if free is None
            else min(LARGEST, cost.fitting(free, np.dtype(self.dtype).itemsize))
        )
        half = self.dtype == "float64" and n <= LARGEST and free is not None and needed / 2 <= free
        raise ResourceLimit(
            f"ease of {n:,} items holds a triangle of n(n + 1)/2 numbers: {memory.text(needed)} "
            f"in {self.dtype}"
            + ("" if free is None else f", and {memory.text(free)} are free")
            + (f". --dtype float32 takes {memory.text(needed / 2)}, which fits" if half else "")
            + f". The {most:,} most frequent items would fit"
            + (
                f", or {n:,} on a machine with {memory.text(needed)} free"
                if n <= LARGEST
                else f"; {LARGEST:,} is the most that LAPACK's indices reach"
            ),
            needed=int(needed),
            available=free,
            items_that_fit=most,
        )

    def drifted(self, matrix: Array, data: Interactions) -> float:
        """‖(XᵀX + Λ)Pz − z‖_∞ for a vector z of signs that the data's size draws."""
        z = inverse.probe(data.shape[1], len(data))
        found = inverse.residual(matrix, self.added(inverse.squares(data)), inverse.cells(data), z)
        return float(np.abs(found).max(initial=0.0))

    def told(self, state: Mapping[str, Array]) -> dict[str, float]:
        """How far rounding has gone, and by how many rows P was changed since it was made."""
        drift, rows = state["drift"].tolist()
        return {"drift": drift, "rows_since_made": int(rows)}

    def apart(self, state: Mapping[str, Array], data: Interactions) -> float:
        """Max |(XᵀX + Λ)P − I|, all columns, by SciPy's products; ∞ where the counts are not the
        data's.
        """
        if not np.array_equal(state["counts"], np.bincount(data.indices, minlength=data.shape[1])):
            return np.inf
        return self._off(state, data, np.arange(data.shape[1]))

    def spot_checks(self, data: Interactions) -> int:
        """So many columns of P, beyond ``LARGE`` items."""
        return SAMPLE if data.shape[1] > LARGE else 0

    def apart_in(self, state: Mapping[str, Array], data: Interactions, rows: Array) -> float:
        """``apart`` of some columns; of all together a product with random signs, over how much of
        it is allowed.
        """
        if not np.array_equal(state["counts"], np.bincount(data.indices, minlength=data.shape[1])):
            return np.inf
        n, x = data.shape[1], inverse.cells(data)
        z, solved = inverse.probe(n, int(rows.sum())), np.empty(n)
        for start in range(0, n, PANEL):
            wanted = np.arange(start, min(start + PANEL, n))
            solved[wanted] = packed.columns(state["inverse"], n, wanted) @ z
        added = self.added(np.asarray((x * x).sum(0)).ravel())
        together = np.abs(x.T @ (x @ solved) + added * solved - z).max(initial=0.0)
        allowed = self.drift_limit(data) / self.limit(data)
        return max(self._off(state, data, rows), float(together / allowed))

    def _off(self, state: Mapping[str, Array], data: Interactions, rows: Array) -> float:
        """Max |(XᵀX + Λ)P − I| of the columns ``rows``."""
        n, worst, x = data.shape[1], 0.0, inverse.cells(data)
        added = self.added(np.asarray((x * x).sum(0)).ravel())
        for start in range(0, rows.size, PANEL):
            wanted = rows[start : start + PANEL]
            columns = packed.columns(state["inverse"], n, wanted).astype(np.float64, copy=False).T
            left = x.T @ (x @ columns) + added[:, None] * columns
            left[wanted, np.arange(wanted.size)] -= 1.0
            worst = max(worst, float(np.abs(left).max(initial=0.0)))
        return worst

    def scores(
        self, state: Mapping[str, Array], rows: Array, history: Interactions | None
    ) -> Array:
        """(len(rows), n) float64; −∞ for an item that nobody has, and for everything where somebody
        has nothing.
        """
        assert history is not None  # see needs_history
        n = history.shape[1]
        mine = inverse.cells(history)[rows]
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
        return {
            "inverse": ((packed.size(items),), (self.dtype,)),
            "counts": ((items,), ("int64",)),
            "drift": ((2,), ("float64",)),
        }
