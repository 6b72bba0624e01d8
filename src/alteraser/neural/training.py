"""Training by AdamW (Loshchilov & Hutter, ICLR 2019) with early stopping: from a random start, or
from a model.

Negatives are drawn anew in every epoch. The penalty is in the loss, spread over the mini-batches,
and the decoupled decay is 0, as everywhere in this package. The training seed decides order and
negatives, the module's seed its start.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput, NumericFailure
from alteraser.neural.draws import Negatives
from alteraser.neural.loss import Loss
from alteraser.neural.modules import Network
from alteraser.neural.propagation import TorchPropagation
from alteraser.settings import Configured

Score = Callable[[Network], float]
"""What early stopping looks at; higher is better."""


class Training(Configured):
    """How a module is trained."""

    learning_rate: float = Field(default=5e-3, gt=0, allow_inf_nan=False)
    batch: int = Field(default=4096, ge=1)
    """Interactions per step; their negatives come with them."""
    max_epochs: int = Field(default=60, ge=0)
    patience: int = Field(default=5, ge=1)
    """Epochs without a better score after which to stop."""
    one_cycle: bool = False
    """Let the learning rate rise to ten times its value and fall to nothing within ``max_epochs``
    (Smith & Topin, 2019): fewer epochs for the same accuracy, and no early end."""
    seed: int = Field(default=0, ge=0)
    """The training seed."""


@dataclass(frozen=True)
class Trained:
    """What a run of training did."""

    epochs: int
    best_epoch: int
    """The epoch whose parameters the module has now; ``epochs`` without early stopping."""
    losses: tuple[float, ...]
    """Mean loss per interaction, per epoch."""
    scores: tuple[float, ...]
    """What early stopping saw, per epoch."""


def train(
    module: Network,
    data: Interactions,
    loss: Loss,
    training: Training | None = None,
    *,
    score: Score | None = None,
    on_epoch: Callable[[int, float], bool | None] | None = None,
) -> Trained:
    """Train ``module`` in place on ``data``; with ``score`` it ends at its best epoch.

    ``on_epoch`` is called with the epoch's number and its loss, and ends training where it returns
    True. Raises NumericFailure when the loss is not finite and InvalidInput for data of another
    shape or without interactions.
    """
    training = training or Training()
    if data.shape != (module.user_embedding.shape[0], module.item_embedding.shape[0]):
        raise InvalidInput(
            f"the data have {data.shape[0]} users and {data.shape[1]} items, the module has "
            f"{module.user_embedding.shape[0]} and {module.item_embedding.shape[0]}: make it with "
            "the data's shape"
        )
    if len(data) == 0:
        raise InvalidInput("there is nothing to train on: the data hold no interaction")
    run = _Run(module, data, loss, training)
    losses: list[float] = []
    scores: list[float] = []
    best: dict[str, Tensor] | None = None
    for epoch in range(1, training.max_epochs + 1):
        losses.append(run.epoch(epoch))
        if not np.isfinite(losses[-1]):
            raise NumericFailure(
                f"the loss is not finite after {epoch} epoch(s): lower the learning rate "
                f"({training.learning_rate:g})"
            )
        if on_epoch and on_epoch(epoch, losses[-1]):
            break
        if score is not None:
            scores.append(score(module))
            if training.one_cycle:
                continue
            if scores[-1] > max(scores[:-1], default=-np.inf):
                best = deepcopy(module.state_dict())
            elif len(scores) - int(np.argmax(scores)) > training.patience:
                break
    if best is not None:
        module.load_state_dict(best)
    found = len(losses) if best is None else int(np.argmax(scores)) + 1
    return Trained(len(losses), found, tuple(losses), tuple(scores))


class _Run:
    def __init__(self, module: Network, data: Interactions, loss: Loss, training: Training) -> None:
        self.module, self.data, self.loss, self.training = module, data, loss, training
        self.negatives = Negatives(data)
        self.user, self.item = data.user_rows, data.indices.astype(np.int64)
        self.propagation = (
            TorchPropagation(data, module.layers, module.user_embedding.dtype)
            if module.layers
            else None
        )
        rate = training.learning_rate
        self.optimizer = torch.optim.AdamW(
            module.parameters(), lr=rate, weight_decay=0.0, fused=True
        )
        self.steps = -(-len(data) // training.batch)
        self.schedule = None
        if training.one_cycle and training.max_epochs:
            self.schedule = torch.optim.lr_scheduler.OneCycleLR(
                self.optimizer, 10 * rate, total_steps=self.steps * training.max_epochs
            )

    def epoch(self, number: int) -> float:
        """One pass over the interactions in random order; the mean loss of an interaction."""
        count, seed = (1 if self.module.pairwise else self.loss.negatives), self.training.seed
        drawn = self.negatives.draw(self.user, self.item, count, seed=seed, epoch=number)
        order = np.random.default_rng([seed, number]).permutation(len(self.data))
        total = 0.0
        for start in range(0, order.size, self.training.batch):
            chosen = order[start : start + self.training.batch]
            self.optimizer.zero_grad(set_to_none=True)
            loss = self._loss(*(torch.from_numpy(a[chosen]) for a in (self.user, self.item, drawn)))
            loss.backward()
            self.optimizer.step()
            if self.schedule is not None:
                self.schedule.step()
            total += float(loss.detach())
        return total / order.size

    def _loss(self, user: Tensor, item: Tensor, negative: Tensor) -> Tensor:
        module, loss = self.module, self.loss
        P, Q = module.user_embedding, module.item_embedding
        tables = (P, Q) if self.propagation is None else self.propagation(P, Q)
        there = negative >= 0
        candidates = torch.cat([item[:, None], negative.clamp(min=0)], 1)
        s = module(*tables, user[:, None], candidates)
        if module.pairwise:
            terms = functional.softplus(s[:, 1:] - s[:, :1]) * there
        else:
            terms = torch.cat(
                [functional.softplus(-s[:, :1]), functional.softplus(s[:, 1:]) * there], 1
            )
        share = user.numel() / len(self.data)
        penalty = loss.regularization * (P.square().sum() + Q.square().sum())
        for value in module.phi().values():
            penalty = penalty + loss.phi_regularization * value.square().sum()
        return terms.sum() + share * penalty
