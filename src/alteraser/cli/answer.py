"""What ``forget`` ends with, for every kind of model: one document, one table of rows, one exit
code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alteraser.cli import aftermath, selecting
from alteraser.cli.screen import Screen, unrated_rows
from alteraser.errors import NumericFailure

if TYPE_CHECKING:
    from alteraser.cli.forget_options import ForgetRequest
    from alteraser.cli.subject import Subject
    from alteraser.data.deletion import Deletion
    from alteraser.verbs.erasure import Erasure


def answer(
    screen: Screen, asked: ForgetRequest, subject: Subject, erasure: Erasure[Any], saved: Any
) -> int:
    """Show what came out; 0 where the level that was asked for, or the default one, is reached,
    else 8 and a line.
    """
    seconds, found, remaining = screen.timing(), erasure.deletion, asked.outputs.remaining
    reached, verbose = erasure.reached(asked.how.tolerance), asked.talk.verbose
    document = erasure.document() | {
        "model": str(asked.out),
        **subject.identity(saved),
        "method_asked": asked.how.method,
        "seconds": seconds,
        "converged": erasure.details.get("converged", reached),
        **selecting.document(found),
        "remaining": None if remaining is None else str(remaining),
    }
    whole = found.removal.emptied_users.size
    rows = [
        ("model", f"{asked.out}{subject.title(erasure)}"),
        (
            "forgotten",
            f"{erasure.forgotten:,} interactions; {erasure.remaining.count:,} remain"
            + (f"; {whole:,} users erased whole" if whole else ""),
        ),
        *selecting.gone_rows(found),
        *selecting.added_rows(found),
        *selecting.rows(found, remaining, verbose=verbose),
        *unrated_rows(found.data),
        *subject.standing(erasure),
        *aftermath.rows(erasure.aftermath, ours=subject.ours),
        aftermath.time(seconds, erasure.way.refit_seconds),
        *subject.beside(saved),
    ]
    floor = erasure.work.training_floor
    if erasure.details.get("effect") is None and floor is not None and floor > 1:
        rows.append(
            (
                "note",
                f"the original's training had left {floor:.1f} times this deletion's push; "
                "the new model is also better trained than the original was",
            )
        )
    screen.result(document, rows)
    if reached:
        return 0
    screen.warn(subject.shortfall(erasure))
    return 0 if asked.how.accept == "d" else NumericFailure.exit_code


def dry_run(screen: Screen, asked: ForgetRequest, found: Deletion, planned: Any) -> int:
    """Show what would be forgotten, and where ``planned`` says it, how and at what cost."""
    removal = found.removal
    users, items, emptied = (
        len(rows) for rows in (removal.touched_users, removal.touched_items, removal.emptied_users)
    )
    before = removal.remaining.count + found.forgotten
    document = {
        "dry_run": True,
        "interactions_before": before,
        "interactions_forgotten": found.forgotten,
        **selecting.document(found),
        "rows_without_rating": found.data.unrated,
        "users_touched": users,
        "items_touched": items,
        "users_erased_whole": emptied,
        **found.said,
        "seconds": screen.timing(),
    }
    rows = [
        ("would forget", f"{found.forgotten:,} of {before:,} interactions"),
        *selecting.gone_rows(found),
        ("of", f"{users:,} users ({emptied:,} of them whole) and {items:,} items"),
        *selecting.beside_rows(found),
        *selecting.rows(found, None, verbose=asked.talk.verbose),
        *unrated_rows(found.data),
    ]
    if planned is not None:
        document |= {
            "method": planned.method,
            "why": planned.why,
            **planned.outlook.details(),
            **planned.details(),
            "refit_seconds_predicted": planned.refit_seconds,
        }
        rows += [
            ("method", f"{' or '.join(planned.outlook.methods)}: {planned.why}"),
            ("class", planned.outlook.words),
            ("would take", _seconds(planned)),
        ]
    screen.result(document, rows, "dry run: nothing was written")
    return 0


def _seconds(planned: Any) -> str:
    parts = [
        "not known beforehand" if planned.seconds is None else f"about {planned.seconds:.2g} s"
    ]
    if planned.refit_seconds is not None:
        parts.append(f"training without the data about {planned.refit_seconds:.2g} s")
    return "; ".join(parts) + " (predicted)"
