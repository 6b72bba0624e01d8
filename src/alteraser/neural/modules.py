"""The recommenders: user and item embeddings, and what makes a score of two of them.

A score is s_uv = join(left(p_u), right(q_v)): what one side can do by itself is done once per row,
only the rest is done per cell. The tables are ``user_embedding`` (m, d) and ``item_embedding`` (n,
d); every other parameter is Φ.

- ``GMF``     s = h·(p∘q)                                              (X. He et al., WWW 2017,
  §3.2)
- ``MLP``     s = h·φ_L(… φ_2(W_p p + W_q q + b) …), φ = ReLU            (§3.3)
- ``NeuMF``   s = h·[p_G∘q_G ; φ_L(… p_M, q_M …)]; a row holds both parts  (§3.4)
- ``BPRMF``   s = p·q, trained by comparing pairs                      (Rendle et al., UAI 2009)
- ``LightGCN`` s = e_u·e_v of propagated embeddings                     (X. He et al., SIGIR 2020)
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from alteraser.errors import InvalidInput

TABLES = ("user_embedding", "item_embedding")


class Network(nn.Module):  # type: ignore[misc]
    """Base of the five: two tables, ``left``, ``right`` and ``join``; logits, not probabilities."""

    kind: ClassVar[str]
    pairwise: ClassVar[bool] = False
    """True: trained by comparing an item with a negative one; False: by the logistic loss of single
    cells."""
    layers: int = 0
    """Propagation layers; 0: embeddings are used as they are."""

    def __init__(self, users: int, items: int, factors: int, *, seed: int = 0, **more: Any) -> None:
        super().__init__()
        if users < 1 or items < 1 or factors < 1:
            raise InvalidInput(
                f"{type(self).__name__}({users}, {items}, {factors}): expected numbers of at "
                "least 1"
            )
        self.configuration: dict[str, Any] = {
            "users": users,
            "items": items,
            "factors": factors,
            **more,
        }
        generator = torch.Generator().manual_seed(seed)
        scale = 1.0 / (10.0 * factors) ** 0.5
        self.user_embedding = nn.Parameter(scale * torch.randn(users, factors, generator=generator))
        self.item_embedding = nn.Parameter(scale * torch.randn(items, factors, generator=generator))
        self._build(generator)

    def _build(self, generator: torch.Generator) -> None:
        """Make Φ."""

    def phi(self) -> dict[str, Tensor]:
        """Φ by name: every parameter that is no embedding."""
        return {name: value for name, value in self.named_parameters() if name not in TABLES}

    def left(self, p: Tensor) -> Tensor:
        """What a user's embedding (…, d) contributes on its own."""
        return p

    def right(self, q: Tensor) -> Tensor:
        """What an item's embedding (…, d) contributes on its own."""
        return q

    def join(self, a: Tensor, b: Tensor) -> Tensor:
        """Scores (…) of ``left`` and ``right`` parts, which broadcast."""
        return (a * b).sum(-1)

    def pairs(self, a: Tensor, b: Tensor) -> Tensor:
        """Scores (A, B) of every ``left`` part (A, ·) with every ``right`` part (B, ·)."""
        return a @ b.T

    def forward(self, P: Tensor, Q: Tensor, users: Tensor, items: Tensor) -> Tensor:
        """Scores of the cells (users, items), row numbers that broadcast, of the tables P and Q
        (propagated ones, for LightGCN).
        """
        return self.join(self.left(P)[users], self.right(Q)[items])


