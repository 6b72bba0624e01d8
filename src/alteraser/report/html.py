"""A report as one HTML file: no network, no second file, readable in ten years.

The page's content policy forbids it to load anything. Every piece of text is escaped on its way in;
the plots' data travels as JSON that cannot end its own element.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from alteraser.data.files import replace_file
from alteraser.errors import DependencyMissing, NotFound, OutputExists
from alteraser.report._style import CSS, DRAW
from alteraser.report.model import ComparisonTable, Curve, ForgettingReport, ListItem, SideBySide
from alteraser.report.plots import residual_figure, scores_figure

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def write_report(path: str | Path, report: ForgettingReport, *, overwrite: bool = False) -> Path:
    """Write the report as one self-contained HTML file, aside first and then renamed.

    Raises:
        OutputExists: there is something at ``path`` and ``overwrite`` is false, or it is a folder.
        NotFound: the folder to write into does not exist.
        DependencyMissing: the report has plots and plotly is not installed.
    """
    path = Path(path)
    if path.is_dir() or (path.exists() and not overwrite):
        raise OutputExists(f"{path} exists already; choose another path", path=str(path))
    if not path.parent.is_dir():
        raise NotFound(
            f"the folder {path.parent} does not exist; create it first", path=str(path.parent)
        )
    page = render_report(report)
    replace_file(path, page.encode("utf-8"))
    return path


def render_report(report: ForgettingReport) -> str:
    """The page as text."""
    sections = [
        _head(report),
        _figures(report.figures),
        *(_lists(lists) for lists in report.lists),
        _scores(report),
        _residual(report.residual_by_pass, report.residual_tolerance),
        _comparison(report.rows),
        _limits(report.limits),
        _details(report.details),
    ]
    return document(report.title, "\n".join(section for section in sections if section))


def document(title: str, body: str) -> str:
    """A whole page around ``body``, with plotly and the drawing script if there is a plot in it."""
    scripts = (
        f"<script>{plotly_source()}</script>\n<script>{DRAW}</script>"
        if 'class="plot"' in body
        else ""
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">
<title>{escape(title)}</title>
<style>{CSS}</style>
</head>
<body>
<main>
{body}
<footer>Written by AltEraser.
This file is complete in itself and loads nothing from anywhere.</footer>
</main>
{scripts}
</body>
</html>
"""


# --- sections, in the order of the page -----------------------------------------------------------


def _head(report: ForgettingReport) -> str:
    story = ""
    if report.story:
        story = f'\n<div class="story"><p><b>What happened</b> {escape(report.story)}</p></div>'
    return f"""<header>
<p class="kicker">Report on forgetting</p>
<h1>{escape(report.title)}</h1>
<p class="lead">{escape(report.lead)}</p>{story}
</header>"""


def _figures(figures: Sequence[tuple[str, str, str]]) -> str:
    if not figures:
        return ""
    tiles = "\n".join(
        f'<div><dt>{escape(label)}</dt><dd class="value">{escape(value)}</dd>'
        f'<dd class="why">{escape(explanation)}</dd></div>'
        for label, value, explanation in figures
    )
    return f'<dl class="tiles">\n{tiles}\n</dl>'


def _lists(lists: SideBySide) -> str:
    if not lists.rows:
        return ""
    verdicts = "".join(f"<li>{escape(verdict)}</li>" for verdict in _verdicts(lists))
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in lists.columns)
    rows = "\n".join(
        f'<tr><th scope="row" class="place">{place + 1}</th>'
        + "".join(_list_item(lists, place, column) for column in range(len(lists.columns)))
        + "</tr>"
        for place in range(len(lists.rows))
    )
    return f"""<section>
<h2>{escape(lists.heading)}</h2>
{_paragraph(lists.text)}<ul class="verdicts">{verdicts}</ul>
<table class="lists">
<thead><tr><th scope="col" class="place"><span aria-label="place">#</span></th>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</section>"""


def _verdicts(lists: SideBySide) -> Iterable[str]:
    """What the lists show, in words, so that nobody has to count."""
    total = len(lists.rows)
    columns: list[list[ListItem]] = [list(column) for column in zip(*lists.rows, strict=True)]
    if any(item.flag for column in columns for item in column):
        counts = ", ".join(
            f"{sum(item.flag for item in column)} {name}"
            for name, column in zip(lists.columns, columns, strict=True)
        )
        yield f"Of {total} recommendations, {lists.flagged}: {counts}."
    if len(columns) >= 3:
        reference = {item.title for item in columns[-1]}
        counts = ", ".join(
            f"{sum(item.title in reference for item in column)} {name}"
            for name, column in zip(lists.columns[:-1], columns[:-1], strict=True)
        )
        yield f"Of {total} recommendations, also in the list “{lists.columns[-1]}”: {counts}."


