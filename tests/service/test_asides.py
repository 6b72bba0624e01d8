"""What was asked to be forgotten is shown to nobody from then on, and only that."""

from __future__ import annotations

import random

import pytest

from alteraser.errors import NotFound
from alteraser.ledger import requests, states
from alteraser.service.asides import OWED, Asides
from alteraser.service.serving import Serving

from .conftest import BASE


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


def test_what_a_hold_keeps_is_served_until_the_next_version(service) -> None:
    opened = service()
    serving = Serving(opened.state)
    (user, item), *_ = sorted(opened.pairs)
    opened.send({"users": [user], "hold": [[user, item]]})
    assert listed(serving, user)


@pytest.mark.parametrize("seed", range(3))
def test_followed_step_by_step_is_what_the_ledger_holds(service, seed: int) -> None:
    """Two routes: each step's events, and everything read anew."""
    opened, draw = service(), random.Random(seed)
    steps, names = Asides(), []
    for number in range(25):
        what = draw.choice(["send", "send", "cancel", "hold", "release", "work"])
        if what == "send":
            scope = draw.choice([("users", BASE), ("items", 100)])
            names.append(
                opened.send({scope[0]: [scope[1] + draw.randrange(9)]}, f"{seed}-{number}")
            )
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
        assert (steps.users, steps.items) == (anew.users, anew.items)
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
