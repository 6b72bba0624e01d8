"""Only the deletion's effect: for models that were stopped before they came to rest.

Such a model has a gradient of its own left, g = ∇L_{D_a}(Θ_a). Going on to an optimum would be
another training, and would move everybody. What is looked for instead is the point near Θ_a where
the remaining data leave that gradient,

    ∇L_{D_r}(Θ) = g,      g = 0 in rows that D_r leaves empty, which are zero themselves,

a stationary point of the *anchored* objective L_{D_r}(Θ) − ⟨g, Θ⟩. To first order in the deletion
it is Θ_a moved by −H⁻¹(∇L_{D_r} − ∇L_{D_a}), H the Hessian on D_r: what the deletion does to the
optimum that training was on its way to.

The rows of the deletion come first, each to its anchored minimum given the others; then Newton
steps on both sides, by conjugate gradients on the users' Schur complement
(``alteraser.solvers.joint``) with blocks factored once and the anchored gradient in float64, so
that steps refine each other (Wilkinson 1963). On a step's line the anchored objective is a quartic,
and the step goes to where that is least: along directions in which L hardly bends the fourth power
soon outweighs the second, and a whole step would go too far or not far enough.

**What is missing** after a step of length s is what its solve left, estimated from above
(``alteraser.linalg.ahead``), and what L is no quadratic for. The next step measures both: with ρ =
s / s' the share of the one before that it still was, what comes after it is about s ρ / (1 − 2 ρ).
Newton's method halves its steps on the way to a point where the curvature ends (Decker & Kelley,
SIAM J. Numer. Anal. 1980): from ρ = 1/2 on nothing is known of where they lead. So at least two
solves are made, the second in the light of the first, whose directions of least curvature are kept
for it.

Where training had not arrived, L may bend down: a step ends where it meets that. From there on, and
where steps do not shorten, what is missing is not known. Short steps go on then for the residual
alone, and where they lead no further, anchored passes, for as long as each takes a good share of
it. In no case is the anchored residual above that of the rows of the deletion alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alteraser.erasers.anchored_point import MARGIN, AnchoredPoint, Pair, length
from alteraser.erasers.driver import Effect, Outcome
from alteraser.erasers.shift import Shift
from alteraser.errors import InvalidInput
from alteraser.linalg.ahead import SURE
from alteraser.linalg.pairs import norm
from alteraser.models import Factors
from alteraser.solvers.joint import JointStep
from alteraser.solvers.limits import DEFAULT
from alteraser.solvers.loop import AGAIN, Decided, End, Move, Plan, Solution, Until, minimize
from alteraser.solvers.trace import OnPass, PassRecord

PROGRESS = 0.93
"""A step that leaves more than this share of the anchored residual is the last of its kind."""

BEGUN = 0.15
"""Share of the first step that may be ahead when it ends: the second, which finds what L is no
quadratic for, has to go the same directions again."""

SOLVED = 0.6
"""Share of what may be missing that a later solve may leave."""

TURNING = 0.4
"""Where two steps in a row are more than this share of the one before, they lead nowhere that more
could be said of."""

LUCKY = 0.5
"""Share of the last step's ratio that the next one's is taken to be at least: where what L is no
quadratic for changes its sign, one step may shorten by far more than those after it."""

MORE, FEW = 1.5, 40
"""A later step may take MORE times as many products as the first, of which FEW are reckoned in any
case: a short first step says little of how many directions there are. One that takes more had
learned little from it: the directions of least curvature are others a step away, and there will be
others again."""

SHALLOW, DEEP = 0.05, 1e-3
"""How far the first step's residual has to fall at least, since L is no quadratic; and any step's
at most."""

MEND = 8
"""Products of a step for the residual alone. That lies in quick directions; more products would go
far along slow ones, of which nothing is known then."""

FAR = 0.25
"""Share of the model's size beyond which a step is not taken whole: a quadratic says nothing that
far away."""


@dataclass(frozen=True)
class Local:
    """The anchored stationary point near the original: ∇L_{D_r}(Θ_u) = ∇L_{D_a}(Θ_a), class L."""

    tolerance: float = DEFAULT.residual
    """‖∇L_{D_r}(Θ_u) − ∇L_{D_a}(Θ_a)‖_{B⁻¹} over the deletion's push that may stay."""
    effect: float = DEFAULT.effect
    """Share of the deletion's effect that may be missing: ‖Θ* − Θ_u‖ over ‖Θ_u − Θ_a‖ in the rows
    that D_r leaves, Θ* the anchored stationary point; estimated from above."""
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

    def erase(self, shift: Shift, on_pass: OnPass | None = None) -> Outcome:
        """See ``Eraser.erase``; ``Outcome.residual`` is the anchored one and ``Outcome.effect``
        says what is missing.

        Raises InvalidInput where D_a is not known; NumericFailure for a row without a solution or a
        model that is not finite; Interrupted on Ctrl-C.
        """
        if shift.before is None:
            raise InvalidInput(
                "local needs the interactions as trained on: what training left of its gradient "
                f"is measured on them, and {shift.unknown}. Use the method converge"
            )
        before, steps = shift.before, Steps(self.effect, self.products)
        plan: Plan[AnchoredPoint] = Plan(
            "touched",
            {"touched": LocalTouched(), "steps": steps, "passes": LocalPasses()},
            {
                ("touched", "there"): End("tolerance"),
                ("touched", "open"): "steps",
                ("touched", "cramped"): "passes",
                ("steps", "there"): End("tolerance"),
                ("steps", "spent"): "passes",
                ("passes", "there"): End("tolerance"),
                ("passes", "spent"): End("bent"),
            },
        )
        until = Until(self.tolerance, self.max_passes)
        found = minimize(
            lambda: (AnchoredPoint(shift, before, self.tolerance), plan), until, on_pass=on_pass
        )
        return self._outcome(found)

    def _outcome(self, found: Solution[AnchoredPoint, PassRecord]) -> Outcome:
        point, residual, trace, original = (
            found.state,
            found.residual,
            found.trace,
            found.state.shift.original,
        )
        moved, left = point.moved(), point.share()
        if left is not None and not point.held.know(point.at.items):
            left = None
        # what the solves are kept off, or could not bring down, is missing all the same, and what
        # rounding for storage takes away
        if left is not None:
            left = max(left, residual)
        size = norm((original.users, original.items))
        if left is not None and moved > 0:
            left += 0.5 * float(np.finfo(original.dtype).eps) * size / moved
        effect = Effect(residual, point.rows_alone, left, moved, size, point.noise, point.bent)
        whole = moved == 0.0 or (left is not None and left <= self.effect)
        converged = residual <= point.limit and whole
        capped = found.ended != "bent" and len(trace) >= self.max_passes
        scopes = {record.scope for record in trace}
        route = (
            "rows",
            *(name for name, scope in (("joint", "joint"), ("passes", "all")) if scope in scopes),
        )
        return Outcome(
            point.at,
            trace,
            found.objective,
            residual,
            converged,
            len(trace),
            point.work.rows,
            point.work.products,
            0,
            "tolerance" if converged else "passes" if capped else "bent",
            route=route,
            effect=effect,
            push=replace(point.push, floor=point.floor()),
        )


