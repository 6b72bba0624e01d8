"""Forgetting by exact rows of RecBole's ENMF: to a minimum, or the deletion's effect alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from alteraser.adapters.contract import ForeignErasing, ForeignOutcome
from alteraser.linalg.anderson import Anderson, Safeguarded
from alteraser.solvers.loop import AGAIN, End, Move, Phase, Plan, Until, minimize
from alteraser.solvers.phases.alternation import Alternation, HalfPass
from alteraser.solvers.phases.passes import Passes
from alteraser.solvers.trace import PassRecord

if TYPE_CHECKING:
    from alteraser.data.interactions import Interactions

Array = npt.NDArray[Any]

PASSES = 1
"""Passes of ``respond`` over all rows."""


class SideInPlace(Protocol):
    """One side of the loss, whose rows are solved where they are."""

    def solve(
        self, x: Array, rows: Array, held: Array | None = None, damping: float = 0.0
    ) -> float:
        """Every row in ``rows`` of ``x`` to its minimum, in place; how far they were from it."""
        ...


class BlockLoss(Protocol):
    """What passes need of a loss: the rows of either side, what it is, and how far from still."""

    def users(self, data: Interactions, P: Array, Q: Array) -> SideInPlace:
        """The users' rows at this point."""
        ...

    def items(self, data: Interactions, P: Array, Q: Array) -> SideInPlace:
        """The items' rows at this point."""
        ...

    def objective(self, data: Interactions, P: Array, Q: Array) -> float:
        """The loss."""
        ...

    def slopes(self, data: Interactions, P: Array, Q: Array) -> tuple[Array, Array]:
        """Its gradients."""
        ...

    def distance(
        self, data: Interactions, P: Array, Q: Array, users: Array, items: Array, damping: float
    ) -> float:
        """The norm of changes of the gradients, each over its row's block."""
        ...

    def push(
        self, before: Interactions, after: Interactions, P: Array, Q: Array
    ) -> tuple[float, float]:
        """(norm of what the deletion changed, norm of what training left)."""
        ...

    def norm(self, data: Interactions, P: Array, Q: Array) -> float:
        """The norm of the gradients, each over its row's block."""
        ...


def converge(loss: BlockLoss, erasing: ForeignErasing) -> ForeignOutcome:
    """Exact rows of the forget set, then accelerated passes, to a minimum: the point with the least
    residual.
    """
    history = Anderson(6, np.ones(erasing.foreign.items.shape[0]))
    table: dict[tuple[str, str], str | End] = {
        ("touched", "unmoved"): End("tolerance"),
        ("touched", "done"): "passes",
        ("passes", "arrived"): End("tolerance"),
        ("passes", "stuck"): "passes",
    }

    def begin() -> tuple[_Converging, Plan[_Converging]]:
        phases: dict[str, Phase[_Converging]] = {
            "touched": _Touched(),
            "passes": Passes(Safeguarded(history, lambda _: 0.0)),
        }
        return _Converging(loss, erasing), Plan("touched", phases, table)

    found = minimize(
        begin, Until(erasing.tolerance, erasing.max_passes + 1, first=0), on_pass=erasing.on_pass
    )
    state = found.state
    users, items = state.factors()
    return ForeignOutcome(
        users,
        items,
        residual=found.residual,
        converged=found.converged,
        passes=len(found.trace),
        rows_updated=state.work.rows,
        reason="tolerance" if found.converged else "passes",
        route=("passes",),
        solver="ah-newton",
        push=state.push,
        training_floor=state.floor,
        objective_before=state.started,
        objective_after=found.objective,
        trace=found.trace,
    )


class _Converging(Alternation):
    """Users first, in float64."""

    def __init__(self, loss: BlockLoss, erasing: ForeignErasing) -> None:
        users, items = (
            np.array(x, np.float64) for x in (erasing.foreign.users, erasing.foreign.items)
        )
        super().__init__(users, items, erasing.tolerance)
        self.loss, self.erasing = loss, erasing
        self.push, self.floor = loss.push(erasing.before, erasing.after, self.P, self.Q)
        self.started = loss.objective(erasing.after, self.P, self.Q)
        self.promising = erasing.tolerance / 2  # half, for what rounding to the tables' type adds
        self._value = self.started
        self._lowest, self._reached = np.inf, (self.P, self.Q)

    def factors(self) -> tuple[Array, Array]:
        """As the tables hold them."""
        dtype = self.erasing.foreign.users.dtype
        return self.P.astype(dtype), self.Q.astype(dtype)

    def users(self, rows: Array) -> float:
        """Some users to their minima; L then."""
        self.loss.users(self.erasing.after, self.P, self.Q).solve(self.P, rows)
        self.work.rows += rows.size
        return self.loss.objective(self.erasing.after, self.P, self.Q)

    def items(self, rows: Array) -> float:
        """Some items; their decrement."""
        self.work.rows += rows.size
        return self.loss.items(self.erasing.after, self.P, self.Q).solve(self.Q, rows)

    def first_half(self) -> float:
        """All users."""
        self._value = self.users(np.arange(self.P.shape[0]))
        return self._value

    def second_half(self) -> HalfPass:
        """All items; users are at their minimum, so these items' decrement is the residual of the
        point before.
        """
        start = self.Q.copy()
        residual = float(np.sqrt(self.items(np.arange(self.Q.shape[0])))) / self.push
        if residual < self._lowest:
            self._lowest, self._reached = residual, (self.P.copy(), start)
        return HalfPass(residual, self._value, self.P.shape[0] + self.Q.shape[0])

    def settle(self) -> None:
        """Nothing is owed: what is handed out is the point with the least residual."""

    def arrived(self, estimate: float) -> bool:
        """True: it is measured at the end alone."""
        return True

    def measure(self) -> tuple[float, float]:
        """Of the point with the least residual, which it goes back to."""
        if np.isfinite(self._lowest):
            self.P, self.Q = self._reached
        users, items = (x.astype(np.float64) for x in self.factors())
        residual = self.loss.norm(self.erasing.after, users, items) / (self.push or 1.0)
        return residual, self.loss.objective(self.erasing.after, self.P, self.Q)


