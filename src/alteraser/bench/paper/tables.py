"""From finished cells to tables: each number is a mean over runs and knows the cells it was averaged from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import pyarrow as pa

from alteraser.bench.paper.methods import METHODS
from alteraser.bench.paper.published import PUBLISHED, SIZES

Record = dict[str, Any]


@dataclass(frozen=True)
class Number:
    """Mean ± sample standard deviation of one metric over the runs."""

    mean: float
    deviation: float | None
    """None with a single run."""
    cells: tuple[str, ...]
    """The cells it comes from."""
    digits: int = 3

    def __str__(self) -> str:
        if not math.isfinite(self.mean):
            return "–"
        text = _digits(self.mean, self.digits)
        return text if self.deviation is None else f"{text} ± {_digits(self.deviation, self.digits)}"


@dataclass(frozen=True)
class Table:
    """One table of one data set, scenario and way of stopping."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Number | str, ...]], ...]
    """(label, cells); a string stands for itself"""
    source: str
    """Which cells it was made from."""
    note: str = ""


@dataclass(frozen=True)
class Group:
    """All cells of one data set, scenario and way of stopping."""

    dataset: str
    scenario: str
    stopping: str
    cells: tuple[Record, ...]

    @property
    def title(self) -> str:
        """For headings."""
        what = {
            "noise": "injected noise deleted",
            "true": "true interactions deleted",
            "one": "one interaction deleted",
        }
        stop = (
            "early stopping on a validation cut" if self.stopping == "validation" else "early stopping on the test part"
        )
        return f"{self.dataset}: {what.get(self.scenario, self.scenario)}, {stop}"

    @property
    def methods(self) -> list[str]:
        """Methods that have cells, in table order."""
        there = {cell["method"] for cell in self.cells}
        known = [name for name in METHODS if name in there]
        return known + sorted(there - set(known))

    @property
    def runs(self) -> int:
        """Number of runs."""
        return len({cell["run"] for cell in self.cells})

    def label(self, method: str) -> str:
        """The method's name for people."""
        return next((c["label"] for c in self.cells if c["method"] == method), method)

    def number(self, method: str, metric: str, *, digits: int = 3, timed: bool = False) -> Number | str:
        """Mean and deviation of ``metric``; a dash where no (timed) cell has it."""
        chosen = [
            c for c in self.cells
            if c["method"] == method and c["metrics"].get(metric) is not None and (c["timed"] or not timed)
        ]  # fmt: skip
        if not chosen:
            return "–"
        values = [float(c["metrics"][metric]) for c in chosen]
        deviation = stdev(values) if len(values) > 1 else None
        return Number(fmean(values), deviation, tuple(c["cell"] for c in chosen), digits)

    def source(self, methods: Iterable[str]) -> str:
        """Pattern of the cells."""
        runs = sorted({cell["run"] for cell in self.cells})
        span = f"run-{runs[0]}" if len(runs) == 1 else f"run-{{{runs[0]}…{runs[-1]}}}"
        return f"cells/{self.dataset}/{self.scenario}/{self.stopping}/{span}/{{{', '.join(methods)}}}.json"


def groups(cells: Sequence[Record]) -> list[Group]:
    """Cells by data set, scenario and way of stopping, in the order in which they come."""
    keyed: dict[tuple[str, str, str], list[Record]] = {}
    for cell in cells:
        keyed.setdefault((cell["dataset"], cell["scenario"], cell["stopping"]), []).append(cell)
    return [Group(*key, tuple(members)) for key, members in keyed.items()]


