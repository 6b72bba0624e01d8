"""Hessian-free Newton (Martens, ICML 2010), many rows at once.

A Newton direction is found by conjugate gradients on products with the (damped) curvature, which
autograd gives at the cost of two gradients; nothing of size d × d exists. Complete with the parts
that make it robust away from a minimum: Martens' stopping rule on the quadratic model,
Levenberg–Marquardt damping steered by how well that model predicted, backtracking over CG's
iterates, warm-started CG, and an Armijo line search. Every row has a damping, a stopping time and a
step length of its own; rows never see each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from alteraser.errors import InvalidInput
from alteraser.solvers.rows.differentiated import Minimized

if TYPE_CHECKING:
    from torch import Tensor

    from alteraser.solvers.differentiable.rowbatch import Product, RowBatch

SPACING = 1.3
"""CG's iterates are kept at ⌈SPACING^j⌉ products (Martens 2010, §4.6)."""

MOMENTUM = 0.95
"""Share of the last direction that CG starts from."""

SUFFICIENT = 1e-2
"""Armijo's constant."""

HALVINGS = 40
"""A saturated logistic row hardly bends, so its Newton step can overshoot by many orders of
magnitude."""


@dataclass(frozen=True)
class HFNewton:
    """At most ``steps`` damped Newton steps per row, each by at most ``products`` curvature
    products.

    A row rests once its gradient is ``small`` times what it was. ``gauss-newton`` takes the
    generalized Gauss–Newton matrix instead of the Hessian, which is positive semidefinite for every
    convex loss of the outputs; where outputs are linear in the row, as in ENMF, GMF and every
    bilinear score, the two are the same matrix.
    """

    curvature: Literal["hessian", "gauss-newton"] = "hessian"
    steps: int = 2
    products: int = 50
    damping: float = 1e-3
    """μ at the first step, relative to the curvature along the gradient; then × ⅔ or × 1½ by the
    reduction ratio."""
    progress: float = 5e-4
    """ε of the stopping rule: CG ends when k products improved the model by less than k ε of all it
    gained."""
    small: float = 1e-4

    def __post_init__(self) -> None:
        if self.steps < 1 or self.products < 1 or self.damping < 0 or self.progress < 0:
            raise InvalidInput(
                "HFNewton: steps and products must be at least 1, damping and progress at least 0"
            )

    def minimize(self, batch: RowBatch, x: Tensor) -> Minimized:
        """See ``Minimizer.minimize``."""
        found = Minimized(x.clone())
        for found in self.walk(batch, x):  # noqa: B007  the last one is the answer
            pass
        return found

    def walk(self, batch: RowBatch, x: Tensor) -> Iterator[Minimized]:
        """The rows after each step, as ``minimize`` takes them; ends early where all of them
        rest.
        """
        import torch

        x = x.clone()
        direction = torch.zeros_like(x)
        damping: Tensor | None = None
        initial: Tensor | None = None
        count = 0
        for _ in range(self.steps):
            see = batch.hessian if self.curvature == "hessian" else batch.gauss_newton
            losses, gradient, product = see(x)
            size = gradient.norm(dim=1)
            initial = size if initial is None else initial
            awake = size > self.small * initial
            if not bool(awake.any()):
                break
            if damping is None:
                along = (gradient * product(gradient)).sum(1).abs() / (size**2).clamp(min=1e-30)
                damping = self.damping * along
                count += int(awake.sum())
            iterates, spent = self._conjugate_gradients(
                product, gradient, damping, MOMENTUM * direction, awake
            )
            count += spent
            direction, best = _backtrack(batch, x, iterates)
            model = (direction * (0.5 * product(direction) + gradient)).sum(1)
            count += int(awake.sum())
            ratio = torch.where(
                model < 0, (best - losses) / model.clamp(max=-1e-30), torch.zeros_like(model)
            )
            damping = torch.where(
                ratio > 0.75, damping * (2 / 3), torch.where(ratio < 0.25, damping * 1.5, damping)
            )
            length = self._line_search(batch, x, direction, losses, gradient, best)
            # a row whose direction led nowhere forgets it, and damps for its next step
            direction = torch.where((length > 0)[:, None], direction, torch.zeros_like(direction))
            x = x + torch.where(awake, length, torch.zeros_like(length))[:, None] * direction
            yield Minimized(x, count)

    def _conjugate_gradients(
        self, product: Product, gradient: Tensor, damping: Tensor, start: Tensor, awake: Tensor
    ) -> tuple[list[Tensor], int]:
        """Iterates of CG on (H + μ) d = −g from ``start``, at spaced products, the last one
        last.
        """
        import torch

        d = start.clone()
        mu = damping[:, None]
        q = product(d) + mu * d if bool((d != 0).any()) else torch.zeros_like(d)
        r = -gradient - q
        p = r.clone()
        rr = (r * r).sum(1)
        zero = rr.new_zeros(())
        model = [(0.5 * d * (q - 2 * (-gradient))).sum(1)]
        running = awake & (rr > 0)
        kept: list[Tensor] = []  # without the start: going back to it would be going nowhere
        keep_at, count = 1, 0
        for i in range(1, self.products + 1):
            q = product(p) + mu * p
            count += int(running.sum())
            bent = (p * q).sum(1)
            # where the curvature turns, a row keeps what it has; with nothing yet, it takes the
            # gradient, which is p
            nothing = running & (bent <= 0) & ((d == 0).all(1))
            step = torch.where(
                running & (bent > 0) | nothing, rr / bent.abs().clamp(min=1e-30), zero
            )
            running = running & (bent > 0)
            d = d + step[:, None] * p
            r = r - step[:, None] * q
            model.append((-0.5 * d * (r - gradient)).sum(1))
            if i >= keep_at:
                kept.append(d.clone())
                keep_at = math.ceil(max(keep_at * SPACING, keep_at + 1))
            k = max(10, i // 10)
            if i > k:
                gained = model[i] - model[i - k]
                done = (model[i] < 0) & (gained > k * self.progress * model[i])
                running = running & ~done
            after = (r * r).sum(1)
            running = running & (after > 1e-14 * rr.new_tensor(1.0) * (gradient**2).sum(1))
            if not bool(running.any()):
                break
            beta = torch.where(running, after / torch.where(rr > 0, rr, torch.ones_like(rr)), zero)
            p = torch.where(running[:, None], r + beta[:, None] * p, p)
            rr = torch.where(running, after, rr)
        kept.append(d)
        return kept, count

    def _line_search(
        self,
        batch: RowBatch,
        x: Tensor,
        direction: Tensor,
        losses: Tensor,
        gradient: Tensor,
        full: Tensor,
    ) -> Tensor:
        """The first of 1, ½, ¼ … that lowers each row's loss enough; 0 where none does."""
        import torch

        slope = (gradient * direction).sum(1).clamp(max=0)
        # losses may be summed in a wider type than rows are kept in
        length = torch.ones_like(losses, dtype=x.dtype)
        accepted = (full <= losses + SUFFICIENT * slope) & (full <= losses)
        rounding = torch.finfo(x.dtype).eps * losses.abs()
        for _ in range(HALVINGS):
            # what a shorter step could still gain is lost in the loss's own digits: such a row is
            # where it will end
            hopeless = length * -slope < rounding
            if bool((accepted | hopeless).all()):
                break
            length = torch.where(accepted, length, length / 2)
            here = batch.values(x + length[:, None] * direction)
            accepted = accepted | (
                (here <= losses + SUFFICIENT * length * slope) & (here <= losses)
            )
        return torch.where(accepted, length, torch.zeros_like(length))


def _backtrack(batch: RowBatch, x: Tensor, iterates: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Per row, back from CG's last iterate as long as an earlier one has the smaller loss:
    (direction, loss).
    """
    import torch

    chosen = iterates[-1]
    best = batch.values(x + chosen)
    going = torch.ones_like(best, dtype=torch.bool)
    for earlier in reversed(iterates[:-1]):
        value = batch.values(x + earlier)
        going = going & ~(value > best)
        if not bool(going.any()):
            break
        chosen = torch.where(going[:, None], earlier, chosen)
        best = torch.where(going, value, best)
    return chosen, best
