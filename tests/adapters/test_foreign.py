"""From a foreign file to a foreign file: id maps, data in its rows, forgetting, siblings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from contract import FIXTURES, digests

from alteraser.adapters import Changed, ForeignOptions, ForeignOutcome, find
from alteraser.adapters.data import reweighted
from alteraser.adapters.forget import Unlearned, difference, forget_foreign, matched, open_foreign
from alteraser.adapters.idmaps import read_id_map, scrub_map
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection
from alteraser.errors import IntegrityError, InvalidInput, NotFound, OutputExists
from alteraser.verbs.erasure import Erasure

IMPLICIT, ARRAYS = FIXTURES / "implicit", FIXTURES / "arrays"
ROWS = ForeignOptions(rows_are_ids=True, rating="plays")
PAIR = ForeignOptions(loss="implicit-als", alpha=2.0, regularization=0.5, rating="plays")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model and its data."""
    for name in ("als.npz", "data.csv"):
        shutil.copyfile(IMPLICIT / name, tmp_path / name)
    return tmp_path


def forget(folder: Path, forget_set: object, **settings: object) -> Erasure[Unlearned]:
    options = settings.pop("options", ROWS)
    opened = open_foreign(folder / "als.npz", folder / "data.csv", options)  # type: ignore[arg-type]
    return forget_foreign(opened, forget_set, folder / "new.npz", **settings)  # type: ignore[arg-type]


# ------------------------------------------------------------------ forgetting


def test_pairs_are_forgotten_and_the_file_is_of_the_same_kind(folder: Path) -> None:
    before = digests(folder)
    erasure = forget(folder, [(1, 4), (3, 99)])
    assert len(erasure.removed) == 1
    assert erasure.unmatched.to_pylist() == [{"user_id": 3, "item_id": 99}]
    assert erasure.model.check.passed
    assert erasure.model.erased.converged
    with np.load(folder / "als.npz") as old, np.load(folder / "new.npz") as new:
        assert old.files == new.files
        for name in set(old.files) - {"user_factors", "item_factors"}:
            assert old[name] == new[name]
        np.testing.assert_array_equal(new["user_factors"], erasure.model.erased.users)
        moved = np.flatnonzero((old["user_factors"] != new["user_factors"]).any(axis=1))
    np.testing.assert_array_equal(erasure.model.changed.user_rows, moved)
    assert not erasure.model.changed.erased_users.size  # user 1 has other interactions
    assert erasure.model.erased.users[1].any()
    after = {
        name: digest for name, digest in digests(folder).items() if not name.startswith("new.npz")
    }
    assert after == before


def test_a_user_forgotten_whole_is_a_zero_row(folder: Path) -> None:
    erasure = forget(folder, [5], whole_users=True)
    assert erasure.model.changed.erased_users.tolist() == [5]
    with np.load(folder / "new.npz") as new:
        assert not new["user_factors"][5].any()
        assert new["user_factors"][4].any()
        assert new["user_factors"].shape == (40, 6)


def test_what_a_loss_leaves_of_an_erased_user_goes(folder: Path) -> None:
    opened = open_foreign(folder / "als.npz", folder / "data.csv", ROWS)
    foreign, removal = opened.foreign, opened.data.remove([5], whole_users=True)
    left = ForeignOutcome(
        foreign.users + 1, np.array(foreign.items), user_biases=np.ones(40), item_biases=np.ones(25)
    )
    changed = difference(foreign, left, removal)
    assert changed.users is not None
    assert changed.user_biases is not None
    assert not changed.users[5].any()
    assert changed.user_biases[5] == 0
    assert changed.users[6].any()
    assert changed.user_rows.tolist() == list(range(40))
    assert not changed.item_rows.size  # the items are as they were


def test_forgetting_in_two_steps_is_accepted_by_the_check(folder: Path) -> None:
    forget(folder, [5, 6], whole_users=True)
    table = pacsv.read_csv(folder / "data.csv")
    rest = table.filter(pa.array(~np.isin(table["user_id"].to_numpy(), [5, 6])))
    pacsv.write_csv(rest, folder / "rest.csv")
    opened = open_foreign(folder / "new.npz", folder / "rest.csv", ROWS)
    assert forget_foreign(opened, [7], folder / "third.npz", whole_users=True).model.check.passed


