"""Item-based nearest neighbors (Sarwar et al., WWW 2001; Deshpande and Karypis, TOIS 2004).

    score(u, v) = Σ_{w in u's history, v among the K nearest of w} x_uw s(w, v)

with x_uw the confidence of the interaction (or 1), and s the similarity of ``similarity``. The
model holds, for each item, its K nearest and how near they are; nobody's history. So a list needs
the interactions of whom it is for, and what one person leaves in the model is their share of the
similarities of items that they had together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field

from alteraser.models.closed_form.kind import ROUNDED, ExactKind
from alteraser.models.neighbors.similarity import Name, Similarity
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.deletion import Deletion
    from alteraser.data.interactions import Interactions
    from alteraser.models.closed_form.live import Live
    from alteraser.models.neighbors import lists, live, plain, theirs, together

    Array = npt.NDArray[Any]
else:
    np = late("numpy")
    lists = late("alteraser.models.neighbors.lists")
    live = late("alteraser.models.neighbors.live")
    together = late("alteraser.models.neighbors.together")
    plain = late("alteraser.models.neighbors.plain")
    theirs = late("alteraser.models.neighbors.theirs")

LARGE, SAMPLE = 20_000, 2_048
"""Items beyond which ``verify`` looks at a sample of lists, and how many that are"""


class ItemKNN(ExactKind):
    """``neighbors`` (n, K) int32 item rows, the nearest first, −1 behind the last; ``similarities``
    (n, K) float64.
    """

    name: ClassVar[str] = "item-knn"
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "similarity": ("cosine", "tfidf", "bm25", "jaccard"),
        "neighbors": (20, 50, 200),
    }
    needs_history: ClassVar[bool] = True
    summary: ClassVar[str] = "the nearest neighbors of each item"

    similarity: Name = Field(default="cosine", description="How alike two items are")
    neighbors: int = Field(
        default=20, ge=1, le=100_000, description="K, how many neighbors of each item are kept"
    )
    shrinkage: float = Field(
        default=0.0,
        ge=0.0,
        allow_inf_nan=False,
        description="Added below the line of a similarity: what rests on few people counts for "
        "less",
    )
    k1: float = Field(
        default=1.2,
        gt=0.0,
        allow_inf_nan=False,
        description="k of bm25: how fast more of the same stops counting",
    )
    b: float = Field(
        default=0.75,
        ge=0.0,
        le=1.0,
        description="b of bm25: how much the length of an item's history counts",
    )

    @property
    def measure(self) -> Similarity:
        """The similarity with its shrinkage."""
        return Similarity(self.similarity, self.shrinkage, self.k1, self.b)

    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Array]:
        """{``neighbors``, ``similarities``} of all items."""
        neighbors, similarities = lists.fit(
            data, self.measure, self._length(data.shape[1]), threads=threads
        )
        return {"neighbors": neighbors, "similarities": similarities}

    def without(
        self,
        state: Mapping[str, Array],
        deletion: Deletion,
        *,
        threads: int = 0,
    ) -> dict[str, Array]:
        """``state`` of what remains, by the lists alone that the deletion can reach."""
        neighbors, similarities = lists.without(
            state["neighbors"],
            state["similarities"],
            self.measure,
            deletion.removal.remaining,
            self.measure.changed(deletion.data, deletion.removed),
            threads=threads,
        )
        return {"neighbors": neighbors, "similarities": similarities}

    def live(self, state: Mapping[str, Array], data: Interactions) -> Live | None:
        """How many people had two items, of which the lists are formed; of cosines and Jaccard's,
        without weights.
        """
        measure = self.measure
        if measure.name not in ("cosine", "jaccard") or measure.weights(data) is not None:
            return None

        def formed(pairs: Any, frequencies: Array, people: int) -> dict[str, Array]:
            jaccard, had = measure.name == "jaccard", frequencies.astype(np.float64)
            neighbors, similarities = together.nearest(
                pairs,
                had if jaccard else np.sqrt(had),
                self._length(had.size),
                jaccard=jaccard,
                shrinkage=measure.shrinkage,
            )
            return {"neighbors": neighbors, "similarities": similarities}

        people = int((data.user_counts > 0).sum())
        return live.LivePairs(together.counted(data), data.item_counts, people, formed)

    def scrubbed(
        self,
        state: Mapping[str, Array],
        after: Mapping[str, Array],
        deletion: Deletion,
    ) -> dict[str, int]:
        """Lists of items that changed, and those of items of which nothing goes."""
        changed = np.any(
            (state["neighbors"] != after["neighbors"])
            | (state["similarities"] != after["similarities"]),
            axis=1,
        )
        lists = int(changed.sum())
        changed[deletion.touched_items] = False
        return {
            "neighbor_lists": lists,
            "neighbor_lists_of_others": int(changed.sum()),
            "neighbor_lists_looked_at": int(changed.size),
        }

    def limit(self, data: Interactions) -> float:
        """0 where weights are 1: then all sums are integers."""
        return 0.0 if self.measure.weights(data) is None else ROUNDED

    def formed(self, state: Mapping[str, Array], history: Interactions | None) -> Any:
        """The similarities as a sparse array."""
        return self.matrix(state)

    def scores(self, state: Any, rows: Array, history: Interactions | None) -> Array:
        """(len(rows), n) float64; −∞ for an item that is among the neighbors of nothing in a user's
        history.
        """
        assert history is not None  # see needs_history
        scores: Array = (theirs.of(history, rows, history.confidence) @ state).toarray()
        scores[scores <= 0] = -np.inf
        return scores

    def matrix(self, state: Mapping[str, Array]) -> Any:
        """The similarities that are kept, (n, n), item by neighbor."""
        from scipy.sparse import csr_array

        neighbors, similarities = state["neighbors"], state["similarities"]
        held = neighbors >= 0
        indptr = np.concatenate([[0], np.cumsum(held.sum(1))])
        return csr_array(
            (similarities[held], neighbors[held], indptr), shape=(neighbors.shape[0],) * 2
        )

    def apart(self, state: Mapping[str, Array], data: Interactions) -> float:
        """``lists_apart`` of the lists that SciPy's product gives."""
        neighbors, similarities = plain.lists(data, self.measure, self._length(data.shape[1]))
        return lists_apart(state, {"neighbors": neighbors, "similarities": similarities})

    def spot_checks(self, data: Interactions) -> int:
        """So many lists, beyond ``LARGE`` items."""
        return SAMPLE if data.shape[1] > LARGE else 0

    def apart_in(self, state: Mapping[str, Array], data: Interactions, rows: Array) -> float:
        """``apart`` of the lists of ``rows``."""
        neighbors, similarities = plain.lists(data, self.measure, self._length(data.shape[1]), rows)
        mine = {name: array[rows] for name, array in state.items()}
        return lists_apart(mine, {"neighbors": neighbors, "similarities": similarities})

    def shapes(self, items: int) -> dict[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
        """{name: (shape, dtypes)} of the state of a model with so many item rows."""
        shape = items, self._length(items)
        return {"neighbors": (shape, ("int32",)), "similarities": (shape, ("float64",))}

    def _length(self, items: int) -> int:
        return min(self.neighbors, max(items - 1, 1))


def lists_apart(state: Mapping[str, Array], wanted: Mapping[str, Array]) -> float:
    """The largest difference of similarities in two lists of an item; ∞ where the lists are of
    other items.

    Sums of confidences are rounded in another order, so that two items that are equally near may
    change places, or one of them fall off the end: an item that is in one list alone has to be as
    near as the end of the other.
    """
    if any(state[name].shape != target.shape for name, target in wanted.items()):
        return np.inf
    if all(np.array_equal(state[name], target) for name, target in wanted.items()):
        return 0.0
    mine, theirs = _entries(state), _entries(wanted)
    _, here, there = np.intersect1d(
        mine.pairs, theirs.pairs, assume_unique=True, return_indices=True
    )
    found = float(np.abs(mine.values[here] - theirs.values[there]).max(initial=0.0))
    for one, other, shared in ((mine, theirs, here), (theirs, mine, there)):
        alone = np.delete(np.arange(one.pairs.size), shared)
        found = max(found, float((one.values - other.last[one.rows])[alone].max(initial=0.0)))
    return found


class _Entries(NamedTuple):
    """The lists of a state by entries: ``pairs`` row · 2³² + neighbor, and ``last`` (n,), the end
    of full lists.
    """

    rows: Array
    pairs: Array
    values: Array
    last: Array


def _entries(state: Mapping[str, Array]) -> _Entries:
    neighbors, similarities = state["neighbors"], state["similarities"]
    rows, places = np.nonzero(neighbors >= 0)
    last = np.where(neighbors[:, -1] >= 0, similarities[:, -1], 0.0)
    return _Entries(rows, (rows << 32) + neighbors[rows, places], similarities[rows, places], last)
