"""Forgetting in any PyTorch recommender that scores a pair by its two embeddings.

The module names its embedding tables and how it scores two embeddings; rows of both tables are then
solved like those of any other model, by Hessian-free Newton on the loss over every cell. The other
parameters stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from alteraser.autograd.tables import Tabled, copied, said_of
from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection
from alteraser.erasers import AltEraser, Eraser, Shift
from alteraser.erasers.driver import OnPass
from alteraser.errors import InvalidInput
from alteraser.models import Factors, Objective
from alteraser.runtime import events
from alteraser.solvers.differentiable.cells import ScoredProblem
from alteraser.verbs.deleting import match
from alteraser.verbs.erasure import Erasure, Way, Work
from alteraser.verbs.roads import OnChoice, unlearn

USUAL = AltEraser(solver="hf-newton", memory=0, max_passes=20, tolerance=1e-2)
"""What forgets where nobody says what is to: rows by Hessian-free Newton, plain passes."""

Score = Callable[[torch.nn.Module, Tensor, Tensor], Tensor]
"""(module, user embeddings (…, d), item embeddings (…, d)) → scores (…), broadcasting."""

Link = Literal["logistic", "squared"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Scored(Tabled):
    """A module, how it scores two embeddings, and its loss over every cell."""

    objective: Objective
    """Its weights and its penalty; see ``ScoredProblem`` for the loss."""
    score: Score
    link: Link = "logistic"
    """Loss of a cell"""

    def check(self, data: Interactions) -> None:
        """InvalidInput where the tables do not fit ``data`` or each other."""
        super().check(data)
        widths = [table.shape[1] for table in self.tables()]
        if widths[0] != widths[1]:
            raise InvalidInput(
                f"{self.users} and {self.items} have {widths[0]} and {widths[1]} columns: "
                "not the same"
            )


@unlearn.register(Scored)
@events.verb("forget", "method", "kind", "residual", "converged", "forgotten")
def unlearn_scored(
    model: Scored,
    found: Deletion,
    *,
    method: Any = "auto",
    threads: int = 0,
    on_pass: OnPass | None = None,
    on_choice: OnChoice | None = None,
) -> Erasure[Scored]:
    """``unlearn`` for a module with a score; ``method``: an eraser, ``USUAL`` for ``auto``."""
    began = time.perf_counter()
    eraser: Eraser = USUAL if method == "auto" else method
    if isinstance(eraser, str):
        raise InvalidInput(
            f"method {eraser!r}: give an eraser, such as AltEraser(…), or leave it out"
        )
    with copied(model) as (module, tables):
        P, Q = (table.detach().cpu().numpy().copy() for table in tables)

        def problem(part: Interactions) -> Any:
            return ScoredProblem(
                model.objective,
                part,
                P.dtype,
                link=model.link,
                score=lambda p, q: model.score(module, p, q),
            )

        original = Factors(P, Q, np.ones(P.shape[1], P.dtype))
        shift = Shift.of(found, original, problem, threads=threads)
        done = eraser.erase(shift, events.passes(on_pass))
        with torch.no_grad():
            for table, moved in zip(tables, (done.factors.users, done.factors.items), strict=True):
                table.copy_(torch.from_numpy(moved))
    start = done.push or shift.start
    return Erasure(
        model=replace(model, module=module),
        deletion=found,
        way=Way(eraser.name, "auto" if method == "auto" else eraser.name),
        evidence=said_of(done.residual),
        work=Work.of(done, start, solver="hf-newton"),
        seconds=time.perf_counter() - began,
    )


def forget_module(
    module: torch.nn.Module,
    forget_set: Any,
    *,
    data: Interactions,
    objective: Objective,
    score: Score,
    users: str = "user_embedding",
    items: str = "item_embedding",
    link: Link = "logistic",
    method: Eraser | None = None,
    whole_users: bool = False,
    whole_items: bool = False,
    on_pass: OnPass | None = None,
) -> Erasure[Any]:
    """A copy of ``module`` that forgot ``forget_set``; ``module`` and ``data`` are not changed.

    It is ``forget(Scored(module, …), forget_set, data=data)`` with the module as the erasure's
    model.

    Args:
        module: a recommender with an embedding table per side; row i of a table belongs to row i of
            ``data``.
        users: name of the submodule with the user embeddings.
        items: name of the one with the item embeddings; both have d columns.
        forget_set: as for ``alteraser.forget``.
        data: the interactions it was trained on.
        objective: the loss's weights and penalty; see ``ScoredProblem`` for the loss.
        score: (module, user embeddings (…, d), item embeddings (…, d)) → scores (…), broadcasting.
        link: ``logistic`` or ``squared`` loss of a cell.
        method: the eraser; None: ``USUAL``.
        whole_users: forget everything of the users in ``forget_set``.
        whole_items: forget everything of the items in ``forget_set``.
        on_pass: called with a ``PassRecord`` after each pass.

    Raises:
        InvalidInput: tables that are missing or do not fit the data. NotFound: nothing to forget is
            in the data.

    >>> class GMF(torch.nn.Module):
    ...     def __init__(self, m, n, d):
    ...         super().__init__()
    ...         self.user_embedding = torch.nn.Embedding(m, d)
    ...         self.item_embedding = torch.nn.Embedding(n, d)
    ...         self.weight = torch.nn.Parameter(torch.ones(d))
    >>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
    >>> objective = Objective(missing_weight=0.2, regularization=0.1)
    >>> erasure = forget_module(
    ...     GMF(6, 6, 2), [(0, 0)], data=data, objective=objective,
    ...     score=lambda m, p, q: (p * q * m.weight).sum(-1),
    ... )
    >>> type(erasure.model).__name__, erasure.work.passes > 1
    ('GMF', True)
    """
    scored = Scored(module, users, items, objective=objective, score=score, link=link)
    found = match(
        scored,
        Selection.of(forget_set, whole_users=whole_users, whole_items=whole_items),
        data,
    )
    erasure = unlearn(scored, found, method="auto" if method is None else method, on_pass=on_pass)
    return replace(erasure, model=erasure.model.module)
