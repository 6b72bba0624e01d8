"""How alike two items are, from three numbers: what they share, and the size of each.

With x_i the column of item i (m,), holding a weight for each of its interactions (c: 1, or its
confidence),

    cosine    s(i, j) = x_iᵀx_j / (‖x_i‖ ‖x_j‖ + S),  x_ui = c_ui
        (Sarwar et al., WWW 2001)
    tfidf     the same with  x_ui = √c_ui log(n / (1 + |D_u|))
        (Salton and Buckley 1988)
    bm25      s(i, j) = x_iᵀx_j / (1 + S),
              x_ui = c_ui (k + 1) / (k l_i + c_ui) · log(n / (1 + |D_u|)),
              l_i = 1 − b + b Σ_u c_ui / their mean over items
                  (Robertson and Zaragoza 2009)
    jaccard   s(i, j) = |U_i ∩ U_j| / (|U_i| + |U_j| − |U_i ∩ U_j| + S)
        (Jaccard 1901; pairs count as 1)

which are the definitions of implicit's recommenders of these names, people taking the place of
terms and items that of documents: who had a lot says less. n counts the items that somebody has
(implicit: the rows of its matrix; ``GlobalTerms``). Shrinkage S pulls what rests on few people
towards 0. Where the weights are 1, every number is a sum of integers. Of ``transposed`` data the
same is said of people: then items are the terms, and what everybody has says less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from alteraser.errors import InvalidInput
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.interactions import Interactions
    from alteraser.models.closed_form import by_item

    Array = npt.NDArray[Any]
    Float64 = npt.NDArray[np.float64]
else:
    np = late("numpy")
    by_item = late("alteraser.models.closed_form.by_item")

Name = Literal["cosine", "tfidf", "bm25", "jaccard"]
NAMES: tuple[Name, ...] = ("cosine", "tfidf", "bm25", "jaccard")


@dataclass(frozen=True, eq=False)
class GlobalTerms:
    """What the similarities with global statistics know of all data."""

    frequency: Array
    """(m,) int64: in how many documents a term is, |D_u|"""
    documents: int
    """n, how many documents there are"""
    mean_length: float
    """Σ c / n"""

    @classmethod
    def of(cls, data: Interactions, documents: int | None = None) -> GlobalTerms:
        """Those of ``data``, people being terms and items documents; ``documents``: n, where it is
        another one.
        """
        length = float(len(data)) if data.confidence is None else float(data.confidence.sum())
        count = int((data.item_counts > 0).sum()) if documents is None else documents
        return cls(data.user_counts, count, length / count if count else 0.0)


@dataclass(frozen=True)
class Similarity:
    """A similarity, its shrinkage S ≥ 0, and of bm25 k and b."""

    name: Name = "cosine"
    shrinkage: float = 0.0
    k1: float = 1.2
    b: float = 0.75

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise InvalidInput(f"similarity {self.name!r}: there are {', '.join(NAMES)}")
        if not 0 <= self.shrinkage < np.inf:
            raise InvalidInput(
                f"shrinkage {self.shrinkage:g}: expected a number from 0, such as 10"
            )

    def weights(self, data: Interactions, terms: GlobalTerms | None = None) -> Float64 | None:
        """X of every interaction, (|D|,); None: 1 each. ``terms``: statistics other than those of
        ``data``.
        """
        if self.name in ("cosine", "jaccard"):
            return data.confidence if self.name == "cosine" else None
        counts = np.ones(len(data)) if data.confidence is None else data.confidence
        lengths = by_item.item_sums(data, counts) if self.name == "bm25" else None
        terms = terms or GlobalTerms.of(data)
        rare = np.log(max(terms.documents, 1)) - np.log1p(terms.frequency.astype(np.float64))
        rare = np.repeat(rare, data.user_counts)
        if lengths is None:
            return np.asarray(np.sqrt(counts) * rare)
        norm = (1.0 - self.b) + self.b * lengths / (terms.mean_length or 1.0)
        return np.asarray(counts * (self.k1 + 1.0) / (self.k1 * norm[data.indices] + counts) * rare)

    def sizes(self, data: Interactions, terms: GlobalTerms | None = None) -> Float64:
        """‖x_i‖ of cosines, |U_i| for Jaccard, 1 for bm25, (n,)."""
        if self.name == "jaccard":
            return data.item_counts.astype(np.float64)
        if self.name == "bm25":
            return np.ones(data.shape[1])
        weights = self.weights(data, terms)
        if weights is None:
            return np.sqrt(data.item_counts.astype(np.float64))
        return np.sqrt(by_item.item_sums(data, weights**2))

    def changed(self, before: Interactions, removed: Interactions) -> npt.NDArray[np.int64] | None:
        """Rows of the items whose own numbers a removal changes; None: of all.

        Those that lose somebody; of tfidf everything that these people had, as how much that is
        weighs all of it, and all where an item vanishes, as n weighs everything; of bm25 all, as
        the mean length does.
        """
        if self.name == "bm25":
            return None
        if self.name == "tfidf" and np.any(
            (removed.item_counts > 0) & (removed.item_counts == before.item_counts)
        ):
            return None
        if self.name == "tfidf":
            theirs = removed.user_counts[before.user_rows] > 0
            return np.unique(before.indices[theirs]).astype(np.int64)
        return np.flatnonzero(removed.item_counts)

    def of(self, shared: Any, mine: Any, theirs: Any) -> Any:
        """s(i, j) of what i and j share and their sizes, elementwise; 0 where they share nothing,
        or less.

        >>> float(Similarity("jaccard").of(np.array([2.0]), 3.0, 3.0)[0])
        0.5
        """
        below = mine + theirs - shared if self.name == "jaccard" else mine * theirs
        return np.divide(
            shared, below + self.shrinkage, out=np.zeros_like(shared), where=shared > 0
        )


def transposed(data: Interactions) -> Interactions:
    """People as items and items as people; nothing but the ids, the rows and the confidences."""
    from alteraser.data.interactions import Interactions

    view = data.by_item
    confidence = None if data.confidence is None else data.confidence[view.order]
    return Interactions(data.items, data.users, view.indptr, view.indices, confidence)
