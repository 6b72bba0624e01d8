"""Tuning of exact kinds: every point of the grid is tried, the best by the cut is chosen."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest
from conftest import Run

import alteraser as ae
from alteraser.errors import InvalidInput
from alteraser.models.registry import KINDS
from alteraser.verbs.tune.exact import grid_of, tune_exact


def test_the_best_of_the_grid(run: Run, world: Path, tmp_path: Path) -> None:
    line = (
        "tune {w}/data.csv --model item-knn --similarity cosine,bm25 --neighbors 3,9 --seed 4 "
        "--out tuned --json"
    )
    code, out, err = run(line)
    assert code == 0, err
    document = json.loads(out)
    train, held = ae.Interactions.read(world / "data.csv").split(0.2, seed=4)
    wanted = {}
    for name, length in product(("cosine", "bm25"), (3, 9)):
        model = ae.ItemKNN(similarity=name, neighbors=length).fit(train)  # type: ignore[arg-type]
        wanted[name, length] = ae.evaluate(model, held, data=train)["ndcg@10"]
    found = {
        (trial["settings"]["similarity"], trial["settings"]["neighbors"]): trial["metrics"][
            "ndcg@10"
        ]
        for trial in document["trials"]
    }
    assert found == wanted
    best = document["chosen"]["settings"]
    assert wanted[best["similarity"], best["neighbors"]] == max(wanted.values())
    assert json.loads((tmp_path / "tuned" / "tune.json").read_text())["chosen"]["settings"] == best


def test_other_settings_are_those_of_the_kinds_own_grid() -> None:
    points = grid_of(KINDS["cooccurrence"], {"association": ["count"], "support": ["2"]})
    assert [(point.association, point.support) for point in points] == [("count", 2)] * 3  # type: ignore[attr-defined]
    assert len({point.neighbors for point in points}) == 3  # type: ignore[attr-defined]
    assert len(grid_of(KINDS["popularity"], {"half_life": ["3", None]})) == 2


@pytest.mark.parametrize("name", [name for name in KINDS if KINDS[name].grid])
def test_a_grid_is_of_settings_there_are(name: str) -> None:
    assert len(grid_of(KINDS[name], {})) > 1


def test_what_is_the_case_is_said(run: Run) -> None:
    for line, code, message in (
        ("tune {w}/data.csv --model popularity", 2, "popularity has nothing to choose from"),
        (
            "tune {w}/data.csv --model item-knn --neighbors 3,zero",
            2,
            "--neighbors: Input should be a valid integer",
        ),
        (
            "tune {w}/data.csv --model item-knn --factors 8",
            2,
            "--factors means nothing to --model item-knn",
        ),
        ("tune {w}/data.csv --neighbors 8", 2, "--neighbors means nothing to --model enmf"),
        ("tune {w}/data.csv --model item-nnn", 2, "there are enmf, linear, popularity"),
        ("tune nowhere.csv --model popularity --half-life 3,9", 2, "give --timestamp-column"),
        (
            "tune {w}/data.csv --model ease --regularization 1,5 --out {w}",
            2,
            "is not the folder of a search",
        ),
    ):
        found, _, err = run(line)
        assert (found, message in err) == (code, True), (line, err)


def test_nothing_to_try_on() -> None:
    data = ae.Interactions.from_pairs([(u, u) for u in range(5)])
    with pytest.raises(InvalidInput, match="no user has enough interactions"):
        tune_exact(grid_of(KINDS["item-knn"], {}), data)
