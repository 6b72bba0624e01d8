"""One table from every format, and no table from a malformed one."""

from __future__ import annotations

import datetime
import gzip
import json
import os
import re
import socket
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.data.interactions import Interactions
from alteraser.data.readers import FORMATS, ReadingOptions, read_table
from alteraser.data.readers import _source as source_module
from alteraser.data.readers import parquet as parquet_module
from alteraser.errors import IntegrityError, InvalidInput, NotFound, ResourceLimit

CODES = pa.dictionary(pa.int32(), pa.string())
ROWS = {
    "user_id": [1, 1, 2],
    "item_id": ["a", "b", "a"],
    "rating": [5.0, 2.0, 4.0],
    "when": [10, 20, 30],
}
EVERYTHING = ReadingOptions(confidence="1 + 2 * rating", target="rating", timestamp_column="when")
EXPECTED = {
    "user_id": [1, 1, 2],
    "item_id": ["a", "b", "a"],
    "confidence": [11.0, 5.0, 9.0],
    "target": [5.0, 2.0, 4.0],
    "timestamp": [10, 20, 30],
}


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet_bytes(columns, **options) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue().to_pybytes()


SAME = {
    "r.csv": "user_id,item_id,rating,when\n1,a,5,10\n1,b,2,20\n2,a,4,30\n",
    "bom.csv": b"\xef\xbb\xbfuser_id,item_id,rating,when\r\n1,a,5.0,10\r\n1,b,2.0,20\r\n2,a,4.0,30",
    "quoted.csv": 'when,"user_id","item_id",title,rating\n10,1,"a","x,\ny",5\n20,1,b,"say '
    '""hi""",2\n30,"2","a",,4',
    "semicolon.csv": "user_id;item_id;rating;when\n1;a;5;10\n1;b;2;20\n2;a;4;30\n",
    "blank.csv": "\n\nuser_id,item_id,rating,when\n\n1,a,5,10\n1,b,2,20\n\n2,a,4,30\n\n",
    "r.tsv": "user_id\titem_id\trating\twhen\n1\ta\t5\t10\n1\tb\t2\t20\n2\ta\t4\t30\n",
    "named.txt": "user_id|item_id|rating|when\n1|a|5|10\n1|b|2|20\n2|a|4|30\n",
    "r.inter": "user_id:token\titem_id:token\trating:float\twhen:float\n"
    "1\ta\t5\t10\n1\tb\t2.0\t20\n2\ta\t4\t30\n",
    "wrong-suffix.csv": '{"user_id":1,"item_id":"a","rating":5,"when":10}\n'
    '{"user_id":1,"item_id":"b","rating":2,"when":20}\n\n{"user_id":2,"item_id":"a","rating":4.0,"when":30}',
    "r.csv.gz": gzip.compress(b"user_id,item_id,rating,when\n1,a,5,10\n1,b,2,20\n2,a,4,30\n"),
    "r.parquet": parquet_bytes(ROWS),
    "r.json": '[{"user_id":1,"item_id":"a","rating":5,"when":10},\n '
    '{"when":20,"user_id":1.0,"item_id":"b","rating":2},{"user_id":2,"item_id":"a","rating":4.0,"when":30}]\n',
    "bom.json": b"\xef\xbb\xbf [ "
    b'{"user_id":1,"item_id":"a","rating":5,"when":10},\r\n{"user_id":1,"item_id":"b",'
    b'"rating":2,"when":20},{"user_id":2,"item_id":"a","rating":4.0,"when":30}]',
    "padded.csv.gz": gzip.compress(b"user_id,item_id,rating,when\n1,a,5,10\n1,b,2,20\n2,a,4,30\n")
    + b"\0" * 1000,
    "members.csv.gz": gzip.compress(b"user_id,item_id,rating,when\n1,a,5,10\n")
    + gzip.compress(b"1,b,2,20\n2,a,4,30\n"),
    "r.csv.zst": pa.Codec("zstd").compress(
        b"user_id,item_id,rating,when\n1,a,5,10\n1,b,2,20\n2,a,4,30\n", asbytes=True
    ),
    "r.jsonl.gz": gzip.compress(
        b'{"user_id":1,"item_id":"a","rating":5,"when":10}\n{"user_id":1,"item_id":"b",'
        b'"rating":2,"when":20}\n{"user_id":2,"item_id":"a","rating":4.0,"when":30}'
    )
    + b"\0" * 9,
    "decimals.parquet": parquet_bytes(
        {**ROWS, "user_id": [Decimal("1.0"), Decimal("1.0"), Decimal("2.0")]}
    ),
    "doubles.parquet": parquet_bytes({**ROWS, "user_id": [1.0, 1.0, 2.0]}),
    "binary.parquet": parquet_bytes({**ROWS, "item_id": [b"a", b"b", b"a"]}),
    "no-suffix": parquet_bytes(ROWS, row_group_size=1),
}


@pytest.mark.parametrize("name", SAME)
def test_every_format_gives_the_same_table(tmp_path, name):
    table = read_table(put(tmp_path, name, SAME[name]), EVERYTHING)
    assert table.to_pydict() == EXPECTED
    assert table.schema.types == [pa.int64(), CODES, pa.float64(), pa.float64(), pa.int64()]
    assert all(column.num_chunks == 1 for column in table.columns)


