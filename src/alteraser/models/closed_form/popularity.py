"""Popularity: everybody is shown what most people had.

    score(v) = Σ of the confidences of v's interactions, or how many there are

It is the baseline that every recommender is to beat, and the simplest one that forgets exactly: counts are integers,
and taking one person's away gives the very counts that counting without them gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from alteraser.models.closed_form.kind import ExactKind, largest_difference
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.interactions import Interactions, Removal
    from alteraser.models.closed_form import by_item

    Array = npt.NDArray[Any]
else:
    np = late("numpy")
    by_item = late("alteraser.models.closed_form.by_item")


class Popularity(ExactKind):
    """How often each item occurs: ``counts`` (n,), int64, or float64 sums of confidences where the data have some."""

    name: ClassVar[str] = "popularity"
    needs_history: ClassVar[bool] = False
    summary: ClassVar[str] = "counts of the interactions of each item"

    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Array]:
        """{``counts``}."""
        if data.confidence is None:
            return {"counts": data.item_counts.astype(np.int64)}
        return {"counts": by_item.item_sums(data, data.confidence)}

    def without(self, state: Mapping[str, Array], before: Interactions, removal: Removal, *, threads: int = 0) -> dict[
        str, Array
    ]:  # fmt: skip
        """``state`` of what remains: counts less those that go; sums of confidences of what loses one, anew."""
        if before.confidence is None:
            return {"counts": state["counts"] - removal.removed.item_counts}
        counts = state["counts"].copy()
        lost = np.flatnonzero(removal.removed.item_counts)
        counts[lost] = self.state(removal.remaining)["counts"][lost]
        return {"counts": counts}

    def apart(self, state: Mapping[str, Array], data: Interactions) -> float:
        """The largest difference from counts by NumPy over the largest count."""
        weights = data.confidence
        return largest_difference(state, {"counts": np.bincount(data.indices, weights, data.shape[1])})

    def scores(self, state: Mapping[str, Array], rows: Array, history: Interactions | None) -> Array:
        """(len(rows), n) float64; −∞ for an item that nobody has."""
        counts = state["counts"].astype(np.float64)
        return np.tile(np.where(counts > 0, counts, -np.inf), (len(rows), 1))

    def matrix(self, state: Mapping[str, Array]) -> Any:
        """The counts, (n, 1)."""
        from scipy.sparse import csr_array

        return csr_array(state["counts"].astype(np.float64)[:, None])

    def shapes(self, items: int) -> dict[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
        """{name: (shape, dtypes)} of the state of a model with so many item rows."""
        return {"counts": ((items,), ("int64", "float64"))}
