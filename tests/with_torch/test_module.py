"""Forgetting in a module of one's own."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from conftest import toy_interactions  # noqa: E402

from alteraser.autograd.module import forget_module  # noqa: E402
from alteraser.data.interactions import Interactions  # noqa: E402
from alteraser.erasers import AltEraser  # noqa: E402
from alteraser.errors import InvalidInput, NotFound  # noqa: E402
from alteraser.models import Objective  # noqa: E402

pytestmark = pytest.mark.torch

OBJECTIVE = Objective(missing_weight=0.3, regularization=0.05)


class Perceptron(torch.nn.Module):
    """The MLP form of neural collaborative filtering, small."""

    def __init__(self, m: int, n: int, d: int = 3) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.user_embedding, self.item_embedding = (
            torch.nn.Embedding(m, d),
            torch.nn.Embedding(n, d),
        )
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(2 * d, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
        )
        self.layers[0].weight.requires_grad_(False)
        self.double()


def score(module: torch.nn.Module, p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    p, q = torch.broadcast_tensors(p, q)
    return module.layers(torch.cat([p, q], -1))[..., 0]


def loss(module: torch.nn.Module, data: Interactions) -> float:
    """The whole loss, cell by cell, written out."""
    P, Q = module.user_embedding.weight.detach(), module.item_embedding.weight.detach()
    s = score(module, P[:, None], Q[None]).detach().numpy()
    y = np.zeros(s.shape)
    y[data.user_rows, data.indices] = 1
    cells = np.where(y == 1, np.logaddexp(0, -s), 0.3 * np.logaddexp(0, s))
    return float(cells.sum() + 0.05 * (P.numpy() ** 2).sum() + 0.05 * (Q.numpy() ** 2).sum())


def test_embeddings_move_to_a_lower_loss_on_the_remaining_data_and_nothing_else_moves() -> None:
    data = toy_interactions(12, 9)
    module = Perceptron(*data.shape)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    pairs = [
        (
            int(data.users.ids[data.user_rows[k]].as_py()),
            int(data.items.ids[data.indices[k]].as_py()),
        )
        for k in (1, 5)
    ]
    remaining = data.remove(pairs).remaining
    erasure = forget_module(module, pairs, data=data, objective=OBJECTIVE, score=score)
    found, work = erasure.model, erasure.work
    assert loss(found, remaining) == pytest.approx(work.objective_after, rel=1e-9)
    assert loss(module, remaining) == pytest.approx(work.objective_before, rel=1e-9)
    assert work.objective_after < work.objective_before
    assert (erasure.forgotten, erasure.kind) == (2, "D"), "a gradient is no distance"
    assert f"{erasure.residual:.2g} of the deletion's push" in erasure.sentence
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
        if "embedding" not in name:
            assert torch.equal(found.state_dict()[name], value)
    assert [p.requires_grad for p in found.parameters()] == [
        p.requires_grad for p in module.parameters()
    ]


def test_what_does_not_fit_is_said() -> None:
    data = toy_interactions(12, 9)
    good = {"data": data, "objective": OBJECTIVE, "score": score}
    with pytest.raises(InvalidInput, match="it has user_embedding, item_embedding"):
        forget_module(Perceptron(12, 9), [(1, 1)], **good, users="people")
    with pytest.raises(InvalidInput, match="has 13 rows, the data have 12"):
        forget_module(Perceptron(13, 9), [(1, 1)], **good)
    with pytest.raises(NotFound, match="nothing to forget"):
        forget_module(Perceptron(12, 9), [(0, 0)], **good, method=AltEraser(max_passes=1))