def test_movielens_files(tmp_path):
    dat = put(tmp_path, "ratings.dat", "1::1193::5::978300760\n2::661::3.5::978302109\n")
    data = put(tmp_path, "u.data", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n")
    options = ReadingOptions(target="rating", timestamp_column="timestamp")
    assert read_table(dat, options).to_pydict() == {
        "user_id": [1, 2],
        "item_id": [1193, 661],
        "target": [5.0, 3.5],
        "timestamp": [978300760, 978302109],
    }
    assert read_table(data, options)["item_id"].to_pylist() == [242, 302]
    assert read_table(data).column_names == ["user_id", "item_id"]


@pytest.mark.parametrize(
    "frame",
    [
        pa.table(ROWS),
        pd.DataFrame(ROWS),
        pl.DataFrame(ROWS),
        pl.DataFrame(ROWS).with_columns(pl.col("item_id").cast(pl.Categorical)),
        pd.DataFrame(ROWS).astype({"item_id": "category", "user_id": "uint8"}),
        pd.DataFrame({**ROWS, "junk": [1, "x", None]}),  # never converted
        pa.table(ROWS).to_batches()[0],
        pa.table({**ROWS, "item_id": pa.array(["a", "b", "a"], pa.large_string())}),
        pa.table({**ROWS, "item_id": pa.array(["a", "b", "a"]).dictionary_encode()}),
        pa.concat_tables([pa.table(ROWS).slice(0, 1), pa.table(ROWS).slice(1)]),
    ],
    ids=lambda frame: type(frame).__module__.split(".")[0],
)
def test_every_frame_gives_the_same_table(frame):
    table = read_table(frame, EVERYTHING)
    assert table.to_pydict() == EXPECTED
    assert table.schema.types == [pa.int64(), CODES, pa.float64(), pa.float64(), pa.int64()]


def test_a_stream_is_read_once():
    assert read_table(pa.table(ROWS).to_reader()).num_rows == 3


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint16(), pa.int32(), pa.int64(), pa.uint64()])
def test_integer_widths_become_int64(kind):
    table = read_table(
        pa.table({"user_id": pa.array([1, 2], kind), "item_id": pa.array([3, 4], kind)})
    )
    assert table.schema.types == [pa.int64(), pa.int64()]
    assert table.to_pydict() == {"user_id": [1, 2], "item_id": [3, 4]}


def test_dictionaries_hold_each_used_id_once():
    odd = pa.DictionaryArray.from_arrays(
        pa.array([0, 2, 1], pa.int8()), pa.array(["x", "y", "x", "unused"])
    )
    table = read_table(pa.table({"user_id": odd, "item_id": [1, 2, 3]}))
    assert table["user_id"].to_pylist() == ["x", "x", "y"]
    assert sorted(table["user_id"].chunk(0).dictionary.to_pylist()) == ["x", "y"]


def test_the_dictionary_shrinks_with_the_threshold(tmp_path):
    path = put(tmp_path, "r.parquet", parquet_bytes(ROWS, row_group_size=1))
    table = read_table(path, ReadingOptions(threshold=4))
    assert table.to_pydict() == {"user_id": [1, 2], "item_id": ["a", "a"]}
    assert table["item_id"].chunk(0).dictionary.to_pylist() == ["a"]


def test_a_rating_is_ignored_unless_asked_for(tmp_path):
    path = put(tmp_path, "r.csv", "user_id,item_id,rating\n1,a,\n1,b,nonsense\n")
    assert read_table(path).column_names == ["user_id", "item_id"]
    with pytest.raises(InvalidInput, match="line 3, column 'rating': 'nonsense' is not a number"):
        read_table(path, ReadingOptions(threshold=3))


ids = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=5),
)


@given(st.lists(ids, min_size=1, max_size=8))
def test_csv_ids_are_integers_only_when_nothing_is_lost(tmp_path_factory, values):
    import csv

    path = tmp_path_factory.mktemp("csv") / "r.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([["user_id", "item_id"], *([value, "1"] for value in values)])
    users = read_table(path)["user_id"]
    canonical = all(re.fullmatch(r"0|-?[1-9][0-9]*", value, re.ASCII) for value in values)
    assert users.type == (pa.int64() if canonical else CODES)
    assert [str(value) for value in users.to_pylist()] == values


@pytest.mark.parametrize(
    "odd", ["007", "+1", " 1", "0x10", "-0", "1.0", "9223372036854775808", "1e3", "NA"]
)
def test_one_odd_value_keeps_the_column_strings(tmp_path, odd):
    path = put(tmp_path, "r.csv", f"user_id,item_id\n1,1\n{odd},2\n")
    assert read_table(path)["user_id"].to_pylist() == ["1", odd]


def test_strings_that_look_like_numbers_or_dates_stay_strings(tmp_path):
    path = put(tmp_path, "r.jsonl", '{"user_id":"1","item_id":"2020-01-01"}\n')
    assert read_table(path).to_pydict() == {"user_id": ["1"], "item_id": ["2020-01-01"]}
    assert read_table(pa.table({"user_id": ["1"], "item_id": ["2"]}))["user_id"].to_pylist() == [
        "1"
    ]


