"""Where the penalty outweighs the data: from how much of it on zeros are a minimum.

At E = 0 no score is anything, and L bends by the penalty upward and by Σ β c y ŷ both ways: with R
the diagonal of λρ and B the matrix of that form, zeros are a minimum where the largest eigenvalue
of R^-½ B R^-½ is at most 1, a saddle where it is more. For matrix factorization that is λ*/λ of
``solvers.collapse``, and zeros are then the one minimum there is.

With biases scores are those that biases alone give, at their optimum (L is quadratic in them), and
B is of what these leave of the targets. A trained h is 1 where its columns are nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import LinearOperator, cg, eigsh

from alteraser.models.relational import LinearProblem, Point
from alteraser.solvers.relational.evaluation import LinearCurvature, evaluate

Float64 = npt.NDArray[np.float64]

DIGITS = 1e-3
"""Relative accuracy of what is found"""
COLUMN, BIAS = 0, 1
"""Where they are in tables of one column and biases"""


def critical_share(problem: LinearProblem, *, threads: int = 1) -> float | None:
    """The multiple of its penalty from which on zeros are a minimum of ``problem``; None where
    they are no stationary point (biases), or nothing is penalized.
    """
    if any(relation.biases for relation in problem.relations):
        return None
    found = critical_shares(problem, 1, threads=threads)
    return float(found[0]) if len(found) else None


def critical_shares(problem: LinearProblem, count: int, *, threads: int = 1) -> Float64:
    """Multiples of its penalty below which a first, a second, … column of ``problem`` comes to be,
    from the largest down: as many as there are, ``count`` at most; none where a row is without a
    penalty.

    With biases they are multiples of the columns' penalty alone, beside the biases that are best
    under the penalty of ``problem``.
    """
    ridge = np.concatenate([problem.ridge[table.name] for table in problem.tables])
    if not np.all(ridge > 0):
        return np.empty(0)
    # columns do not see each other at 0
    relations = tuple(replace(relation, prediction=None) for relation in problem.relations)
    one = replace(problem, rank=1, relations=relations)
    root = np.sqrt(ridge)
    curvature = LinearCurvature(one, _without_columns(one, root, threads), threads=threads)

    def pulled(x: Float64) -> Float64:
        bent = curvature @ _at(one, COLUMN, x.ravel() / root)
        return np.asarray(x.ravel() - _of(bent, COLUMN) / 2.0 / root)

    if ridge.size <= count:
        columns = [pulled(x) for x in np.eye(ridge.size)]
        return np.asarray(np.linalg.eigvalsh(np.array(columns))[::-1])
    form = LinearOperator((ridge.size, ridge.size), matvec=pulled, dtype=np.float64)
    start = np.random.default_rng(0).random(ridge.size)
    found = eigsh(form, k=count, which="LA", v0=start, tol=DIGITS, return_eigenvectors=False)
    return np.asarray(np.sort(found)[::-1])


def _without_columns(one: LinearProblem, root: Float64, threads: int) -> Point:
    """The optimum of a problem of one column whose column is nothing."""
    zeros = one.point(np.zeros(one.size))
    if one.width == 1:
        return zeros
    curvature = LinearCurvature(one, zeros, threads=threads)
    slope = _of(evaluate(one, zeros, threads=threads).gradient, BIAS)

    def bent(x: Float64) -> Float64:
        return _of(curvature @ _at(one, BIAS, x.ravel() / root), BIAS) / root

    form = LinearOperator((root.size, root.size), matvec=bent, dtype=np.float64)
    return _at(one, BIAS, cg(form, -slope / root, rtol=DIGITS)[0] / root)


def _at(one: LinearProblem, place: int, values: Float64) -> Point:
    """A point whose tables are nothing but ``values`` in a column."""
    found, at = one.point(np.zeros(one.size)), 0
    for E in found.tables.values():
        E[:, place] = values[at : at + len(E)]
        at += len(E)
    return found


def _of(point: Point, place: int) -> Float64:
    """A column of all tables."""
    return np.concatenate([E[:, place] for E in point.tables.values()])
