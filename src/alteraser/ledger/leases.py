"""Who works: one at a time, known by a token that grows with every holder, so that a stale one is
refused.

A lease ends when its holder dies or stops renewing it. Time is that of the machine since it was
started, which no change of its clock moves; a lease from before a restart has ended. Where the
ledger is a server's, machines share it and the time is the server's.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, Float, cast, func, select, update

from alteraser.errors import Conflict
from alteraser.ledger.schema import leases

SECONDS = 15.0
"""That a lease lasts without being renewed"""


@dataclass(frozen=True)
class Lease:
    """The right to work, as long as nobody has a larger ``token``."""

    name: str
    token: int
    holder: str


def acquire(
    connection: Connection,
    name: str,
    *,
    seconds: float = SECONDS,
    ticks: Callable[[], float] | None = None,
    holder: str | None = None,
) -> Lease:
    """Take the lease; Conflict ``locked`` where somebody alive has it."""
    me = holder or here()
    row = connection.execute(select(leases).where(leases.c.name == name)).one_or_none()
    era, now = _time(connection, ticks)
    left = 0.0 if row is None else _left(row.until, era, now)
    if row is not None and row.holder != me and _alive(row.holder) and left > 0:
        raise Conflict(
            f"another worker ({row.holder}) has this state for {left:.0f} s more, unless it "
            "renews that; stop it first",
            code="locked",
        )
    token = 1 if row is None else row.token + 1
    values = {"token": token, "holder": me, "until": f"{era} {now + seconds:.3f}"}
    if row is None:
        connection.execute(leases.insert().values(name=name, **values))
    else:
        connection.execute(update(leases).where(leases.c.name == name).values(**values))
    return Lease(name, token, me)


def renew(
    connection: Connection,
    lease: Lease,
    *,
    seconds: float = SECONDS,
    ticks: Callable[[], float] | None = None,
) -> None:
    """Keep it; Conflict ``fenced`` where somebody else took it meanwhile."""
    check(connection, lease)
    era, now = _time(connection, ticks)
    until = f"{era} {now + seconds:.3f}"
    connection.execute(update(leases).where(leases.c.name == lease.name).values(until=until))


def release(connection: Connection, lease: Lease) -> None:
    """Give it up, if it is still held."""
    held = (leases.c.name == lease.name) & (leases.c.token == lease.token)
    connection.execute(update(leases).where(held).values(until="- 0"))


def check(connection: Connection, lease: Lease) -> None:
    """Conflict ``fenced`` unless ``lease`` is the last that was given; part of every transaction of
    a worker.
    """
    token = connection.execute(
        select(leases.c.token).where(leases.c.name == lease.name)
    ).scalar_one()
    if token != lease.token:
        raise Conflict(
            f"another worker took over (token {token}, this one has {lease.token}): nothing of "
            "this was written",
            code="fenced",
        )


def here() -> str:
    """The name of this process: host, number, and when it began, since numbers come again."""
    return f"{socket.gethostname()}:{os.getpid()}:{_began(os.getpid())}"


def _alive(holder: str) -> bool:
    """False where ``holder`` was a process of this machine that is gone; a stopped one is alive."""
    host, number, began = holder.rsplit(":", 2)
    if host != socket.gethostname():
        return True
    return _began(int(number)) == began != ""


def _began(number: int) -> str:
    try:
        fields = (
            Path(f"/proc/{number}/stat")
            .read_text(encoding="ascii", errors="replace")
            .rpartition(")")[2]
            .split()
        )
    except OSError:
        return "" if Path("/proc/self/stat").exists() else "unknown"
    return "" if fields[0] == "Z" else fields[19]


def _time(connection: Connection, ticks: Callable[[], float] | None) -> tuple[str, float]:
    """(what the time is counted from, seconds); ``ticks`` instead of the clock, if given."""
    if ticks is None and connection.dialect.name == "postgresql":
        asked = select(cast(func.extract("epoch", func.clock_timestamp()), Float))
        return "server", connection.execute(asked).scalar_one()
    return _boot(), (ticks or time.monotonic)()


def _left(until: str, era: str, now: float) -> float:
    since, _, end = until.rpartition(" ")
    return float(end) - now if since == era else 0.0


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
