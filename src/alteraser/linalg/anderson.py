"""Anderson extrapolation of a fixed-point iteration q ← T(q) (Anderson 1965; Walker & Ni, SIAM J.
Numer. Anal. 2011).

From the last few points it takes the combination whose linearized residual f = T(q) − q is
smallest,

    γ = argmin ‖f_k − ΔF γ‖,      q_{k+1} = T(q_k) − ΔT γ,

which for the nearly linear tail of alternating passes is what GMRES would do. The caller
safeguards: a point that raises the objective is thrown away and the history with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Anderson:
    """History of at most ``memory`` differences of points of one shape; inner products are weighted
    by row.

    ``weights`` (rows,) approximate the curvature of each row, so that the residual is measured as
    the objective feels it.
    """

    def __init__(self, memory: int, weights: Array) -> None:
        self.memory = memory
        self._weights = weights
        self.restart()

    def restart(self) -> None:
        """Forget the history."""
        self._images: list[Array] = []
        self._residuals: list[Array] = []
        self._last: tuple[Array, Array] | None = None

    def extrapolate(self, point: Array, image: Array) -> Array | None:
        """The next point after ``image`` = T(``point``), or None while there is no history.

        Both are (rows, d) and are not kept by reference.
        """
        residual = image - point
        image = image.copy()
        if self._last is not None:
            last_image, last_residual = self._last
            self._images.append(image - last_image)
            self._residuals.append(residual - last_residual)
            del self._images[: -self.memory], self._residuals[: -self.memory]
        self._last = (image, residual)
        if not self._images:
            return None
        gamma = self._mixing(residual)
        following = image.copy()
        for coefficient, difference in zip(gamma, self._images, strict=True):
            following -= following.dtype.type(coefficient) * difference
        return following if np.all(np.isfinite(following)) else None

    def _mixing(self, residual: Array) -> npt.NDArray[np.float64]:
        size = len(self._residuals)
        normal, right = np.empty((size, size)), np.empty(size)
        for i, a in enumerate(self._residuals):
            weighted = a * self._weights[:, None]
            right[i] = np.vdot(weighted, residual)
            for j in range(i + 1):
                normal[i, j] = normal[j, i] = np.vdot(weighted, self._residuals[j])
        scale = np.sqrt(np.diag(normal))
        scale[scale == 0] = 1.0
        solution = np.linalg.lstsq(normal / np.outer(scale, scale), right / scale, rcond=1e-9)[0]
        return np.asarray(solution / scale)


class Safeguarded:
    """A fixed-point iteration that extrapolates but never for the worse: the one safeguard there
    is.

    A pass of it has two halves. After the first, which begins at the point, the objective there is
    known: where it is above the least so far, the point was extrapolated badly; it is put back to
    the plain image it stands for, and the history goes with it, because what it has learnt was
    wrong. Both halves change the point in place.
    """

    def __init__(self, history: Anderson | None, slack: Callable[[float], float]) -> None:
        """``history`` None: nothing is extrapolated. ``slack``(best): how far above is rounding."""
        self._history, self._slack = history, slack
        self._point: Array | None = None  # before the second half
        self._plain: Array | None = None  # the image, while an extrapolated point stands in for it
        self.best = np.inf
        self.rejected = 0
        """Extrapolated points that were thrown away"""

    @property
    def extrapolates(self) -> bool:
        """False where there is no history to do it from."""
        return self._history is not None

    @property
    def extrapolated(self) -> bool:
        """True while the pass is one from an extrapolated point."""
        return self._plain is not None

    def extrapolate(self, image: Array) -> None:
        """Between passes: ``image`` is T of the last point, and becomes the next."""
        self._plain = None
        if self._history is None or self._point is None:
            return
        following = self._history.extrapolate(self._point, image)
        if following is not None:
            self._plain = image.copy()
            image[:] = following

    def halfway(self, point: Array, value: float, again: Callable[[], float]) -> float:
        """After the first half: ``value``, or what ``again`` finds after the point has been put
        back.
        """
        if self._history is None:
            return value
        if self._plain is not None and not value <= self.best + self._slack(self.best):
            self.rejected += 1
            point[:] = self._plain
            self._plain = None
            self._history.restart()
            value = again()
        self.best = min(self.best, value)
        self._point = point.copy()
        return value
