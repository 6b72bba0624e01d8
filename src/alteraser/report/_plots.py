"""The plots, as plotly's JSON. Python decides what is drawn; the page only draws it.

Colors are Okabe and Ito's, which stay apart for every kind of color vision; lines differ in dash and marker
too, so that a gray print can be read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from alteraser.report.model import Curve

Figure = dict[str, Any]

BEFORE, AFTER, RETRAINED = "#D55E00", "#0072B2", "#5F6B76"
STROKES = (
    ("#0072B2", "solid", "circle"),
    ("#AA4499", "dash", "square"),
    ("#007A5A", "dot", "diamond"),
    ("#9A6A00", "dashdot", "triangle-up"),
)
INK, RULE = "#1d2733", "#e3e7ec"
BINS = 36


def residual_figure(curves: Sequence[Curve], tolerance: float | None) -> Figure:
    """The residual by pass on a logarithmic axis; values that a logarithm cannot show are left out."""
    traces = []
    for place, curve in enumerate(curves):
        color, dash, symbol = STROKES[place % len(STROKES)]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": escape(curve.name),
                "x": [_finite(x) for x in curve.x],
                "y": [float(y) if 0 < y < math.inf else None for y in curve.y],
                "line": {"color": color, "dash": dash, "width": 2.5},
                "marker": {"symbol": symbol, "size": 8},
                "hovertemplate": "pass %{x}: %{y:.2g}<extra>%{fullData.name}</extra>",
            }
        )
    layout = layout_of("passes", "residual")
    layout["yaxis"] |= {"type": "log", "dtick": 1, "exponentformat": "power"}
    layout["xaxis"] |= {"rangemode": "tozero"}
    if tolerance is not None and tolerance > 0:
        level = {"xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": tolerance, "y1": tolerance}
        layout["shapes"] = [{"type": "line", **level, "line": {"color": INK, "width": 1.2, "dash": "dot"}}]
        # An annotation's place on a logarithmic axis is the logarithm; a shape's is the value.
        layout["annotations"] = [
            {
                "text": f"asked for: {tolerance:g}", "xref": "paper", "x": 1, "xanchor": "right",
                "yref": "y", "y": math.log10(tolerance), "yanchor": "bottom", "showarrow": False,
                "font": {"size": 13},
            }
        ]  # fmt: skip
    return {"data": traces, "layout": layout}


def scores_figure(before: Sequence[float], after: Sequence[float], retrained: Sequence[float]) -> Figure:
    """How the forgotten interactions are scored: outlines of three histograms over the same bins.

    "Retrained" is a filled shape and "after forgetting" a line on top of it, so that agreement is seen as
    the line following the shape.
    """
    groups = (
        ("retrained without them", retrained, {"color": RETRAINED, "width": 1}, "rgba(95,107,118,0.30)"),
        ("before", before, {"color": BEFORE, "width": 2, "dash": "dash"}, "rgba(213,94,0,0.12)"),
        ("after forgetting", after, {"color": AFTER, "width": 2.5}, None),
    )
    known = [[float(s) for s in scores if math.isfinite(s)] for _, scores, _, _ in groups]
    everything = [score for scores in known for score in scores]
    low, high = (min(everything), max(everything)) if everything else (0.0, 1.0)
    width = (high - low) / BINS or 1.0
    traces = []
    for (name, _, line, fill), scores in zip(groups, known, strict=True):
        if not scores:
            continue
        shares = _histogram(scores, low, width)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "legendrank": {"before": 1, "after forgetting": 2}.get(name, 3),
                # A step holds from its x to the next one; a zero on either side closes the outline.
                "x": [_short(low + width * (edge - 1)) for edge in range(BINS + 3)],
                "y": [0.0, *(_short(100 * share) for share in shares), 0.0, 0.0],
                "line": {**line, "shape": "hv"},
                "fill": "tozeroy" if fill else "none",
                **({"fillcolor": fill} if fill else {}),
                "hovertemplate": "score %{x:.2f}: %{y:.0f} %<extra>%{fullData.name}</extra>",
            }
        )
    layout = layout_of("predicted score", "of the forgotten interactions")
    layout["yaxis"] |= {"ticksuffix": " %", "rangemode": "tozero"}
    return {"data": traces, "layout": layout}


def _histogram(scores: Sequence[float], low: float, width: float) -> list[float]:
    counts = [0] * BINS
    for score in scores:
        counts[min(int((score - low) / width), BINS - 1)] += 1
    return [count / len(scores) for count in counts]


def layout_of(x: str, y: str) -> Figure:
    """The layout that all plots share, with titles for the axes."""
    axis: Figure = {
        "gridcolor": RULE,
        "zeroline": False,
        "linecolor": INK,
        "ticks": "outside",
        "automargin": True,
    }
    return {
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 14, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "margin": {"l": 16, "r": 16, "t": 44, "b": 16},
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": {**axis, "title": {"text": x, "standoff": 8}, "fixedrange": True},
        "yaxis": {**axis, "title": {"text": y, "standoff": 8}, "fixedrange": True},
        "hovermode": "closest",
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _short(value: float) -> float:
    """Six digits are more than a plot can show."""
    return float(f"{value:.6g}")
