"""Bodies as they arrive: no longer than is allowed, and in time."""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from alteraser.errors import AltEraserError, DependencyMissing, InvalidInput
from alteraser.ledger import bodies

READING = 10.0
"""Seconds that a body may take to arrive"""


async def arrived(request: Request, limit: int, too_long: AltEraserError) -> bytes:
    """The body; ``too_long`` for one of more than ``limit`` bytes, InvalidInput for one that does
    not arrive in time, or whose sender went away, DependencyMissing where the service is stopped
    meanwhile.
    """
    found = bytearray()

    async def arrives() -> None:
        async for part in request.stream():
            found.extend(part)
            if len(found) > limit:
                raise too_long

    try:
        await asyncio.wait_for(arrives(), READING)
    except (TimeoutError, ClientDisconnect):  # in the second case nobody hears it
        raise InvalidInput("the body did not arrive in time", code="timeout", close=True) from None
    except asyncio.CancelledError:  # by the server, which waits no longer
        raise DependencyMissing("the service is stopped", code="stopping", close=True) from None
    return bytes(found)


async def content_of(request: Request, limit: int, expected: str = "application/json") -> bytes:
    """The body, as long as it is ``expected``, no longer than ``limit`` and arrives in time."""
    said = request.headers.get("content-length", "")
    length = int(said) if said.isdigit() and len(said) < 20 else None
    if (length or 0) > limit or (length is None and said):
        raise bodies.too_large(limit, length)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise InvalidInput("bodies are not compressed here", code="media_type")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != expected:
        raise InvalidInput(f"expected Content-Type: {expected}", code="media_type")
    return await arrived(request, limit, bodies.too_large(limit, length))