def test_times_become_epoch_seconds():
    moments = [datetime.datetime(1970, 1, 2), datetime.datetime(1969, 12, 31, 23, 59, 59, 500_000)]
    for column in (
        pa.array(moments, pa.timestamp("us")),
        pa.array(moments, pa.timestamp("ns", tz="Europe/Berlin")),
        pa.array([m.date() for m in moments]),
        [86400.0, -1.0],
        ["86400", "-1"],
        [86400, -1],
    ):
        table = read_table(
            pa.table({"user_id": [1, 2], "item_id": [1, 2], "t": column}),
            ReadingOptions(timestamp_column="t"),
        )
        expected = [86400, -86400] if isinstance(column, pa.Date32Array) else [86400, -1]
        assert table["timestamp"].to_pylist() == expected


def test_a_header_alone_is_an_empty_table(tmp_path):
    for name, text in [
        ("a.csv", "user_id,item_id,rating"),
        ("b.csv", "user_id,item_id,rating\r\n"),
        ("c.inter", "user_id:token\titem_id:token\trating:float\n"),
    ]:
        table = read_table(
            put(tmp_path, name, text), ReadingOptions(threshold=1, confidence="rating")
        )
        assert table.num_rows == 0
        assert table.column_names == ["user_id", "item_id", "confidence"]
    assert (
        read_table(
            pa.table({"user_id": pa.nulls(0), "item_id": pa.array([], pa.string())})
        ).num_rows
        == 0
    )
    assert read_table(pd.DataFrame({"user_id": [], "item_id": []})).num_rows == 0


# ---------------------------------------------------------------- folders


def test_a_folder_of_parts(tmp_path):
    for name in ("_SUCCESS", ".part-0.parquet.crc", "part-0.parquet.crc", "_metadata", "notes.txt"):
        put(tmp_path, name, "x")
    put(
        tmp_path,
        "part-00001.parquet",
        parquet_bytes({"user_id": pa.array([2], pa.int32()), "item_id": ["c"]}),
    )
    put(tmp_path, "part-00000.parquet", parquet_bytes({"user_id": [1, 1], "item_id": ["b", "a"]}))
    assert read_table(tmp_path).to_pydict() == {"user_id": [1, 1, 2], "item_id": ["b", "a", "c"]}
    put(
        tmp_path,
        "part-00002.parquet",
        parquet_bytes(
            {
                "user_id": [3],
                "item_id": [
                    None,
                ][:1]
                and [""],
            }
        ),
    )
    with pytest.raises(
        InvalidInput, match=r"part-00002.parquet, row 1, column 'item_id': the id is empty"
    ):
        read_table(tmp_path)


def test_parts_of_other_types_are_refused_by_name(tmp_path):
    put(tmp_path, "a.parquet", parquet_bytes({"user_id": [1], "item_id": ["b"]}))
    put(tmp_path, "b.parquet", parquet_bytes({"user_id": ["1"], "item_id": ["b"]}))
    with pytest.raises(
        InvalidInput, match=r"b.parquet: the column 'user_id' holds strings, but numbers in .*a.p"
    ):
        read_table(tmp_path)
    put(tmp_path, "b.parquet", parquet_bytes({"user": [1], "item_id": ["b"]}))
    with pytest.raises(InvalidInput, match=r"b.parquet has no column 'user_id'.*one schema"):
        read_table(tmp_path)


def test_interactions_parquet_is_preferred(tmp_path):
    put(tmp_path, "items.parquet", parquet_bytes({"item_id": ["a"], "title": ["A"]}))
    put(tmp_path, "interactions.parquet", parquet_bytes(ROWS))
    assert read_table(tmp_path).num_rows == 3


def test_interactions_parquet_may_be_a_folder(tmp_path):
    (tmp_path / "interactions.parquet").mkdir()
    put(tmp_path / "interactions.parquet", "part-0.parquet", parquet_bytes(ROWS))
    assert read_table(tmp_path).num_rows == 3


@pytest.mark.parametrize("name", ["ml.inter", "ratings.dat", "u.data"])
def test_other_folders(tmp_path, name):
    content = {"ml.inter": SAME["r.inter"], "ratings.dat": "1::2::3::4\n", "u.data": "1\t2\t3\t4\n"}
    put(tmp_path, name, content[name])
    put(tmp_path, "README", "x")
    assert read_table(str(tmp_path)).num_rows in (1, 3)


def test_folders_that_hold_nothing_or_too_much(tmp_path):
    with pytest.raises(
        InvalidInput, match=r"holds nothing, where interactions.parquet.*Name the file itself"
    ):
        read_table(tmp_path)
    put(tmp_path, "readme.md", "x")
    with pytest.raises(InvalidInput, match=r"holds readme.md, where interactions.parquet"):
        read_table(tmp_path)
    put(tmp_path, "a.inter", SAME["r.inter"])
    put(tmp_path, "b.inter", SAME["r.inter"])
    with pytest.raises(
        InvalidInput, match=r"a.inter, b.inter.*more than one table. Name the file itself"
    ):
        read_table(tmp_path)


# ---------------------------------------------------------------- refusals

