"""Hessian-free Newton on the whole model at once: the "global" second order that the paper calls infeasible (§4.2).

The same solver as for rows, given one row that holds every parameter. It starts at the original model and minimizes
the objective on the remaining data; nothing alternates.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alteraser.erasers.driver import OnPass, Outcome, PassRecord
from alteraser.erasers.task import Task
from alteraser.errors import Interrupted, NumericFailure
from alteraser.models import Factors
from alteraser.runtime.extras import require
from alteraser.solvers.stationarity import evaluate, gradient_norm

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class GlobalNewton:
    """At most ``max_passes`` Hessian-free Newton steps on all parameters together."""

    max_passes: int = 10
    products: int = 100
    """Curvature products per step, each the cost of a few epochs' gradients."""
    damping: float = 1e-2
    tolerance: float = 1e-3
    solver: str = "hf-newton"
    name: str = "global-newton"

    def erase(self, task: Task, on_pass: OnPass | None = None) -> Outcome:
        """See ``Eraser.erase``. Stops at the tolerance or at the cap, or where ``task.watch`` says so."""
        require("torch", "torch", "method global-newton")
        import torch

        from alteraser.solvers.differentiable import RowBatch, cells_of
        from alteraser.solvers.rows.hf_newton import HFNewton

        if torch.get_num_threads() != task.workers:
            torch.set_num_threads(task.workers)
        problem, start = task.after, task.original.astype(task.after.dtype)
        (m, d), n = start.users.shape, start.items.shape[0]
        h = torch.from_numpy(start.prediction)
        cells = cells_of(problem)
        batches = cells.batches(0, 0)

        def total(outputs: tuple[Tensor, ...], x: Tensor) -> Tensor:
            P, Q = x[0, : m * d].reshape(m, d), x[0, m * d :].reshape(n, d)
            return torch.stack([cells.loss(P, Q, h, batch) for batch in batches]).sum().reshape(1)

        whole = RowBatch(lambda x: (x,), total)

        def factors(x: Tensor) -> Factors:
            values = x[0].numpy()
            return Factors(values[: m * d].reshape(m, d).copy(), values[m * d :].reshape(n, d).copy(), start.prediction)

        def measured(found: Factors) -> tuple[float, float]:
            here = evaluate(problem, found, threads=task.workers)
            norm = gradient_norm(problem, found, here.user_gradient, here.item_gradient, threads=task.workers)
            return (norm / task.push if task.push > 0 else norm), here.objective

        trace: list[PassRecord] = []
        last = time.perf_counter()

        def on_step(x: Tensor) -> bool:
            nonlocal last
            now = factors(x)
            residual, objective = measured(now)
            record = PassRecord(len(trace) + 1, "all", objective, residual, time.perf_counter() - last, m + n, False)
            trace.append(record)
            if on_pass:
                on_pass(record)
            stop = residual <= self.tolerance or (task.watch is not None and task.watch(record.number, lambda: now))
            last = time.perf_counter()
            return stop

        x = torch.from_numpy(np.concatenate([start.users.ravel(), start.items.ravel()]))[None]
        method = HFNewton(steps=max(self.max_passes, 1), products=self.products, damping=self.damping, small=0.0)
        products = 0
        if self.max_passes:
            try:
                found = method.minimize(whole, x, on_step=on_step)
            except KeyboardInterrupt:
                raise Interrupted("interrupted; nothing was changed") from None
            x, products = found.x, found.products
        answer = factors(x)
        residual, objective = measured(answer)
        if not np.isfinite(objective):
            raise NumericFailure("the objective is not finite; raise the damping or the regularization")
        rows = (m + n) * len(trace)
        return Outcome(
            answer, tuple(trace), objective, residual, residual <= self.tolerance, len(trace), rows, products, 0
        )
