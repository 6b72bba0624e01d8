"""Many independent sub-problems at once: what every differentiated row solver is given.

A batch is B rows of d unknowns whose losses do not depend on each other, so the gradient of their
sum is the gradient of each, and one Hessian–vector product of the sum is B products, one per row
(Pearlmutter 1994). A solver needs nothing else; a whole model is a batch with B = 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from alteraser.errors import InvalidInput

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class RowBatch:
    """Losses l_i(x_i) of B rows, written as ``loss(outputs(x), x)`` so that Gauss–Newton can see
    the inner layer.
    """

    outputs: Callable[[Tensor], tuple[Tensor, ...]]
    """x (B, d) → what the loss is convex in, usually scores; any shapes."""
    loss: Callable[[tuple[Tensor, ...], Tensor], Tensor]
    """(outputs, x) → losses (B,), with all terms that depend on x, the penalty too."""
    single: Callable[[int], RowBatch] | None = None
    """Row i as a batch of its own, in float64 whatever this one's dtype, for methods that work row
    by row."""

    def row(self, index: int, among: Tensor | None = None) -> RowBatch:
        """Row ``index`` alone, a function of x (1, d) in float64.

        Where the problem does not offer that, the whole batch is evaluated with its other rows at
        ``among`` (B, d): right, but B times the work. InvalidInput with neither.
        """
        if self.single is not None:
            return self.single(index)
        if among is None:
            raise InvalidInput(
                "these rows cannot be taken one by one: use a solver that takes them all at once"
            )
        others, mine = among.detach(), torch.zeros(among.shape[0], 1, dtype=torch.bool)
        mine[index] = True

        def whole(x: Tensor) -> Tensor:
            return torch.where(mine, x.to(others.dtype), others)

        return RowBatch(
            lambda x: self.outputs(whole(x)),
            lambda found, x: self.loss(found, whole(x))[index : index + 1].to(x.dtype),
        )

    def losses(self, x: Tensor) -> Tensor:
        """l_i(x_i), (B,), differentiable."""
        return self.loss(self.outputs(x), x)

    def values(self, x: Tensor) -> Tensor:
        """l_i(x_i), (B,), without a graph."""
        with torch.no_grad():
            return self.losses(x)

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(losses (B,), gradient (B, d)) at x."""
        point = x.detach().requires_grad_()
        losses = self.losses(point)
        (gradient,) = torch.autograd.grad(losses.sum(), point)
        return losses.detach(), gradient

    def hessian(self, x: Tensor) -> tuple[Tensor, Tensor, Product]:
        """(losses, gradient, product) at x, where product(v)_i = ∇²l_i v_i; (B, d) → (B, d)."""
        point = x.detach().requires_grad_()
        losses = self.losses(point)
        (gradient,) = torch.autograd.grad(losses.sum(), point, create_graph=True)

        def product(v: Tensor) -> Tensor:
            (answer,) = torch.autograd.grad(gradient, point, v, retain_graph=True)
            return answer

        return losses.detach(), gradient.detach(), product

    def gauss_newton(self, x: Tensor) -> tuple[Tensor, Tensor, Product]:
        """As ``hessian`` with the generalized Gauss–Newton matrix Jᵀ ∇²_o l J + ∇²_x l (Schraudolph
        2002).

        J is the Jacobian of ``outputs``; J v is taken by differentiating Jᵀu with respect to u.
        """
        point = x.detach().requires_grad_()
        outputs = self.outputs(point)
        inner = tuple(o.detach().requires_grad_() for o in outputs)
        base = x.detach().requires_grad_()
        losses = self.loss(inner, base)
        first = torch.autograd.grad(
            losses.sum(), (*inner, base), create_graph=True, materialize_grads=True
        )
        pulled = torch.autograd.grad(
            outputs, point, [g.detach() for g in first[:-1]], retain_graph=True
        )[0]
        gradient = pulled + first[-1].detach()
        duals = tuple(torch.zeros_like(o).requires_grad_() for o in outputs)
        back = torch.autograd.grad(outputs, point, duals, create_graph=True)[0]

        def product(v: Tensor) -> Tensor:
            forward = torch.autograd.grad(back, duals, v, retain_graph=True, materialize_grads=True)
            bent = torch.autograd.grad(
                first, (*inner, base), (*forward, v), retain_graph=True, materialize_grads=True
            )
            along = torch.autograd.grad(outputs, point, bent[:-1], retain_graph=True)[0]
            return along + bent[-1]

        return losses.detach(), gradient.detach(), product