REFUSED = {
    "ragged": (
        "r.csv",
        "user_id,item_id\n1,a\n\n2\n",
        r"r.csv, line 4: 1 column separated by commas, where 2 were",
    ),
    "ragged, quoted": (
        "r.csv",
        'user_id,item_id\n"1","a\nb"\n2,3,4\n',
        r"line 4: 3 columns .* nothing was read",
    ),
    "ragged, tabs": (
        "r.tsv",
        "user_id\titem_id\n1\ta\tb\n",
        r"line 2: 3 columns separated by tabs",
    ),
    "ragged, inter": (
        "r.inter",
        "user_id:token\titem_id:token\n1\n",
        r"line 2: 1 column separated by tabs",
    ),
    "ragged, dat": (
        "r.dat",
        "1::2::3::4\n1::2::3\n",
        r"r.dat, line 2: 3 columns separated by '::', where 4",
    ),
    "single colons": (
        "r.dat",
        "1::2::3::4\n1:x:2::3::4\n",
        r"r.dat, line 2: fields are separated by single ':'",
    ),
    "ragged, data": (
        "u.data",
        "1\t2\t3\t4\n1\t2\t3\n",
        r"u.data, line 2: 3 columns separated by tabs",
    ),
    "open quote": (
        "r.csv",
        'user_id,item_id\n1,"a\n2,b\n',
        r"line 2: its quotes do not match.*Close the quote",
    ),
    "text after quote": ("r.csv", 'user_id,item_id\n1,"a"b\n', r"line 2: its quotes do not match"),
    "empty id": (
        "r.csv",
        "user_id,item_id\n1,a\n,b\n",
        r"line 3, column 'user_id': the id is empty. Remove the row",
    ),
    "empty id, inter": (
        "r.inter",
        "user_id:token\titem_id:token\n1\t\n",
        r"line 2, column 'item_id': the id is empty",
    ),
    "utf-8": (
        "r.csv",
        b"user_id,item_id\n1,a\n2,\xff\n",
        r"line 3: byte 22 is not valid UTF-8.*iconv",
    ),
    "utf-8, end": ("r.csv", b"user_id,item_id\n1,\xc3", r"line 2: byte 18 is not valid UTF-8"),
    "utf-16": ("r.csv", "user_id,item_id\n1,a\n".encode("utf-16"), r"line 1: byte \d+ is N"),
    "nul": ("r.csv", b"user_id,item_id\n1,a\0\n", r"line 2: byte 19 is NUL.*Export the file again"),
    "empty": ("r.csv", b"", r"r.csv is empty. A table needs at least a header"),
    "blank": ("r.parquet", b"\n \n", r"r.parquet is empty"),
    "zip": ("r.csv.zip", b"PK\x03\x04", r"r.csv.zip is a zip archive.*unpack or convert it first"),
    "pickle": ("r.pkl", b"\x80\x04K\x01.", r"is a pickle\. Parquet, CSV"),
    "truncated gzip": (
        "r.csv.gz",
        gzip.compress(b"user_id,item_id\n1,2\n" * 9)[:-9],
        r"truncated or damaged",
    ),
    "gzipped parquet": (
        "r.parquet.gz",
        gzip.compress(parquet_bytes(ROWS)),
        r"Parquet file compressed with gzip.*gunzip",
    ),
    "no header": ("r.csv", "1,10,5\n2,20,3\n", r"looks like data: add a header line"),
    "bad inter header": (
        "r.inter",
        "user_id\titem_id\n1\t2\n",
        r"line 1: the header of a .inter file.*name:type",
    ),
    "twice": (
        "r.csv",
        "user_id,item_id,item_id\n1,2,3\n",
        r"the column 'item_id' is there twice. Rename one",
    ),
    "twice, parquet": (
        "r.parquet",
        parquet_bytes(pa.Table.from_arrays([pa.array([1])] * 3, ["user_id", "item_id", "item_id"])),
        r"the column 'item_id' is there twice",
    ),
    "not parquet": ("r.parquet", b"\0" * 40, r"r.parquet is truncated or damaged"),
    "encrypted": ("r.parquet", b"PARE....PARE", r"is encrypted. Write it again without encryption"),
    "zstd, cut": (
        "r.csv.zst",
        pa.Codec("zstd").compress(b"user_id,item_id\n1,2\n" * 999, asbytes=True)[:-5],
        "damaged",
    ),
    "gzip, more": (
        "r.csv.gz",
        gzip.compress(b"user_id,item_id\n1,2\n") + b"more",
        "truncated or damaged",
    ),
    "sep alone": ("r.csv", "sep=;\n", "r.csv is empty. A table needs"),
    "json array, surrogate": (
        "r.json",
        r'[{"user_id":"\ud800","item_id":2}]',
        "r.json holds what no column can",
    ),
    "json array, cut": (
        "r.json",
        '[{"user_id":1,"item_id":2}',
        r"r.json is not a JSON array of objects \(.*nothing was",
    ),
    "json array, scalar": (
        "r.json",
        '[{"user_id":1,"item_id":2}, 7]',
        r"element 2: a number where an object such as",
    ),
    "json array, mixed": (
        "r.json",
        '[{"user_id":1,"item_id":2},{"item_id":3,"user_id":"1"}]',
        r"element 2: 'user_id' is a string, but a number at .*element 1. Use one type",
    ),
    "json array, twice": (
        "r.json",
        '[{"user_id":1,"user_id":1,"item_id":2}]',
        r"a key is there twice",
    ),
    "json array, left out": (
        "r.json",
        '[{"user_id":1,"item_id":2},{"item_id":2}]',
        r"element 2, column 'user_id': the id is",
    ),
    "json array, too long": (
        "r.json",
        '[{"user_id":1,"item_id":2},{"user_id":9223372036854775808,"item_id":2}]',
        r"element 2, column 'user_id': 9223372036854775808 is beyond 64-bit signed integers. Use "
        r"strings",
    ),
    "json array, nan": ("r.json", '[{"user_id":NaN,"item_id":2}]', r"NaN is no number of JSON"),
    "json array, fraction": (
        "r.json",
        '[{"user_id":1.0,"item_id":2},{"user_id":1.5,"item_id":2}]',
        r"element 2, column 'user_id': 1.5 is of type double",
    ),
    "json, too long": (
        "r.jsonl",
        '{"user_id":1,"item_id":2}\n\n{"user_id":18446744073709551616,"item_id":2}\n',
        r"line 3, column 'user_id': 18446744073709551616 is beyond 64-bit signed integers. Use "
        r"strings for such ids",
    ),
    "json, scalar": (
        "r.jsonl",
        '{"user_id":1,"item_id":2}\n7\n',
        r"line 2: a number where an object such as",
    ),
    "json, cut": (
        "r.jsonl",
        '{"user_id":1,"item_id":2}\n{"user_id":1',
        r"line 2: not a JSON object.*nothing was",
    ),
    "json, mixed": (
        "r.jsonl",
        '{"user_id":1,"item_id":2}\n\n{"user_id":"1","item_id":3}\n',
        r"line 3: 'user_id' is a string, but a number on line 1. Use one type",
    ),
    "json, same key": (
        "r.jsonl",
        '{"user_id":1,"user_id":2,"item_id":2}',
        r"line 1.*a key is there twice",
    ),
    "json, null": (
        "r.jsonl",
        '{"user_id":1,"item_id":2}\n\n{"user_id":null,"item_id":3}\n',
        r"line 3, column 'user_id': the id is missing. Remove the row",
    ),
    "json, left out": (
        "r.jsonl",
        '{"user_id":1,"item_id":2}\n{"user_id":1}',
        r"line 2, column 'item_id': the id is m",
    ),
    "json, fraction": (
        "r.jsonl",
        '{"user_id":1.5,"item_id":2}',
        r"line 1, column 'user_id': 1.5 is of type double",
    ),
    "json, deep": (
        "r.jsonl",
        '{"user_id":1,"item_id":2}\n{"user_id":' + "[" * 100_000 + "]" * 100_000 + "}",
        r"line 2: nested deeper than 64 levels",
    ),
    "json, list": (
        "r.jsonl",
        '{"user_id":[1],"item_id":2}',
        r"line 1, column 'user_id': \[1\] is of type list",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_malformed_files_are_refused_with_their_place(tmp_path, case):
    name, content, message = REFUSED[case]
    with pytest.raises(InvalidInput, match=message) as caught:
        read_table(put(tmp_path, name, content))
    assert str(tmp_path / name) in caught.value.message


@pytest.mark.parametrize("keep", [4, 30, -1, -8, -40])
def test_truncated_parquet(tmp_path, keep):
    path = put(tmp_path, "r.parquet", parquet_bytes(ROWS)[:keep])
    with pytest.raises(
        InvalidInput, match=r"r.parquet is truncated or damaged \(.*\). Copy or write it again"
    ):
        read_table(path)


@given(st.data())
def test_a_damaged_parquet_file_never_crashes(tmp_path_factory, data):
    content = bytearray(SAME["no-suffix"])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = put(tmp_path_factory.mktemp("damaged"), "r.parquet", bytes(content))
    try:
        table = read_table(path)
    except (InvalidInput, ResourceLimit):
        return
    assert table.column_names == ["user_id", "item_id"]


def test_a_dictionary_without_the_entry_that_is_asked_for():
    codes = pa.array([0, 2, 1], pa.int32())
    for entries in (["a", "b"], ["a", "a"]):  # a clean dictionary, and one that is decoded
        ids = pa.DictionaryArray.from_arrays(codes, pa.array(entries), safe=False)
        with pytest.raises(
            InvalidInput,
            match=r"row 2, column 'item_id': entry 2 of a dictionary of 2. The file is dam",
        ):
            read_table(pa.table({"user_id": [1, 2, 3], "item_id": ids}))


def test_a_footer_that_promises_too_much(tmp_path, monkeypatch):
    path = put(tmp_path, "r.parquet", parquet_bytes(ROWS))
    monkeypatch.setattr(parquet_module, "available_memory", lambda: 1)
    with pytest.raises(
        ResourceLimit, match=r"r.parquet: its footer promises 3 rows.*Split the file"
    ):
        read_table(path)


REFUSED_IDS = {
    "null": ([1, None], "row 2, column 'user_id': the id is missing"),
    "fraction": (
        [1.0, 2.5],
        "row 2, column 'user_id': 2.5 is of type double.*before they became fractions",
    ),
    "nan": (
        [1.0, float("nan")],
        r"row 2, column 'user_id': the id is missing \(NaN\). Remove the row",
    ),
    "infinite": ([1.0, float("inf")], r"row 2, column 'user_id': inf is beyond 2\^53"),
    "too large a double": (
        [1.0, 2.0**53 + 2],
        r"row 2, column 'user_id': 9007199254740994.0 is beyond 2\^53, from wh",
    ),
    "too large a float": (
        pa.array([1, 2.0**25], pa.float32()),
        r"row 2, .*: 33554432.0 is beyond 2\^24",
    ),
    "decimal fraction": (
        [Decimal("1.00"), Decimal("2.50")],
        "row 2, column 'user_id': 2.50 is not a whole number",
    ),
    "decimal too large": (
        [Decimal(1), Decimal(2**63)],
        "row 2, .*: 9223372036854775808 is beyond 64-bit signed",
    ),
    "bool": ([True, False], "row 1, column 'user_id': True is of type bool"),
    "all null": (pa.nulls(2), "row 1, column 'user_id': the id is missing"),
    "uint64": (
        pa.array([1, 2**63], pa.uint64()),
        "row 2, column 'user_id': 9223372036854775808 is beyond 64-bit",
    ),
    "empty": (["a", ""], "row 2, column 'user_id': the id is empty"),
    "date": ([datetime.date(2020, 1, 1)] * 2, "row 1, column 'user_id': .* is of type date32"),
    "no bytes": ([b"a", b""], "row 2, column 'user_id': the id is empty"),
    "null decimal": ([Decimal(1), None], "row 2, column 'user_id': the id is missing"),
    "not utf-8": (
        pa.array([b"a", b"\xff"]).view(pa.string()),
        "row 2, column 'user_id': the id is not valid UTF-8",
    ),
    "null in dictionary": (
        pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["a", None])),
        "row 2, column 'user_id': the id is missing",
    ),
}


