"""What a file of another library shows of having forgotten, recomputed from the files and the data
alone.

    A   the file tells how it was trained, and that training on the remaining data gives its
        very bytes
    B C at an optimum for the remaining data, by the certificate of our own models
    L   with the file from before and what was forgotten: the anchored residual is within its limit
    D   neither

Uses nothing of the run that made the file; gradients and norms are taken by NumPy and SciPy, apart
from the kernels that erase. Only kinds of the ALS family have a residual that can be recomputed so;
others end in D, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_array

from alteraser.adapters.als import ALS, longer
from alteraser.adapters.choose import LOCAL
from alteraser.adapters.contract import CONTAINER, Foreign, Level
from alteraser.adapters.opened import Opened
from alteraser.adapters.replay import agreement
from alteraser.adapters.standing import certified
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.erasers.anchored_rows import left_of_askers
from alteraser.erasers.filtered import ASKERS
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.evidence.certificate.compiled import block_solver
from alteraser.models import Problem, Side
from alteraser.runtime import events
from alteraser.solvers.anchors import storing_noise
from alteraser.tolerances import checked_tolerance

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Pair = tuple[Float64, Float64]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``passed`` None: for information."""

    name: str
    value: float | None
    limit: float | None
    passed: bool | None
    meaning: str


@dataclass(frozen=True)
class ForeignVerification:
    """The class that may be claimed, and what it rests on."""

    level: Level
    sentence: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """True for every class but D."""
        return self.level != "D"


@events.verb("verify", "passed", "level")
def verify_foreign(
    new: Opened, before: Opened | None = None, *, tolerance: float = LOCAL, threads: int = 0
) -> ForeignVerification:
    """Which class the model ``new``, opened with the remaining data, may claim.

    ``before`` is the model it was made from, opened with all the data (``all_data`` puts them
    together); without it class L cannot be told from D. Raises InvalidInput where the two models
    have other shapes, IntegrityError where ``before`` does not fit its data or these lack some that
    remain.
    """
    checked_tolerance(tolerance)
    if before is not None:
        new = _in_rows_of(new, before)
    findings = [_absent(new)]
    if not findings[0].passed:
        return _verdict(
            "D",
            "users or items of whom nothing remains still have a vector; forget makes these zero, "
            "with their ids as the forget set",
            findings,
        )
    repeated = _repeated(new, threads)
    findings += repeated
    if any(finding.passed for finding in repeated):
        return _verdict(
            "A",
            "this model was computed without the data that are gone: its training, repeated on "
            "what remains, gives the same bytes",
            findings,
        )
    loss = new.foreign.loss
    if not isinstance(loss, ALS):
        return _verdict(
            "D",
            f"nothing of {loss.name} can be recomputed from the files but whose rows are zero",
            findings,
        )
    if before is not None:
        _fit(new, before)
    original = None if before is None else (before.foreign.users, before.foreign.items)
    certificate = certified(
        loss, new.data, (new.foreign.users, new.foreign.items), original, threads=threads
    )
    if certificate is not None:
        for check in certificate.checks:  # no class but B and C asks for all of them
            sound = True if check.passed else None
            findings.append(Finding(check.name, check.value, check.limit, sound, check.meaning))
        if certificate.kind in ("B", "C"):
            return _verdict("B" if certificate.kind == "B" else "C", certificate.sentence, findings)
    if before is None:
        return _verdict(
            "D",
            "without the model from before and what was forgotten (--before, --forgotten) class L "
            "cannot be told from D",
            findings,
        )
    return _local(loss, new, before, findings, tolerance, threads)


def _local(
    loss: ALS, new: Opened, before: Opened, findings: list[Finding], tolerance: float, threads: int
) -> ForeignVerification:
    """Class L or D: how much of the deletion's push is left, of all and in the rows of who
    asked.
    """
    before.foreign.loss.check(before.foreign, before.data, threads=threads).require(
        before.foreign.path
    )
    residual, noise, askers = _anchored(loss, before, new)
    meaning = "‖∇L_{D_r}(Θ_u) − ∇L_{D_a}(Θ_a)‖ over the deletion's push: 1 if nothing was done"
    floor = residual <= noise
    if floor and residual > tolerance:
        meaning += "; no more than storing the factors leaves"
    findings.append(
        Finding("anchored residual", residual, tolerance, residual <= tolerance or floor, meaning)
    )
    meaning = (
        "the most that is left of the push in the row of a user who asked: 1 and more where "
        "nothing was done"
    )
    findings.append(Finding("asking users", askers, ASKERS, askers <= ASKERS or floor, meaning))
    if findings[-1].passed and findings[-2].passed:
        return _verdict(
            "L",
            f"the deletion's effect on a model that is not at rest, to within {residual:.2g} of "
            "its push; its distance from an optimum is as before",
            findings,
        )
    return _verdict("D", "more of the deletion's push is left than class L allows", findings)


