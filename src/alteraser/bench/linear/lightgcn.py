"""LightGCN with the full loss: forgetting 64 users' noise against a converged retrain from another
seed, beside ENMF.

The reference is trained on the clean data from a seed of its own: nothing of the original is in it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from alteraser import ENMF, evaluate, forget
from alteraser.bench.common import clocked, load, table
from alteraser.bench.kept_models import KeptModels, kept
from alteraser.bench.linear.case import HEADER, Against, Case, ndcg
from alteraser.data.interactions import Interactions
from alteraser.data.sets import inject_noise
from alteraser.data.sets.scenario import NoiseScenario
from alteraser.data.side.given import Given
from alteraser.models.closed_form.popularity import Popularity
from alteraser.models.relational.kind import LinearSettings
from alteraser.models.relational.lightgcn import LinearLightGCN
from alteraser.models.relational.plain import PlainModel
from alteraser.models.relational.setup import LinearSetup
from alteraser.verbs.relational.train import train
from alteraser.verbs.tune.linear import paths_of, tune_linear
from alteraser.verbs.verify import verify


def lightgcn(folder: str | None, asked: Case) -> None:
    """One set."""
    name, whole = load(folder)
    with kept(asked.keep) as place:
        _set(name, whole, asked, KeptModels(Path(place) / name))


def _set(name: str, whole: Interactions, asked: Case, models: KeptModels) -> None:
    fit, test = whole.split(0.2, seed=0)
    scene = inject_noise(fit, users=64, seed=0)
    print(f"### {name}: {len(scene.polluted):,} interactions, {len(scene.noise):,} to forget\n")
    popular = evaluate(Popularity().fit(scene.clean), test, data=scene.clean)["ndcg@10"]
    weight, penalty = asked.missing_weight, asked.regularization
    if asked.tuned:
        weight, penalty = _chosen(LinearSetup(factors=asked.factors), Given.of(scene.clean), asked)
    print(f"On the clean data: popularity NDCG@10 {popular:.4f}\n", flush=True)
    given: dict[str, Any] = {"missing_weight": weight, "regularization": penalty}
    recipes = {"enmf": given}
    if asked.weighing:
        recipes = {"enmf": {}, "enmf-weighed": {**given, **asked.weighing}}
    for title, settings in recipes.items():
        recipe = ENMF(factors=asked.factors, to_rest=asked.forgetting, **settings)
        _factored(title, recipe, scene.clean, test, models)
    for layers in asked.layers:
        kind = LinearLightGCN(
            factors=asked.factors,
            layers=layers,
            continuation=asked.continuation,
            max_passes=asked.max_passes,
            **asked.weighing,
        )
        weight, penalty = asked.missing_weight, asked.regularization
        if asked.tuned:
            weight, penalty = _chosen(kind, scene.clean, asked)
        kind = kind.model_copy(update={"missing_weight": weight, "regularization": penalty})
        reference, seconds = _run(kind, scene, test, models, forgetting=asked.forgetting)
        if asked.beside:
            from alteraser.bench.linear.sampled import sampled

            sampled(kind, scene, test)
        if asked.equal:
            from alteraser.bench.linear.sampled import as_long

            as_long(kind, scene, test, reference, seconds)


def _factored(
    name: str, recipe: ENMF, data: Interactions, test: Interactions, models: KeptModels
) -> None:
    """A line about ENMF on the clean data."""
    found, spent = models.model(name, f"{recipe!r} of {data.digest}", partial(recipe.fit, data))
    said = found.objective
    by = "" if said.missing_weighting == "uniform" else f" by {said.missing_weighting}"
    growing = "" if said.regularization_scaling == "none" else " growing with frequency"
    print(
        f"ENMF: NDCG@10 {ndcg(found, data, test):.4f}, w0 = "
        f"{said.missing_weight:.3g}{by}, λ = {said.regularization:.3g}{growing}, {spent:.1f} CPU "
        "s\n",
        flush=True,
    )


def _chosen(kind: LinearSettings, data: Any, asked: Case) -> tuple[float, float]:
    """(w₀, λ) that do best on a validation cut of ``data``, of those that are not given."""
    given = {
        name: [value]
        for name, value in (
            ("missing_weight", asked.missing_weight),
            ("regularization", asked.regularization),
            ("layers", getattr(kind, "layers", None)),
        )
        if value is not None
    }
    tuned = tune_linear(paths_of(kind, given, data), data)
    return tuned.chosen.settings.settled(data).of_data


def _run(
    kind: LinearLightGCN,
    scene: NoiseScenario,
    test: Interactions,
    models: KeptModels,
    *,
    forgetting: bool,
) -> tuple[PlainModel, float]:
    """(the model trained on the clean data, CPU seconds of that)."""

    def trained_on(
        data: Interactions, name: str, settings: LinearLightGCN
    ) -> tuple[PlainModel, float]:
        of = f"{settings!r} of {data.digest}"
        return models.model(f"k{kind.layers}-{name}", of, partial(train, settings, data))

    settled = kind.settled(scene.polluted)
    anew = [settled.model_copy(update={"seed": seed}) for seed in (7, 8)]
    reference, retrained = trained_on(scene.clean, "retrained", anew[0])
    again = reference.training
    print(
        f"K = {kind.layers}, d = {kind.factors}, w0 = {settled.missing_weight:.3g}, "
        f"λ = {settled.regularization:.3g}; on the clean data NDCG@10 "
        f"{ndcg(reference, scene.clean, test):.4f}, {retrained:.1f} CPU s "
        f"({again['passes']} passes, {again['products']} products)\n",
        flush=True,
    )
    if not forgetting:
        return reference, retrained
    original, trained = trained_on(scene.polluted, "original", kind)
    erasure, forgot, _ = clocked(partial(forget, original, scene.noise, data=scene.polluted))
    second, _ = trained_on(scene.clean, "another", anew[1])
    checked, verified, _ = clocked(
        partial(verify, erasure.model, erasure.remaining, before=original)
    )
    users = scene.clean.users.ids_of(scene.users)

    against = Against(reference, original, scene.clean, test, users)
    rows = [
        against.row("original", original),
        against.row(f"forgotten, class {erasure.kind}", erasure.model),
        against.row("another converged retrain", second),
    ]
    table(HEADER, rows)
    work = erasure.work
    print(
        f"CPU seconds: original {trained:.1f}, forget {forgot:.1f} ({work.passes} passes, "
        f"{work.products} products), "
        f"retrain {retrained:.1f} ({again['passes']} and {again['products']}), verify "
        f"{verified:.1f} (class {checked.certificate.kind}).\n",
        flush=True,
    )
    return reference, retrained
