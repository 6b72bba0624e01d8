"""Models: lists against sorting every score, and files that come back or are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import toy_interactions
from hypothesis import given
from hypothesis import strategies as st

from alteraser import ENMF, Popularity, forget
from alteraser.data.files import sha256_file
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput, NotFound, NumericFailure, OutputExists
from alteraser.models import Factors, Objective
from alteraser.models.factorization.model import Model, TrainedOn
from alteraser.models.folder import ITEMS, MANIFEST, TENSORS, USERS, digest_of


def a_model(seed: int = 0, *, integers: bool = True, users: int = 9, items: int = 7) -> Model:
    rng = np.random.default_rng(seed)
    name = (lambda x: int(x) * 3) if integers else (lambda x: f"n{x}")  # type: ignore[no-any-return]
    pairs = [
        (name(u), name(v)) for u in range(users) for v in range(items) if (u + v) % 2 == 0 or u == v
    ]
    data = Interactions.from_pairs(pairs)
    # few distinct values, so that scores tie
    P, Q = (rng.integers(-1, 2, (size, 2)).astype(np.float32) for size in data.shape)
    objective = Objective(missing_weight=0.1, regularization=0.5)
    return Model(
        Factors(P, Q, np.ones(2, np.float32)),
        objective,
        users=data.users,
        items=data.items,
        trained_on=TrainedOn.of(data),
    )


@given(st.integers(0, 10**6), st.integers(1, 9), st.booleans())
def test_lists_are_the_best_of_all_scores_ties_by_row(seed: int, k: int, masked: bool) -> None:
    model = a_model(seed)
    seen = Interactions.from_table(
        Interactions.from_pairs([(0, 0), (0, 3), (6, 6)]).to_table(),
        users=model.users,
        items=model.items,
    )
    lists, scores = model.top_items(model.users.rows, k=k, seen=seen if masked else None)
    alive = np.any(model.factors.items != 0, axis=1)
    for user in range(model.users.size):
        all_scores = model.factors.users[user] @ model.factors.items.T
        hidden = (
            set(seen.indices[seen.indptr[user] : seen.indptr[user + 1]].tolist())
            if masked
            else set()
        )
        able = [v for v in range(model.items.size) if alive[v] and v not in hidden]
        if not model.factors.users[user].any():
            able = []
        best = sorted(able, key=lambda v: (-all_scores[v], v))[:k]
        found = [int(v) for v in lists[user] if v >= 0]
        assert found == best
        np.testing.assert_allclose(scores[user][: len(best)], all_scores[best])
        assert np.isnan(scores[user][len(best) :]).all()


def test_recommendations_in_ids() -> None:
    model = a_model(integers=False)
    entry = model.recommend(["n3"], k=3).to_list()[0]
    assert entry["user_id"] == "n3"
    assert all(item["item_id"].startswith("n") for item in entry["items"])
    table = model.recommend(k=3).to_table()
    assert set(table.column_names) == {"user_id", "rank", "item_id", "score"}
    assert min(table["rank"].to_pylist()) == 1
    np.testing.assert_allclose(
        model.score(["n1", "n2"], ["n0", "n5"]),
        [
            model.factors.users[1] @ model.factors.items[0],
            model.factors.users[2] @ model.factors.items[5],
        ],
    )


def test_unknown_ids_and_senseless_lengths_are_named() -> None:
    model = a_model()
    with pytest.raises(
        NotFound, match=r"user 1 is not in the model \(9 users with int64 ids\); 1 of 2 given"
    ):
        model.recommend([0, 1])
    with pytest.raises(NotFound, match="item 100 is not in the model"):
        model.score([0], [100])
    with pytest.raises(InvalidInput, match="k=0: expected at least 1"):
        model.recommend([0], k=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("integers", [True, False])
def test_saved_models_come_back(tmp_path: Path, dtype: type, integers: bool) -> None:
    model = a_model(integers=integers)
    model = replace(
        model, factors=model.factors.astype(dtype), training={"seed": 3}, parent="ab" * 32
    )
    model = replace(model, users=model.users.without([2]), ancestors=("ab" * 32, "cd" * 32))
    saved = model.save(tmp_path / "m")
    loaded = Model.load(tmp_path / "m")
    for name, value in vars(saved.factors).items():
        other = getattr(loaded.factors, name)
        assert other.dtype == value.dtype
        assert np.array_equal(other, value)
    assert (loaded.users, loaded.items) == (saved.users, saved.items)
    for name in ("objective", "trained_on", "training", "parent", "ancestors", "digest", "kind"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert loaded.digest == model.save(tmp_path / "again").digest
    with pytest.raises(OutputExists):
        model.save(tmp_path / "m")


@pytest.mark.parametrize(
    "file", ["model.safetensors", "users.parquet", "items.parquet", "model.json"]
)
def test_every_flipped_byte_is_found(tmp_path: Path, file: str) -> None:
    a_model().save(tmp_path / "m")
    path = tmp_path / "m" / file
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 12):
        broken = bytearray(whole)
        broken[place] ^= 0x15
        path.write_bytes(bytes(broken))
        with pytest.raises(IntegrityError):
            Model.load(tmp_path / "m")
    path.unlink()
    with pytest.raises(IntegrityError, match=file.replace(".", r"\.")):
        Model.load(tmp_path / "m")


def test_newer_formats_and_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no model"):
        Model.load(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(IntegrityError, match=r"has no model\.json"):
        Model.load(tmp_path / "empty")
    a_model().save(tmp_path / "m")
    manifest = json.loads((tmp_path / "m" / "model.json").read_text())
    (tmp_path / "m" / "model.json").write_text(json.dumps({**manifest, "format_version": 99}))
    with pytest.raises(IntegrityError, match="format version 99"):
        Model.load(tmp_path / "m")


def test_models_that_are_not_finite_are_never_written(tmp_path: Path) -> None:
    model = a_model()
    broken = Factors(model.factors.users * np.nan, model.factors.items, model.factors.prediction)
    with pytest.raises(NumericFailure, match="NaN or infinite"):
        replace(model, factors=broken).save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def edited(folder: Path, change: Callable[[dict[str, Any]], Any] | None = None) -> None:
    """Change the manifest and make every digest right again, as somebody would who wants it to
    pass."""
    manifest = json.loads((folder / MANIFEST).read_text())
    if change is not None:
        change(manifest)
    manifest["files"] = {name: sha256_file(folder / name) for name in (TENSORS, USERS, ITEMS)}
    manifest["digest"] = digest_of(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


LIES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "dtype": (
        lambda m: m.update(dtype="float64"),
        'says dtype "float64", the files hold "float32"',
    ),
    "shape": (lambda m: m["shape"].update(users=8), "says shape .*the files hold"),
    "a shape of floats": (lambda m: m["shape"].update(users=9.0), "says shape .*the files hold"),
    "id_types": (lambda m: m["id_types"].update(user_id="string"), "says id_types"),
    "kind": (
        lambda m: m.update(kind="gmf"),
        r"kind 'gmf', expected enmf, .*alteraser\.neural\.load",
    ),
    "no kind": (lambda m: m.update(kind=None), "kind None"),
    "version 0": (lambda m: m.update(format_version=0), "format version 0.*no such version"),
    "version true": (lambda m: m.update(format_version=True), "format version True"),
    "version 1.5": (lambda m: m.update(format_version=1.5), r"format version 1\.5"),
    "parent": (lambda m: m.update(parent="user 17"), "must be digests"),
    "ancestors": (lambda m: m.update(ancestors=["user 17"]), "must be digests"),
    "no list of ancestors": (lambda m: m.update(ancestors="ab" * 32), "must be digests"),
    "another first ancestor": (
        lambda m: m.update(parent="ab" * 32, ancestors=["cd" * 32]),
        "first of the ancestors must be the parent",
    ),
    "a further key of the objective": (
        lambda m: m["objective"].update(note="u17"),
        "not a model of this format",
    ),
    "a further key of trained_on": (
        lambda m: m["trained_on"].update(note="u17"),
        "not a model of this format",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_that_contradicts_its_files_or_itself_is_refused(
    tmp_path: Path, lie: str
) -> None:
    a_model().save(tmp_path / "m")
    edited(tmp_path / "m")
    assert Model.load(tmp_path / "m").digest is not None
    change, message = LIES[lie]
    edited(tmp_path / "m", change)
    with pytest.raises(IntegrityError, match=message):
        Model.load(tmp_path / "m")


def test_a_repeated_key_of_the_manifest_is_refused(tmp_path: Path) -> None:
    a_model().save(tmp_path / "m")
    text = (tmp_path / "m" / MANIFEST).read_text()
    (tmp_path / "m" / MANIFEST).write_text(text.replace('"users": 9', '"users": 17, "users": 9', 1))
    with pytest.raises(IntegrityError, match="the key 'users' is repeated"):
        Model.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("rows", "ids", "message"),
    [
        (pa.array([0.0, 1.5]), pa.array([3, 6]), "found double and int64"),
        (pa.array([0, 1], pa.int32()), pa.array([3, 6]), "found int32"),
        (pa.array([0, None]), pa.array([3, 6]), "a row is null"),
        (pa.array([1, 0]), pa.array([3, 6]), "increase strictly"),
        (pa.array([0, 9]), pa.array([3, 6]), "increase strictly"),
        (pa.array([0, 1]), pa.array([3, 3]), "distinct"),
        (pa.array([0, 1]), pa.array([3.5, 6.0]), "found int64 and double"),
    ],
)
def test_rows_and_ids_of_other_types_are_refused(
    tmp_path: Path, rows: pa.Array, ids: pa.Array, message: str
) -> None:
    a_model().save(tmp_path / "m")
    pq.write_table(pa.table({"row": rows, "user_id": ids}), tmp_path / "m" / USERS)
    edited(tmp_path / "m")
    with pytest.raises(IntegrityError, match=message):
        Model.load(tmp_path / "m")


def test_manifests_from_before_the_chain_was_kept_are_read(tmp_path: Path) -> None:
    model = replace(a_model(), parent="ab" * 32, ancestors=("ab" * 32,)).save(tmp_path / "m")
    edited(tmp_path / "m", lambda m: m.pop("ancestors"))
    assert Model.load(tmp_path / "m").ancestors == model.ancestors
    edited(tmp_path / "m", lambda m: m.update(parent=None))
    assert Model.load(tmp_path / "m").ancestors == ()


def test_a_chain_of_forgetting_names_every_model_it_comes_from(tmp_path: Path) -> None:
    pairs = [(u, v) for u in range(9) for v in range(7) if (u + v) % 2 == 0]
    data = Interactions.from_pairs(pairs)
    model = (
        ENMF(factors=2, regularization=0.1, missing_weight=0.1, dtype="float64")
        .fit(data)
        .save(tmp_path / "0")
    )
    chain: list[str | None] = []
    for step in range(1, 4):
        chain.insert(0, model.digest)
        erasure = forget(model, [pairs[step]], data=data)
        model, data = erasure.model.save(tmp_path / str(step)), erasure.remaining
        assert list(model.ancestors) == chain
        assert Model.load(tmp_path / str(step)).ancestors == model.ancestors
        assert model.parent == chain[0]
    unsaved = forget(model, [pairs[4]], data=data)
    once_more = forget(unsaved.model, [pairs[5]], data=unsaved.remaining).model
    assert once_more.parent is None  # what lies between was never written
    assert list(once_more.save(tmp_path / "5").ancestors) == [model.digest, *chain]
    assert Model.load(tmp_path / "5").ancestors == once_more.ancestors


def test_a_trained_model_names_nobody_of_whom_it_holds_nothing() -> None:
    data = replace(toy_interactions(lonely=True), target=None)
    assert data.user_counts[0] == 0
    for fit in (ENMF(factors=2, regularization=0.3).fit, Popularity().fit):
        model = fit(data.keep(np.ones(len(data), bool)))
        assert 0 not in model.users.ids.to_pylist()
        assert model.shape == data.shape
