"""Co-occurrence: counts, Dunning's ratio by its definition, ties; what is stale is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import toy_interactions

import alteraser as ae
from alteraser.errors import IntegrityError
from alteraser.models.neighbors import together
from alteraser.models.neighbors.cooccurrence import Cooccurrence


def plain(**given: Any) -> ae.Interactions:
    return replace(toy_interactions(**given), target=None)


def ratio(k: int, a: int, b: int, people: int) -> float:
    """2 Σ k ln(k N / (row · column)), cell by cell."""
    cells = (
        (k, a, b),
        (a - k, a, people - b),
        (b - k, people - a, b),
        (people - a - b + k, people - a, people - b),
    )
    return 2 * sum(x * log(x * people / (row * column)) for x, row, column in cells if x)


@pytest.mark.parametrize("room", [1, 40, 1 << 20])
def test_counts_by_the_definition(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "ROOM", room)
    data = plain(m=20, n=12)
    x = np.zeros(data.shape, int)
    x[data.user_rows, data.indices] = 1
    found = together.counted(data, threads=3)
    np.testing.assert_array_equal(found.toarray(), np.triu(x.T @ x, 1))
    assert (found.data > 0).all()


@pytest.mark.parametrize("support", [1, 3])
@pytest.mark.parametrize("association", ["llr", "count"])
def test_lists_by_the_definition(association: Any, support: int) -> None:
    data = plain(m=30, n=10, seed=2)
    kind = Cooccurrence(association=association, neighbors=4, support=support)
    state = kind.state(data)
    neighbors, values = kind.lists(state)
    x = np.zeros(data.shape, int)
    x[data.user_rows, data.indices] = 1
    both, had, people = x.T @ x, x.sum(0), int(x.any(1).sum())
    for i in range(10):
        wanted = []
        for j in range(10):
            k = int(both[i, j])
            if i == j or k < support or (association == "llr" and k * people <= had[i] * had[j]):
                continue
            wanted.append(
                (k if association == "count" else ratio(k, int(had[i]), int(had[j]), people), -j)
            )
        wanted = sorted(((round(value, 9), j) for value, j in wanted), reverse=True)[:4]
        assert [-j for _, j in wanted] == [j for j in neighbors[i].tolist() if j >= 0]
        np.testing.assert_allclose(
            values[i][: len(wanted)], [value for value, _ in wanted], atol=1e-9
        )


def test_the_ratio_of_dunning_on_known_cells() -> None:
    """Of 100 people 10 had one, 20 the other, 8 both; what everybody had says nothing."""
    pairs = (
        [(u, 0) for u in range(10)] + [(u, 1) for u in range(2, 22)] + [(u, 2) for u in range(100)]
    )
    data = ae.Interactions.from_pairs(pairs)
    neighbors, values = Cooccurrence().lists(Cooccurrence().state(data))
    assert neighbors[0].tolist() == [1, -1]
    assert values[0, 0] == pytest.approx(ratio(8, 10, 20, 100), rel=1e-12)


def test_equally_strong_companions_come_in_the_order_of_their_ids() -> None:
    data = ae.Interactions.from_pairs([(u, v) for u in range(3) for v in range(5)] + [(9, 7)])
    kind = Cooccurrence(neighbors=2)
    assert kind.lists(kind.state(data))[0][:5].tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]]


@pytest.mark.parametrize("association", ["llr", "count"])
def test_lists_after_forgetting_are_those_of_a_new_model(association: Any) -> None:
    data = plain(m=40, n=20, seed=5)
    model = Cooccurrence(association=association, neighbors=3).fit(data)
    pairs = [
        (row["user_id"], row["item_id"])
        for row in data.to_table().to_pylist()
        if row["item_id"] == 4
    ][:-1]
    erasure = ae.forget(model, [*pairs, *((3, v) for v in range(20))], data=data)
    rest = erasure.remaining.compact()
    fresh = Cooccurrence(association=association, neighbors=3).fit(rest)
    mine = erasure.model.recommend(fresh.users.ids, k=6, seen=erasure.remaining).to_list()
    assert mine == fresh.recommend(k=6, seen=rest).to_list()
    assert ae.verify(erasure.model, erasure.remaining).certificate.kind == "A"


def mutants(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    first = np.arange(state["columns"].size) > 0
    starts = state["starts"].copy()
    starts[1:] -= 1
    return {
        "stale frequency": {**state, "frequencies": state["frequencies"] + (np.arange(20) == 3)},
        "stale number of people": {**state, "people": state["people"] + 1},
        "one retained pair dropped": {
            **state,
            "columns": state["columns"][first],
            "counts": state["counts"][first],
            "starts": starts,
        },
        "a count not cut back": {**state, "counts": state["counts"] + ~first},
    }


@pytest.mark.parametrize(
    "name",
    [
        "stale frequency",
        "stale number of people",
        "one retained pair dropped",
        "a count not cut back",
    ],
)
def test_what_is_stale_is_refused(name: str) -> None:
    data = plain(m=40, n=20, seed=5)
    erasure = ae.forget(Cooccurrence().fit(data), [3], data=data, whole_users=True)
    stale = replace(erasure.model, state=mutants(dict(erasure.model.state))[name])
    assert ae.verify(stale, erasure.remaining).certificate.kind == "D"


def test_a_file_whose_rows_are_none_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    from alteraser.data.files import sha256_file
    from alteraser.models.folder import digest_of

    Cooccurrence().fit(plain(m=40, n=20, seed=5)).save(tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    state = load_file(path)
    state["columns"] = state["columns"][::-1].copy()
    save_file(state, path)
    manifest = json.loads((tmp_path / "model" / "model.json").read_text())
    manifest["files"][path.name] = sha256_file(path)
    manifest["digest"] = digest_of(manifest)
    (tmp_path / "model" / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match="are no pairs of items"):
        ae.load(tmp_path / "model")
