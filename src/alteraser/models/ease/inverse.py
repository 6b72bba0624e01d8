"""The inverse of what items share, packed: made, changed by rows in place, and watched for
rounding.

    G = XᵀX + Λ,        P = G⁻¹,        Λ = diag(λ + δ (XᵀX)_jj)

One step takes in k rows at once, s = 1 for rows that join and −1 for rows that go, V (n × k) the
rows as columns:

    (G + s VVᵀ)⁻¹ = P − s W M⁻¹ Wᵀ,      W = PV,   M = I + s VᵀW = LLᵀ
        (Sherman, Morrison 1950; Woodbury 1950)
                  = P − s YYᵀ,           Y = WL⁻ᵀ

M is positive definite as long as G + s VVᵀ is, so that one Cholesky factor tells how near to
singular the step is. The product and the update work on the triangle where it lies. A row that
changes is one that joins and one that goes; those that join come first, as they make G larger. With
δ > 0 the diagonal follows, one row √(δ |Δ_j|) e_j for each item j whose (XᵀX)_jj changes by Δ_j.

The product adds up lines of P, also where rows are long: as dense ones, at the speed of BLAS, they
took a third longer on MovieLens-1M, whose most active users have a fifth of the items.

Nothing else is held: a factor of G as well would be a second triangle, and after a change of rank k
(2n²k, Gill et al.
1974) P would have to be made of it anew, for two thirds of what factoring and inverting cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.models.closed_form.by_item import ItemWork
from alteraser.models.ease import cost, packed
from alteraser.runtime.workers import blocks, default_threads, run

Array = npt.NDArray[Any]

FEW = 4
"""Rows that are taken one by one, by loops of one thread"""
SCATTERED = 0.08
"""Share of columns of P from which reading all of it is faster than picking them"""
SINGULAR = {"float32": 1e-2, "float64": 1e-4}
"""Smallest eigenvalue of M, at most 1 for rows that go, with which a step is made; below it digits
are lost."""


def values_of(data: Interactions) -> Array:
    """The entries of X, (|D|,)."""
    return np.ones(len(data)) if data.confidence is None else data.confidence


def cells(data: Interactions) -> Any:
    """X, (m, n) sparse."""
    from scipy.sparse import csr_array

    return csr_array((values_of(data), data.indices, data.indptr), shape=data.shape)


def squares(data: Interactions) -> Array:
    """(XᵀX)_jj, (n,): Σ of squared entries; integers where X holds 1."""
    return np.bincount(
        data.indices, None if data.confidence is None else data.confidence**2, data.shape[1]
    ).astype(np.float64)


def gram(data: Interactions, added: Array, matrix: Array, threads: int = 0) -> None:
    """Write XᵀX + diag(``added``) into the packed ``matrix``."""
    from alteraser.models.ease import _kernels

    n, threads = data.shape[1], threads or default_threads()
    r, c, o = packed.rectangle(n)
    dense, view = matrix.reshape(c, r), data.by_item
    values = np.ones(1) if data.confidence is None else data.confidence
    run(
        lambda part: _kernels.gram(
            part,
            view.indptr,
            view.indices,
            view.order,
            data.indptr,
            data.indices,
            values,
            data.confidence is not None,
            c,
            o,
            dense,
        ),
        blocks(ItemWork(data), None, 1, threads),
        threads,
    )
    first, corner = np.arange(c), np.arange(n - c)
    dense[first, first + o] += added[:c]
    dense[corner + 1 - o, corner] += added[c:]


def invert(matrix: Array, n: int) -> bool:
    """Put the inverse in the place of a packed positive definite ``matrix``; False where it is not
    one.
    """
    for step in ("pftrf", "pftri") if n else ():
        same, failed = packed.lapack(step, matrix.dtype)(
            n, matrix, transr="N", uplo="L", overwrite_a=1
        )
        assert np.shares_memory(same, matrix)
        if failed:
            return False
    return True


@contextmanager
def one_for_each(threads: int) -> Iterator[None]:
    """BLAS with as many threads as ours, 0 for its own: those that wait for more cost more than
    small products.
    """
    if not threads:
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads, "blas"):
        yield


def change(inverse: Array, n: int, old: Any, new: Any, threads: int = 0) -> bool:
    """P in place, rows ``old`` (sparse, k × n) going and ``new`` joining; False where digits would
    be lost.

    After False ``inverse`` is of no use: it may have taken some of the rows.
    """
    return all(
        _one_by_one(inverse, n, rows, sign)
        if rows.shape[0] <= FEW
        else _together(inverse, n, rows, sign, threads)
        for rows, sign in ((new, 1.0), (old, -1.0))
    )


def _one_by_one(inverse: Array, n: int, rows: Any, sign: float) -> bool:
    return all(_step_one(inverse, n, rows[[row]], sign) for row in range(rows.shape[0]))


def _together(inverse: Array, n: int, rows: Any, sign: float, threads: int) -> bool:
    slab = cost.slab(n)
    with one_for_each(threads):
        return all(
            _step(inverse, n, rows[start : start + slab], sign, threads)
            for start in range(0, rows.shape[0], slab)
        )


def diagonal_rows(before: Array, after: Array, share: float) -> tuple[Any, Any]:
    """(old, new), both (·, n) sparse: the rows by which δ(XᵀX)_jj goes from ``before`` (n,) to
    ``after``.
    """
    return _units(np.maximum(before - after, 0.0) * share), _units(
        np.maximum(after - before, 0.0) * share
    )


def _units(squared: Array) -> Any:
    from scipy.sparse import csr_array

    items = np.flatnonzero(squared)
    return csr_array(
        (np.sqrt(squared[items]), items, np.arange(items.size + 1)),
        shape=(items.size, squared.size),
    )


def _step(inverse: Array, n: int, rows: Any, sign: float, threads: int) -> bool:
    """P − s YYᵀ in place; False, and nothing done, where M is near singular."""
    from scipy.linalg import blas, lapack

    kind = inverse.dtype.name
    letter = "s" if kind == "float32" else "d"
    lines = SparseRows.of(rows, inverse.dtype)
    w = product(inverse, n, lines, threads)
    m = sign * inner_products(lines, w)
    m[np.diag_indices_from(m)] += 1.0
    norm = float(np.abs(m).sum(0).max())
    factor, failed = getattr(lapack, letter + "potrf")(m, lower=1, clean=0)
    if failed:
        return False
    share, _ = getattr(lapack, letter + "pocon")(factor, norm, uplo="L")
    if share * norm < SINGULAR[kind]:  # 1/‖M⁻¹‖₁, which no eigenvalue is below
        return False
    y = getattr(blas, letter + "trsm")(1.0, factor, w.T, side=1, lower=1, trans_a=1, overwrite_b=1)
    same = packed.lapack("sfrk", kind)(
        n, y.shape[1], -sign, y, 1.0, inverse, transr="N", uplo="L", overwrite_c=1
    )
    assert np.shares_memory(same, inverse)
    return True


def _step_one(inverse: Array, n: int, row: Any, sign: float) -> bool:
    """``_step`` of a single row."""
    from alteraser.models.ease import _kernels

    r, c, odd = packed.rectangle(n)
    dense = inverse.reshape(c, r)
    items, values = row.indices, row.data.astype(inverse.dtype)
    w = np.zeros(n, inverse.dtype)
    if items.size < SCATTERED * n:
        _kernels.gather(dense, c, odd, items, values, w)
    else:
        whole = np.zeros(n, inverse.dtype)
        whole[items] = values
        _kernels.times_one(dense, c, odd, whole, w)
    m = 1.0 + sign * float(w[items].astype(np.float64) @ values)
    if m < SINGULAR[inverse.dtype.name]:
        return False
    _kernels.rank_one(dense, c, odd, w * inverse.dtype.type(-sign / m), w)
    return True


class SparseRows(NamedTuple):
    """Sparse rows Vᵀ (k, n): row u has ``values`` at ptr[u]:ptr[u + 1], of ``touched[items]``."""

    touched: Array
    """Items that some row has, increasing"""
    ptr: Array
    items: Array
    """Places among them, increasing within a row"""
    values: Array

    @classmethod
    def of(cls, rows: Any, dtype: Any) -> SparseRows:
        """Those of a CSR array."""
        rows = rows.astype(dtype)  # a copy, which may be sorted
        rows.sort_indices()
        held = np.zeros(rows.shape[1], bool)
        held[rows.indices] = True
        place = np.cumsum(held) - 1
        return cls(
            np.flatnonzero(held), rows.indptr.astype(np.int64), place[rows.indices], rows.data
        )


def product(inverse: Array, n: int, rows: SparseRows, threads: int = 0) -> Array:
    """VᵀP (k, n) of ``rows`` Vᵀ, of P's dtype."""
    from alteraser.models.ease import _kernels

    r, c, odd = packed.rectangle(n)
    out = np.zeros((rows.ptr.size - 1, n), inverse.dtype)
    wide, threads = _kernels.PANEL // inverse.itemsize, threads or default_threads()
    run(
        lambda places: _kernels.times_sparse(places, inverse.reshape(c, r), c, odd, *rows, out),
        np.array_split(np.arange(0, n, wide), max(1, min(threads, n // wide))),
        threads,
    )
    return out


def inner_products(rows: SparseRows, w: Array) -> Array:
    """VᵀW (k, k), symmetric but for rounding, of ``rows`` Vᵀ and ``w`` = (PV)ᵀ (k, n)."""
    from alteraser.models.ease import _kernels

    out = np.zeros((len(w), len(w)), w.dtype)
    _kernels.inner_products(*rows, w, out)
    return out.T


def probe(n: int, seed: int) -> Array:
    """A vector of random signs, (n,) float64."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], n)


def times_one(inverse: Array, vector: Array) -> Array:
    """P times one vector (n,), float64."""
    from alteraser.models.ease import _kernels

    n = vector.size
    r, c, odd = packed.rectangle(n)
    out = np.zeros(n)
    _kernels.times_one(inverse.reshape(c, r), c, odd, vector.astype(np.float64, copy=False), out)
    return out


def residual(inverse: Array, added: Array, x: Any, z: Array) -> Array:
    """(XᵀX + diag(``added``))Pz − z of one vector z (n,)."""
    solved = times_one(inverse, z)
    return np.asarray(x.T @ (x @ solved) + added * solved - z)
