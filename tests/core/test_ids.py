"""Ids to rows and back, whatever the ids are made of."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.data.ids import IdMap, as_id_array, convert_ids, id_kind
from alteraser.errors import InvalidInput

INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(
    ["", " ", "\x00", "\n", "1", "01", "é", "e\u0301", "\u202e", "😀"]
)
LISTS = st.lists(INTEGERS, max_size=30) | st.lists(TEXT, max_size=30)
FULL_LISTS = st.lists(INTEGERS, min_size=1, max_size=30) | st.lists(TEXT, min_size=1, max_size=30)


def in_order(values: list) -> list:
    """Distinct values in the order of rows: numbers by value, text by its bytes."""
    return sorted(set(values), key=lambda v: v.encode() if isinstance(v, str) else v)


# ------------------------------------------------------------------ building


@given(LISTS)
def test_rows_are_ranks_among_the_sorted_distinct_ids(values: list) -> None:
    ids, rows = IdMap.build(values)
    expected = in_order(values)
    assert ids.ids.to_pylist() == expected
    assert rows.tolist() == [expected.index(value) for value in values]
    assert (len(ids), ids.size, ids.rows.tolist()) == (
        len(expected),
        len(expected),
        list(range(len(expected))),
    )


@given(FULL_LISTS, st.randoms(use_true_random=False))
def test_the_map_does_not_depend_on_the_order_of_the_input(values: list, random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert IdMap.build(values)[0] == IdMap.build(shuffled)[0]


@given(FULL_LISTS, st.integers(0, 30))
def test_every_container_gives_the_same_map(values: list, cut: int) -> None:
    array = pa.array(values)
    chunked = pa.chunked_array([array[:cut], array[cut:]])
    wide = array.cast(pa.large_string()) if pa.types.is_string(array.type) else array
    containers = [
        array,
        chunked,
        wide,
        array.dictionary_encode(),
        chunked.dictionary_encode(),
        tuple(values),
    ]
    # two chunks, each with a dictionary of its own, and a slice that does not use all of its
    # dictionary
    containers.append(
        pa.chunked_array([part.dictionary_encode() for part in (array[:cut], array[cut:])])
    )
    containers.append(pa.concat_arrays([array, array]).dictionary_encode()[len(array) :])
    expected, rows = IdMap.build(values)
    for container in containers:
        found, found_rows = IdMap.build(container)
        assert found == expected
        np.testing.assert_array_equal(found_rows, rows)


def test_only_ids_of_a_dictionary_that_are_used_get_a_row() -> None:
    column = pa.DictionaryArray.from_arrays(
        pa.array([2, 0, 2], pa.int8()), pa.array(["c", "unused", "a"])
    )
    ids, rows = IdMap.build(column)
    assert ids.ids.to_pylist() == ["a", "c"]
    assert rows.tolist() == [0, 1, 0]


def test_a_dictionary_that_holds_an_id_twice() -> None:
    ids, rows = IdMap.build(
        pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["ann", "ann"]))
    )
    assert ids.ids.to_pylist() == ["ann"]
    assert rows.tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [pa.int8(), pa.uint16(), pa.int32(), pa.uint64()])
def test_integers_of_every_width_are_the_same_ids(dtype: pa.DataType) -> None:
    assert IdMap.build(pa.array([3, 1, 3], dtype))[0] == IdMap.build([3, 1])[0]


# ------------------------------------------------------------------ there and back


@given(FULL_LISTS)
def test_rows_of_and_ids_of_are_inverse(values: list) -> None:
    ids, rows = IdMap.build(values)
    np.testing.assert_array_equal(ids.rows_of(values), rows)
    assert ids.ids_of(rows).to_pylist() == values
    assert ids.ids_of([]).to_pylist() == []


@given(st.lists(TEXT, max_size=10), st.lists(TEXT, max_size=10))
def test_unknown_ids_have_row_minus_one(known: list[str], asked: list[str]) -> None:
    ids, _ = IdMap.build(pa.array(known, pa.string()))
    expected = [in_order(known).index(value) if value in known else -1 for value in asked]
    assert ids.rows_of(asked).tolist() == expected
    assert ids.rows_of(np.array(asked, object) if asked else []).tolist() == expected


@pytest.mark.parametrize("rows", [[2], [-1], [0, 7], [1, 1, 2]])
def test_a_row_without_an_id_is_named(rows: list[int]) -> None:
    with pytest.raises(IndexError, match=f"row {rows[-1]} has no id"):
        IdMap.build(["a", "b"])[0].ids_of(rows)
    with pytest.raises(IndexError, match=f"row {rows[0]} has no id"):
        IdMap.build([])[0].ids_of(rows)


# ------------------------------------------------------------------ growing and shrinking


@given(st.lists(INTEGERS, max_size=10), st.lists(INTEGERS, max_size=10))
def test_extended_moves_no_row_and_sorts_the_new_ones_behind(
    old: list[int], new: list[int]
) -> None:
    before, _ = IdMap.build(old)
    after = before.extended(new)
    assert after.ids.to_pylist() == in_order(old) + in_order(list(set(new) - set(old)))
    assert after.rows.tolist() == list(range(len(set(old) | set(new))))
    assert before == IdMap.build(old)[0]
    assert after.extended(new) == after


@given(
    st.lists(TEXT, min_size=1, max_size=10),
    st.sets(st.integers(-1, 12)),
    st.lists(TEXT, max_size=5),
)
def test_without_keeps_the_rows_and_never_gives_them_out_again(
    old: list[str], gone: set[int], new: list[str]
) -> None:
    before, _ = IdMap.build(old)
    after = before.without(list(gone))
    kept = {value: row for row, value in enumerate(in_order(old)) if row not in gone}
    assert dict(zip(after.ids.to_pylist(), after.rows.tolist(), strict=True)) == kept
    assert after.size == before.size
    assert after.rows_of(in_order(old)).tolist() == [kept.get(value, -1) for value in in_order(old)]
    assert after.ids_of(after.rows).equals(after.ids)
    again = after.extended(old + new)
    fresh = set(again.rows.tolist()) - set(kept.values())
    assert not fresh or min(fresh) >= before.size
    assert again.rows_of(list(kept)).tolist() == list(kept.values())


def test_maps_are_equal_by_ids_rows_and_size() -> None:
    ids = IdMap.build(["a", "b"])[0]
    assert ids == IdMap.build(["b", "a"])[0]
    assert ids != IdMap.build(["a", "c"])[0]
    assert ids != ids.extended(["c"])
    assert ids.extended(["c"]).without([2]) != ids, "an empty row counts"
    assert IdMap.build([1])[0] != IdMap.build(["1"])[0]
    assert ids != ["a", "b"]
    with pytest.raises(TypeError, match="unhashable"):
        hash(ids)
    with pytest.raises(FrozenInstanceError):
        ids.size = 5  # type: ignore[misc]


# ------------------------------------------------------------------ "1" and 1


@given(st.lists(INTEGERS, min_size=1, max_size=10))
def test_integers_and_their_text_find_each_other(values: list[int]) -> None:
    text = [str(value) for value in values]
    numbers, names = IdMap.build(values)[0], IdMap.build(text)[0]
    assert numbers.ids_of(numbers.rows_of(text)).to_pylist() == values
    assert names.ids_of(names.rows_of(values)).to_pylist() == text
    assert convert_ids(convert_ids(pa.array(values), "string"), "int64").to_pylist() == values


@given(TEXT | st.integers().map(str))
def test_text_converts_to_an_integer_exactly_if_that_integer_prints_as_the_text(text: str) -> None:
    try:
        number = int(text)
    except ValueError:
        number = 2**63
    if str(number) == text and -(2**63) <= number < 2**63:
        assert convert_ids(pa.array([text]), "int64").to_pylist() == [number]
    else:
        with pytest.raises(InvalidInput):
            convert_ids(pa.array([text]), "int64")


@pytest.mark.parametrize(
    "text", ["01", "+1", "-0", " 1", "1 ", "1\n", "1.0", "1_0", "", "x", "١", "1e3", "\x001"]
)
def test_text_that_would_change_is_refused_by_name(text: str) -> None:
    ids, _ = IdMap.build([1, 10])
    with pytest.raises(InvalidInput) as error:
        ids.rows_of(["1", text, "y"], "users")
    assert error.value.message.startswith(
        f"users: {text!r} is a string, but the ids here are integers"
    )
    assert "write ids as they were in the training data" in error.value.message
    with pytest.raises(InvalidInput, match="does not convert without loss"):
        ids.extended([text])


@pytest.mark.parametrize(
    "text", ["9223372036854775808", "-9223372036854775809", "9" * 19, "9" * 40]
)
def test_text_beyond_64_bits_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput, match=f"users.*{text}"):
        IdMap.build([1])[0].rows_of([text], "users")


def test_an_id_among_strings_is_itself_and_nothing_else() -> None:
    ids, _ = IdMap.build(["1", "01", "é", "e\u0301"])
    assert len(ids) == 4
    assert ids.rows_of([1]).tolist() == ids.rows_of(["1"]).tolist()
    assert ids.rows_of(["1 ", "1\x00", "E\u0301"]).tolist() == [-1, -1, -1]


# ------------------------------------------------------------------ what is no id


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["a", 1], "items mix types .*use integers or strings, never both"),
        ([1, "a"], "items mix types"),
        (np.array(["a", 1], object), "items mix types"),
        (["a", float("nan")], "items mix types"),
        ([1, None], "items: entry 1 is null; every id must be given"),
        (pa.chunked_array([["a", "b"], ["c", None]]), "items: entry 3 is null"),
        (pa.chunked_array([["a", "b"], ["c", None]]).dictionary_encode(), "items: entry 3 is null"),
        ([1.0], "ids of type double are not supported: use integers or strings"),
        ([True], "ids of type bool are not supported"),
        ([b"a"], "ids of type binary are not supported"),
        ([(1, 2)], "ids of type list<.*> are not supported"),
        (pa.array([1.5, 2.5]).dictionary_encode(), "items: entry 0: 1.5 is of type double"),
        (
            np.array([2**63], np.uint64),
            "items: .*9223372036854775808.*; ids must fit in 64-bit signed integers",
        ),
    ],
    ids=str,
)
def test_what_is_neither_an_integer_nor_a_string_is_refused(values: object, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        as_id_array(values, "items")
    with pytest.raises(InvalidInput, match=said.replace("items", "ids")):
        IdMap.build(values)
    with pytest.raises(InvalidInput, match=said):
        IdMap.build([1])[0].rows_of(values, "items")


def test_a_python_integer_beyond_64_bits_is_refused() -> None:
    with pytest.raises(InvalidInput, match="64-bit"):
        as_id_array([2**63])


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(InvalidInput, match="ids"):
        as_id_array(["\ud800"])


def test_a_single_string_is_not_a_list_of_its_letters() -> None:
    with pytest.raises(InvalidInput, match="ids"):
        as_id_array("ann")


def test_a_null_within_a_dictionary_is_seen() -> None:
    with pytest.raises(InvalidInput, match="entry 1 is null"):
        as_id_array(pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a", None])))


def test_no_ids_are_integers_unless_they_say_otherwise() -> None:
    assert as_id_array([]).type == pa.int64()
    assert as_id_array(pa.array([], pa.large_string())).type == pa.string()
    assert as_id_array(pa.chunked_array([], pa.string())).type == pa.string()
    ids, rows = IdMap.build(pa.array([], pa.string()))
    assert (ids.kind, ids.size, rows.tolist()) == ("string", 0, [])
    assert ids.rows_of(["a", "b"]).tolist() == [-1, -1]
    assert ids.rows_of([]).dtype == np.int64
    assert ids.extended(["b", "a"]).ids.to_pylist() == ["a", "b"]


def test_kinds_of_arrow_types() -> None:
    kinds = {id_kind(t) for t in (pa.int8(), pa.uint64(), pa.dictionary(pa.int8(), pa.int32()))}
    assert kinds == {"int64"}
    kinds = {
        id_kind(t)
        for t in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.large_string()))
    }
    assert kinds == {"string"}
    for dtype in (
        pa.float32(),
        pa.bool_(),
        pa.binary(),
        pa.date32(),
        pa.dictionary(pa.int8(), pa.float64()),
    ):
        with pytest.raises(InvalidInput, match="use integers or strings"):
            id_kind(dtype)


@pytest.mark.parametrize("kind", ["int64", "string"])
def test_a_few_ids_are_searched_and_many_hashed_alike(kind: str) -> None:
    values = [i * 7 - 300 for i in range(2000)]
    known = [str(v) if kind == "string" else v for v in values]
    ids, rows = IdMap.build(pa.array(known))
    asked = [
        known[5],
        known[0],
        known[-1],
        "zz" if kind == "string" else 4,
        known[1234],
        "-" if kind == "string" else -(9**9),
    ]
    few = ids.rows_of(pa.array(asked))
    many = ids.rows_of(pa.array(asked + known))[: len(asked)]
    assert few.tolist() == many.tolist() == [rows[5], rows[0], rows[-1], -1, rows[1234], -1]
    # ids appended later are not sorted, and are found all the same
    longer = ids.extended(pa.array(["0a"] if kind == "string" else [-(10**6)]))
    assert longer.rows_of(pa.array(["0a"] if kind == "string" else [-(10**6)])).tolist() == [2000]
