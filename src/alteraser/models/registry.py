"""The kinds of recommender that forget exactly, by their name on the command line: one file and one line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alteraser.models.closed_form.kind import ExactKind

_WHERE = {
    "popularity": "closed_form.popularity.Popularity",
    "item-knn": "neighbors.item_knn.ItemKNN",
    "ease": "linear.ease.EASE",
}
"""Where the settings of every kind are, under ``alteraser.models``."""


class _Kinds(Mapping[str, "type[ExactKind]"]):
    """Names are known without importing anything; a class is imported when it is asked for."""

    def __getitem__(self, name: str) -> type[ExactKind]:
        module, _, kind = _WHERE[name].rpartition(".")
        found: type[ExactKind] = getattr(import_module(f"alteraser.models.{module}"), kind)
        return found

    def __contains__(self, name: object) -> bool:
        return name in _WHERE

    def __iter__(self) -> Iterator[str]:
        return iter(_WHERE)

    def __len__(self) -> int:
        return len(_WHERE)


KINDS: Mapping[str, type[ExactKind]] = _Kinds()
"""Settings of every exact kind by its name."""
