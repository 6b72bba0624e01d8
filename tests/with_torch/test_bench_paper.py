"""The paper's experiments, whole, on a tiny generated set: every group of methods, going on after a
stop, errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")

from conftest import Run, toy_interactions  # noqa: E402

from alteraser.bench.paper import run as harness  # noqa: E402
from alteraser.bench.paper.methods import METHODS, choose  # noqa: E402
from alteraser.bench.paper.run import PaperPlan, run_plan  # noqa: E402
from alteraser.bench.paper.store import CellKey, Store  # noqa: E402
from alteraser.cli.main import main  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two data sets, and hyper-parameters that keep them quick."""
    folder = tmp_path_factory.mktemp("sets")
    for seed, name in enumerate(("tiny", "tinier")):
        (folder / name).mkdir()
        data = toy_interactions(40 - 10 * seed, 30, 0.3, seed=seed)
        pq.write_table(data.to_table(), folder / name / "interactions.parquet")
    entry = {
        "factors": 4,
        "missing_weight": 0.2,
        "regularization": 0.8,
        "learning_rate": 0.03,
        "batch_users": 16,
        "max_epochs": 12,
        "patience": 3,
        "passes": 2,
    }
    document = {kind: {name: entry for name in ("tiny", "tinier")} for kind in ("enmf", "gmf")}
    (folder / "hyper.json").write_text(json.dumps(document))
    return folder


def arguments(sets: Path, out: Path, *more: str) -> list[str]:
    return [
        "bench",
        "paper",
        "--data",
        str(sets),
        "--runs",
        "1",
        "--users",
        "6",
        "--hyper-parameters",
        str(sets / "hyper.json"),
        "--out",
        str(out),
        "--quiet",
        *more,
    ]


def run_line(run: Run, *parts: str) -> tuple[int, str, str]:
    """(exit code, stdout, everything that was said)."""
    code, out, err = run(" ".join(parts))
    return code, out, out + err


