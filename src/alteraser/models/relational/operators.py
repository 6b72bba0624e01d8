"""What the rows of a relation are of its table's: matrices that are fixed by the data, and applied
rather than formed.

An operator A is (rows, columns); ``apply`` is A E, ``adjoint`` is Aᵀ G, in the precision of what
they are given. Every row of a result depends on its own row of the matrix alone, so threads change
no bit of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from scipy.sparse import block_diag, csr_array, diags_array, eye_array, hstack

from alteraser.errors import InvalidInput
from alteraser.runtime.workers import blocks, run

Array = npt.NDArray[Any]

LANES = 8
"""Columns that the kernel takes at a time"""


@runtime_checkable
class Operator(Protocol):
    """A linear map from a table's rows to those of one side of a relation."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows of the relation's side, rows of the table)"""
        ...

    def apply(self, E: Array, *, threads: int = 1) -> Array:
        """A E, (rows, d), for E (columns, d); not to be written to: it may be E itself."""
        ...

    def adjoint(self, G: Array, *, threads: int = 1) -> Array:
        """Aᵀ G, (columns, d), for G (rows, d); not to be written to."""
        ...

    def rows(self, wanted: Array) -> csr_array | None:
        """Some rows of A, (len(wanted), columns), sparse; None where they are not to be had at that
        cost.
        """
        ...


@dataclass(frozen=True)
class Identity:
    """Rows of the relation are rows of the table: matrix factorization."""

    size: int

    @property
    def shape(self) -> tuple[int, int]:
        """(size, size)"""
        return self.size, self.size

    def apply(self, E: Array, *, threads: int = 1) -> Array:
        """E itself."""
        return E

    def adjoint(self, G: Array, *, threads: int = 1) -> Array:
        """G itself."""
        return G

    def rows(self, wanted: Array) -> csr_array:
        """Unit rows."""
        return csr_array(
            (np.ones(len(wanted)), np.asarray(wanted), np.arange(len(wanted) + 1)),
            shape=(len(wanted), self.size),
        )


@dataclass(frozen=True, eq=False)
class Sparse:
    """A matrix in compressed rows: features of users and items, contexts, sums and means over
    lists.
    """

    matrix: csr_array

    @property
    def shape(self) -> tuple[int, int]:
        """Of the matrix."""
        return int(self.matrix.shape[0]), int(self.matrix.shape[1])

    def apply(self, E: Array, *, threads: int = 1) -> Array:
        """A E."""
        return self._forward.times(E, threads)

    def adjoint(self, G: Array, *, threads: int = 1) -> Array:
        """Aᵀ G, by the rows of Aᵀ."""
        return self._backward.times(G, threads)

    def rows(self, wanted: Array) -> csr_array:
        """As they are."""
        return self.matrix[np.asarray(wanted)]

    @cached_property
    def _forward(self) -> Rowwise:
        return Rowwise(self.matrix)

    @cached_property
    def _backward(self) -> Rowwise:
        return Rowwise(csr_array(self.matrix.T))


@dataclass(frozen=True, eq=False)
class Propagation:
    """(I + Ã + … + Ã^K) / (K + 1) for a symmetric Ã: the mean over the layers of LightGCN (He et
    al., SIGIR 2020).

    Nothing but Ã is kept: K products with it take the place of a matrix that is dense from K = 2
    on.

    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> path = Propagation(csr_array(np.array([[0.0, 1.0], [1.0, 0.0]])), layers=1)
    >>> path.apply(np.array([[2.0], [4.0]])).ravel().tolist()
    [3.0, 3.0]
    """

    matrix: csr_array
    layers: int
    """K"""

    def __post_init__(self) -> None:
        if self.layers < 0:
            raise InvalidInput(f"layers={self.layers}: expected at least 0")
        if self.matrix.shape[0] != self.matrix.shape[1]:
            raise InvalidInput(
                f"the graph's matrix is {self.matrix.shape}; it has to be square and symmetric"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(N, N)"""
        return int(self.matrix.shape[0]), int(self.matrix.shape[1])

    def apply(self, E: Array, *, threads: int = 1) -> Array:
        """The mean of the layers, by Horner's rule: S E = (E + Ã (E + Ã (E + …))) / (K + 1)."""
        total = E
        for _ in range(self.layers):
            total = self._forward.times(total, threads)
            total += E
        if self.layers:
            total /= self.layers + 1
        return total

    def step(self, E: Array, *, threads: int = 1) -> Array:
        """Ã E, a new array."""
        return self._forward.times(E, threads)

    def adjoint(self, G: Array, *, threads: int = 1) -> Array:
        """The same: Ã is symmetric."""
        return self.apply(G, threads=threads)

    def rows(self, wanted: Array) -> None:
        """They are dense."""
        return

    @cached_property
    def _forward(self) -> Rowwise:
        return Rowwise(self.matrix)