@pytest.mark.parametrize("case", REFUSED_IDS)
def test_ids_that_are_refused(case):
    column, message = REFUSED_IDS[case]
    with pytest.raises(InvalidInput, match="the table, " + message):
        read_table(pa.table({"user_id": column, "item_id": [1, 2]}))


def test_mixed_ids_in_pandas_are_refused():
    with pytest.raises(
        InvalidInput, match=r"the table could not be turned.*user_id.*Give every column one type"
    ):
        read_table(pd.DataFrame({"user_id": [1, "1"], "item_id": [1, 2]}))


BAD_CONFIDENCE = [float("nan"), float("inf"), 0.0, -1.0, 1e308]


@pytest.mark.parametrize("value", BAD_CONFIDENCE)
def test_bad_confidences_name_row_and_value(tmp_path, value):
    rule = "1 + 40 * w" if abs(value) in (1, 1e308) else "w"
    path = put(tmp_path, "r.csv", f"user_id,item_id,w\n1,a,1\n2,b,{value}\n")
    with pytest.raises(InvalidInput, match=r"r.csv, line 3, column 'w': ") as caught:
        read_table(path, ReadingOptions(confidence=rule))
    assert re.search(r"finite number", caught.value.message)
    assert re.search(r"[Rr]emove the row", caught.value.message)
    table = pa.table({"user_id": [1, 2], "item_id": [1, 2], "w": [1.0, value]})
    with pytest.raises(InvalidInput, match=r"the table, row 2, column 'w'"):
        read_table(table, ReadingOptions(confidence=rule))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_bad_targets_and_thresholds(value):
    table = pa.table({"user_id": [1, 2], "item_id": [1, 2], "rating": [1.0, value]})
    with pytest.raises(InvalidInput, match=r"the table, row 2, column 'rating': .*remove the row"):
        read_table(table, ReadingOptions(target="rating"))
    if value == float("inf"):
        with pytest.raises(
            InvalidInput, match=r"the table, row 2, column 'rating': .*remove the row"
        ):
            read_table(table, ReadingOptions(threshold=0))


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
def test_what_is_missing_is_not_at_least_the_threshold(missing):
    values = (
        ["5", missing, "4", "1", missing] if missing == "" else [5.0, missing, 4.0, 1.0, missing]
    )
    table = pa.table({"user_id": [1, 2, 3, 4, 5], "item_id": list("abcde"), "rating": values})
    for options in (ReadingOptions(threshold=4), ReadingOptions(threshold=4, target="rating")):
        found = read_table(table, options)
        assert (found["user_id"].to_pylist(), found["item_id"].to_pylist()) == ([1, 3], ["a", "c"])
        assert Interactions.read(table, options).unrated == 2
    if missing == "":
        for kind in (pa.string_view(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())):
            same = table.set_column(2, "rating", table["rating"].cast(kind))
            assert Interactions.read(same, ReadingOptions(threshold=4)).unrated == 2
    assert Interactions.read(table.slice(2, 2), ReadingOptions(threshold=4)).unrated == 0
    bad = table.set_column(2, "rating", [["5", None, "4", "many", ""]])
    with pytest.raises(InvalidInput, match="row 4, column 'rating': 'many' is not a number"):
        read_table(bad, ReadingOptions(threshold=4))
    # without a threshold a number has to be there
    with pytest.raises(InvalidInput, match="row 2, column 'rating'"):
        read_table(table, ReadingOptions(target="rating"))


