"""Row problems as pure functions, whose derivatives torch.func takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.func import grad, vjp

from alteraser.solvers.differentiable.rowbatch import Product, RowBatch


@dataclass(frozen=True)
class FunctionalBatch(RowBatch):
    """A ``RowBatch`` of pure functions.

    Products are pulled back through the gradient, ∇²(Σ_i l_i) v = ∂(∇Σ_i l_i · v): the rows are
    independent, so one pull gives every row its product.
    """

    @classmethod
    def of(cls, losses: Callable[[Tensor], Tensor]) -> FunctionalBatch:
        """The batch of ``losses``: x (B, d) → (B,)."""
        return cls(lambda x: (x,), lambda found, x: losses(x))

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See ``RowBatch.gradient``."""
        found, losses = grad(self._summed, has_aux=True)(x.detach())
        return losses, found

    def hessian(self, x: Tensor) -> tuple[Tensor, Tensor, Product]:
        """See ``RowBatch.hessian``."""
        gradient, pull, losses = vjp(grad(self._summed, has_aux=True), x.detach(), has_aux=True)

        def product(v: Tensor) -> Tensor:
            (answer,) = pull(v)
            return answer

        return losses.detach(), gradient.detach(), product

    def _summed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        losses = self.losses(x)
        return losses.sum(), losses.detach()
