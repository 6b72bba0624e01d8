"""Factors with biases: scores μ + b_u + c_v + p_u·q_v, and the same thing as plain inner
products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput, NumericFailure

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BiasedFactors:
    """User embeddings P (m × d), item embeddings Q (n × d), biases b (m) and c (n) where the model
    has them.

    ``score = b_u + c_v + p_u·q_v``; a constant μ belongs to the data (``RowProblem.offset``), not
    to the parameters.

    >>> P, Q = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])
    >>> theta = BiasedFactors(P, Q, item_biases=np.array([0.5]))
    >>> theta.scores(np.array([0]), np.array([0]))        # 1*3 + 2*4 + 0.5
    array([11.5])
    """

    users: Array
    items: Array
    user_biases: Array | None = None
    item_biases: Array | None = None

    def __post_init__(self) -> None:
        if (
            self.users.ndim != 2
            or self.items.ndim != 2
            or self.users.shape[1] != self.items.shape[1]
        ):
            raise InvalidInput(
                f"user embeddings {self.users.shape} and item embeddings {self.items.shape} do "
                "not fit: expected (m, d) and (n, d)"
            )
        for name, biases, rows in (
            ("user", self.user_biases, len(self.users)),
            ("item", self.item_biases, len(self.items)),
        ):
            if biases is not None and biases.shape != (rows,):
                raise InvalidInput(
                    f"{name} biases have shape {biases.shape}, expected ({rows},): one a row"
                )

    @property
    def layout(self) -> Layout:
        """Its columns as plain inner products."""
        return Layout(
            int(self.users.shape[1]), self.user_biases is not None, self.item_biases is not None
        )

    @property
    def flipped(self) -> BiasedFactors:
        """Items as users and users as items: score_uv is the flipped score_vu."""
        return BiasedFactors(self.items, self.users, self.item_biases, self.user_biases)

    def scores(self, user_rows: Array, item_rows: Array) -> Float64:
        """b_u + c_v + p_u·q_v of the cells (user_rows[i], item_rows[i]), in float64; shape
        (cells,).
        """
        total = np.einsum(
            "id,id->i",
            self.users[user_rows].astype(np.float64),
            self.items[item_rows].astype(np.float64),
        )
        if self.user_biases is not None:
            total = total + self.user_biases[user_rows]
        if self.item_biases is not None:
            total = total + self.item_biases[item_rows]
        return np.asarray(total, dtype=np.float64)

    def check_finite(self) -> None:
        """NumericFailure naming the first row with an entry that is not finite."""
        for side, x, biases in (
            ("user", self.users, self.user_biases),
            ("item", self.items, self.item_biases),
        ):
            bad = ~np.all(np.isfinite(x), axis=1)
            if biases is not None:
                bad |= ~np.isfinite(biases)
            if bad.any():
                raise NumericFailure(
                    f"{side} row {int(np.flatnonzero(bad)[0])} of the model is not finite; the "
                    "model is damaged, restore it"
                )

    def like(self, other: BiasedFactors) -> BiasedFactors:
        """The same parameters in the precision of ``other``, array by array."""

        def cast(mine: Array | None, theirs: Array | None) -> Array | None:
            return None if mine is None or theirs is None else mine.astype(theirs.dtype)

        return BiasedFactors(
            self.users.astype(other.users.dtype),
            self.items.astype(other.items.dtype),
            cast(self.user_biases, other.user_biases),
            cast(self.item_biases, other.item_biases),
        )


@dataclass(frozen=True)
class Layout:
    """Columns in which every score is x·z: [p, b, 1] for a user against [q, 1, c] for an item.

    A column is there only where its bias is; the ones are fixed, everything else is free.
    """

    rank: int
    user_bias: bool
    item_bias: bool

    @property
    def width(self) -> int:
        """Columns in all."""
        return self.rank + self.user_bias + self.item_bias

    @property
    def free(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which columns of a user row and of an item row are parameters; both (width,)."""
        user, item = np.ones(self.width, bool), np.ones(self.width, bool)
        if self.user_bias:
            item[self.rank] = False
        if self.item_bias:
            user[-1] = False
        return user, item

    def pack(self, factors: BiasedFactors) -> tuple[Float64, Float64]:
        """(m × width, n × width) float64 arrays, fresh and contiguous."""
        users, items = (np.ones((len(x), self.width)) for x in (factors.users, factors.items))
        users[:, : self.rank], items[:, : self.rank] = factors.users, factors.items
        if factors.user_biases is not None:
            users[:, self.rank] = factors.user_biases
        if factors.item_biases is not None:
            items[:, -1] = factors.item_biases
        return users, items

    def unpack(self, users: Float64, items: Float64) -> BiasedFactors:
        """The parameters again, fresh arrays."""
        d = self.rank
        return BiasedFactors(
            users[:, :d].copy(),
            items[:, :d].copy(),
            users[:, d].copy() if self.user_bias else None,
            items[:, self.width - 1].copy() if self.item_bias else None,
        )
