"""Cornac's ItemKNN (``<dir>/ItemKNN/<time>.pkl``), its pickle not run.

    s(i, j) = Σ_u w_ui w_uj / √(Σ_u w_ui² Σ_u w_uj²),       sums over those who have both

of every two items that somebody has both of, an item and itself included; ``k`` counts when scores
are made. w are the ratings, or, as the file says, less their user's mean (``mean_centered``), less
their item's (``similarity`` pearson), a 0 then 10⁻⁸; times √(ln(N / n_i) + 10⁻⁸) (``weighting``
idf), or with Okapi's length of a history beside it (bm25, K1 = 1.2, B = 0.8). |s|^``amplify`` with
its sign. N are the people with ratings, n_i those with item i.

The pickle also holds everybody's ratings (``ui_mat``), less their mean (``mean_arr``) unless all
are alike, the ids, and the mean and the range of the ratings. All of it is made anew; something
that no id can be takes the place of an erased user's. Ratings are taken to have at most six digits
behind the point. Facts of Cornac 3.0.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters._cornac_ids import ids_of, leave
from alteraser.adapters._pickle import Call, load, protocol_of
from alteraser.adapters._pickled import (
    array,
    mentions,
    names,
    put_array,
    read_pickle,
    scalar,
    write_pickle,
)
from alteraser.adapters._pickling import dump
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.tables._sparse import FORMS, compressed, put_compressed
from alteraser.adapters.tables.contract import ItemTable
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput

Array = npt.NDArray[Any]

MODULE = "cornac.models.knn.recom_knn"
ITEMS, USERS = (MODULE, "ItemKNN"), (MODULE, "UserKNN")
KNOWN = names(ITEMS, USERS, *FORMS)
TABLE, PAIRS, MEANS = "sim_mat", "ui_mat", "mean_arr"
EPS = 1e-8
K1, B = 1.2, 0.8
DIGITS = 6
"""Behind the point, of ratings that are made of what is left of them"""


@dataclass(frozen=True)
class Similarities:
    """What the file says of how its table was made."""

    similarity: str
    mean_centered: bool
    weighting: str | None
    amplify: float

    name = "ItemKNN"
    limit = 1e-9
    hint = "Ratings are taken to have at most six digits behind the point"

    @property
    def formula(self) -> str:
        """One line."""
        centered = {
            "users' means": self.mean_centered,
            "items' means": self.similarity == "pearson",
        }
        less = " and ".join(name for name, given in centered.items() if given)
        return (
            "cosines over those who have both items, of ratings"
            + (f" less {less}" if less else "")
            + (f", weighed by {self.weighting}" if self.weighting else "")
            + (f", to the power {self.amplify:g}" if self.amplify != 1.0 else "")
        )

    def table(self, data: Interactions, *, threads: int = 0) -> Any:
        """(n, n) sparse."""
        from scipy.sparse import csr_matrix

        w = self._weights(data)
        there = w.copy()
        there.data = (w.data != 0).astype(np.float64)
        dots, squares = (w.T @ w).tocsr(), ((w * w).T @ there).toarray()
        rows = np.repeat(np.arange(dots.shape[0]), np.diff(dots.indptr))
        norms = np.sqrt(squares[rows, dots.indices]) * np.sqrt(squares[dots.indices, rows])
        values = np.divide(dots.data, norms, out=np.zeros_like(dots.data), where=norms > 0)
        values = np.sign(values) * np.abs(values) ** self.amplify
        found = csr_matrix((values, dots.indices, dots.indptr), shape=dots.shape)
        found.eliminate_zeros()
        found.sort_indices()
        return found

    def apart(self, values: Any, data: Interactions) -> float:
        """Item by item, from the dense rows of who has it."""
        n = data.shape[1]
        if values.shape != (n, n):
            return np.inf
        w = self._weights(data)
        columns, worst, largest = w.tocsc(), 0.0, 0.0
        for item in range(n):
            part = slice(columns.indptr[item], columns.indptr[item + 1])
            mine, block = columns.data[part], w[columns.indices[part]].toarray()
            both = (block != 0) & (mine != 0)[:, None]
            norms = np.sqrt((both * mine[:, None] ** 2).sum(0) * (both * block**2).sum(0))
            alike = np.divide(mine @ block, norms, out=np.zeros(n), where=norms > 0)
            wanted = np.copysign(np.abs(alike) ** self.amplify, alike)
            worst = max(worst, float(np.abs(wanted - values[[item]].toarray()).max(initial=0.0)))
            largest = max(largest, float(np.abs(wanted).max(initial=0.0)))
        return worst / largest if largest else worst

    def _weights(self, data: Interactions) -> Any:
        """W, (m, n) sparse by users."""
        from scipy.sparse import csr_array

        ratings, users = _ratings(data), data.user_rows
        w = _centered(ratings, data)[0] if self.mean_centered else ratings.copy()
        if self.similarity == "pearson":
            w = _less_means(w, data.indices, data.item_counts)[0]
        if self.weighting is not None:
            people = np.count_nonzero(data.user_counts)
            rare = np.log(people / data.item_counts[data.indices])
            if self.weighting == "bm25":
                length = (1.0 - B) + B * data.user_counts[users] * people / len(data)
                rare *= (K1 + 1.0) / (K1 * length + 1.0)
            w *= np.sqrt(rare + EPS)
        return csr_array((w, data.indices, data.indptr), shape=data.shape)


class CornacKNN:
    """``cornac-itemknn``"""

    name = "cornac-itemknn"

    def recognizes(self, path: Path) -> bool:
        """A pickle that begins with one of Cornac's two neighborhood models."""
        return mentions(path, MODULE.encode())

    def read(self, path: Path, options: ForeignOptions) -> ItemTable:
        """See ``TableAdapter.read``; pickles are read only with ``--allow-pickle``. InvalidInput
        for UserKNN, which has no table of items.
        """
        attributes = _attributes(read_pickle(path, KNOWN, allow=options.allow_pickle), path)
        pairs = compressed(attributes[PAIRS], "csr", f"{path}: {PAIRS}", path)
        values = compressed(attributes[TABLE], "csr", f"{path}: {TABLE}", path)
        means = array(attributes[MEANS], f"{path}: {MEANS}")
        (m, n), lengths = pairs.shape, np.diff(pairs.indptr)
        if values.shape != (n, n) or means.shape != (m,) or not np.isfinite(means).all():
            raise IntegrityError(
                f"{path}: {TABLE}, {PAIRS} and {MEANS} are of other numbers of people or items; "
                "it is damaged",
                path=str(path),
            )
        pairs.data = np.round(pairs.data + np.repeat(means, lengths), DIGITS)
        users, items = (
            ids_of(attributes, name, size, path)
            for name, size in zip(("uid_map", "iid_map"), pairs.shape, strict=True)
        )
        return ItemTable(path, self.name, values, items, users, pairs, attributes)

    def rules(self, table: ItemTable, options: ForeignOptions) -> Sequence[Similarities]:
        """The one that the file says."""
        said = table.state
        weighting = said.get("weighting")
        return [
            Similarities(
                str(said["similarity"]),
                bool(scalar(said["mean_centered"], "mean_centered")),
                None if weighting is None else str(weighting),
                float(scalar(said["amplify"], "amplify")),
            )
        ]

    def write(self, table: ItemTable, values: Any, out: Path, remaining: Interactions) -> None:
        """See ``TableAdapter.write``."""
        content = table.path.read_bytes()
        tree = load(content, str(table.path), KNOWN)
        attributes = _attributes(tree, table.path)
        ratings = _ratings(remaining)
        left, means = _centered(ratings, remaining)
        indptr = remaining.indptr.astype(np.int32)
        put_compressed(attributes[PAIRS], left, remaining.indices, indptr)
        put_compressed(attributes[TABLE], values.data, values.indices, values.indptr)
        put_array(attributes[MEANS], means)
        gone = (np.diff(table.pairs.indptr) > 0) & (remaining.user_counts == 0)
        leave(attributes["uid_map"], np.flatnonzero(gone).tolist())
        attributes["_Recommender__user_ids"] = None
        if ratings.size:
            told = (("global_mean", np.mean), ("max_rating", np.max), ("min_rating", np.min))
            attributes.update({name: float(of(ratings)) for name, of in told})
        for name in ("train_set", "val_set", "test_set"):
            if name in attributes:
                attributes[name] = None
        write_pickle(out, dump(tree, protocol_of(content) or 5))


