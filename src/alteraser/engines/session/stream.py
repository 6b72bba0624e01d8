"""A model that stays in memory and forgets request after request, at a cost that follows the request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from threadpoolctl import ThreadpoolController, threadpool_limits

from alteraser.data.erased import Erased, erasing
from alteraser.data.interactions import Interactions, Removal, forget_table, nothing_to_forget
from alteraser.data.selection import Selection
from alteraser.engines.session.rows import Rows
from alteraser.erasers.driver import OnPass, Outcome, Settings, Watch, run_passes
from alteraser.errors import Interrupted, InvalidInput, NotFound
from alteraser.models import Factors, Problem, Side
from alteraser.models.factorization.model import Model, TrainedOn
from alteraser.runtime.workers import blocks as split
from alteraser.runtime.workers import default_threads
from alteraser.solvers import AHNewton, JointNewton
from alteraser.solvers.joint import Joint, factor_blocks, room_for
from alteraser.solvers.limits import DEFAULT, Limits
from alteraser.solvers.rows.protocol import aligned_empty, padded
from alteraser.solvers.slow import SlowSpace
from alteraser.solvers.stationarity import block_solve, evaluate
from alteraser.tolerances import checked_tolerance
from alteraser.verbs.forget import aligned, belongs

Array = npt.NDArray[Any]
T = TypeVar("T")

CHANGED = 0.1
"""Share of its interactions that a row must have lost or gained for its block to be factored again before polishing."""

STEPS, ACCURACY = 40, 1e-12
"""A touched row is solved until ‖r‖²_{A⁻¹} ≤ ACCURACY · bᵀx: to the rounding of float32."""


LOOKS = 50
"""At most so many looks at all rows in one ``relax``."""

RESERVE, ROUNDS, MANY = 0.5, 2, 0.25
"""Share of a tolerance that rows left alone may use up; turns of both sides between looks at all rows; share of the
rows above which a look comes first, because the bounds are pessimistic where many changes meet."""


@lru_cache(maxsize=1)
def _pools() -> ThreadpoolController:
    """The process's BLAS, looked up once: that takes milliseconds, as long as a request."""
    return ThreadpoolController()


@dataclass(frozen=True)
class Touched:
    """What one request did at once; the rest is ``Stream.polish``."""

    changed: int
    """Interactions removed or given back"""
    unmatched: pa.Table
    """Rows of the request that match nothing (or, giving back, are there already)"""
    users: Array
    """User rows that were solved again"""
    items: Array
    push: float
    """How hard the request pushed the model, ‖Δ∇L‖_{B⁻¹} over its rows"""
    products: int
    removed: tuple[Array, Array, Array, Array, Array] | None = None
    """(user rows, item rows, c, y, time) of what was removed, for ``Stream.undo``; the stream does not keep it."""


@dataclass(frozen=True)
class Relaxed:
    """What ``Stream.relax`` did."""

    solved: int
    """Rows solved, users and items together"""
    products: int
    looks: int
    """How often all gradients were looked at"""
    residual: float
    """‖∇L‖_{B⁻¹} over the push of the requests since the last ``polish``"""


@dataclass(frozen=True)
class _Few(Side):
    """A few rows of a side as a side of its own, with the Gram matrix that is kept."""

    kept: Any = None

    def gram(self, other: Array) -> npt.NDArray[np.float64]:
        """The kept one, whatever ``other``."""
        return np.asarray(self.kept)


@dataclass
class _Half:
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
    """Of each row: by how much its half gradient may have moved since it was last exact, less the shared part"""
    shared: float = 0.0
    """… and what every row has to add, times b ‖x‖"""


