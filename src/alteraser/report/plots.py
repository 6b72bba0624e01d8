"""The plots, as plotly's JSON. Python decides what is drawn; the page only draws it.

Colors are Okabe and Ito's, which stay apart for every kind of color vision; lines differ in dash
and marker too, so that a gray print can be read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from alteraser.report.model import Curve

Figure = dict[str, Any]

BEFORE, AFTER, RETRAINED = "#D55E00", "#0072B2", "#5F6B76"
COLORS = ("#0072B2", "#AA4499", "#007A5A", "#9A6A00", "#D55E00", "#56B4E9", "#1d2733", "#882255")
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")
"""Eight lines have eight colors, and twenty differ in dash or marker without any."""

INK, RULE = "#1d2733", "#e3e7ec"
BINS = 36


def residual_figure(curves: Sequence[Curve], tolerance: float | None) -> Figure:
    """The residual by pass on a logarithmic axis; values that a logarithm cannot show are left
    out.
    """
    traces = []
    for place, curve in enumerate(curves):
        traces.append(
            {
                "type": "scatter",
                **stroke(place, width=2.5, size=8),
                "name": escape(curve.name),
                "x": [_finite(x) for x in curve.x],
                "y": [float(y) if 0 < y < math.inf else None for y in curve.y],
                "hovertemplate": "pass %{x}: %{y:.2g}<extra>%{fullData.name}</extra>",
            }
        )
    layout = layout_of("passes", "residual")
    layout["yaxis"] |= {"type": "log", "dtick": 1, "exponentformat": "power"}
    layout["xaxis"] |= {"rangemode": "tozero"}
    if tolerance is not None and tolerance > 0:
        level = {"xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": tolerance, "y1": tolerance}
        layout["shapes"] = [
            {"type": "line", **level, "line": {"color": INK, "width": 1.2, "dash": "dot"}}
        ]
        # An annotation's place on a logarithmic axis is the logarithm; a shape's is the value.
        layout["annotations"] = [
            {
                "text": f"asked for: {tolerance:g}",
                "xref": "paper",
                "x": 1,
                "xanchor": "right",
                "yref": "y",
                "y": math.log10(tolerance),
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 13},
            }
        ]
    return {"data": traces, "layout": layout}


def scores_figure(
    before: Sequence[float], after: Sequence[float], retrained: Sequence[float]
) -> Figure:
    """How the forgotten interactions are scored: outlines of three histograms over the same bins.

    "Retrained" is a filled shape and "after forgetting" a line on top of it, so that agreement is
    seen as the line following the shape.
    """
    groups = (
        (
            "retrained without them",
            retrained,
            {"color": RETRAINED, "width": 1},
            "rgba(95,107,118,0.30)",
        ),
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
        "font": {
            "family": "system-ui, -apple-system, 'Segoe UI', sans-serif",
            "size": 14,
            "color": INK,
        },
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "margin": {"l": 16, "r": 16, "t": 44, "b": 16},
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": {**axis, "title": {"text": x, "standoff": 8}, "fixedrange": True},
        "yaxis": {**axis, "title": {"text": y, "standoff": 8}, "fixedrange": True},
        "hovermode": "closest",
    }


def stroke(place: int, *, width: float = 2.0, size: int = 6) -> Figure:
    """Color, dash and marker of the line at ``place``, from 0."""
    color, dash, symbol = (row[place % len(row)] for row in (COLORS, DASHES, SYMBOLS))
    return {
        "mode": "lines+markers",
        "line": {"color": color, "dash": dash, "width": width},
        "marker": {"symbol": symbol, "size": size, "color": color},
    }


def legend_below(layout: Figure, entries: int) -> Figure:
    """``layout`` with its legend below: many names would push the drawing off a narrow screen from
    above.
    """
    layout["legend"] = {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"}
    layout["margin"] |= {"t": 16}
    layout["height"] = 380 + 22 * entries
    return layout


def share_axis(values: Sequence[float]) -> Figure:
    """An axis for shares that ends at 1, where the best there is lies: from a little below the
    least of ``values``.

    Ticks are at steps of 1, 2 or 5 times a power of ten, five at most, each with the digits that it
    needs.

    >>> share_axis([0.9991, 0.99994])["ticktext"]
    ['0.9992', '0.9994', '0.9996', '0.9998', '1']
    """
    least = min((v for v in values if math.isfinite(v)), default=0.0)
    span = max(1.0 - least, 1e-6) * 1.08
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(power * n for n in (1, 2, 5, 10, 20) if span / (power * n) <= 5)
    low = 1.0 - span
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = [1.0 - step * n for n in range(int(span / step + 1e-9), -1, -1)]
    return {
        "range": [_short(low), 1.0],
        "autorange": False,
        "tickmode": "array",
        "tickvals": [round(t, 12) for t in ticks],
        "ticktext": ["1" if t == 1.0 else f"{t:.{digits}f}" for t in ticks],
    }


def log_axis(values: Sequence[float], *, most: int = 9) -> Figure:
    """A logarithmic axis with ticks at ``values`` themselves, but for those that would stand in
    their neighbor's way.

    >>> log_axis([1.0, 2.0, 2.02, 4.0])["ticktext"]
    ['1', '2', '4']
    """
    there = sorted({float(v) for v in values if 0 < v < math.inf})
    if not there:
        return {"type": "log"}
    apart = math.log(there[-1] / there[0]) / most
    ticks = there[:1]
    for value in there[1:]:
        if math.log(value / ticks[-1]) >= apart > 0:
            ticks.append(value)
    return {
        "type": "log",
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": [f"{t:.3g}" for t in ticks],
        "tickangle": 0,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _short(value: float) -> float:
    """Six digits are more than a plot can show."""
    return float(f"{value:.6g}")
