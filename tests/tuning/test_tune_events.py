"""Tuning of sessions and baskets: what is held out, and the best of what each setting gives by
hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Run

import alteraser as ae
from alteraser.errors import InvalidInput
from alteraser.models.registry import KINDS
from alteraser.verbs.tune.cut import cut
from alteraser.verbs.tune.exact import grid_of, metric_of, tune_exact

SESSIONS = "--session-column session --timestamp-column timestamp"
BASKETS = "--basket-column session --timestamp-column timestamp"


def log(seed: int, users: int = 12, groups: int = 4, items: int = 15) -> pa.Table:
    """Users with ``groups`` sessions of two to six events each; an event happens every minute."""
    rng = np.random.default_rng(seed)
    owners = rng.permutation(np.repeat(np.arange(users), groups))
    lengths = rng.integers(2, 7, owners.size)
    u, s = np.repeat(owners, lengths), np.repeat(np.arange(owners.size), lengths)
    v = (3 * u + rng.integers(0, items // 2, u.size)) % items
    return pa.table({"user_id": u, "item_id": v, "session": s, "timestamp": np.arange(u.size) * 60})


@pytest.mark.parametrize(
    ("line", "options", "metric"),
    [
        ("--model vs-knn --neighbors 1,20 --weighting same,linear", SESSIONS, "ndcg@20"),
        (
            "--model slist --regularization 0.1,50 --alpha 0.2 --predict-decay 1",
            SESSIONS,
            "ndcg@20",
        ),
        ("--model tifu-knn --neighbors 0,4 --alpha 0.2,0.9 --group-size 2", BASKETS, "ndcg@10"),
        ("--model top-frequency", BASKETS, "ndcg@10"),
    ],
)
def test_every_figure_is_that_of_split_train_and_evaluate(
    run: Run, tmp_path: Path, line: str, options: str, metric: str
) -> None:
    """Three other commands give the same numbers, setting by setting; the best is chosen."""
    pq.write_table(log(1), tmp_path / "log.parquet")
    code, out, err = run(f"tune log.parquet {line} {options} --out tuned --json")
    assert code == 0, err
    document = json.loads(out)
    model = document["kind"]
    assert run(f"data split log.parquet {options} --out cut -q")[0] == 0
    for number, trial in enumerate(document["trials"]):
        settings = " ".join(
            f"--{name.replace('_', '-')} {value}"
            for name, value in trial["settings"].items()
            if value is not None
        )
        folder = f"m{number}"
        code, _, err = run(
            f"train cut/train.parquet --model {model} {settings} {options} --out {folder} -q"
        )
        assert code == 0, err
        code, out, err = run(
            f"evaluate {folder} --test cut/test.parquet --data cut/train.parquet --json"
        )
        assert code == 0, err
        found = json.loads(out)
        assert trial["metrics"] == {name: found[name] for name in trial["metrics"]}
    figures = [trial["metrics"][metric] for trial in document["trials"]]
    assert document["metric"] == metric
    assert document["chosen"]["metrics"][metric] == max(figures)
    assert figures == sorted(figures, reverse=True)
    if model != "top-frequency":
        assert len(set(figures)) > 1, "settings that differ in nothing choose nothing"
    assert json.loads((tmp_path / "tuned" / "tune.json").read_text())["metric"] == metric


@pytest.mark.parametrize("options", [{"session_column": "session"}, {"basket_column": "session"}])
def test_the_last_group_of_everybody_is_held_out(options: dict[str, Any]) -> None:
    table = log(2)
    data = ae.Interactions.read(table, **options, timestamp_column="timestamp")
    train, held = cut(data, 0.2, seed=0)
    rows = table.to_pylist()
    last = {row["user_id"]: row["session"] for row in rows}
    wanted = [row for row in rows if row["session"] == last[row["user_id"]]]
    assert held.events is not None
    assert train.events is not None
    assert sorted(held.users.ids_of(held.events.users).to_pylist()) == sorted(
        row["user_id"] for row in wanted
    )
    assert set(held.events.time.tolist()) == {row["timestamp"] for row in wanted}  # type: ignore[union-attr]
    assert len(train.events) + len(held.events) == len(rows)


def test_where_everybody_is_one_session_the_latest_are_held_out() -> None:
    data = ae.Interactions.read(
        log(3, users=20, groups=1), session_column="user_id", timestamp_column="timestamp"
    )
    train, held = cut(data, 0.25, seed=0)
    assert held.statistics().users == 5
    assert train.timestamp.max() < held.timestamp.min()  # type: ignore[union-attr]


def test_without_times_a_hash_of_seed_and_user_draws_them() -> None:
    """So neither the order of rows nor who else is there matters, beside how many are drawn."""
    table = log(4, users=40, groups=1)

    def drawn(rows: pa.Table, seed: int) -> set[int]:
        _, held = cut(ae.Interactions.read(rows, session_column="user_id"), 0.25, seed=seed)
        return set(held.users.ids_of(held.user_rows).to_pylist())

    first = drawn(table, 0)
    assert len(first) == 10
    assert drawn(table.take(np.argsort(-table["user_id"].to_numpy(), kind="stable")), 0) == first
    assert drawn(table, 1) != first
    someone = min(first)
    fewer = table.filter(pa.array(table["user_id"].to_numpy() != someone))
    assert first - {someone} <= drawn(fewer, 0) | {someone}


def test_baskets_that_a_gap_cuts(run: Run, tmp_path: Path) -> None:
    table = log(5)
    day = (table["session"].to_numpy() * 86_400).astype(np.int64)
    table = table.drop_columns(["session", "timestamp"]).append_column("day", pa.array(day))
    pq.write_table(table, tmp_path / "log.parquet")
    line = "tune log.parquet --model tifu-knn --timestamp-column day --session-gap 0 --json"
    code, out, err = run(f"{line} --neighbors 2 --group-size 2 --alpha 0.1,0.9")
    assert code == 0, err
    assert json.loads(out)["chosen"]["metrics"]["users"] == 12


@pytest.mark.parametrize("name", ["vs-knn", "slist", "tifu-knn"])
def test_the_grid_of_a_kind_runs(name: str) -> None:
    kind = KINDS[name]
    column = "basket_column" if kind.protocol == "baskets" else "session_column"
    data = ae.Interactions.read(log(6), **{column: "session"}, timestamp_column="timestamp")  # type: ignore[arg-type]
    points = grid_of(kind, {})
    tuned = tune_exact(points, data)
    assert {trial.settings for trial in tuned.trials} == set(points)
    metric = metric_of(kind)
    assert tuned.chosen.metrics[metric] == max(t.metrics[metric] for t in tuned.trials)


def test_what_is_the_case_is_said(run: Run, tmp_path: Path) -> None:
    table = log(7, users=9, groups=1)
    pq.write_table(table, tmp_path / "alone.parquet")
    pq.write_table(
        table.append_column("row", pa.array(np.arange(len(table)))), tmp_path / "rows.parquet"
    )
    for line, message in (
        ("alone.parquet --model vs-knn", "give --session-column or --session-gap"),
        ("alone.parquet --model tifu-knn", "give --basket-column or --session-gap"),
        (f"alone.parquet --model tifu-knn {BASKETS}", "nobody has two baskets"),
        (f"alone.parquet --model top-frequency {BASKETS}", "nobody has two baskets"),
        (f"alone.parquet --model vs-knn {SESSIONS} --validation 0.01", "too few sessions"),
        (f"alone.parquet --model vs-knn {SESSIONS} --validation 1.5", "--validation 1.5"),
        ("rows.parquet --model vs-knn --session-column row", "has two events"),
        (f"alone.parquet --model item-knn {SESSIONS}", "--model item-knn is of pairs"),
        (f"alone.parquet {SESSIONS}", "--model enmf is of pairs"),
        (f"alone.parquet --model vs-knn --group-size 2 {SESSIONS}", "--group-size means nothing"),
        (f"alone.parquet --model vs-knn --sample 5 --neighbors 3 {SESSIONS}", "nothing to choose"),
        (f"alone.parquet --model slist --alpha 0.1,7 {SESSIONS}", "--alpha: Input should be less"),
        (f"alone.parquet --model gru4rec {SESSIONS}", "train with each setting on the rest"),
    ):
        code, _, err = run(f"tune {line}")
        assert (code, message in err) == (2, True), (line, err)


def test_python_is_told_that_pairs_have_no_sessions() -> None:
    data = ae.Interactions.from_pairs([(u, v) for u in range(5) for v in range(4)])
    with pytest.raises(InvalidInput, match="vs-knn needs to know"):
        tune_exact(grid_of(KINDS["vs-knn"], {}), data)
