"""Exact rows and Hessian products on a GPU, or on any device that PyTorch has: ``--solver torch``.

The same systems as ``ah-newton``. Rows are taken in batches of similar length, gathered into (rows,
length, d) blocks whose padding has weight zero; A is a batched product of these, solved by a
batched Cholesky factorization. Products take the interactions in slices and add them up by row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alteraser.models import Factors, Problem, Side
from alteraser.solvers.rows.protocol import RowReport, check

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Pair = tuple[Float64, Float64]

NUMBERS_AT_A_TIME = 1 << 25
"""Numbers in one gathered block: 128 MiB of float32."""

SINGULAR, NOT_FINITE = 1, 2


def default_device() -> str:
    """``cuda`` where PyTorch has it, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@dataclass
class _Resident:
    """One side's interactions on the device."""

    indices: Tensor
    confidence: Tensor | None
    target: Tensor | None
    own: Tensor
    other: Tensor | None
    ridge: Tensor


@dataclass
class TorchRows:
    """Exact row solves with PyTorch; a row solver like any other."""

    device: str | None = None
    """None: ``default_device()``."""
    name: str = "torch"
    exact: bool = True
    _sides: dict[int, tuple[Side, _Resident]] = field(default_factory=dict, repr=False)

    def solve(
        self, side: Side, other: Array, x: Array, rows: Array | None, *, rank: int, threads: int
    ) -> RowReport:
        """Put ``x[rows]`` at its minimum; see ``RowSolver.solve``."""
        import torch

        device = self.device or default_device()
        held = self._resident(side, x.dtype, device)
        rows = side.all_rows if rows is None else np.asarray(rows, dtype=np.int64)
        counts = side.counts[rows]
        empty = rows[counts == 0]
        gone = x[empty, :rank].astype(np.float64)
        x[empty] = 0  # their minimum, whatever the other side is
        order = np.argsort(counts, kind="stable")
        order = order[counts[order] > 0]
        Z = torch.from_numpy(np.ascontiguousarray(other[:, :rank])).to(device)
        whole = side.gram(other)[:rank, :rank]
        gram = torch.from_numpy(whole).to(device, Z.dtype)
        status = np.zeros(side.rows, np.int8)
        value = 0.0
        decrement = float(side.own[empty] @ np.einsum("id,de,ie->i", gone, whole, gone))
        decrement += float(side.ridge[empty] @ np.einsum("id,id->i", gone, gone))
        begin = 0
        while begin < order.size:
            end = _batch(counts[order], begin, rank)
            chosen = rows[order[begin:end]]
            found = self._block(side, held, chosen, Z, gram, x, status)
            decrement, value = decrement + found[0], value + found[1]
            begin = end
        check(side, status)
        return RowReport(rows.size, 0, decrement, value)

    def _block(
        self,
        side: Side,
        held: _Resident,
        rows: Array,
        Z: Tensor,
        gram: Tensor,
        x: Array,
        status: Array,
    ) -> tuple[float, float]:
        import torch

        device, dtype, rank = Z.device, Z.dtype, Z.shape[1]
        start = torch.from_numpy(side.indptr[rows]).to(device)
        count = torch.from_numpy(side.counts[rows]).to(device)
        place = torch.arange(int(count.max()), device=device)
        real = place[None, :] < count[:, None]
        cells = torch.where(real, start[:, None] + place[None, :], start[:, None])
        columns = held.indices[cells].long()
        z = Z[columns]
        picked = torch.from_numpy(rows).to(device)
        own = held.own[picked]
        missing = side.missing_weight * own[:, None]
        if held.other is not None:
            missing = missing * held.other[columns]
        c = (
            torch.ones((), dtype=dtype, device=device)
            if held.confidence is None
            else held.confidence[cells]
        )
        y = 1.0 if held.target is None else held.target[cells]
        weight = torch.where(real, c - missing, torch.zeros((), dtype=dtype, device=device))
        pull = torch.where(
            real, (c * y).expand_as(weight), torch.zeros((), dtype=dtype, device=device)
        )
        A = torch.bmm((z * weight[:, :, None]).transpose(1, 2), z) + own[:, None, None] * gram
        A.diagonal(dim1=1, dim2=2).add_(held.ridge[picked][:, None])
        b = torch.bmm(pull[:, None, :], z)[:, 0]
        before = torch.from_numpy(np.ascontiguousarray(x[rows, :rank])).to(device)
        r = b - torch.bmm(A, before[:, :, None])[:, :, 0]
        factor, info = torch.linalg.cholesky_ex(A)
        step = torch.cholesky_solve(r[:, :, None], factor)[:, :, 0]
        after = before + step
        bad = info != 0
        finite = torch.isfinite(after).all(dim=1)
        status[rows] = np.where(
            bad.cpu().numpy(), SINGULAR, np.where(finite.cpu().numpy(), 0, NOT_FINITE)
        )
        x[rows, :rank] = after.cpu().numpy()
        return float((r.double() * step.double()).sum()), -float(
            (b.double() * after.double()).sum()
        )

    def _resident(self, side: Side, dtype: Any, device: str) -> _Resident:
        import torch

        known = self._sides.get(id(side))
        if known is not None and known[0] is side:
            return known[1]

        def moved(values: Array) -> Tensor | None:
            return (
                torch.from_numpy(np.ascontiguousarray(values, dtype=dtype)).to(device)
                if values.size
                else None
            )

        own, ridge = moved(side.own), moved(side.ridge)
        assert own is not None
        assert ridge is not None
        indices = torch.from_numpy(side.indices).to(device)
        held = _Resident(
            indices, moved(side.confidence), moved(side.target), own, moved(side.other), ridge
        )
        self._sides[id(side)] = side, held
        return held


