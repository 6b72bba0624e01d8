"""Text that does not say what it is in the usual way: headers, none, comments, separators, blocks
and lists."""

from __future__ import annotations

import codecs
import csv
import gzip
import shlex
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.data.readers import (
    ReadingOptions,
    read_forget_table,
    read_rows,
    read_table,
    write_rows,
)
from alteraser.errors import InvalidInput

PAIRS = {"user_id": [1, 1, 2], "item_id": ["a", "b", "a"]}


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def pairs(path, **settings):
    return read_table(path, ReadingOptions(**settings)).select(["user_id", "item_id"]).to_pydict()


# ---------------------------------------------------------------- headers

HEADED = {
    "ratings.dat": "user_id::item_id::rating::timestamp\n1::a::5::9\n1::b::2::9\n2::a::4::9\n",
    "movielens.dat": "UserID::MovieID::Rating::Timestamp\n1::a::5::9\n1::b::2::9\n2::a::4::9\n",
    "u.data": "user_id\titem_id\trating\ttimestamp\n1\ta\t5\t9\n1\tb\t2\t9\n2\ta\t4\t9\n",
    "spaces.csv": " user_id , item_id ,rating\n1,a,5\n1,b,2\n2,a,4\n",
    "quoted spaces.csv": '"user_id "," item_id"\n1,a\n1,b\n2,a\n',
    "comma in a name.csv": '"a, b";"user_id";"item_id"\nx;1;a\nx;1;b\nx;2;a\n',
    "commas in a name.csv": "stars, of five, or none;user_id;item_id\n5;1;a\n2;1;b\n4;2;a\n",
    "excel.csv": "sep=;\r\nuser_id;item_id\r\n1;a\r\n1;b\r\n2;a\r\n",
    "excel, bom.csv": codecs.BOM_UTF8 + b"sep=;\r\nuser_id;item_id\r\n1;a\r\n1;b\r\n2;a\r\n",
    "excel, quoted.csv": '"sep=|"\nuser_id|item_id\n1|a\n1|b\n2|a\n',
    "comment.csv": "# exported on Monday, by hand\n\n#\n% and "
    "again\nuser_id,item_id\n1,a\n1,b\n2,a\n",
    "commented.csv": "# user_id,item_id\n1,a\n1,b\n2,a\n",
    "comment and header.csv": "#user_id,item_id\nuser_id,item_id\n1,a\n1,b\n2,a\n",
    "numbered.csv": "#,user_id,item_id\n0,1,a\n1,1,b\n2,2,a\n",
    "blank.csv": " \n\r\n\t\nuser_id,item_id\n1,a\n1,b\n2,a\n",
    "space.txt": "user_id item_id\n1 a\n1 b\n2 a\n",
    "old mac.csv": "user_id,item_id\r1,a\r1,b\r2,a\r",
    "mixed newlines.csv": "user_id,item_id\r\n1,a\n1,b\r2,a",
    "long name.csv": '"' + "x" * 70_000 + '",user_id,item_id\n0,1,a\n0,1,b\n0,2,a\n',
    "newline in a name.csv": '"a\nb",user_id,item_id\n0,1,a\n0,1,b\n0,2,a\n',
    "spaces behind commas.csv": "user_id, item_id, rating\n1, a, 5\n1, b, 2\n2, a, 4\n",
    "tabs in a csv.csv": "user_id\titem_id\n1\ta\n1\tb\n2\ta\n",
    "bar.txt": "user_id||item_id\n1||a\n1||b\n2||a\n",
}


@pytest.mark.parametrize("name", HEADED)
def test_a_header_is_found_where_it_is(tmp_path, name):
    settings = {"separator": "||"} if name == "bar.txt" else {}
    path = put(tmp_path, name, HEADED[name])
    assert pairs(path, **settings) == PAIRS
    rows = read_rows(path, ReadingOptions(**settings))
    assert {side: rows[side].to_pylist() for side in PAIRS} == PAIRS


@pytest.mark.parametrize("name", HEADED)
def test_a_line_behind_any_header_is_named_by_its_number(tmp_path, name):
    content = HEADED[name] if isinstance(HEADED[name], bytes) else HEADED[name].encode()
    cell = content.rindex(b"a")
    path = put(tmp_path, name, content[:cell] + content[cell + 1 :])
    text = content.decode().replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    with pytest.raises(
        InvalidInput, match=f", line {len(text.splitlines())}, column 'item_id': the id is empty"
    ):
        pairs(path, separator="||" if name == "bar.txt" else None)


