"""A folder is one table, all of it, or is refused."""

from __future__ import annotations

import gzip
import json
import os

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.data.readers import ReadingOptions, read_rows, read_table
from alteraser.errors import InvalidInput

ROWS = [(1, "a", 5.0), (1, "b", 2.0), (2, "a", 4.0), (3, "c", 1.0)]
FRAME = pd.DataFrame(ROWS, columns=["user_id", "item_id", "rating"])


def put(path, part: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name.removesuffix(".gz")
    if name.endswith((".parquet", ".pq")):
        part.to_parquet(path, index=False)
    elif name.endswith("json") or name.endswith("jsonl"):
        part.to_json(path, orient="records", lines=True, compression="infer")
    else:
        part.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",", compression="infer")


def found(folder, **settings):
    table = read_table(folder, ReadingOptions(target="rating", **settings))
    return sorted(
        zip(*(table[name].to_pylist() for name in ("user_id", "item_id", "target")), strict=True)
    )


PLACES = {
    "flat": ["part-0{}", "part-1{}"],
    "a part and a folder of parts": ["part-0{}", "more/part-1{}"],
    "deep": ["2024/01/part-0{}", "2024/02/part-0{}"],
    "beside": ["a/x{}", "b{}"],
    "keys": ["year=2024/x{}", "year=2025/x{}"],
    "keys in keys": ["year=2024/month=01/x{}", "year=2025/month=12/x{}"],
}


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".jsonl", ".json", ".csv.gz"])
def test_every_part_is_read_wherever_it_is(tmp_path, places, suffix):
    first, second = (tmp_path / place.format(suffix) for place in PLACES[places])
    put(first, FRAME[:3])
    put(second, FRAME[3:])
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "README.md").write_text("x")
    (first.parent / f".{first.name}.crc").touch()
    assert found(tmp_path) == ROWS
    assert read_rows(tmp_path).num_rows == 4


@given(
    st.lists(
        st.sampled_from(
            ["p{}.parquet", "sub/p{}.parquet", "sub/deep/p{}.parquet", "other/p{}.parquet"]
        ),
        min_size=1,
        max_size=5,
    )
)
def test_no_row_of_any_part_is_lost(tmp_path_factory, places):
    folder = tmp_path_factory.mktemp("f")
    for i, place in enumerate(places):
        put(folder / place.format(i), FRAME[:3].assign(user_id=i))
    assert read_table(folder).num_rows == 3 * len(places)


@pytest.mark.parametrize(
    "values", [(2024, 2025), ("x", "y z"), ("01", "1"), (None, 7), ("a/b", "ä=ö")]
)
def test_names_of_folders_are_a_column(tmp_path, values):
    table = pa.table({"user_id": [1, 2], "item_id": [3, 4], "k": pa.array(values)})
    ds.write_dataset(
        table, tmp_path / "d", format="parquet", partitioning=["k"], partitioning_flavor="hive"
    )
    rows = read_rows(tmp_path / "d").sort_by("user_id")
    assert rows["k"].to_pylist() == list(values)
    assert read_table(tmp_path / "d").num_rows == 2


def test_users_may_be_names_of_folders(tmp_path):
    for kind in (int, str):
        folder = tmp_path / kind.__name__
        users = pa.array([kind(1), kind(1), kind(2) if kind is int else "x"])
        table = pa.table({"user_id": users, "item_id": ["a", "b", "a"]})
        pq.write_to_dataset(table, folder, partition_cols=["user_id"])
        result = read_table(folder)
        assert sorted(zip(*result.to_pydict().values(), strict=True)) == sorted(
            zip(users.to_pylist(), "aba", strict=True)
        )


def test_a_key_that_is_in_the_file_as_well(tmp_path):
    put(tmp_path / "year=2024" / "x.parquet", FRAME[:3].assign(year=2024))
    put(tmp_path / "year=2025" / "x.parquet", FRAME[3:].assign(year=2025))
    assert read_rows(tmp_path)["year"].to_pylist() == [2024] * 3 + [2025]
    put(tmp_path / "year=2026" / "x.parquet", FRAME[3:].assign(user_id=9, year=2025))
    assert read_table(tmp_path).num_rows == 5
    with pytest.raises(
        InvalidInput,
        match=r"x.parquet, row 1: 'year' is '2025', and '?2026'? in the name of its folder",
    ):
        read_table(tmp_path, ReadingOptions(target="year"))


def test_engines_write_folders(tmp_path):
    pl.DataFrame({"user_id": [1, 2], "item_id": [3, 4], "day": ["x", "y"]}).write_parquet(
        tmp_path / "polars", partition_by="day", mkdir=True
    )
    FRAME.to_parquet(tmp_path / "pandas", partition_cols=["rating"])
    spark = tmp_path / "ratings.csv"
    put(spark / "part-00000-11aa-c000.csv", FRAME[:3])
    put(spark / "part-00001-11aa-c000.csv", FRAME[3:])
    (spark / "part-00002-11aa-c000.csv").touch()
    (spark / "._SUCCESS.crc").touch()
    assert (read_table(tmp_path / "polars").num_rows, found(tmp_path / "pandas"), found(spark)) == (
        2,
        ROWS,
        ROWS,
    )


