"""Models from their folders, of any kind or of one that has factors."""

from __future__ import annotations

from pathlib import Path

from alteraser.errors import InvalidInput
from alteraser.models import folder
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.factorization.model import Model
from alteraser.models.relational.plain import PlainModel


def load(path: str | Path) -> Model | ExactModel | PlainModel:
    """Read a model directory of any kind; NotFound where there is none, IntegrityError for one that
    is damaged.
    """
    found = folder.load_model(Path(path))
    if not isinstance(found, Model | ExactModel | PlainModel):
        raise InvalidInput(
            f"{path} is of kind {found.kind}, which knows more than interactions: train, forget, "
            "verify, recommend, evaluate, compare and inspect take it, this does not"
        )
    return found
