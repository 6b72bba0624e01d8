"""RecBole's ItemKNN checkpoints.

    w[j, i] = dot(i, j) / (‖i‖ ‖j‖ + shrink + 1e-6)    of j among the k nearest of i, float32, CSC
    pred_mat = X w                                     everybody's scores, float32, LIL

with row and column 0 for [PAD]. ``k`` and ``shrink`` are in the configuration. X, the training part
of the data set, is not in the file: the data say it. Both tables are made anew, so nothing of what
was forgotten stays in somebody's scores either. Of equally near items RecBole keeps whichever
NumPy's partition leaves in front; here they come in the order of their rows. Facts of 1.2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters._pickle import Call, PickleLimits
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.tables._recbole_checkpoint import Checkpoint, names_model
from alteraser.adapters.tables._sparse import compressed, put_compressed
from alteraser.adapters.tables.contract import ItemTable
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput

Array = npt.NDArray[Any]

NEAREST, SCORES = "w", "pred_mat"
ITEMS_AT_A_TIME = 256
LARGE = PickleLimits(bytes=1 << 30, operations=100_000_000)
"""``pred_mat`` is pickled number by number: everybody's scores of MovieLens-1M are 36 million"""


@dataclass(frozen=True, eq=False)
class KNNState:
    """What is beside the lists."""

    checkpoint: Checkpoint
    scores: Any
    """(m, n) sparse: ``pred_mat``"""


@dataclass(frozen=True, eq=False)
class Nearest:
    """The ``length`` nearest of each item, and the scores that a file has."""

    length: int
    shrink: float
    scores: Any

    name = "ItemKNN"
    limit = 1e-5
    hint = ""

    @property
    def formula(self) -> str:
        """One line."""
        return (
            f"the {self.length:,} items that are nearest by dot / (product of norms + "
            f"{self.shrink:g} + 1e-6), and X times that"
        )

    def table(self, data: Interactions, *, threads: int = 0) -> Any:
        """(n, n) sparse, an item's list in its row, by RecBole's steps in its digits."""
        from scipy.sparse import csr_array, vstack

        x, n = _matrix(data, np.float32), data.shape[1]
        norms, columns = np.sqrt(x.power(2).sum(axis=0)).astype(np.float32), x.T.tocsr()
        parts = []
        for start in range(0, n, ITEMS_AT_A_TIME):
            rows = np.arange(start, min(start + ITEMS_AT_A_TIME, n))
            dots = (columns[rows] @ x).toarray()
            dots[np.arange(rows.size), rows] = 0.0
            apart = norms[rows, None] * norms + np.float32(self.shrink) + np.float32(1e-6)
            alike = dots * (1 / apart)
            kept = np.argsort(-alike, axis=1, kind="stable")[:, : self.length]
            values = np.take_along_axis(alike, kept, 1)
            held = values > 0
            indptr = np.concatenate([[0], np.cumsum(held.sum(1))])
            parts.append(csr_array((values[held], kept[held], indptr), shape=(rows.size, n)))
        found = vstack(parts, format="csr")
        found.sort_indices()
        return found

    def apart(self, values: Any, data: Interactions) -> float:
        """In float64: every entry, that no larger one is left out, and everybody's scores."""
        x, n = _matrix(data, np.float64), data.shape[1]
        if values.shape != (n, n) or self.scores.shape != x.shape:
            return np.inf
        gram = (x.T @ x).tocsr()
        norms = np.sqrt(gram.diagonal())
        worst = largest = 0.0
        for start in range(0, n, ITEMS_AT_A_TIME):
            part = slice(start, min(start + ITEMS_AT_A_TIME, n))
            alike, stored = gram[part].toarray(), values[part].toarray()
            alike[np.arange(len(alike)), np.arange(n)[part]] = 0.0
            alike /= np.outer(norms[part], norms) + self.shrink + 1e-6
            best, kept = (-np.sort(-each, axis=1)[:, : self.length] for each in (alike, stored))
            differ = np.where(stored != 0, alike - stored, 0.0)
            worst = max(worst, *(float(np.abs(d).max(initial=0)) for d in (differ, best - kept)))
            largest = max(largest, float(alike.max(initial=0.0)))
            if np.any((stored != 0).sum(axis=1) > self.length):
                return np.inf
        near = worst / largest if largest else worst
        scores = x @ values.astype(np.float64).T
        most = float(abs(scores).max() or 1.0)
        return max(near, float(abs(scores - self.scores).max()) / most)


