"""ENMF as RecBole trains it: what its loop minimizes on average, and the rows that minimize it.

RecBole's ENMF (C. Chen et al., TOIS 2020) is the paper's but for four things, all of them in its
code and none in its documentation; with s_uv = h·(p_u ∘ q_v) an epoch's loss is, on average over
the dropout,

    L = w₀ Σ_{u, v} s_uv² + Σ_{(u,v)∈D'} [(1 − w₀)(s_uv² + δ Σ_k (h_k p_uk q_vk)²) − 2 s_uv]
        + B (ρ(‖P‖_F + ‖Q‖_F) + ½ω(‖P‖²_F + ‖Q‖²_F))

1. Dropout at rate r scales what is left by 1/(1 − r) and acts on the positive term alone: δ = r/(1
   − r) is its mean.
2. The norms are not squared, and are added to each of an epoch's B batches, like Adam's weight
   decay ω.
3. The padding takes part. Row 0 of either table is [PAD]: user 0 has scores with every item, every
   user has one with item 0, and D' is D with every history filled up to the longest one with item
   0.
4. Row 0 of the users never gets a gradient and stays where it began; row 0 of the items gets only
   that of the first term, which draws it to zero.

All of it is quadratic in a row, and is solved as such; both rows 0 and h stay as they are. Not
reproduced: the end of Adam's path. A model that was stopped early is taken to the minimum along the
way, and the push says how far it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from alteraser.adapters._ranking import outranked
from alteraser.adapters._recbole_passes import converge, respond
from alteraser.adapters.claims import Told, judged
from alteraser.adapters.contract import Foreign, ForeignErasing, ForeignOutcome, Method
from alteraser.adapters.selfcheck import Measure, RowFault, SelfCheck
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput, NumericFailure

Array = npt.NDArray[Any]

LEAVES = 0.2
"""Median ‖A x − b‖ / (‖A x‖ + ‖b‖) of rows that Adam left: a few
hundredths when trained long, a third on other data of the same shape."""

LEAST_SCORE = 0.05
"""Scores are s = a / (w₀ (1 − a) + a) of the chance a of an interaction: s / (1 − s) are its odds
over w₀. Below this, or three standard deviations of what they were before training, they tell
nothing; nor as far from 1."""


@dataclass(frozen=True)
class EnmfSide:
    """The rows of one side: for row i, A x = b with A = G + Σ_i + ridge; the other side's rows, h
    multiplied in.
    """

    name: str
    indptr: Array
    indices: Array
    others: Array
    """(rows of the other side, d) float64, h multiplied in."""
    gram: Array
    """w₀ Σ z zᵀ over the other side, [PAD] included."""
    ridge: float
    positive: float
    """1 − w₀"""
    spread: float
    """δ"""
    padding: Array
    """(rows,) how many positives with the padding vector."""
    pad: Array
    """(d,)"""

    def system(self, row: int) -> tuple[Array, Array]:
        """(A, b) of ``row``."""
        z = self.others[self.indices[self.indptr[row] : self.indptr[row + 1]]]
        count = self.padding[row]
        A = self.gram + self.positive * (z.T @ z + count * np.outer(self.pad, self.pad))
        squares = np.square(z).sum(0) + count * np.square(self.pad)
        A[np.diag_indices_from(A)] += self.positive * self.spread * squares + self.ridge
        return A, z.sum(0) + count * self.pad

    def solve(
        self, x: Array, rows: Array, held: Array | None = None, damping: float = 0.0
    ) -> float:
        """Put the minimum of each of ``rows`` into ``x``; Σ (A x − b)ᵀ A⁻¹ (A x − b) of what was
        there before.

        With ``held`` (rows, d) the system is (A + μ) x = b + held, μ = ``damping``.
        """
        total = 0.0
        for row in rows:
            A, b = self.system(int(row))
            if held is not None:
                A[np.diag_indices_from(A)] += damping
                b = b + held[row]
            try:
                best = cho_solve(cho_factor(A, check_finite=False), b, check_finite=False)
            except LinAlgError:
                raise NumericFailure(
                    f"{self.name} row {row}: its system is singular; negative_weight 0 without a "
                    "regularization has no minimum"
                ) from None
            step = x[row] - best
            total += float(step @ A @ step)
            x[row] = best
        return total

    def slopes(self, x: Array) -> Array:
        """A x − b of every row, half the gradient, (rows, d)."""
        found = np.zeros_like(x)
        for row in range(x.shape[0]):
            A, b = self.system(row)
            found[row] = A @ x[row] - b
        return found

    def residual(self, x: Array) -> Array:
        """(rows,) ‖A x − b‖ / (‖A x‖ + ‖b‖)."""
        found = np.zeros(x.shape[0])
        for row in range(x.shape[0]):
            A, b = self.system(row)
            scale = np.linalg.norm(A @ x[row]) + np.linalg.norm(b)
            found[row] = np.linalg.norm(A @ x[row] - b) / scale if scale else 0.0
        return found


@dataclass(frozen=True, eq=False)
class RecBoleENMF:
    """The loss above, with the checkpoint's settings."""

    missing_weight: float
    """w₀ = negative_weight"""
    dropout: float
    """r = dropout_prob"""
    norm_weight: float
    """ρ = reg_weight"""
    weight_decay: float
    """ω"""
    batches: int
    """B = ⌈users / train_batch_size⌉"""
    prediction: Array
    """h (d,)"""
    pad_user: Array
    """Row 0 of the users (d,)."""
    pad_item: Array

    name = "RecBole ENMF"

    @property
    def formula(self) -> str:
        """One line with the numbers in it."""
        spread = f" + {self.spread:.3g} Σ_k (h p q)_k²" if self.dropout else ""
        norms = f" + {self.batches * self.norm_weight:g} (‖P‖ + ‖Q‖)" if self.norm_weight else ""
        decay = (
            f" + {self.batches * self.weight_decay / 2:g} (‖P‖² + ‖Q‖²)"
            if self.weight_decay
            else ""
        )
        w0 = self.missing_weight
        return (
            f"{w0:g} Σ_all s² + Σ_observed, padding [{1 - w0:g} (s²{spread}) − 2 "
            f"s]{norms}{decay}, s = h·(p ∘ q)"
        )

    @property
    def spread(self) -> float:
        """δ = r / (1 − r)."""
        return self.dropout / (1.0 - self.dropout)

    # ---------------------------------------------------------------- the two sides

    def users(self, data: Interactions, P: Array, Q: Array) -> EnmfSide:
        """Rows are users."""
        Z, pad = Q * self.prediction, self.pad_item * self.prediction
        counts = data.user_counts
        # a user of whom nothing is left is absent, not one whose whole history is padding
        padding = np.where(counts > 0, counts.max(initial=0) - counts, 0).astype(np.float64)
        gram = self.missing_weight * (Z.T @ Z + np.outer(pad, pad))
        ridge = self._ridge(P, self.pad_user)
        return EnmfSide(
            "user",
            data.indptr,
            data.indices,
            Z,
            gram,
            ridge,
            1 - self.missing_weight,
            self.spread,
            padding,
            pad,
        )

    def items(self, data: Interactions, P: Array, Q: Array) -> EnmfSide:
        """Rows are items."""
        Y, pad = P * self.prediction, self.pad_user * self.prediction
        view = data.by_item
        gram = self.missing_weight * (Y.T @ Y + np.outer(pad, pad))
        return EnmfSide(
            "item",
            view.indptr,
            view.indices,
            Y,
            gram,
            self._ridge(Q, self.pad_item),
            1 - self.missing_weight,
            self.spread,
            np.zeros(Q.shape[0]),
            np.zeros_like(pad),
        )

    def _ridge(self, x: Array, pad: Array) -> float:
        """The multiple of a row that the penalties' gradient, halved, is: ½B(ρ/‖X‖_F + ω)."""
        if not self.norm_weight and not self.weight_decay:
            return 0.0
        norm = float(np.sqrt(np.square(x).sum() + np.square(pad).sum()))
        return self.batches * (self.norm_weight / max(norm, 1e-12) + self.weight_decay) / 2

    def objective(self, data: Interactions, P: Array, Q: Array) -> float:
        """L in float64, without what no row that moves changes."""
        h, w0 = self.prediction, self.missing_weight
        Z, pad = Q * h, self.pad_item * h
        all_users, all_items = np.vstack([P, self.pad_user]), np.vstack([Z, pad])
        value = w0 * float(np.sum((all_users.T @ all_users) * (all_items.T @ all_items)))
        padding = self.users(data, P, Q).padding
        for left, right, weight in (
            (P[data.user_rows], Z[data.indices], 1.0),
            (P, pad[None, :], padding),
        ):
            parts = left * right
            s = parts.sum(1)
            cells = (1 - w0) * (np.square(s) + self.spread * np.square(parts).sum(1)) - 2 * s
            value += float(np.sum(weight * cells))
        for x, row in ((P, self.pad_user), (Q, self.pad_item)):
            square = float(np.square(x).sum() + np.square(row).sum())
            value += self.batches * (
                self.norm_weight * np.sqrt(square) + self.weight_decay * square / 2
            )
        return value

    # ---------------------------------------------------------------- the contract

    def check(self, foreign: Foreign, data: Interactions, *, threads: int = 0) -> SelfCheck:
        """Is the gradient of the rows small against its parts, and do training pairs outrank
        others? Where not, training may have ended early: does it know less than it claims?
        """
        P, Q = (np.asarray(x, np.float64) for x in (foreign.users, foreign.items))
        with threadpool_limits(1):
            found = [
                ("user", self.users(data, P, Q).residual(P), data.user_counts > 0),
                ("item", self.items(data, P, Q).residual(Q), data.item_counts > 0),
            ]
        measures, faults = [], []
        for name, residuals, used in found:
            median = float(np.median(residuals[used])) if used.any() else 0.0
            measures.append(
                Measure(
                    f"the {name} rows' median gradient",
                    median,
                    LEAVES,
                    median <= LEAVES,
                    "‖A x − b‖ / (‖A x‖ + ‖b‖) of the row's loss",
                )
            )
            faults += [
                RowFault(name, int(row), float(residuals[row]))
                for row in np.argsort(-residuals)[:10]
            ]
        scores = Q * self.prediction
        rank, _ = outranked(lambda u, v: np.einsum("id,id->i", P[u], scores[v]), data)
        faults.sort(key=lambda fault: -fault.value)
        fit = SelfCheck(
            (*measures, rank),
            tuple(faults),
            "Look at the id maps, and whether these are the training interactions alone: RecBole "
            "splits what it loads.",
        )
        d = self.prediction.size
        began = float(np.sqrt(8 * d / ((d + 1) * (d + P.shape[0]) * (d + Q.shape[0]))))
        least = min(max(LEAST_SCORE, 3 * began), 0.45)

        def odds(u: Array, v: Array) -> Array:
            s = np.clip(np.einsum("id,id->i", P[u], scores[v]), least, 1 - least)
            return np.asarray(np.log(s / (1 - s)))

        return judged(fit, Told.of(odds, data))

    ranks = False  # h has its part in a score
    shown = False

    @property
    def effects(self) -> tuple[Method, ...]:
        """Anchored rows, whatever that has come to."""
        return ("local",)

    def rests(self, erasing: ForeignErasing) -> bool:
        """False: training ended by a validation score, after so many steps of Adam."""
        return False

    def forget(self, erasing: ForeignErasing) -> ForeignOutcome:
        """Exact row solves over the rows of the forget set, then accelerated passes over all, users
        first.

        The end is the point with the least residual. The loss has soft directions (without a
        penalty it is the same for P c and Q / c), so a model that early stopping ended moves in all
        its rows on the way to a minimum.
        """
        return converge(self, erasing)

    def pass_seconds(
        self, foreign: Foreign, data: Interactions, *, threads: int = 0
    ) -> float | None:
        """None: a row takes as many steps as it needs."""
        return None

    def effect_left(self, erasing: ForeignErasing, erased: ForeignOutcome) -> float | None:
        """None: RecBole's dropout and norms have their part in it."""
        return None

    def local(self, erasing: ForeignErasing) -> ForeignOutcome:
        """Anchored rows of the forget set, then of all, damped as far as training went; see
        ``response.respond``.
        """
        return respond(self, erasing)

    def slopes(self, data: Interactions, P: Array, Q: Array) -> tuple[Array, Array]:
        """Half the gradient of either side."""
        return self.users(data, P, Q).slopes(P), self.items(data, P, Q).slopes(Q)

    def distance(
        self, data: Interactions, P: Array, Q: Array, users: Array, items: Array, damping: float
    ) -> float:
        """‖(users, items)‖ in the norm of (A + μ)⁻¹, A of ``data`` at (P, Q)."""
        total = 0.0
        for side, gradient in ((self.users(data, P, Q), users), (self.items(data, P, Q), items)):
            for row in np.flatnonzero(np.any(gradient != 0, axis=1)):
                A, _ = side.system(int(row))
                A[np.diag_indices_from(A)] += damping
                total += float(gradient[row] @ np.linalg.solve(A, gradient[row]))
        return float(np.sqrt(total))

    def push(
        self, before: Interactions, after: Interactions, P: Array, Q: Array
    ) -> tuple[float, float]:
        """(‖∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)‖_{B⁻¹}, the training floor ‖∇L_{D_a}(Θ_a)‖_{B⁻¹} over
        it); B on D_r.
        """
        push = floor = 0.0
        for x, new, old in (
            (P, self.users(after, P, Q), self.users(before, P, Q)),
            (Q, self.items(after, P, Q), self.items(before, P, Q)),
        ):
            push += _weighed(x, new, lambda A, b, C, d, row: (A - C) @ row - (b - d), old)
            floor += _weighed(x, new, lambda A, b, C, d, row: C @ row - d, old)
        return float(np.sqrt(push)), float(np.sqrt(floor / push)) if push else 0.0

    def norm(self, data: Interactions, P: Array, Q: Array) -> float:
        """‖∇L‖_{B⁻¹}"""
        total = 0.0
        for x, side in ((P, self.users(data, P, Q)), (Q, self.items(data, P, Q))):
            total += _weighed(x, side, lambda A, b, C, d, row: A @ row - b, side)
        return float(np.sqrt(total))


