"""From finished cells to tables: each number is a mean over runs and knows the cells it was
averaged from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean, stdev
from typing import Any

import pyarrow as pa

from alteraser.bench.paper.measure import PERSISTENCE
from alteraser.bench.paper.methods import METHODS
from alteraser.bench.paper.published import PUBLISHED, SCENARIO, SIZES

Record = dict[str, Any]

FIRST = (
    "original",
    "retrain",
    "retrain-star",
    "warm-start",
    "alteraser-adamw",
    "alteraser-hf-newton",
    "alteraser-ah-newton",
    "alteraser-ah-newton-20",
    "alteraser-local",
    "alteraser-local-20",
    "two-runs",
    "two-runs-20",
    "alteraser",
    "retrain-fast",
    "converged",
)
"""The first rows of every table; all other methods follow in the order of ``METHODS``, then as they
come."""
TIMES = frozenset(("cpu_seconds", "wall_seconds", "ratio_adamw", "ratio_fastest"))
"""Metrics that count in timed cells only."""
DASH = "–"


@dataclass(frozen=True)
class Number:
    """Mean ± sample standard deviation of one metric over the runs."""

    mean: float
    deviation: float | None
    """None with a single run."""
    cells: tuple[str, ...]
    """The cells it comes from."""
    digits: int = 3
    runs: int | None = None
    """How many runs the table has; a number from fewer cells says so."""
    bound: bool = False
    """The true value is at least this."""

    def __str__(self) -> str:
        if not math.isfinite(self.mean):
            return DASH
        text = ("≥ " if self.bound else "") + _digits(self.mean, self.digits)
        if self.deviation is not None:
            text += f" ± {_digits(self.deviation, self.digits)}"
        return text if self.runs in (None, len(self.cells)) else f"{text} (n = {len(self.cells)})"


@dataclass(frozen=True)
class Summary:
    """One metric of one method over the runs of one data set, scenario and way of stopping."""

    dataset: str
    scenario: str
    stopping: str
    method: str
    metric: str
    mean: float
    deviation: float | None
    """Sample standard deviation; None with a single run."""
    n: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class PaperTable:
    """One table of one data set, scenario and way of stopping."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Number | str, ...]], ...]
    """(label, cells); a string stands for itself"""
    source: str
    """Which cells it was made from."""
    note: str = ""


@dataclass(frozen=True)
class CellGroup:
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
            "early stopping on a validation cut"
            if self.stopping == "validation"
            else "early stopping on the test part"
        )
        return f"{self.dataset}: {what.get(self.scenario, self.scenario)}, {stop}"

    @property
    def methods(self) -> list[str]:
        """Methods that have cells, in table order."""
        there = {cell["method"] for cell in self.cells}
        order = dict.fromkeys((*FIRST, *METHODS, *(cell["method"] for cell in self.cells)))
        return [name for name in order if name in there]

    @property
    def runs(self) -> int:
        """Number of runs."""
        return len({cell["run"] for cell in self.cells})

    def label(self, method: str) -> str:
        """The method's name for people."""
        return next((c["label"] for c in self.cells if c["method"] == method), method)

    def number(
        self, method: str, metric: str, *, digits: int = 3, timed: bool = False
    ) -> Number | str:
        """Mean and deviation of ``metric``; a dash where no (timed) cell has it."""
        timed = timed or metric in TIMES
        chosen = [
            c
            for c in self.cells
            if c["method"] == method
            and _known(c["metrics"].get(metric))
            and (c["timed"] or not timed)
        ]
        bound = any(c["metrics"].get(f"{metric}_is_bound") for c in chosen)
        return _number(
            [(c["metrics"][metric], c["cell"]) for c in chosen],
            digits=digits,
            runs=self.runs,
            bound=bound,
        )

    def published(self, method: str, metric: str) -> float | None:
        """The paper's value, which is of injected noise only."""
        return PUBLISHED.get((self.dataset, method, metric)) if self.scenario == SCENARIO else None

    def source(self, numbers: Iterable[Number | str]) -> str:
        """Pattern of the cells that ``numbers`` were made from; shells expand it."""
        used = {name for number in numbers if isinstance(number, Number) for name in number.cells}
        cells = [cell for cell in self.cells if cell["cell"] in used]
        there = {cell["method"] for cell in cells}
        methods = [name for name in self.methods if name in there]
        runs = sorted({cell["run"] for cell in cells})
        folder = f"cells/{self.dataset}/{self.scenario}/{self.stopping}"
        return f"{folder}/run-{_braces(runs)}/{_braces(methods)}.json"


