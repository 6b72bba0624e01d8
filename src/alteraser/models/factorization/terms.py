"""A row loss on one set of interactions, as the terms that each row sees.

Term t of row x, the other side's rows Z and this side's rows X fixed, is

    w_t ℓ(s_t; y_t),      s_t = a_t · (x − X[peer_t]),      a_t = Z[plus_t] − Z[minus_t]

where an index of −1 stands for a zero row. A user's pair (i, j) of BPR has a = z_i − z_j. For the
item i of the same pair a = z_u and its peer is j; for the item j, a = −z_u and its peer is i. So
items of BPR see each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput
from alteraser.models.factorization.biased import Layout
from alteraser.models.factorization.negatives import ATTEMPTS, draw, uniforms
from alteraser.models.factorization.rowloss import Logistic, Pairwise, RowLoss, Squares

Array = npt.NDArray[Any]

AFFORDABLE = 4_000_000
"""Terms up to which an expectation over negatives is written out; beyond, rows draw theirs."""

_NONE = np.empty(0, np.int32)


class TermArrays(NamedTuple):
    """``Terms`` as compiled loops take them. Optional arrays have length 0 as there."""

    start: Any
    """(rows,) int64: row i's terms are ``start[i]`` to ``stop[i]``"""
    stop: Any
    """(rows,) int64"""
    plus: Any
    """(terms,) int32"""
    minus: Any
    """(terms,) int32 or empty"""
    peer: Any
    """(terms,) int32 or empty"""
    weight: Any
    """(terms,) w or empty"""
    target: Any
    """(terms,) y or empty"""
    squares: bool
    """Which ℓ"""
    scale: Any
    """(rows,) ρ"""
    penalty: Any
    """(width,) λ"""
    free: Any
    """(width,) bool"""


@dataclass(frozen=True)
class Terms:
    """The terms of one side, row by row. Optional arrays have length 0 when they are −1 (indices)
    or 1 throughout.
    """

    name: str
    """``user`` or ``item``, for messages."""
    squares: bool
    """ℓ = ½ (y − s)²; else log(1 + eˢ) − y s."""
    indptr: Array
    """(rows + 1,) int64"""
    plus: Array
    """(terms,) int32 rows of the other side"""
    minus: Array
    """(terms,) int32 or empty"""
    peer: Array
    """(terms,) int32 rows of this side, or empty"""
    weight: Array
    """(terms,) float64 w, or empty"""
    target: Array
    """(terms,) float64 y, or empty"""
    scale: Array
    """(rows,) float64 ρ of the ridge"""
    penalty: Array
    """(width,) float64 λ of each column; 0 for fixed ones"""
    free: Array
    """(width,) bool: which columns are parameters"""

    @property
    def arrays(self) -> TermArrays:
        """They, for compiled loops; nothing is copied."""
        return TermArrays(
            self.indptr[:-1],
            self.indptr[1:],
            self.plus,
            self.minus,
            self.peer,
            self.weight,
            self.target,
            self.squares,
            self.scale,
            self.penalty,
            self.free,
        )

    @property
    def rows(self) -> int:
        """Rows on this side."""
        return int(self.indptr.size - 1)

    @property
    def all_rows(self) -> Array:
        """Every row, (rows,) int64."""
        return np.arange(self.rows, dtype=np.int64)

    @property
    def counts(self) -> Array:
        """Terms per row, (rows,) int64."""
        return np.diff(self.indptr)

    @property
    def coupled(self) -> bool:
        """True when rows of this side see each other, and so have to be solved one after the
        other.
        """
        return bool(self.peer.size)


