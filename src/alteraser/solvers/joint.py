"""P and Q together, by eliminating P: where alternating passes crawl, the two sides move at once.

Given Q, the users' rows have their minimum P*(Q) in closed form, so L is a function of Q alone,

    φ(Q) = min_P L(P, Q),      ½ ∇²φ = S = B_Q − Cᵀ B_P⁻¹ C
        (variable projection: Golub & Pereyra 1973)

with B_P = blockdiag(A_u), B_Q = blockdiag(A_v) and C the coupling of the two sides, none of which
is formed: they are operators of ``one_side.OneSide``, S is ``reduced.ReducedHessian``. One exact
sweep over the users gives P*(Q) and keeps the factored A_u; one over the items gives ∇φ and the
factored A_v. Then −S⁻¹∇φ is found by conjugate gradients (``reduced.conjugate``) with one of
``preconditioner``. That is for measuring and for the last steps; the way there is that of
``alteraser.solvers.descent``, which uses the same blocks and evaluates ∇φ itself.

L does not change when P and Q are rotated together. Q S for skew-symmetric S are directions without
curvature, in which rounding gathers, so residuals are projected off them; the projection is a
Sylvester equation in d × d.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.polynomial import Polynomial

from alteraser.linalg.ahead import Ahead
from alteraser.models import Problem
from alteraser.solvers.blocks import room_for
from alteraser.solvers.curvatures import Curvatures
from alteraser.solvers.easing import eased_confidence, is_wide
from alteraser.solvers.joint_newton import JointNewton
from alteraser.solvers.line import lowest, quartic_along
from alteraser.solvers.one_side import dot, facing
from alteraser.solvers.preconditioner import BlockInverse, Deflated, Eased, ItemPreconditioner
from alteraser.solvers.recycled import Lanczos, Recycled
from alteraser.solvers.reduced import Observers, ReducedHessian, SolveProgress, conjugate
from alteraser.solvers.rotations import Rotations
from alteraser.solvers.rows.protocol import aligned, aligned_empty
from alteraser.solvers.slow import SlowSpace, slow_space

Array = npt.NDArray[Any]
Pair = tuple[Array, Array]

SOLVED = 1.0
"""Estimated rest of a Newton step, over its own length, above which it is not worth taking: the
gradient falls first where L bends most, and a step that ends there goes the short way and not the
long one."""

BENT = 0.3
"""What a step leaves because L is no quadratic, in units of its length, ‖x‖/‖Θ‖, over the least
curvature of B⁻¹H."""

KEPT = 24
"""Directions of least curvature that a solve keeps for the next one."""

SERVED = 20
"""Iterations of a step after which the slow space is found anew: that costs as much as three or
four of them."""


@dataclass(frozen=True)
class Sweeps:
    """What the two factoring sweeps found."""

    users: float
    """Σ gᵀA⁻¹g of the users before their sweep; their gradient is zero after it."""
    items: float
    """Σ gᵀA⁻¹g of the items: a quarter of ‖∇L‖²_{B⁻¹} at (P*(Q), Q)."""
    value: float
    """Σ_u (min l_u − const) of the users' rows."""


@dataclass(frozen=True)
class JointStep:
    """Where to go: a Newton step, a direction in which L bends down, or the first and then the
    second.
    """

    newton: Pair | None
    negative: Pair | None
    products: int
    smallest: float = np.nan
    """The smallest Ritz value that conjugate gradients met: estimates the least eigenvalue of
    B_Q⁻¹S, from above."""
    left: float = 0.0
    """What of the Newton step is left unsolved, an estimate relative to its own length (in the norm
    of B_Q)."""
    ahead: float = 0.0
    """‖x* − x‖_F of both sides, estimated from above, see ``linalg.ahead``"""


