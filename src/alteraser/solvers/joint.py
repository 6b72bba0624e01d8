"""P and Q together, by eliminating P: where alternating passes crawl, the two sides move at once.

Given Q, the users' rows have their minimum P*(Q) in closed form, so L is a function of Q alone,

    φ(Q) = min_P L(P, Q),      ½ ∇²φ = S = B_Q − Cᵀ B_P⁻¹ C
        (variable projection: Golub & Pereyra 1973)

with B_P = blockdiag(A_u), B_Q = blockdiag(A_v) and C the coupling of the two sides, none of which
is formed. One exact sweep over the users gives P*(Q) and keeps the factored A_u; one over the items
gives ∇φ and the factored A_v. Then −S⁻¹∇φ is found by conjugate gradients preconditioned by B_Q.
Because B_Q is also a part of S, B_Q p comes from a recurrence, so an iteration costs two products
across (C and Cᵀ) and one solve with the factors per row: less than a pass of three CG steps, and it
takes half the iterations that the whole Hessian with B as its preconditioner would (Reid, SIAM J.
Numer. Anal. 1972, on matrices of this form). A plain pass is the first of these iterations. That is
for measuring and for the last steps; the way there is that of ``alteraser.solvers.descent``, which
uses the same blocks and evaluates ∇φ itself.

L does not change when P and Q are rotated together. Q S for skew-symmetric S are directions without
curvature, in which rounding gathers, so residuals are projected off them; the projection is a
Sylvester equation in d × d.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.polynomial import Polynomial
from scipy.sparse import csr_array

from alteraser.errors import InvalidInput
from alteraser.linalg.ahead import Ahead
from alteraser.models import Problem, Side
from alteraser.runtime.workers import blocks, run
from alteraser.solvers.blocks import factor_blocks, room_for
from alteraser.solvers.curvatures import Curvatures
from alteraser.solvers.easing import eased_confidence, is_wide
from alteraser.solvers.line import lowest, quartic_along
from alteraser.solvers.recycled import Lanczos, Recycled
from alteraser.solvers.rotations import Rotations
from alteraser.solvers.rows.ah_newton import AHNewton
from alteraser.solvers.rows.protocol import aligned, aligned_empty
from alteraser.solvers.slow import SlowSpace, slow_space

Array = npt.NDArray[Any]
Pair = tuple[Array, Array]

DELAY = 3
"""Iterations of conjugate gradients after which it is known how far it was."""

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
class JointNewton:
    """``--solver joint``: exact rows while far from a solution, then steps on both sides at
    once.
    """

    name: str = "joint"
    rows: AHNewton = field(default_factory=AHNewton)
    """What solves rows in the passes before, and at the end"""
    forcing: float = 0.1
    """A step ends once ‖r‖_{B⁻¹} is this share of what it was."""
    products: int = 100
    """Iterations that one step may take."""
    near: float = 0.02
    """Passes come first until ‖∇L‖_{B⁻¹} / ‖Θ‖_B is below this: further away a quadratic model is
    of little use."""
    weak: int = 6
    """Weak directions of the factors, of which the slow space is made; 0: none is used."""
    discarded: int = 12
    """Discarded directions in it, see ``alteraser.solvers.slow``."""
    memory: int = 10
    """Pairs of steps and gradients kept on the way, see ``alteraser.solvers.descent``; 0: Newton
    steps instead, each solved to ``forcing``."""
    slow_below: float = 1e-2
    """‖∇L‖_{B⁻¹} / ‖Θ‖_B from which the slow space is used: further away the residuals say little
    about the solution, and the gradient along quick directions is what has to go."""

    def __post_init__(self) -> None:
        if not (0 < self.forcing < 1 and self.near > 0 and self.products >= 1):
            raise InvalidInput(
                "JointNewton: forcing lies between 0 and 1, near is above 0, products at least 1"
            )
        if min(self.weak, self.discarded, self.memory) < 0:
            raise InvalidInput(
                "JointNewton: weak, discarded and memory are numbers of directions, at least 0"
            )


@dataclass(frozen=True)
class Settled:
    """What the two factoring sweeps found."""

    users: float
    """Σ gᵀA⁻¹g of the users before their sweep; their gradient is zero after it."""
    items: float
    """Σ gᵀA⁻¹g of the items: a quarter of ‖∇L‖²_{B⁻¹} at (P*(Q), Q)."""
    value: float
    """Σ_u (min l_u − const) of the users' rows."""


