"""Training a model from scratch with the machinery that also forgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, field_validator

from alteraser.data.interactions import Interactions
from alteraser.erasers.driver import OnPass, Outcome
from alteraser.erasers.recipe import Recipe
from alteraser.errors import InvalidInput
from alteraser.models import Factors, Objective, Problem
from alteraser.models.closed_form.rule import of_pairs
from alteraser.models.factorization.defaults import objective_for
from alteraser.models.factorization.magnitudes import check_magnitudes
from alteraser.models.factorization.model import Model, TrainedOn
from alteraser.models.factorization.objective import Scaling, Weighting
from alteraser.runtime import events
from alteraser.runtime.workers import default_threads
from alteraser.settings import Configured
from alteraser.solvers import SOLVERS
from alteraser.solvers.limits import DEFAULT
from alteraser.solvers.stationarity import evaluate

if TYPE_CHECKING:
    from alteraser.data.readers import ReadingOptions


class ENMF(Configured):
    """Weighted matrix factorization over all cells (ENMF; Chen et al., TOIS 2020), trained by
    AH-Newton passes and joint steps.

    The objective is that of ``Objective``; ``missing_weight`` and ``regularization`` left at None
    are taken from the data (``alteraser.models.factorization.defaults``).

    >>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
    >>> model = ENMF(factors=2, regularization=0.1, missing_weight=0.1).fit(data)
    >>> model.recommend([0], k=2).to_list()[0]["items"][0]["item_id"]
    0
    """

    factors: int = Field(default=64, ge=1, le=4096)
    """d, the length of every embedding."""
    missing_weight: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    """w₀; None: from the data."""
    regularization: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    """λ; None: from the data."""
    missing_weighting: Weighting = "uniform"
    weight_exponent: float = Field(default=0.5, ge=0.0, le=2.0)
    regularization_scaling: Scaling = "none"
    scaling_offset: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    scaling_exponent: float = Field(default=1.0, ge=0.0, le=2.0)
    train_prediction: bool = False
    """Train the prediction vector h (then passes are not accelerated and convergence is slow)."""
    solver: str = "joint"
    """A name in ``alteraser.solvers.SOLVERS``; ``joint``: exact rows first, then Newton on both
    sides at once."""
    tolerance: float = Field(default=1e-5, ge=0.0, allow_inf_nan=False)
    """Stop when ‖∇L‖_{B⁻¹} / ‖Θ‖_B is at most this; 1e-5 tells single requests from training
    noise."""
    max_passes: int = Field(default=1000, ge=1)
    memory: int = Field(default=6, ge=0)
    """Anderson's memory; 0 for plain passes."""
    to_rest: bool = False
    """Go on from the tolerance until the model is measured to be at its optimum, to the limits of a
    class C: then forgetting can be that too, at a tenth of the cost or less. With the solver
    ``joint``."""
    confirm: bool = False
    """At the tolerance, look for negative curvature with joint steps and go on if there is some
    (costly)."""
    dtype: Literal["float32", "float64"] = "float32"
    seed: int = Field(default=0, ge=0)
    threads: int = Field(default=0, ge=0)
    """0: every processor this process may use."""

    @field_validator("solver")
    @classmethod
    def _known_solver(cls, name: str) -> str:
        if name not in SOLVERS:
            raise ValueError(f"unknown solver {name!r}; there are {', '.join(SOLVERS)}")
        return name

    def objective(self, data: Interactions) -> Objective:
        """The objective this configuration stands for on ``data``."""
        return objective_for(
            data,
            self.missing_weight,
            self.regularization,
            **self.model_dump(
                include={
                    "missing_weighting",
                    "weight_exponent",
                    "regularization_scaling",
                    "scaling_offset",
                    "scaling_exponent",
                }
            ),
        )

    def fit(
        self,
        data: Interactions,
        *,
        reading: ReadingOptions | None = None,
        on_pass: OnPass | None = None,
    ) -> Model:
        """Train on ``data``: passes until the tolerance or the cap. InvalidInput if there are no
        interactions.

        ``reading`` is kept in the model so that later commands read data the same way; ``on_pass``
        is called with a ``PassRecord`` after each pass.
        """
        return self.run(data, reading=reading, on_pass=on_pass)[0]

    @events.verb("train")
    def run(
        self,
        data: Interactions,
        *,
        reading: ReadingOptions | None = None,
        on_pass: OnPass | None = None,
    ) -> tuple[Model, Outcome]:
        """``fit``, with the driver's outcome (trace, residual, work) beside the model."""
        if len(data) == 0:
            raise InvalidInput("there are no interactions to train on")
        if data.events is not None:
            raise InvalidInput(of_pairs("enmf", data.events.grouping.name))
        objective = self.objective(data)
        if reading is not None:
            objective = objective.model_copy(
                update={"confidence": reading.confidence, "target": reading.target}
            )
        check_magnitudes(objective, data)
        dtype = np.dtype(self.dtype)
        recipe = Recipe(
            seed=self.seed,
            solver=self.solver,
            tolerance=self.tolerance,
            max_passes=self.max_passes,
            memory=self.memory,
            train_prediction=self.train_prediction,
            confirm=self.confirm,
            limits=DEFAULT if self.to_rest else None,
        )
        threads = self.threads or default_threads()
        problem = Problem(objective, data, dtype)
        start = Factors.random(*data.shape, self.factors, seed=self.seed, dtype=dtype)
        before = evaluate(problem, start, threads=threads).objective
        outcome = recipe.run(
            problem, self.factors, threads=threads, on_pass=events.passes(on_pass), rest=True
        )
        training = {
            "method": "train",
            "solver": self.solver,
            "passes": outcome.passes,
            "products": outcome.products,
            "rows_updated": outcome.rows_updated,
            "objective_before": before,
            "objective": outcome.objective,
            "residual": outcome.residual,
            "tolerance": self.tolerance,
            "converged": outcome.converged,
            "memory": self.memory,
            "seed": self.seed,
            "train_prediction": self.train_prediction,
            "recipe": recipe.model_dump(),
            "distance": outcome.least,
            "rest": outcome.rest,
        }
        users = data.users.without(
            np.flatnonzero(data.user_counts == 0)
        )  # a model names nobody of whom it holds nothing
        model = Model(
            outcome.factors,
            objective,
            users=users,
            items=data.items,
            trained_on=TrainedOn.of(data),
            reading=reading,
            training=training,
        )
        return model, outcome
