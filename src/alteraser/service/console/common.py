"""What the pages share: templates, who asks, what is refused, and forms that come from here."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection

from alteraser.errors import AltEraserError, InvalidInput, RefusedByPolicy
from alteraser.ledger.keys import Key
from alteraser.service.arriving import arrived
from alteraser.service.asking import KeyedApi

if TYPE_CHECKING:
    from jinja2 import Environment

    from alteraser.service.serving import Serving

COOKIE = "alteraser_key"
LONGEST_FORM = 70_000
"""Bytes of a form, an id of 64 KiB included"""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class ConsoleApi(KeyedApi, Protocol):
    """What the pages ask of the API: what may be read and written with a key, and receipts."""

    serving: Serving

    def key(self, connection: Connection, given: str | None, scope: str) -> Key:
        """The key that was ``given``, if it may do ``scope``."""
        ...

    def change(
        self, given: str | None, scope: str, what: Callable[..., dict[str, Any]], name: str
    ) -> dict[str, Any]:
        """``what`` happens to a request."""
        ...

    def receipt(self, given: str | None, name: str) -> bytes:
        """The receipt of a request."""
        ...


@cache
def templates() -> Environment:
    """Those of the package."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("alteraser.service"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"minute": _minute, "number": _number}
    return made


def page(name: str, code: int = 200, **values: Any) -> HTMLResponse:
    """A page from its template."""
    text = templates().get_template(name).render(values)
    return HTMLResponse(text, code, {"Content-Security-Policy": POLICY})


def given(request: Request) -> str:
    """Who asks, as the API is told."""
    return f"Bearer {request.cookies.get(COOKIE, '')}"


def refused(error: AltEraserError) -> HTMLResponse:
    """The page that says no."""
    if str(error.details.get("code")) == "unauthorized":
        return page("login.html", 401, wrong=False)
    status = {"scope": 403, "origin": 403, "timeout": 408, "rate_limit": 429}
    found = status.get(str(error.details.get("code")))
    kinds = {"not_found": 404, "conflict": 409, "invalid_input": 400}
    return page("refused.html", found or kinds.get(error.kind, 503), words=error.message)


async def form(request: Request) -> dict[str, str]:
    """The fields of a form that a page of ours sent, each once; RefusedByPolicy ``origin`` for one
    that another site sent, InvalidInput for one that is too long.
    """
    site, origin = (request.headers.get(name) for name in ("sec-fetch-site", "origin"))
    here = request.headers.get("host")
    foreign = origin not in (None, "null") and urlsplit(str(origin)).netloc != here
    if site not in (None, "same-origin", "none") or (site is None and foreign):
        raise RefusedByPolicy("a form of another site is not taken", code="origin")
    body = await arrived(request, LONGEST_FORM, InvalidInput("the form is too long", code="form"))
    try:
        found = parse_qs(body.decode("ascii"), max_num_fields=50, encoding="utf-8", errors="strict")
    except ValueError:
        raise InvalidInput("the form cannot be read", code="form") from None
    return {name: " ".join(values) for name, values in found.items()}


def _minute(moment: str | None) -> str:
    """A time to the minute, or a dash."""
    return "–" if not moment else moment[:16].replace("T", " ")


def _number(value: float | int | None) -> str:
    """A figure for people."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