def test_all_of_the_data_can_go(folder: Path) -> None:
    erasure = forget(folder, list(range(40)), whole_users=True)
    assert not erasure.model.erased.users.any()
    assert not erasure.model.erased.items.any()


@pytest.mark.parametrize("kind", ["bpr", "lmf"])
def test_losses_that_are_not_quadratic_too(folder: Path, kind: str) -> None:
    shutil.copyfile(IMPLICIT / f"{kind}.npz", folder / "als.npz")
    erasure = forget(folder, [5], whole_users=True, tolerance=0.2)
    assert erasure.model.erased.method == "rows"
    assert erasure.model.erased.level == "D"  # absent, which is not forgotten
    again = find(folder / "new.npz").read(folder / "new.npz", ForeignOptions())
    assert again.kind == kind
    assert not again.users[5].any()
    assert again.user_biases is None or again.user_biases[5] == 0


def test_nothing_is_written_where_something_is_wrong(folder: Path) -> None:
    before = digests(folder)
    with pytest.raises(NotFound, match="none of the 1 row"):
        forget(folder, [(39, 24)])
    with pytest.raises(IntegrityError, match=r"als\.npz does not fit these data"):
        forget(folder, [(1, 4)], options=ForeignOptions(rows_are_ids=True))
    (folder / "new.npz").write_text("mine")
    with pytest.raises(OutputExists):
        forget(folder, [(1, 4)])
    (folder / "new.npz").unlink()
    assert digests(folder) == before
    erasure = forget(
        folder, [(1, 4)], options=ForeignOptions(rows_are_ids=True), unchecked=True, max_passes=3
    )
    assert not erasure.model.check.passed


# ------------------------------------------------------------------ id maps


def maps(folder: Path) -> ForeignOptions:
    users = [f"u{row}" for row in range(40)]
    (folder / "users.json").write_text(json.dumps({name: row for row, name in enumerate(users)}))
    pq.write_table(
        pa.table({"row": np.arange(25)[::-1], "item_id": np.arange(124, 99, -1)}),
        folder / "items.parquet",
    )
    table = pacsv.read_csv(folder / "data.csv")
    named = {
        "user_id": [users[row] for row in table["user_id"].to_pylist()],
        "item_id": pa.array(table["item_id"].to_numpy() + 100),
        "plays": table["plays"],
    }
    pacsv.write_csv(pa.table(named), folder / "data.csv")
    return ForeignOptions(
        rating="plays", users_map=folder / "users.json", items_map=folder / "items.parquet"
    )


