"""Errors as HTTP answers: problem+json (RFC 9457) with a stable code, and nothing of what was
sent.
"""

from __future__ import annotations

import errno
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

from alteraser.errors import (
    AltEraserError,
    Conflict,
    DependencyMissing,
    IntegrityError,
    InvalidInput,
    NotFound,
    RefusedByPolicy,
    ResourceLimit,
)

CODES = {
    "key_reused": 422,
    "unauthorized": 401,
    "scope": 403,
    "rate_limit": 429,
    "media_type": 415,
    "timeout": 408,
    "halted": 503,
}
"""Status by code, where it is not that of the class"""

STATUS: tuple[tuple[type[AltEraserError], int], ...] = (
    (InvalidInput, 400),
    (NotFound, 404),
    (Conflict, 409),
    (RefusedByPolicy, 403),
    (ResourceLimit, 507),
    (DependencyMissing, 503),
    (IntegrityError, 503),
)

LARGE = frozenset({"body_too_large", "too_many_ids", "too_many_rows", "string_too_long"})


OF_THE_DISK = frozenset(
    {errno.EIO, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.ENODEV, errno.ENXIO}
)
"""What the system says where a disk, or what is mounted in its place, fails"""


class ProblemDetails(JSONResponse):
    """application/problem+json."""

    media_type = "application/problem+json"


def problem(error: AltEraserError) -> ProblemDetails:
    """The answer that ``error`` is."""
    code = error.code
    status = CODES.get(code) or (413 if code in LARGE else _status(error))
    shown = {
        name: error.details[name] for name in ("version_floor", "floor") if name in error.details
    }
    headers = {}
    if (wait := error.details.get("retry_after")) is not None:
        headers["Retry-After"] = str(wait)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.details.get("close"):
        headers["Connection"] = "close"
    if status >= 500:
        headers.setdefault("Retry-After", "5")
    return answer(status, code, error.message if status < 500 else _calm(status), headers, **shown)


def answer(
    status: int, code: str, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> ProblemDetails:
    """A problem by its parts."""
    title = HTTPStatus(status).phrase
    document = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        **more,
    }
    return ProblemDetails(document, status, headers)


def _status(error: AltEraserError) -> int:
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def _calm(status: int) -> str:
    words = {
        503: "the service cannot do this now; nothing of the request was taken in",
        507: "the disk is full; nothing of the request was taken in",
    }
    return words.get(status, "an error of the service; nothing of the request was taken in")