def _weighed(
    x: Array,
    side: EnmfSide,
    gradient: Callable[[Array, Array, Array, Array, Array], Array],
    other: EnmfSide,
) -> float:
    """Σ_rows gᵀ A⁻¹ g of half-gradients g, with A from ``side``."""
    total = 0.0
    for row in range(x.shape[0]):
        A, b = side.system(row)
        C, d = (A, b) if other is side else other.system(row)
        g = gradient(A, b, C, d, x[row])
        if np.any(g):
            total += float(g @ np.linalg.solve(A, g))
    return total


def enmf(
    settings: Mapping[str, Any],
    users: int,
    further: Mapping[str, Array],
    pads: Sequence[Array],
    path: Path,
) -> RecBoleENMF:
    """The loss of a checkpoint with ``users`` rows, [PAD] included.

    Raises InvalidInput for settings that have no minimum or make no sense.
    """
    w0, dropout = (
        float(settings.get("negative_weight", 0.5)),
        float(settings.get("dropout_prob", 0.0)),
    )
    if not w0 > 0.0 or not 0.0 <= dropout < 1.0:
        raise InvalidInput(
            f"{path}: negative_weight = {w0} and dropout_prob = {dropout}; expected above 0, and "
            "from 0 to below 1",
            path=str(path),
        )
    h = further.get("H_i.weight")
    if h is None or h.shape != (1, pads[0].size):
        raise IntegrityError(
            f"{path}: H_i.weight has shape {None if h is None else h.shape}, expected (1, "
            f"{pads[0].size})",
            path=str(path),
        )
    return RecBoleENMF(
        missing_weight=w0,
        dropout=dropout,
        norm_weight=float(settings.get("reg_weight") or 0.0),
        weight_decay=float(settings.get("weight_decay") or 0.0),
        batches=-(-users // max(1, int(settings.get("train_batch_size") or users))),
        prediction=h[0].astype(np.float64),
        pad_user=pads[0].astype(np.float64),
        pad_item=pads[1].astype(np.float64),
    )
