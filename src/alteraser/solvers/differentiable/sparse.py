"""Two sparse operations that are each other's derivatives, so that autograd can differentiate them
any number of times.

    products(A, B)_k = a_{i(k)} · b_{j(k)}          one number for every stored cell k = (i, j)
    combine(w, B)_i  = Σ_{k in row i} w_k b_{j(k)}      one row for every row of the pattern

An observed interaction is a stored cell; what is missing is never stored, and no row is padded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

Array = npt.NDArray[Any]


@dataclass
class Pattern:
    """Which cells of a rows × columns matrix are stored: compressed rows, and how to get to
    compressed columns.
    """

    starts: Tensor
    """(rows + 1,) int32"""
    columns: Tensor
    """(cells,) int32"""
    shape: tuple[int, int]
    order: Tensor
    """(cells,): stored value ``order[k]`` is value k of the transposed pattern"""
    inverse: Tensor
    transposed: Pattern = field(repr=False)

    @classmethod
    def of(cls, indptr: Array, indices: Array, columns: int, *, device: str = "cpu") -> Pattern:
        """The pattern of a compressed-row matrix with ``columns`` columns."""
        rows = indptr.size - 1
        cells = indices.size
        start = indptr - indptr[0]
        view = sparse.csr_matrix((np.arange(cells), indices, start), shape=(rows, columns)).tocsc()
        order = view.data.astype(np.int64)
        inverse = np.empty_like(order)
        inverse[order] = np.arange(cells)

        def tensor(values: Array, kind: Any) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values.astype(kind))).to(device)

        by_row, by_column = tensor(order, np.int64), tensor(inverse, np.int64)
        across = cls.__new__(cls)
        here = cls(
            tensor(start, np.int32),
            tensor(indices, np.int32),
            (rows, columns),
            by_row,
            by_column,
            across,
        )
        across.__init__(  # type: ignore[misc]
            tensor(view.indptr, np.int32),
            tensor(view.indices, np.int32),
            (columns, rows),
            by_column,
            by_row,
            here,
        )
        return here

    @property
    def cells(self) -> int:
        """Number of stored cells."""
        return int(self.columns.numel())

    def matrix(self, values: Tensor) -> Tensor:
        """The sparse matrix with ``values`` (cells,) stored."""
        return torch.sparse_csr_tensor(
            self.starts, self.columns, values, self.shape, check_invariants=False
        )

    def row_of_cell(self) -> Tensor:
        """(cells,) int64: the row of each stored cell."""
        counts = (self.starts[1:] - self.starts[:-1]).long()
        return torch.repeat_interleave(torch.arange(self.shape[0], device=counts.device), counts)


class _Products(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, pattern: Pattern) -> Tensor:
        ctx.save_for_backward(a, b)
        ctx.pattern = pattern
        return _sampled(a, b, pattern)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        a, b = ctx.saved_tensors
        need_a, need_b, _ = ctx.needs_input_grad
        across = ctx.pattern.transposed
        to_a = combine(gradient, b, ctx.pattern) if need_a else None
        to_b = combine(_Reorder.apply(gradient, ctx.pattern), a, across) if need_b else None
        return to_a, to_b, None


class _Combine(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, values: Tensor, b: Tensor, pattern: Pattern) -> Tensor:
        ctx.save_for_backward(values, b)
        ctx.pattern = pattern
        return pattern.matrix(values) @ b

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        values, b = ctx.saved_tensors
        need_values, need_b, _ = ctx.needs_input_grad
        gradient = gradient.contiguous()
        to_values = products(gradient, b, ctx.pattern) if need_values else None
        to_b = (
            combine(_Reorder.apply(values, ctx.pattern), gradient, ctx.pattern.transposed)
            if need_b
            else None
        )
        return to_values, to_b, None


class _Reorder(torch.autograd.Function):  # type: ignore[misc]
    """Values by row to values by column: a permutation, whose derivative is the inverse one (no
    scattered adds).
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, pattern: Pattern) -> Tensor:
        ctx.pattern = pattern
        return values[pattern.order]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Reorder.apply(gradient, ctx.pattern.transposed), None


def products(a: Tensor, b: Tensor, pattern: Pattern) -> Tensor:
    """a_i · b_j for every stored cell (i, j); ``a`` (rows, d), ``b`` (columns, d), result
    (cells,).
    """
    answer: Tensor = _Products.apply(a, b, pattern)
    return answer


def combine(values: Tensor, b: Tensor, pattern: Pattern) -> Tensor:
    """Σ_j values_ij b_j for every row i; ``values`` (cells,), ``b`` (columns, d), result (rows,
    d).
    """
    answer: Tensor = _Combine.apply(values, b, pattern)
    return answer


def _sampled(a: Tensor, b: Tensor, pattern: Pattern) -> Tensor:
    if pattern.cells == 0:
        return a.new_zeros(0)
    zeros = pattern.matrix(a.new_zeros(pattern.cells))
    try:
        return torch.sparse.sampled_addmm(zeros, a.contiguous(), b.T, beta=0.0).values()
    except (RuntimeError, NotImplementedError):  # builds without a sparse library
        parts = torch.split(torch.arange(pattern.cells, device=a.device), 1 << 18)
        rows = pattern.row_of_cell()
        return torch.cat([(a[rows[k]] * b[pattern.columns[k].long()]).sum(1) for k in parts])