def _verdict(level: Level, words: str, findings: list[Finding]) -> ForeignVerification:
    sentence = f"not shown to have forgotten: {words}" if level == "D" else words
    return ForeignVerification(level, sentence, tuple(findings))


def _absent(new: Opened) -> Finding:
    """Rows of users and items without interactions must hold nothing, or no more than their
    trainer's steps leave of a random start.
    """
    foreign, data = new.foreign, new.data
    loss = foreign.loss if isinstance(foreign.loss, ALS) else None
    full, most = 0, 0.0
    for x, counts in ((foreign.users, data.user_counts), (foreign.items, data.item_counts)):
        lingering = 0.0 if loss is None else loss.lingering(x, counts)
        full += int(longer(np.asarray(x)[counts == 0], lingering).sum())
        most = max(most, lingering)
    meaning = "rows without interactions that are not zero"
    # other trainers leave a random start in rows that nobody ever used
    if loss is None:
        return Finding("absent", float(full), None, True, f"{meaning}, for information")
    if most > 0:
        meaning += f", but for what {loss.name} without its extension leaves of a random start"
    return Finding("absent", float(full), 0.0, full == 0, meaning)


def _repeated(new: Opened, threads: int) -> list[Finding]:
    foreign, found = new.foreign, []
    for way in foreign.trainer.ways if foreign.trainer is not None else ():
        assert foreign.trainer is not None
        users, items = foreign.trainer.run(way, new.data, threads=threads)
        same = np.array_equal(users, foreign.users) and np.array_equal(items, foreign.items)
        overlap = (
            1.0 if same else agreement((users, items), (foreign.users, foreign.items), new.data)
        )
        meaning = f"overlap of lists with {foreign.trainer.words} on the remaining data ({way})"
        found.append(
            Finding(
                "replay",
                overlap,
                1.0,
                True if same else None,
                meaning + (": the same bytes" if same else ""),
            )
        )
        if same:
            break
    return found


def _in_rows_of(new: Opened, before: Opened) -> Opened:
    """``new`` in the rows of ``before``, where its container has ids and leaves out who is gone, as
    Spark's does.
    """
    now, then = new.foreign, before.foreign
    if now.shape == then.shape or now.shape[2] != then.shape[2] or now.ids_from != CONTAINER:
        return new
    maps, factors = [], []
    for mine, theirs, x in (
        (now.user_ids, then.user_ids, now.users),
        (now.item_ids, then.item_ids, now.items),
    ):
        assert mine is not None
        assert theirs is not None
        rows = theirs.rows_of(mine.ids)
        if (rows < 0).any():
            return new  # somebody whom the model from before does not know: ``_fit`` says so
        order = np.argsort(rows)
        maps.append(IdMap(mine.ids.take(pa.array(order)), rows[order], theirs.size))
        factors.append(np.zeros((theirs.size, x.shape[1]), x.dtype))
        factors[-1][rows] = x[mine.rows]
    foreign = replace(now, users=factors[0], items=factors[1], user_ids=maps[0], item_ids=maps[1])
    return replace(
        new,
        foreign=foreign,
        data=Interactions.from_table(new.data.to_table(), users=maps[0], items=maps[1]),
    )


def _fit(new: Opened, before: Opened) -> None:
    one, other = new.foreign.shape, before.foreign.shape
    if one != other:
        raise InvalidInput(
            f"--before has {other[0]:,} users, {other[1]:,} items and {other[2]} factors, the "
            f"model {one[0]:,}, {one[1]:,} and {one[2]}: it is not its original"
        )
    lost = new.data.keep(
        before.data.locate(new.data.user_rows, new.data.indices.astype(np.int64)) < 0
    )
    if len(lost):
        raise IntegrityError(
            f"{len(lost):,} of the remaining interactions are not in the data from before"
        )


# ----------------------------------------------------------- the residual, by arithmetic of its own


