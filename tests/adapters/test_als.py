"""ALS kinds: the losses against dense formulas, the check against wrong data, forgetting against
retraining."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from conftest import parted
from contract import FIXTURES

from alteraser.adapters import Foreign, ForeignErasing, ForeignOptions, als, find
from alteraser.adapters.als import ALS
from alteraser.adapters.data import read_interactions, sheet_of
from alteraser.adapters.idmaps import resolved
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError
from alteraser.models import Objective

HERE = FIXTURES / "implicit"
OPTIONS = ForeignOptions(rows_are_ids=True, rating="plays")


def opened(name: str, options: ForeignOptions = OPTIONS) -> tuple[Foreign, Interactions]:
    path = HERE / f"{name}.npz"
    foreign = resolved(find(path).read(path, options), options)
    return foreign, read_interactions(sheet_of(HERE / "data.csv", options), foreign.maps, options)


def dense(data: Interactions, loss: ALS) -> tuple[np.ndarray, np.ndarray]:
    """(weights, targets) of every cell, written out."""
    o = loss.objective
    W, Y = np.full(data.shape, o.missing_weight), np.zeros(data.shape)
    r = np.ones(len(data)) if data.target is None else data.target
    cells = data.user_rows, data.indices
    W[cells] = 1.0 if loss.alpha is None else loss.intercept + loss.alpha * np.abs(r)
    Y[cells] = r if loss.alpha is None else (r > 0)
    return W, Y


def gradients(
    W: np.ndarray, Y: np.ndarray, lam: float, P: np.ndarray, Q: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    E = W * (P @ Q.T - Y)
    return 2 * (E @ Q + lam * P), 2 * (E.T @ P + lam * Q)


def brute_loss(W: np.ndarray, Y: np.ndarray, lam: float, P: np.ndarray, Q: np.ndarray) -> float:
    return float((W * (P @ Q.T - Y) ** 2).sum() + lam * ((P**2).sum() + (Q**2).sum()))


def half_step(W: np.ndarray, Y: np.ndarray, Z: np.ndarray) -> np.ndarray:
    return np.array(
        [
            np.linalg.solve((Z.T * w) @ Z + 0.5 * np.eye(6), Z.T @ (w * y))
            for w, y in zip(W, Y, strict=True)
        ]
    )


LOSSES = {
    "implicit": ALS(Objective(missing_weight=1.0, regularization=0.5), 2.0),
    "shifted": ALS(Objective(missing_weight=1.0, regularization=0.5), 2.0, 1.0),
    "explicit": ALS(Objective(missing_weight=0.0, regularization=0.5)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_c_and_y_follow_from_r_as_written_out(name: str) -> None:
    loss = LOSSES[name]
    _, data = opened("als_double")
    r = np.array(data.target)
    r[::5] *= -1  # a thumb down: y = 0 with its confidence
    r[3] = 0.0  # an entry without weight
    data = replace(data, target=r)
    rng = np.random.default_rng(0)
    P, Q = rng.standard_normal((40, 6)), rng.standard_normal((25, 6))
    W, Y = dense(data, loss)
    from alteraser.models import Factors
    from alteraser.solvers.stationarity import evaluate

    found = evaluate(loss.problem(data, np.float64), Factors(P, Q, np.ones(6)))
    gu, gv = gradients(W, Y, 0.5, P, Q)
    np.testing.assert_allclose(found.user_gradient, gu, atol=1e-10)
    np.testing.assert_allclose(found.item_gradient, gv, atol=1e-10)
    assert found.objective == pytest.approx(brute_loss(W, Y, 0.5, P, Q))


# ------------------------------------------------------------------ the check


@pytest.mark.parametrize("name", ["als", "als_cholesky", "als_double"])
def test_the_check_knows_the_data_from_other_data(name: str) -> None:
    foreign, data = opened(name)
    assert foreign.loss.check(foreign, data).passed
    without = opened(name, ForeignOptions(rows_are_ids=True))[1]
    found = foreign.loss.check(foreign, without)
    assert not found.passed
    assert "--rating" in found.hint
    rng = np.random.default_rng(1)
    users = rng.permutation(40)
    table = pa.table(
        {"user_id": users[data.user_rows], "item_id": data.indices, "confidence": data.target}
    )
    mixed = Interactions.from_table(table, users=data.users, items=data.items)
    assert not foreign.loss.check(
        foreign, replace(mixed, target=mixed.confidence, confidence=None)
    ).passed


@pytest.mark.parametrize("name", ["als_cholesky", "als_double"])
def test_a_single_missing_interaction_is_found_with_its_row(name: str) -> None:
    foreign, data = opened(name)
    keep = np.ones(len(data), bool)
    keep[100] = False
    found = foreign.loss.check(foreign, data.keep(keep))
    assert not found.passed
    assert (found.worst[0].side, found.worst[0].row) == ("item", data.indices[100])
    assert "Most rows fit" in found.hint
    message = (
        rf"als.*\.npz does not fit these data.* expected at most .*item {data.indices[100]} \("
    )
    with pytest.raises(IntegrityError, match=message):
        found.require(foreign.path)


def test_a_wrong_alpha_or_regularization_is_found() -> None:
    foreign, data = opened("als_cholesky")
    assert isinstance(foreign.loss, ALS)
    wrong = replace(foreign.loss, alpha=2.2)
    assert not wrong.check(foreign, data).passed
    wrong = replace(foreign.loss, objective=Objective(missing_weight=1.0, regularization=0.6))
    assert not wrong.check(foreign, data).passed
    other = replace(foreign.loss, exact="user", leaves=1e-6)
    assert not other.check(foreign, data).passed  # the users were solved before the items moved


def test_the_residual_of_a_row_is_the_formula() -> None:
    from alteraser.solvers.residuals import row_residuals

    loss = LOSSES["implicit"]
    _, data = opened("als_double")
    rng = np.random.default_rng(0)
    P, Q = rng.standard_normal((40, 6)), rng.standard_normal((25, 6))
    W, Y = dense(data, loss)
    found = row_residuals(loss.problem(data, np.float64).items, P, Q)
    for item in range(25):
        A = (P.T * W[:, item]) @ P + 0.5 * np.eye(6)
        Ax, b = A @ Q[item], P.T @ (W[:, item] * Y[:, item])
        assert found[item] == pytest.approx(
            np.linalg.norm(Ax - b) / (np.linalg.norm(Ax) + np.linalg.norm(b))
        )


# ------------------------------------------------------------------ forgetting


def half_forgotten(data: Interactions) -> tuple[Interactions, Interactions]:
    gone = (np.isin(data.user_rows, [3, 7, 21]) & (np.arange(len(data)) % 2 == 0)) | (
        data.user_rows == 5
    )
    return data.keep(~gone), data.keep(gone)


@pytest.mark.parametrize("in_place", [False, True], ids=["accelerated", "in place"])
def test_what_comes_out_minimizes_the_loss_of_what_remains(
    in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_place:
        monkeypatch.setattr(als, "IN_PLACE", 0)
    foreign, data = opened("als_double")
    assert isinstance(foreign.loss, ALS)
    remaining, removed = half_forgotten(data)
    erased = foreign.loss.forget(
        ForeignErasing(foreign, parted(data, remaining, removed), tolerance=1e-7, max_passes=5000)
    )
    assert erased.converged
    W, Y = dense(remaining, foreign.loss)
    gu, gv = gradients(W, Y, 0.5, erased.users, erased.items)
    before = np.concatenate(gradients(W, Y, 0.5, foreign.users, foreign.items))
    assert np.linalg.norm(np.concatenate([gu, gv])) < 1e-5 * np.linalg.norm(before)
    assert np.linalg.norm(gv) < 1e-10  # the side that implicit leaves exact
    assert erased.objective_after == pytest.approx(
        brute_loss(W, Y, 0.5, erased.users, erased.items)
    )
    assert erased.objective_before == pytest.approx(
        brute_loss(W, Y, 0.5, foreign.users, foreign.items)
    )
    assert not np.any(erased.users[5])
    # the same scores as alternating from the very same start, in NumPy
    P, Q = np.array(foreign.users), np.array(foreign.items)
    for _ in range(3000):
        P = half_step(W, Y, Q)
        Q = half_step(W.T, Y.T, P)
        gu, gv = gradients(W, Y, 0.5, P, Q)
        if np.linalg.norm(gu) < 1e-7:
            break
    np.testing.assert_allclose(erased.users @ erased.items.T, P @ Q.T, atol=1e-4)


@pytest.mark.parametrize("name", ["als", "als_cholesky"])
def test_both_ways_to_forget_agree_on_scale_and_loss(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign, data = opened(name)
    remaining, removed = half_forgotten(data)
    task = ForeignErasing(foreign, parted(data, remaining, removed), tolerance=1e-3)
    one = foreign.loss.forget(task)
    monkeypatch.setattr(als, "IN_PLACE", 0)
    other = foreign.loss.forget(task)
    assert other.push == pytest.approx(one.push, rel=1e-4)
    assert other.training_floor == pytest.approx(one.training_floor, rel=1e-2)
    assert other.objective_before == pytest.approx(one.objective_before, rel=1e-6)
    assert other.objective_after == pytest.approx(one.objective_after, rel=1e-4)
    assert one.converged
    assert other.converged
    assert (one.users.dtype, other.users.dtype) == (np.float32, np.float32)
    again = replace(foreign, users=one.users, items=one.items)
    # the result passes the check of its own kind
    assert foreign.loss.check(again, remaining).passed
    assert not foreign.loss.check(again, data).passed


def test_the_fixture_is_what_the_test_says() -> None:
    table = pacsv.read_csv(HERE / "data.csv")
    assert table.num_rows == 261
    assert set(table["user_id"].to_pylist()) == set(range(1, 40))
