"""What ``forget`` ends with: 0 for the level that was asked for, or the default one; else 8 and one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alteraser.errors import NumericFailure

if TYPE_CHECKING:
    from alteraser.cli import common
    from alteraser.verbs.forget import Erasure


@dataclass(frozen=True)
class Asked:
    """What of the command line decides whether its answer is the one that was asked for."""

    tolerance: float | None
    max_passes: int | None
    stop_at_tolerance: bool
    solver: str | None
    accept: str | None


def exit_code(erasure: Erasure, asked: Asked, screen: common.Screen) -> int:
    """0 where the level that was asked for, or the default one, is reached; else 8 and a line, also under --quiet."""
    if erasure.reached(asked.tolerance):
        return 0
    screen.warn(words(erasure, asked))
    return 0 if asked.accept == "d" else NumericFailure.exit_code


def words(erasure: Erasure, asked: Asked) -> str:
    """One line: what was not reached, what was, and what to do."""
    outcome, kind = erasure.outcome, erasure.kind
    what = "of what the deletion changed" if outcome.effect is not None else "of the deletion's push"
    wanted = erasure.tolerance if asked.tolerance is None else asked.tolerance
    within = outcome.converged or wanted is None
    if outcome.effect is not None and wanted is not None:  # more is asked of it than the residual
        within = outcome.residual <= max(wanted, outcome.effect.stored)
    lacking = [] if within else [f"{outcome.residual:.1e} {what} is left, asked for {wanted:.1e}"]
    if kind == "D" and (outcome.effect is None or not lacking):
        lacking.append(erasure.level.lacks)
    reached = f"{'; '.join(lacking)}; the model was written and is class {kind} ({erasure.class_name})"
    return f"not reached: {reached}. {_remedy(erasure, asked)}"


def _remedy(erasure: Erasure, asked: Asked) -> str:
    """What to do where a level was not reached."""
    from alteraser.models.factorization.magnitudes import WIDE, confidence_ratio

    outcome = erasure.outcome
    if erasure.model.objective.regularization == 0:
        return "Train with --regularization above 0"
    if confidence_ratio(erasure.remaining) >= WIDE:
        return (
            "The confidences are too far apart for steps to get there: train with a rule such as log1p(column) or "
            "min(column, 1000) as --confidence, or use --method replay"
        )
    if erasure.method not in ("local", "converge", "alteraser", "retrain", "replay"):
        return f"{erasure.method} is an approximation: use --method converge, or retrain"
    if outcome.effect is not None:
        if asked.max_passes is not None and outcome.reason == "passes":
            return "Raise --max-passes"
        return (
            "Where the model was trained here, --method replay trains it again without the data; --method converge "
            "goes to an optimum"
        )
    if asked.max_passes is not None and outcome.reason == "passes":
        return "Raise --max-passes, or leave it out"
    if asked.stop_at_tolerance:
        return "Leave out --stop-at-tolerance"
    if outcome.reason == "rounding" and str(erasure.model.factors.dtype) == "float32":
        return "float32 holds no more digits: train with --dtype float64 or more --regularization"
    if not outcome.converged and asked.tolerance is not None:
        return "Ask for a larger --tolerance"
    if asked.solver not in (None, "joint"):
        return "Use --solver joint, which goes on to the optimum"
    return "Try --method retrain, or train with more --regularization"
