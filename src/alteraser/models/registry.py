"""The kinds of recommender that forget exactly, by their name on the command line: one file and one line each."""

from __future__ import annotations

from alteraser.models.exact_kind import ExactKind
from alteraser.models.linear.ease import EASE
from alteraser.models.neighbors.item_knn import ItemKNN
from alteraser.models.popularity import Popularity

KINDS: dict[str, type[ExactKind]] = {kind.name: kind for kind in (Popularity, ItemKNN, EASE)}
"""Settings of every exact kind by its name."""
