"""What is minimized: the objective, its configuration, and the factors it is a function of."""

from alteraser.models.factors import Factors
from alteraser.models.objective import Objective
from alteraser.models.problem import Problem, Side

__all__ = ["Factors", "Objective", "Problem", "Side"]
