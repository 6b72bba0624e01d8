"""alteraser evaluate"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alteraser.cli import common, inputs
from alteraser.cli.beside import COMPOSITE, PANEL, Beside, refuse_context
from alteraser.cli.options import grouped
from alteraser.cli.screen import Screen

if TYPE_CHECKING:
    from alteraser.verbs.evaluate import Coverage


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
    among: common.Among = None,
    context: Annotated[
        str | None,
        typer.Option(
            "--context",
            metavar="NAME,…",
            help="Rank for every user in every such context of --test; of kind linear.",
            rich_help_panel=PANEL,
            show_default="those of the model that --test has",
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

    Of a model with contexts: means over the users of --test in their contexts, everything ranked
    for each. The items are masked that a user has in --data in that same context. A context that
    never occurred in training is left out, a row without a value is in none. With --context a model
    of kind linear is measured on the same queries though it was trained without contexts.

    --among ranks some items alone, and of --test asks for these alone: items that nobody had, among
    themselves, with --item-features.

    Warns where MODEL was not trained on --data, or has seen the test; counts what is left out or
    cannot be hit. MovieLens-1M takes 2 s of processor time.

    Example: alteraser evaluate model --test test.parquet --data train.parquet
    """
    from alteraser.cli.recommend import load_shown
    from alteraser.models.folder import kind_at

    screen = Screen(json, quiet)
    kind = kind_at(model)
    if kind and kind != COMPOSITE:
        refuse_context(context, kind)
    with screen.phase("read", "reading"):
        trained = load_shown(model, beside)
        chosen = inputs.read_users(users, trained)
        listed = inputs.read_items(among, trained)
    found = None
    if kind == COMPOSITE:
        from alteraser.cli.relational.evaluate import evaluated

        found = evaluated(
            screen, trained, test, data, context, users=chosen, among=listed, threads=threads
        )
    answer, covered = found or _evaluated(screen, trained, test, data, chosen, listed, threads)
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


def _evaluated(
    screen: Screen, trained: Any, test: Path, data: Path, chosen: Any, among: Any, threads: int
) -> tuple[dict[str, float], Coverage]:
    """By user."""
    from alteraser.verbs.evaluate import coverage, evaluate

    with screen.phase("read", "reading"):
        held_out, masked = inputs.read_for(trained, test), inputs.read_for(trained, data)
    with screen.phase("solve", "ranking"), inputs.blas_threads(threads):
        answer = evaluate(trained, held_out, data=masked, users=chosen, among=among)
        return answer, coverage(trained, held_out, data=masked, among=among)