def hessian_product(
    problem: Problem, factors: Factors, direction: Pair, *, device: str | None = None
) -> Pair:
    """½ ∇²L · (V, W) with PyTorch, (m, d) and (n, d) in float64: O(|D| d + (m + n) d²), slice by
    slice.
    """
    import torch

    device = device or default_device()
    dtype = torch.from_numpy(np.empty(0, problem.dtype)).dtype

    def on(values: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device, dtype)

    h = on(factors.prediction)
    P, Q, V, W = (on(x) for x in (factors.users, factors.items, *direction))
    X, Z, dX, dZ = P * h, Q * h, V * h, W * h
    users, items = problem.users, problem.items
    a, b = on(users.own), on(items.own)
    w0 = users.missing_weight

    def missing(
        own: Tensor, x: Tensor, v: Tensor, z: Tensor, dz: Tensor, other: Tensor, ridge: Tensor
    ) -> Tensor:
        gram, mixed = z.T @ (other[:, None] * z), z.T @ (other[:, None] * dz)
        return w0 * own[:, None] * (v @ gram + x @ (mixed + mixed.T)) + ridge[:, None] * v

    out = [missing(a, P, V, Z, dZ, b, on(users.ridge)), missing(b, Q, W, X, dX, a, on(items.ridge))]
    data = problem.interactions
    rows = data.user_rows
    step = max(1, NUMBERS_AT_A_TIME // (8 * P.shape[1]))
    for begin in range(0, len(data), step):
        part = slice(begin, begin + step)
        u = torch.from_numpy(rows[part]).to(device)
        v = torch.from_numpy(data.indices[part].astype(np.int64)).to(device)
        c = (
            on(users.confidence[part])
            if users.confidence.size
            else torch.ones(u.shape, dtype=dtype, device=device)
        )
        y = on(users.target[part]) if users.target.size else 1.0
        weight = c - w0 * a[u] * b[v]
        s = (P[u] * Z[v]).sum(1)
        error = weight * s - c * y
        ds = weight * ((V[u] * Z[v]).sum(1) + (P[u] * dZ[v]).sum(1))
        out[0].index_add_(0, u, ds[:, None] * Z[v] + error[:, None] * dZ[v])
        out[1].index_add_(0, v, ds[:, None] * X[u] + error[:, None] * dX[u])
    found = [x.double().cpu().numpy() for x in out]
    return found[0], found[1]


def _batch(counts: Array, begin: int, rank: int) -> int:
    """Where a batch of rows from ``begin`` ends, counts rising: as many as its longest row's
    padding allows.
    """
    end = begin + 1
    while end < counts.size:
        wider = min(counts.size, end + max(1, end - begin))
        if (wider - begin) * (int(counts[wider - 1]) + rank) * rank > NUMBERS_AT_A_TIME:
            break
        end = wider
    return end
