"""Factors in the folder of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from alteraser.errors import IntegrityError, NumericFailure
from alteraser.models import Factors, Objective
from alteraser.models.factorization.model import Model

KIND = "enmf"


class FactorCodec:
    """Factors: user_embeddings m×d, item_embeddings n×d, prediction d, and the objective they
    minimize.
    """

    keys = frozenset({"objective"})

    def tensors(self, model: Model) -> dict[str, Any]:
        """The three arrays."""
        if not all(np.all(np.isfinite(a)) for a in vars(model.factors).values()):
            raise NumericFailure(
                "the factors hold NaN or infinite entries; such a model is never written"
            )
        return {
            "user_embeddings": model.factors.users,
            "item_embeddings": model.factors.items,
            "prediction": model.factors.prediction,
        }

    def entries(self, model: Model) -> dict[str, Any]:
        """dtype, shape and objective."""
        m, n = model.factors.users.shape[0], model.factors.items.shape[0]
        return {
            "dtype": model.factors.dtype.name,
            "shape": {"users": m, "items": n, "factors": model.factors.rank},
            "objective": model.objective.model_dump(),
        }

    def rows(self, manifest: dict[str, Any], tensors: dict[str, Any]) -> tuple[int, int]:
        """Those of the embeddings."""
        return tensors["user_embeddings"].shape[0], tensors["item_embeddings"].shape[0]

    def build(
        self, manifest: dict[str, Any], tensors: dict[str, Any], common: dict[str, Any], path: Path
    ) -> Model:
        """See ``Codec``; NumericFailure for entries that are not finite."""
        if len(tensors) != 3:
            raise IntegrityError(
                f"{path} holds {', '.join(sorted(tensors))}, expected three tensors"
            )
        factors = Factors(
            tensors["user_embeddings"], tensors["item_embeddings"], tensors["prediction"]
        )
        if factors.dtype.name not in ("float32", "float64") or any(
            a.dtype != factors.dtype for a in (factors.items, factors.prediction)
        ):
            raise IntegrityError(
                f"{path}: expected float32 or float64 throughout, found {factors.dtype}"
            )
        if not all(np.all(np.isfinite(a)) for a in vars(factors).values()):
            raise NumericFailure(f"{path} holds NaN or infinite entries; such a model is not used")
        return Model(
            factors=factors, objective=Objective(**manifest["objective"]), kind=KIND, **common
        )


CODECS = {KIND: FactorCodec()}
