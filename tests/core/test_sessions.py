"""Models of events: what a deletion leaves is the state of what remains; scores are those of
loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_events import READINGS, request, rows

import alteraser as ae
from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput, ResourceLimit
from alteraser.evidence.certificate.exact import certify
from alteraser.models.registry import KINDS
from alteraser.models.sessions.slist import SLIST
from alteraser.models.sessions.tifu_knn import TIFUKNN
from alteraser.models.sessions.top_frequency import TopFrequency
from alteraser.models.sessions.vs_knn import VSKNN

KNN: list[Any] = [
    VSKNN(neighbors=3, sample=4, idf=2.0),
    *(
        VSKNN(neighbors=2, sample=50, weighting=one, matching=other)
        for one, other in product(
            ("same", "linear", "quadratic", "div", "log"), ("linear", "div", "quadratic")
        )
    ),
]
TIFU: list[Any] = [
    TIFUKNN(neighbors=2, group_size=2),
    TIFUKNN(neighbors=50, group_size=3, within_decay=0.5, group_decay=1.0, alpha=0.2),
    TIFUKNN(neighbors=0, group_size=1, alpha=1.0),
]
LINEAR: list[Any] = [
    SLIST(regularization=0.5),
    SLIST(alpha=1.0, regularization=2.0),
    SLIST(alpha=0.0, regularization=3.0, train_decay=2.5),
    SLIST(alpha=0.6, regularization=5.0, most_frequent=4),
    SLIST(regularization=4.0, dtype="float32"),
    SLIST(alpha=0.7, regularization=0.3, normalize="l1", train_decay=2.0),
]
AGED: list[Any] = [
    SLIST(regularization=2.0, time_decay=4.0),
    SLIST(alpha=1.0, regularization=2.0, time_decay=0.9),
    SLIST(alpha=0.5, regularization=3.0, time_decay=7.0, as_of="1970-01-20", most_frequent=5),
    SLIST(alpha=0.4, regularization=1.0, time_decay=5.0, normalize="l1"),
]
SETTINGS = [KNN[0], *TIFU, TopFrequency(), *LINEAR, *AGED, *KNN[1:]]
SESSIONS = [options for options in READINGS if "basket_column" not in options]


TIMES_APART = 30_000
"""Seconds, so that the times of ``rows`` are of a month"""
OF_DAYS = [options for options in SESSIONS if "timestamp_column" in options]
OF_DAYS[-1] = OF_DAYS[-1] | {"session_gap": "2d"}


def readings(kind: Any) -> list[dict[str, Any]]:
    if kind in AGED:
        return OF_DAYS
    return SESSIONS if kind.protocol == "sessions" else READINGS


def step(kind: Any) -> int:
    """Between the times of what ``kind`` is tried on."""
    return TIMES_APART if kind in AGED else 1


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        a.dtype == b.dtype and np.array_equal(a, b)
        for a, b in ((first[name], second[name]) for name in first)
    )


def alike(kind: Any, first: dict[str, Any], second: dict[str, Any]) -> bool:
    """The same bytes; of an inverse, the same to rounding."""
    if not isinstance(kind, SLIST):
        return same(first, second)
    rest = [
        {name: array for name, array in each.items() if name != "inverse"}
        for each in (first, second)
    ]
    tolerance = 1e-11 if kind.dtype == "float64" else 1e-4
    one, other = first["inverse"], second["inverse"]
    return (
        same(*rest)
        and one.shape == other.shape
        and bool(np.allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max(initial=0)))
    )


def test_every_kind_of_events_is_tried() -> None:
    assert {kind.name for kind in SETTINGS} == {
        name for name, kind in KINDS.items() if kind.repeats and not kind.extra
    }


@settings(max_examples=200)
@given(kind=st.sampled_from(SETTINGS), data=st.data(), seed=st.integers(0, 10_000))
def test_taking_away_is_counting_without(kind: Any, data: st.DataObject, seed: int) -> None:
    """Any data with repeats and ties, any requests one after the other, everything going
    included."""
    options = data.draw(st.sampled_from(readings(kind)))
    now = Interactions.read(rows(data.draw(st.integers(1, 50)), seed, step(kind)), **options)
    state = kind.state(now)
    for _ in range(data.draw(st.integers(1, 3))):
        removal = now.remove(request(data, options, step(kind)))
        state = kind.without(state, Deletion(now, removal))
        assert alike(kind, state, kind.state(removal.remaining))
        assert certify(kind, state, removal.remaining).passed
        kind.check_state(state, removal.remaining.shape)
        now = removal.remaining


@pytest.mark.parametrize("kind", [*SETTINGS[:9], *AGED], ids=str)
def test_one_retained_event_is_found(kind: Any) -> None:
    """The state of all data does not pass for that of the data without an event, whichever it
    is."""
    for options in readings(kind):
        whole = Interactions.read(rows(25, 4, step(kind)), **options)
        state = kind.state(whole)
        assert certify(kind, state, whole).passed
        for gone in range(25):
            rest = whole.keep_events(np.arange(25) != gone)
            if not alike(kind, state, kind.state(rest)):
                assert not certify(kind, state, rest).passed


@pytest.mark.parametrize("kind", SETTINGS[:6], ids=str)
def test_compacting_leaves_the_same_model(kind: Any) -> None:
    """Rows of users who are gone are taken out; the state is that of training without knowing of
    them."""
    from alteraser.verbs.compact import compact

    for options in readings(kind):
        data = Interactions.read(rows(40, 4), **options)
        erasure = ae.forget(kind.fit(data), [0, 3], data=data, whole_users=True)
        smaller = compact(erasure.model).model
        assert smaller.shape == (3, data.shape[1])
        rest = Interactions.from_table(
            erasure.remaining.to_table(), users=smaller.users, items=smaller.items
        )
        assert alike(kind, dict(smaller.state), kind.state(rest))
        assert ae.verify(smaller, rest).certificate.kind == "A"


def test_kinds_of_pairs_take_no_events() -> None:
    data = Interactions.read(rows(30, 1), session_column="group")
    for kind in (ae.Popularity(), ae.EASE(), ae.ENMF()):
        with pytest.raises(InvalidInput, match="is of pairs of user and item, and has no sessions"):
            kind.fit(data)


@pytest.mark.parametrize("kind", SETTINGS[:6], ids=str)
@pytest.mark.parametrize("gone", [{"whole_users": True}, {"whole_items": True}])
def test_data_that_lack_what_goes_already(kind: Any, gone: dict[str, bool]) -> None:
    """Purged data are known by the model's sums; other rows that lack something are refused."""
    for options in readings(kind):
        data = Interactions.read(rows(40, 4), **options)
        model = kind.fit(data)
        rest = data.remove([2], **gone).remaining
        erasure = ae.forget(model, [2], data=rest, **gone)
        assert erasure.forgotten == data.count - rest.count
        assert erasure.remaining.count == rest.count
        assert alike(kind, dict(erasure.model.state), kind.state(rest))
        with pytest.raises(IntegrityError):
            ae.forget(model, [2], data=rest.keep_events(np.arange(rest.count) != 1), **gone)


MUTANTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "a session kept": lambda state: state.update(owners=np.append(state["owners"], 0)),
    "a session's time": lambda state: state.update(
        ends=state["ends"] + (np.arange(state["ends"].size) == 2)
    ),
    "another owner": lambda state: state["owners"].__setitem__(0, 3),
    "an item in place of another": lambda state: state["items"].__setitem__(
        0, (state["items"][0] + 1) % 7
    ),
    "an index in another order": lambda state: state.update(
        postings=state["postings"][::-1].copy()
    ),
    "a stale document frequency": lambda state: state["posting_indptr"].__setitem__(
        slice(3, None), 0
    ),
}


@pytest.mark.parametrize("mutant", list(MUTANTS))
def test_mutants_are_refused(mutant: str) -> None:
    kind = KNN[0]
    data = Interactions.read(rows(40, 9), session_column="group", timestamp_column="timestamp")
    state = {name: array.copy() for name, array in kind.state(data).items()}
    MUTANTS[mutant](state)
    found = certify(kind, state, data)
    assert (found.kind, found.passed) == ("D", False)


# ---------------------------------------------------------------- vs-knn


def by_loops(kind: VSKNN, data: Interactions, session: list[int], owner: int) -> dict[int, float]:
    """The formulas of the module, one by one."""
    events = data.events
    assert events is not None
    neighbors = []
    for group, (start, stop) in enumerate(zip(events.indptr[:-1], events.indptr[1:], strict=True)):
        end = int(events.ends[group]) if events.ends is not None else 0
        neighbors.append(
            (int(events.owners[group]), end, group, set(events.items[start:stop].tolist()))
        )
    own = [entry for entry in neighbors if entry[0] == owner and entry[3] == set(session)]
    steps = {item: len(session) - 1 - place for place, item in enumerate(session)}
    decays: dict[str, Callable[[float, float], float]] = {
        "same": lambda t, x: 1.0,
        "linear": lambda t, x: x,
        "quadratic": lambda t, x: x * x,
        "div": lambda t, x: 1 / (t + 1),
        "log": lambda t, x: 1 / math.log10(t + 1.7),
    }
    near = []
    for entry in neighbors:
        shared = entry[3] & set(session)
        if shared and not (own and entry == own[-1]):
            weight = sum(
                decays[kind.weighting](steps[v], 1 - steps[v] / len(session))
                for v in sorted(shared)
            )
            near.append((weight, min(steps[v] for v in shared), entry))
    timed = events.ends is not None
    if timed:
        near = sorted(near, key=lambda each: (-each[2][1], -each[2][2]))[: kind.sample]
    near.sort(
        key=lambda each: (-each[0], *((-each[2][1], -each[2][2]) if timed else (each[2][2],)))
    )
    scores: dict[int, float] = {}
    for weight, since, entry in near[: kind.neighbors]:
        for item in entry[3]:
            vote = weight * decays[kind.matching](since, max(0, 1 - since / 10))
            scores[item] = scores.get(item, 0.0) + vote
    for item in scores:
        held = sum(item in entry[3] for entry in neighbors)
        scores[item] *= 1 + kind.idf * math.log(len(neighbors) / held)
    return {item: score for item, score in scores.items() if score > 0}


