"""Files of features, contexts and further relations: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.data.ids import Coded, IdMap
from alteraser.data.readers import Raw, ReadingOptions
from alteraser.data.sheet import Sheet
from alteraser.data.side.attributes import read_attributes
from alteraser.data.side.contexts import context_columns
from alteraser.data.side.features import Numbers, Words, feature, words
from alteraser.data.side.given import Given
from alteraser.data.side.links import Links
from alteraser.data.side.relations import read_join, read_relation
from alteraser.data.side.spec import EntityFile, FeatureFile, RelationFile
from alteraser.errors import InvalidInput


def links(pairs: list[tuple[str, str]], name: str = "data", **more: object) -> Links:
    heads, tails = (Coded(*IdMap.build(list(column))) for column in zip(*pairs, strict=True))
    return Links(name, "user", "item", heads, tails, **more)  # type: ignore[arg-type]


ITEMS = {"item_id": ["a", "b", "c"], "genre": ["x|y", "", "y"], "year": [2000.0, None, 2010.0]}


@pytest.mark.parametrize("form", ["csv", "parquet", "lists"])
def test_words_lists_and_numbers_are_the_same_in_every_format(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"items.{'csv' if form == 'csv' else 'parquet'}"
    if form == "csv":
        path.write_text("item_id,genre,year\na,x|y,2000\nb,,\nc,y,2010\n")
    else:
        columns = ITEMS | ({"genre": [["x", "y", "x"], [], ["y"]]} if form == "lists" else {})
        pq.write_table(pa.table(columns), path)
    found = read_attributes(FeatureFile.parse(f"{path}:genre,year=number", ""), "item", "item_id")
    genre, year = found.features
    assert genre.matrix().toarray().tolist() == [[0.5, 0.5], [0, 0], [0, 1]]
    assert year.matrix().toarray().ravel().tolist() == [-1.0, 0.0, 1.0]
    assert genre.missing.tolist() == year.missing.tolist() == [1]
    wanted = read_attributes(FeatureFile(path, kinds=(("year", "number"),)), "item", "item_id")
    assert wanted.digest == found.digest


def test_whole_numbers_are_codes_where_they_are_few(tmp_path: Path) -> None:
    many = pa.chunked_array([list(range(40))])
    assert isinstance(feature("x", many, str), Numbers)
    assert isinstance(feature("x", pa.chunked_array([[1, 2, 1]]), str), Words)
    assert isinstance(feature("x", many, str, "category"), Words)
    with pytest.raises(InvalidInput, match="is not a number"):
        feature("x", pa.chunked_array([["a"]]), str, "number")


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["0.5", "", "12.25"], Numbers),
        (["1.50", "0.99", "10.00"], Numbers),
        (["1e-05", "2.5", "-3"], Numbers),
        ([str(x) for x in range(40)] + [""], Numbers),
        (["1", "", "2"], Words),
        (["007", "12.5", "1"], Words),
        (["1.2.3", "1.5"], Words),
        (["1.5", "n/a"], Words),
        (["", ""], Words),
    ],
)
def test_numbers_in_text_are_numbers_also_where_one_is_missing(
    tmp_path: Path, cells: list[str], kind: type
) -> None:
    """Text has no types: neither a cell without a value nor how prices are written makes words of
    numbers. A type that is there is never guessed at.
    """
    path = tmp_path / "items.csv"
    path.write_text("item_id,x\n" + "".join(f"{i},{x}\n" for i, x in enumerate(cells)))
    (found,) = read_attributes(FeatureFile(path), "item", "item_id").features
    assert isinstance(found, kind)
    assert found.missing.tolist() == [i for i, x in enumerate(cells) if not x]
    table = pa.table({"item_id": range(len(cells)), "x": cells})
    (typed,) = read_attributes(FeatureFile(table), "item", "item_id").features
    assert isinstance(typed, Words)


def test_tokens_of_an_atomic_file_are_words(tmp_path: Path) -> None:
    """RecBole writes several with spaces between them."""
    path = tmp_path / "items.item"
    path.write_text("item_id:token\tgenre:token_seq\tname:token\n1\tx y\tx y\n2\t\tz\n3\t5\tz\n")
    genre, name = read_attributes(FeatureFile(path), "item", "item_id").features
    assert isinstance(genre, Words)
    assert isinstance(name, Words)
    assert genre.values.ids.ids.to_pylist() == ["5", "x", "y"]
    assert genre.missing.tolist() == [1]
    assert name.values.ids.ids.to_pylist() == ["x y", "z"]


@pytest.mark.parametrize("size", ["1.0", "-0.0", "0.0", "7", "2.5", "-3.0", "1e300", "12.50"])
def test_a_word_does_not_depend_on_other_rows(tmp_path: Path, size: str) -> None:
    """Among numbers, beside a missing value, beside a text, and in a list."""
    found = set()
    for other in ("2.0", "3.5", "", "x", "2.0|4.0"):
        path = tmp_path / "items.csv"
        path.write_text(f"item_id,x\n0,{size}\n1,{other}\n")
        column = read_attributes(FeatureFile(path, kinds=(("x", "category"),)), "item", "item_id")
        (said,) = column.features
        assert isinstance(said, Words)
        found.add(said.values.ids.ids[int(said.values.rows[0])].as_py())
        assert said.holders(size).tolist() == [0]
    assert len(found) == 1


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=4), min_size=1, max_size=6))
def test_taking_rows_of_words_is_taking_rows_of_their_matrix(lists: list[list[str]]) -> None:
    whole = words("x", pa.chunked_array([lists], pa.list_(pa.string())))
    rows = np.random.default_rng(len(lists)).integers(0, len(lists), 5)
    part, names = whole.take(rows), whole.values.ids.ids.to_pylist()
    dense = whole.matrix().toarray()[rows]
    kept = [names.index(x) for x in part.values.ids.ids.to_pylist()]
    assert np.array_equal(part.matrix().toarray(), dense[:, kept])
    assert not np.delete(dense, kept, axis=1).any()
    assert not whole.without(rows).matrix().toarray()[rows].any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item_id,g\na,x\na,y\n", "'a' has a row before already"),
        ("item_id,h\na,x\n", "has no column 'g'"),
        ("film,g\na,x\n", "has no column 'item_id'"),
        ("item_id,g\n,x\n", "the id is empty"),
        ("item_id,g,g\na,x,y\n", "has 2 columns 'g': rename all but one"),
        ("item_id,item_id,g\na,b,x\n", "has 2 columns 'item_id': rename all but one"),
    ],
)
def test_bad_tables_of_features_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "items.csv"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=message):
        read_attributes(FeatureFile(path, ("g",)), "item", "item_id", option="--item-features")


def test_a_table_of_ids_alone_teaches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id\na\n")
    with pytest.raises(InvalidInput, match="has no column but 'item_id': there is nothing to"):
        read_attributes(FeatureFile(path), "item", "item_id")


def test_a_column_that_is_there_twice_is_never_guessed_at(tmp_path: Path) -> None:
    known = {"user": IdMap.build(["u", "v"])[0], "item": IdMap.build(["a", "b"])[0]}
    views, graph, items = (tmp_path / name for name in ("views.csv", "kg.csv", "items.csv"))
    views.write_text("user_id,item_id,user_id\nu,a,v\n")
    graph.write_text("head,relation,tail,tail\n7,by,x,y\n")
    items.write_text("item_id,node,node\na,7,8\n")
    twice = pa.table([pa.array(["a"]), pa.array(["b"])], names=["x", "x"])
    for read in (
        lambda: read_relation(RelationFile.parse(f"views={views}"), known),
        lambda: read_relation(RelationFile.parse(f"kg={graph}"), known),
        lambda: read_join(EntityFile.parse(f"item={items}:node"), "item_id"),
        lambda: context_columns(["x"], Raw(twice, ["x", "x"], str, name="x"), None),
    ):
        with pytest.raises(InvalidInput, match=r"has 2 columns '.*': rename all but one"):
            read()


@pytest.mark.parametrize("size", [1e300, 1e154, 1.0, 1e-154, 1e-300])
def test_numbers_of_any_size_are_standardized(size: float) -> None:
    """In another unit they say the same."""
    plain = np.array([1.0, 2.0, np.nan, 4.5])
    found, wanted = (Numbers("x", x).matrix().toarray() for x in (plain * size, plain))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_who_occurs_nowhere_is_nothing_to_a_digest_nor_to_the_scale(tmp_path: Path) -> None:
    path, more = tmp_path / "items.csv", tmp_path / "more.csv"
    path.write_text("item_id,year\na,2000.5\nb,2010.5\n")
    more.write_text("item_id,year\nz,1900.5\nb,2010.5\na,2000.5\n")
    main = links([("u", "a"), ("v", "b")])
    both = [
        Given((main,), {"item": read_attributes(FeatureFile(x), "item", "item_id")})
        for x in (path, more)
    ]
    assert both[0].digests == both[1].digests
    assert both[1].known["item"].features[0].scale() == (2005.5, 5.0)
    gone = both[1].without_entities("item", ["b"])
    assert gone.known["item"].features[0].scale() == (2000.5, 0.0)
    assert len(gone.main) == 1


def test_contexts_are_columns_or_what_the_time_says() -> None:
    rows = {
        "user_id": ["u", "u", "v"],
        "item_id": ["a", "a", "b"],
        "timestamp": [0, 3 * 86_400_000, 4 * 86_400_000 + 82_800_000],
        "device": ["tv", None, "phone"],
    }
    sheet = Sheet.read(pa.table(rows), ReadingOptions(duplicates="first"), every_column=True)
    found = context_columns(["weekday", "daytime", "device", "hour", "month"], sheet.raw, None)
    texts = {name: x.shown().to_pylist() for name, x in found.items()}
    assert texts["device"] == [["tv"], [], ["phone"]]
    # the largest number is below 10^11, so these are seconds
    assert texts["month"][0] == ["1"]
    assert texts["weekday"][0] == ["thursday"]
    with pytest.raises(InvalidInput, match="has no column 'place'"):
        context_columns(["place"], sheet.raw, None)


def test_the_digest_of_links_is_that_of_what_they_say_whatever_their_order() -> None:
    some = links([("u", "a"), ("v", "b"), ("u", "b")])
    again = links([("v", "b"), ("u", "b"), ("u", "a"), ("v", "b")])
    assert some.digest == again.digest
    assert some.digest != some.keep(np.array([True, True, False])).digest
    assert some.digest != links([("u", "a"), ("v", "b"), ("u", "c")]).digest


def test_relations_of_two_columns_and_graphs(tmp_path: Path) -> None:
    known = {"user": IdMap.build(["u", "v"])[0], "item": IdMap.build(["a", "b"])[0]}
    views, graph, items = (tmp_path / name for name in ("views.csv", "kg.csv", "items.csv"))
    views.write_text("user_id,item_id\nu,a\nw,b\n")
    (found,) = read_relation(RelationFile.parse(f"views={views}"), known)
    assert (found.source, found.target, len(found)) == ("user", "item", 2)
    graph.write_text("head,relation,tail\n7,by,x\n8,by,y\n9,by,y\n7,like,8\n")
    items.write_text("item_id,node\na,7\nb,8\nc,\n")
    join = read_join(EntityFile.parse(f"item={items}:node"), "item_id")
    triples = read_relation(RelationFile.parse(f"kg={graph}"), known, {"item": join})
    said = {x.name: (x.source, x.target, len(x)) for x in triples}
    assert said == {
        "kg/by/item-kg": ("item", "kg", 2),
        "kg/by/kg-kg": ("kg", "kg", 1),
        "kg/like": ("item", "item", 1),
    }
    assert triples[0].heads.ids.ids.to_pylist() == ["a", "b"]
    with pytest.raises(InvalidInput, match=r"none of its ids occurs .*--entities"):
        read_relation(RelationFile.parse(f"kg={graph}"), known)


def test_triples_that_would_have_one_name_are_named(tmp_path: Path) -> None:
    known = {"item": IdMap.build(["a", "b"])[0]}
    graph = tmp_path / "kg.csv"
    graph.write_text("head,relation,tail\na,by/x,1\nb,by.x,1\n")
    with pytest.raises(InvalidInput, match=r"kg.csv: the relations 'by.x' and 'by/x' would both"):
        read_relation(RelationFile.parse(f"kg={graph}"), known)
    graph.write_text("head,relation,tail\na,by/x,1\nb,by/x,1\n")
    (found,) = read_relation(RelationFile.parse(f"kg={graph}"), known)
    assert found.name == "kg/by.x"


def test_a_column_that_is_not_there_is_offered_as_it_would_be_said(tmp_path: Path) -> None:
    items = tmp_path / "my items.csv"
    items.write_text("item_id,kg_node\na,1\n")
    with pytest.raises(InvalidInput, match=f"with --entities 'item={items}:kg_node', or rename"):
        read_join(EntityFile.parse(f"item={items}:node"), "item_id")
    file = FeatureFile.parse(f"{items}:node", "--item-features")
    with pytest.raises(InvalidInput, match=f"with --item-features '{items}:kg_node', or rename"):
        read_attributes(file, "item", "item_id", option="--item-features")


@pytest.mark.parametrize("text", ["views", "=x.csv", "data=x.csv", "a/b=x.csv", "v=x.csv:user"])
def test_a_relation_has_a_name_and_two_tables(text: str) -> None:
    with pytest.raises(InvalidInput, match="--relation"):
        RelationFile.parse(text)
