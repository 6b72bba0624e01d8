"""Data from which something is gone already: checked by sums, which can be taken apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import alteraser as ae
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection, Window
from alteraser.data.sums import Sums, missing
from alteraser.errors import AltEraserError, IntegrityError, NotFound

Pairs = set[tuple[int, int]]


def made(
    pairs: Pairs, *, weighted: bool = False, like: Interactions | None = None, names: bool = False
) -> Interactions:
    """Interactions of ``pairs``; confidences and targets, where there are some, follow from the
    pair."""
    ordered = sorted(pairs)
    columns = {"user_id": [u for u, _ in ordered], "item_id": [v for _, v in ordered]}
    table = pa.table({name: pa.array(values, pa.int64()) for name, values in columns.items()})
    if names:
        table = pa.table({name: table[name].cast(pa.string()) for name in table.column_names})
    if weighted:
        table = table.append_column(
            "confidence", pa.array([1.0 + u + 0.25 * v for u, v in ordered], pa.float64())
        )
        table = table.append_column(
            "target", pa.array([float(u - v) for u, v in ordered], pa.float64())
        )
    known = {} if like is None else {"users": like.users, "items": like.items}
    return Interactions.from_table(table, **known)


@given(
    st.sets(st.tuples(st.integers(0, 7), st.integers(0, 6)), min_size=1),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["pairs", "users", "items"]),
    st.data(),
)
def test_what_is_missing_is_found_whatever_else_is_asked_for(
    pairs: Pairs, weighted: bool, names: bool, kind: str, more: st.DataObject
) -> None:
    data = made(pairs, weighted=weighted, names=names)
    gone = more.draw(st.sets(st.sampled_from(sorted(pairs)), min_size=1))
    extra = more.draw(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9))))
    asked: list[object]
    if kind == "pairs":
        asked = sorted(gone | extra)
    else:
        side = 0 if kind == "users" else 1
        named = {pair[side] for pair in gone}
        gone = {pair for pair in pairs if pair[side] in named}
        asked = sorted(named | {pair[side] for pair in extra})
    left = made(pairs - gone, weighted=weighted, like=data, names=names)
    selection = Selection.of(asked, whole_users=kind == "users", whole_items=kind == "items")
    found = missing(Sums.of(data), left, selection)
    assert found.interactions == len(gone)
    assert found.pairs is not None
    ids = [
        data.users.ids_of(found.pairs[0]).to_pylist(),
        data.items.ids_of(found.pairs[1]).to_pylist(),
    ]
    assert set(zip(*(map(int, each) for each in ids), strict=True)) == gone
    touched = [{pair[side] for pair in gone} for side in (0, 1)]
    assert {int(name) for name in data.users.ids_of(found.users).to_pylist()} == touched[0]
    both = {(u, v) for u, v in pairs - gone if u in touched[0] and v in touched[1]}
    assert found.unchecked == (len(both) if weighted else 0)


@given(
    st.sets(st.tuples(st.integers(0, 7), st.integers(0, 6)), min_size=3), st.booleans(), st.data()
)
def test_anything_else_that_differs_is_refused(
    pairs: Pairs, weighted: bool, more: st.DataObject
) -> None:
    """Another pair lost, a pair more, a pair exchanged, a confidence changed where nothing of the
    row is gone."""
    data = made(pairs, weighted=weighted)
    gone = {more.draw(st.sampled_from(sorted(pairs)))}
    other = more.draw(st.sampled_from(sorted(pairs - gone)))
    wrong = [pairs - gone - {other}]
    free = sorted({(u, v) for u, _ in pairs for _, v in pairs} - pairs)
    if free:
        added = more.draw(st.sampled_from(free))
        wrong += [(pairs - gone) | {added}, (pairs - gone - {other}) | {added}]
    sums = Sums.of(data)
    for each in wrong:
        with pytest.raises(IntegrityError):
            missing(sums, made(each, weighted=weighted, like=data), Selection.of(sorted(gone)))
    left = made(pairs - gone, weighted=weighted, like=data)
    ((user, item),) = gone
    checked = np.flatnonzero(
        (left.users.ids.to_numpy()[left.user_rows] != user)
        | (left.items.ids.to_numpy()[left.indices] != item)
    )
    if weighted and len(checked):
        changed = np.array(left.confidence if left.confidence is not None else np.ones(len(left)))
        changed[checked[0]] += 0.5
        with pytest.raises(IntegrityError, match="confidences"):
            missing(sums, replace(left, confidence=changed), Selection.of(sorted(gone)))


def test_sums_are_the_same_by_brute_force_and_in_a_file() -> None:
    data = made({(0, 0), (0, 3), (2, 3), (5, 1)}, weighted=True)
    sums = Sums.of(data)
    one_by_one = [Sums.of(data.keep(np.arange(len(data)) == place)) for place in range(len(data))]
    for side in ("users", "items"):
        for name in ("pairs", "values"):
            total = np.bitwise_xor.reduce(
                [getattr(getattr(each, side), name) for each in one_by_one]
            )
            np.testing.assert_array_equal(getattr(getattr(sums, side), name), total)
    again = Sums.from_table(sums.to_table(), data.shape)
    for side in ("users", "items"):
        for name in ("counts", "pairs", "values"):
            np.testing.assert_array_equal(
                getattr(getattr(sums, side), name), getattr(getattr(again, side), name)
            )


def test_many_candidates_of_one_user_are_told_apart_or_left_open() -> None:
    pairs = {(0, v) for v in range(0, 400, 2)} | {(1, v) for v in range(400)}
    data = made(pairs)
    gone = {(0, v) for v in range(0, 40, 2)}
    left = made(pairs - gone, like=data)
    near = [(0, v) for v in range(80)]
    found = missing(Sums.of(data), left, Selection.of(near))
    assert found.pairs is not None
    assert set(zip(*(rows.tolist() for rows in found.pairs), strict=True)) == gone


# ---------------------------------------------------------------- models


def trained(weighted: bool) -> tuple[ae.Model, Interactions, Pairs]:
    rng = np.random.default_rng(2)
    pairs = set(zip(*(x.tolist() for x in np.nonzero(rng.random((30, 20)) < 0.3)), strict=True))
    data = made(pairs, weighted=weighted)
    settings = ae.ENMF(
        factors=3, regularization=1.0, missing_weight=0.2, dtype="float64", to_rest=True
    )
    return settings.fit(data), data, pairs


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["pairs", "users", "items"])
@pytest.mark.parametrize("part", ["all of it", "half of it"])
def test_purged_data_lead_to_the_same_model(weighted: bool, kind: str, part: str) -> None:
    """By two routes: all the data, and data from which all or half of what is to go is gone."""
    model, data, pairs = trained(weighted)
    side = {"pairs": None, "users": 0, "items": 1}[kind]
    gone = {p for p in pairs if (p in sorted(pairs)[::17] if side is None else p[side] in (3, 4))}
    asked = [*sorted(gone), (99, 1)] if side is None else [3, 4, 99]
    whole = {"whole_users": kind == "users", "whole_items": kind == "items"}
    first = sorted(gone)[: len(gone) if part == "all of it" else len(gone) // 2]
    left = made(pairs - set(first), weighted=weighted, like=data)
    one = ae.forget(model, asked, data=data, **whole)
    other = ae.forget(model, asked, data=left, **whole)
    assert other.deletion.missing is not None
    assert other.deletion.missing.interactions == len(first)
    assert one.forgotten == other.forgotten == len(gone)
    assert other.converged
    assert other.kind == one.kind == "C"
    assert one.remaining.digest == other.remaining.digest == other.model.trained_on.digest
    assert other.unmatched.num_rows == one.unmatched.num_rows == 1
    assert one.model.users == other.model.users
    scores = [each.model.factors.users @ each.model.factors.items.T for each in (one, other)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)
    known = other.model.erased.returned(data)
    assert len(known) == len(gone)


def test_data_that_lack_something_else_are_refused_and_say_what() -> None:
    model, data, pairs = trained(True)
    left = made(pairs - set(sorted(pairs)[:5]), weighted=True, like=data)
    with pytest.raises(IntegrityError, match="the forget set does not name them"):
        ae.forget(model, [sorted(pairs)[0]], data=left)
    stamped = replace(left, timestamp=np.zeros(len(left), np.int64))
    with pytest.raises(AltEraserError, match="window"):
        ae.forget(model, Selection(window=Window(since=-5)), data=stamped)
    with pytest.raises(NotFound):
        ae.forget(model, [(99, 99)], data=data)