REPEATED = {
    "r.csv": ("user_id,item_id,rating\n", "{},{},{}\n"),
    "r.tsv": ("user_id\titem_id\trating\n", "{}\t{}\t{}\n"),
    "semicolon.csv": ('"user_id";"item_id";"rating"\n', '"{}";"{}";"{}"\n'),
    "r.inter": ("user_id:token\titem_id:token\trating:float\n", "{}\t{}\t{}\n"),
    "r.dat": ("user_id::item_id::rating::timestamp\n", "{}::{}::{}::9\n"),
    "MovieLens.dat": ("UserID::MovieID::Rating::Timestamp\n", "{}::{}::{}::9\n"),
    "r.csv.gz": ("user_id,item_id,rating\n", "{},{},{}\n"),
}


@pytest.mark.parametrize("name", REPEATED)
@pytest.mark.parametrize("ids", [(1, 2), ("u1", "v2")])
def test_a_repeated_header_is_refused_by_its_line(tmp_path, name, ids):
    header, row = REPEATED[name]
    rows = row.format(*ids, 5) * 2
    for again in (header, "\ufeff" + header, header.replace("user_id", " user_id")):
        content = (header + rows + again + rows).encode()
        path = put(tmp_path, name, gzip.compress(content) if name.endswith("gz") else content)
        for read in (
            lambda path: read_table(path, ReadingOptions(duplicates="first")),
            read_forget_table,
            read_rows,
        ):
            with pytest.raises(
                InvalidInput, match=rf"{name}, line 4: a header \(.*\) where a row was expected"
            ):
                read(path)


def test_headers_of_files_that_were_put_together_in_another_order_or_words(tmp_path):
    first = "user_id,item_id\n1,2\n3,4\n"
    for again in ("item_id,user_id", "userId,movieId", "UID,ASIN"):
        for rows in (first, first.replace("1", "u1").replace("3", "u3")):
            with pytest.raises(InvalidInput, match="line 4: a header"):
                pairs(put(tmp_path, "r.csv", f"{rows}{again}\n5,6\n"))
    with pytest.raises(
        InvalidInput, match=r"line 4: 'who' and 'what', where every other row has integers"
    ):
        pairs(put(tmp_path, "r.csv", first + "who,what\n5,6\n"))
    assert (
        pairs(put(tmp_path, "r.csv", "user_id,item_id\nuser,1\nuser_id,x\nu1,item_id\n"))[
            "item_id"
        ][0]
        == "1"
    )
    assert pairs(
        put(tmp_path, "r.csv", "a,b,c\nb,c,a\nc,a,b\n"), user_column="a", item_column="b"
    ) == {"user_id": ["b", "c"], "item_id": ["c", "a"]}


def test_a_mark_between_files_that_were_put_together(tmp_path):
    with pytest.raises(InvalidInput, match="line 3: begins with a byte order mark"):
        pairs(put(tmp_path, "r.csv", "user_id,item_id\n1,2\n\ufeff3,4\n"))
    with pytest.raises(InvalidInput, match="line 2: begins with a byte order mark"):
        pairs(put(tmp_path, "r.csv", "1,2\n\ufeff3,4\n"), column_names=("user_id", "item_id"))


def test_an_id_may_begin_with_a_mark_in_quotes(tmp_path):
    table = pa.table({"user_id": ["\ufeffx", "x"], "item_id": ["a", "b"]})
    for suffix in ("csv", "tsv", "inter", "jsonl", "parquet"):
        write_rows(table, tmp_path / f"r.{suffix}")
        assert read_rows(tmp_path / f"r.{suffix}").to_pydict() == table.to_pydict()


def test_a_space_of_one_row_is_a_part_of_its_id(tmp_path):
    assert pairs(put(tmp_path, "r.csv", "user_id, item_id\n1, 2\n1,3\n"))["item_id"] == [" 2", "3"]
    assert pairs(put(tmp_path, "r.csv", "user_id,item_id\n1, 2\n1, 3\n"))["item_id"] == [" 2", " 3"]


def test_a_list_of_users_with_its_header_twice(tmp_path):
    path = put(tmp_path, "f.csv", "user_id\n1\nuser_id\n2\n")
    with pytest.raises(InvalidInput, match="line 3: a header"):
        read_forget_table(path)


# ---------------------------------------------------------------- no header

NAMED = ReadingOptions(
    column_names=("user_id", "item_id", "rating", "timestamp"),
    target="rating",
    timestamp_column="timestamp",
)
ROWS = {
    "user_id": ["A1", "A2"],
    "item_id": ["0001", "0002"],
    "target": [5.0, 3.5],
    "timestamp": [10, 20],
}


