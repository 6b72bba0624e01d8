"""The least curvature that conjugate gradients meets."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.linalg.ahead import smallest_ritz
from alteraser.solvers.recycled import Recycled
from alteraser.solvers.slow import SlowSpace

Array = npt.NDArray[Any]


class Curvatures:
    """The least curvature xᵀSx / xᵀB_Qx that conjugate gradients has met, an estimate from above of
    the least there is.

    With B_Q as the preconditioner, the least Ritz value; a slow space takes the small ones out of
    the iteration, so then the least of its own and those of the single steps.
    """

    def __init__(self, slow: SlowSpace | Recycled | None) -> None:
        self._steps: list[float] = []
        self._turns: list[float] = []
        self._slow = slow is not None
        positive = slow.values[slow.values > 0] if slow is not None else np.empty(0)
        self._least = float(positive.min(initial=np.inf))

    def met(self, step: float, turn: float, curvature: float, p: Array, Bp: Array) -> float:
        """After a step α along p with pᵀSp = ``curvature``, and with the next β."""
        if self._slow:
            self._least = min(self._least, curvature / float(np.vdot(p, Bp)))
            return self._least
        self._steps.append(step)
        self._turns.append(turn)
        return smallest_ritz(self._steps, self._turns)