class LocalTouched(Decided):
    """The rows of the deletion. Signals: ``there``; ``open``; ``cramped``, there is no room for
    blocks.
    """

    def move(self, state: AnchoredPoint) -> Move:
        """Each to its anchored minimum given the others."""
        rows = state.move_touched()
        record = PassRecord.of("touched", state.objective, state.residual, rows)
        if state.joint is not None:
            return Move(record, "open")
        return Move(record, "there" if state.enough(state.residual) else "cramped")


class LocalPasses(Decided):
    """Anchored passes. Signals: ``there``; ``spent``, they lead no further."""

    def move(self, state: AnchoredPoint) -> Move:
        """One, where it leaves less."""
        before = state.residual
        reached = state.reach(state.passed())
        if not reached < before:
            return Move(signal="spent")
        record = PassRecord.of("all", state.objective, reached, state.rows)
        if state.enough(reached):
            return Move(record, "there")
        return Move(record, AGAIN if reached < PROGRESS * before else "spent")


class Steps(Decided):
    """Steps on both sides at once: in the light of each other while what is missing is known, then
    short ones for the residual alone. Signals: ``there``; ``spent``, they lead no further.
    """

    def __init__(self, effect: float, products: int) -> None:
        self._effect, self._products = effect, products
        self._known = True  # what is missing is found by steps that shorten
        self._mend = MEND
        # length of the step before, over that of the one before it
        self._last, self._ratio = 0.0, 0.0
        self._taken = 0  # products of the first step
        self._here = np.inf  # ‖Θ* − Θ‖_F before the step at hand, estimated

    def move(self, state: AnchoredPoint) -> Move:
        """One step, where it leaves less."""
        before = state.residual
        step, products = self._step(state)
        state.work.products += products
        reached = state.reach(state.at if step is None else self._gone(state, step))
        if not reached < before:
            return Move(signal=self._stuck(state))
        record = PassRecord.of(
            "joint", state.objective, reached, state.rows, products=products, distance=state.share()
        )
        if state.enough(reached):
            return Move(record, AGAIN if self._known and self._lacks(state) else "there")
        return Move(record, AGAIN if self._known or reached < PROGRESS * before else "spent")

    def _stuck(self, state: AnchoredPoint) -> str:
        """The step was not taken."""
        if state.enough(state.residual):
            # what it would have gone is missing too
            state.missing = self._here if self._known else np.inf
            return "there"
        if not self._known:
            return "spent"
        self._forget(state)
        return AGAIN

    def _forget(self, state: AnchoredPoint) -> None:
        """From here on what is missing is not known."""
        self._known, state.missing = False, np.inf

    def _lacks(self, state: AnchoredPoint) -> bool:
        """Whether more of the effect may be missing than is allowed."""
        return not state.missing <= MARGIN * self._effect * state.moved()

    def _step(self, state: AnchoredPoint) -> tuple[Pair | None, int]:
        """(step, products), ``missing`` being what it will leave; None where there is none to be
        had.
        """
        gradient, tolerance, products = (
            state.gradient,
            state.limit,
            self._products - state.work.products,
        )
        allowed = SOLVED * MARGIN * self._effect * state.moved() / SURE
        self._known = self._known and products > 0
        joint = state.settled() if self._known else state.joint
        assert joint is not None
        if not self._known:
            forcing = max(0.3 * tolerance / state.residual, DEEP)
            found = joint.solve(
                gradient,
                forcing=forcing,
                products=self._mend,
                missing=allowed,
                level=state.held.level,
            )
        elif self._last == 0.0:
            found = joint.solve(
                gradient,
                forcing=SHALLOW,
                products=products,
                share=BEGUN,
                missing=allowed,
                learn=True,
                level=state.held.level,
            )
            self._taken = found.products
        else:
            forcing = min(max(0.3 * tolerance / state.residual, DEEP), 0.5)
            products = min(products, self._most)
            found = joint.solve(
                gradient,
                forcing=forcing,
                products=products,
                missing=allowed,
                level=state.held.level,
            )
        if found.negative is not None:  # so far, and a product less, L bends up
            state.bent, self._mend = True, max(min(self._mend, found.products - 1), 1)
            self._forget(state)
        elif self._known:
            self._look(state, found)
        return found.newton, found.products

    @property
    def _most(self) -> int:
        """Products that a later step may take."""
        return int(MORE * max(self._taken, FEW))

    def _look(self, state: AnchoredPoint, found: JointStep) -> None:
        """What a step will leave, from its length and that of the one before it."""
        reach = 0.0 if found.newton is None else length(found.newton, state.live)
        ratio = reach / self._last if self._last > 0 else np.inf if reach > 0 else 0.0
        left = SURE * found.ahead
        self._here = reach + left if ratio < TURNING else np.inf
        sure = max(ratio, LUCKY * self._ratio)
        state.missing = left + (reach * sure / (1.0 - 2.0 * sure) if sure < 0.5 else np.inf)
        lost = min(ratio, self._ratio) > TURNING or found.products >= self._most
        if lost and ratio < np.inf and self._lacks(state):
            self._forget(state)
        self._last, self._ratio = reach, ratio if np.isfinite(ratio) else 0.0

    def _gone(self, state: AnchoredPoint, step: Pair) -> Factors:
        """The factors where the anchored objective is least on the step's line, as they would be
        stored; no further than FAR of the model's size.
        """
        users, items = state.at.users, state.at.items
        far = FAR * (norm((users, items)) or 1.0) / (norm(step) or 1.0)
        t = min(state.least_along(step), far)
        state.missing += abs(1.0 - t) * self._last  # another step would have to go that as well
        self._last *= t  # how far it went
        if t == far:
            state.missing, self._last = np.inf, 0.0
        P, Q = users.astype(np.float64) + t * step[0], items.astype(np.float64) + t * step[1]
        P[~state.live[0]], Q[~state.live[1]] = 0.0, 0.0
        return state.stored(P, Q)
