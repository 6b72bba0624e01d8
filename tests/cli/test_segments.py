"""--segment-column, from training to verifying; a kind that does not count by it says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alteraser.cli.main import main

Call = Callable[..., tuple[str, str]]


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*arguments: object, code: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        assert main([str(each) for each in arguments]) == code
        told = capsys.readouterr()
        return told.out, told.err

    return call


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    cells = rng.permutation(15 * 12)[:90]
    table = pa.table(
        {
            "user_id": [f"u{c // 12}" for c in cells],
            "item_id": cells % 12,
            "rating": rng.integers(1, 6, 90),
            "country": [("de", "fr")[c // 12 % 2] for c in cells],
        }
    )
    pq.write_table(table, tmp_path / "ratings.parquet")
    return tmp_path / "ratings.parquet"


def lists(run_cli: Call, model: Path, data: Path) -> Any:
    done = run_cli("recommend", model, "--all", "--k", 5, "--data", data, "--json")
    return sorted(json.loads(done[0])["recommendations"], key=lambda entry: entry["user_id"])


@pytest.mark.parametrize("more", [(), ("--threshold", 2), ("--confidence", "rating")])
def test_forgetting_by_segment_is_training_on_the_rest(
    run_cli: Call, ratings: Path, tmp_path: Path, more: tuple[Any, ...]
) -> None:
    by = ("--model", "popularity", "--segment-column", "country", *more)
    gone, rest = tmp_path / "gone.csv", tmp_path / "rest.parquet"
    gone.write_text("user_id\nu3\nu4\n")
    run_cli("train", ratings, *by, "--out", tmp_path / "model")
    run_cli(
        "forget", tmp_path / "model", gone, "--data", ratings, "--out", tmp_path / "smaller",
        "--remaining", rest,
    )  # fmt: skip
    run_cli("train", rest, *by, "--out", tmp_path / "again")
    assert lists(run_cli, tmp_path / "smaller", rest) == lists(run_cli, tmp_path / "again", rest)
    verified = run_cli("verify", tmp_path / "smaller", "--data", rest, "--json")
    assert json.loads(verified[0])["class"] == "A"
    assert pq.read_table(rest).column_names == ["user_id", "item_id", "rating", "country"]


def test_everybody_is_shown_what_their_segment_had(
    run_cli: Call, ratings: Path, tmp_path: Path
) -> None:
    run_cli(
        "train", ratings, "--model", "popularity", "--segment-column", "country",
        "--out", tmp_path / "model",
    )  # fmt: skip
    done = run_cli("recommend", tmp_path / "model", "--all", "--k", 12, "--json")
    table = pq.read_table(ratings).to_pylist()
    for entry in json.loads(done[0])["recommendations"]:
        mine = ("de", "fr")[int(entry["user_id"][1:]) % 2]
        for item in entry["items"]:
            had = sum(r["item_id"] == item["item_id"] and r["country"] == mine for r in table)
            assert item["score"] == had > 0


def test_a_segment_has_a_list_without_anybody(run_cli: Call, ratings: Path, tmp_path: Path) -> None:
    by = ("--model", "popularity", "--segment-column", "country")
    model = tmp_path / "model"
    run_cli("train", ratings, *by, "--out", model)
    done = run_cli("recommend", model, "--segment", "de", "--segment", "fr", "--k", 3, "--json")
    found = {each["segment"]: each["items"] for each in json.loads(done[0])["recommendations"]}
    everybody = json.loads(run_cli("recommend", model, "--all", "--k", 3, "--json")[0])
    for entry in everybody["recommendations"]:
        assert entry["items"] == found[("de", "fr")[int(entry["user_id"][1:]) % 2]]
    assert "segment 'xx'" in run_cli("recommend", model, "--segment", "xx", code=3)[1]
    more = run_cli("recommend", model, "--segment", "de", "--all", code=2)[1]
    assert "or for a --segment (one of them)" in more
    run_cli("train", ratings, "--model", "popularity", "--out", tmp_path / "plain")
    told = run_cli("recommend", tmp_path / "plain", "--segment", "de", code=2)[1]
    assert "not counted by segment" in told


def test_settings_are_tuned_by_segment(run_cli: Call, tmp_path: Path) -> None:
    """Where everybody of a country has other items, only counting by it can hit what is held
    out."""
    rng = np.random.default_rng(0)
    cells = [(u, 10 * (u % 2) + v) for u in range(20) for v in rng.permutation(10)[:6]]
    table = pa.table(
        {
            "user_id": [u for u, _ in cells],
            "item_id": [v for _, v in cells],
            "t": rng.integers(0, 40 * 86_400, len(cells)) + 10**9,
            "country": [("de", "fr")[u % 2] for u, _ in cells],
        }
    )
    pq.write_table(table, tmp_path / "r.parquet")
    asked = ("tune", tmp_path / "r.parquet", "--model", "popularity", "--half-life", "5,50")
    asked = (*asked, "--timestamp-column", "t", "--json")
    plain = json.loads(run_cli(*asked)[0])["chosen"]["metrics"]
    segmented = json.loads(run_cli(*asked, "--segment-column", "country")[0])["chosen"]["metrics"]
    assert segmented["ndcg@10"] > plain["ndcg@10"]


@pytest.mark.parametrize("kind", ["enmf", "item-knn", "ease", "cooccurrence"])
def test_a_kind_that_counts_nothing_by_segment_says_so_before_anything_is_read(
    run_cli: Call, tmp_path: Path, kind: str
) -> None:
    done = run_cli(
        "train", tmp_path / "missing.csv", "--model", kind, "--segment-column", "country",
        "--out", tmp_path / "model", code=2,
    )  # fmt: skip
    assert f"which is counted by segment; {kind} has no use for it: leave it out" in done[1]


def test_a_row_without_a_segment_is_named(run_cli: Call, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user_id,item_id,country\n1,2,de\n1,3,\n")
    done = run_cli(
        "train", tmp_path / "r.csv", "--model", "popularity", "--segment-column", "country",
        "--out", tmp_path / "model", code=2,
    )  # fmt: skip
    assert "line 3" in done[1]
    assert "country" in done[1]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            "--session-gap 30m --basket-column b --timestamp-column t --model tifu-knn",
            "--session-gap and --basket-column both say what belongs together",
        ),
        (
            "--session-gap 30m --model vs-knn",
            "--session-gap is a time between rows: name the column of times, --timestamp-column",
        ),
        (
            "--model popularity --as-of 2020-01-01",
            "--as-of, the day that ages are counted from, goes with a half-life: give --half-life",
        ),
        (
            "--model popularity --user-column item_column --item-column item_column",
            "--user-column and --item-column are both 'item_column'",
        ),
        (
            "--model vs-knn --session-column s --segment-column g",
            "--session-column is for models of events, which are not counted by segment: "
            "leave it or --segment-column out",
        ),
    ],
)
def test_what_is_wrong_with_options_together_names_options(
    run_cli: Call, tmp_path: Path, options: str, told: str
) -> None:
    line = ("train", tmp_path / "x.csv", *options.split(), "--out", tmp_path / "m")
    assert told in run_cli(*line, code=2)[1]


@pytest.mark.parametrize("command", ["train", "tune"])
@pytest.mark.parametrize("kind", ["vs-knn", "slist", "tifu-knn"])
def test_a_column_of_sessions_that_is_not_there_is_named_by_its_option(
    run_cli: Call, ratings: Path, tmp_path: Path, command: str, kind: str
) -> None:
    line = (command, ratings, "--model", kind, "--session-column", "nope")
    done = run_cli(*line, "--out", tmp_path / "m", code=2)
    assert "no column 'nope'" in done[1]
    assert "--session-column NAME" in done[1]
