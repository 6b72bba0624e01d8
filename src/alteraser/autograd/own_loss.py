"""Forgetting in a PyTorch recommender by its own loss, whatever it is.

The module names its embedding tables and the loss it was trained on, as a function of interactions.
Both tables are taken to a minimum of that loss on what remains, first in the rows of the forget
set, then in all rows, by L-BFGS with a strong Wolfe line search (Liu & Nocedal 1989); everything
else in the module stays as it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alteraser.autograd.tables import Tabled, copied, said_of
from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection
from alteraser.erasers.driver import OnPass
from alteraser.errors import InvalidInput, NumericFailure
from alteraser.runtime import events
from alteraser.solvers.loop import End, Move, Plan, Until, minimize
from alteraser.solvers.trace import PassRecord
from alteraser.tolerances import checked_tolerance
from alteraser.verbs.deleting import match
from alteraser.verbs.erasure import Erasure, Way, Work
from alteraser.verbs.roads import OnChoice, unlearn

Loss = Callable[[torch.nn.Module, Tensor, Tensor], Tensor]
"""(module, user rows (N,), item rows (N,)) → its loss on these interactions, a scalar; the same for
the same rows."""

Rows = tuple[npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnLoss(Tabled):
    """A module and the loss that it was trained on."""

    loss: Loss
    """Its loss on some interactions; the regularization belongs to it, and negatives have to be
    drawn by a fixed seed: called twice with the same rows it must answer the same."""


@dataclass(frozen=True)
class LossDescent:
    """How far down a loss: to what share of the push, in how many evaluations at most."""

    tolerance: float = 1e-2
    max_evaluations: int = 500
    name: str = "own-loss"

    def __post_init__(self) -> None:
        checked_tolerance(self.tolerance)


@unlearn.register(OwnLoss)
@events.verb("forget", "method", "kind", "residual", "converged", "forgotten")
def unlearn_by_own_loss(
    model: OwnLoss,
    found: Deletion,
    *,
    method: Any = "auto",
    threads: int = 0,
    on_pass: OnPass | None = None,
    on_choice: OnChoice | None = None,
) -> Erasure[OwnLoss]:
    """``unlearn`` for a module with its own loss; ``method``: a ``LossDescent``, or ``auto``.

    Raises InvalidInput for a loss that changes from call to call, NumericFailure for one that is
    not finite.
    """
    began = time.perf_counter()
    how = LossDescent() if method == "auto" else method
    if not isinstance(how, LossDescent):
        raise InvalidInput(
            f"method {how!r}: a loss of one's own is gone down by Descent(…), or leave it out"
        )
    removal = found.removal
    plan: Plan[_Own] = Plan(
        "touched",
        {"touched": _Sweep((removal.touched_users, removal.touched_items)), "all": _Sweep(None)},
        {("touched", "done"): "all", ("all", "done"): End("passes")},
    )
    with copied(model) as (module, tables):
        for table in tables:
            table.requires_grad_(True)

        def begin() -> tuple[_Own, Plan[_Own]]:
            return _Own(module, tables, model.loss, found, how), plan

        done = minimize(begin, Until(how.tolerance, 2), on_pass=events.passes(on_pass), blas=None)
        with torch.no_grad():
            tables[0][torch.from_numpy(removal.emptied_users).to(tables[0].device)] = 0
    state = done.state
    return Erasure(
        model=replace(model, module=module),
        deletion=found,
        way=Way(how.name, "auto" if method == "auto" else how.name, tolerance=how.tolerance),
        evidence=said_of(done.residual),
        work=Work(
            solver="l-bfgs",
            passes=len(done.trace),
            residual=done.residual,
            converged=done.converged,
            objective_before=state.started,
            objective_after=done.objective,
            push=state.push,
            training_floor=state.floor,
            trace=done.trace,
        ),
        details={"evaluations": state.evaluations},
        seconds=time.perf_counter() - began,
    )


def forget(
    module: torch.nn.Module,
    interactions: Interactions,
    forget_set: Any,
    *,
    loss: Loss,
    users: str = "user_embedding",
    items: str = "item_embedding",
    tolerance: float = 1e-2,
    max_evaluations: int = 500,
    whole_users: bool = False,
    whole_items: bool = False,
) -> Erasure[Any]:
    """Make ``module`` forget ``forget_set`` by its own ``loss``; what is given is not changed.

    It is ``alteraser.forget`` of an ``OwnLoss`` by a ``LossDescent``, with the module as the
    erasure's model.

    Args:
        module: a recommender with an embedding table per side; row i of a table belongs to row i of
            ``interactions``.
        interactions: what it was trained on.
        forget_set: as for ``alteraser.forget``.
        loss: see ``OwnLoss``.
        users: name of the submodule with the user embeddings; ``items`` likewise.
        items: see ``users``.
        tolerance: share of the deletion's push that may stay.
        max_evaluations: cap on evaluations of the loss.
        whole_users: forget everything of the users in ``forget_set``; their rows become zero.
        whole_items: forget everything of the items in ``forget_set``.

    Raises:
        InvalidInput: tables that are missing or do not fit, a loss that changes from call to call.
            NotFound: nothing to forget is in the data. NumericFailure: a loss that is not finite.

    >>> class MF(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.user_embedding = torch.nn.Embedding(6, 2)
    ...         self.item_embedding = torch.nn.Embedding(6, 2)
    >>> def squares(m, u, v):
    ...     P, Q = m.user_embedding.weight, m.item_embedding.weight
    ...     penalty = 0.1 * (P.square().sum() + Q.square().sum())
    ...     return ((1 - (P[u] * Q[v]).sum(-1)) ** 2).sum() + penalty
    >>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
    >>> forget(MF(), data, [(0, 0)], loss=squares).converged
    True
    """
    how = LossDescent(tolerance, max_evaluations)
    model = OwnLoss(module, users, items, loss=loss)
    found = match(
        model,
        Selection.of(forget_set, whole_users=whole_users, whole_items=whole_items),
        interactions,
    )
    erasure = unlearn(model, found, method=how)
    return replace(erasure, model=erasure.model.module)


class _Own:
    """A module's tables, its loss on what remains, and how often that was asked for."""

    def __init__(
        self,
        module: torch.nn.Module,
        tables: list[Tensor],
        loss: Loss,
        found: Deletion,
        how: LossDescent,
    ) -> None:
        self.module, self.tables, self.loss, self.most = module, tables, loss, how.max_evaluations
        self.remaining, self.evaluations = found.removal.remaining, 0
        before, at_original = self.gradient(found.data)
        again, _ = self.gradient(found.data)
        if before != again:
            raise InvalidInput(
                f"the loss of the same interactions is {before:.9g} and {again:.9g}: draw its "
                "negatives and its dropout by a fixed seed, or switch them off"
            )
        self.started, pushed = self.gradient(self.remaining)
        self.push = _norm([new - old for new, old in zip(pushed, at_original, strict=True)])
        self.floor = _norm(at_original) / self.push if self.push else 0.0
        self.goal = how.tolerance * self.push / 2

    def factors(self) -> list[Tensor]:
        """See ``solvers.loop.State``."""
        return [table.detach().clone() for table in self.tables]

    def finish(self) -> tuple[float, float]:
        """See ``solvers.loop.State``."""
        ended, left = self.gradient(self.remaining)
        return _norm(left) / self.push if self.push else 0.0, ended

    def value(self, data: Interactions) -> Tensor:
        """The loss on ``data``. NumericFailure where it is not finite."""
        self.evaluations += 1
        device = self.tables[0].device
        u, v = (
            torch.from_numpy(np.array(rows, np.int64)).to(device)
            for rows in (data.user_rows, data.indices)
        )
        found = self.loss(self.module, u, v)
        if not torch.isfinite(found):
            raise NumericFailure(
                f"the loss is {float(found.detach())}; was the module trained to a finite one?"
            )
        return found

    def gradient(self, data: Interactions) -> tuple[float, list[Tensor]]:
        """The loss on ``data`` and its gradient by the tables."""
        found = self.value(data)
        return float(found.detach()), list(torch.autograd.grad(found, self.tables))


class _Sweep:
    """L-BFGS on some rows of the tables, on all for None. Signals: ``done``."""

    def __init__(self, rows: Rows | None) -> None:
        self._rows = rows

    def move(self, state: _Own) -> Move:
        """Until the gradient is as small as it is to be, or the evaluations are spent."""
        tables, left = state.tables, state.most - state.evaluations
        if left < 2:
            return Move(signal="done")
        masks = None if self._rows is None else _masks(tables, self._rows)
        size = float(sum(table.numel() for table in tables)) ** 0.5
        optimizer = torch.optim.LBFGS(
            tables,
            max_iter=20 if masks else left,
            max_eval=left,
            history_size=20,
            line_search_fn="strong_wolfe",
            tolerance_grad=state.goal / size,
            tolerance_change=0.0,
        )
        value = np.nan

        def closure() -> Tensor:
            nonlocal value
            optimizer.zero_grad()
            found = state.value(state.remaining)
            for place, part in enumerate(torch.autograd.grad(found, tables)):
                tables[place].grad = part if masks is None else part * masks[place]
            value = float(found.detach())
            return found.detach()

        optimizer.step(closure)
        optimizer.zero_grad()
        rows = (
            sum(len(table) for table in tables)
            if self._rows is None
            else sum(rows.size for rows in self._rows)
        )
        return Move(PassRecord.of("all" if masks is None else "touched", value, None, rows))

    def judge(self, state: _Own) -> str:
        """It goes as far as it can at once."""
        return "done"


def _masks(tables: list[Tensor], rows: Rows) -> list[Tensor]:
    """1 in the chosen rows of each table, 0 in the others."""
    masks = [torch.zeros(len(table), 1, dtype=table.dtype, device=table.device) for table in tables]
    for mask, chosen in zip(masks, rows, strict=True):
        mask[torch.from_numpy(np.array(chosen, np.int64)).to(mask.device)] = 1
    return masks


def _norm(parts: list[Tensor]) -> float:
    return math.sqrt(sum(float(part.double().square().sum()) for part in parts))
