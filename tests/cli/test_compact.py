"""``alteraser compact`` on our models and on other libraries' files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import Run, tree

FIXTURES = Path(__file__).parent.parent / "adapters" / "fixtures"
pytestmark = pytest.mark.usefixtures("inputs_stay_as_they_are")


def answered(answer: tuple[int, str, str], code: int = 0) -> dict[str, Any]:
    assert answer[0] == code, answer
    found = json.loads(answer[1])
    assert isinstance(found, dict)
    return found


def test_our_models(run: Run) -> None:
    Path("two.csv").write_text("user_id\n7\n8\n")
    assert (
        run("forget {w}/model two.csv --data {w}/data.csv --out m1 --remaining rest.csv -q")[0] == 0
    )
    line = "compact m1 --out small --out-users-map users.json --out-items-map items.parquet"
    found = answered(run(f"{line} --json"))
    assert (found["users"], found["users_removed"], found["items_removed"]) == (58, 2, 0)
    assert found["replayable"] is False
    assert Path("small.key").read_text() == Path("m1.key").read_text()
    users = json.loads(Path("users.json").read_text())
    assert len(users) == 58
    assert 7 not in users
    assert pq.read_table("items.parquet").column_names == ["row", "item_id"]
    codes = [run(f"verify {name} --data rest.csv --json") for name in ("m1", "small")]
    assert codes[0][0] == codes[1][0] == 0
    classes = [json.loads(out)["class"] for _, out, _ in codes]
    assert classes[0] == classes[1]
    lists = [
        run(f"recommend {name} --user 9 --data rest.csv -k 5 --json")[1] for name in ("m1", "small")
    ]
    items = [
        [item["item_id"] for item in json.loads(each)["recommendations"][0]["items"]]
        for each in lists
    ]
    assert items[0] == items[1]
    Path("nine.csv").write_text("user_id\n9\n")
    assert (
        run("forget small nine.csv --data rest.csv --out small-2 --remaining rest-2.csv -q")[0] == 0
    )
    assert run("verify small-2 --data rest-2.csv --before small -q")[0] == 0
    code, _, err = run("forget small nine.csv --data {w}/data.csv --grown --out small-3")
    assert code == 5  # erased stays erased
    assert "2 user(s) erased whole" in err
    code, _, err = run("verify small --data rest.csv --before {w}/model")
    assert code in (2, 6)
    assert "compacted" in err or "ancestor" in err
    words = " ".join(run("compact m1 --out other")[1].split())
    assert "cannot be replayed by the trainer" in words
    assert "rows moved" in words


@pytest.mark.parametrize("kind", ["popularity", "item-knn", "ease"])
def test_what_has_no_random_start_is_made_again_in_any_rows(run: Run, kind: str) -> None:
    assert run(f"train {{w}}/data.csv --model {kind} --out whole -q")[0] == 0
    Path("two.csv").write_text("user_id\n7\n8\n")
    assert run("forget whole two.csv --data {w}/data.csv --out m1 --remaining rest.csv -q")[0] == 0
    for model, data, words in (("whole", "{w}/data.csv", False), ("m1", "rest.csv", True)):
        assert answered(run(f"compact {model} --out {model}-small --json"))["replayable"] is True
        said = " ".join(run(f"compact {model} --out {model}-again")[1].split())
        assert ("rows moved" in said) is words
        assert "cannot be replayed" not in said
        assert answered(run(f"verify {model}-small --data {data} --json"))["class"] == "A"


def test_refusals_write_nothing(run: Run) -> None:
    for line, code, message in (
        ("compact {w}/model --out m --out-users-map m", 2, "name the same path twice"),
        ("compact {w}/model --out m --out-users-map u.xml", 2, "names no form of a map"),
        ("compact {w}/model --out {w}/model", 4, "exists already"),
        ("compact {w}/model --out {w}/model/m", 2, "stays as it is"),
        ("compact nothing --out m", 3, "there is no model"),
        ("compact {w}/model --out m --users-map u.json", 2, "has its own maps"),
    ):
        before = tree(Path.cwd())
        found = run(line)
        assert found[0] == code, found
        assert message in found[2], found
        assert tree(Path.cwd()) == before


def test_implicit_files(run: Run) -> None:
    for name in ("als.npz", "data.csv"):
        shutil.copyfile(FIXTURES / "implicit" / name, name)
    names = [f"u{row}" for row in range(40)]
    Path("users.json").write_text(json.dumps(names))
    Path("items.json").write_text(json.dumps(list(range(25))))
    rows = Path("data.csv").read_text().splitlines()
    Path("named.csv").write_text("\n".join([rows[0], *(f"u{row}" for row in rows[1:])]) + "\n")
    on = "--rating plays --users-map users.json --items-map items.json"
    Path("gone.csv").write_text("user_id\nu5\nu6\n")
    assert run(
        f"forget als.npz gone.csv --data named.csv {on} --out new.npz --remaining rest.csv -q"
    )[0] in (0, 8)
    before = tree(Path.cwd())
    code, _, err = run("compact new.npz --users-map users.json --out small.npz")
    assert code == 2
    assert "--out-users-map is missing" in err
    assert tree(Path.cwd()) == before
    line = "compact new.npz --users-map users.json --items-map items.json --out small.npz"
    found = answered(run(f"{line} --out-users-map u.json --out-items-map i.npy --json"))
    with np.load("new.npz") as old, np.load("small.npz") as new:
        kept, items = (
            np.flatnonzero(old[f"{side}_factors"].any(axis=1)).tolist() for side in ("user", "item")
        )
        np.testing.assert_array_equal(new["user_factors"], old["user_factors"][kept])
        np.testing.assert_array_equal(new["item_factors"], old["item_factors"][items])
        assert set(old.files) - set(new.files) <= {"random_state"}
    assert not {5, 6} & set(kept)
    assert (found["users"], found["items"], found["users_removed"]) == (
        len(kept),
        len(items),
        40 - len(kept),
    )
    assert json.loads(Path("u.json").read_text()) == [names[row] for row in kept]
    smaller = "--rating plays --users-map u.json --items-map i.npy"
    assert answered(run(f"inspect small.npz --data rest.csv {smaller} --json"))["self_check"][
        "passed"
    ]
    Path("next.csv").write_text("user_id\nu9\n")
    assert run(
        f"forget small.npz next.csv --data rest.csv {smaller} --method local --out next.npz -q"
    )[0] in (0, 8)
    assert Path("small.npz.erased.json").exists()
    assert Path("next.npz.key").read_text() == Path("new.npz.key").read_text()


@pytest.mark.parametrize("form", ["npz", "safetensors", "folder"])
def test_plain_arrays(run: Run, form: str) -> None:
    rng = np.random.default_rng(0)
    P, Q = (
        rng.standard_normal((8, 3)).astype(np.float32),
        rng.standard_normal((5, 3)).astype(np.float32),
    )
    P[[2, 7]], Q[1] = 0, 0
    tables = {"user_factors": P, "item_factors": Q}
    if form == "npz":
        np.savez("m.npz", **tables)
    elif form == "safetensors":
        from safetensors.numpy import save_file

        save_file(tables, "m.safetensors")
    else:
        Path("m").mkdir()
        for name, array in tables.items():
            np.save(f"m/{name}.npy", array)
    name = {"npz": "m.npz", "safetensors": "m.safetensors", "folder": "m"}[form]
    common = "--format arrays"
    maps = "--out-users-map u.csv --out-items-map i.csv"
    found = answered(run(f"compact {name} --out new-{name} {common} {maps} --json"))
    assert (found["users"], found["items"]) == (6, 4)
    if form == "npz":
        with np.load(f"new-{name}") as new:
            np.testing.assert_array_equal(new["user_factors"], P[[0, 1, 3, 4, 5, 6]])
    elif form == "safetensors":
        from safetensors.numpy import load_file

        np.testing.assert_array_equal(load_file(f"new-{name}")["item_factors"], Q[[0, 2, 3, 4]])
    else:
        np.testing.assert_array_equal(
            np.load(f"new-{name}/user_factors.npy"), P[[0, 1, 3, 4, 5, 6]]
        )
    assert Path("u.csv").read_text().splitlines()[:4] == ["row,user_id", "0,0", "1,1", "2,3"]


def test_other_containers_say_why_not(run: Run) -> None:
    pth = next((FIXTURES / "recbole").rglob("*.pth"), None)
    if pth is None:
        pytest.skip("no such fixture")
    before = tree(Path.cwd())
    code, _, _ = run(f"compact {pth} --out new.pth --out-users-map u.json --out-items-map i.json")
    assert code in (2, 6, 9)
    assert tree(Path.cwd()) == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("spark/implicit", "a row for each id and none for a user who was erased"),
        ("torch/state.pt", "in a file of torch more than two tables count on its rows"),
        ("surprise/svd.dump", "in a file of surprise more than two tables"),
        ("keras/functional.h5", "in a file of keras more than two tables"),
    ],
)
def test_what_is_not_written_smaller_is_said_before_anything_is_asked(
    name: str, message: str, run: Run, tmp_path: Path
) -> None:
    fixtures = Path(__file__).parents[1] / "adapters" / "fixtures"
    code, out, err = run(f"compact {fixtures}/{name} --out small")
    assert (code, out) == (2, "")
    assert message in err
    assert list(tmp_path.iterdir()) == []
