"""What was asked to be forgotten is shown to nobody from then on, and only that."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from alteraser.cli.main import main
from alteraser.data.interactions import Interactions
from alteraser.errors import NotFound
from alteraser.ledger import requests, states
from alteraser.ledger.asked import Asked
from alteraser.models.factorization.model import Model
from alteraser.models.relational.plain import PlainModel
from alteraser.service.asides import OWED, Asides
from alteraser.service.erasing import find
from alteraser.service.remaining import list_of_remaining
from alteraser.service.serving import Serving
from alteraser.service.state import create

from .conftest import BASE, Service, everything


def act(opened, what, name: str) -> None:
    with opened.state.database.writing() as connection:
        what(connection, name, opened.state.clock())


def listed(serving: Serving, user: int, k: int = 10) -> list[int]:
    return [entry["item_id"] for entry in serving.recommend(str(user), k)["items"]]


def test_out_of_sight_at_once_and_back_where_it_is_cancelled(service) -> None:
    opened = service()
    serving = Serving(opened.state)
    before = listed(serving, BASE + 1)
    somebody = opened.send({"users": [BASE + 5]})
    with pytest.raises(NotFound) as gone:
        listed(serving, BASE + 5)
    with pytest.raises(NotFound) as unknown:
        listed(serving, 5)
    assert (gone.value.message, gone.value.details) == (
        unknown.value.message,
        unknown.value.details,
    ), "as if they had never been"
    item = opened.send({"items": before[:2]})
    longer = listed(serving, BASE + 1, 12)
    assert longer[:8] == before[2:]
    assert not set(before[:2]) & set(longer)
    assert listed(serving, BASE + 1) == longer[:10]
    assert listed(serving, BASE + 1, 3) == before[2:5]
    act(opened, requests.cancel, item)
    act(opened, requests.hold, somebody)
    assert listed(serving, BASE + 1) == before
    assert listed(serving, BASE + 5)
    act(opened, requests.release, somebody)
    opened.work()
    with pytest.raises(NotFound):
        listed(serving, BASE + 5)


def remaining(opened, gone: set[tuple[int, int]]) -> Interactions:
    """The served data without ``gone``, in the rows of the served model."""
    version = opened.state.load_serving()
    rows = version.data.to_table().to_pylist()
    kept = [row for row in rows if (row["user_id"], row["item_id"]) not in gone]
    table = pa.Table.from_pylist(kept, schema=version.data.to_table().schema)
    return Interactions.from_table(table, users=version.model.users, items=version.model.items)


def best(model, row: int, rest: Interactions) -> list[int]:
    """Everything that may be in a list of what is left, best first, by other code."""
    mine = rest.indices[rest.indptr[row] : rest.indptr[row + 1]]
    if not isinstance(model, Model):
        lists, _ = model.top_items(np.array([row]), k=model.items.size, seen=rest)
        return [item for item in lists[0] if item >= 0]
    objective, Q = model.objective, model.factors.scaled_items().astype(float)
    weights = np.full(len(Q), objective.missing_weight)
    weights[mine] = 1.0
    ridge = objective.user_ridge(rest.user_counts, len(Q))[row]
    A = (Q * weights[:, None]).T @ Q + ridge * np.eye(Q.shape[1])
    scores = Q @ np.linalg.solve(A, Q[mine].sum(axis=0))
    return [item for item in np.argsort(-scores, kind="stable") if item not in set(mine.tolist())]


@pytest.mark.parametrize("kind", ["knn", "enmf"])
def test_a_list_is_made_of_what_is_left_at_once(service, kind: str) -> None:
    opened = service(kind)
    serving, model = Serving(opened.state), opened.state.load_serving().model
    times = everything()
    user = BASE + 1
    mine = sorted(item for who, item in times if who == user)
    stamps = sorted(times[user, item] for item in mine)
    before = serving.recommend(str(user), 40)
    assert "set_aside" not in before
    sent = [
        opened.send({"pairs": [[user, mine[0]], [user, mine[2]], [BASE + 9, 103]]}),
        opened.send({"pairs": [[user, mine[2]], [user, 100_000]]}),
        opened.send({"user": user, "since": stamps[-2]}),
    ]
    gone = {(user, mine[0]), (user, mine[2])}
    gone |= {(user, item) for item in mine if times[user, item] >= stamps[-2]}
    shown = serving.recommend(str(user), 40)
    assert shown["set_aside"] == len(gone)
    assert shown["version"] == before["version"]
    items = [entry["item_id"] for entry in shown["items"]]
    assert not {item for _, item in gone} & set(items), "what was asked to go is not shown"
    row = int(model.users.rows_of(pa.array([user]))[0])
    names = model.items.ids_of(np.array(best(model, row, remaining(opened, gone)))).to_pylist()
    assert items == [name for name in names if (user, name) not in gone]
    assert listed(serving, BASE + 2, 40) == listed(Serving(opened.state), BASE + 2, 40)
    for name in sent:
        act(opened, requests.cancel, name)
    assert serving.recommend(str(user), 40) == before


@pytest.mark.parametrize("kind", ["knn", "enmf", "graph", "text"])
def test_a_list_of_what_is_left_is_that_of_all_the_data(service, kind: str) -> None:
    """Two routes: what somebody has alone, and everything with what goes taken out. For everybody
    with some of theirs to go, by pairs, by items of which a hold keeps some, by a window."""
    opened = service(kind)
    version = opened.state.load_serving()
    data, model = version.data, version.model
    table, draw = data.to_table().to_pylist(), random.Random(0)
    for row in range(data.users.size):
        name = data.users.ids_of(np.array([row])).to_pylist()[0]
        mine = [each for each in table if each["user_id"] == name]
        pairs = draw.sample([(name, each["item_id"]) for each in mine], max(len(mine) // 2, 1))
        goods = tuple(sorted({item for _, item in pairs}))
        wanted = [Asked("items", goods, kept=tuple(sorted(pairs[1:]))), Asked("pairs", (pairs[0],))]
        if "timestamp" in mine[0]:
            wanted.append(Asked("window", (name,), since=max(each["timestamp"] for each in mine)))
        for asked in wanted:
            gone = find(data, [asked]).gone & (data.user_rows == row)
            rest = data.keep(~gone)
            if not rest.user_counts[row]:
                with pytest.raises(NotFound):
                    list_of_remaining(version, row, [asked], 9, version.model.ranking(version.data))
                continue
            items, _, without = list_of_remaining(
                version, row, [asked], 9, version.model.ranking(version.data)
            )
            assert without == gone.sum() > 0
            if isinstance(model, PlainModel):
                lists, _ = model.top_items(np.array([row]), k=model.items.size, seen=rest)
                best_items = [item for item in lists[0] if item >= 0]
            else:
                best_items = best(model, row, rest)
            hidden = set(data.indices[gone].tolist())
            expected = [item for item in best_items if item not in hidden]
            assert [item for item in items if item >= 0] == expected[: len(items)]


@pytest.mark.parametrize("similarity", ["cosine", "tfidf", "bm25"])
def test_by_people_like_somebody_it_is_the_list_of_the_next_version(
    made: Path, tmp_path: Path, similarity: str
) -> None:
    """Who is near whom, and what the measure knows of all, are of what is left at once."""
    line = ["train", str(made / "data.csv"), "--model", "user-knn", "--neighbors", "3"]
    assert main([*line, "--similarity", similarity, "-q", "--out", str(tmp_path / "model")]) == 0
    create(tmp_path / "state", tmp_path / "model", made / "data.csv", rate=0)
    with contextlib.closing(Service(tmp_path / "state")) as opened:
        for user in opened.state.load_serving().data.users.ids.to_pylist()[:6]:
            data = opened.state.load_serving().data
            mine = data.select(users=[user]).to_table()["item_id"].to_pylist()
            opened.send({"pairs": [[user, item] for item in mine[: len(mine) // 2]]})
            shown = listed(Serving(opened.state), user, 40)
            opened.work()
            gone = set(mine[: len(mine) // 2])
            served = listed(Serving(opened.state), user, 40)
            assert shown == [item for item in served if item not in gone]


def test_an_item_of_which_a_hold_keeps_a_pair_goes_at_once_for_the_others(service) -> None:
    opened = service()
    serving = Serving(opened.state)
    item = 103
    having = [user for user, had in sorted(opened.pairs) if had == item]
    holder, other = having[:2]
    stranger = next(who for who, _ in sorted(opened.pairs) if who not in having)
    before = {user: serving.recommend(str(user), 40) for user in (holder, other, stranger)}
    opened.send({"items": [item], "hold": [[holder, item]]})
    shown = serving.recommend(str(other), 40)
    assert shown["set_aside"] == 1
    assert item not in [entry["item_id"] for entry in shown["items"]]
    for user in (holder, stranger):
        assert serving.recommend(str(user), 40) == before[user]
    opened.work()
    assert (holder, item) in opened.pairs
    assert (other, item) not in opened.pairs


def test_of_whom_nothing_would_be_left_nothing_is_shown(service) -> None:
    opened = service()
    serving = Serving(opened.state)
    user = BASE + 3
    opened.send({"pairs": [[user, item] for who, item in everything() if who == user]})
    with pytest.raises(NotFound):
        listed(serving, user)
    opened.work()
    with pytest.raises(NotFound):
        listed(serving, user)


def test_what_a_hold_keeps_is_served_and_the_rest_is_not(service) -> None:
    opened = service()
    serving = Serving(opened.state)
    user = BASE + 1
    mine = sorted(item for who, item in opened.pairs if who == user)
    opened.send({"users": [user], "hold": [[user, item] for item in mine[:2]]})
    shown = serving.recommend(str(user), 40)
    assert shown["set_aside"] == len(mine) - 2
    assert not set(mine) & {entry["item_id"] for entry in shown["items"]}
    opened.work()
    after = serving.recommend(str(user), 40)
    assert "set_aside" not in after


@pytest.mark.parametrize("seed", range(3))
def test_followed_step_by_step_is_what_the_ledger_holds(service, seed: int) -> None:
    """Two routes: each step's events, and everything read anew."""
    opened, draw = service(), random.Random(seed)
    steps, names = Asides(), []
    for number in range(25):
        what = draw.choice(["send", "send", "cancel", "hold", "release", "work"])
        if what == "send":
            user, item = BASE + draw.randrange(9), 100 + draw.randrange(9)
            bodies = [
                {"users": [user]},
                {"items": [item]},
                {"pairs": [[user, item], [user + 1, item]]},
                {"user": user, "since": "2001-01-01"},
                {"users": [user], "hold": [[user, item]]},
                {"items": [item], "hold": [[user, item]]},
            ]
            names.append(opened.send(draw.choice(bodies), f"{seed}-{number}"))
        elif what == "work" and number % 5 == 0:
            opened.work()
        elif names:
            name = draw.choice(names)
            happens = {"cancel": "cancel", "hold": "hold", "release": "release"}.get(what)
            if happens and (opened.shown(name)["status"], happens) in states.TABLE:
                act(opened, getattr(requests, what), name)
        with opened.state.database.reading() as connection:
            assert steps.follow(connection)
            anew = Asides()
            anew.follow(connection)
            open_ones = [each for each in requests.listed(connection) if each["status"] in OWED]
        assert (steps.users, steps.items, steps.parts) == (anew.users, anew.items, anew.parts)
        assert steps.groups == anew.groups
        assert len(steps._of) == len(open_ones)


def test_an_older_snapshot_is_not_gone_by(service) -> None:
    opened = service()
    serving = Serving(opened.state)
    with opened.state.database.reading() as old:
        assert serving.look(old, str(BASE + 5)) is not None
        opened.send({"users": [BASE + 5]})
        with opened.state.database.reading() as new:
            look = serving.look(new, str(BASE + 5))
            assert look is not None
            assert look.gone
        assert serving.look(old, str(BASE + 5)) is None
