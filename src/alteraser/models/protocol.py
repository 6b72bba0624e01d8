"""What every kind of recommender is: rows with ids, top-k lists, and a record of what it was
trained on.

A kind says how a list comes about (``top_items``) and what it is on disk; everything that only
looks at lists and ids (recommending, evaluating, comparing, what changed for others) is written
once, for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.deletion import Deletion
from alteraser.data.erased import Erased
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection
from alteraser.data.sums import Sums
from alteraser.errors import InvalidInput, NotFound
from alteraser.models.excluding import Excluded

if TYPE_CHECKING:
    from alteraser.data.readers import ReadingOptions

Array = npt.NDArray[Any]
Ranking = Callable[..., tuple[Array, Array]]
"""(rows, *, k) → what ``top_items`` gives"""


@dataclass(frozen=True)
class TrainedOn:
    """Which interactions a model was trained on."""

    digest: str
    """``Interactions.digest``"""
    users: int
    items: int
    interactions: int
    sums: Sums | None = field(default=None, compare=False, repr=False)
    """A sum per row, by which data are checked that lack some of the interactions; None: none was
    kept"""

    @classmethod
    def of(cls, data: Interactions) -> TrainedOn:
        """The record of ``data``: users and items that occur, the digest, and the sums."""
        users, items = int((data.user_counts > 0).sum()), int((data.item_counts > 0).sum())
        return cls(data.digest, users, items, data.count, Sums.of(data))

    def to_document(self) -> dict[str, Any]:
        """For a manifest; the sums are in a file of their own."""
        return {
            "digest": self.digest,
            "users": self.users,
            "items": self.items,
            "interactions": self.interactions,
        }


@dataclass(frozen=True)
class Recommendations:
    """Top-k lists: ``items[i, :]`` are item rows for ``users[i]``, best first, −1 where a list ends
    early.
    """

    model: Recommender
    users: Array
    items: Array
    scores: Array

    def to_list(self) -> list[dict[str, Any]]:
        """[{user_id, items: [{item_id, score}]}], external ids."""
        ids = self.model.users.ids_of(self.users).to_pylist()
        return [{"user_id": user, "items": self._entries(row)} for row, user in enumerate(ids)]

    def _entries(self, row: int) -> list[dict[str, Any]]:
        listed = self.items[row] >= 0
        names = self.model.items.ids_of(self.items[row][listed]).to_pylist()
        return [
            {"item_id": name, "score": float(score)}
            for name, score in zip(names, self.scores[row][listed], strict=True)
        ]

    def to_table(self) -> pa.Table:
        """Arrow table user_id, rank (from 1), item_id, score."""
        place, rank = np.nonzero(self.items >= 0)
        return pa.table(
            {
                "user_id": self.model.users.ids_of(self.users[place]),
                "rank": pa.array(rank + 1),
                "item_id": self.model.items.ids_of(self.items[place, rank]),
                "score": pa.array(self.scores[place, rank]),
            }
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Recommender(ABC):
    """A trained model of any kind. Immutable: forgetting returns another one, ``succeeded_by``."""

    users: IdMap
    items: IdMap
    trained_on: TrainedOn
    reading: ReadingOptions | None = None
    """How the interactions were read from their file; used again by every command that reads data
    for the model."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """What the run that made it reported: method, passes, residual, converged, seed, …"""
    parent: str | None = None
    """Digest of the model this one was made from"""
    digest: str | None = None
    """Digest of the files, once saved or loaded"""
    ancestors: tuple[str, ...] = ()
    """Digests of all the models that this one comes from, the nearest first: ``parent``, its
    parent, and so on"""
    erased: Erased = field(default_factory=Erased)
    """Whom it has erased, as keyed hashes; ``save`` writes the keys beside it, as ``OUT.key``"""

    @property
    @abstractmethod
    def kind(self) -> str:
        """Its name in the table of kinds and on the command line."""

    @abstractmethod
    def top_items(
        self,
        rows: Array,
        *,
        k: int,
        seen: Interactions | None = None,
        without: Array | None = None,
    ) -> tuple[Array, Array]:
        """(item rows, scores), both (users, k), −1 and NaN behind the end of a list; see
        ``recommend``. The item rows ``without`` are in nobody's.
        """

    def ranking(self, seen: Interactions | None = None) -> Ranking:
        """``top_items`` with this ``seen``, for who asks again and again: what has to be formed of
        a model before there are lists is formed once. It holds on to that, no more than a few times
        the model and ``seen``.
        """
        return partial(self.top_items, seen=seen)

    @abstractmethod
    def save(self, path: str | Path) -> Self:
        """Write the model as a new directory, all or nothing; OutputExists if it is there. Returns
        it, digested.
        """

    @abstractmethod
    def distances(
        self,
        other: Any,
        users: tuple[Array, Array],
        items: tuple[Array, Array],
        seen: tuple[Interactions, Interactions],
    ) -> dict[str, float]:
        """``score_distance`` and ``model_distance`` to ``other``, of the same kind, as shares of
        ``other``'s size.

        ``users`` and ``items`` are the rows (in this one, in the other) that both have ids for;
        ``seen`` are the interactions that lists are made with, in the rows of either.
        """

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n): rows on either side, empty ones included."""
        return self.users.size, self.items.size

    @property
    def lineage(self) -> tuple[str, ...]:
        """The ``ancestors`` of a model made from this one: its own digest, where it has one, and
        those it comes from.

        >>> from alteraser import ENMF, Interactions
        >>> enmf = ENMF(factors=1, regularization=0.1, missing_weight=0.1)
        >>> model = enmf.fit(Interactions.from_pairs([(0, 0)]))
        >>> model.lineage  # never saved: there is nothing to name
        ()
        """
        return self.ancestors if self.digest is None else (self.digest, *self.ancestors)

    def succeeded_by(self, gone: Deletion, training: Mapping[str, Any], **parameters: Any) -> Self:
        """The model that forgetting ``gone`` makes of this one: ``parameters`` are the fields of
        its kind that are others now, ``training`` is what the run reported.
        """
        remaining = gone.remaining
        return replace(
            self,
            users=remaining.users,
            items=remaining.items,
            trained_on=TrainedOn.of(remaining),
            training=training,
            parent=self.digest,
            ancestors=self.lineage,
            digest=None,
            erased=gone.recorded(self.erased),
            **parameters,
        )

    def rows_of_users(self, users: Any) -> Array:
        """The row of each of ``users`` (ids), int64 (users,); NotFound for an unknown one."""
        return known_rows(self.users, users, "user")

    def recommend(
        self,
        users: Any = None,
        *,
        k: int = 10,
        seen: Interactions | None = None,
        exclude: Selection | None = None,
        among: Any = None,
    ) -> Recommendations:
        """The k best items for each of ``users`` (ids; all users for None).

        Items in ``seen`` are left out for their user; items without a single interaction are left
        out for everybody; so are those of a selection of items in ``exclude``, or of one of pairs
        for their user. ``among``: ids of items, of which alone lists are made. Ties go to the lower
        row. Raises NotFound for an unknown user and where none of ``among`` is in the model,
        InvalidInput where ``exclude`` names no items.
        """
        rows = self.users.rows if users is None else self.rows_of_users(users)
        if exclude is None and among is None:
            items, scores = self.top_items(rows, k=k, seen=seen)
        else:
            items, scores = Excluded.of(exclude, self.users, self.items, among).lists(
                self.top_items, rows, k, seen
            )
        return Recommendations(self, rows, items, scores)


def check_length(k: int) -> None:
    """InvalidInput unless ``k`` is the length of a list."""
    if k < 1:
        raise InvalidInput(f"k={k}: expected at least 1")


def known_rows(ids: IdMap, values: Any, side: str) -> Array:
    """The row of each of ``values`` (ids), int64; NotFound, naming the first, for one that is not
    in the model.
    """
    if isinstance(values, str | int):
        values = [values]
    rows = ids.rows_of(values, f"{side}s")
    if (rows < 0).any():
        first = int(np.flatnonzero(rows < 0)[0])
        unknown = list(values)[first] if not hasattr(values, "to_pylist") else values[first].as_py()
        raise NotFound(
            f"{side} {unknown!r} is not in the model ({len(ids):,} {side}s with {ids.kind} ids); "
            f"{int((rows < 0).sum())} of {len(rows)} given are unknown. Write ids as in the "
            "training data; a user who was forgotten whole has none"
        )
    return rows
