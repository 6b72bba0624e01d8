"""Row solvers that see a loss only through autograd: they work for every model whose rows can be
written as a batch.

A method says how to minimize a ``RowBatch`` (many small problems at once) from a start; what rows,
in which order and for which model is not its business. On ENMF the rows are quadratic and several
methods coincide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from alteraser.errors import InvalidInput, NumericFailure
from alteraser.solvers.rows.protocol import RowReport

if TYPE_CHECKING:
    from torch import Tensor

    from alteraser.solvers.differentiable.cells import RowLosses
    from alteraser.solvers.differentiable.rowbatch import RowBatch

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Minimized:
    """Where a method arrived."""

    x: Tensor
    """(B, d)"""
    products: int = 0
    """Curvature–vector products, counted per row."""


class Minimizer(Protocol):
    """A method for many small smooth problems."""

    def minimize(self, batch: RowBatch, x: Tensor) -> Minimized:
        """Lower every row's loss from ``x`` (B, d), which is not changed; no row may end above
        where it began.
        """
        ...


class Differentiated:
    """A row solver made of a ``Minimizer``; ``rows_at_a_time`` bounds a mini-batch of rows (0: all
    that fit).
    """

    def __init__(
        self, name: str, method: Minimizer, *, exact: bool = False, rows_at_a_time: int = 0
    ) -> None:
        if rows_at_a_time < 0:
            raise InvalidInput(f"rows_at_a_time={rows_at_a_time}: expected at least 0")
        self.name, self.method, self.exact, self.rows_at_a_time = (
            name,
            method,
            exact,
            rows_at_a_time,
        )
        self._sides: dict[int, tuple[Any, RowLosses]] = {}

    def solve(
        self, side: Any, other: Array, x: Array, rows: Array | None, *, rank: int, threads: int
    ) -> RowReport:
        """Lower the losses of ``x[rows]``; see ``RowSolver.solve``. The decrement is the loss that
        was removed.
        """
        import torch

        from alteraser.solvers.differentiable.cells import rows_of

        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if id(side) not in self._sides:
            # the side is kept, so its id stays its own
            self._sides[id(side)] = (side, rows_of(side))
        losses = self._sides[id(side)][1]
        fixed = torch.from_numpy(np.array(other[:, :rank]))
        removed = value = 0.0
        count = products = 0
        for chunk in self._chunks(losses, side, rows):
            batch = losses.batch(fixed, chunk)
            start = torch.from_numpy(np.array(x[:, :rank] if chunk is None else x[chunk, :rank]))
            before = batch.values(start)
            found = self.method.minimize(batch, start)
            after = batch.values(found.x)
            bad = ~torch.isfinite(after)
            if bool(bad.any()):
                place = int(torch.nonzero(bad)[0])
                row = place if chunk is None else int(chunk[place])
                raise NumericFailure(
                    f"{int(bad.sum())} {side.name} row(s) ended in a loss that is not finite with "
                    f"{self.name}; the first is row {row}: raise the regularization, or use "
                    "ah-newton",
                    side=side.name,
                    row=row,
                    outcome="not finite",
                )
            where: Any = slice(None) if chunk is None else chunk
            x[where, :rank] = found.x.numpy()
            removed += float((before - after).double().sum())
            value += float(after.double().sum()) - losses.constant(chunk)
            count += start.shape[0]
            products += found.products
        return RowReport(count, products, max(removed, 0.0), value)

    def _chunks(self, losses: RowLosses, side: Any, rows: Array | None) -> list[Array | None]:
        if not self.rows_at_a_time:
            return list(losses.chunks(rows))
        every = side.all_rows if rows is None else np.asarray(rows)
        cuts = range(0, every.size, self.rows_at_a_time)
        return [part for i in cuts for part in losses.chunks(every[i : i + self.rows_at_a_time])]
