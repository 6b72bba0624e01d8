"""Scores and ranked lists of a module, in rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from alteraser import metrics
from alteraser.data.interactions import Interactions
from alteraser.models.ranking import fill_best, mask_seen
from alteraser.neural.modules import Network
from alteraser.neural.propagation import TorchPropagation

Array = npt.NDArray[Any]

USERS_AT_A_TIME = 128


class Ranker:
    """A module as it recommends: both sides' own parts, computed once.

    ``graph`` is what LightGCN propagates over, the interactions that the module was trained on;
    the other modules need none.
    """

    def __init__(self, module: Network, graph: Interactions | None) -> None:
        self.module = module
        with torch.no_grad():
            P, Q = module.user_embedding.detach(), module.item_embedding.detach()
            if module.layers:
                assert graph is not None
                P, Q = TorchPropagation(graph, module.layers, P.dtype)(P, Q)
            self.left, self.right = module.left(P), module.right(Q)

    def scores(self, users: Array, items: Array) -> npt.NDArray[np.float64]:
        """Scores of the cells (users[i], items[i])."""
        with torch.no_grad():
            rows = (torch.from_numpy(np.asarray(a, np.int64)) for a in (users, items))
            a, b = (table[row] for table, row in zip((self.left, self.right), rows, strict=True))
            return np.asarray(self.module.join(a, b).double().numpy())

    def block(self, users: Array) -> Array:
        """Scores of ``users`` against every item, (users, n)."""
        with torch.no_grad():
            a = self.left[torch.tensor(users, dtype=torch.int64)]
            return np.asarray(self.module.pairs(a, self.right).numpy())

    def top(
        self,
        users: Array,
        *,
        k: int,
        seen: Interactions | None = None,
        own: bool = False,
        gone: Array | None = None,
    ) -> tuple[Array, Array]:
        """(item rows, scores), both (users, k), −1 and NaN behind the end of a list; ties go to the
        lower row.

        Items in ``seen`` are left out for their user, with ``own`` they are the only ones; the
        item rows ``gone`` are left out for everybody.
        """
        k = min(k, self.right.shape[0])
        lists, scores = np.full((len(users), k), -1, np.int64), np.full((len(users), k), np.nan)
        for start in range(0, len(users), USERS_AT_A_TIME):
            part = np.asarray(users)[start : start + USERS_AT_A_TIME]
            block = self.block(part)
            if seen is not None:
                masked = block.copy()
                mask_seen(masked, part, seen)
                block = np.where(np.isneginf(masked), block, -np.inf) if own else masked
            if gone is not None and gone.size:
                block = block.copy()
                block[:, gone] = -np.inf
            fill_best(block, lists[start : start + len(part)], scores[start : start + len(part)])
        return lists, scores

    def accuracy(
        self,
        rows: Array,
        test: Interactions,
        seen: Interactions,
        depths: tuple[int, ...] = (10, 20, 50),
    ) -> dict[str, float]:
        """Recall@k and NDCG@k of those ``rows`` that have test items; {} where none has."""
        rows = np.asarray(rows)[test.user_counts[rows] > 0]
        if rows.size == 0:
            return {}
        lists, _ = self.top(rows, k=max(depths), seen=seen)
        held = test.keep(np.isin(test.user_rows, rows))
        indptr = np.concatenate([[0], np.cumsum(test.user_counts[rows])])
        found = metrics.accuracy(lists, indptr, held.indices, depths)
        return {name: float(value) for name, value in found.items() if name != "users"}
