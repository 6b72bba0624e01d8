"""Modules with a loss of their own, and state dicts through PyTorch's safe loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from conftest import toy_interactions  # noqa: E402

import alteraser as ae  # noqa: E402
from alteraser.adapters import Changed, ForeignOptions  # noqa: E402
from alteraser.adapters.torch import ADAPTER  # noqa: E402
from alteraser.autograd.own_loss import LossDescent, OwnLoss, forget  # noqa: E402
from alteraser.errors import InvalidInput, NotFound, NumericFailure  # noqa: E402

CHECKPOINT = Path(__file__).parents[1] / "adapters" / "fixtures" / "torch" / "checkpoint.pt"


class Pairs(torch.nn.Module):
    """Tables under names of its own, and a bias that stays."""

    def __init__(self, m: int = 13, n: int = 9) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.P = torch.nn.Embedding(m, 3, dtype=torch.float64)
        self.Q = torch.nn.Embedding(n, 3, dtype=torch.float64)
        self.bias = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

    def loss(self, u: Any, v: Any) -> Any:
        """BPR against every item, with a ridge."""
        P, Q = self.P.weight, self.Q.weight
        scores = P[u] @ Q.T + self.bias
        own = scores.gather(1, v[:, None])
        return torch.nn.functional.softplus(scores - own).mean(1).sum() + 0.2 * (
            P.square().sum() + Q.square().sum()
        )


def own(module: Any, u: Any, v: Any) -> Any:
    return module.loss(u, v)


def trained(data: Any) -> Any:
    module = Pairs()
    u, v = (torch.from_numpy(np.array(x, np.int64)) for x in (data.user_rows, data.indices))
    optimizer = torch.optim.LBFGS(
        module.parameters(), max_iter=2000, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def closure() -> Any:
        optimizer.zero_grad()
        loss = own(module, u, v)
        loss.backward()
        return loss

    optimizer.step(closure)
    module.bias.requires_grad_(False)
    return module


def test_what_forgetting_reaches_is_what_training_on_the_rest_reaches() -> None:
    data = toy_interactions(lonely=False)
    module = trained(data)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    pairs = data.to_table().slice(3, 4)
    done = forget(module, data, pairs, loss=own, users="P", items="Q", tolerance=1e-6)
    assert done.converged
    assert done.residual <= 1e-6
    assert done.work.training_floor < 1e-4
    assert done.work.objective_after < done.work.objective_before
    rest = data.remove(pairs).remaining
    fresh = trained(rest)
    mine, theirs = (m.P.weight @ m.Q.weight.T for m in (done.model, fresh))
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(mine, module.P.weight @ module.Q.weight.T, atol=1e-3)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    assert [p.requires_grad for p in done.model.parameters()] == [
        p.requires_grad for p in module.parameters()
    ]


def test_it_is_the_forgetting_of_every_kind() -> None:
    data = toy_interactions(lonely=False)
    module, pairs = trained(data), data.to_table().slice(3, 4)
    direct = forget(module, data, pairs, loss=own, users="P", items="Q", tolerance=1e-3)
    mine = OwnLoss(module, "P", "Q", loss=own)
    door = ae.forget(mine, pairs, data=data, method=LossDescent(1e-3))
    assert type(direct) is type(door) is ae.Erasure
    assert torch.equal(direct.model.P.weight, door.model.module.P.weight)
    assert (door.kind, door.forgotten, door.way.tolerance) == ("D", 4, 1e-3), (
        "a gradient is no distance"
    )
    assert f"is {door.residual:.2g} of the deletion's push" in door.sentence
    again = ae.forget(door.model, data.to_table().slice(9, 1), data=door.remaining)
    assert again.converged, "what comes out forgets again"
    with pytest.raises(InvalidInput, match="a Pairs learns no additions"):
        ae.forget(mine, pairs, data=data, grown=True)
    with pytest.raises(InvalidInput, match=r"gone down by Descent"):
        ae.forget(mine, pairs, data=data, method="local")


def test_a_user_erased_whole_is_a_zero_row() -> None:
    data = toy_interactions(lonely=False)
    done = forget(trained(data), data, [2], loss=own, users="P", items="Q", whole_users=True)
    assert not done.model.P.weight[2].any()
    assert done.model.P.weight[3].any()


def test_whole_items_are_those_pairs() -> None:
    data = toy_interactions(lonely=False)
    pairs = [
        (data.users.ids[u].as_py(), data.items.ids[2].as_py())
        for u in data.user_rows[data.indices == 2]
    ]
    module = trained(data)
    by_item = forget(
        module, data, [data.items.ids[2].as_py()], loss=own, users="P", items="Q", whole_items=True
    )
    by_pairs = forget(module, data, pairs, loss=own, users="P", items="Q")
    assert torch.equal(by_item.model.Q.weight, by_pairs.model.Q.weight)


def test_losses_that_cannot_be_used_are_named() -> None:
    data = toy_interactions(lonely=False)
    pair = data.to_table().slice(0, 1)
    with pytest.raises(InvalidInput, match=r"same interactions is .* fixed seed"):
        forget(
            Pairs(),
            data,
            pair,
            loss=lambda m, u, v: own(m, u, v) * torch.rand(()),
            users="P",
            items="Q",
        )
    with pytest.raises(NumericFailure, match="the loss is nan"):
        forget(
            Pairs(),
            data,
            pair,
            loss=lambda m, u, v: own(m, u, v) * float("nan"),
            users="P",
            items="Q",
        )
    with pytest.raises(InvalidInput, match="P has 5 rows, the data have 13"):
        forget(Pairs(5, 9), data, pair, loss=own, users="P", items="Q")
    with pytest.raises(InvalidInput, match="no embedding 'user_embedding'; it has P, Q"):
        forget(Pairs(), data, pair, loss=own)
    with pytest.raises(NotFound, match="nothing to forget"):
        forget(Pairs(), data, [(99, 99)], loss=own, users="P", items="Q")


def test_the_safe_loader_reads_what_was_written(tmp_path: Path) -> None:
    options = ForeignOptions(loss="weighted-mf", missing_weight=0.2, regularization=0.3)
    foreign = ADAPTER.read(CHECKPOINT, options)
    users = np.array(foreign.users)
    users[2] = 7
    ADAPTER.write(foreign, Changed(users=users, user_rows=np.array([2])), tmp_path / "out.pt")
    saved = torch.load(tmp_path / "out.pt", weights_only=True)
    np.testing.assert_array_equal(saved["model_state_dict"]["user_embedding.weight"].numpy(), users)
    np.testing.assert_array_equal(
        saved["model_state_dict"]["item_embedding.weight"].numpy(), foreign.items
    )
    assert not saved["optimizer_state_dict"]["state"][0]["exp_avg"][2].any()
    assert saved["optimizer_state_dict"]["state"][0]["exp_avg"][3].any()
    module = torch.nn.ModuleDict(
        {"user_embedding": torch.nn.Embedding(30, 3), "item_embedding": torch.nn.Embedding(20, 3)}
    )
    module.load_state_dict(saved["model_state_dict"])
    torch.optim.Adam(module.parameters()).load_state_dict(saved["optimizer_state_dict"])


def test_what_pytorch_saves_now_is_what_the_reader_expects(tmp_path: Path) -> None:
    tensors = {
        # a view: strides other than C order
        "user.weight": torch.randn(4, 2),
        "item.weight": torch.randn(2, 3).T,
    }
    torch.save(tensors, tmp_path / "m.pt")
    options = ForeignOptions(loss="weighted-mf", missing_weight=0.2, regularization=0.3)
    foreign = ADAPTER.read(tmp_path / "m.pt", options)
    np.testing.assert_array_equal(foreign.users, tensors["user.weight"].numpy())
    np.testing.assert_array_equal(foreign.items, tensors["item.weight"].numpy())
