"""Choosing d, w₀ and λ on a validation cut: accuracy and forgettability side by side.

A retrained model is only as well defined as its regularization makes it. So next to accuracy
``tune`` reports how well defined the solution of every finalist is: whether two seeds agree, how
flat L is, and what convergence costs.
"""

from alteraser.verbs.tune.grid import Grid, GridPoint
from alteraser.verbs.tune.search import Finalist, Tuned, tune

__all__ = ["Finalist", "Grid", "GridPoint", "Tuned", "tune"]
