"""The results as one self-contained HTML page: the tables, whose numbers say where they come from,
and plots.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from html import escape
from typing import Any

from alteraser.bench.paper.methods import METHODS
from alteraser.bench.paper.tables import (
    CellGroup,
    Number,
    PaperTable,
    Record,
    about_runs,
    data_table,
    groups,
    tables,
)
from alteraser.report.html import document, plot_section
from alteraser.report.plots import (
    AFTER,
    BEFORE,
    INK,
    Figure,
    layout_of,
    legend_below,
    share_axis,
    stroke,
)


def render_page(cells: Sequence[Record], *, about: dict[str, Any]) -> str:
    """The page as text. DependencyMissing without plotly."""
    found = groups(cells)
    title = "Forgetting fast in recommender systems, rerun"
    parts = [
        f'<header><p class="kicker">Results</p><h1>{title}</h1><p class="lead">{len(cells)} '
        "finished cells. Hover over "
        "a number to see the cells it was averaged from; published numbers are those of Liu et "
        "al., RecSys 2022.</p></header>"
    ]
    if found:
        parts.append(_table(data_table(found)))
    for group in found:
        parts.append(
            f"<section><h2>{escape(group.title)}</h2><p>{escape(about_runs(group))}</p></section>"
        )
        parts += [_plot(*drawn) for drawn in _plots(group)]
        parts += [_table(table) for table in tables(group)]
    parts += [_plot(*drawn) for drawn in _sweeps(found)]
    facts = "".join(
        f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(str(value))}</td></tr>'
        for name, value in about.items()
    )
    parts.append(
        "<section><h2>How this was made</h2><table "
        f'class="facts"><tbody>{facts}</tbody></table></section>'
    )
    return document(title, "\n".join(parts))


def _table(table: PaperTable) -> str:
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
    text = str(cell).replace(" ", "\N{NO-BREAK SPACE}")
    return f'<td title="{escape(", ".join(cell.cells))}">{escape(text)}</td>'


Drawn = tuple[str, str, Figure, str]
"""Heading, text, figure, and HTML of its numbers."""


def _plot(heading: str, text: str, figure: Figure, numbers: str) -> str:
    section = (
        plot_section(heading, text, figure, numbers)
        .replace("<h2>", "<h3>")
        .replace("</h2>", "</h3>")
    )
    height = figure["layout"].get("height")
    # the box must be as high as the drawing, or what follows is drawn over
    return (
        section.replace('class="plot"', f'class="plot" style="height:{height}px"', 1)
        if height
        else section
    )


def _plots(group: CellGroup) -> list[Drawn]:
    drawn = [
        _bars(
            group,
            "rbo@10",
            "RBO@10 to the retrained model",
            "Higher is closer to the AdamW-retrained model.",
        ),
        _bars(
            group,
            "re_predict",
            "Mean score of the forget set",
            "Close to the retrained model's is forgotten.",
        ),
        _bars(group, "ndcg@10", "NDCG@10 of the forgetting users", "Test items."),
        _bars(
            group,
            "ratio_adamw",
            "Times faster than retraining",
            "Both denominators.",
            also="ratio_fastest",
        ),
        _lines(group, "residual", "Residual by pass", by="pass"),
        _lines(group, "rbo@10", "RBO@10 by pass", by="pass"),
        _lines(group, "residual", "Residual by CPU time", by="cpu_seconds"),
        _lines(group, "rbo@10", "RBO@10 by CPU time", by="cpu_seconds"),
    ]
    return [one for one in drawn if one is not None]


def _label(text: str) -> str:
    """A method's name for an axis: in short lines, because phones are narrow; plotly reads it as
    HTML.
    """
    return "<br>".join(escape(line) for line in textwrap.wrap(text, 26)) or " "


NAMED = {"ratio_adamw": "AdamW retraining", "ratio_fastest": "fastest retraining"}


def _bars(
    group: CellGroup, metric: str, heading: str, text: str, *, also: str | None = None
) -> Drawn | None:
    """A bar per method with its deviation, published values as diamonds; ``also``: a second metric
    beside the first.
    """
    parts = [_measured(group, metric, AFTER), _published(group, metric)]
    if also is not None:
        parts += [_measured(group, also, BEFORE), _published(group, also)]
    traces = [trace for trace, methods in parts if methods]
    shown = {method for _, methods in parts for method in methods}
    if not traces:
        return None
    layout = layout_of(heading, "")
    labels = [_label(group.label(m)) for m in group.methods if m in shown]
    layout["yaxis"] |= {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": labels,
        "autorange": "reversed",
    }
    layout["yaxis"] |= {"tickfont": {"size": 12}}
    # every bar has the same height, so the longest label decides
    layout["height"] = 160 + len(labels) * (
        10 + 16 * max(1 + label.count("<br>") for label in labels)
    )
    if metric.startswith("ratio"):
        layout["xaxis"] |= {"type": "log"}
    return heading, text, {"data": traces, "layout": layout}, "In the tables below."


def _measured(group: CellGroup, metric: str, color: str) -> tuple[Figure, list[str]]:
    """(bars, the methods that have one): a ratio of nothing cannot be drawn."""
    numbers = {m: group.number(m, metric) for m in group.methods}
    there = {
        m: n
        for m, n in numbers.items()
        if isinstance(n, Number) and (n.mean > 0 or metric not in NAMED)
    }
    trace = {
        "type": "bar",
        "orientation": "h",
        "name": NAMED.get(metric, "measured here"),
        "marker": {"color": color},
        "y": [_label(group.label(m)) for m in there],
        "x": [n.mean for n in there.values()],
        "error_x": {
            "type": "data",
            "array": [n.deviation or 0.0 for n in there.values()],
            "thickness": 1.2,
        },
    }
    return trace, list(there)


def _published(group: CellGroup, metric: str) -> tuple[Figure, list[str]]:
    """(diamonds, the methods that have one); none where nothing was measured to hold them
    against.
    """
    if not _measured(group, metric, AFTER)[1]:
        return {}, []
    found = {m: group.published(m, metric) for m in group.methods}
    known = {m: value for m, value in found.items() if value is not None}
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "published",
        "y": [_label(group.label(m)) for m in known],
        "x": list(known.values()),
        "marker": {
            "symbol": "diamond",
            "size": 9,
            "color": "#ffffff",
            "line": {"color": INK, "width": 1.5},
        },
    }
    return trace, list(known)


def _lines(group: CellGroup, metric: str, heading: str, *, by: str) -> Drawn | None:
    """The first run's traces of the main methods; against seconds only where these were measured
    undisturbed.
    """
    logarithmic, timed = metric == "residual", by == "cpu_seconds"
    first = min((c["run"] for c in group.cells), default=0)
    order = {method: place for place, method in enumerate(group.methods)}
    traces: list[Figure] = []
    ids = []
    for cell in sorted(group.cells, key=lambda c: order[c["method"]]):
        if cell["run"] != first or not _followed(cell, timed=timed):
            continue
        points = [(e.get(by), e["metrics"].get(metric)) for e in cell["trace"]]
        points = [(x, y) for x, y in points if _drawable(x, timed) and _drawable(y, logarithmic)]
        if points:
            traces.append(_line(cell["label"], points, order[cell["method"]]))
            ids.append(cell["cell"])
    if not traces:
        return None
    layout = legend_below(
        layout_of("CPU seconds" if timed else "passes or epochs", metric), len(traces)
    )
    if timed:
        layout["xaxis"] |= {"type": "log"}
    layout["yaxis"] |= _axis(metric, traces, logarithmic=logarithmic, exponents=True)
    numbers = f"All of them are in results.parquet, from {escape(', '.join(ids))}."
    return heading, f"One run (run {first}).", {"data": traces, "layout": layout}, numbers


def _followed(cell: Record, *, timed: bool) -> bool:
    """Whether a cell's trace is drawn: of the main methods, against seconds where these were
    measured undisturbed.
    """
    if cell["method"] in ("original", "converged", "retrain-star") or (timed and not cell["timed"]):
        return False
    method = METHODS.get(cell["method"])
    return method is None or method.group in ("main", "first-order")


def _line(label: str, points: Sequence[tuple[float, float]], place: int) -> Figure:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return {"type": "scatter", "name": escape(label), "x": xs, "y": ys, **stroke(place)}


def _axis(
    metric: str, traces: Sequence[Figure], *, logarithmic: bool, exponents: bool = False
) -> Figure:
    """Of values: logarithmic, or an overlap's, which ends at 1."""
    if logarithmic:
        return {"type": "log"} | ({"exponentformat": "power"} if exponents else {})
    return (
        share_axis([y for trace in traces for y in trace["y"]]) if metric.startswith("rbo") else {}
    )


