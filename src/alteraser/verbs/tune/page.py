"""The report of a search: accuracy against how well defined the solution is, as one self-contained
page.
"""

from __future__ import annotations

from html import escape

from alteraser.report.html import document, plot_section
from alteraser.report.plots import Figure, layout_of, legend_below, log_axis, share_axis, stroke
from alteraser.verbs.tune.search import Tuned


def render(tuned: Tuned, name: str) -> str:
    """The page as text. DependencyMissing without plotly."""
    best = tuned.chosen.trial.point
    title = f"Tuning on {name}"
    lead = (
        f"Chosen: d = {best.factors}, w0 = {best.missing_weight:.3g}, λ = "
        f"{best.regularization:.3g}. Of the settings whose accuracy is within one standard error "
        "of the best it is the one on which two seeds agree best."
    )
    parts = [
        '<header><p class="kicker">alteraser '
        f"tune</p><h1>{escape(title)}</h1><p>{escape(lead)}</p></header>"
    ]
    parts.append(
        plot_section(
            "Accuracy and forgettability",
            "Up is more accurate, right is better defined: a model "
            "that two seeds agree on is one that forgetting can be measured against.",
            _forgettability(tuned),
            _numbers(tuned),
        )
    )
    parts.append(
        plot_section(
            "Accuracy by λ",
            "One line for every d and w0; each point starts from the one before.",
            _accuracy(tuned),
            "",
        )
    )
    return document(title, "\n".join(parts))


def _forgettability(tuned: Tuned) -> Figure:
    traces = []
    for place, finalist in enumerate(tuned.finalists):
        point, found = finalist.trial.point, finalist.forgettability
        look = stroke(place, size=16 if finalist is tuned.chosen else 10)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [found.agreement],
                "y": [finalist.trial.ndcg],
                "name": f"d={point.factors}, w0={point.missing_weight:.3g}, "
                f"λ={point.regularization:.3g}" + (" (chosen)" if finalist is tuned.chosen else ""),
                "error_y": {
                    "type": "data",
                    "array": [finalist.trial.error],
                    "color": look["line"]["color"],
                },
                "marker": look["marker"],
                "cliponaxis": False,
            }
        )
    layout = legend_below(
        layout_of("agreement of two seeds, RBO@10 (1: the same lists)", "NDCG@10"), len(traces)
    )
    layout["xaxis"] |= share_axis(
        [finalist.forgettability.agreement for finalist in tuned.finalists]
    )
    return {"data": traces, "layout": layout}


def _accuracy(tuned: Tuned) -> Figure:
    lines: dict[tuple[int, float], list[tuple[float, float]]] = {}
    for trial in tuned.trials:
        key = trial.point.factors, trial.point.missing_weight
        lines.setdefault(key, []).append((trial.point.regularization, trial.ndcg))
    traces = []
    for place, ((d, weight), values) in enumerate(sorted(lines.items())):
        values.sort()
        traces.append(
            {
                "type": "scatter",
                "name": f"d={d}, w0={weight:.3g}",
                "x": [x for x, _ in values],
                "y": [y for _, y in values],
                **stroke(place, size=7),
            }
        )
    layout = legend_below(layout_of("λ", "NDCG@10"), len(traces))
    layout["xaxis"] |= log_axis([trial.point.regularization for trial in tuned.trials])
    return {"data": traces, "layout": layout}


def _numbers(tuned: Tuned) -> str:
    rows = "".join(
        f"<tr><td>{f.trial.point.factors}</td><td>{f.trial.point.missing_weight:.3g}</td>"
        f"<td>{f.trial.point.regularization:.3g}</td><td>{f.trial.ndcg:.4f} ± "
        f"{f.trial.error:.4f}</td><td>{f.forgettability.agreement:.4f}</td><td>{f.forgettability.curvature:.2g}</td>"
        f"<td>{f.forgettability.steps} + {f.forgettability.products}</td></tr>"
        for f in tuned.finalists
    )
    heads = (
        "<tr><th>d</th><th>w0</th><th>λ</th><th>NDCG@10</th><th>two "
        "seeds</th><th>curvature</th><th>steps</th></tr>"
    )
    return f"<table>{heads}{rows}</table>"
