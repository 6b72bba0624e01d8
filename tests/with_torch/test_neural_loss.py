"""The losses of neural recommenders: drawn reproducibly; rows, blocks and Φ are restrictions of one
whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from conftest import toy_interactions  # noqa: E402

from alteraser.data.interactions import Interactions  # noqa: E402
from alteraser.errors import InvalidInput  # noqa: E402
from alteraser.linalg.hashing import hashed  # noqa: E402
from alteraser.neural import KINDS, Loss, Network, SampledLoss  # noqa: E402
from alteraser.neural import draws as drawing  # noqa: E402
from alteraser.neural.alternation import parameters  # noqa: E402
from alteraser.neural.draws import Negatives  # noqa: E402
from alteraser.neural.loss import flattened, unflattened  # noqa: E402
from alteraser.neural.propagation import TorchPropagation  # noqa: E402

pytestmark = pytest.mark.torch

LOSS = Loss(negatives=3, draws=2, close_draws=5, regularization=0.3, phi_regularization=0.2, seed=4)
FREE = [kind for kind in KINDS if kind != "lightgcn"]


def module_for(kind: str, data: Interactions, seed: int = 0) -> Network:
    """A module in float64 whose scores are far from small."""
    module = KINDS[kind](*data.shape, 4, seed=seed).double()
    with torch.no_grad():
        module.user_embedding.mul_(6.0)
        module.item_embedding.mul_(6.0)
    return module


def own(data: Interactions, user: int) -> set[int]:
    return set(data.indices[data.indptr[user] : data.indptr[user + 1]].tolist())


# ---------------------------------------------------------------- draws


@given(seed=st.integers(0, 50), density=st.floats(0.1, 0.9), many=st.booleans())
def test_negatives_are_missing_cells_whichever_way_they_are_looked_up(
    seed: int, density: float, many: bool
) -> None:
    data = toy_interactions(9, 7, density, seed=seed, lonely=False)
    u, v = data.user_rows, data.indices.astype(np.int64)
    found = Negatives(data).draw(u, v, 20 if many else 2, seed=seed)
    for user, row in zip(u, found, strict=True):
        full = len(own(data, user)) == 7
        assert all(
            (item == -1) if full else (0 <= item < 7 and item not in own(data, user))
            for item in row
        )
    limit, drawing.BITMAP = drawing.BITMAP, 0
    try:
        assert np.array_equal(Negatives(data).draw(u, v, found.shape[1], seed=seed), found)
    finally:
        drawing.BITMAP = limit


def test_draws_do_not_depend_on_the_order_of_rows_nor_on_other_users() -> None:
    data = toy_interactions(12, 9, lonely=False)
    u, v = data.user_rows, data.indices.astype(np.int64)
    found = Negatives(data).draw(u, v, 4, seed=3)
    order = np.random.default_rng(0).permutation(u.size)
    assert np.array_equal(Negatives(data).draw(u[order], v[order], 4, seed=3), found[order])
    alone = data.keep(u == 5)
    assert np.array_equal(
        Negatives(alone).draw(alone.user_rows, alone.indices, 4, seed=3), found[u == 5]
    )
    twins = Interactions.from_pairs(
        [(user, item) for user in (0, 1) for item in range(10)] + [(2, j) for j in range(10, 40)]
    )
    both = Negatives(twins).draw(np.repeat([0, 1], 10), np.tile(np.arange(10), 2), 4, seed=3)
    assert not np.array_equal(both[:10], both[10:])  # each row has a seed of its own
    assert not np.array_equal(Negatives(data).draw(u, v, 4, seed=4), found)
    assert not np.array_equal(Negatives(data).draw(u, v, 4, seed=3, epoch=1), found)


def test_a_deletion_changes_only_draws_that_had_been_refused_for_it() -> None:
    data = toy_interactions(12, 40, 0.3, lonely=False)
    gone = np.zeros(len(data), bool)
    gone[data.indptr[3] : data.indptr[3] + 4] = True
    after = data.keep(~gone)
    before = Negatives(data).draw(data.user_rows, data.indices, 6, seed=1)[~gone]
    now = Negatives(after).draw(after.user_rows, after.indices, 6, seed=1)
    changed = now != before
    assert np.all(np.isin(now[changed], data.indices[gone]))
    assert np.all(after.user_rows[np.flatnonzero(changed.any(1))] == 3)


def test_hashes_are_even() -> None:
    counts = np.bincount((hashed(7, np.arange(20_000)) % np.uint64(10)).astype(int), minlength=10)
    assert np.all(np.abs(counts - 2000) < 6 * np.sqrt(2000))  # 6 standard deviations


# ---------------------------------------------------------------- the whole


def brute(module: Network, data: Interactions, loss: Loss, close: list[int]) -> float:
    """L, interaction by interaction."""
    P, Q, phi = parameters(module)
    total = loss.regularization * float((P**2).sum() + (Q**2).sum())
    total += loss.phi_regularization * sum(float((value**2).sum()) for value in phi.values())
    if module.layers:
        P, Q = TorchPropagation(data, module.layers, torch.float64)(P, Q)
    scores = (
        module(P, Q, torch.arange(data.shape[0])[:, None], torch.arange(data.shape[1])[None])
        .detach()
        .numpy()
    )
    negatives = Negatives(data)
    for user, item in zip(data.user_rows, data.indices, strict=True):
        near = user in close
        draws = loss.close_draws if near else loss.draws
        drawn = negatives.draw(np.array([user]), np.array([item]), draws, seed=loss.seed)[0]
        if module.pairwise:
            total += np.mean([np.logaddexp(0, scores[user, j] - scores[user, item]) for j in drawn])
            continue
        total += np.logaddexp(0, -scores[user, item])
        if near:
            missing = [j for j in range(data.shape[1]) if j not in own(data, user)]
            total += loss.negatives * np.mean([np.logaddexp(0, scores[user, j]) for j in missing])
        else:
            total += loss.negatives * np.mean([np.logaddexp(0, scores[user, j]) for j in drawn])
    return total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("close", [[], [2, 5]])
def test_the_loss_is_what_it_says(kind: str, close: list[int]) -> None:
    data = toy_interactions(10, 8)
    module = module_for(kind, data)
    whole = SampledLoss(module, data, LOSS, close=np.array(close, int))
    assert float(whole.total(*parameters(module))) == pytest.approx(
        brute(module, data, LOSS, close), rel=1e-6
    )


def full_gradient(whole: SampledLoss, module: Network) -> list[Any]:
    P, Q, phi = parameters(module)
    leaves = [x.requires_grad_() for x in (P, Q, *phi.values())]
    return list(
        torch.autograd.grad(whole.total(P, Q, dict(zip(phi, leaves[2:], strict=True))), leaves)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_whole_in_chunks_are_autograds(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = toy_interactions(10, 8)
    module = module_for(kind, data)
    whole = SampledLoss(module, data, LOSS, close=np.array([2, 5]))
    monkeypatch.setattr("alteraser.neural.loss.CELLS_AT_A_TIME", 7)
    found = whole.gradient(*parameters(module))
    for mine, oracle in zip(
        (found.users, found.items, *found.phi.values()), full_gradient(whole, module), strict=True
    ):
        assert torch.allclose(mine, oracle, rtol=1e-8, atol=1e-10)
    assert found.value == pytest.approx(float(whole.total(*parameters(module))))


def test_a_sample_of_the_others_is_nested_and_scaled() -> None:
    data = toy_interactions(40, 30, lonely=False)
    module = module_for("gmf", data)
    small, large = (
        SampledLoss(module, data, LOSS, close=np.array([1]), share=share) for share in (0.3, 0.7)
    )

    def pairs(loss: SampledLoss) -> set[tuple[int, int]]:
        chosen = (loss.sign > 0) & (loss.user != 1)
        return set(zip(loss.user[chosen].tolist(), loss.item[chosen].tolist(), strict=True))

    assert pairs(small) < pairs(large)
    others = int((data.user_rows != 1).sum())
    assert abs(len(pairs(small)) - 0.3 * others) < 5 * np.sqrt(0.21 * others)
    assert np.allclose(small.weight[(small.sign > 0) & (small.user != 1)], 1 / 0.3)
    assert (small.user == 1).sum() == data.shape[1]
    with pytest.raises(InvalidInput, match="share=2"):
        SampledLoss(module, data, LOSS, share=2.0)


# ---------------------------------------------------------------- rows, blocks, Φ


@pytest.mark.parametrize("kind", FREE)
@pytest.mark.parametrize("side", ["user", "item"])
def test_rows_have_the_gradient_and_the_curvature_of_the_whole(kind: str, side: Any) -> None:
    """Users 2 and 5 have all their cells and are solved as matrices, the others as lists of
    terms."""
    data = toy_interactions(10, 8)
    module = module_for(kind, data)
    whole = SampledLoss(module, data, LOSS, close=np.array([2, 5]))
    P, Q, phi = parameters(module)
    oracle = full_gradient(whole, module)[0 if side == "user" else 1]
    table = P if side == "user" else Q
    for rows in (np.array([2, 5]), np.array([1, 2, 4])):
        places = torch.from_numpy(rows)
        batch = whole.rows(side, P, Q, rows)
        losses, gradient = batch.gradient(table[places])
        again, same, product = batch.hessian(table[places])
        assert torch.allclose(gradient, oracle[places], rtol=1e-8, atol=1e-10)
        assert torch.equal(losses, again)
        assert torch.allclose(same, gradient)
        v = torch.randn(
            len(rows), 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
        )
        for i, row in enumerate(rows):

            def alone(x: Any, row: int = row) -> Any:
                moved = table.index_copy(0, torch.tensor([row]), x[None])
                return whole.total(*((moved, Q) if side == "user" else (P, moved)), phi)

            hessian = torch.autograd.functional.hessian(alone, table[row].clone())
            assert torch.allclose(product(v)[i], hessian @ v[i], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["user", "item"])
def test_blocks_have_the_gradient_and_the_curvature_of_the_whole(kind: str, side: Any) -> None:
    """For LightGCN this is the definition of a row's loss: everything that propagates moves
    along."""
    data = toy_interactions(10, 8)
    module = module_for(kind, data)
    whole = SampledLoss(module, data, LOSS, close=np.array([2]))
    P, Q, phi = parameters(module)
    table, rows = (P if side == "user" else Q), np.array([1, 2, 4])
    places = torch.from_numpy(rows)
    batch = whole.block(side, P, Q, phi, rows)
    x = table[places].reshape(1, -1)
    _, gradient, product = batch.hessian(x)
    oracle = full_gradient(whole, module)[0 if side == "user" else 1][places]
    assert torch.allclose(gradient.reshape(3, -1), oracle, rtol=1e-8, atol=1e-10)

    def restricted(x: Any) -> Any:
        moved = table.index_copy(0, places, x.reshape(3, -1))
        return whole.total(*((moved, Q) if side == "user" else (P, moved)), phi)

    hessian = torch.autograd.functional.hessian(restricted, x[0])
    v = torch.randn(1, x.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(product(v)[0], hessian @ v[0], rtol=1e-7, atol=1e-9)
    _, plain, positive = batch.gauss_newton(x)
    assert torch.allclose(plain, gradient)
    assert float((v * positive(v)).sum()) > 0


@pytest.mark.parametrize("kind", ["gmf", "mlp", "neumf"])
def test_phi_has_the_gradient_of_the_whole(kind: str) -> None:
    data = toy_interactions(10, 8)
    module = module_for(kind, data)
    whole = SampledLoss(module, data, LOSS)
    P, Q, phi = parameters(module)
    anchor = torch.arange(flattened(phi).numel(), dtype=torch.float64)
    _, gradient = whole.network(P, Q, phi, anchor=anchor).gradient(flattened(phi)[None])
    oracle = torch.cat([x.reshape(-1) for x in full_gradient(whole, module)[2:]])
    assert torch.allclose(gradient[0], oracle - anchor, rtol=1e-8, atol=1e-10)
    back = unflattened(flattened(phi), {name: value.shape for name, value in phi.items()})
    assert all(torch.equal(back[name], phi[name]) for name in phi)


def test_rows_under_propagation_are_refused() -> None:
    data = toy_interactions(10, 8)
    module = module_for("lightgcn", data)
    P, Q, _ = parameters(module)
    with pytest.raises(InvalidInput, match="solve them as a block"):
        SampledLoss(module, data, LOSS).rows("user", P, Q, np.array([1]))
    with pytest.raises(InvalidInput, match="without propagation it is BPRMF"):
        KINDS["lightgcn"](3, 3, 2, layers=0)


def test_propagation_is_the_formula() -> None:
    data = toy_interactions(10, 8)
    m, n = data.shape
    A = np.zeros((m + n, m + n))
    A[data.user_rows, m + data.indices] = A[m + data.indices, data.user_rows] = 1
    d = A.sum(1)
    hat = A / np.sqrt(np.outer(np.maximum(d, 1), np.maximum(d, 1)))
    E = np.random.default_rng(0).standard_normal((m + n, 3))
    expected = (E + hat @ E + hat @ hat @ E + hat @ hat @ hat @ E) / 4
    users, items = TorchPropagation(data, 3, torch.float64)(
        torch.from_numpy(E[:m]), torch.from_numpy(E[m:])
    )
    assert np.allclose(np.vstack([users, items]), expected)
    tables = [torch.from_numpy(part).requires_grad_() for part in (E[:m, :1], E[m:, :1])]
    spread = TorchPropagation(data, 2, torch.float64)
    assert torch.autograd.gradcheck(spread, tables)
    assert torch.autograd.gradgradcheck(lambda P, Q: [x**2 for x in spread(P, Q)], tables)


@pytest.mark.parametrize("kind", FREE)
def test_deleted_interactions_leave_their_rows_and_nobody_elses(kind: str) -> None:
    data = toy_interactions(10, 8)
    gone = np.zeros(len(data), bool)
    gone[data.indptr[4] : data.indptr[4] + 2] = True
    after = data.keep(~gone)
    module = module_for(kind, data)
    old, new = (SampledLoss(module, part, LOSS) for part in (data, after))
    P, Q, _ = parameters(module)
    others = np.array([1, 2, 3, 5, 6])
    places = torch.from_numpy(others)
    before, now = (loss.rows("user", P, Q, others).values(P[places]) for loss in (old, new))
    assert torch.equal(before, now)
    liked = {
        (int(u), int(v)) for u, v, s in zip(new.user, new.item, new.sign, strict=True) if s > 0
    }
    assert liked == set(zip(after.user_rows.tolist(), after.indices.tolist(), strict=True))


def test_data_of_another_shape_are_refused() -> None:
    data = toy_interactions(10, 8)
    with pytest.raises(InvalidInput, match="the module has 9 users and 8 items, the data 10 and 8"):
        SampledLoss(KINDS["gmf"](9, 8, 2), data, LOSS)
