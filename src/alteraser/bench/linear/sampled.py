"""The same layers with BPR's loss of sampled pairs, beside that over all cells (extra: torch)."""

from __future__ import annotations

from functools import partial

from alteraser.bench.common import clocked, table
from alteraser.bench.equal_time import MARKS, ROUNDS, equal_time
from alteraser.bench.linear.case import ndcg
from alteraser.bench.pairwise import pairwise
from alteraser.data.interactions import Interactions
from alteraser.data.sets.scenario import NoiseScenario
from alteraser.models.relational.lightgcn import LinearLightGCN
from alteraser.models.relational.plain import PlainModel
from alteraser.verbs.relational.train import train


def sampled(kind: LinearLightGCN, scene: NoiseScenario, test: Interactions) -> None:
    """The same layers with BPR's loss, on the clean data."""
    found = pairwise(scene.clean, test, layers=kind.layers, factors=kind.factors)
    print(
        f"BPR, K = {kind.layers}, on the clean data, {found.passes} passes of AdamW with "
        f"{found.chosen}: NDCG@10 {found.ndcg:.4f}, {found.seconds:.1f} CPU s; two trainings agree "
        f"by RBO@10 {found.agreement:.4f}.\n",
        flush=True,
    )


def as_long(
    kind: LinearLightGCN,
    scene: NoiseScenario,
    test: Interactions,
    reference: PlainModel,
    seconds: float,
) -> None:
    """Likewise, for as many CPU seconds as the full loss took, beside the full loss stopped on the
    way.
    """
    found = equal_time(scene.clean, test, seconds, layers=kind.layers, factors=kind.factors)
    print(
        f"BPR, K = {kind.layers}, in the {seconds:.1f} CPU s of the full loss. NDCG@10 (passes) on "
        "a tenth of the clean data, held out, of AdamW with\n"
    )
    rounds = [f"in {share:g} of the time" for share, _ in ROUNDS]
    rows = [
        (
            f"{trial.learning_rate:g}",
            f"{trial.regularization:g}",
            trial.batch,
            *(f"{x.ndcg:.4f} ({x.passes})" for x in marks),
            *([""] * (len(rounds) - len(marks))),
        )
        for trial, marks in found.tried.items()
    ]
    table(("learning rate", "λ", "pairs a step", *rounds), rows)
    print(f"On all of the clean data, {found.chosen}, and the full loss stopped so early:\n")
    full = [_stopped(reference, share, scene.clean, test) for share in MARKS[:-1]]
    full.append((seconds, reference.training["passes"], ndcg(reference, scene.clean, test)))
    table(
        ("of the time", "CPU s", "passes", "NDCG@10", "full loss, CPU s", "passes", "NDCG@10"),
        [
            (
                f"{x.share:g}",
                f"{x.seconds:.1f}",
                x.passes,
                f"{x.ndcg:.4f}",
                f"{spent:.1f}",
                passes,
                f"{ndcg:.4f}",
            )
            for x, (spent, passes, ndcg) in zip(found.marks, full, strict=True)
        ],
    )


def _stopped(
    reference: PlainModel, share: float, data: Interactions, test: Interactions
) -> tuple[float, int, float]:
    """(CPU seconds, passes, NDCG@10) of the training of ``reference`` stopped after a share of its
    passes.
    """
    most = max(1, round(share * reference.training["passes"]))
    settings = reference.settings.model_copy(update={"max_passes": most})
    model, seconds, _ = clocked(partial(train, settings, data))
    return seconds, model.training["passes"], ndcg(model, data, test)
