"""``--solver joint``, as settings: what a run with steps on both sides at once is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from alteraser.errors import InvalidInput
from alteraser.solvers.rows.ah_newton import AHNewton


@dataclass(frozen=True)
class JointNewton:
    """``--solver joint``: exact rows while far from a solution, then steps on both sides at
    once.
    """

    name: str = "joint"
    rows: AHNewton = field(default_factory=AHNewton)
    """What solves rows in the passes before, and at the end"""
    forcing: float = 0.1
    """A step ends once ‖r‖_{B⁻¹} is this share of what it was."""
    products: int = 100
    """Iterations that one step may take."""
    near: float = 0.02
    """Passes come first until ‖∇L‖_{B⁻¹} / ‖Θ‖_B is below this: further away a quadratic model is
    of little use."""
    weak: int = 6
    """Weak directions of the factors, of which the slow space is made; 0: none is used."""
    discarded: int = 12
    """Discarded directions in it, see ``alteraser.solvers.slow``."""
    memory: int = 10
    """Pairs of steps and gradients kept on the way, see ``alteraser.solvers.descent``; 0: Newton
    steps instead, each solved to ``forcing``."""
    slow_below: float = 1e-2
    """‖∇L‖_{B⁻¹} / ‖Θ‖_B from which the slow space is used: further away the residuals say little
    about the solution, and the gradient along quick directions is what has to go."""

    def __post_init__(self) -> None:
        if not (0 < self.forcing < 1 and self.near > 0 and self.products >= 1):
            raise InvalidInput(
                "JointNewton: forcing lies between 0 and 1, near is above 0, products at least 1"
            )
        if min(self.weak, self.discarded, self.memory) < 0:
            raise InvalidInput(
                "JointNewton: weak, discarded and memory are numbers of directions, at least 0"
            )
