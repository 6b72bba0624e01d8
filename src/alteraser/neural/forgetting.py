"""``forget`` for neural models: what a request means on their data, and how it is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from typing import Any, NoReturn, TypeVar

import torch
from torch import nn

from alteraser.autograd.module import Scored
from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions, accounted
from alteraser.data.selection import Selection
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.evidence.claims import Nothing
from alteraser.neural.alternation import Alternating, NeuralPass, erase
from alteraser.neural.loss import Loss
from alteraser.neural.model import NeuralModel, check_plain
from alteraser.neural.modules import Network
from alteraser.runtime import events
from alteraser.verbs.deleting import PLAIN, Matching, match
from alteraser.verbs.erasure import Erasure, Way, Work
from alteraser.verbs.examined import examined
from alteraser.verbs.roads import OnChoice, unlearn

M = TypeVar("M")

UNMEASURED = Nothing(
    "not shown to have forgotten: what the deletion has left is not measured on the way, which "
    "would cost three gradients of the whole loss; alteraser.neural.residual measures it",
    lacks="a residual",
)

NO_ADDITIONS = "neural models learn no additions: give the data as trained on"


@dataclass(frozen=True, eq=False)
class WithLoss:
    """A module of this package and its loss; row i of a side is row i of the data."""

    module: Network
    loss: Loss

    @property
    def kind(self) -> str:
        """gmf, mlp, neumf, bpr or lightgcn."""
        return self.module.kind


@match.register(NeuralModel)
def match_model(
    model: NeuralModel, selection: Selection, data: Interactions, how: Matching = PLAIN
) -> Deletion:
    """``match`` for a neural model, which needs every interaction that goes."""
    if how.grown:
        raise InvalidInput(NO_ADDITIONS)
    found: Deletion = match.dispatch(object)(model, selection, data, how)
    if found.removal.absent is not None:
        raise IntegrityError(
            f"{found.removal.vanished:,} interactions that are to go are not in the data any "
            "more, and which they were is not known: give the data as trained on"
        )
    return found


@match.register(WithLoss)
def match_rows(
    model: WithLoss, selection: Selection, data: Interactions, how: Matching = PLAIN
) -> Deletion:
    """``match`` for a module, which has no ids and no digest of its data."""
    if how.grown:
        raise InvalidInput(NO_ADDITIONS)
    check_plain(data)
    return Deletion(data, accounted(data.remove(selection), strict=how.strict))


@examined.register(NeuralModel)
def examined_model(model: NeuralModel, data: Any, asked: Any) -> NoReturn:
    """InvalidInput: there is nothing that could be worked out from the files."""
    raise InvalidInput(
        f"cannot verify a model of kind {model.kind}: its loss is sampled, so there is no one "
        "optimum to be near. alteraser.neural.residual measures what a deletion left in its own "
        "rows; ncf, linear-lightgcn and gru4rec are kinds whose forgetting can be verified"
    )


@unlearn.register(NeuralModel)
@unlearn.register(WithLoss)
@events.verb("forget", "method", "kind", "converged", "forgotten")
def unlearn_neural(
    model: NeuralModel | WithLoss,
    found: Deletion,
    *,
    method: Any = "auto",
    threads: int = 0,
    on_pass: Callable[[NeuralPass], None] | None = None,
    on_choice: OnChoice | None = None,
) -> Erasure[Any]:
    """``unlearn`` for a neural model: ``method`` is an ``Alternating``, or ``auto``.

    A user of whom nothing remains gets a zero row and leaves the map; such an item gets a zero row
    and is in nobody's list. NumericFailure where a row diverged.
    """
    began = time.perf_counter()
    how = Alternating() if method in ("auto", "alteraser") else method
    if not isinstance(how, Alternating):
        raise InvalidInput(
            f"method {how!r}: neural models forget by Alternating(…), or leave it out"
        )
    module = deepcopy(model.module)
    done = erase(module, found.data, found.removal, model.loss, how, on_step=on_pass)
    with torch.no_grad():
        module.user_embedding[torch.from_numpy(found.removal.emptied_users)] = 0.0
        module.item_embedding[torch.from_numpy(found.removal.emptied_items)] = 0.0
    unlearned: Any = replace(model, module=module)
    if isinstance(model, NeuralModel):
        report = {
            "method": "alteraser",
            "how": asdict(how),
            "push": done.push,
            "interactions_forgotten": len(found.removed),
        }
        unlearned = model.succeeded_by(found, report, module=module)
    return Erasure(
        model=unlearned,
        deletion=found,
        way=Way("alteraser", "auto"),
        evidence=UNMEASURED,
        work=Work(
            passes=1 + how.passes,
            products=sum(step.products for step in done.trace),
            rows_updated=sum(step.rows for step in done.trace),
            residual=float("nan"),
            converged=False,
            reason="passes",
            push=done.push,
            trace=tuple(done.trace),
        ),
        seconds=time.perf_counter() - began,
    )


def forget(
    model: M,
    forget_set: Any,
    *,
    data: Interactions,
    whole_users: bool = False,
    whole_items: bool = False,
    how: Alternating | None = None,
    loss: Loss | None = None,
    on_step: Callable[[NeuralPass], None] | None = None,
    **foreign: Any,
) -> Erasure[M]:
    """Make ``model`` forget ``forget_set``; neither ``model`` nor ``data`` is changed.

    It is ``alteraser.forget`` of a ``NeuralModel``, of ``WithLoss(module, loss)``, or of
    ``Scored(module, …)``.

    Args:
        model: a ``NeuralModel``; or a module of this package, whose row i is row i of ``data``; or
            any other ``torch.nn.Module`` that scores two embeddings.
        forget_set: (user, item) pairs, a table with user_id and item_id, or Interactions; with
            ``whole_users`` or ``whole_items`` ids.
        data: the interactions the model was trained on; of a ``NeuralModel`` also these without the
            forget set.
        whole_users: forget everything of the users in ``forget_set``.
        whole_items: forget everything of the items in ``forget_set``.
        how: passes, solvers, sampling; see ``Alternating``.
        loss: what a module of this package was trained on; a ``NeuralModel`` brings its own.
        on_step: called after every half-pass.
        **foreign: for other modules, the fields of ``Scored`` (``objective``, ``score``, ``users``,
            …) and ``method``.

    A user of whom nothing remains gets a zero row and, in a ``NeuralModel``, leaves the map; such
    an item gets a zero row and is in no list of a ``NeuralModel``.

    Raises:
        NotFound: nothing to forget is in the data. IntegrityError: a ``NeuralModel`` was trained on
            other data.
        InvalidInput: a module without its loss, or that does not fit the data. NumericFailure: a
            row diverged.
    """
    asked: Any = model
    method: Any = how or "auto"
    if isinstance(model, NeuralModel):
        if foreign or loss is not None:
            raise InvalidInput(
                f"a NeuralModel brings its own loss: leave out {', '.join(foreign) or 'loss'}"
            )
    elif isinstance(model, Network):
        if loss is None or foreign:
            raise InvalidInput(
                "give the loss that the module was trained on (loss=Loss(…)) and nothing about "
                "scores"
            )
        asked = WithLoss(model, loss)
    elif isinstance(model, nn.Module):
        missing = sorted({"objective", "score"} - foreign.keys())
        if missing:
            raise InvalidInput(
                f"a {type(model).__name__} does not say its {' and '.join(missing)}: give them as "
                "to forget_module"
            )
        method = foreign.pop("method", "auto")
        asked = Scored(model, **foreign)
    else:
        raise InvalidInput(
            f"cannot forget in a {type(model).__name__}: give a NeuralModel or a torch.nn.Module"
        )
    selection = Selection.of(forget_set, whole_users=whole_users, whole_items=whole_items)
    found = match(asked, selection, data)
    erasure: Erasure[Any] = unlearn(asked, found, method=method, on_pass=on_step)
    return erasure if asked is model else replace(erasure, model=erasure.model.module)
