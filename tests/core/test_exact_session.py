"""Warm sessions of exact kinds: whatever is asked in whatever order, what is published is training
on what is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import toy_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

import alteraser as ae
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Age, Window
from alteraser.engines.session import Applied, ExactSession
from alteraser.engines.session import exact as module
from alteraser.errors import IntegrityError, InvalidInput, NotFound
from alteraser.models.closed_form.popularity import Popularity
from alteraser.models.ease.ease import EASE
from alteraser.models.neighbors.cooccurrence import Cooccurrence
from alteraser.models.neighbors.item_knn import ItemKNN
from alteraser.models.neighbors.user_knn import UserKNN

DAY = 86_400
KINDS: list[Any] = [
    Popularity(),
    Popularity(half_life=3),
    Cooccurrence(neighbors=3),
    ItemKNN(neighbors=3),
    ItemKNN(similarity="jaccard", neighbors=20, shrinkage=1.5),
    ItemKNN(similarity="tfidf", neighbors=3),
    ItemKNN(similarity="bm25", neighbors=3),
    UserKNN(similarity="bm25"),
]


def base(seed: int = 0, *, weighted: bool = False) -> Interactions:
    data = toy_interactions(9, 8, 0.4, seed=seed, weighted=weighted, lonely=False)
    times = np.random.default_rng(seed).integers(0, 20, len(data)) * DAY + 10**9
    return replace(data, target=None, timestamp=times)


def some(pairs: list[tuple[int, int]], c: float = 1.0, day: int = 3) -> Interactions:
    table = Interactions.from_pairs(pairs, duplicates="first").to_table()
    table = table.append_column("timestamp", [np.full(len(table), day * DAY + 10**9)])
    return Interactions.from_table(table.append_column("confidence", [np.full(len(table), c)]))


def rows(data: Interactions) -> list[tuple[Any, ...]]:
    return sorted(tuple(row.values()) for row in data.to_table().to_pylist())


def same(kind: Any, session: ExactSession, wanted: Interactions) -> None:
    """The published state is that of the data in every bit, and its lists are those of a model that
    is new."""
    model = session.publish()
    rest = session.remaining()
    assert rows(rest) == rows(wanted)
    for name, array in kind.state(rest).items():
        assert model.state[name].dtype == array.dtype, name
        np.testing.assert_array_equal(model.state[name], array, err_msg=name)
    if len(wanted):
        fresh = kind.fit(wanted.compact())
        assert model.users.ids.to_pylist() == fresh.users.ids.to_pylist()
        assert model.items.ids.to_pylist() == fresh.items.ids.to_pylist()
        mine = model.recommend(k=5, seen=rest.with_maps(model.users, model.items)).to_list()
        theirs = fresh.recommend(k=5, seen=wanted.compact()).to_list()
        assert mine == theirs
        assert ae.verify(model, rest).certificate.kind == "A"


@settings(max_examples=150)
@given(st.sampled_from(KINDS), st.data())
def test_any_order_any_batching(kind: Any, data: st.DataObject) -> None:
    start = base(data.draw(st.integers(0, 30)), weighted=data.draw(st.booleans()))
    session = ExactSession(kind.fit(start), start)
    now: dict[tuple[int, int], tuple[Any, ...]] = {(row[0], row[1]): row[2:] for row in rows(start)}
    done: list[tuple[Applied, dict[tuple[int, int], tuple[Any, ...]]]] = []
    item, user = st.integers(0, 9), st.integers(0, 10)  # some of which are new
    for _ in range(data.draw(st.integers(1, 5))):
        ask = data.draw(
            st.sampled_from(["pairs", "users", "items", "window", "add", "undo", "publish"])
        )
        before = dict(now)
        try:
            if ask == "pairs":
                pairs = data.draw(st.lists(st.tuples(user, item), min_size=1, max_size=6))
                change = session.forget(pairs)
                now = {key: row for key, row in now.items() if key not in pairs}
            elif ask == "users":
                who = data.draw(st.lists(user, min_size=1, max_size=10))
                change = session.forget(who, whole_users=True)
                now = {key: row for key, row in now.items() if key[0] not in who}
            elif ask == "items":
                what = data.draw(st.lists(item, min_size=1, max_size=4))
                change = session.forget(what, whole_items=True)
                now = {key: row for key, row in now.items() if key[1] not in what}
            elif ask == "window":
                day = data.draw(st.integers(1, 20))
                change = session.forget(ae.Selection(window=Window(until=10**9 + day * DAY)))
                now = {key: row for key, row in now.items() if row[-1] >= 10**9 + day * DAY}
            elif ask == "add":
                c = data.draw(st.sampled_from([1.0, 2.5]))
                more = some(data.draw(st.lists(st.tuples(user, item), min_size=1, max_size=5)), c)
                change = session.add(more, readmit=True)
                weighted = c != 1.0 or any(len(row) == 2 for row in now.values())
                fresh = {
                    (row["user_id"], row["item_id"]): row["timestamp"]
                    for row in more.to_table().to_pylist()
                }
                now = {
                    key: ((row if len(row) == 2 else (1.0, *row)) if weighted else row)
                    for key, row in now.items()
                }
                now |= {
                    key: (c, t) if weighted else (t,) for key, t in fresh.items() if key not in now
                }
            elif ask == "undo" and done:
                change, back = done.pop()
                session.undo(change)
                now = back
                continue
            else:
                session.publish()
                continue
        except NotFound:
            continue
        done.append((change, before))
    wanted = session.remaining()
    assert {(row[0], row[1]): row[-1] for row in rows(wanted)} == {
        key: row[-1] for key, row in now.items()
    }
    assert session.interactions == len(now)
    same(kind, session, wanted)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_one_by_one_is_at_once_and_is_forget(kind: Any) -> None:
    data = base(3)
    one, once = (ExactSession(kind.fit(data), data) for _ in range(2))
    for user in (1, 4, 7):
        one.forget([user], whole_users=True)
    once.forget([1, 4, 7], whole_users=True)
    batch = ae.forget(kind.fit(data), [1, 4, 7], data=data, whole_users=True).model
    for session in (one, once):
        published = session.publish()
        assert published.users == batch.users
        for name, array in batch.state.items():
            np.testing.assert_array_equal(published.state[name], array)
        assert published.trained_on == batch.trained_on


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_everything_goes_and_comes_back(kind: Any) -> None:
    data = base(5)
    session = ExactSession(kind.fit(data), data)
    change = session.forget(list(range(9)), whole_users=True)
    assert session.interactions == 0
    assert session.publish().trained_on.interactions == 0
    assert session.undo(change).changed == len(data)
    same(kind, session, data)
    with pytest.raises(NotFound, match="all of these interactions are there already"):
        session.undo(change)


@pytest.mark.parametrize("bulk", [1, 1000])
def test_many_people_at_once(bulk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BULK", bulk)
    for kind in KINDS:
        data = base(5)
        session = ExactSession(kind.fit(data), data)
        session.forget([1, 2, 3], whole_users=True)
        same(kind, session, data.remove([1, 2, 3], whole_users=True).remaining)


def test_a_person_costs_what_they_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that looks at all of the data is called by a request for one person."""
    data = base(5)
    sessions = [ExactSession(kind.fit(data), data) for kind in KINDS]

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("looked at all of the data")

    for name in ("keep", "remove", "locate", "to_table"):
        monkeypatch.setattr(Interactions, name, never)
    monkeypatch.setattr(Interactions, "user_rows", property(never))
    for session in sessions:
        session.undo(session.forget([3], whole_users=True))
        session.forget([(4, int(session._pairs.had(4).items[0]))])


