"""What was erased does not come back with later data: our models and other libraries' files,
chains, lost keys."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pyarrow.csv as pacsv
import pytest
from conftest import tree

import alteraser as ae

pytestmark = pytest.mark.usefixtures("inputs_stay_as_they_are")

FIXTURES = Path(__file__).parent.parent / "adapters" / "fixtures"
Run = Callable[..., tuple[int, str, str]]


def erased_two(run: Run) -> None:
    Path("two.csv").write_text("user_id\n7\n8\n")
    assert run("forget {w}/model two.csv --data {w}/data.csv --out m1 --remaining r1.csv -q") == (
        0,
        "",
        "",
    )


def test_grown_never_learns_erased_users_again(run: Run, world: Path) -> None:
    erased_two(run)
    Path("one.csv").write_text("user_id\n9\n")
    before = tree(Path.cwd())
    code, _, err = run("forget m1 one.csv --data {w}/data.csv --grown --out m2")
    assert code == 5
    assert "2 user(s) erased whole" in err
    assert "--readmit" in err
    assert run("forget m1 one.csv --data {w}/data.csv --grown --dry-run")[0] == 5
    assert tree(Path.cwd()) == before
    code, out, _ = run("forget m1 one.csv --data {w}/data.csv --grown --readmit --out m2 --json")
    document = json.loads(out)
    assert code == 0
    assert document["users_added"] == 2
    assert document["interactions_readmitted"] == document["interactions_added"] > 0
    assert run("recommend m2 --user 7 --data {w}/data.csv -q")[0] == 0
    # let in again, they are no longer on record, and user 9 is
    data = pacsv.read_csv(world / "data.csv")
    assert data.num_rows
    Path("again.csv").write_text("user_id\n10\n")
    code, _, err = run("forget m2 again.csv --data {w}/data.csv --grown --out m3")
    assert code == 5
    assert "1 user(s) erased whole" in err
    assert "user 9" in err


def test_pairs_and_whole_items_stay_erased_too(run: Run, world: Path) -> None:
    rows = (world / "data.csv").read_text().splitlines()[1:]
    user, item = rows[0].split(",")[:2]
    Path("pair.csv").write_text(f"user_id,item_id\n{user},{item}\n")
    assert (
        run("forget {w}/model pair.csv --data {w}/data.csv --out m1 --remaining r1.csv -q")[0] == 0
    )
    Path("item.csv").write_text("item_id\n120\n")
    assert run("forget m1 item.csv --data r1.csv --out m2 --remaining r2.csv -q")[0] == 0
    Path("one.csv").write_text("user_id\n9\n")
    code, _, err = run("forget m2 one.csv --data {w}/data.csv --grown --out m3")
    assert code == 5
    assert "1 erased one by one" in err
    assert "1 item(s) erased whole" in err
    added = Path("r2.csv").read_text() + f"new,{item},3\n".replace("new", "9999")
    Path("grown.csv").write_text(added)
    code, out, _ = run("forget m2 one.csv --data grown.csv --grown --out m3")
    assert code == 0
    assert "1 interactions since, of 1 new users and 0 new items" in " ".join(out.split())


def test_the_key_is_private_carried_along_and_needed(run: Run) -> None:
    erased_two(run)
    assert stat.S_IMODE(os.stat("m1.key").st_mode) == 0o600
    Path("one.csv").write_text("user_id\n9\n")
    assert run("forget m1 one.csv --data r1.csv --out m2 --remaining r2.csv -q")[0] == 0
    assert Path("m2.key").read_text() == Path("m1.key").read_text()
    manifest = Path("m2/model.json").read_text()
    assert Path("m2.key").read_text().strip() not in manifest
    assert [len(group["users"]) for group in json.loads(manifest)["erased"]] == [3]
    Path("m2.key").unlink()
    Path("ten.csv").write_text("user_id\n10\n")
    code, _, err = run("forget m2 ten.csv --data r2.csv --grown --out m3")
    assert code == 3
    assert "(m2.key)" in err
    assert "--readmit" in err
    # no additions, no question
    assert run("forget m2 ten.csv --data r2.csv --out m3 --remaining r3.csv -q")[0] == 0
    assert [
        len(group["users"]) for group in json.loads(Path("m3/model.json").read_text())["erased"]
    ] == [3, 1]
    assert run("forget m2 ten.csv --data r2.csv --grown --readmit --out m4 -q")[0] == 0
    assert run("verify m3 --data r3.csv --before m2 -q")[0] == 0


def test_keys_without_their_model_are_kept_and_other_files_never_overwritten(run: Run) -> None:
    Path("two.csv").write_text("user_id\n7\n8\n")
    Path("m1.key").write_text("ab" * 32 + "\n")
    assert (
        run("forget {w}/model two.csv --data {w}/data.csv --out m1 --remaining r1.csv -q")[0] == 0
    )
    # a new key was needed, and this one was to be had
    assert Path("m1.key").read_text() == "ab" * 32 + "\n"
    first = tree(Path("m1"))
    shutil.rmtree("m1")
    assert (
        run("forget {w}/model two.csv --data {w}/data.csv --out m1 --remaining r1.csv -q")[0] == 0
    )
    assert tree(Path("m1")) == first  # so that a command given again writes the same
    Path("ten.csv").write_text("user_id\n10\n")
    Path("m2.key").write_text("cd" * 32 + "\n")
    assert run("forget m1 ten.csv --data r1.csv --out m2 --remaining r2.csv -q")[0] == 0
    assert Path("m2.key").read_text().split() == ["ab" * 32, "cd" * 32]
    assert run("forget m2 two.csv --data {w}/data.csv --grown --readmit --out m4 -q")[0] == 0
    # what is not this model's is not carried along
    assert Path("m4.key").read_text().split() == ["ab" * 32]
    Path("m3.key").write_text("my door\n")
    code, _, err = run("forget {w}/model two.csv --data {w}/data.csv --out m3")
    assert code == 4
    assert "holds no keys of AltEraser" in err
    assert Path("m3.key").read_text() == "my door\n"
    assert not Path("m3").exists()


def test_a_failed_write_leaves_no_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from alteraser.models import folder

    seen = []

    def full(*_: object) -> None:
        seen.append(Path("m1.key").exists())
        raise OSError(28, "No space left on device", "m1")

    Path("two.csv").write_text("user_id\n7\n8\n")
    monkeypatch.setattr(folder, "_write_folder", full)
    before = tree(Path.cwd())
    assert run("forget {w}/model two.csv --data {w}/data.csv --out m1")[0] == 7
    assert seen == [True]  # it was on disk before the model
    assert tree(Path.cwd()) == before


def test_readmit_belongs_to_grown(run: Run) -> None:
    Path("two.csv").write_text("user_id\n7\n8\n")
    code, _, err = run("forget {w}/model two.csv --data {w}/data.csv --out m1 --readmit")
    assert code == 2
    assert "--grown" in err


def test_the_same_in_python(world: Path, tmp_path: Path) -> None:
    model = ae.load(world / "model")
    data = ae.Interactions.read(world / "data.csv")
    erasure = ae.forget(model, [7, 8], data=data, whole_users=True)
    with pytest.raises(ae.AltEraserError, match="erased from this model before"):
        ae.forget(erasure.model, [9], data=data, whole_users=True, grown=True)
    saved = erasure.model.save(tmp_path / "m")
    again = ae.load(tmp_path / "m")
    assert again.erased == saved.erased
    assert again.digest == saved.digest


def test_files_of_other_libraries_have_their_record_beside_them(run: Run) -> None:
    shutil.copyfile(FIXTURES / "implicit" / "als.npz", "als.npz")
    shutil.copyfile(FIXTURES / "implicit" / "data.csv", "data.csv")
    Path("user.csv").write_text("user_id\n5\n")
    Path("next.csv").write_text("user_id\n6\n")
    old, new = (
        " --data data.csv --rating plays --rows-are-ids",
        " --data rest.csv --rating plays --rows-are-ids",
    )
    assert run("forget als.npz user.csv" + old + " --out new.npz --remaining rest.csv -q")[0] == 0
    assert stat.S_IMODE(os.stat("new.npz.key").st_mode) == 0o600
    assert len(json.loads(Path("new.npz.erased.json").read_text())["erased"][0]["users"]) == 1
    before = tree(Path.cwd())
    code, _, err = run("forget new.npz next.csv" + old + " --out newer.npz")
    assert code == 5
    assert "1 user(s) erased whole" in err
    assert "--readmit" in err
    assert tree(Path.cwd()) == before
    assert run("forget new.npz next.csv" + new + " --out newer.npz -q")[0] == 0
    assert Path("newer.npz.key").read_text() == Path("new.npz.key").read_text()
    assert len(json.loads(Path("newer.npz.erased.json").read_text())["erased"][0]["users"]) == 2
    Path("newer.npz").unlink()  # a command can be repeated
    assert run("forget new.npz next.csv" + new + " --out newer.npz -q")[0] == 0
    Path("new.npz.key").unlink()
    code, _, err = run("forget new.npz next.csv" + new + " --out newest.npz")
    assert code == 3
    assert "--readmit" in err
    Path("new.npz.erased.json").unlink()  # whoever wants no record removes it
    assert run("forget new.npz next.csv" + new + " --out newest.npz -q")[0] == 0
