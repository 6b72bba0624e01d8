"""The certificate: how far a published model is from an optimum for the remaining data, from its
bytes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput
from alteraser.evidence.certificate.compiled import Compiled
from alteraser.evidence.certificate.curvature import LeastCurvature, estimated, proved, quotient
from alteraser.evidence.certificate.plain import UNIT, Pair, Plain, norm, rounding
from alteraser.evidence.certificate.rotation import Slice
from alteraser.evidence.certificate.solve import Solver
from alteraser.evidence.certificate.theorem import ball, lipschitz
from alteraser.evidence.certificate.words import NAMES, Class, sentence
from alteraser.metrics import model_distance
from alteraser.models import Factors, Objective, Problem
from alteraser.runtime import events
from alteraser.runtime.workers import default_threads
from alteraser.solvers.collapse import collapse
from alteraser.solvers.limits import STORED, Limits, influence, untold

PROVE_UP_TO = 6000
"""(m + n) d up to which μ is proved by a dense factorization: about 0.9 GB and seconds."""


UNDETERMINED = (
    "the regularization is 0: any invertible change of the factors leaves L as it is, so there is "
    "no optimum to be near; train with --regularization above 0"
)


WELL_SOLVED, WELL_REFINED, REFINES = 0.1, 1e-3, 0.5
"""‖∇L + ∇²L x‖ / ‖∇L‖ above which a solve has failed; at which it needs no other; and the share of
it that a refinement has to leave at most, to be followed by another."""


@dataclass(frozen=True)
class Check:
    """One condition."""

    name: str
    value: float
    limit: float
    passed: bool
    meaning: str


def check_of_influence(limits: Limits, iota: float, *, rounded: bool) -> Check:
    """What may be left of the way from the old model. A distance that is ``rounded``, no more than
    what storing a model in float32 leaves, passes: any model that is stored is off by that.
    """
    small = iota <= limits.influence
    meaning = "left of the way from the old model"
    if rounded and not small:
        meaning += ", at most: the optimum is no further than storing in float32 moves a model"
    return Check("influence", iota, limits.influence, small or rounded, meaning)


@dataclass(frozen=True)
class Certificate:
    """What was found, and the class it amounts to. Distances are in the unit of the factors, up to
    rotation.
    """

    kind: Class
    sentence: str
    checks: tuple[Check, ...]
    why_not_proved: str | None
    """What kept it from class B; None for A and B."""
    gradient: float
    """‖∇L_r(Θ_u)‖_F, with the bound of its own rounding added"""
    slack: float
    """That bound: γ_k times the sum of absolute terms"""
    stationarity: float
    """‖∇L_r‖ / ‖∇L_r of every term taken absolutely‖: 1 for no cancellation at all"""
    gradient_left: float | None
    """‖∇L_r(Θ_u)‖ / ‖∇L_r(Θ_a)‖; None without the model from before"""
    user_block: float
    """max_u ‖p_u − p_u*(Q)‖ / max(‖p_u‖, 1e-3)"""
    item_block: float
    """likewise of the items, for information: an optimum for the items given P is an optimum for P
    given Q elsewhere"""
    least_ridge: float
    """min λρ, a lower bound of every λ_min(A)"""
    curvature: float
    """μ"""
    curvature_is: str
    """``proved`` (lower bound), ``estimated`` or ``negative``"""
    eta: float
    """η = ‖(∇²L on V)⁻¹ ∇L‖, what is left of the solve and rounding included"""
    solve_left: float
    """‖residual of that solve‖ / ‖∇L‖"""
    size: float
    """‖Θ_u‖_F"""
    sigma: float
    """Σ = √(‖P‖₂² + ‖Q‖₂²)"""
    lipschitz: float
    """K"""
    kappa: float
    rho: float | None
    least_singular: float
    """σ_d of Θ_u"""
    rank: int
    """Dimensions that Θ_u uses, of ``factors``"""
    factors: int
    moved: float | None
    """dist(Θ_a, Θ_u); None without the model from before"""
    influence: float | None
    """ι"""
    objective: float
    objective_before: float | None
    """L_r(Θ_a)"""
    products: int
    """Iterations of conjugate gradients"""
    effect_left: float | None = None
    """Of class L: about the share of the deletion's effect that is missing"""

    @property
    def name(self) -> str:
        """``replayed``, ``certified``, ``measured`` or ``not forgotten``."""
        return NAMES[self.kind]

    @property
    def passed(self) -> bool:
        """True for every class but D."""
        return self.kind != "D"

    def to_document(self) -> dict[str, Any]:
        """Plain values for JSON; ``class`` and ``name`` first."""
        fields = asdict(self)
        return {"class": fields.pop("kind"), "name": self.name, **fields}


