"""The kinds of recommender that forget exactly, by their name on the command line: one file and one
line each.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from alteraser.models.closed_form.kind import ExactKind
    from alteraser.models.relational.kind import LinearKind

K = TypeVar("K")


class Kinds(MutableMapping[str, type[K]]):
    """Settings by name; a class that is given by where it is, under ``alteraser.models``, is
    imported when asked for.

    So the names are known without importing anything.
    """

    def __init__(self, where: dict[str, str]) -> None:
        self._where: dict[str, str | type[K]] = dict(where)

    def __getitem__(self, name: str) -> type[K]:
        found = self._where[name]
        if isinstance(found, str):
            module, _, kind = found.rpartition(".")
            found = self._where[name] = getattr(import_module(f"alteraser.models.{module}"), kind)
        return found

    def __setitem__(self, name: str, kind: type[K]) -> None:
        self._where[name] = kind

    def __delitem__(self, name: str) -> None:
        del self._where[name]

    def __contains__(self, name: object) -> bool:
        return name in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)


KINDS: Kinds[ExactKind] = Kinds(
    {
        "popularity": "closed_form.popularity.Popularity",
        "item-knn": "neighbors.item_knn.ItemKNN",
        "user-knn": "neighbors.user_knn.UserKNN",
        "cooccurrence": "neighbors.cooccurrence.Cooccurrence",
        "ease": "ease.ease.EASE",
        "vs-knn": "sessions.vs_knn.VSKNN",
        "slist": "sessions.slist.SLIST",
        "tifu-knn": "sessions.tifu_knn.TIFUKNN",
        "top-frequency": "sessions.top_frequency.TopFrequency",
        "ncf": "networks.ncf.NCF",
        "gru4rec": "networks.gru4rec.GRU4Rec",
        "sasrec": "networks.sasrec.SASRec",
    }
)
"""Settings of every exact kind by its name."""

LINEAR: Kinds[LinearKind] = Kinds(
    {
        "linear-lightgcn": "relational.lightgcn.LinearLightGCN",
    }
)
"""Settings of every kind that is a linear problem with an optimum, and forgets by going to the one
for what remains (``alteraser.models.relational.kind``)."""