def groups(cells: Sequence[Record]) -> list[CellGroup]:
    """Cells by data set, scenario and way of stopping, in the order in which they come."""
    keyed: dict[tuple[str, str, str], list[Record]] = {}
    for cell in cells:
        keyed.setdefault((cell["dataset"], cell["scenario"], cell["stopping"]), []).append(cell)
    return [CellGroup(*key, tuple(members)) for key, members in keyed.items()]


def long_table(cells: Sequence[Record]) -> pa.Table:
    """Every number as a row: dataset, scenario, stopping, run, method, pass (null at the end),
    metric, value, cell.
    """
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
    kinds = (
        pa.string(),
        pa.string(),
        pa.string(),
        pa.int64(),
        pa.string(),
        pa.int64(),
        pa.string(),
        pa.float64(),
        pa.string(),
    )
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return pa.table(
        {n: pa.array(list(c), k) for n, c, k in zip(names, columns, kinds, strict=True)}
    )


def summary(cells: Sequence[Record]) -> list[Summary]:
    """Mean, sample standard deviation and n of every metric; seconds and ratios count in timed
    cells only.
    """
    found = []
    for group in groups(cells):
        for method in group.methods:
            names = dict.fromkeys(
                n for c in group.cells if c["method"] == method for n in c["metrics"]
            )
            for name in names:
                number = group.number(method, name)
                if isinstance(number, Number):
                    key = (group.dataset, group.scenario, group.stopping, method, name)
                    found.append(
                        Summary(
                            *key, number.mean, number.deviation, len(number.cells), number.cells
                        )
                    )
    return found


def tables(group: CellGroup) -> list[PaperTable]:
    """The paper's Tables 3–5 for one group, and ours: thoroughness, other users, ablations, by
    pass.
    """
    answer = [
        _plain(
            group,
            "Consistency (the paper's Table 3)",
            (
                ("re-predict", "re_predict"),
                ("RBO@10", "rbo@10"),
                ("RBO@20", "rbo@20"),
                ("RBO@50", "rbo@50"),
                ("RBO@10, training items", "rbo@10/train"),
                ("RBO@10, other users", "rbo@10/others"),
            ),
            note="RBO against the AdamW-retrained model of the same run, forgetting users' lists "
            f"of items they have not seen unless said otherwise; p = {PERSISTENCE:g}.",
        ),
        _plain(
            group,
            "Accuracy (the paper's Table 4), forgetting users, test items",
            tuple(
                (f"{n}@{k}", f"{n.lower()}@{k}") for n in ("Recall", "NDCG") for k in (10, 20, 50)
            ),
            digits=4,
        ),
        _plain(
            group,
            "Accuracy, all other users",
            tuple(
                (f"{n}@{k}", f"{n.lower()}@{k}/others")
                for n in ("Recall", "NDCG")
                for k in (10, 20, 50)
            ),
            digits=4,
        ),
        _plain(
            group,
            "Efficiency (the paper's Table 5)",
            (
                ("CPU s", "cpu_seconds"),
                ("wall s", "wall_seconds"),
                ("passes or epochs", "passes"),
                ("times faster than AdamW retraining", "ratio_adamw"),
                ("times faster than the fastest retraining to the same gap", "ratio_fastest"),
            ),
            timed=True,
            digits=2,
            note="Timed cells only. The last column counts the fastest retraining up to the "
            "objective that the method reached; where it never got there, all of its time (a "
            "lower bound: ≥). The paper's seconds are wall seconds on its authors' GPUs.",
        ),
        _plain(
            group,
            "Thoroughness (not in the paper)",
            (
                ("residual", "residual"),
                ("anchored residual", "anchored_residual"),
                ("influence left", "influence_left"),
                ("influence left, of the AdamW-retrained model", "influence_left/retrain"),
                ("gap left", "gap_left"),
                ("RBO@10 to a converged retrain", "rbo@10/converged"),
                ("RBO@20 to a converged retrain", "rbo@20/converged"),
                ("RBO@50 to a converged retrain", "rbo@50/converged"),
            ),
            note="Influence left is against the converged retrain unless said otherwise. The "
            "anchored residual is 1 at the original and 0 where the deletion has had its effect "
            "and what training had left in the gradient is as it was.",
        ),
    ]
    return [t for t in [*answer, _ablations(group), _by_pass(group)] if t is not None and t.rows]


