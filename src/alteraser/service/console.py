"""The console: pages written on the server, without scripts. What a request names is never shown on
them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import Connection

from alteraser.errors import AltEraserError
from alteraser.ledger import log, requests, states, versions
from alteraser.ledger.keys import Key

if TYPE_CHECKING:
    from jinja2 import Environment

    from alteraser.service.state import State

COOKIE = "alteraser_key"
SHOWN = 50
"""Requests on the first page"""


class Api(Protocol):
    """What the pages ask of the API: what may be read with a key, and receipts."""

    state: State

    def key(self, connection: Connection, given: str | None, scope: str) -> Key:
        """The key that was ``given``, if it may do ``scope``."""
        ...

    def read(self, given: str | None, scope: str, work: Callable[[Connection, Key], Any]) -> Any:
        """``work`` in a snapshot, for a key with ``scope``."""
        ...

    def receipt(self, given: str | None, name: str) -> bytes:
        """The receipt of a request."""
        ...


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("alteraser.service"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page from its template."""
    return HTMLResponse(_templates().get_template(name).render(values), status)


def add(app: FastAPI, api: Api) -> None:
    """The console's routes; they are no part of the API's description."""
    _add_session(app, api)

    def given(request: Request) -> str:
        return f"Bearer {request.cookies.get(COOKIE, '')}"

    @app.get("/", include_in_schema=False)
    def queue(request: Request) -> Response:
        def work(connection: Connection, key: Key) -> dict[str, Any]:
            now = api.state.clock()
            found = requests.listed(connection, newest=True, limit=SHOWN)
            pointer = versions.serving(connection)
            return {
                "requests": [each | {"elapsed": requests.elapsed(each, now)} for each in found],
                "counted": {state: n for state, n in requests.counted(connection).items() if n},
                "earliest": requests.earliest_due(connection),
                "version": pointer.version,
                "floor": pointer.floor,
                "halted": api.state.halted,
                "final": states.FINAL,
            }

        try:
            return page("queue.html", **api.read(given(request), "status", work))
        except AltEraserError:
            return page("login.html", wrong=COOKIE in request.cookies)

    @app.get("/console/requests/{request_id}", include_in_schema=False)
    def one(request: Request, request_id: str) -> Response:
        def work(connection: Connection, key: Key) -> dict[str, Any]:
            shown = requests.document(requests.row_of(connection, request_id))
            name = shown["duplicate_of"] or request_id
            counts = shown["counts"] if key.may("receipt:read") else None
            return {
                "request": shown | {"counts": counts},
                "events": requests.history(connection, request_id),
                "receipt": log.receipt(connection, name, api.state.signer.public) is not None,
            }

        try:
            return page("request.html", **api.read(given(request), "status", work))
        except AltEraserError as error:
            return _refused(error)

    @app.get("/console/versions", include_in_schema=False)
    def all_versions(request: Request) -> Response:
        def work(connection: Connection, key: Key) -> dict[str, Any]:
            return {
                "versions": versions.listed(connection)[::-1],
                "floor": versions.serving(connection).floor,
            }

        try:
            return page("versions.html", **api.read(given(request), "model:read", work))
        except AltEraserError as error:
            return _refused(error)

    @app.get("/console/requests/{request_id}/receipt", include_in_schema=False)
    def receipt(request: Request, request_id: str) -> Response:
        try:
            content = api.receipt(given(request), request_id)
        except AltEraserError as error:
            return _refused(error)
        named = {"Content-Disposition": f'attachment; filename="receipt-{request_id[:12]}.json"'}
        return Response(content, media_type="application/json", headers=named)

    @app.get("/console/style.css", include_in_schema=False)
    def style() -> Response:
        return Response(
            files("alteraser.service").joinpath("templates/style.css").read_bytes(),
            media_type="text/css",
        )


def _refused(error: AltEraserError) -> HTMLResponse:
    status = {"unauthorized": 401, "scope": 403}.get(str(error.details.get("code")), 404)
    return page("refused.html", status, words=error.message)


def _add_session(app: FastAPI, api: Api) -> None:
    @app.post("/console/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > 1000:
                return page("login.html", 413, wrong=True)
        key = parse_qs(body.decode("ascii", "replace")).get("key", [""])[0].strip()
        try:
            with api.state.database.reading() as connection:
                api.key(connection, f"Bearer {key}", "status")
        except AltEraserError:
            return page("login.html", 401, wrong=True)
        answer = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, key, httponly=True, samesite="strict", secure=secure)
        return answer

    @app.post("/console/logout", include_in_schema=False)
    async def logout() -> Response:
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(COOKIE)
        return answer
