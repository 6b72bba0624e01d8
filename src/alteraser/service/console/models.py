"""Pages about the model: its versions, what changed between two, and the lists of an account."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from fastapi import FastAPI, Request, Response
from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool

from alteraser.engines.store.version import Version
from alteraser.errors import AltEraserError, InvalidInput, NotFound
from alteraser.ledger import batches, schema, versions
from alteraser.ledger.keys import Key
from alteraser.service.console.common import ConsoleApi, form, given, page, refused


def add(app: FastAPI, api: ConsoleApi) -> None:
    """The routes."""

    @app.get("/console/versions", include_in_schema=False)
    def all_versions(request: Request) -> Response:
        def work(connection: Connection, key: Key) -> dict[str, Any]:
            found = versions.listed(connection)[::-1]
            return {"versions": found, "floor": versions.serving(connection).floor}

        try:
            return page("versions.html", **api.read(given(request), "model:read", work))
        except AltEraserError as error:
            return refused(error)

    @app.get("/console/versions/{version}", include_in_schema=False)
    def one(request: Request, version: str) -> Response:
        def work(connection: Connection, key: Key) -> dict[str, Any]:
            return _between(connection, version)

        try:
            values = api.read(given(request), "model:read", work)
            served = api.serving.current() if values["after"]["serving"] else None
            return page("version.html", **values, changed=None if served is None else _size(served))
        except AltEraserError as error:
            return refused(error)

    @app.get("/console/account", include_in_schema=False)
    def ask(request: Request) -> Response:
        try:
            api.read(given(request), "admin", lambda connection, key: None)
            return page("account.html", account=None, wrong=None)
        except AltEraserError as error:
            return refused(error)

    @app.post("/console/account", include_in_schema=False)
    async def account(request: Request) -> Response:
        """By a form, so that no address and no log of addresses has the id."""
        try:
            user = (await form(request)).get("user", "")

            def work() -> dict[str, Any]:
                api.read(given(request), "admin", lambda connection, key: None)
                return _lists(api, user)

            try:
                return page("account.html", account=await run_in_threadpool(work), wrong=None)
            except (NotFound, InvalidInput) as error:
                return page("account.html", 404, account=None, wrong=error.message)
        except AltEraserError as error:
            return refused(error)


def _between(connection: Connection, version: str) -> dict[str, Any]:
    """A version, the one before it, and the batch that lies between them."""
    found = {each["version"]: each for each in versions.listed(connection)}
    if version not in found:
        raise NotFound("there is no such version", code="version")
    after = found[version]
    number = connection.execute(
        select(schema.batches.c.number).where(schema.batches.c.number == (after["batch"] or -1))
    ).scalar_one_or_none()
    batch = None if number is None else batches.row_of(connection, number)
    before = found.get(after["parent"])
    sources = [{} if x is None else x["data"].get("sources", {}) for x in (before, after)]
    return {
        "after": after,
        "before": before,
        "batch": batch,
        "sources": [
            (name, *(each.get(name, {"rows": 0})["rows"] for each in sources))
            for name in dict.fromkeys([*sources[0], *sources[1]])
        ],
    }


def _size(version: Version) -> dict[str, int | None] | None:
    """How many lists and rows the version changed; None where nobody looked."""
    found = version.content.changes
    if found is None or not found.depth:
        return None
    users, moved = found.users(found.depth - 1), found.moved(found.depth - 1)
    return {
        "lists": None if users is None else len(users),
        "users": None if moved is None else len(moved[0]),
        "items": None if moved is None else len(moved[1]),
        "of": version.document["data"]["users"],
        "of_items": version.document["data"]["items"],
    }


def _lists(api: ConsoleApi, user: str) -> dict[str, Any]:
    """The served list of an account and, where the served version changed it, the one before."""
    served, version = api.serving.recommend(user, 10), api.serving.current()
    changes = version.content.changes if version.id == served["version"] else None
    found: dict[str, Any] = {
        "user": served["user_id"],
        "version": served["version"],
        "after": [each["item_id"] for each in served["items"]],
        "before": None,
        "known": changes is not None and changes.depth > 0,
    }
    if changes is not None:
        name = pa.scalar(served["user_id"], version.model.users.ids.type)
        here = pc.equal(changes.lists["user_id"], name)
        rows = changes.lists.filter(here).to_pylist()
        found["before"] = rows[0]["before"] if rows else None
    if found["before"] is not None:  # what is to be forgotten is not shown as what was there before
        with api.state.database.reading() as connection:
            look = api.serving.look(connection, user)
        if look is None or look.parts or look.groups:
            return found | {"before": None, "known": False}
        found["before"] = [each for each in found["before"] if each not in look.items]
    return found