def test_maps_from_files_give_the_same_result_as_rows(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain = forget(folder, [(1, 4), (7, 1)])
    (folder / "new.npz").unlink()
    named = forget(folder, [("u1", 104), ("u7", 101)], options=maps(folder))
    np.testing.assert_array_equal(named.model.erased.users, plain.model.erased.users)


def test_a_map_in_any_order_is_read_by_its_rows(folder: Path) -> None:
    pq.write_table(pa.table({"row": [2, 0, 1], "user_id": ["c", "a", "b"]}), folder / "map.parquet")
    ids = read_id_map(folder / "map.parquet", "user", 4)
    assert (ids.rows.tolist(), ids.ids.to_pylist(), ids.size) == ([0, 1, 2], ["a", "b", "c"], 4)


def test_scrub_takes_the_erased_users_out_of_the_map_and_rows_do_not_move(folder: Path) -> None:
    options = maps(folder)
    erasure = forget(folder, ["u5"], whole_users=True, options=options)
    assert [sibling.path.name for sibling in erasure.model.written.siblings if sibling.scrub] == [
        "users.json"
    ]
    assert "u5" in json.loads((folder / "users.json").read_text())
    (folder / "new.npz").unlink()
    erasure = forget(folder, ["u5"], whole_users=True, options=options, scrub=True)
    assert [path.name for path in erasure.model.written.scrubbed] == ["users.json"]
    left = json.loads((folder / "users.json").read_text())
    assert "u5" not in left
    assert (left["u4"], left["u6"], len(left)) == (4, 6, 39)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_a_map_in_row_order_keeps_its_rows_when_it_is_scrubbed(folder: Path, suffix: str) -> None:
    path = folder / f"ids{suffix}"
    names = [f"u{row}" for row in range(40)]
    if suffix == ".json":
        path.write_text(json.dumps(names))
    else:
        write = pacsv.write_csv if suffix == ".csv" else pq.write_table
        write(pa.table({"user_id": names}), path)
    ids = read_id_map(path, "user", 40)
    foreign = open_foreign(folder / "als.npz", folder / "data.csv", ROWS).foreign
    scrub_map(path)(
        type(foreign)(**{**vars(foreign), "user_ids": ids}), Changed(erased_users=np.array([3, 39]))
    )
    assert read_id_map(path, "user", 40) == ids.without([3, 39])


def test_no_map_is_said_with_what_to_do(folder: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r"does not say which user .* with --users-map, or --rows-are-ids"
    ):
        open_foreign(folder / "als.npz", folder / "data.csv", ForeignOptions())
    with pytest.raises(ValueError, match="--rows-are-ids contradicts --users-map"):
        ForeignOptions.model_validate(maps(folder).model_dump() | {"rows_are_ids": True})
    with pytest.raises(NotFound, match=r"--users-map .*nowhere\.csv does not exist"):
        open_foreign(
            folder / "als.npz",
            folder / "data.csv",
            ForeignOptions(users_map=folder / "nowhere.csv"),
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('["a", "b"]', "has 2 ids, the model 40 user rows"),
        ('{"a": 0, "b": 40}', r"row 40 is not one of the model's 40 user rows \(0 … 39\)"),
        ('{"a": 0, "b": 0}', "has a row twice"),
        ('{"a": "x"}', "expected a list of ids in row order, or an object"),
        ("{", "is not JSON"),
        ("[null]", "names no row"),
        ('["a", 1' + ', "x"' * 38 + "]", "mix types"),
    ],
)
def test_maps_that_do_not_fit(folder: Path, content: str, message: str) -> None:
    (folder / "map.json").write_text(content)
    with pytest.raises(InvalidInput, match=message):
        read_id_map(folder / "map.json", "user", 40)


def test_tables_that_are_no_maps(folder: Path) -> None:
    pq.write_table(pa.table({"a": [1], "b": [2]}), folder / "m.parquet")
    with pytest.raises(InvalidInput, match="expected row and item_id, or the ids alone"):
        read_id_map(folder / "m.parquet", "item", 1)
    pq.write_table(pa.table({"row": ["0"], "item_id": [2]}), folder / "n.parquet")
    with pytest.raises(InvalidInput, match="column row must hold whole numbers"):
        read_id_map(folder / "n.parquet", "item", 1)


def test_maps_in_the_container_are_its_own() -> None:
    data = ARRAYS / "data.csv"
    opened = open_foreign(ARRAYS / "pair", data, PAIR)
    assert opened.foreign.ids_from == "the container"
    assert opened.foreign.loss.check(opened.foreign, opened.data).passed
    with pytest.raises(InvalidInput, match="has its own id maps; leave"):
        open_foreign(ARRAYS / "pair", data, PAIR.model_copy(update={"rows_are_ids": True}))


# ------------------------------------------------------------------ data


def test_data_with_rows_out_of_range(folder: Path) -> None:
    table = pa.table({"user_id": [1, 40, 41], "item_id": [1, 2, 3], "plays": [1, 1, 1]})
    with pytest.raises(
        InvalidInput, match=r"user_id 40 is no row .* 40 user rows \(0 … 39\); 2 ids"
    ):
        open_foreign(folder / "als.npz", table, ROWS)
    options = maps(folder)
    named = pa.table(
        {"user_id": ["u1", "u40", "u41"], "item_id": [101, 102, 103], "plays": [1, 1, 1]}
    )
    with pytest.raises(
        IntegrityError, match=r"2 user\(s\) .* not in the model's id map, the first is 'u40'"
    ):
        open_foreign(folder / "als.npz", named, options)