def _ratings(data: Interactions) -> Array:
    return np.ones(len(data)) if data.confidence is None else data.confidence


def _centered(ratings: Array, data: Interactions) -> tuple[Array, Array]:
    """(ratings less their user's mean, the means (m,)); as they are, and 0, where all are alike."""
    if not ratings.size or ratings.min() == ratings.max():
        return ratings.copy(), np.zeros(data.shape[0])
    return _less_means(ratings, data.user_rows, data.user_counts)


def _less_means(values: Array, rows: Array, counts: Array) -> tuple[Array, Array]:
    sums = np.bincount(rows, values, counts.size)
    means = np.divide(sums, counts, out=np.zeros(counts.size), where=counts > 0)
    found = values - means[rows]
    found[found == 0] = EPS
    return found, means


def _attributes(tree: Any, path: Path) -> dict[str, Any]:
    """Of the model that a pickle holds; InvalidInput for UserKNN, IntegrityError for what has no
    table.
    """
    if isinstance(tree, Call) and (tree.function.module, tree.function.name) == USERS:
        raise InvalidInput(
            f"{path} is a UserKNN: people stand in each other's rows, and it is no table of items. "
            "Train ItemKNN, or with alteraser train --model user-knn, which keeps nobody's list",
            path=str(path),
        )
    found: dict[str, Any] = tree.attributes if isinstance(tree, Call) else {}
    missing = sorted({TABLE, PAIRS, MEANS, "similarity", "mean_centered", "amplify"} - found.keys())
    if missing:
        raise IntegrityError(
            f"{path} has no {', '.join(missing)}: it was saved before it was fitted, or it is "
            "damaged",
            path=str(path),
        )
    return found


ADAPTER = CornacKNN()
"""The adapter"""
