"""Webhooks over HTTP: who is told of every change of every request."""

from __future__ import annotations

import base64
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from alteraser.errors import InvalidInput
from alteraser.ledger import bodies, subscriptions
from alteraser.ledger.keys import Key
from alteraser.service.arriving import content_of
from alteraser.service.asking import OutboundApi
from alteraser.service.relay import WEBHOOK, webhook_secret


def add(app: FastAPI, api: OutboundApi) -> None:
    """The routes."""

    @app.get("/v1/webhooks", tags=["webhooks"])
    def listed(request: Request) -> Any:
        """Who is told, up to which event, and who does not answer."""

        def work(connection: Connection, key: Key) -> Any:
            return {"webhooks": subscriptions.listed(connection, WEBHOOK)}

        return api.read(request.headers.get("authorization"), "admin", work)

    @app.post("/v1/webhooks", status_code=201, tags=["webhooks"])
    async def make(request: Request) -> JSONResponse:
        """Tell an address of every change from here on. Its secret is shown this once."""
        given = request.headers.get("authorization")
        await run_in_threadpool(api.read, given, "admin", lambda connection, key: None)
        body = bodies.parse(await content_of(request, bodies.BODY))
        if not isinstance(body, dict) or body.keys() != {"url"}:
            raise InvalidInput("expected url", code="unknown_field")
        url = api.hosts.checked(body["url"])

        def work(connection: Connection, key: Key) -> dict[str, Any]:
            name = subscriptions.subscribe(connection, WEBHOOK, url, api.state.clock())
            secret = webhook_secret(api.state.hashing, name)
            shown = "whsec_" + base64.b64encode(secret).decode()
            return {"id": name, "url": url, "secret": shown}

        return JSONResponse(await run_in_threadpool(api.write, given, "admin", work), 201)

    @app.delete("/v1/webhooks/{webhook_id}", status_code=204, tags=["webhooks"])
    def cancel(request: Request, webhook_id: str) -> Response:
        """Tell it no more."""

        def work(connection: Connection, key: Key) -> None:
            subscriptions.cancel(connection, webhook_id, WEBHOOK, api.state.clock())

        api.write(request.headers.get("authorization"), "admin", work)
        return Response(status_code=204)

    @app.post("/v1/webhooks/{webhook_id}/resume", status_code=204, tags=["webhooks"])
    def resume(request: Request, webhook_id: str) -> Response:
        """Go on from where it was with one that was given up, or is waited for."""

        def work(connection: Connection, key: Key) -> None:
            subscriptions.resume(connection, webhook_id, WEBHOOK, api.state.clock())

        api.write(request.headers.get("authorization"), "admin", work)
        return Response(status_code=204)
