"""Value, gradient, products with the Hessian and minimization of linear models of several
relations.
"""

from alteraser.solvers.relational.evaluation import Evaluation, evaluate, hessian_product, scores

__all__ = ["Evaluation", "evaluate", "hessian_product", "scores"]
