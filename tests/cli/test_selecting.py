"""``forget`` with windows of time, --user, --strict, ids that are nearly there and rows under the
threshold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from conftest import Run, tree

FIXTURES = Path(__file__).parent.parent / "adapters" / "fixtures"
DAY = 86_400
START = 1_704_067_200  # 2024-01-01T00:00:00Z


@pytest.fixture
def timed(run: Run) -> pa.Table:
    """times.csv: two users and a half of 3 hours each day, ratings 1 to 5; ``model`` of the ratings
    from 3."""
    rng = np.random.default_rng(5)
    u, v = np.nonzero(rng.random((30, 20)) < 0.4)
    when = START + rng.integers(0, 100, u.size) * DAY // 10
    table = pa.table(
        {"user_id": u, "item_id": v + 100, "rating": rng.integers(1, 6, u.size), "timestamp": when}
    )
    pacsv.write_csv(table, "times.csv")
    command = "train times.csv --factors 3 --regularization 1 --missing-weight 0.1 --out model -q"
    assert run(f"{command} --threshold 3")[0] == 0
    return table


def answered(answer: tuple[int, str, str], code: int = 0) -> dict[str, Any]:
    assert answer[0] == code, answer
    found = json.loads(answer[1])
    assert isinstance(found, dict)
    return found


def rows(path: str) -> set[tuple[int, int]]:
    table = pacsv.read_csv(path)
    return set(zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))


def test_a_window_alone_and_of_the_users_in_forget(run: Run, timed: pa.Table) -> None:
    frame = timed.to_pylist()
    inside = [row for row in frame if START + 2 * DAY <= row["timestamp"] < START + 5 * DAY]
    window = "--since 2024-01-03 --until 2024-01-06T01:00:00+01:00"
    found = answered(
        run(f"forget model --data times.csv {window} --out new --remaining rest.csv --json")
    )
    assert found["interactions_forgotten"] == sum(row["rating"] >= 3 for row in inside)
    assert (found["unmatched"], found["near_matches"]) == ([], [])
    gone = {(row["user_id"], row["item_id"]) for row in inside}
    assert rows("rest.csv") == {(row["user_id"], row["item_id"]) for row in frame} - gone
    assert run("verify new --data rest.csv -q")[0] == 0
    Path("users.csv").write_text("user_id\n3\n4\n")
    window = f"--since {START + 2 * DAY} --until 2024-01-06"
    found = answered(
        run(f"forget model users.csv --data times.csv {window} --out of --remaining of.csv --json")
    )
    theirs = {(row["user_id"], row["item_id"]) for row in inside if row["user_id"] in (3, 4)}
    assert rows("of.csv") == {(row["user_id"], row["item_id"]) for row in frame} - theirs
    same = answered(
        run(f"forget model --user 3 --user 4 --data times.csv {window} --dry-run --json")
    )
    assert same["interactions_forgotten"] == found["interactions_forgotten"]


def test_times_in_another_column_and_columns_that_are_not_there(run: Run, timed: pa.Table) -> None:
    pacsv.write_csv(timed.rename_columns(["user_id", "item_id", "rating", "when"]), "when.csv")
    code, _, err = run("forget model --data when.csv --since 2024-01-03 --out new")
    assert code == 2
    assert "'timestamp'" in err
    assert "--timestamp-column" in err
    assert run(
        "forget model --data when.csv --since 2024-01-03 --timestamp-column when --out new -q"
    )[0] in (0, 8)
    for line, words in (
        ("forget model --data when.csv --out m", "nothing to forget is named"),
        ("forget model --data when.csv --user 3 --out m", "--user says whose"),
        ("forget model --data when.csv --since noon --out m", "expected ISO 8601"),
        (
            "forget model users.csv --data when.csv --timestamp-column when --out m",
            "is for --since and --until",
        ),
        (
            "forget model --whole-users --data times.csv --since 2024-01-03 --out m",
            "are about FORGET",
        ),
    ):
        Path("users.csv").write_text("user_id\n3\n")
        code, _, err = run(line)
        assert (code, words in err) == (2, True), err
    code, _, err = run("forget model --data times.csv --since 2030-01-01 --out m")
    assert code == 3
    assert "the data go from 2024-01-01" in err


def test_one_user_and_a_file_of_items(run: Run, timed: pa.Table) -> None:
    mine = [row for row in timed.to_pylist() if row["user_id"] == 3 and row["rating"] >= 3]
    items = [row["item_id"] for row in mine[:2]]
    Path("items.csv").write_text("item_id\n" + "".join(f"{item}\n" for item in [*items, 999]))
    found = answered(run("forget model items.csv --user 3 --data times.csv --out new --json"))
    assert found["interactions_forgotten"] == 2
    assert found["unmatched"] == [{"user_id": "3", "item_id": 999}]
    Path("pairs.csv").write_text(f"user_id,item_id\n3,{items[0]}\n")
    code, _, err = run("forget model pairs.csv --user 3 --data times.csv --out newer")
    assert code == 2
    assert "--user contradicts" in err


def test_strict_forgets_nothing_where_a_row_matches_nothing(run: Run, timed: pa.Table) -> None:
    mine = next(row for row in timed.to_pylist() if row["rating"] >= 3)
    Path("f.csv").write_text(f"user_id,item_id\n{mine['user_id']},{mine['item_id']}\n77777,100\n")
    before = tree(Path.cwd())
    error = answered(run("forget model f.csv --data times.csv --strict --out new --json"), 3)[
        "error"
    ]
    assert "--strict" in error["message"]
    assert error["details"]["rows"] == [{"user_id": 77777, "item_id": 100}]
    assert answered(run("forget model f.csv --data times.csv --strict --dry-run --json"), 3)[
        "error"
    ]
    assert tree(Path.cwd()) == before
    assert run("forget model f.csv --data times.csv --out new -q")[0] == 0


def test_rows_under_the_threshold_are_said_to_be(run: Run, timed: pa.Table) -> None:
    frame = timed.to_pylist()
    user = next(row["user_id"] for row in frame if row["rating"] < 3)
    mine = [row for row in frame if row["user_id"] == user]
    pacsv.write_csv(pa.Table.from_pylist(mine).select(["user_id", "item_id"]), "f.csv")
    low = sum(row["rating"] < 3 for row in mine)
    found = answered(
        run("forget model f.csv --data times.csv --strict --out new --remaining rest.csv --json")
    )
    assert (found["below_threshold"], found["interactions_unmatched"]) == (low, 0)
    assert user not in {u for u, _ in rows("rest.csv")}
    code, out, _ = run("forget model f.csv --data times.csv --out newer --remaining rest-2.csv")
    assert code == 0
    assert f"{low} row(s) of FORGET: in the data below the threshold" in " ".join(out.split())
    assert "matched nothing" not in out
    pacsv.write_csv(
        pa.Table.from_pylist([row for row in mine if row["rating"] < 3]).select(
            ["user_id", "item_id"]
        ),
        "low.csv",
    )
    code, _, err = run("forget model low.csv --data times.csv --out newest")
    assert code == 3
    assert "below the threshold, which no model saw" in err


def test_near_ids_are_shown_and_not_taken(run: Run) -> None:
    names = ["0155", "0166", "Ann", "bob ", "x1", "x2"]
    lines = [
        f"{name},{item}"
        for name in names
        for item in ("3.0", "tea", "jam", "rum")
        if (name, item) != ("x2", "tea")
    ]
    Path("names.csv").write_text("user_id,item_id\n" + "\n".join(lines) + "\n")
    assert (
        run("train names.csv --factors 2 --regularization 0.1 --missing-weight 0.1 --out m -q")[0]
        == 0
    )
    Path("f.csv").write_text("user_id,item_id\nx1,tea\n155,tea\nann,tea\n")
    found = answered(run("forget m f.csv --data names.csv --out new --json"))
    assert found["interactions_forgotten"] == 1
    assert [(each["given"], each["known"]) for each in found["near_matches"]] == [
        ("155", "0155"),
        ("ann", "Ann"),
    ]
    code, out, _ = run("forget m f.csv --data names.csv --out newer")
    assert "user_id '155' is not in the data, '0155' is" in " ".join(out.split())
    Path("g.csv").write_text("user_id\n155\n")
    code, _, err = run("forget m g.csv --data names.csv --out newest")
    assert code == 3
    assert "'0155' is, which is not taken for it" in err


def test_numbers_written_in_another_form(run: Run) -> None:
    Path("f.csv").write_text("user_id,item_id\n03,104\n")
    code, _, err = run("forget {w}/model f.csv --data {w}/data.csv --out m")
    assert code == 2
    assert "user_id '03' is not in the data, 3 is, which is not taken for it" in err


def test_all_of_it_for_files_of_other_libraries(run: Run) -> None:
    shutil.copyfile(FIXTURES / "implicit" / "als.npz", "als.npz")
    table = pacsv.read_csv(FIXTURES / "implicit" / "data.csv")
    when = pa.array(START + DAY * np.arange(table.num_rows) // 40)
    pacsv.write_csv(table.append_column("at", when), "data.csv")
    on = "--data data.csv --rating plays --rows-are-ids --method local"
    window = "--since 2024-01-03 --until 2024-01-03T12:00 --timestamp-column at"
    found = answered(run(f"forget als.npz {on} {window} --out new.npz --remaining rest.csv --json"))
    since, until = START + 2 * DAY, START + 2 * DAY + DAY // 2
    inside = [i for i, t in enumerate(when.to_pylist()) if since <= t < until]
    assert (
        found["interactions_forgotten"]
        == len(inside)
        == table.num_rows - pacsv.read_csv("rest.csv").num_rows
    )
    Path("f.csv").write_text("user_id,item_id\n1,4\n3,24\n")
    assert answered(run(f"forget als.npz f.csv {on} --strict --out newer.npz --json"), 3)["error"]
    assert not Path("newer.npz").exists()
    Path("items.csv").write_text("item_id\n4\n")
    found = answered(run(f"forget als.npz items.csv --user 1 {on} --out newer.npz --json"))
    assert found["interactions_forgotten"] == 1
