"""API keys: shown once, kept as digests, with scopes and a limit of writes a minute.

alt_ID_SECRET       ID 16 and SECRET 64 hexadecimal digits; what is stored is SHA-256(SECRET), found
by ID
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, update

from alteraser.errors import InvalidInput, NotFound
from alteraser.ledger.due import written
from alteraser.ledger.schema import keys, retired, writes

SCOPES = (
    "submit",
    "verify",
    "status",
    "receipt:read",
    "ingest",
    "recommend",
    "model:read",
    "admin",
)
"""What a key may do; ``admin`` may do all of it, and make keys"""
AGENT = "agent"
"""What a token of the Data Rights Protocol may do, and nothing else; pairing alone makes these, as
a key must have the agent's name to be of any use
"""

WRITES_A_MINUTE = 60
OVERLAP = 24 * 3600
"""Seconds for which the old secret of a key is still taken where nothing else is said"""
LONGEST_OVERLAP = 90 * 24 * 3600
PREFIX = "alt"
NOBODY = hashlib.sha256(b"").hexdigest()
"""Compared with where there is no such key, so that a wrong id takes as long as a wrong secret"""


_FOUND = select(keys).where(keys.c.id == bindparam("name"))
_RETIRED = select(retired.c.digest).where(
    retired.c.key_id == bindparam("name"), retired.c.until > bindparam("now")
)


@dataclass(frozen=True)
class Key:
    """Who asks."""

    id: str
    scopes: frozenset[str]
    rate: int
    """Writes a minute; 0: any number"""

    def may(self, scope: str) -> bool:
        """Whether it has ``scope``."""
        return scope in self.scopes or "admin" in self.scopes


def make(
    connection: Connection,
    now: datetime,
    scopes: Iterable[str],
    *,
    rate: int = WRITES_A_MINUTE,
    expires: datetime | None = None,
) -> str:
    """A new key, as it is shown this once; InvalidInput for an unknown scope, a negative rate or a
    time that is over.
    """
    wanted = tuple(dict.fromkeys(scopes))
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown or not wanted:
        raise InvalidInput(
            f"scopes: {', '.join(unknown) or 'none given'}; expected some of {', '.join(SCOPES)}"
        )
    if expires is not None and expires < now:
        raise InvalidInput(f"expires {written(expires)}: that is over already", code="expires")
    if rate < 0:
        raise InvalidInput(f"rate limit {rate}: expected writes a minute, or 0 for any number")
    return _added(connection, now, secrets.token_hex(8), wanted, rate, expires)


def make_token(connection: Connection, now: datetime, name: str) -> str:
    """``make`` for the scope ``AGENT``, of a key called ``name``: 16 hexadecimal digits."""
    return _added(connection, now, name, (AGENT,), WRITES_A_MINUTE, None)


def _added(
    connection: Connection,
    now: datetime,
    name: str,
    wanted: tuple[str, ...],
    rate: int,
    expires: datetime | None,
) -> str:
    secret = secrets.token_hex(32)
    connection.execute(
        keys.insert().values(
            id=name,
            digest=_digest(secret),
            scopes=json.dumps(wanted),
            rate=rate,
            made=written(now),
            expires=None if expires is None else written(expires),
        )
    )
    return f"{PREFIX}_{name}_{secret}"


def find(connection: Connection, given: str, now: datetime) -> Key | None:
    """The key that was ``given``; None for one that is unknown, wrong, expired or revoked: nobody
    is told which.
    """
    parts = given.split("_")
    name, secret = (parts[1], parts[2]) if len(parts) == 3 and parts[0] == PREFIX else ("", "")
    row = connection.execute(_FOUND, {"name": name}).one_or_none()
    digest = _digest(secret)
    same = hmac.compare_digest(digest, NOBODY if row is None else row.digest)
    if not same:  # asked of an unknown id too: it takes as long as a wrong secret
        for old in connection.execute(_RETIRED, {"name": name, "now": written(now)}).scalars():
            same |= hmac.compare_digest(digest, old)
    if row is None or not same or row.revoked is not None or _over(row, now):
        return None
    return Key(row.id, frozenset(json.loads(row.scopes)), row.rate)


def revoke(connection: Connection, name: str, now: datetime) -> None:
    """End a key; NotFound where there is none of that id."""
    found = connection.execute(
        update(keys).where(keys.c.id == name, keys.c.revoked.is_(None)).values(revoked=written(now))
    )
    if not found.rowcount:
        raise NotFound(f"there is no key {name!r} that could be revoked")


def rotate(
    connection: Connection, name: str, now: datetime, *, overlap: int = OVERLAP
) -> tuple[str, datetime]:
    """A new secret for the key ``name``, which stays the same key: its scopes, limit, expiry, and
    what it sent. (the key as it is shown this once, until when the old secret is still taken).

    ``overlap``: seconds, 0 for none: every older secret ends at once. Raises NotFound for a key
    that is not there, revoked or past its time, InvalidInput.
    """
    if not 0 <= overlap <= LONGEST_OVERLAP:
        raise InvalidInput(
            f"overlap {overlap}: expected 0 to {LONGEST_OVERLAP:,} seconds", code="overlap"
        )
    row = connection.execute(_FOUND, {"name": name}).one_or_none()
    if row is None or row.revoked is not None or _over(row, now):
        raise NotFound("there is no such key that could be rotated", code="key")
    secret, until = secrets.token_hex(32), now + timedelta(seconds=overlap)
    mine = retired.c.key_id == name
    ended = mine if overlap == 0 else mine & (retired.c.until <= written(now))
    connection.execute(delete(retired).where(ended))
    connection.execute(
        update(retired).where(mine, retired.c.until > written(until)).values(until=written(until))
    )
    if overlap:
        connection.execute(
            retired.insert().values(key_id=name, digest=row.digest, until=written(until))
        )
    connection.execute(update(keys).where(keys.c.id == name).values(digest=_digest(secret)))
    return f"{PREFIX}_{name}_{secret}", until


def listed(connection: Connection) -> list[dict[str, object]]:
    """Every key without what it is."""
    return [
        {
            "id": row.id,
            "scopes": json.loads(row.scopes),
            "rate_limit": row.rate,
            "made": row.made,
            "expires": row.expires,
            "revoked": row.revoked,
        }
        for row in connection.execute(select(keys).order_by(keys.c.made, keys.c.id))
    ]


def admit_write(connection: Connection, key: Key, now: datetime) -> int:
    """Count a write of ``key``; returns the seconds to wait where it had its share of this minute,
    else 0.
    """
    if key.rate == 0:
        return 0
    minute = int(now.timestamp() // 60)
    row = connection.execute(select(writes).where(writes.c.key_id == key.id)).one_or_none()
    count = 1 if row is None or row.minute != minute else row.number + 1
    if count > key.rate:
        return max(1, 60 - int(now.timestamp() % 60))
    if row is None:
        connection.execute(writes.insert().values(key_id=key.id, minute=minute, number=1))
    else:
        connection.execute(
            update(writes).where(writes.c.key_id == key.id).values(minute=minute, number=count)
        )
    return 0


def _over(row: Row[Any], now: datetime) -> bool:
    return row.expires is not None and row.expires <= written(now)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