def data_table(all_groups: Sequence[CellGroup]) -> PaperTable:
    """The paper's Table 2, counted on the data that the models were trained on, beside the
    published sizes.
    """
    rows: list[tuple[str, tuple[Number | str, ...]]] = []
    sources = []
    for group in all_groups:
        # all cells of a run share their data, so that one of each run is enough
        firsts = {cell["run"]: cell for cell in reversed(group.cells)}
        one_each = [firsts[run] for run in sorted(firsts)]
        counts: list[Number | str] = []
        for name in ("users", "items", "interactions", "density", "forgotten", "test"):
            values = [(_count(cell["data"], name), cell["cell"]) for cell in one_each]
            digits = 2 if name == "density" else 0
            counts.append(
                _number(
                    [(v, c) for v, c in values if v is not None], digits=digits, runs=group.runs
                )
            )
        stop = "" if group.stopping == "validation" else f", stopped on the {group.stopping} part"
        rows.append((f"{group.dataset}, {group.scenario}{stop}", (*counts, *_size(group.dataset))))
        sources.append(group.source(counts))
    columns = (
        "users",
        "items",
        "interactions trained on",
        "density, %",
        "to forget",
        "test",
        "paper: users × items, interactions",
        "paper: density, %",
    )
    note = "The paper's numbers are before the split."
    return PaperTable("Data (the paper's Table 2)", columns, tuple(rows), "; ".join(sources), note)


def _count(data: dict[str, Any], name: str) -> float | None:
    if name != "density":
        return data.get(name)
    pairs = data["users"] * data["items"]
    return 100 * data["interactions"] / pairs if pairs else None


def _size(dataset: str) -> tuple[str, str]:
    found = SIZES.get(dataset.split(" [")[0])
    if found is None:
        return DASH, DASH
    users, items, interactions = found
    return f"{users:,} × {items:,}, {interactions:,}", f"{100 * interactions / (users * items):.2f}"


def markdown(cells: Sequence[Record]) -> str:
    """Every table as Markdown."""
    found = groups(cells)
    lines = ["# The experiments of “Forgetting Fast in Recommender Systems”", ""]
    if not found:
        return "\n".join([*lines, "No cell is finished yet.", ""])
    lines += [_as_markdown(data_table(found))]
    for group in found:
        lines += [f"## {_text(group.title)}", "", about_runs(group), ""]
        lines += [_as_markdown(table) for table in tables(group)]
    return "\n".join(lines)


def about_runs(group: CellGroup) -> str:
    """How many runs, and what that means for the deviations."""
    if group.runs == 1:
        return "1 run, so no deviations."
    return (
        f"{group.runs} runs: mean ± sample standard deviation, without it where only one run "
        "has the number."
    )


def _as_markdown(table: PaperTable) -> str:
    lines = [f"### {_text(table.title)}", ""]
    if table.note:
        lines += [_text(table.note), ""]
    lines.append("| " + " | ".join(("", *(_text(column) for column in table.columns))) + " |")
    lines.append("|---" * (len(table.columns) + 1) + "|")
    lines += [
        "| " + " | ".join(_text(str(c)) for c in (label, *row)) + " |" for label, row in table.rows
    ]
    return "\n".join([*lines, "", f"From {_text(table.source)}.", ""])


def _text(text: str) -> str:
    """Text that Markdown shows as it is: no cell or line ends in it, and no HTML starts."""
    return (
        escape(" ".join(text.split()), quote=False)
        .replace("|", "\\|")
        .replace("*", "\\*")
        .replace("`", "\\`")
    )


def _plain(
    group: CellGroup,
    title: str,
    metrics: tuple[tuple[str, str], ...],
    *,
    digits: int = 3,
    timed: bool = False,
    note: str = "",
    methods: Sequence[str] = (),
) -> PaperTable:
    """Methods down, metrics across; a published value, where there is one, in a column behind
    ours.
    """
    published = [
        any(group.published(m, name) is not None for m in group.methods) for _, name in metrics
    ]
    columns: list[str] = []
    for (label, _), known in zip(metrics, published, strict=True):
        columns += [label, f"{label}, paper"] if known else [label]
    rows: list[tuple[str, tuple[Number | str, ...]]] = []
    for method in methods or group.methods:
        row: list[Number | str] = []
        for (_, name), known in zip(metrics, published, strict=True):
            row.append(group.number(method, name, digits=digits, timed=timed))
            if known:
                value = group.published(method, name)
                row.append("" if value is None else _digits(value, digits))
        if any(isinstance(cell, Number) for cell in row):
            rows.append((group.label(method), tuple(row)))
    return PaperTable(
        title,
        tuple(columns),
        tuple(rows),
        group.source(cell for _, row in rows for cell in row),
        note,
    )