def certify(
    objective: Objective,
    data: Interactions,
    factors: Factors,
    *,
    before: Factors | None = None,
    limits: Limits | None = None,
    prove_up_to: int = PROVE_UP_TO,
    threads: int | None = None,
) -> Certificate:
    """How far ``factors`` are from a stationary point of ``objective`` on ``data`` (D_r), and the
    class of that.

    Newton–Kantorovich on the directions across rotations (``theorem``), in float64 from the given
    values, whatever trained them. ``before`` is the model that was to forget: with it also what it
    left behind is measured. The curvature is proved while (m + n) d is at most ``prove_up_to``,
    else estimated, which leaves class C at best. ``step`` events tell how far it is.

    Raises InvalidInput for shapes that do not fit the data, NumericFailure where a block is
    singular.
    """
    limits = limits or Limits()
    threads = threads or default_threads()
    _fits(factors, data, "the model")
    if before is not None:
        _fits(before, data, "the model from before")
    # our own workers are the parallelism; BLAS threads would only spin beside them between small
    # products
    with threadpool_limits(1, "blas"):
        return _certify(objective, data, factors, before, limits, prove_up_to, threads)


def _certify(
    objective: Objective,
    data: Interactions,
    factors: Factors,
    before: Factors | None,
    limits: Limits,
    prove_up_to: int,
    threads: int,
) -> Certificate:
    tell = events.steps()

    def plain_at(point: Factors, *, magnitudes: bool = False) -> Compiled:
        return Compiled(objective, data, point, magnitudes, threads)

    tell("gradient", 0.0)
    published = plain = plain_at(factors)
    across, away = Slice(plain.P, plain.Q, bool(np.ptp(plain.h) == 0)).without_unused()
    # the theorem is about a point whose unused dimensions are zero; the way there is added to its
    # radius
    if away > 0:
        factors = Factors(across.P, across.Q, plain.h)
        plain = plain_at(factors)
    gradient = plain.gradient
    magnitudes = plain_at(factors, magnitudes=True)
    gamma = rounding(sum(data.shape) + 2 * factors.rank + 20)
    absolute = norm(magnitudes.gradient)
    slack = gamma * absolute
    size = float(np.sqrt(np.vdot(plain.P, plain.P) + np.vdot(plain.Q, plain.Q)))
    moved = None if before is None else model_distance(before, factors)
    tell("every row's own optimum", 0.1)
    blocks = limits.blocks(published.user_distances(), np.linalg.norm(published.P, axis=1))
    item_blocks = limits.blocks(published.item_distances(), np.linalg.norm(published.Q, axis=1))

    near_enough = _Near(limits, away, size, moved)
    small = sum(data.shape) * factors.rank <= prove_up_to
    step, left, products, curvature = _located(plain, across, gradient, small, near_enough, tell)
    tell("rounding", 0.9)
    extra = gamma * norm(magnitudes.product((np.abs(step[0]), np.abs(step[1])))) + slack
    eta = norm(step) + (left + extra) / curvature.value if curvature.value > 0 else float("inf")
    if size == 0.0 and _least_at_zero(plain):
        curvature, eta = (
            LeastCurvature(float(np.nanmax([curvature.value, UNIT])), curvature.how),
            0.0,
        )
    sigma = float(np.hypot(np.linalg.norm(plain.P, 2), np.linalg.norm(plain.Q, 2)))
    K = lipschitz(plain.heaviest, float(np.abs(plain.h).max(initial=0.0)), sigma, min(eta, 1e300))
    found = ball(curvature.value, eta, K)
    hindrance = _hindrance(curvature, found.kappa, found.rho, across, plain, prove_up_to)
    proof = hindrance is None
    distance = away + (found.rho if proof and found.rho is not None else eta)
    tell("the model from before", 0.95)
    old = None if before is None else plain_at(before)
    gradient_norm = norm(published.gradient)
    gradient_left = (
        None if old is None else (gradient_norm + slack) / max(norm(old.gradient), 1e-300)
    )
    iota = None if moved is None else influence(distance, moved, size)

    conditions = [
        *_where(limits, curvature, distance, size, blocks),
        *_after(
            limits,
            iota,
            gradient_left,
            rounded=untold(distance, size),
            floor=gradient_norm <= STORED * absolute,
        ),
    ]
    kind, said = _verdict(conditions, proof, distance, size)
    return Certificate(
        kind=kind,
        sentence=said,
        checks=tuple(conditions),
        why_not_proved=None if kind == "B" else hindrance,
        gradient=gradient_norm + slack,
        slack=slack,
        stationarity=_over(gradient_norm, absolute),
        gradient_left=gradient_left,
        user_block=blocks,
        item_block=item_blocks,
        least_ridge=float(min(ridge.min(initial=np.inf) for ridge in plain._ridges)),
        curvature=curvature.value,
        curvature_is=curvature.how,
        eta=away + eta,
        solve_left=_over(left, gradient_norm),
        size=size,
        sigma=sigma,
        lipschitz=K,
        kappa=found.kappa,
        rho=None if found.rho is None else away + found.rho,
        least_singular=float(across.singular_values[0]),
        rank=across.rank,
        factors=factors.rank,
        moved=moved,
        influence=iota,
        objective=_objective(published),
        objective_before=None if old is None else _objective(old),
        products=products,
    )


