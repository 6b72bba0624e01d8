"""The sampled losses as one function of the parameters, whole, by rows, by blocks, and of Φ alone.

With K negatives j_1 … j_K drawn for every interaction (u, v) (``draws``: a pure function of seed,
user, item and the user's interactions), and w = negatives / draws,

    pointwise   L = Σ_{(u,v)∈D} [ ζ(−s_uv) + w Σ_k ζ(s_{u j_k}) ] + λ (‖P‖² + ‖Q‖²) + λ_Φ ‖Φ‖²
        ζ(t) = log(1 + eᵗ)
    pairwise    L = Σ_{(u,v)∈D} (1/K) Σ_k ζ(−(s_uv − s_{u j_k}))  + the same penalty
        (Rendle et al.,
    2009)

It is one fixed function, so its rows are true restrictions of it, and autograd of the whole is
their oracle. A deleted interaction leaves the loss with the negatives drawn for it.

Of the users who ask to forget (``close``) more is taken: every missing item with its expected
weight negatives · |D_u| / (n − |D_u|), or ``close_draws`` comparisons. Of everybody else a
``share`` may be taken, each interaction by its own hash and weighing 1 / share: unbiased, and
nested as the share grows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput
from alteraser.linalg.hashing import hashed
from alteraser.neural.draws import Negatives
from alteraser.neural.modules import Network
from alteraser.neural.propagation import TorchPropagation
from alteraser.neural.rowbatch import FunctionalBatch
from alteraser.settings import Configured

Array = npt.NDArray[Any]
SideName = Literal["user", "item"]

CELLS_AT_A_TIME = 1 << 18
"""Cells of a chunk: small enough for the processor's caches, large enough for torch."""


class Loss(Configured):
    """What a neural recommender is trained on, and forgets by."""

    negatives: int = Field(default=4, ge=1)
    """Negatives per interaction while training, drawn anew in every epoch; for pairwise losses
    their mean counts."""
    draws: int = Field(default=4, ge=1)
    """Negatives per interaction in the fixed sample that L is taken on; together they weigh what
    ``negatives`` do."""
    close_draws: int = Field(default=16, ge=1)
    """The same for users who ask to forget, of pairwise losses: their rows are solved closely, and
    a small sample limits that. Pointwise losses take all missing items of these users, each with
    its expected weight."""
    regularization: float = Field(default=1e-2, ge=0.0, allow_inf_nan=False)
    """λ, on the embeddings."""
    phi_regularization: float = Field(default=1e-2, ge=0.0, allow_inf_nan=False)
    """λ_Φ, on all other parameters."""
    seed: int = Field(default=0, ge=0)
    """Of the fixed sample."""


@dataclass(frozen=True)
class LossTerms:
    """The terms ω ζ(−σ s − o) of the loss, sorted by the rows of one side; a row's terms are its
    loss.
    """

    indptr: Array
    """(rows + 1,)"""
    across: Array
    """(terms,) row of the other side"""
    sign: Array
    """(terms,) σ: +1 for what should score high"""
    weight: Array
    """(terms,) ω"""
    partner: Array | None
    """(terms,) pairwise: the item on the other side of the comparison"""

    def chunks(self, rows: Array) -> Iterator[Array]:
        """``rows`` cut so that no chunk has many more than CELLS_AT_A_TIME terms."""
        ends = np.cumsum(np.diff(self.indptr)[rows])
        cuts = np.searchsorted(
            ends, np.arange(CELLS_AT_A_TIME, ends[-1] if ends.size else 0, CELLS_AT_A_TIME)
        )
        yield from (part for part in np.split(rows, np.unique(cuts)) if part.size)

    def of(self, rows: Array) -> tuple[Array, Array]:
        """(places, place of their row in ``rows``) of the terms of ``rows``."""
        counts = np.diff(self.indptr)[rows]
        row = np.repeat(np.arange(rows.size), counts)
        inside = np.arange(row.size) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.indptr[rows][row] + inside, row


