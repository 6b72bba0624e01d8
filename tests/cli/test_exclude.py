"""``recommend --exclude``: what was forgotten stays out of lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Run

import alteraser as ae
from alteraser.data.selection import Selection

pytestmark = pytest.mark.usefixtures("inputs_stay_as_they_are")


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


TASTES = {"some": "ab", "other": "bc", "lone": "d"}


def test_an_empty_list_says_why(tmp_path: Path, run: Run) -> None:
    """Who has everything, who has nothing alike, and of whom nothing is said are three answers."""

    def written(name: str, tastes: dict[str, str]) -> None:
        rows = "".join(f"{user},{item}\n" for user, items in tastes.items() for item in items)
        (tmp_path / name).write_text("user_id,item_id\n" + rows)

    written("data.csv", TASTES)
    written("sated.csv", TASTES | {"some": "abcd"})
    written("others.csv", TASTES | {"lone": ""})
    assert run("train data.csv --model item-knn --out m -q")[0] == 0
    told = run("recommend m --all --data data.csv")[2]
    assert "user 'lone': none of the other items is like the 1 that they have" in told
    assert "user 'some'" not in told
    told = run("recommend m --user some --data sated.csv")[2]
    assert "user 'some': they have all 4 items of the model already" in told
    told = run("recommend m --user lone --data others.csv")[2]
    assert "user 'lone': the model knows nothing of them that it could list by" in told
