"""What to say and to advise where a model with factors did not reach the level that was asked
for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alteraser.cli.forget_options import How
    from alteraser.verbs.erasure import Erasure


def words(erasure: Erasure[Any], asked: How) -> str:
    """One line: what was not reached, what was, and what to do."""
    work, kind, effect = erasure.work, erasure.kind, erasure.details["effect"]
    what = "of what the deletion changed" if effect is not None else "of the deletion's push"
    wanted = erasure.way.tolerance if asked.tolerance is None else asked.tolerance
    within = work.converged or wanted is None
    if effect is not None and wanted is not None:  # more is asked of it than the residual
        within = work.residual <= max(wanted, effect["stored"])
    lacking = [] if within else [f"{work.residual:.1e} {what} is left, asked for {wanted:.1e}"]
    if kind == "D" and (effect is None or not lacking):
        lacking.append(erasure.evidence.lacks)
    reached = (
        f"{'; '.join(lacking)}; the model was written and is class {kind} ({erasure.class_name})"
    )
    return f"not reached: {reached}. {_remedy(erasure, asked)}"


def _remedy(erasure: Erasure[Any], asked: How) -> str:
    """What to do where a level was not reached."""
    from alteraser.models.factorization.magnitudes import WIDE, confidence_ratio

    work = erasure.work
    if erasure.model.objective.regularization == 0:
        return "Train with --regularization above 0"
    if confidence_ratio(erasure.remaining) >= WIDE:
        return (
            "The confidences are too far apart for steps to get there: train with a rule such as "
            "log1p(column) or min(column, 1000) as --confidence, or use --method replay"
        )
    if erasure.method not in ("local", "converge", "alteraser", "retrain", "replay"):
        return f"{erasure.method} is an approximation: use --method converge, or retrain"
    if erasure.details["effect"] is not None:
        if asked.max_passes is not None and work.reason == "passes":
            return "Raise --max-passes"
        return (
            "Where the model was trained here, --method replay trains it again without the data; "
            "--method converge goes to an optimum"
        )
    if asked.max_passes is not None and work.reason == "passes":
        return "Raise --max-passes, or leave it out"
    if asked.stop_at_tolerance:
        return "Leave out --stop-at-tolerance"
    if work.reason == "rounding" and str(erasure.model.factors.dtype) == "float32":
        return "float32 holds no more digits: train with --dtype float64 or more --regularization"
    if not work.converged and asked.tolerance is not None:
        return "Ask for a larger --tolerance"
    if asked.solver not in (None, "joint"):
        return "Use --solver joint, which goes on to the optimum"
    return "Try --method retrain, or train with more --regularization"
