"""Other libraries' models with data from which somebody deleted first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pytest
from conftest import Run, tree

FIXTURES = Path(__file__).parent / "fixtures" / "implicit"
ON = "--rating plays --rows-are-ids"


@pytest.fixture
def here(run: Run) -> pa.Table:
    """Models, all the data, the data of everybody but user 5, and of everything but four pairs."""
    for name in ("als.npz", "als_cholesky.npz", "bpr.npz", "data.csv"):
        shutil.copyfile(FIXTURES / name, name)
    table = pacsv.read_csv("data.csv")
    five = pc.equal(table["user_id"], 5)
    pacsv.write_csv(table.filter(pc.invert(five)), "no-five.csv")
    pacsv.write_csv(table.filter(five), "five.csv")
    Path("user.csv").write_text("user_id\n5\n")
    some = np.zeros(table.num_rows, bool)
    some[[3, 40, 90, 200]] = True
    pacsv.write_csv(table.filter(pa.array(~some)), "fewer.csv")
    pacsv.write_csv(table.filter(pa.array(some)), "pairs.csv")
    pacsv.write_csv(table.filter(pa.array(some)).select(["user_id", "item_id"]), "ids.csv")
    return table


def answered(answer: tuple[int, str, str], codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
    assert answer[0] in codes, answer
    found = json.loads(answer[1])
    assert isinstance(found, dict)
    return found


def factors(path: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as held:
        return held["user_factors"], held["item_factors"]


@pytest.mark.parametrize("model", ["als.npz", "als_cholesky.npz"])
@pytest.mark.parametrize("what", ["whole user", "pairs"])
def test_a_table_with_all_columns_gives_the_very_same(
    run: Run, here: pa.Table, model: str, what: str
) -> None:
    """By two routes: all the data, and what is left of them with the rest in FORGET."""
    forget, left, flag = (
        ("five.csv", "no-five.csv", "--whole-users")
        if what == "whole user"
        else ("pairs.csv", "fewer.csv", "--purged")
    )
    whole = "--whole-users" if what == "whole user" else ""
    one = run(
        f"forget {model} {forget} --data data.csv {ON} {whole} --method local --out one.npz --json"
    )
    two = run(
        f"forget {model} {forget} --data {left} {ON} {flag} --method local --out two.npz --json"
    )
    assert one[0] == two[0]
    first, second = (json.loads(each[1]) for each in (one, two))
    assert (first["interactions_missing"], second["interactions_missing"]) == (
        0,
        first["interactions_forgotten"],
    )
    assert first["interactions_forgotten"] == second["interactions_forgotten"]
    for a, b in zip(factors("one.npz"), factors("two.npz"), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("model", ["als.npz", "als_cholesky.npz"])
def test_whole_users_without_a_word_of_what_they_had(run: Run, here: pa.Table, model: str) -> None:
    found = answered(
        run(f"forget {model} user.csv --data no-five.csv {ON} --out new.npz --json"), (0, 8)
    )
    assert found["users_erased_whole"] == 1
    assert found["interactions_missing"] is None
    assert found["interactions_unmatched"] == 0
    assert not factors("new.npz")[0][5].any()
    assert found["class"] in ("A", "B", "C"), found["why"]
    assert (
        answered(run(f"verify new.npz --data no-five.csv {ON} --json"), (0,))["class"]
        == found["class"]
    )
    again = answered(run(f"inspect new.npz --data no-five.csv {ON} --json"))
    assert again["self_check"]["passed"]
    record = json.loads(Path("new.npz.erased.json").read_text())["erased"]
    assert [len(group["users"]) for group in record] == [1]
    code, _, err = run(f"forget new.npz user.csv --data no-five.csv {ON} --out newer.npz")
    assert code == 3
    assert "nothing to forget" in err


def test_what_cannot_be_is_said_and_nothing_written(run: Run, here: pa.Table) -> None:
    for line, code, words in (
        (
            f"forget als.npz user.csv --data no-five.csv {ON} --method local --out new.npz",
            2,
            "is not known",
        ),
        (f"forget als.npz ids.csv --data fewer.csv {ON} --out new.npz", 3, "--purged"),
        (f"forget als.npz user.csv --data fewer.csv {ON} --alpha 9 --out new.npz", 2, "alpha"),
    ):
        before = tree(Path.cwd())
        found = run(line)
        assert found[0] == code, found
        assert words in found[2], found
        assert tree(Path.cwd()) == before


def test_pairs_without_a_rating_are_known(run: Run, here: pa.Table) -> None:
    """Where every r is 1 the pairs say all; rows that match nothing are no hindrance."""
    on = "--rows-are-ids"
    Path("ids.csv").write_text(Path("ids.csv").read_text() + "77,3\n")
    answer = run(
        f"forget als.npz ids.csv --data fewer.csv {on} --purged --unchecked --method local --out "
        "new.npz --json"
    )
    found = answered(answer, (0, 8))
    assert (found["interactions_missing"], found["interactions_forgotten"]) == (4, 4)
    assert found["interactions_unmatched"] == 1
