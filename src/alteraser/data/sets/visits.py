"""Generated sessions and baskets: events in which what comes next, and what comes again, can be
learned.

Sessions: items lie on rings, one for each topic. A session begins at an item of its user's topic
and goes on to the next one of the ring, to another item of the topic, back to one it had, or
somewhere else.

Baskets: a user has staples, each in a share of the baskets of its own; half-way through the year
some are exchanged. Users of a segment share the items that staples are drawn from. Some of what is
bought is just popular.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.errors import InvalidInput

Array = npt.NDArray[Any]

BEGIN, DAY = 1_735_689_600, 86_400
"""2025-01-01 in UTC, and a day, in seconds"""
TOPIC = 20
"""Items of a ring"""
STEPS = (0.5, 0.3, 0.12)
"""Shares of steps to the next item of a ring, within the topic, and back; the rest goes anywhere"""


def generate_sessions(
    seed: int = 0, users: int = 500, items: int = 400, sessions_per_user: float = 6.0
) -> pa.Table:
    """user_id, session_id, item_id, position (from 1) and timestamp (UTC, epoch seconds), in order
    of time.

    Equal arguments give equal bytes. Raises InvalidInput for fewer than 2 users or 40 items, or
    sessions below 1.

    >>> table = generate_sessions(users=20, items=40)
    >>> table.column_names, table.equals(generate_sessions(users=20, items=40))
    (['user_id', 'session_id', 'item_id', 'position', 'timestamp'], True)
    """
    _check(seed, users, items, sessions_per_user)
    rng = np.random.default_rng([seed, 1])
    counts = 1 + rng.poisson(sessions_per_user - 1, users)
    owners = np.repeat(np.arange(users), counts)
    begins = np.sort(rng.integers(0, 60 * DAY, owners.size))
    owners = owners[rng.permutation(owners.size)]
    tastes = rng.integers(0, items // TOPIC, (users, 2))
    rows: list[tuple[int, int, int, int, int]] = []
    for session, (user, begin) in enumerate(zip(owners.tolist(), begins.tolist(), strict=True)):
        topic = int(tastes[user, int(rng.random() < 0.3)])
        walk = _walk(rng, topic, items, 2 + int(rng.geometric(0.3)))
        times = begin + np.cumsum(rng.integers(5, 240, len(walk)))
        rows += [
            (user, session, item, place, int(when))
            for place, (item, when) in enumerate(zip(walk, times, strict=True), 1)
        ]
    who, sessions, item, places, whens = (
        np.array(column, np.int64) for column in zip(*rows, strict=True)
    )
    order = np.lexsort((places, sessions, whens))
    names = _names("u", who, users), _names("s", sessions, owners.size), _names("item", item, items)
    found = pa.table({"user_id": names[0], "session_id": names[1], "item_id": names[2]})
    found = found.append_column("position", pa.array(places))
    return found.append_column("timestamp", pa.array(BEGIN + whens)).take(pa.array(order))


def _walk(rng: np.random.Generator, topic: int, items: int, length: int) -> list[int]:
    first = topic * TOPIC
    walk = [first + int(rng.integers(TOPIC))]
    for draw in rng.random(length - 1).tolist():
        ring, here = walk[-1] // TOPIC * TOPIC, walk[-1] % TOPIC
        if draw < STEPS[0]:
            walk.append(ring + (here + 1) % TOPIC)
        elif draw < STEPS[0] + STEPS[1]:
            walk.append(ring + int(TOPIC * rng.random() ** 2))
        elif draw < sum(STEPS):
            walk.append(walk[int(rng.integers(len(walk)))])
        else:
            walk.append(int(rng.integers(items // TOPIC * TOPIC)))
    return walk


def generate_baskets(
    seed: int = 0, users: int = 300, items: int = 300, baskets_per_user: float = 10.0
) -> pa.Table:
    """user_id, basket_id, item_id and timestamp (UTC, epoch seconds), in order of time; otherwise
    as sessions.
    """
    _check(seed, users, items, baskets_per_user)
    rng = np.random.default_rng([seed, 2])
    counts = 1 + rng.poisson(baskets_per_user - 1, users)
    pools = [rng.choice(items, max(items // 8, 12), replace=False) for _ in range(8)]
    popular = rng.permutation(items)
    rows: list[tuple[int, int, int, int]] = []
    basket = 0
    for user in range(users):
        pool = pools[int(rng.integers(8))]
        staples, more = np.split(rng.choice(pool, 12, replace=False), [9])
        shares = rng.uniform(0.25, 0.9, staples.size)
        whens = np.sort(rng.integers(0, 365 * DAY, counts[user]))
        for when in whens.tolist():
            if when > 182 * DAY:
                staples = np.concatenate([staples[: 9 - more.size], more])
            bought = staples[rng.random(staples.size) < shares]
            others = popular[(items * rng.random(int(rng.poisson(1.5))) ** 3).astype(np.int64)]
            held = np.unique(np.concatenate([bought, others, staples[:1]]))
            rows += [(user, basket, int(item), when) for item in held]
            basket += 1
    user_rows, baskets, item, when_all = (
        np.array(column, np.int64) for column in zip(*rows, strict=True)
    )
    order = np.lexsort((item, baskets, when_all))
    names = _names("u", user_rows, users), _names("b", baskets, basket), _names("item", item, items)
    found = pa.table({"user_id": names[0], "basket_id": names[1], "item_id": names[2]})
    return found.append_column("timestamp", pa.array(BEGIN + when_all)).take(pa.array(order))


def _names(word: str, rows: Array, count: int) -> pa.Array:
    width = len(str(count - 1))
    return pa.array([f"{word}-{row:0{width}d}" for row in range(count)]).take(pa.array(rows))


def _check(seed: Any, users: Any, items: Any, groups: float) -> None:
    for name, value, least in (("seed", seed, 0), ("users", users, 2), ("items", items, 2 * TOPIC)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InvalidInput(f"{name}={value!r}: expected a whole number of at least {least}")
    if not 1.0 <= groups < 1e6:
        raise InvalidInput(f"{groups!r} groups for each user: expected at least 1")
