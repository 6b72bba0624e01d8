"""alteraser verify looks at the whole folder: what the remaining data do not explain is named, and
D or exit 6."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Run

import alteraser as ae
from alteraser.data.files import sha256_file
from alteraser.models.folder import ITEMS, MANIFEST, SUMS, TENSORS, USERS, digest_of

FORGET = "forget {w}/model {w}/forget.csv --data {w}/data.csv --remaining left.csv"


@pytest.fixture
def new(run: Run) -> Path:
    """A model that has forgotten, with everybody's first interactions and one user gone."""
    assert run(FORGET + " --out first -q")[0] == 0
    lines = Path("left.csv").read_text().splitlines()
    user = lines[1].split(",")[0]
    Path("user.csv").write_text(f"user_id\n{user}\n")
    assert run("forget first user.csv --data left.csv --out new --remaining rest.csv -q")[0] == 0
    Path("gone").write_text(user)
    return Path("new")


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / MANIFEST).read_text()))


def seal(folder: Path, change: Callable[[dict[str, Any]], Any] = lambda m: None) -> None:
    """Change the manifest and make every digest right again, as somebody would who wants it to
    pass."""
    document = manifest(folder)
    change(document)
    document["files"] = {name: sha256_file(folder / name) for name in document["files"]}
    document["digest"] = digest_of(document)
    (folder / MANIFEST).write_text(json.dumps(document))


def gone() -> int:
    return int(Path("gone").read_text())


def put_back(folder: Path) -> None:
    """The id of who is gone, in its old row."""
    table = pq.read_table(folder / USERS)
    row = (set(range(table["row"].to_pylist()[-1] + 2)) - set(table["row"].to_pylist())).pop()
    rows, ids = [*table["row"].to_pylist(), row], [*table["user_id"].to_pylist(), gone()]
    order = np.argsort(rows)
    pq.write_table(
        pa.table({"row": np.array(rows)[order], "user_id": np.array(ids)[order]}), folder / USERS
    )


def rewritten(folder: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(folder / name)), folder / name, compression="zstd")


def metadata(folder: Path) -> None:
    """A note in the header of the tensors."""
    whole = (folder / TENSORS).read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size]) | {"__metadata__": {"note": f"user {gone()}"}}
    text = json.dumps(header).encode()
    (folder / TENSORS).write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + size :])


def between(folder: Path) -> None:
    """Bytes between the pages and the footer of a Parquet file."""
    whole = (folder / USERS).read_bytes()
    size = int.from_bytes(whole[-8:-4], "little")
    (folder / USERS).write_bytes(whole[: -8 - size] + b"user 17" + whole[-8 - size :])


def noted(where: pa.Table) -> pa.Table:
    return where.replace_schema_metadata({"note": "user 17"})


HIDDEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "an id put back": (
        put_back,
        "users in the map of whom the remaining data hold nothing: {gone}",
    ),
    "a file": (lambda f: (f / "notes.txt").write_text("17"), "file notes.txt"),
    "a hidden file": (lambda f: (f / ".old.npz").write_bytes(b"17"), "file .old.npz"),
    "a folder": (lambda f: (f / "backup").mkdir(), "folder backup"),
    "a key": (lambda f: seal(f, lambda m: m.update(note="u17")), "model.json: key note"),
    "a key of reading": (lambda f: seal(f, lambda m: m["reading"].update(x=None)), ""),
    "a key of training": (
        lambda f: seal(f, lambda m: m["training"].update(users=[17])),
        "model.json: key training.users",
    ),
    "a text in training": (
        lambda f: seal(f, lambda m: m["training"].update(method="u17")),
        "key training.method",
    ),
    "a list in training": (
        lambda f: seal(f, lambda m: m["training"].update(memory=[17])),
        "key training.memory",
    ),
    "a route": (
        lambda f: seal(f, lambda m: m["training"].update(route=["u17"])),
        "key training.route",
    ),
    "a recipe": (
        lambda f: seal(f, lambda m: m["training"].update(recipe={"u": 17})),
        "key training.recipe",
    ),
    "the version": (
        lambda f: seal(f, lambda m: m.update(library_version="user 17")),
        "library_version that is none",
    ),
    "metadata of tensors": (metadata, "model.safetensors: metadata note"),
    "a column of users": (
        lambda f: rewritten(f, USERS, lambda t: t.append_column("was", pa.array([17] * len(t)))),
        "users.parquet: column was",
    ),
    "a column of items": (
        lambda f: rewritten(
            f, ITEMS, lambda t: t.append_column("seen_by", pa.array(["17"] * len(t)))
        ),
        "items.parquet: column seen_by",
    ),
    "metadata of a table": (lambda f: rewritten(f, ITEMS, noted), "items.parquet: metadata note"),
    "bytes of no column": (between, "users.parquet: 7 bytes that belong to no column"),
    "other sums": (
        lambda f: rewritten(
            f,
            SUMS,
            lambda t: t.set_column(
                2, "interactions", pa.array([n + 1 for n in t["interactions"].to_pylist()])
            ),
        ),
        "rows whose sums are not those of the remaining data",
    ),
    "a link": (
        lambda f: (
            shutil.move(f / ITEMS, "elsewhere"),
            (f / ITEMS).symlink_to(Path("elsewhere").resolve()),
        ),
        "items.parquet, which is no plain file",
    ),
}


@pytest.mark.parametrize("how", HIDDEN)
def test_whatever_is_hidden_in_the_folder_is_named_and_d(run: Run, new: Path, how: str) -> None:
    code, out, err = run("verify new --data rest.csv --before first --json")
    assert code == 0, err
    assert {"folder", "ids", "objective"} <= {check["name"] for check in json.loads(out)["checks"]}
    change, words = HIDDEN[how]
    change(new)
    seal(new)
    code, out, err = run("verify new --data rest.csv --json")
    if not words:  # not even loaded
        assert code == 6
        return
    assert code == 8, err
    document = json.loads(out)
    assert document["class"] == "D"
    failed = {
        check["name"]: check["meaning"] for check in document["checks"] if not check["passed"]
    }
    assert failed.keys() == {{"an id put back": "ids", "other sums": "sums"}.get(how, "folder")}
    assert words.format(gone=gone()) in next(iter(failed.values()))


LIES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "users": (
        lambda f: seal(f, lambda m: m["trained_on"].update(users=1)),
        "trained_on says 1 users",
    ),
    "interactions": (
        lambda f: seal(f, lambda m: m["trained_on"].update(interactions=0)),
        "says 0 interactions",
    ),
    "dtype": (lambda f: seal(f, lambda m: m.update(dtype="float64")), "the files hold"),
    "kind": (lambda f: seal(f, lambda m: m.update(kind="popularity")), ""),
    "fractional rows": (
        lambda f: rewritten(
            f, USERS, lambda t: t.set_column(0, "row", pa.array(t["row"].to_numpy() + 0.5))
        ),
        "found double and int64",
    ),
}


@pytest.mark.parametrize("how", LIES)
def test_a_field_that_lies_is_exit_6(run: Run, new: Path, how: str) -> None:
    change, words = LIES[how]
    change(new)
    seal(new)
    code, out, err = run("verify new --data rest.csv")
    assert code == 6, (out, err)
    assert words in err