@settings(max_examples=150)
@given(
    kind=st.sampled_from(KNN),
    options=st.sampled_from(SESSIONS),
    seed=st.integers(0, 10_000),
    data=st.data(),
)
def test_scores_by_their_formulas(
    kind: VSKNN, options: dict[str, Any], seed: int, data: st.DataObject
) -> None:
    whole = Interactions.read(rows(60, seed), **options)
    state, n = kind.state(whole), whole.shape[1]
    session = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=12))
    owner = data.draw(st.integers(-1, 4))
    found = kind.continued(state, np.array(session), owner)
    wanted = by_loops(kind, whole, session, owner)
    assert {int(item) for item in np.flatnonzero(found > -np.inf)} == wanted.keys()
    np.testing.assert_allclose([found[item] for item in wanted], list(wanted.values()), rtol=1e-12)


def test_lists_continue_the_last_session_of_a_user() -> None:
    data = Interactions.read(rows(60, 8), session_column="group", timestamp_column="timestamp")
    kind = VSKNN(neighbors=5)
    state, events = kind.state(data), data.events
    assert events is not None
    scores = kind.scores(state, np.arange(5), data)
    for user in range(5):
        group = int(np.flatnonzero(events.owners == user)[-1])
        session = events.items[events.indptr[group] : events.indptr[group + 1]]
        np.testing.assert_array_equal(scores[user], kind.continued(state, session, user))


