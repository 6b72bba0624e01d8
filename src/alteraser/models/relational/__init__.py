"""Linear models of several tables and relations: what they are made of, and what is minimized.

Entities live in tables E_t (N_t × d). A relation r between a source and a target table scores

    ŷ = (A_r E_s) diag(h_r) (B_r E_t)ᵀ,        A_r, B_r fixed by the data: ``Operator``

and the loss is Σ_r β_r Σ_cells w (y − ŷ)² + Σ_r λ_r ‖h_r − 1‖² + Σ_t Σ_i λρ_ti ‖e_ti‖², over all
cells of every relation, missing ones included. ENMF is one relation of two tables under the
identity; side features and contexts are sparse operators; LightGCN is a propagation over one table;
a knowledge graph is more relations over a shared table.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alteraser.models.relational.operators import (
        Identity,
        Operator,
        Part,
        Product,
        Propagation,
        Sparse,
        normalized,
        stacked,
    )
    from alteraser.models.relational.problem import LinearProblem, Point
    from alteraser.models.relational.relations import Cells, MissingWeights, Relation
    from alteraser.models.relational.tables import Table

__all__ = [
    "Cells",
    "Identity",
    "LinearProblem",
    "MissingWeights",
    "Operator",
    "Part",
    "Point",
    "Product",
    "Propagation",
    "Relation",
    "Sparse",
    "Table",
    "normalized",
    "stacked",
]

_WHERE = {
    "problem": ("LinearProblem", "Point"),
    "relations": ("Cells", "MissingWeights", "Relation"),
    "tables": ("Table",),
}


def __getattr__(name: str) -> Any:  # so that the settings of kinds come without NumPy
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((module for module, names in _WHERE.items() if name in names), "operators")
    return getattr(import_module(f"{__name__}.{module}"), name)
