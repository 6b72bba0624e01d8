"""Distances between two models that a rotation of the factors does not change.

Scores are the same under (P R, Q R) for every orthogonal R, so raw factors must not be subtracted.
Both distances are taken on a *compressed* pair of models: with thin QR factorizations (P P') = U T
and (Q Q') = V S, the columns of T and S are two models of at most 2d rows whose differences have
the same norms, under any R. QR rather than Gram matrices: a Gram matrix squares, and half of the
digits of a small difference are gone.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

ROWS_AT_A_TIME = 1 << 11  # rows of a model that are held in float64 at once

# Share of ‖Θ'‖ below which a distance may be nothing but rounding: the unit of float32, in which
# models are kept. It also covers the rotation, found from the product Θ'ᵀΘ: up to 2e-8 where
# singular values are √ε of the largest.
RESOLUTION = float(np.finfo(np.float32).eps)


class FactorsLike(Protocol):
    """Anything with P (m × d), Q (n × d) and h (d)."""

    @property
    def users(self) -> Array: ...
    @property
    def items(self) -> Array: ...
    @property
    def prediction(self) -> Array: ...


def model_distance(first: FactorsLike, second: FactorsLike) -> float:
    """min_R ‖Θ − Θ'R‖_F over orthogonal R, Θ = (P; Q) stacked: orthogonal Procrustes (Schönemann
    1966).

    The minimizer is R = U Vᵀ of the SVD Θ'ᵀΘ = U Σ Vᵀ. A prediction vector other than ones is
    absorbed first, P√|h| and Q√|h| sign(h), so models with different h can be compared.

    Args:
        first: P (m × d), Q (n × d), h (d); computed in float64 whatever the storage.
        second: likewise with the same rows; d may differ, the narrower model is widened with zeros.

    Returns:
        A distance in the unit of the factors: symmetric, with the triangle inequality, and 0 for
        models that are rotations of each other, up to a rounding of about 1e-15 ‖Θ'‖, 1e-8 ‖Θ'‖
        when nearly rank deficient.

    Raises:
        InvalidInput: other numbers of rows, shapes that do not fit together, values that are not
            finite.

    >>> import numpy as np
    >>> from alteraser.models import Factors
    >>> a = Factors(np.array([[3.0, 0.0]]), np.array([[4.0, 0.0]]), np.ones(2))
    >>> turned = Factors(np.array([[0.0, 3.0]]), np.array([[0.0, 4.0]]), np.ones(2))
    >>> round(model_distance(a, turned), 12)
    0.0
    >>> nothing = Factors(np.zeros((1, 2)), np.zeros((1, 2)), np.ones(2))
    >>> round(model_distance(a, nothing), 12)                                # √(3² + 4²)
    5.0
    """
    return _turned_distance(*_compressed(first, second))


def relative_model_distance(first: FactorsLike, second: FactorsLike) -> float:
    """``model_distance`` / ‖Θ'‖_F of the second model, h absorbed; arguments and errors are the
    same.

    Two zero models are at 0, any other first model is at infinity from a zero second one.

    >>> import numpy as np
    >>> from alteraser.models import Factors
    >>> a = Factors(np.array([[3.0]]), np.array([[4.0]]), np.ones(1))
    >>> b = Factors(np.array([[3.0]]), np.array([[3.0]]), np.ones(1))
    >>> round(relative_model_distance(a, b), 12) == round(1 / 18**0.5, 12)   # |4 − 3| / √(3² + 3²)
    True
    """
    one, other = _compressed(first, second)
    return share(_turned_distance(one, other), _size(other))


def score_distance(first: FactorsLike, second: FactorsLike) -> float:
    """‖X − X'‖_F / ‖X'‖_F of the full score matrices X = P diag(h) Qᵀ, which are never formed.

    On the compressed pair X − X' is a 2d × 2d matrix of the same norm. Its rounding is ε ‖P‖ ‖Q‖,
    so a relative difference of 1e-9 keeps its leading digits; a difference of Gram traces would end
    at 1e-8. It depends on the scores alone: any invertible change of factors, not only a rotation,
    leaves it as it is.

    Args:
        first: P (m × d), Q (n × d), h (d); computed in float64 whatever the storage.
        second: likewise with the same rows; d may differ.

    Returns:
        A share of the second model's scores, so not symmetric. Two zero models are at 0, any other
        first model is at infinity from a zero second one.

    Raises:
        InvalidInput: as ``model_distance``.

    >>> import numpy as np
    >>> from alteraser.models import Factors
    >>> a = Factors(np.array([[1.0]]), np.array([[2.0]]), np.ones(1))
    >>> b = Factors(np.array([[1.0]]), np.array([[4.0]]), np.ones(1))
    >>> # |2 − 4| / 4 and |4 − 2| / 2
    >>> round(score_distance(a, b), 12), round(score_distance(b, a), 12)
    (0.5, 1.0)
    """
    one, other = _compressed(first, second)
    scores = other.P @ other.Q.T
    return share(float(np.linalg.norm(one.P @ one.Q.T - scores)), float(np.linalg.norm(scores)))


def influence_left(unlearned: FactorsLike, retrained: FactorsLike, original: FactorsLike) -> float:
    """dist(Θ_u, Θ_r) / dist(Θ_a, Θ_r) by ``model_distance``: 1 for doing nothing, 0 for the
    retrained model itself.

    Arguments and errors are those of ``model_distance``. Distances below ``RESOLUTION`` ‖Θ_r‖
    (1.2e-7) are rounding and count as 0. With the original that close to the retrained model there
    was nothing to undo: 0/0 is 0, and an unlearned model that went elsewhere has infinitely much
    left.

    >>> import numpy as np
    >>> from alteraser.models import Factors
    >>> model = lambda q: Factors(np.array([[1.0]]), np.array([[q]]), np.ones(1))
    >>> round(influence_left(model(2.5), model(2.0), model(4.0)), 12)        # |2.5 − 2| / |4 − 2|
    0.25
    >>> influence_left(model(2.0), model(2.0), model(2.0))
    0.0
    """
    left, whole = (_resolved_distance(model, retrained) for model in (unlearned, original))
    return share(left, whole)


class _Canonical(NamedTuple):
    """A model with h = 1, in float64."""

    P: Float64
    Q: Float64


def canonical(model: FactorsLike) -> tuple[Array, Array, Float64, Float64]:
    """(P, Q, √|h|, √|h| sign(h)): the two vectors make the columns of P and Q those of a model with
    h = 1.
    """
    P, Q, h = (np.asarray(array) for array in (model.users, model.items, model.prediction))
    if P.ndim != 2 or Q.ndim != 2 or h.shape != (P.shape[1],) or h.shape != (Q.shape[1],):
        raise InvalidInput(
            f"factors have users of shape {P.shape}, items {Q.shape} and prediction {h.shape}, "
            "expected (m, d), (n, d) and (d,): all three must have the same number of factors"
        )
    root = np.sqrt(np.abs(h.astype(np.float64)))
    return P, Q, root, root * np.sign(h)


def _compressed(first: FactorsLike, second: FactorsLike) -> tuple[_Canonical, _Canonical]:
    """Both models, h absorbed, turned within the space of users and of items onto at most 2d
    rows.
    """
    P, Q, left, right = canonical(first)
    P2, Q2, left2, right2 = canonical(second)
    if P.shape[0] != P2.shape[0] or Q.shape[0] != Q2.shape[0]:
        raise InvalidInput(
            f"first has {P.shape[0]} × {Q.shape[0]} rows and second {P2.shape[0]} × "
            f"{Q2.shape[0]}, expected the same users and items row by row: compare the rows both "
            "have"
        )
    d = P.shape[1]
    from threadpoolctl import threadpool_limits  # late: importing the metrics costs NumPy alone

    # One thread: QR gains little from a second, and threads that wait for each other on a busy
    # machine cost 70 times the time (0.14 s against 10 s for 20,000 × 128 on two cores with three
    # processes).
    with threadpool_limits(1, "blas"):
        T = _triangle(P, left, P2, left2)
        S = _triangle(Q, right, Q2, right2)
    if not (np.isfinite(T).all() and np.isfinite(S).all()):
        raise InvalidInput(
            "the models hold values that are not finite, expected numbers: retrain, or load them "
            "again"
        )
    return _Canonical(T[:, :d], S[:, :d]), _Canonical(T[:, d:], S[:, d:])


def _triangle(A: Array, a: Float64, B: Array, b: Float64) -> Float64:
    """R of the QR factorization of (A diag(a), B diag(b)), block of rows by block of rows
    (TSQR).
    """
    R = np.zeros((0, a.size + b.size))
    for start in range(0, A.shape[0], ROWS_AT_A_TIME):
        part = slice(start, start + ROWS_AT_A_TIME)
        R = np.asarray(
            np.linalg.qr(np.vstack([R, np.hstack([A[part] * a, B[part] * b])]), mode="r")
        )
    return R


def _turned_distance(one: _Canonical, other: _Canonical) -> float:
    """‖Θ − Θ'R‖_F for the best R, the narrower model widened with zero columns."""
    d = max(one.P.shape[1], other.P.shape[1])
    P, Q, P2, Q2 = (np.pad(x, ((0, 0), (0, d - x.shape[1]))) for x in (*one, *other))
    U, _, Vt = np.linalg.svd(P2.T @ P + Q2.T @ Q)
    R = U @ Vt
    return _size(_Canonical(P - P2 @ R, Q - Q2 @ R))


def _resolved_distance(model: FactorsLike, reference: FactorsLike) -> float:
    """``model_distance`` with what may be rounding set to 0."""
    one, other = _compressed(model, reference)
    distance = _turned_distance(one, other)
    return distance if distance > RESOLUTION * _size(other) else 0.0


def _size(model: _Canonical) -> float:
    """‖Θ‖_F."""
    return float(np.hypot(np.linalg.norm(model.P), np.linalg.norm(model.Q)))


def share(part: float, whole: float) -> float:
    """The ratio; 0/0 is 0, anything else over 0 infinite."""
    if whole > 0:
        return part / whole
    return 0.0 if part == 0 else float("inf")