@pytest.mark.parametrize("cut", [",", "\t", ";", "|", "::", " "])
@pytest.mark.parametrize("said", [True, False])
def test_rows_without_a_header_under_given_names(tmp_path, cut, said):
    text = "A1,0001,5.0,10\nA2,0002,3.5,20\n".replace(",", cut)
    options = NAMED.model_copy(update={"separator": cut if said else None})
    for name in ("r.txt", "r.csv", "r"):
        assert read_table(put(tmp_path, name, text), options).to_pydict() == ROWS
        assert (
            read_table(put(tmp_path, name, codecs.BOM_UTF8 + text.encode()), options).to_pydict()
            == ROWS
        )


def test_names_win_over_a_known_layout(tmp_path):
    names = ("item_id", "user_id", "rating", "timestamp")
    for text in ("1::2::3::4\n", "1\t2\t3\t4\n"):
        assert pairs(put(tmp_path, "r.dat", text), column_names=names) == {
            "user_id": [2],
            "item_id": [1],
        }


def test_check_ins(tmp_path):
    path = put(tmp_path, "totalCheckins.txt", "0\t2010-10-19T23:55:27Z\t30.23\t-97.79\t22847\n")
    options = ReadingOptions(
        column_names=("user_id", "when", "", "", "item_id"), timestamp_column="when"
    )
    assert read_table(path, options).to_pydict() == {
        "user_id": [0],
        "item_id": [22847],
        "timestamp": [1287532527],
    }
    assert read_rows(path, options).column_names == ["user_id", "when", "item_id"]


def test_a_file_with_a_header_says_it_itself(tmp_path):
    """What is written of the data, and what is to be forgotten of them, is read by the options of
    the data."""
    for name, text in {
        "rest.csv": "user_id,item_id\nA1,0001\n",
        "rest.tsv": "item_id\tuser_id\n0001\tA1\n",
        "rest.jsonl": '{"user_id":"A1","item_id":"0001"}\n',
    }.items():
        for settings in (
            {"column_names": ("user_id", "item_id", "rating"), "separator": ";"},
            {"layout": "netflix"},
            {"layout": "adjacency"},
        ):
            assert pairs(put(tmp_path, name, text), **settings) == {
                "user_id": ["A1"],
                "item_id": ["0001"],
            }


def test_an_id_may_begin_like_a_comment(tmp_path):
    settings = {"column_names": ("user_id", "item_id")}
    assert pairs(put(tmp_path, "r.csv", "#tag,1\n%x,2\n"), **settings)["user_id"] == ["#tag", "%x"]
    assert pairs(put(tmp_path, "r.csv", "% bip unweighted\n# \n1 2\n3 4\n"), **settings)[
        "user_id"
    ] == [1, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("userId,movieId\n1,2\n", r"line 1 is a header \('userId,movieId'\).*Leave the names out"),
        ("\nmovieId,userId\n1,2\n", r"line 2 is a header"),
        ("who,what\n1,2\n3,4\n", r"line 1: 'who' and 'what', where every other row has integers"),
        (
            "1,2,3\n",
            r"line 1: 2 columns were named, user_id, item_id, and the line has 3 by commas, "
            r".*--separator",
        ),
        ("1,2\n1\n", r"line 2: 1 column separated by commas, where 2 were expected"),
        ("1,2\nuser_id,item_id\n", r"line 2: a header"),
    ],
)
def test_names_that_do_not_fit(tmp_path, text, message):
    with pytest.raises(InvalidInput, match=message):
        pairs(put(tmp_path, "r.csv", text), column_names=("user_id", "item_id"))


@pytest.mark.parametrize(
    "row", ["ann,tea,4.5,2005-09-06", "ann,tea,4.5,978300760", "ann,tea,-1,2005-09-06T00:00:00Z"]
)
def test_a_header_in_unknown_words_over_numbers(tmp_path, row):
    names = ("user_id", "item_id", "rating", "when")
    for header in ("login,drink,stars,day", "login,drink,,day_1"):
        with pytest.raises(
            InvalidInput,
            match=r"line 1 is a header \('login,drink,.*--user-column and --item-column",
        ):
            pairs(
                put(tmp_path, "r.csv", f"{header}\n{row}\nbob,jam,{row[8:]}\n"), column_names=names
            )
    assert pairs(put(tmp_path, "r.csv", f"{row}\nbob,jam,nan,never\n"), column_names=names)[
        "user_id"
    ] == ["ann", "bob"]
    first = "ann,tea,none,never\n"
    with pytest.raises(InvalidInput, match="line 1 is a header"):  # it cannot be told from one
        pairs(put(tmp_path, "r.csv", f"{first}{row}\n"), column_names=names)


