"""A warm session of events: after any requests and undoing, what is published is what training on
the rest gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_events import READINGS, request, rows
from test_sessions import KNN, LINEAR, SESSIONS, TIFU, alike

import alteraser as ae
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection
from alteraser.engines.session import EventSession
from alteraser.errors import IntegrityError, InvalidInput, NotFound

KINDS = [KNN[0], TIFU[0], TIFU[1], ae.TopFrequency(), LINEAR[0]]


@settings(max_examples=120)
@given(kind=st.sampled_from(KINDS), data=st.data(), seed=st.integers(0, 10_000))
def test_published_is_what_training_on_the_rest_gives(
    kind: Any, data: st.DataObject, seed: int
) -> None:
    options = data.draw(st.sampled_from(SESSIONS if kind.protocol == "sessions" else READINGS))
    whole = Interactions.read(rows(data.draw(st.integers(5, 50)), seed), **options)
    session, now, done = EventSession(kind.fit(whole), whole), whole, []
    for _ in range(data.draw(st.integers(1, 4))):
        asked = request(data, options)
        removal = now.remove(asked)
        if not removal.count:
            with pytest.raises(NotFound, match="nothing to forget"):
                session.forget(asked)
            continue
        done.append((session.forget(asked), now))
        assert done[-1][0].changed == removal.count
        assert done[-1][0].unmatched.equals(removal.unmatched)
        now = removal.remaining
        if data.draw(st.booleans()):
            change, now = done.pop()
            assert session.undo(change) == change.changed
    assert session.interactions == now.count
    if now.count:
        published = session.publish()
        assert published.trained_on.digest == now.digest
        assert alike(kind, dict(published.state), kind.state(now))
        assert ae.verify(published, now).certificate.kind == "A"


@settings(max_examples=60)
@given(
    kind=st.sampled_from(LINEAR[:3]),
    data=st.data(),
    seed=st.integers(0, 10_000),
    fold=st.sampled_from([1, 512]),
)
def test_corrections_are_applied_before_they_are_published(
    kind: Any, data: st.DataObject, seed: int, fold: int
) -> None:
    """What may come next is, after each request, what training on the rest says; folded in or
    not."""
    from alteraser.models.sessions import pending

    whole = Interactions.read(rows(60, seed), session_column="group", timestamp_column="timestamp")
    session, now = EventSession(kind.fit(whole), whole), whole
    for _ in range(data.draw(st.integers(1, 3))):
        removal = now.remove(
            request(data, {"session_column": "group", "timestamp_column": "timestamp"})
        )
        if not removal.count or not removal.remaining.count:
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pending, "FOLD", fold)
            session.forget(removal.selection)
        now = removal.remaining
    left = kind.kept(np.bincount(now.events.items, minlength=now.shape[1]))  # type: ignore[union-attr]
    shown = data.draw(st.lists(st.sampled_from(left.tolist()), min_size=1, max_size=5))
    wanted = kind.continued(kind.formed(kind.state(now), None), np.array(shown))
    found = dict(session.continued(whole.items.ids_of(shown), k=99))
    names = now.items.ids.to_pylist()
    for item, score in zip(names, wanted, strict=True):
        assert found.get(item, 0.0) == pytest.approx(max(score, 0.0), abs=1e-9)


def test_lists_of_other_kinds_are_formed_by_publish() -> None:
    whole = Interactions.read(rows(30, 1), session_column="group")
    with pytest.raises(InvalidInput, match="formed by publish"):
        EventSession(ae.VSKNN().fit(whole), whole).continued([1])
    with pytest.raises(NotFound, match="item 99 is not in the model"):
        EventSession(ae.SLIST().fit(whole), whole).continued([99])


def test_the_session_goes_on_and_says_what_it_erased() -> None:
    whole = Interactions.read(rows(60, 1), session_column="group")
    session = EventSession(ae.VSKNN().fit(whole), whole)
    first = session.forget([1], whole_users=True)
    one = session.publish()
    session.forget(Selection(groups=pa.array(["g2"])))
    two = session.publish()
    assert one.trained_on.interactions - two.trained_on.interactions == two_less(whole)
    assert bool(one.erased)
    session.undo(first)
    with pytest.raises(NotFound, match="back already"):
        session.undo(first)


def two_less(whole: Interactions) -> int:
    """Events of session g2 but for those of user 1."""
    events = whole.events
    assert events is not None
    assert events.groups is not None
    of_g2 = events.groups.rows == events.groups.ids.rows_of(["g2"])[0]
    return int(np.sum(of_g2 & (events.users != whole.users.rows_of([1])[0])))


def test_other_data_are_refused() -> None:
    whole = Interactions.read(rows(30, 1), session_column="group")
    model = ae.VSKNN().fit(whole)
    with pytest.raises(IntegrityError, match="not what the model was trained on"):
        EventSession(model, Interactions.read(rows(29, 1), session_column="group"))
    with pytest.raises(InvalidInput, match="is given pairs"):
        EventSession(model, Interactions.read(rows(30, 1), duplicates="first"))
