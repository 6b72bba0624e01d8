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
from alteraser.engines.session import EventSession
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
