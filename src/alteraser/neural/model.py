"""A neural recommender with its id maps, and the three verbs: fit, forget, recommend."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from alteraser.autograd.module import forget_module
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput, NotFound
from alteraser.models.factorization.model import TrainedOn
from alteraser.neural.alternation import Alternating, Step, erase
from alteraser.neural.loss import Loss
from alteraser.neural.modules import KINDS, Recommender
from alteraser.neural.ranking import Ranker
from alteraser.neural.training import Training, train
from alteraser.verbs.deleting import belongs, match

M = TypeVar("M")


@dataclass(frozen=True, eq=False)
class NeuralModel:
    """A trained module, the loss it was trained on, and whose rows its embeddings are. Forgetting
    returns another.
    """

    module: Recommender
    loss: Loss
    users: IdMap
    items: IdMap
    trained_on: TrainedOn
    training: Mapping[str, Any] = field(default_factory=dict)
    """What the run that made it reported."""
    parent: str | None = None
    """Digest of the model it was made from."""
    digest: str | None = None
    """Digest of the files, once saved or loaded."""

    @property
    def kind(self) -> str:
        """gmf, mlp, neumf, bpr or lightgcn."""
        return self.module.kind

    def __repr__(self) -> str:
        sizes = self.module.configuration
        return f"NeuralModel({self.kind}, users={sizes['users']:,}, items={sizes['items']:,})"

    def recommend(
        self, data: Interactions, users: Any = None, *, k: int = 10
    ) -> list[dict[str, Any]]:
        """[{user_id, items: [{item_id, score}]}] with the k best items that ``data`` does not hold,
        per user.

        ``data`` are the interactions that the model stands for: LightGCN propagates over them,
        which is checked; the others only leave out what was seen. ``users`` are ids, all of the
        model's for None. NotFound for an unknown one, InvalidInput for k below 1.
        """
        if k < 1:
            raise InvalidInput(f"k={k}: expected at least 1")
        if self.module.layers:
            belongs(self, data)  # type: ignore[arg-type]
        rows = self.users.rows if users is None else self.users.rows_of(users, "users")
        if (rows < 0).any():
            place = int(np.flatnonzero(rows < 0)[0])
            raise NotFound(
                f"user {list(users)[place]!r} is not in the model ({len(self.users):,} users)"
            )
        lists, scores = Ranker(self.module, data).top(rows, k=k, seen=data)
        answer = []
        for user, items, values in zip(
            self.users.ids_of(rows).to_pylist(), lists, scores, strict=True
        ):
            names = self.items.ids_of(items[items >= 0]).to_pylist()
            entries = [
                {"item_id": name, "score": float(s)}
                for name, s in zip(names, values[items >= 0], strict=True)
            ]
            answer.append({"user_id": user, "items": entries})
        return answer

    def save(self, path: str | Path) -> NeuralModel:
        """Write the model as a new folder of safetensors, Parquet and JSON; OutputExists if it is
        there.
        """
        from alteraser.neural.files import save

        saved: NeuralModel = save(self, path)
        return saved


@dataclass(frozen=True)
class NeuralErasure(Generic[M]):
    """The result of forgetting."""

    model: M
    """What was given, without the forget set: a copy."""
    remaining: Interactions
    """D_r"""
    removed: Interactions
    """D_f, what was found"""
    unmatched: pa.Table
    """Rows of the forget set that match no interaction; nothing was done for them."""
    trace: tuple[Any, ...]
    """A ``Step`` per half-pass; for foreign modules a ``PassRecord`` per pass."""
    push: float | None
    """‖∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)‖ on the terms taken; None for foreign modules."""
    seconds: float


def fit(
    kind: str,
    data: Interactions,
    *,
    factors: int = 32,
    loss: Loss | None = None,
    training: Training | None = None,
    validation: Interactions | None = None,
    seed: int = 0,
    on_epoch: Callable[[int, float], None] | None = None,
    **more: Any,
) -> NeuralModel:
    """Train a model of ``kind`` (gmf, mlp, neumf, bpr, lightgcn) on ``data``.

    With ``validation``, held-out interactions in the rows of ``data``, training ends by early
    stopping on their NDCG@10 and the best epoch is kept. ``seed`` decides the start,
    ``training.seed`` everything after it; ``more`` are further arguments of the module (``layers``
    for LightGCN). Raises InvalidInput for an unknown kind or data with targets or confidences,
    NumericFailure when training diverges.

    >>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
    >>> model = fit("gmf", data, factors=2, training=Training(max_epochs=3))
    >>> forget(model, [(0, 0)], data=data).model.trained_on.interactions
    11
    """
    if kind not in KINDS:
        raise InvalidInput(f"unknown model {kind!r}; there are {', '.join(KINDS)}")
    _plain(data)
    module = KINDS[kind](*data.shape, factors, seed=seed, **more)
    loss, training = loss or Loss(), training or Training()
    score = None
    if validation is not None:
        if validation.shape != data.shape:
            raise InvalidInput(
                "the validation part has other rows than the data: cut both from one set with "
                "split()"
            )
        rows = np.flatnonzero((validation.user_counts > 0) & (data.user_counts > 0))

        def score(module: Recommender) -> float:
            return Ranker(module, data).accuracy(rows, validation, data, (10,)).get("ndcg@10", 0.0)

    done = train(module, data, loss, training, score=score, on_epoch=on_epoch)
    report = {
        "method": "train",
        "seed": seed,
        "epochs": done.epochs,
        "best_epoch": done.best_epoch,
        "training": training.model_dump(),
    }
    return NeuralModel(module, loss, data.users, data.items, TrainedOn.of(data), report)


def forget(
    model: M,
    forget_set: Any,
    *,
    data: Interactions,
    whole_users: bool = False,
    whole_items: bool = False,
    how: Alternating | None = None,
    loss: Loss | None = None,
    on_step: Callable[[Step], None] | None = None,
    **foreign: Any,
) -> NeuralErasure[M]:
    """Make ``model`` forget ``forget_set``; neither ``model`` nor ``data`` is changed.

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
        **foreign: for other modules, the arguments of ``forget_module``: ``objective``, ``score``,
            ``users``, …

    A user of whom nothing remains gets a zero row and, in a ``NeuralModel``, leaves the map.

    Raises:
        NotFound: nothing to forget is in the data. IntegrityError: a ``NeuralModel`` was trained on
            other data.
        InvalidInput: a module without its loss, or that does not fit the data. NumericFailure: a
            row diverged.
    """
    began = time.perf_counter()
    if isinstance(model, NeuralModel):
        if foreign or loss is not None:
            raise InvalidInput(
                f"a NeuralModel brings its own loss: leave out {', '.join(foreign) or 'loss'}"
            )
        found = match(model, forget_set, data, whole_users=whole_users, whole_items=whole_items)
        data, removal = found.data, found.removal
        if removal.absent is not None:
            raise IntegrityError(
                f"{removal.vanished:,} interactions that are to go are not in the data any more, "
                "and which they were is not known: give the data as trained on"
            )
        module, loss = deepcopy(model.module), model.loss
    elif isinstance(model, Recommender):
        if loss is None or foreign:
            raise InvalidInput(
                "give the loss that the module was trained on (loss=Loss(…)) and nothing about "
                "scores"
            )
        _plain(data)
        removal = data.remove(forget_set, whole_users=whole_users, whole_items=whole_items)
        module = deepcopy(model)
    elif isinstance(model, nn.Module):
        return _foreign(
            model,
            forget_set,
            data,
            {"whole_users": whole_users, "whole_items": whole_items},
            began,
            foreign,
        )
    else:
        raise InvalidInput(
            f"cannot forget in a {type(model).__name__}: give a NeuralModel or a torch.nn.Module"
        )
    if len(removal.removed) == 0:
        raise NotFound("nothing to forget: no row of the forget set is in the data")
    erased = erase(module, data, removal, loss, how, on_step=on_step)
    gone = np.flatnonzero((removal.remaining.user_counts == 0) & (removal.removed.user_counts > 0))
    with torch.no_grad():
        module.user_embedding[torch.from_numpy(gone)] = 0.0
    remaining = removal.remaining
    answer: Any = module
    if isinstance(model, NeuralModel):
        remaining = remaining.with_maps(data.users.without(gone), data.items)
        report = {"method": "alteraser", "how": asdict(how or Alternating()), "push": erased.push}
        report["interactions_forgotten"] = len(removal.removed)
        answer = replace(
            model,
            module=module,
            users=remaining.users,
            trained_on=TrainedOn.of(remaining),
            training=report,
            parent=model.digest,
            digest=None,
        )
    seconds = time.perf_counter() - began
    return NeuralErasure(
        answer,
        remaining,
        removal.removed,
        removal.unmatched,
        tuple(erased.trace),
        erased.push,
        seconds,
    )


def _foreign(
    model: Any,
    forget_set: Any,
    data: Interactions,
    whole: dict[str, Any],
    began: float,
    foreign: dict[str, Any],
) -> NeuralErasure[Any]:
    missing = sorted({"objective", "score"} - foreign.keys())
    if missing:
        raise InvalidInput(
            f"a {type(model).__name__} does not say its {' and '.join(missing)}: give them as to "
            "forget_module"
        )
    module, outcome = forget_module(model, forget_set, data=data, **whole, **foreign)
    removal = data.remove(forget_set, **whole)
    seconds = time.perf_counter() - began
    return NeuralErasure(
        module, removal.remaining, removal.removed, removal.unmatched, outcome.trace, None, seconds
    )


def _plain(data: Interactions) -> None:
    if data.target is not None or data.confidence is not None:
        raise InvalidInput(
            "neural models are trained on plain interactions: leave out targets and confidences"
        )