def test_what_a_file_without_a_header_may_be_is_said(tmp_path):
    for text, said in (
        ("A1,0001,5.0,10\n", "--columns user_id,item_id,rating,timestamp."),
        ("1:\n7,3,2005-09-06\n", "pass --layout netflix"),
        ("0 5 7 9\n1 5\n", "pass --layout adjacency"),
        ("1,2\n3,4\n", "--columns user_id,item_id."),
        ("196 242 3 881\n1 2 3 4\n", "--columns user_id,item_id,rating,timestamp."),
    ):
        path = put(tmp_path, "r.txt", text)
        with pytest.raises(InvalidInput, match="no column 'user_id'") as caught:
            read_table(path)
        assert said in caught.value.message
        nowhere = dict.fromkeys(("user_column", "column_names"))
        with pytest.raises(
            InvalidInput,
            match=r"first line looks like data: add a header line with the names of the c",
        ):
            read_table(path, names=nowhere)


@pytest.mark.parametrize("name", ["user id", "user's", "$(user)", "a;b"])
def test_suggestions_can_be_pasted(tmp_path, name):
    path = put(tmp_path, "r.tsv", f"{name}\titem_id\n1\t2\n")
    with pytest.raises(InvalidInput) as caught:
        read_table(path, ReadingOptions(user_column=name.upper()))
    words = shlex.split(
        caught.value.message.partition("with --user-column ")[2].replace(", or rename it.", "")
    )
    assert words == [name]


# ---------------------------------------------------------------- decimal commas


def test_decimal_commas(tmp_path):
    path = put(tmp_path, "r.csv", "user_id;item_id;rating\n1;2;3,5\n1;3;4\n2;2;0,25\n")
    options = ReadingOptions(target="rating", decimal=",")
    assert read_table(path, options)["target"].to_pylist() == [3.5, 4.0, 0.25]
    assert read_table(path, ReadingOptions(threshold=1, decimal=",")).num_rows == 2
    assert (
        read_table(path, ReadingOptions(confidence="1 + 2 * rating", decimal=","))["confidence"][
            0
        ].as_py()
        == 8.0
    )
    assert read_rows(path, options)["rating"].to_pylist() == ["3,5", "4", "0,25"]
    with pytest.raises(
        InvalidInput,
        match=r"line 2, column 'rating': '3,5' is not a number; with --decimal , it is",
    ):
        read_table(path, ReadingOptions(target="rating"))
    for value in ("1.234", "1.234,5", "1,234,5"):
        path = put(tmp_path, "r.csv", f"user_id;item_id;rating\n1;2;{value}\n")
        with pytest.raises(
            InvalidInput, match=r"line 2, column 'rating'.*(has a point|is not a number)"
        ):
            read_table(path, options)


# ---------------------------------------------------------------- blocks and lists

netflix = st.lists(
    st.tuples(
        st.integers(1, 99), st.lists(st.tuples(st.integers(1, 999), st.integers(1, 5)), max_size=4)
    ),
    max_size=4,
)


@given(netflix, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_netflix_blocks(tmp_path_factory, blocks, newline, blank):
    lines, expected = [], []
    for item, rows in blocks:
        lines.append(f"{item}:")
        for user, rating in rows:
            lines += [f"{user},{rating},2005-09-06", *([""] if blank else [])]
            expected.append((user, item, rating, 1125964800))
    path = put(
        tmp_path_factory.mktemp("n"),
        "combined_data_1.txt",
        newline.join([*lines, "1:", "7,5,2005-09-06"]),
    )
    table = read_table(
        path, ReadingOptions(layout="netflix", target="rating", timestamp_column="timestamp")
    )
    assert [tuple(row.values()) for row in table.to_pylist()] == [*expected, (7, 1, 5, 1125964800)]


def test_a_folder_of_netflix_blocks(tmp_path):
    put(tmp_path, "mv_0000001.txt", "1:\n7,5,2005-09-06\n")
    put(tmp_path, "mv_0000002.txt", "2:\n7,1,2005-09-07\n8,2,2005-09-06\n")
    put(tmp_path, "movie_titles.txt", "1,2003,Dinosaur Planet\n")
    assert pairs(tmp_path, layout="netflix") == {"user_id": [7, 7, 8], "item_id": [1, 2, 2]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "7,5,2005-09-06\n1:\n",
            r"line 1: '7,5,2005-09-06', a row before the first item, such as 1:",
        ),
        ("1:\n\n7,5\n", r"line 3: '7,5', expected user,rating,date"),
        ("1:\n7,5,2005-09-06\n2:x\n", r"line 3: '2:x', expected an item"),
        ("1:\n,5,2005-09-06\n", r"line 2, column 'user_id': the id is empty"),
    ],
)
def test_blocks_that_are_none(tmp_path, text, message):
    with pytest.raises(InvalidInput, match=message):
        pairs(put(tmp_path, "n.txt", text), layout="netflix")


