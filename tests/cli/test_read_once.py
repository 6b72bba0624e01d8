"""DATA are parsed once and each of its id columns is converted once, whatever is asked for of
them."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from conftest import Run

from alteraser.data import ids
from alteraser.data.readers import ReadingOptions, _table, write_rows
from alteraser.data.sheet import Sheet

FIXTURES = Path(__file__).parent.parent / "adapters" / "fixtures"
FORMATS = ("csv", "csv.gz", "csv.zst", "tsv", "jsonl", "parquet", "folder", "folder of text")


class Counted:
    """Which sources were parsed, and how long the id columns were that were converted."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.parsed: list[str] = []
        self.converted: list[int] = []
        self.encoded: list[int] = []
        read_raw, identifiers, encode = _table.read_raw, _table.identifiers, ids.encoded

        def reading(source: Any, wanted: Any) -> Any:
            self.parsed.append(str(source))
            return read_raw(source, wanted)

        def converting(column: Any, *rest: Any) -> Any:
            self.converted.append(len(column))
            return identifiers(column, *rest)

        def encoding(values: Any, *rest: Any) -> Any:
            self.encoded.append(len(values))
            return encode(values, *rest)

        patch.setattr(_table, "read_raw", reading)
        patch.setattr(_table, "identifiers", converting)
        patch.setattr(ids, "encoded", encoding)

    def check(self, data: str, rows: int) -> None:
        assert self.parsed.count(data) == 1
        assert self.converted.count(rows) == 2  # the users', the items'
        assert [length for length in self.encoded if length >= rows] == [rows, rows]


def stored(table: pa.Table, form: str) -> str:
    """The path of ``table`` in a format."""
    if form == "folder":
        Path("parts").mkdir()
        write_rows(table.slice(0, 300), "parts/part-0.parquet")
        write_rows(table.slice(300), "parts/part-1.parquet")
        return "parts"
    if form == "folder of text":
        for day, part in (("1", table.slice(0, 300)), ("2", table.slice(300))):
            Path(f"days/day={day}").mkdir(parents=True)
            write_rows(part, f"days/day={day}/part.csv.gz")
        return "days"
    write_rows(table, f"stored.{form}")
    return f"stored.{form}"


@pytest.mark.parametrize("form", FORMATS)
def test_a_chained_forget_with_remaining(
    form: str, run: Run, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pacsv.read_csv(world / "data.csv")
    data = stored(table, form)
    assert run(f"train {data} --model popularity --threshold 2 --out first -q")[0] == 0
    Path("users.csv").write_text("user_id\n7\n8\n")
    assert (
        run(f"forget first users.csv --data {data} --out second --remaining left.csv.gz -q")[0] == 0
    )
    rows = pacsv.read_csv("left.csv.gz").num_rows
    counted = Counted(monkeypatch)
    line = "forget second {w}/forget.csv --data left.csv.gz --out third --remaining rest.csv --json"
    code, out, err = run(line)
    assert code == 0, err
    counted.check("left.csv.gz", rows)
    assert json.loads(out)["interactions_forgotten"] > 0
    gone = {
        (row["user_id"], row["item_id"]) for row in pacsv.read_csv(world / "forget.csv").to_pylist()
    }
    wanted = [
        row
        for row in table.to_pylist()
        if row["user_id"] not in (7, 8) and (row["user_id"], row["item_id"]) not in gone
    ]
    rest = pacsv.read_csv("rest.csv")
    assert rest.select(table.column_names).to_pylist() == wanted


@pytest.mark.parametrize(
    "asked",
    ["", "--remaining rest.csv", "--remaining rest.csv --since 50", "--dry-run", "--strict"],
)
@pytest.mark.parametrize("model", ["model", "knn"])
def test_whatever_is_asked_for(
    model: str, asked: str, run: Run, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pacsv.read_csv(world / "data.csv")
    write_rows(table.append_column("timestamp", pa.array(range(table.num_rows))), "timed.csv")
    kind = "--model item-knn" if model == "knn" else "--factors 2 --max-passes 3"
    assert run(f"train timed.csv {kind} --threshold 2 --out {model} -q")[0] == 0
    counted = Counted(monkeypatch)
    code, _, err = run(
        f"forget {model} {{w}}/forget.csv --data timed.csv --out new -q --accept d {asked}"
    )
    assert code == 0, err  # also with --strict: rows below the threshold are in the data
    counted.check("timed.csv", table.num_rows)


@pytest.mark.parametrize(
    "asked",
    ["", "--remaining rest.csv", "--dry-run", "--threshold 2 --threshold-column plays --unchecked"],
)
def test_for_another_librarys_model(asked: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("als.npz", "data.csv"):
        shutil.copyfile(FIXTURES / "implicit" / name, name)
    Path("forget.csv").write_text("user_id,item_id\n1,4\n3,24\n")
    counted = Counted(monkeypatch)
    line = (
        "forget als.npz forget.csv --data data.csv --rating plays --rows-are-ids --method "
        "local --accept d -q"
    )
    code, _, err = run(f"{line} --out new.npz {asked}")
    assert code == 0, err
    counted.check("data.csv", pacsv.read_csv("data.csv").num_rows)


@pytest.mark.parametrize("ids_are", ["integers", "text", "a dictionary", "decimals"])
@pytest.mark.parametrize("every_column", [False, True])
def test_a_sheet_is_what_reading_gives(ids_are: str, every_column: bool, tmp_path: Path) -> None:
    """By two routes, with a threshold that takes some users away whole."""
    from decimal import Decimal

    from alteraser import Interactions

    users = [5, 3, 5, 9, 3, 7]
    column = {
        "integers": pa.array(users),
        "text": pa.array([f"u{u}" for u in users]),
        "a dictionary": pa.array([f"u{u}" for u in users]).dictionary_encode(),
        "decimals": pa.array([Decimal(u) for u in users]),
    }[ids_are]
    table = pa.table(
        {
            "user_id": column,
            "item_id": ["a", "b", "c", "a", "a", "c"],
            "rating": [5, 1, 4, 1, 3, None],
        }
    )
    write_rows(table, tmp_path / "d.parquet")
    reading = ReadingOptions(threshold=3)
    sheet = Sheet.read(tmp_path / "d.parquet", reading, every_column=every_column)
    one, other = sheet.interactions(), Interactions.read(tmp_path / "d.parquet", reading)
    assert one.users == other.users
    assert one.items == other.items
    assert (one.digest, one.unrated, one.converted) == (
        other.digest,
        other.unrated,
        other.converted,
    )
    known = Interactions.from_table(pa.table({"user_id": column, "item_id": table["item_id"]}))
    within = sheet.interactions((known.users, known.items))
    assert within.users is known.users
    assert within.digest == one.in_rows_of(known.users, known.items).digest == one.digest
    if every_column:
        gone = one.remove([sheet.users.ids.ids[0].as_py()], whole_users=True)
        left = sheet.without(gone.removed, gone.selection)
        assert left.num_rows == sum(u != sorted(users)[0] for u in users)


def test_gzip_is_gzip(run: Run) -> None:
    """The tables above are what they are called."""
    write_rows(pa.table({"user_id": [1]}), "t.csv.gz")
    assert gzip.decompress(Path("t.csv.gz").read_bytes()) == b"user_id\n1\n"
