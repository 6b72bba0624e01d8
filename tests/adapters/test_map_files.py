"""Id maps in the forms that people keep them in: what is read, what is refused, what scrubbing
leaves."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from contract import FIXTURES
from hypothesis import given
from hypothesis import strategies as st

from alteraser.adapters import Changed, ForeignOptions, find
from alteraser.adapters.idmaps import map_files, read_id_map, scrub_map
from alteraser.adapters.map_files import oriented, writable
from alteraser.data.ids import IdMap
from alteraser.errors import IntegrityError, InvalidInput

NAMES = ["cat", "ann", "bob", "dan"]
NUMBERS = [30, 2, 11, 5]
ROWS = [2, 0, 3, 1]


def expected(ids: list[str] | list[int]) -> IdMap:
    return IdMap(pa.array(ids), np.arange(len(ids)), len(ids))


def as_json(document: object) -> Callable[[Path], None]:
    return lambda path: path.write_text(json.dumps(document)) and None


FORMS: dict[str, tuple[Callable[[Path], None], list[str] | list[int]]] = {
    "list.json": (as_json(NAMES), NAMES),
    "id-row.json": (as_json({name: row for row, name in enumerate(NAMES)}), NAMES),
    "row-id.json": (as_json(dict(enumerate(NAMES))), NAMES),
    "numbers-row-id.json": (as_json(dict(enumerate(NUMBERS))), NUMBERS),
    "numbers-id-row.json": (
        as_json({str(i): row for row, i in enumerate(NUMBERS)}),
        [str(i) for i in NUMBERS],
    ),
    "from-one.json": (as_json({row: row + 1 for row in range(4)}), [1, 2, 3, 4]),
    "same-both-ways.json": (as_json({"0": 1, "1": 0, "2": 2, "3": 3}), ["1", "0", "2", "3"]),
    "text.npy": (lambda path: np.save(path, np.array(NAMES)), NAMES),
    "bytes.npy": (lambda path: np.save(path, np.array([name.encode() for name in NAMES])), NAMES),
    "numbers.npy": (lambda path: np.save(path, np.array(NUMBERS, np.int32)), NUMBERS),
    "series.csv": (lambda path: pd.Series(NAMES).to_csv(path), NAMES),
    "series-numbers.csv": (lambda path: pd.Series(NUMBERS).to_csv(path), NUMBERS),
    "named.csv": (lambda path: pd.Series(NAMES, name="user_id").to_csv(path), NAMES),
    "alone.csv": (lambda path: pd.DataFrame({"user_id": NAMES}).to_csv(path, index=False), NAMES),
    "frame.csv": (
        lambda path: pd.DataFrame({"user_id": NAMES}).sample(frac=1, random_state=1).to_csv(path),
        NAMES,
    ),
    "frame-low.csv": (
        lambda path: pd.DataFrame({"user_id": [3, 2, 0, 1]}).to_csv(path),
        [3, 2, 0, 1],
    ),
    "rows.csv": (
        lambda path: pd.DataFrame({"row": ROWS, "user_id": [NAMES[row] for row in ROWS]}).to_csv(
            path
        ),
        NAMES,
    ),
    "of-ids.csv": (
        lambda path: pd.Series(ROWS, index=[NAMES[row] for row in ROWS]).to_csv(path),
        NAMES,
    ),
    "of-ids-row.csv": (
        lambda path: pd.Series(ROWS, index=[NAMES[row] for row in ROWS], name="row").to_csv(path),
        NAMES,
    ),
    "of-named-ids.csv": (
        lambda path: pd.Series(
            ROWS, index=pd.Index([NAMES[row] for row in ROWS], name="user_id")
        ).to_csv(path),
        NAMES,
    ),
    "reset.csv": (
        lambda path: pd.Series(NAMES, name="user_id").reset_index().to_csv(path, index=False),
        NAMES,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_read_and_scrubbed_in_its_place(tmp_path: Path, form: str) -> None:
    path = tmp_path / form
    write, names = FORMS[form]
    write(path)
    ids = read_id_map(path, "user", 4)
    assert ids == expected(names)
    foreign = replace(
        find(FIXTURES / "implicit" / "als.npz").read(
            FIXTURES / "implicit" / "als.npz", ForeignOptions()
        ),
        user_ids=ids,
    )
    (sibling,) = map_files(ForeignOptions(users_map=path))
    if form == "numbers.npy":  # nothing in it could stand for a row without an id
        assert sibling.scrub is None
        assert "every other row where it is" in sibling.advice
        return
    assert writable(path)
    scrub_map(path)(foreign, Changed(erased_users=np.array([1])))
    again = read_id_map(path, "user", 4)
    left = expected(names).without([1])
    assert (again.rows.tolist(), again.size) == (left.rows.tolist(), 4)
    assert [str(name) for name in again.ids.to_pylist()] == [
        str(name) for name in left.ids.to_pylist()
    ]


@given(st.permutations(range(5)))
def test_a_pairing_that_reads_differently_both_ways_is_refused(rows: list[int]) -> None:
    if all(rows[row] == place for place, row in enumerate(rows)):
        assert oriented([str(i) for i in range(5)], rows, 5, Path("m")) == "value"
    else:
        with pytest.raises(
            InvalidInput, match=r"keys and values are both rows \(0 … 4\).*list of ids in row order"
        ):
            oriented([str(i) for i in range(5)], rows, 5, Path("m"))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"0": "ann", "1": "bob"},
            "has 2 rows, the model 4: an object of row → id has every row from 0",
        ),
        ({"0": "ann", "1": "bob", "2": "cat", "4": "dan"}, "has 4 rows, the model 4"),
        ({"0": "ann", "1": "ann", "2": "cat", "3": "dan"}, "has an id twice"),
        ({"0": None, "1": None, "2": None, "3": None}, "names no row"),
        ({"0": 1.5, "1": 2, "2": 3, "3": 4}, "mix types|not supported"),
        ({"a": 0.5}, "expected a list of ids in row order, or an object of id → row"),
        ("ann", "expected a list of user ids in row order, or an object"),
        ({"12": 4}, "row 4 is not one of the model's 4 user rows"),
    ],
)
def test_objects_that_are_no_maps(tmp_path: Path, document: object, message: str) -> None:
    (tmp_path / "m.json").write_text(json.dumps(document))
    with pytest.raises(InvalidInput, match=message):
        read_id_map(tmp_path / "m.json", "user", 4)


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"ann": 0, "bob": 1, "cat": 2, "dan": 3, "ann": 3}')
    with pytest.raises(InvalidInput, match="the key 'ann' is there twice"):
        read_id_map(tmp_path / "m.json", "user", 4)


def test_arrays_that_are_no_maps(tmp_path: Path) -> None:
    for name, values, message in (
        (
            "objects",
            np.array(["ann", 3], dtype=object),
            "Python objects, which is a pickle, and was not read. Save the",
        ),
        ("fractions", np.array([1.0, 2.0]), "is float64 of shape .2,.: expected ids in row order"),
        ("square", np.array([[1, 2], [3, 4]]), r"of shape \(2, 2\): expected ids in row order"),
        ("short", np.array([1, 2]), "has 2 ids, the model 4 user rows"),
        ("bytes", np.array([b"\xff", b"a", b"b", b"c"]), "ids that are not UTF-8"),
    ):
        np.save(tmp_path / f"{name}.npy", values)
        with pytest.raises(InvalidInput, match=message):
            read_id_map(tmp_path / f"{name}.npy", "user", 4)
    np.save(tmp_path / "cut.npy", np.array(NAMES))
    whole = (tmp_path / "cut.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-3])
    with pytest.raises(IntegrityError, match="it is damaged"):
        read_id_map(tmp_path / "cut.npy", "user", 4)


class Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('was run')",))


def test_pickles_are_refused_by_name_and_not_run(tmp_path: Path) -> None:
    for name in ("map.pkl", "map.bin", "map.joblib", "map.json"):
        (tmp_path / name).write_bytes(pickle.dumps(Harm()))
        with pytest.raises(
            InvalidInput, match=r"--items-map .*map.* is a pickle.*write the map once as JSON"
        ):
            read_id_map(tmp_path / name, "item", 4)


def test_a_table_of_pandas_that_can_be_read_both_ways_is_refused(tmp_path: Path) -> None:
    # ",0": ids 2, 0, 3, 1 of the rows 0 … 3, or rows of the ids
    pd.Series(ROWS).to_csv(tmp_path / "m.csv")
    with pytest.raises(InvalidInput, match="keys and values are both rows"):
        read_id_map(tmp_path / "m.csv", "user", 4)
    pd.DataFrame({"user_id": NAMES, "age": [1, 2, 3, 4]}).drop(columns="user_id").assign(
        a=NAMES, b=NAMES
    ).to_csv(tmp_path / "n.csv")
    with pytest.raises(InvalidInput, match="expected row and user_id, or the ids alone"):
        read_id_map(tmp_path / "n.csv", "user", 4)
