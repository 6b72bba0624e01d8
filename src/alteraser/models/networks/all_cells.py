"""The logistic loss over all cells: of every user with every item, whether they had it.

    L = (1/|B|) Σ_{u ∈ B} Σ_v c_uv log(1 + exp(−s_uv)) + w₀ Σ_{v missing} log(1 + exp(s_uv))

for the users B of a batch, c_uv the confidence of an interaction, or 1. Nothing is sampled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from alteraser.data.interactions import Interactions
from alteraser.models.networks import training
from alteraser.models.networks.encoders import Shapes
from alteraser.models.networks.order import Present

Array = npt.NDArray[Any]

CELLS = 1 << 22
"""Numbers of a layer that are held at a time"""
USERS, ITEMS = "users", "items"
"""The names of the tables among the parameters"""


def shapes(factors: int) -> Shapes:
    """A tower of layers 2d → d → d/2 → 1 over both rows."""
    d, half = factors, max(factors // 2, 1)
    return {
        "first.user": ((d, d), d**-0.5),
        "first.item": ((d, d), d**-0.5),
        "first.bias": ((d,), 0.0),
        "second": ((d, half), (2.0 / d) ** 0.5),
        "second.bias": ((half,), 0.0),
        "last": ((half,), half**-0.5),
        "last.bias": ((1,), 0.0),
    }


def scores(weights: Mapping[str, Tensor], users: Tensor) -> Tensor:
    """(B, n) logits of rows of users (B, d) with all items: h·φ(Wφ(W_p p + W_q q + b) + b′) + c."""
    left = users @ weights["first.user"] + weights["first.bias"]
    right = weights[ITEMS] @ weights["first.item"]
    found = functional.relu(left[:, None] + right)
    found = functional.relu(found @ weights["second"] + weights["second.bias"])
    return found @ weights["last"] + weights["last.bias"]


class AllCells:
    """``data``, by a tower over both tables (``training.Task``)."""

    def __init__(self, data: Interactions, missing_weight: float, course: training.Course) -> None:
        self.data, self.missing_weight, self.course = data, missing_weight, course
        self.users = Present.of(data.users, data.user_counts)
        self.items = Present.of(data.items, data.item_counts)
        self.keys = self.users.keys
        self._places = self.items.places()

    def start(self) -> dict[str, Tensor]:
        """See ``training.Task``."""
        tables = {USERS: self.users, ITEMS: self.items}
        return training.started(shapes(self.course.factors), self.course) | {
            name: training.rows(side, self.course) for name, side in tables.items()
        }

    def backward(self, weights: Mapping[str, Tensor], chosen: Array) -> float:
        """See ``training.Task``; users in chunks, so that their cells fit."""
        chunk = max(CELLS // (self.items.rows.size * self.course.factors), 1)
        total = 0.0
        for start in range(0, len(chosen), chunk):
            part = chosen[start : start + chunk]
            logits = scores(weights, weights[USERS][torch.from_numpy(part)])
            loss = self._loss(logits, part) / len(chosen)
            loss.backward()
            total += float(loss.detach())
        return total

    def _loss(self, logits: Tensor, users: Array) -> Tensor:
        data, rows = self.data, self.users.rows[users]
        spans = [slice(data.indptr[row], data.indptr[row + 1]) for row in rows]
        at = np.repeat(np.arange(len(rows)), [span.stop - span.start for span in spans])
        had = self._places[np.concatenate([data.indices[span] for span in spans])]
        own = logits[torch.from_numpy(at), torch.from_numpy(had)]
        weight: Any = 1.0
        if data.confidence is not None:
            found = np.concatenate([data.confidence[span] for span in spans])
            weight = torch.from_numpy(found.astype(self.course.dtype))
        # log(1 + e^s) of all cells, less those of what they had
        missing = functional.softplus(logits).sum() - functional.softplus(own).sum()
        return (weight * functional.softplus(-own)).sum() + self.missing_weight * missing
