"""Evaluation against brute force: every list sorted, every hit counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, NotFound
from alteraser.metrics import rank_biased_overlap
from alteraser.models import Factors, Objective
from alteraser.models.factorization.model import Model, TrainedOn
from alteraser.verbs.evaluate import compare, coverage, evaluate, seen_by


def world(seed: int, *, m: int = 12, n: int = 15) -> tuple[Model, Interactions, Interactions]:
    rng = np.random.default_rng(seed)
    mask = rng.random((m, n)) < 0.5
    mask[:, 0], mask[0] = True, True
    whole = Interactions.from_pairs(
        [(int(u), int(v)) for u, v in zip(*np.nonzero(mask), strict=True)]
    )
    train, test = whole.split(0.4, seed=seed)
    factors = Factors(rng.standard_normal((m, 3)), rng.standard_normal((n, 3)), np.ones(3))
    objective = Objective(missing_weight=0.1, regularization=0.1)
    return (
        Model(
            factors, objective, users=whole.users, items=whole.items, trained_on=TrainedOn.of(train)
        ),
        train,
        test,
    )


def ranked(model: Model, data: Interactions, user: int, k: int) -> list[int]:
    scores = model.factors.users[user] @ model.factors.items.T
    seen = set(data.indices[data.indptr[user] : data.indptr[user + 1]].tolist())
    return sorted((v for v in range(scores.size) if v not in seen), key=lambda v: -scores[v])[:k]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 3, 10]))
def test_recall_and_ndcg_are_what_counting_gives(seed: int, k: int) -> None:
    model, train, test = world(seed)
    recalls, gains = [], []
    for user in range(model.users.size):
        wanted = set(test.indices[test.indptr[user] : test.indptr[user + 1]].tolist())
        if not wanted:
            continue
        hits = [v in wanted for v in ranked(model, train, user, k)]
        recalls.append(sum(hits) / len(wanted))
        best = sum(1 / np.log2(place + 2) for place in range(min(k, len(wanted))))
        gains.append(sum(hit / np.log2(place + 2) for place, hit in enumerate(hits)) / best)
    found = evaluate(model, test, data=train, depths=(k,))
    assert found[f"recall@{k}"] == pytest.approx(np.mean(recalls))
    assert found[f"ndcg@{k}"] == pytest.approx(np.mean(gains))
    assert found["users"] == len(recalls)


def test_some_users_only_and_nobody() -> None:
    model, train, test = world(3)
    user = int(np.flatnonzero(test.user_counts)[0])
    one = evaluate(model, test, data=train, users=[test.users.ids[user].as_py()])
    assert one["users"] == 1
    nothing = test.remove(test).remaining
    with pytest.raises(NotFound, match="no user has both test interactions and a row"):
        evaluate(model, nothing, data=train)


def test_an_unknown_test_item_is_a_miss_and_not_an_error() -> None:
    model, train, test = world(4)
    user = int(np.flatnonzero(test.user_counts)[0])
    name = test.users.ids[user].as_py()
    known = evaluate(model, test, data=train, users=[name], depths=(10,))
    more = test.add(Interactions.from_pairs([(name, 10**6)]))
    wider = evaluate(model, more, data=train, users=[name], depths=(10,))
    count = int(test.user_counts[user])
    assert wider["recall@10"] == pytest.approx(known["recall@10"] * count / (count + 1))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_comparison_is_the_mean_overlap_of_lists(seed: int) -> None:
    model, train, _ = world(seed)
    other = world(seed + 1)[0]
    other = Model(
        other.factors,
        model.objective,
        users=model.users,
        items=model.items,
        trained_on=model.trained_on,
    )
    overlaps = [
        rank_biased_overlap(
            *(np.array([ranked(m, train, u, 10)]) for m in (model, other)), depth=10
        )[0]
        for u in range(model.users.size)
    ]
    assert compare(model, other, data=train)["rbo@10"] == pytest.approx(np.mean(overlaps))
    same = compare(model, model, data=train)
    assert same["rbo@10"] == pytest.approx(1.0)
    assert same["model_distance"] == pytest.approx(0.0, abs=1e-7)
    R = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
    turned = Model(
        Factors(model.factors.users @ R, model.factors.items @ R, np.ones(3)),
        model.objective,
        users=model.users,
        items=model.items,
        trained_on=model.trained_on,
    )
    again = compare(model, turned, data=train)
    assert again["rbo@10"] == pytest.approx(1.0)
    assert again["score_distance"] < 1e-9
    there, back = compare(model, other, data=train), compare(other, model, data=train)
    assert there["rbo@10"] == pytest.approx(back["rbo@10"])
    assert 0 <= there["rbo@10"] <= 1


def test_models_of_other_rows_are_compared_by_id() -> None:
    model, train, _ = world(8)
    # the same users under ids shifted by one, so that all but one are common
    users, _ = IdMap.build(np.arange(model.users.size) + 1)
    other = Model(
        model.factors, model.objective, users=users, items=model.items, trained_on=model.trained_on
    )
    found = compare(model, other, data=train)
    assert found["users"] == model.users.size - 1
    strangers = Interactions.from_pairs([(1000 + u, v) for u in range(12) for v in range(15)])
    far = Model(
        model.factors,
        model.objective,
        users=strangers.users,
        items=strangers.items,
        trained_on=model.trained_on,
    )
    with pytest.raises(NotFound, match="no user, or no item, in common"):
        compare(model, far, data=train)
    with pytest.raises(IntegrityError, match="other ids"):
        seen_by(model, Interactions.from_pairs([(5000, 5000)]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_what_cannot_be_measured_is_counted(seed: int) -> None:
    model, train, test = world(seed)
    rng = np.random.default_rng(seed)
    known = [(int(u), int(v)) for u, v in zip(test.user_rows, test.indices, strict=True)]
    again = [(int(u), int(v)) for u, v in zip(train.user_rows, train.indices, strict=True)]
    seen = [again[i] for i in rng.choice(len(again), 3, replace=False)]
    strange_users = [(100 + int(rng.integers(3)), i) for i in range(int(rng.integers(0, 4)))]
    strange_items = [(1, 200 + i) for i in range(int(rng.integers(0, 4)))]
    found = coverage(
        model, Interactions.from_pairs([*known, *seen, *strange_users, *strange_items]), data=train
    )
    assert found.test_interactions == len(known) + 3 + len(strange_users) + len(strange_items)
    assert found.test_users_unknown == len({user for user, _ in strange_users})
    assert found.test_interactions_of_unknown_users == len(strange_users)
    assert found.test_interactions_of_unknown_items == len(strange_items)
    assert found.test_interactions_masked == 3
    assert len(found.warnings) == 1 + bool(strange_users) + bool(strange_items)


def test_what_the_model_was_trained_on_is_told_by_digests() -> None:
    model, train, test = world(4)
    assert coverage(model, test, data=train).trained_on == "data"
    assert coverage(model, test, data=train).warnings == []
    both = replace(model, trained_on=TrainedOn.of(train.add(test)))
    assert coverage(both, test, data=train).trained_on == "data and test"
    assert "trained on the test interactions too" in coverage(both, test, data=train).warnings[0]
    some = test.keep(np.arange(len(test)) % 2 == 0)
    assert coverage(both, some, data=train).trained_on == "other"
    assert "another digest" in coverage(both, some, data=train).warnings[0]
    assert coverage(both, train.add(test), data=train).trained_on == "data and test"
