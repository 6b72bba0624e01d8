"""Distances between two models that a rotation of the factors does not change."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


class FactorsLike(Protocol):
    """Anything with P (m × d), Q (n × d) and h (d)."""

    @property
    def users(self) -> Array: ...
    @property
    def items(self) -> Array: ...
    @property
    def prediction(self) -> Array: ...


def model_distance(first: FactorsLike, second: FactorsLike) -> float:
    """min_R ‖Θ − Θ'R‖_F over orthogonal R, Θ = (P; Q) stacked: orthogonal Procrustes (Schönemann 1966).

    Scores do not change under (P R, Q R), so neither does this. A prediction vector other than ones is absorbed
    first, P√|h| and Q√|h| sign(h). Models may differ in d, not in rows (InvalidInput).

    >>> import numpy as np
    >>> from alteraser.models import Factors
    >>> a = Factors(np.array([[3.0, 0.0]]), np.array([[4.0, 0.0]]), np.ones(2))
    >>> turned = Factors(np.array([[0.0, 3.0]]), np.array([[0.0, 4.0]]), np.ones(2))
    >>> model_distance(a, turned)
    0.0
    """
    dP, dQ, _, _ = _aligned(first, second)
    return float(np.sqrt(np.vdot(dP, dP) + np.vdot(dQ, dQ)))


def relative_model_distance(first: FactorsLike, second: FactorsLike) -> float:
    """``model_distance`` / ‖Θ'‖_F of the second model."""
    P, Q = _canonical(second)
    return model_distance(first, second) / _norm(float(np.vdot(P, P) + np.vdot(Q, Q)))


def score_distance(first: FactorsLike, second: FactorsLike) -> float:
    """‖X − X'‖_F / ‖X'‖_F of the full score matrices X = P diag(h) Qᵀ, from d × d Gram matrices alone.

    The difference of the traces of three Gram products would lose half of the digits where the models are close, so
    the factors are aligned first: with A = P − P'R, B = Q − Q'R,  X − X' = A Qᵀ + (P'R) Bᵀ.

    >>> import numpy as np
    >>> from alteraser.models import Factors
    >>> a = Factors(np.array([[1.0]]), np.array([[2.0]]), np.ones(1))
    >>> b = Factors(np.array([[1.0]]), np.array([[1.0]]), np.ones(1))
    >>> round(score_distance(a, b), 12)             # |2 − 1| / 1
    1.0
    """
    A, B, P, Q = _aligned(first, second)  # P, Q: the second model, turned
    mine = Q + B
    left = np.hstack([A, P])
    right = np.hstack([mine, B])
    squared = float(np.sum((left.T @ left) * (right.T @ right)))
    scale = float(np.sum((P.T @ P) * (Q.T @ Q)))
    return float(np.sqrt(max(squared, 0.0))) / _norm(scale)


def influence_left(unlearned: FactorsLike, retrained: FactorsLike, original: FactorsLike) -> float:
    """dist(Θ_u, Θ_r) / dist(Θ_a, Θ_r): 1 for doing nothing, 0 for the retrained model itself.

    0/0, an original that is the retrained model, counts as 0: there was nothing to undo.
    """
    left, whole = model_distance(unlearned, retrained), model_distance(original, retrained)
    return left / whole if whole > 0 else (0.0 if left == 0 else float("inf"))


def _canonical(model: FactorsLike) -> tuple[Float64, Float64]:
    """(P, Q) in float64 with h absorbed."""
    h = model.prediction.astype(np.float64)
    root = np.sqrt(np.abs(h))
    return model.users.astype(np.float64) * root, model.items.astype(np.float64) * (root * np.sign(h))


def _aligned(first: FactorsLike, second: FactorsLike) -> tuple[Float64, Float64, Float64, Float64]:
    """(P − P'R, Q − Q'R, P'R, Q'R) for the best rotation R of the second model."""
    P, Q = _canonical(first)
    P2, Q2 = _canonical(second)
    if P.shape[0] != P2.shape[0] or Q.shape[0] != Q2.shape[0]:
        raise InvalidInput(
            f"models of {P.shape[0]} × {Q.shape[0]} and {P2.shape[0]} × {Q2.shape[0]} rows cannot be compared row by "
            "row; compare the rows both have"
        )
    d = max(P.shape[1], P2.shape[1])
    P, Q, P2, Q2 = (np.pad(x, ((0, 0), (0, d - x.shape[1]))) for x in (P, Q, P2, Q2))
    u, _, vt = np.linalg.svd(P2.T @ P + Q2.T @ Q)
    R = u @ vt
    P2, Q2 = P2 @ R, Q2 @ R
    return P - P2, Q - Q2, P2, Q2


def _norm(squared: float) -> float:
    return float(np.sqrt(squared)) or 1.0
