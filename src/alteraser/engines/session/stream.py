"""A model that stays in memory and forgets request after request, at a cost that follows the
request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from threadpoolctl import ThreadpoolController

from alteraser.data.erased import Erased, erasing
from alteraser.data.interactions import Interactions, Removal, forget_table, nothing_to_forget
from alteraser.data.selection import Selection
from alteraser.engines.session.kept import Kept
from alteraser.engines.session.residual import LOOKS, MESSAGE, Bounds, Relaxed, relax
from alteraser.erasers.driver import OnPass, Outcome, Settings, Watch, run_passes
from alteraser.errors import InvalidInput, NotFound
from alteraser.models import Problem
from alteraser.models.factorization.model import Model, TrainedOn
from alteraser.runtime.interrupt import whole
from alteraser.runtime.workers import default_threads
from alteraser.solvers import JointNewton
from alteraser.solvers.limits import DEFAULT, Limits
from alteraser.solvers.stationarity import evaluate
from alteraser.tolerances import checked_tolerance
from alteraser.verbs.deleting import aligned, belongs

Array = npt.NDArray[Any]
T = TypeVar("T")


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
    """(user rows, item rows, c, y, time) of what was removed, for ``Stream.undo``; the stream does
    not keep it."""


class Stream:
    """A trained model with its interactions, kept ready to forget.

    ``forget`` takes a request out of the data and solves its users' rows and then its items' rows
    exactly: work proportional to the interactions of these rows, whatever the size of the catalogue
    (with uniform weights; others are counted anew from all rows). Where the factored blocks of all
    rows do not fit into memory, those of the items are kept, whose rows are long, and the others
    are solved directly. ``polish`` carries one or many requests through to the optimum for what
    remains, by joint steps, until the tolerance and the limits of class C hold. ``publish`` gives a
    model to save.

    Kept between requests, in memory only: factored blocks, Gram matrices, the slow directions and
    bounds of the rows' gradients. Blocks and slow directions still reflect what was erased until
    the next ``polish``, which ends by finding all of them anew from the model and the remaining
    data alone; nothing of them is ever written.

    >>> from alteraser import ENMF, Interactions
    >>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
    >>> stream = Stream(ENMF(factors=2, regularization=0.1, missing_weight=0.1).fit(data), data)
    >>> stream.forget([(0, 0)]).changed
    1
    >>> stream.polish().converged, len(stream.remaining())
    (True, 11)
    """

    def __init__(
        self,
        model: Model,
        data: Interactions,
        *,
        tolerance: float = 1e-3,
        limits: Limits | None = DEFAULT,
        threads: int = 0,
    ) -> None:
        """``data`` are the interactions that ``model`` stands for (IntegrityError otherwise)."""
        checked_tolerance(tolerance)
        data = aligned(model, data, grown=False)
        belongs(model, data)
        if model.trains_prediction:
            raise InvalidInput(
                "a stream needs a model whose prediction vector is ones; use forget for this one"
            )
        self.model, self.tolerance, self.limits = model, tolerance, limits
        self.threads = threads or default_threads()
        self.requests = 0
        """Requests since the last ``polish``."""
        self.kept = Kept(model, data, self.threads)
        self._bounds = Bounds(self.kept)
        self._outcome: Outcome | None = None
        self._counted = data.user_counts
        # rows of what was taken out, some of it given back since
        self._taken: list[tuple[Array, Array]] = []
        self._items_asked: list[Array] = []

    # ------------------------------------------------------------------ requests

    def forget(
        self,
        forget_set: Any = None,
        *,
        whole_users: bool = False,
        items: Any = None,
        window: tuple[int, int] | None = None,
    ) -> Touched:
        """Take interactions out and solve their rows exactly, users first, then items.

        Args:
            forget_set: (user, item) pairs or a table, as for ``forget``; user ids with
                ``whole_users``.
            whole_users: everything of the users in ``forget_set``.
            items: item ids, of which everything goes, instead of ``forget_set``.
            window: (from, to) timestamps, from ≤ t < to, of which everything goes, instead of
                ``forget_set``.

        Raises NotFound where nothing matches: then nothing was changed.
        """
        given = [forget_set is not None, items is not None, window is not None]
        if sum(given) != 1:
            raise InvalidInput("forget: give exactly one of forget_set, items and window")
        if window is not None:
            u, v = self.kept.within(*window)
            wanted = pa.table({})
        elif items is not None:
            rows = self.kept.items.rows_of(items, "item_id")
            wanted = pa.table(
                {"item_id": pa.array(items if not hasattr(items, "tolist") else items.tolist())}
            )
            v, u = self.kept.expand(self.kept.halves[1], rows)
        elif whole_users:
            wanted = forget_table(forget_set, whole_users=True)
            rows = self.kept.users.rows_of(wanted["user_id"], "user_id")
            u, v = self.kept.expand(self.kept.halves[0], rows)
        else:
            wanted = forget_table(forget_set)
            u = self.kept.users.rows_of(wanted["user_id"], "user_id")
            v = self.kept.items.rows_of(wanted["item_id"], "item_id")
            rows = np.where((u >= 0) & (v >= 0), np.arange(u.size), -1)
        if window is not None:
            unmatched = wanted
        elif items is not None or whole_users:
            half = self.kept.halves[0 if whole_users else 1]
            unmatched = wanted.filter(pa.array((rows < 0) | (half.rows.sizes(rows) == 0)))
        else:
            there = np.zeros(u.size, bool)
            known = rows >= 0
            there[known] = self.kept.halves[0].rows.has(u[known], v[known].astype(np.int32))
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
        """Put interactions in ("consent given back"): pairs, a table, or Interactions with
        confidence and target.

        Users and items must have rows in the model, if only empty ones; NotFound names the first
        that has none. Pairs that are there already are counted as unmatched.
        """
        table = forget_table(data.to_table() if isinstance(data, Interactions) else data)
        u = self.kept.users.rows_of(table["user_id"], "user_id")
        v = self.kept.items.rows_of(table["item_id"], "item_id")
        for rows, name in ((u, "user_id"), (v, "item_id")):
            if (rows < 0).any():
                first = table[name][int(np.flatnonzero(rows < 0)[0])].as_py()
                raise NotFound(
                    f"{name} {first!r} has no row in the model; forget --grown learns new users "
                    "and items"
                )
        values = [np.ones(u.size), np.ones(u.size), np.zeros(u.size, np.int64)]
        if isinstance(data, Interactions):
            for place, name in enumerate(("confidence", "target", "timestamp")):
                if (column := getattr(data, name)) is not None:
                    values[place] = column
        there = self.kept.halves[0].rows.has(u, v.astype(np.int32))
        fresh = ~there
        if not fresh.any():
            raise NotFound(
                "nothing to give back: all of these interactions are in the data already"
            )
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
        there = self.kept.halves[0].rows.has(u, v.astype(np.int32))
        if there.all():
            raise NotFound("undo: all of it was given back already")
        keep = ~there
        none = pa.table({"user_id": pa.array([], pa.int64()), "item_id": pa.array([], pa.int64())})
        return self._guarded(
            lambda: self._put_in((u[keep], v[keep], c[keep], y[keep], t[keep]), none)
        )

    # ------------------------------------------------------------------ through to the optimum

    @property
    def residual_bound(self) -> float:
        """An upper bound of the residual, ‖∇L‖_{B⁻¹} / push, from how far rows moved since the last
        ``polish``.

        Every row's gradient is bounded by what its neighbors' changes can have done to it (no row
        is looked at); B ⪰ λρ + a λ_min(G). Pessimistic: it says when polishing is not needed, not
        when it is. Infinite where there is no room for the users' blocks, before the first look.
        """
        if not self.kept.push > 0:
            return self._outcome.residual if self._outcome is not None else 0.0
        return self._bounds.residual()

    def relax(self, tolerance: float | None = None, *, max_looks: int = LOOKS) -> Relaxed:
        """Solve rows exactly, always those whose gradient may be largest, until the residual is at
        most ``tolerance``.

        A row's gradient is bounded by what its neighbors' changes can have done to it. The fewest
        rows are solved that leave no more than RESERVE of the tolerance to the others, users and
        items in turn. Where the bounds would have many rows solved, or after ROUNDS turns, all
        gradients are looked at once and exactly; from these the bounds begin again. A look also
        decides when it ends. This is for what requests have done nearby; slow directions, which no
        row undoes by itself, are left to ``polish``. The default tolerance is the stream's.

        Raises InvalidInput for a tolerance that is not above 0 and at most 1.
        """
        goal = checked_tolerance(self.tolerance if tolerance is None else tolerance)
        return self._guarded(lambda: self._relax(goal, max_looks))

    def polish(
        self, *, max_passes: int = 1000, on_pass: OnPass | None = None, watch: Watch | None = None
    ) -> Outcome:
        """Carry all requests so far through to the optimum: until the tolerance and the limits
        hold, or the cap.

        With ``limits=None`` only the tolerance is asked for, and rows are chosen by their own
        residual as in ``relax`` while few are open. The limits speak of the distance to the
        optimum: most of it lies along slow directions, in which every row has a share, so then all
        rows move together.

        The tolerance is relative to the push of all requests since the last ``polish`` together.
        ``watch`` may end it after any pass. Raises Interrupted on Ctrl-C; the stream is then as it
        was before, unless it was choosing rows: then make a new one from the last model. Neither
        callback is called while it does.
        """
        problem = Problem(self.model.objective, self.remaining(), self.kept.dtype)
        outcome = (
            self._relaxed(problem, max_passes)
            if self.limits is None and self.kept.push > 0
            else None
        )
        if outcome is None:
            settings = Settings(
                JointNewton(), self.tolerance, max_passes, threads=self.threads, limits=self.limits
            )
            scale = self.kept.push if self.kept.push > 0 else None
            outcome = run_passes(
                problem,
                self.kept.factors(),
                settings,
                scale=scale,
                origin=self.kept.origin(),
                on_pass=on_pass,
                watch=watch,
                joint=self.kept.joint(problem),
            )
        self.kept.arrived(problem.interactions, outcome.factors, problem)
        self.requests = 0
        self._outcome = outcome
        return outcome

    def remaining(self) -> Interactions:
        """The interactions as they are now, D_r."""
        return self.kept.remaining()

    def publish(self) -> Model:
        """The model as it is now, ids of users without interactions dropped; save it with
        ``Model.save``.
        """
        data = self.remaining()
        gone = np.flatnonzero((data.user_counts == 0) & (self._counted > 0))
        users = self.kept.users.without(gone)
        outcome = self._outcome
        training = {
            "method": "stream",
            "solver": "joint",
            "tolerance": self.tolerance,
            "requests_unpolished": self.requests,
            "residual": None if outcome is None or self.requests else outcome.residual,
            "converged": outcome is not None and outcome.converged and not self.requests,
            "seed": None,
            "memory": None,
            "train_prediction": False,
            "recipe": None,
        }
        remaining = data.with_maps(users, data.items)
        return replace(
            self.model,
            factors=self.kept.factors(),
            users=users,
            trained_on=TrainedOn.of(remaining),
            training=training,
            parent=self.model.digest,
            ancestors=self.model.lineage,
            digest=None,
            erased=self._erased(data),
        )

    def _erased(self, data: Interactions) -> Erased:
        """The model's record with what is gone now, and without what was given back."""
        record = self.model.erased
        if record:
            record = record.without(record.returned(data))
        empty = np.empty(0, np.int64)
        u, v = (np.concatenate([empty, *(pair[side] for pair in self._taken)]) for side in (0, 1))
        out = data.locate(u, v) < 0
        pairs = np.unique(np.stack([u[out], v[out]]), axis=1)
        removed = Interactions._assemble(
            data.users, data.items, pairs[0], pairs[1], None, None, None, "refuse"
        )
        asked = np.unique(np.concatenate([empty, *self._items_asked]))
        whole = data.items.ids_of(asked[data.item_counts[asked] == 0]).to_pylist()
        return erasing(
            record,
            Removal(data, removed, removed.to_table().slice(0, 0), Selection.of(removed)),
            whole,
        )

    # ------------------------------------------------------------------ pieces

    def _relaxed(self, problem: Problem, max_looks: int) -> Outcome | None:
        """What solving rows by their own residual arrived at; None where too many are open for
        that.
        """
        done = self._guarded(lambda: self._relax(self.tolerance, min(max_looks, LOOKS), few=True))
        if done.looks == 0 or not done.residual <= self.tolerance:
            return None
        factors = self.kept.factors()
        objective = evaluate(
            replace(problem, dtype=np.float64), factors, threads=self.threads
        ).objective
        return Outcome(
            factors,
            (),
            objective,
            done.residual,
            True,
            done.looks,
            done.solved,
            done.products,
            0,
            "tolerance",
            route=("rows",),
        )

    def _relax(self, goal: float, max_looks: int, *, few: bool = False) -> Relaxed:
        if not self.kept.push > 0:
            return Relaxed(0, 0, 0, self.residual_bound)
        return relax(self._bounds, goal, max_looks, few=few)

    def _guarded(self, work: Callable[[], T]) -> T:
        with whole(MESSAGE, blas=None), _pools().limit(limits=1):
            return work()

    def _take_out(self, u: Array, v: Array, unmatched: pa.Table) -> Touched:
        c, y, stamps = self.kept.take_out(u, v)
        found = self.kept.settle(u, v, c, y, sign=-1.0)
        self.requests += 1
        return Touched(u.size, unmatched, *found, removed=(u, v, c, y, stamps))

    def _put_in(
        self, pairs: tuple[Array, Array, Array, Array, Array], unmatched: pa.Table
    ) -> Touched:
        self.kept.put_in(*pairs)
        found = self.kept.settle(*pairs[:4], sign=1.0)
        self.requests += 1
        return Touched(pairs[0].size, unmatched, *found)
