"""Only the deletion's effect: for models that were stopped before they came to rest.

Such a model has a gradient of its own left, g = ∇L_{D_a}(Θ_a). Going on to an optimum would be another training, and
would move everybody. What is looked for instead is the point near Θ_a where the remaining data leave that gradient,

    ∇L_{D_r}(Θ) = g,      g = 0 in rows that D_r leaves empty, which are zero themselves,

a stationary point of the *anchored* objective L_{D_r}(Θ) − ⟨g, Θ⟩. To first order in the deletion it is Θ_a moved by
−H⁻¹(∇L_{D_r} − ∇L_{D_a}), H the Hessian on D_r: what the deletion does to the optimum that training was on its way to.

The rows of the deletion come first, each to its anchored minimum given the others; then Newton steps on both sides, by
conjugate gradients on the users' Schur complement (``alteraser.solvers.joint``) with blocks factored once and the
anchored gradient in float64, so that steps refine each other (Wilkinson 1963).

**What is missing** after a step of length s is what its solve left, estimated from above (``alteraser.linalg.ahead``),
and what L is no quadratic for. The next step measures both: with ρ = s / s' the share of the one before that it still
was, what comes after it is about s ρ / (1 − 2 ρ). Newton's method halves its steps on the way to a point where the
curvature ends (Decker & Kelley, SIAM J. Numer. Anal. 1980): from ρ = 1/2 on nothing is known of where they lead. So at
least two solves are made, the second in the light of the first, whose directions of least curvature are kept for it.

Where training had not arrived, L may bend down: a step ends where it meets that. From there on, and where steps do not
shorten, what is missing is not known. Short steps go on then for the residual alone, and where they lead no further,
anchored passes, for as long as each takes a good share of it. In no case is the anchored residual above that of the
rows of the deletion alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from alteraser.erasers.driver import Effect, OnPass, Outcome, PassRecord, Reason, Scope
from alteraser.erasers.task import Task
from alteraser.errors import Interrupted, InvalidInput, NumericFailure
from alteraser.models import Factors, Problem
from alteraser.solvers.anchors import Anchors, storing_noise
from alteraser.solvers.joint import Direction, Joint
from alteraser.solvers.limits import DEFAULT
from alteraser.solvers.residuals import row_gradients
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import (
    Evaluation,
    Push,
    block_solve,
    evaluate,
    gradient_norm,
    half_gradients,
    unchanged,
)

Float64 = npt.NDArray[np.float64]
Pair = tuple[Float64, Float64]
Rows = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

PROGRESS = 0.93
"""A step that leaves more than this share of the anchored residual is the last of its kind."""

MARGIN = 0.8
"""Share of the tolerance, and of the effect that may be missing, to come within."""

BEGUN = 0.15
"""Share of the first step that may be ahead when it ends: the second, which finds what L is no quadratic for, has to go
the same directions again."""

SOLVED = 0.5
"""Share of what may be missing that a later solve may leave."""

TURNING = 0.4
"""Where two steps in a row are more than this share of the one before, they lead nowhere that more could be said of."""

FEW = 16
"""Products that a later step may take in any case. One that takes more than the first had learned little from it: the
directions of least curvature are others a step away, and there will be others again."""

SHALLOW, DEEP = 0.05, 1e-3
"""How far the first step's residual has to fall at least, since L is no quadratic; and any step's at most."""

MEND = 8
"""Products of a step for the residual alone. That lies in quick directions; more products would go far along slow ones,
of which nothing is known then."""

STALE = 0.02
"""Blocks are factored again once the model has moved by this share of its size; a step as long is no mending."""

NEAR = 0.8
"""Share of the tolerance, or of the residual, from which on the residual is measured with blocks of the very point: of
those at hand, which are of a point within STALE, it is known to a few hundredths."""

FAR = 0.25
"""Share of the model's size beyond which a step is not taken whole: a quadratic says nothing that far away."""


