"""Linear models of sessions in closed form: SLIS, SLIT, and both together (SLIST: Choi et al., WWW
2021).

Of a session s_1 … s_l, x is 1 at its items. Cut before s_{t + 1}, for t = 1 … l − 1, what was there
is z_t and what follows y_t:

    z_tv = exp(−(t − i)/δ)      i ≤ t the last place of v          y_tv = exp(−(j − t − 1)/δ)
        j > t the first one

    B = argmin α Σ ‖x − xB‖² + (1 − α) Σ_t ‖y_t − z_t B‖² + λ‖B‖_F²  =  P C
    P = (α Σ xᵀx + (1 − α) Σ_t z_tᵀz_t + λI)⁻¹,      C = α Σ xᵀx + (1 − α) Σ_t z_tᵀy_t

and for α = 1 (SLIS) with diag(B) = 0, B_ij = −P_ij / P_jj, as without that it would say what it is
told. α = 0 is SLIT. A list is wB, with w_v = exp(−(l − i)/δ') of the session that is to be
continued, i the last place of v; what has no score above 0 is in none, nor what rounding alone
speaks for.

Weights of z and y are multiples of 2⁻¹⁵, so that the sums Σ xᵀx and Σ zᵀy, which are kept, are
integers: forgetting takes out of them what goes, to the last bit. P is kept as a triangle and
changed by the rows x and z_t of the sessions that change (``alteraser.models.ease.inverse``), or
made anew where that is cheaper, or where digits would be lost.

With ``--normalize l1`` x and z are divided by their sums as what B is told from, not as what it is
to tell, as in the authors' code; the paper does not say so:

    B = argmin α Σ ‖x − x̃B‖² + (1 − α) Σ_t ‖y_t − z̃_t B‖² + λ‖B‖_F²,
        x̃ = x/‖x‖₁ and z̃ = z/‖z‖₁ in multiples of 2⁻¹⁵

Only for α < 1. With ``--time-decay`` each term of the first two sums is weighed by
w(s) = exp(−age/δ'') of its session, its age in days (``alteraser.models.sessions.ages``). Weights
are multiples of 2⁻¹⁰. They are relative to today, the day of the newest event: where that goes, all
of them change, and all is made anew; ``--as-of`` names a day that stays.

Memory is a triangle of n(n + 1)/2 numbers. ``most_frequent`` keeps so many items, those of the most
events (equally frequent ones: the lower rows first); the others are as if they were not in the
data. Where nothing is said, that is all items, or ``FEWER`` where the memory for all is not there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from alteraser.errors import NumericFailure, ResourceLimit
from alteraser.models.closed_form.as_of import Day, only_with
from alteraser.models.closed_form.needs import TIMES, Need
from alteraser.models.sessions.kind import SessionKind
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data import selection
    from alteraser.data.deletion import Deletion
    from alteraser.data.events import Events
    from alteraser.data.interactions import Interactions
    from alteraser.models.ease import cost, inverse, packed
    from alteraser.models.sessions import ages, histories, prefixes
    from alteraser.models.sessions.ages import Ages
    from alteraser.models.sessions.pending import Pending
    from alteraser.runtime import memory

    Array = npt.NDArray[Any]
else:
    np = late("numpy")
    selection = late("alteraser.data.selection")
    cost = late("alteraser.models.ease.cost")
    inverse = late("alteraser.models.ease.inverse")
    packed = late("alteraser.models.ease.packed")
    ages = late("alteraser.models.sessions.ages")
    histories = late("alteraser.models.sessions.histories")
    prefixes = late("alteraser.models.sessions.prefixes")
    memory = late("alteraser.runtime.memory")

FEWER = 10_000
"""Items that are kept where the memory for all is not there and nothing else was said"""
WITHIN = {"float32": (1e-6, 1e-3), "float64": (1e-11, 1e-9)}
"""What the limit of rounding is at least and at most"""
PROBES = 8
"""Vectors of random signs by which P is looked at"""
NOTHING = {"float32": 1e-4, "float64": 1e-9}
"""Of the largest score, what may be rounding"""


class FormedWeights(NamedTuple):
    """A state, as lists are made of it."""

    state: Mapping[str, Array]
    kept: Array
    """(k,) item rows"""
    places: Array
    """(n,) where each item is among those that are kept, −1 for one that is not"""
    ahead: Any
    """Cᵀ, sparse"""
    diagonal: Array
    """That of P"""


class Shown(NamedTuple):
    """A session that is to be continued."""

    items: Array
    """Places among those that are kept, increasing"""
    weights: Array
    """exp(−(l − i)/δ') of each"""


class SLIST(SessionKind):
    """``counts`` (n,) of events; ``inverse``, the triangle of P; Σ xᵀx and Σ zᵀy as sparse
    integers.

    The latter are ``indptr``, ``items``, ``together`` int64, and ``ahead`` int64 in multiples of
    2⁻³⁰, entry by entry.
    """

    name: ClassVar[str] = "slist"
    summary: ClassVar[str] = "the inverse of what sessions share, and what follows what in them"
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "alpha": (0.2, 0.5, 0.8),
        "predict_decay": (1.0, 2.0),
    }

    alpha: float = Field(
        default=0.2,
        ge=0.0,
        le=1.0,
        description="How much items of a session count, beside what follows: 1 SLIS, 0 SLIT",
    )
    regularization: float = Field(
        default=10.0, gt=0.0, allow_inf_nan=False, description="λ, added to the diagonal"
    )
    train_decay: float = Field(
        default=1.0,
        gt=0.0,
        description="δ, over how many places what was before and what follows fade in training",
    )
    predict_decay: float = Field(
        default=1.0,
        gt=0.0,
        description="Over how many places what was before fades when a session is continued",
    )
    time_decay: float | None = Field(
        default=None,
        gt=0.0,
        allow_inf_nan=False,
        description="Over how many days a session fades; they do not where not given",
    )
    as_of: Day | None = Field(
        default=None,
        description="With a time decay: the day that ages are counted from, YYYY-MM-DD; else the "
        "newest",
    )
    most_frequent: int | None = Field(
        default=None,
        ge=1,
        description="Only so many of the most frequent items; all that memory allows where not "
        "given",
    )
    normalize: Literal["none", "l1"] = Field(
        default="none",
        description="l1: each item by its share of what was there, as in the authors' code",
    )
    dtype: Literal["float32", "float64"] = Field(
        default="float64", description="What the inverse is held in"
    )

    @model_validator(mode="after")
    def _has_ages(self) -> Self:
        only_with(self.as_of, self.time_decay, "time_decay", "a time decay")
        if self.normalize == "l1" and self.alpha == 1.0:
            raise ValueError(
                "normalize l1 is for an alpha below 1: with 1 the diagonal of the weights is 0, of "
                "which the formula is another one there"
            )
        return self

    @model_serializer(mode="wrap")
    def _only_where_it_counts(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without ages, models are written as they were before there were some."""
        written: dict[str, Any] = standard(self)
        if self.time_decay is None:
            del written["time_decay"], written["as_of"]
        if self.normalize == "none":
            del written["normalize"]
        return written

    def needed(self) -> tuple[Need, ...]:
        """Times, for ages."""
        return self.needs if self.time_decay is None else (*self.needs, TIMES)

    def settled(self, data: Interactions) -> Self:
        """With ``FEWER`` items where all are more than fit; ResourceLimit where what was asked for
        does not fit.
        """
        items, free = int((data.item_counts > 0).sum()), memory.available()
        size = np.dtype(self.dtype).itemsize
        count = min(self.most_frequent or items, items)
        needed = cost.WORKING * cost.triangle(count, size)
        if free is None or needed <= free:
            return self
        if (
            self.most_frequent is None
            and cost.WORKING * cost.triangle(min(FEWER, items), size) <= free
        ):
            return self.model_copy(update={"most_frequent": FEWER})
        fitting = cost.fitting(free, size)
        raise ResourceLimit(
            f"slist of {count:,} items holds {memory.text(needed)} in {self.dtype}, and "
            f"{memory.text(free)} are free. --most-frequent {fitting} would fit"
            + (", or --dtype float32" if self.dtype == "float64" else ""),
            needed=int(needed),
            available=free,
            items_that_fit=fitting,
        )

    def notes(self, data: Interactions) -> list[str]:
        """How many items are left out."""
        there = int((data.item_counts > 0).sum())
        if self.most_frequent is None or there <= self.most_frequent:
            return []
        return [
            f"{self.most_frequent:,} of {there:,} items are kept, the most frequent ones "
            "(--most-frequent)"
        ]

    def limit(self, data: Interactions) -> float:
        """Largest |(A P z − z)_j| that is rounding, z of random signs and A = P⁻¹: a quarter of
        what one session does.

        Without a session of one item j, A_jj is less by α, and the j-th entry is off by about α
        P_jj ≥ α / A_jj.
        """
        events = histories.events_of(data, self.name)
        rows = self._rows(events, self._counts(events, data.shape[1]))
        return self._limit(rows.stacked(self.alpha), rows.least)

    def _limit(self, stacked: Any, least: float) -> float:
        """Of sessions of which the lightest weighs ``least``."""
        most = (
            float(np.bincount(stacked.indices, stacked.data**2).max(initial=0.0))
            + self.regularization
        )
        return float(np.clip(least / most / 4, *WITHIN[self.dtype]))

    def _counts(self, events: Events, n: int) -> Array:
        return np.bincount(events.items, minlength=n).astype(np.int64)

    def _rows(self, events: Events, counts: Array) -> prefixes.IntegerRows:
        return self.rows(events, self.kept(counts), counts.size, self.ages(events))

    def ages(self, events: Events) -> Ages | None:
        """What the ages of ``events`` are counted from; None where they do not weigh."""
        return None if self.time_decay is None else ages.Ages.of(events, self.as_of)

    def rows(self, events: Events, kept: Array, n: int, since: Ages | None) -> prefixes.IntegerRows:
        """The rows of ``events``, of the items in ``kept`` (increasing item rows of n) alone."""
        heavy = None if since is None else since.weights(events, self.time_decay or np.inf)
        return prefixes.of(
            events, kept, n, self.train_decay, heavy, normalized=self.normalize == "l1"
        )

    def kept(self, counts: Array) -> Array:
        """(k,) the item rows that are kept, increasing, of items with so many events (n,)."""
        there = np.flatnonzero(counts)
        if self.most_frequent is None or there.size <= self.most_frequent:
            return there
        return np.sort(there[np.lexsort((there, -counts[there]))[: self.most_frequent]])

    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Array]:
        """{``counts``, ``inverse``, ``indptr``, ``items``, ``together``, ``ahead``}, and ``ages``
        where they weigh; NumericFailure, ResourceLimit.
        """
        events = histories.events_of(data, self.name, ordered=True)
        counts = self._counts(events, data.shape[1])
        rows = self._rows(events, counts)
        matrix = np.empty(packed.size(rows.width), self.dtype)
        self._make(matrix, rows.stacked(self.alpha), threads)
        return {
            "counts": counts,
            "inverse": matrix,
            **prefixes.to_state(rows.together(), rows.ahead()),
            **_told(self.ages(events)),
        }

    def _make(self, matrix: Array, stacked: Any, threads: int) -> None:
        k = stacked.shape[1]
        if not k:
            return
        with inverse.one_for_each(threads):
            inverse.gram(
                prefixes.as_data(stacked), np.full(k, self.regularization), matrix, threads
            )
            if not inverse.invert(matrix, k):
                raise NumericFailure(
                    f"--regularization {self.regularization:g} is lost beside the counts in "
                    f"{self.dtype}; raise it, or use float64"
                )

    def without(
        self,
        state: Mapping[str, Array],
        deletion: Deletion,
        *,
        threads: int = 0,
    ) -> dict[str, Array]:
        """``state`` of what remains, P to rounding: changed by the sessions that change, or made
        anew.

        Anew also where other items are the most frequent ones.
        """
        if not deletion.forgotten:
            return {name: array.copy() for name, array in state.items()}
        remaining = deletion.removal.remaining
        events = histories.events_of(remaining, self.name)
        counts = self._counts(events, remaining.shape[1])
        kept, since = self.kept(state["counts"]), self.ages(events)
        if not np.array_equal(self.kept(counts), kept) or not _same(state, since):
            return self.state(remaining, threads=threads)
        users = deletion.touched_users
        old, new = (
            self.rows(histories.of_users(each, users), kept, counts.size, since)
            for each in (histories.events_of(deletion.data, self.name), events)
        )
        sums = prefixes.of_state(state, kept.size)
        together, ahead = (
            sums[0] - old.together() + new.together(),
            sums[1] - old.ahead() + new.ahead(),
        )
        matrix, rows = state["inverse"].copy(), self._rows(events, counts)
        changed = prefixes.changed(old.stacked(self.alpha), new.stacked(self.alpha))
        whole = rows.stacked(self.alpha)
        limit = self._limit(whole, rows.least)
        if not self._change(matrix, changed, whole, limit, threads):
            self._make(matrix, whole, threads)
        return {
            "counts": counts,
            "inverse": matrix,
            **prefixes.to_state(together, ahead),
            **_told(since),
        }

    def _change(
        self, matrix: Array, changed: tuple[Any, Any], whole: Any, limit: float, threads: int
    ) -> bool:
        """Change P in place where that is cheaper than making it of ``whole``; False where it is
        not, or is further off than ``limit``. ``changed`` are the rows that go and that come.

        After False the matrix is of no use.
        """
        k, (gone, come) = whole.shape[1], changed
        lengths = np.diff(whole.indptr).astype(np.float64)
        if sum(cost.update(k, part.shape[0], part.nnz) for part in (gone, come)) > cost.anew(
            k, lengths @ lengths / 2
        ):
            return False
        with inverse.one_for_each(threads):
            return (
                inverse.change(matrix, k, gone, come, threads)
                and self._off(matrix, whole, 0) <= limit
            )

    def _off(self, matrix: Array, whole: Any, seed: int) -> float:
        """Max |(A P z − z)_j|, z of random signs."""
        z = np.random.default_rng(seed).choice([-1.0, 1.0], whole.shape[1])
        solved = inverse.times_one(matrix, z) if z.size else z
        found = whole.T @ (whole @ solved) + self.regularization * solved - z
        return float(np.abs(found).max(initial=0.0))

    def _heavy_by_loops(self, events: Events) -> list[int] | None:
        """``Ages.weights`` once more, by NumPy's calendar and session by session."""
        if self.time_decay is None:
            return None
        assert events.time is not None
        if not len(events):
            return []
        unit = selection.unit_of(events.time)
        days = events.time.astype(f"datetime64[{unit}]").astype("datetime64[D]")
        today = days.max() if self.as_of is None else np.datetime64(self.as_of, "D")
        last = [days[start:stop].max() for start, stop in pairwise(events.indptr.tolist())]
        found = [int((today - day).astype(int)) for day in last]
        decay = self.time_decay
        return [round(ages.WHOLE * math.exp(-age / decay)) if age >= 0 else 0 for age in found]

    def apart(self, state: Mapping[str, Array], data: Interactions) -> float:
        """How far P is from the inverse that loops over sessions say, by vectors of random signs:
        max |(A P z − z)_j|.

        ∞ where the sums are not, to the last bit, what these loops add up.
        """
        events = histories.events_of(data, self.name)
        if not np.array_equal(state["counts"], np.bincount(events.items, minlength=data.shape[1])):
            return np.inf
        kept = self.kept(state["counts"])
        if not _same(state, self.ages(events)):
            return np.inf
        shares, pairs = prefixes.by_loops(
            events,
            kept,
            self.train_decay,
            self.alpha,
            self._heavy_by_loops(events),
            normalized=self.normalize == "l1",
        )
        if pairs != prefixes.entries(state):
            return np.inf
        return max(self._off(state["inverse"], shares, seed) for seed in range(PROBES))

    def formed(self, state: Mapping[str, Array], history: Interactions | None) -> Any:
        """Where items are, and Cᵀ."""
        kept = self.kept(state["counts"])
        k = kept.size
        together, ahead = prefixes.of_state(state, k)
        both = self.summed(together, ahead)
        places = np.full(state["counts"].size, -1, np.int64)
        places[kept] = np.arange(k)
        diagonal = packed.diagonal(state["inverse"], k).astype(np.float64) if k else np.empty(0)
        return FormedWeights(state, kept, places, both.T.tocsr(), diagonal)

    def continued(self, state: Any, session: Array, owner: int = -1) -> Array:
        """(n,) float64: what may come next after ``session``; −∞ for an item that nothing speaks
        for.
        """

        def solved(items: Array, weights: Array) -> Array:
            columns = packed.columns(state.state["inverse"], state.kept.size, items)
            return np.asarray(weights @ columns.astype(np.float64))

        return self.scored(state, session, solved, state.diagonal, [])

    def scored(
        self,
        formed: FormedWeights,
        session: Array,
        solved: Callable[[Array, Array], Array],
        diagonal: Array,
        more: list[Any],
    ) -> Array:
        """``continued``, P being what ``solved`` multiplies with, and ``more`` what Cᵀ is changed
        by.
        """
        found = np.full(formed.places.size, -np.inf)
        shown = self._shown(formed, session)
        if shown.items.size:
            told = solved(*shown)[None]
            found[formed.kept] = self._listed(formed, told, [shown], diagonal, more)[0]
        return found

    def continued_all(
        self, state: Any, sessions: list[Array], found: Array, rows: list[int]
    ) -> None:
        """``continued`` of each of ``sessions`` into these rows of ``found``: columns of P are
        gathered once for all of them, and C is read once.
        """
        each = [(row, self._shown(state, one)) for row, one in zip(rows, sessions, strict=True)]
        some = [(row, shown) for row, shown in each if shown.items.size]
        if not some:
            return
        items = np.unique(np.concatenate([shown.items for _, shown in some]))
        columns = packed.columns(state.state["inverse"], state.kept.size, items)
        told = np.empty((len(some), state.kept.size))
        for into, (_, shown) in zip(told, some, strict=True):
            part = columns[np.searchsorted(items, shown.items)]
            into[:] = shown.weights @ part.astype(np.float64)
        scores = self._listed(state, told, [shown for _, shown in some], state.diagonal, [])
        found[np.ix_([row for row, _ in some], state.kept)] = scores

    def _shown(self, formed: FormedWeights, session: Array) -> Shown:
        known = formed.places[np.asarray(session)]
        items, back = np.unique(known[known >= 0][::-1], return_index=True)
        return Shown(items, np.exp(-back / self.predict_decay))

    def _listed(
        self,
        formed: FormedWeights,
        told: Array,
        shown: list[Shown],
        diagonal: Array,
        more: list[Any],
    ) -> Array:
        """(sessions, k) scores of ``told`` (sessions, k), P times what was shown; −∞ for what
        nothing, or rounding alone, speaks for.
        """
        if self.alpha == 1.0:
            scores = -told / diagonal
            for row, each in zip(scores, shown, strict=True):
                row[each.items] += each.weights
        else:
            upright = told[0] if len(told) == 1 else np.ascontiguousarray(told.T)
            scores = formed.ahead @ upright
            for change in more:
                scores += change @ upright
            scores = scores[None] if len(told) == 1 else scores.T
        least = NOTHING[self.dtype] * np.abs(scores).max(axis=1, initial=0.0)
        return np.where(scores > least[:, None], scores, -np.inf)

    def pending(self, state: dict[str, Array]) -> Pending:
        """``state`` for a warm process."""
        from alteraser.models.sessions.pending import Pending

        return Pending(self, state)

    def summed(self, together: Any, ahead: Any) -> Any:
        """C of both sums, sparse integers."""
        unit = 1 if self.time_decay is None else ages.WHOLE
        first = 1 if self.normalize == "none" else prefixes.SCALE
        found = self.alpha / unit / first * together.astype(np.float64)
        return found + (1.0 - self.alpha) / unit / prefixes.SCALE**2 * ahead.astype(np.float64)

    def matrix(self, state: Mapping[str, Array]) -> Any:
        """C, (n, n), sparse."""
        from scipy.sparse import coo_array

        formed = self.formed(state, None)
        found, n = formed.ahead.T.tocoo(), formed.places.size
        return coo_array(
            (found.data, (formed.kept[found.row], formed.kept[found.col])), (n, n)
        ).tocsr()

    def shapes(self, items: int) -> Mapping[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
        """{name: (shape, dtypes)} of the state of a model with so many item rows; None: any
        number.
        """
        return {
            "counts": ((items,), ("int64",)),
            "inverse": ((None,), (self.dtype,)),
            "indptr": ((None,), ("int64",)),
            "items": ((None,), ("int32",)),
            "together": ((None,), ("int64",)),
            "ahead": ((None,), ("int64",)),
            **({} if self.time_decay is None else {"ages": ((2,), ("int64",))}),
        }

    def check_state(self, state: Mapping[str, Array], shape: tuple[int, int]) -> None:
        """ValueError where the arrays do not belong together."""
        k = self.kept(state["counts"]).size
        if state["inverse"].size != packed.size(k):
            raise ValueError(f"inverse must be a triangle of {k} items")
        histories.check_rows("indptr", state["indptr"], k, state["items"].size)
        if {state[name].size for name in ("together", "ahead")} != {state["items"].size}:
            raise ValueError("together and ahead must be as long as items")
        if state["items"].size and not 0 <= state["items"].min() <= state["items"].max() < k:
            raise ValueError(f"items must be within 0..{k - 1}")


def _told(since: Ages | None) -> dict[str, Array]:
    """What a state says of what ages are counted from."""
    return {} if since is None else {"ages": since.array}


def _same(state: Mapping[str, Array], since: Ages | None) -> bool:
    """Whether the ages of ``state`` are counted from the same."""
    return since is None or np.array_equal(state["ages"], since.array)