def test_a_confidence_may_be_a_function():
    table = pa.table({"user_id": [1, 2, 3], "item_id": [1, 2, 3], "n": [0, 4, 50]})
    for rule, expected in (
        ("1 + log1p(n)", 1 + np.log1p([0, 4, 50])),
        ("2 * clip(n, 1, 20)", [2, 8, 40]),
    ):
        found = read_table(table, ReadingOptions(confidence=rule))
        np.testing.assert_allclose(found["confidence"].to_numpy(), expected)
    with pytest.raises(
        InvalidInput, match=r"row 1, column 'n': the confidence is -inf \(from n = 0\)"
    ):
        read_table(table, ReadingOptions(confidence="log(n)"))


def test_rows_below_the_threshold_need_no_confidence():
    table = pa.table(
        {"user_id": [1, 2, 3], "item_id": [1, 2, 3], "rating": [0, 4, 5], "w": [1, 2, 0]}
    )
    assert (
        read_table(table.slice(0, 2), ReadingOptions(threshold=1, confidence="rating")).num_rows
        == 1
    )
    with pytest.raises(InvalidInput, match="row 3, column 'w': the confidence is 0, where"):
        read_table(table, ReadingOptions(threshold=1, confidence="w"))


def test_values_of_other_types():
    table = pa.table(
        {"user_id": [1], "item_id": [1], "b": [True], "s": ["x"], "f": [1.5], "d": ["2020-01-01"]}
    )
    with pytest.raises(
        InvalidInput, match="column 'b': True is of type bool, where a number was expected"
    ):
        read_table(table, ReadingOptions(target="b"))
    with pytest.raises(
        InvalidInput, match=r"row 1, column 's': 'x' is not a number. Correct the value"
    ):
        read_table(table, ReadingOptions(target="s"))
    with pytest.raises(InvalidInput, match=r"row 1, column 'f': 1.5 is not a whole number"):
        read_table(table, ReadingOptions(timestamp_column="f"))
    assert read_table(table, ReadingOptions(timestamp_column="d"))["timestamp"].to_pylist() == [
        1577836800
    ]
    with pytest.raises(InvalidInput, match="row 1, column 's': 'x' is not a number"):
        read_table(table, ReadingOptions(timestamp_column="s"))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "userId,item_id",
            r"no column 'user_id'.*columns are: userId, item_id. Did you mean "
            r"'userId'\?.*--user-column",
        ),
        (
            "user_id,itemid",
            r"no column 'item_id'.*Did you mean 'itemid'\? Say which .*--item-column",
        ),
        ("user_id,zzz", r"no column 'item_id'.*--item-column NAME, or rename it"),
    ],
)
def test_missing_columns_are_named(tmp_path, header, message):
    for path in (
        put(tmp_path, "r.csv", header + "\n1,2\n"),
        put(tmp_path, "r.parquet", parquet_bytes({name: [1] for name in header.split(",")})),
    ):
        with pytest.raises(InvalidInput, match=message):
            read_table(path)
    with pytest.raises(InvalidInput, match=message):
        read_table(pd.DataFrame({name: [1] for name in header.split(",")}))