@dataclass(frozen=True, eq=False)
class Part:
    """Rows ``start`` to ``stop`` of another operator: the users of a propagation over users and
    items.

    Parts of one and the same ``whole`` (the same object) are computed together, once.
    """

    whole: Operator
    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop <= self.whole.shape[0]:
            raise InvalidInput(
                f"rows {self.start} to {self.stop} of an operator with {self.whole.shape[0]} rows"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(stop − start, columns)"""
        return self.stop - self.start, self.whole.shape[1]

    def apply(self, E: Array, *, threads: int = 1) -> Array:
        """These rows of the whole's."""
        return self.whole.apply(E, threads=threads)[self.start : self.stop]

    def adjoint(self, G: Array, *, threads: int = 1) -> Array:
        """The whole's, of G with zeros around it."""
        padded = np.zeros((self.whole.shape[0], G.shape[1]), G.dtype)
        padded[self.start : self.stop] = G
        return self.whole.adjoint(padded, threads=threads)

    def rows(self, wanted: Array) -> csr_array | None:
        """The whole's."""
        return self.whole.rows(np.asarray(wanted) + self.start)


@dataclass(frozen=True, eq=False)
class Product:
    """outer · inner: features of the neighbors of a graph, a context over rows that are sums of
    features.
    """

    outer: Operator
    inner: Operator

    def __post_init__(self) -> None:
        if self.outer.shape[1] != self.inner.shape[0]:
            raise InvalidInput(
                f"operators of shapes {self.outer.shape} and {self.inner.shape} do not follow "
                "each other"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows of the outer, columns of the inner)"""
        return self.outer.shape[0], self.inner.shape[1]

    def apply(self, E: Array, *, threads: int = 1) -> Array:
        """First the inner, then the outer."""
        return self.outer.apply(self.inner.apply(E, threads=threads), threads=threads)

    def adjoint(self, G: Array, *, threads: int = 1) -> Array:
        """First the outer's, then the inner's."""
        return self.inner.adjoint(self.outer.adjoint(G, threads=threads), threads=threads)

    def rows(self, wanted: Array) -> csr_array | None:
        """Rows of the outer times the inner, where both have them."""
        outer = self.outer.rows(wanted)
        if outer is None:
            return None
        used, places = np.unique(outer.indices, return_inverse=True)
        inner = self.inner.rows(used)
        if inner is None:
            return None
        narrowed = csr_array((outer.data, places, outer.indptr), shape=(outer.shape[0], used.size))
        return csr_array(narrowed @ inner)


class Rowwise:
    """Products of a matrix in compressed rows with dense ones, blocks of rows shared out among
    threads.
    """

    def __init__(self, matrix: csr_array) -> None:
        self._shape = matrix.shape
        self._indptr = matrix.indptr.astype(np.int64)
        self._indices = matrix.indices.astype(np.int32)
        self._data = {np.dtype(np.float64): matrix.data.astype(np.float64)}

    @property
    def all_rows(self) -> Array:
        """Every row, (rows,) int64."""
        return np.arange(self._shape[0], dtype=np.int64)

    @property
    def counts(self) -> Array:
        """Entries of every row, (rows,) int64."""
        return np.diff(self._indptr)

    def times(self, E: Array, threads: int = 1) -> Array:
        """A E, a new array, in the precision of E: float32 or float64."""
        from alteraser.linalg.kernels.sparse import times_rows

        width = E.shape[1]
        given = np.ascontiguousarray(E)
        if width % LANES:
            given = np.zeros((E.shape[0], width + LANES - width % LANES), E.dtype)
            given[:, :width] = E
        if E.dtype not in self._data:
            self._data[E.dtype] = self._data[np.dtype(np.float64)].astype(E.dtype)
        data = self._data[E.dtype]
        out = np.empty((self._shape[0], given.shape[1]), E.dtype)
        run(
            lambda rows: times_rows(rows, self._indptr, self._indices, data, given, out),
            blocks(self, None, given.shape[1], threads),
            threads,
        )
        return out if given.shape[1] == width else np.ascontiguousarray(out[:, :width])


def normalized(matrix: csr_array) -> csr_array:
    """D^{-1/2} W D^{-1/2} of a symmetric W ≥ 0, D its row sums; a node without edges has a row of
    zeros.

    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> normalized(csr_array(np.array([[0.0, 4.0], [4.0, 0.0]]))).toarray()[:, 0].tolist()
    [0.0, 1.0]
    """
    degrees = np.asarray(matrix.sum(1)).ravel()
    if degrees.size and (degrees < 0).any():
        raise InvalidInput("a graph's weights have to be at least 0 to be normalized")
    scale = np.zeros(degrees.size)
    np.divide(1.0, np.sqrt(degrees), out=scale, where=degrees > 0)
    return csr_array(diags_array(scale) @ matrix @ diags_array(scale))


def stacked(parts: Sequence[csr_array | int], *, diagonal: bool = False) -> Sparse:
    """Sparse columns side by side, an int standing for the identity of that size: an item and its
    features.

    ``diagonal`` sets them along the diagonal instead: users with theirs and items with theirs over
    one table.

    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> stacked([2, csr_array(np.array([[1.0], [1.0]]))]).matrix.toarray().tolist()
    [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
    """
    matrices = [eye_array(part, format="csr") if isinstance(part, int) else part for part in parts]
    joined = block_diag(matrices, format="csr") if diagonal else hstack(matrices, format="csr")
    return Sparse(csr_array(joined))
