"""``auto``: which way of forgetting fits a model, judged before anything is changed.

A model is *at rest* where the way that training left, ‖Θ*_a − Θ_a‖, is short against what the
deletion does to it: then going to the optimum is forgetting and nothing else. The first is written
down by ``train`` at its end, measured from above (``solvers.rest``); the second is taken to be what
the rows of the deletion do alone, which is less than all of it. A model without that record is
measured here, where its last step, an estimate from below, does not tell enough.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from alteraser.erasers import AltEraser, Eraser, Local
from alteraser.erasers.driver import OnPass
from alteraser.erasers.replay import Replay
from alteraser.erasers.shift import GONE, Shift
from alteraser.errors import DependencyMissing, InvalidInput
from alteraser.linalg.pairs import norm
from alteraser.models import Factors, Problem
from alteraser.models.factorization.model import Model
from alteraser.solvers import strategy
from alteraser.solvers.anchors import rows_effect
from alteraser.solvers.limits import DEFAULT
from alteraser.solvers.residuals import row_gradients
from alteraser.solvers.rest import way_to_rest
from alteraser.tolerances import checked_tolerance
from alteraser.verbs.outlook import Outlook
from alteraser.verbs.replaying import recipe_of, remember, remembered, runs_again

Way = Literal["converge", "replay", "local"]

WAYS: tuple[Way, ...] = ("replay", "local", "converge")

CLASSES: dict[Way, tuple[str, ...]] = {
    "replay": ("A",),
    "local": ("L", "D"),
    "converge": ("B", "C", "D"),
}
"""What may be said of a model afterwards."""
"""Methods that differ in what is wanted of a model that is not at rest; ``auto`` takes one of
them."""

AT_REST = 0.1
"""Distance from the optimum, over what the rows of the deletion do alone, up to which a model is at
rest."""

NEAR = 1e-4
"""Distance from the optimum, over the model's size, up to which a model is at rest where the
deletion's effect is not known: a tenth of what the rows of one user do, where measured."""

EXACT, STEP = 3.5, 1.8
"""Costs in evaluations of L and its gradient, in CPU seconds: an exact pass, a joint step with all
that belongs to it. On Gowalla a step takes 1.3, on MovieLens-1M 1.7, on generated data and Frappe
2.7 to 2.9, where an evaluation is over before the rest is; the answer calls what is made of them
predictions."""


@dataclass(frozen=True)
class Price:
    """What a way of forgetting takes, in evaluations of L and its gradient."""

    share: float
    """Of what training took, where that is known: both go in the same directions, of which hard
    data have more"""
    least: float
    """However short training was"""
    unknown: float
    """Where training is not known"""

    def of(self, training: float | None) -> float:
        """After a training of so many evaluations.

        >>> [CONVERGE.of(evaluations) for evaluations in (400.0, 49.0, None)]
        [240.0, 100.0, 200.0]
        """
        return self.unknown if training is None else max(self.share * training, self.least)


LOCAL, CONVERGE = Price(0.35, 50.0, 100.0), Price(0.6, 100.0, 200.0)
"""A local erasure, and one that converges from rest, of one user. Over training they took, in CPU
seconds, 0.3 and 0.5 on Gowalla and MovieLens-1M, 0.4 on Frappe, 0.7 on generated data; and on
MovieLens-100K, where training is 28 passes, 90 and 180 evaluations."""

ROWS_TIMED, FEW_ROWS = 10, 2000
"""An evaluation is timed on one row in so many, on all of a side where it has few."""

TIMES, ENOUGH = 9, 0.2
"""It is timed so many times, or for so many seconds."""

PREDICTED = ("joint", "ah-newton")
"""Solvers of whose passes it is known what they cost."""


@dataclass(frozen=True)
class Choice:
    """What would be done, why, and what it costs."""

    method: Way
    why: str
    rest: float | None
    """‖Θ*_a − Θ_a‖ / ‖Θ_a‖, estimated from above; None: not measured, or no telling"""
    effect: float
    """What the rows of the deletion do alone, over ‖Θ_a‖"""
    seconds: float | None
    """Predicted for ``method``"""
    refit_seconds: float | None
    """Predicted for training on D_r from the start; None: the model does not say how long its
    training was"""
    least: float | None = None
    """``rest`` estimated from below, by the last step of training; None: no record"""

    @property
    def away(self) -> str:
        """How far training ended from its optimum, in words."""
        size = "of the model's size from its optimum"
        if self.rest is not None:
            return f"training ended about {self.rest:.1e} {size}"
        if self.least is not None:
            return f"training ended at least {self.least:.1e} {size}"
        return "L bends down where training ended, or its optimum is too far away to be seen"

    @property
    def at_rest(self) -> bool:
        """Whether going to the optimum is forgetting and nothing else."""
        return self.rest is not None and self.rest <= AT_REST * self.effect

    @property
    def outlook(self) -> Outlook:
        """What may come of it."""
        return Outlook((self.method,), CLASSES[self.method])

    def details(self) -> dict[str, Any]:
        """What a document says of it, beside the way and the reason."""
        return {
            "at_rest": self.at_rest,
            "distance_from_rest": self.rest,
            "rows_effect": self.effect,
            "seconds_predicted": self.seconds,
        }