@dataclass(frozen=True)
class Local:
    """The anchored stationary point near the original: ∇L_{D_r}(Θ_u) = ∇L_{D_a}(Θ_a), class L."""

    tolerance: float = DEFAULT.residual
    """‖∇L_{D_r}(Θ_u) − ∇L_{D_a}(Θ_a)‖_{B⁻¹} over the deletion's push that may stay."""
    effect: float = DEFAULT.effect
    """Share of the deletion's effect that may be missing: ‖Θ* − Θ_u‖ over ‖Θ_u − Θ_a‖ in the rows that D_r leaves, Θ*
    the anchored stationary point; estimated from above."""
    max_passes: int = 12
    """Cap on steps, the rows of the deletion counted as one."""
    products: int = 300
    """Iterations of conjugate gradients that all steps together may take."""
    solver: str = "joint"
    name: str = "local"

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < np.inf or not 0 < self.effect < np.inf:
            raise InvalidInput("Local: tolerance is a number of at least 0, effect one above 0")
        if self.max_passes < 1 or self.products < 1:
            raise InvalidInput("Local: max_passes and products are at least 1")

    def erase(self, task: Task, on_pass: OnPass | None = None) -> Outcome:
        """See ``Eraser.erase``; ``Outcome.residual`` is the anchored one and ``Outcome.effect`` says what is missing.

        Raises InvalidInput where D_a is not known; NumericFailure for a row without a solution or a model that is not
        finite; Interrupted on Ctrl-C.
        """
        if task.before is None:
            raise InvalidInput(
                "local needs the interactions as trained on: what training left of its gradient is measured on them, "
                f"and {task.unknown}. Use the method converge"
            )
        with threadpool_limits(1):
            try:
                return _Run(self, task, task.before, on_pass).run()
            except KeyboardInterrupt:
                raise Interrupted("interrupted; nothing was changed") from None


