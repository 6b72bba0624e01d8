"""User-based nearest neighbors (Resnick et al., CSCW 1994; Herlocker et al., SIGIR 1999), for lists
of items.

    score(u, v) = Σ_{w among the K nearest of u, w had v} s(u, w) x_wv

with x_wv the confidence of the interaction (or 1) and s the similarity of ``similarity``, of
people: items take the place of terms there. Equally near people are taken in the order of their
ids.

Who is near whom is no part of the model: it is formed from everybody's interactions when a list is
asked for. So the model names nobody's neighbors, and forgetting somebody costs what that one person
had, however many others there are. What is kept is what is known of all: in how many histories each
item is, which tfidf and bm25 weigh by, and how long a history is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from alteraser.models.closed_form.kind import ROUNDED, ExactKind, largest_difference
from alteraser.models.neighbors.similarity import GlobalTerms, Name, Similarity, transposed
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.deletion import Deletion
    from alteraser.data.interactions import Interactions
    from alteraser.models.closed_form.live import Live
    from alteraser.models.neighbors import lists, live, theirs

    Array = npt.NDArray[Any]
else:
    np = late("numpy")
    lists = late("alteraser.models.neighbors.lists")
    live = late("alteraser.models.neighbors.live")
    theirs = late("alteraser.models.neighbors.theirs")


SAMPLE = 500
"""People whose neighbors are looked at for the receipt"""


class UserKNN(ExactKind):
    """``frequencies`` (n,) int64, in how many histories an item is; ``people`` (1,) int64;
    ``length`` (1,), Σ c.
    """

    name: ClassVar[str] = "user-knn"
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "similarity": ("cosine", "tfidf", "bm25", "jaccard"),
        "neighbors": (50, 100, 200),
    }
    needs_history: ClassVar[bool] = True
    reads_others: ClassVar[bool] = True
    summary: ClassVar[str] = (
        "in how many histories each item is; who is near whom is formed when lists are asked for"
    )

    similarity: Name = Field(default="cosine", description="How alike two people are")
    neighbors: int = Field(
        default=100, ge=1, le=100_000, description="K, by how many nearest people a list is made"
    )
    shrinkage: float = Field(
        default=0.0,
        ge=0.0,
        allow_inf_nan=False,
        description="Added below the line of a similarity: what rests on few items counts for less",
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
        description="b of bm25: how much the length of a person's history counts",
    )

    @property
    def measure(self) -> Similarity:
        """The similarity with its shrinkage."""
        return Similarity(self.similarity, self.shrinkage, self.k1, self.b)

    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Array]:
        """{``frequencies``, ``people``, ``length``}."""
        length = float(len(data)) if data.confidence is None else float(data.confidence.sum())
        return {
            "frequencies": data.item_counts.astype(np.int64),
            "people": np.array([(data.user_counts > 0).sum()], np.int64),
            "length": np.array([length]),
        }

    def without(
        self,
        state: Mapping[str, Array],
        deletion: Deletion,
        *,
        threads: int = 0,
    ) -> dict[str, Array]:
        """``state`` of what remains: counts less what goes; a sum of confidences anew."""
        gone, remaining = deletion.removed, deletion.removal.remaining
        left = state["length"] - len(gone)
        if deletion.data.confidence is not None:
            confidence = remaining.confidence
            left = np.array(
                [len(remaining) if confidence is None else confidence.sum()], np.float64
            )
        emptied = (gone.user_counts > 0) & (gone.user_counts == deletion.data.user_counts)
        return {
            "frequencies": state["frequencies"] - gone.item_counts,
            "people": state["people"] - int(emptied.sum()),
            "length": left,
        }

    def live(self, state: Mapping[str, Array], data: Interactions) -> Live | None:
        """Counts, of interactions without confidences."""
        if data.confidence is not None:
            return None
        return live.LiveFrequencies(state["frequencies"], int(state["people"][0]))

    def scrubbed(
        self,
        state: Mapping[str, Array],
        after: Mapping[str, Array],
        deletion: Deletion,
    ) -> dict[str, int]:
        """Of ``SAMPLE`` people who have an item of those of whom something goes, how many had one
        of these for a neighbor. No list is kept; this is what lists that were handed out held.
        """
        before, asking = deletion.data, deletion.asking
        theirs = np.zeros(before.shape[1], bool)
        theirs[before.indices[asking[before.user_rows]]] = True
        meet = np.zeros(before.shape[0], bool)
        meet[before.user_rows[theirs[before.indices]]] = True
        others = np.flatnonzero(meet & ~asking)
        if others.size > SAMPLE:
            others = np.sort(np.random.default_rng(0).choice(others, SAMPLE, replace=False))
        held = 0
        if others.size:
            neighbors, _ = self.lists(self.formed(state, before), others)
            held = int(np.any((neighbors >= 0) & asking[neighbors], axis=1).sum())
        return {"neighbor_lists_of_others": held, "neighbor_lists_looked_at": int(others.size)}

    def apart(self, state: Mapping[str, Array], data: Interactions) -> float:
        """The largest relative difference from counts of distinct people, item by item, by
        NumPy.
        """
        pairs = np.unique(np.stack([data.indices.astype(np.int64), data.user_rows]), axis=1)
        confidence = np.ones(len(data)) if data.confidence is None else data.confidence
        wanted = {
            "frequencies": np.bincount(pairs[0], minlength=data.shape[1]),
            "people": np.array([np.unique(pairs[1]).size]),
            "length": np.array([np.bincount(data.indices, confidence, data.shape[1]).sum()]),
        }
        return largest_difference(state, wanted)

    def formed(self, state: Mapping[str, Array], history: Interactions | None) -> Any:
        """What finds the nearest people in ``history``, weighted by what ``state`` knows of all."""
        assert history is not None  # see needs_history
        people = int(state["people"][0])
        terms = GlobalTerms(
            state["frequencies"], people, float(state["length"][0]) / people if people else 0.0
        )
        return lists.Finder(transposed(history), self.measure, terms)

    def scores(self, state: Any, rows: Array, history: Interactions | None) -> Array:
        """(len(rows), n) float64; −∞ for an item that none of a user's neighbors had."""
        from scipy.sparse import csr_array

        assert history is not None  # see needs_history
        neighbors, similarities = self.lists(state, rows)
        held = neighbors >= 0
        indptr = np.concatenate([[0], np.cumsum(held.sum(1))])
        people, places = np.unique(neighbors[held], return_inverse=True)
        near = csr_array((similarities[held], places, indptr), shape=(len(rows), people.size))
        scores: Array = (near @ theirs.of(history, people, history.confidence)).toarray()
        scores[scores <= 0] = -np.inf
        return scores

    def lists(self, formed: Any, rows: Array) -> tuple[Array, Array]:
        """(people int32, similarities), both (len(rows), K), the nearest of ``rows`` first, −1 and
        0 behind them.
        """
        distinct, where = np.unique(rows, return_inverse=True)
        neighbors, similarities = formed.lists(
            distinct, min(self.neighbors, max(formed.items - 1, 1))
        )
        return neighbors[where], similarities[where]

    def matrix(self, state: Mapping[str, Array]) -> Any:
        """The frequencies, (n, 1)."""
        from scipy.sparse import csr_array

        return csr_array(state["frequencies"].astype(np.float64)[:, None])

    def limit(self, data: Interactions) -> float:
        """0 for counts."""
        return 0.0 if data.confidence is None else ROUNDED

    def shapes(self, items: int) -> dict[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
        """{name: (shape, dtypes)} of the state of a model with so many item rows."""
        return {
            "frequencies": ((items,), ("int64",)),
            "people": ((1,), ("int64",)),
            "length": ((1,), ("float64",)),
        }
