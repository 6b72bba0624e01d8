"""What a request means to a model of kind linear, row by row: FORGET of another relation, whose
attributes, ids under other names, and what is said beforehand.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Run

FILES = (
    "--user-features people.csv --item-features things.csv:area,node=category "
    "--relation friends=friends.csv:user,user --relation tags=tags.csv --relation said=said.csv "
    "--relation kg=kg.csv --entities item=things.csv:node"
)
FRIENDS = [(1, 2), (1, 3), (2, 1), (4, 4), (5, 1)]
TAGS = [(0, 3), (1, 3), (3, 0), (3, 3), (2, 4)]
"""Items and tags, both of them numbers"""
SAID = [(0, 3), (0, 4), (1, 3), (3, 0)]
GRAPH = [
    (100, "by", 0),
    (101, "by", 0),
    (102, "by", 1),
    (100, "in", 0),
    (0, "in", 1),
    (103, "by", 100),
]
"""Nodes 100 to 107 are the items 0 to 7; 0 and 1 are nodes, and no items"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources whose ids are numbers that mean other things elsewhere; and a model of them."""
    from alteraser.cli.main import main

    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    some = [(u, i) for u in range(12) for i in range(8) if (u + i) % 3 == 0 or rng.random() < 0.1]
    write(folder, "data", "user,thing", some)
    write(folder, "people", "user,age,born", [(u, u * 1.5, f"19{60 + u}-01-02") for u in range(14)])
    things = [(i, "xy"[i % 2], 100 + i) for i in range(8)]
    write(folder, "things", "thing,area,node", [*things, (8, "z", ""), (9, "x", "")])
    write(folder, "friends", "who,whom", FRIENDS)
    write(folder, "tags", "item_id,tag", TAGS)
    write(folder, "said", "user_id,tag", SAID)
    write(folder, "kg", "head,relation,tail", GRAPH)
    columns = FILES.replace("people.csv", "people.csv:age,born=category")
    line = f"train data.csv --user-column user --item-column thing {columns} --factors 2 --out m -q"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*line.split(), "--threads", "1"]) == 0
    return folder


