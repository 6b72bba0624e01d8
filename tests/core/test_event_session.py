"""A warm session of events: after any requests and undoing, what is published is what training on
the rest gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_events import request, rows
from test_sessions import AGED, KNN, LINEAR, TIFU, alike, readings, step

import alteraser as ae
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection
from alteraser.engines.session import EventSession
from alteraser.errors import IntegrityError, InvalidInput, NotFound, RefusedByPolicy
from alteraser.models.ease import inverse
from alteraser.models.sessions import pending

KINDS = [KNN[0], TIFU[0], TIFU[1], ae.TopFrequency(), LINEAR[0], AGED[0], AGED[2], AGED[3]]


@settings(max_examples=120)
@given(kind=st.sampled_from(KINDS), data=st.data(), seed=st.integers(0, 10_000))
def test_published_is_what_training_on_the_rest_gives(
    kind: Any, data: st.DataObject, seed: int
) -> None:
    options = data.draw(st.sampled_from(readings(kind)))
    whole = Interactions.read(rows(data.draw(st.integers(5, 50)), seed, step(kind)), **options)
    session, now, done = EventSession(kind.fit(whole), whole), whole, []
    for _ in range(data.draw(st.integers(1, 4))):
        asked = request(data, options, step(kind))
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
    kind=st.sampled_from([*LINEAR[:3], LINEAR[5], *AGED[:2]]),
    data=st.data(),
    seed=st.integers(0, 10_000),
    fold=st.sampled_from([1, 512]),
)
def test_corrections_are_applied_before_they_are_published(
    kind: Any, data: st.DataObject, seed: int, fold: int
) -> None:
    """What may come next is, after each request, what training on the rest says; folded in or
    not."""
    options = {"session_column": "group", "timestamp_column": "timestamp"}
    whole = Interactions.read(rows(60, seed, step(kind)), **options)
    session, now = EventSession(kind.fit(whole), whole), whole
    for _ in range(data.draw(st.integers(1, 3))):
        removal = now.remove(request(data, options, step(kind)))
        if not removal.count or not removal.remaining.count:
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pending, "FOLD", fold)
            session.forget(removal.selection)
        now = removal.remaining
        getattr(session, data.draw(st.sampled_from(["fold", "publish", "remaining"])))()
        assert session.pending.rank == 0 or fold > 1
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


@settings(max_examples=120)
@given(kind=st.sampled_from(KINDS), data=st.data(), seed=st.integers(0, 10_000))
def test_what_is_added_is_as_if_trained_on(kind: Any, data: st.DataObject, seed: int) -> None:
    """Additions, requests and undoing in any order: the state of the data grown and shrunk so."""
    options = data.draw(st.sampled_from(readings(kind)))
    whole = Interactions.read(rows(data.draw(st.integers(5, 50)), seed, step(kind)), **options)
    session, now = EventSession(kind.fit(whole), whole), whole
    for number in range(data.draw(st.integers(1, 4))):
        before = now
        if data.draw(st.booleans()):
            table = rows(data.draw(st.integers(1, 12)), seed + number + 1, step(kind))
            for name in ("user_id", "item_id"):  # some of whom and what were not there
                more = pa.array(table[name].to_numpy() + data.draw(st.integers(0, 3)))
                table = table.set_column(table.column_names.index(name), name, more)
            come = Interactions.read(table, **options)
            change: Any = session.add(come, readmit=True)
            now = now.add(come)
            assert change.changed == come.count
        else:
            removal = now.remove(request(data, options, step(kind)))
            if not removal.count:
                continue
            change, now = session.forget(removal.selection), removal.remaining
        if data.draw(st.booleans()):
            assert session.undo(change) == change.changed
            with pytest.raises(NotFound, match=r"(back|gone) already"):
                session.undo(change)
            now = before.with_maps(session.data.users, session.data.items)
    assert session.interactions == now.count
    if now.count:
        published = session.publish()
        assert published.trained_on.digest == now.digest
        found, wanted = dict(published.state), kind.state(session.remaining())
        assert alike(kind, found, wanted)
        assert ae.verify(published, now).certificate.kind == "A"


@pytest.mark.parametrize("kind", LINEAR[:4], ids=str)
@pytest.mark.parametrize("item", [0, 99])
def test_corrections_know_what_was_added(kind: Any, item: int) -> None:
    whole = Interactions.read(rows(60, 3), session_column="group", timestamp_column="timestamp")
    session = EventSession(kind.fit(whole), whole)
    session.forget([2], whole_users=True)
    table = rows(6, 4)
    if item:
        table = table.set_column(1, "item_id", pa.array([item, 1, 2, item, 3, 1]))
    come = Interactions.read(table, session_column="group", timestamp_column="timestamp")
    session.add(come, readmit=True)
    now = session.remaining()
    wanted = kind.continued(kind.formed(kind.state(now), None), np.array([1, 2]))
    shown = now.items.ids_of(np.array([1, 2]))
    found = dict(session.continued(shown, k=99))
    for name, score in zip(now.items.ids.to_pylist(), wanted, strict=True):
        assert found.get(name, 0.0) == pytest.approx(max(score, 0.0), abs=1e-9)


def test_who_comes_back_is_on_no_record() -> None:
    """Nor is somebody whose addition was taken back: that was no erasure."""
    whole = Interactions.read(rows(60, 1), session_column="group")
    session = EventSession(ae.VSKNN().fit(whole), whole)
    session.forget([1], whole_users=True)
    published = session.publish()
    back = Interactions.read(rows(60, 1), session_column="group").remove(
        Selection(users=pa.array([0, 2, 3, 4]))
    )
    again = EventSession(published, session.remaining())
    with pytest.raises(RefusedByPolicy, match="were erased from this model before"):
        again.add(back.remaining)
    change = again.add(back.remaining, readmit=True)
    assert not again.publish().erased
    again.undo(change)
    assert again.publish().erased == published.erased
    fresh = EventSession(ae.VSKNN().fit(whole), whole)
    fresh.undo(fresh.add(Interactions.read(rows(9, 5), session_column="group")))
    assert not fresh.publish().erased


def test_what_cannot_be_added_is_said() -> None:
    whole = Interactions.read(rows(30, 1), session_column="group")
    session = EventSession(ae.VSKNN().fit(whole), whole)
    for options, message in (
        ({"duplicates": "first"}, "add takes events"),
        ({"basket_column": "group"}, "grouped in another way"),
        ({"session_column": "group", "timestamp_column": "timestamp"}, "in another way"),
    ):
        with pytest.raises(InvalidInput, match=message):
            session.add(Interactions.read(rows(9, 2), **options))
    with pytest.raises(NotFound, match="nothing comes"):
        session.add(Interactions.read(rows(0, 2), session_column="group"))
    assert session.interactions == whole.count


@settings(max_examples=60)
@given(kind=st.sampled_from(KINDS), data=st.data(), seed=st.integers(0, 10_000))
def test_adding_and_taking_back_is_nothing(kind: Any, data: st.DataObject, seed: int) -> None:
    """Add then undo: the very bytes. Forget then add again: refused, and the same data where it is
    meant."""
    options = data.draw(st.sampled_from(readings(kind)))
    whole = Interactions.read(rows(40, seed, step(kind)), **options)
    session, model = EventSession(kind.fit(whole), whole), kind.fit(whole)
    table = rows(data.draw(st.integers(1, 8)), seed + 1, step(kind))
    come = Interactions.read(table, **options)
    session.undo(session.add(come))
    again = session.publish()
    assert again.trained_on.digest == model.trained_on.digest
    assert alike(kind, dict(again.state), kind.state(session.remaining()))
    removal = whole.remove(request(data, options, step(kind)))
    if not removal.count or not removal.remaining.count:
        return
    session = EventSession(model, whole)
    session.forget(removal.selection)
    with pytest.raises(RefusedByPolicy, match="forgotten in this session"):
        session.add(removal.removed)
    assert session.interactions == removal.remaining.count
    session.add(removal.removed, readmit=True)
    assert session.interactions == whole.count
    assert not session.publish().erased


def test_of_a_pair_that_stays_only_what_went_is_refused() -> None:
    table = pa.table(
        {
            "user_id": [1, 1, 1, 2],
            "item_id": [7, 7, 8, 7],
            "group": ["a", "b", "b", "c"],
            "timestamp": [10, 20, 21, 30],
        }
    )
    options = {"session_column": "group", "timestamp_column": "timestamp"}
    whole = Interactions.read(table, **options)
    session = EventSession(ae.VSKNN().fit(whole), whole)
    session.forget(Selection(groups=pa.array(["a"])))
    with pytest.raises(RefusedByPolicy, match="user 1, item 7"):
        session.add(Interactions.read(table.slice(0, 1), **options))
    later = table.slice(0, 1).set_column(3, "timestamp", pa.array([11]))
    assert session.add(Interactions.read(later, **options)).changed == 1


@pytest.mark.parametrize("kind", [ae.VSKNN(), ae.TopFrequency()], ids=["vs-knn", "top-frequency"])
def test_the_record_knows_events_of_a_pair_that_stays(kind: Any, tmp_path: Any) -> None:
    """A session went, and the item came in another one: the very event is refused, by forget and by
    a session that is opened later; another one is not."""
    table = pa.table(
        {
            "user_id": [1, 1, 1, 2],
            "item_id": [7, 7, 8, 7],
            "group": ["a", "b", "b", "c"],
            "timestamp": [10, 20, 21, 30],
        }
    )
    options = {"session_column": "group", "timestamp_column": "timestamp"}
    whole = Interactions.read(table, **options)
    erasure = ae.forget(kind.fit(whole), Selection(groups=pa.array(["a"])), data=whole)
    model = ae.load(erasure.model.save(tmp_path / "model") and tmp_path / "model")
    assert [len(group.rows) for group in model.erased.groups] == [1]
    gone = [(2, 7)]
    with pytest.raises(RefusedByPolicy, match=r"1 event\(s\) erased"):
        ae.forget(model, gone, data=whole, grown=True)
    learned = ae.forget(model, gone, data=whole, grown=True, readmit=True).model
    assert [len(group.rows) for group in learned.erased.groups] == [0]
    session = EventSession(model, erasure.remaining)
    with pytest.raises(RefusedByPolicy, match="were erased from this model before"):
        session.add(Interactions.read(table.slice(0, 1), **options))
    later = table.slice(0, 1).set_column(3, "timestamp", pa.array([11]))
    assert session.add(Interactions.read(later, **options)).changed == 1
    assert session.publish().erased == model.erased


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_correction_is_folded_in_without_being_asked_and_watched(dtype: Any) -> None:
    """Few rows wait, whatever has been asked; the drift is rounding, and what there is is what
    training on the rest gives."""
    options = {"session_column": "group", "timestamp_column": "timestamp"}
    whole = Interactions.read(rows(150, 3), **options)
    kind = ae.SLIST(dtype=dtype)
    session = EventSession(kind.fit(whole), whole)
    assert session.told() == dict.fromkeys(
        ("rows_waiting", "folds", "fold_seconds", "drift", "refreshes"), 0
    )
    events = whole.events
    assert events is not None
    for group in range(events.owners.size):
        mine = np.flatnonzero(events.numbers == group)[:-1]  # of each session one event stays
        if mine.size:
            named = Interactions.of_events(whole.users, whole.items, events.taken(mine))
            session.forget(Selection.of_events(named))
        assert session.told()["rows_waiting"] < pending.FOLD
    session.fold()
    told = session.told()
    assert told["rows_waiting"] == told["refreshes"] == 0
    assert told["folds"] > 1
    assert 0 < told["drift"] < {"float32": 1e-5, "float64": 1e-13}[dtype]
    fresh = kind.formed(kind.state(session.remaining()), None)
    shown = np.array([0, 3, 1])
    scores = dict(session.continued(whole.items.ids_of(shown), k=99))
    wanted = kind.continued(fresh, shown)
    for item, score in zip(whole.items.ids.to_pylist(), wanted, strict=True):
        assert scores.get(item, 0.0) == pytest.approx(
            max(score, 0.0), abs=1e-4 if dtype == "float32" else 1e-9
        )


@pytest.mark.parametrize("cause", ["drift", "a step"])
def test_an_inverse_that_lost_digits_is_made_anew(
    cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what rounding did, or where one step would: a request is served, not refused."""
    whole = Interactions.read(rows(90, 5), session_column="group")
    kind = ae.SLIST()
    session = EventSession(kind.fit(whole), whole)
    if cause == "drift":
        session.pending._matrix[:] *= 1.0 + 1e-6  # what the sum of many roundings would do
        session.forget([0], whole_users=True)
        session.fold()
    else:
        monkeypatch.setitem(inverse.SINGULAR, "float64", 2.0)
        session.forget([0], whole_users=True)
        monkeypatch.undo()
    assert session.told()["refreshes"] == 1
    session.forget([1], whole_users=True)
    fresh = kind.formed(kind.state(session.remaining()), None)
    shown = np.array([2, 4])
    found = dict(session.continued(whole.items.ids_of(shown), k=99))
    for item, score in zip(whole.items.ids.to_pylist(), kind.continued(fresh, shown), strict=True):
        assert found.get(item, 0.0) == pytest.approx(max(score, 0.0), abs=1e-9)


def test_changes_of_what_follows_what_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list multiplies by a few of them, however many requests there were."""
    whole = Interactions.read(rows(150, 2), session_column="group")
    monkeypatch.setattr(pending, "SPARSE", 0)
    session = EventSession(ae.SLIST().fit(whole), whole)
    for _ in range(60):
        session.undo(session.forget([3], whole_users=True))
        assert len(session.pending._ahead) < pending.FOLD
