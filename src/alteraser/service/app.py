"""HTTP: requests in, receipts out. Every answer to a write comes after it is durable."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import alteraser
from alteraser.data.side.spec import words_of
from alteraser.errors import (
    AltEraserError,
    DependencyMissing,
    IntegrityError,
    InvalidInput,
    NotFound,
    ResourceLimit,
)
from alteraser.ledger import bodies, keys, log, requests, states, versions
from alteraser.ledger.asked import Asked, asked
from alteraser.ledger.due import due, moment, written
from alteraser.ledger.keys import Key
from alteraser.service import console, drp, erasing, metrics, openapi, opendsr, tracing, webhooks
from alteraser.service.arriving import content_of
from alteraser.service.ingest import from_body, ingest
from alteraser.service.outside import Outside
from alteraser.service.problems import OF_THE_DISK, ProblemDetails, answer, problem
from alteraser.service.serving import Serving, for_somebody
from alteraser.service.state import State, added_rows

T = TypeVar("T")

MOMENT = 1.0
"""Seconds for which a key that was looked up need not be looked up before a body is read"""
SHORT = 16 * 2**10
"""Bytes of a body that is read without a thread of its own"""
SEEN = 1000
"""Keys that are remembered for that"""
LONGEST_NAME = 255
PAGE = 1000
"""Requests in a page"""
OURS = frozenset({"requests", "model", "keys", "webhooks"})
"""Tags of what is our own protocol, not somebody else's and not a probe's"""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
}


class Denied(AltEraserError):
    """Without a key that may do it."""


class Api:
    """What the routes share: a state, what it serves, and whether somebody works on it."""

    def __init__(
        self,
        state: State,
        serving: Serving,
        ready: Callable[[], str | None],
        outside: Outside | None = None,
    ) -> None:
        self.state, self.serving, self.ready = state, serving, ready
        self._seen: dict[bytes, float] = {}
        self.outside = outside or Outside()
        self.hosts = self.outside.hosts

    # ------------------------------------------------------------------ who asks

    def key(self, connection: Connection, given: str | None, scope: str) -> Key:
        """The key in an Authorization header or a cookie, if it may do ``scope``; Denied."""
        kind, _, text = (given or "").partition(" ")
        found = keys.find(
            connection, text.strip() if kind.lower() == "bearer" else "", self.state.clock()
        )
        if found is None:
            raise Denied(
                "a valid API key is needed: Authorization: Bearer KEY", code="unauthorized"
            )
        if not found.may(scope):
            raise Denied(f"the key may not do this; it needs the scope {scope}", code="scope")
        return found

    async def admitted(self, given: str | None, scope: str) -> None:
        """Denied before a body is read whose sender may not write it. Who was seen to a moment ago
        is not looked up again: what is done with the body looks for itself.
        """
        now, seen = time.monotonic(), hashlib.sha256(f"{scope} {given}".encode()).digest()
        if self._seen.get(seen, 0.0) > now:
            return
        await self.looked(given, scope, lambda connection, key: None)
        if len(self._seen) >= SEEN:
            self._seen.clear()
        self._seen[seen] = now + MOMENT

    def read(self, given: str | None, scope: str, work: Callable[[Connection, Key], Any]) -> Any:
        """``work`` in a snapshot, for a key with ``scope``."""
        with self.state.database.reading() as connection:
            return work(connection, self.key(connection, given, scope))

    async def looked(
        self, given: str | None, scope: str, work: Callable[[Connection, Key], Any]
    ) -> Any:
        """``read`` of little: here, where that takes less than handing it to a thread."""
        if self.state.database.near:
            return self.read(given, scope, work)
        return await run_in_threadpool(self.read, given, scope, work)

    def write(self, given: str | None, scope: str, work: Callable[[Connection, Key], Any]) -> Any:
        """``work`` in a transaction, durable when this returns, for a key with ``scope`` that has
        writes left.
        """
        with self._kept():
            return self.state.database.together(self._admitting(given, scope, work))

    async def written(
        self, given: str | None, scope: str, work: Callable[[Connection, Key], Any]
    ) -> Any:
        """``write``, without a thread that waits meanwhile."""
        with self._kept():
            queued = self.state.database.queued(self._admitting(given, scope, work))
            return await asyncio.wrap_future(queued)

    def _admitting(
        self, given: str | None, scope: str, work: Callable[[Connection, Key], Any]
    ) -> Callable[[Connection], Any]:
        def whole(connection: Connection) -> Any:
            key = self.key(connection, given, scope)
            wait = keys.admit_write(connection, key, self.state.clock())
            if wait:
                raise ResourceLimit(
                    "the key had its writes of this minute", code="rate_limit", retry_after=wait
                )
            return work(connection, key)

        return whole

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Halted once a disk does not keep what it is given: nothing more is promised."""
        if self.state.halted is not None:
            raise DependencyMissing("the service has stopped taking requests in", code="halted")
        try:
            yield
        except OSError as error:
            self.state.halted = type(error).__name__
            raise DependencyMissing(
                "the service has stopped taking requests in", code="halted"
            ) from error

    # ------------------------------------------------------------------ what is done

    async def submit(
        self, given: str | None, name: str | None, content: bytes
    ) -> tuple[dict[str, Any], bool]:
        """Take a request in; (its document, whether it was there)."""
        wanted, sent = await _aside(self._wanted, content)
        if not name or len(name) > LONGEST_NAME:
            raise InvalidInput(
                f"a write needs the header Idempotency-Key, 1 to {LONGEST_NAME} characters that "
                "you choose and send again where you had no answer",
                code="key_required",
            )

        def work(connection: Connection, key: Key) -> Any:
            sender = requests.Sender(key.id, name, sent, key.may("verify"))
            return requests.submit(
                connection, wanted, sender, secret=self.state.hashing, now=self.state.clock()
            )

        found: tuple[dict[str, Any], bool] = await self.written(given, "submit", work)
        self.state.wake.set()
        return found

    def _wanted(self, content: bytes) -> tuple[Asked, bytes]:
        """The request in a body, and what is compared with a repetition's."""
        body = bodies.parse(content)
        sent = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        return asked(body, self.state.declared), sent

    def dry_run(self, given: str | None, content: bytes) -> dict[str, Any]:
        """What a request would come to; nothing is taken in."""
        self.read(given, "submit", lambda connection, key: None)
        self.read(given, "receipt:read", lambda connection, key: None)
        wanted, _ = self._wanted(content)
        version = self.serving.current()
        with self.state.database.reading() as connection:
            waiting = [row.file for row in metrics.waiting(connection)]
        whole = erasing.learned(version.held, added_rows(self.state, version, waiting))
        found = erasing.find(whole, [wanted])
        erasing.check_left(whole, found.gone)
        now = self.state.clock()
        end = due(now, wanted.regulation, wanted.due)
        return {
            "dry_run": True,
            "kind": wanted.kind,
            "counts": found.counts[0],
            "due": written(end),
            "version": version.id,
        }

    def change(
        self, given: str | None, scope: str, what: Callable[..., dict[str, Any]], name: str
    ) -> dict[str, Any]:
        """``what`` happens to a request."""
        found: dict[str, Any] = self.write(
            given,
            scope,
            lambda connection, key: _shown(what(connection, name, self.state.clock()), key),
        )
        self.state.wake.set()
        return found

    def receipt(self, given: str | None, name: str) -> bytes:
        """The receipt of a request, or of the one that it repeats; NotFound where there is none
        yet.
        """

        def work(connection: Connection, key: Key) -> bytes:
            row = requests.row_of(connection, name)
            found = log.receipt(connection, row.points_to or row.id, self.state.signer.public)
            if found is None:
                raise NotFound(
                    f"the request is {row.state}: there is no receipt yet", code="no_receipt"
                )
            return found

        content: bytes = self.read(given, "receipt:read", work)
        return content


