"""alteraser evaluate"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alteraser.cli import common, inputs
from alteraser.cli.beside import PANEL, Beside, refuse_context
from alteraser.cli.examining import EvaluateRequest
from alteraser.cli.foreign_options import Reading
from alteraser.cli.options import grouped
from alteraser.cli.screen import Screen
from alteraser.cli.subjects import lying

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

    screen, subject = Screen(json, quiet), lying(model, Reading())
    with screen.phase("read", "reading"):
        trained = load_shown(model, beside)
        chosen = inputs.read_users(users, trained)
        listed = inputs.read_items(among, trained)
    asked = EvaluateRequest(screen, trained, test, data, context, chosen, listed, threads)
    answer, covered = subject.answering("evaluate")(asked)
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


def by_user(asked: EvaluateRequest) -> tuple[dict[str, float], Coverage]:
    """One list for everybody, whatever was so when."""
    from alteraser.verbs.evaluate import coverage, evaluate

    model, among = asked.model, asked.among
    refuse_context(asked.context, model.kind)
    with asked.screen.phase("read", "reading"):
        held_out, masked = (inputs.read_for(model, path) for path in (asked.test, asked.data))
    with asked.screen.phase("solve", "ranking"), inputs.blas_threads(asked.threads):
        answer = evaluate(model, held_out, data=masked, users=asked.users, among=among)
        return answer, coverage(model, held_out, data=masked, among=among)
