"""The tables: one per model and data set, Markdown, each number a mean over the runs."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from alteraser.bench.neural.methods import LABELS, METHODS
from alteraser.bench.neural.run import OTHERS, NeuralPlan
from alteraser.bench.paper.measure import PERSISTENCE
from alteraser.bench.paper.run import machine
from alteraser.bench.paper.store import Record
from alteraser.data.files import replace_file

COLUMNS = (
    ("RBO@10", "rbo@10", 3),
    ("to Retrain*", "rbo@10/star", 3),
    ("others", "rbo@10/others", 3),
    ("re-predict", "re_predict", 3),
    ("Recall@10", "recall@10", 4),
    ("NDCG@10", "ndcg@10", 4),
    ("NDCG@10, others", "ndcg@10/others", 4),
    ("residual", "residual", 2),
    ("CPU s", "cpu_seconds", 2),
    ("x AdamW retraining", "ratio_adamw", 1),
    ("x fastest retraining", "ratio_fastest", 1),
)
ORDER = ("original", *(name for name in METHODS if name != "original"))


def write_report(folder: Path, records: list[Record], plan: NeuralPlan) -> dict[str, Path]:
    """Write report.md and results.parquet (one line per cell and metric) into ``folder``."""
    written = {"markdown": folder / "report.md", "results": folder / "results.parquet"}
    lines = [f"- {name}: {value}" for name, value in _about(plan).items()]
    replace_file(written["markdown"], (markdown(records) + "\n" + "\n".join(lines) + "\n").encode())
    rows = [
        {
            **{name: record[name] for name in ("dataset", "run", "method")},
            "metric": metric,
            "value": float(value),
        }
        for record in records
        for metric, value in record["metrics"].items()
        if value is not None
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    replace_file(written["results"], buffer.getvalue())
    return written


def markdown(records: list[Record]) -> str:
    """Every table as text."""
    parts = []
    for dataset in dict.fromkeys(record["dataset"] for record in records):
        mine = [record for record in records if record["dataset"] == dataset]
        name, _, kind = dataset.removesuffix("]").partition(" [")
        head = f"### {LABELS[kind]}, {name}\n\n"
        lines = [
            "| |" + "|".join(title for title, _, _ in COLUMNS) + "|",
            "|---|" + "---|" * len(COLUMNS),
        ]
        for method in ORDER:
            cells = [record for record in mine if record["method"] == method]
            if cells:
                numbers = [
                    _number([cell["metrics"].get(metric) for cell in cells], digits)
                    for _, metric, digits in COLUMNS
                ]
                lines.append(
                    f"| {cells[0]['label'].replace('*', chr(92) + '*')} |" + "|".join(numbers) + "|"
                )
        parts.append(head + "\n".join(lines) + "\n" + _verdict(mine))
    return "\n".join(parts)


def _number(values: list[Any], digits: int) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    text = f"{fmean(known):.{digits}f}"
    return text + (f" ± {stdev(known):.{digits}f}" if len(known) > 1 else "")


def _verdict(records: list[Record]) -> str:
    """Whether the goal was reached: RBO@10 at least Retrain*'s, in at most a fifth of the AdamW
    retraining.
    """

    def mean(method: str, metric: str) -> float | None:
        values = [r["metrics"].get(metric) for r in records if r["method"] == method]
        return fmean(values) if values and all(value is not None for value in values) else None

    floor, found, ratio = (
        mean("retrain-star", "rbo@10"),
        mean("alteraser", "rbo@10"),
        mean("alteraser", "ratio_adamw"),
    )
    if floor is None or found is None or ratio is None:
        return ""
    near = "reached" if found >= floor else "missed"
    fast = "reached" if ratio >= 5 else "missed"
    return (
        f"\nAgreement of Retrain\\*: {near} ({found - floor:+.3f}). A fifth of the time: "
        f"{fast} (1/{ratio:.1f}).\n"
    )


def _about(plan: NeuralPlan) -> dict[str, Any]:
    options = [
        f"--models {','.join(plan.kinds)}",
        f"--methods {','.join(plan.methods)}",
        f"--runs {plan.runs}",
    ]
    if plan.max_epochs:
        options.append(f"--max-epochs {plan.max_epochs}")
    return {
        "command": "alteraser bench neural --data … " + " ".join(options),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        **{name: value for name, value in machine(plan.threads).items() if name != "load"},
        "RBO": f"extrapolated, p = {PERSISTENCE}, lists of the users who ask; others: those of "
        f"{OTHERS} who did not",
        "seconds": "CPU seconds, measuring apart",
    }
