"""One trial: a model trained at a point, from the solution before it, and its accuracy on the
validation cut.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from alteraser.data.files import replace_file
from alteraser.data.interactions import Interactions
from alteraser.erasers.driver import Settings, Watch, run_passes
from alteraser.errors import IntegrityError
from alteraser.models import Factors, Objective, Problem
from alteraser.models.factorization.model import Model, TrainedOn
from alteraser.solvers import JointNewton
from alteraser.verbs.evaluate import evaluate
from alteraser.verbs.tune.grid import GridPoint

GROUPS = 10
"""Groups of users whose spread gives the standard error of NDCG."""


@dataclass(frozen=True)
class Trial:
    """What came out at a point."""

    point: GridPoint
    ndcg: float
    """NDCG@10 on the validation cut"""
    error: float
    """its standard error, over groups of users"""
    recall: float
    """Recall@10"""
    passes: int
    products: int
    stationarity: float
    converged: bool

    def to_document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "point": vars(self.point)}


def objective_of(point: GridPoint) -> Objective:
    """The objective that ``point`` stands for: uniform weights, plain λ."""
    return Objective(missing_weight=point.missing_weight, regularization=point.regularization)


def run_trial(
    point: GridPoint,
    train: Interactions,
    held_out: list[Interactions],
    start: Factors,
    *,
    tolerance: float,
    max_passes: int,
    threads: int,
    watch: Watch | None = None,
) -> tuple[Trial, Factors]:
    """Train at ``point`` from ``start`` to the relative stationarity ``tolerance``; measure on
    ``held_out`` groups.
    """
    problem = Problem(objective_of(point), train, start.dtype)
    settings = Settings(JointNewton(), tolerance, max_passes, threads=threads)
    outcome = run_passes(problem, start, settings, watch=watch)
    model = as_model(outcome.factors, point, train)
    scores = [evaluate(model, group, data=train, depths=(10,)) for group in held_out]
    weights = np.array([score["users"] for score in scores])
    ndcg = np.array([score["ndcg@10"] for score in scores])
    mean = float(np.average(ndcg, weights=weights))
    error = float(np.std(ndcg, ddof=1) / np.sqrt(len(scores))) if len(scores) > 1 else 0.0
    recall = float(np.average([score["recall@10"] for score in scores], weights=weights))
    trial = Trial(
        point,
        mean,
        error,
        recall,
        outcome.passes,
        outcome.products,
        outcome.residual,
        outcome.converged,
    )
    return trial, outcome.factors


def as_model(factors: Factors, point: GridPoint, train: Interactions) -> Model:
    """A model to recommend with, not to save."""
    none = TrainedOn("", train.users.size, train.items.size, len(train))
    return Model(
        factors, objective_of(point), users=train.users, items=train.items, trained_on=none
    )


class Folder:
    """Finished trials on disk, so that a run can go on where it ended."""

    def __init__(self, path: Path, signature: dict[str, Any]) -> None:
        """Open or make ``path``; IntegrityError if it holds trials of other data or settings."""
        self.path = path
        stored = path / "settings.json"
        text = json.dumps(signature, indent=1, sort_keys=True)
        if stored.exists():
            if stored.read_text("utf-8") != text:
                raise IntegrityError(
                    f"{path} holds trials of other data or settings; name another --out folder, "
                    "or delete this one"
                )
        else:
            replace_file(stored, text.encode())

    def get(self, point: GridPoint) -> tuple[Trial, Factors] | None:
        """The finished trial of ``point`` and its factors, or None."""
        record, arrays = self._files(point)
        if not record.exists() or not arrays.exists():
            return None
        try:
            found = json.loads(record.read_text("utf-8"))
            factors = load(arrays.read_bytes())
            trial = Trial(**{**found, "point": GridPoint(**found["point"])})
        except (ValueError, TypeError, KeyError) as cause:
            raise IntegrityError(
                f"{record} is not a finished trial ({cause}); delete it and run again"
            ) from cause
        return trial, Factors(factors["users"], factors["items"], factors["prediction"])

    def put(self, trial: Trial, factors: Factors) -> None:
        """Store a finished trial; its record last, so that it never stands without its factors."""
        record, arrays = self._files(trial.point)
        replace_file(
            arrays, save({name: np.ascontiguousarray(x) for name, x in vars(factors).items()})
        )
        replace_file(record, json.dumps(trial.to_document(), indent=1).encode())

    def _files(self, point: GridPoint) -> tuple[Path, Path]:
        folder = self.path / "trials"
        return folder / f"{point.key}.json", folder / f"{point.key}.safetensors"
