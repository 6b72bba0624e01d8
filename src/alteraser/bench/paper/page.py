"""The results as one self-contained HTML page: the tables, whose numbers say where they come from, and plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from alteraser.bench.paper.published import PUBLISHED
from alteraser.bench.paper.tables import Group, Number, Record, Table, data_table, groups, tables
from alteraser.report._plots import AFTER, BEFORE, STROKES, Figure, layout_of
from alteraser.report.html import document, plot_section


def render_page(cells: Sequence[Record], *, about: dict[str, Any]) -> str:
    """The page as text. DependencyMissing without plotly."""
    found = groups(cells)
    title = "Forgetting fast in recommender systems, rerun"
    parts = [
        f'<header><p class="kicker">Results</p><h1>{title}</h1><p class="lead">{len(cells)} finished cells. Hover over '
        "a number to see the cells it was averaged from; published numbers are those of Liu et al., RecSys 2022.</p>"
        "</header>"
    ]
    if found:
        parts.append(_table(data_table(found)))
    for group in found:
        parts.append(f"<section><h2>{escape(group.title)}</h2></section>")
        parts += [_plot(*drawn) for drawn in _plots(group)]
        parts += [_table(table) for table in tables(group)]
    parts += [_plot(*drawn) for drawn in _sweeps(found)]
    facts = "".join(
        f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(str(value))}</td></tr>'
        for name, value in about.items()
    )
    parts.append(f'<section><h2>How this was made</h2><table class="facts"><tbody>{facts}</tbody></table></section>')
    return document(title, "\n".join(parts))


def _table(table: Table) -> str:
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    body = "\n".join(
        f'<tr><th scope="row">{escape(label)}</th>{"".join(_cell(cell) for cell in row)}</tr>'
        for label, row in table.rows
    )
    note = f"<p>{escape(table.note)}</p>" if table.note else ""
    return f"""<section>
