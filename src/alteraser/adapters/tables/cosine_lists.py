"""Item-kNN as SciPy saves a sparse matrix (``save_npz(..., compressed=False)``, or ``savez`` of its
parts), such as the ``sim_matrix`` of LensKit's ``ItemKNNScorer``; perhaps with item ids and means.

    s(i, j) = Σ_u w_ui w_uj / (‖w_i‖ ‖w_j‖),        j ≠ i, of at least 10⁻⁶, float32

all of them, or the largest ``save_nbrs`` of an item. w are 1 where somebody had the item (implicit
feedback), or ratings less their item's mean (explicit). Which of these it is is found out by trying
each. Of items that are equally near the lower rows are kept. ``item_means``, where they are there,
are made anew. Facts of LensKit 2025.8.
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
from alteraser.adapters.tables.ease_weights import ids_beside
from alteraser.data.files import atomic_write
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError

Array = npt.NDArray[Any]

PARTS = ("data", "indices", "indptr", "shape")
MEANS, LENGTH = "item_means", "K"
LEAST = 1e-6
"""Similarities that are kept"""
ITEMS_AT_A_TIME = 256


@dataclass(frozen=True)
class Cosines:
    """How LensKit makes such a table."""

    explicit: bool
    length: int | None
    """How many of each item are kept; None: all"""

    limit = 1e-5

    @property
    def name(self) -> str:
        """As LensKit calls its feedback."""
        return f"ItemKNN, {'explicit' if self.explicit else 'implicit'} feedback"

    @property
    def hint(self) -> str:
        """Where ratings are needed."""
        return "Explicit feedback needs --rating" if self.explicit else ""

    @property
    def formula(self) -> str:
        """One line."""
        kept = "all" if self.length is None else f"the {self.length:,} largest"
        of = "ratings less their item's mean" if self.explicit else "who had what"
        return f"{kept} of the cosines of at least {LEAST:g} of {of}"

    def values(self, data: Interactions) -> Array:
        """What w are made of, (|D|,)."""
        if not self.explicit or data.confidence is None:
            return np.ones(len(data)) if not self.explicit else np.zeros(len(data))
        return data.confidence - means(data)[data.indices]

    def table(self, data: Interactions, *, threads: int = 0) -> Any:
        """(n, n) sparse float32, by blocks of a sparse product."""
        from scipy.sparse import csr_matrix, vstack

        w, n = self._columns(data), data.shape[1]
        parts = []
        for start in range(0, n, ITEMS_AT_A_TIME):
            stop = min(start + ITEMS_AT_A_TIME, n)
            alike = (w[:, start:stop].T @ w).tocoo()
            values = alike.data.astype(np.float32)
            kept = (values >= LEAST) & (alike.row + start != alike.col)
            rows, columns, values = alike.row[kept], alike.col[kept], values[kept]
            if self.length is not None:
                order = np.lexsort((columns, -values, rows))
                rows, columns, values = rows[order], columns[order], values[order]
                rank = np.arange(rows.size) - np.searchsorted(rows, rows)
                near = rank < self.length
                rows, columns, values = rows[near], columns[near], values[near]
            parts.append(csr_matrix((values, (rows, columns)), shape=(stop - start, n)))
        found = vstack(parts, format="csr", dtype=np.float32)
        found.sort_indices()
        return found

    def apart(self, values: Any, data: Interactions) -> float:
        """Every entry, and that no larger one is left out, by a dense product of columns."""
        n = data.shape[1]
        if values.shape != (n, n):
            return np.inf
        w, worst, largest = self._columns(data).tocsc(), 0.0, 0.0
        for start in range(0, n, ITEMS_AT_A_TIME):
            part = np.arange(start, min(start + ITEMS_AT_A_TIME, n))
            alike, stored = w.T @ w[:, part].toarray(), values[part].toarray()
            alike = np.asarray(alike).T
            alike[np.arange(part.size), part] = 0.0
            alike[alike < LEAST] = 0.0
            differ = np.where(stored != 0, alike - stored, 0.0)
            best, kept = (-np.sort(-each, axis=1)[:, : self.length] for each in (alike, stored))
            worst = max(worst, *(float(np.abs(d).max(initial=0)) for d in (differ, best - kept)))
            if self.length is not None and np.any((stored != 0).sum(axis=1) > self.length):
                return np.inf
            largest = max(largest, float(alike.max(initial=0.0)))
        return worst / (largest or 1.0)

    def _columns(self, data: Interactions) -> Any:
        """W, (m, n) sparse, its columns of length 1."""
        from scipy.sparse import csr_array

        values = self.values(data)
        norms = np.sqrt(np.bincount(data.indices, values**2, data.shape[1]))[data.indices]
        values = np.divide(values, norms, out=np.zeros(len(data)), where=norms > 0)
        return csr_array((values, data.indices, data.indptr), shape=data.shape)


class CosineLists:
    """``lenskit-itemknn``"""

    name = "lenskit-itemknn"

    def recognizes(self, path: Path) -> bool:
        """The parts of a sparse matrix, without the length of implicit's lists."""
        return npz.is_npz(path, *PARTS) and not npz.is_npz(path, LENGTH)

    def read(self, path: Path, options: ForeignOptions) -> ItemTable:
        """See ``TableAdapter.read``."""
        from scipy.sparse import csr_matrix

        archive = npz.open_npz(path)
        try:
            shape = tuple(archive.array("shape").tolist())
            values, indices, indptr = (np.array(archive.array(name)) for name in PARTS[:3])
            found = csr_matrix((values, indices, indptr), shape=shape)
            found.check_format(full_check=True)
            square = found.shape[0] == found.shape[1] and not found.diagonal().any()
            if not square or values.dtype.kind != "f" or not np.all(np.isfinite(values)):
                raise ValueError("not square, with itself in an item's list, or not numbers")
        except (ValueError, TypeError) as cause:
            raise IntegrityError(
                f"{path}: its arrays are no table of what is near each item ({cause}); the file "
                "is damaged, restore it from a copy",
                path=str(path),
            ) from cause
        ids = ids_beside(archive, found.shape[0], path)
        return ItemTable(path, self.name, found, ids, state=archive)

    def rules(self, table: ItemTable, options: ForeignOptions) -> Sequence[Cosines]:
        """Both sorts of feedback, all that are near or as many as the longest list."""
        longest = int(np.diff(table.values.indptr).max(initial=0))
        return [
            Cosines(explicit, length)
            for length in (None, max(longest, 1))
            for explicit in (False, True)
        ]

    def write(self, table: ItemTable, values: Any, out: Path, remaining: Interactions) -> None:
        """See ``TableAdapter.write``; whatever else is in the archive stays."""
        archive: npz.NpzArchive = table.state
        old = {name: archive.array(name) for name in archive.members}
        new = {
            "data": values.data.astype(old["data"].dtype),
            "indices": values.indices.astype(old["indices"].dtype),
            "indptr": values.indptr.astype(old["indptr"].dtype),
        }
        if MEANS in old and old[MEANS].shape == (table.items,):
            new[MEANS] = means(remaining).astype(old[MEANS].dtype)
        with atomic_write(out) as file:
            np.savez(file, **(old | new))


def means(data: Interactions) -> Array:
    """The mean rating of each item, (n,); 0 of one that nobody has."""
    ratings = np.ones(len(data)) if data.confidence is None else data.confidence
    sums = np.bincount(data.indices, ratings, data.shape[1])
    counts = data.item_counts
    return np.divide(sums, counts, out=np.zeros(counts.size), where=counts > 0)


ADAPTER = CosineLists()
"""The adapter"""