def _anchored(loss: ALS, before: Opened, new: Opened) -> tuple[float, float, float]:
    """(the anchored residual, what storing the factors may leave of it, what is left in the rows of
    who asked).
    """
    old, now = (_factors(opened.foreign) for opened in (before, new))
    whole, rest = (replace(loss).problem(opened.data, np.float64) for opened in (before, new))
    held, there, here = gradients(whole, *old), gradients(rest, *old), gradients(rest, *now)
    # rows left empty are zero whatever else was done, and would hide all of it
    for found in (held, there, here):
        for gradient, side in zip(found, (rest.users, rest.items), strict=True):
            gradient[side.counts == 0] = 0.0
    push = block_norm(rest, (there[0] - held[0], there[1] - held[1]), *old)
    left = block_norm(rest, (here[0] - held[0], here[1] - held[1]), *now)
    if push == 0:
        return (0.0 if left == 0 else float("inf")), 0.0, 0.0
    size = np.sqrt(max(sum(_quadratic(rest, *now)), 0.0))
    asking = np.flatnonzero(
        (before.data.user_counts > new.data.user_counts) & (new.data.user_counts > 0)
    )
    pushes = row_norms(rest, there[0] - held[0], asking, old[1])
    lefts = row_norms(rest, here[0] - held[0], asking, now[1])
    askers = float(left_of_askers(lefts, pushes).max(initial=0.0))
    return left / push, storing_noise(float(size), new.foreign.users.dtype) / push, askers


def gradients(problem: Problem, P: Float64, Q: Float64) -> Pair:
    """∇L with respect to P (m, d) and Q (n, d), from sparse products."""
    return _gradient(problem.users, P, Q), _gradient(problem.items, Q, P)


def block_norm(problem: Problem, g: Pair, P: Float64, Q: Float64) -> float:
    """‖g‖_{B⁻¹}, B the rows' systems A, by the certificate's Cholesky factorizations."""
    total = sum(
        float(_squares(side, x, other).sum())
        for side, x, other in ((problem.users, g[0], Q), (problem.items, g[1], P))
    )
    return float(np.sqrt(max(total, 0.0)))


def row_norms(problem: Problem, g: Float64, rows: Array, Q: Float64) -> Float64:
    """‖g‖_{A⁻¹} of some users' rows, (len(rows),)."""
    chosen = np.zeros_like(g)
    chosen[rows] = g[rows]
    return np.sqrt(np.maximum(_squares(problem.users, chosen, Q)[rows], 0.0))


def _squares(side: Side, x: Float64, other: Float64) -> Float64:
    """xᵀA⁻¹x of every row, (rows,); rows of zeros cost nothing."""
    c, _, missing = _cells(side)
    own, ridge = side.own.astype(np.float64), side.ridge.astype(np.float64)
    solved = np.empty(x.shape)
    block_solver()(
        side.all_rows,
        side.indptr,
        side.indices,
        c - missing,
        np.ascontiguousarray(other),
        _gram(side, other),
        own,
        ridge,
        np.ascontiguousarray(x),
        solved,
        np.zeros((0, 0), np.float32),
    )
    return np.asarray(np.einsum("id,id->i", x, solved))


def _factors(foreign: Foreign) -> Pair:
    return np.asarray(foreign.users, dtype=np.float64), np.asarray(foreign.items, dtype=np.float64)


def _gram(side: Side, other: Float64) -> Float64:
    weights = side.other.astype(np.float64)[:, None] if side.other.size else 1.0
    return np.asarray(side.missing_weight * (other.T @ (other * weights)))


def _cells(side: Side) -> tuple[Float64, Float64, Float64]:
    """(c, y, w₀ a b) of every interaction of a side."""
    c = side.confidence.astype(np.float64) if side.confidence.size else np.ones(side.indices.size)
    y = side.target.astype(np.float64) if side.target.size else np.ones(side.indices.size)
    missing = side.missing_weight * np.repeat(side.own.astype(np.float64), side.counts)
    return (
        c,
        y,
        missing * side.other.astype(np.float64)[side.indices] if side.other.size else missing,
    )


def _gradient(side: Side, x: Float64, other: Float64) -> Float64:
    c, y, missing = _cells(side)
    rows = np.repeat(np.arange(side.rows), side.counts)
    scores = np.einsum("id,id->i", x[rows], other[side.indices])
    error = csr_array(
        ((c - missing) * scores - c * y, side.indices, side.indptr), shape=(side.rows, len(other))
    )
    shared = side.own.astype(np.float64)[:, None] * (x @ _gram(side, other))
    return np.asarray(2.0 * (error @ other + shared + side.ridge.astype(np.float64)[:, None] * x))


def _quadratic(problem: Problem, P: Float64, Q: Float64) -> tuple[float, float]:
    """Σ xᵀA x of both sides."""
    found = []
    for side, x, other in ((problem.users, P, Q), (problem.items, Q, P)):
        c, y, _ = _cells(side)
        rows = np.repeat(np.arange(side.rows), side.counts)
        pulled = float(np.sum(c * y * np.einsum("id,id->i", x[rows], other[side.indices])))
        found.append(0.5 * float(np.vdot(_gradient(side, x, other), x)) + pulled)
    return found[0], found[1]