def _drawable(value: Any, logarithmic: bool) -> bool:
    return value is not None and math.isfinite(value) and (value > 0 or not logarithmic)


SWEPT = (
    ("rbo@10/converged", "RBO@10 to a converged retrain"),
    ("re_predict", "mean score of the forget set"),
    ("cpu_seconds", "CPU seconds"),
)
Lines = dict[str, list[tuple[float, Number]]]
"""By a method's label: (share of the interactions that was deleted, what was measured)"""


def _sweeps(found: Sequence[CellGroup]) -> list[Drawn]:
    """Agreement and time against the share of interactions deleted, where several shares were
    run.
    """
    answer: list[Drawn] = []
    for dataset, stopping in dict.fromkeys((group.dataset, group.stopping) for group in found):
        alike = [g for g in found if (g.dataset, g.stopping) == (dataset, stopping)]
        mine = [g for g in alike if g.scenario in ("one", "true") or "%" in g.scenario]
        end = "" if stopping == "validation" else f", stopped on the {stopping} part"
        for metric, heading in SWEPT if len(mine) >= 3 else ():
            lines = _by_share(mine, metric)
            if lines:
                title = f"{dataset}: {heading} by size of the forget set{end}"
                answer.append((title, *_swept(lines, metric, heading)))
    return answer


