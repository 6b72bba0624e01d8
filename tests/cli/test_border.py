"""The border of the data, as a user meets it: text laid out in other ways goes through all commands
alike."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Run = Callable[..., tuple[int, str, str]]

PLAIN = (
    "1,11,4.5,2005-09-06",
    "1,12,3.5,2005-09-07",
    "2,11,5.0,2005-09-08",
    "2,13,1.5,2005-09-09",
    "3,12,4.0,2006-01-01",
    "3,13,2.0,2006-01-02",
    "4,11,3.0,2006-01-03",
    "4,12,5.0,2006-01-04",
)


def blocks(rows: list[list[str]]) -> str:
    items = sorted({row[1] for row in rows})
    lines = [
        [f"{item}:", *(",".join([r[0], str(int(float(r[2]))), r[3]]) for r in rows if r[1] == item)]
        for item in items
    ]
    return "\n".join(line for block in lines for line in block) + "\n"


def lists(rows: list[list[str]]) -> str:
    users = sorted({row[0] for row in rows})
    return "".join(
        " ".join([user, *(row[1] for row in rows if row[0] == user)]) + "\n" for user in users
    )


LAYOUTS: dict[str, tuple[Callable[[list[list[str]]], str], list[str]]] = {
    "no header": (
        lambda rows: "\n".join(map(",".join, rows)) + "\n",
        ["--columns", "user_id,item_id,rating,when"],
    ),
    "check-ins": (
        lambda rows: (
            "\n".join("\t".join([r[0], r[3] + "T23:55:27Z", "30.2", "-97.7", r[1]]) for r in rows)
            + "\n"
        ),
        ["--columns", "user_id,when,lat,lon,item_id", "--separator", "tab"],
    ),
    "commas": (
        lambda rows: (
            "\n".join(";".join([r[0], r[1], r[2].replace(".", ","), r[3]]) for r in rows) + "\n"
        ),
        [
            "--columns",
            "user_id,item_id,rating,when",
            "--separator",
            ";",
            "--decimal",
            ",",
            "--confidence",
            "rating",
        ],
    ),
    "netflix": (blocks, ["--layout", "netflix"]),
    "adjacency": (lists, ["--layout", "adjacency"]),
    "sep": (lambda rows: "sep=;\nuser_id;item_id\n" + "\n".join(";".join(r[:2]) for r in rows), []),
}


@pytest.mark.parametrize(
    ("layout", "rest"),
    [(layout, "rest.csv") for layout in LAYOUTS]
    + [("commas", f"rest.{kind}") for kind in ("csv.gz", "tsv.zst", "parquet", "jsonl")]
    + [("netflix", "rest.tsv.zst"), ("netflix", "rest.parquet")],
)
def test_one_set_of_options_reads_the_data_and_all_that_is_made_of_them(
    run: Run, layout: str, rest: str
) -> None:
    write, options = LAYOUTS[layout]
    rows = [row.split(",") for row in PLAIN]
    Path("data.txt").write_text(write(rows), encoding="utf-8")
    said = " ".join(options)
    code, out, err = run(f"data stats data.txt {said} --json".replace("--confidence rating", ""))
    assert code == 0, err
    assert json.loads(out)["interactions"] == 8
    assert run(f"train data.txt {said} --factors 2 --regularization 0.5 --out model -q")[0] == 0
    Path("gone.csv").write_text("user_id,item_id\n1,11\n3,12\n", encoding="utf-8")
    code, out, err = run(
        f"forget model gone.csv --data data.txt --out new --remaining {rest} --json"
    )
    assert code in (0, 8), err  # tiny data may not reach class C
    document = json.loads(out)
    assert (document["interactions_forgotten"], document["interactions_unmatched"]) == (2, 0)
    code, out, err = run(f"verify new --data {rest} --json")
    assert code in (0, 8), err
    assert "data_digest" in json.loads(out)
    Path("same.txt").write_text(
        write([row for row in rows if row[:2] in (["1", "11"], ["3", "12"])]), encoding="utf-8"
    )
    code, out, err = run("forget model same.txt --data data.txt --dry-run --json")
    assert (code, json.loads(out).get("interactions_forgotten")) == (0, 2), err


@pytest.mark.parametrize("kind", ["enmf", "popularity"])
def test_every_kind_takes_the_options(run: Run, kind: str) -> None:
    Path("d.csv").write_text("\n".join(PLAIN), encoding="utf-8")
    small = "--factors 2" if kind == "enmf" else f"--model {kind}"
    code, _, err = run(
        f"train d.csv --columns user_id,item_id,rating,when --separator , {small} --out m -q"
    )
    assert code == 0, err


def test_a_file_without_a_header_says_what_to_type(run: Run) -> None:
    Path("d.csv").write_text("\n".join(PLAIN), encoding="utf-8")
    code, _, err = run("data stats d.csv")
    assert code == 2
    assert "--columns user_id,item_id,rating,timestamp" in err
    code, out, _ = run(
        "data stats d.csv --columns user_id,item_id,rating,timestamp --timestamp-column timestamp "
        "--json"
    )
    assert code == 0
    assert json.loads(out)["timestamps"] == {"first": 1125964800, "last": 1136332800}


def test_options_that_contradict_are_named_as_they_are_typed(run: Run) -> None:
    Path("d.csv").write_text("\n".join(PLAIN), encoding="utf-8")
    for options, said in (
        ("--columns user_id,rating", "--columns"),
        ("--separator abc", "--separator: 'abc' is not one character"),
        ("--decimal x", "--decimal"),
        ("--layout square", "--layout"),
    ):
        code, _, err = run(f"data stats d.csv {options}")
        assert (code, said in err) == (2, True), err


def test_a_split_of_data_with_missing_ratings(run: Run) -> None:
    Path("d.csv").write_text(
        "user_id,item_id,rating\n"
        + "".join(f"1,{i},{'' if i % 4 == 0 else i}\n" for i in range(40))
    )
    assert run("data split d.csv --threshold 10 --out s -q")[0] == 0
    found = [
        pq.read_table(f"s/{name}.parquet")["item_id"].to_pylist() for name in ("train", "test")
    ]
    assert sorted(found[0] + found[1]) == [i for i in range(10, 40) if i % 4]
    code, _, err = run("data stats s")
    assert (code, "look like a split" in err) == (2, True)


# ---------------------------------------------------------------- evaluate


@pytest.fixture
def cut(run: Run) -> None:
    rng = np.random.default_rng(0)
    with open("all.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "item_id"])
        writer.writerows((u, v) for u in range(30) for v in range(20) if rng.random() < 0.5)
    assert run("data split all.csv --test 0.3 --out s -q")[0] == 0
    assert run("train s/train.parquet --factors 3 --out honest -q")[0] == 0
    assert run("train all.csv --factors 3 --out cheat -q")[0] == 0


@pytest.mark.usefixtures("cut")
def test_a_model_that_has_seen_the_test_is_said_to(run: Run) -> None:
    code, out, err = run("evaluate honest --test s/test.parquet --data s/train.parquet --json -q")
    assert (code, err, json.loads(out)["warnings"], json.loads(out)["trained_on"]) == (
        0,
        "",
        [],
        "data",
    )
    code, out, err = run("evaluate cheat --test s/test.parquet --data s/train.parquet --json -q")
    assert (code, json.loads(out)["trained_on"]) == (0, "data and test")
    assert "warning: the model was trained on the test interactions too" in err
    assert json.loads(out)["warnings"][0] in err


@pytest.mark.usefixtures("cut")
def test_what_an_evaluation_leaves_out_is_counted_and_said(run: Run) -> None:
    test, train = pq.read_table("s/test.parquet"), pq.read_table("s/train.parquet")
    cold = pa.table({"user_id": [900, 900, 901, 3], "item_id": [1, 2, 3, 999]})
    pq.write_table(pa.concat_tables([test, train.slice(0, 5), cold]), "more.parquet")
    code, out, err = run("evaluate honest --test more.parquet --data s/train.parquet --json -q")
    document = json.loads(out)
    assert code == 0
    assert document["test_interactions"] == len(test) + 9
    assert (document["test_users_unknown"], document["test_interactions_of_unknown_users"]) == (
        2,
        3,
    )
    assert (
        document["test_interactions_masked"],
        document["test_interactions_of_unknown_items"],
    ) == (5, 1)
    for words in (
        "5 of",
        "2 user(s) of the test are not in the model, with 3",
        "1 test interactions are with items",
    ):
        assert words in err


# ---------------------------------------------------------------- compressed


def test_what_is_written_compressed_is_compressed(run: Run) -> None:
    Path("d.csv").write_text(
        "user_id,item_id\n" + "".join(f"{u},{v}\n" for u in range(8) for v in range(u % 3 + 2))
    )
    Path("f.csv").write_text("user_id,item_id\n1,0\n")
    assert run("train d.csv --factors 2 --out m -q")[0] == 0
    for name in ("r.csv.gz", "r.jsonl.zst"):
        assert run(f"forget m f.csv --data d.csv --out m-{name} --remaining {name} -q")[0] in (0, 8)
    assert b"1,0\n" not in gzip.decompress(Path("r.csv.gz").read_bytes())
    with pa.OSFile("r.jsonl.zst") as file, pa.CompressedInputStream(file, "zstd") as stream:
        assert json.loads(stream.read().split(b"\n")[0]) == {"user_id": 0, "item_id": 0}
    code, _, err = run("forget m f.csv --data d.csv --out n --remaining r.parquet.gz")
    assert (code, "names no format that is written" in err) == (2, True)


def test_the_remaining_data_never_become_a_part_of_the_data(run: Run) -> None:
    table = pa.table({"user_id": [1, 1, 2, 2], "item_id": [1, 2, 1, 3]})
    Path("d/sub").mkdir(parents=True)
    pq.write_table(table, "d/part-0.parquet")
    Path("f.csv").write_text("user_id,item_id\n1,1\n")
    assert run("train d --factors 2 --out d/m -q")[0] == 0  # a model there is no part of them
    for place in ("d/rest.parquet", "d/sub/rest.parquet"):
        code, _, err = run(f"forget d/m f.csv --data d --out n --remaining {place}")
        assert (code, "would become a part of the data" in err) == (2, True)
    assert run("forget d/m f.csv --data d --out d/m2 --remaining rest.parquet -q")[0] in (0, 8)
    assert pq.read_table("rest.parquet").num_rows == 3