def _shown(document: dict[str, Any], key: Key, *, salt: bool = False) -> dict[str, Any]:
    """``document`` as far as ``key`` may see it: counts tell how much somebody had."""
    hidden = {"counts"} if not key.may("receipt:read") else set()
    if not salt:
        hidden |= {"salt"}
    return {name: value for name, value in document.items() if name not in hidden}


def _only(request: Request, name: str) -> str | None:
    """The header ``name``; InvalidInput where it is there twice, and nobody knows which counts."""
    found = request.headers.getlist(name)
    if len(found) > 1:
        raise InvalidInput(f"the header {name} is there more than once", code="key_required")
    return found[0] if found else None


async def _aside(work: Callable[[bytes], T], content: bytes) -> T:
    """``work`` on ``content``: here where that is short, else in a thread, so that nobody waits for
    it.
    """
    return work(content) if len(content) <= SHORT else await run_in_threadpool(work, content)


class _Id(PathConvertor):
    """All that is left of an address, slashes and ends of lines included, which ``path`` leaves
    out: without, the list of who is called "ann" and a line feed would be ann's.
    """

    regex = "(?s:.*)"


def make_app(api: Api) -> FastAPI:
    """The application of ``api``."""
    register_url_convertor("id", _Id())
    app = FastAPI(
        title="AltEraser",
        version=alteraser.__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # who does not follow would take a 307 for a yes
        description="Erasure requests in, receipts out.",
    )
    app.router.route_class = _Strict
    _add_errors(app, api.state)
    _add_requests(app, api)
    _add_models(app, api)
    _add_operation(app, api)
    webhooks.add(app, api)
    if api.outside.processor is not None:
        opendsr.add(app, api, api.outside.processor)
    if api.outside.network is not None:
        drp.add(app, api, api.outside.network)
    console.add(app, api)
    openapi.describe(app)
    return app