@dataclass(frozen=True)
class RowProblem:
    """``loss`` taken on ``interactions`` (whose ``target`` is r) for factors with the columns of
    ``layout``.
    """

    loss: RowLoss
    interactions: Interactions
    layout: Layout
    seed: int = 0
    """Of the rows' negatives."""
    affordable: int = AFFORDABLE
    whole: Interactions | None = None
    """All interactions, where ``interactions`` are those of a few users: negatives are drawn by
    these, and a total counts these. What user rows see is then the same as on all data; what item
    rows see is these users' part of it."""

    @cached_property
    def offset(self) -> float:
        """μ, a constant in every score."""
        r = self.interactions.target
        if (
            not isinstance(self.loss, Squares)
            or not self.loss.centered
            or not len(self.interactions)
        ):
            return 0.0
        return 1.0 if r is None else float(r.mean())

    @property
    def shared(self) -> bool:
        """True when users and items have one loss between them; see ``Logistic``."""
        return not (isinstance(self.loss, Logistic) and self.loss.negatives > 0)

    @cached_property
    def drawn(self) -> bool:
        """True when negatives are drawn, not summed over."""
        data, loss = self.interactions, self.loss
        if isinstance(loss, Pairwise):
            others = data.shape[1] - data.user_counts
            return bool(int((data.user_counts * others).sum()) > self.affordable)
        users = data.shape[0] if self.whole is None else int(np.count_nonzero(data.user_counts))
        return not self.shared and users * data.shape[1] > self.affordable

    @cached_property
    def users(self) -> Terms:
        """What user rows see."""
        return self._sides[0]

    @cached_property
    def items(self) -> Terms:
        """What item rows see."""
        return self._sides[1]

    @cached_property
    def _sides(self) -> tuple[Terms, Terms]:
        if isinstance(self.loss, Pairwise):
            return self._pairs(self.loss)
        return self._cells("user"), self._cells("item")

    # ---------------------------------------------------- observed cells, and negatives beside them

    def _cells(self, name: str) -> Terms:
        data, loss = self.interactions, self.loss
        rows, others = data.user_rows, data.indices.astype(np.int64)
        r = np.ones(len(data)) if data.target is None else data.target
        counts = (data.user_counts, data.item_counts)
        if name == "item":
            rows, others, counts = others, rows, counts[::-1]
        if isinstance(loss, Squares):
            weight, target = np.ones(rows.size), r - self.offset
        else:
            assert isinstance(loss, Logistic)
            if loss.weighted and (r < 0).any():
                raise InvalidInput(
                    f"{int((r < 0).sum())} interaction(s) have r < 0, which is no weight in "
                    "logistic matrix factorization: leave these rows out"
                )
            weight, target = r if loss.weighted else np.ones(rows.size), (r > 0).astype(np.float64)
            missing = self._missing(name, loss, *counts)
            rows, others = np.concatenate([rows, missing[0]]), np.concatenate([others, missing[1]])
            weight, target = (
                np.concatenate([weight, missing[2]]),
                np.concatenate([target, np.zeros(missing[0].size)]),
            )
        return self._terms(name, rows, others, _NONE, _NONE, weight, target)

    def _missing(
        self, name: str, loss: Logistic, mine: Array, theirs: Array
    ) -> tuple[Array, Array, Array]:
        """(row, other, weight) of the negatives: N draws a row from the other side, in proportion
        to counts.
        """
        none = np.empty(0, np.int64)
        if not loss.negatives or not mine.sum():
            return none, none, np.empty(0)
        number = loss.negatives * mine
        if loss.most is not None:
            number = np.minimum(number, loss.most)
        alive = np.flatnonzero(mine)
        if name == "user" and self.whole is not None:
            theirs = self.whole.item_counts
        if not self.drawn:
            partners = np.flatnonzero(theirs)
            share = theirs[partners] / theirs.sum()
            return (
                np.repeat(alive, partners.size),
                np.tile(partners, alive.size),
                np.outer(number[alive], share).ravel(),
            )
        rows, place = np.repeat(alive, loss.draws), np.tile(np.arange(loss.draws), alive.size)
        side = 2 * self.seed + (name == "item")  # a user and an item of one number draw apart
        partners = draw(np.cumsum(theirs, dtype=np.float64), uniforms(side, rows, place))
        return rows, partners, np.repeat(number[alive] / loss.draws, loss.draws)

    # -------------------------------------------------------------- pairs

    def _pairs(self, loss: Pairwise) -> tuple[Terms, Terms]:
        data = self.interactions
        if data.target is not None and (data.target <= 0).any():
            raise InvalidInput(
                f"{int((data.target <= 0).sum())} interaction(s) have r ≤ 0, and BPR knows "
                "nothing but positives: leave these rows out, as with --threshold"
            )
        u, i, j, w = self._drawn_triples(loss) if self.drawn else self._all_triples(loss)
        sampled = (u, w), (np.concatenate([i, j]), np.concatenate([w, w]))
        # a kept positive may be the pair's own: no loss then, but it shrinks its rows all the same
        apart = i != j
        u, i, j, w = u[apart], i[apart], j[apart], w[apart]
        absent = np.full(u.size, -1, np.int64)
        users = self._terms("user", u, i, j, _NONE, w, np.empty(0), sampled[0])
        items = self._terms(
            "item",
            np.concatenate([i, j]),
            np.concatenate([u, absent]),
            np.concatenate([absent, u]),
            np.concatenate([j, i]),
            np.concatenate([w, w]),
            np.empty(0),
            sampled[1],
        )
        return users, items

    def _distribution(self, loss: Pairwise) -> Array:
        data = self.whole or self.interactions
        return data.item_counts.astype(np.float64) if loss.popular else np.ones(data.shape[1])

    def _all_triples(self, loss: Pairwise) -> tuple[Array, Array, Array, Array]:
        data, chance = self.interactions, self._distribution(loss)
        candidates = np.flatnonzero(chance)
        parts: list[tuple[Array, Array, Array, Array]] = []
        for user in np.flatnonzero(data.user_counts):
            mine = data.indices[data.indptr[user] : data.indptr[user + 1]].astype(np.int64)
            others = (
                candidates
                if loss.rejected == "keep"
                else np.setdiff1d(candidates, mine, assume_unique=True)
            )
            total = chance[others].sum() if loss.rejected == "redraw" else chance.sum()
            i, j = np.repeat(mine, others.size), np.tile(others, mine.size)
            parts.append((np.full(i.size, user), i, j, chance[j] / total if total else np.empty(0)))
        if not parts:
            none = np.empty(0, np.int64)
            return none, none, none, np.empty(0)
        users, liked, others, weights = (
            np.concatenate(arrays) for arrays in zip(*parts, strict=True)
        )
        return users, liked, others, weights

    def _drawn_triples(self, loss: Pairwise) -> tuple[Array, Array, Array, Array]:
        data, draws = self.interactions, loss.draws
        cumulative = np.cumsum(self._distribution(loss))
        u, i = np.repeat(data.user_rows, draws), np.repeat(data.indices.astype(np.int64), draws)
        place = i * draws + np.tile(np.arange(draws), len(data))
        j = draw(cumulative, uniforms(self.seed, u, place))
        fits = np.ones(u.size, bool)
        if loss.rejected != "keep":
            fits = data.locate(u, j) < 0
            for attempt in range(1, ATTEMPTS if loss.rejected == "redraw" else 1):
                again = np.flatnonzero(~fits)
                if not again.size:
                    break
                j[again] = draw(cumulative, uniforms(self.seed, u[again], place[again], attempt))
                fits[again] = data.locate(u[again], j[again]) < 0
        u, i, j = u[fits], i[fits], j[fits]
        return u, i, j, np.full(u.size, 1.0 / draws)

    # -------------------------------------------------------------- assembling

    def _terms(
        self,
        name: str,
        rows: Array,
        plus: Array,
        minus: Array,
        peer: Array,
        weight: Array,
        target: Array,
        sampled: tuple[Array, Array] | None = None,
    ) -> Terms:
        user = name == "user"
        size = self.interactions.shape[0 if user else 1]
        order = np.argsort(rows, kind="stable")
        flat = weight.size == 0 or bool(np.all(weight == 1.0))
        return Terms(
            name=name,
            squares=isinstance(self.loss, Squares),
            indptr=np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=size))]).astype(
                np.int64
            ),
            plus=plus[order].astype(np.int32),
            minus=minus[order].astype(np.int32) if minus.size else _NONE,
            peer=peer[order].astype(np.int32) if peer.size else _NONE,
            weight=np.empty(0) if flat else np.ascontiguousarray(weight[order]),
            target=np.ascontiguousarray(target[order]) if target.size else np.empty(0),
            scale=self._scale(rows, weight, sampled, size, user=user),
            penalty=self._penalty(user=user),
            free=self.layout.free[0 if user else 1],
        )

    def _penalty(self, *, user: bool) -> Array:
        """λ of every entry of a row, 0 for those that are held."""
        ridge = self.loss.ridge
        found: Array = np.where(
            self.layout.free[0 if user else 1], ridge.users if user else ridge.items, 0.0
        )
        if user and self.layout.user_bias:
            found[self.layout.rank] = ridge.user_biases
        if not user and self.layout.item_bias:
            found[-1] = ridge.item_biases
        return found

    def _scale(
        self,
        rows: Array,
        weight: Array,
        sampled: tuple[Array, Array] | None,
        size: int,
        *,
        user: bool,
    ) -> Array:
        """What λ is multiplied by in every row: 1, the samples of the row, or all samples."""
        if self.loss.ridge.scaling == "samples":
            return np.bincount(*(sampled or (rows, weight)), minlength=size)
        if self.loss.ridge.scaling != "total":
            return np.ones(size)
        total = sampled[1].sum() / (1 if user else 2) if sampled else weight.sum()
        more = len(self.whole) / max(len(self.interactions), 1) if self.whole is not None else 1.0
        return np.full(size, total * more)
