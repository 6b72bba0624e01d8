"""Value, gradient, products with the Hessian and minimization of linear models of several
relations.
"""

from alteraser.solvers.relational.evaluation import (
    LinearEvaluation,
    evaluate,
    hessian_product,
    scores,
)
from alteraser.solvers.relational.goal import Goal
from alteraser.solvers.relational.minimize import Reached, minimize
from alteraser.solvers.relational.preconditioner import Preconditioner

__all__ = [
    "Goal",
    "LinearEvaluation",
    "Preconditioner",
    "Reached",
    "evaluate",
    "hessian_product",
    "minimize",
    "scores",
]
