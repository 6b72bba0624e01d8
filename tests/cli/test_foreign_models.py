"""forget and inspect on other libraries' files: what they answer, what they refuse, exit codes."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from conftest import Run, tree

FIXTURES = Path(__file__).parent.parent / "adapters" / "fixtures"
CONTRACT = {
    "model",
    "method",
    "solver",
    "passes",
    "products",
    "rows_updated",
    "seconds",
    "objective_before",
    "objective_after",
    "residual",
    "converged",
    "interactions_before",
    "interactions_forgotten",
    "interactions_unmatched",
    "users",
    "items",
    "format",
    "kind",
    "self_check",
    "siblings",
    "scrubbed",
    "users_erased_whole",
    "rows_changed",
    "digest",
    "parent",
}
ON_DATA = " --data data.csv --rating plays --rows-are-ids"
FORGET = "forget als.npz forget.csv" + ON_DATA


@pytest.fixture
def here(run: Run) -> Path:
    """The working directory, with a model, its data and a forget set of two rows, one of them
    unmatched."""
    folder = Path.cwd()
    for name in ("als.npz", "als_cholesky.npz", "bpr.npz", "data.csv"):
        shutil.copyfile(FIXTURES / "implicit" / name, folder / name)
    pacsv.write_csv(pa.table({"user_id": [1, 3], "item_id": [4, 24]}), folder / "forget.csv")
    pacsv.write_csv(pa.table({"user_id": [5]}), folder / "user.csv")
    (folder / "named.csv").write_text("user_id,item_id\nann,4\n")
    (folder / "saves").mkdir()
    return folder


def test_forget_answers_with_the_contract(run: Run, here: Path) -> None:
    before = tree(here)
    code, out, _ = run(FORGET + " --method local --out new.npz --remaining rest.csv --json")
    document = json.loads(out)
    assert code == 0
    assert set(document) >= CONTRACT
    seconds = document["seconds"]
    parts = {"read", "check", "solve", "compare", "write", "other"}
    assert set(seconds) == {*parts, "total"}
    assert sum(seconds[part] for part in parts) == pytest.approx(seconds["total"])
    assert (document["format"], document["kind"]) == ("implicit", "als")
    assert (document["interactions_forgotten"], document["interactions_unmatched"]) == (1, 1)
    assert document["unmatched"] == [{"user_id": 3, "item_id": 24}]
    assert document["converged"]
    assert (document["method"], document["method_asked"], document["class"]) == (
        "local",
        "local",
        "L",
    )
    assert document["residual"] <= 0.3
    assert document["self_check"]["passed"]
    assert "data.csv" in [sibling["path"] for sibling in document["siblings"]]
    after = tree(here)
    assert (document["parent"], document["digest"]) == (before["als.npz"], after["new.npz"])
    assert {name: after[name] for name in before} == before
    assert pacsv.read_csv("rest.csv").num_rows == 260
    code, out, _ = run("inspect new.npz --data rest.csv --rating plays --rows-are-ids --json")
    assert code == 0
    assert json.loads(out)["self_check"]["passed"]


def test_forget_for_people(run: Run, here: Path) -> None:
    code, out, _ = run("forget als.npz user.csv" + ON_DATA + " --out new.npz")
    assert code == 0
    for words in (
        "implicit als",
        "8 interactions; 253 remain; 1 users erased whole",
        "passed:",
        "also look at",
    ):
        assert words in " ".join(out.split())
    assert run("forget als.npz user.csv" + ON_DATA + " --out new2.npz -q")[1] == ""


def test_dry_run_writes_nothing(run: Run, here: Path) -> None:
    before = tree(here)
    code, out, _ = run("forget als.npz user.csv" + ON_DATA + " --dry-run --json")
    document = json.loads(out)
    assert code == 0
    assert (document["interactions_forgotten"], document["users_erased_whole"]) == (8, 1)
    assert tree(here) == before


def test_a_dry_run_promises_no_class_that_is_only_measured_afterwards(run: Run, here: Path) -> None:
    line = "forget als.npz user.csv" + ON_DATA + " --dry-run --method "
    document = json.loads(run(line + "local --json")[1])
    assert document["method"] == "local"
    assert document["methods_possible"] == ["local", "rows"]
    assert document["classes_possible"] == ["L", "D"]
    words = " ".join(run(line + "local")[1].split())
    assert "local or rows: asked for" in words
    assert "L, or D with exit code 8: measured once it is done" in words
    document = json.loads(run(line + "converge --json")[1])
    assert (document["methods_possible"], document["classes_possible"]) == (
        ["converge"],
        ["B", "C", "L", "D"],
    )


def test_inspect_tells_what_is_there(run: Run, here: Path) -> None:
    code, out, _ = run("inspect als.npz --json")
    document = json.loads(out)
    assert code == 0
    assert (document["format"], document["kind"], document["dtype"]) == (
        "implicit",
        "als",
        "float32",
    )
    assert (document["users"], document["items"], document["factors"]) == (40, 25, 6)
    assert document["hyperparameters"]["alpha"] == 2.0
    assert document["loss"]["name"] == "implicit ALS"
    assert document["id_maps"] is None
    assert document["self_check"] is None
    assert {"bpr.npz", "data.csv"} <= {
        Path(sibling["path"]).name for sibling in document["siblings"]
    }
    code, out, _ = run("inspect bpr.npz")
    assert code == 0
    for words in (
        "implicit bpr",
        "40 users, 25 items, 6 factors",
        "give --users-map",
        "give --data to make it",
    ):
        assert words in " ".join(out.split())


def test_the_list_of_other_files_ends_after_five_lines(run: Run, here: Path) -> None:
    for number in range(9):
        shutil.copyfile("als.npz", f"older-{number}.npz")
    everything = {
        Path(each["path"]).name for each in json.loads(run("inspect als.npz --json")[1])["siblings"]
    }
    assert len(everything) >= 12
    for line in ("inspect als.npz", FORGET + " --out {}.npz"):
        short, long = run(line.format("short"))[1], run(line.format("long") + " --verbose")[1]
        assert short.count("also look at") == 5
        assert "more files; --verbose lists them" in " ".join(short.split())
        assert [name for name in everything if name not in "".join(long.split())] == []
        assert "--verbose" not in long


def test_factors_that_are_zero_are_said_to_be(run: Run, here: Path) -> None:
    with np.load("als.npz") as loaded:
        entries = dict(loaded)
    np.savez(
        "zero.npz",
        **entries | {name: entries[name] * 1e-6 for name in ("user_factors", "item_factors")},
    )
    code, _, err = run(FORGET.replace("als", "zero") + " --out new.npz")
    assert code == 6
    assert (
        "zero.npz: the user and item factors are numerically zero: no score is further from 0 than"
        in err
    )
    assert "these data" not in err
    assert not Path("new.npz").exists()
    code, out, _ = run("inspect zero.npz" + ON_DATA + " --json")
    document = json.loads(out)
    assert (code, document["numerically_zero"]) == (6, True)
    assert "numerically zero" in document["self_check"]["hint"]
    code, out, _ = run("inspect zero.npz")
    assert code == 0
    assert "The regularization outweighed the data, or training failed" in " ".join(out.split())
    assert not json.loads(run("inspect als.npz --json")[1])["numerically_zero"]
    code, _, err = run(FORGET.replace("als", "zero") + " --out new.npz --unchecked -q")
    assert err.startswith("note: the user and item factors are numerically zero")
    assert "numerically zero" in run("verify zero.npz" + ON_DATA + " -q")[2]


def test_what_is_zero_is_told_by_the_ratings(here: Path) -> None:
    from alteraser.adapters import ForeignOptions
    from alteraser.adapters.forget import open_foreign
    from alteraser.adapters.zeros import zero_words

    rng = np.random.default_rng(0)
    np.savez("explicit.npz", users=rng.random((40, 3)), items=rng.random((25, 3)))
    options = ForeignOptions(loss="explicit-als", regularization=1.0, rows_are_ids=True, rating="r")
    for size, zero in ((1e-8, False), (1.0, False), (1e8, True)):
        rows = pa.table(
            {"user_id": [1, 2, 3], "item_id": [4, 5, 6], "r": [size, 2 * size, 3 * size]}
        )
        opened = open_foreign(here / "explicit.npz", rows, options, format="arrays")
        assert (zero_words(opened.foreign, opened.data) is not None) == zero


def test_rows_without_a_rating_are_counted(run: Run, here: Path) -> None:
    with open("data.csv", "a") as file:
        file.write("9,3,\n")
    options = ON_DATA + " --threshold 1 --threshold-column plays"
    code, out, _ = run(
        "forget als.npz forget.csv" + options + " --out new.npz --remaining rest.csv --json"
    )
    document = json.loads(out)
    assert (code, document["rows_without_rating"], document["interactions_before"]) == (0, 1, 261)
    # the row without one is nobody's training data, and stays
    assert pacsv.read_csv("rest.csv").num_rows == 261
    code, out, _ = run("inspect als.npz" + options)
    assert code == 0
    assert "1 rows without a rating: they are not at least the threshold" in " ".join(out.split())


def test_inspect_ends_with_6_where_the_data_are_not_the_models(run: Run, here: Path) -> None:
    code, out, _ = run("inspect als.npz --data data.csv --rows-are-ids --json")
    document = json.loads(out)
    assert code == 6
    assert not document["self_check"]["passed"]
    assert document["self_check"]["worst_rows"][0]["side"] == "item"
    code, out, _ = run("inspect als.npz --data data.csv --rows-are-ids")
    assert "FAILED" in out
    assert "furthest off" in out


def test_inspect_knows_models_of_alteraser(run: Run) -> None:
    code, out, _ = run("inspect {w}/model --data {w}/data.csv --json")
    document = json.loads(out)
    assert code == 0
    assert (document["format"], document["kind"]) == ("alteraser", "enmf")
    assert document["self_check"]["passed"]
    assert document["trained_on"]["users"] == 60
    code, out, _ = run("inspect {w}/model --data {w}/forget.csv")
    assert code == 6
    assert "not what the model was trained on" in " ".join(out.split())


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (
            FORGET + " --out new.npz --alpha 40",
            2,
            "--alpha 40.0 contradicts als.npz, which says alpha = 2.0",
        ),
        (FORGET + " --out new.npz --format spark-als", 2, "--format spark-als: unknown; there are"),
        (
            FORGET + " --out new.npz --loss bpr",
            2,
            "--loss bpr: als.npz says which loss it minimized",
        ),
        (
            FORGET + " --out new.npz --missing-weight 1",
            2,
            "--missing-weight 1.0: als.npz says which loss",
        ),
        (
            FORGET.replace("plays", "1") + " --out n.npz",
            2,
            "Where every row counts 1, leave --rating out",
        ),
        (FORGET.replace("plays", "2.5") + " --out n.npz", 2, "say '2.5 * sum(1)'."),
        (
            FORGET.replace("plays", "stars") + " --out n.npz",
            2,
            "Say which column it is with --rating NAME, or rename",
        ),
        (
            "forget saves forget.csv --data data.csv --rating plays --out n.npz",
            2,
            "saves is neither a model that",
        ),
        (
            FORGET + " --out new.npz --method retrain",
            2,
            "--method retrain means nothing to a model of another library",
        ),
        (FORGET + " --out new.npz --grown", 2, "--grown means nothing to als.npz"),
        (FORGET + " --out new.npz --duplicates most", 2, "--duplicates: Input should be 'refuse'"),
        (FORGET, 2, "--out is missing"),
        (FORGET + " --out data.csv", 4, "data.csv exists already"),
        (
            "forget als.npz forget.csv --data data.csv --out n.npz",
            2,
            "--users-map, or --rows-are-ids",
        ),
        (
            "forget als.npz forget.csv --data data.csv --rows-are-ids --out n.npz",
            6,
            "does not fit these data",
        ),
        (
            "forget none.npz forget.csv --data data.csv --rows-are-ids --out n.npz",
            3,
            "there is no model at none.npz",
        ),
        (
            "forget none.npz forget.csv --data data.csv --format implicit --out n.npz",
            3,
            "there is no model at",
        ),
        (
            "forget data.csv forget.csv --data data.csv --out n.npz",
            2,
            "data.csv is neither a model that alteraser",
        ),
        (
            "forget data.csv forget.csv --data data.csv --format implicit --out n.npz",
            6,
            "damaged or no .npz file",
        ),
        (
            FORGET.replace("plays", "1+*plays") + " --out n.npz",
            2,
            "--rating: rating '1+*plays' is neither",
        ),
        (
            "forget {w}/model {w}/forget.csv --data {w}/data.csv --out n --alpha 1",
            2,
            "--alpha is for models of other",
        ),
        (
            "forget {w}/model {w}/forget.csv --data {w}/data.csv --out n --scrub",
            2,
            "--scrub is for models of other",
        ),
        (
            FORGET.replace("forget.csv", "named.csv") + " --out n.npz",
            2,
            "named.csv: user_id: 'ann' is a string",
        ),
        (
            FORGET.replace("plays", "play") + " --out n.npz",
            2,
            "Say which column it is with --rating plays, or rename",
        ),
        (
            FORGET.replace("plays", "sum(plays)") + " --duplicates last --out n.npz",
            2,
            "contradicts --duplicates last",
        ),
        (
            FORGET + " --users-map forget.csv --out n.npz",
            2,
            "--rows-are-ids contradicts --users-map",
        ),
        (
            FORGET + " --whole-users --whole-items --out n.npz",
            2,
            "--whole-users contradicts --whole-items",
        ),
        (
            "recommend als.npz --all",
            6,
            "only forget, verify and inspect take models of other libraries",
        ),
        ("inspect {w}/model --rating plays", 2, "--rating is for models of other libraries"),
    ],
)
def test_what_is_refused(run: Run, here: Path, line: str, code: int, message: str) -> None:
    before = tree(here)
    found, out, err = run(line + " --json")
    assert (found, message in err) == (code, True), err
    assert json.loads(out)["error"]["exit_code"] == code
    assert tree(here) == before


def test_a_tolerance_that_was_asked_for_and_not_reached(run: Run, here: Path) -> None:
    code, out, _ = run(
        FORGET + " --method local --out new.npz --tolerance 1e-9 --max-passes 2 --json"
    )
    assert code == 8
    assert not json.loads(out)["converged"]
    assert Path("new.npz").exists()


def test_allowing_pickles_is_warned_of(run: Run, here: Path) -> None:
    for line in ("inspect als.npz", FORGET + " --dry-run"):
        assert "pickle" not in run(line)[2]
        assert (
            "pickles are allowed: they are read here by a reader that runs nothing"
            in run(line + " --allow-pickle")[2]
        )


def test_the_check_can_be_overruled(run: Run, here: Path) -> None:
    code, out, _ = run(
        "forget als.npz forget.csv --data data.csv --rows-are-ids --out new.npz --unchecked --json"
    )
    document = json.loads(out)
    assert code == (0 if document["converged"] else 8)
    assert not document["self_check"]["passed"]
    assert document["replay"]["way"] is None, "with other weights that training gives another model"


def test_files_made_to_harm(run: Run, here: Path) -> None:
    pickled = io.BytesIO()
    np.lib.format.write_array(pickled, np.array([{}], dtype=object), allow_pickle=True)
    with np.load("als.npz") as loaded:
        entries = dict(loaded)
    np.savez("pickle.npz", **entries)
    with zipfile.ZipFile("pickle.npz", "a") as file:
        file.writestr("seed.npy", pickled.getvalue())
    np.savez_compressed("bomb.npz", **entries | {"user_factors": np.zeros((1 << 18, 6), "f4")})
    before = tree(here)
    for name, message in (
        ("pickle", "which is a pickle, and was not read"),
        ("bomb", "and was not unpacked"),
    ):
        code, _, err = run(FORGET.replace("als.npz", f"{name}.npz") + " --out new.npz")
        assert code == 2
        assert message in err
    assert tree(here) == before


def test_the_remaining_data_are_taken_back_when_forgetting_fails(run: Run, here: Path) -> None:
    before = tree(here)
    code, _, _ = run(
        "forget als.npz forget.csv --data data.csv --rows-are-ids --out n.npz --remaining rest.csv"
    )
    assert code == 6
    assert tree(here) == before


@pytest.mark.parametrize("scrubbed", [False, True])
def test_ctrl_c_after_the_model_is_written_leaves_both_outputs_or_none(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch, scrubbed: bool
) -> None:
    """A sibling that was scrubbed belongs to the new model, so from then on the outputs stay."""
    from alteraser.adapters import Sibling, forget

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    def scrub(*_: object) -> None:
        Path("data.csv").write_text("scrubbed")

    found = ([Sibling(here / "data.csv", "data", scrub=scrub)] if scrubbed else []) + [
        Sibling(here / "other", "more data", scrub=interrupted)
    ]
    monkeypatch.setattr(forget, "found_siblings", lambda *_: found)
    before = tree(here)
    code, out, _ = run(FORGET + " --out new.npz --remaining rest.csv --scrub --json")
    assert (code, json.loads(out)["error"]["kind"]) == (130, "interrupted")
    changed = {name for name in before.keys() ^ tree(here).keys()}
    written = {"new.npz", "new.npz.key", "new.npz.erased.json", "rest.csv"}
    assert changed == (written if scrubbed else set())
