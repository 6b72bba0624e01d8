"""A compacted model is the same model: loss, lists, class, and what forgetting makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import OBJECTIVES, toy_interactions

import alteraser as ae
from alteraser.data.interactions import Interactions
from alteraser.models import Problem
from alteraser.solvers.stationarity import evaluate
from alteraser.verbs.compact import compact

SETTINGS = {
    **{
        name: objective.model_dump(exclude={"confidence", "target"})
        for name, objective in OBJECTIVES.items()
    },
    "popularity, all alike": {
        "missing_weight": 0.2,
        "regularization": 0.5,
        "missing_weighting": "popularity",
        "weight_exponent": 0.0,
    },
}


def loss(model: ae.Model, data: Interactions) -> float:
    mine = Interactions.from_table(data.to_table(), users=model.users, items=model.items)
    return float(
        evaluate(Problem(model.objective, mine, np.float64), model.factors, threads=1).objective
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_it_is_the_same_model(name: str, tmp_path: Path) -> None:
    options = {key: value for key, value in SETTINGS[name].items() if not key.startswith("absent")}
    data = toy_interactions(24, 15, seed=3, weighted=True, lonely=False)
    settings = ae.ENMF(factors=3, dtype="float64", to_rest=True, **options)
    erasure = ae.forget(settings.fit(data), [2, 5, 6], data=data, whole_users=True)
    second = ae.forget(erasure.model, [4], data=erasure.remaining, whole_items=True)
    big, rest = second.model, second.remaining
    found = compact(big)
    small = found.model
    assert isinstance(small, ae.Model)
    assert small.factors.users.shape == (21, 3)
    assert small.factors.items.shape == (14, 3)
    assert (small.objective.absent_users, small.objective.absent_items) == (3, 1)
    assert small.users.ids.equals(big.users.ids)
    assert loss(small, rest) == pytest.approx(loss(big, rest), rel=1e-12)
    one, other = (each.recommend(k=5, seen=_in_rows(each, rest)).to_list() for each in (big, small))
    assert [[item["item_id"] for item in entry["items"]] for entry in one] == [
        [item["item_id"] for item in entry["items"]] for entry in other
    ]
    saved = small.save(tmp_path / "small")
    again = ae.Model.load(tmp_path / "small")
    assert again.digest == saved.digest
    checked = [ae.verify(each, rest, prove_up_to=0).certificate for each in (big, again)]
    assert checked[0].kind == checked[1].kind == "C"
    both = [ae.forget(each, [9], data=rest, whole_users=True) for each in (big, again)]
    assert both[0].remaining.digest == both[1].remaining.digest
    assert both[1].kind == "C"
    assert loss(both[0].model, both[0].remaining) == pytest.approx(
        loss(both[1].model, both[1].remaining), rel=1e-6
    )
    twice = compact(both[1].model).model
    assert isinstance(twice, ae.Model)
    assert twice.objective.absent_users == 4
    assert loss(twice, both[1].remaining) == pytest.approx(
        loss(both[1].model, both[1].remaining), rel=1e-12
    )


def _in_rows(model: ae.Model, data: Interactions) -> Interactions:
    return Interactions.from_table(data.to_table(), users=model.users, items=model.items)


def test_nothing_to_take_out_changes_no_number(tmp_path: Path) -> None:
    data = toy_interactions(12, 9, seed=3, lonely=False)
    model = ae.ENMF(factors=2, regularization=0.3, missing_weight=0.1).fit(data)
    small = compact(model).model
    assert isinstance(small, ae.Model)
    np.testing.assert_array_equal(small.factors.users, model.factors.users)
    assert small.objective == model.objective
    small.save(tmp_path / "m")
    manifest = json.loads((tmp_path / "m" / "model.json").read_text())
    assert manifest["training"]["recipe"] is None
    assert manifest["training"]["compacted"] is True
    with pytest.raises(ae.AltEraserError, match="replay"):
        ae.forget(small, [(0, int(data.indices[0]))], data=data, method="replay")


def test_exact_kinds_lose_users_alone(tmp_path: Path) -> None:
    data = toy_interactions(12, 9, seed=3, lonely=False)
    for kind in (ae.Popularity(), ae.ItemKNN(neighbors=3)):
        erasure = ae.forget(kind.fit(data), [3, 4], data=data, whole_users=True)
        small = compact(erasure.model).model
        assert small.shape == (10, 9)
        small.save(tmp_path / kind.name)
        loaded = ae.load(tmp_path / kind.name)
        assert ae.verify(loaded, erasure.remaining).certificate.kind == "A"
