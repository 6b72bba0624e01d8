"""The kinds of recommender that forget exactly, by their name on the command line: one file and one line each."""

from __future__ import annotations

from alteraser.models.closed_form.kind import ExactKind
from alteraser.models.closed_form.popularity import Popularity
from alteraser.models.linear.ease import EASE
from alteraser.models.neighbors.item_knn import ItemKNN

KINDS: dict[str, type[ExactKind]] = {kind.name: kind for kind in (Popularity, ItemKNN, EASE)}
"""Settings of every exact kind by its name."""