class SampledLoss:
    """L of ``module`` on ``data``, with all the terms of the users in ``close`` and a ``share`` of
    all others'.
    """

    def __init__(
        self,
        module: Network,
        data: Interactions,
        loss: Loss,
        *,
        close: Array | None = None,
        share: float = 1.0,
    ) -> None:
        self.module, self.data, self.loss = module, data, loss
        m, n = data.shape
        if module.user_embedding.shape[0] != m or module.item_embedding.shape[0] != n:
            raise InvalidInput(
                f"the module has {module.user_embedding.shape[0]} users and "
                f"{module.item_embedding.shape[0]} items, the data {m} and {n} rows: give data in "
                "the module's rows"
            )
        if not 0.0 <= share <= 1.0:
            raise InvalidInput(f"share={share}: expected a number between 0 and 1")
        self.dtype = module.user_embedding.dtype
        self.pairwise = module.pairwise
        self.propagation = (
            TorchPropagation(data, module.layers, self.dtype) if module.layers else None
        )
        u, v = data.user_rows, data.indices.astype(np.int64)
        self.near = near = np.zeros(m, bool)
        near[close if close is not None else []] = True
        chosen = ~near[u]
        if share < 1.0:
            chosen &= hashed(loss.seed, u, v) < np.uint64(min(share * 2.0**64, 2.0**64 - 2**11))
        negatives = Negatives(data)
        parts = [
            self._drawn(u[chosen], v[chosen], negatives, loss.draws, 1.0 / max(share, 1e-30)),
            self._drawn(u[near[u]], v[near[u]], negatives, loss.close_draws, 1.0)
            if self.pairwise
            else self._every(near),
        ]
        columns = [np.concatenate(both) for both in zip(*parts, strict=True)]
        order = np.argsort(2 * columns[0] + (columns[3] < 0), kind="stable")
        self.user, self.item, low, self.sign, self.weight = (column[order] for column in columns)
        self.low: Array | None = low if self.pairwise else None

    def _drawn(
        self, u: Array, v: Array, negatives: Negatives, draws: int, scale: float
    ) -> tuple[Array, ...]:
        """(user, item, compared item, σ, ω) of the terms that the interactions (u, v) bring with
        them.
        """
        drawn = negatives.draw(u, v, draws, seed=self.loss.seed).ravel()
        user, there = np.repeat(u, draws), drawn >= 0
        if self.pairwise:
            sign = np.ones(user.size, np.float32)
            terms = user, np.repeat(v, draws), drawn, sign, sign * np.float32(scale / draws)
            return tuple(column[there] for column in terms)
        user, item = np.concatenate([u, user[there]]), np.concatenate([v, drawn[there]])
        sign = np.repeat(np.array([1.0, -1.0], np.float32), [v.size, user.size - v.size])
        weight = np.where(sign > 0, scale, scale * self.loss.negatives / draws).astype(np.float32)
        return user, item, item, sign, weight

    def _every(self, near: Array) -> tuple[Array, ...]:
        """The same for all cells of the users in ``near``: what drawing their negatives gives on
        average.
        """
        rows, n = np.flatnonzero(near), self.data.shape[1]
        user, item = np.repeat(rows, n), np.tile(np.arange(n), rows.size)
        has = self.data.locate(user, item) >= 0
        counts = self.data.user_counts[user]
        weight = np.where(has, 1.0, self.loss.negatives * counts / np.maximum(n - counts, 1))
        sign = np.where(has, 1.0, -1.0)
        return user, item, item, sign.astype(np.float32), weight.astype(np.float32)

    # ------------------------------------------------------------------ the whole

    def final(self, P: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
        """The embeddings that are scored: propagated ones, for LightGCN."""
        return (P, Q) if self.propagation is None else self.propagation(P, Q)

    def margins(
        self, P: Tensor, Q: Tensor, phi: dict[str, Tensor], cells: Any = slice(None)
    ) -> Tensor:
        """(terms,) σ s, or the difference that is compared, of *final* embeddings,
        differentiable.
        """

        def score(items: Array) -> Tensor:
            places = torch.from_numpy(self.user[cells]), torch.from_numpy(items[cells])
            return functional_call(self.module, phi, (P, Q, *places))

        s = score(self.item) - (score(self.low) if self.low is not None else 0.0)
        return torch.from_numpy(self.sign[cells]).to(self.dtype) * s

    def terms(self, margins: Tensor, cells: Any = slice(None)) -> Tensor:
        """Σ ω ζ(−margin); float64."""
        weight = torch.from_numpy(self.weight[cells]).to(self.dtype)
        return (weight * functional.softplus(-margins)).sum(dtype=torch.float64)

    def penalty(self, P: Tensor, Q: Tensor, phi: dict[str, Tensor]) -> Tensor:
        """λ (‖P‖² + ‖Q‖²) + λ_Φ ‖Φ‖²."""
        tables = self.loss.regularization * (P.double().square().sum() + Q.double().square().sum())
        return tables + self.loss.phi_regularization * sum(
            (value.double().square().sum() for value in phi.values()),
            torch.zeros((), dtype=torch.float64),
        )

    def total(self, P: Tensor, Q: Tensor, phi: dict[str, Tensor]) -> Tensor:
        """L as one differentiable number."""
        return self.terms(self.margins(*self.final(P, Q), phi)) + self.penalty(P, Q, phi)

    def gradient(
        self, P: Tensor, Q: Tensor, phi: dict[str, Tensor], *, penalty: bool = True
    ) -> Gradient:
        """∇L, term by term in chunks, so that memory does not grow with the data."""
        leaves = [x.detach().requires_grad_() for x in (P, Q, *phi.values())]
        named = dict(zip(phi, leaves[2:], strict=True))
        final = self.final(leaves[0], leaves[1])
        ends = (
            [x.detach().requires_grad_() for x in final]
            if self.propagation is not None
            else leaves[:2]
        )
        value = 0.0
        for cells in self._chunks():
            part = self.terms(self.margins(ends[0], ends[1], named, cells), cells)
            part.backward()
            value += float(part.detach())
        if self.propagation is not None:
            torch.autograd.backward(
                final, [torch.zeros_like(x) if x.grad is None else x.grad for x in ends]
            )
        if penalty:
            part = self.penalty(leaves[0], leaves[1], named)
            part.backward()
            value += float(part.detach())
        found = [torch.zeros_like(x) if x.grad is None else x.grad for x in leaves]
        return Gradient(value, found[0], found[1], dict(zip(phi, found[2:], strict=True)))

    def _chunks(self) -> Iterator[slice]:
        for start in range(0, self.user.size, CELLS_AT_A_TIME):
            yield slice(start, start + CELLS_AT_A_TIME)

    # ------------------------------------------------------------------ rows

    @cached_property
    def users(self) -> LossTerms:
        """The terms by user."""
        indptr = np.concatenate(
            [[0], np.cumsum(np.bincount(self.user, minlength=self.data.shape[0]))]
        )
        return LossTerms(indptr, self.item, self.sign, self.weight, self.low)

    @cached_property
    def items(self) -> LossTerms:
        """The terms by item; a comparison of two items is a term of both."""
        own, sign = self.item, self.sign
        across, weight, partner = self.user, self.weight, None
        if self.low is not None:
            own, partner = np.concatenate([own, self.low]), np.concatenate([self.low, own])
            sign = np.concatenate([sign, -sign])
            across, weight = np.tile(across, 2), np.tile(weight, 2)
        order = (
            np.lexsort((-sign, own))
            if own.size < 1 << 16
            else np.argsort(2 * own + (sign < 0), kind="stable")
        )
        indptr = np.concatenate([[0], np.cumsum(np.bincount(own, minlength=self.data.shape[1]))])
        return LossTerms(
            indptr,
            across[order],
            sign[order],
            weight[order],
            None if partner is None else partner[order],
        )

    def rows(
        self, side: SideName, P: Tensor, Q: Tensor, rows: Array, *, anchor: Tensor | None = None
    ) -> FunctionalBatch:
        """The losses of ``rows`` with everything else held at P, Q: B problems that do not see each
        other.

            l_i(x) = Σ_{terms of i} ω ζ(−σ s(x) − o) + λ ‖x‖² − a_i·x

        Without propagation only. o is what a comparison takes from its other item, ``anchor`` (B,
        d) the a_i. Where rows of the side meet in terms (items that are compared with each other),
        their losses do not add up to L, but each has the gradient of L.
        """
        if self.propagation is not None:
            raise InvalidInput(
                "rows of a propagated model meet on the graph: solve them as a block"
            )
        if side == "user" and not self.pairwise and self.near[rows].all():
            return self._dense(Q, rows, anchor)
        module, penalty = self.module, self.loss.regularization
        entries = self.users if side == "user" else self.items
        places, row_of = entries.of(rows)
        row, across = torch.from_numpy(row_of), torch.from_numpy(entries.across[places])
        sign, weight = (
            torch.from_numpy(a[places]).to(self.dtype) for a in (entries.sign, entries.weight)
        )
        partner = None if entries.partner is None else torch.from_numpy(entries.partner[places])
        offset: Tensor | None = None
        with torch.no_grad():
            if side == "user":
                other = module.right(Q)
                other = other[across] if partner is None else other[across] - other[partner]
            else:
                other = module.left(P)[across]
                if partner is not None:
                    offset = -sign * module.join(other, module.right(Q)[partner])

        def losses(x: Tensor) -> Tensor:
            mine = module.left(x) if side == "user" else module.right(x)
            s = sign * module.join(*((mine[row], other) if side == "user" else (other, mine[row])))
            terms = weight * functional.softplus(-s if offset is None else -s - offset)
            answer = torch.zeros(rows.size, dtype=torch.float64).index_add(0, row, terms.double())
            answer = answer + penalty * x.double().square().sum(1)
            return answer if anchor is None else answer - (anchor * x).double().sum(1)

        return FunctionalBatch.of(losses)

    def _dense(self, Q: Tensor, rows: Array, anchor: Tensor | None) -> FunctionalBatch:
        """``rows`` of users all of whose cells are terms: the same losses, as matrices."""
        module, penalty, n = self.module, self.loss.regularization, self.data.shape[1]
        places, _ = self.users.of(rows)
        order = places.reshape(len(rows), n)
        order = np.take_along_axis(order, np.argsort(self.item[order], axis=1), axis=1)
        sign, weight = (torch.from_numpy(a[order]).to(self.dtype) for a in (self.sign, self.weight))
        with torch.no_grad():
            other = module.right(Q)

        def losses(x: Tensor) -> Tensor:
            terms = weight * functional.softplus(-sign * module.pairs(module.left(x), other))
            answer = terms.sum(1, dtype=torch.float64) + penalty * x.double().square().sum(1)
            return answer if anchor is None else answer - (anchor * x).double().sum(1)

        return FunctionalBatch.of(losses)

    # ------------------------------------------------------------------ blocks

    def block(
        self,
        side: SideName,
        P: Tensor,
        Q: Tensor,
        phi: dict[str, Tensor],
        rows: Array,
        *,
        anchor: Tensor | None = None,
    ) -> FunctionalBatch:
        """L as a function of ``rows`` of one side together, x (1, B·d), everything else in E⁰ and Φ
        held.
        """
        places = torch.from_numpy(rows)
        table = P if side == "user" else Q

        def tables(x: Tensor) -> tuple[Tensor, Tensor]:
            whole = table.index_copy(0, places, x.reshape(len(rows), -1))
            return (whole, Q) if side == "user" else (P, whole)

        def outputs(x: Tensor) -> tuple[Tensor, ...]:
            return (self.margins(*self.final(*tables(x)), phi),)

        def loss(found: tuple[Tensor, ...], x: Tensor) -> Tensor:
            value = self.terms(found[0]) + self.penalty(*tables(x), phi)
            return (
                value if anchor is None else value - (anchor.reshape(1, -1) * x).double().sum()
            ).reshape(1)

        return FunctionalBatch(outputs, loss)

    def network(
        self, P: Tensor, Q: Tensor, phi: dict[str, Tensor], *, anchor: Tensor | None = None
    ) -> FunctionalBatch:
        """L as a function of Φ, flat (1, |Φ|), with the embeddings held."""
        final = self.final(P, Q)
        shapes = {name: value.shape for name, value in phi.items()}

        def outputs(x: Tensor) -> tuple[Tensor, ...]:
            return (self.margins(*final, unflattened(x[0], shapes)),)

        def loss(found: tuple[Tensor, ...], x: Tensor) -> Tensor:
            value = self.terms(found[0]) + self.penalty(P, Q, unflattened(x[0], shapes))
            return (value if anchor is None else value - (anchor * x[0]).double().sum()).reshape(1)

        return FunctionalBatch(outputs, loss)


@dataclass(frozen=True)
class Gradient:
    """A point's loss and gradient, or a difference of two."""

    value: float
    users: Tensor
    items: Tensor
    phi: dict[str, Tensor]

    def minus(self, other: Gradient) -> Gradient:
        """The difference of the two."""
        phi = {name: value - other.phi[name] for name, value in self.phi.items()}
        return Gradient(
            self.value - other.value, self.users - other.users, self.items - other.items, phi
        )

    @property
    def norm(self) -> float:
        """Euclidean norm over all parameters."""
        parts = (self.users, self.items, *self.phi.values())
        return float(sum(float(x.double().square().sum()) for x in parts) ** 0.5)


def flattened(phi: dict[str, Tensor]) -> Tensor:
    """Φ as one vector."""
    return torch.cat([value.detach().reshape(-1) for value in phi.values()])


def unflattened(flat: Tensor, shapes: dict[str, Any]) -> dict[str, Tensor]:
    """The parameters of one vector."""
    sizes = [int(np.prod(shape)) for shape in shapes.values()]
    parts = torch.split(flat, sizes)
    return {
        name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