def _by_share(groups: Sequence[CellGroup], metric: str) -> Lines:
    """Of the methods that were measured at more than one share."""
    points: Lines = {}
    for group in groups:
        shares = [c["settings"].get("forgotten_share") for c in group.cells]
        share = next((s for s in shares if _drawable(s, True)), None)
        if share is None:
            continue
        for method, number in {m: group.number(m, metric) for m in group.methods}.items():
            if isinstance(number, Number) and _drawable(number.mean, metric == "cpu_seconds"):
                points.setdefault(group.label(method), []).append((share, number))
    return {
        label: sorted(line, key=lambda p: p[0]) for label, line in points.items() if len(line) > 1
    }


def _swept(lines: Lines, metric: str, heading: str) -> tuple[str, Figure, str]:
    """(text, figure, HTML of the numbers)."""
    traces = [
        _line(label, [(x, number.mean) for x, number in line], place)
        for place, (label, line) in enumerate(lines.items())
    ]
    layout = legend_below(
        layout_of("share of all interactions that is deleted", heading), len(traces)
    )
    layout["xaxis"] |= {"type": "log"}
    layout["yaxis"] |= _axis(metric, traces, logarithmic=metric == "cpu_seconds")
    body = "\n".join(
        f'<tr><th scope="row">{escape(label)}</th><td>{100 * x:.3g} %</td>{_cell(number)}</tr>'
        for label, line in lines.items()
        for x, number in line
    )
    head = f'<tr><th></th><th scope="col">deleted</th><th scope="col">{escape(heading)}</th></tr>'
    numbers = f'<table class="numbers"><thead>{head}</thead><tbody>\n{body}\n</tbody></table>'
    return (
        "Each point is one scenario, averaged over its runs.",
        {"data": traces, "layout": layout},
        numbers,
    )