<h3>{escape(table.title)}</h3>
{note}<div class="scroll"><table class="numbers">
<thead><tr><th scope="col"></th>{heads}</tr></thead>
<tbody>
{body}
</tbody></table></div>
<p class="quiet">From {escape(table.source)}</p>
</section>"""


def _cell(cell: Number | str) -> str:
    if isinstance(cell, str):
        return f"<td>{escape(cell)}</td>"
    return f'<td title="{escape(", ".join(cell.cells))}">{escape(str(cell))}</td>'


Drawn = tuple[str, str, Figure]


def _plot(heading: str, text: str, figure: Figure) -> str:
    return plot_section(heading, text, figure, "in the tables below").replace("<h2>", "<h3>").replace("</h2>", "</h3>")


def _plots(group: Group) -> list[Drawn]:
    bars = [
        _bars(group, "rbo@10", "RBO@10 to the retrained model", "Higher is closer to the AdamW-retrained model."),
        _bars(group, "re_predict", "Mean score of the forget set", "Close to the retrained model's is forgotten."),
        _bars(group, "ndcg@10", "NDCG@10 of the forgetting users", "Test items."),
        _bars(group, "ratio_adamw", "Times faster than retraining", "Both denominators.", also="ratio_fastest"),
    ]
    lines = [
        _lines(group, "residual", "Residual by CPU time", logarithmic=True),
        _lines(group, "rbo@10", "RBO@10 by CPU time", logarithmic=False),
    ]
    return [drawn for drawn in [*bars, *lines] if drawn is not None]


def _bars(group: Group, metric: str, heading: str, text: str, *, also: str | None = None) -> Drawn | None:
    traces = []
    for name, color in ((metric, AFTER), (also, BEFORE)):
        if name is None:
            continue
        timed = name.startswith("ratio")
        numbers = [(group.label(m), group.number(m, name, timed=timed), m) for m in group.methods]
        there = [(label, n, m) for label, n, m in numbers if isinstance(n, Number) and math.isfinite(n.mean)]
        if not there:
            continue
        label = {"ratio_adamw": "AdamW retraining", "ratio_fastest": "fastest retraining"}.get(name, "measured here")
        traces.append({
            "type": "bar", "orientation": "h", "name": label, "marker": {"color": color},
            "y": [escape(label) for label, _, _ in there], "x": [n.mean for _, n, _ in there],
            "error_x": {"type": "data", "array": [n.deviation or 0.0 for _, n, _ in there], "thickness": 1.2},
        })  # fmt: skip
        known = [
            (lab, PUBLISHED[group.dataset, m, name]) for lab, _, m in there if (group.dataset, m, name) in PUBLISHED
        ]
        if known:
            traces.append({
                "type": "scatter", "mode": "markers", "name": "published", "y": [escape(lab) for lab, _ in known],
                "x": [value for _, value in known],
                "marker": {"symbol": "diamond-open", "size": 10, "color": "#1d2733"},
            })  # fmt: skip
    if not traces:
        return None
    layout = layout_of(heading, "")
    layout["yaxis"] |= {"autorange": "reversed"}
    layout["height"] = 160 + 30 * len(traces[0]["y"])
    if metric.startswith("ratio"):
        layout["xaxis"] |= {"type": "log"}
    return heading, text, {"data": traces, "layout": layout}


def _lines(group: Group, metric: str, heading: str, *, logarithmic: bool) -> Drawn | None:
    first = min((c["run"] for c in group.cells), default=0)
    traces: list[Figure] = []
    for cell in group.cells:
        if cell["run"] != first or cell["method"] in ("original", "converged", "retrain-star"):
            continue
        points = [(e["cpu_seconds"], e["metrics"].get(metric)) for e in cell["trace"]]
        points = [(x, y) for x, y in points if y is not None and x > 0 and (y > 0 or not logarithmic)]
        if not points:
            continue
        color, dash, symbol = STROKES[len(traces) % len(STROKES)]
        traces.append({
            "type": "scatter", "mode": "lines+markers", "name": escape(cell["label"]), "x": [x for x, _ in points],
            "y": [y for _, y in points],
            "line": {"color": color, "dash": dash}, "marker": {"symbol": symbol, "size": 6},
        })  # fmt: skip
    if not traces:
        return None
    layout = layout_of("CPU seconds", metric)
    layout["xaxis"] |= {"type": "log"}
    if logarithmic:
        layout["yaxis"] |= {"type": "log", "exponentformat": "power"}
    return heading, f"One run (run {first}).", {"data": traces, "layout": layout}


def _sweeps(found: Sequence[Group]) -> list[Drawn]:
    """Agreement and time against the share of interactions deleted, where several shares were run."""
    answer: list[Drawn] = []
    for dataset in dict.fromkeys(group.dataset for group in found):
        mine = [g for g in found if g.dataset == dataset and (g.scenario in ("one", "true") or "%" in g.scenario)]
        if len(mine) < 3:
            continue
        for metric, heading in (("rbo@10/converged", "RBO@10 to a converged retrain"), ("cpu_seconds", "CPU seconds")):
            points: dict[str, list[tuple[float, float]]] = {}
            for group in mine:
                share = group.cells[0]["settings"]["forgotten_share"]
                for method in group.methods:
                    number = group.number(method, metric, timed=metric == "cpu_seconds")
                    if isinstance(number, Number):
                        points.setdefault(group.label(method), []).append((share, number.mean))
            traces = [
                {
                    "type": "scatter", "mode": "lines+markers", "name": escape(label),
                    "x": [x for x, _ in sorted(line)],
                    "y": [y for _, y in sorted(line)],
                    "line": dict(zip(("color", "dash"), STROKES[place % len(STROKES)], strict=False)),
                }
                for place, (label, line) in enumerate(points.items()) if len(line) > 1
            ]  # fmt: skip
            if traces:
                layout = layout_of("share of all interactions that is deleted", heading)
                layout["xaxis"] |= {"type": "log"}
                if metric == "cpu_seconds":
                    layout["yaxis"] |= {"type": "log"}
                text = "From a single interaction to a tenth of all."
                answer.append(
                    (f"{dataset}: {heading} by size of the forget set", text, {"data": traces, "layout": layout})
                )
    return answer