def _weight(rows: int, columns: int, generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(
        torch.randn(rows, columns, generator=generator) * (2.0 / (rows + columns)) ** 0.5
    )


class GMF(Network):
    """Generalized matrix factorization: s = h·(p∘q)."""

    kind = "gmf"

    def _build(self, generator: torch.Generator) -> None:
        self.h = nn.Parameter(torch.ones(self.configuration["factors"]))

    def left(self, p: Tensor) -> Tensor:
        """p∘h."""
        return p * self.h


class _Tower(nn.Module):  # type: ignore[misc]
    """Two embeddings through ReLU layers of halving width to a vector."""

    def __init__(self, factors: int, generator: torch.Generator) -> None:
        super().__init__()
        half = max(factors // 2, 1)
        self.user, self.item = (
            _weight(factors, factors, generator),
            _weight(factors, factors, generator),
        )
        self.bias = nn.Parameter(torch.zeros(factors))
        self.second, self.second_bias = (
            _weight(factors, half, generator),
            nn.Parameter(torch.zeros(half)),
        )
        self.width = half

    def forward(self, mixed: Tensor) -> Tensor:
        return functional.relu(functional.relu(mixed) @ self.second + self.second_bias)


class MLP(Network):
    """Multi-layer perceptron on both embeddings: layers 2d → d → d/2 → 1."""

    kind = "mlp"

    def _build(self, generator: torch.Generator) -> None:
        self.tower = _Tower(self.configuration["factors"], generator)
        self.h = _weight(self.tower.width, 1, generator)

    def left(self, p: Tensor) -> Tensor:
        """W_p p + b."""
        return p @ self.tower.user + self.tower.bias

    def right(self, q: Tensor) -> Tensor:
        """W_q q."""
        return q @ self.tower.item

    def join(self, a: Tensor, b: Tensor) -> Tensor:
        """h·φ(a + b)."""
        return (self.tower(a + b) @ self.h)[..., 0]

    def pairs(self, a: Tensor, b: Tensor) -> Tensor:
        """See ``Network.pairs``."""
        return self.join(a[:, None, :], b[None, :, :])


class NeuMF(Network):
    """Both at once: half of a row's d entries are GMF's, half the perceptron's (d is rounded up to
    even).
    """

    kind = "neumf"

    def __init__(self, users: int, items: int, factors: int, *, seed: int = 0) -> None:
        super().__init__(users, items, factors + factors % 2, seed=seed)

    def _build(self, generator: torch.Generator) -> None:
        self.half = self.configuration["factors"] // 2
        self.tower = _Tower(self.half, generator)
        self.h = nn.Parameter(torch.ones(self.half))
        self.head = _weight(self.tower.width, 1, generator)

    def left(self, p: Tensor) -> Tensor:
        """[p_G∘h ; W_p p_M + b]."""
        return torch.cat(
            [p[..., : self.half] * self.h, p[..., self.half :] @ self.tower.user + self.tower.bias],
            -1,
        )

    def right(self, q: Tensor) -> Tensor:
        """[q_G ; W_q q_M]."""
        return torch.cat([q[..., : self.half], q[..., self.half :] @ self.tower.item], -1)

    def join(self, a: Tensor, b: Tensor) -> Tensor:
        """Sum of both scores."""
        return (a[..., : self.half] * b[..., : self.half]).sum(-1) + self._deep(a, b)

    def pairs(self, a: Tensor, b: Tensor) -> Tensor:
        """See ``Network.pairs``."""
        return a[:, : self.half] @ b[:, : self.half].T + self._deep(a[:, None, :], b[None, :, :])

    def _deep(self, a: Tensor, b: Tensor) -> Tensor:
        return (self.tower(a[..., self.half :] + b[..., self.half :]) @ self.head)[..., 0]


class BPRMF(Network):
    """Matrix factorization by Bayesian personalized ranking: s = p·q."""

    kind = "bpr"
    pairwise = True


class LightGCN(Network):
    """Embeddings averaged over ``layers`` steps of propagation; see ``propagation`` for what that
    makes of a row.
    """

    kind = "lightgcn"
    pairwise = True

    def __init__(
        self, users: int, items: int, factors: int, *, layers: int = 2, seed: int = 0
    ) -> None:
        if layers < 1:
            raise InvalidInput(
                f"LightGCN(layers={layers}): expected at least 1; without propagation it is BPRMF"
            )
        super().__init__(users, items, factors, seed=seed, layers=layers)
        self.layers = layers


Kind = Literal["gmf", "mlp", "neumf", "bpr", "lightgcn"]

KINDS: dict[str, type[Network]] = {cls.kind: cls for cls in (GMF, MLP, NeuMF, BPRMF, LightGCN)}
"""Models by name."""