def _list_item(lists: SideBySide, place: int, column: int) -> str:
    item = lists.rows[place][column]
    marks, classes = [], []
    if item.flag:
        classes.append("flag")
        marks.append(f'<span class="mark flag">▲ {escape(lists.flagged)}</span>')
    agreement = _agreement(lists, place, column)
    if agreement:
        classes.append("agrees")
        marks.append(f'<span class="mark agrees">✓ {agreement}</span>')
    note = f'<span class="note">{escape(item.note)}</span>' if item.note else ""
    return (
        f'<td class="{" ".join(classes)}" data-column="{escape(lists.columns[column])}">'
        f'<span class="item">{escape(item.title)}</span>{note}{" ".join(marks)}</td>'
    )


def _agreement(lists: SideBySide, place: int, column: int) -> str:
    """How an item of the last two columns agrees with the other one of them, if it does."""
    last = len(lists.columns) - 1
    if last < 2 or column < last - 1:
        return ""
    other = [row[2 * last - 1 - column].title for row in lists.rows]
    title = lists.rows[place][column].title
    if title not in other:
        return ""
    if other[place] == title:
        return "same in both"
    return f"in both, at place {other.index(title) + 1} there"


def _scores(report: ForgettingReport) -> str:
    groups = [
        ("before", report.scores_before),
        ("after forgetting", report.scores_after),
        ("retrained without them", report.scores_retrained),
    ]
    groups = [(name, [float(s) for s in scores if math.isfinite(s)]) for name, scores in groups]
    groups = [(name, scores) for name, scores in groups if scores]
    if not groups:
        return ""
    numbers = _table(
        ["", "one tenth lies below", "one half", "nine tenths"],
        [
            [name, *(f"{_quantile(scores, q):.3f}" for q in (0.1, 0.5, 0.9))]
            for name, scores in groups
        ],
    )
    text = (
        "The score says how strongly a model expects an interaction: near 1 for what it was "
        "taught, near 0 for what it has no reason to expect."
    )
    if len(groups) == 3:
        text += (
            " Forgetting has worked where the blue line has left the dashed one and follows the "
            "gray shape, which is what a model says that never saw these interactions."
        )
    figure = scores_figure(report.scores_before, report.scores_after, report.scores_retrained)
    return plot_section(
        "How the forgotten interactions are scored now",
        text,
        figure,
        numbers,
    )


def _residual(curves: Sequence[Curve], tolerance: float | None) -> str:
    curves = [curve for curve in curves if len(curve.x)]
    if not curves:
        return ""
    rows = [
        [curve.name, f"{x:g}", f"{y:.3g}"]
        for curve in curves
        for x, y in zip(curve.x, curve.y, strict=True)
    ]
    return plot_section(
        "How thoroughly, pass by pass",
        "Removing the interactions pushes the model towards another state. The residual is the "
        "share of that push that is still unresolved: 1 before anything was done, and each line "
        "of the grid a tenth of the one above.",
        residual_figure(curves, tolerance),
        _table(["", "pass", "residual"], rows),
    )


def _comparison(table: ComparisonTable | None) -> str:
    if table is None or not table.rows:
        return ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    rows = [[name, *values] for name, values in table.rows]
    return f"""<section>
<h2>The models compared</h2>
<div class="scroll">{_table(["", *table.columns], rows)}</div>
{f'<ul class="notes">{notes}</ul>' if notes else ""}
</section>"""


def _limits(limits: Sequence[str]) -> str:
    if not limits:
        return ""
    items = "\n".join(f"<li>{escape(limit)}</li>" for limit in limits)
    return (
        "<section>\n<h2>What this does not say</h2>\n<ul "
        f'class="limits">\n{items}\n</ul>\n</section>'
    )


def _details(details: Sequence[tuple[str, str]]) -> str:
    if not details:
        return ""
    rows = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in details
    )
    return (
        "<section>\n<h2>Details</h2>\n<table "
        f'class="facts"><tbody>\n{rows}\n</tbody></table>\n</section>'
    )


# --- pieces ---------------------------------------------------------------------------------------


def plot_section(heading: str, text: str, figure: dict[str, Any], numbers: str) -> str:
    """A section with one plot, and its numbers folded away below; ``numbers`` is HTML."""
    return f"""<section>
<h2>{escape(heading)}</h2>
{_paragraph(text)}<figure>
<div class="plot" role="img" aria-label="{escape(heading)}; the numbers follow"></div>
<script type="application/json">{_json(figure)}</script>
<details><summary>The numbers</summary>{numbers}</details>
</figure>
</section>"""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "\n".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<table class="numbers"><thead><tr>{heads}</tr></thead><tbody>\n{body}\n</tbody></table>'
    )


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>\n" if text else ""


def _quantile(scores: Sequence[float], share: float) -> float:
    """Between the two nearest scores, in proportion."""
    ordered = sorted(scores)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _json(value: Any) -> str:
    """JSON that is safe inside a script element: nothing in it can close the element or open a
    comment.
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def plotly_source() -> str:
    """Plotly's script, which is part of the Python package."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise DependencyMissing(
            "the report's plots need plotly, which is not installed; run: pip install "
            '"alteraser[report]"',
            package="plotly",
            extra="report",
        ) from error
    return str(get_plotlyjs())