@dataclass(frozen=True)
class _Near:
    """Whether more digits of a distance would change nothing."""

    limits: Limits
    away: float
    size: float
    moved: float | None

    def __call__(self, solved: float, left: float) -> bool:
        """Of a distance ``solved``, and at most ``left`` more: within half of every limit, on one
        side of storing's.
        """
        eta = self.away + solved + left
        stored = STORED * self.size
        near = eta <= 0.5 * self.limits.distance * self.size and (
            eta <= stored or self.away + solved > stored
        )
        return near and (
            self.moved is None
            or eta <= stored
            or influence(eta, self.moved, self.size) <= 0.5 * self.limits.influence
        )


def _least_at_zero(plain: Plain) -> bool:
    """Zero is the least of L, bent up or not: without interactions, or with λ at its critical
    value.
    """
    data = plain.data
    return (
        len(data) == 0 or collapse(Problem(plain.objective, data, np.float64), plain.h) is not None
    )


def _over(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _where(
    limits: Limits, curvature: LeastCurvature, distance: float, size: float, blocks: float
) -> list[Check]:
    """What must hold of the point itself."""
    away = "of the model from the stationary point, over its size"
    alone = (
        "of every user's vector from the one optimum for their remaining data and the "
        "published items"
    )
    return [
        Check(
            "curvature",
            curvature.value,
            0.0,
            curvature.value > 0,
            "in a valley of L, not on a saddle",
        ),
        Check(
            "distance",
            distance / size if size else distance,
            limits.distance,
            distance <= limits.distance * size,
            away,
        ),
        Check("block", blocks, limits.block, blocks <= limits.block, alone),
    ]


def _after(
    limits: Limits,
    iota: float | None,
    gradient_left: float | None,
    *,
    rounded: bool,
    floor: bool,
) -> Iterator[Check]:
    """What must hold beside the model from before; ``rounded``: the distance is no more than what
    storing leaves, ``floor``: the gradient is.
    """
    if iota is not None:
        yield check_of_influence(limits, iota, rounded=rounded)
    if gradient_left is not None:
        small = gradient_left <= limits.residual
        meaning = "of the old model's gradient on the remaining data"
        if floor and not small:  # both are at an optimum: their ratio says nothing
            meaning += "; no more than storing in float32 leaves"
        yield Check("residual", gradient_left, limits.residual, small or floor, meaning)


def _verdict(
    conditions: list[Check], proof: bool, distance: float, size: float
) -> tuple[Class, str]:
    """(class, its sentence)."""
    kind: Class = "D" if not all(check.passed for check in conditions) else "B" if proof else "C"
    shown = distance if kind in ("B", "C") else None
    return kind, sentence(kind, shown, None if shown is None or not size else shown / size)


def _located(
    plain: Compiled,
    across: Slice,
    gradient: Pair,
    small: bool,
    near_enough: Callable[[float, float], bool],
    tell: Callable[[str, float], None],
) -> tuple[Pair, float, int, LeastCurvature]:
    """(x ≈ −(∇²L on V)⁻¹ ∇L, ‖∇L + ∇²L x‖ on V, products, the curvature on V).

    In single precision; where that fails, again in double. ``small``: the curvature is to be
    proved.
    """
    products = 0
    for dtype in (np.float32, np.float64):
        solver = Solver(
            plain,
            across,
            dtype=dtype,
            on_iteration=lambda rest: tell(
                "Newton step", 0.3 + 0.3 * min(-np.log10(max(rest, 1e-3)) / 3.0, 1.0)
            ),
        )
        step, left, bent = _newton_step(plain, across, solver, gradient, 3 if small else 1)
        solved = bent is None and left <= WELL_SOLVED * norm(gradient)
        curvature = (
            LeastCurvature(quotient(plain, across, bent), "negative") if bent is not None else None
        )
        if curvature is None or curvature.value > 0:
            bound = proved(plain, across) if small else None
            if bound is not None:
                curvature = LeastCurvature(bound, "proved")
            else:
                solver.on_iteration = lambda rest: tell(
                    "curvature", 0.6 + 0.3 * min(1.0 - rest, 1.0)
                )
                curvature = estimated(plain, across, solver)
            solver.on_iteration = None
            if solved:
                step, left = _near(
                    plain, across, solver, gradient, step, left, curvature.value, near_enough
                )
        products += solver.spent
        if solved or curvature.how == "negative":
            break
    assert curvature is not None
    return step, left, products, curvature


def _near(
    plain: Compiled,
    across: Slice,
    solver: Solver,
    gradient: Pair,
    step: Pair,
    left: float,
    curvature: float,
    near_enough: Callable[[float, float], bool],
) -> tuple[Pair, float]:
    """(step, what is left) refined until more digits would change nothing, or refining does not
    help any more.
    """
    while not near_enough(norm(step), left / max(curvature, 1e-300)):
        before = left
        step, left, bent = _refined(plain, across, solver, gradient, step, left)
        if bent is not None or not left < REFINES * before or left <= WELL_REFINED * norm(gradient):
            break
    return step, left


def _newton_step(
    plain: Compiled, across: Slice, solver: Solver, gradient: Pair, rounds: int
) -> tuple[Pair, float, Pair | None]:
    """(x, ‖∇L + ∇²L x‖ on V, a direction that bends down if one was met)."""
    x: Pair = (np.zeros_like(plain.P), np.zeros_like(plain.Q))
    left, bent = norm(across.project(gradient)), None
    for _ in range(rounds):  # iterative refinement: the second solve corrects what the first left
        before = left
        x, left, bent = _refined(plain, across, solver, gradient, x, left)
        if bent is not None or not left < before or left <= WELL_REFINED * norm(gradient):
            break
    return x, left, bent


def _refined(
    plain: Compiled, across: Slice, solver: Solver, gradient: Pair, x: Pair, left: float
) -> tuple[Pair, float, Pair | None]:
    """``x`` and what one more solve adds to it, if that brings ∇L + ∇²L x down."""
    right = gradient
    if any(side.any() for side in x):
        product = plain.product(x)
        right = gradient[0] + product[0], gradient[1] + product[1]
    found = solver.solve(across.project(right), forcing=0.01)
    if found.negative is not None:
        return x, left, across.project(found.negative)
    if found.step is None:
        return x, left, None
    change = across.project(found.step)
    better = x[0] + change[0], x[1] + change[1]
    product = plain.product(better)
    rest = norm(across.project((gradient[0] + product[0], gradient[1] + product[1])))
    return (better, rest, None) if rest < left else (x, left, None)


def _hindrance(
    curvature: LeastCurvature,
    kappa: float,
    rho: float | None,
    across: Slice,
    plain: Plain,
    prove_up_to: int,
) -> str | None:
    """Why this is not class B, in words; None if it is."""
    unknowns = sum(plain.data.shape) * plain.h.size
    if plain.objective.regularization == 0:
        return UNDETERMINED
    if curvature.how == "negative":
        return "L bends down in some direction here: a saddle"
    if curvature.how == "estimated":
        if unknowns > prove_up_to:
            return (
                f"the smallest curvature is estimated: {unknowns:,} unknowns, up to "
                f"{prove_up_to:,} are factored"
            )
        return "the smallest curvature could not be bounded away from zero"
    if rho is None:
        return f"kappa = {kappa:.2g} is above 1/2: not near enough for the theorem"
    if across.rotates and not rho < across.reach:
        return "the smallest singular value of the factors is below the distance"
    return None


def _objective(plain: Plain) -> float:
    """L, from its parts."""
    a, b = plain._weights
    c, pull = plain._observed[0], plain._observed[1]
    Z = plain.Q * plain.h
    scores = plain._cells(((plain.P, Z),))
    y = 1.0 if plain.data.target is None else plain.data.target
    missing = plain.objective.missing_weight * float(
        np.vdot(plain.P.T @ (a[:, None] * plain.P), Z.T @ (b[:, None] * Z))
    )
    observed = float(np.sum(c * scores**2 - 2.0 * pull * scores + pull * y))
    penalty = sum(
        float(r @ np.einsum("id,id->i", x, x))
        for r, x in zip(plain._ridges, (plain.P, plain.Q), strict=True)
    )
    return missing + observed + penalty


def _fits(factors: Factors, data: Interactions, what: str) -> None:
    shape = factors.users.shape[0], factors.items.shape[0]
    if shape != data.shape:
        raise InvalidInput(
            f"{what} has {shape[0]:,} × {shape[1]:,} rows, the data {data.shape[0]:,} × "
            f"{data.shape[1]:,}: read the data with the model's id maps"
        )