def long_table(cells: Sequence[Record]) -> pa.Table:
    """Every number as a row: dataset, scenario, stopping, run, method, pass (null at the end), metric, value, cell."""
    rows: list[tuple[Any, ...]] = []
    for cell in cells:
        key = (cell["dataset"], cell["scenario"], cell["stopping"], cell["run"], cell["method"])
        for name, value in cell["metrics"].items():
            if value is not None:
                rows.append((*key, None, name, float(value), cell["cell"]))
        for entry in cell["trace"]:
            for name, value in {"cpu_seconds": entry["cpu_seconds"], **entry["metrics"]}.items():
                if value is not None:
                    rows.append((*key, entry["pass"], name, float(value), cell["cell"]))
    names = ("dataset", "scenario", "stopping", "run", "method", "pass", "metric", "value", "cell")
    kinds = (pa.string(), pa.string(), pa.string(), pa.int64(), pa.string(), pa.int64(), pa.string(), pa.float64(),
             pa.string())  # fmt: skip
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return pa.table({n: pa.array(list(c), k) for n, c, k in zip(names, columns, kinds, strict=True)})


def tables(group: Group) -> list[Table]:
    """The paper's Tables 3–5 for one group, and ours: thoroughness, the other users, where it stands by pass."""
    answer = [
        _plain(group, "Consistency (the paper's Table 3)",
               (("re-predict", "re_predict"), ("RBO@10", "rbo@10"), ("RBO@20", "rbo@20"), ("RBO@50", "rbo@50"),
                ("RBO@10, training items", "rbo@10/train"), ("RBO@10, other users", "rbo@10/others")),
               note="RBO against the AdamW-retrained model of the same run, forgetting users' lists of items they have "
                    "not seen unless said otherwise; p = 0.9."),
        _plain(group, "Accuracy (the paper's Table 4), forgetting users, test items",
               tuple((f"{n}@{k}", f"{n.lower()}@{k}") for n in ("Recall", "NDCG") for k in (10, 20, 50)), digits=4),
        _plain(group, "Accuracy, all other users",
               tuple((f"{n}@{k}", f"{n.lower()}@{k}/others") for n in ("Recall", "NDCG") for k in (10, 20, 50)),
               digits=4),
        _plain(group, "Efficiency (the paper's Table 5)",
               (("CPU s", "cpu_seconds"), ("wall s", "wall_seconds"), ("passes or epochs", "passes"),
                ("times faster than AdamW retraining", "ratio_adamw"),
                ("times faster than the fastest retraining to the same gap", "ratio_fastest")),
               timed=True, digits=2,
               note="Timed cells only. The last column counts the fastest retraining up to the objective that the "
                    "method reached; where it never got there, all of its time (a lower bound)."),
        _plain(group, "Thoroughness (not in the paper)",
               (("residual", "residual"), ("influence left", "influence_left"), ("gap left", "gap_left"),
                ("RBO@10 to a converged retrain", "rbo@10/converged"),
                ("RBO@50 to a converged retrain", "rbo@50/converged"))),
    ]  # fmt: skip
    curve = _by_pass(group)
    return [t for t in [*answer, curve] if t is not None and t.rows]


def data_table(all_groups: Sequence[Group]) -> Table:
    """The paper's Table 2, counted on the data that the models were trained on, beside the published sizes."""
    rows: list[tuple[str, tuple[Number | str, ...]]] = []
    for group in all_groups:
        data = group.cells[0]["data"]
        density = data["interactions"] / (data["users"] * data["items"])
        published = SIZES.get(group.dataset.split(" [")[0])
        rows.append(
            (
                f"{group.dataset}, {group.scenario}",
                (
                    f"{data['users']:,}", f"{data['items']:,}", f"{data['interactions']:,}", f"{100 * density:.2f} %",
                    f"{data['forgotten']:,}", f"{data['test']:,}",
                    "–" if published is None else " × ".join(f"{n:,}" for n in published[:2]) + f", {published[2]:,}",
                ),
            )
        )  # fmt: skip
    columns = (
        "users",
        "items",
        "interactions trained on",
        "density",
        "to forget",
        "test",
        "published, before the split",
    )
    return Table("Data (the paper's Table 2)", columns, tuple(rows), "the first run of each", "")