class _Strict(APIRoute):
    """Of our own protocol, a parameter in the address that is not known or there twice is refused:
    who writes ``dryrun=1`` must not have asked for an erasure.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle, known = super().get_route_handler(), {x.alias for x in self.dependant.query_params}
        if not OURS.intersection(self.tags):
            return handle

        async def strict(request: Request) -> Response:
            names = [name for name, _ in request.query_params.multi_items()]
            if not known.issuperset(names) or len(set(names)) < len(names):
                there = ", ".join(sorted(known)) or "none"
                raise InvalidInput(
                    f"parameters here are, each once: {there}; others are not known",
                    code="parameter",
                )
            return await handle(request)

        return strict


def _add_errors(app: FastAPI, state: State) -> None:
    @app.exception_handler(AltEraserError)
    async def ours(request: Request, error: AltEraserError) -> ProblemDetails:
        if isinstance(error, IntegrityError) and error.details.get("code") == "ledger":
            state.halted = error.kind  # nothing is added to a ledger that is damaged
        return problem(error)

    @app.exception_handler(OSError)
    async def system(request: Request, error: OSError) -> ProblemDetails:
        if error.errno not in OF_THE_DISK:
            raise error
        state.halted = type(error).__name__  # what cannot be read is not written to either
        return problem(DependencyMissing("the disk cannot be read", code="halted"))

    @app.exception_handler(HTTPException)
    async def theirs(request: Request, error: HTTPException) -> ProblemDetails:
        code = {404: "not_found", 405: "method"}.get(error.status_code, "http")
        return answer(error.status_code, code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> ProblemDetails:
        where = ", ".join(sorted({str(each["loc"][-1]) for each in error.errors()}))
        return answer(400, "parameter", f"{where}: not of the right type")

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> ProblemDetails:
        closed = {"Connection": "close"}  # the server closes it: nobody is to send more through it
        return answer(500, "error", "an error of the service", closed)

    app.add_middleware(_WithHeaders)
    app.add_middleware(tracing.Traced)


_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class _WithHeaders:
    """Adds ``HEADERS`` to every answer that has none of the name, and an answer where there would
    be none.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                mine = message["headers"]
                there = {name.lower() for name, _ in mine}
                more = [each for each in _HEADERS if each[0] not in there]
                message = {**message, "headers": [*mine, *more]}
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # the answer to GET, of which the server sends no body
            scope = {**scope, "method": "GET"}
        try:
            await self._app(scope, receive, sent)
        except asyncio.CancelledError:  # by the server, which is stopped and waits no longer
            if begun:
                raise
            words = "the service was stopped meanwhile; ask for the state of things"
            await answer(500, "stopped", words, {"Connection": "close"})(scope, receive, sent)


