"""Pages about requests: the queue, one request's life, its receipt, and the work under way."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection, func, select
from starlette.concurrency import run_in_threadpool

from alteraser.errors import AltEraserError, NotFound
from alteraser.ledger import batches, log, receipts, requests, schema, states, versions
from alteraser.ledger.keys import Key
from alteraser.service.console.common import COOKIE, ConsoleApi, form, given, page, refused
from alteraser.service.console.receipt import of_receipt

SHOWN = 50
"""Requests on a page"""
STEPS = ("planned", "scrubbed", "checked", "published", "receipted", "done")
"""Of a batch, in words that the pages have"""

ACTIONS: dict[str, tuple[str, Any, frozenset[str], str]] = {
    "verify": (
        "verify",
        requests.verify,
        frozenset({states.UNVERIFIED}),
        "Vouch for who asked",
    ),
    "reject": ("verify", requests.reject, frozenset({states.UNVERIFIED}), "Reject"),
    "hold": ("admin", requests.hold, frozenset({states.QUEUED}), "Put on legal hold"),
    "release": ("admin", requests.release, frozenset({states.HELD}), "End the hold"),
    "cancel": ("submit", requests.cancel, states.WAITING, "Cancel"),
}
"""Name → (scope, what happens, statuses in which it may, words on the button)"""


def add(app: FastAPI, api: ConsoleApi) -> None:
    """The routes."""
    _add_queue(app, api)
    _add_one(app, api)

    @app.get("/console/requests/{request_id}/receipt.json", include_in_schema=False)
    def receipt_file(request: Request, request_id: str) -> Response:
        try:
            content = api.receipt(given(request), request_id)
        except AltEraserError as error:
            return refused(error)
        named = {"Content-Disposition": f'attachment; filename="receipt-{request_id[:12]}.json"'}
        return Response(content, media_type="application/json", headers=named)

    @app.get("/console/requests/{request_id}/receipt", include_in_schema=False)
    def receipt(request: Request, request_id: str) -> Response:
        try:
            content = api.receipt(given(request), request_id)
            found = receipts.check(content, public=api.state.signer.public)
        except AltEraserError as error:
            return refused(error)
        return page("receipt.html", request_id=request_id, **of_receipt(found))


def _add_queue(app: FastAPI, api: ConsoleApi) -> None:
    def seen(request: Request, status: str | None, before: int | None) -> dict[str, Any]:
        def work(connection: Connection, key: Key) -> dict[str, Any]:
            now = api.state.clock()
            found = _page_of(connection, status, before)
            pointer = versions.serving(connection)
            return {
                "requests": [each | {"elapsed": requests.elapsed(each, now)} for each in found],
                "counted": {state: n for state, n in requests.counted(connection).items() if n},
                "earliest": requests.earliest_due(connection),
                "version": pointer.version,
                "floor": pointer.floor,
                "halted": api.state.halted,
                "final": states.FINAL,
                "status": status,
                "before": before,
                "older": found[-1]["sequence"] if len(found) == SHOWN else None,
                "work": _work(connection),
                "steps": STEPS,
            }

        known = status if status in states.STATES else None
        found: dict[str, Any] = api.read(given(request), "status", lambda c, k: work(c, k))
        return found | {"status": known}

    @app.get("/", include_in_schema=False)
    def queue(request: Request, status: str | None = None, before: int | None = None) -> Response:
        try:
            return page("queue.html", **seen(request, status, before))
        except AltEraserError:
            return page("login.html", wrong=COOKIE in request.cookies)

    @app.get("/console/live", include_in_schema=False)
    def live(request: Request, status: str | None = None, before: int | None = None) -> Response:
        """The part of the queue's page that changes by itself."""
        try:
            return page("live.html", **seen(request, status, before))
        except AltEraserError as error:
            return refused(error)


def _page_of(
    connection: Connection, status: str | None, before: int | None
) -> list[dict[str, Any]]:
    """The newest requests, with a status or any, received before a sequence or at any time."""
    query = select(schema.requests)
    if status in states.STATES:
        query = query.where(schema.requests.c.state == status)
    if before is not None:
        query = query.where(schema.requests.c.sequence < min(before, 2**62))
    found = connection.execute(query.order_by(schema.requests.c.sequence.desc()).limit(SHOWN))
    return [requests.document(row) for row in found]


def _work(connection: Connection) -> dict[str, Any] | None:
    """The batch under way: how far it is, and for how many."""
    batch = batches.current(connection)
    if batch is None:
        return None
    members = connection.execute(
        select(func.count())
        .select_from(schema.requests)
        .where(schema.requests.c.batch == batch.number)
    ).scalar_one()
    return {
        "number": batch.number,
        "state": batch.state,
        "at": STEPS.index(batch.state) if batch.state in STEPS else 0,
        "started": batch.started,
        "requests": members,
        "attempt": int(batch.plan.get("attempt", 0)) + 1,
    }


def _add_one(app: FastAPI, api: ConsoleApi) -> None:
    def seen(connection: Connection, key: Key, request_id: str) -> dict[str, Any]:
        shown = requests.document(requests.row_of(connection, request_id))
        name = shown["duplicate_of"] or request_id
        return {
            "request": shown | {"counts": shown["counts"] if key.may("receipt:read") else None},
            "events": requests.history(connection, request_id),
            "receipt": log.receipt(connection, name, api.state.signer.public) is not None,
            "final": states.FINAL,
            "actions": [
                (name, words)
                for name, (scope, _, when, words) in ACTIONS.items()
                if key.may(scope) and shown["status"] in when
            ],
        }

    def answer(request: Request, request_id: str, name: str) -> Response:
        try:
            values = api.read(given(request), "status", lambda c, k: seen(c, k, request_id))
            return page(name, **values)
        except AltEraserError as error:
            return refused(error)

    @app.get("/console/requests/{request_id}", include_in_schema=False)
    def one(request: Request, request_id: str) -> Response:
        return answer(request, request_id, "request.html")

    @app.get("/console/requests/{request_id}/life", include_in_schema=False)
    def life(request: Request, request_id: str) -> Response:
        """The part of a request's page that changes by itself."""
        return answer(request, request_id, "life.html")

    @app.post("/console/requests/{request_id}/{what}", include_in_schema=False)
    async def act(request: Request, request_id: str, what: str) -> Response:
        try:
            await form(request)
            if what not in ACTIONS:
                raise NotFound("there is no such action", code="not_found")
            scope, happens, _, _ = ACTIONS[what]
            await run_in_threadpool(api.change, given(request), scope, happens, request_id)
        except AltEraserError as error:
            return refused(error)
        return RedirectResponse(f"/console/requests/{request_id}", 303)
