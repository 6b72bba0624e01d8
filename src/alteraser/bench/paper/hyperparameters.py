"""Hyper-parameters per data set, in one typed file that ``alteraser bench tune-paper`` writes."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field

from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput, NotFound
from alteraser.models import Objective
from alteraser.models.factorization.defaults import defaults
from alteraser.settings import Configured

Kind = Literal["enmf", "gmf"]


class HyperParameters(Configured):
    """What a run of the experiments needs to know about a data set."""

    factors: int = Field(default=64, ge=1)
    missing_weight: float = Field(ge=0.0)
    """w₀"""
    regularization: float = Field(ge=0.0)
    """λ"""
    learning_rate: float = Field(default=0.01, gt=0.0)
    """Of AdamW, for training and for the warm start."""
    batch_users: int = Field(default=256, ge=0)
    max_epochs: int = Field(default=500, ge=1)
    patience: int = Field(default=10, ge=1)
    """Looks at the cut for early stopping without a better score."""
    evaluate_every: int = Field(default=2, ge=1)
    """Epochs between two looks."""
    passes: int = Field(default=5, ge=1)
    """Passes of AltEraser, the touched one included; the paper gives no stop rule."""
    note: str = ""
    """Where the values come from."""

    def objective(self, weighting: str = "uniform") -> Objective:
        """The objective, with one of the three schemes of missing weights."""
        return Objective(
            missing_weight=self.missing_weight,
            regularization=self.regularization,
            missing_weighting=weighting,  # type: ignore[arg-type]
        )


class HyperParameterFile(Configured):
    """The file: one entry per data set and kind of model."""

    enmf: dict[str, HyperParameters] = Field(default_factory=dict)
    gmf: dict[str, HyperParameters] = Field(default_factory=dict)
    factors: int = Field(default=64, ge=1)
    """Of data sets that have no entry."""

    def with_factors(self, factors: int) -> HyperParameterFile:
        """The same with embeddings of that length everywhere."""
        of = {"factors": factors}
        kinds = {
            kind: {name: entry.model_copy(update=of) for name, entry in getattr(self, kind).items()}
            for kind in get_args(Kind)
        }
        return HyperParameterFile(**kinds, factors=factors)

    def of(self, dataset: str, data: Interactions, kind: Kind = "enmf") -> HyperParameters:
        """The entry of ``dataset``, or the defaults for data like these."""
        known: HyperParameters | None = getattr(self, kind).get(dataset)
        if known is not None:
            return known
        rule = defaults(data)
        if kind == "gmf":
            # a missing cell's logistic loss is flatter than its square: the weight drawn negatives
            # would have
            return HyperParameters(
                factors=self.factors,
                missing_weight=0.1,
                regularization=0.25 * rule.regularization,
                max_epochs=300,
                note="default",
            )
        return HyperParameters(
            factors=self.factors,
            missing_weight=rule.missing_weight,
            regularization=rule.regularization,
            note="default rule",
        )


def load_hyperparameters(path: Path | None = None) -> HyperParameterFile:
    """The file at ``path``, or the one that comes with the package. NotFound or InvalidInput."""
    if path is None:
        text = (
            resources.files("alteraser.bench.paper")
            .joinpath("hyperparameters.json")
            .read_text("utf-8")
        )
        return HyperParameterFile.model_validate_json(text)
    try:
        document: Any = json.loads(path.read_text("utf-8"))
        return HyperParameterFile.model_validate(document)
    except OSError as cause:
        raise NotFound(f"{path}: {cause.strerror or cause}") from cause
    except ValueError as cause:
        raise InvalidInput(f"{path} is not a file of hyper-parameters: {cause}") from cause
