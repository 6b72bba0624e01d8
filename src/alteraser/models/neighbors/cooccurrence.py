"""Co-occurrence, the "also bought" of shops: which items the same people had, more often than by
chance.

For two items, of N people, n_i of whom had i, n_j had j and k had both, Dunning's log-likelihood
ratio (Computational Linguistics 1993), 2 Σ k ln(k N / (row · column)) over the four cells of

                     had j        not j
    had i            k            n_i − k             = n_i
    not i            n_j − k      N − n_i − n_j + k   = N − n_i

says how surprising k is. It does not say in which direction, so only companions with k N > n_i n_j
are listed; or, with ``--association count``, all by k. The K strongest companions of an item are
its list, equal ones by their id, and

    score(u, v) = Σ_{w in u's history, v in the list of w} value(w, v)

What is kept are k, n_i and N, integers; lists are formed from them when they are asked for, as one
person more or less changes N, and with it every ratio. A pair counts once, whatever its confidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from alteraser.errors import InvalidInput
from alteraser.models.closed_form.kind import ExactKind, largest_difference
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.deletion import Deletion
    from alteraser.data.interactions import Interactions
    from alteraser.models.closed_form.live import Live
    from alteraser.models.neighbors import live, theirs, together

    Array = npt.NDArray[Any]
else:
    np = late("numpy")
    live = late("alteraser.models.neighbors.live")
    together = late("alteraser.models.neighbors.together")
    theirs = late("alteraser.models.neighbors.theirs")


class Cooccurrence(ExactKind):
    """``starts`` (n + 1,) int64, ``columns`` and ``counts`` (z,) int32: k of the pairs i < j, row
    by row; ``frequencies`` (n,) int64, n_i; ``people`` (1,) int64, N, those of whom there are
    interactions.
    """

    name: ClassVar[str] = "cooccurrence"
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "association": ("llr", "count"),
        "neighbors": (20, 50, 200),
    }
    needs_history: ClassVar[bool] = True
    summary: ClassVar[str] = (
        "how many people had two items; lists are formed when they are asked for"
    )

    association: Literal["llr", "count"] = Field(
        default="llr",
        description="What makes a companion strong: the log-likelihood ratio, or how many had both",
    )
    neighbors: int = Field(
        default=20, ge=1, le=100_000, description="K, how many companions of each item are listed"
    )
    support: int = Field(
        default=1, ge=1, description="Companions that fewer people had with it are not listed"
    )

    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Array]:
        """The counts."""
        return self._kept(
            together.counted(data, threads=threads),
            data.item_counts,
            int((data.user_counts > 0).sum()),
        )

    def without(
        self,
        state: Mapping[str, Array],
        deletion: Deletion,
        *,
        threads: int = 0,
    ) -> dict[str, Array]:
        """``state`` of what remains: counts less those of whom something goes, and more of what is
        left of them.
        """
        gone = deletion.removed
        touched = np.flatnonzero(gone.user_counts)
        emptied = int((gone.user_counts[touched] == deletion.data.user_counts[touched]).sum())
        return self._kept(
            together.without(
                self.pairs(state),
                deletion.data,
                deletion.removal.remaining,
                touched,
                threads=threads,
            ),
            state["frequencies"] - gone.item_counts,
            int(state["people"][0]) - emptied,
        )

    def live(self, state: Mapping[str, Array], data: Interactions) -> Live | None:
        """The counts themselves."""
        return live.LivePairs(
            self.pairs(state), state["frequencies"], int(state["people"][0]), self._kept
        )

    def scrubbed(
        self,
        state: Mapping[str, Array],
        after: Mapping[str, Array],
        deletion: Deletion,
    ) -> dict[str, int]:
        """Counts of pairs that are other ones."""
        return {"pairs": int((self.pairs(state) != self.pairs(after)).nnz)}

    def apart(self, state: Mapping[str, Array], data: Interactions) -> float:
        """The largest difference of counts from those of SciPy's product, over the largest; ∞ for
        other pairs.
        """
        from scipy.sparse import csr_array, triu

        x = csr_array((np.ones(len(data), np.int32), data.indices, data.indptr), shape=data.shape)
        pairs = triu(x.T @ x, 1, format="csr")
        pairs.sort_indices()
        people = int(np.unique(data.user_rows).size)
        return largest_difference(
            state, self._kept(pairs, np.bincount(data.indices, minlength=data.shape[1]), people)
        )

    def formed(self, state: Mapping[str, Array], history: Interactions | None) -> Any:
        """The lists of all items, (n, n) sparse, item by companion."""
        from scipy.sparse import csr_array

        n = state["frequencies"].size
        neighbors, values = self.lists(state)
        held = neighbors >= 0
        return csr_array(
            (values[held], neighbors[held], np.concatenate([[0], np.cumsum(held.sum(1))])),
            shape=(n, n),
        )

    def lists(self, state: Mapping[str, Array], *, threads: int = 0) -> tuple[Array, Array]:
        """(companions int32 item rows, values float64), both (n, K), the strongest first, −1 and 0
        behind them.
        """
        n = state["frequencies"].size
        return together.lists(
            self.pairs(state),
            state["frequencies"],
            int(state["people"][0]),
            min(self.neighbors, max(n - 1, 1)),
            ratio=self.association == "llr",
            least=self.support,
            threads=threads,
        )

    def scores(self, state: Any, rows: Array, history: Interactions | None) -> Array:
        """(len(rows), n) float64; −∞ for an item that is the companion of nothing in a user's
        history.
        """
        assert history is not None  # see needs_history
        scores: Array = (theirs.of(history, rows) @ state).toarray()
        scores[scores <= 0] = -np.inf
        return scores

    def matrix(self, state: Mapping[str, Array]) -> Any:
        """How many had two items, (n, n), i < j."""
        return self.pairs(state).astype(np.float64)

    def pairs(self, state: Mapping[str, Array]) -> Any:
        """The counts as a sparse array (n, n), i < j."""
        from scipy.sparse import csr_array

        n = state["frequencies"].size
        return csr_array((state["counts"], state["columns"], state["starts"]), shape=(n, n))

    def shapes(self, items: int) -> dict[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
        """{name: (shape, dtypes)} of the state of a model with so many item rows."""
        return {
            "starts": ((items + 1,), ("int64",)),
            "columns": ((None,), ("int32",)),
            "counts": ((None,), ("int32",)),
            "frequencies": ((items,), ("int64",)),
            "people": ((1,), ("int64",)),
        }

    def check_state(self, state: Mapping[str, Array], shape: tuple[int, int]) -> None:
        """InvalidInput where ``starts`` do not cut ``columns`` into rows of items i < j."""
        starts, columns, n = state["starts"], state["columns"], state["frequencies"].size
        whole = (
            starts[0] == 0
            and starts[-1] == columns.size == state["counts"].size
            and np.all(np.diff(starts) >= 0)
        )
        if not (
            whole and np.all((columns < n) & (columns > np.repeat(np.arange(n), np.diff(starts))))
        ):
            raise InvalidInput("starts and columns are no pairs of items")

    @staticmethod
    def _kept(pairs: Any, frequencies: Array, people: int) -> dict[str, Array]:
        return {
            "starts": pairs.indptr.astype(np.int64),
            "columns": pairs.indices.astype(np.int32),
            "counts": pairs.data.astype(np.int32),
            "frequencies": frequencies.astype(np.int64),
            "people": np.array([people], np.int64),
        }
