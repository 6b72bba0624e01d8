"""Models: lists against sorting every score, and files that come back or are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.errors import IntegrityError, InvalidInput, NotFound, NumericFailure, OutputExists
from alteraser.interactions import Interactions
from alteraser.model import Model, TrainedOn
from alteraser.models import Factors, Objective


def a_model(seed: int = 0, *, integers: bool = True, users: int = 9, items: int = 7) -> Model:
    rng = np.random.default_rng(seed)
    name = (lambda x: int(x) * 3) if integers else (lambda x: f"n{x}")  # type: ignore[no-any-return]
    pairs = [(name(u), name(v)) for u in range(users) for v in range(items) if (u + v) % 2 == 0 or u == v]
    data = Interactions.from_pairs(pairs)
    # few distinct values, so that scores tie
    P, Q = (rng.integers(-1, 2, (size, 2)).astype(np.float32) for size in data.shape)
    objective = Objective(missing_weight=0.1, regularization=0.5)
    return Model(Factors(P, Q, np.ones(2, np.float32)), objective, data.users, data.items, TrainedOn.of(data))


@given(st.integers(0, 10**6), st.integers(1, 9), st.booleans())
def test_lists_are_the_best_of_all_scores_ties_by_row(seed: int, k: int, masked: bool) -> None:
    model = a_model(seed)
    seen = Interactions.from_table(
        Interactions.from_pairs([(0, 0), (0, 3), (6, 6)]).to_table(), users=model.users, items=model.items
    )
    lists, scores = model.top_items(model.users.rows, k=k, seen=seen if masked else None)
    alive = np.any(model.factors.items != 0, axis=1)
    for user in range(model.users.size):
        all_scores = model.factors.users[user] @ model.factors.items.T
        hidden = set(seen.indices[seen.indptr[user] : seen.indptr[user + 1]].tolist()) if masked else set()
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
        [model.factors.users[1] @ model.factors.items[0], model.factors.users[2] @ model.factors.items[5]],
    )


def test_unknown_ids_and_senseless_lengths_are_named() -> None:
    model = a_model()
    with pytest.raises(NotFound, match=r"user 1 is not in the model \(9 users with int64 ids\); 1 of 2 given"):
        model.recommend([0, 1])
    with pytest.raises(NotFound, match="item 100 is not in the model"):
        model.score([0], [100])
    with pytest.raises(InvalidInput, match="k=0: expected at least 1"):
        model.recommend([0], k=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("integers", [True, False])
def test_saved_models_come_back(tmp_path: Path, dtype: type, integers: bool) -> None:
    model = a_model(integers=integers)
    model = replace(model, factors=model.factors.astype(dtype), training={"seed": 3}, parent="abc")
    model = replace(model, users=model.users.without([2]))
    saved = model.save(tmp_path / "m")
    loaded = Model.load(tmp_path / "m")
    for name, value in vars(saved.factors).items():
        other = getattr(loaded.factors, name)
        assert other.dtype == value.dtype
        assert np.array_equal(other, value)
    assert (loaded.users, loaded.items) == (saved.users, saved.items)
    for name in ("objective", "trained_on", "training", "parent", "digest", "kind"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert loaded.digest == model.save(tmp_path / "again").digest
    with pytest.raises(OutputExists):
        model.save(tmp_path / "m")


@pytest.mark.parametrize("file", ["model.safetensors", "users.parquet", "items.parquet", "model.json"])
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
