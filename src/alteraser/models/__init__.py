"""What is minimized: the objective, its configuration, and the factors it is a function of."""

from alteraser.models.factorization.factors import Factors
from alteraser.models.factorization.objective import Objective
from alteraser.models.factorization.problem import Problem, Side

__all__ = ["Factors", "Objective", "Problem", "Side"]