def test_missing_value_columns_are_named():
    table = pa.table({"user_id": [1], "item_id": [1], "ratings": [1]})
    for options, flag in [
        (ReadingOptions(threshold=1), "--threshold-column ratings"),
        (ReadingOptions(confidence="1 + 2 * rating"), "--confidence ratings"),
        (ReadingOptions(target="rating"), "--target ratings"),
        (
            ReadingOptions(timestamp_column="rating"),
            "Did you mean 'ratings'.*--timestamp-column ratings",
        ),
    ]:
        with pytest.raises(InvalidInput, match=rf"the table has no column 'rating'.*{flag}"):
            read_table(table, options)
    names = {"target": "--rating", "threshold_column": None}
    with pytest.raises(InvalidInput, match="--rating ratings, or rename"):
        read_table(table, ReadingOptions(target="rating"), names=names)
    with pytest.raises(
        InvalidInput, match=r"Did you mean 'ratings'\? Rename the column to 'rating'"
    ):
        read_table(table, ReadingOptions(threshold=1), names=names)


# ---------------------------------------------------------------- what may be opened


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(NotFound, match=r"nowhere.csv does not exist. Check the path"):
        read_table(tmp_path / "nowhere.csv")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere.csv")
    with pytest.raises(NotFound, match=r"link is a link to nothing"):
        read_table(tmp_path / "link")
    with pytest.raises(NotFound):
        read_table(put(tmp_path, "file", "x") / "below")
    for path in ("x" * 300, "a\0b"):
        with pytest.raises(InvalidInput, match="is not a usable path"):
            read_table(tmp_path / path)
    with pytest.raises(
        InvalidInput, match=r"int is not a path and has no __arrow_c_stream__. Pass a file"
    ):
        read_table(7)


def test_special_files_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link"):
        with pytest.raises(
            InvalidInput, match=rf"{name} is a named pipe, not a plain file, and was not opened"
        ):
            read_table(tmp_path / name)
    with pytest.raises(InvalidInput, match="is a character device"):
        read_table("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(InvalidInput, match="is a socket"):
            read_table(tmp_path / "s")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "part-0.parquet")
    with pytest.raises(InvalidInput, match=r"part-0.parquet is a named pipe"):
        read_table(tmp_path / "folder")