class RecBoleKNN:
    """``recbole-itemknn``"""

    name = "recbole-itemknn"

    def recognizes(self, path: Path) -> bool:
        """A checkpoint of RecBole's with the settings of its ItemKNN."""
        return names_model(path, b"knn_method", b"ItemKNN")

    def read(self, path: Path, options: ForeignOptions) -> ItemTable:
        """See ``TableAdapter.read``; InvalidInput for ``knn_method: user``, which has no lists of
        items.
        """
        checkpoint, other = Checkpoint.read(path, "ItemKNN", {NEAREST, SCORES}, LARGE)
        method = checkpoint.config.get("knn_method")
        if method != "item":
            raise InvalidInput(
                f"{path} was trained with knn_method = {method!r}: people stand in each other's "
                "lists, and it is no table of items. Train with knn_method: item, or with "
                "alteraser train --model user-knn, which keeps nobody's list",
                path=str(path),
            )
        nearest, scores = (
            compressed(other[NEAREST], "csc", NEAREST, path),
            _scores(other[SCORES], path),
        )
        n = scores.shape[1]
        pad = nearest.shape == (n, n) and (nearest[[0]].nnz or nearest[:, [0]].nnz)
        if nearest.shape != (n, n) or pad or scores[[0]].nnz or scores[:, [0]].nnz:
            raise IntegrityError(
                f"{path}: {NEAREST} and {SCORES} are no tables of its {n - 1:,} items; it is "
                "damaged",
                path=str(path),
            )
        users, items = checkpoint.ids(options, (scores.shape[0] - 1, n - 1))
        state = KNNState(checkpoint, scores[1:, 1:])
        return ItemTable(path, self.name, nearest[1:, 1:].T.tocsr(), items, users, state=state)

    def rules(self, table: ItemTable, options: ForeignOptions) -> Sequence[Nearest]:
        """With k and shrink of the configuration."""
        config = table.state.checkpoint.config
        shrink = float(config.get("shrink") or 0.0)
        return [Nearest(min(int(config["k"]), table.items), shrink, table.state.scores)]

    def write(self, table: ItemTable, values: Any, out: Path, remaining: Interactions) -> None:
        """See ``TableAdapter.write``; ``pred_mat`` is X ``w`` of what remains."""
        checkpoint: Checkpoint = table.state.checkpoint
        tree = checkpoint.tree()
        other = tree["other_parameter"]
        lists = values.astype(np.float32)  # rows of lists are the columns of w, one to the right
        indptr = np.concatenate([[0], lists.indptr])
        put_compressed(other[NEAREST], lists.data, lists.indices + 1, indptr)
        scores = (_matrix(remaining, np.float32) @ lists.T.tocsc()).tocsr()
        scores.sort_indices()
        cuts = list(zip(scores.indptr[:-1].tolist(), scores.indptr[1:].tolist(), strict=True))
        columns, numbers = (scores.indices + 1).tolist(), scores.data.tolist()
        kept = other[SCORES].attributes
        for name, found in (("rows", columns), ("data", numbers)):
            rows = [[], *(found[begin:end] for begin, end in cuts)]
            kept[name].state = (*kept[name].state[:4], rows)
        checkpoint.write(tree, out)


def _matrix(data: Interactions, dtype: Any) -> Any:
    """X, 1 where there is an interaction."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(data), dtype), data.indices, data.indptr), shape=data.shape)


def _scores(value: Any, path: Path) -> Any:
    """A LIL matrix: lists of columns and of numbers, row by row."""
    from scipy.sparse import csr_array

    attributes = value.attributes if isinstance(value, Call) else {}
    try:
        columns, numbers = (attributes[name].state[4] for name in ("rows", "data"))
        lengths = [len(row) for row in columns]
        if lengths != [len(row) for row in numbers]:
            raise ValueError("rows of other lengths")
        indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        flat = np.array([each for row in columns for each in row], np.int64)
        data = np.array([each for row in numbers for each in row], np.float64)
        found = csr_array((data, flat, indptr), shape=attributes["_shape"])
        found.check_format(full_check=True)
        if not np.all(np.isfinite(data)):
            raise ValueError("NaN or infinite entries")
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as cause:
        raise IntegrityError(
            f"{path}: {SCORES} is no sparse matrix by rows ({cause}); it is damaged",
            path=str(path),
        ) from cause
    return found


ADAPTER = RecBoleKNN()
