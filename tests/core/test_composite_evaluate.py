"""Accuracy by user and context, against every query by itself."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from alteraser.data.readers import ReadingOptions
from alteraser.data.sheet import Sheet
from alteraser.data.side.given import Given
from alteraser.data.side.links import Links
from alteraser.data.side.sources import main_links
from alteraser.errors import InvalidInput, NotFound
from alteraser.models.relational.composite import CompositeModel
from alteraser.models.relational.setup import LinearSetup
from alteraser.verbs.relational.evaluate import evaluate_in_contexts
from alteraser.verbs.relational.train import train

Row = tuple[int, int, str | None, str | None]
NAMES = ("day", "device")


def links(rows: list[Row], names: tuple[str, ...] = NAMES) -> Links:
    columns = dict(zip(("user_id", "item_id", *NAMES), zip(*rows, strict=True), strict=True))
    table = pa.table({name: pa.array(list(values)) for name, values in columns.items()})
    reading = ReadingOptions(duplicates="first")
    return main_links(Sheet.read(table, reading, every_column=True), names)


def rows_of(seed: int, count: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    days, devices = ["mon", "tue", "sun"], ["tv", "phone", None]
    return [
        (
            int(rng.integers(0, 6)),
            int(rng.integers(0, 8)),
            days[rng.integers(0, 3)],
            devices[rng.integers(0, 3)],
        )
        for _ in range(count)
    ]


DATA = rows_of(0, 60)


@pytest.fixture(scope="module", params=[NAMES, ("day",), ()], ids=["both", "one", "none"])
def model(request: pytest.FixtureRequest) -> CompositeModel:
    given = Given((links(DATA, request.param),))
    return train(LinearSetup(factors=3, regularization=0.5, max_passes=30), given, threads=1)


def brute(model: CompositeModel, test: list[Row], k: int) -> dict[str, float]:
    """Query by query, with the lists that a context is asked for, and the definitions."""
    queries: dict[tuple[int, str | None, str | None], set[int]] = {}
    for u, i, day, device in test:
        queries.setdefault((u, day, device), set()).add(i)
    recalls, ndcgs, users = [], [], set()
    for (u, *said), wanted in queries.items():
        words = {
            name: word
            for name, word in zip(NAMES, said, strict=True)
            if name in model.context_names
        }
        given = {name: word for name, word in words.items() if word is not None}
        row = int(model.users.rows_of([u])[0])
        try:
            there = model.in_context(given)
        except NotFound:
            continue
        if row < 0:
            continue
        # without a value it is none of that context, not the average of them
        vector = there.vectors[0][row].copy()
        for block in model.blocks["user"]:
            if block.sort == "context" and words.get(block.name, "") is None:
                part = slice(block.start, block.stop)
                vector -= model.average[part] @ model.tables["user"][part]
        had = {i for v, i, *context in DATA if (v, *context) == (u, *said)}
        ids = model.items.ids.to_pylist()
        scores = {i: float(vector @ model.vectors[1][j]) for j, i in enumerate(ids) if i not in had}
        best = sorted(scores, key=lambda i: -scores[i])[:k]
        gains = [1 / np.log2(place + 2) for place, i in enumerate(best) if i in wanted]
        ideal = sum(1 / np.log2(place + 2) for place in range(min(k, len(wanted))))
        recalls.append(len(gains) / len(wanted))
        ndcgs.append(sum(gains) / ideal)
        users.add(u)
    return {
        f"recall@{k}": float(np.mean(recalls)),
        f"ndcg@{k}": float(np.mean(ndcgs)),
        "queries": len(recalls),
        "users": len(users),
    }


ROW = st.tuples(
    st.integers(0, 6),  # 6 is nobody
    st.integers(0, 9),  # 8 and 9 are nothing
    st.sampled_from(["mon", "tue", "sun", "holiday"]),
    st.sampled_from(["tv", "phone", "watch", None]),
)


def left_of(model: CompositeModel, test: list[Row]) -> list[Row]:
    """Rows of users and contexts that there were; to a model without a context all are alike."""
    there = {"day": ("mon", "tue", "sun"), "device": ("tv", "phone", None)}
    return [
        (u, i, day, device)
        for u, i, day, device in test
        if u < 6
        and ("day" not in model.context_names or day in there["day"])
        and ("device" not in model.context_names or device in there["device"])
    ]


@settings(deadline=None, max_examples=40)
@drawn(st.lists(ROW, min_size=4, max_size=25))
def test_every_query_is_ranked_by_itself(model: CompositeModel, test: list[Row]) -> None:
    data, held_out = links(DATA), links([*test, (0, 3, "mon", "tv")])
    test = [*test, (0, 3, "mon", "tv")]
    try:
        answer, covered = evaluate_in_contexts(model, held_out, data=data, depths=(3,))
    except InvalidInput:
        assert all(row in DATA for row in left_of(model, test))
        return
    assert answer == pytest.approx(brute(model, test, 3))
    known, left = [row for row in test if row[0] < 6], left_of(model, test)
    assert covered.test_interactions_of_unseen_contexts == len(known) - len(left)
    assert covered.test_interactions_of_unknown_users == len(test) - len(known)
    assert covered.test_interactions_masked == sum(row in DATA for row in left)
    assert covered.trained_on == "data"


def test_what_was_trained_on_is_told(model: CompositeModel) -> None:
    more = rows_of(1, 20)
    whole, test, data = links(DATA), links(DATA[40:]), links(DATA[:40])
    assert evaluate_in_contexts(model, test, data=data)[1].trained_on == "data and test"
    assert evaluate_in_contexts(model, links(more), data=data)[1].trained_on == "other"
    assert evaluate_in_contexts(model, links(more), data=whole)[1].trained_on == "data"


def test_users_restrict_and_nobody_is_an_error(model: CompositeModel) -> None:
    test, data = links(rows_of(1, 20)), links(DATA)
    answer, _ = evaluate_in_contexts(model, test, data=data, users=[1, 2], depths=(3,))
    only = [row for row in rows_of(1, 20) if row[0] in (1, 2)]
    assert answer == pytest.approx(brute(model, only, 3))
    with pytest.raises(NotFound, match="a user and a context that the model knows"):
        evaluate_in_contexts(model, test, data=data, users=[77])
