"""RecBole's neural models as modules of ``alteraser.neural``; imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alteraser.adapters._recbole_layers import halves, join
from alteraser.adapters.contract import ForeignErasing, ForeignOutcome
from alteraser.data.interactions import Removal
from alteraser.neural.alternation import Alternating, erase, parameters, residual
from alteraser.neural.loss import Loss, SampledLoss
from alteraser.neural.modules import LightGCN, Network

Array = npt.NDArray[Any]


class CheckpointNCF(Network):
    """NeuMF, GMF or MLP with a checkpoint's layers, which are no parameters here: they stay."""

    kind = "neumf"

    def __init__(self, kind: str, P: Array, Q: Array, phi: Mapping[str, Array]) -> None:
        super().__init__(P.shape[0], Q.shape[0], P.shape[1])
        self.variant = kind
        self.fixed = {name: torch.from_numpy(np.array(value)) for name, value in phi.items()}
        _fill(self, P, Q)

    def left(self, p: Tensor) -> Tensor:
        """[p_G ; W_u p_M + b]."""
        if self.variant == "gmf":
            return p
        user, _, bias, mf = halves(self.fixed, p.shape[-1], self.variant)
        return torch.cat([p[..., :mf], p[..., mf:] @ user + bias], -1)

    def right(self, q: Tensor) -> Tensor:
        """[q_G ; W_v q_M]."""
        if self.variant == "gmf":
            return q
        _, item, _, mf = halves(self.fixed, q.shape[-1], self.variant)
        return torch.cat([q[..., :mf], q[..., mf:] @ item], -1)

    def join(self, a: Tensor, b: Tensor) -> Tensor:
        """See ``_recbole_layers.join``."""
        width = int(self.user_embedding.shape[1])
        mf = width if self.variant == "gmf" else halves(self.fixed, width, self.variant)[3]
        return join(self.variant, a, b, self.fixed, torch.relu, mf)


def _fill(module: Network, P: Array, Q: Array) -> None:
    with torch.no_grad():
        module.user_embedding.data = torch.from_numpy(np.array(P))
        module.item_embedding.data = torch.from_numpy(np.array(Q))


def _holding(original: Network, erasing: ForeignErasing, loss: Loss) -> float:
    """The ridge under which the embeddings neither grow nor shrink: λ = −⟨∇D, Θ⟩ / 2‖Θ‖².

    Early stopping keeps embeddings small as a ridge does; without either, the rows of a logistic
    loss have no end.
    """
    P, Q, phi = parameters(original)
    slope = SampledLoss(original, erasing.before, loss).gradient(P, Q, phi)
    along = float((slope.users * P).sum() + (slope.items * Q).sum())
    square = float(P.square().sum() + Q.square().sum())
    return max(0.0, -along / (2 * square)) if square else 0.0


def forget(
    kind: str,
    layers: int,
    negatives: int,
    ridge: float,
    erasing: ForeignErasing,
    removal: Removal,
    max_passes: int,
    alone: bool = False,
) -> ForeignOutcome:
    """The tables of the model after ``erasing``: the best of 0 to ``max_passes`` passes over all
    rows.

    ``alone``: only the rows of the users who lost something are solved, and are left as they were
    where that leads away: the anchored logistic loss of a perceptron need not be bounded along a
    row.
    """
    foreign = erasing.foreign

    def module() -> Network:
        if kind != "lightgcn":
            return CheckpointNCF(kind, foreign.users, foreign.items, foreign.further)
        m, n, d = foreign.shape
        found = LightGCN(m, n, d, layers=layers)
        _fill(found, foreign.users, foreign.items)
        return found

    original = module()
    loss = Loss(negatives=negatives, draws=max(4, negatives), regularization=0.0, seed=erasing.seed)
    loss = loss.model_copy(update={"regularization": max(ridge, _holding(original, erasing, loss))})
    found: list[tuple[float, Network, float]] = []
    rows = products = 0
    for passes in range(1 if alone else max_passes + 1):
        unlearned = module()
        done = erase(
            unlearned, erasing.before, removal, loss, Alternating(passes=passes, items=not alone)
        )
        rows += sum(step.rows for step in done.trace)
        products += sum(step.products for step in done.trace)
        found.append(
            (residual(original, unlearned, erasing.before, removal, loss), unlearned, done.push)
        )
        if found[-1][0] <= erasing.tolerance:
            break
    if alone and not found[0][0] < 1.0:
        found = [(1.0, original, found[0][2])]  # solved they were further off: they stay
        rows = 0
    left, unlearned, push = min(found, key=lambda each: each[0])
    users, items = (
        table.detach().numpy().copy()
        for table in (unlearned.user_embedding, unlearned.item_embedding)
    )
    return ForeignOutcome(
        users,
        items,
        further={},
        method="rows" if alone else "converge",
        residual=left,
        converged=bool(left <= erasing.tolerance),
        passes=len(found),
        products=products,
        rows_updated=rows,
        reason="tolerance" if left <= erasing.tolerance else "passes",
        route=("passes",),
        solver="hf-newton",
        push=push,
    )
