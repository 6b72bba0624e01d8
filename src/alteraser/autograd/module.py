"""Forgetting in any PyTorch recommender that scores a pair by its two embeddings.

The module names its embedding tables and how it scores two embeddings; rows of both tables are then
solved like those of any other model, by Hessian-free Newton on the loss over every cell. The other
parameters stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from alteraser.data.interactions import Interactions
from alteraser.erasers import AltEraser, Eraser, Outcome, Task
from alteraser.erasers.driver import OnPass
from alteraser.errors import InvalidInput, NotFound
from alteraser.models import Factors, Objective
from alteraser.solvers.differentiable.cells import ScoredProblem


def forget_module(
    module: torch.nn.Module,
    forget_set: Any,
    *,
    data: Interactions,
    objective: Objective,
    score: Callable[[torch.nn.Module, Tensor, Tensor], Tensor],
    users: str = "user_embedding",
    items: str = "item_embedding",
    link: Literal["logistic", "squared"] = "logistic",
    method: Eraser | None = None,
    whole_users: bool = False,
    whole_items: bool = False,
    on_pass: OnPass | None = None,
) -> tuple[torch.nn.Module, Outcome]:
    """(a copy of ``module`` that forgot ``forget_set``, the outcome); ``module`` and ``data`` are
    not changed.

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
        method: the eraser; None: AltEraser with Hessian-free Newton rows, plain passes.
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
    >>> unlearned, outcome = forget_module(
    ...     GMF(6, 6, 2), [(0, 0)], data=data, objective=objective,
    ...     score=lambda m, p, q: (p * q * m.weight).sum(-1)
    ... )
    >>> type(unlearned).__name__, outcome.passes > 1
    ('GMF', True)
    """
    copy = deepcopy(module)
    tables = [table_of(copy, name) for name in (users, items)]
    for table, rows, name in zip(tables, data.shape, (users, items), strict=True):
        if table.shape[0] != rows:
            raise InvalidInput(
                f"{name} has {table.shape[0]} rows, the data have {rows}: give data in the "
                "module's rows"
            )
    if tables[0].shape[1] != tables[1].shape[1]:
        raise InvalidInput(
            f"{users} and {items} have {tables[0].shape[1]} and {tables[1].shape[1]} columns: not "
            "the same"
        )
    removal = data.remove(forget_set, whole_users=whole_users, whole_items=whole_items)
    if len(removal.removed) == 0:
        raise NotFound("nothing to forget: no row of the forget set is in the data")
    P, Q = (table.detach().cpu().numpy().copy() for table in tables)
    wanted = [parameter.requires_grad for parameter in copy.parameters()]
    copy.requires_grad_(False)

    def problem(part: Interactions) -> ScoredProblem:
        return ScoredProblem(
            objective, part, P.dtype, link=link, score=lambda p, q: score(copy, p, q)
        )

    task = Task(
        original=Factors(P, Q, np.ones(P.shape[1], P.dtype)),
        before=problem(data),  # type: ignore[arg-type]
        after=problem(removal.remaining),  # type: ignore[arg-type]
        touched_users=Task.rows(removal.removed.user_rows),
        touched_items=Task.rows(removal.removed.indices),
    )
    method = (
        AltEraser(solver="hf-newton", memory=0, max_passes=20, tolerance=1e-2)
        if method is None
        else method
    )
    outcome = method.erase(task, on_pass)
    with torch.no_grad():
        for table, found in zip(
            tables, (outcome.factors.users, outcome.factors.items), strict=True
        ):
            table.copy_(torch.from_numpy(found))
    for parameter, before in zip(copy.parameters(), wanted, strict=True):
        parameter.requires_grad_(before)
    return copy, outcome


def table_of(module: torch.nn.Module, name: str) -> Tensor:
    try:
        weight = module.get_submodule(name).weight
    except AttributeError:
        known = ", ".join(
            n for n, part in module.named_modules() if isinstance(part, torch.nn.Embedding)
        )
        raise InvalidInput(
            f"the module has no embedding {name!r}; it has {known or 'none'}"
        ) from None
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise InvalidInput(f"{name}.weight is not a matrix of embeddings")
    return weight
