"""The paper's scenario (64 users, injected noise; Liu et al., RecSys 2022, §5) after 1, 2, 5, 10
and 20 passes.

The reference is a retrain from another seed, in float64, to a small stationarity: nothing of the
original is in it.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from alteraser import ENMF, AltEraser, Erasure, Model, Retrain, compare, evaluate, forget, metrics
from alteraser.bench.common import Sets, clocked, each, load, numbers, table
from alteraser.data.sets import inject_noise
from alteraser.data.sets.scenario import NoiseScenario

PASSES = (1, 2, 5, 10, 20)
RANK = 64


def scenario(
    sets: Sets = None,
    reference_tolerance: Annotated[
        float, typer.Option("--reference-tolerance", help="Stationarity of the reference retrain.")
    ] = 1e-7,
    tolerances: Annotated[
        str, typer.Option("--tolerances", help="Residuals to go to, with commas.")
    ] = "1e-3,1e-4",
) -> int:
    """The paper's scenario after 1 to 20 passes, and the work to a tolerance against retraining to
    the same.

    Example: alteraser bench scenario ml-1m
    """
    for folder in each(sets):
        _run(folder, reference_tolerance, numbers(tolerances, "--tolerances"))
    return 0


def _run(folder: str | None, reference_tolerance: float, tolerances: tuple[float, ...]) -> None:
    name, whole = load(folder)
    train, test = whole.split(0.2, seed=0)
    scene = inject_noise(train, users=64, seed=0)
    original, trained = ENMF(factors=RANK).run(scene.polluted)
    w0, ridge = original.objective.missing_weight, original.objective.regularization
    exact = ENMF(
        factors=RANK,
        missing_weight=w0,
        regularization=ridge,
        dtype="float64",
        max_passes=2000,
        tolerance=reference_tolerance,
        seed=7,
    )
    reference, goal = exact.run(scene.clean)
    second, _ = exact.model_copy(update={"seed": 8}).run(scene.clean)
    print(
        f"### {name}: {len(scene.polluted):,} interactions, {len(scene.noise):,} to forget, d = "
        f"{RANK}, w0 = {w0:.3g}, λ = {ridge:.3g}; original trained in {trained.passes} passes to "
        f"{trained.residual:.0e}\n"
    )
    runs, work = _erasures(original, scene, tolerances)
    before = runs[0][1].work.objective_before
    users = scene.clean.users.ids_of(scene.users)

    def measures(model: Model, objective: float | None) -> tuple[str, ...]:
        assert objective is not None
        assert before is not None
        agree = compare(model, reference, data=scene.clean, users=users)
        return (
            f"{agree['rbo@10']:.4f}",
            f"{metrics.influence_left(model.factors, reference.factors, original.factors):.3f}",
            f"{metrics.gap_left(objective, before, goal.objective):.4f}",
            f"{metrics.re_predict(model.factors, scene.noise.user_rows, scene.noise.indices):.4f}",
        )

    rows: list[tuple[object, ...]] = [("original", *measures(original, before), 1, "-")]
    for label, done in runs:
        ended = measures(done.model, done.work.objective_after)
        rows.append((label, *ended, f"{done.residual:.1e}", done.work.passes))
    rows.append(("another converged retrain", *measures(second, goal.objective), "-", "-"))
    table(
        ("model", "RBO@10", "influence left", "gap left", "re-predict", "residual", "passes"), rows
    )
    chosen = next(done.model for label, done in runs if label in work)
    accuracy = [
        evaluate(m, test, data=scene.clean)["ndcg@10"] for m in (original, chosen, reference)
    ]
    print(
        "NDCG@10 of all users: original {:.4f}, unlearned {:.4f}, retrained {:.4f}.".format(
            *accuracy
        )
    )
    for ours in [label for label in work if not label.startswith("retrain")]:
        mine, theirs = work[ours], work[f"retrain {ours}"]
        print(
            f"CPU seconds {ours}: {mine:.1f}, retrain {ours}: {theirs:.1f} ({theirs / mine:.1f}x)."
        )
    print(flush=True)


def _erasures(
    original: Model, scene: NoiseScenario, tolerances: tuple[float, ...]
) -> tuple[list[tuple[str, Erasure[Model]]], dict[str, float]]:
    """(erasures by their labels, CPU seconds of those that went to a tolerance)."""
    passes = [
        (
            f"{label}, {count} passes",
            AltEraser(tolerance=0.0, max_passes=count, memory=memory, solver="ah-newton"),
        )
        for label, memory in (("plain", 0), ("accelerated", 6))
        for count in PASSES
    ]
    ends: list[tuple[str, AltEraser | Retrain]] = []
    for tolerance in tolerances:
        ends.append((f"to {tolerance:.0e}", AltEraser(tolerance=tolerance, max_passes=500)))
        ends.append((f"retrain to {tolerance:.0e}", Retrain(tolerance=tolerance, max_passes=1000)))

    def erase(method: AltEraser | Retrain) -> Erasure[Model]:
        return forget(original, scene.noise, data=scene.polluted, method=method)

    runs, work = [], {}
    for label, method in [*passes, *ends]:
        done, seconds, _ = clocked(partial(erase, method))
        runs.append((label, done))
        if (label, method) in ends:
            work[label] = seconds
    return runs, work
