"""Which class the result of a run is, judged where it was made: by the conditions that ``verify``
recomputes.

An eraser that goes to the limits of class C has measured how near it is on its way; what others
leave is measured here by one Newton direction. Clear cases are taken from that. Near a limit, and
wherever it costs next to nothing, the certificate itself decides, so that what is said here is what
``verify`` will find.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from alteraser.erasers.driver import Outcome
from alteraser.erasers.shift import Shift
from alteraser.errors import NumericFailure
from alteraser.evidence.certificate import certify
from alteraser.evidence.certificate.anchored import anchored
from alteraser.evidence.certificate.certificate import UNDETERMINED
from alteraser.evidence.certificate.plain import Plain, norm
from alteraser.evidence.certificate.words import sentence
from alteraser.evidence.claims import Evidence, LocalEffect, Measured, Replayed, ResidualOnly
from alteraser.linalg.pairs import norm as length
from alteraser.models import Factors, Problem
from alteraser.models.factorization.magnitudes import WIDE, confidence_ratio
from alteraser.solvers.joint import Joint
from alteraser.solvers.joint_newton import JointNewton
from alteraser.solvers.limits import DEFAULT, STORED
from alteraser.solvers.phases.measured import Distance as Distance
from alteraser.solvers.phases.refine import Polisher
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.stationarity import evaluate

CLEAR = 0.6, 3.0
"""Shares of a limit below which a measurement is clearly within it, and above which it is clearly
not."""

REPLAYED = Replayed(sentence("A", None, None))

SMALL = 50_000
"""Interactions and rows, times factors, up to which a certificate costs a fraction of a second."""

UNSETTLED = (
    "what is missing of the deletion's effect is not known: steps do not settle in directions in "
    "which the old model was far from rest, or hardly anything is left of two dimensions of the "
    "items"
)


def judge(
    shift: Shift, outcome: Outcome, *, name: str, tolerance: float | None
) -> tuple[Outcome, Evidence]:
    """(``outcome`` with how near it is, where that was not measured; what may be said) for the
    eraser called ``name``.

    ``tolerance`` is the eraser's. A for what was computed from D_r alone; L and D for the effect of
    a deletion on a model that is not at rest; C within the limits of a certificate; D for
    everything else.
    """
    if name == "replay":
        return outcome, REPLAYED
    found: Evidence
    if _nothing_left(shift, outcome.factors):
        found = _measured_within(outcome)
    elif outcome.effect is not None:
        outcome, found = _local(
            shift, outcome, DEFAULT.residual if tolerance is None else tolerance
        )
    else:
        outcome, found = _optimum(shift, outcome)
    if not found.passed and outcome.recipe is not None:
        return outcome, REPLAYED
    return outcome, found if outcome.effect is None else replace(found, left=outcome.effect.left)


def _nothing_left(shift: Shift, factors: Factors) -> bool:
    """Whether there are no interactions any more and the model is zero, where L is."""
    return (
        len(shift.after.interactions) == 0
        and not np.any(factors.users)
        and not np.any(factors.items)
    )


def _local(shift: Shift, outcome: Outcome, tolerance: float) -> tuple[Outcome, Evidence]:
    """L where the anchored residual is within the tolerance, or what storing leaves, and so is what
    is missing of the effect, which has to be known.
    """
    effect, residual = outcome.effect, outcome.residual
    assert effect is not None
    reached = residual <= max(tolerance, effect.stored)
    small = _small(shift.after, outcome.factors)
    if shift.before is not None and (
        small or CLEAR[0] * tolerance < residual <= CLEAR[1] * tolerance
    ):
        found = anchored(
            shift.after.objective,
            shift.after.interactions,
            shift.before.interactions,
            shift.original,
            outcome.factors,
            threads=shift.workers,
            limit=DEFAULT.effect if small and effect.left is not None else None,
        )
        reached, residual = found.residual <= max(tolerance, found.stored), found.residual
        if small and effect.left is not None:
            left = None if found.effect_left is None else max(found.effect_left, effect.left)
            effect = replace(effect, left=left)
            outcome = replace(outcome, effect=effect)
    if not reached:
        return outcome, _not_shown(
            f"{residual:.1e} of what the deletion changed is left, {tolerance:.1e} may be"
        )
    if effect.moved == 0.0 or (effect.left is not None and effect.left <= DEFAULT.effect):
        return outcome, LocalEffect(sentence("L", None, effect.left))
    if effect.left is not None:
        return outcome, _not_shown(
            f"{effect.left:.0%} of the deletion's effect may be missing, {DEFAULT.effect:.0%} may "
            "be"
        )
    return outcome, _not_shown(UNSETTLED)


def _optimum(shift: Shift, outcome: Outcome) -> tuple[Outcome, Evidence]:
    """C where the conditions of a certificate hold."""
    problem = shift.after
    if problem.objective.regularization == 0:
        return outcome, _not_shown(UNDETERMINED)
    try:
        if outcome.measured is None and Joint.fits(
            problem, padded(outcome.factors.users[:1]).shape[1]
        ):
            outcome = replace(outcome, measured=_measured(shift, outcome.factors))
        clearly = None if _small(problem, outcome.factors) else _clearly(shift, outcome)
        if clearly is None:
            found = certify(
                problem.objective,
                problem.interactions,
                outcome.factors,
                before=shift.original,
                prove_up_to=0,
                threads=shift.workers,
            )
            failed = [
                _words(check.name, check.value, check.limit)
                for check in found.checks
                if not check.passed and (check.name == "curvature" or np.isfinite(check.value))
            ]
            return outcome, _not_shown("; ".join(failed)) if failed else _measured_within(outcome)
    except NumericFailure as cause:
        return outcome, _not_shown(str(cause))
    return outcome, clearly


def _clearly(shift: Shift, outcome: Outcome) -> Evidence | None:
    """The class where it is plain from what was measured; None near a limit."""
    measured = outcome.measured
    if measured is None:
        return None
    residual = _residual(shift, outcome.factors)
    if measured.holds(DEFAULT, share=CLEAR[0]) and residual <= CLEAR[0]:
        return _measured_within(outcome)
    values = [
        ("distance", measured.distance, DEFAULT.distance),
        ("block", measured.block, DEFAULT.block),
        ("influence", measured.left, DEFAULT.influence),
        ("residual", residual * DEFAULT.residual, DEFAULT.residual),
    ]
    failed = [_words(*value) for value in values if CLEAR[1] * value[2] < value[1] < np.inf]
    if not measured.valley or not np.isfinite(measured.distance):
        failed.insert(0, _words("curvature", 0.0, 0.0))
    return _not_shown("; ".join(failed)) if failed else None


def _measured_within(outcome: Outcome) -> Measured:
    """Class C, at the distance that was measured; at 0 where nothing remains."""
    if outcome.measured is None:
        return Measured(sentence("C", 0.0, None))
    size = length((outcome.factors.users, outcome.factors.items))
    distance = outcome.measured.distance
    return Measured(sentence("C", distance * size, distance if size else None))


def _not_shown(lacks: str) -> ResidualOnly:
    return ResidualOnly(sentence("D", None, None), lacks)


def _words(name: str, value: float, limit: float) -> str:
    """A condition that does not hold, for people."""
    if name == "curvature":
        return "L bends down in some direction there: no optimum"
    what = {
        "distance": "{0} of the model's size from an optimum, {1} may be",
        "block": "a user's row is {0} from its optimum, {1} may be",
        "influence": "{0} of the way from the old model may be left, {1} is allowed",
        "residual": "{0} of the old model's gradient is left, {1} may be",
    }[name]
    return what.format(f"{value:.1e}", f"{limit:.0e}")


def _residual(shift: Shift, factors: Factors) -> float:
    """How much of the old model's gradient is left, over the limit; no more than what storing
    leaves is 0.
    """
    problem = replace(shift.after, dtype=np.float64)
    now, then = (evaluate(problem, x, threads=shift.workers) for x in (factors, shift.original))
    size = norm((now.user_gradient, now.item_gradient))
    left = size / max(norm((then.user_gradient, then.item_gradient)), 1e-300) / DEFAULT.residual
    if left <= CLEAR[0]:
        return left
    whole = norm(Plain(problem.objective, problem.interactions, factors, magnitudes=True).gradient)
    return 0.0 if size <= CLEAR[0] * STORED * whole else left


def _measured(shift: Shift, factors: Factors) -> Distance:
    """How near ``factors`` are to an optimum for D_r."""
    problem = shift.after
    dtype: Any = problem.dtype
    P, Q = (padded(x.astype(dtype)) for x in (factors.users, factors.items))
    joint = Joint(problem, P, Q, factors.prediction.astype(dtype), shift.workers)
    joint.settle(move=False)
    polisher = Polisher(problem, shift.push, JointNewton(), shift.workers, shift.original, DEFAULT)
    return polisher.look(factors, joint).measured


def _small(problem: Problem, factors: Factors) -> bool:
    """Whether the certificate itself is to decide: it costs little, or what was measured may be far
    off.
    """
    if confidence_ratio(problem.interactions) >= WIDE:
        return True
    return (len(problem.interactions) + sum(problem.interactions.shape)) * factors.rank <= SMALL