class _Run:
    """The state of one erasure. ``factors`` are as they would be stored; gradients are float64 at exactly these."""

    joint: Joint | None
    """Blocks of both sides; None where there is no room for them"""
    held: Anchors
    push: Push
    factors: Factors

    def __init__(self, settings: Local, task: Task, before: Problem, on_pass: OnPass | None) -> None:
        self.settings, self.task, self.on_pass = settings, task, on_pass
        # the working precision would round λ, w₀ and the confidences, and with them what is asked for
        self.before, self.after = (replace(problem, dtype=np.float64) for problem in (before, task.after))
        self.threads = task.workers
        self.trace: list[PassRecord] = []
        self.rows = self.products = 0
        self.live = self.after.users.counts > 0, self.after.items.counts > 0
        self.bent, self.mend = False, MEND
        self.known = True  # what is missing is found by steps that shorten
        self.last, self.ratio = 0.0, 0.0  # length of the step before, over that of the one before it
        self.taken = 0  # products of the first step
        self.missing = self.here = np.inf  # ‖Θ* − Θ‖_F after the step at hand and before it, estimated
        for side, x in (("user", task.original.users), ("item", task.original.items)):
            if not np.all(np.isfinite(x)):
                row = int(np.flatnonzero(~np.all(np.isfinite(x), axis=1))[0])
                raise NumericFailure(
                    f"{side} row {row} of the original is not finite; the model is damaged, restore it"
                )

    def run(self) -> Outcome:
        """Rows of the deletion, then steps until both the residual and what is missing are small enough."""
        settings = self.settings
        began = time.perf_counter()
        self._begin()
        now = evaluate(self.after, self.factors, threads=self.threads)
        self._factor()
        gradient = self._anchored(now)
        residual = self.rows_alone = self._residual(gradient)
        self.noise = storing_noise(now.theta_norm, self.task.original.dtype) / (self.push.norm or 1.0)
        touched = sum(rows.size for rows in self._touched())
        self.rows += touched
        self._record("touched", began, now.objective, residual, touched, 0, None)
        objective = now.objective
        reason: Reason = "passes"
        passing = self.joint is None
        self.known = not passing
        while len(self.trace) < settings.max_passes:
            if self._enough(residual) and not (self.known and self._lacks()):
                reason = "tolerance"
                break
            began = time.perf_counter()
            step, products = (None, 0) if passing else self._step(gradient, residual)
            self.products += products
            following = self._passed() if passing else self._gone(step) if step is not None else self.factors
            now = evaluate(self.after, following, threads=self.threads)
            gradient, before = self._anchored(now), gradient
            reached = self._residual(gradient)
            rows = int(sum(np.sum(live) for live in self.live))
            self.rows += rows
            stuck = not reached < residual  # L is no quadratic that far away, or the precision holds no more
            slow = not reached < PROGRESS * residual and not self.known and not self._enough(reached)
            if stuck:
                gradient = before
            else:
                self._place(following)
                scope: Scope = "all" if passing else "joint"
                self._record(scope, began, now.objective, reached, rows, products, None if passing else self._share())
                residual, objective = reached, now.objective
            if stuck and self._enough(residual):
                self._stay()
                reason = "tolerance"
                break
            if stuck and self.known:
                self.known, self.missing = False, np.inf
            elif stuck or slow:
                if passing:
                    reason = "bent"
                    break
                passing = True
        return self._outcome(objective, residual, reason)

    # ------------------------------------------------------------------ pieces

    def _begin(self) -> None:
        """What training left, the push, and the rows of the deletion at their anchored minima."""
        task, original = self.task, self.task.original
        first = evaluate(self.before, original, threads=self.threads)
        self.held = Anchors.of(first, self.after)
        change, objective = self._change(first)
        norm = gradient_norm(task.after, original, *change, threads=self.threads)
        self.first = first
        self.push = Push(norm, objective, None)
        P, Q = (np.asarray(x, dtype=np.float64).copy() for x in (original.users, original.items))
        P[~self.live[0]], Q[~self.live[1]] = 0.0, 0.0
        h = np.asarray(original.prediction, dtype=np.float64)
        sides = (self.after.users, P, Q, self.held.users), (self.after.items, Q, P, self.held.items)
        for (side, x, other, held), rows in zip(sides, self._touched(), strict=True):
            if rows.size:
                right = np.zeros_like(x)
                right[rows] = 0.5 * held[rows] - half_gradients(side, other * h, x, rows, threads=self.threads)
                moved = np.zeros_like(x)
                block_solve(
                    side, padded(other * h), right, rows, rank=original.rank, threads=self.threads, solution=moved
                )
                x[rows] += moved[rows]
        if np.ptp(h) == 0:  # what these rows did together may be a rotation in part, which is no effect of anything
            U, _, Vt = np.linalg.svd(P.T @ original.users + Q.T @ original.items)
            P, Q = P @ (U @ Vt), Q @ (U @ Vt)
        self.factors = self._stored(P, Q)

    def _change(self, first: Evaluation) -> tuple[Pair, float]:
        """(∇L_{D_r} − ∇L_{D_a}, L_{D_r}) at the original, from the rows alone that see the deletion."""
        original, h = self.task.original, np.asarray(self.task.original.prediction, dtype=np.float64)
        change = np.zeros(original.users.shape), np.zeros(original.items.shape)
        objective = first.objective
        for place, (a, b) in enumerate(((self.before.users, self.after.users), (self.before.items, self.after.items))):
            x, other = (original.users, original.items)[:: 1 if place == 0 else -1]
            rows = np.flatnonzero(~unchanged(a, b))
            if not rows.size:
                continue
            seen, some = other * h, np.ascontiguousarray(x[rows])
            for sign, side in ((-1.0, a), (1.0, b)):
                here = side.take(rows)
                half, loss, _ = row_gradients(here, seen, some, here.gram(seen), self.threads)
                change[place][rows] += sign * 2.0 * half
                objective += sign * (loss if place == 0 else 0.0)
                objective += sign * float(np.dot(here.ridge.astype(np.float64), np.einsum("id,id->i", some, some)))
        return change, objective

    def _touched(self) -> Rows:
        """Rows of the deletion that D_r does not leave empty."""
        users, items = self.task.touched_users, self.task.touched_items
        return users[self.live[0][users]], items[self.live[1][items]]

    def _stored(self, P: Float64, Q: Float64) -> Factors:
        original = self.task.original
        return Factors(P.astype(original.dtype), Q.astype(original.dtype), original.prediction)

    def _factor(self) -> None:
        problem = self.task.after
        P, Q = (padded(np.asarray(x, dtype=problem.dtype)) for x in (self.factors.users, self.factors.items))
        if not Joint.fits(problem, P.shape[1]):
            self.joint = None
            return
        self.joint = Joint(problem, P, Q, self.factors.prediction.astype(problem.dtype), self.threads)
        self.joint.settle(move=False)

    def _anchored(self, here: Evaluation) -> Pair:
        """∇L_{D_r} − g"""
        return here.user_gradient - self.held.users, here.item_gradient - self.held.items

    def _residual(self, gradient: Pair) -> float:
        if not all(np.isfinite(g).all() for g in gradient):
            return float("inf")
        scale = self.push.norm or 1.0
        if self.joint is not None:
            return self.joint.norm(gradient) / scale
        return gradient_norm(self.task.after, self.factors, *gradient, threads=self.threads) / scale

    def _enough(self, residual: float) -> bool:
        """Within the tolerance, or no more than storing leaves; a little less, since blocks are of a point near by."""
        return residual <= MARGIN * max(self.settings.tolerance, self.noise)

    def _share(self) -> float | None:
        """Estimated share of the effect that is missing, where that is known."""
        moved = self._moved()
        return float(self.missing / moved) if moved > 0 and np.isfinite(self.missing) else None

    def _lacks(self) -> bool:
        """Whether more of the effect may be missing than is allowed."""
        return not self.missing <= MARGIN * self.settings.effect * self._moved()

    def _step(self, gradient: Pair, residual: float) -> tuple[Pair | None, int]:
        """(step, products), ``missing`` being what it will leave; None where there is none to be had."""
        assert self.joint is not None
        settings = self.settings
        tolerance, products = max(settings.tolerance, self.noise), settings.products - self.products
        allowed = SOLVED * MARGIN * settings.effect * self._moved()
        self.known = self.known and products > 0
        if not self.known:
            forcing = max(0.3 * tolerance / residual, DEEP)
            found = self.joint.solve(gradient, forcing=forcing, products=self.mend, missing=allowed)
        elif self.last == 0.0:
            found = self.joint.solve(
                gradient, forcing=SHALLOW, products=products, share=BEGUN, missing=allowed, learn=True
            )
            self.taken = found.products
        else:
            forcing = min(max(0.3 * tolerance / residual, DEEP), 0.5)
            products = min(products, max(self.taken, FEW))
            found = self.joint.solve(gradient, forcing=forcing, products=products, missing=allowed)
        if found.negative is not None:  # so far, and a product less, L bends up
            self.bent, self.mend = True, max(min(self.mend, found.products - 1), 1)
            self.known, self.missing = False, np.inf
        elif self.known:
            self._judge(found)
        return found.newton, found.products

    def _judge(self, found: Direction) -> None:
        """What a step will leave, from its length and that of the one before it."""
        length = 0.0 if found.newton is None else _length(found.newton, self.live)
        ratio = length / self.last if self.last > 0 else np.inf if length > 0 else 0.0
        self.here = length + found.ahead if ratio < TURNING else np.inf
        self.missing = found.ahead + (length * ratio / (1.0 - 2.0 * ratio) if ratio < 0.5 else np.inf)
        lost = min(ratio, self.ratio) > TURNING or found.products >= max(self.taken, FEW)
        if lost and ratio < np.inf and self._lacks():
            self.known, self.missing = False, np.inf
        self.last, self.ratio = length, ratio if np.isfinite(ratio) else 0.0

    def _stay(self) -> None:
        """The last step was not taken: what it would have gone is missing too."""
        self.missing = self.here if self.known else np.inf

    def _passed(self) -> Factors:
        """A pass: every user's row to its anchored minimum given the items, then every item's given the users."""
        P, Q = (x.astype(np.float64) for x in (self.factors.users, self.factors.items))
        h, dtype = self.factors.prediction.astype(np.float64), self.task.after.dtype
        sides = (self.after.users, P, Q, self.held.users), (self.after.items, Q, P, self.held.items)
        for side, x, other, held in sides:
            live = np.flatnonzero(side.counts)
            right, moved = np.zeros_like(x), np.zeros_like(x)
            right[live] = 0.5 * held[live] - half_gradients(side, other * h, x, live, threads=self.threads)
            seen = padded((other * h).astype(dtype))
            block_solve(side, seen, right, live, rank=h.size, threads=self.threads, solution=moved)
            x += moved
        return self._stored(P, Q)

    def _gone(self, step: Pair) -> Factors:
        """The factors a step away, as they would be stored; no further than FAR of the model's size."""
        size = _norm((self.factors.users, self.factors.items)) or 1.0
        t = min(1.0, FAR * size / (_norm(step) or 1.0))
        if t < 1.0:
            self.missing, self.last = np.inf, 0.0
        P, Q = self.factors.users.astype(np.float64) + t * step[0], self.factors.items.astype(np.float64) + t * step[1]
        P[~self.live[0]], Q[~self.live[1]] = 0.0, 0.0
        return self._stored(P, Q)

    def _place(self, factors: Factors) -> None:
        self.factors = factors
        if self.joint is not None:
            self.joint.place(factors.users, factors.items)
            if self.joint.moved > STALE:
                self.joint.settle(move=False)

    def _moved(self) -> float:
        """‖Θ_u − Θ_a‖_F over the rows that D_r leaves"""
        original = self.task.original
        change = self.factors.users.astype(np.float64) - original.users, self.factors.items - original.items
        return _length(change, self.live)

    def _record(
        self, scope: Scope, began: float, objective: float, residual: float, rows: int, products: int,
        missing: float | None,
    ) -> None:  # fmt: skip
        seconds = time.perf_counter() - began
        record = PassRecord(len(self.trace) + 1, scope, objective, residual, seconds, rows, False, products, missing)
        self.trace.append(record)
        if self.on_pass:
            self.on_pass(record)

    def _route(self) -> tuple[str, ...]:
        scopes = [record.scope for record in self.trace]
        return ("rows", *(["joint"] if "joint" in scopes else []), *(["passes"] if "all" in scopes else []))

    def _unreached(self, reason: Reason) -> Reason:
        """Why the run ended where that was not enough."""
        return "passes" if reason == "passes" and len(self.trace) >= self.settings.max_passes else "bent"

    def _outcome(self, objective: float, residual: float, reason: Reason) -> Outcome:
        task, moved = self.task, self._moved()
        limit = max(self.settings.tolerance, self.noise)
        if NEAR * limit < residual <= limit / NEAR:  # near it, the blocks of the very point decide
            now = evaluate(self.after, self.factors, threads=self.threads)
            norm = gradient_norm(task.after, self.factors, *self._anchored(now), threads=self.threads)
            residual = norm / (self.push.norm or 1.0)
        size = _norm((task.original.users, task.original.items))
        left = self._share()
        if left is not None:  # what the solves are kept off, or could not bring down, is missing all the same
            left = max(left, residual)
        effect = Effect(residual, self.rows_alone, left, moved, size, self.noise, self.bent)
        floor = None
        if self.joint is not None and self.push.norm > 0:
            floor = self.joint.norm((self.first.user_gradient, self.first.item_gradient)) / self.push.norm
        found = moved == 0.0 or (effect.left is not None and effect.left <= self.settings.effect)
        converged = residual <= limit and found
        return Outcome(
            self.factors, tuple(self.trace), objective, residual, converged, len(self.trace), self.rows, self.products,
            0, "tolerance" if converged else self._unreached(reason), route=self._route(),
            effect=effect, push=replace(self.push, floor=floor),
        )  # fmt: skip


def _norm(pair: tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]) -> float:
    return float(np.sqrt(sum(float(np.einsum("id,id->", x, x, dtype=np.float64)) for x in pair)))


def _length(pair: Pair, rows: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]) -> float:
    return _norm((pair[0][rows[0]], pair[1][rows[1]]))