class _Touched:
    """The rows of the deletion alone. Signals: ``done``; ``unmoved``, the deletion pushes
    nothing.
    """

    def move(self, state: _Converging) -> Move:
        """Users, then items."""
        users, items = _touched(state.erasing)
        value = state.users(users)
        state.items(items)
        return Move(PassRecord.of("touched", value, None, users.size + items.size))

    def judge(self, state: _Converging) -> str:
        """Passes follow where there is something for them to do."""
        return "done" if state.push else "unmoved"


def respond(loss: BlockLoss, erasing: ForeignErasing) -> ForeignOutcome:
    """Anchored rows of the forget set, then of all, damped as far as training went; see
    ``erasers.response``.
    """
    plan: Plan[_Held] = Plan(
        "touched",
        {"touched": _HeldPass("touched"), "passes": _HeldPass("all")},
        {("touched", AGAIN): "passes"},
    )
    found = minimize(
        lambda: (_Held(loss, erasing), plan),
        Until(0.0, 1 + min(PASSES, erasing.max_passes), first=0),
        on_pass=erasing.on_pass,
    )
    state = found.state
    users, items = state.factors()
    return ForeignOutcome(
        users,
        items,
        method="local",
        residual=found.residual,
        damped=True,
        converged=False,
        passes=len(found.trace),
        rows_updated=sum(record.rows for record in found.trace),
        reason="passes",
        route=("passes",),
        solver="ah-newton",
        push=state.push,
        objective_before=state.objective,
        objective_after=found.objective,
        trace=found.trace,
    )


class _Held:
    """Rows whose gradients stay what training had left of them, but in rows that have nothing
    left.
    """

    def __init__(self, loss: BlockLoss, erasing: ForeignErasing) -> None:
        self.loss, self.erasing, after = loss, erasing, erasing.after
        P, Q = self.P, self.Q = tuple(
            np.array(x, np.float64) for x in (erasing.foreign.users, erasing.foreign.items)
        )
        self.start = (P.copy(), Q.copy())
        self.objective = loss.objective(after, P, Q)
        self.anchors, here = loss.slopes(erasing.before, P, Q), loss.slopes(after, P, Q)
        self.damping = max(
            0.0, *(_implied(g, x) for g, x in zip(self.anchors, self.start, strict=True))
        )
        change = here[0] - self.anchors[0], here[1] - self.anchors[1]
        self.push = loss.distance(after, P, Q, *change, self.damping)
        self.touched = _touched(erasing)
        self.counts = (after.user_counts, after.item_counts)
        for x, y, anchor, rows, left in zip(
            (P, Q), self.start, self.anchors, self.touched, self.counts, strict=True
        ):
            gone = rows[left[rows] == 0]
            x[gone] = y[gone] = anchor[gone] = 0.0
        self.held = [
            anchor + self.damping * x for anchor, x in zip(self.anchors, self.start, strict=True)
        ]

    def factors(self) -> tuple[Array, Array]:
        """As the tables hold them."""
        dtype = self.erasing.foreign.users.dtype
        return self.P.astype(dtype), self.Q.astype(dtype)

    def finish(self) -> tuple[float, float]:
        """See ``solvers.loop.State``."""
        P, Q = (x.astype(np.float64) for x in self.factors())
        after, moves = self.erasing.after, zip((P, Q), self.start, strict=True)
        slopes = self.loss.slopes(after, P, Q)
        still = [
            g - a + self.damping * (x - y)
            for g, a, (x, y) in zip(slopes, self.anchors, moves, strict=True)
        ]
        residual = self.loss.distance(after, P, Q, still[0], still[1], self.damping) / (
            self.push or 1.0
        )
        return residual, self.loss.objective(after, P, Q)


class _HeldPass:
    """Rows that have something left, of the deletion or all."""

    def __init__(self, scope: Literal["touched", "all"]) -> None:
        self._scope: Literal["touched", "all"] = scope

    def move(self, state: _Held) -> Move:
        """Users, then items."""
        alive = [np.flatnonzero(count > 0) for count in state.counts]
        if self._scope == "touched":
            alive = [np.intersect1d(a, b) for a, b in zip(state.touched, alive, strict=True)]
        loss, after = state.loss, state.erasing.after
        loss.users(after, state.P, state.Q).solve(state.P, alive[0], state.held[0], state.damping)
        loss.items(after, state.P, state.Q).solve(state.Q, alive[1], state.held[1], state.damping)
        return Move(
            PassRecord.of(self._scope, state.objective, None, alive[0].size + alive[1].size), AGAIN
        )

    def judge(self, state: _Held) -> str:
        """On, for as many as there are to be."""
        return AGAIN


def _touched(erasing: ForeignErasing) -> tuple[Array, Array]:
    return np.unique(erasing.removed.user_rows), np.unique(erasing.removed.indices).astype(np.int64)


def _implied(gradient: Array, x: Array) -> float:
    """The ridge that early stopping stands in for: a row that came from zero and stopped has ∇ ≈ −μ
    x.
    """
    square = float(np.vdot(x, x))
    return -float(np.vdot(gradient, x)) / square if square > 0 else 0.0
