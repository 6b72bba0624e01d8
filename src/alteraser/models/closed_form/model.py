"""Models that are counts or closed forms of their data, and forget to the last bit.

>>> from alteraser import Interactions, ItemKNN
>>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
>>> model = ItemKNN(neighbors=2).fit(data)
>>> model.recommend([0], k=1, seen=data.keep(data.indices == 0)).to_list()[0]["items"][0]["item_id"]
3
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection
from alteraser.errors import InvalidInput
from alteraser.models.closed_form.rule import Rule, relative
from alteraser.models.folder import save_model
from alteraser.models.protocol import Ranking, Recommender, TrainedOn, check_length
from alteraser.models.ranking import USERS_AT_A_TIME, fill_best, left_out, mask_seen
from alteraser.runtime import events

if TYPE_CHECKING:
    from alteraser.data.readers import ReadingOptions

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ExactModel(Recommender):
    """The state of an exact kind with its settings and id maps. Immutable: forgetting returns
    another one.
    """

    settings: Rule
    state: Mapping[str, Array]

    def __repr__(self) -> str:
        m, n = self.shape
        return f"ExactModel(kind={self.kind!r}, users={m:,}, items={n:,})"

    @property
    def kind(self) -> str:
        """The name of its settings in the table of kinds."""
        return self.settings.name

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

        ``seen`` is also the history that lists are made from, by a kind that keeps nobody's;
        InvalidInput where such a kind is not given it.
        """
        check_length(k)
        return self.ranking(seen)(rows, k=k, without=without)

    def ranking(self, seen: Interactions | None = None) -> Ranking:
        """``top_items`` with this ``seen``, what the kind has to form first formed once."""
        if self.settings.needs_history and seen is None:
            raise InvalidInput(
                f"a model of kind {self.kind} keeps nobody's history, and lists are made from it: "
                "give the interactions (--data on the command line, seen= in Python)"
            )
        return partial(self._lists, self.settings.formed(self.state, seen), seen)

    def _lists(
        self,
        formed: Any,
        seen: Interactions | None,
        rows: Array,
        *,
        k: int,
        without: Array | None = None,
    ) -> tuple[Array, Array]:
        check_length(k)
        k = min(k, self.items.size)
        lists, scores = np.full((len(rows), k), -1, np.int64), np.full((len(rows), k), np.nan)
        for start in range(0, len(rows), USERS_AT_A_TIME):
            part = rows[start : start + USERS_AT_A_TIME]
            block = self.settings.scores(formed, part, seen)
            if seen is not None and not self.settings.repeats:
                mask_seen(block, part, seen)
            block = left_out(block, without)
            fill_best(block, lists[start : start + len(part)], scores[start : start + len(part)])
        return lists, scores

    def of_segments(
        self, names: Sequence[str], *, k: int = 10, exclude: Selection | None = None
    ) -> list[dict[str, Any]]:
        """[{segment, items: [{item_id, score}]}], the k best items of each of the segments
        ``names``, for whoever is of it; items of ``exclude`` are in none.

        Raises InvalidInput where nothing is counted by segment, and for pairs to exclude, NotFound
        for a segment that is not in the model.
        """
        check_length(k)
        block = self.settings.scores_of_segments(self.state, names)
        if exclude is not None:
            if exclude.kind != "items":
                raise InvalidInput("of segments items are left out, not pairs: give item_id alone")
            rows = self.items.rows_of(exclude.items, "item_id")
            block[:, rows[rows >= 0]] = -np.inf
        k = min(k, self.items.size)
        lists, scores = np.full((len(names), k), -1, np.int64), np.full((len(names), k), np.nan)
        fill_best(block, lists, scores)
        return [
            {
                "segment": name,
                "items": [
                    {"item_id": item, "score": float(score)}
                    for item, score in zip(
                        self.items.ids_of(row[row >= 0]).to_pylist(),
                        found[row >= 0].tolist(),
                        strict=True,
                    )
                ],
            }
            for name, row, found in zip(names, lists, scores, strict=True)
        ]

    def distances(
        self,
        other: ExactModel,
        users: tuple[Array, Array],
        items: tuple[Array, Array],
        seen: tuple[Interactions, Interactions],
    ) -> dict[str, float]:
        """‖S − S'‖_F / ‖S'‖_F of the scores (those that are in no list are 0), and the same of the
        states' matrices.
        """
        apart = size = 0.0
        formed = [
            model.settings.formed(model.state, seen[side])
            for side, model in enumerate((self, other))
        ]
        for start in range(0, users[0].size, USERS_AT_A_TIME):
            mine, theirs = (
                _finite(
                    model.settings.scores(
                        formed[side], users[side][start : start + USERS_AT_A_TIME], seen[side]
                    )
                )[:, items[side]]
                for side, model in enumerate((self, other))
            )
            apart, size = (
                apart + float(((mine - theirs) ** 2).sum()),
                size + float((theirs**2).sum()),
            )
        first, second = (
            model.settings.among(model.settings.matrix(model.state), items[side])
            for side, model in enumerate((self, other))
        )
        return {
            "score_distance": relative(apart**0.5, size**0.5),
            "model_distance": relative(_norm(first - second), _norm(second)),
        }

    def save(self, path: str | Path) -> ExactModel:
        """Write the model as a new directory, all or nothing; OutputExists if it is there. Returns
        it, digested.
        """
        return save_model(self, Path(path))


@events.verb("train", "kind")
def fit(
    settings: Rule, data: Interactions, *, reading: ReadingOptions | None = None, threads: int = 0
) -> ExactModel:
    """The model of ``data``.

    Raises InvalidInput if there are no interactions, if they lack what the kind needs, or have
    targets, which it does not use.
    """
    if len(data) == 0:
        raise InvalidInput("there are no interactions to train on")
    if data.target is not None:
        raise InvalidInput(
            f"{settings.name} has no use for a target: leave it out, or give it as the confidence"
        )
    settings.check_data(data)
    settings = settings.settled(data)
    state = settings.state(data, threads=threads)
    # a model names nobody of whom it holds nothing
    users = data.users.without(np.flatnonzero(data.user_counts == 0))
    items = data.items.without(np.flatnonzero(data.item_counts == 0))
    return ExactModel(
        settings,
        state,
        users=users,
        items=items,
        trained_on=TrainedOn.of(data),
        reading=reading,
        training={"method": "train"},
    )


def _norm(matrix: Any) -> float:
    """‖A‖_F of a dense or sparse array."""
    return float(
        np.linalg.norm(getattr(matrix, "data", matrix) if hasattr(matrix, "tocsr") else matrix)
    )


def _finite(scores: Array) -> Array:
    return np.where(np.isfinite(scores), scores, 0.0)