def test_without_times_recency_is_off_and_that_is_said() -> None:
    table = rows(40, 1)
    (note,) = VSKNN().notes(Interactions.read(table, session_column="group"))
    assert "recency is off" in note
    assert not VSKNN().notes(
        Interactions.read(table, session_column="group", timestamp_column="timestamp")
    )


# ---------------------------------------------------------------- slist


def shared(kind: SLIST, row: Any) -> Any:
    """A row over its sum, where rows are normalized, to 15 bits."""
    if kind.normalize == "none" or not row.any():
        return row
    return np.where(row > 0, np.maximum(np.rint(2**15 * row / row.sum()), 1), 0) / 2**15


def dense_by_hand(kind: SLIST, data: Interactions) -> tuple[Any, Any]:
    """(A without its λ, C) of the items that are kept, by the formulas."""
    events = data.events
    assert events is not None
    n = data.shape[1]
    a, c = np.zeros((n, n)), np.zeros((n, n))
    kept = set(kind.kept(np.bincount(events.items, minlength=n)).tolist())
    assert events.time is not None
    today = int(events.time.max()) // 86_400 if kind.as_of is None else 19
    for start, stop in zip(events.indptr[:-1], events.indptr[1:], strict=True):
        age = today - int(events.time[start:stop].max()) // 86_400
        decay = math.inf if kind.time_decay is None else kind.time_decay
        weight = 0 if age < 0 else round(1024 * math.exp(-age / decay)) / 1024
        session = [item for item in events.items[start:stop].tolist() if item in kept]
        x = np.isin(np.arange(n), session).astype(float)
        told = shared(kind, x)
        a += weight * kind.alpha * np.outer(told, told)
        c += weight * kind.alpha * np.outer(told, x)
        for t in range(1, len(session)):
            z, y = np.zeros(n), np.zeros(n)
            for i in range(1, t + 1):
                z[session[i - 1]] = round(2**15 * math.exp(-(t - i) / kind.train_decay)) / 2**15
            for j in range(len(session), t, -1):
                y[session[j - 1]] = round(2**15 * math.exp(-(j - t - 1) / kind.train_decay)) / 2**15
            z = shared(kind, z)
            a += weight * (1 - kind.alpha) * np.outer(z, z)
            c += weight * (1 - kind.alpha) * np.outer(z, y)
    rows = np.array(sorted(kept), int)
    return a[np.ix_(rows, rows)], c[np.ix_(rows, rows)]


@settings(max_examples=60)
@given(
    kind=st.sampled_from([*LINEAR[:4], LINEAR[5], *AGED]),
    seed=st.integers(0, 10_000),
    data=st.data(),
)
def test_weights_in_closed_form_by_their_definition(
    kind: SLIST, seed: int, data: st.DataObject
) -> None:
    table = rows(60, seed, step(kind))
    whole = Interactions.read(table, session_column="group", timestamp_column="timestamp")
    a, c = dense_by_hand(kind, whole)
    kept = kind.kept(np.bincount(whole.events.items, minlength=whole.shape[1]))  # type: ignore[union-attr]
    inverse = np.linalg.inv(a + kind.regularization * np.eye(kept.size))
    if kind.alpha == 1.0:
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
    else:
        weights = inverse @ c
    formed = kind.formed(kind.state(whole), None)
    session = data.draw(st.lists(st.integers(0, whole.shape[1] - 1), min_size=1, max_size=8))
    known = [item for item in session if item in kept]
    told = np.zeros(whole.shape[1])
    for place, item in enumerate(known, 1):
        told[item] = math.exp(-(len(known) - place) / kind.predict_decay)
    wanted = np.zeros(whole.shape[1])
    wanted[kept] = told[kept] @ weights
    found = kind.continued(formed, np.array(session))
    listed = found > -np.inf
    np.testing.assert_allclose(found[listed], wanted[listed], atol=1e-12)
    assert np.all(wanted[~listed] <= 1e-8 * max(np.abs(wanted).max(), 1e-300))