def test_every_method_runs_and_every_number_has_its_cell(
    sets: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "out"
    code, printed, error = run_line(
        run, *arguments(sets, out, "--datasets", "tiny", "--methods", "all", "--json")
    )
    assert code == 0, error
    document = json.loads(printed)
    assert document["cells"] == len(METHODS)
    table = pq.read_table(out / "results.parquet")
    final = table.filter(table["pass"].is_null()).to_pylist()
    assert {row["method"] for row in final} == set(METHODS)
    for row in final:
        record = json.loads((out / "cells" / f"{row['cell']}.json").read_text())
        assert record["metrics"][row["metric"]] == pytest.approx(row["value"])
    values = {(row["method"], row["metric"]): row["value"] for row in final}
    assert values["retrain", "ratio_adamw"] == pytest.approx(1.0)
    assert ("original", "rbo@10") in values
    assert ("retrain", "rbo@10") not in values
    for name, method in METHODS.items():
        assert np.isfinite(values[name, "re_predict"])
        assert ((name, "ratio_adamw") in values) == method.timed
        assert 0 <= values[name, "ndcg@10"] <= 1
    assert values["converged", "residual"] < 1e-3
    assert values["original", "influence_left/retrain"] == pytest.approx(1.0)
    assert ("retrain", "influence_left/retrain") not in values
    # the originals are far from rest: what the deletion alone changes is undone by the local ways
    # and by no other
    anchored = {name: values[name, "anchored_residual"] for name in METHODS}
    assert (
        anchored["alteraser-local-20"]
        <= anchored["alteraser-local"]
        < 0.5 * anchored["alteraser-ah-newton"]
    )
    assert anchored["two-runs"] < 0.5 * anchored["alteraser-ah-newton"]
    text = (out / "report.md").read_text()
    for heading in (
        "Table 2",
        "Table 3",
        "Table 4",
        "Table 5",
        "Thoroughness",
        "How this was made",
    ):
        assert heading in text
    assert (out / "report.html").read_text().startswith("<!doctype html>")


def test_gmf_both_ways_of_stopping_and_other_scenarios(sets: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    more = ("--datasets", "tinier", "--methods", "alteraser-hf-newton,warm-start")
    assert main(arguments(sets, out, *more, "--model", "gmf")) == 0
    assert (
        main(
            arguments(
                sets,
                out,
                *more,
                "--stopping",
                "validation,test",
                "--scenario",
                "true,one,users-20%",
            )
        )
        == 0
    )
    cells = Store(out).records()
    assert {(c["dataset"], c["scenario"], c["stopping"]) for c in cells} == {
        ("tinier [gmf]", "noise", "validation"),
        *(("tinier", s, t) for s in ("true", "one", "users-20%") for t in ("validation", "test")),
    }
    forgotten = {c["scenario"]: c["data"]["forgotten"] for c in cells if c["stopping"] == "test"}
    assert forgotten["one"] == 1
    assert all(
        c["data"]["interactions"] - c["data"]["forgotten"] == c["data"]["remaining"] for c in cells
    )


def test_a_stopped_run_goes_on_where_it_was(
    sets: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    more = ("--datasets", "tinier", "--methods", "warm-start,alteraser-ah-newton")
    real, calls = harness.Setting.run, []

    def stopping(self, method, *, timed):  # type: ignore[no-untyped-def]
        calls.append(method.name)
        if method.name == "warm-start":
            raise KeyboardInterrupt
        return real(self, method, timed=timed)

    monkeypatch.setattr(harness.Setting, "run", stopping)
    code, _, error = run_line(run, *arguments(sets, out, *more, "--json"))
    assert code == 130
    assert "2 of 4 cells" in error
    assert not (out / "report.md").exists()
    monkeypatch.undo()
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert len(kept) == 2
    assert main(arguments(sets, out, *more)) == 0
    assert len(list(out.rglob("*.safetensors"))) == 4
    trained = {r["method"]: r["metrics"]["cpu_seconds"] for r in Store(out).records()}
    assert main(arguments(sets, out, *more)) == 0  # a second run finds everything there
    assert {r["method"]: r["metrics"]["cpu_seconds"] for r in Store(out).records()} == trained


def test_runs_side_by_side_are_not_timed(sets: Path, tmp_path: Path) -> None:
    from alteraser.bench.paper.hyperparameters import load_hyperparameters

    plan = PaperPlan(
        (sets / "tinier",),
        tuple(m.name for m in choose(["warm-start"])),
        runs=2,
        users=6,
        jobs=2,
        hyperparameters=load_hyperparameters(sets / "hyper.json"),
    )
    records = run_plan(plan, Store(tmp_path / "out"))
    assert {r["run"] for r in records} == {0, 1}
    assert not any(r["timed"] for r in records)
    assert not any("ratio_adamw" in r["metrics"] for r in records)


def test_the_same_seed_gives_the_same_cell(sets: Path, tmp_path: Path) -> None:
    more = ("--datasets", "tinier", "--methods", "alteraser-ah-newton", "--threads", "1")
    found = []
    for name in ("a", "b"):
        assert main(arguments(sets, tmp_path / name, *more)) == 0
        found.append(
            Store(tmp_path / name).factors(
                CellKey("tinier", "noise", "validation", 0, "alteraser-ah-newton")
            )
        )
    np.testing.assert_array_equal(found[0].users, found[1].users)


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (("--methods", "magic"), 2, "unknown method 'magic'"),
        (("--scenario", "users-%"), 2, "users-P%"),
        (("--scenario", "users-0%"), 2, "users-P%"),
        (("--stopping", "never"), 2, "validation, test"),
        (("--datasets", "huge"), 2, "there are tinier, tiny"),
        (("--model", "cnn"), 2, "enmf, gmf"),
        (("--data", "nowhere"), 3, "nowhere"),
        (("--hyper-parameters", "nowhere.json"), 3, "nowhere.json"),
    ],
)
def test_senseless_plans_are_refused_before_anything_runs(
    sets: Path, tmp_path: Path, run: Run, more: tuple[str, ...], code: int, says: str
) -> None:
    out = tmp_path / "out"
    found, _, error = run_line(run, *arguments(sets, out, "--json", *more))
    assert found == code
    assert says in error
    assert not out.exists()


def test_cells_of_another_experiment_are_not_mixed_in(sets: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    more = ("--datasets", "tinier", "--methods", "original")
    assert main(arguments(sets, out, *more)) == 0
    found, _, error = run_line(run, *arguments(sets, out, *more, "--users", "5", "--json"))
    assert found == 2
    assert "another experiment" in error
    assert "give another --out" in error


def test_tuning_writes_a_file_that_the_experiments_read(
    sets: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "tuned.json"
    out.write_text(json.dumps({"gmf": {"other": {"missing_weight": 0.1, "regularization": 1.0}}}))
    where = ("--data", str(sets / "tinier"), "--out", str(out))
    code, printed, _ = run_line(
        run, "bench", "tune-paper", *where, "--factors", "3", "--json", "--quiet"
    )
    assert code == 0
    trials = json.loads(printed)["trials"]["tinier"]
    written = json.loads(out.read_text())
    assert written["gmf"]["other"]["regularization"] == 1.0
    best = max((t for t in trials if t["stage"] == "objective"), key=lambda t: t["score"])
    entry = written["enmf"]["tinier"]
    assert entry["missing_weight"] == pytest.approx(best["setting"]["missing_weight"], abs=1e-3)
    assert entry["factors"] == 3
    out.write_text("{")
    assert (
        run_line(run, "bench", "tune-paper", "--data", str(sets / "tinier"), "--out", str(out))[0]
        == 2
    )
