"""Readable NumPy twins of the term kernels: documentation and oracle, never used in production.

And the losses once more by their definitions, as sums over cells and pairs, without rows, terms or
peers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.rowloss import Logistic, Pairwise, Ridge, Squares
from alteraser.models.factorization.terms import RowProblem, TermArrays

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


def softplus(s: Array) -> Float64:
    """log(1 + eˢ)"""
    return np.asarray(np.logaddexp(0.0, s))


def sigmoid(s: Array) -> Float64:
    """1 / (1 + e⁻ˢ)"""
    return np.asarray(np.exp(-np.logaddexp(0.0, -s)))


def row_terms(
    of: TermArrays, Z: Array, X: Array, row: int
) -> tuple[Float64, Float64, Float64, Float64]:
    """(a, o, w, y) of one row: vectors (terms, width), offsets, weights and targets."""
    part = slice(of.start[row], of.stop[row])
    Z = np.vstack([Z, np.zeros(Z.shape[1])])  # index −1
    X = np.vstack([X, np.zeros(X.shape[1])])
    a = Z[of.plus[part]]
    if of.minus.size:
        a = a - Z[of.minus[part]]
    o = -np.einsum("tc,tc->t", a, X[of.peer[part]]) if of.peer.size else np.zeros(len(a))
    w = of.weight[part] if of.weight.size else np.ones(len(a))
    y = of.target[part] if of.target.size else np.ones(len(a))
    return a, o, w, y


def row(of: TermArrays, Z: Array, X: Array, row: int, x: Array) -> tuple[float, Float64, Float64]:
    """(f, g, H) of ``row`` at ``x``, g and H over its free columns only."""
    a, o, w, y = row_terms(of, Z, X, row)
    s = a @ x + o
    if of.squares:
        value, first, second = 0.5 * w * (y - s) ** 2, w * (s - y), w
    else:
        value, first, second = (
            w * (softplus(s) - y * s),
            w * (sigmoid(s) - y),
            w * sigmoid(s) * sigmoid(-s),
        )
    ridge = of.scale[row] * of.penalty
    f = float(value.sum() + 0.5 * ridge @ x**2)
    free = of.free
    g, H = first @ a + ridge * x, (a.T * second) @ a + np.diag(ridge)
    return f, g[free], H[np.ix_(free, free)]


def minimum(of: TermArrays, Z: Array, X: Array, index: int) -> Float64:
    """The row that minimizes f: Newton's method with backtracking, until the gradient is
    rounding.
    """
    x = X[index].astype(np.float64)
    free = of.free
    if of.start[index] == of.stop[index]:
        return np.asarray(np.where(free, 0.0, x))
    for _ in range(200):
        f, g, H = row(of, Z, X, index, x)
        step = np.linalg.solve(H, g)
        if g @ step <= 1e-15 * abs(f):
            break
        length = 1.0
        while length > 1e-12:
            moved = x.copy()
            moved[free] -= length * step
            if row(of, Z, X, index, moved)[0] <= f - 1e-4 * length * (g @ step):
                break
            length /= 2
        x = moved
    return np.asarray(x)


def objective(problem: RowProblem, factors: BiasedFactors) -> float:
    """L by its definition: loops over cells, and over all pairs a user could have drawn. Not for
    drawn negatives.
    """
    loss, data = problem.loss, problem.interactions
    m, n = data.shape
    score = factors.scores(np.repeat(np.arange(m), n), np.tile(np.arange(n), m)).reshape(m, n)
    u, v = data.user_rows, data.indices
    r = np.ones(len(data)) if data.target is None else data.target
    total = 0.0
    user_weight, item_weight = np.zeros(m), np.zeros(n)
    if isinstance(loss, Squares):
        total = 0.5 * float(np.sum((r - problem.offset - score[u, v]) ** 2))
        user_weight += data.user_counts
        item_weight += data.item_counts
    elif isinstance(loss, Logistic):
        c = r if loss.weighted else np.ones(len(data))
        total = float(np.sum(c * (softplus(score[u, v]) - (r > 0) * score[u, v])))
        number = loss.negatives * data.user_counts
        number = number if loss.most is None else np.minimum(number, loss.most)
        total += float(
            np.sum(np.outer(number, data.item_counts / max(len(data), 1)) * softplus(score))
        )
        np.add.at(user_weight, u, c)
        np.add.at(item_weight, v, c)
    elif isinstance(loss, Pairwise):
        chance = data.item_counts.astype(np.float64) if loss.popular else np.ones(n)
        for user in range(m):
            mine = data.indices[data.indptr[user] : data.indptr[user + 1]]
            for i in mine:
                others = [j for j in range(n) if loss.rejected == "keep" or j not in mine]
                whole = (
                    sum(chance[j] for j in others) if loss.rejected == "redraw" else chance.sum()
                )
                for j in others:
                    weight = chance[j] / whole if whole else 0.0
                    total += weight * float(softplus(score[user, j] - score[user, i])) * (i != j)
                    user_weight[user] += weight
                    item_weight[i] += weight
                    item_weight[j] += weight
    return total + _ridge(loss.ridge, factors, user_weight, item_weight)


def _ridge(ridge: Ridge, factors: BiasedFactors, users: Float64, items: Float64) -> float:
    rho_u, rho_v = (
        (users, items)
        if ridge.scaling == "samples"
        else (np.full(len(users), users.sum()), np.full(len(items), users.sum()))
        if ridge.scaling == "total"
        else (np.ones(len(users)), np.ones(len(items)))
    )
    total = ridge.users * float(rho_u @ np.sum(factors.users**2, axis=1))
    total += ridge.items * float(rho_v @ np.sum(factors.items**2, axis=1))
    if factors.user_biases is not None:
        total += ridge.user_biases * float(rho_u @ factors.user_biases**2)
    if factors.item_biases is not None:
        total += ridge.item_biases * float(rho_v @ factors.item_biases**2)
    return 0.5 * total
