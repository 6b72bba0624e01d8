"""Lists and figures of some items alone, `--among`: of every kind, and of items that nobody had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run

from alteraser import evaluate
from alteraser.data.interactions import Interactions
from alteraser.models.loading import load


@pytest.fixture
def made(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """data.csv, a test of some items and of two that nobody had, and what is known of items."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    some = [(u, i) for u in range(20) for i in range(15) if (u + i) % 3 == 0 or rng.random() < 0.1]
    held = [pair for n, pair in enumerate(some) if n % 4 == 0]
    write("data", "user_id,item_id", [pair for n, pair in enumerate(some) if n % 4])
    cold = [(u, 20 + (-u) % 3) for u in range(20)]
    write("test", "user_id,item_id", [*held, *cold])
    rows = [(i, "abc"[i % 3]) for i in range(15)]
    write("items", "item_id,sort", [*rows, *((20 + n, "abc"[n]) for n in range(3)), (30, "q")])
    write("new", "item_id,when", [(20, 1), (21, 1), (22, 1), (99, 1)])
    write("some", "item_id", [(3,), (4,), (9,)])
    return tmp_path


def write(name: str, header: str, rows: Any) -> None:
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    Path(f"{name}.csv").write_text("\n".join(lines) + "\n")


def pairs(name: str) -> list[tuple[int, int]]:
    rows = Path(f"{name}.csv").read_text().split()[1:]
    return [(int(u), int(i)) for u, i in (row.split(",")[:2] for row in rows)]


def document(run: Run, line: str) -> dict[str, Any]:
    code, out, err = run(f"{line} --json")
    assert code == 0, err
    return json.loads(out)  # type: ignore[no-any-return]


KINDS = ("enmf", "ease", "popularity", "item-knn", "linear-lightgcn", "linear")


@pytest.mark.parametrize("kind", KINDS)
def test_lists_are_the_whole_ones_with_the_others_struck_out(
    made: Path, run: Run, kind: str
) -> None:
    size = " --factors 3" if kind in ("enmf", "linear", "linear-lightgcn") else ""
    assert run(f"train data.csv --model {kind}{size} --out m -q")[0] == 0
    whole, chosen, without = (
        document(run, f"recommend m --all --data data.csv -k 15 {more}")["recommendations"]
        for more in ("", "--among some.csv", "--among some.csv --exclude data.csv")
    )
    for one, other in zip(whole, chosen, strict=True):
        assert other["items"] == [x for x in one["items"] if x["item_id"] in (3, 4, 9)]
    assert without == chosen  # what they have is left out already
    found = document(run, "evaluate m --test test.csv --data data.csv --among some.csv")
    model, data = load(made / "m"), Interactions.read("data.csv")
    test = pairs("test")
    asked = [x for x in test if x[1] in (3, 4, 9)]
    hits = []
    for user in {u for u, _ in asked}:
        (row,) = [x["items"] for x in chosen if x["user_id"] == user]
        mine = {i for u, i in asked if u == user}
        hits.append(len(mine & {x["item_id"] for x in row}) / len(mine))
    assert found["recall@10"] == pytest.approx(np.mean(hits))
    assert found["users"] == len(hits)
    assert found["test_interactions_of_other_items"] == len(test) - len(asked)
    again = evaluate(model, Interactions.read("test.csv"), data=data, among=[3, 4, 9])
    assert again["ndcg@10"] == pytest.approx(found["ndcg@10"])


def test_items_that_nobody_had_are_ranked_among_themselves(made: Path, run: Run) -> None:
    line = "train data.csv --item-features items.csv --factors 3 --regularization 0.1"
    assert run(f"{line} --feature-scaling 0.5 --out m -q")[0] == 0
    line = "recommend m --all --data data.csv --item-features items.csv --among new.csv"
    lists = document(run, line)["recommendations"]
    assert all({x["item_id"] for x in one["items"]} == {20, 21, 22} for one in lists)
    line = "--test test.csv --data data.csv --item-features items.csv --among new.csv"
    found = document(run, f"evaluate m {line}")
    first = {one["user_id"]: [x["item_id"] for x in one["items"]] for one in lists}
    gains = [1.0 / np.log2(2 + first[u].index(20 + (-u) % 3)) for u in range(20)]
    assert found["ndcg@10"] == pytest.approx(np.mean(gains))
    # what users had, by sort, tells which of the new ones they take
    assert found["ndcg@10"] > 0.9
    code, _, err = run("recommend m --user 1 --data data.csv --among new.csv")
    assert code == 3
    assert "--among new.csv: none of its 4 items is in the model" in err
    assert "--item-features" in err


def test_it_counts_in_contexts_as_well(made: Path, run: Run) -> None:
    rows = Path("data.csv").read_text().split()[1:]
    write(
        "with", "user_id,item_id,at", [f"{x},{'hw'[n % 2]}".split(",") for n, x in enumerate(rows)]
    )
    test = Path("test.csv").read_text().split()[1:]
    write("asked", "user_id,item_id,at", [f"{x},h".split(",") for x in test])
    assert run("train with.csv --context at --factors 3 --out m -q")[0] == 0
    found = document(run, "evaluate m --test asked.csv --data with.csv --among some.csv")
    whole = document(run, "evaluate m --test asked.csv --data with.csv")
    assert found["test_interactions_of_other_items"] == sum(
        int(x.split(",")[1]) not in (3, 4, 9) for x in test
    )
    assert 0 < found["queries"] < whole["queries"]
    assert found["recall@50"] == 1.0


def test_what_cannot_be_is_said(made: Path, run: Run) -> None:
    assert run("train data.csv --model popularity --out m -q")[0] == 0
    for line, code, message in (
        ("recommend m --all --among nothing.csv", 3, "nothing.csv does not exist"),
        ("recommend m --segment x --among some.csv", 2, "leave --data, --features and --among out"),
        ("evaluate m --test test.csv --data data.csv --among new.csv", 3, "none of its 4 items"),
    ):
        found, _, err = run(line)
        assert (found, message in err) == (code, True), err
