"""implicit's files: the contract, once for each kind, and what is particular to them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pytest
from conftest import Run
from contract import FIXTURES, AdapterContract

from alteraser.adapters import Foreign, ForeignOptions, implicit
from alteraser.adapters.forget import forget_foreign, open_foreign
from alteraser.errors import IntegrityError, InvalidInput, NumericFailure

HERE = FIXTURES / "implicit"


class ImplicitContract(AdapterContract):
    adapter = implicit.ADAPTER
    shape = (40, 25, 6)


class TestALS(ImplicitContract):
    fixture = HERE / "als.npz"


class TestDoubleALS(ImplicitContract):
    fixture = HERE / "als_double.npz"


class TestBPR(ImplicitContract):
    fixture = HERE / "bpr.npz"


class TestLogisticMF(ImplicitContract):
    fixture = HERE / "lmf.npz"


class PickledContract(ImplicitContract):
    options = ForeignOptions(allow_pickle=True)

    def test_is_the_model_of_the_library_s_own_form(self) -> None:
        pickled, saved = self.read(self.fixture), read(self.fixture.with_suffix(".npz"))
        np.testing.assert_array_equal(pickled.users, saved.users)
        np.testing.assert_array_equal(pickled.items, saved.items)
        assert pickled.loss == saved.loss
        assert (pickled.kind, pickled.hyperparameters) == (saved.kind, saved.hyperparameters)

    def test_is_read_only_where_pickles_are_allowed(self) -> None:
        with pytest.raises(InvalidInput, match="only with --allow-pickle"):
            read(self.fixture)


class TestPickledALS(PickledContract):
    fixture = HERE / "als.pickle"

    def test_what_the_old_factors_gave_goes(self, copy: Path, tmp_path: Path) -> None:
        foreign = self.read(copy)
        assert [holding.name for holding in foreign.holds] == ["pickle", "_user_norms, _item_norms"]
        self.adapter.write(foreign, self.changed(foreign, [2]), tmp_path / "out.pickle")
        assert [holding.name for holding in self.read(tmp_path / "out.pickle").holds] == ["pickle"]


class TestPickledBPR(PickledContract):
    fixture = HERE / "bpr.pickle"


class TestPickledLogisticMF(PickledContract):
    fixture = HERE / "lmf.pickle"


def test_the_library_loads_the_pickle_that_was_written(tmp_path: Path) -> None:
    pytest.importorskip("implicit")
    opened = open_foreign(
        HERE / "als.pickle",
        HERE / "data.csv",
        ForeignOptions(allow_pickle=True, rows_are_ids=True, rating="plays"),
    )
    erasure = forget_foreign(opened, [5], tmp_path / "out.pickle", whole_users=True)
    model = pickle.loads((tmp_path / "out.pickle").read_bytes())
    np.testing.assert_array_equal(model.user_factors, erasure.model.erased.users)
    assert (model.user_factors.dtype, model.alpha, model._item_norms) == (np.float32, 2.0, None)
    assert not model.user_factors[5].any()
    items, _ = model.similar_items(3)
    assert items[0] == 3


def test_pickles_of_other_things(tmp_path: Path) -> None:
    path = tmp_path / "model.pickle"
    content = (HERE / "als.pickle").read_bytes()
    wrong = content.replace(b"implicit.cpu.als", b"implicit.ann.als").replace(
        b"AlternatingLeastSquares", b"A" * 23
    )
    for written, message in (
        (pickle.dumps({"model": 1}), "holds more than a model: pickle the model alone"),
        (wrong, "is implicit.ann.als.AAAAAA.*ALS, BPR and logistic MF of implicit 0.5 and later"),
        (content + b"joblib.numpy_pickle", "was written by joblib.dump.*model.save"),
    ):
        path.write_bytes(written)
        with pytest.raises(InvalidInput, match=message):
            read(path, allow_pickle=True)


# ------------------------------------------------------------------ files that are something else


def saved(folder: Path, name: str = "als", **changes: object) -> Path:
    """A fixture with some entries replaced, added, or (None) dropped."""
    with np.load(HERE / f"{name}.npz") as loaded:
        entries = dict(loaded) | changes
    path = folder / "model.npz"
    np.savez(path, **{key: value for key, value in entries.items() if value is not None})  # type: ignore[arg-type]
    return path


def read(path: Path, **options: object) -> Foreign:
    return implicit.ADAPTER.read(path, ForeignOptions(**options))  # type: ignore[arg-type]


def test_hyper_parameters_are_those_of_the_file() -> None:
    foreign = read(HERE / "als.npz")
    assert foreign.hyperparameters["alpha"] == 2.0
    assert foreign.hyperparameters["regularization"] == 0.5
    assert foreign.hyperparameters["use_cg"] is True
    assert foreign.loss.formula == (
        "Σ c (y − p·q)², c = 2·|r|, y = [r > 0] + 1 Σ_missing (p·q)² + 0.5 (‖p‖² + ‖q‖²)"
    )


def test_an_option_that_contradicts_the_file() -> None:
    with pytest.raises(
        InvalidInput, match=r"--alpha 40\.0 contradicts .*als\.npz, which says alpha = 2\.0"
    ):
        read(HERE / "als.npz", alpha=40.0)
    with pytest.raises(InvalidInput, match=r"--regularization 1\.0 contradicts"):
        read(HERE / "bpr.npz", regularization=1.0)
    with pytest.raises(InvalidInput, match="--explicit contradicts"):
        read(HERE / "als.npz", implicit=False)
    with pytest.raises(InvalidInput, match="--alpha means nothing to a BPR model"):
        read(HERE / "bpr.npz", alpha=2.0)
    assert read(HERE / "als.npz", alpha=2.0).loss == read(HERE / "als.npz").loss


def test_a_version_that_did_not_store_alpha_needs_it(tmp_path: Path) -> None:
    path = saved(tmp_path, alpha=None)
    with pytest.raises(InvalidInput, match="does not say its alpha: give it with --alpha"):
        read(path)
    assert read(path, alpha=2.0).loss == read(HERE / "als.npz").loss


def test_models_that_are_not_factors(tmp_path: Path) -> None:
    path = tmp_path / "knn.npz"
    np.savez(
        path,
        data=np.ones(3),
        indices=np.zeros(3, "i4"),
        indptr=np.arange(4),
        shape=np.array([3, 3]),
        K=np.array(2),
    )
    assert implicit.ADAPTER.recognizes(path)
    with pytest.raises(InvalidInput, match="neighborhood model"):
        read(path)
    with pytest.raises(InvalidInput, match="has no item_factors"):
        read(saved(tmp_path, item_factors=None))
    with pytest.raises(InvalidInput, match="does not say which of implicit's models it is"):
        read(saved(tmp_path, alpha=None, use_cg=None, cg_steps=None))


def test_shapes_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(
        IntegrityError,
        match=r"of 6 factors has 7: the factors and the item bias\. Biases are missing",
    ):
        read(
            saved(
                tmp_path,
                "bpr",
                user_factors=np.ones((40, 6), "f4"),
                item_factors=np.ones((25, 6), "f4"),
            )
        )
    with pytest.raises(IntegrityError, match="the same type and number of columns"):
        read(saved(tmp_path, item_factors=np.ones((25, 5), "f4")))
    with pytest.raises(IntegrityError, match="the same type and number of columns"):
        read(saved(tmp_path, item_factors=np.ones((25, 6))))
    with pytest.raises(InvalidInput, match="user_factors is int64 of shape"):
        read(saved(tmp_path, user_factors=np.ones((40, 6), "i8")))
    with pytest.raises(
        IntegrityError, match=r"column 6 of user_factors must be 1 throughout in a LMF model"
    ):
        read(saved(tmp_path, "lmf", user_factors=np.zeros((40, 8), "f4")))


def test_entries_that_are_not_finite_name_their_row(tmp_path: Path) -> None:
    with np.load(HERE / "als.npz") as loaded:
        users = loaded["user_factors"]
    users[7, 2] = np.nan
    with pytest.raises(NumericFailure, match="row 7 of user_factors"):
        read(saved(tmp_path, user_factors=users))


def test_steps_without_the_extension_leave_vectors_in_empty_rows(tmp_path: Path) -> None:
    """With use_native=False they only shrink what a row began with; the native ones write zeros."""
    data = HERE / "data.csv"
    with np.load(HERE / "als.npz") as loaded:
        arrays = dict(loaded)
    empty = [
        int(np.flatnonzero(~arrays[name].any(axis=1))[0])
        for name in ("user_factors", "item_factors")
    ]
    for name, row in zip(("user_factors", "item_factors"), empty, strict=True):
        arrays[name][row] = 1e-9
    options = ForeignOptions(rating="plays", rows_are_ids=True)
    opened = open_foreign(saved(tmp_path, **arrays), data, options)
    check = opened.foreign.loss.check(opened.foreign, opened.data)
    assert "rows out of place" in [m.name for m in check.measures if not m.passed]
    opened = open_foreign(
        saved(tmp_path, **arrays | {"use_native": np.array(False)}), data, options
    )
    assert opened.foreign.loss.check(opened.foreign, opened.data).passed
    pair = (int(opened.data.user_rows[0]), int(opened.data.indices[0]))
    forget_foreign(opened, [pair], tmp_path / "new.npz", method="local")
    with np.load(tmp_path / "new.npz") as new:
        assert not new["user_factors"][empty[0]].any()
        assert not new["item_factors"][empty[1]].any()
    usual = np.median(np.linalg.norm(arrays["item_factors"], axis=1))
    for name, row, value in (
        ("user_factors", int(opened.data.user_rows[0]), 0.0),
        ("item_factors", empty[1], 0.1 * usual),  # more than shrinking leaves of any start
    ):
        changed = {each: held.copy() for each, held in arrays.items()}
        changed[name][row] = value
        path = saved(tmp_path, **changed | {"use_native": np.array(False)})
        opened = open_foreign(path, data, options)
        failed = [
            m
            for m in opened.foreign.loss.check(opened.foreign, opened.data).measures
            if not m.passed
        ]
        assert (failed[-1].name, failed[-1].value) == ("rows out of place", 1.0)


def test_what_steps_without_the_extension_leave_is_no_vector(run: Run, tmp_path: Path) -> None:
    """A refit without a user shrinks her random start, and is not told to forget her again; one
    that still has her vector is, and forgetting makes it zero.
    """
    with np.load(HERE / "als.npz") as loaded:
        arrays = dict(loaded) | {"use_native": np.array(False)}
    table = pacsv.read_csv(HERE / "data.csv")
    pacsv.write_csv(table.filter(pc.not_equal(table["user_id"], 3)), tmp_path / "rest.csv")
    (tmp_path / "forget.csv").write_text("user_id\n3\n")
    on = f"--data {tmp_path}/rest.csv --rating plays --rows-are-ids"
    held = saved(tmp_path, **arrays)
    code, out, _ = run(f"verify {held} {on} --json")
    words = json.loads(out)
    assert (code, words["class"]) == (8, "D")
    assert "forget makes these zero" in words["sentence"]
    assert run(f"forget {held} {tmp_path}/forget.csv {on} --out {tmp_path}/new.npz -q")[0] == 0
    with np.load(tmp_path / "new.npz") as new:
        assert not new["user_factors"][3].any()
    arrays["user_factors"][3] = 1e-7
    refit = saved(tmp_path, **arrays)
    found = json.loads(run(f"verify {refit} {on} --json")[1])
    assert "still have a vector" not in found["sentence"]
    code, _, err = run(f"forget {refit} {tmp_path}/forget.csv {on} --out {tmp_path}/again.npz")
    assert code == 3
    assert "nothing to forget" in err
