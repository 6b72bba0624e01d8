"""Any request to any kind that forgets exactly: the model and its lists are those that training on
the rest gives.

A seeded sample of small data with ties, repeats, users of one event and items of one user; kinds
with their options in turn, requests in every form, one after the other until nothing may be left.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from conftest import Run

from alteraser.models.registry import KINDS

TIMED = "--timestamp-column t"
WEIGHED = "--duplicates sum --confidence c"
OPTIONS = {
    "popularity": [
        "--duplicates first",
        f"--duplicates last --half-life 30 {TIMED}",
        WEIGHED,
    ],
    "item-knn": [
        "--duplicates first --neighbors 3",
        "--duplicates first --neighbors 2 --similarity bm25",
        f"{WEIGHED} --neighbors 3",
        f"{WEIGHED} --similarity tfidf",
    ],
    "user-knn": [
        "--duplicates first --neighbors 3",
        "--duplicates first --similarity tfidf --shrinkage 2",
        f"{WEIGHED} --similarity bm25",
    ],
    "cooccurrence": [
        "--duplicates first --neighbors 3",
        "--duplicates first --association count --support 1",
        WEIGHED,
    ],
    "ease": [
        "--duplicates first --regularization 2",
        "--duplicates first --regularization 2 --dropout 0.3",
        f"{WEIGHED} --regularization 2",
    ],
    "vs-knn": [f"--session-column s {TIMED} --neighbors 3", f"--session-gap 5s {TIMED} --sample 4"],
    "slist": [
        "--session-column s --regularization 2 --most-frequent 4",
        f"--session-gap 5s {TIMED}",
    ],
    "tifu-knn": [f"--basket-column s {TIMED} --neighbors 2", f"--session-gap 0 {TIMED}"],
    "top-frequency": ["--basket-column s", f"--session-gap 0 {TIMED}"],
}
ROUNDED = {"ease", "slist"}
"""Whose scores are those of a retrained model to rounding alone"""


def world_of(rng: np.random.Generator) -> pa.Table:
    """Up to 30 events of few users and items, ids of either type; times in any order, equal and
    before 1970."""
    size = int(rng.integers(1, 30))
    columns = {
        name: rng.integers(0, rng.integers(1, 7), size).tolist()
        for name in ("user_id", "item_id", "s")
    }
    if rng.random() < 0.5:
        columns = {
            name: [f"{name[0]}{value}" for value in values] for name, values in columns.items()
        }
    times = rng.integers(-5, rng.choice([4, 40]), size)
    return pa.table(columns | {"t": times, "c": 2.0 ** rng.integers(-2, 3, size)})


def request(rng: np.random.Generator, left: pa.Table, options: str) -> str:
    """Something that is there: FORGET in one of its forms, groups, or a window."""
    some = left.take(rng.integers(0, left.num_rows, rng.integers(1, 4)))
    forms = [["user_id", "item_id"], ["user_id"], ["item_id"]]
    if "-column s" in options:
        forms += [["user_id", "s"], ["user_id", "s", "item_id"], ["s"]]
    if TIMED in options:
        forms.append(["t"])
    form = forms[rng.integers(len(forms))]
    if form == ["t"]:
        since = some["t"][0].as_py()
        return f"--since={since} --until={since + 3}"
    if form == ["s"]:
        name = "--basket" if "--basket" in options else "--session"
        return " ".join(f"{name} {each}" for each in some["s"].to_pylist())
    pacsv.write_csv(some.select(form), "forget.csv")
    return "forget.csv"


def lists(run: Run, model: str, data: str) -> dict[str, list[tuple[str, float]]]:
    """Everybody's list, by their id."""
    code, out, err = run(f"recommend {model} --all -k 10 --data {data} --json")
    assert code == 0, err
    return {
        str(one["user_id"]): [(str(item["item_id"]), item["score"]) for item in one["items"]]
        for one in json.loads(out)["recommendations"]
    }


def check_same_lists(kind: str, run: Run, models: tuple[str, str], data: str) -> None:
    """The same users, items in the same order, and scores."""
    found, expected = (lists(run, model, data) for model in models)
    if kind not in ROUNDED:
        assert found == expected
        return
    assert {user: [item for item, _ in own] for user, own in found.items()} == {
        user: [item for item, _ in own] for user, own in expected.items()
    }
    for user, own in found.items():
        assert [score for _, score in own] == pytest.approx(
            [score for _, score in expected[user]], abs=1e-8
        )


def document(run: Run, line: str) -> dict[str, Any]:
    code, out, err = run(f"{line} --json")
    assert code == 0, f"{line}: {err}{out}"
    return dict(json.loads(out))


def test_every_exact_kind_is_tried() -> None:
    assert set(OPTIONS) == {name for name, kind in KINDS.items() if not kind.extra}


@pytest.mark.parametrize(
    ("kind", "seed"), [(kind, seed) for kind, each in OPTIONS.items() for seed in range(len(each))]
)
def test_forgotten_is_as_never_told(kind: str, seed: int, run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng([seed, list(OPTIONS).index(kind)])
    options = OPTIONS[kind][seed]
    table = world_of(rng)
    pacsv.write_csv(table, "rest0.csv")
    document(run, f"train rest0.csv --model {kind} {options} --out new0")
    step = 0
    while step < 2 and table.num_rows:
        step += 1
        asked = request(rng, table, options)
        line = (
            f"forget new{step - 1} {asked} --data rest{step - 1}.csv --out new{step} "
            f"--remaining rest{step}.csv"
        )
        document(run, line)
        table = pacsv.read_csv(f"rest{step}.csv")
    new, rest = f"new{step}", f"rest{step}.csv"
    found = document(
        run, f"verify {new} --data {rest} --before new{step - 1} --forgotten rest{step - 1}.csv"
    )
    assert (found["class"], found["descends"]) == ("A", True)
    assert document(run, f"inspect {new} --data {rest}")["self_check"]["passed"]
    assert run(f"forget {new} {asked} --data {rest} --out again")[0] == 3
    if table.num_rows == 0:
        assert lists(run, new, rest) == {}
        return
    document(run, f"train {rest} --model {kind} {options} --out trained")
    check_same_lists(kind, run, (new, "trained"), rest)


@pytest.mark.parametrize(
    "how", [f"--session-gap 0 {TIMED}", f"--session-column s {TIMED}", f"--basket-column s {TIMED}"]
)
@pytest.mark.parametrize("kind", ["tifu-knn", "top-frequency"])
def test_the_order_of_rows_is_nothing_to_a_model_of_baskets(
    kind: str, how: str, run: Run, tmp_path: Path
) -> None:
    """However baskets are told: one digest, and a file in another order is accepted for what it was
    trained on."""
    rng = np.random.default_rng(3)
    table = pa.table({name: rng.integers(0, 4, 40) for name in ("user_id", "item_id", "t")})
    table = table.append_column("s", table["t"])
    pacsv.write_csv(table, "data.csv")
    pacsv.write_csv(table.take(rng.permutation(40)), "turned.csv")
    trained, turned = (
        document(run, f"train {d}.csv --model {kind} {how} --out {d}") for d in ("data", "turned")
    )
    assert trained["digest"] == turned["digest"]
    assert document(run, "verify data --data turned.csv")["class"] == "A"
    document(
        run, "forget data --since 2 --until 3 --data turned.csv --out new --remaining rest.csv"
    )
    document(run, "verify new --data rest.csv")
    if "gap" in how:
        code, _, err = run("forget data --basket 1 --data data.csv --out x")
        assert code == 2
        assert "it is a model of baskets that a gap cuts" in err
