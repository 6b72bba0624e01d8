"""Preconditioners of the reduced Hessian S of the items: B_Q⁻¹, and what is made of it.

    BlockInverse   B_Q⁻¹
    Deflated       B_Q⁻¹ + W (w⁻¹ − 1) Wᵀ, W a slow space or directions that a solve has found
    Eased          the inverse of blocks with lighter heavy cells, see ``solvers.easing``

Each is called with r (n, w). ``image`` gives what conjugate gradients need beside it: B_Q is a part
of S, and B_Q M⁻¹ r costs less here than a product of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from alteraser.solvers.one_side import OneSide, Operators, dot
from alteraser.solvers.rows.protocol import aligned

Array = npt.NDArray[Any]

Image = tuple[Array, Array, float]
"""(M⁻¹r, B_Q M⁻¹r, rᵀB_Q⁻¹r); of ``Eased`` the last with its own blocks"""


class Space(Protocol):
    """Directions of the items along which S bends little."""

    def correction(self, residual: Array) -> Array:
        """W (w⁻¹ − 1) Wᵀ r."""
        ...


class ItemPreconditioner(Protocol):
    """M⁻¹, an approximation of S⁻¹."""

    @property
    def is_of_blocks(self) -> bool:
        """Whether M is B_Q but for directions that are known."""
        ...

    def __call__(self, r: Array) -> Array:
        """M⁻¹ r."""
        ...

    def image(self, r: Array) -> Image:
        """M⁻¹ r and what goes with it."""
        ...


@dataclass(frozen=True)
class BlockInverse:
    """B_Q⁻¹"""

    items: Operators
    is_of_blocks = True

    def __call__(self, r: Array) -> Array:
        """B_Q⁻¹ r."""
        return self.items.solve(r)

    def image(self, r: Array) -> Image:
        """B_Q of it is r itself."""
        z = self.items.solve(r)
        return z, r, dot(r, z)


@dataclass(frozen=True)
class Deflated:
    """B_Q⁻¹, and more of it along the directions of a space."""

    items: OneSide
    space: Space
    is_of_blocks = True

    def __call__(self, r: Array) -> Array:
        """B_Q⁻¹ r + W (w⁻¹ − 1) Wᵀ r."""
        return aligned(self.items.solve(r) + self._more(r))

    def image(self, r: Array) -> Image:
        """A product with B_Q for what the space adds."""
        z = self.items.solve(r)
        more = self._more(r)
        return aligned(z + more), r + self.items.times(more), dot(r, z)

    def _more(self, r: Array) -> Array:
        more = self.space.correction(r)
        # rows that have lost their last interaction since the space was found stay at zero
        more[self.items.empty] = 0
        return more


@dataclass(frozen=True)
class Eased:
    """The inverse of lighter blocks."""

    items: OneSide
    blocks: Array
    """Packed and factored, (n, ·)"""
    is_of_blocks = False

    def __call__(self, r: Array) -> Array:
        """Solved with these blocks."""
        return self.items.solve(aligned(r), self.blocks)

    def image(self, r: Array) -> Image:
        """A product with B_Q."""
        z = self(r)
        return z, self.items.times(z), dot(r, z)