@pytest.mark.parametrize("kind", ["popularity", "item-knn"])
def test_kinds_that_forget_exactly_are_looked_into_as_well(run: Run, kind: str) -> None:
    assert run(f"train {{w}}/data.csv --model {kind} --out old -q")[0] == 0
    assert (
        run("forget old {w}/forget.csv --data {w}/data.csv --out exact --remaining left.csv -q")[0]
        == 0
    )
    code, out, err = run("verify exact --data left.csv --before old --json")
    assert code == 0, err
    assert {"folder", "ids", "sums"} <= {check["name"] for check in json.loads(out)["checks"]}
    assert run("verify exact --data left.csv --before exact")[0] == 6
    (Path("exact") / "old.csv").write_text("17")
    code, out, err = run("verify exact --data left.csv --json")
    assert code == 8, err
    assert json.loads(out)["class"] == "D"


def test_before_must_be_an_ancestor(run: Run, new: Path) -> None:
    for before in ("first", "{w}/model"):  # the parent, and its parent
        code, out, err = run(f"verify new --data rest.csv --before {before} --json")
        assert code == 0, err
        assert json.loads(out)["descends"] is True
    shutil.copytree(new, "copy")
    for same in ("new", "copy"):
        for option in ("", " --unrelated"):
            code, _, err = run(f"verify new --data rest.csv --before {same}{option}")
            assert code == 6
            assert "is the model itself" in err
    code, _, err = run("verify first --data left.csv --before new")  # the other way round
    assert code == 6
    assert "is no ancestor of the model" in err
    assert "--unrelated" in err
    code, _, err = run("verify {w}/model --data {w}/data.csv --before first")
    assert code == 6
    assert "it names none" in err
    model = manifest(Path("first"))
    assert model["parent"] == model["ancestors"][0]
    assert run("train {w}/data.csv --factors 4 --seed 5 --out other -q")[0] == 0
    assert run("verify new --data rest.csv --before other")[0] == 6
    code, out, err = run("verify new --data rest.csv --before other --unrelated --json")
    assert code in (0, 8), err
    assert json.loads(out)["descends"] is False


def test_a_changed_objective_is_said_and_d(run: Run, new: Path) -> None:
    """With λ = 10⁹ nothing is the optimum: a model of zeros, whose objective somebody changed, has
    measured well."""
    document = manifest(new)
    model = ae.load(new)
    zero = type(model.factors)(
        0 * model.factors.users, 0 * model.factors.items, model.factors.prediction
    )
    objective = model.objective.model_copy(update={"regularization": 1e9})
    type(model)(**{**vars(model), "factors": zero, "objective": objective, "digest": None}).save(
        "flat"
    )
    code, out, err = run("verify flat --data rest.csv --json")
    assert code == 0, err  # by its files alone it is an optimum
    code, out, err = run("verify flat --data rest.csv --before first --json")
    assert code == 8, err
    failed = [check for check in json.loads(out)["checks"] if check["name"] == "objective"]
    assert not failed[0]["passed"]
    before = document["objective"]["regularization"]
    assert f"regularization 1000000000.0, before {before!r}" in failed[0]["meaning"]


def test_a_tolerance_that_nobody_could_ask_for_makes_no_class_l(run: Run) -> None:
    assert run(
        "train {w}/data.csv --factors 3 --solver ah-newton --regularization 0.8 --max-passes 14 "
        "--out early -q"
    )[0] in (0, 8)
    code, _, err = run(
        "forget early {w}/forget.csv --data {w}/data.csv --method local --out done --remaining "
        "left.csv -q"
    )
    assert code == 0, err
    code, out, _ = run(
        "verify done --data left.csv --before early --forgotten {w}/forget.csv --json"
    )
    assert json.loads(out)["class"] == "L"
    done, early = ae.load("done"), ae.load("early")
    for tolerance in (1.0, 1e9, True):
        idle = {
            **vars(done),
            "factors": early.factors,
            "training": {**done.training, "tolerance": tolerance},
        }
        shutil.rmtree("idle", ignore_errors=True)
        type(done)(**{**idle, "digest": None}).save("idle")
        code, out, _ = run(
            "verify idle --data left.csv --before early --forgotten {w}/forget.csv --json"
        )
        assert code == 8
        assert json.loads(out)["class"] == "D"