def test_the_rating_is_a_rule_and_duplicates_add_up(folder: Path) -> None:
    table = pa.table({"user_id": [1, 1, 2], "item_id": [1, 1, 3], "plays": [2, 3, -1]})
    options = ForeignOptions(rows_are_ids=True, rating="1 + 10 * plays")
    with pytest.raises(InvalidInput, match="1 duplicate"):
        open_foreign(folder / "als.npz", table, options)
    summed = ForeignOptions(
        rows_are_ids=True, rating="1 + 10 * plays", reading={"duplicates": "sum"}
    )
    data = open_foreign(folder / "als.npz", table, summed).data
    assert data.target is not None
    assert data.target.tolist() == [52.0, -9.0]
    assert (
        open_foreign(
            folder / "als.npz", table.slice(1), ForeignOptions(rows_are_ids=True)
        ).data.target
        is None
    )


# ------------------------------------------------------------------ pairs of arrays


@pytest.mark.parametrize("name", ["pair", "pair.npz", "pair.safetensors"])
def test_arrays_are_forgotten_in_by_a_named_loss(name: str, tmp_path: Path) -> None:
    options, data = PAIR, ARRAYS / "data.csv"
    gone: object = "u05"
    if name != "pair":
        options, data, gone = (
            PAIR.model_copy(update={"rows_are_ids": True}),
            IMPLICIT / "data.csv",
            5,
        )
    out = tmp_path / f"new{Path(name).suffix}"
    erasure = forget_foreign(
        open_foreign(ARRAYS / name, data, options), [gone], out, whole_users=True
    )
    again = find(out).read(out, PAIR)
    np.testing.assert_array_equal(again.items, erasure.model.erased.items)
    assert not again.users[5].any()
    if name == "pair":
        assert json.loads((out / "users.json").read_text())[5] is None
    if name == "pair.safetensors":
        from safetensors.numpy import load_file

        items = again.items.astype(np.float64)
        np.testing.assert_allclose(
            load_file(out)["OtOr"], items.T @ items + 0.5 * np.eye(6), rtol=1e-6
        )


def test_lenskits_loss_is_not_implicits() -> None:
    maps = {"users_map": ARRAYS / "lenskit_users.json", "items_map": ARRAYS / "lenskit_items.json"}
    for loss, passes in (("lenskit-als", True), ("implicit-als", False)):
        options = ForeignOptions(loss=loss, alpha=2.0, regularization=0.5, rating="plays", **maps)
        opened = open_foreign(ARRAYS / "lenskit.safetensors", IMPLICIT / "data.csv", options)
        check = opened.foreign.loss.check(opened.foreign, opened.data)
        assert check.passed == passes
    assert 1e-3 < check.measures[0].value < 1e-1  # close, as the two losses are


def test_arrays_do_not_say_what_they_minimize() -> None:
    adapter = find(ARRAYS / "pair.npz")
    with pytest.raises(
        InvalidInput,
        match="does not say what they minimize: name it with --loss, one of implicit-als",
    ):
        adapter.read(ARRAYS / "pair.npz", ForeignOptions())
    with pytest.raises(InvalidInput, match="--loss nce: unknown; there are implicit-als"):
        adapter.read(ARRAYS / "pair.npz", ForeignOptions(loss="nce"))
    with pytest.raises(
        InvalidInput, match="does not say its regularization: give it with --regularization"
    ):
        adapter.read(ARRAYS / "pair.npz", ForeignOptions(loss="explicit-als"))


# ---------------------------------------------------------- weights that are statistics of the data


def counts(folder: Path) -> dict[tuple[int, int], float]:
    table = pacsv.read_csv(folder / "data.csv").to_pydict()
    return {
        (u, v): float(r)
        for u, v, r in zip(table["user_id"], table["item_id"], table["plays"], strict=True)
    }


def dense_bm25(cells: dict[tuple[int, int], float]) -> np.ndarray:
    """implicit's bm25_weight(user × item) with its defaults, over all cells."""
    x = np.zeros((40, 25))
    for place, value in cells.items():
        x[place] = value
    idf = np.log(40) - np.log1p((x > 0).sum(axis=0))
    norm = 0.2 + 0.8 * x.sum(axis=1) / x.sum(axis=1).mean()
    return x * 101 / (100 * norm[:, None] + x) * idf


def dense(data: Interactions) -> np.ndarray:
    found = np.zeros(data.shape)
    assert data.target is not None
    found[data.user_rows, data.indices] = data.target
    return found


