"""What is said of a model whose every score is 0."""

from __future__ import annotations

SENSIBLE = 0.2
"""Of the λ from which on everything is zero: leaves a model that tells users apart"""


def outweighed(own: float, critical: float | None) -> str:
    """Why, at λ = ``own``, and which λ to take; ``critical``: from which on that is the optimum."""
    if not critical:
        return (
            f"every score is 0: there is nothing to learn in these data (λ = {own:.3g}); give "
            "more data"
        )
    return (
        f"every score is 0: λ = {own:.3g} outweighs these data. From λ = {critical:.3g} on that "
        f"is the optimum; try --regularization {SENSIBLE * critical:.2g}, or give more data"
    )
