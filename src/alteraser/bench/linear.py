"""LightGCN with the full loss: forgetting 64 users' noise against a converged retrain from another
seed, beside ENMF.

The reference is trained on the clean data from a seed of its own: nothing of the original is in it.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from alteraser import ENMF, compare, evaluate, forget, metrics
from alteraser.bench.common import (
    MissingWeight,
    Regularization,
    Sets,
    clocked,
    each,
    load,
    numbers,
    table,
)
from alteraser.data.interactions import Interactions
from alteraser.data.sets import inject_noise
from alteraser.data.sets.scenario import NoiseScenario
from alteraser.models.relational.lightgcn import LinearLightGCN
from alteraser.models.relational.plain import PlainModel
from alteraser.verbs.relational.train import train
from alteraser.verbs.verify import verify


def linear(
    sets: Sets = None,
    layers: Annotated[str, typer.Option("--layers", help="Values of K, with commas.")] = "2,3",
    factors: Annotated[int, typer.Option("--factors", help="d.")] = 64,
    missing_weight: MissingWeight = None,
    regularization: Regularization = None,
    beside: Annotated[
        bool,
        typer.Option("--bpr", help="Train LightGCN with sampled pairs beside it (extra: torch)."),
    ] = False,
) -> int:
    """Linear-lightgcn in the paper's scenario: agreement with a retrain, accuracy, CPU time.

    Example: alteraser bench linear ml-100k --layers 2 --factors 32
    """
    for folder in each(sets):
        name, whole = load(folder)
        train, test = whole.split(0.2, seed=0)
        scene = inject_noise(train, users=64, seed=0)
        print(f"### {name}: {len(scene.polluted):,} interactions, {len(scene.noise):,} to forget\n")
        factored, spent, _ = clocked(partial(ENMF(factors=factors, to_rest=True).fit, scene.clean))
        accuracy = evaluate(factored, test, data=scene.clean)["ndcg@10"]
        print(f"ENMF on the clean data: NDCG@10 {accuracy:.4f}, {spent:.1f} CPU s\n", flush=True)
        for count in numbers(layers, "--layers"):
            kind = LinearLightGCN(
                factors=factors,
                layers=int(count),
                missing_weight=missing_weight,
                regularization=regularization,
            )
            _run(kind, scene, test)
            if beside:
                _sampled(kind, scene, test)
    return 0


def _sampled(kind: LinearLightGCN, scene: NoiseScenario, test: Interactions) -> None:
    """The same layers with BPR's loss, on the clean data."""
    from alteraser.bench.pairwise import pairwise

    found = pairwise(scene.clean, test, layers=kind.layers, factors=kind.factors)
    print(
        f"BPR, K = {kind.layers}, on the clean data, {found.passes} passes of AdamW: NDCG@10 "
        f"{found.ndcg:.4f}, {found.seconds:.1f} CPU s; two trainings agree by RBO@10 "
        f"{found.agreement:.4f}.\n",
        flush=True,
    )


def _run(kind: LinearLightGCN, scene: NoiseScenario, test: Interactions) -> None:
    original, trained, _ = clocked(partial(train, kind, scene.polluted))
    settled = original.settings
    erasure, forgot, _ = clocked(partial(forget, original, scene.noise, data=scene.polluted))
    anew = [settled.model_copy(update={"seed": seed}) for seed in (7, 8)]
    reference, retrained, _ = clocked(partial(train, anew[0], scene.clean))
    second = train(anew[1], scene.clean)
    checked, verified, _ = clocked(
        partial(verify, erasure.model, erasure.remaining, before=original)
    )
    users = scene.clean.users.ids_of(scene.users)

    def row(label: str, model: PlainModel) -> tuple[object, ...]:
        asked, everybody = (
            compare(model, reference, data=scene.clean, users=who) for who in (users, None)
        )
        left = metrics.influence_left(model.factors, reference.factors, original.factors)
        accuracy = evaluate(model, test, data=scene.clean)["ndcg@10"]
        return (
            label,
            f"{asked['rbo@10']:.4f}",
            f"{everybody['rbo@10']:.4f}",
            f"{everybody['score_distance']:.1e}",
            f"{left:.1e}",
            f"{accuracy:.4f}",
        )

    print(
        f"K = {kind.layers}, d = {kind.factors}, w0 = {settled.missing_weight:.3g}, "
        f"λ = {settled.regularization:.3g}; original trained in {trained:.1f} CPU s\n"
    )
    rows = [
        row("original", original),
        row(f"forgotten, class {erasure.kind}", erasure.model),
        row("another converged retrain", second),
    ]
    table(("model", "RBO@10, 64 users", "all users", "scores", "influence left", "NDCG@10"), rows)
    work, again = erasure.work, reference.training
    print(
        f"CPU seconds: forget {forgot:.1f} ({work.passes} passes, {work.products} products), "
        f"retrain {retrained:.1f} ({again['passes']} and {again['products']}), verify "
        f"{verified:.1f} (class {checked.certificate.kind}).\n",
        flush=True,
    )
