"""Losses by name, for containers that hold nothing but factors: ``--loss NAME``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alteraser.adapters.als import ALS
from alteraser.adapters.contract import ForeignLoss, settled
from alteraser.adapters.options import ForeignOptions
from alteraser.errors import InvalidInput
from alteraser.models import Objective

Builder = Callable[[Path, ForeignOptions, int], ForeignLoss]
"""From the file (for messages), the options and the number of factors."""


def named_loss(path: Path, options: ForeignOptions, factors: int) -> ForeignLoss:
    """The loss that ``options`` name. Raises InvalidInput where none is named, or what it needs is
    missing.
    """
    if options.loss is None:
        raise InvalidInput(
            f"{path} holds factors and does not say what they minimize: name it with --loss, one "
            "of " + ", ".join(LOSSES),
            path=str(path),
        )
    if options.loss not in LOSSES:
        raise InvalidInput(f"--loss {options.loss}: unknown; there are {', '.join(LOSSES)}")
    return LOSSES[options.loss](path, options, factors)


def _regularization(path: Path, options: ForeignOptions) -> float:
    return float(settled("regularization", "--regularization", None, options.regularization, path))


def _implicit(path: Path, options: ForeignOptions, factors: int) -> ForeignLoss:
    """C = α r, as in implicit."""
    alpha = float(settled("alpha", "--alpha", None, options.alpha, path))
    objective = Objective(missing_weight=1.0, regularization=_regularization(path, options))
    return ALS(objective, alpha, exact="either", leaves=3e-3, worst=2e-2)


def _lenskit(path: Path, options: ForeignOptions, factors: int) -> ForeignLoss:
    """C = 1 + w r, solved by Cholesky, users before items: LensKit's ImplicitMF (2025.8), w from
    --alpha.
    """
    alpha = float(settled("weight", "--alpha", None, options.alpha, path))
    objective = Objective(missing_weight=1.0, regularization=_regularization(path, options))
    return ALS(objective, alpha, 1.0, exact="item", leaves=1e-3, name="LensKit ImplicitMF")


def _explicit(path: Path, options: ForeignOptions, factors: int) -> ForeignLoss:
    """Squared error on the observed ratings."""
    objective = Objective(missing_weight=0.0, regularization=_regularization(path, options))
    return ALS(objective, exact="either", leaves=3e-3, worst=2e-2, name="explicit ALS")


def _weighted(path: Path, options: ForeignOptions, factors: int) -> ForeignLoss:
    """C = 1 on observed cells, w₀ on missing ones (ENMF; Chen et al., TOIS 2020)."""
    missing = float(
        settled("missing weight", "--missing-weight", None, options.missing_weight, path)
    )
    objective = Objective(missing_weight=missing, regularization=_regularization(path, options))
    return ALS(objective, 0.0, 1.0, exact="either", leaves=3e-3, worst=2e-2, name="weighted MF")


def _svd(path: Path, options: ForeignOptions, factors: int) -> ForeignLoss:
    """½ (r − p·q)² and a ridge at every rating, by stochastic gradients: SVD without biases,
    PMF.
    """
    from alteraser.adapters.row_losses import svd

    return svd(_regularization(path, options), biased=False)


def _bpr(path: Path, options: ForeignOptions, factors: int) -> ForeignLoss:
    """BPR with uniform negatives and weight decay."""
    from alteraser.adapters.row_losses import recbole_bpr

    return recbole_bpr(_regularization(path, options))


LOSSES: dict[str, Builder] = {
    "implicit-als": _implicit,
    "lenskit-als": _lenskit,
    "explicit-als": _explicit,
    "weighted-mf": _weighted,
    "svd": _svd,
    "bpr": _bpr,
}
"""Losses by their name on the command line."""
