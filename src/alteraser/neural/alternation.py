"""Alternating second-order erasing (Liu et al., RecSys 2022, Algorithm 1) in losses that are not
quadratic.

    touched users, touched items, Φ;   then, pass after pass, all users, all items, Φ

each by damped Hessian-free Newton (Martens, ICML 2010) on the loss of the remaining data,
warm-started at the original.

**Anchored** (the default): a model that early stopping ended is not at a minimum of its loss, and a
solver let loose on its rows would go on training, not forget. So what is minimized is

    L̃(Θ) = L_{D_r}(Θ) − ∇L_{D_a}(Θ_a)·Θ

of which the original would be a stationary point had nothing been deleted. At Θ_a its gradient is
exactly the deletion's push ∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a); rows that the deletion does not reach
stay where they are, and one undamped Newton step is the influence-function answer (Koh & Liang,
ICML 2017) block by block. Because the anchor holds for any sample of the terms, those of users who
asked for nothing may be sampled: what was sampled away has no gradient at Θ_a, only curvature.
Without the anchor it is the paper's method, on all terms.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alteraser.data.interactions import Interactions, Removal
from alteraser.errors import InvalidInput, NumericFailure
from alteraser.neural.loss import Gradient, Loss, SampledLoss, SideName, flattened, unflattened
from alteraser.neural.modules import Network
from alteraser.neural.rowbatch import FunctionalBatch
from alteraser.solvers.loop import Decided, End, Move, Phase, Plan, Until, minimize
from alteraser.solvers.rows.hf_newton import HFNewton

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Alternating:
    """How to erase."""

    passes: int = 0
    """Passes over all rows after the first one, which is over the users and items of the forget
    set."""
    anchored: bool = True
    items: bool = True
    """Solve item rows."""
    phi: bool = False
    """Take a step in Φ, the parameters that are no embeddings, at the end of every pass: measured,
    it doubles the time and moves the lists by nothing that shows."""
    newton: HFNewton = field(default_factory=lambda: HFNewton(steps=2, products=8, damping=0.1))
    """For the users of the first pass."""
    rough: HFNewton = field(default_factory=lambda: HFNewton(steps=1, products=6, damping=0.1))
    """For all other rows."""
    block: HFNewton = field(
        default_factory=lambda: HFNewton("gauss-newton", steps=2, products=4, damping=10.0)
    )
    """For Φ and for rows that are solved together: the Gauss–Newton matrix, because away from a
    minimum the Hessian of a score that is not linear in what is solved for need not be positive."""
    sample: int = 20_000
    """Interactions of users who asked for nothing whose terms are taken, 0 for all. Not anchored,
    or with passes over all rows, it is always all: rows of a sample's few terms would be fitted to
    these."""


@dataclass(frozen=True)
class NeuralPass:
    """One half-pass, for the trace."""

    number: int
    """The pass it belongs to; 0 is that over the touched rows."""
    part: str
    """``user``, ``item`` or ``phi``."""
    rows: int
    products: int
    removed: float
    """How much its rows' (anchored) losses fell."""
    seconds: float = 0.0

    def stamped(self, number: int, seconds: float) -> NeuralPass:
        """With its time; the loop's count of half-passes is not kept."""
        return replace(self, seconds=seconds)


@dataclass
class ErasingRun:
    """What the loop did to the module it was given."""

    trace: list[NeuralPass]
    push: float
    """‖∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)‖"""


Part = SideName | Literal["phi"]

OnStep = Callable[[NeuralPass], None]


