"""What an experiment leaves for people: results.parquet, report.md, report.html."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from alteraser.bench.paper.measure import PERSISTENCE
from alteraser.bench.paper.run import PaperPlan, machine
from alteraser.bench.paper.store import Record
from alteraser.data.files import replace_file
from alteraser.errors import DependencyMissing
from alteraser.runtime.workers import default_threads


def write_report(folder: Path, records: list[Record], plan: PaperPlan) -> dict[str, Path]:
    """Write the three files from ``records``; the page is left out where plotly is not
    installed.
    """
    from alteraser.bench.paper.page import render_page
    from alteraser.bench.paper.tables import long_table, markdown

    buffer = io.BytesIO()
    pq.write_table(long_table(records), buffer)
    written = {"results": folder / "results.parquet", "markdown": folder / "report.md"}
    replace_file(written["results"], buffer.getvalue())
    about = about_run(plan)
    lines = [f"- {name}: {value}" for name, value in about.items()]
    text = markdown(records) + "\n## How this was made\n\n" + "\n".join(lines) + "\n"
    replace_file(written["markdown"], text.encode())
    try:
        page = render_page(records, about=about)
    except DependencyMissing:
        return written
    replace_file(folder / "report.html", page.encode())
    return written | {"page": folder / "report.html"}


def about_run(plan: PaperPlan) -> dict[str, Any]:
    """Machine, versions, command and conventions."""
    options = [
        f"--runs {plan.runs}",
        f"--scenario {','.join(plan.scenarios)}",
        f"--stopping {','.join(plan.stoppings)}",
        f"--model {plan.kind}",
        f"--missing-weighting {plan.weighting}",
        f"--methods {','.join(plan.methods)}",
    ]
    return {
        "command": "alteraser bench paper " + " ".join(options),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **machine(plan.threads or default_threads()),
        "jobs": plan.jobs,
        "RBO": f"extrapolated, p = {PERSISTENCE}",
        "seconds": "CPU seconds of all threads unless said otherwise; measuring does not count",
    }
