"""Nearest sessions with weights along the session (V-SkNN: Ludewig and Jannach, UMUAI 2018, section
4.4).

For a session s of the items s_1 … s_l, the latest last, t_v steps before its end being where v was
last (0: it is s_l):

    sim(s, n) = Σ_{v in s and n} π(t_v)
        of every session n that shares an item with s
    C         = the ``sample`` most recent n of these
        (all of them where no times say the order)
    N         = the ``neighbors`` nearest of C; equally near ones: the more recent first
    score(v)  = Σ_{n in N, v in n} sim(s, n) μ(t(s, n)) (1 + β idf_v),
        t(s, n) = min {t_v: v in s and n}
    idf_v     = ln(number of sessions / number of sessions with v)

π is ``weighting`` and μ is ``matching``, each one of

    same 1      linear π: 1 − t/l, μ: max(0, 1 − t/10)      quadratic their squares
    div 1/(t + 1)      log 1/log₁₀(t + 1.7)

as in the authors' framework session-rec (which begins to count t at 1 in μ). The session that is to
be continued is no neighbor of itself: one of the same user with the same items is left out.

The state is the sessions as sets, whose they are and when they ended, and an inverted index of
them: integers. So it *is* the data, and forgetting is taking out and being the index of what
remains, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from alteraser.models.closed_form.kind import same_arrays
from alteraser.models.sessions.kind import SessionKind
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.deletion import Deletion
    from alteraser.data.events import Events
    from alteraser.data.interactions import Interactions
    from alteraser.models.sessions import histories

    Array = npt.NDArray[Any]
    Rows = npt.NDArray[np.int64]
else:
    np = late("numpy")
    histories = late("alteraser.models.sessions.histories")

Decay = Literal["same", "linear", "quadratic", "div", "log"]
NO_TIMES = (
    "recency is off: no times were read (--timestamp-column), so all sessions that share an item "
    "are looked at, not the most recent ones"
)


class VSKNN(SessionKind):
    """``indptr``, ``items``, ``owners``, ``ends``: see ``Sets``; ``posting_indptr`` (n + 1) and
    ``postings``: the sessions of each item, the most recent first, or in their order where no times
    say it.
    """

    name: ClassVar[str] = "vs-knn"
    summary: ClassVar[str] = "the sessions and an inverted index of them"
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "neighbors": (50, 100, 500),
        "sample": (1000, 5000),
    }

    neighbors: int = Field(
        default=100, ge=1, le=100_000, description="K, how many of the nearest sessions vote"
    )
    sample: int = Field(
        default=1000,
        ge=1,
        description="How many of the most recent sessions that share an item are looked at",
    )
    weighting: Decay = Field(
        default="linear",
        description="How an item counts for less the longer ago it was in the session",
    )
    matching: Decay = Field(
        default="linear",
        description="How a neighbor counts for less the longer ago the latest item was that it "
        "shares",
    )
    idf: float = Field(
        default=0.0,
        ge=0.0,
        allow_inf_nan=False,
        description="How much more items of few sessions count",
    )

    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Array]:
        """{``indptr``, ``items``, ``owners``, ``ends``, ``posting_indptr``, ``postings``}."""
        return _indexed(
            histories.sets_of(histories.events_of(data, self.name, ordered=True)), data.shape[1]
        )

    def without(
        self,
        state: Mapping[str, Array],
        deletion: Deletion,
        *,
        threads: int = 0,
    ) -> dict[str, Array]:
        """``state`` of what remains: the sessions of whom something goes anew, the others as they
        are.
        """
        users = deletion.touched_users
        events = histories.events_of(deletion.removal.remaining, self.name)
        fresh = histories.sets_of(histories.of_users(events, users))
        old = histories.Sets(*(state[name] for name in histories.Sets._fields))
        return _indexed(histories.replaced(old, fresh, users), deletion.removal.remaining.shape[1])

    def part(self, events: Events) -> Any:
        """One user's sessions, as ``Sets``."""
        return histories.sets_of(events)

    def merged(
        self, state: Mapping[str, Array], parts: Mapping[int, Any], shape: tuple[int, int]
    ) -> dict[str, Array] | None:
        """``state`` with other sessions of some users, and the index of all."""
        users = np.array(sorted(parts), np.int64)
        old = histories.Sets(*(state[name] for name in histories.Sets._fields))
        fresh = histories.joined([parts[user] for user in users.tolist()], old)
        return _indexed(histories.replaced(old, fresh, users), shape[1])

    def notes(self, data: Interactions) -> list[str]:
        """That recency is off, where no times say which sessions are recent."""
        return [] if data.events is None or data.events.ordered_by_time else [NO_TIMES]

    def apart(self, state: Mapping[str, Array], data: Interactions) -> float:
        """0 for the very arrays that sorting the events gives, ∞ for any other."""
        return same_arrays(state, _plain(data, self.name))

    def continued(self, state: Any, session: Array, owner: int = -1) -> Array:
        """(n,) float64: what may come next after ``session`` (l,), item rows, of the user in row
        ``owner`` (−1: nobody that the model knows); −∞ for an item without a vote.
        """
        indptr, n = state["posting_indptr"], state["posting_indptr"].size - 1
        items, first = np.unique(np.asarray(session)[::-1], return_index=True)
        steps = first.astype(np.float64)  # before the end, of the last time
        timed = state["ends"].size > 0
        counts = indptr[items + 1] - indptr[items]
        # one may be the session itself
        counts = np.minimum(counts, self.sample + 1) if timed else counts
        shared = state["postings"][histories.spans(indptr[items], counts)]
        sessions, at = np.unique(shared, return_inverse=True)
        near = np.bincount(at, np.repeat(self._weights(steps, len(session)), counts), sessions.size)
        since = np.full(sessions.size, np.inf)
        np.minimum.at(since, at, np.repeat(steps, counts))
        chosen = self._nearest(
            state, sessions, near, _itself(state, sessions, items, owner), timed=timed
        )
        voters = sessions[chosen]
        lengths = state["indptr"][voters + 1] - state["indptr"][voters]
        votes = np.repeat(near[chosen] * self._matches(since[chosen]), lengths)
        found: Array = np.bincount(
            state["items"][histories.spans(state["indptr"][voters], lengths)], votes, n
        )
        if self.idf:
            held = np.maximum(np.diff(indptr), 1)
            found = found * (1.0 + self.idf * np.log((state["indptr"].size - 1) / held))
        return np.where(found > 0, found, -np.inf)

    def _nearest(
        self,
        state: Mapping[str, Array],
        sessions: Array,
        near: Array,
        itself: Array,
        *,
        timed: bool,
    ) -> Rows:
        """Places in ``sessions`` of the neighbors."""
        places = np.flatnonzero(~itself)
        ages = -state["ends"][sessions[places]] if timed else np.zeros(places.size, np.int64)
        if timed and places.size > self.sample:
            recent = np.lexsort((-sessions[places], ages))[: self.sample]
            places, ages = places[recent], ages[recent]
        later = -sessions[places] if timed else sessions[places]
        return np.asarray(places[np.lexsort((later, ages, -near[places]))[: self.neighbors]])

    def _weights(self, steps: Array, length: int) -> Array:
        """π"""
        return decayed(self.weighting, steps, 1.0 - steps / length)

    def _matches(self, steps: Array) -> Array:
        """μ"""
        return decayed(self.matching, steps, np.maximum(0.0, 1.0 - steps / 10.0))

    def matrix(self, state: Mapping[str, Array]) -> Any:
        """How many sessions two items share, (n, n)."""
        from scipy.sparse import csr_array

        n = state["posting_indptr"].size - 1
        held = csr_array(
            (np.ones(state["items"].size), state["items"], state["indptr"]),
            (state["owners"].size, n),
        )
        return (held.T @ held).tocsr()

    def shapes(self, items: int) -> Mapping[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
        """{name: (shape, dtypes)} of the state of a model with so many item rows; None: any
        number.
        """
        return {
            "indptr": ((None,), ("int64",)),
            "items": ((None,), ("int32",)),
            "owners": ((None,), ("int64",)),
            "ends": ((None,), ("int64",)),
            "posting_indptr": ((items + 1,), ("int64",)),
            "postings": ((None,), ("int32",)),
        }

    def compacted(self, state: Mapping[str, Array], users: Array) -> Mapping[str, Array]:
        """The same with the new rows of owners."""
        return {**state, "owners": np.searchsorted(users, state["owners"]).astype(np.int64)}

    def check_state(self, state: Mapping[str, Array], shape: tuple[int, int]) -> None:
        """ValueError where the arrays do not belong together."""
        count = state["owners"].size
        histories.check_rows("indptr", state["indptr"], count, state["items"].size)
        histories.check_rows(
            "posting_indptr", state["posting_indptr"], shape[1], state["postings"].size
        )
        for name, most in (("items", shape[1]), ("owners", shape[0]), ("postings", count)):
            if state[name].size and not 0 <= state[name].min() <= state[name].max() < most:
                raise ValueError(f"{name} must be within 0..{most - 1}")
        if state["ends"].size not in (0, count) or state["items"].size != state["postings"].size:
            raise ValueError("arrays of other lengths")


def decayed(name: Decay, steps: Array, linear: Array) -> Array:
    """π or μ of ``steps`` back, ``linear`` being what the linear one is.

    >>> decayed("div", np.array([0.0, 1.0, 3.0]), np.zeros(3)).tolist()
    [1.0, 0.5, 0.25]
    """
    if name == "same":
        return np.ones_like(steps)
    if name == "div":
        return np.asarray(1.0 / (steps + 1.0))
    if name == "log":
        return np.asarray(1.0 / np.log10(steps + 1.7))
    return linear if name == "linear" else linear**2


def _itself(state: Mapping[str, Array], sessions: Array, items: Array, owner: int) -> Array:
    """Which of ``sessions`` is the one that is to be continued: the last of ``owner`` with just
    these items.
    """
    found = np.zeros(sessions.size, bool)
    if owner < 0:
        return found
    for place in np.flatnonzero(state["owners"][sessions] == owner)[::-1]:
        start, stop = state["indptr"][sessions[place]], state["indptr"][sessions[place] + 1]
        if np.array_equal(state["items"][start:stop], items):
            found[place] = True
            break
    return found


def _indexed(sets: histories.Sets, n: int) -> dict[str, Array]:
    """``sets`` and their inverted index."""
    from scipy.sparse import csr_array

    count = sets.owners.size
    rows = np.repeat(np.arange(count, dtype=np.int32), np.diff(sets.indptr))
    held = csr_array((rows, sets.items, sets.indptr), shape=(count, n))
    if sets.ends.size:
        held = held[np.lexsort((-np.arange(count), -sets.ends))]
    flipped = held.tocsc()  # within an item, in the order of the rows
    return {
        **{name: np.ascontiguousarray(array) for name, array in sets._asdict().items()},
        "posting_indptr": flipped.indptr.astype(np.int64),
        "postings": flipped.data.astype(np.int32),
    }


def _plain(data: Interactions, kind: str) -> dict[str, Array]:
    """The state by sorting alone."""
    events = histories.events_of(data, kind)
    owners: dict[int, int] = {}
    ends: dict[int, int] = {}
    timed = events.ordered_by_time
    for place, (number, user) in enumerate(
        zip(events.numbers.tolist(), events.users.tolist(), strict=True)
    ):
        owners[number] = user
        if timed:
            assert events.time is not None
            ends[number] = max(ends.get(number, int(events.time[place])), int(events.time[place]))
    pairs = np.unique(events.numbers * np.int64(data.shape[1]) + events.items)
    numbers, items = np.divmod(pairs, max(data.shape[1], 1))
    ended = np.array([ends[number] for number in sorted(ends)], np.int64)
    order = (
        np.lexsort((-numbers, -ended[numbers], items)) if timed else np.lexsort((numbers, items))
    )
    return {
        "indptr": np.searchsorted(numbers, np.arange(len(owners) + 1)),
        "items": items.astype(np.int32),
        "owners": np.array([owners[number] for number in sorted(owners)], np.int64),
        "ends": ended,
        "posting_indptr": np.searchsorted(items[order], np.arange(data.shape[1] + 1)),
        "postings": numbers[order].astype(np.int32),
    }