def _add_requests(app: FastAPI, api: Api) -> None:
    @app.post("/v1/requests", status_code=202, tags=["requests"])
    async def submit(request: Request, dry_run: bool = False) -> JSONResponse:
        """Take an erasure request in. 202 once it is durable; 200 where it was there already, and
        for a dry run.
        """
        given = request.headers.get("authorization")
        await api.admitted(given, "submit")
        content = await content_of(request, bodies.BODY)
        if dry_run:
            return JSONResponse(await run_in_threadpool(api.dry_run, given, content))
        name = _only(request, "idempotency-key")
        document, repeated = await api.submit(given, name, content)
        place = {"Location": f"/v1/requests/{document['request_id']}"}
        return JSONResponse(_without_counts(document), 200 if repeated else 202, place)

    @app.get("/v1/requests", tags=["requests"])
    def listed(
        request: Request, status: str | None = None, after: int = 0, limit: int = 100
    ) -> Any:
        """Requests in the order they were received."""
        if not 1 <= limit <= PAGE or not 0 <= after < 2**62:
            raise InvalidInput(f"limit: expected 1 to {PAGE}; after: a sequence", code="parameter")
        if status is not None and status not in states.STATES:
            words = f"status: expected one of {', '.join(states.STATES)}"
            raise InvalidInput(words, code="parameter")

        def work(connection: Connection, key: Key) -> Any:
            found = requests.listed(connection, state=status, after=after, limit=limit)
            following = found[-1]["sequence"] if len(found) == limit else None
            return {"requests": [_shown(each, key) for each in found], "next": following}

        return api.read(request.headers.get("authorization"), "status", work)

    @app.get("/v1/requests/{request_id}", tags=["requests"])
    def status(request: Request, request_id: str) -> Any:
        """One request, with what happened to it."""

        def work(connection: Connection, key: Key) -> Any:
            shown = _shown(requests.document(requests.row_of(connection, request_id)), key)
            share = requests.elapsed(shown, api.state.clock())
            return shown | {
                "period_elapsed": round(max(share, 0.0), 4),
                "events": requests.history(connection, request_id),
            }

        return api.read(request.headers.get("authorization"), "status", work)

    @app.delete("/v1/requests/{request_id}", tags=["requests"])
    def cancel(request: Request, request_id: str) -> Any:
        """Cancel a request on which no work was begun."""
        return api.change(
            request.headers.get("authorization"), "submit", requests.cancel, request_id
        )

    @app.get("/v1/requests/{request_id}/receipt", tags=["requests"])
    def receipt(request: Request, request_id: str) -> Response:
        """The signed receipt, as ``alteraser receipt verify`` takes it."""
        content = api.receipt(request.headers.get("authorization"), request_id)
        named = {"Content-Disposition": f'attachment; filename="receipt-{request_id[:12]}.json"'}
        return Response(content, media_type="application/json", headers=named)

    for name, scope, what, words in (
        (
            "verify",
            "verify",
            requests.verify,
            "Vouch for who asked: an unverified request goes into the queue.",
        ),
        ("reject", "verify", requests.reject, "End an unverified request."),
        (
            "hold",
            "admin",
            requests.hold,
            "Put a legal hold on a request: nothing is done until it is released.",
        ),
        ("release", "admin", requests.release, "End a legal hold."),
    ):
        _add_change(app, api, name, scope, what, words)


