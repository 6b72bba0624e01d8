"""The parameters Θ = (P, Q, h) of a bilinear recommender."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Factors:
    """User embeddings P (m × d), item embeddings Q (n × d) and the prediction vector h (d).

    The score of a cell is ŷ_uv = h · (p_u ∘ q_v) (Chen et al., TOIS 2020, Eq. 3); plain matrix
    factorization is h = 1, which is also the canonical form.

    >>> import numpy as np
    >>> theta = Factors(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([1.0, 0.5]))
    >>> theta.scores(np.array([0]), np.array([0]))        # 1*1*3 + 0.5*2*4
    array([7.])
    """

    users: Array
    items: Array
    prediction: Array

    def __post_init__(self) -> None:
        d = self.prediction.shape[0] if self.prediction.ndim == 1 else -1
        for name, array in (("user", self.users), ("item", self.items)):
            if array.ndim != 2 or array.shape[1] != d:
                raise InvalidInput(
                    f"the {name} embeddings have shape {array.shape}, expected (rows, {d}): "
                    "P, Q and h must have the same number of factors"
                )

    @property
    def rank(self) -> int:
        """Number of factors d."""
        return int(self.prediction.shape[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Storage type, float32 or float64."""
        return self.users.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of P, Q and h."""
        return int(self.users.nbytes + self.items.nbytes + self.prediction.nbytes)

    def scaled_items(self) -> Array:
        """Q ∘ h (n × d): what a user's score is a plain inner product with."""
        return self.items if np.all(self.prediction == 1) else self.items * self.prediction

    def scores(self, user_rows: Array, item_rows: Array) -> Array:
        """ŷ of the cells (user_rows[i], item_rows[i]), accumulated in float64; shape (cells,)."""
        left = self.users[user_rows].astype(np.float64)
        right = self.items[item_rows].astype(np.float64)
        return np.asarray(np.einsum("id,id,d->i", left, right, self.prediction.astype(np.float64)))

    def astype(self, dtype: npt.DTypeLike) -> Factors:
        """The same parameters in another precision; arrays are always fresh, contiguous and
        writable.
        """
        return Factors(
            *(
                np.array(a, dtype=dtype, order="C")
                for a in (self.users, self.items, self.prediction)
            )
        )

    @classmethod
    def random(
        cls, users: int, items: int, rank: int, *, seed: int, dtype: npt.DTypeLike = np.float32
    ) -> Factors:
        """Normal entries of standard deviation 1/√(10 d), h = 1: scores start small against targets
        of 1.
        """
        rng = np.random.default_rng(seed)
        scale = 1.0 / np.sqrt(10.0 * rank)
        P = (rng.standard_normal((users, rank)) * scale).astype(dtype)
        Q = (rng.standard_normal((items, rank)) * scale).astype(dtype)
        return cls(P, Q, np.ones(rank, dtype))
