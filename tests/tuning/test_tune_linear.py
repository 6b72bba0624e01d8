"""Tuning of linear kinds: every point is tried on what is held out, and the best is chosen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from conftest import Run

from alteraser import Interactions, evaluate
from alteraser.data.side.given import Given
from alteraser.data.side.links import Links
from alteraser.errors import InvalidInput
from alteraser.models.relational.lightgcn import LinearLightGCN
from alteraser.models.relational.setup import LinearSetup
from alteraser.verbs.relational.train import train
from alteraser.verbs.tune.cut import cut
from alteraser.verbs.tune.linear import RIDGES, WEIGHTS, paths_of, tune_linear


@pytest.fixture(scope="module")
def data() -> Interactions:
    rng = np.random.default_rng(2)
    return Interactions.from_pairs(
        [
            (u, v)
            for u in range(60)
            for v in range(30)
            if rng.random() < 0.08 + 0.4 * (u % 4 == v % 4)
        ]
    )


def test_every_point_is_measured_on_what_is_held_out_and_the_best_is_first(
    data: Interactions,
) -> None:
    given = {"layers": [1, 2], "missing_weight": [0.2], "regularization": [0.1, 2.0]}
    paths = paths_of(LinearLightGCN(factors=4), given, data)
    assert [[x.regularization for x in path] for path in paths] == [[2.0, 0.1], [2.0, 0.1]]
    found = tune_linear(paths, data, seed=3)
    assert len(found.trials) == 4
    fit, held = cut(data, 0.2, seed=3)
    for trial in found.trials:
        model = train(trial.settings, fit)  # to the optimum, from a start of its own
        assert trial.metrics["ndcg@10"] == pytest.approx(
            evaluate(model, held, data=fit)["ndcg@10"], abs=0.01
        )
    accuracy = [trial.metrics["ndcg@10"] for trial in found.trials]
    assert accuracy == sorted(accuracy, reverse=True)
    assert found.chosen is found.trials[0]


@pytest.mark.parametrize("base", [LinearLightGCN(factors=3, layers=3), LinearSetup(factors=3)])
def test_what_is_not_given_is_tried_around_the_datas_own(
    base: LinearLightGCN | LinearSetup, data: Interactions
) -> None:
    given = {"layers": [3]} if isinstance(base, LinearLightGCN) else {}
    source = data if given else Given.of(data)
    weight, penalty = base.settled(source).of_data  # type: ignore[arg-type]
    found = [x.settled(source).of_data for path in paths_of(base, given, source) for x in path]  # type: ignore[arg-type]
    wanted = [(weight * w, penalty * r) for w in WEIGHTS for r in RIDGES]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_what_is_beside_data_is_there_in_every_trial(data: Interactions) -> None:
    """A second relation that holds what is held out makes it easy to tell."""
    fit, held = cut(data, 0.2, seed=0)
    seen = Links.of("seen", "user", "item", data)
    both = Given((*Given.of(data).links, seen))
    given = {"missing_weight": [0.2], "regularization": [0.5]}
    alone, beside = (
        tune_linear(paths_of(LinearSetup(factors=8), given, x), x).chosen.metrics["ndcg@10"]
        for x in (Given.of(data), both)
    )
    assert beside > alone + 0.1
    assert len(held)
    assert len(fit)


def test_a_query_is_a_user_in_a_context_where_there_are_some(tmp_path: Path, run: Run) -> None:
    rng = np.random.default_rng(0)
    rows = [
        (f"u{u}", f"i{(2 * v + day) % 12}", ("day", "night")[day])
        for u in range(30)
        for day in (0, 1)
        for v in range(6)
        if rng.random() < 0.7
    ]
    columns = dict(zip(("user_id", "item_id", "when"), zip(*rows, strict=True), strict=True))
    pa_csv.write_csv(pa.table({name: list(x) for name, x in columns.items()}), tmp_path / "d.csv")
    asked = "--factors 4 --missing-weight 0.2 --regularization 0.1,1 --json"
    answers = []
    for context in ("", "--context when "):
        model = "" if context else "--model linear "
        code, out, err = run(f"tune {tmp_path}/d.csv {model}{context}{asked}")
        assert code == 0, err
        answers.append(json.loads(out))
    assert "queries" not in answers[0]["chosen"]["metrics"]
    assert answers[1]["chosen"]["metrics"]["queries"] > 30
    assert answers[1]["kind"] == "linear"


def test_the_command_prints_what_to_train_with(run: Run, world: Path, tmp_path: Path) -> None:
    code, out, err = run(
        "tune {w}/data.csv --model linear-lightgcn --layers 0,1 --factors 3 --missing-weight 0.2 "
        "--regularization 0.5,2 --out tuned --json"
    )
    assert code == 0, err
    document = json.loads(out)
    assert len(document["trials"]) == 4
    assert json.loads((tmp_path / "tuned" / "tune.json").read_text()) == {
        name: x for name, x in document.items() if name != "seconds"
    }
    code, out, err = run(
        "tune {w}/data.csv --model linear-lightgcn --layers 0,1 --factors 3 --missing-weight 0.2 "
        "--regularization 0.5,2"
    )
    chosen = document["chosen"]["settings"]
    said = " ".join(out.split())
    wanted = (
        f"--model linear-lightgcn --factors 3 --missing-weight 0.2 --regularization "
        f"{chosen['regularization']} --layers {chosen['layers']}"
    )
    assert wanted in said
    assert run(f"train {{w}}/data.csv {wanted} --out m")[0] == 0


def test_none_is_a_word_where_a_setting_has_it(run: Run, world: Path) -> None:
    code, out, err = run(
        "tune {w}/data.csv --model linear-lightgcn --regularization-scaling none,frequency "
        "--layers 1 --factors 3 --missing-weight 0.2 --regularization none,1 --json"
    )
    assert code == 0, err
    tried = [trial["settings"] for trial in json.loads(out)["trials"]]
    assert {(x["regularization_scaling"], x["regularization"]) for x in tried} == {
        (scaling, value) for scaling in ("none", "frequency") for value in (None, 1.0)
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--model linear-lightgcn --neighbors 3", "--neighbors means nothing to --model linear"),
        ("--model linear-lightgcn --seed-x 3", "No such option"),
        ("--model linear --layers 1,2", "--layers means nothing to --model linear"),
        ("--model linear-lightgcn --layers 1,two", "--layers: Input should be a valid integer"),
        ("--model linear --regularization 1,-2", "--regularization: Input should be greater"),
        ("--model linear --feature-scaling 3,9", "--feature-scaling: Input should be less"),
        ("--model linear --factors 4,x", "--factors: Input should be a valid integer"),
        ("--model linear --missing-weight a,b", "--missing-weight: Input should be a valid number"),
        ("--model linear --regularization x", "--regularization: Input should be a valid number"),
        (
            "--model linear-lightgcn --missing-weight 0.1,-1",
            "--missing-weight: Input should be greater",
        ),
        ("--model item-knn --item-features x.csv", "--item-features means nothing to --model item"),
        ("--model item-knn --context day", "--context means nothing to --model item-knn"),
        ("--model linear --item-features nowhere.csv", "nowhere.csv"),
        ("--model linear --validation 2 --regularization 1", "share"),
    ],
)
def test_what_cannot_be_is_named(line: str, message: str, run: Run) -> None:
    code, _, err = run(f"tune {{w}}/data.csv {line}")
    assert code in (2, 3), err
    assert message in " ".join(err.split())


def test_nothing_to_try_on() -> None:
    data = Interactions.from_pairs([(u, u) for u in range(5)])
    for source, base in ((data, LinearLightGCN()), (Given.of(data), LinearSetup())):
        with pytest.raises(InvalidInput, match="no user has enough interactions"):
            tune_linear(paths_of(base, {}, source), source)  # type: ignore[arg-type]
