"""A neural recommender with its id maps, and how one is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput
from alteraser.models.protocol import Recommender, TrainedOn, check_length
from alteraser.neural.loss import Loss
from alteraser.neural.modules import KINDS, Network
from alteraser.neural.ranking import USERS_AT_A_TIME, Ranker
from alteraser.neural.training import Training, train
from alteraser.verbs.deleting import belongs

M = TypeVar("M")

Array = npt.NDArray[Any]
Rows = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class NeuralModel(Recommender):
    """A trained module and the loss it was trained on: a recommender like any other."""

    module: Network
    loss: Loss

    @property
    def kind(self) -> str:
        """gmf, mlp, neumf, bpr or lightgcn."""
        return self.module.kind

    def __repr__(self) -> str:
        sizes = self.module.configuration
        return f"NeuralModel({self.kind}, users={sizes['users']:,}, items={sizes['items']:,})"

    def top_items(
        self,
        rows: Array,
        *,
        k: int,
        seen: Interactions | None = None,
        without: Array | None = None,
    ) -> tuple[Array, Array]:
        """(item rows, scores), both (users, k), −1 and NaN behind the end of a list; see
        ``recommend``.

        LightGCN propagates over the interactions that the model stands for, so ``seen`` have to be
        these; the others only leave out what was seen. InvalidInput where LightGCN is given none,
        IntegrityError for other ones.
        """
        check_length(k)
        gone = self._gone() if without is None else np.union1d(self._gone(), without)
        return self._ranker(seen).top(rows, k=k, seen=seen, gone=gone)

    def distances(
        self,
        other: NeuralModel,
        users: Rows,
        items: Rows,
        seen: tuple[Interactions, Interactions],
    ) -> dict[str, float]:
        """‖S − S'‖_F / ‖S'‖_F of the scores, and ‖θ − θ'‖ / ‖θ'‖ of all parameters, in the rows
        that both have; the latter only where the two are of one size.
        """
        ranked = (self._ranker(seen[0]), other._ranker(seen[1]))
        apart = size = 0.0
        for start in range(0, users[0].size, USERS_AT_A_TIME):
            mine, theirs = (
                each.block(users[side][start : start + USERS_AT_A_TIME])[:, items[side]]
                for side, each in enumerate(ranked)
            )
            apart += float(((mine - theirs).astype(np.float64) ** 2).sum())
            size += float((theirs.astype(np.float64) ** 2).sum())
        answer = {"score_distance": _share(apart, size)}
        pairs = list(
            zip(
                self._parameters(users[0], items[0]),
                other._parameters(users[1], items[1]),
                strict=True,
            )
        )
        if all(a.shape == b.shape for a, b in pairs):
            answer["model_distance"] = _share(
                sum(float(((a - b) ** 2).sum()) for a, b in pairs),
                sum(float((b**2).sum()) for _, b in pairs),
            )
        return answer

    def _parameters(self, users: Array, items: Array) -> list[Array]:
        """Every parameter in float64, by the order of their names; of the embeddings these rows."""
        rows = {"user_embedding": users, "item_embedding": items}
        return [
            value.double().numpy()[rows.get(name, ...)]
            for name, value in sorted(self.module.state_dict().items())
        ]

    def _ranker(self, graph: Interactions | None) -> Ranker:
        if self.module.layers:
            if graph is None:
                raise InvalidInput(
                    "lightgcn propagates over the interactions that it stands for: give them "
                    "(seen=data)"
                )
            belongs(self, graph)
        return Ranker(self.module, graph)

    def _gone(self) -> Array:
        """Rows of the items that are zero: they were forgotten whole, and are in nobody's list."""
        return np.flatnonzero(~self.module.item_embedding.detach().any(1).numpy())

    def save(self, path: str | Path) -> NeuralModel:
        """Write the model as a new folder of safetensors, Parquet and JSON; OutputExists if it is
        there.
        """
        from alteraser.neural.files import save

        saved: NeuralModel = save(self, path)
        return saved


def _share(apart: float, size: float) -> float:
    """√(apart / size), 0 of nothing."""
    return float(np.sqrt(apart / size)) if size else float(np.sqrt(apart))


def fit(
    kind: str,
    data: Interactions,
    *,
    factors: int = 32,
    loss: Loss | None = None,
    training: Training | None = None,
    validation: Interactions | None = None,
    seed: int = 0,
    on_epoch: Callable[[int, float], bool | None] | None = None,
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
    return NeuralModel(
        module,
        loss,
        users=data.users,
        items=data.items,
        trained_on=TrainedOn.of(data),
        training=report,
    )


def check_plain(data: Interactions) -> None:
    """InvalidInput for interactions with targets or confidences."""
    if data.target is not None or data.confidence is not None:
        raise InvalidInput(
            "neural models are trained on plain interactions: leave out targets and confidences"
        )
