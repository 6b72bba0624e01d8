"""Finished cells become tables and a page: the right number in the right place, and where it comes
from."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from statistics import fmean, stdev
from typing import Any

import pytest

from alteraser.bench.paper.page import render_page
from alteraser.bench.paper.published import PUBLISHED, SIZES
from alteraser.bench.paper.tables import (
    Number,
    PaperTable,
    data_table,
    groups,
    long_table,
    markdown,
    summary,
    tables,
)
from alteraser.errors import DependencyMissing

HOSTILE = "</script><b>&\"x'|y"


def cell(method: str, run: int = 0, **more: Any) -> dict[str, Any]:
    answer = {
        "dataset": "ml-1m",
        "scenario": "noise",
        "stopping": "validation",
        "run": run,
        "method": method,
        "label": f"label of {method}",
        "timed": True,
        "settings": {},
        "metrics": {},
        "trace": [],
        "data": {"users": 100, "items": 50, "interactions": 500, "forgotten": 20},
        **more,
    }
    where = "/".join(answer[name] for name in ("dataset", "scenario", "stopping"))
    return {"cell": f"{where}/run-{answer['run']}/{method}", **answer}


def table(cells: list[dict[str, Any]], title: str) -> PaperTable:
    (group,) = groups(cells)
    return next(t for t in tables(group) if t.title.startswith(title))


def at(found: PaperTable, method: str, column: str) -> Number | str:
    row = dict(found.rows)[f"label of {method}"]
    return row[found.columns.index(column)]


def figures(page: str) -> dict[str, dict[str, Any]]:
    """Plots by heading; JSON's own extensions (NaN) are errors."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    pattern = (
        r'aria-label="(.*?); the numbers follow"></div>\n<script '
        r'type="application/json">(.*?)</script>'
    )
    return {
        k: json.loads(v, parse_constant=refuse) for k, v in re.findall(pattern, page, re.DOTALL)
    }