def parameters(module: Network) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Copies of (P, Q, Φ)."""
    phi = {name: value.detach().clone() for name, value in module.phi().items()}
    return module.user_embedding.detach().clone(), module.item_embedding.detach().clone(), phi


def residual(
    original: Network,
    unlearned: Network,
    before: Interactions,
    removal: Removal,
    loss: Loss,
) -> float:
    """‖∇L_{D_r}(Θ_u) − ∇L_{D_a}(Θ_a)‖ / ‖∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)‖, on all terms: 0 where the
    anchored loss is stationary, 1 where nothing was done. Costs three gradients of the whole loss.
    """
    close = np.unique(removal.removed.user_rows)
    after = SampledLoss(original, removal.remaining, loss, close=close)
    start = SampledLoss(original, before, loss, close=close).gradient(*parameters(original))
    push = after.gradient(*parameters(original)).minus(start).norm
    left = after.gradient(*parameters(unlearned)).minus(start).norm
    return left / push if push > 0 else left


def erase(
    module: Network,
    before: Interactions,
    removal: Removal,
    loss: Loss,
    how: Alternating | None = None,
    *,
    on_step: OnStep | None = None,
) -> ErasingRun:
    """Make ``module`` forget, in place. NumericFailure where a row ends in a loss that is not
    finite.
    """
    how = how or Alternating()

    def begin() -> tuple[_Erasing, Plan[_Erasing]]:
        state = _Erasing(module, before, removal, loss, how)
        asked: dict[Part, bool] = {
            "user": True,
            "item": how.items,
            "phi": how.phi and bool(state.phi),
        }
        parts = [part for part, wanted in asked.items() if wanted]
        phases: dict[str, Phase[_Erasing]] = {part: _Part(part, how.passes) for part in parts}
        following = dict(zip(parts, [*parts[1:], parts[0]], strict=True))
        table: dict[tuple[str, str], str | End] = {
            (part, "done"): following[part] for part in parts
        }
        # after the last pass the next part has nothing more to do
        return state, Plan(
            parts[0], phases, table | {(part, "over"): End("passes") for part in parts}
        )

    found = minimize(begin, Until(0.0, sys.maxsize), on_pass=on_step, blas=None)
    state = found.state
    with torch.no_grad():
        module.user_embedding.copy_(state.P)
        module.item_embedding.copy_(state.Q)
        for name, value in module.phi().items():
            value.copy_(state.phi[name])
    return ErasingRun(list(found.trace), state.push)


class _Part(Decided):
    """The users, the items, or Φ. Signals: ``done``; ``over`` after as many passes as there are to
    be.
    """

    def __init__(self, part: Part, passes: int) -> None:
        self._part, self._passes = part, passes
        self._number = 0  # of the pass that comes; 0 is that over the touched rows

    def move(self, state: _Erasing) -> Move:
        """Its share of a pass; none where there are no rows."""
        number, self._number = self._number, self._number + 1
        if number > self._passes:
            return Move(signal="over")
        step = state.network(number) if self._part == "phi" else state.rows(number, self._part)
        return Move(step, signal="done")


class _Erasing:
    """(P, Q, Φ) of a module, the loss of what remains, and the anchor."""

    def __init__(
        self,
        module: Network,
        before: Interactions,
        removal: Removal,
        loss: Loss,
        how: Alternating,
    ) -> None:
        if how.passes < 0 or how.sample < 0:
            raise InvalidInput(
                f"passes={how.passes}, sample={how.sample}: expected numbers of at least 0"
            )
        self.how = how
        users, items = (
            np.unique(removal.removed.user_rows),
            np.unique(removal.removed.indices).astype(np.int64),
        )
        self.touched: dict[SideName, Array] = {"user": users, "item": items}
        m, n = before.shape
        self.everything: dict[SideName, Array] = {"user": np.arange(m), "item": np.arange(n)}
        share = 1.0
        if how.anchored and how.sample and not how.passes:
            others = len(removal.remaining) - int(removal.remaining.user_counts[users].sum())
            share = min(1.0, how.sample / max(others, 1))
            if not (how.items or (how.phi and module.phi()) or module.layers):
                share = 0.0  # users' rows alone hold no term of anybody else's
        self.loss = SampledLoss(module, removal.remaining, loss, close=users, share=share)
        self.P, self.Q, self.phi = parameters(module)
        old = SampledLoss(module, before, loss, close=users, share=share).gradient(
            self.P, self.Q, self.phi
        )
        self.push = self.loss.gradient(self.P, self.Q, self.phi).minus(old).norm
        self.anchor: Gradient | None = old if how.anchored else None

    def factors(self) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """See ``solvers.loop.State``."""
        return (
            self.P.clone(),
            self.Q.clone(),
            {name: value.clone() for name, value in self.phi.items()},
        )

    def finish(self) -> tuple[float, float]:
        """NaN: ``residual`` costs three gradients of the whole loss, and is for those who ask for
        it.
        """
        return float("nan"), float("nan")

    # ------------------------------------------------------------------ parts of a pass

    def rows(self, number: int, side: SideName) -> NeuralPass | None:
        """The touched rows of a side, or from pass 1 on all of them; None where there are none."""
        rows = (self.everything if number else self.touched)[side]
        solver = self.how.newton if side == "user" and not number else self.how.rough
        if rows.size == 0:
            return None
        start = (self.P if side == "user" else self.Q).clone()
        if self.loss.propagation is not None:
            products, removed = self._block(side, rows, start)
            return NeuralPass(number, side, int(rows.size), products, removed)
        products, removed = 0, 0.0
        for chunk in (self.loss.users if side == "user" else self.loss.items).chunks(rows):
            batch = self.loss.rows(
                side, *self._tables(side, start), chunk, anchor=self._anchored(side, chunk)
            )
            spent, fell = self._solve(side, chunk, start, batch, solver)
            products, removed = products + spent, removed + fell
        if self.loss.pairwise and side == "item":
            self._together(start, rows)
        return NeuralPass(number, side, int(rows.size), products, removed)

    def _block(self, side: SideName, rows: Array, start: Tensor) -> tuple[int, float]:
        """Rows that see each other, as one."""
        anchor = self._anchored(side, rows)
        batch = self.loss.block(side, *self._tables(side, start), self.phi, rows, anchor=anchor)
        return self._solve(side, rows, start, batch, self.how.block, together=True)

    def _solve(
        self,
        side: SideName,
        rows: Array,
        start: Tensor,
        batch: FunctionalBatch,
        solver: HFNewton,
        *,
        together: bool = False,
    ) -> tuple[int, float]:
        """Rows of ``batch`` to where ``solver`` brings them; its products, and by how much their
        losses fell.
        """
        places = torch.from_numpy(rows)
        x = start[places]
        found = solver.minimize(batch, x.reshape(1, -1) if together else x)
        first, last = batch.values(x.reshape(found.x.shape)), batch.values(found.x)
        self._check(last, side, rows)
        (self.P if side == "user" else self.Q)[places] = found.x.reshape(x.shape)
        return found.products, float((first - last).sum())

    def _tables(self, side: SideName, start: Tensor) -> tuple[Tensor, Tensor]:
        """(P, Q) with the side that moves as it began."""
        return (self.P, start) if side == "item" else (start, self.Q)

    def _anchored(self, side: SideName, rows: Array) -> Tensor | None:
        """What some rows are to keep of their gradients."""
        if self.anchor is None:
            return None
        return (self.anchor.users if side == "user" else self.anchor.items)[torch.from_numpy(rows)]

    def _together(self, start: Tensor, rows: Array) -> None:
        """Items that are compared with each other moved as if the others stood: halve the move
        until L̃ has fallen.
        """
        places = torch.from_numpy(rows)
        step = self.Q[places] - start[places]
        base = self._value(start)
        for _ in range(8):
            if self._value(self.Q) <= base:
                return
            step = step / 2
            self.Q[places] = start[places] + step
        self.Q[places] = start[places]

    def _value(self, Q: Tensor) -> float:
        with torch.no_grad():
            value = float(self.loss.total(self.P, Q, self.phi))
        return (
            value if self.anchor is None else value - float((self.anchor.items * Q).double().sum())
        )

    def network(self, number: int) -> NeuralPass:
        """A step in Φ."""
        x = flattened(self.phi)[None]
        anchor = None if self.anchor is None else flattened(self.anchor.phi)
        batch = self.loss.network(self.P, self.Q, self.phi, anchor=anchor)
        found = self.how.block.minimize(batch, x)
        first, last = batch.values(x), batch.values(found.x)
        self._check(last, "phi", np.zeros(1, np.int64))
        self.phi = unflattened(found.x[0], {name: value.shape for name, value in self.phi.items()})
        return NeuralPass(number, "phi", 1, found.products, float(first - last))

    def _check(self, losses: Tensor, side: str, rows: Array) -> None:
        bad = torch.nonzero(~torch.isfinite(losses)).flatten()
        if bad.numel():
            row = int(rows[min(int(bad[0]), rows.size - 1)])
            raise NumericFailure(
                f"{bad.numel()} {side} row(s) ended in a loss that is not finite, the first is "
                f"row {row}: raise the regularization or the damping",
                side=side,
                row=row,
            )
