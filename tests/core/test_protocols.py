"""Sessions revealed event by event and next baskets: the figures of loops over everything."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from test_events import by_hand, rows

import alteraser as ae
from alteraser.data.interactions import Interactions
from alteraser.errors import InvalidInput, NotFound
from alteraser.metrics import hit_ratio_at_k, mrr_at_k

OPTIONS: dict[str, Any] = {"session_column": "group", "timestamp_column": "timestamp"}
BASKETS: dict[str, Any] = {"basket_column": "group", "timestamp_column": "timestamp"}


def parts(options: dict[str, Any], seed: int) -> tuple[Interactions, pa.Table, Interactions]:
    """Training data and a test, in which there are users and items that the first do not have."""
    train, test = rows(60, seed), rows(40, seed + 1)
    train = train.filter(
        pa.array((train["item_id"].to_numpy() != 3) & (train["user_id"].to_numpy() != 2))
    )
    return Interactions.read(train, **options), test, Interactions.read(test, **options)


@pytest.mark.parametrize("seed", range(4))
def test_sessions_are_revealed_event_by_event(seed: int) -> None:
    train, table, test = parts(OPTIONS, seed)
    model = ae.VSKNN(neighbors=4).fit(train)
    known = {name: row for row, name in enumerate(train.items.ids.to_pylist())}
    found: dict[str, list[float]] = {name: [] for name in ("recall@2", "mrr@2", "ndcg@2")}
    sessions = 0
    for _, groups in by_hand(table, OPTIONS):
        for group in groups:
            sessions += len(group) > 1
            for place in range(1, len(group)):
                shown = [known[item] for item in group[:place] if item in known]
                scores = (
                    model.settings.continued(model.state, np.array(shown))
                    if shown
                    else np.full(len(known), -np.inf)
                )
                ranked = sorted(
                    (-score, row) for row, score in enumerate(scores) if score > -np.inf
                )[:2]
                ranks = [
                    rank
                    for rank, (_, row) in enumerate(ranked, 1)
                    if row == known.get(group[place])
                ]
                found["recall@2"].append(float(bool(ranks)))
                found["mrr@2"].append(1 / ranks[0] if ranks else 0.0)
                found["ndcg@2"].append(1 / math.log2(ranks[0] + 1) if ranks else 0.0)
    answer = ae.evaluate(model, test, data=train, depths=(2,))
    assert answer["predictions"] == len(found["recall@2"])
    assert answer["sessions"] == sessions
    for name, values in found.items():
        assert answer[name] == pytest.approx(np.mean(values), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", [ae.TIFUKNN(neighbors=2), ae.TopFrequency()], ids=str)
def test_next_baskets(kind: Any, seed: int) -> None:
    train, table, test = parts(BASKETS, seed)
    model = kind.fit(train)
    found: dict[str, list[float]] = {name: [] for name in ("recall@3", "ndcg@3", "hit_ratio@3")}
    for user, groups in by_hand(table, BASKETS):
        if user not in train.users.ids.to_pylist():
            continue
        wanted = set(groups[0])
        (entry,) = model.recommend([user], k=3).to_list()
        hits = [item["item_id"] in wanted for item in entry["items"]]
        ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(wanted), 3) + 1))
        gained = sum(hit / math.log2(rank + 1) for rank, hit in enumerate(hits, 1))
        found["recall@3"].append(sum(hits) / len(wanted))
        found["ndcg@3"].append(gained / ideal)
        found["hit_ratio@3"].append(float(any(hits)))
    answer = ae.evaluate(model, test, data=train, depths=(3,))
    assert answer["users"] == len(found["recall@3"])
    for name, values in found.items():
        assert answer[name] == pytest.approx(np.mean(values), abs=1e-12)


def test_some_users_alone() -> None:
    train, _, test = parts(OPTIONS, 0)
    model = ae.VSKNN().fit(train)
    everybody = ae.evaluate(model, test, data=train)
    one, others = (
        ae.evaluate(model, test, data=train, users=users) for users in ([1], [0, 2, 3, 4])
    )
    total = one["predictions"] * one["mrr@20"] + others["predictions"] * others["mrr@20"]
    assert everybody["mrr@20"] == pytest.approx(total / everybody["predictions"])


def test_what_cannot_be_measured_is_said() -> None:
    train, table, test = parts(OPTIONS, 0)
    model = ae.VSKNN().fit(train)
    with pytest.raises(NotFound, match="no session of the test has two events"):
        ae.evaluate(model, Interactions.read(table.slice(0, 1), **OPTIONS), data=train)
    with pytest.raises(InvalidInput, match="measured on events"):
        ae.evaluate(model, Interactions.read(table, duplicates="first"), data=train)
    with pytest.raises(NotFound, match="a basket in the test and a row in the model"):
        ae.evaluate(ae.TopFrequency().fit(train), test, data=train, users=[2])


def test_ranks_of_first_hits() -> None:
    lists = np.array([[5, 6, 7], [5, 6, -1], [1, 2, 3]])
    indptr, wanted = np.array([0, 2, 3, 3]), np.array([7, 6, 9])
    for k, first in ((1, 0.0), (2, 0.5), (9, 0.5)):
        np.testing.assert_array_equal(mrr_at_k(lists, indptr, wanted, k), [first, 0.0, np.nan])
        np.testing.assert_array_equal(
            hit_ratio_at_k(lists, indptr, wanted, k), [float(first > 0), 0.0, np.nan]
        )
    with pytest.raises(InvalidInput, match="k=0"):
        mrr_at_k(lists, indptr, wanted, 0)
