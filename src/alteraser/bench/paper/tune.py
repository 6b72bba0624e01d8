"""Choosing hyper-parameters on a validation cut, once per data set; nothing of the test part is
looked at.

w₀ and λ by the accuracy of the converged model (accelerated AH-Newton passes), then AdamW's
learning rate and batch by the accuracy it stops at and the epochs it takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alteraser.bench.paper.hyperparameters import HyperParameters
from alteraser.bench.paper.measure import Ruler
from alteraser.bench.paper.scene import Scene, build_scene
from alteraser.bench.paper.watch import Clock, Watcher
from alteraser.data.interactions import Interactions
from alteraser.erasers import FirstOrder, Shift
from alteraser.errors import NumericFailure
from alteraser.models import Factors, Objective, Problem
from alteraser.models.factorization.defaults import defaults
from alteraser.runtime.workers import default_threads
from alteraser.verbs.train import ENMF

MISSING = (0.25, 0.5, 1.0)
"""w₀ as multiples of the default rule's."""

RIDGE = (0.7, 0.85, 1.0, 1.2)
"""λ as multiples of the default rule's."""

LEARNING_RATES = (0.003, 0.01)
BATCHES = (256, 1024)

EVERY = 2
"""Epochs between two looks at the validation cut."""

SPLIT = 900
"""Seed of the tuning split: no run of the experiments has it."""


@dataclass(frozen=True)
class PaperTrial:
    """One setting and what it scored."""

    stage: str
    setting: dict[str, float]
    score: float
    passes: int


def tune(
    data: Interactions,
    *,
    factors: int = 64,
    threads: int = 0,
    on_trial: Callable[[PaperTrial], None] | None = None,
) -> tuple[HyperParameters, list[PaperTrial]]:
    """(the best setting, every trial) for ``data``; NDCG@10 of at most 2,048 users on the
    validation cut.
    """
    scene = build_scene(data, "one", "validation", SPLIT)
    rule = defaults(scene.before)
    trials: list[PaperTrial] = []

    def note(trial: PaperTrial) -> None:
        trials.append(trial)
        if on_trial:
            on_trial(trial)

    def score(objective: Objective, found: Factors) -> float:
        return Ruler(scene, objective).stopping_score(found)

    for w in MISSING:
        for r in RIDGE:
            w0, ridge = w * rule.missing_weight, r * rule.regularization
            recipe = ENMF(
                factors=factors,
                missing_weight=w0,
                regularization=ridge,
                tolerance=1e-3,
                max_passes=200,
                threads=threads,
            )
            model, outcome = recipe.run(scene.after)
            note(
                PaperTrial(
                    "objective",
                    {"missing_weight": w0, "regularization": ridge},
                    score(model.objective, model.factors),
                    outcome.passes,
                )
            )
    best = max((t for t in trials if t.stage == "objective"), key=lambda t: t.score)
    objective = Objective(
        missing_weight=best.setting["missing_weight"], regularization=best.setting["regularization"]
    )
    for rate in LEARNING_RATES:
        for batch in BATCHES:
            found, epochs = _first_order(scene, objective, factors, rate, batch, threads)
            note(PaperTrial("adamw", {"learning_rate": rate, "batch_users": batch}, found, epochs))
    # of the settings that stop within a hundredth of the best, the quickest: the denominator is not
    # to be a slow one
    steps = [t for t in trials if t.stage == "adamw"]
    top = max(t.score for t in steps)
    quick = min((t for t in steps if t.score >= 0.99 * top), key=lambda t: t.passes)
    return (
        HyperParameters(
            factors=factors,
            missing_weight=round(best.setting["missing_weight"], 4),
            regularization=round(best.setting["regularization"], 3),
            learning_rate=quick.setting["learning_rate"],
            batch_users=int(quick.setting["batch_users"]),
            evaluate_every=EVERY,
            note=f"tuned on a validation cut of split seed {SPLIT}: NDCG@10 {best.score:.4f}, "
            f"AdamW {quick.score:.4f}",
        ),
        trials,
    )


def _first_order(
    scene: Scene, objective: Objective, factors: int, rate: float, batch: int, threads: int
) -> tuple[float, int]:
    ruler = Ruler(scene, objective)
    clock = Clock()
    watcher = Watcher(clock, lambda number, found: {}, ruler.stopping_score, every=EVERY)
    nothing = np.empty(0, np.int64)
    m, n = scene.after.shape
    start = Factors.random(m, n, factors, seed=1)
    shift = Shift(
        start,
        None,
        Problem(objective, scene.after),
        nothing,
        nothing,
        threads or default_threads(),
        watcher,
    )
    clock.start()
    try:
        FirstOrder(start="random", learning_rate=rate, batch_users=batch, max_passes=300).erase(
            shift
        )
    except NumericFailure:
        return float("-inf"), 0
    return watcher.best_score, watcher.best_pass


def dataset_name(folder: Path) -> str:
    """The name under which a data set's hyper-parameters are kept."""
    return folder.stem if folder.is_file() else folder.name
