"""EASE by other routes: the packed triangle, steps in place, the warm state, the denoising form,
and what fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import toy_interactions
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from alteraser.data.interactions import Interactions
from alteraser.engines.session import ExactSession
from alteraser.errors import ResourceLimit
from alteraser.evidence.certificate.exact import certify, drawn
from alteraser.models.ease import cost, ease, inverse, packed
from alteraser.models.ease.ease import EASE, LARGEST
from alteraser.models.neighbors import item_knn
from alteraser.models.neighbors.item_knn import ItemKNN
from alteraser.runtime import memory

TOLERANCE = {"float64": 1e-11, "float32": 2e-3}


def triangle(whole: Any) -> Any:
    from scipy.linalg import lapack

    half, _ = (lapack.strttf if whole.dtype == np.float32 else lapack.dtrttf)(
        whole, transr="N", uplo="L"
    )
    return half


def definite(n: int, rng: Any, dtype: Any) -> Any:
    x = rng.standard_normal((n, n + 3))
    return (x @ x.T / n + np.eye(n)).astype(dtype)


def sparse(shape: tuple[int, int], density: float, rng: Any) -> Any:
    return csr_array(np.where(rng.random(shape) < density, rng.standard_normal(shape), 0.0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 67, 130, 1060, 1061])
def test_products_on_the_triangle_are_those_of_the_whole(n: int, dtype: Any) -> None:
    """One vector, and sparse rows through what is laid out, from where the triangle lies; some
    items in no row, entries of a row in any order, more items than are laid out at a time.
    """
    rng = np.random.default_rng(n)
    whole = definite(n, rng, dtype)
    half = triangle(whole)
    close: dict[str, Any] = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    vector = rng.standard_normal(n)
    np.testing.assert_allclose(inverse.times_one(half, vector), whole @ vector, **close)
    for k, density in ((0, 0.3), (1, 1.0), (7, 0.3), (70, 0.02)):
        rows = sparse((k, n), density, rng)
        mixed = csr_array((rows.data.copy(), rows.indices.copy(), rows.indptr), shape=rows.shape)
        for start, end in zip(rows.indptr[:-1], rows.indptr[1:], strict=True):
            order = start + rng.permutation(end - start)
            mixed.indices[start:end], mixed.data[start:end] = rows.indices[order], rows.data[order]
        for taken in (rows, mixed):
            lines = inverse.SparseRows.of(taken, dtype)
            for threads in (1, 2):
                w = inverse.product(half, n, lines, threads)
                np.testing.assert_allclose(w, rows @ whole, **close)
            np.testing.assert_allclose(inverse.inner_products(lines, w), rows @ w.T, **close)


@settings(max_examples=60)
@given(
    n=st.integers(1, 40),
    gone=st.integers(0, 9),
    come=st.integers(0, 9),
    seed=st.integers(0, 9999),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_a_step_in_place_is_the_inverse_of_what_changed(
    n: int, gone: int, come: int, seed: int, dtype: Any
) -> None:
    """Rows one by one and together, in several slabs."""
    rng = np.random.default_rng(seed)
    old, new = sparse((gone, n), 0.4, rng), sparse((come, n), 0.4, rng)
    rest = definite(n, rng, np.float64)
    before = rest + (old.T @ old).toarray()
    half = triangle(np.linalg.inv(before).astype(dtype))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "slab", lambda *_: 3)
        done = inverse.change(half, n, old, new)
    wanted = np.linalg.inv(rest + (new.T @ new).toarray())
    if done:
        found = packed.columns(half, n, np.arange(n))
        np.testing.assert_allclose(
            found, wanted, rtol=0, atol=TOLERANCE[dtype] * np.abs(wanted).max() * 10
        )
    else:
        assert (
            np.linalg.eigvalsh(
                np.eye(gone) - old @ np.linalg.inv(before + (new.T @ new).toarray()) @ old.T
            )[0]
            < 0.1
        )


@pytest.mark.parametrize("k", [1, 9])
def test_a_step_near_singular_is_refused(k: int) -> None:
    """What remains is 1e-6 of what there was in k directions: M has an eigenvalue of that size."""
    rng = np.random.default_rng(k)
    rows = csr_array(np.linalg.qr(rng.standard_normal((12, 12)))[0][:k])
    half = triangle(np.linalg.inv(1e-6 * np.eye(12) + (rows.T @ rows).toarray()))
    assert not inverse.change(half, 12, rows, rows[:0])


# ---------------------------------------------------------------- the warm state

KINDS = [
    EASE(regularization=3.0),
    EASE(regularization=3.0, dropout=0.4),
    EASE(regularization=8.0, dtype="float32"),
]


def held(kind: EASE, data: Interactions) -> Any:
    return kind.held(kind.state(data), data)


def rows_of(data: Interactions, users: Any) -> Any:
    return inverse.cells(data)[np.asarray(users)]


def close(kind: EASE, state: Any, data: Interactions, factor: float = 1.0) -> None:
    wanted = kind.state(data)
    np.testing.assert_array_equal(state["counts"], wanted["counts"])
    one, other = kind.matrix(state), kind.matrix(wanted)
    assert np.abs(one - other).max() <= factor * TOLERANCE[kind.dtype] * np.abs(other).max()
    assert np.all((one == 0) >= (other == 0))


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 9999),
    weighted=st.booleans(),
    batch=st.sampled_from([1, 3, 9]),
    cells=st.booleans(),
)
def test_request_after_request_is_a_fit_of_the_rest(
    kind: EASE, seed: int, weighted: bool, batch: int, cells: bool
) -> None:
    """Whole people and single interactions, in batches; then everything back, which is the first
    model again."""
    data = first = toy_interactions(40, 17, 0.3, seed=seed, weighted=weighted, lonely=False)
    warm, rng = held(kind, data), np.random.default_rng(seed)
    for start in range(0, 18, batch):
        users = np.arange(start, min(start + batch, 18))
        gone = np.isin(data.user_rows, users) & (rng.random(len(data)) < (0.4 if cells else 2.0))
        rest = data.keep(~gone)
        warm.change(rows_of(data, users), rows_of(rest, users), lambda rest=rest: rest)
        data = rest
    close(kind, warm.state, data)
    everybody = np.arange(40)
    warm.change(rows_of(data, everybody), rows_of(first, everybody), lambda: first)
    close(kind, warm.state, first)


def test_everybody_goes() -> None:
    """One by one, to the last; P is then I/λ, exactly."""
    data = toy_interactions(9, 6, 0.5, lonely=False)
    kind = EASE(regularization=2.0)
    warm = held(kind, data)
    for user in range(9):
        rest = data.keep(data.user_rows > user)
        warm.change(rows_of(data, [user]), rows_of(rest, [user])[:0], lambda rest=rest: rest)
    np.testing.assert_array_equal(
        packed.columns(warm.state["inverse"], 6, np.arange(6)), np.eye(6) / 2.0
    )
    assert not warm.state["counts"].any()


def test_drift_is_seen_and_made_good() -> None:
    """A triangle that something spoiled is found at the next request, and made anew of what
    remains."""
    data = toy_interactions(60, 20, 0.3, lonely=False)
    kind = EASE(regularization=2.0)
    warm = held(kind, data)
    assert warm.drift < 1e-12
    warm.state["inverse"][7] += 1e-6
    rest = data.keep(data.user_rows != 0)
    warm.change(rows_of(data, [0]), rows_of(rest, [0]), lambda: rest)
    assert warm.refreshes == 1
    assert warm.drift < 1e-12
    assert kind.told(warm.state) == {"drift": warm.drift, "rows_since_made": 0}
    close(kind, warm.state, rest)


def test_rows_since_made_add_up() -> None:
    data = toy_interactions(60, 20, 0.3, lonely=False)
    kind = EASE(regularization=2.0)
    warm = held(kind, data)
    for user in range(3):
        rest = data.keep(data.user_rows != user)
        warm.change(rows_of(data, [user]), rows_of(rest, [user])[:0], lambda rest=rest: rest)
        data = rest
    assert kind.told(warm.state)["rows_since_made"] == 3


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("lost", [False, True])
def test_a_warm_session_changes_the_inverse_at_once(
    kind: EASE, lost: bool, monkeypatch: Any
) -> None:
    """People, single interactions, undo; where a step would lose digits, all at once when it is
    published."""
    data = toy_interactions(60, 20, 0.3, lonely=False)
    session = ExactSession(kind.fit(data), data)
    if lost:
        monkeypatch.setattr(inverse, "change", lambda *_: False)
    session.forget([3, 7], whole_users=True)
    pairs = data.to_table().to_pylist()[:5]
    undone = session.forget([(row["user_id"], row["item_id"]) for row in pairs])
    session.undo(undone)
    monkeypatch.undo()
    rest = data.keep(~np.isin(data.user_rows, [3, 7]))
    published = session.publish()
    close(kind, published.state, rest)
    assert session._live is None or not lost
    session.forget(list(range(10, 50)), whole_users=True)
    close(kind, session.publish().state, rest.keep((rest.user_rows < 10) | (rest.user_rows >= 50)))


# ---------------------------------------------------------------- the denoising form


def test_dropout_is_least_squares_of_noisy_histories() -> None:
    """Its B is where the expected error over all ways to leave entries out has no slope, but for
    the diagonal."""
    data = toy_interactions(6, 4, 0.6, lonely=False)
    kind = EASE(regularization=0.9, dropout=0.25)
    weights = kind.matrix(kind.state(data))
    x = np.zeros(data.shape)
    x[data.user_rows, data.indices] = 1.0
    slope = 0.9 * weights
    for row in x:
        for left in range(2**4):
            mask = np.array([left >> bit & 1 for bit in range(4)], float)
            noisy = row * mask / 0.75
            slope += np.prod(np.where(mask, 0.75, 0.25)) * np.outer(noisy, noisy @ weights - row)
    np.testing.assert_allclose(slope[~np.eye(4, dtype=bool)], 0.0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_diagonal_left_standing_is_found(kind: EASE) -> None:
    """A mutant: the counts follow the deletion, the inverse is the old one."""
    data = toy_interactions(30, 12, 0.4, lonely=False)
    rest = data.keep(np.arange(len(data)) != 5)
    state, wanted = kind.state(data), kind.state(rest)
    assert not certify(kind, state | {"counts": wanted["counts"]}, rest).passed
    assert certify(kind, wanted, rest).passed
    other = kind.model_copy(update={"dropout": kind.dropout + 0.01})
    assert not certify(other, wanted, rest).passed


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("regularization", [1.0, 30.0, 3000.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_one_interaction_is_above_the_limit(
    weighted: bool, regularization: float, dtype: Any
) -> None:
    """In either precision, with little and with much regularization; what is true is far below
    it."""
    data = toy_interactions(20, 8, 0.4, lonely=False, weighted=weighted)
    kind = EASE(regularization=regularization, dtype=dtype)
    state = kind.state(data)
    for place in range(len(data)):
        rest = data.keep(np.arange(len(data)) != place)
        assert kind.apart(state | {"counts": rest.item_counts}, rest) > 2 * kind.limit(rest)
        assert kind.apart(kind.state(rest), rest) < kind.limit(rest) / 2


# ---------------------------------------------------------------- what fits


def test_what_does_not_fit_is_refused_before_any_work(monkeypatch: Any) -> None:
    monkeypatch.setattr(ease.memory, "available", lambda: 8_000_000_000)
    monkeypatch.setattr(np, "empty", lambda *_, **__: pytest.fail("work was begun"))
    EASE(dtype="float32").check_memory(40_000)
    with pytest.raises(
        ResourceLimit,
        match=r"45,000 items .*8\.9 GB in float64, and 8\.0 GB are free. --dtype float32 "
        r"takes 4\.5 GB, which fits. The 42,\d+ most frequent items would fit",
    ):
        EASE().check_memory(45_000)
    monkeypatch.setattr(ease.memory, "available", lambda: None)
    with pytest.raises(
        ResourceLimit, match=f"{LARGEST:,} most frequent items would fit; {LARGEST:,} is the most"
    ):
        EASE().check_memory(LARGEST + 1)
    assert ResourceLimit.exit_code == 7


def test_memory_that_is_left_is_found(tmp_path: Any, monkeypatch: Any) -> None:
    assert 0 < (memory.available() or 0) < 1 << 50
    for name, value in (
        ("max", "5000"),
        ("current", "3000"),
        ("stat", "anon 10\ninactive_file 700\n"),
    ):
        (tmp_path / f"memory.{name}").write_text(value)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available() == 2700
    (tmp_path / "memory.max").write_text("max\n")
    assert (memory.available() or 0) > 2700


def test_costs_grow_with_the_work_and_the_cheaper_way_is_taken() -> None:
    assert (
        cost.update(3000, 1, 100)
        < cost.update(3000, 300, 30_000)
        < cost.update(3000, 3000, 300_000)
    )
    assert cost.update(3000, 300, 30_000) < cost.anew(3000, 1e8) < cost.update(3000, 6000, 600_000)


# ---------------------------------------------------------------- a sample of what is large


@pytest.mark.parametrize(
    "kind", [*KINDS, ItemKNN(neighbors=3), ItemKNN(similarity="tfidf", neighbors=3)], ids=str
)
def test_of_large_ones_a_sample_is_looked_at_and_that_is_said(kind: Any, monkeypatch: Any) -> None:
    data = toy_interactions(60, 30, 0.3, lonely=False)
    state, where = kind.state(data), (ease if isinstance(kind, EASE) else item_knn)
    everything = kind.apart(state, data)
    assert kind.apart_in(state, data, np.arange(30)) <= max(everything, kind.limit(data))
    monkeypatch.setattr(where, "LARGE", 29)
    monkeypatch.setattr(where, "SAMPLE", 12)
    found = certify(kind, state, data, "sha256:a")
    assert found.passed
    assert "12 of 30 items, which the digests of the model and the data draw" in found.sentence
    assert (
        "a fault in one of a hundred would be missed with a chance of 9e-01"
        in found.checks[0].meaning
    )
    rest = data.keep(data.user_rows != 4)
    assert not certify(kind, state, rest, "sha256:a").passed


def test_the_sample_is_the_digests() -> None:
    data = toy_interactions(60, 30, 0.3, lonely=False)
    one = drawn(12, 30, "a", data)
    np.testing.assert_array_equal(one, drawn(12, 30, "a", data))
    assert np.unique(one).size == 12
    assert not np.array_equal(one, drawn(12, 30, "b", data))
    assert not np.array_equal(one, drawn(12, 30, "a", data.keep(data.user_rows != 4)))


def test_one_spoiled_entry_outside_the_sample_is_seen_by_the_random_vector() -> None:
    data = toy_interactions(60, 30, 0.3, lonely=False)
    kind = EASE(regularization=3.0)
    state = kind.state(data)
    rows = np.arange(5)
    spoiled = state["inverse"].copy()
    whole = packed.columns(spoiled, 30, np.arange(30))
    whole[20, 25] = whole[25, 20] = whole[20, 25] + 1e-4
    assert kind.apart_in(state | {"inverse": triangle(whole)}, data, rows) > kind.limit(data)