def test_hadoop_writes_no_extension(tmp_path):
    for i, text in enumerate(["1,a,5\n", "", "2,b,4\n"]):
        (tmp_path / f"part-0000{i}").write_text(text)
    names = ("user_id", "item_id", "rating")
    assert found(tmp_path, column_names=names) == [(1, "a", 5.0), (2, "b", 4.0)]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".csv.gz"])
def test_empty_parts_hold_nothing(tmp_path, suffix):
    put(tmp_path / f"part-1{suffix}", FRAME)
    (tmp_path / f"part-0{suffix}").write_bytes(gzip.compress(b"") if suffix.endswith("gz") else b"")
    if suffix == ".csv":
        (tmp_path / "part-2.csv").write_text("user_id,item_id,rating\n")
    assert found(tmp_path) == ROWS
    (tmp_path / f"part-1{suffix}").write_bytes(
        gzip.compress(b"\n") if suffix.endswith("gz") else b""
    )
    if suffix != ".csv":
        with pytest.raises(InvalidInput, match=r"part-0.* is empty"):
            read_table(tmp_path)


def test_ids_of_text_are_strings_or_integers_by_all_parts(tmp_path):
    (tmp_path / "part-0.csv").write_text("user_id,item_id\n1,2\n")
    (tmp_path / "part-1.csv").write_text("user_id,item_id\nx7,3\n")
    assert read_table(tmp_path).to_pydict() == {"user_id": ["1", "x7"], "item_id": [2, 3]}


def test_a_header_inside_a_part_is_named(tmp_path):
    (tmp_path / "part-0.csv").write_text("user_id,item_id\n1,2\n")
    (tmp_path / "part-1.csv").write_text("user_id,item_id\n1,3\nuser_id,item_id\n")
    with pytest.raises(InvalidInput, match=r"part-1.csv, line 3: a header"):
        read_table(tmp_path)


# ---------------------------------------------------------------- refusals


def test_other_tables_are_not_parts(tmp_path):
    put(tmp_path / "ratings.csv", FRAME)
    assert found(tmp_path) == ROWS
    (tmp_path / "movies.csv").write_text("item_id,title\na,A\n")
    with pytest.raises(
        InvalidInput, match=r"ratings.csv has the columns .*movies.csv has .*: more than one table"
    ):
        read_table(tmp_path)
    (tmp_path / "movies.csv").unlink()
    (tmp_path / "x.parquet").write_bytes(b"")
    with pytest.raises(
        InvalidInput,
        match=r"holds ratings.csv, x.parquet: more than one table. Name the file itself",
    ):
        read_table(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("train.parquet", "test.parquet"),
        ("train/p.csv", "validation/p.csv"),
        ("train-00000-of-2.jsonl", "test-00000-of-1.jsonl"),
    ],
)
def test_a_split_is_not_read_as_one_table(tmp_path, names):
    for name in names:
        put(tmp_path / name, FRAME)
    with pytest.raises(InvalidInput, match="which look like a split, not like parts of one table"):
        read_table(tmp_path)


def test_keys_that_differ(tmp_path):
    put(tmp_path / "year=2024" / "x.csv", FRAME)
    put(tmp_path / "x.csv", FRAME)
    with pytest.raises(
        InvalidInput,
        match=r"year=2024/x.csv and .*x.csv are not in folders of|x.csv and year=2024/x.csv",
    ):
        read_table(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("_delta_log", "is a table of Delta Lake, in which files may be of older versions"),
        (".hoodie", "is a table of Hudi"),
        ("_temporary", "holds _temporary: a job is still writing it, or failed"),
    ],
)
@pytest.mark.parametrize("inner", ["", "sub"])
def test_tables_that_are_more_than_their_files(tmp_path, name, message, inner):
    put(tmp_path / "part-0.parquet", FRAME)
    (tmp_path / inner / name).mkdir(parents=True)
    with pytest.raises(InvalidInput, match=message):
        read_table(tmp_path)


def test_formats_that_differ_by_content(tmp_path):
    put(tmp_path / "a.csv", FRAME)
    (tmp_path / "b.csv").write_text(json.dumps({"user_id": 1, "item_id": "z", "rating": 1}) + "\n")
    with pytest.raises(
        InvalidInput, match=r"b.csv is JSON, a.csv is CSV or TSV. Write all parts in one format"
    ):
        read_table(tmp_path)


def test_links(tmp_path):
    put(tmp_path / "real" / "part-0.parquet", FRAME[:3])
    put(tmp_path / "data" / "part-1.parquet", FRAME[3:])
    os.symlink(tmp_path / "real", tmp_path / "data" / "linked")
    assert found(tmp_path / "data") == ROWS
    os.symlink(tmp_path / "data", tmp_path / "data" / "zz")
    with pytest.raises(InvalidInput, match="zz is a folder that was read already, by a link"):
        read_table(tmp_path / "data")


def test_a_model_beside_the_parts_is_no_part(tmp_path):
    put(tmp_path / "part-0.parquet", FRAME)
    put(tmp_path / "model" / "users.parquet", pd.DataFrame({"row": [0], "user_id": [1]}))
    with pytest.raises(InvalidInput, match="no column 'item_id'"):
        read_table(tmp_path)
    (tmp_path / "model" / "model.json").write_text("{}")
    assert found(tmp_path) == ROWS