def markdown(cells: Sequence[Record]) -> str:
    """Every table as Markdown."""
    found = groups(cells)
    lines = ["# The experiments of “Forgetting Fast in Recommender Systems”", ""]
    if not found:
        return "\n".join([*lines, "No cell is finished yet.", ""])
    lines += [_as_markdown(data_table(found))]
    for group in found:
        runs = f"{group.runs} runs, mean ± standard deviation" if group.runs > 1 else "1 run, so no deviations"
        lines += [f"## {group.title}", "", f"{runs}.", ""]
        lines += [_as_markdown(table) for table in tables(group)]
    return "\n".join(lines)


def _as_markdown(table: Table) -> str:
    lines = [f"### {table.title}", ""]
    if table.note:
        lines += [table.note, ""]
    lines.append("| " + " | ".join(("", *table.columns)) + " |")
    lines.append("|---" * (len(table.columns) + 1) + "|")
    lines += ["| " + " | ".join((label, *(str(c) for c in row))).replace("\n", " ") + " |" for label, row in table.rows]
    return "\n".join([*lines, "", f"From {table.source}.", ""])


def _plain(
    group: Group, title: str, metrics: tuple[tuple[str, str], ...], *, digits: int = 3, timed: bool = False,
    note: str = "",
) -> Table:  # fmt: skip
    """Methods down, metrics across; a published value, where there is one, in a column behind ours."""
    dataset = group.dataset
    published = [any((dataset, method, name) in PUBLISHED for method in group.methods) for _, name in metrics]
    columns: list[str] = []
    for (label, _), known in zip(metrics, published, strict=True):
        columns += [label, f"{label}, paper"] if known else [label]
    rows = []
    for method in group.methods:
        row: list[Number | str] = []
        for (_, name), known in zip(metrics, published, strict=True):
            row.append(group.number(method, name, digits=digits, timed=timed))
            if known:
                value = PUBLISHED.get((dataset, method, name))
                row.append("" if value is None else _digits(value, digits))
        if any(isinstance(cell, Number) for cell in row):
            rows.append((group.label(method), tuple(row)))
    return Table(title, tuple(columns), tuple(rows), group.source(group.methods), note)


PASSES = (1, 2, 3, 5, 10, 20)


def _by_pass(group: Group) -> Table | None:
    """What a method has reached, and the time ratio, after so many passes."""
    slow = {c["run"]: c["metrics"]["cpu_seconds"] for c in group.cells if c["method"] == "retrain" and c["timed"]}
    rows: list[tuple[str, tuple[Number | str, ...]]] = []
    for method in group.methods:
        if method in ("original", "retrain", "retrain-star", "converged"):
            continue
        for number in PASSES:
            found: dict[str, list[float]] = {}
            ids = []
            for cell in group.cells:
                entry = next((e for e in cell["trace"] if e["pass"] == number), None)
                if cell["method"] != method or entry is None or not cell["timed"] or cell["run"] not in slow:
                    continue
                ids.append(cell["cell"])
                values = {**entry["metrics"], "ratio": slow[cell["run"]] / max(entry["cpu_seconds"], 1e-9)}
                for name, value in values.items():
                    if value is not None:
                        found.setdefault(name, []).append(float(value))
            if ids:
                row = tuple(
                    Number(fmean(v), stdev(v) if len(v) > 1 else None, tuple(ids), digits) if v else "–"
                    for v, digits in (
                        (found.get("ratio", []), 1), (found.get("rbo@10", []), 3), (found.get("re_predict", []), 3),
                        (found.get("ndcg@10", []), 4), (found.get("residual", []), 3),
                    )
                )  # fmt: skip
                rows.append((f"{group.label(method)}, {number}", row))
    columns = ("times faster than AdamW retraining", "RBO@10", "re-predict", "NDCG@10", "residual")
    note = "After so many passes or epochs; the paper gives one number per method and no stop rule."
    return Table("By pass", columns, tuple(rows), group.source(group.methods), note) if rows else None


def _digits(value: float, digits: int) -> str:
    """Fixed digits; scientific where these would show nothing."""
    if value != 0 and (abs(value) < 0.5 * 10**-digits or abs(value) >= 1e6):
        return f"{value:.1e}"
    return f"{value:,.{digits}f}"
