"""The command line, end to end on small files: what it writes, what it answers, what it refuses."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from conftest import tree

import alteraser as ae
from alteraser.cli.commands import COMMANDS

pytestmark = pytest.mark.usefixtures("inputs_stay_as_they_are")

Run = Callable[..., tuple[int, str, str]]
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
}

FORGET = "forget {w}/model {w}/forget.csv --data {w}/data.csv"


# ------------------------------------------------------------------ what commands answer


def test_forget_answers_with_the_contract_and_keeps_every_column(run: Run, world: Path) -> None:
    code, out, _ = run(FORGET + " --out new --remaining rest.csv --json")
    document = json.loads(out)
    assert code == 0
    assert set(document) >= CONTRACT
    assert set(document["seconds"]) == {"read", "solve", "write", "other", "total"}
    assert document["interactions_forgotten"] == 30
    assert document["converged"]
    assert document["residual"] <= 1e-3
    rest = pacsv.read_csv("rest.csv")
    assert rest.column_names == ["user_id", "item_id", "rating"]
    assert rest.num_rows == document["interactions_before"] - 30
    new, old = ae.load("new"), ae.load(world / "model")
    assert new.parent == old.digest
    assert new.trained_on.digest == ae.Interactions.read("rest.csv").digest


def test_train_and_the_rest_answer_in_json(run: Run) -> None:
    code, out, _ = run("train {w}/data.csv --factors 3 --threshold 3 --out m --json")
    assert code == 0
    assert set(json.loads(out)) >= CONTRACT
    assert run("data split {w}/data.csv --out split -q")[0] == 0
    code, out, _ = run(
        "evaluate {w}/model --test split/test.parquet --data split/train.parquet --json"
    )
    assert {"recall@10", "ndcg@50", "users"} <= set(json.loads(out))
    code, out, _ = run("compare {w}/model {w}/model --data {w}/data.csv --json")
    document = json.loads(out)
    assert document["rbo@10"] == 1.0
    assert document["score_distance"] == pytest.approx(0.0, abs=1e-7)
    code, out, _ = run("recommend {w}/model --user 3 --user 5 -k 4 --data {w}/data.csv --json")
    lists = json.loads(out)["recommendations"]
    assert [entry["user_id"] for entry in lists] == [3, 5]
    assert len(lists[0]["items"]) == 4
    code, out, _ = run("data stats {w}/data.csv --json")
    assert json.loads(out)["users"] == 60
    code, out, _ = run("doctor --json")
    assert code == 0
    assert json.loads(out)["kernel_difference"] < 1e-8


def test_human_output_names_what_was_done_and_quiet_says_nothing(run: Run) -> None:
    code, out, _ = run(FORGET + " --out new")
    assert code == 0
    assert "30 interactions" in out
    assert run(FORGET + " --out newer -q") == (0, "", "")


def test_dry_run_counts_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(FORGET + " --dry-run --json")
    assert code == 0
    assert json.loads(out)["interactions_forgotten"] == 30
    assert list(tmp_path.iterdir()) == []


def test_chain_of_requests_whole_users_and_ids_as_text(run: Run) -> None:
    assert run(FORGET + " --out m1 --remaining r1.parquet -q")[0] == 0
    Path("whole.csv").write_text("user_id\n7\n8\n999\n")
    code, out, _ = run("forget m1 whole.csv --data r1.parquet --out m2 --remaining r2.jsonl --json")
    document = json.loads(out)
    assert code == 0
    assert document["unmatched"] == [{"user_id": 999}]
    assert pq.read_table("m2/users.parquet")["row"].to_pylist() == [
        row for row in range(60) if row not in (6, 7)
    ]
    assert np.all(ae.load("m2").factors.users[6] == 0)
    code, _, err = run("recommend m2 --user 7 --data r2.jsonl")
    assert code == 3
    assert "user '7' is not in the model" in err
    Path("text.jsonl").write_text(json.dumps({"user_id": "9", "item_id": "no such item"}) + "\n")
    code, _, err = run("forget m2 text.jsonl --data r2.jsonl --out m3")
    assert code == 2
    assert "'no such item' is a string, but the ids here are integers" in err


def test_whole_items_by_a_file_of_items_alone_and_by_flag(run: Run, world: Path) -> None:
    data = ae.Interactions.read(world / "data.csv", ae.load(world / "model").reading)
    item = data.items.ids[3].as_py()
    listeners = int(data.item_counts[3])
    assert listeners
    Path("items.csv").write_text(f"item_id\n{item}\n999\n")
    Path("wide.csv").write_text(f"item_id,why\n{item},recalled\n999,\n")
    for name, flag in (("items.csv", ""), ("wide.csv", " --whole-items")):
        out = f"m-{name}"
        code, answer, _ = run(
            f"forget {{w}}/model {name} --data {{w}}/data.csv --out {out} --remaining "
            f"r-{name}{flag} --json"
        )
        document = json.loads(answer)
        assert code == 0
        assert document["interactions_forgotten"] == listeners
        assert document["unmatched"] == [{"item_id": 999}]
        assert np.all(ae.load(out).factors.items[3] == 0)
        assert item not in pacsv.read_csv(f"r-{name}")["item_id"].to_pylist()
    before = tree(Path.cwd())
    code, _, err = run("forget {w}/model wide.csv --data {w}/data.csv --out m")
    assert code == 2
    assert "pass --whole-items" in err
    assert "--user-column" not in err  # no such option for a model of ours
    assert tree(Path.cwd()) == before


def test_rows_without_a_rating_are_below_the_threshold_and_counted(run: Run) -> None:
    rows = [
        f"{u},{v},{5 if (u + v) % 3 else ''}"
        for u in range(12)
        for v in range(9)
        if (u * v) % 4 != 1
    ]
    Path("some.csv").write_text("user_id,item_id,rating\n" + "\n".join(rows) + "\n")
    missing = sum(row.endswith(",") for row in rows)
    code, out, _ = run("train some.csv --threshold 4 --factors 2 --out m --json")
    document = json.loads(out)
    assert code == 0
    assert (document["rows_without_rating"], document["interactions"]) == (
        missing,
        len(rows) - missing,
    )
    Path("one.csv").write_text("user_id,item_id\n0,1\n")
    for more in ("--dry-run", "--out m2 --remaining rest.csv"):
        code, out, _ = run(f"forget m one.csv --data some.csv --json {more}")
        assert (code, json.loads(out)["rows_without_rating"]) == (0, missing)
    # without the one, with the header
    assert len(Path("rest.csv").read_text().splitlines()) == len(rows)
    code, out, _ = run("forget m one.csv --data some.csv --dry-run")
    assert f"{missing} rows without a rating" in " ".join(out.split())


def test_data_already_purged_and_grown_data(run: Run, world: Path) -> None:
    assert run(FORGET + " --out a --remaining purged.csv -q")[0] == 0
    assert run("forget {w}/model {w}/forget.csv --data purged.csv --out b -q")[0] == 0
    assert ae.load("a").trained_on == ae.load("b").trained_on
    Path("grown.csv").write_text((world / "data.csv").read_text() + "4000,100,5\n")
    code, _, err = run("forget {w}/model {w}/forget.csv --data grown.csv --out c")
    assert code == 6
    assert "--grown" in err
    code, out, _ = run("forget {w}/model {w}/forget.csv --data grown.csv --grown --out c --json")
    assert code == 0
    assert json.loads(out)["interactions_added"] == 1
    assert ae.load("c").users.rows_of([4000]).tolist() == [60]


def test_a_level_not_reached_asked_for_or_default_is_8_and_written(run: Run) -> None:
    code, out, err = run(FORGET + " --max-passes 1 --out a -q")
    assert (code, out) == (8, "")
    assert err.startswith("not reached: ")
    assert ae.load("a").training["converged"] is False
    code, out, _ = run(FORGET + " --max-passes 1 --tolerance 1e-3 --out b --json")
    assert code == 8
    assert json.loads(out)["converged"] is False
    assert ae.load("b").training["converged"] is False


def test_custom_columns_confidence_and_string_ids(run: Run) -> None:
    rows = ["who,what,n"] + [
        f"u{u},i{v},{1 + (u * v) % 3}" for u in range(30) for v in range(u % 3, 20, 3)
    ]
    Path("d.csv").write_text("\n".join(rows) + "\n")
    Path("f.csv").write_text("user_id,item_id\nu1,i1\nu1,i4\n")
    options = "--user-column who --item-column what"
    code, _, err = run(f"train d.csv --factors 3 {options} --out m -q")
    assert code == 0, err
    assert run("forget m f.csv --data d.csv --out n --remaining r.csv -q")[0] == 0
    assert "u1,i1," not in Path("r.csv").read_text()
    assert "u1,i7," in Path("r.csv").read_text()


def test_a_model_of_nothing_but_zeros_is_said_to_be_one(run: Run) -> None:
    code, out, _ = run("train {w}/data.csv --factors 2 --regularization 1e5 --out m")
    assert code == 0
    assert "every score is 0: λ = 1e+05 outweighs these data" in " ".join(out.split())
    code, out, _ = run("train {w}/data.csv --factors 2 --out n")
    assert "every score is 0" not in out


# ------------------------------------------------------------------ what commands refuse

REFUSED: list[tuple[str, int, str]] = [
    ("train nowhere.csv --out m", 3, "nowhere.csv"),
    ("train {w}/data.csv --out {w}/model", 4, "exists"),
    ("train {w}/data.csv --out no/such/place", 3, "no/such"),
    ("train {w}/data.csv --factors 0 --out m", 2, "factors"),
    ("train {w}/data.csv --regularization -1 --out m", 2, "regularization"),
    ("train {w}/data.csv --solver magic --out m", 2, "solver"),
    ("train {w}/data.csv --user-column usr --out m", 2, "usr"),
    (
        "train {w}/data.csv --confidence rating+rating --out m",
        2,
        "confidence 'rating+rating' names two columns",
    ),
    ("train {w}/data.csv --threshold 9 --out m", 2, "no interactions"),
    ("train {w}/data.csv --no-such-option --out m", 2, "--no-such-option"),
    ("no-such-command", 2, "no-such-command"),
    (FORGET + " --out {w}/model", 4, "ever overwritten"),
    (FORGET, 2, "--out is missing"),
    (
        FORGET + " --method magic --out m",
        2,
        "unknown method 'magic'; there are auto, replay, local, converge, alteraser, retrain",
    ),
    (FORGET + " --tolerance -1 --out m", 2, "tolerance"),
    (FORGET + " --out m --remaining m", 2, "same path"),
    (FORGET + " --out {w}/model/new", 2, "model/new is inside {w}/model, which stays as it is"),
    (FORGET + " --out m --remaining {w}/model/rest.csv", 2, "rest.csv is inside"),
    (
        "forget {w}/model {w}/nobody.csv --data {w}/data.csv --out m",
        3,
        "the first is user_id 77777, item_id 9",
    ),
    (
        "forget {w}/model {w}/header.csv --data {w}/data.csv --out m",
        3,
        "the forget set has no rows",
    ),
    ("forget {w}/nothing {w}/forget.csv --data {w}/data.csv --out m", 3, "no model at"),
    ("forget {w} {w}/forget.csv --data {w}/data.csv --out m", 6, "has no model.json"),
    (
        "forget {w}/model {w}/forget.csv --data {w}/forget.csv --out m",
        6,
        "interactions 30 instead of",
    ),
    ("recommend {w}/model", 2, "--user ID"),
    ("recommend {w}/model --user 77777", 3, "user '77777' is not in the model"),
    (
        "verify {w}/model --data {w}/nobody.csv",
        6,
        "nobody.csv: 1 user(s) of the data are not in the model",
    ),
    ("verify {w}/model --data {w}/forget.csv", 6, "forget --grown learns them along"),
    (
        "evaluate {w}/model --test {w}/data.csv --data {w}/data.csv",
        2,
        "every test interaction is in the data as well",
    ),
    ("recommend {w}/model --user 3 -k 0", 2, "Invalid value for '--k'"),
    ("data fetch no-such-set", 3, "no-such-set"),
    ("data split {w}/data.csv --test 2 --out s", 2, "share between 0 and 1"),
    ("data split {w}/nobody.csv --out s", 2, "no user has enough interactions to hold out 20%"),
]


@pytest.mark.parametrize(("line", "code", "message"), REFUSED)
def test_refusals_have_their_code_and_write_nothing(
    run: Run, world: Path, tmp_path: Path, line: str, code: int, message: str
) -> None:
    found, out, err = run(line)
    assert found == code, err
    assert message.format(w=world) in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []
    found, out, _ = run(line + " --json")
    assert found == code
    assert json.loads(out)["error"]["exit_code"] == code


BAD_DATA: list[tuple[str, bytes, str, str]] = [
    (
        "dup.csv",
        b"user_id,item_id\n1,2\n1,3\n1,2\n",
        "",
        "dup.csv: 1 duplicate (user, item) row(s), the first is (1, 2)",
    ),
    ("empty.csv", b"", "", "empty.csv"),
    ("header.csv", b"user_id,item_id\n", "", "no interactions"),
    ("nan.csv", b"user_id,item_id,c\n1,2,1\n1,3,nan\n", "--confidence c", "nan.csv"),
    ("zero.csv", b"user_id,item_id,c\n1,2,1\n1,3,0\n", "--confidence c", "zero.csv"),
    (
        "mixed.jsonl",
        b'{"user_id": 1, "item_id": 2}\n{"user_id": "1", "item_id": 3}\n',
        "",
        "mixed.jsonl",
    ),
    ("cut.parquet", b"PAR1 and then nothing", "", "cut.parquet"),
    ("ragged.csv", b"user_id,item_id\n1,2\n1\n", "", "ragged.csv"),
]


@pytest.mark.parametrize(
    ("name", "content", "options", "message"), BAD_DATA, ids=[row[0] for row in BAD_DATA]
)
def test_bad_data_is_refused_by_name(
    run: Run, name: str, content: bytes, options: str, message: str
) -> None:
    Path(name).write_bytes(content)
    code, _, err = run(f"train {name} {options} --out m")
    assert code == 2
    assert message in err
    assert not Path("m").exists()


BAD_FORGET: list[tuple[str, int, str]] = [
    ("user_id,rating\n1,2\n", 2, "--whole-users"),
    ("user_id,item_id\n1,\n", 2, "item_id"),
    (
        "user_id,item_id\nx,100\n",
        2,
        "f.csv: user_id: 'x' is a string, but the ids here are integers",
    ),
    ("user_id,item_id\n1,100.0\n", 2, "f.csv: item_id: '100.0' is a string"),
    ("user_id,item_id\n5000,100\n5001,101\n", 3, "none of the 2 row(s)"),
    ("user,item\n1,2\n", 2, "user_id"),
]


@pytest.mark.parametrize(("content", "code", "message"), BAD_FORGET)
def test_bad_forget_sets_never_widen_an_erasure(
    run: Run, content: str, code: int, message: str
) -> None:
    Path("f.csv").write_text(content)
    found, _, err = run("forget {w}/model f.csv --data {w}/data.csv --out m --remaining r.csv")
    assert found == code, err
    assert message in err
    assert [path.name for path in Path().iterdir()] == ["f.csv"]


@pytest.mark.parametrize(
    "name", ["model.safetensors", "users.parquet", "items.parquet", "model.json"]
)
def test_a_flipped_byte_is_noticed(run: Run, world: Path, name: str) -> None:
    import shutil

    shutil.copytree(world / "model", "model")
    raw = bytearray(Path("model", name).read_bytes())
    raw[len(raw) // 2] ^= 1
    Path("model", name).write_bytes(raw)
    code, _, err = run("recommend model --all")
    assert code == 6
    assert name in err


def test_not_finite_factors_are_never_used(run: Run, world: Path) -> None:
    from dataclasses import replace

    from alteraser.errors import NumericFailure
    from alteraser.models import Factors

    model = ae.load(world / "model")
    users = model.factors.users.copy()
    users[3, 1] = np.nan
    with pytest.raises(NumericFailure, match="never written"):
        replace(model, factors=Factors(users, model.factors.items, model.factors.prediction)).save(
            "m"
        )
    assert list(Path().iterdir()) == []


# --------------------------------------------------------------- a full disk, Ctrl-C, a closed pipe


@pytest.mark.parametrize("failing", range(6))
def test_a_full_disk_leaves_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """The n-th fsync fails: while the remaining data, a file of the model, or the directory is
    written."""
    real, count = os.fsync, iter(range(100))

    def full(descriptor: int) -> None:
        if next(count) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = run(FORGET + " --out m --remaining r.csv")
    assert code == 7
    assert "full" in err
    assert list(Path().iterdir()) == []


def test_a_full_disk_leaves_no_generated_data(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)  # the last file of several
    code, _, err = run("data generate --users 100 --items 200 --out d")
    assert code == 7
    assert "d: the disk or quota is full" in err
    assert list(Path().iterdir()) == []


def test_interruption_while_solving_leaves_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alteraser.solvers.joint import Joint

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Joint, "settle", interrupted)
    code, _, err = run(FORGET + " --out m --remaining r.csv")
    assert code == 130
    assert "interrupted" in err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_real_signal_ends_training_cleanly(tmp_path: Path, number: int) -> None:
    ae.generate_household(seed=0, users=300, items=400).write(tmp_path / "data")
    # a shell that runs the tests in the background ignores Ctrl-C for all of them, and an ignored
    # signal stays ignored
    heeded = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [
        sys.executable,
        "-c",
        heeded + "import sys; from alteraser.cli import main; sys.exit(main())",
        "train",
    ]
    arguments = [str(tmp_path / "data"), "--out", str(tmp_path / "m"), "--tolerance", "1e-300"]
    # which would go on for good
    arguments += ["--max-passes", "1000000", "--solver", "ah-newton", "--memory", "0"]
    with subprocess.Popen(
        [*command, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        time.sleep(4)  # far into the work, or still importing on a slow machine: it must not matter
        process.send_signal(number)
        try:
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_closed_pipe_is_not_an_error(world: Path) -> None:
    command = (
        f"{sys.executable} -c 'import sys; from alteraser.cli import main; "
        f"sys.exit(main())' recommend {world}/model"
    )
    answer = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} --all -k 40 | head -c 1"],
        capture_output=True,
        check=False,
    )
    assert b"Traceback" not in answer.stderr
    assert answer.returncode == 0


# ------------------------------------------------------------------ help


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from alteraser.cli import main; main(['--help']); "
        "print(sorted({'numba', 'pyarrow', 'scipy', 'torch', 'plotly', 'numpy'} & "
        "set(sys.modules)), file=sys.stderr)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stderr.strip() == "[]"


COPYING = ("backup", "ingest")  # which compute nothing


@pytest.mark.parametrize(
    "name", [*COMMANDS, *(f"data {n}" for n in ("split", "stats", "fetch", "generate"))]
)
def test_every_command_has_help_with_an_example_and_the_common_options(run: Run, name: str) -> None:
    code, out, _ = run(f"{name} --help")
    assert code == 0
    assert "Example: alteraser" in out
    for option in ("--json", *(() if name in COPYING else ("--threads",)), "--quiet"):
        assert option in out


def test_public_names_exist_and_the_readme_lists_them() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for name in ae.__all__:
        assert getattr(ae, name) is not None
    for name in (
        "Interactions",
        "ENMF",
        "Model",
        "forget",
        "AltEraser",
        "Retrain",
        "evaluate",
        "compare",
        "metrics",
    ):
        assert name in ae.__all__
        assert f"`{name}`" in readme


# --------------------------------------------------------- what is wrong with options is said first


FILES = " nowhere.csv --data nowhere.csv --out o"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("forget broken" + FILES + " --method nope", "unknown method 'nope'; there are"),
        ("forget broken" + FILES + " --solver nope", "unknown solver 'nope'; there are"),
        ("forget broken" + FILES + " --method influence --memory 3", "--memory means nothing"),
        (
            "forget broken" + FILES + " --tolerance -1",
            "--tolerance -1: expected a number above 0 and at most 1",
        ),
        ("forget broken" + FILES + " --alpha 3", "--alpha is for models of other libraries"),
        ("forget broken" + FILES + " --whole-users --whole-items", "--whole-users contradicts"),
        ("forget cut.npz" + FILES + " --format nope", "--format nope: unknown; there are"),
        ("forget cut.npz" + FILES + " --format arrays --loss no", "--loss no: unknown; there"),
        ("forget cut.npz" + FILES + " --format arrays", "name it with --loss, one of"),
        ("forget cut.npz" + FILES + " --format arrays --loss svd", "with --regularization"),
        ("forget cut.npz" + FILES + " --format implicit --loss bpr", "--loss bpr: cut.npz says"),
        ("forget cut.npz" + FILES + " --format lightfm --alpha 2", "--alpha 2.0: cut.npz says"),
        ("forget cut.npz" + FILES + " --tolerance -1", "--tolerance -1: expected a number"),
        ("forget cut.npz" + FILES + " --rating ln(x)", "calls 'ln', and there are log, log1p"),
        ("forget cut.npz" + FILES + " --duplicates all", "--duplicates: Input should be"),
        (
            "forget cut.npz" + FILES + " --method retrain",
            "--method retrain means nothing to a model of another",
        ),
        (
            "inspect cut.npz --data nowhere.csv --format arrays --loss no",
            "--loss no: unknown; there are",
        ),
        ("inspect cut.npz --data nowhere.csv --format nope", "--format nope: unknown; there are"),
        ("inspect cut.npz --data nowhere.csv --rating ln(x)", "calls 'ln'"),
        ("train nowhere.csv --out o --solver nope", "unknown solver 'nope'"),
        ("train nowhere.csv --out o --dtype half", "--dtype: Input should be"),
        ("train nowhere.csv --out o --confidence ln(x)", "calls 'ln'"),
        ("train nowhere.csv --out o --tolerance -1", "--tolerance -1: expected a number above 0"),
        (
            "forget broken" + FILES + " --tolerance 1.01",
            "--tolerance 1.01: expected a number above 0 and at most 1",
        ),
        (
            "forget cut.npz" + FILES + " --tolerance 0",
            "--tolerance 0: expected a number above 0 and at most 1",
        ),
        (
            "verify cut.npz --data nowhere.csv --tolerance nan",
            "--tolerance nan: expected a number above 0 and at",
        ),
        (
            "tune nowhere.csv --tolerance inf",
            "--tolerance inf: expected a number above 0 and at most 1",
        ),
        ("demo --out o --tolerance 2", "--tolerance 2: expected a number above 0 and at most 1"),
        ("verify broken --data nowhere.csv --prove-up-to -1", "Invalid value for '--prove-up-to'"),
        (
            "compare broken broken --data nowhere.csv --p 2",
            "--p 2: expected a persistence between 0 and 1",
        ),
        ("recommend broken --user 1 --k 0", "Invalid value for '--k'"),
        ("recommend broken --user 1 --all", "name users with --user ID, or ask for --all"),
        ("recommend {w}/model --user nobody --data nowhere.csv", "users: 'nobody' is a string"),
        (
            "forget cut.npz" + FILES + " --format implicit --explicit",
            "--explicit contradicts cut.npz: such models are",
        ),
        (
            "forget cut.npz" + FILES + " --format surprise --implicit",
            "--implicit contradicts cut.npz: such models are",
        ),
        (
            "forget cut.npz" + FILES + " --format spark --explicit --alpha 2",
            "--alpha 2 means nothing with --explicit",
        ),
        (
            "evaluate {w}/model --test nowhere.csv --data nowhere.csv --users why.csv",
            "why.csv has no column",
        ),
        ("compare {w}/model {w}/model --data nowhere.csv --users why.csv", "why.csv has no column"),
    ],
)
def test_an_error_about_options_comes_before_anything_is_read(
    run: Run, line: str, message: str
) -> None:
    Path("broken").mkdir()
    Path("broken/model.json").write_text("{")
    Path("cut.npz").write_bytes(b"PK\x03\x04" + bytes(40))
    Path("why.csv").write_text("why\n1\n")
    code, _, err = run(line)
    assert (code, message in err) == (2, True), err