@dataclass(frozen=True)
class Auto:
    """``--method auto | replay | local | converge`` with the settings that they share; a method of
    ``forget``.
    """

    way: Way | None = None
    """One of the three; None: what ``choose`` says."""
    tolerance: float = DEFAULT.residual
    """Of ``local`` and ``converge``; a replay stops where the training did."""
    max_passes: int | None = None
    """Cap of ``local`` and ``converge``; None: theirs"""

    def __post_init__(self) -> None:
        checked_tolerance(self.tolerance)

    def eraser(
        self, choice: Choice, model: Model, shift: Shift, on_pass: OnPass | None = None
    ) -> Eraser:
        """The eraser that does what was chosen.

        A replay is offered once running it on D_a has given the file's bytes, which is checked here
        if that is not remembered. Raises InvalidInput where there is no record to replay, or other
        bytes come out.
        """
        if choice.method == "local":
            way = Local(self.tolerance)
            return way if self.max_passes is None else replace(way, max_passes=self.max_passes)
        if choice.method == "converge":
            whole = AltEraser(
                self.tolerance, name="converge", train_prediction=model.trains_prediction
            )
            if self.max_passes is None:
                return whole
            # a cap that was asked for is a cap
            return replace(whole, max_passes=self.max_passes, escalate=False)
        return Replay(checked_recipe(model, shift, on_pass))


def checked_recipe(model: Model, shift: Shift, on_pass: OnPass | None = None) -> Any:
    """The model's recipe, once it is known to give the model's bytes on D_a; InvalidInput where it
    does not.
    """
    recipe = recipe_of(model)
    if recipe is None:
        raise InvalidInput(
            f"replay: the model was made by {model.training.get('method', 'an unknown method')!r} "
            "from another model or without a record, so there is no training to run again; use "
            "local"
        )
    known = remembered(model)
    if shift.unknown == GONE and shift.before is None and known is None:
        # whether it gave the file cannot be checked; what it gives on D_r knows nothing of the rest
        return recipe
    if shift.before is None and known is None:
        raise InvalidInput(
            f"replay: {shift.unknown}, so the training cannot be checked; use retrain"
        )
    if known is None and shift.before is not None:
        known = runs_again(
            model, recipe, shift.before.interactions, threads=shift.workers, on_pass=on_pass
        )
        remember(model, known)
    if not known:
        raise InvalidInput(
            "replay: training on the data as they were does not give this model's bytes here "
            "(another version, machine or library wrote it), so training without the data that "
            "must go would say nothing about it; use local"
        )
    return recipe


def choose(model: Model, shift: Shift, asked: Way | None = None) -> Choice:
    """The way for ``shift``; ``asked`` fixes it, and the choice says what would have been the
    reason.

    Where there is no choice (additions, λ = 0, a trained h) it is ``converge``, as those models
    were always forgotten.
    """
    fixed = _no_choice(model, shift)
    if fixed is not None or shift.before is None:
        return _only_way(model, shift, asked, fixed or "")
    touched = shift.touched_users, shift.touched_items
    moved = rows_effect(shift.before, shift.after, shift.original, touched, threads=shift.workers)
    effect = moved / (norm((shift.original.users, shift.original.items)) or 1.0)
    rest, least = recorded(model.training)
    unsure = rest is None and not (least is not None and least > AT_REST * effect)
    if unsure and asked in (None, "converge"):  # the others are done whatever it is
        rest = way_to_rest(shift.before, shift.original, threads=shift.workers).length
    # after the rows' effect, by which the kernels are loaded
    seconds, training = _evaluation_seconds(shift), training_evaluations(model)
    refit = None if training is None else seconds * training
    judged = Choice("converge", "", rest, effect, None, refit, least)
    way, why = _fitting(model, shift, judged)
    ways = {
        "converge": CONVERGE.of(training) * seconds if judged.at_rest else None,
        "local": LOCAL.of(training) * seconds,
        # the check is a training
        "replay": None if refit is None else refit if remembered(model) else 2.0 * refit,
    }
    chosen = asked or way
    return replace(judged, method=chosen, why="asked for" if asked else why, seconds=ways[chosen])


