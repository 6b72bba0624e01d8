"""The certificate of a linear model: how far it is from an optimum for the remaining data, from its
tables alone.

Nothing of the run is used, nor of its evaluation: the loss, its gradient and products with its
Hessian are written here a second time, with SciPy's sparse matrices, from what the remaining data
give. What users and items score with has to be what the tables give on the graph of these data.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, eye_array
from threadpoolctl import threadpool_limits

from alteraser.evidence.certificate.certificate import Check, check_of_influence
from alteraser.evidence.certificate.discarded import ROUNDING, axes_of, least
from alteraser.evidence.certificate.words import NAMES, Class, sentence
from alteraser.models.relational import (
    Identity,
    LinearProblem,
    Operator,
    Part,
    Point,
    Product,
    Propagation,
    Relation,
    Sparse,
)
from alteraser.runtime import events
from alteraser.solvers.limits import STORED, Limits, influence, untold
from alteraser.solvers.relational import Preconditioner
from alteraser.solvers.relational.symmetry import Turns, rotated_onto

Float64 = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

COMPOSED = 1e-9
"""Share of their size that what scores may differ by from what the tables give: rounding"""
PRODUCTS, SOLVED = 400, 0.03
"""Products that a Newton step may take, and how far it is solved"""


@dataclass(frozen=True)
class LinearCertificate:
    """What was found, and the class it amounts to: C or D."""

    kind: Class
    sentence: str
    checks: tuple[Check, ...]
    gradient: float
    """‖∇L_r(Θ_u)‖_F"""
    eta: float
    """η, the length of a Newton step and about what is left of it"""
    size: float
    """‖Θ_u‖_F"""
    curvature: float
    """Least curvature met, relative to the preconditioner; not above 0 where L bends down"""
    objective: float
    objective_before: float | None
    """L_r(Θ_a); None without the model from before"""
    products: int
    why_not_proved: str | None = None

    @property
    def name(self) -> str:
        """The class in a word."""
        return NAMES[self.kind]

    @property
    def passed(self) -> bool:
        """False for class D."""
        return self.kind != "D"

    def to_document(self) -> dict[str, Any]:
        """As JSON values."""
        fields = asdict(self)
        return {"class": fields.pop("kind"), "name": self.name} | fields


def certify(
    problem: LinearProblem,
    point: Point,
    composed: tuple[Float64, Float64],
    given: tuple[Float64, Float64],
    *,
    before: Point | None = None,
    limits: Limits | None = None,
    threads: int = 1,
) -> LinearCertificate:
    """How far ``point`` is from an optimum of ``problem``, which the remaining data make.

    ``composed`` is what scores as the model has it, ``given`` what the tables give on these data;
    ``before`` is the original, in the same rows.
    """
    limits = limits or Limits()
    with threadpool_limits(1, "blas"):
        return _certify(problem, point, composed, given, before, limits, threads)


def _certify(
    problem: LinearProblem,
    point: Point,
    composed: tuple[Float64, Float64],
    given: tuple[Float64, Float64],
    before: Point | None,
    limits: Limits,
    threads: int,
) -> LinearCertificate:
    tell = events.steps()
    tell("gradient", 0.0)
    plain = PlainLinear(problem)
    value, gradient = plain.gradient(point)
    size = float(np.linalg.norm(point.vector))
    tell("Newton step", 0.2)
    step, left, curvature, products = _newton_step(plain, point, gradient, threads)
    eta = float(np.linalg.norm(step)) * (1.0 + left / max(curvature, left, 1e-300))
    tell("columns that are nothing", 0.8)
    down, away = plain.saddle(point)
    if away > limits.distance * size:
        curvature = min(curvature, down)
    if not curvature > 0:
        eta = np.inf
    if not np.any(gradient):
        eta = 0.0
    apart = max(_apart(mine, theirs) for mine, theirs in zip(composed, given, strict=True))
    checks = [
        Check("curvature", curvature, 0.0, curvature > 0, "in a valley of L, not on a saddle"),
        Check(
            "distance",
            eta / size if size else eta,
            limits.distance,
            eta <= limits.distance * size,
            "of the model from the stationary point, over its size",
        ),
        Check(
            "composed",
            apart,
            COMPOSED,
            apart <= COMPOSED,
            "difference of what users and items score with from what the tables give on the "
            "remaining data",
        ),
    ]
    old = None
    if before is not None:
        tell("the model from before", 0.9)
        old, push = plain.gradient(before)
        moved = float(np.linalg.norm(rotated_onto(problem, point, before) - before.vector))
        checks += _after(limits, gradient, push, influence(eta, moved, size), untold(eta, size))
    passed = all(check.passed for check in checks)
    kind: Class = "C" if passed else "D"
    said = sentence(kind, eta if passed else None, eta / size if passed and size else None)
    return LinearCertificate(
        kind,
        said,
        tuple(checks),
        float(np.linalg.norm(gradient)),
        eta,
        size,
        curvature,
        value,
        old,
        products,
        "the smallest curvature is estimated" if passed else None,
    )


def _after(
    limits: Limits, gradient: Float64, push: Float64, iota: float, floor: bool
) -> list[Check]:
    """What must hold beside the model from before; ``floor``: no step from the model to an optimum
    is longer than storing it in float32 would move it. Where what went bore on nothing, the model
    from before was there as well, and how their gradients compare says nothing.
    """
    left = float(np.linalg.norm(gradient)) / max(float(np.linalg.norm(push)), 1e-300)
    small = left <= limits.residual
    meaning = "of the old model's gradient on the remaining data"
    if floor and not small:
        meaning += "; the model is at an optimum whatever it is"
    return [
        check_of_influence(limits, iota, rounded=floor),
        Check(
            "residual",
            left,
            limits.residual,
            small or floor,
            meaning,
        ),
    ]


def _apart(mine: Float64, theirs: Float64) -> float:
    """‖A − B‖ / ‖B‖; ∞ for other shapes."""
    if mine.shape != theirs.shape:
        return np.inf
    size = float(np.linalg.norm(theirs))
    return float(np.linalg.norm(mine - theirs)) / max(size, STORED)


def _newton_step(
    plain: PlainLinear, point: Point, gradient: Float64, threads: int
) -> tuple[Float64, float, float, int]:
    """(x ≈ −H⁻¹g, ‖g + Hx‖_{M⁻¹} / ‖g‖_{M⁻¹}, the least curvature met relative to M, products)."""
    M, turns = Preconditioner(plain.problem, point, threads), Turns(plain.problem, point)
    x, r = np.zeros_like(gradient), turns.off(-gradient)
    z = turns.off(M(r))
    p, rz, smallest = z, float(r @ z), np.inf
    first, count = rz, 0
    while count < PRODUCTS and rz > SOLVED**2 * first:
        q = turns.off(plain.product(point, p))
        bent, count = float(p @ q), count + 1
        smallest = min(smallest, bent / rz)
        if not bent > 0.0:
            break
        x, r = x + rz / bent * p, r - rz / bent * q
        z = turns.off(M(r))
        before, rz = rz, float(r @ z)
        p = z + rz / before * p
    left = float(np.sqrt(max(rz, 0.0) / first)) if first > 0 else 0.0
    return x, left, 1.0 if smallest == np.inf else smallest, count


class PlainLinear:
    """L of a linear problem by SciPy alone: gradient and products with the Hessian."""

    def __init__(self, problem: LinearProblem) -> None:
        self.problem = problem
        self._parts = [_PlainRelation(problem, relation) for relation in problem.relations]

    def gradient(self, point: Point) -> tuple[float, Float64]:
        """(L, ∇L), the latter a vector."""
        out = self.problem.point(np.zeros_like(point.vector))
        value = sum(part.add_gradient(point, out) for part in self._parts)
        for name, E in point.tables.items():
            ridge = self.problem.ridge[name]
            value += float(ridge @ (E * E).sum(1))
            out.tables[name][:] += 2.0 * ridge[:, None] * E
        return value, out.vector

    def saddle(self, point: Point) -> tuple[float, float]:
        """(about the least curvature of L, over the penalty, in a column in which the tables are
        nothing, how far it is to where L is least in it); (0, 0) where none bends down.
        """
        rank, tables = self.problem.rank, self.problem.tables
        ridge = np.concatenate([self.problem.ridge[table.name] for table in tables])
        stacked = np.concatenate([point.tables[table.name][:, :rank] for table in tables])
        axis, used = axes_of(stacked, free=not point.predictions)
        if axis is None or not np.all(ridge > 0):
            return 0.0, 0.0
        root = np.sqrt(ridge)
        parts = [part.at(point, axis) for part in self._parts]

        def form(v: Float64) -> Float64:
            column, out = v / root, v * root
            at = self._rows(column)
            for part in parts:
                into = self._rows(out)
                part.add(at, into)
            return np.asarray(out / root)

        value, vector = least(form, root[:, None] * (stacked @ used), ridge.size)
        if not value < -ROUNDING:
            return 0.0, 0.0
        column = vector / root
        fourth = sum(part.fourth(self._rows(column)) for part in parts)
        # L falls by |value| t² and rises by the fourth power
        return value, float(np.sqrt(-value / (2.0 * fourth))) * float(np.linalg.norm(column))

    def _rows(self, column: Float64) -> dict[str, Float64]:
        """What of a column is of which table."""
        found, at = {}, 0
        for table in self.problem.tables:
            found[table.name] = column[at : at + table.rows]
            at += table.rows
        return found

    def product(self, point: Point, direction: Float64) -> Float64:
        """∇²L · direction, a vector."""
        along = self.problem.point(direction)
        out = self.problem.point(np.zeros_like(direction))
        for part in self._parts:
            part.add_product(point, along, out)
        for name, E in along.tables.items():
            out.tables[name][:] += 2.0 * self.problem.ridge[name][:, None] * E
        return out.vector


class _PlainRelation:
    """One relation: R = ∂L/∂Ŷ / 2β is w⁻Ŷ everywhere and (c − w⁻)Ŷ − cY more where observed."""

    def __init__(self, problem: LinearProblem, relation: Relation) -> None:
        self.relation, self._rank = relation, problem.rank
        cells, missing = relation.cells, relation.missing
        m, n = cells.shape
        self.a = missing.weight * (missing.rows if missing.rows.size else np.ones(m))
        self.b = missing.columns if missing.columns.size else np.ones(n)
        self.row = np.repeat(np.arange(m), np.diff(cells.indptr))
        c = cells.confidence if cells.confidence.size else np.ones(len(cells))
        y = cells.target if cells.target.size else np.ones(len(cells))
        self.excess, self._pull = c - self.a[self.row] * self.b[cells.indices], c * y
        self._energy = float((c * y * y).sum())
        self.left, self.right = _matrices(relation.left), _matrices(relation.right)

    def _sides(self, point: Point, constant: float) -> tuple[Float64, Float64, Float64 | None]:
        """(X, Z, h), with the columns of biases where there are some."""
        r, d = self.relation, self._rank
        X, Z = (
            _forward(self.left, point.tables[r.source]),
            _forward(self.right, point.tables[r.target]),
        )
        h = point.predictions.get(r.name)
        if not r.biases:
            return X[:, :d], Z[:, :d], h
        one = [np.full((len(x), 1), constant) for x in (X, Z)]
        return (
            np.hstack([X[:, : d + 1], one[0]]),
            np.hstack([Z[:, :d], one[1], Z[:, d : d + 1]]),
            h,
        )

    def _at(self, X: Float64, Z: Float64) -> Array:
        """X Zᵀ in the observed cells."""
        found = np.empty(self.row.size)
        for start in range(0, found.size, 1 << 16):
            at = slice(start, start + (1 << 16))
            rows, columns = self.row[at], self.relation.cells.indices[at]
            found[at] = np.einsum("id,id->i", X[rows], Z[columns])
        return found

    def _sparse(self, values: Array) -> csr_array:
        cells = self.relation.cells
        return csr_array((values, cells.indices, cells.indptr), shape=cells.shape)

    def add_gradient(self, point: Point, out: Point) -> float:
        """Add ∇ to ``out``; returns the loss."""
        X, Z, h = self._sides(point, 1.0)
        scale = self._scale(h, X.shape[1])
        Y, beta = X * scale, self.relation.weight
        s = self._at(Y, Z)
        E = self._sparse(self.excess * s - self._pull)
        inner, outer = Z.T @ (self.b[:, None] * Z), Y.T @ (self.a[:, None] * Y)
        dY = 2.0 * beta * (E @ Z + self.a[:, None] * (Y @ inner))
        dZ = 2.0 * beta * (E.T @ Y + self.b[:, None] * (Z @ outer))
        loss = float((self.excess * s * s - 2.0 * self._pull * s).sum()) + self._energy
        loss = beta * (loss + float((inner * outer).sum()))
        if h is not None:
            strength, d = self.relation.prediction or 0.0, self._rank
            out.predictions[self.relation.name][:] += (dY * X).sum(0)[:d] + 2.0 * strength * (
                h - 1.0
            )
            loss += strength * float(((h - 1.0) ** 2).sum())
        self._back(dY * scale, dZ, out)
        return loss

    def add_product(self, point: Point, along: Point, out: Point) -> None:
        """Add ∇² · along to ``out``."""
        X, Z, h = self._sides(point, 1.0)
        V, W, dh = self._sides(along, 0.0)
        scale, beta, d = self._scale(h, X.shape[1]), self.relation.weight, self._rank
        Y, U = X * scale, V * scale
        if dh is not None:
            U[:, :d] += X[:, :d] * dh
        a, b = self.a[:, None], self.b[:, None]
        s = self._at(Y, Z)
        E = self._sparse(self.excess * s - self._pull)
        F = self._sparse(self.excess * (self._at(U, Z) + self._at(Y, W)))
        inner, outer = Z.T @ (b * Z), Y.T @ (a * Y)
        dinner, douter = W.T @ (b * Z) + Z.T @ (b * W), U.T @ (a * Y) + Y.T @ (a * U)
        dY = 2.0 * beta * (F @ Z + E @ W + a * (U @ inner + Y @ dinner))
        dZ = 2.0 * beta * (F.T @ Y + E.T @ U + b * (W @ outer + Z @ douter))
        back = dY * scale
        if h is not None and dh is not None:
            first = 2.0 * beta * (E @ Z + a * (Y @ inner))
            strength = self.relation.prediction or 0.0
            out.predictions[self.relation.name][:] += (
                (dY * X).sum(0)[:d] + (first * V).sum(0)[:d] + 2.0 * strength * dh
            )
            back[:, :d] += first[:, :d] * dh
        self._back(back, dZ, out)

    def at(self, point: Point, axis: Float64) -> _Beside:
        """Its errors at a point, for a column along ``axis`` beside the others."""
        X, Z, h = self._sides(point, 1.0)
        Y = X * self._scale(h, X.shape[1])
        strength = self.relation.weight * (1.0 if h is None else float(h @ axis**2))
        error = self._sparse(self.excess * self._at(Y, Z) - self._pull)
        return _Beside(self, Y, Z, error, strength)

    def _scale(self, h: Float64 | None, width: int) -> Float64:
        found = np.ones(width)
        if h is not None:
            found[: h.size] = h
        return found

    def _back(self, dX: Float64, dZ: Float64, out: Point) -> None:
        r, d = self.relation, self._rank
        if r.biases:
            dX, dZ = dX[:, : d + 1], np.hstack([dZ[:, :d], dZ[:, d + 1 :]])
        for matrices, table, G in (
            (self.left, r.source, dX),
            (self.right, r.target, dZ),
        ):
            out.tables[table][:, : G.shape[1]] += _backward(matrices, G)


@dataclass(frozen=True, eq=False)
class _Beside:
    """A relation's errors R, and what they make of a column c that was nothing."""

    of: _PlainRelation
    Y: Float64
    Z: Float64
    error: csr_array
    strength: float
    """β h, h being that of the column"""

    def add(self, column: dict[str, Float64], out: dict[str, Float64]) -> None:
        """Add half the gradient of 2 β (A c)ᵀ R (B c)."""
        x, z = self._sides(column)
        a, b, r = self.of.a, self.of.b, self.of.relation
        Rz = self.error @ z + a * (self.Y @ (self.Z.T @ (b * z)))
        Rx = self.error.T @ x + b * (self.Z @ (self.Y.T @ (a * x)))
        for name, matrices, G in ((r.source, self.of.left, Rz), (r.target, self.of.right, Rx)):
            out[name][:] += self.strength * _backward(matrices, G)

    def fourth(self, column: dict[str, Float64]) -> float:
        """Σ_cells β w (A c)² (B c)² h²."""
        x, z = self._sides(column)
        cells = self.of.relation.cells
        there = float(self.of.excess @ (x[self.of.row] * z[cells.indices]) ** 2)
        return (
            self.strength**2
            / self.of.relation.weight
            * (there + float(self.of.a @ x**2) * float(self.of.b @ z**2))
        )

    def _sides(self, column: dict[str, Float64]) -> tuple[Float64, Float64]:
        r = self.of.relation
        return (
            _forward(self.of.left, column[r.source]),
            _forward(self.of.right, column[r.target]),
        )


