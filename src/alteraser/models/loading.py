"""Models from their folders, of any kind or of one that has factors."""

from __future__ import annotations

from pathlib import Path

from alteraser.errors import InvalidInput
from alteraser.models import folder
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.factorization.model import Model
from alteraser.models.relational.model import LinearModel


def load(path: str | Path) -> Model | ExactModel | LinearModel:
    """Read a model directory of any kind; NotFound where there is none, IntegrityError for one that
    is damaged.
    """
    found = folder.load_model(Path(path))
    if not isinstance(found, Model | ExactModel | LinearModel):
        raise InvalidInput(f"{path} is of kind {found.kind}, which nothing here is known of")
    return found
