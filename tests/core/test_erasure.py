"""One verb and one result, whatever forgets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pacsv
import pytest

import alteraser as ae
from alteraser.data.deletion import Deletion
from alteraser.errors import InvalidInput
from alteraser.evidence.claims import Evidence, LocalEffect, Replayed

FIXTURES = Path(__file__).parent.parent / "adapters" / "fixtures" / "implicit"
ROWS: dict[str, Any] = {"rating": "plays", "rows_are_ids": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ALS model of implicit, what it was trained on, and models of ours trained on the same
    pairs."""
    found = tmp_path_factory.mktemp("verb")
    for name in ("als.npz", "data.csv"):
        shutil.copyfile(FIXTURES / name, found / name)
    data = ae.Interactions.read(found / "data.csv")
    ae.ENMF(factors=2, regularization=0.3, missing_weight=0.2).fit(data).save(found / "enmf")
    ae.Popularity().fit(data).save(found / "popularity")
    return found


@pytest.fixture(scope="module")
def erasures(folder: Path) -> dict[str, ae.Erasure[Any]]:
    """Of every kind, by its path alone."""
    gone = [(1, 4), (3, 24)]
    return {
        "als.npz": ae.forget(
            folder / "als.npz", gone, data=folder / "data.csv", method="local", **ROWS
        ),
        "enmf": ae.forget(str(folder / "enmf"), gone, data=str(folder / "data.csv")),
        "popularity": ae.forget(
            folder / "popularity", gone, data=ae.Interactions.read(folder / "data.csv")
        ),
    }


def test_every_kind_answers_with_the_same_parts(erasures: dict[str, ae.Erasure[Any]]) -> None:
    documents = {name: erasure.document() for name, erasure in erasures.items()}
    common = set.intersection(*map(set, documents.values()))
    for name, erasure in erasures.items():
        assert isinstance(erasure.deletion, Deletion)
        assert isinstance(erasure.evidence, Evidence)
        further = erasure.details.keys() | erasure.way.details.keys()
        assert documents[name].keys() - common == further - common
        assert documents[name]["class"] == erasure.kind
        json.dumps(documents[name], default=float)
        assert erasure.forgotten == len(erasure.removed) == 1
        assert erasure.unmatched.to_pylist() == [{"user_id": 3, "item_id": 24}]
        assert len(erasure.remaining) + 1 == documents[name]["interactions_before"]
    assert {name: erasure.kind for name, erasure in erasures.items()} == {
        "als.npz": "L",
        "enmf": "C",
        "popularity": "A",
    }


def test_by_its_path_as_by_itself(
    erasures: dict[str, ae.Erasure[Any]], folder: Path, tmp_path: Path
) -> None:
    from alteraser.adapters import ForeignOptions
    from alteraser.adapters.forget import forget_foreign, open_foreign

    gone, data = [(1, 4), (3, 24)], ae.Interactions.read(folder / "data.csv")
    by_hand = ae.forget(ae.load(folder / "enmf"), gone, data=data)
    assert np.array_equal(by_hand.model.factors.users, erasures["enmf"].model.factors.users)
    opened = open_foreign(folder / "als.npz", folder / "data.csv", ForeignOptions(**ROWS))
    written = forget_foreign(opened, gone, tmp_path / "one.npz", method="local").model.written
    assert written is not None
    saved = erasures["als.npz"].save(tmp_path / "two.npz")
    assert written.path.read_bytes() == saved.path.read_bytes()
    assert [sibling.path for sibling in written.siblings] == [
        sibling.path for sibling in saved.siblings
    ]
    with pytest.raises(ae.AltEraserError, match=r"two\.npz exists"):
        erasures["als.npz"].save(tmp_path / "two.npz")


def test_what_means_nothing_is_said(folder: Path) -> None:
    data = ae.Interactions.read(folder / "data.csv")
    with pytest.raises(InvalidInput, match="cannot forget in a dict"):
        ae.forget({}, [(1, 4)], data=data)  # type: ignore[misc]
    with pytest.raises(InvalidInput, match="no use for rating, rows_are_ids with a Model"):
        ae.forget(folder / "enmf", [(1, 4)], data=data, **ROWS)
    with pytest.raises(InvalidInput, match="Retrain means nothing to a model of another library"):
        ae.forget(
            folder / "als.npz", [(1, 4)], data=folder / "data.csv", method=ae.Retrain(), **ROWS
        )
    with pytest.raises(InvalidInput, match="learn no additions"):
        ae.forget(folder / "als.npz", [(1, 4)], data=folder / "data.csv", grown=True, **ROWS)


def test_rows_of_other_maps_are_looked_up_once(folder: Path) -> None:
    """``in_rows_of`` against a table that is read again, with ids that nobody has left."""
    table = pacsv.read_csv(folder / "data.csv")
    data = ae.Interactions.read(table, duplicates="sum")
    users, items = data.users.without(data.users.rows[:2]), data.items
    rest = data.remove(data.users.ids[:2].to_pylist(), whole_users=True).remaining
    again = ae.Interactions.from_table(rest.to_table())
    moved = again.in_rows_of(users, items)
    assert moved.users is users
    assert np.array_equal(moved.indptr, rest.indptr)
    assert np.array_equal(moved.indices, rest.indices)
    assert moved.digest == rest.digest
    with pytest.raises(
        ae.AltEraserError, match=r"2 user\(s\) of the data are not in the model, the first is 1"
    ):
        data.in_rows_of(users, items)


def test_a_claim_has_its_class_and_its_word() -> None:
    assert (Replayed("words").kind, Replayed("words").name, LocalEffect("words").passed) == (
        "A",
        "replayed",
        True,
    )
    assert not Evidence("words").passed