def test_ages_need_times_and_a_day_that_is_one() -> None:
    with pytest.raises(InvalidInput, match="timestamp_column"):
        AGED[0].fit(Interactions.read(rows(30, 1), session_column="group"))
    for wrong in ({"as_of": "1970-01-20"}, {"time_decay": 2.0, "as_of": "soon"}):
        with pytest.raises(ValueError, match=r"time decay|not a day"):
            SLIST(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="normalize l1 is for an alpha below 1"):
        SLIST(alpha=1.0, normalize="l1")


def test_ages_counted_from_the_wrong_day_are_refused() -> None:
    """A state whose sessions are older, or younger, than the data say, whatever else fits."""
    options = {"session_column": "group", "timestamp_column": "timestamp"}
    whole = Interactions.read(rows(60, 6, TIMES_APART), **options)
    right = AGED[0].state(whole)
    assert certify(AGED[0], right, whole).passed
    assert not certify(AGED[0], right | {"ages": right["ages"] + [1, 0]}, whole).passed
    table = rows(60, 6, TIMES_APART)
    times = table["timestamp"].to_numpy()
    late = table.set_column(3, "timestamp", pa.array(times + 3 * 86_400 * (times == times.max())))
    other = AGED[0].state(Interactions.read(late, **options))
    for mixed in (other, other | {"ages": right["ages"]}):
        assert not certify(AGED[0], mixed, whole).passed


@pytest.mark.parametrize("kind", [*LINEAR[:4], *AGED], ids=str)
def test_a_stale_inverse_is_refused(kind: SLIST) -> None:
    """The sums are those of what remains, to the last bit; the inverse still knows one session
    more."""
    table = rows(200, 6, step(kind))
    whole = Interactions.read(table, session_column="group", timestamp_column="timestamp")
    rest = whole.remove([(1, 2)]).remaining
    mixed = kind.state(rest) | {"inverse": kind.state(whole)["inverse"]}
    assert certify(kind, kind.state(rest), rest).passed
    assert not certify(kind, mixed, rest).passed


def test_memory_is_predicted_and_what_fits_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from alteraser.models.sessions import slist

    data = Interactions.read(rows(60, 1), session_column="group")
    monkeypatch.setattr(slist, "FEWER", 3)
    monkeypatch.setattr(slist.memory, "available", lambda: 8 * 8)
    model = SLIST().fit(data)
    assert model.settings == SLIST(most_frequent=3)
    assert "3 of 7 items are kept" in model.settings.notes(data)[0]
    with pytest.raises(ResourceLimit, match=r"--most-frequent 3 would fit, or --dtype float32"):
        SLIST(most_frequent=5).fit(data)
    assert SLIST(most_frequent=2).fit(data).settings == SLIST(most_frequent=2)


# ---------------------------------------------------------------- next baskets


def vectors_by_hand(kind: TIFUKNN, data: Interactions) -> Any:
    """(m, n) by the formulas, groups counted from the latest basket back."""
    events = data.events
    assert events is not None
    found = np.zeros(data.shape)
    for user in range(data.shape[0]):
        baskets = [
            set(events.items[events.indptr[each] : events.indptr[each + 1]].tolist())
            for each in np.flatnonzero(events.owners == user)
        ]
        groups = []
        while baskets:
            groups.insert(0, baskets[-kind.group_size :])
            baskets = baskets[: -kind.group_size]
        for g, group in enumerate(groups, 1):
            for i, basket in enumerate(group, 1):
                weight = kind.within_decay ** (len(group) - i) / len(group)
                for item in basket:
                    found[user, item] += (
                        kind.group_decay ** (len(groups) - g) * weight / len(groups)
                    )
    return found


