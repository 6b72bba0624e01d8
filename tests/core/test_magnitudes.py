"""Weights, targets and regularizations out of range are refused by name, in training and in
forgetting."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from alteraser import ENMF, Interactions, forget
from alteraser.errors import InvalidInput, NumericFailure
from alteraser.models.factorization.magnitudes import LEAST, MOST
from alteraser.models.relational.lightgcn import LinearLightGCN
from alteraser.verbs.relational.train import train


def data(**columns: float) -> Interactions:
    """Six users, six items; the named column is 1 but for the fifth row."""
    pairs = [(f"u{u}", f"i{v}") for u in range(6) for v in range(u % 3, 6, 3)]
    table = {"user_id": [u for u, _ in pairs], "item_id": [v for _, v in pairs]}
    for name, value in columns.items():
        table[name] = [value if place == 4 else 1.0 for place in range(len(pairs))]
    return Interactions.from_table(pa.table(table))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [1e30, 1e300, 1e-40, 1e-310])
def test_absurd_numbers_are_named(value: float, dtype: str) -> None:
    settings = {"factors": 2, "dtype": dtype}
    for column in ("confidence", "target"):
        with pytest.raises(
            InvalidInput, match=rf"{column} of user u2 and item i2: .* is out of range"
        ):
            ENMF(**settings).fit(data(**{column: value}))
    for name in ("regularization", "missing_weight"):
        with pytest.raises(InvalidInput, match=rf"{name.replace('_', ' ')}: .* is out of range"):
            ENMF(**settings, **{name: value}).fit(data())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [LEAST, 1e-12, 1e9, MOST])
def test_what_is_allowed_ends_in_a_model_or_a_message_about_it(value: float, dtype: str) -> None:
    for settings in ({"regularization": value}, {"missing_weight": value}):
        model = ENMF(factors=2, dtype=dtype, **settings).fit(data())
        assert np.all(np.isfinite(model.factors.users))
    for column in ("confidence", "target"):
        said = None
        try:
            model = ENMF(factors=2, dtype=dtype, max_passes=20).fit(data(**{column: value}))
        except NumericFailure as cause:
            said = str(cause)
        if said is None:
            assert np.all(np.isfinite(model.factors.users))
        else:
            assert value >= 1e9
            assert f"the {column}s go up to {value:.3g}" in said


@pytest.mark.parametrize("exponent", [1.0, 2.0])
@pytest.mark.parametrize("penalty", [0.1, None])
@pytest.mark.parametrize("kind", ["enmf", "linear-lightgcn"])
def test_scalings_that_overflow_are_named(
    kind: str, penalty: float | None, exponent: float
) -> None:
    scaling: dict[str, Any] = {
        "factors": 2,
        "regularization": penalty,
        "regularization_scaling": "frequency",
        "scaling_offset": 1e200,
        "scaling_exponent": exponent,
    }
    fit = ENMF(**scaling).fit if kind == "enmf" else partial(train, LinearLightGCN(**scaling))
    with pytest.raises(InvalidInput, match=r"scaled regularization: .* Lower the offset κ"):
        fit(data())


def test_added_interactions_are_looked_at_too() -> None:
    model = ENMF(factors=2, regularization=0.5).fit(data())
    with pytest.raises(InvalidInput, match="confidence of user u2 and item i2"):
        forget(model, [("u0", "i0")], data=data(confidence=1e30), grown=True)
