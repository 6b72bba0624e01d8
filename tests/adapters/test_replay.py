"""The training that a file tells of, run again; and what is chosen where it cannot be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from alteraser.adapters import ForeignOptions, implicit
from alteraser.adapters.choose import LOCAL
from alteraser.adapters.forget import Opened, forget_foreign, matched, open_foreign
from alteraser.adapters.implicit_trainer import FAST, SAME_SUMS
from alteraser.adapters.replay import FOLLOWED, followed
from alteraser.adapters.verify import verify_foreign
from alteraser.data.selection import Selection
from alteraser.errors import IntegrityError, InvalidInput

FIXTURES = Path(__file__).parent / "fixtures" / "implicit"
OPTIONS = ForeignOptions(rating="plays", rows_are_ids=True)
FORGET = [(5, 1), (5, 4), (7, 0)]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def opened(name: str = "als") -> Opened:
    return open_foreign(FIXTURES / f"{name}.npz", FIXTURES / "data.csv", OPTIONS)


def some(given: Opened) -> list[tuple[int, int]]:
    """Four interactions that are there, of two users."""
    data = given.data
    rows = np.flatnonzero(np.isin(data.user_rows, [3, 8]))[[0, 1, -2, -1]]
    return [(int(data.user_rows[at]), int(data.indices[at])) for at in rows]


def without(tmp_path: Path, *names: str, source: str = "als", **entries: Any) -> Path:
    """A copy of the fixture that lacks some entries or has others."""
    with np.load(FIXTURES / f"{source}.npz") as file:
        arrays = {name: file[name] for name in file.files if name not in names}
    np.savez(tmp_path / "changed.npz", **(arrays | entries))
    return tmp_path / "changed.npz"


@pytest.mark.parametrize("name", ["als", "als_cholesky", "als_double"])
def test_a_training_repeated_on_all_the_data_gives_the_file(name: str) -> None:
    """The real library wrote these files, on another machine perhaps."""
    given = opened(name)
    assert given.foreign.trainer is not None
    found = followed(given.foreign, given.data, threads=1)
    assert found.way is not None
    assert found.overlap >= FOLLOWED
    users, items = given.foreign.trainer.run(found.way, given.data, threads=1)
    for mine, theirs in ((users, given.foreign.users), (items, given.foreign.items)):
        assert np.linalg.norm(mine - theirs) < 2e-2 * np.linalg.norm(theirs)


def test_the_words_say_what_is_repeated() -> None:
    words = [opened(name).foreign.trainer.words for name in ("als", "als_cholesky")]  # type: ignore[union-attr]
    assert words == [
        "30 iterations of 3 conjugate-gradient steps a row from seed 7",
        "15 iterations of exact rows from seed 7",
    ]


def test_both_orders_of_sums_are_one_training() -> None:
    trainer = opened().foreign.trainer
    assert trainer is not None
    if SAME_SUMS not in trainer.ways:
        pytest.skip("this machine's BLAS takes its sums in an order that is not known here")
    few = replace(trainer, iterations=2)
    one, other = (few.run(way, opened().data, threads=1) for way in (FAST, SAME_SUMS))
    for a, b in zip(one, other, strict=True):
        assert np.linalg.norm(a - b) < 1e-2 * np.linalg.norm(b)


def test_what_comes_out_is_the_training_on_what_remains(tmp_path: Path) -> None:
    given = opened("als_cholesky")
    pairs = some(given)
    done = forget_foreign(given, pairs, tmp_path / "out.npz", threads=1)
    assert (done.model.erased.method, done.model.erased.level, done.way.asked) == (
        "replay",
        "A",
        "auto",
    )
    assert "from seed 7), run on all the data, gives the file" in done.way.why
    remaining = matched(given, Selection.of(pairs)).remaining
    trainer = given.foreign.trainer
    assert trainer is not None
    users, items = trainer.run(done.model.erased.solver, remaining, threads=2)
    again = implicit.ADAPTER.read(tmp_path / "out.npz", OPTIONS)
    np.testing.assert_array_equal(again.users, users)
    np.testing.assert_array_equal(again.items, items)


def test_the_check_is_remembered_for_the_same_bytes_and_data_only(tmp_path: Path) -> None:
    given = opened()
    first, second = (followed(given.foreign, given.data, threads=1) for _ in range(2))
    assert (first.remembered, second.remembered) == (False, True)
    assert (first.way, first.overlap, first.identical) == (
        second.way,
        second.overlap,
        second.identical,
    )
    fewer = given.data.keep(np.arange(len(given.data)) > 0)
    assert not followed(given.foreign, fewer, threads=1).remembered
    for note in (tmp_path / "cache" / "alteraser" / "replays").iterdir():
        # what cannot be so is no note
        note.write_text('{"way": "nonsense", "overlap": 1.0, "identical": true}')
    assert not followed(given.foreign, given.data, threads=1).remembered


def test_what_a_replay_wrote_is_replayed_again_without_a_check(tmp_path: Path) -> None:
    first = opened("als_cholesky")
    rows = pa.table(
        {"user_id": first.data.user_rows, "item_id": first.data.indices, "plays": first.data.target}
    )
    pairs = some(first)
    forget_foreign(first, pairs[:2], tmp_path / "one.npz", threads=1)
    gone = set(pairs[:2])
    kept = [(row["user_id"], row["item_id"]) not in gone for row in rows.to_pylist()]
    second = open_foreign(tmp_path / "one.npz", rows.filter(pa.array(kept)), OPTIONS)
    done = forget_foreign(second, pairs[2:], tmp_path / "two.npz", threads=1)
    assert (done.model.erased.method, done.model.erased.level) == ("replay", "A")
    assert done.way.details["replay"]["remembered"]
    assert done.way.details["replay"]["identical"]
    whole = forget_foreign(first, pairs, tmp_path / "both.npz", threads=1)
    np.testing.assert_array_equal(whole.model.erased.items, done.model.erased.items)


def test_a_training_that_gives_another_model_is_not_offered(tmp_path: Path) -> None:
    path = without(tmp_path, random_state=np.array(8))
    given = open_foreign(path, FIXTURES / "data.csv", OPTIONS)
    done = forget_foreign(given, some(given), tmp_path / "out.npz", threads=1)
    assert done.model.erased.method in ("local", "rows")
    assert done.way.details["replay"]["way"] is None
    assert "its training, repeated, gives lists that agree to" in done.way.why
    with pytest.raises(
        IntegrityError,
        match=r"--method replay: 30 iterations .* from seed 8 on these data gives lists",
    ):
        forget_foreign(given, some(given), tmp_path / "no.npz", method="replay", threads=1)
    assert not (tmp_path / "no.npz").exists()


def test_without_a_seed_there_is_nothing_to_repeat(tmp_path: Path) -> None:
    given = open_foreign(without(tmp_path, "random_state"), FIXTURES / "data.csv", OPTIONS)
    assert given.foreign.trainer is None
    done = forget_foreign(given, some(given), tmp_path / "out.npz", threads=1)
    assert done.model.erased.method == "local"
    assert done.model.erased.level == ("L" if done.model.erased.residual <= LOCAL else "D")
    assert done.way.why.endswith("no training can be repeated from what the file tells")
    with pytest.raises(
        InvalidInput, match=r"--method replay: .*changed.npz does not tell how it was trained"
    ):
        forget_foreign(given, some(given), tmp_path / "no.npz", method="replay", threads=1)


@pytest.mark.parametrize("name", ["als", "als_cholesky"])
def test_the_effect_alone_leaves_others_nearly_alone(name: str, tmp_path: Path) -> None:
    given = opened(name)
    done = forget_foreign(given, some(given)[:1], tmp_path / "out.npz", method="local", threads=1)
    assert done.aftermath.lists is not None
    assert done.aftermath.lists.overlap > 0.9
    again = open_foreign(tmp_path / "out.npz", FIXTURES / "data.csv", OPTIONS)
    remaining = given.data.remove(some(given)[:1]).remaining
    assert again.foreign.loss.check(again.foreign, remaining, threads=1).passed


def test_a_model_at_rest_goes_on_to_the_optimum(tmp_path: Path) -> None:
    given = opened("als_double")  # 500 iterations of exact rows
    done = forget_foreign(given, some(given), tmp_path / "out.npz", threads=1)
    assert done.model.erased.method == "converge"
    assert "the model is at rest" in done.way.why
    assert done.model.erased.converged


def test_a_loose_tolerance_does_not_make_a_model_rest(tmp_path: Path) -> None:
    """At 0.9 of the push any model would seem to be at an optimum; what is allowed to stay says
    nothing of that."""
    given = open_foreign(without(tmp_path, "random_state"), FIXTURES / "data.csv", OPTIONS)
    done = forget_foreign(given, some(given), tmp_path / "out.npz", tolerance=0.9, threads=1)
    assert done.model.erased.method == "local"
    assert done.way.why.startswith("the model is not at rest")


@pytest.mark.parametrize("tolerance", [0.0, -0.1, 1.5, float("nan"), float("inf")])
def test_a_tolerance_is_a_share(tolerance: float, tmp_path: Path) -> None:
    given = opened()
    with pytest.raises(
        InvalidInput, match=r"tolerance .*: expected a number above 0 and at most 1"
    ):
        forget_foreign(given, some(given), tmp_path / "out.npz", tolerance=tolerance)
    with pytest.raises(InvalidInput, match="expected a number above 0 and at most 1"):
        verify_foreign(given, tolerance=tolerance)


def test_going_on_from_a_model_that_is_not_at_rest_is_warned_of(tmp_path: Path) -> None:
    said: list[str] = []
    given = opened("als_cholesky")
    forget_foreign(
        given, some(given), tmp_path / "out.npz", method="converge", threads=1, warn=said.append
    )
    assert len(said) == 1
    assert "is another training: after one pass already" in said[0]
    assert said[0].endswith("--method local changes only what the deletion changes")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copyfile(FIXTURES / "als_cholesky.npz", tmp_path / "als.npz")
    shutil.copyfile(FIXTURES / "data.csv", tmp_path / "data.csv")
    shutil.copyfile(without(tmp_path, "random_state"), tmp_path / "seedless.npz")
    given = opened()
    lines = ["user_id,item_id", *(f"{u},{v}" for u, v in some(given))]
    (tmp_path / "forget.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


LINE = (
    "forget {model} forget.csv --data data.csv --rating plays --rows-are-ids --out new.npz {more}"
)


def test_the_document_says_what_was_done_and_why(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from alteraser.cli.main import main

    assert main(LINE.format(model="als.npz", more="--json").split()) == 0
    document = json.loads(capfd.readouterr().out)
    assert (document["method"], document["method_asked"], document["class"]) == (
        "replay",
        "auto",
        "A",
    )
    assert document["residual"] is None
    assert document["replay"]["overlap"] >= FOLLOWED
    assert set(document["lists_changed"]) == {"users", "changed", "overlap"}


def test_what_was_not_reached_is_said_also_when_quiet(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from alteraser.cli.main import main

    line = LINE.format(
        model="seedless.npz", more="--quiet --method local --tolerance 1e-9 --max-passes 2"
    )
    assert main(line.split()) == 8
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("class D: ")
    assert "of the deletion's push is left, more than was asked for" in err
    assert (here / "new.npz").exists()


@pytest.mark.parametrize("method", ["retrain", "influence", "Local"])
def test_methods_of_other_models_are_named(
    method: str, here: Path, run_failing: Callable[[str], tuple[int, str]]
) -> None:
    code, err = run_failing(LINE.format(model="als.npz", more=f"--method {method}"))
    assert code == 2
    assert (
        f"--method {method} means nothing to a model of another library: use auto, replay, local, "
        "converge" in err
    )


@pytest.fixture
def run_failing(capfd: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, str]]:
    from alteraser.cli.main import main

    def run(line: str) -> tuple[int, str]:
        code = main(line.split())
        return code, capfd.readouterr().err

    return run


def test_what_is_missing_of_the_effect_is_in_the_answer(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from alteraser.cli.main import main

    assert (
        main(
            LINE.format(model="seedless.npz", more="--json --method local --tolerance 0.9").split()
        )
        == 0
    )
    found = json.loads(capfd.readouterr().out)
    assert (found["method"], found["class"]) == ("local", "L")
    assert 0 < found["effect_left"] < 2
    (here / "new.npz").unlink()
    assert main(LINE.format(model="als.npz", more="--json").split()) == 0
    assert json.loads(capfd.readouterr().out)["effect_left"] is None  # a replay lacks nothing
    (here / "new.npz").unlink()
    main(LINE.format(model="seedless.npz", more="--method local --tolerance 1e-3").split())
    assert "the deletion would move the model" in " ".join(capfd.readouterr().out.split())
