"""Every way that requests, workers and crashes can go, looked at: nothing that must not happen is
reached."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import pytest

from alteraser.errors import Conflict
from alteraser.ledger import states

WORKERS, CRASHES, TRIES = 2, 3, 2


@dataclass(frozen=True)
class Request:
    state: str = "received"
    verified: bool = False
    attempts: int = 0
    twin: int | None = None
    """Points to the request that it repeats"""
    receipts: int = 0
    included: bool = False
    """The served version was made without what it names"""


@dataclass(frozen=True)
class Worker:
    token: int = 0
    sees: str | None = None
    """Status of the batch when it last looked: what it will act on"""


@dataclass(frozen=True)
class World:
    requests: tuple[Request, ...]
    workers: tuple[Worker, ...] = (Worker(),) * WORKERS
    batch: str | None = None
    members: frozenset[int] = frozenset()
    up_to: int = 0
    """The last that a batch that is gathering takes"""
    token: int = 0
    crashes: int = 0


def moved(world: World, which: int, what: str, **values: object) -> World:
    found = list(world.requests)
    state = states.after(found[which].state, what)
    found[which] = replace(found[which], state=state, **values)
    return replace(world, requests=tuple(found))


def changed(world: World, which: int, **values: object) -> World:
    found = list(world.requests)
    found[which] = replace(found[which], **values)
    return replace(world, requests=tuple(found))


def succeeded(world: World, gone: int) -> World:
    twins = [i for i, each in enumerate(world.requests) if each.twin == gone]
    if not twins:
        return world
    world = moved(world, twins[0], "take over", twin=None)
    others = [
        replace(each, twin=twins[0]) if i in twins[1:] else each
        for i, each in enumerate(world.requests)
    ]
    return replace(world, requests=tuple(others))


def by_people(world: World):
    for which, request in enumerate(world.requests):
        if request.state in ("received", "unverified"):
            yield queue(world, which)
        if request.state == "received":
            yield moved(world, which, "doubt")
        if request.state == "unverified":
            yield moved(world, which, "reject")
        if request.state == "queued":
            yield moved(succeeded(world, which), which, "hold")
        if request.state == "held":
            yield moved(world, which, "release")
        if request.state in states.WAITING:
            yield moved(succeeded(world, which), which, "cancel")


def queue(world: World, which: int) -> World:
    """Requests 0 and 1 ask for the same."""
    world = moved(world, which, "verify", verified=True)
    first = next(
        (i for i in (0, 1) if i != which and which < 2 and world.requests[i].state == "queued"),
        None,
    )
    if first is None:
        return moved(world, which, "queue")
    return moved(world, which, "repeat", twin=first)


def gathered(world: World) -> World:
    """One more request joins the batch, which is planned once none is left that was to."""

    def waiting(world: World) -> list[int]:
        found = enumerate(world.requests[: world.up_to + 1])
        return [i for i, each in found if each.state == "queued"]

    for which in waiting(world)[:1]:
        attempts = world.requests[which].attempts + 1
        world = moved(world, which, "start", attempts=attempts)
        world = replace(world, members=world.members | {which})
    return world if waiting(world) else replace(world, batch="planned", up_to=0)


def followers(world: World) -> list[int]:
    """Requests that are not yet what their batch is."""
    before, _ = states.FOLLOWED.get(world.batch, (None, None))
    return sorted(i for i in world.members if world.requests[i].state == before)


def followed(world: World, which: int) -> World:
    return moved(world, which, states.FOLLOWED[world.batch][1])


def by_worker(world: World, number: int):
    worker = world.workers[number]

    def now(after: World, **values: object) -> World:
        found = list(after.workers)
        found[number] = replace(worker, **values)
        return replace(after, workers=tuple(found))

    # takes the lease
    yield now(replace(world, token=world.token + 1), token=world.token + 1, sees=world.batch)
    if worker.token != world.token:  # fenced: every transaction checks
        return
    if world.batch is None:
        queued = [i for i, each in enumerate(world.requests) if each.state == "queued"]
        if queued:
            planned = gathered(replace(world, batch="gathering", up_to=queued[-1]))
            yield now(planned, sees=planned.batch)
        return
    if worker.sees != world.batch:
        yield now(world, sees=world.batch)
        return
    if world.batch == "gathering":
        more = gathered(world)
        yield now(more, sees=more.batch)
        return
    if behind := followers(world):  # before anything else is done
        yield now(followed(world, behind[0]))
        return
    to = states.STEPS[world.batch][0]
    happens = states.step(world.batch, to)
    if to in states.FOLLOWED:  # the batch first, then its requests, one at a time
        done = replace(world, batch=to)
        if happens == "publish":
            for which in world.members:
                done = changed(done, which, included=True)
        yield now(followed(done, followers(done)[0]), sees=to)
    else:  # its requests, one at a time, and the batch with the last of them
        before = {"receipted": "published", "done": "receipted"}[to]
        waiting = sorted(i for i in world.members if world.requests[i].state == before)
        which, last = waiting[0], len(waiting) == 1
        if happens == "receipt":
            receipts = world.requests[which].receipts + 1
            done = moved(world, which, happens, receipts=receipts)
        else:
            done = moved(world, which, "complete" if which else "find nothing")
        if last and to == "done":
            yield now(replace(done, batch=None, members=frozenset(), up_to=0), sees=to)
        else:
            yield now(
                replace(done, batch=to if last else world.batch), sees=to if last else world.batch
            )
    if world.batch in ("planned", "scrubbed"):  # an error in the work, or the check fails
        failed = replace(world, batch=None, members=frozenset())
        for which in sorted(world.members):
            last = world.requests[which].attempts >= TRIES
            if last:
                failed = succeeded(failed, which)
            failed = moved(failed, which, "give up" if last else "retry")
        yield now(failed, sees=None)
    if to == "checked":  # another method is tried
        other = replace(world, batch="planned")
        for which in world.members:
            other = moved(other, which, "again")
        yield now(other, sees="planned")


def crashed(world: World):
    for number in range(WORKERS):
        if world.crashes < CRASHES and world.workers[number] != Worker():
            found = list(world.workers)
            found[number] = Worker()
            yield replace(world, workers=tuple(found), crashes=world.crashes + 1)


def ways(world: World):
    yield from by_people(world)
    for number in range(WORKERS):
        yield from by_worker(world, number)
    yield from crashed(world)


def canonical(world: World) -> World:
    """What is the same from here on is one: a fenced worker is as good as a new one, and which of
    them works is nothing to anybody; of a request that has ended no more counts than that ``check``
    was told of its end.
    """
    fenced = Worker()
    workers = sorted(
        (
            replace(each, token=1) if 0 < each.token == world.token else fenced
            for each in world.workers
        ),
        key=lambda each: each.token,
    )
    ended = ("cancelled", "rejected", "failed", "completed", "completed_nothing_found")
    requests = tuple(
        Request(each.state, each.verified) if each.state in ended else each
        for each in world.requests
    )
    token = max(each.token for each in workers)
    return replace(world, workers=tuple(workers), token=token, requests=requests)


def check(world: World) -> None:
    """Of a world as it came about."""
    if world.batch == "planned":
        assert world.members, "a batch has requests"
    for request in world.requests:
        if request.state in states.WORKING:
            assert request.verified, "I1: nothing executes unverified"
        if request.state in ("completed", "completed_nothing_found") and request.attempts:
            assert request.included, "I2: completed means that the served model is without it"
            assert request.receipts == 1, "one receipt"
        if request.twin is not None and request.state == "duplicate_of":
            other = world.requests[request.twin]
            assert other.state != "duplicate_of", "I4: a duplicate points to no duplicate"
            assert other.verified >= request.verified, "I4: at least as verified"
            assert other.state not in ("cancelled", "failed", "held"), (
                "I4: what is owed is not lost"
            )
        if request.state == "failed":
            assert request.attempts in (0, TRIES), "I5: failed after the last try alone"
        assert request.receipts <= 1
        if request.state in ("published", "receipted"):
            assert request.included, "said to be published only once it is"
    if world.batch is None:
        assert not any(each.state in states.WORKING for each in world.requests), (
            "nobody works on it"
        )


@pytest.mark.parametrize("requests", [2, pytest.param(3, marks=pytest.mark.faults)])
def test_no_way_leads_where_it_must_not(requests: int) -> None:
    begin = World((Request(),) * requests)
    seen, todo = {begin}, deque([begin])
    ahead: dict[World, list[World]] = {}
    while todo:
        world = todo.popleft()
        found = list(ways(world))
        for each in found:
            check(each)
        ahead[world] = [canonical(each) for each in found]
        for each in ahead[world]:
            if each not in seen:
                seen.add(each)
                todo.append(each)
    ended = {world for world in seen if all(each.state in states.FINAL for each in world.requests)}
    back: dict[World, list[World]] = {}
    for world, following in ahead.items():
        for each in following:
            back.setdefault(each, []).append(world)
    assert len(seen) > 10**requests
    assert {world.batch for world in seen} == {None, *states.STEPS}, "every status of a batch"
    live, todo = set(ended), deque(ended)
    while todo:
        for world in back.get(todo.popleft(), ()):
            if world not in live:
                live.add(world)
                todo.append(world)
    assert live == seen, "from everywhere there is a way to where nothing is owed"


def test_what_the_table_does_not_have_is_refused() -> None:
    for state in states.STATES:
        for what in {happens for _, happens in states.TABLE}:
            if (state, what) not in states.TABLE:
                with pytest.raises(
                    Conflict, match=f"a request that is {state} cannot be changed by '{what}'"
                ):
                    states.after(state, what)
    ends = states.FINAL - {"duplicate_of"}
    assert not [pair for pair in states.TABLE if pair[0] in ends], "what has ended stays so"