@settings(max_examples=100)
@given(kind=st.sampled_from(TIFU), options=st.sampled_from(READINGS), seed=st.integers(0, 10_000))
def test_vectors_and_baskets_by_their_formulas(
    kind: TIFUKNN, options: dict[str, Any], seed: int
) -> None:
    data = Interactions.read(rows(60, seed), **options)
    state = kind.state(data)
    wanted = vectors_by_hand(kind, data)
    np.testing.assert_allclose(state_rows(state), wanted, rtol=1e-13)
    scores = kind.scores(kind.formed(state, None), np.arange(data.shape[0]), None)
    for user in range(data.shape[0]):
        far = ((wanted - wanted[user]) ** 2).sum(axis=1)
        others = [
            other for other in np.lexsort((np.arange(far.size), far)).tolist() if other != user
        ]
        near = others[: kind.neighbors]
        edge = (
            far[others[kind.neighbors - 1 : kind.neighbors + 1]] if kind.neighbors else np.zeros(0)
        )
        if edge.size == 2 and np.isclose(*edge, rtol=1e-9):
            continue  # which of two equally near ones it is rests on rounding
        total = kind.alpha * wanted[user]
        if near:
            total = total + (1 - kind.alpha) * wanted[near].mean(axis=0)
        np.testing.assert_allclose(
            np.where(scores[user] == -np.inf, 0.0, scores[user]), total, atol=1e-12
        )


def state_rows(state: dict[str, Any]) -> Any:
    found = np.zeros((state["indptr"].size - 1, state["holders"].size))
    users = np.repeat(np.arange(found.shape[0]), np.diff(state["indptr"]))
    found[users, state["items"]] = state["values"]
    return found


@given(options=st.sampled_from(READINGS), seed=st.integers(0, 10_000))
def test_frequencies_are_counts_of_baskets(options: dict[str, Any], seed: int) -> None:
    data = Interactions.read(rows(40, seed), **options)
    kind, events = TopFrequency(), data.events
    assert events is not None
    wanted = np.zeros(data.shape)
    for number, item in set(zip(events.numbers.tolist(), events.items.tolist(), strict=True)):
        wanted[events.owners[number], item] += 1
    state = kind.state(data)
    np.testing.assert_array_equal(state_rows(state), wanted)
    scores = kind.scores(state, np.arange(data.shape[0]), None)
    np.testing.assert_array_equal(np.floor(scores), wanted)
    for row, counts in zip(scores, wanted, strict=True):
        order = np.argsort(-row, kind="stable").tolist()
        assert order == sorted(
            order, key=lambda item: (-counts[item], -wanted[:, item].sum(), item)
        )


def test_what_has_no_sessions_is_refused() -> None:
    table = rows(30, 1)
    with pytest.raises(
        InvalidInput, match=r"in which session it was.*session_column= or session_gap="
    ):
        VSKNN().fit(Interactions.read(table, duplicates="first"))
    with pytest.raises(InvalidInput, match="baskets, which have no order"):
        VSKNN().fit(Interactions.read(table, basket_column="group"))


@pytest.mark.parametrize("kind", [*LINEAR, *AGED[:2]], ids=str)
def test_lists_of_many_sessions_are_those_of_each(kind: Any) -> None:
    """In every bit, sessions of what is not kept and empty ones among them."""
    whole = Interactions.read(rows(80, 4, step(kind)), **readings(kind)[-1])
    formed = kind.formed(kind.state(whole), None)
    rng = np.random.default_rng(0)
    sessions = [rng.integers(0, whole.shape[1], size) for size in (3, 1, 0, 6, 2)]
    found = np.full((9, whole.shape[1]), -np.inf)
    kind.continued_all(formed, sessions, found, [7, 0, 3, 1, 4])
    for row, session in zip([7, 0, 3, 1, 4], sessions, strict=True):
        np.testing.assert_array_equal(found[row], kind.continued(formed, session))
    assert np.all(found[[2, 5, 6, 8]] == -np.inf)
