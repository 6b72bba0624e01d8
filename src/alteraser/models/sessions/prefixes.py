"""What slist learns from: sessions as rows, what was there before each cut, and what follows it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_array, vstack

from alteraser.data.events import Events
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.models.sessions.ages import WHOLE
from alteraser.models.sessions.histories import spans

Array = npt.NDArray[Any]

SCALE = 1 << 15
"""Weights are multiples of 1 / SCALE"""


@dataclass(frozen=True)
class IntegerRows:
    """Sparse matrices of integers with ``width`` columns."""

    width: int
    whole: Any
    """x, a row for each session"""
    past: Any
    """SCALE z_t, a row for each cut"""
    future: Any
    """SCALE y_t, likewise"""
    heavy: tuple[Array, Array] | None = None
    """WHOLE w of the session of each row of ``whole``, and of each cut; None: all weigh the same"""
    shares: Any = None
    """SCALE x/‖x‖₁, where rows are normalized, as those of ``past`` are then; None: x"""

    @property
    def told(self) -> tuple[Any, int]:
        """(what is told of each session, what that is a multiple of)."""
        return (self.whole, 1) if self.shares is None else (self.shares, SCALE)

    def together(self) -> Any:
        """Σ xᵀx, or WHOLE Σ w xᵀx; SCALE times that of x/‖x‖₁ and x, where rows are normalized."""
        return (self.told[0].T @ self._weighed(self.whole, 0)).tocsr()

    def ahead(self) -> Any:
        """SCALE² Σ zᵀy, or WHOLE SCALE² Σ w zᵀy"""
        return (self.past.T @ self._weighed(self.future, 1)).tocsr()

    def stacked(self, alpha: float) -> Any:
        """√(αw) x and √((1 − α)w) z_t, one below the other, float64, as far as they count."""
        parts = []
        first, unit = self.told
        for part, place, share in (
            (first, 0, alpha**0.5 / unit),
            (self.past, 1, (1.0 - alpha) ** 0.5 / SCALE),
        ):
            if share:
                rows = part.astype(np.float64) * share
                if self.heavy is not None:
                    root = np.sqrt(self.heavy[place] / WHOLE)
                    rows.data *= np.repeat(root, np.diff(rows.indptr))
                parts.append(rows)
        found: Any = vstack(parts, format="csr")
        return found

    @property
    def least(self) -> float:
        """The least that a session that counts adds to the diagonal of Σ w xᵀx, or of x/‖x‖₁."""
        some = np.ones(0) if self.heavy is None else self.heavy[0][self.heavy[0] > 0] / WHOLE
        first, unit = self.told
        return float(some.min(initial=1.0) * (first.data.min(initial=unit) / unit) ** 2)

    def _weighed(self, rows: Any, place: int) -> Any:
        """``rows``, each times the weight of its session."""
        if self.heavy is None:
            return rows
        found = rows.copy()
        found.data *= np.repeat(self.heavy[place], np.diff(rows.indptr))
        return found


def weights(steps: Array, decay: float) -> Array:
    """SCALE exp(−steps/decay), rounded, at least 1."""
    found: Array = np.maximum(
        np.rint(SCALE * np.exp(-np.asarray(steps, np.float64) / decay)), 1.0
    ).astype(np.int64)
    return found


def of(
    events: Events,
    kept: Array,
    n: int,
    decay: float,
    heavy: Array | None = None,
    *,
    normalized: bool = False,
) -> IntegerRows:
    """The rows of ``events``, of the items in ``kept`` (increasing item rows of n) alone.

    ``heavy``: WHOLE w of each session (``ages``); of one that weighs nothing there is nothing.
    ``normalized``: x and z are divided by their sums.
    """
    places = np.full(n, -1, np.int64)
    places[kept] = np.arange(kept.size)
    items = places[events.items]
    there = items >= 0
    if heavy is not None:
        there &= heavy[events.numbers] > 0
    items = items[there]
    lengths = np.bincount(events.numbers[there], minlength=events.owners.size)
    starts = np.cumsum(lengths) - lengths
    cuts = np.maximum(lengths - 1, 0)
    before = spans(np.ones(cuts.size, np.int64), cuts)  # t of every cut
    start, length = np.repeat(starts, cuts), np.repeat(lengths, cuts)
    past = _rows(items, start, before, kept.size, lambda step, count: count - 1 - step, decay)
    future = _rows(
        items, start + before, length - before, kept.size, lambda step, count: step, decay
    )
    whole = _rows(items, starts, lengths, kept.size, lambda step, count: np.zeros_like(step), decay)
    whole.data[:] = 1
    both = None if heavy is None else (heavy, np.repeat(heavy, cuts))
    if not normalized:
        return IntegerRows(kept.size, whole, past, future, both)
    return IntegerRows(kept.size, whole, _shares(past), future, both, _shares(whole))


def _shares(rows: Any) -> Any:
    """Each row over its sum, in multiples of 1 / SCALE, at least one of these."""
    counts = np.diff(rows.indptr)
    sums = np.repeat(np.asarray(rows.sum(axis=1)).ravel(), counts)
    found = rows.copy()
    found.data = np.maximum(np.rint(SCALE * rows.data / np.maximum(sums, 1)), 1.0).astype(np.int64)
    return found


def _rows(items: Array, starts: Array, counts: Array, width: int, steps: Any, decay: float) -> Any:
    """A row of ``items[start : start + count]`` for each start; of one that is there twice the
    larger weight.
    """
    rows = np.repeat(np.arange(counts.size), counts)
    step = spans(np.zeros(counts.size, np.int64), counts)
    found = items[spans(starts, counts)]
    heavy = weights(steps(step, np.repeat(counts, counts)), decay)
    order = np.lexsort((-heavy, found, rows))
    rows, found, heavy = rows[order], found[order], heavy[order]
    first = np.ones(rows.size, bool)
    first[1:] = (rows[1:] != rows[:-1]) | (found[1:] != found[:-1])
    held = np.bincount(rows[first], minlength=counts.size)
    return csr_array(
        (heavy[first], found[first], np.concatenate([[0], np.cumsum(held)])), (counts.size, width)
    )


def as_data(rows: Any) -> Interactions:
    """Rows as interactions of nobody, for what takes these."""
    users = IdMap(pa.array([], pa.int64()), np.empty(0, np.int64), rows.shape[0])
    items = IdMap(pa.array([], pa.int64()), np.empty(0, np.int64), rows.shape[1])
    indptr, indices = rows.indptr.astype(np.int64), rows.indices.astype(np.int32)
    return Interactions(users, items, indptr, indices, rows.data)


def changed(old: Any, new: Any) -> tuple[Any, Any]:
    """The rows of ``old`` that are not in ``new``, and the other way round; as often as they are
    there.
    """
    counts = [Counter(_keys(part)) for part in (old, new)]
    common = counts[0] & counts[1]
    return tuple(part[_without(part, common.copy())] for part in (old, new))


def _keys(rows: Any) -> list[bytes]:
    bounds = zip(rows.indptr[:-1], rows.indptr[1:], strict=True)
    return [rows.indices[a:b].tobytes() + rows.data[a:b].tobytes() for a, b in bounds]


def _without(rows: Any, common: Counter[bytes]) -> Array:
    found = []
    for row, key in enumerate(_keys(rows)):
        if common[key] > 0:
            common[key] -= 1
        elif rows.indptr[row] < rows.indptr[row + 1]:
            found.append(row)
    return np.array(found, np.int64)


# ---------------------------------------------------------------- as a state


def to_state(together: Any, ahead: Any) -> dict[str, Array]:
    """Both sums entry by entry, where either is not zero."""
    k = together.shape[0]
    parts = []
    for matrix in (together, ahead):
        part = matrix.tocoo()
        some = part.data != 0
        parts.append((part.row[some].astype(np.int64) * k + part.col[some], part.data[some]))
    keys = np.union1d(parts[0][0], parts[1][0])
    values = [np.zeros(keys.size, np.int64), np.zeros(keys.size, np.int64)]
    for into, (at, data) in zip(values, parts, strict=True):
        np.add.at(into, np.searchsorted(keys, at), data)
    rows, columns = np.divmod(keys, max(k, 1))
    return {
        "indptr": np.searchsorted(rows, np.arange(k + 1)).astype(np.int64),
        "items": columns.astype(np.int32),
        "together": values[0],
        "ahead": values[1],
    }


def of_state(state: Mapping[str, Array], k: int) -> tuple[Any, Any]:
    """Both sums as sparse matrices of integers."""
    shape = k, k
    first, second = (
        csr_array((state[name], state["items"], state["indptr"]), shape)
        for name in ("together", "ahead")
    )
    return first, second


def entries(state: Mapping[str, Array]) -> dict[tuple[int, int], tuple[int, int]]:
    """{(row, column): (together, ahead)}"""
    rows = np.repeat(np.arange(state["indptr"].size - 1), np.diff(state["indptr"])).tolist()
    values = zip(state["together"].tolist(), state["ahead"].tolist(), strict=True)
    return dict(zip(zip(rows, state["items"].tolist(), strict=True), values, strict=True))


def _fade(decay: float, steps: int) -> list[int]:
    """``weights`` of 0, 1, … steps once more."""
    return [max(round(SCALE * math.exp(-step / decay)), 1) for step in range(steps)]


def _by_share(held: Mapping[int, int]) -> dict[int, int]:
    """``_shares`` of one row once more."""
    total = sum(held.values())
    return {item: max(round(SCALE * value / total), 1) for item, value in held.items()}


def _terms(session: list[int], fade: list[int]) -> Iterator[tuple[dict[int, int], dict[int, int]]]:
    """Of a session x and x, then z_t and y_t of each of its cuts."""
    held = dict.fromkeys(session, 1)
    yield held, held
    for cut in range(1, len(session)):
        past = {item: fade[cut - 1 - at] for at, item in enumerate(session[:cut])}
        yield past, {item: fade[at] for at, item in reversed(list(enumerate(session[cut:])))}


def _add(
    sums: dict[tuple[int, int], list[int]],
    first: Mapping[int, int],
    second: Mapping[int, int],
    place: int,
    weight: int,
) -> None:
    for one, mine in first.items():
        for other, theirs in second.items():
            sums.setdefault((one, other), [0, 0])[place] += weight * mine * theirs


def by_loops(
    events: Events,
    kept: Array,
    decay: float,
    alpha: float,
    heavy: list[int] | None = None,
    *,
    normalized: bool = False,
) -> tuple[Any, dict[tuple[int, int], tuple[int, int]]]:
    """(the rows of which A is made, what ``entries`` should be), session by session and cut by
    cut. ``heavy`` and ``normalized`` as of ``of``.
    """
    unit, grain = 1 if heavy is None else WHOLE, SCALE if normalized else 1
    places = {item: place for place, item in enumerate(kept.tolist())}
    sums: dict[tuple[int, int], list[int]] = {}
    columns: list[int] = []
    values: list[float] = []
    lengths: list[int] = []
    fade = _fade(decay, int(np.diff(events.indptr).max(initial=0)))

    def row(weighted: Mapping[int, float], share: float) -> None:
        columns.extend(weighted)
        values.extend(value * share for value in weighted.values())
        lengths.append(len(weighted))

    bounds = zip(events.indptr[:-1].tolist(), events.indptr[1:].tolist(), strict=True)
    for number, (start, stop) in enumerate(bounds):
        weight = 1 if heavy is None else heavy[number]
        if not weight:
            continue
        root = (weight / unit) ** 0.5
        session = [places[item] for item in events.items[start:stop].tolist() if item in places]
        for place, (told, wanted) in enumerate(_terms(session, fade)):
            first = _by_share(told) if normalized else told
            share = (1.0 - alpha) ** 0.5 / SCALE if place else alpha**0.5 / grain
            row(first, share * root)
            _add(sums, first, wanted, min(place, 1), weight)
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    found = csr_array(
        (np.array(values, np.float64), np.array(columns, np.int64), indptr),
        (len(lengths), kept.size),
    )
    return found, {key: (first, second) for key, (first, second) in sums.items()}
