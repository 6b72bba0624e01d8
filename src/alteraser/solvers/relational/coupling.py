"""How entities of a table that share rows of a relation depend on each other: users and contexts,
items and words.

A row that is a user, a weekday and a city pulls at all three. What is added to every user and taken
from every weekday changes no score, and only the penalty holds it: blocks of entities taken one by
one do not see that, and a solver creeps along it. With N = Σ_r β_r A_rᵀ diag(m_r) A_r, m_ri the
trace of row i's curvature, and B̄ = Q diag(β) Qᵀ the mean of these curvatures with trace 1, the
table's Hessian is about N ⊗ B̄ + diag(λρ), so in direction k of Q entities j ≠ l correlate by

    c_jl = β_k N_jl / √((β_k N_jj + λρ_j) (β_k N_ll + λρ_l)),        c_jj = 1.

M = L C Lᵀ puts them between the exact blocks L_j L_jᵀ of the entities. Curvatures differ from row
to row, and C may take for flat what is not: its off-diagonal entries count by ``TRUST``. The first
entities of a table, of whom no row has two, are eliminated; what is left is a matrix of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array, diags_array

Float64 = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

TRUST = 0.95
"""Share of a correlation that counts: then no direction is taken for flatter than 1 − TRUST"""
WORDS = 512
"""Words that are seen together, at most: those that weigh most; the others stay by themselves"""
WORK = 10.0
"""Additions that eliminating entities may take, over those of one gradient"""
STEP = 4.0
"""Curvatures within half (by its root) of a power of it are taken for that power"""
LEAST = 1e-8
"""Share of the largest curvature that is taken for none"""


@dataclass(frozen=True)
class Shared:
    """Rows of one side of a relation that are sums over entities of a table."""

    matrix: csr_array
    """A, (rows, entities)"""
    mass: Float64
    """(rows,): the trace of each row's curvature, times β"""
    mean: Float64
    """(width, width): the sum of these curvatures"""


@dataclass(frozen=True)
class _Level:
    """Directions whose curvature is about the same."""

    columns: Array
    across: csr_array
    """Correlations of words and entities, (words, entities alone)"""
    factor: Any
    """Of the words' correlations when the entities are eliminated"""


class Coupling:
    """C⁻¹ of one table, and the directions Q that it is diagonal in."""

    def __init__(self, turn: Float64, alone: int, words: Array, levels: list[_Level]) -> None:
        self.turn = turn
        """Q, (width, width)"""
        self._alone, self._words, self._levels = alone, words, levels

    @classmethod
    def of(cls, sides: Sequence[Shared], ridge: Float64, gradient: float) -> Coupling | None:
        """Of a table with λρ = ``ridge``; None where no two of its entities share a row.

        ``gradient`` is what one costs, in additions.
        """
        alone = min((_alone(side.matrix) for side in sides), default=ridge.size)
        if alone >= ridge.size:
            return None
        total: csr_array = sum(
            csr_array(side.matrix.T @ diags_array(side.mass) @ side.matrix) for side in sides
        )
        mass = total.diagonal()
        words = alone + np.argsort(-mass[alone:], kind="stable")[:WORDS]
        words.sort()
        words, across = _affordable(total, mass, alone, words, WORK * gradient)
        values, turn = np.linalg.eigh(np.asarray(sum(side.mean for side in sides)))
        values = np.maximum(values, LEAST * max(values[-1], np.finfo(float).tiny))
        power = np.rint(np.log(values / values.sum()) / np.log(STEP))
        inside = total[words][:, words].toarray()
        levels = []
        for level in np.unique(power):
            scale = np.sqrt(STEP**level / np.maximum(STEP**level * mass + ridge, 1e-300))
            between = csr_array(
                diags_array(TRUST * scale[words]) @ across @ diags_array(scale[:alone])
            )
            own = TRUST * inside * np.outer(scale[words], scale[words])
            np.fill_diagonal(own, 1.0)
            factor = cho_factor(own - (between @ between.T).toarray(), lower=True)
            levels.append(_Level(np.flatnonzero(power == level), between, factor))
        return cls(turn, alone, words, levels)

    def solve(self, X: Array) -> Array:
        """C⁻¹ X of what is given in the directions Q, (entities, width); X is overwritten."""
        for level in self._levels:
            x = X[:, level.columns]
            first = x[: self._alone]
            rest = cho_solve(level.factor, x[self._words] - level.across @ first)
            X[np.ix_(self._words, level.columns)] = rest
            X[: self._alone, level.columns] = first - level.across.T @ rest
        return X


def _alone(matrix: csr_array) -> int:
    """How many of the first columns there are of which no row has two."""
    matrix = matrix.sorted_indices()
    several = np.flatnonzero(np.diff(matrix.indptr) >= 2)
    if not several.size:
        return int(matrix.shape[1])
    return int(matrix.indices[matrix.indptr[several] + 1].min())


def _affordable(
    total: csr_array, mass: Float64, alone: int, words: Array, work: float
) -> tuple[Array, csr_array]:
    """(as many of the words that weigh most as can be eliminated for, their rows in entities)."""
    while True:
        across = csr_array(total[words][:, :alone])
        each = np.bincount(across.indices, minlength=1).astype(np.float64)
        if words.size == 1 or float(each @ each) <= work:
            return words, across
        words = np.sort(words[np.argsort(-mass[words], kind="stable")[: words.size // 2]])