class Reader(HTMLParser):
    """Elements that were left open, titles of cells, and everything that is loaded from
    elsewhere."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.tags: set[str] = set()
        self.cells: list[tuple[str | None, str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attrs)
        self.loaded += [
            str(found[name]) for name in ("src", "href", "data", "action") if name in found
        ]
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag == "td":
            self.cells.append((found.get("title"), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            title, text = self.cells[-1]
            self.cells[-1] = title, text + data


def test_mean_and_sample_deviation_land_in_the_methods_row() -> None:
    values = [0.10, 0.13, 0.19]
    cells = [
        cell("warm-start", run, metrics={"re_predict": v, "ndcg@10": v / 2})
        for run, v in enumerate(values)
    ]
    cells += [cell("original", run, metrics={"re_predict": 0.5}) for run in range(3)]
    found = at(table(cells, "Consistency"), "warm-start", "re-predict")
    assert isinstance(found, Number)
    assert found.mean == pytest.approx(fmean(values))
    assert found.deviation == pytest.approx(stdev(values))
    assert found.cells == tuple(f"ml-1m/noise/validation/run-{run}/warm-start" for run in range(3))
    assert str(found) == "0.140 ± 0.046"
    assert str(at(table(cells, "Accuracy (the"), "warm-start", "NDCG@10")) == "0.0700 ± 0.0229"
    assert str(at(table(cells, "Consistency"), "original", "re-predict")) == "0.500 ± 0.000"


def test_the_summary_has_every_metric_once() -> None:
    cells = [
        cell("warm-start", run, metrics={"re_predict": run + 1.0, "cpu_seconds": 4.0})
        for run in (0, 1)
    ]
    cells.append(
        cell("warm-start", 2, metrics={"cpu_seconds": 99.0, "re_predict": None}, timed=False)
    )
    cells.append(cell("warm-start", 0, metrics={"re_predict": 7.0}, scenario="true"))
    found = {(s.scenario, s.method, s.metric): s for s in summary(cells)}
    assert len(found) == len(summary(cells)) == 3
    both = found["noise", "warm-start", "re_predict"]
    assert (both.mean, both.n) == (1.5, 2)
    assert both.deviation == pytest.approx(stdev([1, 2]))
    assert (
        found["noise", "warm-start", "cpu_seconds"].mean,
        found["noise", "warm-start", "cpu_seconds"].n,
    ) == (4.0, 2)
    assert found["true", "warm-start", "re_predict"].deviation is None


def test_one_run_has_no_deviation_and_says_so() -> None:
    text = markdown([cell("warm-start", metrics={"re_predict": 0.25})])
    assert "1 run, so no deviations" in text
    assert "| label of warm-start | 0.250 |" in text
    assert "±" not in text.split("## ml-1m")[1]


def test_a_number_from_fewer_runs_than_its_neighbors_says_so() -> None:
    cells = [cell("warm-start", run, metrics={"re_predict": 0.25}) for run in range(3)]
    cells[2]["metrics"] = {"rbo@10": 0.5}
    found = table(cells, "Consistency")
    assert str(at(found, "warm-start", "re-predict")) == "0.250 ± 0.000 (n = 2)"
    assert str(at(found, "warm-start", "RBO@10")) == "0.500 (n = 1)"


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf])
def test_what_was_not_measured_is_a_dash(nothing: float | None) -> None:
    cells = [cell("warm-start", metrics={"re_predict": 0.25, "rbo@10": nothing})]
    assert at(table(cells, "Consistency"), "warm-start", "RBO@10") == "–"
    assert at(table(cells, "Consistency"), "warm-start", "RBO@50") == "–"
    assert "nan" not in markdown(cells)


def test_rows_come_in_the_order_of_the_paper_then_as_they_come() -> None:
    names = [
        "zeta",
        "alpha",
        "converged",
        "influence-kfac",
        "alteraser",
        "warm-start",
        "retrain",
        "original",
    ]
    (group,) = groups([cell(name) for name in names])
    assert group.methods == [
        "original",
        "retrain",
        "warm-start",
        "alteraser",
        "converged",
        "influence-kfac",
        "zeta",
        "alpha",
    ]


def test_local_rows_stand_beside_the_passes_they_are_made_of_with_what_only_they_lower() -> None:
    names = [
        "two-runs-20",
        "alteraser",
        "two-runs",
        "alteraser-local-20",
        "alteraser-local",
        "alteraser-ah-newton",
    ]
    metrics = {"rbo@10": 0.9, "anchored_residual": 0.125, "influence_left/retrain": 0.75}
    cells = [cell(name, metrics=metrics) for name in names]
    (group,) = groups(cells)
    assert group.methods == [
        "alteraser-ah-newton",
        "alteraser-local",
        "alteraser-local-20",
        "two-runs",
        "two-runs-20",
        "alteraser",
    ]
    found = table(cells, "Thoroughness")
    assert str(at(found, "alteraser-local", "anchored residual")) == "0.125"
    assert str(at(found, "two-runs", "influence left, of the AdamW-retrained model")) == "0.750"
    assert str(at(found, "two-runs", "influence left")) == "–"
    assert "Ablations" not in markdown(cells)


def test_untimed_cells_have_no_seconds_anywhere() -> None:
    metrics = {
        "cpu_seconds": 77.5,
        "wall_seconds": 77.5,
        "ratio_adamw": 77.5,
        "ratio_fastest": 77.5,
        "rbo@10": 0.5,
    }
    trace = [{"pass": 1, "cpu_seconds": 77.5, "metrics": {"residual": 0.1, "rbo@10": 0.5}}]
    untimed = [
        cell(m, timed=False, metrics=metrics, trace=trace)
        for m in ("warm-start", "ablation-x", "retrain")
    ]
    assert "77.5" not in markdown(untimed)
    assert "Efficiency" not in markdown(untimed)
    drawn = figures(render_page(untimed, about={}))
    assert "77.5" not in json.dumps(drawn)
    assert "RBO@10 by pass" in drawn
    mixed = [*untimed, cell("warm-start", 1, metrics={**metrics, "cpu_seconds": 3.0})]
    assert str(at(table(mixed, "Efficiency"), "warm-start", "CPU s")) == "3.00 (n = 1)"


def test_both_ratios_stand_side_by_side_and_bounds_are_marked() -> None:
    metrics = {"ratio_adamw": 12.5, "ratio_fastest": 2.0, "ratio_fastest_is_bound": 1.0}
    found = table([cell("alteraser", metrics=metrics)], "Efficiency")
    assert str(at(found, "alteraser", "times faster than AdamW retraining")) == "12.50"
    assert (
        str(at(found, "alteraser", "times faster than the fastest retraining to the same gap"))
        == "≥ 2.00"
    )


def test_published_numbers_stand_beside_ours_where_there_are_any() -> None:
    cells = [
        cell(m, metrics={"re_predict": 0.2, "rbo@10": 0.7})
        for m in ("original", "alteraser-ah-newton", "alteraser")
    ]
    found = table(cells, "Consistency")
    assert at(found, "alteraser-ah-newton", "re-predict, paper") == "0.139"
    assert at(found, "alteraser-ah-newton", "RBO@10, paper") == "0.722"
    assert at(found, "alteraser", "RBO@10, paper") == ""
    assert "RBO@20, paper" not in found.columns
    drawn = figures(render_page(cells, about={}))["RBO@10 to the retrained model"]["data"]
    assert {trace["name"]: trace["x"] for trace in drawn}["published"] == [0.557, 0.722]


@pytest.mark.parametrize(
    "more", [{"scenario": "true"}, {"dataset": "ml-1m [gmf]"}, {"dataset": "mine"}]
)
def test_published_numbers_stay_away_from_what_they_do_not_describe(more: dict[str, str]) -> None:
    cells = [cell("original", metrics={"re_predict": 0.2}, **more)]
    assert not [column for column in table(cells, "Consistency").columns if "paper" in column]
    assert "published" not in json.dumps(figures(render_page(cells, about={})))


def test_the_published_numbers_agree_with_each_other() -> None:
    for dataset in SIZES:
        slow = PUBLISHED[dataset, "retrain", "wall_seconds"]
        for method in (
            "warm-start",
            "alteraser-adamw",
            "alteraser-hf-newton",
            "alteraser-ah-newton",
        ):
            ratio = PUBLISHED[dataset, method, "ratio_adamw"]
            assert slow / PUBLISHED[dataset, method, "wall_seconds"] == pytest.approx(
                ratio, abs=0.006
            )
    density = {name: 100 * n / (users * items) for name, (users, items, n) in SIZES.items()}
    assert density["ml-1m"] == pytest.approx(4.47, abs=0.005)
    assert density["kuairec"] == pytest.approx(4.70, abs=0.005)


def test_data_are_counted_once_per_run() -> None:
    data = {"users": 100, "items": 50, "interactions": 500, "forgotten": 20}
    cells = [
        cell(m, run, data={**data, "forgotten": 20 + run})
        for run in (0, 2)
        for m in ("original", "retrain")
    ]
    found = data_table(groups(cells))
    ((label, row),) = found.rows
    assert label == "ml-1m, noise"
    values = dict(zip(found.columns, map(str, row), strict=True))
    assert values["users"] == "100 ± 0"
    assert values["density, %"] == "10.00 ± 0.00"
    assert values["to forget"] == "21 ± 1"
    assert values["test"] == "–"
    assert values["paper: users × items, interactions"] == "6,040 × 3,706, 1,000,209"
    assert values["paper: density, %"] == "4.47"
    assert isinstance(row[0], Number)
    assert len(row[0].cells) == 2


def test_every_table_names_its_cells_by_pattern() -> None:
    cells = [
        cell(m, run, metrics={"re_predict": 0.2})
        for run in range(3)
        for m in ("retrain", "warm-start")
    ]
    cells.append(cell("original", 7, metrics={"ndcg@10": 0.1}))
    assert (
        table(cells, "Consistency").source
        == "cells/ml-1m/noise/validation/run-{0..2}/{retrain,warm-start}.json"
    )
    assert (
        table(cells, "Accuracy (the").source == "cells/ml-1m/noise/validation/run-7/original.json"
    )


def test_variants_stand_beside_the_method_that_they_vary() -> None:
    plain = [cell("original"), cell("alteraser-ah-newton", metrics={"rbo@10": 0.8})]
    (group,) = groups(plain)
    assert "Ablations and variants" not in [t.title for t in tables(group)]
    found = table([*plain, cell("ablation-cold-start", metrics={"rbo@10": 0.3})], "Ablations")
    assert [label for label, _ in found.rows] == [
        "label of alteraser-ah-newton",
        "label of ablation-cold-start",
    ]
    assert str(at(found, "ablation-cold-start", "RBO@10")) == "0.300"


def test_by_pass_only_the_cells_that_have_the_number_are_named() -> None:
    steps = [
        {"pass": 1, "cpu_seconds": 2.0, "metrics": {"rbo@10": 0.4}},
        {"pass": 2, "cpu_seconds": 4.0, "metrics": {}},
    ]
    cells = [
        cell("retrain", metrics={"cpu_seconds": 20.0}),
        cell("retrain", 1, metrics={}),
        cell("warm-start", trace=steps),
        cell("warm-start", 1, trace=steps),
    ]
    rows = dict(table(cells, "By pass").rows)
    assert [str(n) for n in rows["label of warm-start, 1"]] == [
        "10.0 (n = 1)",
        "0.400 ± 0.000",
        "–",
        "–",
        "–",
    ]
    ratio = rows["label of warm-start, 2"][0]
    assert isinstance(ratio, Number)
    assert (ratio.mean, ratio.cells) == (5.0, ("ml-1m/noise/validation/run-0/warm-start",))


def test_the_long_table_has_final_values_and_traces() -> None:
    trace = [{"pass": 1, "cpu_seconds": 2.0, "metrics": {"rbo@10": 0.4, "residual": None}}]
    found = long_table(
        [cell("warm-start", 3, metrics={"rbo@10": 0.6, "residual": None}, trace=trace)]
    ).to_pylist()
    key = {
        "dataset": "ml-1m",
        "scenario": "noise",
        "stopping": "validation",
        "run": 3,
        "method": "warm-start",
    }
    end = {"cell": "ml-1m/noise/validation/run-3/warm-start"}
    assert found == [
        {**key, "pass": None, "metric": "rbo@10", "value": 0.6, **end},
        {**key, "pass": 1, "metric": "cpu_seconds", "value": 2.0, **end},
        {**key, "pass": 1, "metric": "rbo@10", "value": 0.4, **end},
    ]
    assert long_table([]).num_rows == 0
    assert long_table([]).column_names == long_table([cell("a")]).column_names


def full() -> list[dict[str, Any]]:
    trace = [
        {
            "pass": n,
            "cpu_seconds": float(n),
            "metrics": {"residual": 0.1**n, "rbo@10": math.nan if n == 2 else 0.5},
        }
        for n in (1, 2, 3)
    ]
    metrics = {
        "re_predict": 0.2,
        "rbo@10": 0.7,
        "rbo@10/converged": 0.8,
        "ndcg@10": 0.1,
        "residual": 0.0,
        "cpu_seconds": 3.0,
        "ratio_adamw": 2.0,
        "ratio_fastest": math.nan,
    }
    return [
        cell(
            m,
            run,
            metrics=metrics,
            trace=trace,
            settings={"forgotten_share": share},
            scenario=scenario,
        )
        for m in ("original", "retrain", "alteraser")
        for run in (0, 1)
        for scenario, share in (("noise", 0.02), ("one", 1e-6), ("true", 0.01), ("users-20%", 0.1))
    ]


def test_the_page_is_complete_in_itself_and_well_formed() -> None:
    page = render_page(full(), about={"machine": "<here>", "RBO": "p = 0.9"})
    reader = Reader(page)
    assert reader.open == []
    assert reader.loaded == []
    assert not reader.tags & {"link", "iframe", "img", "b"}
    assert "default-src &#x27;none&#x27;" in page
    assert "&lt;here&gt;" in page
    assert "p = 0.9" in page
    drawn = figures(page)  # raises for NaN
    for heading in (
        "Residual by pass",
        "RBO@10 by pass",
        "Residual by CPU time",
        "Times faster than retraining",
    ):
        assert heading in drawn
    assert drawn["Residual by pass"]["data"][0]["x"] == [1, 2, 3]
    assert drawn["RBO@10 by pass"]["data"][0]["x"] == [1, 3]


def test_every_measured_number_of_the_page_names_its_cells() -> None:
    cells = full()
    known = {c["cell"] for c in cells}
    shown = [
        (title, text) for title, text in Reader(render_page(cells, about={})).cells if "±" in text
    ]
    assert len(shown) > 50
    for title, _ in shown:
        assert title is not None
        assert set(title.split(", ")) <= known


def test_forget_sets_of_several_sizes_are_drawn_against_their_share() -> None:
    drawn = figures(render_page(full(), about={}))
    (line, *_) = drawn["ml-1m: RBO@10 to a converged retrain by size of the forget set"]["data"]
    assert line["x"] == [1e-6, 0.01, 0.1]
    assert line["y"] == pytest.approx([0.8] * 3)


def test_hostile_names_stay_text() -> None:
    bad = cell(
        HOSTILE,
        metrics={"rbo@10": 0.5},
        label=HOSTILE,
        dataset=HOSTILE,
        scenario=HOSTILE,
        trace=[{"pass": 1, "cpu_seconds": 1.0, "metrics": {"rbo@10": 0.1}}],
    )
    page = render_page([bad], about={HOSTILE: HOSTILE})
    reader = Reader(page)
    assert reader.open == []
    assert "b" not in reader.tags
    assert (bad["cell"], "0.500") in reader.cells
    for figure in figures(page).values():
        assert "<b>" not in json.dumps(figure)
    text = markdown([bad])
    assert "<b>" not in text
    lines = text.split("### Consistency")[1].split("###")[0].splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")}) == 1
    assert "x'\\|y | – | 0.500 |" in text


def test_no_cell_yet() -> None:
    assert "No cell is finished yet" in markdown([])
    assert summary([]) == []
    assert Reader(render_page([], about={"date": "today"})).open == []


def test_plots_need_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(DependencyMissing, match=r"alteraser\[report\]"):
        render_page(full(), about={})


def test_neither_tables_nor_page_import_torch() -> None:
    code = "import sys, alteraser.bench.paper.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
