"""What a linear kind is: settings, and the problem that they make of interactions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from alteraser.errors import InvalidInput
from alteraser.runtime.late import late
from alteraser.settings import Configured

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.interactions import Interactions
    from alteraser.models.factorization.objective import Objective
    from alteraser.models.relational.problem import LinearProblem, Point

    Float64 = npt.NDArray[np.float64]
else:
    np = late("numpy")


class LinearSettings(Configured, ABC):
    """Settings of a recommender whose loss is that of ``LinearProblem``.

    The problem is a function of settings and data alone: after forgetting it is made of what
    remains, graph, weights and statistics included, and the model goes to its optimum.
    """

    name: ClassVar[str]
    """Its name on the command line"""
    summary: ClassVar[str]
    """What it is, in a few words"""
    grid: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """Values of settings that ``alteraser tune`` tries; λ and w₀ are tried around the data's own"""

    factors: int = Field(default=64, ge=1, le=4096, description="d, the length of every embedding")
    seed: int = Field(default=0, ge=0, description="Of the random start")
    max_passes: int = Field(default=5000, ge=1, description="Cap on iterations")
    continuation: float = Field(
        default=1.0,
        ge=1.0,
        le=1e6,
        allow_inf_nan=False,
        description="how many times itself λ may come down from; 1: not at all",
    )

    def own(self) -> dict[str, Any]:
        """Settings as JSON values, for a manifest."""
        return self.model_dump(mode="json")

    @abstractmethod
    def settled(self, data: Any) -> Self:
        """These settings with what is taken from ``data`` in training, and stays in forgetting."""

    @property
    @abstractmethod
    def of_data(self) -> tuple[float, float]:
        """(w₀, λ) of DATA, of ``settled`` settings."""

    def changed(self, values: Mapping[str, Any]) -> Self:
        """With other values, by the names of options; WrongSetting for one that cannot be."""
        return type(self).model_validate({**self.own(), **values})


class LinearKind(LinearSettings):
    """Settings of a linear kind that learns from interactions alone; its fields are options of
    ``alteraser train``.
    """

    missing_weight: float | None = Field(
        default=None, ge=0.0, allow_inf_nan=False, description="w0 of missing cells; from the data"
    )
    regularization: float | None = Field(
        default=None, gt=0.0, allow_inf_nan=False, description="λ; from the data"
    )
    missing_weighting: Literal["uniform", "popularity", "activity"] = Field(
        default="uniform", description="what missing cells weigh by"
    )
    weight_exponent: float = Field(default=0.5, ge=0.0, le=2.0, description="α of these weights")
    regularization_scaling: Literal["none", "frequency"] = Field(
        default="none", description="what λ of a row grows with: none, or frequency"
    )
    scaling_offset: float = Field(
        default=0.0, ge=0.0, allow_inf_nan=False, description="κ of the scaling"
    )
    scaling_exponent: float = Field(default=1.0, ge=0.0, le=2.0, description="ν of the scaling")

    @classmethod
    def of_events(cls) -> bool:
        """Whether it is of events in sessions or baskets: never."""
        return False

    @abstractmethod
    def settled(self, data: Interactions) -> Self:
        """See ``LinearSettings``."""

    @property
    def of_data(self) -> tuple[float, float]:
        """See ``LinearSettings``."""
        assert self.missing_weight is not None
        assert self.regularization is not None
        return self.missing_weight, self.regularization

    def objective(self, data: Interactions, *, share: float = 1.0) -> Objective:
        """Weights and regularization, with what is not set taken from ``data``; ``share`` of λ."""
        from alteraser.models.factorization.defaults import objective_for

        return objective_for(
            data,
            self.missing_weight,
            self.regularization,
            share=share,
            missing_weighting=self.missing_weighting,
            weight_exponent=self.weight_exponent,
            regularization_scaling=self.regularization_scaling,
            scaling_offset=self.scaling_offset,
            scaling_exponent=self.scaling_exponent,
        )

    @abstractmethod
    def problem(self, data: Interactions) -> LinearProblem:
        """What is minimized on ``data``, in their rows; of ``settled`` settings."""

    @abstractmethod
    def fitted(
        self, tables: dict[str, Float64], before: tuple[int, int], data: Interactions
    ) -> dict[str, Float64]:
        """``tables`` of a model with ``before`` rows of users and items, in the rows of ``data``:
        those that joined are nothing.
        """

    @abstractmethod
    def emptied(self, point: Point, data: Interactions) -> Point:
        """A copy of ``point`` without what is of users and items who have nothing in ``data``."""

    def composed(self, problem: LinearProblem, point: Point) -> tuple[Float64, Float64]:
        """(users (m, k), items (n, k)) whose inner products are the scores that lists are made of:
        the first relation's.
        """
        raise NotImplementedError

    def compacted(
        self, tables: dict[str, Float64], shape: tuple[int, int], rows: tuple[Any, Any]
    ) -> dict[str, Float64]:
        """``tables`` when only ``rows`` of users and items are left, numbered anew.

        Raises InvalidInput where the loss counts rows without interactions.
        """
        raise InvalidInput(f"a model of kind {self.name} cannot be compacted")