@pytest.fixture(autouse=True)
def here(world: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Behind `run`, which goes to a folder of its own."""
    monkeypatch.chdir(world)
    return world


def write(folder: Path, name: str, header: str, rows: Any) -> None:
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def would(run: Run, request_: str, code: int = 0) -> dict[str, Any]:
    found, out, err = run(f"forget m {request_} --data data.csv {FILES} --dry-run --json")
    assert found == code, err + out
    return json.loads(out)  # type: ignore[no-any-return]


ROWS = {
    "friends: one pair": ("friends", "user_id,friend", [(1, 3)], {"friends": 1}),
    "friends: under the names of the file": ("friends", "who,whom", [(1, 3)], {"friends": 1}),
    "friends: with a time": ("friends", "timestamp,who,whom", [(9, 1, 3)], {"friends": 1}),
    "friends: all of a head": ("friends", "head", [(1,)], {"friends": 2}),
    "friends: all of a tail": ("friends", "tail", [(1,)], {"friends": 2}),
    "tags: one pair": ("tags", "item_id,tag", [(3, 3)], {"tags": 1}),
    "tags: the other way round": ("tags", "tag,item_id", [(3, 1)], {"tags": 1}),
    "tags: all of an item": ("tags", "item_id", [(3,)], {"tags": 2}),
    "tags: all of a tag": ("tags", "tag", [(3,)], {"tags": 3}),
    "said: one pair": ("said", "user_id,tag", [(0, 3)], {"said": 1}),
    "said: pairs, one of which is none": ("said", "user_id,tag", [(0, 3), (1, 4)], {"said": 1}),
    "kg: one triple": ("kg", "head,relation,tail", [(100, "by", 0)], {"kg/by/item-kg": 1}),
    "kg: a node that is also the number of an item": (
        "kg",
        "head,relation,tail",
        [(0, "in", 1)],
        {"kg/in/kg-kg": 1},
    ),
    "kg: between items": ("kg", "head,relation,tail", [(103, "by", 100)], {"kg/by/item-item": 1}),
    "kg: of every sort": ("kg", "head,tail", [(100, 0)], {"kg/by/item-kg": 1, "kg/in/item-kg": 1}),
    "kg: all of a head": ("kg", "head", [(100,)], {"kg/by/item-kg": 1, "kg/in/item-kg": 1}),
    "kg: all of a tail": ("kg", "tail", [(0,)], {"kg/by/item-kg": 2, "kg/in/item-kg": 1}),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_row_of_forget_is_that_row_and_no_other(here: Path, run: Run, case: str) -> None:
    relation, header, rows, expected = ROWS[case]
    write(here, "gone", header, rows)
    found = would(run, f"gone.csv --from {relation}")
    assert found["rows_forgotten"] == expected
    none = [{"head": "1", "tail": "4"}] if "which is none" in case else []
    assert found["unmatched"] == none


NOTHING = {
    "friends: no such pair": ("friends", "user_id,friend", (3, 1)),
    "kg: of another sort": ("kg", "head,relation,tail", (101, "in", 0)),
    "kg: by the number of an item": ("kg", "head,relation,tail", (1, "by", 0)),
}


@pytest.mark.parametrize("case", NOTHING)
def test_a_row_that_is_none_takes_nothing(here: Path, run: Run, case: str) -> None:
    relation, header, row = NOTHING[case]
    write(here, "gone", header, [row])
    assert would(run, f"gone.csv --from {relation}", 3)["error"]["kind"] == "not_found"


WRONG = {
    "user_id --from friends": "--from friends needs the two ids of every row",
    "other --from tags": "--from tags needs the two ids of every row",
    "head,relation --from kg": None,
    "relation --from kg": "--from kg needs head, relation and tail",
    "user_id --from nothing": "there are data, friends, tags, said, kg",
    "user_id,tag --from said --user 1": "--user contradicts a FORGET with a user column",
    "thing --attributes user:age": "has no column 'user'",
    "user --attributes user:age --since 2020-01-01": "has no times",
    "user --attributes user:age --from friends": "is no row of a relation",
    "user --attributes user:age --attributes item:area": "these are ids of one of them",
}


@pytest.mark.parametrize("line", WRONG)
def test_what_is_not_said_is_asked_for(here: Path, run: Run, line: str) -> None:
    header, _, rest = line.partition(" ")
    write(here, "gone", header, [[1] * len(header.split(","))])
    message = WRONG[line]
    if message is None:  # a head, and nothing else that counts
        assert would(run, f"gone.csv {rest}", 3)
        return
    code, _, err = run(f"forget m gone.csv {rest} --data data.csv {FILES} --dry-run")
    assert code == 2, err
    assert message in err


@pytest.mark.parametrize(
    "beside", ["--item-features things.csv:area", "--relation friends=friends.csv:user,user", ""]
)
@pytest.mark.parametrize("command", ["train nobody.csv --model linear --out x", "tune nobody.csv"])
def test_data_without_rows_are_what_is_wrong(
    here: Path, run: Run, command: str, beside: str
) -> None:
    write(here, "nobody", "user,thing", [])
    code, _, err = run(f"{command} --user-column user --item-column thing {beside}")
    assert code == 2
    said = "nobody.csv holds no interactions" if beside or "train" in command else "no interactions"
    assert said in err


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("--entity area=x --since 2020-01-01", "and a window takes what is in it of everybody"),
        ("--entity user=3 --older-than 3d", "and a window takes what is in it of everybody"),
        ("--entity area=x --user 3", "an entity goes everywhere, of everybody"),
        ("gone.csv --from tags --entity area=x --user 3", "an entity goes everywhere"),
    ],
)
def test_what_would_take_more_than_it_reads_is_refused(
    here: Path, run: Run, asked: str, message: str
) -> None:
    write(here, "gone", "item_id", [(3,)])
    code, _, err = run(f"forget m {asked} --data data.csv {FILES} --dry-run")
    assert code == 2, err
    assert message in err


def test_user_says_whose_rows_go_of_another_relation(here: Path, run: Run) -> None:
    write(here, "gone", "tag", [(3,)])
    assert would(run, "gone.csv --from said --user 0")["rows_forgotten"] == {"said": 1}


def test_attributes_are_of_those_whom_forget_names(here: Path, run: Run) -> None:
    write(here, "gone", "thing", [(3,), (4,)])
    assert would(run, "gone.csv --attributes item:area")["values_forgotten"] == {"item:area": 2}
    assert would(run, "--attributes item:area")["values_forgotten"] == {"item:area": 8}
    assert would(run, "--attributes user:age --user 3")["values_forgotten"] == {"user:age": 1}
    code, _, err = run(
        f"forget m --attributes item:area --user 3 --data data.csv {FILES} --dry-run"
    )
    assert code == 2
    assert "give FORGET, a table with item_id" in err


def test_ids_are_in_the_columns_that_training_named(here: Path, run: Run) -> None:
    """Lists and comparisons read tables of features as training did."""
    lines = (
        "recommend m --user 3 --item-features things.csv -k 20",
        "recommend m --user 13 --user-features people.csv",
        "recommend m --features people.csv -k 1",
        "compare m m --data data.csv --user-features people.csv --item-features things.csv",
    )
    for line in lines:
        code, out, err = run(f"{line} --json --threads 1")
        assert code == 0, err
        if "things.csv -k" in line:
            (found,) = json.loads(out)["recommendations"]
            # 9 has a word that the model knows, 8 has none
            assert {x["item_id"] for x in found["items"]} == {*range(8), 9}


def test_a_date_is_a_word_where_that_is_said(run: Run) -> None:
    born = [date(1960 + u, 1, 2) for u in range(12)]
    pq.write_table(pa.table({"user": list(range(12)), "born": born}), "born.parquet")
    line = "train data.csv --user-column user --item-column thing --factors 2 --out d --threads 1"
    code, _, err = run(f"{line} --user-features born.parquet")
    assert code == 2
    assert "born.parquet, row 1, column 'born': date32[day] is no feature" in err
    assert run(f"{line} --user-features born.parquet:born=category -q")[0] == 0


def test_words_may_be_asked_for_of_whom_none_are_left(here: Path, run: Run) -> None:
    line = f"forget m --attributes item:area --data data.csv {FILES} --out n --remaining left"
    assert run(f"{line} --threads 1 -q")[0] == 0
    code, _, err = run("recommend n --user 3 --item-features things.csv --threads 1")
    assert code == 0, err


def test_what_bore_on_nothing_was_forgotten(here: Path, run: Run) -> None:
    """Where nothing moves, the model from before is at the optimum as well, as `forget` says, so
    `verify`."""
    write(here, "far", "head,relation,tail", [*GRAPH, (900, "near", 901)])
    files = FILES.replace("kg.csv", "far.csv")
    columns = files.replace("people.csv", "people.csv:age")
    line = f"train data.csv --user-column user --item-column thing {columns} --factors 2 --out e"
    assert run(f"{line} --threads 1 -q")[0] == 0
    line = f"forget e --entity kg=900 --data data.csv {files} --out f --remaining g --json"
    code, out, err = run(f"{line} --threads 1")
    assert code == 0, err
    assert json.loads(out)["class"] == "C"
    line = "verify f --data g/data.parquet --setup g/setup.toml --before e --json --threads 1"
    code, out, err = run(line)
    assert code == 0, out


def test_a_missing_number_is_no_word_and_no_context(here: Path, run: Run) -> None:
    """NaN, as other libraries write a number that is missing in a column of codes."""
    shelf = [float("nan") if i == 2 else float(i % 2) for i in range(8)]
    pq.write_table(pa.table({"thing": list(range(8)), "shelf": shelf}), "shelf.parquet")
    data = [[*map(int, x.split(","))] for x in (here / "data.csv").read_text().split()[1:]]
    app = [float("nan") if i == 3 else float(u % 2) for u, i in data]
    columns = {"user": [x[0] for x in data], "thing": [x[1] for x in data], "app": app}
    pq.write_table(pa.table(columns), "apps.parquet")
    line = "train apps.parquet --user-column user --item-column thing --context app --factors 2"
    code, out, err = run(
        f"{line} --item-features shelf.parquet:shelf=category --out w --json --threads 1"
    )
    assert code == 0, err
    blocks = json.loads((here / "w" / "model.json").read_text())["blocks"]
    assert [x["ids"] for x in blocks["item"][1:]] == [["0", "1"]]
    assert [x["ids"] for x in blocks["user"][1:]] == [["0", "1"]]
    assert any("app: " in note and "without a value" in note for note in json.loads(out)["notes"])
