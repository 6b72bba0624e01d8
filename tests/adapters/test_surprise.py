"""Surprise's dumps, as Surprise 1.1.5 wrote them (``fixtures/surprise/make_surprise.py``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import FIXTURES, AdapterContract

from alteraser.adapters import Changed, Foreign, ForeignOptions
from alteraser.adapters._pickle import load
from alteraser.adapters._pickled import PICKLE, scalar
from alteraser.adapters.surprise import ADAPTER
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput

FOLDER = FIXTURES / "surprise"
ALLOWED = ForeignOptions(allow_pickle=True)


def ratings(foreign: Foreign) -> Interactions:
    import pyarrow as pa
    import pyarrow.csv as pacsv

    table = pacsv.read_csv(FOLDER / "ratings.csv").rename_columns(["user_id", "item_id", "target"])
    table = table.set_column(2, "target", table["target"].cast(pa.float64()))
    return Interactions.from_table(table, users=foreign.user_ids, items=foreign.item_ids)


def tree(path: Path) -> Any:
    return load(path.read_bytes(), "dump", lambda module, name: True)


def trainset(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = tree(path)["algo"].state["trainset"].state
    return state


class SurpriseContract(AdapterContract):
    adapter = ADAPTER
    options = ALLOWED
    shape = (30, 20, 3)


class TestSVD(SurpriseContract):
    fixture = FOLDER / "svd.dump"


class TestUnbiased(SurpriseContract):
    fixture = FOLDER / "unbiased.dump"


def test_the_dump_is_the_data_it_was_trained_on() -> None:
    foreign = ADAPTER.read(FOLDER / "svd.dump", ALLOWED)
    data = ratings(foreign)
    stored = {(u, i): r for u, pairs in trainset(foreign.path)["ur"].pairs for i, r in pairs}
    assert data.target is not None
    assert stored == dict(
        zip(
            zip(data.user_rows.tolist(), data.indices.tolist(), strict=True),
            data.target.tolist(),
            strict=True,
        )
    )
    assert foreign.offset == pytest.approx(data.target.mean())


@pytest.mark.parametrize("name", ["svd", "unbiased"])
def test_the_training_data_pass_and_other_ratings_do_not(name: str) -> None:
    from dataclasses import replace

    foreign = ADAPTER.read(FOLDER / f"{name}.dump", ALLOWED)
    data = ratings(foreign)
    assert data.target is not None
    assert foreign.loss.check(foreign, data).passed
    other = replace(data, target=np.random.default_rng(0).permutation(data.target))
    assert not foreign.loss.check(foreign, other).passed


def test_nothing_forgotten_is_left_in_the_dump(tmp_path: Path) -> None:
    foreign = ADAPTER.read(FOLDER / "svd.dump", ALLOWED)
    data = ratings(foreign)
    whole = data.user_rows == 4
    gone = whole | ((data.user_rows == 7) & (data.indices == data.indices[data.user_rows == 7][0]))
    removed = (data.user_rows[gone], data.indices[gone].astype(np.int64))
    users = np.array(foreign.users)
    users[4] = 0
    changed = Changed(
        users=users,
        user_rows=np.array([4, 7]),
        erased_users=np.array([4]),
        removed=removed,
        offset=3.25,
    )
    ADAPTER.write(foreign, changed, tmp_path / "out.dump")
    assert foreign.user_ids is not None
    name = foreign.user_ids.ids_of([4])[0].as_py()

    left, before = trainset(tmp_path / "out.dump"), trainset(foreign.path)
    by_user = {(u, i): r for u, pairs in left["ur"].pairs for i, r in pairs}
    by_item = {(u, i): r for i, pairs in left["ir"].pairs for u, r in pairs}
    assert data.target is not None
    assert by_user == by_item
    assert set(by_user) == set(
        zip(data.user_rows[~gone].tolist(), data.indices[~gone].tolist(), strict=True)
    )
    assert left["n_ratings"] == int((~gone).sum()) == before["n_ratings"] - int(gone.sum())
    assert left["_global_mean"] == 3.25
    assert 4 not in dict(left["ur"].pairs)  # Surprise's own absence: an unknown user
    for table in (left["_raw2inner_id_users"], left["_inner2raw_id_users"]):
        assert name not in table
        assert name not in table.values()
    assert tree(tmp_path / "out.dump")["predictions"] == []
    assert name.encode() not in (tmp_path / "out.dump").read_bytes()
    assert [scalar(v, "") for v in left["_raw2inner_id_items"].values()] == list(range(20))


def test_needs_consent_and_says_what_it_is() -> None:
    with pytest.raises(InvalidInput, match=r"svd.dump is a pickle.*--allow-pickle"):
        ADAPTER.read(FOLDER / "svd.dump", ForeignOptions())
    assert ADAPTER.read(FOLDER / "svd.dump", ALLOWED).holds[0] == PICKLE


def test_models_without_rows_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"Surprise's KNNBasic; only SVD.*every rating"):
        ADAPTER.read(FOLDER / "knn.dump", ALLOWED)


def test_a_dump_that_names_something_else_is_refused(tmp_path: Path) -> None:
    content = (FOLDER / "svd.dump").read_bytes()
    assert b"surprise.trainset" in content
    path = tmp_path / "svd.dump"
    path.write_bytes(content.replace(b"surprise.trainset", b"os.path.xtrainset"))
    with pytest.raises(IntegrityError, match=r"names os.path.xtrainset.Trainset.*nothing was run"):
        ADAPTER.read(path, ALLOWED)
