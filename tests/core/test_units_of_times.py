"""Times whose unit their size says: a part of them alone may seem to be in another one, and is
taken as the whole is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import alteraser as ae
from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions
from alteraser.engines.session import EventSession, ExactSession
from alteraser.errors import InvalidInput
from alteraser.models.closed_form.popularity import Popularity
from alteraser.models.registry import KINDS
from alteraser.models.sessions.slist import SLIST

DAY = 86_400_000


def table(seed: int, *, late: bool = True) -> pa.Table:
    """Ten days of 1970 in milliseconds, which alone would be years in seconds, and one late row
    that says the unit."""
    rng = np.random.default_rng(seed)
    size = 60
    times = rng.integers(0, 10 * DAY, size)
    if late:
        times[-1] = 1_000_000_000_000
    return pa.table(
        {
            "user_id": rng.integers(0, 6, size),
            "item_id": rng.integers(0, 5, size),
            "timestamp": times,
            "country": rng.integers(0, 2, size),
        }
    )


PAIRS: dict[str, Any] = {"timestamp_column": "timestamp", "duplicates": "last"}
GAP = {"timestamp_column": "timestamp", "session_gap": "1d"}
CASES: list[tuple[Any, dict[str, Any]]] = [
    (Popularity(half_life=3.0), PAIRS),
    (Popularity(half_life=3.0), PAIRS | {"segment_column": "country"}),
    (ae.VSKNN(), GAP),
    (SLIST(time_decay=3.0), GAP),
    (ae.TIFUKNN(), GAP | {"baskets": True}),
]


@pytest.mark.parametrize(("kind", "reading"), CASES, ids=str)
@pytest.mark.parametrize("gone", range(6))
def test_a_part_is_taken_as_the_whole_is(kind: Any, reading: dict[str, Any], gone: int) -> None:
    """Whoever goes, the one with the late row too: the state is that of what remains."""
    data = Interactions.read(table(1), **reading)
    kind = kind.settled(data)
    state = kind.state(data)
    removal = data.remove([gone], whole_users=True)
    found = kind.without(state, Deletion(data, removal))
    assert kind.apart(found, removal.remaining) <= kind.limit(removal.remaining)
    if data.events is not None:
        session = EventSession(kind.fit(data), data)
        session.forget([gone], whole_users=True)
        left = session.publish()
        assert kind.apart(left.state, session.remaining()) <= kind.limit(removal.remaining)


def test_sessions_are_cut_as_they_were() -> None:
    data = Interactions.read(table(1), **GAP)  # type: ignore[arg-type]
    events = data.events
    assert events is not None
    for user in range(6):
        mine = events.taken(np.flatnonzero(events.users == user))
        assert mine.owners.size == np.count_nonzero(events.owners == user)
    again = Interactions.from_table(data.to_table())
    assert again.digest == data.digest


@pytest.mark.parametrize("name", ["popularity", "item-knn", "user-knn", "cooccurrence", "ease"])
def test_confidences_whose_squares_are_no_numbers_are_refused(name: str) -> None:
    rows = pa.table({"user_id": [1, 1, 2], "item_id": [5, 6, 5], "c": [1e150, 1.0, 2.0]})
    data = Interactions.read(rows, confidence="c")
    with pytest.raises(InvalidInput, match=r"a confidence of 1e\+150 is more than 1e\+100"):
        KINDS[name]().fit(data)


def state_of(kind: Any, session: Any) -> dict[str, Any]:
    """What training on what is there gives."""
    found: dict[str, Any] = kind.state(session.remaining())
    return found


@pytest.mark.parametrize("who", [[5], [0, 5], [0]])
def test_a_warm_session_of_days_follows_the_unit(who: list[int]) -> None:
    """Whoever had the one late row goes and comes back: days are counted in what the unit seems to
    be of what is there."""
    data = Interactions.read(table(1), **PAIRS)
    late = int(data.user_rows[np.argmax(data.timestamp)])  # type: ignore[arg-type]
    kind = Popularity(half_life=3.0)
    session = ExactSession(kind.fit(data), data)
    done = [session.forget([(late - 5 + each) % 6], whole_users=True) for each in who]
    for change in (None, *done):
        if change is not None:
            session.undo(change)
        for name, array in session.publish().state.items():
            np.testing.assert_array_equal(array, state_of(kind, session)[name])


@pytest.mark.parametrize("unit", [1, 1000, 10**6, 10**9])
@pytest.mark.parametrize("other", [1, 1000, 10**6, 10**9])
def test_times_of_another_unit_that_are_added_are_taken_as_training_takes_them(
    unit: int, other: int
) -> None:
    rows = {"user_id": [1, 1, 2], "item_id": [1, 2, 1]}
    first, more = (
        Interactions.from_table(
            pa.table({**rows, "user_id": users}).append_column(
                "timestamp", pa.array([scale * (1_600_000_000 + 86_400 * day) for day in range(3)])
            )
        )
        for scale, users in ((unit, [1, 1, 2]), (other, [3, 3, 4]))
    )
    kind = Popularity(half_life=3.0)
    session = ExactSession(kind.fit(first), first)
    change = session.add(more)
    for _ in range(2):
        for name, array in session.publish().state.items():
            np.testing.assert_array_equal(array, state_of(kind, session)[name])
        if session.interactions > 3:
            session.undo(change)


@pytest.mark.parametrize("as_of", [None, "1970-01-05"])
def test_lists_of_a_warm_session_follow_the_unit(as_of: str | None) -> None:
    """What slist says comes next, before anything is published."""
    data = Interactions.read(table(1), **GAP)  # type: ignore[arg-type]
    events = data.events
    assert events is not None
    assert events.time is not None
    late = data.users.ids_of(events.users[[np.argmax(events.time)]]).to_pylist()
    kind = SLIST(time_decay=3.0, as_of=as_of, regularization=2.0)
    session = EventSession(kind.fit(data), data)
    change = session.forget(late, whole_users=True)
    for _ in range(2):
        fresh = kind.formed(state_of(kind, session), None)
        wanted = kind.continued(fresh, np.array([0, 3]))
        found = dict(session.continued(data.items.ids_of([0, 3]), k=9))
        for item, score in zip(data.items.ids.to_pylist(), wanted, strict=True):
            assert found.get(item, 0.0) == pytest.approx(max(score, 0.0), abs=1e-9)
        if session.interactions < len(events):
            session.undo(change)
