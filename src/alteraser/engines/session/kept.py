"""What a stream keeps: both sides' rows and factors in working form, their blocks, and what has
moved since.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from alteraser.data.interactions import Interactions
from alteraser.engines.session.rows import Rows
from alteraser.errors import InvalidInput
from alteraser.models import Factors, Problem, Side
from alteraser.models.factorization.model import Model
from alteraser.models.factorization.problem import SideArrays
from alteraser.runtime.workers import blocks as split
from alteraser.solvers import AHNewton, JointNewton
from alteraser.solvers.blocks import factor_blocks, room_for
from alteraser.solvers.joint import Joint
from alteraser.solvers.rows.protocol import aligned_empty, padded
from alteraser.solvers.slow import SlowSpace
from alteraser.solvers.stationarity import block_solve

Array = npt.NDArray[Any]

CHANGED = 0.1
"""Share of its interactions that a row must have lost or gained for its block to be factored again
before polishing."""

STEPS, ACCURACY = 40, 1e-12
"""A touched row is solved until ‖r‖²_{A⁻¹} ≤ ACCURACY · bᵀx: to the rounding of float32."""


@dataclass(frozen=True)
class Few(Side):
    """A few rows of a side as a side of its own, with the Gram matrix that is kept."""

    kept: Any = None

    def gram(self, other: Array) -> npt.NDArray[np.float64]:
        """The kept one, whatever ``other``."""
        return np.asarray(self.kept)


@dataclass
class Half:
    """One side in working form."""

    rows: Rows
    X: Array
    """(rows, w) padded factors"""
    own: Array
    other: Array
    """the other side's weights, or empty"""
    ridge: Array
    gram: npt.NDArray[np.float64]
    """G = w₀ Zᵀ diag(b) Z of the other side, (w, w)"""
    blocks: Array | None
    """The rows' blocks as last factored, packed; None where there is no room for them"""
    counted: Array
    """Interactions of every row when its block was factored"""
    norms: npt.NDArray[np.float64]
    """‖x‖ of every row"""
    bound: npt.NDArray[np.float64]
    """Of each row: by how much its half gradient may have moved since it was last exact, less the
    shared part"""
    shared: float = 0.0
    """… and what every row has to add, times b ‖x‖"""

    def arrays(self, missing_weight: float) -> SideArrays:
        """It as compiled loops take it; confidences and targets are in float64."""
        held = self.rows
        return SideArrays(
            held.start,
            held.stop,
            held.indices,
            held.confidence,
            held.target,
            self.own,
            self.other,
            self.ridge,
            float(missing_weight),
        )