class Joint:
    """The working state of joint steps: P (m, w) and Q (n, w) are padded and changed in place.

    Holds the factored blocks, about (m + n) w² / 2 numbers.
    """

    def __init__(
        self,
        problem: Problem,
        P: Array,
        Q: Array,
        prediction: Array,
        threads: int,
        factors: tuple[Array, Array] | None = None,
    ) -> None:
        """``factors`` are packed blocks of both sides to begin with, of a point not far from this
        one.
        """
        self.problem, self.threads, self.rank = problem, threads, prediction.size
        self.users, self.items = facing(problem, P, Q, prediction, threads, factors=factors)
        self.slow: SlowSpace | None = None
        """Used by the preconditioner from when it is set, see ``find_slow``."""
        self.recycled: Recycled | None = None
        """Used in its place where there is none, from when a solve has learned it"""
        self.light: Array | None = None
        """Packed blocks of the items that precondition in place of their own, where ``eased``; see
        ``easing``."""
        self.eased = P.dtype.itemsize > 4 and is_wide(problem.users.confidence)
        self._rotates = bool(np.ptp(prediction.astype(P.dtype)) == 0)
        self._taken = 0  # iterations of the last step
        self.settled = False
        """True while the factored blocks are those of the current point."""
        self.moved = np.inf
        """By what share of their size P and Q have moved since the blocks were factored, at
        most."""

    @property
    def P(self) -> Array:
        """The users' rows, (m, w)."""
        return self.users.x

    @property
    def Q(self) -> Array:
        """The items' rows, (n, w)."""
        return self.items.x

    @staticmethod
    def fits(problem: Problem, width: int) -> bool:
        """True when there is room for the factored blocks of both sides, see ``room_for``."""
        return room_for(sum(problem.interactions.shape), width, problem.dtype)

    # ------------------------------------------------------------------ where we are

    def settle(self, *, move: bool = True) -> Sweeps:
        """Factor both sides' blocks and take the items' gradient; first ``move`` every user to the
        minimum given Q.
        """
        users, value = self.users.factor(move=move)
        items, _ = self.items.factor(move=False)
        if self.eased:
            self._ease()
        self.settled, self.moved = True, 0.0
        return Sweeps(users, items, value)

    def _ease(self) -> None:
        """Blocks of the items with what their heavy cells weigh once users give way, see
        ``solvers.easing``.
        """
        users, items = self.users, self.items
        eased = eased_confidence(users.side, aligned(users.other), users.factors)
        order = self.problem.interactions.by_item.order
        if self.light is None:
            self.light = aligned_empty(items.factors.shape, items.x.dtype)
        items.factor_with(np.ascontiguousarray(eased[order], dtype=items.x.dtype), self.light)

    def find_slow(self, newton: JointNewton, *, anew: bool = False) -> None:
        """The slow space of this point, after ``settle``; one that still serves stays as it is, if
        not ``anew``.
        """
        served = self.slow is not None and self._taken <= SERVED and not anew
        if self._rotates and not self.users.scaled and not served and not self.eased:
            self.slow = slow_space(
                self.users,
                self.items,
                weak=newton.weak,
                discarded=newton.discarded,
                earlier=self.slow,
            )

    def step_users(self) -> float:
        """P −= A⁻¹g of every user with the blocks as they were last factored; Σ pᵀA p before."""
        if self.eased:  # heavy cells turn the blocks faster than steps with old ones can follow
            self.users.factor(move=True)
        _, _, fit = self.users.approach(move=not self.eased)
        self.settled = False
        return fit

    def step_items(self) -> None:
        """Every item to its minimum given P, after ``settle``."""
        self.items.x -= self.items.solve(self.items.gradient)
        self.settled, self.moved = False, np.inf

    def off_rotations(self, items: Array) -> Array:
        """A direction of the items without what would only rotate Q."""
        return Rotations(self.Q).off(items) if self._rotates else items

    def norm(self, gradients: Pair) -> float:
        """‖g‖_{B⁻¹} of float64 gradients at this point, with the factors of the last ``settle``."""
        total = self.users.squared_norm(gradients[0]) + self.items.squared_norm(gradients[1])
        return float(np.sqrt(max(total, 0.0)))

    def place(self, users: Array, items: Array) -> None:
        """Go to these factors, (m, d) and (n, d)."""
        pairs = (self.P[:, : self.rank], users), (self.Q[:, : self.rank], items)
        size = float(np.sqrt(sum(np.vdot(new, new) for _, new in pairs)))
        step = float(np.sqrt(sum(float(np.sum(np.square(new - old))) for old, new in pairs)))
        self.moved += step / size if size > 0 else 0.0
        for old, new in pairs:
            old[:] = new
        self.settled = False

    # ------------------------------------------------------------------ where to go

    def preconditioner(self, space: SlowSpace | Recycled | None) -> ItemPreconditioner:
        """M⁻¹ with what ``space`` adds to it; the eased blocks where there are some."""
        if self.light is not None:
            return Eased(self.items, self.light)
        return BlockInverse(self.items) if space is None else Deflated(self.items, space)

    def direction(self, *, forcing: float, products: int) -> JointStep:
        """Conjugate gradients on S d = −∇φ/2 after ``settle``, until ‖r‖_{B⁻¹} has fallen by
        ``forcing`` and most of the step is there.

        Where a direction p with pᵀSp ≤ 0 turns up, it ends there and returns p with what it had.
        """
        self.find_errors()
        return self._newton(
            -self.items.gradient,
            np.zeros_like(self.P),
            lambda now: now.fallen <= forcing and now.left <= SOLVED,
            products,
        )

    def solve(
        self,
        gradients: Pair,
        *,
        forcing: float,
        products: int,
        within: float = np.inf,
        known: float = np.inf,
        missing: float | None = None,
        share: float | None = None,
        learn: bool = False,
        level: Array | None = None,
    ) -> JointStep:
        """−H⁻¹∇L/2 for float64 gradients ∇L, (m, d) and (n, d), of both sides at this point; as
        ``direction``.

        The result is in float64 too: for iterative refinement, where the gradient has more digits
        than the solve. Needs blocks, those of ``settle`` or of a point not far from it; the users
        need not be at their minimum.

        What is left unsolved is estimated by what the last iterations still added, over the least
        curvature, ``known`` or met. After ‖r‖_{B⁻¹} has fallen by ``forcing`` it ends when the way
        to go is, unsolved rest included, within the share ``within`` of ‖Θ‖: near enough; or when
        the rest is less than what the length of the way will leave of a quadratic model. With
        ``missing``, a length in the Frobenius norm, it ends when ``ahead`` is no more than that
        instead, or than ``share`` of the way. With ``learn`` the directions of least curvature that
        it met are kept for the next solve. ``level`` are items (n, d) in place of Q: the step keeps
        Q as it is turned to these, and is not turned itself.
        """
        theta = float(np.sqrt(dot(self.P, self.P) + dot(self.Q, self.Q))) or 1.0
        # float32 must not underflow
        size = max(float(np.abs(g).max(initial=0.0)) for g in gradients) or 1.0
        right = self.users.wide(gradients[0] * (-0.5 / size))
        given = self.users.solve(right)

        def enough(now: SolveProgress) -> bool:
            if now.fallen > forcing or now.length == 0.0:
                return now.fallen == 0.0
            if share is not None or missing is not None:
                return now.ahead * size <= max((share or 0.0) * size * now.length, missing or 0.0)
            length = size * now.length / theta
            if length <= within:  # maybe there: the rest decides
                return length * (1.0 + now.left) <= within
            return now.left <= max(BENT * length / now.smallest, 0.2 * within / length)

        self.find_errors()
        left = self.items.wide(gradients[1] * (-0.5 / size)) - self.items.across(given)
        found = self._newton(left, given, enough, products, known, learn, level)

        def scaled(pair: Pair | None) -> Pair | None:
            if pair is None:
                return None
            users, items = (np.asarray(x[:, : self.rank], dtype=np.float64) * size for x in pair)
            return users, items

        return replace(
            found,
            newton=scaled(found.newton),
            negative=scaled(found.negative),
            ahead=found.ahead * size,
        )

    def find_errors(self) -> None:
        """The errors of this point, on both sides."""
        self.users.find_errors()
        self.items.find_errors()

    def _newton(
        self,
        right: Array,
        users: Array,
        enough: Callable[[SolveProgress], bool],
        products: int,
        known: float = np.inf,
        learn: bool = False,
        level: Array | None = None,
    ) -> JointStep:
        """Solve S x ≈ ``right`` for the items, until ``enough``; with them ``users``, which is
        changed, − B_P⁻¹ C x.
        """
        space = self.recycled if self.slow is None else self.slow
        ahead = self._ahead()
        learned = self._lanczos() if learn and self.light is None and space is None else None
        found = conjugate(
            ReducedHessian(self.users, self.items),
            self.preconditioner(space),
            right,
            users,
            enough=enough,
            products=products,
            rotations=self._rotations(level),
            told=Observers(Curvatures(space), ahead, learned, known),
            level=level is not None,
        )
        self._taken = found.last.products
        if learned is not None:
            self.recycled = learned.least(ahead.spectrum)
        elif self.recycled is not None:
            self.recycled = self.recycled.at_least(ahead.spectrum)
        any_step = bool(np.any(found.items)) or bool(np.any(found.users))
        sliced = self._sliced if level is None else lambda V, W: (V, W)
        return JointStep(
            sliced(found.users, found.items) if any_step else None,
            None if found.bent is None else sliced(*found.bent),
            found.last.products,
            found.last.smallest,
            found.last.left,
            0.0 if found.exact else found.last.ahead,
        )

    def _rotations(self, level: Array | None) -> Rotations | None:
        if not self._rotates:
            return None
        if level is None:
            return Rotations(self.Q)
        items = np.zeros_like(self.Q)
        items[:, : self.rank] = level
        return Rotations(items)

    def _ahead(self) -> Ahead:
        """For a solve with the preconditioner at hand."""
        if self.slow is not None or self.recycled is None or self.light is not None:
            return Ahead()
        return Ahead(least=self.recycled.next, curvature=self.recycled.least)

    def _lanczos(self) -> Lanczos:
        """In as much room as the blocks take."""
        room = (self.users.factors.size + self.items.factors.size) // max(self.Q.size, 1)
        return Lanczos(self.Q.shape, self.Q.dtype, room=max(room, 3 * KEPT), keep=KEPT)

    def _sliced(self, V: Array, W: Array) -> Pair:
        """The same direction without its share of a rotation, which would only lengthen it."""
        if not self._rotates:
            return V, W
        both = Rotations(self.P, self.Q)
        S = both.of(V, W)
        return V - self.P @ S, W - self.Q @ S

    def advance(self, direction: JointStep) -> float:
        """Go along ``direction`` to where L is least on each of its lines; returns by how much L
        fell.
        """
        gained = 0.0
        for line, reach in ((direction.newton, 4.0), (direction.negative, np.inf)):
            if line is None:
                continue
            along = self.along(line)
            t = lowest(along, reach)
            if t != 0.0:
                gained -= float(along(t))
                self.settled, self.moved = False, np.inf
                self.users.x += self.P.dtype.type(t) * line[0]
                self.items.x += self.Q.dtype.type(t) * line[1]
        return gained

    def along(self, line: Pair) -> Polynomial:
        """L(P + t V, Q + t W) − L(P, Q), exactly: a quartic in t."""
        users = self.users
        return quartic_along(
            (users.side, self.items.side),
            (self.P, self.Q),
            (users.other, users.seen(line[1])),
            line,
            self.threads,
        )
