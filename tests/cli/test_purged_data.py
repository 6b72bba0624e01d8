"""DATA from which somebody deleted first: whole users, confidences, rows that match nothing,
thresholds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from conftest import Run, tree

from alteraser.data.files import sha256_file
from alteraser.models.folder import digest_of

pytestmark = pytest.mark.usefixtures("inputs_stay_as_they_are")

READ = {
    "pairs": "",
    "confidences": " --confidence rating",
    "targets": " --target rating",
    "threshold": " --threshold 2",
}


def answered(answer: tuple[int, str, str], code: int = 0) -> dict[str, Any]:
    assert answer[0] == code, answer
    found = json.loads(answer[1])
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("kind", ["users", "pairs and more"])
def test_forgetting_from_purged_data_verifies(run: Run, world: Path, read: str, kind: str) -> None:
    command = (
        "train {w}/data.csv --factors 3 --regularization 2 --missing-weight 0.2 --to-rest "
        "--out model -q"
    )
    assert run(command + READ[read])[0] == 0
    table = pacsv.read_csv(world / "data.csv")
    if kind == "users":
        Path("f.csv").write_text("user_id\n7\n8\n")
        mask = pc.is_in(table["user_id"], pa.array([7, 8]))
    else:
        some = table.filter(pc.is_in(table["user_id"], pa.array([7, 8, 9]))).slice(0, 5)
        lines = [
            f"{u},{v}"
            for u, v in zip(some["user_id"].to_pylist(), some["item_id"].to_pylist(), strict=True)
        ]
        Path("f.csv").write_text(
            "user_id,item_id\n" + "\n".join([*lines, "9,99999", "77777,101"]) + "\n"
        )
        own = pc.add(pc.multiply(table["user_id"], 1000), table["item_id"])
        mask = pc.is_in(
            own, pc.add(pc.multiply(some["user_id"], 1000), some["item_id"]).combine_chunks()
        )
    pacsv.write_csv(table.filter(pc.invert(mask)), "purged.csv")
    gone = sum(
        pc.and_(
            mask, pc.greater_equal(table["rating"], 2 if read == "threshold" else 0)
        ).to_pylist()
    )
    first = answered(
        run("forget model f.csv --data {w}/data.csv --out one --remaining rest.csv --json")
    )
    second = answered(run("forget model f.csv --data purged.csv --out two --json"))
    assert (first["interactions_missing"], second["interactions_missing"]) == (0, gone)
    for name in ("interactions_forgotten", "class", "interactions_before"):
        assert first[name] == second[name], name
    assert (
        second["interactions_unmatched"]
        == first["interactions_unmatched"] + first["below_threshold"]
    )
    assert first["interactions_forgotten"] == gone
    assert run("verify two --data purged.csv -q")[0] == 0
    assert run("verify two --data rest.csv -q")[0] == 0
    if kind == "users":
        assert run("recommend two --user 7 --data purged.csv")[0] == 3
    if read == "confidences":
        words = " ".join(run("forget model f.csv --data purged.csv --out three")[1].split())
        assert f"{gone} of them were not in DATA any more" in words
        assert ("not checked" in words) == (second["interactions_unchecked"] > 0)
    assert (
        answered(run("forget model f.csv --data purged.csv --dry-run --json"))[
            "interactions_forgotten"
        ]
        == gone
    )


def test_data_that_lack_more_are_refused_and_nothing_is_written(run: Run, world: Path) -> None:
    Path("f.csv").write_text("user_id\n7\n")
    table = pacsv.read_csv(world / "data.csv")
    pacsv.write_csv(
        table.filter(pc.invert(pc.is_in(table["user_id"], pa.array([7, 8])))), "purged.csv"
    )
    before = tree(Path.cwd())
    code, _, err = run("forget {w}/model f.csv --data purged.csv --out new")
    assert code == 6
    assert "1 user(s) have fewer interactions, and the forget set does not name them" in err
    assert tree(Path.cwd()) == before


def test_the_sums_are_of_what_remains(run: Run, world: Path) -> None:
    Path("f.csv").write_text("user_id\n7\n8\n")
    assert run("forget {w}/model f.csv --data {w}/data.csv --out new -q")[0] == 0
    old, new = (
        pq.read_table(folder / "trained_on.parquet") for folder in (world / "model", Path("new"))
    )
    users = [
        set(each.filter(pc.equal(each["side"], "user"))["row"].to_pylist()) for each in (old, new)
    ]
    assert users[0] - users[1] == {6, 7}
    damaged = Path("new/trained_on.parquet")
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    code, _, err = run("recommend new --user 9 --data {w}/data.csv")
    assert code == 6
    assert "trained_on.parquet" in err


def test_sums_of_somebody_else_are_class_d(run: Run) -> None:
    """A model whose sums still tell of an erased user, its digests made to fit."""
    Path("f.csv").write_text("user_id\n7\n")
    assert (
        run("forget {w}/model f.csv --data {w}/data.csv --out new --remaining rest.csv -q")[0] == 0
    )
    assert run("verify new --data rest.csv -q")[0] == 0
    manifest = json.loads(Path("new/model.json").read_text())
    table = pq.read_table("new/trained_on.parquet")
    row = table.slice(0, 1).set_column(1, "row", pa.array([6], pa.int64()))
    users = table.filter(pc.equal(table["side"], "user"))
    parts = [users.filter(pc.less(users["row"], 6)), row, users.filter(pc.greater(users["row"], 6))]
    pq.write_table(
        pa.concat_tables([*parts, table.filter(pc.equal(table["side"], "item"))]),
        "new/trained_on.parquet",
    )
    manifest["files"]["trained_on.parquet"] = sha256_file("new/trained_on.parquet")
    manifest["digest"] = digest_of(manifest)
    Path("new/model.json").write_text(json.dumps(manifest))
    code, out, _ = run("verify new --data rest.csv --json")
    assert (code, json.loads(out)["class"]) == (8, "D")
    manifest["files"]["trained_on.parquet"] = "0" * 64
    pq.write_table(
        table.append_column("user_id", pa.array(range(table.num_rows))), "new/trained_on.parquet"
    )
    manifest["files"]["trained_on.parquet"] = sha256_file("new/trained_on.parquet")
    manifest["digest"] = digest_of(manifest)
    Path("new/model.json").write_text(json.dumps(manifest))
    assert run("verify new --data rest.csv")[0] == 6


def test_grown_data_that_lack_something_are_refused(run: Run, world: Path) -> None:
    table = pacsv.read_csv(world / "data.csv")
    mine = [place for place, user in enumerate(table["user_id"].to_pylist()) if user == 20]
    left = table.take([place for place in range(table.num_rows) if place != mine[0]])
    more = pa.table({"user_id": [900] * 5, "item_id": [100, 101, 102, 103, 104], "rating": [3] * 5})
    pacsv.write_csv(pa.concat_tables([left, more]), "grown.csv")
    Path("f.csv").write_text("user_id\n7\n")
    code, _, err = run("forget {w}/model f.csv --data grown.csv --grown --out new")
    assert code == 6
    assert "1 user(s) have fewer interactions" in err
    Path("g.csv").write_text("user_id\n20\n")
    assert run("forget {w}/model g.csv --data grown.csv --grown --out new -q")[0] == 0


def test_a_model_that_is_not_at_rest_is_trained_again(run: Run, world: Path) -> None:
    """Its confidences are not known any more, so neither is what training had left; its seed is."""
    command = (
        "train {w}/data.csv --factors 3 --regularization 2 --missing-weight 0.2 "
        "--confidence rating --out early"
    )
    assert run(f"{command} --max-passes 4 -q")[0] == 0
    table = pacsv.read_csv(world / "data.csv")
    pacsv.write_csv(
        table.filter(pc.invert(pc.is_in(table["user_id"], pa.array([7, 8])))), "purged.csv"
    )
    Path("f.csv").write_text("user_id\n7\n8\n")
    found = answered(run("forget early f.csv --data purged.csv --out new --json"))
    assert (found["method"], found["class"]) == ("replay", "A")
    assert "not in the data any more" in found["why"]
    assert answered(run("verify new --data purged.csv --json"))["class"] == "A"
    code, _, err = run("forget early f.csv --data purged.csv --out newer --method local")
    assert code == 2
    assert "not in the data any more" in err
