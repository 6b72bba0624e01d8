"""implicit's training of an ALS model, run again: the same start, the same iterations, the same
steps.

    P, Q ← 0.01 · U(0, 1) from numpy.random.default_rng(seed), users first
    repeat: every user, then every item, by ``cg_steps`` steps of conjugate gradients from where it
        is, or exactly

In exact arithmetic that is the same training; in float32 the order of sums decides how long it is
followed. ``fast`` takes our own kernels: with exact rows the factors agree to about 2e-5, with
three steps lists agree to 0.98 (bm25 weights) or 0.79 (raw counts, α = 40) on generated play
counts. ``same sums`` takes the sums in implicit's order (``solvers.ordered_cg``) and gave the same
bytes on the machine that had trained. Facts of release 0.7.3.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.models import Objective, Problem
from alteraser.runtime.interrupt import whole
from alteraser.runtime.workers import default_threads
from alteraser.solvers import AHNewton, ConjugateGradient
from alteraser.solvers.rows.protocol import padded
from alteraser.solvers.trace import OnPass, PassRecord, Trace

Array = npt.NDArray[Any]

TINY = 1e-20
"""Squared residual at which implicit's steps end."""

START = 0.01
"""implicit begins with uniform numbers of up to this."""

FAST, SAME_SUMS = "fast", "same sums"


@dataclass(frozen=True)
class ImplicitTrainer:
    """``implicit.cpu.als.AlternatingLeastSquares(...).fit``, everything but the data."""

    seed: int
    iterations: int
    factors: int
    regularization: float
    alpha: float
    dtype: str
    cg_steps: int | None
    """None: rows are solved exactly (``use_cg=False``)."""

    @property
    def words(self) -> str:
        """For people."""
        how = (
            "exact rows"
            if self.cg_steps is None
            else f"{self.cg_steps} conjugate-gradient steps a row"
        )
        return f"{self.iterations} iterations of {how} from seed {self.seed}"

    @property
    def passes(self) -> int:
        """Iterations."""
        return self.iterations

    @property
    def ways(self) -> tuple[str, ...]:
        """``fast`` and, where the roundings can be followed, ``same sums``."""
        from alteraser.solvers.rows.ordered_cg import order_of

        follows = (
            self.cg_steps is not None
            and self.dtype == "float32"
            and order_of(self.factors) is not None
        )
        return (FAST, SAME_SUMS) if follows else (FAST,)

    def run(
        self, way: str, data: Interactions, *, threads: int = 0, on_pass: OnPass | None = None
    ) -> tuple[Array, Array]:
        """See ``Trainer.run``. Raises NumericFailure for a singular row, Interrupted for Ctrl-C."""
        rng = np.random.default_rng(self.seed)
        dtype: Any = np.float32 if self.dtype == "float32" else np.float64
        P, Q = (rng.random((rows, self.factors), dtype=dtype) * START for rows in data.shape)
        step = self._ordered(data, P, Q) if way == SAME_SUMS else self._own(data, P, Q)
        trace = Trace[PassRecord](on_pass)
        # a trainer counts its iterations and looks at nothing: there is no plan and no state to
        # judge
        with whole():
            for _ in range(self.iterations):
                began = time.perf_counter()
                P, Q = step(threads or default_threads())
                trace.add(PassRecord.of("all", float("nan"), None, sum(data.shape)), began)
        return P[:, : self.factors], Q[:, : self.factors]

    def _weights(self, data: Interactions) -> Array:
        """α r of every interaction in float32, as implicit rounds it."""
        r = (
            np.ones(len(data), np.float32)
            if data.target is None
            else data.target.astype(np.float32)
        )
        return r if self.alpha == 1.0 else np.asarray(np.float32(self.alpha) * r)

    def _own(self, data: Interactions, P: Array, Q: Array) -> Any:
        from dataclasses import replace

        weight = self._weights(data).astype(np.float64)
        positive = weight > 0
        weighted = replace(
            data,
            confidence=np.abs(weight),
            target=None if positive.all() else positive.astype(np.float64),
        )
        objective = Objective(missing_weight=1.0, regularization=self.regularization)
        problem = Problem(objective, weighted, P.dtype.type)
        users, items = padded(P), padded(Q)
        solver = (
            AHNewton()
            if self.cg_steps is None
            else ConjugateGradient(self.cg_steps, small=0.0, tiny=TINY)
        )

        def step(threads: int) -> tuple[Array, Array]:
            solver.solve(problem.users, items, users, None, rank=self.factors, threads=threads)
            solver.solve(problem.items, users, items, None, rank=self.factors, threads=threads)
            return users, items

        return step

    def _ordered(self, data: Interactions, P: Array, Q: Array) -> Any:
        from alteraser.solvers.rows.ordered_cg import WeightedRows, ordered_steps

        assert self.cg_steps is not None
        weight, view, steps = self._weights(data), data.by_item, self.cg_steps
        users = WeightedRows(data.indptr, data.indices, weight)
        items = WeightedRows(view.indptr, view.indices, weight[view.order])

        def step(threads: int) -> tuple[Array, Array]:
            for matrix, other, x in ((users, Q, P), (items, P, Q)):
                ordered_steps(
                    matrix,
                    other,
                    x,
                    regularization=self.regularization,
                    steps=steps,
                    tiny=TINY,
                    threads=threads,
                )
            return P, Q

        return step
