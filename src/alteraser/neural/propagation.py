"""LightGCN's propagation, and what a row's loss is under it.

With A the graph of the interactions, Â_uv = 1/√(|D_u| |D_v|) on its edges, and E⁰ = (P, Q) the
stored embeddings (X. He et al., SIGIR 2020, Eq. 7–8),

    E = (E⁰ + ÂE⁰ + … + Â^K E⁰) / (K + 1)          s_uv = e_u · e_v

**A row's loss** is the whole loss as a function of that row of E⁰, nothing approximated: every
propagated embedding that the row reaches moves with it, within K steps on the graph. Held fixed are
the other rows of E⁰, the graph Â, and the sample of negatives. Not held fixed is any *propagated*
embedding, the row's neighbors' included. Rows of one side meet on the graph in two steps, so their
losses do not separate as they do without propagation: the alternating framework solves the rows of
a side as one block, users given the items' E⁰, then items given the users'. Forgetting also takes
the edges out of Â: what is minimized is the loss with the remaining data's graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alteraser.data.interactions import Interactions


@dataclass(frozen=True)
class Graph:
    """Â, held apart from what autograd and torch.func follow."""

    matrix: Tensor
    """(m + n, m + n), compressed rows, symmetric"""


class _Spread(torch.autograd.Function):  # type: ignore[misc]
    """x → Âx for a fixed symmetric Â, which is its own derivative's transpose, any number of
    times.
    """

    @staticmethod
    def forward(x: Tensor, graph: Graph) -> Tensor:
        return graph.matrix @ x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Graph], output: Tensor) -> None:
        ctx.graph = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Spread.apply(gradient, ctx.graph), None


class TorchPropagation:
    """E⁰ → E on the graph of ``data``."""

    def __init__(self, data: Interactions, layers: int, dtype: torch.dtype = torch.float32) -> None:
        from scipy import sparse

        m, n = data.shape
        u, v = data.user_rows, data.indices.astype(np.int64)
        values = 1.0 / np.sqrt(data.user_counts[u].astype(np.float64) * data.item_counts[v])
        half = sparse.csr_matrix((values, (u, v)), shape=(m, n))
        whole = sparse.vstack(
            [
                sparse.hstack([sparse.csr_matrix((m, m)), half]),
                sparse.hstack([half.T, sparse.csr_matrix((n, n))]),
            ]
        ).tocsr()
        self.users, self.layers = m, layers
        self.graph = Graph(
            torch.sparse_csr_tensor(
                torch.from_numpy(whole.indptr.astype(np.int32)),
                torch.from_numpy(whole.indices.astype(np.int32)),
                torch.from_numpy(whole.data).to(dtype),
                whole.shape,
                check_invariants=False,
            )
        )

    def __call__(self, P: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
        """(e_u (m, d), e_v (n, d)), differentiable any number of times."""
        step = torch.cat([P, Q])
        total = step
        for _ in range(self.layers):
            step = _Spread.apply(step, self.graph)
            total = total + step
        total = total / (self.layers + 1)
        return total[: self.users], total[self.users :]