lists_of_items = st.lists(st.integers(0, 999), max_size=4, unique=True)


@given(
    st.dictionaries(st.integers(0, 99), lists_of_items, min_size=1, max_size=5),
    st.sampled_from([" ", "\t", "  "]),
    st.sampled_from(["", " "]),
)
def test_adjacency_lists(tmp_path_factory, lists, between, end):
    text = "\n".join(between.join(map(str, [user, *items])) + end for user, items in lists.items())
    path = put(tmp_path_factory.mktemp("a"), "train.txt", text)
    found = pairs(path, layout="adjacency")
    expected = [(user, item) for user, items in lists.items() for item in items]
    assert list(zip(found["user_id"], found["item_id"], strict=True)) == expected
    forget = read_forget_table(path, ReadingOptions(layout="adjacency"))
    assert forget.items is not None
    assert forget.items.to_pylist() == [item for _, item in expected]


def test_lists_under_the_names_of_the_options(tmp_path):
    path = put(tmp_path, "train.txt", "u1 a b\nu2\n\nu3 c\n")
    table = read_rows(
        path, ReadingOptions(layout="adjacency", user_column="who", item_column="what")
    )
    assert table.to_pydict() == {"who": ["u1", "u1", "u3"], "what": ["a", "b", "c"]}


# ---------------------------------------------------------------- quotes between tabs


def test_quotes_between_tabs_are_characters_where_they_close_nothing(tmp_path):
    text = (
        'user_id\titem_id\tname\nu1\ta\t"weird al" yankovic\nu1\tb\t"\nu2\ta\tsay "hi\nu2\tc\t"\n'
    )
    path = put(tmp_path, "plays.tsv", text)
    assert pairs(path) == {"user_id": ["u1", "u1", "u2", "u2"], "item_id": ["a", "b", "a", "c"]}
    assert read_rows(path)["name"].to_pylist() == ['"weird al" yankovic', '"', 'say "hi', '"']
    quoted = put(tmp_path, "q.tsv", '"user_id"\t"item_id"\n"1"\t"a\tb"\n"1"\t"x\ny"\n')
    assert pairs(quoted) == {"user_id": [1, 1], "item_id": ["a\tb", "x\ny"]}
    with pytest.raises(InvalidInput, match="its quotes do not match"):
        pairs(put(tmp_path, "bad.tsv", 'user_id\titem_id\n1\t"a\tb"c\n'))


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n\t\ufeff"), max_size=4).map(
    lambda cell: cell + "7"
)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=4))
def test_what_csv_writes_between_tabs_is_read_again(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "r.tsv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t").writerows([("user_id", "item_id"), *rows])
    found = pairs(path)
    assert [
        (str(u), str(v)) for u, v in zip(found["user_id"], found["item_id"], strict=True)
    ] == rows


# ---------------------------------------------------------------- the options


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"separator": "abc"}, "'abc' is not one character, or one twice"),
        ({"separator": '"'}, "is not one character"),
        ({"separator": "\n"}, "is not one character"),
        (
            {"column_names": ("user_id", "rating")},
            "names 'item_id' 0 times, where every column is named in its order",
        ),
        ({"column_names": ("user_id", "item_id", "item_id")}, "names 'item_id' 2 times"),
        ({"column_names": ("user_id", "item_id", "x", "x")}, "names a column twice"),
        (
            {"column_names": ("user_id", "item_id"), "layout": "netflix"},
            "the layout netflix has columns of its own",
        ),
        ({"layout": "matrix"}, "netflix"),
        ({"decimal": ";"}, "decimal"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ReadingOptions(**settings)


def test_only_what_was_said_is_written_down():
    assert (
        not {"column_names", "separator", "decimal", "layout"}
        & ReadingOptions().model_dump().keys()
    )
    said = ReadingOptions(column_names=("user_id", "item_id"), separator="tab", decimal=",")
    assert said.separator == "\t"
    assert ReadingOptions.model_validate_json(said.model_dump_json()) == said
    assert ReadingOptions(**said.model_dump()) == said


def test_frames_and_typed_files_need_none_of_it(tmp_path):
    options = ReadingOptions(column_names=("user_id", "item_id"), separator=";", decimal=",")
    assert read_table(pa.table({"user_id": [1], "item_id": [2]}), options).to_pydict() == {
        "user_id": [1],
        "item_id": [2],
    }