@dataclass(frozen=True)
class Direction:
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


@dataclass(frozen=True)
class _Progress:
    """Where conjugate gradients is."""

    products: int = 0
    fallen: float = 1.0
    """‖r‖_{B⁻¹} over what it was"""
    length: float = 0.0
    """‖x‖, both sides"""
    smallest: float = np.nan
    """Least Ritz value so far"""
    left: float = np.inf
    """Estimates ‖x* − x‖_B / ‖x‖_B: the energy ‖x* − x‖²_S of DELAY iterations ago, which is what
    they have removed and a little more (Hestenes & Stiefel 1952; Strakoš & Tichý, ETNA 2002), over
    the least curvature."""
    ahead: float = np.inf
    """Estimates ‖x* − x‖, both sides, from above"""


class Joint:
    """The working state of joint steps: ``P`` (m, w) and ``Q`` (n, w) are padded and changed in
    place.

    Holds the factored blocks, about (m + n) w² / 2 numbers.
    """

    def __init__(
        self,
        problem: Problem,
        P: Array,
        Q: Array,
        prediction: Array,
        threads: int,
        factors: list[Array] | None = None,
    ) -> None:
        """``factors`` are packed blocks of both sides to begin with, of a point not far from this
        one.
        """
        from alteraser.solvers.kernels.joint import packed_size

        self.problem, self.P, self.Q, self.threads = problem, P, Q, threads
        self.slow: SlowSpace | None = None
        """Used by the preconditioner from when it is set, see ``find_slow``."""
        self.recycled: Recycled | None = None
        """Used in its place where there is none, from when a solve has learned it"""
        self.light: Array | None = None
        """Packed blocks of the items that precondition in place of their own, where ``eased``; see
        ``easing``."""
        self.eased = P.dtype.itemsize > 4 and is_wide(problem.users.confidence)
        self._taken = 0  # iterations of the last step
        width = P.shape[1]
        self._h = np.ones(width, P.dtype)
        self._h[: prediction.size] = prediction
        self.rank = prediction.size
        self._blocks = [blocks(side, None, width, threads) for side in self.sides]
        self.factors = factors or [
            aligned_empty((x.shape[0], packed_size(width)), P.dtype) for x in (P, Q)
        ]
        self._gradients = [np.zeros_like(P), np.zeros_like(Q)]
        self.errors = [np.empty(side.indices.size, P.dtype) for side in self.sides]
        self._empty = np.flatnonzero(problem.items.counts == 0)
        self.settled = False
        """True while the factored blocks are those of the current point."""
        self.moved = np.inf
        """By what share of their size P and Q have moved since the blocks were factored, at
        most."""
        for side, x in zip(self.sides, (P, Q), strict=True):
            x[side.counts == 0] = 0  # their minimum, whatever the other side is

    @property
    def sides(self) -> tuple[Side, Side]:
        """Users and items."""
        return self.problem.users, self.problem.items

    @property
    def _scaled(self) -> bool:
        return bool(np.any(self._h != 1))

    @property
    def _rotates(self) -> bool:
        return bool(np.ptp(self._h[: self.rank]) == 0)

    @staticmethod
    def fits(problem: Problem, width: int) -> bool:
        """True when there is room for the factored blocks of both sides, see ``room_for``."""
        return room_for(sum(problem.interactions.shape), width, problem.dtype)

    # ------------------------------------------------------------------ where we are

    def settle(self, *, move: bool = True) -> Settled:
        """Factor both sides' blocks and take the items' gradient; first ``move`` every user to the
        minimum given Q.
        """
        users, value = self._factor(0, move=move)
        items, _ = self._factor(1, move=False)
        if self.eased:
            self._ease()
        self.settled, self.moved = True, 0.0
        return Settled(users, items, value)

    def find_slow(self, newton: JointNewton, *, anew: bool = False) -> None:
        """The slow space of this point, after ``settle``; one that still serves stays as it is, if
        not ``anew``.
        """
        served = self.slow is not None and self._taken <= SERVED and not anew
        if self._rotates and not self._scaled and not served and not self.eased:
            self.slow = slow_space(
                self, weak=newton.weak, discarded=newton.discarded, earlier=self.slow
            )

    def factor_again(self, place: int, rows: Array) -> None:
        """Factor the blocks of some users (0) or items (1) as they are here."""
        self._factor(place, move=False, rows=rows)

    def approach(self, place: int, *, move: bool) -> tuple[Array, float, float]:
        """(half the gradient of a side, Σ l − const, Σ xᵀA x) where it is; with ``move`` then a
        step x −= A⁻¹g.

        The step is with the blocks as they were last factored, the rest is exact.
        """
        from alteraser.solvers.kernels.joint import approach_rows

        # heavy cells turn the blocks faster than steps with old ones can follow
        if self.eased and place == 0 and move:
            self._factor(0, move=True)
            move = False
            self.settled = False
        side, x, Z = self.sides[place], (self.P, self.Q)[place], aligned(self._other(place))
        gram = side.gram(Z).astype(x.dtype)
        gradient = aligned_empty(x.shape, x.dtype)
        value, fit = np.empty(side.rows), np.empty(side.rows)
        w0 = x.dtype.type(side.missing_weight)
        run(
            lambda rows: approach_rows(
                rows,
                side.indptr,
                side.indices,
                side.confidence,
                side.target,
                side.own,
                side.other,
                side.ridge,
                Z,
                gram,
                w0,
                self.factors[place],
                x,
                move,
                gradient,
                value,
                fit,
            ),
            self._blocks[place],
            self.threads,
        )
        if move:
            self.settled = False
        return gradient, float(value.sum()), float(fit.sum())

    def step_items(self) -> None:
        """Every item to its minimum given P, after ``settle``."""
        self.Q -= self._solve(1, self._gradients[1])
        self.settled, self.moved = False, np.inf

    def precondition(self, r: Array, slow: SlowSpace | None) -> Array:
        """An approximation of S⁻¹ r for r (n, w): B_Q⁻¹ r and what ``slow`` adds to it."""
        if self.light is not None:
            return self._solve_light(r)
        z = self._solve(1, r)
        return z if slow is None else aligned(z + self._slow_correction(slow, r))

    def item_norm(self, r: Array) -> float:
        """√(rᵀB_Q⁻¹r)"""
        return float(np.sqrt(max(_dot(r, self._solve(1, r)), 0.0)))

    def off_rotations(self, items: Array) -> Array:
        """A direction of the items without what would only rotate Q."""
        return Rotations(self.Q).off(items) if self._rotates else items

    def norm(self, gradients: Pair) -> float:
        """‖g‖_{B⁻¹} of float64 gradients at this point, with the factors of the last ``settle``."""
        total = 0.0
        for place, g in enumerate(gradients):
            wide = np.zeros_like(self._gradients[place])
            # a tiny float64 gradient must not underflow in float32
            size = float(np.abs(g).max(initial=0.0)) or 1.0
            wide[:, : self.rank] = g / size
            total += size**2 * _dot(wide, self._solve(place, wide))
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

    def block_steps(self, gradient: Array) -> Array:
        """A_u⁻¹ g_u / 2 of every user for their float64 gradient (m, d), after ``settle``: p_u −
        p_u*(Q).
        """
        size = float(np.abs(gradient).max(initial=0.0)) or 1.0
        right = np.zeros_like(self._gradients[0])
        right[:, : self.rank] = gradient * (0.5 / size)
        return np.asarray(self._solve(0, right)[:, : self.rank].astype(np.float64) * size)

    def along_itself(self) -> float:
        """gᵀQ with half the items' gradient g, after ``settle``."""
        return _dot(self._gradients[1], self.Q)

    def direction(self, *, forcing: float, products: int) -> Direction:
        """Conjugate gradients on S d = −∇φ/2 after ``settle``, until ‖r‖_{B⁻¹} has fallen by
        ``forcing`` and most of the step is there.

        Where a direction p with pᵀSp ≤ 0 turns up, it ends there and returns p with what it had.
        """
        self.find_errors()
        return self._newton(
            -self._gradients[1],
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
    ) -> Direction:
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
        it met are kept for the next solve.
        """
        theta = float(np.sqrt(_dot(self.P, self.P) + _dot(self.Q, self.Q))) or 1.0
        # float32 must not underflow
        size = max(float(np.abs(g).max(initial=0.0)) for g in gradients) or 1.0
        right = [np.zeros_like(x) for x in self._gradients]
        for wide, g in zip(right, gradients, strict=True):
            wide[:, : self.rank] = g * (-0.5 / size)
        given = self._solve(0, right[0])

        def enough(now: _Progress) -> bool:
            if now.fallen > forcing or now.length == 0.0:
                return now.fallen == 0.0
            if share is not None or missing is not None:
                return now.ahead * size <= max((share or 0.0) * size * now.length, missing or 0.0)
            length = size * now.length / theta
            if length <= within:  # maybe there: the rest decides
                return length * (1.0 + now.left) <= within
            return now.left <= max(BENT * length / now.smallest, 0.2 * within / length)

        found = self._newton(
            right[1] - self._cross_at_point(given), given, enough, products, known, learn
        )

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

    def _cross_at_point(self, users: Array) -> Array:
        self.find_errors()
        return self._cross(1, users)

    def _newton(
        self,
        right: Array,
        users: Array,
        enough: Callable[[_Progress], bool],
        products: int,
        known: float = np.inf,
        learn: bool = False,
    ) -> Direction:
        """Solve S x ≈ ``right`` for the items, until ``enough``; with them ``users``, which is
        changed, − B_P⁻¹ C x.
        """
        rotations = Rotations(self.Q) if self._rotates else None
        r = rotations.off(right) if rotations else right
        z, Bz, plain = self._preconditioned(r)
        p, Bp = z, Bz
        # M: what curvature is relative to, B or the light blocks
        Mp = Bp if self.light is None else r
        x, Mx, y_sum = np.zeros_like(r), np.zeros_like(r), users
        rz, first = _dot(r, z), plain
        bent_down = None
        dtype = r.dtype.type
        curvatures, ahead, learned = Curvatures(self._space), self._ahead(), self._lanczos(learn)
        led: tuple[float, float] | None = None
        gains: list[float] = []
        now = _Progress()
        while now.products < products and rz > 0.0 and not (now.products and enough(now)):
            y = self._solve(0, self._cross(0, p))  # how the users give way: −y
            q = Bp - self._cross(1, y)
            curvature = _dot(p, q)
            if not curvature > 0.0:
                now = replace(now, products=now.products + 1)
                bent_down = self._sliced(-y, p)
                break
            step = dtype(rz / curvature)
            if learned is not None:
                learned.add(z, rz, float(step), led)
            across = _dot(p, p) + _dot(y, y)
            ratio = _dot(p, Mp) / across
            x += step * p
            Mx += step * Mp
            y_sum -= step * y
            r = r - step * q
            if rotations:
                r = rotations.off(r)
            z, Bz, plain = self._preconditioned(r)
            rz, before = _dot(r, z), rz
            beta = dtype(rz / before)
            gains.append(float(step) * before)
            smallest, led = (
                curvatures.met(float(step), float(beta), curvature, p, Bp),
                (float(step), float(beta)),
            )
            ahead.met(float(step), float(beta), rz, ratio)
            p, Bp = aligned(z + beta * p), Bz + beta * Bp
            Mp = Bp if self.light is None else r + beta * Mp
            energy = min(smallest, known) * _dot(x, Mx)
            length = float(np.sqrt(_dot(x, x) + _dot(y_sum, y_sum)))
            now = _Progress(
                products=now.products + 1,
                fallen=float(np.sqrt(max(plain, 0.0) / first)),
                length=length,
                smallest=smallest,
                left=_root(sum(gains[-DELAY:]), energy),
                ahead=ahead.length,
            )
        any_step = bool(np.any(x)) or bool(np.any(y_sum))
        self._taken = now.products
        self._recycle(learned, ahead)
        return Direction(
            self._sliced(y_sum, x) if any_step else None,
            bent_down,
            now.products,
            now.smallest,
            now.left,
            0.0 if rz <= 0.0 else now.ahead,
        )

    def _recycle(self, learned: Lanczos | None, ahead: Ahead) -> None:
        """Keep what a solve has learned for the next ones."""
        if learned is not None:
            self.recycled = learned.least(ahead.spectrum)
        elif self.recycled is not None:
            self.recycled = self.recycled.at_least(ahead.spectrum)

    def _ahead(self) -> Ahead:
        """For a solve with the preconditioner at hand."""
        if self.slow is not None or self.recycled is None or self.light is not None:
            return Ahead()
        return Ahead(least=self.recycled.next, curvature=self.recycled.least)

    def _lanczos(self, learn: bool) -> Lanczos | None:
        """In as much room as the blocks take; not where the preconditioner is another one."""
        if not learn or self.light is not None or self._space is not None:
            return None
        room = sum(x.size for x in self.factors) // max(self.Q.size, 1)
        return Lanczos(self.Q.shape, self.Q.dtype, room=max(room, 3 * KEPT), keep=KEPT)

    def _preconditioned(self, r: Array) -> tuple[Array, Array, float]:
        """(M⁻¹r, B_Q M⁻¹r, rᵀB_Q⁻¹r): M⁻¹ is B_Q⁻¹ and what the slow space adds to it."""
        from alteraser.solvers.kernels.joint import product_rows

        if self.light is not None:
            z = self._solve_light(r)
            B_z = aligned_empty(z.shape, z.dtype)
            run(
                lambda rows: product_rows(rows, self.factors[1], z, B_z),
                self._blocks[1],
                self.threads,
            )
            return z, B_z, _dot(r, z)
        z = self._solve(1, r)
        plain = _dot(r, z)
        if self._space is None:
            return z, r, plain
        more = self._slow_correction(self._space, r)
        B_more = aligned_empty(more.shape, more.dtype)
        run(
            lambda rows: product_rows(rows, self.factors[1], more, B_more),
            self._blocks[1],
            self.threads,
        )
        return aligned(z + more), r + B_more, plain

    @property
    def _space(self) -> SlowSpace | Recycled | None:
        return self.recycled if self.slow is None else self.slow

    def _slow_correction(self, slow: SlowSpace | Recycled, r: Array) -> Array:
        more = slow.correction(r)
        # rows that have lost their last interaction since the space was found stay at zero
        more[self._empty] = 0
        return more

    def advance(self, direction: Direction) -> float:
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
                self.P += self.P.dtype.type(t) * line[0]
                self.Q += self.Q.dtype.type(t) * line[1]
        return gained

    def along(self, line: Pair) -> Polynomial:
        """L(P + t V, Q + t W) − L(P, Q), exactly: a quartic in t."""
        return quartic_along(
            self.sides,
            (self.P, self.Q),
            (self._other(0), self._seen(0, line[1])),
            line,
            self.threads,
        )

    # ------------------------------------------------------------------ pieces

    def _other(self, place: int) -> Array:
        return self._seen(place, self.Q if place == 0 else self.P)

    def _seen(self, place: int, x: Array) -> Array:
        """The other side's rows as this side sees them: times h."""
        return x * self._h if self._scaled else x

    def _factor(self, place: int, *, move: bool, rows: Array | None = None) -> tuple[float, float]:
        side, x, Z = self.sides[place], (self.P, self.Q)[place], self._other(place)
        work = self._blocks[place] if rows is None else blocks(side, rows, x.shape[1], self.threads)
        return factor_blocks(
            side,
            Z,
            x,
            self.factors[place],
            self._gradients[place],
            rank=self.rank,
            move=move,
            work=work,
            threads=self.threads,
        )

    def find_errors(self) -> None:
        """``errors`` of this point: ω s − c y of every interaction, in the order of users and in
        that of items.
        """
        for place in (0, 1):
            self._error(place)

    def residual_product(self, place: int, X: Array) -> Array:
        """E X for few columns on the items (0), or Eᵀ X for such on the users (1); E = ½ ∂L/∂ŷ,
        after ``find_errors``.

        E has w s − c y in observed cells and w⁻ s in missing ones.
        """
        side, x, Z = self.sides[place], (self.P, self.Q)[place], self._other(place)
        E = csr_array(
            (self.errors[place], side.indices, side.indptr), shape=(side.rows, Z.shape[0])
        )
        weighted = X * side.other[:, None] if side.other.size else X
        missing = x.dtype.type(side.missing_weight) * side.own[:, None] * (x @ (Z.T @ weighted))
        return np.asarray(E @ X + missing)

    def _error(self, place: int) -> None:
        from alteraser.solvers.kernels.joint import error_rows

        side, x, Z = self.sides[place], (self.P, self.Q)[place], self._other(place)
        w0 = x.dtype.type(side.missing_weight)
        run(
            lambda rows: error_rows(
                rows,
                side.indptr,
                side.indices,
                side.confidence,
                side.target,
                side.own,
                side.other,
                w0,
                x,
                Z,
                self.errors[place],
            ),
            self._blocks[place],
            self.threads,
        )

    def _cross(self, place: int, direction: Array) -> Array:
        """C times a direction of the items (0), or Cᵀ times one of the users (1)."""
        from alteraser.solvers.kernels.joint import cross_rows

        side, x, Z = self.sides[place], (self.P, self.Q)[place], self._other(place)
        W = aligned(self._seen(place, direction))
        w0 = x.dtype.type(side.missing_weight)
        mixed = np.ascontiguousarray(
            self._mixed(w0 * ((Z * side.other[:, None] if side.other.size else Z).T @ W))
        )
        out = aligned_empty(x.shape, x.dtype)
        run(
            lambda rows: cross_rows(
                rows,
                side.indptr,
                side.indices,
                side.confidence,
                side.own,
                side.other,
                w0,
                self.errors[place],
                x,
                Z,
                W,
                mixed,
                out,
            ),
            self._blocks[place],
            self.threads,
        )
        return out

    def _mixed(self, along: Array) -> Array:
        """M of ``cross_rows`` from w₀ Zᵀ diag(b) W: what missing cells add."""
        return along + along.T

    def _solve(self, place: int, right: Array) -> Array:
        from alteraser.solvers.kernels.joint import solve_rows

        out = aligned_empty(right.shape, right.dtype)
        run(
            lambda rows: solve_rows(rows, self.factors[place], right, out),
            self._blocks[place],
            self.threads,
        )
        return out

    def _ease(self) -> None:
        """Blocks of the items with what their heavy cells weigh once users give way, see
        ``solvers.easing``.
        """
        side, other = self.sides[1], aligned(self._other(1))
        eased = eased_confidence(self.sides[0], aligned(self._other(0)), self.factors[0])
        order = self.problem.interactions.by_item.order
        if self.light is None:
            self.light = aligned_empty(self.factors[1].shape, self.Q.dtype)
        factor_blocks(
            replace(side, confidence=np.ascontiguousarray(eased[order], dtype=self.Q.dtype)),
            other,
            self.Q.copy(),
            self.light,
            np.zeros_like(self.Q),
            rank=self.rank,
            move=False,
            work=self._blocks[1],
            threads=self.threads,
        )

    def _solve_light(self, right: Array) -> Array:
        from alteraser.solvers.kernels.joint import solve_rows

        given, out, light = aligned(right), aligned_empty(right.shape, right.dtype), self.light
        run(lambda rows: solve_rows(rows, light, given, out), self._blocks[1], self.threads)
        return out

    def _sliced(self, V: Array, W: Array) -> Pair:
        """The same direction without its share of a rotation, which would only lengthen it."""
        if not self._rotates:
            return V, W
        both = Rotations(self.P, self.Q)
        S = both.of(V, W)
        return V - self.P @ S, W - self.Q @ S


def _root(part: float, whole: float) -> float:
    """√(part / whole); infinite where there is no whole."""
    return float(np.sqrt(part / whole)) if whole > 0 else np.inf


def _dot(a: Array, b: Array) -> float:
    return float(np.vdot(a, b))
