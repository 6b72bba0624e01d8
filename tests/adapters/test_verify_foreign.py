"""What can be said of a file from the files alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from alteraser.adapters import ForeignOptions, implicit
from alteraser.adapters.contract import Changed
from alteraser.adapters.data import all_data
from alteraser.adapters.forget import Opened, forget_foreign, open_foreign
from alteraser.adapters.verify import ForeignVerification, block_norm, gradients, verify_foreign
from alteraser.cli.main import main
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.models import Factors
from alteraser.solvers.stationarity import evaluate, gradient_norm

FIXTURES = Path(__file__).parent / "fixtures" / "implicit"
OPTIONS = ForeignOptions(rating="plays", rows_are_ids=True)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Files:
    """A model without a seed (or with one), its data in three tables, and what ``forget`` made of
    it."""

    def __init__(
        self, folder: Path, method: str, *, seed: bool = False, source: str = "als"
    ) -> None:
        self.folder, self.old, self.new = folder, folder / "old.npz", folder / "new.npz"
        with np.load(FIXTURES / f"{source}.npz") as file:
            arrays = {name: file[name] for name in file.files if seed or name != "random_state"}
        np.savez(self.old, **arrays)
        self.whole = pacsv.read_csv(FIXTURES / "data.csv")
        gone = np.isin(self.whole["user_id"].to_numpy(), [3]) | (
            np.arange(len(self.whole)) % 23 == 5
        )
        self.gone, self.rest = self.whole.filter(pa.array(gone)), self.whole.filter(pa.array(~gone))
        opened = open_foreign(self.old, self.whole, OPTIONS)
        pairs = list(
            zip(self.gone["user_id"].to_pylist(), self.gone["item_id"].to_pylist(), strict=True)
        )
        self.done = forget_foreign(opened, pairs, self.new, method=method, threads=1)

    def opened(self, path: Path, table: pa.Table) -> Opened:
        return open_foreign(path, table, OPTIONS)

    def verify(
        self, path: Path | None = None, forgotten: pa.Table | None = None, **settings: float
    ) -> ForeignVerification:
        """With the model from before, unless there is no table of what was forgotten."""
        new = self.opened(path or self.new, self.rest)
        old = (
            None
            if forgotten is None
            else self.opened(self.old, all_data(self.rest, forgotten, OPTIONS))
        )
        return verify_foreign(new, old, threads=1, **settings)


def test_what_forget_says_is_what_verify_finds(tmp_path: Path) -> None:
    files = Files(tmp_path, "local")
    found = files.verify(forgotten=files.gone)
    assert found.level == files.done.model.erased.level == "L"
    residual = {finding.name: finding.value for finding in found.findings}["anchored residual"]
    assert residual == pytest.approx(files.done.model.erased.residual, abs=0.03)
    assert "to within" in found.sentence
    assert files.verify(forgotten=files.whole) == found, "all the data from before will do as well"
    assert files.verify(forgotten=files.gone, tolerance=1e-6).level == "D"


@pytest.mark.parametrize(
    ("source", "seed", "method"),
    [
        ("als_cholesky", True, "auto"),
        ("als", False, "auto"),
        ("als_double", False, "auto"),
        ("als_cholesky", False, "converge"),
    ],
)
def test_the_class_is_what_verify_finds(
    source: str, seed: bool, method: str, tmp_path: Path
) -> None:
    files = Files(tmp_path, method, seed=seed, source=source)
    erased, found = files.done.model.erased, files.verify(forgotten=files.gone)
    assert found.level == erased.level
    assert found.passed == erased.reached
    if erased.standing is not None:
        assert (erased.method, found.sentence) == ("converge", erased.standing.sentence)
        assert files.verify().level == found.level, (
            "an optimum is one without the model from before"
        )


def test_going_on_without_arriving_is_no_class(tmp_path: Path) -> None:
    files = Files(tmp_path, "local", source="als_cholesky")
    opened = files.opened(files.old, files.whole)
    done = forget_foreign(
        opened,
        [(int(files.gone["user_id"][0].as_py()), int(files.gone["item_id"][0].as_py()))],
        tmp_path / "few.npz",
        method="converge",
        max_passes=4,
    )
    assert (done.model.erased.level, done.model.erased.reached) == ("D", False)
    assert done.model.erased.standing is not None
    assert done.model.erased.standing.sentence.startswith(
        "going on to an optimum was another training"
    )


def test_without_the_model_from_before_it_cannot_be_told(tmp_path: Path) -> None:
    found = Files(tmp_path, "local").verify()
    assert (found.level, found.passed) == ("D", False)
    assert "class L cannot be told from D" in found.sentence


@pytest.mark.parametrize("source", ["als", "als_cholesky"])
def test_a_replay_is_verified_by_its_bytes(source: str, tmp_path: Path) -> None:
    files = Files(tmp_path, "replay", seed=True, source=source)
    found = files.verify()
    assert (found.level, files.done.model.erased.level) == ("A", "A")
    assert "gives the same bytes" in found.sentence


def test_the_original_has_forgotten_nothing(tmp_path: Path) -> None:
    files = Files(tmp_path, "local", seed=True)
    found = files.verify(files.old, files.gone)
    assert found.level == "D"
    assert "users or items of whom nothing remains still have a vector" in found.sentence


@pytest.mark.parametrize(
    "what",
    [
        "a user kept",
        "an item's old row",
        "one user's old row",
        "nothing but the erased",
        "an asking user's old row",
    ],
)
def test_what_looks_right_and_is_not(what: str, tmp_path: Path) -> None:
    files = Files(tmp_path, "local")
    old, new = (implicit.ADAPTER.read(path, OPTIONS) for path in (files.old, files.new))
    users, items = np.array(new.users), np.array(new.items)
    touched = np.unique(files.gone["item_id"].to_numpy())
    if what == "a user kept":
        users[3] = old.users[3]
    elif what == "an item's old row":
        items[touched[0]] = 3 * old.items[touched[0]]
    elif what == "one user's old row":
        users[10] = -old.users[10]
    elif what == "an asking user's old row":
        asking = np.setdiff1d(files.gone["user_id"].to_numpy(), [3])
        users[asking[0]] = old.users[asking[0]]
    else:
        users[:], items[:] = old.users, old.items
        users[3] = 0
    rows = np.arange(len(users)), np.arange(len(items))
    implicit.ADAPTER.write(
        new, Changed(users, items, user_rows=rows[0], item_rows=rows[1]), tmp_path / "tampered.npz"
    )
    assert files.verify(tmp_path / "tampered.npz", files.gone).level == "D"


def test_other_data_or_another_model_from_before(tmp_path: Path) -> None:
    files = Files(tmp_path, "local")
    new = files.opened(files.new, files.rest)
    with pytest.raises(
        IntegrityError, match=r"of the remaining interactions are not in the data from before"
    ):
        verify_foreign(new, files.opened(files.old, files.whole.slice(0, 200)))
    wrong = files.opened(
        files.old, files.whole.set_column(2, "plays", pa.array(files.whole["plays"].to_numpy() * 7))
    )
    with pytest.raises(IntegrityError, match=r"old.npz does not fit these data"):
        verify_foreign(new, wrong)
    shutil.copyfile(FIXTURES / "als.npz", tmp_path / "small.npz")
    with np.load(tmp_path / "small.npz") as file:
        arrays = dict(file)
    arrays |= {name: arrays[name][:, :4] for name in ("user_factors", "item_factors")} | {
        "factors": np.array(4)
    }
    np.savez(tmp_path / "small.npz", **arrays)
    with pytest.raises(
        InvalidInput, match=r"--before has 40 users, 25 items and 4 factors, the model 40, 25 and 6"
    ):
        verify_foreign(new, files.opened(tmp_path / "small.npz", files.whole))


def test_what_was_forgotten_needs_the_columns_of_the_data(tmp_path: Path) -> None:
    files = Files(tmp_path, "local")
    with pytest.raises(
        InvalidInput, match=r"--forgotten has no column 'plays'.*or the whole data from before"
    ):
        all_data(files.rest, files.gone.select(["user_id", "item_id"]), OPTIONS)


def test_its_arithmetic_is_the_kernels_arithmetic(tmp_path: Path) -> None:
    files = Files(tmp_path, "local")
    opened = files.opened(files.old, files.whole)
    problem = opened.foreign.loss.problem(opened.data, np.float64)  # type: ignore[attr-defined]
    P, Q = (np.asarray(x, np.float64) for x in (opened.foreign.users, opened.foreign.items))
    factors = Factors(P, Q, np.ones(P.shape[1]))
    known = evaluate(problem, factors, threads=1)
    mine = gradients(problem, P, Q)
    np.testing.assert_allclose(mine[0], known.user_gradient, atol=1e-9)
    np.testing.assert_allclose(mine[1], known.item_gradient, atol=1e-9)
    norm = gradient_norm(problem, factors, known.user_gradient, known.item_gradient, threads=1)
    assert block_norm(problem, mine, P, Q) == pytest.approx(norm, rel=1e-6)


def test_the_model_itself_is_no_model_from_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(FIXTURES / "als.npz", tmp_path / "als.npz")
    line = f"verify {tmp_path}/als.npz --data {FIXTURES}/data.csv --rating plays --rows-are-ids"
    code = main(
        [*line.split(), "--before", f"{tmp_path}/./als.npz", "--forgotten", f"{FIXTURES}/data.csv"]
    )
    assert code == 6
    assert "--before is the model itself" in capsys.readouterr().err