def test_forgetting_weighs_what_remains_anew(folder: Path) -> None:
    options = ForeignOptions(rows_are_ids=True, rating="bm25(plays)")
    opened = open_foreign(folder / "als.npz", folder / "data.csv", options)
    cells = counts(folder)
    np.testing.assert_allclose(dense(opened.data), dense_bm25(cells), rtol=1e-12)
    removal = matched(opened, Selection.of([5], whole_users=True))
    left = {place: value for place, value in cells.items() if place[0] != 5}
    np.testing.assert_allclose(dense(removal.remaining), dense_bm25(left), rtol=1e-12)
    # the very thing that reading the remaining data gives, so that the next request finds its data
    (folder / "rest.csv").write_text(
        "user_id,item_id,plays\n" + "".join(f"{u},{v},{r}\n" for (u, v), r in left.items())
    )
    again = open_foreign(folder / "als.npz", folder / "rest.csv", options)
    assert again.data.digest == removal.remaining.digest
    # and removing in two steps is removing at once
    twice = reweighted(
        options, removal.remaining, removal.remaining.remove([6], whole_users=True).remaining
    )
    assert twice.digest == matched(opened, Selection.of([5, 6], whole_users=True)).remaining.digest
    # weights of a row alone stay
    plain = open_foreign(
        folder / "als.npz", folder / "data.csv", ROWS.model_copy(update={"rating": "log1p(plays)"})
    )
    rest = plain.data.remove([5], whole_users=True).remaining
    assert reweighted(plain.options, plain.data, rest) is rest
    np.testing.assert_array_equal(rest.target, np.log1p([left[place] for place in sorted(left)]))


def test_rows_of_a_pair_are_summed_before_they_are_weighed(folder: Path) -> None:
    text = (folder / "data.csv").read_text()
    (folder / "data.csv").write_text(text + text.split("\n", 1)[1])  # every row twice
    (folder / "events.csv").write_text(
        "\n".join(line.rsplit(",", 1)[0] for line in text.splitlines()) + "\n"
    )
    cells = {place: 2 * value for place, value in counts(folder).items()}
    reading = ROWS.reading.model_copy(update={"duplicates": "sum"})
    for rating, given in (("bm25(plays)", reading), ("bm25(sum(plays))", ROWS.reading)):
        options = ForeignOptions(rows_are_ids=True, rating=rating, reading=given)
        found = open_foreign(folder / "als.npz", folder / "data.csv", options).data
        np.testing.assert_allclose(dense(found), dense_bm25(cells), rtol=1e-12)
    options = ForeignOptions(rows_are_ids=True, rating="1 + log1p(sum(plays))")
    found = open_foreign(folder / "als.npz", folder / "data.csv", options).data
    np.testing.assert_allclose(
        found.target, 1 + np.log1p([cells[place] for place in sorted(cells)])
    )
    options = ForeignOptions(rows_are_ids=True, rating="bm25(1)")
    found = open_foreign(folder / "als.npz", folder / "events.csv", options).data
    np.testing.assert_allclose(dense(found), dense_bm25(dict.fromkeys(cells, 1.0)), rtol=1e-12)


def test_a_rule_that_has_no_number_for_a_row_names_it(folder: Path) -> None:
    (folder / "data.csv").write_text("user_id,item_id,plays\n3,4,2\n3,5,0\n")
    options = ForeignOptions(rows_are_ids=True, rating="log(plays)")
    with pytest.raises(
        InvalidInput,
        match=r"'log\(plays\)': .* the first from 0 for user 3 and item 5 \(1 in all\)",
    ):
        open_foreign(folder / "als.npz", folder / "data.csv", options)


def test_an_item_forgotten_whole(folder: Path) -> None:
    erasure = forget(folder, [7, 99], whole_items=True)
    gone = erasure.removed
    assert set(gone.indices.tolist()) == {7}
    assert len(gone) == sum(v == 7 for _, v in counts(folder))
    assert erasure.unmatched.to_pylist() == [{"item_id": 99}]
    assert not erasure.model.erased.items[7].any()
    (folder / "new.npz").unlink()
    with pytest.raises(InvalidInput, match="contradict each other"):
        forget(folder, [7], whole_items=True, whole_users=True)
