"""alteraser evaluate"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from alteraser.cli import common
from alteraser.cli.beside import Beside
from alteraser.cli.options import grouped


@grouped
def evaluate(
    model: common.ModelArgument,
    test: Annotated[Path, typer.Option("--test", help="Held-out interactions.")],
    data: Annotated[
        Path, typer.Option("--data", help="Interactions to mask: what the model was trained on.")
    ],
    users: Annotated[
        Path | None,
        typer.Option(
            "--users", help="Table with user_id: average over these alone.", show_default=False
        ),
    ] = None,
    *,
    beside: Beside,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Recall@k and NDCG@k on held-out interactions, all items ranked, the items in --data masked.

    Of a model of sessions: Recall, MRR and NDCG of what comes next, every session of --test
    revealed event by event; of baskets: Recall, NDCG and the share of users with a hit, of
    everybody's first basket in --test. Nothing is masked.

    Warns where MODEL was not trained on --data, or has seen the test; counts what is left out or
    cannot be hit. MovieLens-1M takes 2 s of processor time.

    Example: alteraser evaluate model --test test.parquet --data train.parquet
    """
    from alteraser.cli.recommend import load_shown
    from alteraser.verbs.evaluate import coverage
    from alteraser.verbs.evaluate import evaluate as evaluate_model

    screen = common.Screen(json, quiet)
    with screen.phase("read", "reading"):
        trained = load_shown(model, beside)
        chosen = common.read_users(users, trained)
        held_out, masked = common.read_for(trained, test), common.read_for(trained, data)
    with screen.phase("solve", "ranking"), common.blas_threads(threads):
        answer = evaluate_model(trained, held_out, data=masked, users=chosen)
        covered = coverage(trained, held_out, data=masked)
    for warning in covered.warnings:
        screen.warn(f"warning: {warning}")
    rows = [
        (name, f"{value:.4f}" if "@" in name else f"{value:,}") for name, value in answer.items()
    ]
    document = {
        "model": str(model),
        **answer,
        **asdict(covered),
        "warnings": covered.warnings,
        "seconds": screen.timing(),
    }
    screen.result(document, rows)
