"""Generated sessions and baskets: the same from the same seed, and something to learn in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import Run

from alteraser.data.interactions import Interactions
from alteraser.data.sets import generate_baskets, generate_sessions
from alteraser.errors import InvalidInput


@pytest.mark.parametrize("make", [generate_sessions, generate_baskets])
def test_everything_follows_from_the_seed(make: Any) -> None:
    one, same, other = (
        make(3, users=30, items=60),
        make(3, users=30, items=60),
        make(4, users=30, items=60),
    )
    assert one.equals(same)
    assert not one.equals(other)
    assert np.all(np.diff(one["timestamp"].to_numpy()) >= 0)
    for wrong in ({"users": 1}, {"items": 3}, {"seed": -1}, {"users": 2.5}):
        with pytest.raises(InvalidInput, match="expected a whole number"):
            make(**wrong)


def test_sessions_are_numbered_in_their_order_and_items_come_again() -> None:
    table = generate_sessions(users=50, items=80)
    data = Interactions.read(
        table, session_column="session_id", timestamp_column="timestamp", position_column="position"
    )
    assert data.count > len(data)
    positions = table.sort_by([("session_id", "ascending"), ("position", "ascending")])[
        "position"
    ].to_numpy()
    starts = np.flatnonzero(positions == 1)
    assert np.array_equal(
        positions,
        np.arange(positions.size) - np.repeat(starts, np.diff([*starts, positions.size])) + 1,
    )


def test_there_is_something_to_learn(run: Run, tmp_path: Path) -> None:
    """Generated, split and measured from the command line: better than what everybody gets."""
    for kind, model, simple, column, figure in (
        ("sessions", "vs-knn", None, "session_id", "mrr@20"),
        ("baskets", "tifu-knn --neighbors 20", "top-frequency", "basket_id", "recall@10"),
    ):
        options = f"--{kind[:-1]}-column {column} --timestamp-column timestamp"
        assert run(f"data generate --kind {kind} --users 120 --items 200 --out {kind} -q")[0] == 0
        assert run(f"data split {kind} {options} --out {kind}-split -q")[0] == 0
        found = {}
        for name in (model, simple):
            if name is not None:
                word = name.split()[0]
                train, test = (f"{kind}-split/{part}.parquet" for part in ("train", "test"))
                assert run(f"train {train} --model {name} {options} --out {word} -q")[0] == 0
                found[name] = json.loads(
                    run(f"evaluate {word} --test {test} --data {train} --json")[1]
                )[figure]
        assert found[model] > 0.2
        assert simple is None or found[model] > 0.9 * found[simple]


@pytest.mark.parametrize("options", [{"session_column": "session_id"}, {"session_gap": "30m"}])
def test_the_last_session_of_everybody_is_held_out(
    options: dict[str, str], run: Run, tmp_path: Path
) -> None:
    table = generate_sessions(1, users=20, items=60)
    pq.write_table(table, tmp_path / "clicks.parquet")
    words = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in options.items())
    assert run(f"data split clicks.parquet {words} --timestamp-column timestamp --out s -q")[0] == 0
    parts = [pq.read_table(tmp_path / "s" / f"{name}.parquet") for name in ("train", "test")]
    assert sum(part.num_rows for part in parts) == table.num_rows
    whole = Interactions.read(table, **options, timestamp_column="timestamp").events
    train, test = (
        Interactions.read(part, **options, timestamp_column="timestamp") for part in parts
    )
    assert whole is not None
    assert test.events is not None
    groups = np.bincount(whole.owners)
    assert test.events.owners.size == np.count_nonzero(groups > 1)
    for user in test.users.ids.to_pylist():
        late = test.timestamp[test.user_rows == test.users.rows_of([user])[0]]  # type: ignore[index]
        early = train.timestamp[train.user_rows == train.users.rows_of([user])[0]]  # type: ignore[index]
        assert early.max() < late.min()


def test_where_everybody_is_one_session_the_latest_are_held_out(run: Run, tmp_path: Path) -> None:
    pq.write_table(generate_sessions(1, users=20, items=60), tmp_path / "clicks.parquet")
    options = "--user-column session_id --session-column session_id --timestamp-column timestamp"
    assert run(f"data split clicks.parquet {options} --test 0.25 --out s -q")[0] == 0
    parts = [pq.read_table(tmp_path / "s" / f"{name}.parquet") for name in ("train", "test")]
    counts = [len(part["session_id"].unique()) for part in parts]
    assert counts[1] == int(0.25 * sum(counts))
    ends = [
        part.group_by("session_id").aggregate([("timestamp", "max")])["timestamp_max"].to_numpy()
        for part in parts
    ]
    assert ends[0].max() <= ends[1].min()
    code, _, err = run(f"data split clicks.parquet {options} --test 0.001 --out t")
    assert (code, "too few sessions" in err) == (2, True)
