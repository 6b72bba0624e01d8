"""Forget files never widen an erasure; rows that are written lose nothing."""

from __future__ import annotations

import datetime
import errno
import os
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alteraser.data.readers import (
    ReadingOptions,
    read_forget_table,
    read_rows,
    read_table,
    write_rows,
)
from alteraser.errors import InvalidInput, NotFound, OutputExists, ResourceLimit


def put(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_bytes(content.encode())
    return path


# ---------------------------------------------------------------- forget


def test_pairs(tmp_path):
    table = read_forget_table(
        put(tmp_path, "f.csv", "rating,item_id,user_id\n,a,1\nx,b,1\n4,a,1\n")
    )
    assert table.users.to_pylist() == [1, 1, 1]
    assert table.items.to_pylist() == ["a", "b", "a"]
    assert (table.users.type, table.items.type) == (pa.int64(), pa.string())
    assert (table.rows, table.path, table.whole_users) == (3, str(tmp_path / "f.csv"), False)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f.csv", "user_id\nb\na\nb\n"),
        ("f.tsv", "user_id\nb\na\n\nb"),
        ("f.inter", "user_id:token\nb\na\nb\n"),
        ("f.jsonl", '{"user_id":"b"}\n{"user_id":"a"}\n{"user_id":"b"}\n'),
    ],
)
def test_one_column_means_whole_users(tmp_path, name, text):
    table = read_forget_table(put(tmp_path, name, text))
    assert table.users.to_pylist() == ["b", "a"]
    assert table.users.type == pa.string()
    assert table.items is None
    assert table.whole_users
    assert table.rows == 3


def test_whole_users_by_flag(tmp_path):
    path = put(tmp_path, "f.csv", "user_id,item_id\n7,\n3,a\n7,b\n")
    table = read_forget_table(path, whole_users=True)
    assert (table.users.to_pylist(), table.items, table.rows) == ([7, 3], None, 3)
    assert (
        read_forget_table(put(tmp_path, "g.csv", "user_id,why\n7,x\n"), whole_users=True).items
        is None
    )


def test_whole_items_by_their_column_alone_or_by_flag(tmp_path):
    table = read_forget_table(put(tmp_path, "f.csv", "item_id\nb\na\nb\n"))
    assert (table.users, table.items.to_pylist(), table.rows) == (None, ["b", "a"], 3)
    assert table.whole_items
    assert not table.whole_users
    path = put(tmp_path, "g.csv", "user_id,item_id\n7,b\n,a\n7,b\n")
    assert read_forget_table(path, whole_items=True).items.to_pylist() == ["b", "a"]
    assert (
        read_forget_table(put(tmp_path, "h.csv", "item_id,why\n7,x\n"), whole_items=True).users
        is None
    )
    with pytest.raises(InvalidInput, match="contradict"):
        read_forget_table(path, whole_items=True, whole_users=True)
    with pytest.raises(InvalidInput, match="no column 'item_id'"):
        read_forget_table(put(tmp_path, "u.csv", "user_id\n7\n"), whole_items=True)
    with pytest.raises(InvalidInput, match="no column 'user_id'"):
        read_forget_table(tmp_path / "f.csv", whole_users=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item_id,why\n1,a\n", r"no column 'user_id'.*pass --whole-items"),
        ("itemid\n1\n", r"no column 'user_id'"),
        (
            "user_id,itemid\n1,a\n",
            r"no column 'item_id'.*Did you mean 'itemid'\?.*pass --whole-users",
        ),
        ("user_id,why\n1,a\n", r"no column 'item_id'.*pass --whole-users"),
        ("user_id,item_id\n1,a\n2,\n", r"f.csv, line 3, column 'item_id': the id is empty"),
        ("user_id,item_id\n1,a\n,b\n", r"f.csv, line 3, column 'user_id': the id is empty"),
        ("user_id\n1,a\n", r"f.csv, line 2: 2 columns separated by commas, where 1 were expected"),
        (
            "userid\n1\n",
            r"no column 'user_id'.*Did you mean 'userid'\? Rename the column to 'user_id'\.$",
        ),
        ("user_id list\n1 a\n", r"no column 'item_id'.*pass --whole-users"),
        ("1\n2\n", r"no column 'user_id'; its columns are: 1. Its first line looks like data"),
        ('user_id,item_id\n1,"a\n2,b\n', r"line 2: its quotes do not match"),
    ],
)
def test_a_mistyped_file_never_widens_an_erasure(tmp_path, text, message):
    path = put(tmp_path, "f.csv", text)
    with pytest.raises(InvalidInput, match=message):
        read_forget_table(path)