def test_a_link_to_a_plain_file_is_read(tmp_path):
    (tmp_path / "link.csv").symlink_to(put(tmp_path, "r.csv", SAME["r.csv"]))
    assert read_table(tmp_path / "link.csv").num_rows == 3


def test_a_file_that_changes_while_it_is_read(tmp_path, monkeypatch):
    path = put(tmp_path, "r.csv", SAME["r.csv"])
    from alteraser.data.readers import _text

    def grow(source):
        path.write_bytes(path.read_bytes() + b"7,x,1,1\n")
        return source_module.check_text(source)

    monkeypatch.setattr(_text, "check_text", grow)
    with pytest.raises(IntegrityError, match=r"r.csv changed while it was read. Run again"):
        read_table(path)


def test_a_row_longer_than_a_block(tmp_path, monkeypatch):
    from alteraser.data.readers import _text, jsonlines

    monkeypatch.setattr(_text, "BLOCK", 64)
    monkeypatch.setattr(jsonlines, "BLOCK", 64)
    long = "x" * 1000
    with pytest.raises(ResourceLimit, match=r"r.csv: a row is longer than"):
        read_table(put(tmp_path, "r.csv", f"user_id,item_id\n1,2\n1,{long}\n1,2\n"))
    with pytest.raises(ResourceLimit, match=r"r.jsonl: a line is longer than"):
        read_table(put(tmp_path, "r.jsonl", f'{{"user_id":1,"item_id":"{long}"}}\n' * 2))
    with pytest.raises(ResourceLimit, match=r"line 2: a field is longer than"):
        read_table(put(tmp_path, "q.csv", f'user_id,item_id\n1,"{"x" * 200_000}"\n'))


@pytest.mark.parametrize("rows", [3, 200_000])
def test_many_blocks_are_one_table(tmp_path, rows):
    numbers = np.arange(rows)
    lines = [f"u{i % 977},{i}" for i in numbers]
    lines[-1] = "u1,-0"
    path = put(tmp_path, "r.csv", "user_id,item_id\n" + "\n".join(lines))
    table = read_table(path)
    assert table["item_id"].to_pylist()[-2:] == [str(rows - 2), "-0"]
    assert len(table["user_id"].chunk(0).dictionary) == min(rows - 1, 977)


def test_formats_have_names_and_suffixes_of_their_own():
    suffixes = [suffix for form in FORMATS for suffix in form.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert len({form.name for form in FORMATS}) == len(FORMATS)


# ---------------------------------------------------------------- options


@given(
    st.builds(
        ReadingOptions,
        threshold=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        confidence=st.sampled_from([None, "count", "1 + 40 * rating", ".5+1e-3*my column"]),
        target=st.none() | st.text(min_size=1, max_size=4),
        timestamp_column=st.none() | st.just("when"),
        duplicates=st.sampled_from(["refuse", "first", "last", "sum"]),
    )
)
def test_options_survive_json(options):
    assert ReadingOptions.model_validate(json.loads(options.model_dump_json())) == options


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"user_column": "a", "item_column": "a"}, "Name two different columns"),
        ({"confidence": "1 + x * y"}, "names two columns, x and y"),
        ({"confidence": "1 + x *"}, "neither a column nor a rule.*Write for example"),
        (
            {"confidence": "bm25(x)"},
            "statistic of all data .bm25., which is for models of other libraries",
        ),
        ({"confidence": " "}, "neither a column nor a rule"),
        ({"threshold": float("nan")}, "finite"),
        ({"duplicates": "maybe"}, "duplicates"),
        ({"user_colum": "u"}, "user_colum"),
        ({"target": ""}, "target"),
    ],
)
def test_options_that_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ReadingOptions(**fields)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("log(n)", np.log),
        ("log1p(n)", np.log1p),
        ("sqrt(n)", np.sqrt),
        ("min(n, 3)", lambda x: np.minimum(x, 3)),
        ("clip(n, 2, 3)", lambda x: np.clip(x, 2, 3)),
        ("1 + 2 * log1p(n)", lambda x: 1 + 2 * np.log1p(x)),
    ],
)
def test_confidence_target_and_rating_take_the_same_rules(
    rule: str, expected: Callable[[np.ndarray], np.ndarray]
) -> None:
    from alteraser.data.readers._options import rating_rule

    n = np.array([1.5, 2.0, 40.0])
    table = pa.table({"user_id": [1, 2, 3], "item_id": [1, 2, 3], "n": n})
    for name in ("confidence", "target"):
        found = read_table(table, ReadingOptions(**{name: rule}))
        np.testing.assert_allclose(found[name].to_numpy(), expected(n))
    np.testing.assert_allclose(rating_rule(rule).rows(n), expected(n))


def test_targets_that_are_no_numbers_are_refused_by_row() -> None:
    table = pa.table({"user_id": [1, 2], "item_id": [1, 2], "n": [1.0, -1.0]})
    with pytest.raises(InvalidInput, match=r"row 2.*the target is nan \(from n = -1\)"):
        read_table(table, ReadingOptions(target="log(n)"))
    with pytest.raises(ValueError, match="target 'bm25\\(n\\)' is a statistic of all data"):
        ReadingOptions(target="bm25(n)")
