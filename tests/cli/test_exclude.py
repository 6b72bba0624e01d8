"""``recommend --exclude``: what was forgotten stays out of lists."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

import alteraser as ae
from alteraser.data.ids import IdMap
from alteraser.data.selection import Selection
from alteraser.models.excluding import Excluded

pytestmark = pytest.mark.usefixtures("inputs_stay_as_they_are")


@given(
    st.sets(st.integers(0, 9)),
    st.sets(st.tuples(st.integers(0, 4), st.integers(0, 9))),
    st.integers(1, 12),
)
def test_lists_are_those_of_the_other_items(
    gone: set[int], pairs: set[tuple[int, int]], k: int
) -> None:
    """Against sorting all scores of what is left."""
    rng = np.random.default_rng(0)
    scores = rng.permutation(50).reshape(5, 10).astype(float)
    users, items = (IdMap.build(np.arange(size))[0] for size in (5, 10))

    def top(rows: np.ndarray, *, k: int, seen: object) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(-scores[rows], axis=1)[:, :k]
        return order, np.take_along_axis(scores[rows], order, axis=1)

    for selection in ([Selection.of(sorted(gone), whole_items=True)] if gone else []) + (
        [Selection.of(sorted(pairs))] if pairs else []
    ):
        found, values = Excluded.of(selection, users, items).lists(top, np.arange(5), k, None)
        for user in range(5):
            left = [
                v
                for v in np.argsort(-scores[user]).tolist()
                if not (v in gone if selection.kind == "items" else (user, v) in pairs)
            ]
            assert [v for v in found[user].tolist() if v >= 0] == left[:k]
            np.testing.assert_array_equal(values[user][: len(left[:k])], scores[user, left[:k]])


def test_forgotten_items_are_kept_out(run: Run, world: Path) -> None:
    full = json.loads(
        run("recommend {w}/model --user 3 --user 5 -k 40 --data {w}/data.csv --json")[1]
    )
    first, second = (
        [entry["item_id"] for entry in each["items"]] for each in full["recommendations"]
    )
    Path("pairs.csv").write_text(f"user_id,item_id\n3,{first[0]}\n3,{first[2]}\n5,999\n777,100\n")
    Path("items.csv").write_text(f"item_id\n{first[0]}\n999\n")
    Path("users.csv").write_text("user_id\n3\n")
    line = "recommend {{w}}/model --user 3 --user 5 -k 4 --data {{w}}/data.csv --exclude {} --json"
    own = json.loads(run(line.format("pairs.csv"))[1])["recommendations"]
    assert [entry["item_id"] for entry in own[0]["items"]] == [first[1], *first[3:6]]
    assert [entry["item_id"] for entry in own[1]["items"]] == second[:4]
    everybody = json.loads(run(line.format("items.csv"))[1])["recommendations"]
    for found, was in zip(everybody, (first, second), strict=True):
        assert [entry["item_id"] for entry in found["items"]] == [v for v in was if v != first[0]][
            :4
        ]
    code, _, err = run(line.format("users.csv"))
    assert code == 2
    assert "whole users name nothing to leave out" in err


def test_in_python_and_for_other_kinds(world: Path) -> None:
    data = ae.Interactions.read(world / "data.csv")
    for model in (ae.load(world / "model"), ae.Popularity().fit(data)):
        first = model.recommend([3], k=3, seen=data).to_list()[0]["items"]
        exclude = Selection.of([first[0]["item_id"]], whole_items=True)
        again = model.recommend([3], k=2, seen=data, exclude=exclude).to_list()[0]["items"]
        assert again == first[1:]
