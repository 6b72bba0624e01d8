"""What the charts of a search can be read by: an axis that ends at 1, lines that differ, ticks with
room."""

from __future__ import annotations

import json
import math
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.report.plots import log_axis, share_axis, stroke
from alteraser.verbs.tune import Finalist, GridPoint
from alteraser.verbs.tune.forgettability import Forgettability
from alteraser.verbs.tune.page import render
from alteraser.verbs.tune.search import Tuned
from alteraser.verbs.tune.trial import Trial

GRID = [
    (d, w, ridge)
    for d in (16, 32)
    for w in (0.07, 0.12, 0.2, 0.6)
    for ridge in (2.3, 3.3, 4.7, 6.6, 9.4, 18.7)
]


def drawn(*agreements: float) -> list[dict[str, Any]]:
    """The figures on the page of a search with eight lines."""
    pytest.importorskip("plotly")
    trials = tuple(
        Trial(GridPoint(d, w, ridge), 0.2 + d / ridge / 100, 0.01, 0.0, 1, 0, 0.0, True)
        for d, w, ridge in GRID
    )
    finalists = tuple(
        Finalist(trial, Forgettability(agreement, 0.0, 1.0, 1, 0, True))
        for trial, agreement in zip(trials[::5], agreements, strict=False)
    )
    page = render(Tuned(trials, finalists, finalists[0], 0), "sets")
    return [
        json.loads(text)
        for text in re.findall(r'<script type="application/json">(.*?)</script>', page, re.S)
    ]


@pytest.mark.parametrize(
    "agreements", [(1.0, 1.0), (0.9999999, 1.0), (0.87, 1.0, 0.9994), (0.02, 0.5), (0.3,)]
)
def test_the_axis_of_an_overlap_ends_at_one_and_holds_every_point(
    agreements: tuple[float, ...],
) -> None:
    figure, _ = drawn(*agreements)
    low, high = figure["layout"]["xaxis"]["range"]
    assert high == 1.0
    points = [x for trace in figure["data"] for x in trace["x"]]
    assert points == list(agreements)
    assert all(low < x <= high for x in points)
    assert all(trace["cliponaxis"] is False for trace in figure["data"])
    assert sum("(chosen)" in trace["name"] for trace in figure["data"]) == 1


def test_eight_lines_have_eight_styles() -> None:
    _, figure = drawn(0.9, 1.0)
    traces = figure["data"]
    assert len(traces) == 8
    assert len({trace["line"]["color"] for trace in traces}) == 8
    assert len({(trace["line"]["dash"], trace["marker"]["symbol"]) for trace in traces}) == 8
    looks = [stroke(place) for place in range(40)]
    assert (
        len(
            {
                (look["line"]["color"], look["line"]["dash"], look["marker"]["symbol"])
                for look in looks
            }
        )
        == 40
    )


@given(st.lists(st.floats(0.0, 1.0), max_size=5))
def test_ticks_of_shares_are_few_distinct_and_inside(values: list[float]) -> None:
    axis = share_axis(values)
    low, high = axis["range"]
    ticks, texts = axis["tickvals"], axis["ticktext"]
    assert 1 <= len(ticks) <= 6
    assert all(low <= tick <= high for tick in ticks)
    assert ticks[-1] == 1.0
    assert len(set(texts)) == len(texts)
    assert all(
        float(text) == pytest.approx(tick, abs=1e-12)
        for text, tick in zip(texts, ticks, strict=True)
    )


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=60))
def test_ticks_of_a_logarithm_are_values_with_room_between(values: list[float]) -> None:
    axis = log_axis(values)
    ticks = axis["tickvals"]
    assert set(ticks) <= set(values)
    assert ticks[0] == min(values)
    assert len(ticks) <= 10
    whole = math.log(max(values) / min(values))
    assert all(math.log(b / a) >= 0.999 * whole / 9 for a, b in pairwise(ticks))