def test_a_null_item_is_refused_in_every_format(tmp_path):
    pq.write_table(pa.table({"user_id": [1, 2], "item_id": [1, None]}), tmp_path / "f.parquet")
    with pytest.raises(
        InvalidInput, match=r"f.parquet, row 2, column 'item_id': the id is missing"
    ):
        read_forget_table(tmp_path / "f.parquet")
    path = put(tmp_path, "f.jsonl", '{"user_id":1,"item_id":2}\n{"user_id":1,"itemid":3}\n')
    with pytest.raises(InvalidInput, match=r"f.jsonl, line 2, column 'item_id': the id is missing"):
        read_forget_table(path)
    with pytest.raises(InvalidInput, match="the table, row 2, column 'item_id'"):
        read_forget_table(pl.DataFrame({"user_id": [1, 2], "item_id": ["a", None]}))


def test_other_names_and_frames(tmp_path):
    options = ReadingOptions(user_column="who", item_column="what", threshold=4)
    frame = pd.DataFrame({"who": ["a"], "what": [3], "rating": [1]})
    table = read_forget_table(frame, options)
    assert (table.users.to_pylist(), table.items.to_pylist(), table.path) == (
        ["a"],
        [3],
        "the table",
    )
    (tmp_path / "parts").mkdir()
    for part in "ab":
        pq.write_table(pa.table({"user_id": [part]}), tmp_path / "parts" / f"{part}.parquet")
    assert read_forget_table(tmp_path / "parts").users.to_pylist() == ["a", "b"]
    with pytest.raises(NotFound, match="nowhere does not exist"):
        read_forget_table(tmp_path / "nowhere")


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "r.csv",
            'user_id,item_id,rating,note,when\n1,007,4.0,,2020-01-01\n2,8,3.5,"a,""b""\nc",x\n',
        ),
        ("r.csv", "item_id,x\n1,4\n2,3.5\n"),
        ("r.csv", "item_id,x\n1,1e5\n2,nan\n3,-0\n4,0.10\n"),
        ("r.csv", 'only\na\n""\nb\n'),
        ("r.tsv", "user_id\titem_id\n1\t 2\n"),
        ("r.inter", "user_id:token\titem_id:token\trating:float\ttags:token_seq\n1\tx\t4.0\ta b\n"),
    ],
)
def test_text_comes_back_byte_by_byte(tmp_path, name, text):
    path = put(tmp_path, name, text)
    write_rows(read_rows(path), tmp_path / f"again-{name}")
    assert (tmp_path / f"again-{name}").read_bytes().decode() == text


def test_text_gets_types_where_nothing_is_lost(tmp_path):
    path = put(tmp_path, "r.csv", "user_id,item_id,rating,x,y\n1,1.5,4.0,4,a\n2,2.5,3.5,04,b\n")
    rows = read_rows(path)
    assert rows.schema.types == [pa.int64(), pa.string(), pa.float64(), pa.string(), pa.string()]
    write_rows(rows, tmp_path / "r.parquet")
    assert read_table(tmp_path / "r.parquet", ReadingOptions(threshold=4)).num_rows == 1
    write_rows(read_rows(tmp_path / "r.parquet"), tmp_path / "again.csv")  # 4.0 is still 4.0
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()


TYPED = pa.table(
    {
        "user_id": pa.array([1, 2, 3], pa.int32()),
        "item_id": pa.array(["a", "b", None]).dictionary_encode(),
        "rating": pa.array([4.5, None, 1e300]),
        "when": pa.array(
            [datetime.datetime(2020, 1, 2, 3), None, None], pa.timestamp("us", tz="UTC")
        ),
        "genres": [["x"], [], None],
        "blob": [b"\0", b"", None],
    }
)


def test_parquet_keeps_everything(tmp_path):
    write_rows(TYPED, tmp_path / "r.parquet")
    assert read_rows(tmp_path / "r.parquet").equals(TYPED, check_metadata=False)
    assert read_rows(TYPED).equals(TYPED)


