"""How the demonstration is told: the same rows for the terminal and for report.html."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np

from alteraser.demo.run import Demo
from alteraser.erasers import PassRecord
from alteraser.report import ComparisonTable, Curve, ForgettingReport, ListItem, SideBySide

COLUMNS = ("original", "unlearned", "retrained")


def comparison(demo: Demo) -> list[tuple[str, list[str]]]:
    """(measure, [original, unlearned, retrained]) rows."""
    agree = demo.agreement
    accuracy = demo.accuracy
    erased, retrained = demo.unlearned, demo.retrained
    objective = (
        erased.work.objective_before,
        erased.work.objective_after,
        retrained.work.objective_after,
    )
    rows = [
        ("mean score of the forgotten", [f"{value:.3f}" for value in demo.re_predict]),
        ("RBO@10 to the retrained", [*(f"{a['rbo@10']:.3f}" for a in agree), "1.000"]),
        (
            "distance of all scores to the retrained",
            [*(f"{a['score_distance']:.4f}" for a in agree), "0"],
        ),
        ("Recall@10", [f"{a['recall@10']:.4f}" for a in accuracy]),
        ("NDCG@10", [f"{a['ndcg@10']:.4f}" for a in accuracy]),
        ("objective on the remaining data", [f"{value:,.1f}" for value in objective]),
        (
            "share of the push unresolved",
            ["1", f"{erased.residual:.1e}", f"{retrained.residual:.1e}"],
        ),
        ("passes", ["-", str(erased.work.passes), str(retrained.work.passes)]),
        (
            "seconds",
            [
                f"{demo.train_seconds:.2f} (training)",
                f"{erased.seconds:.2f}",
                f"{retrained.seconds:.2f}",
            ],
        ),
        ("times faster than this retrain", ["", f"{retrained.seconds / erased.seconds:.1f}", "1"]),
    ]
    return [(name, list(values)) for name, values in rows]


def lead(demo: Demo) -> str:
    """Two sentences for somebody who reads nothing else."""
    removed = demo.unlearned.removed
    users = int((removed.user_counts > 0).sum())
    return (
        f"{len(removed):,} interactions of {users:,} accounts were forgotten in "
        f"{demo.unlearned.seconds:.1f} seconds. The top-10 lists of these accounts now agree with "
        f"a model retrained from scratch without them to {demo.agreement[1]['rbo@10']:.3f} "
        f"(before: {demo.agreement[0]['rbo@10']:.3f}; 1 is identical), and "
        f"{demo.influence_left:.1%} of the forgotten interactions' influence on the parameters is "
        "left."
    )


def side_by_side(demo: Demo) -> list[list[tuple[str, str, bool]]]:
    """Places 1 to 10 of the account: (title, category, flagged) by the three models."""
    scene = demo.scene
    longest = max(len(items) for items in demo.lists)

    def entry(items: list[Any], place: int) -> tuple[str, str, bool]:
        if place >= len(items):
            return "", "", False
        title, category = scene.titles.get(items[place], (str(items[place]), ""))
        return (
            title,
            category,
            scene.flagged_category is not None and category == scene.flagged_category,
        )

    return [[entry(items, place) for items in demo.lists] for place in range(longest)]


def report(demo: Demo, settings: dict[str, str]) -> ForgettingReport:
    """The content of report.html."""
    erased, scene = demo.unlearned, demo.scene
    cells = erased.removed.user_rows, erased.removed.indices
    scores = [np.asarray(model.factors.scores(*cells)).tolist() for model in demo.models]
    curves = [
        _curve("retraining from scratch", demo.retrained.trace),
        _curve("accelerated passes", erased.trace),
    ]
    if demo.plain is not None:
        curves.insert(1, _curve("plain passes (the paper)", demo.plain.trace))
    lists = SideBySide(
        heading=f"Account {demo.account}",
        columns=["before", "after forgetting", "retrained without it"],
        rows=[[ListItem(*cell) for cell in row] for row in side_by_side(demo)],
        flagged=scene.flagged_words or "like what was forgotten",
        text="Its ten best recommendations by each model. Items in the remaining data are left "
        "out for all three.",
    )
    speed = demo.retrained.seconds / erased.seconds
    return ForgettingReport(
        title=scene.title,
        lead=lead(demo),
        story=scene.story,
        figures=[
            (
                "Agreement with a retrain",
                f"{demo.agreement[1]['rbo@10']:.3f}",
                "rank-biased overlap (p = 0.9) of the forgetting accounts' top-10 lists; 1 is "
                "identical",
            ),
            (
                "Score of the forgotten",
                f"{demo.re_predict[0]:.2f} → {demo.re_predict[1]:.2f}",
                f"mean predicted score; the retrained model gives {demo.re_predict[2]:.2f}",
            ),
            (
                "Influence left",
                f"{demo.influence_left:.1%}",
                "distance of the parameters to the retrained ones, over what it was before "
                "forgetting",
            ),
            (
                "Time against retraining",
                f"{speed:.1f}×",
                "the fastest retraining we have, to the same tolerance, in the same run",
            ),
        ],
        rows=ComparisonTable(
            list(COLUMNS),
            comparison(demo),
            notes=[
                f"Recall and NDCG over {demo.accuracy[1]['users']:,} users with held-out "
                "interactions.",
                f"RBO over {demo.agreement[1]['users']:,} forgetting accounts.",
            ],
        ),
        residual_by_pass=curves,
        residual_tolerance=float(erased.model.training["tolerance"]),
        scores_before=scores[0],
        scores_after=scores[1],
        scores_retrained=scores[2],
        lists=[lists],
        details=[*settings.items(), *_details(demo)],
        limits=[
            "Measured, not proved: the figures compare with one retraining from another random "
            "start.",
            "The residual is the share of the deletion's push on the gradient that is still "
            "unresolved. It is a stopping rule; what is left of the influence on parameters is "
            "larger, and stated above.",
            "Nobody can tell from the model alone whether something was forgotten; keep the "
            "remaining data and the digests above to be able to check.",
            "This is not differential privacy: comparing the models before and after shows what "
            "was deleted.",
        ],
    )


def _curve(name: str, trace: tuple[PassRecord, ...]) -> Curve:
    points = [(record.number, record.residual) for record in trace if record.residual is not None]
    return Curve(name, [float(n) for n, _ in points], [float(r) for _, r in points])


def _details(demo: Demo) -> list[tuple[str, str]]:
    from alteraser.runtime.version import VERSION

    model = demo.unlearned.model
    objective = model.objective
    return [
        (
            "model",
            f"ENMF, d = {model.factors.rank}, w0 = {objective.missing_weight:.3g}, "
            f"λ = {objective.regularization:.3g}, {model.factors.dtype.name}",
        ),
        (
            "trained on",
            f"{len(demo.scene.polluted):,} interactions, stationarity {demo.train_residual:.1e}",
        ),
        (
            "remaining data",
            f"{len(demo.unlearned.remaining):,} interactions, digest {model.trained_on.digest}",
        ),
        (
            "machine",
            f"{platform.machine()}, {os.cpu_count()} processors, Python "
            f"{platform.python_version()}",
        ),
        ("alteraser", VERSION),
    ]
