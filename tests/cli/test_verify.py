"""alteraser verify: what it says, when it refuses, and that it reads nothing but files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Run

import alteraser as ae
from alteraser.models import Factors

FORGET = "forget {w}/model {w}/forget.csv --data {w}/data.csv --remaining left.csv"


@pytest.fixture
def forgotten(run: Run) -> None:
    code, out, err = run(FORGET + " --out new --json")
    assert code == 0, err
    found = json.loads(out)
    assert found["class"] == "C"
    assert found["route"][-1] == "joint"
    assert found["measured"]["distance"] <= 1e-6


@pytest.mark.usefixtures("forgotten", "inputs_stay_as_they_are")
def test_a_default_forget_is_certified_or_measured(run: Run) -> None:
    code, out, err = run("verify new --data left.csv --before {w}/model --json")
    assert code == 0, err
    found = json.loads(out)
    assert found["class"] == "B"
    assert found["descends"] is True
    assert {check["name"] for check in found["checks"]} >= {
        "distance",
        "block",
        "influence",
        "residual",
        "absent",
    }
    assert all(check["passed"] for check in found["checks"])
    code, out, _ = run("verify new --data left.csv --prove-up-to 0")
    assert code == 0
    assert "C: measured" in out
    assert "not a proof" in out
    assert not any(word in out for word in ("certified", "guarantee"))


@pytest.mark.usefixtures("forgotten")
def test_a_model_that_did_not_forget_is_d_and_exit_8(run: Run, world: Path) -> None:
    new, old = ae.load("new"), ae.load(world / "model")
    for name, factors in (
        ("lazy", old.factors),
        ("user", swapped(new.factors, old.factors, user=int(erased_user(new, old)))),
    ):
        type(new)(**{**vars(new), "factors": factors, "digest": None}).save(name)
        code, out, _ = run(f"verify {name} --data left.csv --before {{w}}/model --json")
        assert code == 8
        assert json.loads(out)["class"] == "D"
        code, out, _ = run(f"verify {name} --data left.csv")
        assert code == 8
        assert "FAILS" in out
        assert not any(word in out for word in ("certified", "proved", "guarantee"))


@pytest.mark.usefixtures("forgotten")
def test_other_data_are_refused(run: Run) -> None:
    code, _, err = run("verify new --data {w}/data.csv")
    assert code == 6
    assert "interactions" in err
    lines = Path("left.csv").read_text().splitlines()
    Path("short.csv").write_text("\n".join(lines[:-1]) + "\n")
    assert run("verify new --data short.csv")[0] == 6
    Path("strange.csv").write_text("\n".join([*lines, "9999,100,1"]) + "\n")
    assert run("verify new --data strange.csv")[0] == 6
    assert run("verify nothing --data left.csv")[0] == 3
    assert run("verify new --data nothing.csv")[0] == 3
    code, _, err = run("train {w}/data.csv --factors 3 --out narrow -q")
    code, _, err = run("verify new --data left.csv --before narrow")
    assert code == 6
    assert "is no ancestor of the model" in err
    code, _, err = run("verify new --data left.csv --before narrow --unrelated")
    assert code == 2
    assert "3 factors, the model 4" in err


@pytest.mark.usefixtures("forgotten")
def test_a_retrained_model_replays_and_an_erased_one_cannot(run: Run) -> None:
    assert run(FORGET.replace("left.csv", "again.csv") + " --method retrain --out fresh -q")[0] == 0
    code, out, err = run("verify fresh --data again.csv --replay --json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["class"], found["name"]) == ("A", "replayed")
    assert "without the data that are gone" in found["sentence"]
    code, out, _ = run("verify {w}/model --data {w}/data.csv --replay --json")
    assert json.loads(out)["class"] == "A"
    code, _, err = run("verify new --data left.csv --replay")
    assert code == 2
    assert "start from a seed" in err
    # a changed byte is no replay, however near
    fresh = ae.load("fresh")
    users = fresh.factors.users.copy()
    users[3, 0] = np.nextafter(users[3, 0], np.float32(9))
    near = Factors(users, fresh.factors.items, fresh.factors.prediction)
    type(fresh)(**{**vars(fresh), "factors": near, "digest": None}).save("near")
    code, out, _ = run("verify near --data again.csv --replay --json")
    assert json.loads(out)["class"] in ("B", "C")


@pytest.mark.usefixtures("forgotten")
def test_rows_of_users_who_are_gone_must_be_zero(run: Run) -> None:
    Path("whole.csv").write_text("user_id\n7\n")
    assert (
        run("forget {w}/model whole.csv --data {w}/data.csv --out w --remaining r.csv -q")[0] == 0
    )
    assert run("verify w --data r.csv -q")[0] == 0
    model = ae.load("w")
    gone = sorted(set(range(model.users.size)) - set(model.users.rows.tolist()))
    assert len(gone) == 1
    users = model.factors.users.copy()
    users[gone[0]] = 1e-4
    type(model)(
        **{
            **vars(model),
            "factors": Factors(users, model.factors.items, model.factors.prediction),
            "digest": None,
        }
    ).save("x")
    code, out, _ = run("verify x --data r.csv --json")
    assert code == 8
    assert {check["name"]: check["passed"] for check in json.loads(out)["checks"]}[
        "absent"
    ] is False


def test_stop_at_tolerance_stops_there(run: Run) -> None:
    code, out, err = run(FORGET + " --stop-at-tolerance --out quick --json")
    assert code == 8
    found = json.loads(out)
    assert (found["class"], found["converged"]) == ("D", False)
    assert found["measured"]["distance"] > 1e-6
    assert found["residual"] <= 1e-3
    assert "Leave out --stop-at-tolerance" in err
    code, _, err = run(
        FORGET.replace("left", "l") + " --stop-at-tolerance --method influence --out q"
    )
    assert code == 2
    assert "--stop-at-tolerance means nothing" in err


def test_a_cap_that_was_asked_for_is_a_cap(run: Run) -> None:
    code, out, err = run(FORGET + " --max-passes 2 --out capped --json")
    assert code == 8  # the default level is not reached so soon
    assert "not reached: " in err
    found = json.loads(out)
    assert found["passes"] == 2
    assert "retrain" not in found["route"]


def swapped(new: Factors, old: Factors, *, user: int) -> Factors:
    users = new.users.copy()
    users[user] = old.users[user]
    return Factors(users, new.items, new.prediction)


def erased_user(new: ae.Model, old: ae.Model) -> int:
    return int(np.argmax(np.linalg.norm(new.factors.users - old.factors.users, axis=1)))


def test_what_makes_it_hard_is_said_with_what_to_do(run: Run) -> None:
    code, out, _ = run("train {w}/data.csv --factors 3 --regularization 0 --out flat")
    assert code == 0
    assert "regularization is 0" in " ".join(out.split())
    code, out, _ = run(
        "forget flat {w}/forget.csv --data {w}/data.csv --out f --remaining flat.csv"
    )
    assert code == 8
    assert "the regularization is 0: any invertible change" in " ".join(out.split())
    code, out, _ = run("verify f --data flat.csv")
    assert code == 8
    assert "there is no optimum to be near" in " ".join(out.split())
    code, out, _ = run("train {w}/data.csv --factors 3 --max-passes 1 --out short")
    assert code == 0
    assert "not trained to the end" in " ".join(out.split())
    code, out, _ = run(
        "forget {w}/model {w}/forget.csv --data {w}/data.csv --out tight --tolerance 1e-13"
    )
    assert code == 8
    assert "float32 holds no more digits: train with --dtype float64" in " ".join(out.split())
    assert "retrained" not in out  # it is at the optimum as far as float32 can tell
    code, _, err = run(
        "train {w}/data.csv --factors 30 --missing-weight 0 --regularization 0 --out singular"
    )
    assert code == 8
    assert "is singular" in err
    assert "raise the regularization" in err


def test_a_model_that_forgot_everything_is_at_distance_0(run: Run) -> None:
    assert (
        run("forget {w}/model {w}/data.csv --data {w}/data.csv --out m --remaining r.csv -q")[0]
        == 0
    )
    code, out, _ = run("verify m --data r.csv --before {w}/model --json")
    assert code == 0
    assert "within about 0 of an optimum for the remaining data" in json.loads(out)["sentence"]