def _add_change(
    app: FastAPI, api: Api, name: str, scope: str, what: Callable[..., dict[str, Any]], words: str
) -> None:
    @app.post(
        f"/v1/requests/{{request_id}}/{name}", tags=["requests"], name=name, description=words
    )
    def change(request: Request, request_id: str) -> Any:
        return api.change(request.headers.get("authorization"), scope, what, request_id)


def _without_counts(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "counts"}


def _add_models(app: FastAPI, api: Api) -> None:
    @app.get("/v1/recommendations/{user:id}", tags=["model"])
    async def recommendations(
        request: Request, user: str, k: int = 10, scores: bool = False, context: str | None = None
    ) -> Response:
        """The best items for a user from the served version, or for one of whom it knows features
        alone. ``context``: weekday=monday,daytime=evening, where the model tells contexts apart.
        Scores are for the scope admin.
        """
        scope = "admin" if scores else "recommend"
        look = await api.looked(
            request.headers.get("authorization"),
            scope,
            lambda connection, key: api.serving.look(connection, user),
        )
        words = {} if context is None else _words(context)
        answer = partial(api.serving.recommend, user, k, scores=scores, look=look, context=words)
        return JSONResponse(
            answer() if api.serving.quick(look) and not words else await run_in_threadpool(answer)
        )

    @app.post("/v1/recommendations", tags=["model"])
    async def of_features(request: Request) -> JSONResponse:
        """The best items for somebody new, by features of users that the model was trained with, of
        which nothing is kept; or for a user. ``among``: of these items alone, also of some that
        nobody had. Scores are for the scope admin.
        """
        given = request.headers.get("authorization")
        await api.admitted(given, "recommend")
        content = await content_of(request, bodies.BODY)

        def work() -> dict[str, Any]:
            wanted = for_somebody(bodies.parse(content))
            scope = "admin" if wanted["scores"] else "recommend"
            user = wanted.get("user")
            look = api.read(
                given, scope, lambda connection, key: api.serving.look(connection, user)
            )
            serve = api.serving.of_features if user is None else api.serving.recommend
            return serve(**wanted, look=look)

        return JSONResponse(await run_in_threadpool(work))

    @app.get("/v1/recommendations", tags=["model"])
    def of_segment(request: Request, segment: str, k: int = 10, scores: bool = False) -> Any:
        """The best items for whoever is of a segment, where the model is counted by them. Scores
        are for the scope admin.
        """
        look = api.read(
            request.headers.get("authorization"),
            "admin" if scores else "recommend",
            lambda connection, key: api.serving.look(connection, None),
        )
        return api.serving.of_segment(segment, k, scores=scores, look=look)

    @app.get("/v1/models", tags=["model"])
    def models(request: Request) -> Any:
        """Every version there was, which one is served, and the erasure floor."""

        def work(connection: Connection, key: Key) -> Any:
            pointer = versions.serving(connection)
            return {
                "serving": pointer.version,
                "floor": pointer.floor,
                "models": versions.listed(connection),
            }

        return api.read(request.headers.get("authorization"), "model:read", work)

    @app.post("/v1/models/{version}/activate", tags=["model"])
    def activate(request: Request, version: str) -> Any:
        """Serve another version; refused below the erasure floor."""

        def work(connection: Connection, key: Key) -> Any:
            versions.activate(connection, version, api.state.clock())
            return {"serving": version}

        return api.write(request.headers.get("authorization"), "admin", work)

    @app.get("/v1/changes", tags=["model"])
    def changes(request: Request, since: str) -> Any:
        """Users whose list changed since a version."""
        api.read(request.headers.get("authorization"), "model:read", lambda connection, key: None)
        return api.serving.changes(since)

    @app.post("/v1/interactions", status_code=202, tags=["model"])
    async def interactions(request: Request) -> JSONResponse:
        """Take new interactions in, or rows of another relation; they are learned with the next
        batch. What was erased before is left out.
        """
        given = request.headers.get("authorization")
        await api.admitted(given, "ingest")
        content = await content_of(request, bodies.BULK)

        def work() -> dict[str, int]:
            sent = from_body(bodies.parse(content), api.state.declared)
            api.write(given, "ingest", lambda connection, key: None)
            return ingest(api.state, api.serving.current(), sent.rows, sent.relation)

        return JSONResponse(await run_in_threadpool(work), 202)


