"""Figures in the format of Prometheus: how many requests have which status, what is due, what is
served.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from alteraser.ledger import ingests, log, requests, subscriptions, versions
from alteraser.ledger.due import moment
from alteraser.ledger.schema import batches
from alteraser.service import tempo

waiting = ingests.waiting


def written(connection: Connection, now: datetime, *, halted: bool) -> str:
    """All figures as text."""
    lines: list[str] = []

    def gauge(name: str, words: str, values: list[tuple[str, float]], kind: str = "gauge") -> None:
        lines.extend((f"# HELP alteraser_{name} {words}", f"# TYPE alteraser_{name} {kind}"))
        lines.extend(
            f"alteraser_{name}{label} {value if isinstance(value, int) else round(value, 3)}"
            for label, value in values
        )

    counted = requests.counted(connection)
    gauge(
        "requests",
        "Requests by status.",
        [(f'{{status="{state}"}}', n) for state, n in counted.items()],
    )
    at_risk = requests.at_risk(connection, now)
    gauge(
        "requests_at_risk",
        "Open requests of whose period more than this share is over.",
        [(f'{{elapsed="{share:g}"}}', n) for share, n in at_risk.items()],
    )
    earliest = requests.earliest_due(connection)
    left = 0.0 if earliest is None else (moment(earliest) - now).total_seconds()
    gauge(
        "seconds_to_earliest_due",
        "Until the first open request is due; 0 where none is open.",
        [("", left)],
    )
    predicted = tempo.cost(connection)
    gauge(
        "batch_seconds_predicted",
        "Seconds that a batch of what is queued is predicted to take, from past batches.",
        [("", float(predicted.of(counted["queued"])))],
    )
    gauge(
        "batch_seconds_error",
        "Root mean square of what past batches took beyond that.",
        [("", float(predicted.error))],
    )
    pointer = versions.serving(connection)
    gauge(
        "erasure_floor",
        "Sequence that the served version is at least good for.",
        [("", pointer.floor)],
    )
    states: list[Any] = list(
        connection.execute(select(batches.c.state, func.count()).group_by(batches.c.state))
    )
    gauge("batches", "Batches by status.", [(f'{{status="{row[0]}"}}', row[1]) for row in states])
    gauge("receipts_total", "Receipts in the log.", [("", log.size(connection))], "counter")
    gauge(
        "interactions_waiting",
        "Interactions that are not learned yet.",
        [("", ingests.rows_waiting(connection))],
    )
    gauge(
        "callbacks",
        "Who is called back: active, failing of these, and given up.",
        [(f'{{status="{name}"}}', n) for name, n in subscriptions.counted(connection).items()],
    )
    gauge("halted", "1 where the service has stopped taking requests in.", [("", float(halted))])
    return "\n".join(lines) + "\n"