def _fitting(model: Model, shift: Shift, judged: Choice) -> tuple[Way, str]:
    """The way that fits what was judged, and why."""
    far = judged.away
    if len(shift.after.interactions) == 0:
        return "converge", "nothing remains: the one optimum is a model of zeros"
    if judged.at_rest:
        return "converge", f"at rest: {far}, the deletion's own rows move {judged.effect:.1e}"
    if _runs_here(model) and remembered(model):
        why = "its training is known to run again to the same bytes here"
        return "replay", f"not at rest: {far}; {why}"
    return "local", f"not at rest: {far}, the deletion's own rows move {judged.effect:.1e}"


def _only_way(model: Model, shift: Shift, asked: Way | None, why: str) -> Choice:
    """Where there is no choice, and nothing to judge by; ``why`` there is none."""
    way = _without_all_the_data(model, shift)
    if way == "replay":
        again = "the model is not at rest, and its training is run again on what remains"
        why = f"{shift.unknown}; {again}"
    training = training_evaluations(model)
    refit = None if training is None else training * _evaluation_seconds(shift)
    return Choice(asked or way, why, None, 0.0, None, refit)


def _without_all_the_data(model: Model, shift: Shift) -> Way:
    """The way where D_a is not known. Of a model that is far from rest, going to the optimum would
    move everybody.
    """
    if shift.before is not None or shift.unknown != GONE or model.trains_prediction:
        return "converge"
    rest, _ = recorded(model.training)
    near = rest is not None and rest <= NEAR
    return (
        "replay"
        if not near and _runs_here(model) and remembered(model) is not False
        else "converge"
    )


def recorded(training: Any) -> tuple[float | None, float | None]:
    """(estimates from above, from below) of how far training ended from the optimum, over the
    model's size; None where the record does not say.

    The second is all that files of earlier versions have.
    """
    found = (training.get(name) for name in ("rest", "distance"))
    above, below = (
        float(x) if isinstance(x, int | float) and not isinstance(x, bool) else None for x in found
    )
    return above, below


def _runs_here(model: Model) -> bool:
    """Whether the model has a record of its training, and what that needs is installed."""
    recipe = recipe_of(model)
    if recipe is None:
        return False
    try:
        strategy(recipe.solver)
    except DependencyMissing:
        return False
    return True


def trained(training: Any) -> dict[str, int] | None:
    """Work of the training that a model comes from, in passes and products, however often it has
    forgotten since.

    None where it is not known, and for solvers whose passes are no exact ones: nothing tells what
    those take.
    """
    record = training.get("trained")
    # from the start: its own
    if training.get("method") in ("train", "retrain", "replay", "retrain-adamw"):
        known = training.get("solver") in PREDICTED
        record = {name: training.get(name) for name in ("passes", "products")} if known else None
    known = isinstance(record, dict) and all(
        isinstance(record.get(name), int) for name in ("passes", "products")
    )
    return record if known else None


def _no_choice(model: Model, shift: Shift) -> str | None:
    if shift.before is None:
        return f"{shift.unknown}: what training left is not known"
    if model.objective.regularization == 0:
        return "the regularization is 0: nothing but a gradient can be judged"
    if model.trains_prediction:
        return "the prediction vector was trained: it is trained along"
    return None


def training_evaluations(model: Model) -> float | None:
    """What training took, in evaluations; None where that is not known."""
    record = trained(model.training)
    if record is None:
        return None
    steps = min(record["products"], record["passes"])
    return EXACT * (record["passes"] - steps) + STEP * record["products"]


def _evaluation_seconds(shift: Shift) -> float:
    """Seconds of one evaluation on D_r here and now: of some the fastest, since the first ones
    wait for memory and workers, and others are at work on the machine.
    """
    began, fastest = time.perf_counter(), float("inf")
    for _ in range(TIMES):
        fastest = min(fastest, _timed(shift.after, shift.original, shift.workers))
        if time.perf_counter() - began > ENOUGH:
            break
    return fastest


def _timed(problem: Problem, factors: Factors, threads: int) -> float:
    """Seconds of one evaluation, predicted from that of one row in ROWS_TIMED."""
    h, seconds = factors.prediction, 0.0
    for side, x, other in (
        (problem.users, factors.users, factors.items * h),
        (problem.items, factors.items, factors.users * h),
    ):
        rows = np.arange(0, side.rows, ROWS_TIMED if side.rows > FEW_ROWS else 1)
        part, some = side.take(rows), np.ascontiguousarray(x[rows])
        began = time.perf_counter()
        gram = side.gram(other)
        between = time.perf_counter()
        row_gradients(part, other, some, gram, threads)
        whole, taken = (len(one.indices) + one.rows * factors.rank for one in (side, part))
        ended = time.perf_counter()
        seconds += between - began + (ended - between) * whole / max(taken, 1)
    return seconds
