"""implicit's neighborhood models (``CosineRecommender``, ``TFIDFRecommender``, ``BM25Recommender``,
``.save``).

The file holds K and a sparse matrix (n, n): for each item the K largest of its products with all
items, itself included, of the columns of the weighted data. It says neither which of the
recommenders it is nor BM25's parameters, so each is tried, with implicit's defaults. N, the number
of documents, is the number of the matrix's rows there. Of equally near items implicit keeps
whichever it met first; here they come in the order of their rows. Facts of 0.7.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters import npz
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.tables.contract import ItemTable
from alteraser.data.files import atomic_write
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError
from alteraser.models.neighbors import lists
from alteraser.models.neighbors.similarity import GlobalTerms, Name, Similarity

Array = npt.NDArray[Any]

ITEMS_AT_A_TIME = 256
MEMBERS = ("data", "indices", "indptr", "shape", "K")


@dataclass(frozen=True)
class Neighbors:
    """One of the recommenders, which is a similarity of ``models.neighbors`` and K."""

    similarity: Name
    length: int
    k1: float = 1.2
    b: float = 0.75

    limit = 1e-9
    hint = ""

    @property
    def name(self) -> str:
        """The class in implicit."""
        return {
            "cosine": "CosineRecommender",
            "tfidf": "TFIDFRecommender",
            "bm25": "BM25Recommender",
        }[self.similarity]

    @property
    def formula(self) -> str:
        """One line."""
        more = f", K1 = {self.k1:g}, B = {self.b:g}" if self.similarity == "bm25" else ""
        return (
            f"the {self.length:,} items that are nearest by {self.similarity}, itself among "
            f"them{more}"
        )

    def table(self, data: Interactions, *, threads: int = 0) -> Any:
        """Lists by our kernels, and each item among its own."""
        from scipy.sparse import csr_matrix

        n = data.shape[1]
        measure = Similarity(self.similarity, 0.0, self.k1, self.b)
        terms = GlobalTerms.of(data, documents=n)
        rows = np.arange(n)
        columns, values = lists.Finder(data, measure, terms).lists(
            rows, min(self.length, n), threads=threads
        )
        weights = measure.weights(data, terms)
        own: Array = (data.item_counts > 0).astype(np.float64)  # a cosine with itself
        if self.similarity == "bm25":
            assert weights is not None
            own = np.bincount(data.indices, weights**2, n)
        columns, values = np.column_stack([columns, rows]), np.column_stack([values, own])
        values[columns < 0] = 0.0
        order = np.lexsort((columns, -values), axis=1)[:, : self.length]
        columns, values = (
            np.take_along_axis(columns, order, 1),
            np.take_along_axis(values, order, 1),
        )
        held = values > 0
        found = csr_matrix(
            (
                values[held],
                columns[held].astype(np.int32),
                np.concatenate([[0], np.cumsum(held.sum(1))]),
            ),
            shape=(n, n),
        )
        found.sort_indices()
        return found

    def apart(self, values: Any, data: Interactions) -> float:
        """By implicit's steps in NumPy and SciPy: every entry, and that no larger one is left
        out.
        """
        from scipy.sparse import csr_array

        n = data.shape[1]
        if values.shape != (n, n):
            return np.inf
        x = csr_array((self._weighted(data), data.indices, data.indptr), shape=data.shape)
        columns, theirs = x.T.tocsr(), csr_array(values)
        worst = largest = 0.0
        for start in range(0, n, ITEMS_AT_A_TIME):
            part = slice(start, min(start + ITEMS_AT_A_TIME, n))
            alike, stored = (columns[part] @ x).toarray(), theirs[part].toarray()
            largest = max(largest, float(alike.max(initial=0.0)))
            worst = max(
                worst, float(np.abs(np.where(stored != 0, alike - stored, 0.0)).max(initial=0.0))
            )
            best = -np.sort(-alike, axis=1)[:, : self.length]
            kept = -np.sort(-stored, axis=1)[:, : self.length]
            worst = max(worst, float(np.abs(best - kept).max(initial=0.0)))
        return worst / largest if largest else worst

    def _weighted(self, data: Interactions) -> Array:
        counts = np.ones(len(data)) if data.confidence is None else data.confidence
        n, users = data.shape[1], np.repeat(np.arange(data.shape[0]), np.diff(data.indptr))
        if self.similarity != "cosine":
            rare = np.log(n) - np.log1p(np.bincount(users, minlength=data.shape[0]))
            if self.similarity == "bm25":
                lengths = np.bincount(data.indices, counts, n)
                norm = (1.0 - self.b) + self.b * lengths / lengths.mean()
                return np.asarray(
                    counts * (self.k1 + 1.0) / (self.k1 * norm[data.indices] + counts) * rare[users]
                )
            counts = np.sqrt(counts) * rare[users]
        size = np.sqrt(np.bincount(data.indices, counts**2, n))[data.indices]
        return np.divide(counts, size, out=np.zeros_like(counts), where=size > 0)


class ImplicitKNN:
    """``implicit-knn``"""

    name = "implicit-knn"

    def recognizes(self, path: Path) -> bool:
        """See ``TableAdapter.recognizes``."""
        return npz.is_npz(path, *MEMBERS)

    def read(self, path: Path, options: ForeignOptions) -> ItemTable:
        """See ``TableAdapter.read``."""
        from scipy.sparse import csr_matrix

        archive = npz.open_npz(path)
        data, indices, indptr, shape = (archive.array(name) for name in MEMBERS[:4])
        length = int(archive.scalar("K"))
        n = int(shape[0]) if shape.shape == (2,) and shape[0] == shape[1] else -1
        whole = (
            n >= 0
            and length >= 1
            and indptr.shape == (n + 1,)
            and data.shape == indices.shape == (int(indptr[-1]),)
            and indptr[0] == 0
            and np.all(np.diff(indptr) >= 0)
            and np.all(np.diff(indptr) <= length)
            and bool(np.all((indices >= 0) & (indices < n)))
            and data.dtype == np.float64
            and bool(np.all(np.isfinite(data)))
        )
        if not whole:
            raise IntegrityError(
                f"{path}: its arrays are no table of the {length} nearest of each item; the file "
                "is damaged, restore it from a copy",
                path=str(path),
            )
        values = csr_matrix((np.array(data), np.array(indices), np.array(indptr)), shape=(n, n))
        return ItemTable(path, self.name, values, state=length)

    def rules(self, table: ItemTable, options: ForeignOptions) -> Sequence[Neighbors]:
        """All three."""
        return [Neighbors(name, table.state) for name in ("cosine", "tfidf", "bm25")]

    def write(self, table: ItemTable, values: Any, out: Path, remaining: Interactions) -> None:
        """See ``TableAdapter.write``."""
        with atomic_write(out) as file:
            np.savez(
                file,
                K=table.state,
                shape=values.shape,
                data=values.data,
                indptr=values.indptr.astype(np.int32),
                indices=values.indices,
            )


ADAPTER = ImplicitKNN()
