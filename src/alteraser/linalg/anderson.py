"""Anderson extrapolation of a fixed-point iteration q ← T(q) (Anderson 1965; Walker & Ni, SIAM J. Numer. Anal. 2011).

From the last few points it takes the combination whose linearized residual f = T(q) − q is smallest,

    γ = argmin ‖f_k − ΔF γ‖,      q_{k+1} = T(q_k) − ΔT γ,

which for the nearly linear tail of alternating passes is what GMRES would do. The caller safeguards: a point that
raises the objective is thrown away and the history with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Anderson:
    """History of at most ``memory`` differences of points of one shape; inner products are weighted by row.

    ``weights`` (rows,) approximate the curvature of each row, so that the residual is measured as the objective
    feels it.
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
