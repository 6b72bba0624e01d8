"""The paper's scenario (64 users, injected noise; Liu et al., RecSys 2022, §5) after 1, 2, 5, 10 and 20 passes.

The reference is a retrain from another seed, in float64, to a small stationarity: nothing of the original is in it.
"""

from __future__ import annotations

import time

from common import load, table

from alteraser import ENMF, AltEraser, Retrain, compare, evaluate, forget, metrics
from alteraser.data.sets import inject_noise

PASSES = (1, 2, 5, 10, 20)
RANK = 64


def run(folder: str | None, *, reference_tolerance: float = 1e-7, tolerances: tuple[float, ...] = (1e-3, 1e-4)) -> None:
    """Print the table of one data set, and the work to the default tolerance against retraining to the same."""
    name, whole = load(folder)
    train, test = whole.split(0.2, seed=0)
    scene = inject_noise(train, users=64, seed=0)
    original, trained = ENMF(factors=RANK).run(scene.polluted)
    w0, ridge = original.objective.missing_weight, original.objective.regularization
    exact = {
        "factors": RANK,
        "missing_weight": w0,
        "regularization": ridge,
        "dtype": "float64",
        "max_passes": 2000,
    }
    reference, goal = ENMF(**exact, tolerance=reference_tolerance, seed=7).run(scene.clean)
    second, _ = ENMF(**exact, tolerance=reference_tolerance, seed=8).run(scene.clean)
    users = scene.clean.users.ids_of(scene.users)
    cells = scene.noise.user_rows, scene.noise.indices

    def measures(model, objective):  # type: ignore[no-untyped-def]
        agree = compare(model, reference, data=scene.clean, users=users)
        return (
            f"{agree['rbo@10']:.4f}",
            f"{metrics.influence_left(model.factors, reference.factors, original.factors):.3f}",
            f"{metrics.gap_left(objective, before, goal.objective):.4f}",
            f"{metrics.re_predict(model.factors, *cells):.4f}",
        )

    runs = []
    for label, memory in (("plain", 0), ("accelerated", 6)):
        for passes in PASSES:
            method = AltEraser(tolerance=0.0, max_passes=passes, memory=memory, solver="ah-newton")
            runs.append(
                (
                    f"{label}, {passes} passes",
                    forget(original, scene.noise, data=scene.polluted, method=method),
                )
            )
    work = {}
    methods: list[tuple[str, AltEraser | Retrain]] = []
    for tolerance in tolerances:
        methods.append((f"to {tolerance:.0e}", AltEraser(tolerance=tolerance, max_passes=500)))
        methods.append((f"retrain to {tolerance:.0e}", Retrain(tolerance=tolerance, max_passes=1000)))
    for label, method in methods:
        began = time.process_time()
        runs.append((label, forget(original, scene.noise, data=scene.polluted, method=method)))
        work[label] = time.process_time() - began
    before = runs[0][1].objective_before
    print(
        f"### {name}: {len(scene.polluted):,} interactions, {len(scene.noise):,} to forget, d = {RANK}, "
        f"w0 = {w0:.3g}, λ = {ridge:.3g}; original trained in {trained.passes} passes to {trained.residual:.0e}\n"
    )
    header = ("model", "RBO@10", "influence left", "gap left", "re-predict", "residual", "passes")
    rows = [("original", *measures(original, before), 1, "-")]
    for label, erasure in runs:
        rows.append(
            (label, *measures(erasure.model, erasure.outcome.objective), f"{erasure.residual:.1e}",
             erasure.outcome.passes)
        )  # fmt: skip
    rows.append(("another converged retrain", *measures(second, goal.objective), "-", "-"))
    table(header, rows)
    chosen = next(erasure.model for label, erasure in runs if label == methods[0][0])
    accuracy = [evaluate(m, test, data=scene.clean)["ndcg@10"] for m in (original, chosen, reference)]
    print("NDCG@10 of all users: original {:.4f}, unlearned {:.4f}, retrained {:.4f}.".format(*accuracy))
    for (ours, _), (theirs, _) in zip(methods[::2], methods[1::2], strict=True):
        print(f"CPU seconds {ours}: {work[ours]:.1f}, {theirs}: {work[theirs]:.1f} ({work[theirs] / work[ours]:.1f}x).")
    print(flush=True)