class Stream:
    """A trained model with its interactions, kept ready to forget.

    ``forget`` takes a request out of the data and solves its users' rows and then its items' rows exactly: work
    proportional to the interactions of these rows, whatever the size of the catalogue (with uniform weights; others
    are counted anew from all rows). Where the factored blocks of all rows do not fit into memory, those of the items
    are kept, whose rows are long, and the others are solved directly. ``polish`` carries one or many requests through
    to the optimum for what remains, by joint steps, until the tolerance and the limits of class C hold.
    ``publish`` gives a model to save.

    Kept between requests, in memory only: factored blocks, Gram matrices, the slow directions and bounds of the rows'
    gradients. Blocks and slow directions still reflect what was erased until the next ``polish``, which ends by finding
    all of them anew from the model and the remaining data alone; nothing of them is ever written.

    >>> from alteraser import ENMF, Interactions
    >>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
    >>> stream = Stream(ENMF(factors=2, regularization=0.1, missing_weight=0.1).fit(data), data)
    >>> stream.forget([(0, 0)]).changed
    1
    >>> stream.polish().converged, len(stream.remaining())
    (True, 11)
    """

    def __init__(
        self, model: Model, data: Interactions, *, tolerance: float = 1e-3, limits: Limits | None = DEFAULT,
        threads: int = 0,
    ) -> None:  # fmt: skip
        """``data`` are the interactions that ``model`` stands for (IntegrityError otherwise)."""
        checked_tolerance(tolerance)
        data = aligned(model, data, grown=False)
        belongs(model, data)
        if model.trains_prediction:
            raise InvalidInput("a stream needs a model whose prediction vector is ones; use forget for this one")
        self.model, self.tolerance, self.limits = model, tolerance, limits
        self.threads = threads or default_threads()
        self.requests = 0
        """Requests since the last ``polish``."""
        self._users, self._items = model.users, model.items
        self._has = data.confidence is not None, data.target is not None, data.timestamp is not None
        self._uniform = (
            model.objective.missing_weighting == "uniform" and model.objective.regularization_scaling == "none"
        )
        self._push = 0.0
        self._rest = np.inf  # ‖∇L‖_{B⁻¹} where bounds began, as far as they do not hold it
        self._slow: SlowSpace | None = None
        self._tightness = 1.0  # by what the bounds of gᵀA⁻¹g were too large at the last look
        self._outcome: Outcome | None = None
        self._counted = data.user_counts
        self._taken: list[tuple[Array, Array]] = []  # rows of what was taken out, some of it given back since
        self._items_asked: list[Array] = []
        self._earlier: list[tuple[int, Array, Array]] = []  # (side, rows, values) before each solve since a polish
        self._lay_out(data, model.factors)

    # ------------------------------------------------------------------ requests

    def forget(
        self, forget_set: Any = None, *, whole_users: bool = False, items: Any = None,
        window: tuple[int, int] | None = None,
    ) -> Touched:  # fmt: skip
        """Take interactions out and solve their rows exactly, users first, then items.

        Args:
            forget_set: (user, item) pairs or a table, as for ``forget``; user ids with ``whole_users``.
            whole_users: everything of the users in ``forget_set``.
            items: item ids, of which everything goes, instead of ``forget_set``.
            window: (from, to) timestamps, from ≤ t < to, of which everything goes, instead of ``forget_set``.

        Raises NotFound where nothing matches: then nothing was changed.
        """
        given = [forget_set is not None, items is not None, window is not None]
        if sum(given) != 1:
            raise InvalidInput("forget: give exactly one of forget_set, items and window")
        if window is not None:
            u, v = self._within(*window)
            wanted = pa.table({})
        elif items is not None:
            rows = self._items.rows_of(items, "item_id")
            wanted = pa.table({"item_id": pa.array(items if not hasattr(items, "tolist") else items.tolist())})
            v, u = self._expand(self._halves[1], rows)
        elif whole_users:
            wanted = forget_table(forget_set, whole_users=True)
            rows = self._users.rows_of(wanted["user_id"], "user_id")
            u, v = self._expand(self._halves[0], rows)
        else:
            wanted = forget_table(forget_set)
            u = self._users.rows_of(wanted["user_id"], "user_id")
            v = self._items.rows_of(wanted["item_id"], "item_id")
            rows = np.where((u >= 0) & (v >= 0), np.arange(u.size), -1)
        if window is not None:
            unmatched = wanted
        elif items is not None or whole_users:
            half = self._halves[0 if whole_users else 1]
            unmatched = wanted.filter(pa.array((rows < 0) | (half.rows.sizes(rows) == 0)))
        else:
            there = np.zeros(u.size, bool)
            known = rows >= 0
            there[known] = self._halves[0].rows.has(u[known], v[known].astype(np.int32))
            u, v = u[there], v[there]
            unmatched = wanted.filter(pa.array(~there))
            if u.size > 1:
                pairs = np.unique(np.stack([u, v]), axis=1)
                u, v = pairs[0], pairs[1]
        if u.size == 0:
            raise nothing_to_forget(unmatched)
        done = self._guarded(lambda: self._take_out(u, v, unmatched))
        self._taken.append((u.astype(np.int64), v.astype(np.int64)))
        if items is not None:
            self._items_asked.append(rows[rows >= 0])
        return done

    def give_back(self, data: Interactions | Any) -> Touched:
        """Put interactions in ("consent given back"): pairs, a table, or Interactions with confidence and target.

        Users and items must have rows in the model, if only empty ones; NotFound names the first that has none. Pairs
        that are there already are counted as unmatched.
        """
        table = forget_table(data.to_table() if isinstance(data, Interactions) else data)
        u = self._users.rows_of(table["user_id"], "user_id")
        v = self._items.rows_of(table["item_id"], "item_id")
        for rows, name in ((u, "user_id"), (v, "item_id")):
            if (rows < 0).any():
                first = table[name][int(np.flatnonzero(rows < 0)[0])].as_py()
                raise NotFound(f"{name} {first!r} has no row in the model; forget --grown learns new users and items")
        values = [np.ones(u.size), np.ones(u.size), np.zeros(u.size, np.int64)]
        if isinstance(data, Interactions):
            for place, name in enumerate(("confidence", "target", "timestamp")):
                if (column := getattr(data, name)) is not None:
                    values[place] = column
        there = self._halves[0].rows.has(u, v.astype(np.int32))
        fresh = ~there
        if not fresh.any():
            raise NotFound("nothing to give back: all of these interactions are in the data already")
        return self._guarded(
            lambda: self._put_in(
                (u[fresh], v[fresh], values[0][fresh], values[1][fresh], values[2][fresh]),
                table.filter(pa.array(there)),
            )
        )

    def undo(self, touched: Touched) -> Touched:
        """Give back what a request removed. InvalidInput for one that removed nothing."""
        if touched.removed is None:
            raise InvalidInput("undo: this request removed nothing")
        u, v, c, y, t = touched.removed
        there = self._halves[0].rows.has(u, v.astype(np.int32))
        if there.all():
            raise NotFound("undo: all of it was given back already")
        keep = ~there
        none = pa.table({"user_id": pa.array([], pa.int64()), "item_id": pa.array([], pa.int64())})
        return self._guarded(lambda: self._put_in((u[keep], v[keep], c[keep], y[keep], t[keep]), none))

    # ------------------------------------------------------------------ through to the optimum

    @property
    def residual_bound(self) -> float:
        """An upper bound of the residual, ‖∇L‖_{B⁻¹} / push, from how far rows moved since the last ``polish``.

        Every row's gradient is bounded by what its neighbors' changes can have done to it (no row is looked at);
        B ⪰ λρ + a λ_min(G). Pessimistic: it says when polishing is not needed, not when it is. Infinite where there is
        no room for the users' blocks, before the first look.
        """
        if not self._push > 0:
            return self._outcome.residual if self._outcome is not None else 0.0
        total = sum(float(np.sum(self._shares(place))) for place in (0, 1))
        return (self._rest + 2.0 * float(np.sqrt(total))) / self._push

    def relax(self, tolerance: float | None = None, *, max_looks: int = LOOKS) -> Relaxed:
        """Solve rows exactly, always those whose gradient may be largest, until the residual is at most ``tolerance``.

        A row's gradient is bounded by what its neighbors' changes can have done to it. The fewest rows are solved that
        leave no more than RESERVE of the tolerance to the others, users and items in turn. Where the bounds would have
        many rows solved, or after ROUNDS turns, all gradients are looked at once and exactly; from these the bounds
        begin again. A look also decides when it ends. This is for what requests have done nearby; slow directions,
        which no row undoes by itself, are left to ``polish``. The default tolerance is the stream's.

        Raises InvalidInput for a tolerance that is not above 0 and at most 1.
        """
        goal = checked_tolerance(self.tolerance if tolerance is None else tolerance)
        return self._guarded(lambda: self._relax(goal, max_looks))

    def polish(
        self, *, max_passes: int = 1000, on_pass: OnPass | None = None, watch: Watch | None = None
    ) -> Outcome:  # fmt: skip
        """Carry all requests so far through to the optimum: until the tolerance and the limits hold, or the cap.

        With ``limits=None`` only the tolerance is asked for, and rows are chosen by their own residual as in ``relax``
        while few are open. The limits speak of the distance to the optimum: most of it lies along slow directions, in
        which every row has a share, so then all rows move together.

        The tolerance is relative to the push of all requests since the last ``polish`` together. ``watch`` may end it
        after any pass. Raises Interrupted on Ctrl-C; the stream is then as it was before, unless
        it was choosing rows: then make a new one from the last model. Neither callback is called while it does.
        """
        problem = Problem(self.model.objective, self.remaining(), self._dtype)
        outcome = self._relaxed(problem, max_passes) if self.limits is None and self._push > 0 else None
        if outcome is None:
            settings = Settings(JointNewton(), self.tolerance, max_passes, threads=self.threads, limits=self.limits)
            scale = self._push if self._push > 0 else None
            outcome = run_passes(
                problem, self._factors(), settings, scale=scale, origin=self._origin(), on_pass=on_pass, watch=watch,
                joint=self._joint(problem),
            )  # fmt: skip
        self._lay_out(problem.interactions, outcome.factors, problem)
        self._push, self.requests, self._earlier = 0.0, 0, []
        self._outcome = outcome
        return outcome

    def remaining(self) -> Interactions:
        """The interactions as they are now, D_r."""
        indptr, indices, confidence, target, stamp = self._halves[0].rows.compact()
        c, y, t = (x if there else None for x, there in zip((confidence, target, stamp), self._has, strict=True))
        return Interactions(self._users, self._items, indptr, indices, c, y, t)

    def publish(self) -> Model:
        """The model as it is now, ids of users without interactions dropped; save it with ``Model.save``."""
        data = self.remaining()
        gone = np.flatnonzero((data.user_counts == 0) & (self._counted > 0))
        users = self._users.without(gone)
        outcome = self._outcome
        training = {
            "method": "stream", "solver": "joint", "tolerance": self.tolerance, "requests_unpolished": self.requests,
            "residual": None if outcome is None or self.requests else outcome.residual,
            "converged": outcome is not None and outcome.converged and not self.requests,
            "seed": None, "memory": None, "train_prediction": False, "recipe": None,
        }  # fmt: skip
        remaining = data.with_maps(users, data.items)
        return replace(
            self.model, factors=self._factors(), users=users, trained_on=TrainedOn.of(remaining), training=training,
            parent=self.model.digest, ancestors=self.model.lineage, digest=None, erased=self._erased(data),
        )  # fmt: skip

    def _erased(self, data: Interactions) -> Erased:
        """The model's record with what is gone now, and without what was given back."""
        record = self.model.erased
        if record:
            record = record.without(record.returned(data))
        empty = np.empty(0, np.int64)
        u, v = (np.concatenate([empty, *(pair[side] for pair in self._taken)]) for side in (0, 1))
        out = data.locate(u, v) < 0
        pairs = np.unique(np.stack([u[out], v[out]]), axis=1)
        removed = Interactions._assemble(data.users, data.items, pairs[0], pairs[1], None, None, None, "refuse")
        asked = np.unique(np.concatenate([empty, *self._items_asked]))
        whole = data.items.ids_of(asked[data.item_counts[asked] == 0]).to_pylist()
        return erasing(record, Removal(data, removed, removed.to_table().slice(0, 0), Selection.of(removed)), whole)

    # ------------------------------------------------------------------ pieces

    def _relaxed(self, problem: Problem, max_looks: int) -> Outcome | None:
        """What solving rows by their own residual arrived at; None where too many are open for that."""
        done = self._guarded(lambda: self._relax(self.tolerance, min(max_looks, LOOKS), few=True))
        if done.looks == 0 or not done.residual <= self.tolerance:
            return None
        factors = self._factors()
        objective = evaluate(replace(problem, dtype=np.float64), factors, threads=self.threads).objective
        return Outcome(
            factors, (), objective, done.residual, True, done.looks, done.solved, done.products, 0, "tolerance",
            route=("rows",),
        )  # fmt: skip

    def _relax(self, goal: float, max_looks: int, *, few: bool = False) -> Relaxed:
        """As ``relax``; with ``few`` it ends where a look leaves many rows open."""
        solved = products = looks = 0
        residual = self.residual_bound
        many = MANY * sum(half.norms.size for half in self._halves)
        looked = False
        while looks < max_looks and residual > goal and self._push > 0:
            for turn in range(2 * ROUNDS):
                rows = self._open_rows(turn % 2, goal)
                if rows.size > many and few and looked:
                    return Relaxed(solved, products, looks, residual)
                if rows.size > many and not looked:
                    break
                if rows.size:
                    products += self._solve(turn % 2, rows)
                    solved += rows.size
            residual, looked = self._look(), True
            looks += 1
        return Relaxed(solved, products, looks, residual)

    def _shares(self, place: int) -> npt.NDArray[np.float64]:
        """Upper bounds of gᵀA⁻¹g of every row, g half its gradient; A ⪰ λρ + a λ_min(G)."""
        half = self._halves[place]
        least = max(float(np.linalg.eigvalsh(half.gram[: self._rank, : self._rank])[0]), 0.0)
        weight = half.ridge.astype(np.float64) + half.own * least
        moved = np.maximum(half.bound + half.shared * half.own * half.norms, 0.0)
        return np.asarray(np.divide(moved**2, weight, out=np.full_like(moved, np.inf), where=weight > 0))

    def _open_rows(self, place: int, goal: float) -> Array:
        """The fewest rows without which the bounds of the others sum up to RESERVE of the tolerance at most."""
        shares = self._shares(place)
        order = np.argsort(shares)
        allowed = 0.5 * (RESERVE * goal * self._push / 2.0) ** 2 / self._tightness
        return np.sort(order[np.searchsorted(np.cumsum(shares[order]), allowed, side="right") :])

    def _look(self) -> float:
        """The residual, from every row's gradient in float64; bounds begin from these."""
        problem = Problem(self.model.objective, self.remaining(), np.float64)
        factors = self._factors()
        now = evaluate(problem, factors, threads=self.threads)
        total = 0.0
        for place, gradient in enumerate((now.user_gradient, now.item_gradient)):
            half = self._halves[place]
            rows = np.arange(gradient.shape[0])
            wide = np.zeros(half.X.shape, self._dtype)
            wide[:, : self._rank] = gradient / 2.0
            total += self._decrement(place, rows, wide)
            half.bound[:] = np.linalg.norm(gradient, axis=1) / 2.0 - half.shared * half.own * half.norms
        self._rest = 0.0
        bounded = sum(float(np.sum(self._shares(place))) for place in (0, 1))
        self._tightness = min(max(total / bounded, 1e-3), 1.0) if 0 < bounded < np.inf else 1.0
        return 2.0 * float(np.sqrt(max(total, 0.0))) / self._push

    def _lay_out(self, data: Interactions, factors: Factors, problem: Problem | None = None) -> None:
        """Everything that follows from the model and the data, built anew."""
        problem = problem or Problem(self.model.objective, data, factors.dtype)
        self._dtype, self._rank = factors.dtype, factors.rank
        P, Q = padded(factors.users), padded(factors.items)
        self._prediction = factors.prediction
        with threadpool_limits(1):
            blocks = self._factored(problem, P, Q)
        self._halves = tuple(
            _Half(
                Rows(data, by_item=side.name == "item"), x, side.own, side.other, side.ridge, side.gram(z), kept,
                side.counts, np.linalg.norm(x, axis=1).astype(np.float64), np.zeros(side.rows),
            )
            for side, x, z, kept in zip((problem.users, problem.items), (P, Q), (Q, P), blocks, strict=True)
        )  # fmt: skip

    def _factored(self, problem: Problem, P: Array, Q: Array) -> tuple[Array | None, Array | None]:
        """Packed blocks of the users and the items, None where there is no room for them."""
        from alteraser.solvers.kernels.joint import packed_size

        if Joint.fits(problem, P.shape[1]):
            joint = Joint(problem, P, Q, self._prediction, self.threads)
            settled = joint.settle(move=False)
            self._rest = 2.0 * float(np.sqrt(max(settled.users + settled.items, 0.0)))
            joint.find_slow(JointNewton())
            self._slow = joint.slow
            return joint.factors[0], joint.factors[1]
        self._rest = np.inf
        if not room_for(Q.shape[0], Q.shape[1], Q.dtype):
            return None, None
        side, out = problem.items, aligned_empty((Q.shape[0], packed_size(Q.shape[1])), Q.dtype)
        factor_blocks(
            side, P, Q, out, np.zeros_like(Q), rank=self._rank, move=False,
            work=split(side, None, Q.shape[1], self.threads), threads=self.threads,
        )  # fmt: skip
        return None, out  # items have the long rows; a user's is soon solved

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            with _pools().limit(limits=1):
                return work()
        except KeyboardInterrupt:
            raise Interrupted("interrupted in the middle of a request: make a new Stream from the last model") from None

    def _expand(self, half: _Half, rows: Array) -> tuple[Array, Array]:
        rows = np.unique(rows[rows >= 0])
        columns = [half.rows.of(row) for row in rows]
        lengths = [len(c) for c in columns]
        other = np.concatenate(columns).astype(np.int64) if columns else np.empty(0, np.int64)
        return np.repeat(rows, lengths), other

    def _within(self, begin: int, end: int) -> tuple[Array, Array]:
        rows = self._halves[0].rows
        if not rows.stamp.size:
            raise InvalidInput("window: the interactions have no timestamps")
        indptr, indices, _, _, stamp = rows.compact()
        inside = (stamp >= begin) & (stamp < end)
        u = np.repeat(np.arange(rows.start.size), np.diff(indptr))
        return u[inside], indices[inside].astype(np.int64)

    def _take_out(self, u: Array, v: Array, unmatched: pa.Table) -> Touched:
        users, items = self._halves
        stamps = self._stamps(u, v)
        narrow = v.astype(np.int32)
        taken = users.rows.remove(u, narrow)
        items.rows.remove(v, u.astype(np.int32))
        c, y = taken[:, 1].copy(), taken[:, 2].copy()
        found = self._settle(u, v, c, y, sign=-1.0)
        return Touched(u.size, unmatched, *found, removed=(u, v, c, y, stamps))

    def _put_in(self, pairs: tuple[Array, Array, Array, Array, Array], unmatched: pa.Table) -> Touched:
        users, items = self._halves
        u, v, c, y, t = pairs
        room = np.all(np.bincount(u)[np.unique(u)] <= (users.rows.limit - users.rows.stop)[np.unique(u)])
        room &= np.all(np.bincount(v)[np.unique(v)] <= (items.rows.limit - items.rows.stop)[np.unique(v)])
        if not room:  # lay all rows out again, with these
            whole = self._joined(u, v, c, y, t)
            bounds = [(half.bound, half.shared) for half in self._halves]
            self._lay_out(whole, self._factors())
            for half, (bound, shared) in zip(self._halves, bounds, strict=True):
                half.bound, half.shared = bound, shared
        else:
            users.rows.add(u, v.astype(np.int32), c, y, t)
            items.rows.add(v, u.astype(np.int32), c, y, np.empty(0, np.int64))
        found = self._settle(u, v, c, y, sign=1.0)
        return Touched(u.size, unmatched, *found)

    def _joined(self, u: Array, v: Array, c: Array, y: Array, t: Array) -> Interactions:
        now = self.remaining()
        columns = [
            np.concatenate([a, b]) if a is not None else None
            for a, b in ((now.confidence, c), (now.target, y), (now.timestamp, t))
        ]
        return Interactions._assemble(
            self._users, self._items, np.concatenate([now.user_rows, u]),
            np.concatenate([now.indices.astype(np.int64), v]), columns[0], columns[1], columns[2], "refuse",
        )  # fmt: skip

    def _stamps(self, u: Array, v: Array) -> Array:
        from alteraser.engines.session._kernels import find

        rows = self._halves[0].rows
        if not rows.stamp.size:
            return np.zeros(u.size, np.int64)
        places = [find(rows.start, rows.stop, rows.indices, a, b) for a, b in zip(u, v, strict=True)]
        return np.asarray(rows.stamp[np.array(places, np.int64)])

    def _joint(self, problem: Problem) -> Joint | None:
        """The joint state here: copies of the kept blocks, those of the rows that changed most factored anew.

        The other rows' blocks are of the last ``polish``, not far away. None where there are no blocks, or where the
        weights of all rows have changed.
        """
        blocks = [half.blocks for half in self._halves]
        if blocks[0] is None or blocks[1] is None or not self._uniform:
            return None
        P, Q = (padded(half.X) for half in self._halves)
        joint = Joint(problem, P, Q, self._prediction, self.threads, [b.copy() for b in blocks if b is not None])
        for place, half in enumerate(self._halves):
            changed = np.abs(half.rows.counts - half.counted) > CHANGED * half.counted
            if changed.any():
                joint.factor_again(place, np.flatnonzero(changed))
        joint.slow = self._slow
        before, now = self._origin(), self._factors()
        if before is not None:
            pairs = (before.users, now.users), (before.items, now.items)
            moved = sum(float(np.sum(np.square(new - old))) for old, new in pairs)
            joint.moved = float(np.sqrt(moved / (sum(float(np.vdot(new, new)) for _, new in pairs) or 1.0)))
        else:
            joint.moved = 0.0
        return joint

    def _origin(self) -> Factors | None:
        """The factors before the first request since the last ``polish``; None if there was none."""
        if not self._earlier:
            return None
        factors = self._factors()
        for place, rows, values in reversed(self._earlier):
            (factors.users, factors.items)[place][rows] = values[:, : self._rank]
        return factors

    def _settle(self, u: Array, v: Array, c: Array, y: Array, *, sign: float) -> tuple[Array, Array, float, int]:
        """The rows of the pairs (u, v), which left (−1) or joined (+1), at their minimum; users first."""
        if not self._uniform:
            self._recount()
        pushed = self._pushed(u, v, c, y, sign)
        self._push = float(np.hypot(self._push, pushed))
        self.requests += 1
        touched = np.unique(u), np.unique(v)
        products = 0
        for place, rows in enumerate(touched):
            products += self._solve(place, rows)
        return touched[0], touched[1], pushed, products

    def _solve(self, place: int, rows: Array) -> int:
        from alteraser.engines.session._kernels import solve_touched, spread

        mine, other = self._halves[place], self._halves[1 - place]
        w0 = self._dtype.type(self.model.objective.missing_weight)
        before = mine.X[rows]
        self._earlier.append((place, rows, before))
        decrement = np.zeros(rows.size)
        held = mine.rows
        if mine.blocks is None:
            few = mine.X[rows]
            AHNewton().solve(self._few(place, rows), other.X, few, None, rank=self._rank, threads=1)
            mine.X[rows] = few
            products = 0
        else:
            products = solve_touched(
                rows, held.start, held.stop, held.indices, held.confidence, held.target, mine.own, mine.other,
                mine.ridge, w0, other.X, mine.gram.astype(self._dtype), mine.blocks, mine.X, STEPS, ACCURACY, decrement,
            )  # fmt: skip
        after = mine.X[rows]
        other.shared += spread(
            rows, held.start, held.stop, held.indices, held.confidence, held.target, mine.own, mine.other, w0, before,
            after, other.norms, other.bound,
        )  # fmt: skip
        weight = self.model.objective.missing_weight * mine.own[rows].astype(np.float64)[:, None]
        old, new = before.astype(np.float64), after.astype(np.float64)
        other.gram += (weight * new).T @ new - (weight * old).T @ old
        mine.norms[rows] = np.linalg.norm(new, axis=1)
        mine.bound[rows] = -mine.shared * mine.own[rows] * mine.norms[rows]
        return int(products)

    def _pushed(self, u: Array, v: Array, c: Array, y: Array, sign: float) -> float:
        """‖Δ∇L‖_{B⁻¹} of the pairs leaving or joining, with the blocks as they are kept."""
        from alteraser.engines.session._kernels import cell_errors

        users, items = self._halves
        b = users.other[v] if users.other.size else 1.0
        missing = self.model.objective.missing_weight * users.own[u].astype(np.float64) * b
        error = np.empty(u.size)
        cell_errors(u, v, users.X, items.X, c, y, missing, error)
        total = 0.0
        for place, (half, other, rows, columns) in enumerate(((users, items, u, v), (items, users, v, u))):
            distinct, which = np.unique(rows, return_inverse=True)
            change = np.zeros((distinct.size, half.X.shape[1]), self._dtype)
            np.add.at(change, which, (sign * error)[:, None].astype(self._dtype) * other.X[columns])
            total += self._decrement(place, distinct, change)
        return 2.0 * float(np.sqrt(max(total, 0.0)))

    def _decrement(self, place: int, rows: Array, right: Array) -> float:
        """Σ rᵀA⁻¹r of some rows' ``right``, with the blocks as they are kept."""
        from alteraser.engines.session._kernels import block_norms

        half, other = self._halves[place], self._halves[1 - place]
        if half.blocks is not None:
            return float(block_norms(rows, half.blocks, right, np.empty(half.X.shape[1], self._dtype)))
        few = self._few(place, rows)
        wide = right[:, : self._rank].astype(np.float64)
        return float(block_solve(few, other.X, wide, few.all_rows, rank=self._rank, threads=1)[0])

    def _few(self, place: int, rows: Array) -> _Few:
        """Rows of one side as they are now."""
        half = self._halves[place]
        held = half.rows
        counts = held.sizes(rows)
        places = np.repeat(held.start[rows] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        confidence, target = (
            x[places].astype(self._dtype) if x.size else np.empty(0, self._dtype)
            for x in (held.confidence, held.target)
        )
        return _Few(
            ("user", "item")[place], np.concatenate([[0], np.cumsum(counts)]), held.indices[places], confidence, target,
            half.own[rows], half.other, half.ridge[rows], self.model.objective.missing_weight, half.gram,
        )  # fmt: skip

    def _recount(self) -> None:
        """Weights and penalties that depend on counts; every row's gradient moves with them, so all bounds are off."""
        objective = self.model.objective
        counts = [half.rows.counts for half in self._halves]
        m, n = (c.size for c in counts)
        weights = objective.user_weights(counts[0]), objective.item_weights(counts[1])
        ridges = objective.user_ridge(counts[0], n), objective.item_ridge(counts[1], m)
        for half, mine, ridge, own, other in (
            (self._halves[0], counts[0], ridges[0], weights[0], weights[1]),
            (self._halves[1], counts[1], ridges[1], weights[1], weights[0]),
        ):
            half.own = np.ones(mine.size, self._dtype) if own is None else own.astype(self._dtype)
            half.other = np.empty(0, self._dtype) if other is None else other.astype(self._dtype)
            half.ridge = ridge.astype(self._dtype)
            half.bound[:] = np.inf
        for half, other_half, other in zip(self._halves, self._halves[::-1], weights[::-1], strict=True):
            Z = other_half.X.astype(np.float64)
            half.gram = objective.missing_weight * ((Z if other is None else Z * other[:, None]).T @ Z)

    def _factors(self) -> Factors:
        d = self._rank
        P, Q = (half.X[:, :d].copy() for half in self._halves)
        return Factors(P, Q, self._prediction.copy())
