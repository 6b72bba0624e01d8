"""A report on one act of forgetting, as a single file that anybody can open and keep.

report = ForgettingReport(title="…", lead="…", figures=[("residual", "0.0009", "what is left of
…")]) write_report("report.html", report)
"""

from __future__ import annotations

from alteraser.report.html import render_report, write_report
from alteraser.report.model import ComparisonTable, Curve, ForgettingReport, ListItem, SideBySide

__all__ = [
    "ComparisonTable",
    "Curve",
    "ForgettingReport",
    "ListItem",
    "SideBySide",
    "render_report",
    "write_report",
]