def _ablations(group: CellGroup) -> PaperTable | None:
    """What is not in the paper's main tables, beside the two methods that it varies; None without
    any.
    """
    varied = [m for m in group.methods if m not in FIRST]
    if not varied:
        return None
    shown = [m for m in ("alteraser-ah-newton", "alteraser") if m in group.methods] + varied
    metrics = (
        ("re-predict", "re_predict"),
        ("RBO@10", "rbo@10"),
        ("NDCG@10", "ndcg@10"),
        ("residual", "residual"),
        ("influence left", "influence_left"),
        ("CPU s", "cpu_seconds"),
        ("times faster than AdamW retraining", "ratio_adamw"),
        ("times faster than the fastest retraining to the same gap", "ratio_fastest"),
    )
    note = (
        "Ablations, influence functions, other optimizers and row solvers; seconds and ratios "
        "of timed cells only."
    )
    return _plain(group, "Ablations and variants", metrics, methods=shown, note=note)


PASSES = (1, 2, 3, 5, 10, 20)


BY_PASS = (("ratio", 1), ("rbo@10", 3), ("re_predict", 3), ("ndcg@10", 4), ("residual", 3))


def _by_pass(group: CellGroup) -> PaperTable | None:
    """What a method has reached, and the time ratio, after so many passes."""
    slow = {
        c["run"]: float(c["metrics"]["cpu_seconds"])
        for c in group.cells
        if c["method"] == "retrain" and c["timed"] and _known(c["metrics"].get("cpu_seconds"))
    }
    methods = [
        m for m in group.methods if m not in ("original", "retrain", "retrain-star", "converged")
    ]
    every = {
        f"{group.label(method)}, {number}": _reached(group, method, number, slow)
        for method in methods
        for number in PASSES
    }
    rows = [
        (label, row)
        for label, row in every.items()
        if any(isinstance(cell, Number) for cell in row)
    ]
    columns = ("times faster than AdamW retraining", "RBO@10", "re-predict", "NDCG@10", "residual")
    note = "After so many passes or epochs; the paper gives one number per method and no stop rule."
    source = group.source(cell for _, row in rows for cell in row)
    return PaperTable("By pass", columns, tuple(rows), source, note) if rows else None


def _reached(
    group: CellGroup, method: str, number: int, slow: dict[int, float]
) -> tuple[Number | str, ...]:
    """A row of ``_by_pass``: means over the runs whose trace has pass ``number``."""
    found: dict[str, list[tuple[float, str]]] = {name: [] for name, _ in BY_PASS}
    for cell in group.cells:
        entry = next((e for e in cell["trace"] if e["pass"] == number), None)
        if cell["method"] != method or entry is None:
            continue
        values = dict(entry["metrics"])
        if cell["timed"] and cell["run"] in slow and _known(entry.get("cpu_seconds")):
            values["ratio"] = slow[cell["run"]] / max(entry["cpu_seconds"], 1e-9)
        for name in found:
            if _known(values.get(name)):
                found[name].append((values[name], cell["cell"]))
    return tuple(_number(found[name], digits=digits, runs=group.runs) for name, digits in BY_PASS)


def _known(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def _number(
    values: Sequence[tuple[float, str]],
    *,
    digits: int,
    runs: int | None = None,
    bound: bool = False,
) -> Number | str:
    """From (value, cell); a dash from none."""
    if not values:
        return DASH
    numbers = [float(value) for value, _ in values]
    deviation = stdev(numbers) if len(numbers) > 1 else None
    return Number(fmean(numbers), deviation, tuple(cell for _, cell in values), digits, runs, bound)


def _braces(parts: Sequence[Any]) -> str:
    """One of several, as shells write it: {0..4}, {a,b}."""
    if (
        len(parts) > 2
        and all(isinstance(p, int) for p in parts)
        and list(parts) == list(range(parts[0], parts[-1] + 1))
    ):
        return f"{{{parts[0]}..{parts[-1]}}}"
    return str(parts[0]) if len(parts) == 1 else "{" + ",".join(map(str, parts)) + "}"


def _digits(value: float, digits: int) -> str:
    """Fixed digits; scientific where these would show nothing."""
    if value != 0 and (abs(value) < 0.5 * 10**-digits or abs(value) >= 1e6):
        return f"{value:.1e}"
    return f"{value:,.{digits}f}"