class Kept:
    """The working state. Sides are users (0) and items (1)."""

    def __init__(self, model: Model, data: Interactions, threads: int) -> None:
        self.objective, self.threads = model.objective, threads
        self.users, self.items = model.users, model.items
        self.has = data.confidence is not None, data.target is not None, data.timestamp is not None
        self.uniform = (
            model.objective.missing_weighting == "uniform"
            and model.objective.regularization_scaling == "none"
        )
        self.push = 0.0
        """How hard requests have pushed since the last ``arrived``"""
        self.rest = np.inf
        """‖∇L‖_{B⁻¹} where bounds began, as far as they do not hold it"""
        self.slow: SlowSpace | None = None
        self.earlier: list[tuple[int, Array, Array]] = []
        """(side, rows, values) before each solve since the last ``arrived``"""
        self.lay_out(data, model.factors)

    def arrived(self, data: Interactions, factors: Factors, problem: Problem) -> None:
        """Begin again at ``factors``, to which all requests so far have been carried through."""
        self.lay_out(data, factors, problem)
        self.push, self.earlier = 0.0, []

    def remaining(self) -> Interactions:
        """The interactions as they are now, D_r."""
        indptr, indices, confidence, target, stamp = self.halves[0].rows.compact()
        c, y, t = (
            x if there else None
            for x, there in zip((confidence, target, stamp), self.has, strict=True)
        )
        return Interactions(self.users, self.items, indptr, indices, c, y, t)

    def lay_out(self, data: Interactions, factors: Factors, problem: Problem | None = None) -> None:
        """Everything that follows from the model and the data, built anew."""
        problem = problem or Problem(self.objective, data, factors.dtype)
        self.dtype, self.rank = factors.dtype, factors.rank
        P, Q = padded(factors.users), padded(factors.items)
        self.prediction = factors.prediction
        with threadpool_limits(1):
            blocks = self._factored(problem, P, Q)
        self.halves = tuple(
            Half(
                Rows(data, by_item=side.name == "item"),
                x,
                side.own,
                side.other,
                side.ridge,
                side.gram(z),
                kept,
                side.counts,
                np.linalg.norm(x, axis=1).astype(np.float64),
                np.zeros(side.rows),
            )
            for side, x, z, kept in zip(
                (problem.users, problem.items), (P, Q), (Q, P), blocks, strict=True
            )
        )

    def _factored(self, problem: Problem, P: Array, Q: Array) -> tuple[Array | None, Array | None]:
        """Packed blocks of the users and the items, None where there is no room for them."""
        from alteraser.solvers.kernels.joint import packed_size

        if Joint.fits(problem, P.shape[1]):
            joint = Joint(problem, P, Q, self.prediction, self.threads)
            settled = joint.settle(move=False)
            self.rest = 2.0 * float(np.sqrt(max(settled.users + settled.items, 0.0)))
            joint.find_slow(JointNewton())
            self.slow = joint.slow
            return joint.users.factors, joint.items.factors
        self.rest = np.inf
        if not room_for(Q.shape[0], Q.shape[1], Q.dtype):
            return None, None
        side, out = problem.items, aligned_empty((Q.shape[0], packed_size(Q.shape[1])), Q.dtype)
        factor_blocks(
            side,
            P,
            Q,
            out,
            np.zeros_like(Q),
            rank=self.rank,
            move=False,
            work=split(side, None, Q.shape[1], self.threads),
            threads=self.threads,
        )
        return None, out  # items have the long rows; a user's is soon solved

    def expand(self, half: Half, rows: Array) -> tuple[Array, Array]:
        rows = np.unique(rows[rows >= 0])
        columns = [half.rows.of(row) for row in rows]
        lengths = [len(c) for c in columns]
        other = np.concatenate(columns).astype(np.int64) if columns else np.empty(0, np.int64)
        return np.repeat(rows, lengths), other

    def within(self, begin: int, end: int) -> tuple[Array, Array]:
        rows = self.halves[0].rows
        if not rows.stamp.size:
            raise InvalidInput("window: the interactions have no timestamps")
        indptr, indices, _, _, stamp = rows.compact()
        inside = (stamp >= begin) & (stamp < end)
        u = np.repeat(np.arange(rows.start.size), np.diff(indptr))
        return u[inside], indices[inside].astype(np.int64)

    def joined(self, u: Array, v: Array, c: Array, y: Array, t: Array) -> Interactions:
        now = self.remaining()
        columns = [
            np.concatenate([a, b]) if a is not None else None
            for a, b in ((now.confidence, c), (now.target, y), (now.timestamp, t))
        ]
        return Interactions._assemble(
            self.users,
            self.items,
            np.concatenate([now.user_rows, u]),
            np.concatenate([now.indices.astype(np.int64), v]),
            columns[0],
            columns[1],
            columns[2],
            "refuse",
        )

    def stamps(self, u: Array, v: Array) -> Array:
        from alteraser.engines.session._kernels import find

        rows = self.halves[0].rows
        if not rows.stamp.size:
            return np.zeros(u.size, np.int64)
        places = [
            find(rows.start, rows.stop, rows.indices, a, b) for a, b in zip(u, v, strict=True)
        ]
        return np.asarray(rows.stamp[np.array(places, np.int64)])

    def take_out(self, u: Array, v: Array) -> tuple[Array, Array, Array]:
        """Remove the pairs (u, v), which are there; their confidences, targets and times."""
        users, items = self.halves
        stamps = self.stamps(u, v)
        taken = users.rows.remove(u, v.astype(np.int32))
        items.rows.remove(v, u.astype(np.int32))
        return taken[:, 1].copy(), taken[:, 2].copy(), stamps

    def put_in(self, u: Array, v: Array, c: Array, y: Array, t: Array) -> None:
        """Add pairs that are not there."""
        users, items = self.halves
        room = np.all(
            np.bincount(u)[np.unique(u)] <= (users.rows.limit - users.rows.stop)[np.unique(u)]
        )
        room &= np.all(
            np.bincount(v)[np.unique(v)] <= (items.rows.limit - items.rows.stop)[np.unique(v)]
        )
        if not room:  # lay all rows out again, with these
            whole = self.joined(u, v, c, y, t)
            bounds = [(half.bound, half.shared) for half in self.halves]
            self.lay_out(whole, self.factors())
            for half, (bound, shared) in zip(self.halves, bounds, strict=True):
                half.bound, half.shared = bound, shared
        else:
            users.rows.add(u, v.astype(np.int32), c, y, t)
            items.rows.add(v, u.astype(np.int32), c, y, np.empty(0, np.int64))

    def joint(self, problem: Problem) -> Joint | None:
        """The joint state here: copies of the kept blocks, those of the rows that changed most
        factored anew.

        The other rows' blocks are of the last ``polish``, not far away. None where there are no
        blocks, or where the weights of all rows have changed.
        """
        blocks = [half.blocks for half in self.halves]
        if blocks[0] is None or blocks[1] is None or not self.uniform:
            return None
        P, Q = (padded(half.X) for half in self.halves)
        joint = Joint(
            problem,
            P,
            Q,
            self.prediction,
            self.threads,
            (blocks[0].copy(), blocks[1].copy()),
        )
        for side, half in zip((joint.users, joint.items), self.halves, strict=True):
            changed = np.abs(half.rows.counts - half.counted) > CHANGED * half.counted
            if changed.any():
                side.factor(move=False, rows=np.flatnonzero(changed))
        joint.slow = self.slow
        before, now = self.origin(), self.factors()
        if before is not None:
            pairs = (before.users, now.users), (before.items, now.items)
            moved = sum(float(np.sum(np.square(new - old))) for old, new in pairs)
            joint.moved = float(
                np.sqrt(moved / (sum(float(np.vdot(new, new)) for _, new in pairs) or 1.0))
            )
        else:
            joint.moved = 0.0
        return joint

    def origin(self) -> Factors | None:
        """The factors before the first request since the last ``polish``; None if there was
        none.
        """
        if not self.earlier:
            return None
        factors = self.factors()
        for place, rows, values in reversed(self.earlier):
            (factors.users, factors.items)[place][rows] = values[:, : self.rank]
        return factors

    def settle(
        self, u: Array, v: Array, c: Array, y: Array, *, sign: float
    ) -> tuple[Array, Array, float, int]:
        """The rows of the pairs (u, v), which left (−1) or joined (+1), at their minimum; users
        first.
        """
        if not self.uniform:
            self._recount()
        pushed = self._pushed(u, v, c, y, sign)
        self.push = float(np.hypot(self.push, pushed))
        touched = np.unique(u), np.unique(v)
        products = 0
        for place, rows in enumerate(touched):
            products += self.solve(place, rows)
        return touched[0], touched[1], pushed, products

    def solve(self, place: int, rows: Array) -> int:
        from alteraser.engines.session._kernels import solve_touched, spread

        mine, other = self.halves[place], self.halves[1 - place]
        arrays = mine.arrays(self.objective.missing_weight)
        before = mine.X[rows]
        self.earlier.append((place, rows, before))
        decrement = np.zeros(rows.size)
        if mine.blocks is None:
            few = mine.X[rows]
            AHNewton().solve(self._few(place, rows), other.X, few, None, rank=self.rank, threads=1)
            mine.X[rows] = few
            products = 0
        else:
            products = solve_touched(
                rows,
                arrays,
                other.X,
                mine.gram.astype(self.dtype),
                mine.blocks,
                mine.X,
                STEPS,
                ACCURACY,
                decrement,
            )
        after = mine.X[rows]
        other.shared += spread(rows, arrays, before, after, other.norms, other.bound)
        weight = self.objective.missing_weight * mine.own[rows].astype(np.float64)[:, None]
        old, new = before.astype(np.float64), after.astype(np.float64)
        other.gram += (weight * new).T @ new - (weight * old).T @ old
        mine.norms[rows] = np.linalg.norm(new, axis=1)
        mine.bound[rows] = -mine.shared * mine.own[rows] * mine.norms[rows]
        return int(products)

    def _pushed(self, u: Array, v: Array, c: Array, y: Array, sign: float) -> float:
        """‖Δ∇L‖_{B⁻¹} of the pairs leaving or joining, with the blocks as they are kept."""
        from alteraser.engines.session._kernels import cell_errors

        users, items = self.halves
        b = users.other[v] if users.other.size else 1.0
        missing = self.objective.missing_weight * users.own[u].astype(np.float64) * b
        error = np.empty(u.size)
        cell_errors(u, v, users.X, items.X, c, y, missing, error)
        total = 0.0
        for place, (half, other, rows, columns) in enumerate(
            ((users, items, u, v), (items, users, v, u))
        ):
            distinct, which = np.unique(rows, return_inverse=True)
            change = np.zeros((distinct.size, half.X.shape[1]), self.dtype)
            np.add.at(change, which, (sign * error)[:, None].astype(self.dtype) * other.X[columns])
            total += self.decrement(place, distinct, change)
        return 2.0 * float(np.sqrt(max(total, 0.0)))

    def decrement(self, place: int, rows: Array, right: Array) -> float:
        """Σ rᵀA⁻¹r of some rows' ``right``, with the blocks as they are kept."""
        from alteraser.engines.session._kernels import block_norms

        half, other = self.halves[place], self.halves[1 - place]
        if half.blocks is not None:
            return float(
                block_norms(rows, half.blocks, right, np.empty(half.X.shape[1], self.dtype))
            )
        few = self._few(place, rows)
        wide = right[:, : self.rank].astype(np.float64)
        return float(block_solve(few, other.X, wide, few.all_rows, rank=self.rank, threads=1)[0])

    def _few(self, place: int, rows: Array) -> Few:
        """Rows of one side as they are now."""
        half = self.halves[place]
        held = half.rows
        counts = held.sizes(rows)
        places = np.repeat(held.start[rows] - np.cumsum(counts) + counts, counts) + np.arange(
            counts.sum()
        )
        confidence, target = (
            x[places].astype(self.dtype) if x.size else np.empty(0, self.dtype)
            for x in (held.confidence, held.target)
        )
        return Few(
            ("user", "item")[place],
            np.concatenate([[0], np.cumsum(counts)]),
            held.indices[places],
            confidence,
            target,
            half.own[rows],
            half.other,
            half.ridge[rows],
            self.objective.missing_weight,
            half.gram,
        )

    def _recount(self) -> None:
        """Weights and penalties that depend on counts; every row's gradient moves with them, so all
        bounds are off.
        """
        objective = self.objective
        counts = [half.rows.counts for half in self.halves]
        m, n = (c.size for c in counts)
        weights = objective.user_weights(counts[0]), objective.item_weights(counts[1])
        ridges = objective.user_ridge(counts[0], n), objective.item_ridge(counts[1], m)
        for half, mine, ridge, own, other in (
            (self.halves[0], counts[0], ridges[0], weights[0], weights[1]),
            (self.halves[1], counts[1], ridges[1], weights[1], weights[0]),
        ):
            half.own = np.ones(mine.size, self.dtype) if own is None else own.astype(self.dtype)
            half.other = np.empty(0, self.dtype) if other is None else other.astype(self.dtype)
            half.ridge = ridge.astype(self.dtype)
            half.bound[:] = np.inf
        for half, other_half, other in zip(
            self.halves, self.halves[::-1], weights[::-1], strict=True
        ):
            Z = other_half.X.astype(np.float64)
            half.gram = objective.missing_weight * (
                (Z if other is None else Z * other[:, None]).T @ Z
            )

    def factors(self) -> Factors:
        d = self.rank
        P, Q = (half.X[:, :d].copy() for half in self.halves)
        return Factors(P, Q, self.prediction.copy())