def test_drift_of_algebra_is_rounding() -> None:
    data = base(5)
    kind = EASE(regularization=2.0)
    session = ExactSession(kind.fit(data), data)
    for user in (1, 4):
        session.forget([user], whole_users=True)
        session.publish()
    rest = session.remaining()
    np.testing.assert_allclose(
        session.publish().state["inverse"], kind.state(rest)["inverse"], atol=1e-12
    )


def test_older_than_is_counted_from_what_is_there_now() -> None:
    data = base(5)
    session = ExactSession(Popularity().fit(data), data)
    session.forget(ae.Selection(window=Window(since=10**9 + 15 * DAY)))
    newest = int(session.remaining().timestamp.max())  # type: ignore[union-attr]
    session.forget(ae.Selection(window=Window(until=Age("5d"))))
    assert int(session.remaining().timestamp.min()) >= newest - 5 * DAY  # type: ignore[union-attr]


def test_a_window_of_some_people() -> None:
    data = base(5)
    cut = 10**9 + 10 * DAY
    session = ExactSession(Popularity().fit(data), data)
    session.forget(
        ae.Selection(
            users=ae.Selection.of([2, 3], whole_users=True).users, window=Window(until=cut)
        )
    )
    gone = (data.timestamp < cut) & np.isin(data.user_rows, [2, 3])  # type: ignore[operator]
    assert rows(session.remaining()) == rows(data.keep(~gone))


def test_the_record_of_who_was_erased(tmp_path: Any) -> None:
    data = base(5)
    session = ExactSession(Cooccurrence().fit(data), data)
    session.undo(session.forget([2], whole_users=True))
    session.forget([3], whole_users=True)
    session.publish().save(tmp_path / "new")
    model = ae.load(tmp_path / "new")
    assert len(model.erased.returned(data)) == int(data.user_counts[3])
    assert ae.verify(model, session.remaining()).certificate.kind == "A"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.forget([(99, 1)]), NotFound, "nothing to forget"),
        (lambda s: s.add(Interactions.from_pairs([(1, 99)])), InvalidInput, "must both have times"),
        (
            lambda s: s.add(replace(some([(1, 99)]), target=np.ones(1))),
            InvalidInput,
            "no use for a target",
        ),
    ],
)
def test_what_is_wrong_is_said(
    call: Callable[[ExactSession], Any], error: Any, message: str
) -> None:
    data = base(5)
    session = ExactSession(Popularity().fit(data), data)
    with pytest.raises(error, match=message):
        call(session)
    same(Popularity(), session, data)


def test_other_data_are_refused() -> None:
    data = base(5)
    with pytest.raises(IntegrityError):
        ExactSession(Popularity().fit(data), data.remove([3], whole_users=True).remaining)
