"""Exact kinds in a warm process, on generated data: one person forgotten, while people grow and
items do not.

CPU time. A request takes one person out of the counts; ``publish`` forms lists, hashes the data,
and is what a model to save costs, whatever was asked before it. Peak memory is that of the process,
data included.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import typer

from alteraser import Interactions
from alteraser.bench.common import forget_peak, machine, memory, numbers, table, words
from alteraser.data import blocks
from alteraser.data.events import Events, Groups
from alteraser.data.grouping import Grouping
from alteraser.data.ids import IdMap
from alteraser.engines.session import EventSession, ExactSession
from alteraser.models.closed_form.popularity import Popularity
from alteraser.models.neighbors.cooccurrence import Cooccurrence
from alteraser.models.neighbors.item_knn import ItemKNN
from alteraser.models.neighbors.user_knn import UserKNN
from alteraser.models.sessions.tifu_knn import TIFUKNN
from alteraser.models.sessions.top_frequency import TopFrequency
from alteraser.models.sessions.vs_knn import VSKNN

ITEMS, MEAN, FIRST = 2_000, 60, 20
"""Items, about how many a person has, and requests before those that are timed"""
KINDS: dict[str, Any] = {
    "popularity": Popularity(),
    "popularity-half-life": Popularity(half_life=30.0),
    "item-knn": ItemKNN(),
    "user-knn": UserKNN(similarity="bm25"),
    "cooccurrence": Cooccurrence(),
}

OF_EVENTS: dict[str, Any] = {
    "vs-knn": VSKNN(),
    "tifu-knn": TIFUKNN(),
    "top-frequency": TopFrequency(),
}
NAMES = *KINDS, *OF_EVENTS
DAY = 86_400
MONTH = 30 * DAY
"""What is one session or basket of somebody, in seconds"""
BEGIN = 10**9
MONTHS = IdMap.build(np.arange(BEGIN // MONTH, (BEGIN + 375 * DAY) // MONTH + 1))[0]
PAIRS, EVENTS = 54.0, 65.0
"""How many of either somebody has"""
DRAWS = 1 << 16
"""Items are drawn from so many equally probable ones"""


def warm(
    sizes: Annotated[
        str,
        typer.Option(
            "--sizes",
            help="Millions of interactions (events, of the kinds that are of these), with commas.",
        ),
    ] = "0.2,2",
    requests: Annotated[
        int, typer.Option("--requests", min=1, help="People forgotten, one by one.")
    ] = 200,
    only: Annotated[
        str | None, typer.Option("--only", help=f"Kinds, with commas: {', '.join(NAMES)}.")
    ] = None,
) -> int:
    """What one person costs an exact kind in a warm process, at sizes apart.

    Example: alteraser bench warm --sizes 1,100
    """
    kinds = NAMES if only is None else words(only, "--only", NAMES)
    print(f"{machine()}\n")
    for size in numbers(sizes, "--sizes"):
        for table_of, per_person in ((KINDS, PAIRS), (OF_EVENTS, EVENTS)):
            names = [name for name in kinds if name in table_of]
            if names:
                users = max(int(1e6 * size / per_person), FIRST + requests)
                _at_a_size(users, names, requests)
    return 0


def _at_a_size(users: int, names: list[str], requests: int) -> None:
    of_events = names[0] in OF_EVENTS
    data = generated(users, events=of_events)
    what = "events" if of_events else "interactions"
    print(f"### {data.count:,} {what} of {users:,} people, {ITEMS:,} items\n", flush=True)
    rows = []
    for name in names:
        rows.append(_measured(name, (KINDS | OF_EVENTS)[name], data, requests))
        print(f"<!-- {' | '.join(rows[-1])} -->", flush=True)
    table(
        ["kind", "fit, s", "open, s", "one person p50, ms", "p99, ms", "publish, s", "peak, GB"],
        rows,
    )


def generated(
    users: int, *, events: bool = False, seed: int = 0, at_a_time: int = 50_000
) -> Interactions:
    """Popular items and active people, log-normal; times over a year.

    With ``events`` every fifth interaction comes once more ten days later, in sessions or baskets
    of a month. People are made ``at_a_time``, so that what is beside the data is small.
    """
    rng = np.random.default_rng(seed)
    weight = np.cumsum(1.0 / np.arange(1, ITEMS + 1) ** 0.7)
    drawn = np.searchsorted(weight / weight[-1], (np.arange(DRAWS) + 0.5) / DRAWS).astype(np.int32)
    names, goods = (IdMap.build(np.arange(size))[0] for size in (users, ITEMS))
    parts = [
        _part(rng, range(first, min(first + at_a_time, users)), drawn, goods, events=events)
        for first in range(0, users, at_a_time)
    ]

    def column(of: Callable[[Interactions], Any]) -> Any:
        return np.concatenate([of(part) for part in parts])

    counts = column(lambda part: part.user_counts)
    data = Interactions(
        names,
        goods,
        np.concatenate([[0], np.cumsum(counts)]),
        column(lambda part: part.indices),
        timestamp=column(lambda part: part.timestamp),
    )
    return data if not events else replace(data, events=_together(parts))


def _part(
    rng: np.random.Generator, people: range, drawn: Any, goods: IdMap, *, events: bool
) -> Interactions:
    """The interactions of some people, in rows of their own."""
    m = len(people)
    counts = np.clip(rng.lognormal(np.log(MEAN) - 0.3, 0.8, m), 2, ITEMS // 4).astype(np.int64)
    keys = np.repeat(np.arange(m) * ITEMS, counts)
    keys += drawn[rng.integers(0, DRAWS, keys.size, dtype=np.uint16)]
    keys.sort()
    keys = keys[blocks.begins(keys)]
    users, items = (keys // ITEMS).astype(np.int32), (keys % ITEMS).astype(np.int32)
    times = rng.integers(BEGIN, BEGIN + 365 * DAY, keys.size)
    names = IdMap.build(np.arange(people.start, people.stop))[0]
    if not events:
        return Interactions(names, goods, blocks.user_starts(users, m), items, timestamp=times)
    users, items = (np.concatenate([rows, rows[::5]]) for rows in (users, items))
    times = np.concatenate([times, times[::5] + 10 * DAY])
    groups = Groups(MONTHS, times // MONTH - BEGIN // MONTH)
    happened = Events.assemble(users, items, Grouping(), groups=groups, time=times)
    return Interactions.of_events(names, goods, happened)


def _together(parts: list[Interactions]) -> Events:
    """The events of all, people after people."""
    held = [part.events for part in parts if part.events is not None]

    def column(of: Callable[[Events], Any], step: Callable[[int], int] | None = None) -> Any:
        """``step`` says by how much what comes behind a part is more."""
        found, start, more = np.empty(sum(map(len, held)), of(held[0]).dtype), 0, 0
        for number, each in enumerate(held):
            found[start : start + len(each)] = of(each)
            found[start : start + len(each)] += more
            start += len(each)
            more += 0 if step is None else step(number)
        return found

    return Events(
        column(lambda each: each.users, lambda number: parts[number].shape[0]),
        column(lambda each: each.items),
        column(lambda each: each.numbers, lambda number: held[number].owners.size),
        column(lambda each: each.at, lambda number: len(held[number])),
        column(lambda each: each.time),
        Groups(MONTHS, column(lambda each: each.groups.rows if each.groups else None)),
        held[0].grouping,
    )


def _measured(name: str, kind: Any, data: Interactions, requests: int) -> list[str]:
    spent: dict[str, float] = {}

    def timed(what: str, call: Any) -> Any:
        began = time.process_time()
        found = call()
        spent[what] = time.process_time() - began
        return found

    forget_peak()
    model = timed("fit", lambda: kind.fit(data))
    opened: Any = ExactSession if data.events is None else EventSession
    session = timed("open", lambda: opened(model, data))
    who = np.random.default_rng(1).choice(data.shape[0], FIRST + requests, replace=False).tolist()
    each = []
    for user in who:
        began = time.process_time()
        session.forget([user], whole_users=True)
        each.append(1e3 * (time.process_time() - began))
    timed("publish", session.publish)
    p50, p99 = np.quantile(each[FIRST:], [0.5, 0.99])
    return [
        name,
        f"{spent['fit']:.2f}",
        f"{spent['open']:.2f}",
        f"{p50:.2f}",
        f"{p99:.2f}",
        f"{spent['publish']:.2f}",
        f"{memory('VmHWM') / 1e9:.1f}",
    ]
