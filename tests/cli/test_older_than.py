"""Retention is forgetting: everything longer ago than a span goes, from every kind of model."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from conftest import Run

import alteraser as ae
from alteraser.data.selection import Age, Window
from alteraser.errors import InvalidInput

NEWEST = datetime(2021, 3, 1, 12, tzinfo=UTC)
KINDS = {
    "enmf": "--factors 2 --regularization 0.5 --missing-weight 0.3",
    "popularity": "--half-life 30",
    "cooccurrence": "",
    "item-knn": "",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Of 100 days, and a user of the last day alone."""
    rng = np.random.default_rng(3)
    lines = ["user_id,item_id,at"]
    for u in range(30):
        for v in sorted(rng.choice(12, 6, replace=False).tolist()):
            lines.append(
                f"{u},{v},{(NEWEST - timedelta(hours=int(rng.integers(1, 2400)))).isoformat()}"
            )
    lines.append(f"99,3,{NEWEST.isoformat()}")
    (tmp_path / "data.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "data.csv"


def older(path: Path, cut: datetime) -> int:
    rows = [line.split(",")[2] for line in path.read_text().splitlines()[1:]]
    return sum(datetime.fromisoformat(at) < cut for at in rows)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_older_goes(kind: str, run: Run, data: Path) -> None:
    line = f"train data.csv --model {kind} {KINDS[kind]} --timestamp-column at --out old"
    assert run(line)[0] == 0
    code, out, err = run(
        "forget old --older-than 50d --data data.csv --out new --remaining rest.csv --json"
    )
    assert code == 0, err
    gone = older(data, NEWEST - timedelta(days=50))
    assert json.loads(out)["interactions_forgotten"] == gone > 20
    assert older(data.with_name("rest.csv"), NEWEST - timedelta(days=50)) == 0
    code, out, err = run("verify new --data rest.csv --json")
    assert json.loads(out)["class"] in ("A", "B", "C"), err
    if kind != "enmf":
        assert run(f"{line.replace('data.csv', 'rest.csv')}-rest")[0] == 0
        code, out, _ = run("compare new old-rest --data rest.csv --json")
        assert json.loads(out)["score_distance"] == 0.0
        lists = [run(f"recommend {m} --all --data rest.csv --json")[1] for m in ("new", "old-rest")]
        mine, fresh = (json.loads(text)["recommendations"] for text in lists)
        assert mine == fresh


def test_counted_from_another_day(run: Run, data: Path) -> None:
    run("train data.csv --model popularity --out old")
    for as_of, cut in (("2021-02-01", datetime(2021, 1, 22, tzinfo=UTC)), ("now", None)):
        code, out, err = run(
            f"forget old --older-than 10d --as-of {as_of} --timestamp-column at --data data.csv "
            "--dry-run --json"
        )
        assert code == 0, err
        wanted = older(data, datetime.now(UTC) if cut is None else cut)
        assert json.loads(out)["interactions_forgotten"] == wanted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--older-than soon", "--older-than 'soon': expected a span such as 365d"),
        (
            "--older-than 3d --until 2020-01-01",
            "--older-than says where the window ends: leave --until out",
        ),
        (
            "--as-of 2020-01-01 --since 2020-01-01",
            "--as-of says what --older-than is counted back from: give both",
        ),
        ("--older-than 3d --as-of lately", "--as-of 'lately': expected ISO 8601"),
        (
            "--older-than 50d --since 2021-02-01",
            "is not before --older-than 50d, which is 2021-01-10T12:00:00+00:00",
        ),
    ],
)
@pytest.mark.usefixtures("data")
def test_what_is_wrong_is_said(options: str, message: str, run: Run) -> None:
    run("train data.csv --model popularity --timestamp-column at --out old")
    code, _, err = run(f"forget old {options} --data data.csv --out new")
    assert (code, message in err) == (2, True), err


def test_nothing_is_that_old(run: Run, data: Path) -> None:
    run("train data.csv --model popularity --timestamp-column at --out old")
    code, _, err = run("forget old --older-than 10000d --data data.csv --out new")
    assert code == 3
    assert "nothing to forget: no interaction lies in the window" in err


@pytest.mark.parametrize(("span", "hours"), [("36h", 36), ("2", 48), ("2d", 48), ("3w", 504)])
def test_spans(span: str, hours: int) -> None:
    times = np.array([0, 10_000_000])
    assert Window(until=Age(span)).settled(times) == Window(until=10_000_000 - hours * 3600)
    with pytest.raises(InvalidInput):
        Age("-3d")


def test_the_same_from_python(data: Path) -> None:
    read = ae.Interactions.read(data, timestamp_column="at")
    model = ae.Cooccurrence().fit(read)
    erasure = ae.forget(model, ae.Selection(window=Window(until=Age("50d"))), data=read)
    assert len(erasure.removed) == older(data, NEWEST - timedelta(days=50))
