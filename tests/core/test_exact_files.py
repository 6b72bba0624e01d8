"""Exact kinds on disk: what is written is read, and what does not belong together is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import toy_interactions

import alteraser as ae
from alteraser.data.readers import ReadingOptions
from alteraser.errors import IntegrityError
from alteraser.models import folder
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.closed_form.popularity import Popularity
from alteraser.models.ease.ease import EASE
from alteraser.models.neighbors.cooccurrence import Cooccurrence
from alteraser.models.neighbors.item_knn import ItemKNN

SETTINGS: list[Any] = [
    Popularity(),
    EASE(regularization=3.0, dtype="float32"),
    Cooccurrence(),
    ItemKNN(similarity="jaccard", neighbors=5, shrinkage=1.5),
]


@pytest.mark.parametrize("kind", SETTINGS, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_written_and_read(kind: Any, weighted: bool, tmp_path: Path) -> None:
    data = replace(toy_interactions(weighted=weighted), target=None)
    saved = kind.fit(data, reading=ReadingOptions(confidence="plays" if weighted else None)).save(
        tmp_path / "model"
    )
    found = ae.load(tmp_path / "model")
    assert isinstance(found, ExactModel)
    assert (found.kind, found.settings, found.digest) == (kind.name, kind, saved.digest)
    assert found.users == saved.users
    assert found.reading == saved.reading
    assert found.trained_on == saved.trained_on
    for name, array in saved.state.items():
        np.testing.assert_array_equal(found.state[name], array)
        assert found.state[name].dtype == array.dtype


def edited(path: Path, change: Any) -> None:
    manifest = json.loads((path / "model.json").read_text("utf-8"))
    change(manifest)
    manifest["digest"] = folder.digest_of(manifest)
    (path / "model.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m.update(kind="ease-of-use"),
            "kind 'ease-of-use', expected enmf, popularity, item-knn, user-knn, cooccurrence, ease",
        ),
        (lambda m: m.update(kind="popularity"), "is not a model of this format.*similarity"),
        (lambda m: m.update(kind="enmf"), "lacks objective"),
        (lambda m: m.pop("settings"), "lacks settings"),
        (
            lambda m: m["settings"].update(neighbors=3),
            r"neighbors is int32 \(9, 5\), expected int32 \(9, 3\)",
        ),
        (lambda m: m["shape"].update(items=8), r"rows must increase strictly|expected int32 \(8"),
        (lambda m: m["dtype"].update(neighbors="int64"), "says dtype"),
    ],
)
def test_a_manifest_that_contradicts_its_files(change: Any, message: str, tmp_path: Path) -> None:
    SETTINGS[-1].fit(toy_interactions()).save(tmp_path / "model")
    edited(tmp_path / "model", change)
    with pytest.raises(IntegrityError, match=message):
        ae.load(tmp_path / "model")


def test_factors_are_asked_for_and_not_there(tmp_path: Path) -> None:
    Popularity().fit(toy_interactions()).save(tmp_path / "model")
    with pytest.raises(IntegrityError, match="of kind popularity, expected one with factors"):
        ae.Model.load(tmp_path / "model")