def _matrices(operator: Operator) -> list[csr_array | tuple[csr_array, int]]:
    """An operator as matrices to be applied from the last to the first; (Ã, K) is a propagation."""
    if isinstance(operator, Identity):
        return []
    if isinstance(operator, Sparse):
        return [csr_array(operator.matrix)]
    if isinstance(operator, Propagation):
        return [(csr_array(operator.matrix), operator.layers)]
    if isinstance(operator, Part):
        chosen = eye_array(operator.whole.shape[0], format="csr")[operator.start : operator.stop]
        return [csr_array(chosen), *_matrices(operator.whole)]
    if isinstance(operator, Product):
        return [*_matrices(operator.outer), *_matrices(operator.inner)]
    raise TypeError(f"no certificate knows what a {type(operator).__name__} is")


def _forward(matrices: list[Any], E: Float64) -> Float64:
    for matrix in reversed(matrices):
        E = _smoothed(matrix[0], matrix[1], E) if isinstance(matrix, tuple) else matrix @ E
    return E


def _backward(matrices: list[Any], G: Float64) -> Float64:
    for matrix in matrices:
        G = _smoothed(matrix[0].T, matrix[1], G) if isinstance(matrix, tuple) else matrix.T @ G
    return G


def _smoothed(graph: Any, layers: int, E: Float64) -> Float64:
    """The mean over the layers, layer by layer."""
    total, layer = E.copy(), E
    for _ in range(layers):
        layer = graph @ layer
        total += layer
    return total / (layers + 1)
