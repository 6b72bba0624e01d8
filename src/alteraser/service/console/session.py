"""Logging in and out, API keys, and the files that the pages need."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from alteraser.errors import AltEraserError, InvalidInput
from alteraser.ledger import keys
from alteraser.ledger.due import moment, written
from alteraser.ledger.keys import Key
from alteraser.service.console.common import COOKIE, ConsoleApi, form, given, page, refused

HTMX = "htmx-2.0.11.min.js"
"""As htmx.org publishes it (0BSD)"""
STATIC = {"style.css": "text/css", HTMX: "text/javascript"}

OVERLAPS = {"a day": keys.OVERLAP, "a week": 7 * 24 * 3600, "no longer": 0}
"""How long the old secret of a key may still be taken, seconds"""


def add(app: FastAPI, api: ConsoleApi) -> None:
    """The routes."""
    _add_static(app)
    _add_keys(app, api)

    @app.post("/console/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        try:
            key = (await form(request)).get("key", "").strip()

            def known() -> None:
                with api.state.database.reading() as connection:
                    api.key(connection, f"Bearer {key}", "status")

            await run_in_threadpool(known)
        except AltEraserError:
            return page("login.html", 401, wrong=True)
        answer = RedirectResponse("/", 303)
        logged_in(answer, request, key)
        return answer

    @app.post("/console/logout", include_in_schema=False)
    async def logout() -> Response:
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(COOKIE)
        return answer


def logged_in(answer: Response, request: Request, key: str) -> None:
    """Have the browser show ``key`` from now on, to this site alone and to no script."""
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, key, httponly=True, samesite="strict", secure=secure)


def _add_static(app: FastAPI) -> None:
    @app.get("/console/static/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        if name not in STATIC:
            return page("refused.html", 404, words="there is no such file")
        place = files("alteraser.service").joinpath(f"templates/{name}")
        return Response(place.read_bytes(), media_type=STATIC[name])


def _add_keys(app: FastAPI, api: ConsoleApi) -> None:
    def shown(
        given: str, made: str | None = None, wrong: str | None = None, until: str | None = None
    ) -> Response:
        found = api.read(given, "admin", lambda connection, key: keys.listed(connection))
        values = {"keys": found, "scopes": keys.SCOPES, "overlaps": OVERLAPS, "until": until}
        return page("keys.html", 200 if wrong is None else 400, made=made, wrong=wrong, **values)

    @app.get("/console/keys", include_in_schema=False)
    def listed(request: Request) -> Response:
        try:
            return shown(given(request))
        except AltEraserError as error:
            return refused(error)

    @app.post("/console/keys", include_in_schema=False)
    async def make(request: Request) -> Response:
        try:
            fields = await form(request)

            def work(connection: Connection, key: Key) -> str:
                return keys.make(
                    connection,
                    api.state.clock(),
                    fields.get("scope", "").split(),
                    rate=_rate(fields.get("rate", "")),
                    expires=moment(fields["expires"], "expires") if "expires" in fields else None,
                )

            try:
                made = await run_in_threadpool(api.write, given(request), "admin", work)
            except InvalidInput as error:
                return await run_in_threadpool(shown, given(request), None, error.message)
            return await run_in_threadpool(shown, given(request), made)
        except AltEraserError as error:
            return refused(error)

    @app.post("/console/keys/{key_id}/rotate", include_in_schema=False)
    async def rotate(request: Request, key_id: str) -> Response:
        def work(connection: Connection, key: Key) -> tuple[str, str, bool]:
            made, until = keys.rotate(
                connection, key_id, api.state.clock(), overlap=_overlap(fields.get("overlap", ""))
            )
            return made, written(until), key.id == key_id

        try:
            fields = await form(request)
            made, until, own = await run_in_threadpool(api.write, given(request), "admin", work)
            mine = f"Bearer {made}" if own else given(request)
            answer = await run_in_threadpool(shown, mine, made, None, until)
        except AltEraserError as error:
            return refused(error)
        if own:  # who is logged in with it stays so
            logged_in(answer, request, made)
        return answer

    @app.post("/console/keys/{key_id}/revoke", include_in_schema=False)
    async def revoke(request: Request, key_id: str) -> Response:
        def work(connection: Connection, key: Key) -> None:
            keys.revoke(connection, key_id, api.state.clock())

        try:
            await form(request)
            await run_in_threadpool(api.write, given(request), "admin", work)
        except AltEraserError as error:
            return refused(error)
        return RedirectResponse("/console/keys", 303)


def _overlap(text: str) -> int:
    if not text.isdigit() or len(text) > 9:
        raise InvalidInput("the old key: expected seconds, 0 to end it at once", code="overlap")
    return int(text)


def _rate(text: str) -> int:
    if not text.isdigit() or len(text) > 9:
        raise InvalidInput("writes a minute: expected a whole number, 0 for any number")
    return int(text)