def _words(text: str) -> dict[str, str]:
    """``weekday=monday,daytime=evening``; InvalidInput."""
    try:
        return words_of(text, "context")
    except InvalidInput as cause:
        raise InvalidInput(cause.message, code="context") from cause


def _add_operation(app: FastAPI, api: Api) -> None:
    @app.get("/healthz", tags=["operation"])
    async def healthz() -> Any:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["operation"])
    def readyz() -> Any:
        """The ledger can be read, and work goes on."""
        reason = api.ready()
        with api.state.database.reading() as connection:
            version = versions.serving(connection).version
        if reason is not None:
            return answer(503, "not_ready", reason)
        return {"status": "ready", "version": version}

    @app.get("/metrics", tags=["operation"], response_class=PlainTextResponse)
    def prometheus() -> Response:
        """Figures for Prometheus; none of them is about a person."""
        with api.state.database.reading() as connection:
            text = metrics.written(
                connection, api.state.clock(), halted=api.state.halted is not None
            )
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    @app.get("/v1/keys", tags=["keys"])
    def listed_keys(request: Request) -> Any:
        """Keys, without what they are."""
        given = request.headers.get("authorization")
        return {"keys": api.read(given, "admin", lambda connection, key: keys.listed(connection))}

    @app.post("/v1/keys", status_code=201, tags=["keys"])
    async def make_key(request: Request) -> JSONResponse:
        """A new key, shown this once."""
        given = request.headers.get("authorization")
        await run_in_threadpool(api.read, given, "admin", lambda connection, key: None)
        body = bodies.parse(await content_of(request, bodies.BODY))

        def work(connection: Connection, key: Key) -> dict[str, Any]:
            made = keys.make(connection, api.state.clock(), **_key_wanted(body))
            return {"key": made, "id": made.split("_")[1]}

        return JSONResponse(await run_in_threadpool(api.write, given, "admin", work), 201)

    @app.post("/v1/keys/{key_id}/rotate", tags=["keys"])
    def rotate(request: Request, key_id: str, overlap: int = keys.OVERLAP) -> Any:
        """A new secret for a key, shown this once. The old one is taken for ``overlap`` seconds
        more; 0: it ends at once.
        """

        def work(connection: Connection, key: Key) -> dict[str, Any]:
            made, until = keys.rotate(connection, key_id, api.state.clock(), overlap=overlap)
            return {"key": made, "id": key_id, "old_until": written(until)}

        return api.write(request.headers.get("authorization"), "admin", work)

    @app.delete("/v1/keys/{key_id}", status_code=204, tags=["keys"])
    def revoke(request: Request, key_id: str) -> Response:
        """End a key."""
        given = request.headers.get("authorization")
        api.write(
            given,
            "admin",
            lambda connection, key: keys.revoke(connection, key_id, api.state.clock()),
        )
        return Response(status_code=204)


def _key_wanted(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict) or not {"scopes"} <= body.keys() <= {
        "scopes",
        "rate_limit",
        "expires",
    }:
        raise InvalidInput("expected scopes, and rate_limit or expires", code="unknown_field")
    scopes, rate, expires = (
        body["scopes"],
        body.get("rate_limit", keys.WRITES_A_MINUTE),
        body.get("expires"),
    )
    if not isinstance(scopes, list) or not all(isinstance(each, str) for each in scopes):
        raise InvalidInput("scopes: expected a list of text", code="type")
    if isinstance(rate, bool) or not isinstance(rate, int) or not 0 <= rate < 2**31:
        raise InvalidInput("rate_limit: expected writes a minute, or 0 for any number", code="type")
    if expires is not None and not isinstance(expires, str):
        raise InvalidInput("expires: expected ISO 8601", code="type")
    return {
        "scopes": scopes,
        "rate": rate,
        "expires": None if expires is None else moment(expires, "expires"),
    }
