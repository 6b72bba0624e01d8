"""A neural recommender with its id maps, and the three verbs: fit, forget, recommend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput, NotFound
from alteraser.models.factorization.model import TrainedOn
from alteraser.neural.loss import Loss
from alteraser.neural.modules import KINDS, Network
from alteraser.neural.ranking import Ranker
from alteraser.neural.training import Training, train
from alteraser.verbs.deleting import belongs

M = TypeVar("M")


@dataclass(frozen=True, eq=False)
class NeuralModel:
    """A trained module, the loss it was trained on, and whose rows its embeddings are. Forgetting
    returns another.
    """

    module: Network
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
    check_plain(data)
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

        def score(module: Network) -> float:
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


def check_plain(data: Interactions) -> None:
    """InvalidInput for interactions with targets or confidences."""
    if data.target is not None or data.confidence is not None:
        raise InvalidInput(
            "neural models are trained on plain interactions: leave out targets and confidences"
        )
