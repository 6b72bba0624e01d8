"""Where the penalty outweighs the data: from how much of it on zeros are a minimum.

At E = 0 no score is anything, and L bends by the penalty upward and by Σ β c y ŷ both ways: with R
the diagonal of λρ and B the matrix of that form, zeros are a minimum where the largest eigenvalue
of R^-½ B R^-½ is at most 1, a saddle where it is more. For matrix factorization that is λ*/λ of
``solvers.collapse``, and zeros are then the one minimum there is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import LinearOperator, eigsh

from alteraser.models.relational import LinearProblem
from alteraser.solvers.relational.evaluation import hessian_product

Float64 = npt.NDArray[np.float64]

DIGITS = 1e-3
"""Relative accuracy of what is found"""


def critical_share(problem: LinearProblem, *, threads: int = 1) -> float | None:
    """The multiple of its penalty from which on zeros are a minimum of ``problem``; None where
    they are no stationary point (biases), or nothing is penalized.
    """
    found = critical_shares(problem, 1, threads=threads)
    return float(found[0]) if len(found) else None


def critical_shares(problem: LinearProblem, count: int, *, threads: int = 1) -> Float64:
    """Multiples of its penalty below which a first, a second, … column of ``problem`` comes to be,
    from the largest down: as many as there are, ``count`` at most; none where ``critical_share`` is
    None.
    """
    ridge = np.concatenate([problem.ridge[table.name] for table in problem.tables])
    if any(relation.biases for relation in problem.relations) or not np.all(ridge > 0):
        return np.empty(0)
    # columns do not see each other at 0
    relations = tuple(replace(relation, prediction=None) for relation in problem.relations)
    one = replace(problem, rank=1, relations=relations)
    zeros, root = one.point(np.zeros(one.size)), np.sqrt(ridge)

    def pulled(x: Float64) -> Float64:
        direction = one.point(x.ravel() / root)
        bent = hessian_product(one, zeros, direction, threads=threads).vector / 2.0
        return np.asarray(x.ravel() - bent / root)

    if ridge.size <= count:
        columns = [pulled(x) for x in np.eye(ridge.size)]
        return np.asarray(np.linalg.eigvalsh(np.array(columns))[::-1])
    form = LinearOperator((ridge.size, ridge.size), matvec=pulled, dtype=np.float64)
    start = np.random.default_rng(0).random(ridge.size)
    found = eigsh(form, k=count, which="LA", v0=start, tol=DIGITS, return_eigenvectors=False)
    return np.asarray(np.sort(found)[::-1])
