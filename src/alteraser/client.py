"""A client of the forgetting service.

    from alteraser.client import Client, read_key

    with Client("http://127.0.0.1:8080", read_key("state/admin.key")) as service:
        sent = service.submit({"users": [42]}, idempotency_key="ticket-1017")
        done = service.wait(sent["request_id"])
        receipt = service.receipt(done["request_id"])

What is safe to send again is sent again: where no answer came, and where the service says that it
took nothing in, after the time it names. A submission is always safe, since it carries a name.
Needs httpx (the extra ``service``), and nothing of the service itself.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NotRequired, Self, TypedDict
from urllib.parse import quote

from alteraser.data.files import small_file
from alteraser.errors import (
    AltEraserError,
    Conflict,
    DependencyMissing,
    InvalidInput,
    NotFound,
    RefusedByPolicy,
    ResourceLimit,
)
from alteraser.ledger.bodies import BODY, BULK, too_large, written
from alteraser.ledger.states import DUPLICATE, FINAL
from alteraser.runtime.extras import require

require("httpx", "service", "talking to the service")

import httpx  # noqa: E402  # after it is known to be there

TRIES = 5
"""Times that a call is sent"""
LONGEST_WAIT = 120.0
"""Seconds that a call waits in all for the service to have room again"""
LONGEST_KEY = 4096
"""Bytes of a file that an API key is read from"""
PAUSE = 0.2
"""Seconds before the second try; doubled before each further one"""
NOT_NOW = frozenset({429, 503, 507})
"""Answers that say that nothing was done, and to come again"""
ERRORS: dict[int, type[AltEraserError]] = {
    401: RefusedByPolicy,
    403: RefusedByPolicy,
    404: NotFound,
    409: Conflict,
    422: Conflict,
    413: ResourceLimit,
    429: ResourceLimit,
    507: ResourceLimit,
    503: DependencyMissing,
}
"""Class of the error that an answer is; InvalidInput for others"""

Id = int | str


class RequestEvent(TypedDict):
    """Something that happened to a request."""

    sequence: int
    at: str
    event: str
    batch: int | None


class Submitted(TypedDict, total=False):
    """A request as the service shows it; ``counts`` for keys that may read receipts, ``salt`` only
    to who sent it, ``period_elapsed`` and ``events`` where one request is asked for.
    """

    request_id: str
    status: str
    sequence: int
    kind: str
    received: str
    due: str
    regulation: str
    commitment: str
    salt: str
    counts: dict[str, int] | None
    duplicate_of: str | None
    batch: int | None
    version: str | None
    reason: str | None
    changed: str
    period_elapsed: float
    events: list[RequestEvent]


class Listed(TypedDict, total=False):
    """An item of a list; ``score`` where scores were asked for."""

    item_id: Id
    score: float


class RankedItems(TypedDict):
    """The best items for a user, best first, and the version that says so; ``set_aside``: how many
    interactions of theirs, which the version still has, the list is made without.
    """

    user_id: Id
    items: list[Listed]
    version: str
    set_aside: NotRequired[int]


class Moved(TypedDict):
    """Whose rows moved; ``all``: it is not known whose, so take it to be all."""

    all: bool
    users: list[Id]
    items: list[Id]


class ListChanges(TypedDict):
    """Whose list changed since a version, and which rows moved (None: the model has none);
    ``all``: it is not known whose, so take it to be everybody's. ``version`` is the next ``since``.
    """

    since: str
    version: str
    all: bool
    users: list[Id]
    rows: Moved | None


class Client:
    """Talks to the service at ``url`` with an API key.

    ``patience``: seconds that a call waits in all where the service says to come again later.
    ``transport``: httpx's, for tests and for proxies.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = 30.0,
        patience: float = LONGEST_WAIT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._patience = patience
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    # ------------------------------------------------------------------ requests

    def submit(
        self, request: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Submitted:
        """Send an erasure request, ``{"users": [42]}`` for one; what the service answers once it is
        durable.

        ``idempotency_key``: what you call it. The same one again is the same request, so choose one
        that you find again after a crash of your own; None: a random one, which protects this call.
        """
        name = secrets.token_hex(16) if idempotency_key is None else idempotency_key
        headers = {"Idempotency-Key": _header(name)}
        answer = self._sent("/v1/requests", request, headers=headers)
        return _document(answer)

    def dry_run(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What a request would come to; nothing is taken in."""
        return dict(self._sent("/v1/requests?dry_run=1", request).json())

    def status(self, request: str) -> Submitted:
        """A request, with what happened to it."""
        return _document(self._asked("GET", f"/v1/requests/{_part(request)}"))

    def wait(self, request: str, *, seconds: float = 3600.0, every: float = 0.5) -> Submitted:
        """Its status once nothing is owed any more; Conflict where that takes longer than
        ``seconds``. Of a request that repeats another, once that one is done.
        """
        end = time.monotonic() + seconds
        while True:
            found = self.status(request)
            other = found["duplicate_of"] if found["status"] == DUPLICATE else None
            state = found["status"] if other is None else self.status(other)["status"]
            if state in FINAL:
                return found
            if time.monotonic() > end:
                raise Conflict(f"the request is {state} after {seconds:g} s; ask again later")
            time.sleep(every)

    def listed(self, *, status: str | None = None) -> list[Submitted]:
        """All requests, in the order they were received."""
        found: list[Submitted] = []
        after: int | None = 0
        while after is not None:
            params = {"after": str(after), "limit": "1000"}
            params |= {} if status is None else {"status": status}
            page = self._asked("GET", "/v1/requests", params=params).json()
            found, after = found + page["requests"], page["next"]
        return found

    def cancel(self, request: str) -> Submitted:
        """Cancel a request on which no work was begun; Conflict afterwards."""
        return _document(self._asked("DELETE", f"/v1/requests/{_part(request)}", again=False))

    def verify(self, request: str) -> Submitted:
        """Vouch for who asked."""
        return self._change(request, "verify")

    def reject(self, request: str) -> Submitted:
        """End a request for which nobody vouches."""
        return self._change(request, "reject")

    def hold(self, request: str) -> Submitted:
        """Put a legal hold on a request: nothing is done until it is released."""
        return self._change(request, "hold")

    def release(self, request: str) -> Submitted:
        """End a legal hold."""
        return self._change(request, "release")

    def receipt(self, request: str) -> bytes:
        """The receipt, as it is to be kept and as ``alteraser receipt verify`` takes it."""
        return self._asked("GET", f"/v1/requests/{_part(request)}/receipt").content

    # ------------------------------------------------------------------ the model

    def recommendations(
        self,
        user: Id,
        *,
        k: int = 10,
        scores: bool = False,
        context: Mapping[str, str] | None = None,
        among: Sequence[Id] | None = None,
    ) -> RankedItems:
        """The best items for ``user``; NotFound for who is not there, or no longer. ``context``:
        such as ``{"weekday": "monday"}``, of a model that tells contexts apart. ``among``: of these
        items alone; of kind linear also of some that nobody had, by their features.
        """
        if among is not None:
            wanted = {"user": user, "among": list(among), "k": k, "scores": scores}
            chosen: RankedItems = self._sent(
                "/v1/recommendations", wanted | {"context": dict(context or {})}
            ).json()
            return chosen
        params = {"k": str(k)} | ({"scores": "1"} if scores else {})
        if context:
            params["context"] = ",".join(f"{name}={word}" for name, word in context.items())
        answer = self._asked("GET", f"/v1/recommendations/{_part(str(user))}", params=params)
        found: RankedItems = answer.json()
        return found

    def recommendations_for(
        self,
        features: Mapping[str, Any],
        *,
        k: int = 10,
        scores: bool = False,
        context: Mapping[str, str] | None = None,
        among: Sequence[Id] | None = None,
    ) -> RankedItems:
        """The best items for somebody new, of whom only ``features`` are known (there is no
        ``user_id``); InvalidInput for features that the model was not trained with.
        """
        body = {"features": dict(features), "k": k, "scores": scores, "context": context or {}}
        body |= {} if among is None else {"among": list(among)}
        found: RankedItems = self._sent("/v1/recommendations", body).json()
        return found

    def models(self) -> dict[str, Any]:
        """Every version there was, which one is served, and the erasure floor."""
        return dict(self._asked("GET", "/v1/models").json())

    def changes(self, since: str) -> ListChanges:
        """Users whose list changed since the version ``since``."""
        found: ListChanges = self._asked("GET", "/v1/changes", params={"since": since}).json()
        return found

    def ingest(
        self, interactions: Sequence[Mapping[str, Any]], *, relation: str | None = None
    ) -> dict[str, Any]:
        """Add interactions, ``{"user": …, "item": …}`` each, or rows of a ``relation``; learned
        with the next batch.
        """
        body: dict[str, Any] = {"interactions": [dict(each) for each in interactions]}
        body |= {} if relation is None else {"relation": relation}
        return dict(self._sent("/v1/interactions", body, limit=BULK, again=False).json())

    # ------------------------------------------------------------------ how

    def _change(self, request: str, what: str) -> Submitted:
        return _document(self._asked("POST", f"/v1/requests/{_part(request)}/{what}", again=False))

    def _sent(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        limit: int = BODY,
        headers: Mapping[str, str] | None = None,
        again: bool = True,
    ) -> httpx.Response:
        content = written(dict(body) if isinstance(body, Mapping) else body)
        if len(content) > limit:  # sent, it would be refused
            raise too_large(limit, len(content))
        whole = {"Content-Type": "application/json", **(headers or {})}
        return self._asked("POST", path, again=again, content=content, headers=whole)

    def _asked(self, method: str, path: str, *, again: bool = True, **more: Any) -> httpx.Response:
        """An answer that is a success. ``again``: whether it does no harm to do it twice."""
        patience = self._patience
        for attempt in range(1, TRIES + 1):
            pause = PAUSE * 2 ** (attempt - 1)
            try:
                answer = self._http.request(method, path, **more)
            except httpx.TransportError as error:
                sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if attempt == TRIES or (sent and not again):
                    raise DependencyMissing(
                        f"the service at {self._http.base_url} does not answer ({error}); is it "
                        "running?"
                    ) from error
            else:
                pause = max(pause, _retry_after(answer))
                if answer.status_code not in NOT_NOW or attempt == TRIES or pause > patience:
                    return _success(answer)
            patience -= pause
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")


def _success(answer: httpx.Response) -> httpx.Response:
    """``answer``, or the error that it is."""
    if answer.is_success:
        return answer
    try:
        document = answer.json()
        message, code = str(document["detail"]), str(document["code"])
    except (ValueError, KeyError, TypeError):
        message, code = f"the service answered {answer.status_code}", "http"
    details: dict[str, Any] = {"code": code, "status": answer.status_code}
    if wait := _retry_after(answer):
        details["retry_after"] = wait
    raise ERRORS.get(answer.status_code, InvalidInput)(message, **details)


def _retry_after(answer: httpx.Response) -> float:
    """Seconds until the service wants to be asked again, as a number or as a date; 0: it does not
    say.
    """
    given = answer.headers.get("retry-after", "").strip()
    if given.isdigit():
        return float(given)
    try:
        when = parsedate_to_datetime(given)
    except ValueError:
        return 0.0
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _part(text: str) -> str:
    """``text`` as a part of an address, which "." and ".." are not as they stand."""
    return quote(text, safe="", errors="surrogatepass").replace(".", "%2E")


def _header(text: str) -> str:
    """``text`` where a header can say it; InvalidInput."""
    if not (text.isascii() and text.isprintable() and text == text.strip()):
        raise InvalidInput(
            "idempotency_key: expected printable ASCII, without spaces at its ends",
            code="key_required",
        )
    return text


def _document(answer: httpx.Response) -> Submitted:
    found: Submitted = answer.json()
    return found


def read_key(path: Path | str) -> str:
    """An API key in a file, such as ``admin.key``; NotFound, InvalidInput for what holds none."""
    try:
        found = small_file(path, LONGEST_KEY).decode("ascii").strip()
    except NotFound:
        raise NotFound(
            f"{path}: there is no API key; name its file with --key-file", path=str(path)
        ) from None
    except (UnicodeDecodeError, ResourceLimit):
        found = ""
    if not found.isprintable() or not found:
        raise InvalidInput(f"{path} holds no API key", path=str(path))
    return found
