"""Sessions forgotten one by one in a warm process by slist, whose inverse is algebra of all.

CPU time of one thread. A request is timed without the folds that happen in it, and with them; what
folding takes is said apart.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
import typer
from threadpoolctl import threadpool_limits

from alteraser import Interactions
from alteraser.bench.common import clocked, machine, table
from alteraser.data.selection import Selection
from alteraser.data.sets.visits import generate_sessions
from alteraser.engines.session import EventSession
from alteraser.models.sessions.slist import SLIST

LISTS = 200
"""Lists of which each median is"""


def sessions(
    source: Annotated[
        str | None,
        typer.Argument(metavar="[SET]", help="Sessions in a file; generated ones without it."),
    ] = None,
    session_column: Annotated[
        str, typer.Option("--session-column", help="Which session a row is of.")
    ] = "session_id",
    position_column: Annotated[
        str, typer.Option("--position-column", help="Its place there.")
    ] = "position",
    items: Annotated[
        int, typer.Option("--items", min=40, help="So many of the most frequent items.")
    ] = 10_000,
    requests: Annotated[
        int, typer.Option("--requests", min=1, help="Sessions forgotten, one by one.")
    ] = 1000,
) -> int:
    """What forgetting one session costs slist in a warm process, folds apart.

    Example: alteraser bench sessions clicks.parquet --session-column user_id
    """
    print(f"{machine()}\n")
    if source is None:
        data = Interactions.read(
            generate_sessions(users=2 * items, items=items, sessions_per_user=3.0),
            session_column="session_id",
            position_column="position",
        )
    else:
        data = Interactions.read(
            source, session_column=session_column, position_column=position_column
        )
    assert data.events is not None
    print(
        f"### {data.events.owners.size:,} sessions, {len(data.events):,} events, "
        f"{min(items, len(data.items)):,} items\n",
        flush=True,
    )
    with threadpool_limits(1):
        rows = [_measured(dtype, data, items, requests) for dtype in ("float32", "float64")]
    table(
        [
            "inverse",
            "fit, s",
            "open, s",
            "request p50, ms",
            "p99",
            "with folds p50",
            "p99",
            "folds",
            "a fold, ms",
            "folds a request, ms",
            "drift",
            "refreshes",
            "list before, ms",
            "after",
        ],
        rows,
    )
    return 0


def _measured(dtype: Any, data: Interactions, items: int, requests: int) -> list[str]:
    kind = SLIST(dtype=dtype, most_frequent=items)
    model, fit, _ = clocked(lambda: kind.fit(data))
    session, opened, _ = clocked(lambda: EventSession(model, data))
    events = data.events
    assert events is not None
    rng = np.random.default_rng(1)
    chosen = rng.choice(events.owners.size, min(requests, events.owners.size // 2), replace=False)
    before = _lists(session, data)
    whole, alone = [], []
    for group in chosen.tolist():
        asked = _asked(data, group)
        folded, began = session.told()["fold_seconds"], time.process_time()
        session.forget(asked)
        whole.append(time.process_time() - began)
        alone.append(whole[-1] - (session.told()["fold_seconds"] - folded))
    after = _lists(session, data)
    session.fold()
    told = session.told()
    (alone50, alone99), (whole50, whole99) = (
        1e3 * np.quantile(each, [0.5, 0.99]) for each in (alone, whole)
    )
    return [
        dtype,
        f"{fit:.1f}",
        f"{opened:.1f}",
        f"{alone50:.1f}",
        f"{alone99:.1f}",
        f"{whole50:.1f}",
        f"{whole99:.1f}",
        f"{told['folds']:.0f}",
        f"{1e3 * told['fold_seconds'] / max(told['folds'], 1):.1f}",
        f"{1e3 * told['fold_seconds'] / len(whole):.1f}",
        f"{told['drift']:.1e}",
        f"{told['refreshes']:.0f}",
        f"{before:.1f}",
        f"{after:.1f}",
    ]


def _asked(data: Interactions, group: int) -> Selection:
    """One session, by its name and its user's."""
    events = data.events
    assert events is not None
    assert events.groups is not None
    place = events.indptr[[group]]
    return Selection(
        users=data.users.ids_of(events.users[place]),
        groups=events.groups.ids.ids_of(events.groups.rows[place]),
    )


def _lists(session: EventSession, data: Interactions) -> float:
    """CPU milliseconds of a list, the median of some."""
    events, found = data.events, []
    assert events is not None
    for group in np.random.default_rng(2).choice(events.owners.size, LISTS).tolist():
        shown = data.items.ids_of(events.items[events.indptr[group] : events.indptr[group + 1]])
        began = time.process_time()
        session.continued(shown, k=20)
        found.append(time.process_time() - began)
    return 1e3 * float(np.median(found))