def test_rows_of_parts_are_under_each_other(tmp_path):
    write_rows(TYPED.slice(0, 1), tmp_path / "a.parquet")
    write_rows(TYPED.slice(1).drop_columns(["rating"]), tmp_path / "b.parquet")
    assert read_rows(tmp_path)["user_id"].to_pylist() == [1, 2, 3]
    assert read_rows(tmp_path)["rating"].to_pylist() == [4.5, None, None]


def test_json_lines_keep_values(tmp_path):
    table = TYPED.drop_columns(["blob"])
    write_rows(table, tmp_path / "r.jsonl")
    again = read_rows(tmp_path / "r.jsonl")
    assert again.drop_columns(["when"]).to_pydict() == table.drop_columns(["when"]).to_pydict()
    assert again["when"].to_pylist() == ["2020-01-02T03:00:00+00:00", None, None]
    for column in ([float("nan")], [b"x"]):
        with pytest.raises(
            InvalidInput, match=r"n.jsonl: a .jsonl file cannot hold this.*Write .parquet instead"
        ):
            write_rows(pa.table({"user_id": column}), tmp_path / "n.jsonl")
    assert os.listdir(tmp_path) == ["r.jsonl"]


def test_headers_of_inter_files(tmp_path):
    table = pa.table(
        {"user_id": [1], "item_id": ["x"], "rating": [4.0], "timestamp": [10], "movieId": [3]}
    )
    write_rows(table, tmp_path / "r.inter")
    assert (tmp_path / "r.inter").read_text() == (
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\tmovieId:token\n1\tx\t4\t10\t3\n"
    )


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".inter"])
@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=6))
@example(rows=[("", "\n\t")])  # every line of it has two fields, quotes or not
def test_strings_survive_every_format(tmp_path_factory, suffix, rows):
    rows = [("x" + a, "y" + b) for a, b in rows]  # never numbers
    table = pa.table({"user_id": [a for a, _ in rows], "item_id": [b for _, b in rows]})
    path = tmp_path_factory.mktemp("rows") / f"r{suffix}"
    write_rows(table, path)
    assert read_rows(path).to_pydict() == table.to_pydict()
    assert read_table(path).to_pydict() == table.to_pydict()


def test_what_text_cannot_hold_is_refused(tmp_path):
    for name in ("genres", "blob"):
        for suffix in (".csv", ".inter"):
            with pytest.raises(
                InvalidInput, match=rf"column '{name}' is of type .*Write .parquet instead"
            ):
                write_rows(TYPED.select([name]), tmp_path / f"r{suffix}")
    with pytest.raises(
        InvalidInput, match=r"r.xlsx: the extension '.xlsx' names no format.*\.parquet, \.csv"
    ):
        write_rows(TYPED, tmp_path / "r.xlsx")
    assert os.listdir(tmp_path) == []


def test_writing_is_atomic_and_never_overwrites(tmp_path, monkeypatch):
    table = TYPED.select(["user_id"])
    for suffix in (".csv", ".tsv", ".jsonl", ".parquet", ".inter"):
        path = tmp_path / f"r{suffix}"
        write_rows(table, path)
        with pytest.raises(OutputExists, match="exists already"):
            write_rows(table, path)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", _full)
            with pytest.raises(ResourceLimit, match=rf"s{suffix}: the disk or quota is full"):
                write_rows(table, tmp_path / f"s{suffix}")
    assert len(os.listdir(tmp_path)) == 5


def _full(descriptor):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_views_are_read_and_written(tmp_path):
    table = pa.table(
        {
            "user_id": [1, 2],
            "item_id": pa.array(["a", "b"], pa.string_view()),
            "rating": [1, 5],
            "title": pa.array(["x", None], pa.string_view()),
        }
    )
    pq.write_table(table, tmp_path / "v.parquet")
    for source in (table, tmp_path / "v.parquet"):
        rows = read_rows(source)
        assert rows.filter(pa.array([False, True])).to_pylist() == [
            {"user_id": 2, "item_id": "b", "rating": 5, "title": None}
        ]
        assert read_table(source, ReadingOptions(threshold=4)).to_pydict() == {
            "user_id": [2],
            "item_id": ["b"],
        }
    for suffix in ("csv", "jsonl", "parquet"):
        write_rows(table, tmp_path / f"w.{suffix}")
        assert read_table(tmp_path / f"w.{suffix}")["item_id"].to_pylist() == ["a", "b"]
