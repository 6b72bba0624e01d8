"""A client of the service: what a write is called is kept until it is answered, so that it can be
sent again.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from alteraser.errors import (
    AltEraserError,
    Conflict,
    DependencyMissing,
    InvalidInput,
    NotFound,
    RefusedByPolicy,
    ResourceLimit,
)
from alteraser.ledger.states import FINAL

TRIES = 5
"""Times that a request is sent where no answer comes"""
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


class Client:
    """Talks to the service at ``url`` with an API key."""

    def __init__(self, url: str, key: str, *, timeout: float = 30.0) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=timeout
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def submit(self, body: dict[str, Any], *, name: str | None = None) -> dict[str, Any]:
        """Send an erasure request; what the service answers once it is durable. ``name`` is the
        Idempotency-Key.
        """
        headers = {"Idempotency-Key": name or secrets.token_hex(16)}
        return dict(self._asked("POST", "/v1/requests", json=body, headers=headers).json())

    def dry_run(self, body: dict[str, Any]) -> dict[str, Any]:
        """What a request would come to."""
        return dict(self._asked("POST", "/v1/requests?dry_run=1", json=body).json())

    def status(self, request: str) -> dict[str, Any]:
        """A request, with what happened to it."""
        return dict(self._asked("GET", f"/v1/requests/{request}").json())

    def wait(self, request: str, *, seconds: float = 3600.0, every: float = 0.5) -> dict[str, Any]:
        """Its status once nothing is owed any more; Conflict where that takes longer than
        ``seconds``.
        """
        end = time.monotonic() + seconds
        while (found := self.status(request))["status"] not in FINAL:
            if time.monotonic() > end:
                raise Conflict(
                    f"the request is {found['status']} after {seconds:g} s; ask again later"
                )
            time.sleep(every)
        return found

    def cancel(self, request: str) -> dict[str, Any]:
        """Cancel a request on which no work was begun."""
        return dict(self._asked("DELETE", f"/v1/requests/{request}").json())

    def listed(self, *, status: str | None = None) -> list[dict[str, Any]]:
        """All requests, in the order they were received."""
        found: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            params = {"after": str(after), "limit": "1000"} | (
                {} if status is None else {"status": status}
            )
            page = self._asked("GET", "/v1/requests", params=params).json()
            found, after = found + page["requests"], page["next"]
        return found

    def receipt(self, request: str) -> bytes:
        """The receipt, as it is to be kept."""
        return self._asked("GET", f"/v1/requests/{request}/receipt").content

    def _asked(self, method: str, path: str, **more: Any) -> httpx.Response:
        for attempt in range(TRIES):
            try:
                answer = self._http.request(method, path, **more)
                break
            except httpx.TransportError as error:
                if attempt + 1 == TRIES:
                    words = (
                        f"the service at {self._http.base_url} does not answer ({error}); is "
                        "it running?"
                    )
                    raise DependencyMissing(words) from error
                time.sleep(0.2 * 2**attempt)
        if answer.is_success:
            return answer
        try:
            document = answer.json()
            message, code = str(document["detail"]), str(document["code"])
        except (ValueError, KeyError, TypeError):
            message, code = f"the service answered {answer.status_code}", "http"
        raise ERRORS.get(answer.status_code, InvalidInput)(
            message, code=code, status=answer.status_code
        )


def read_key(path: Path) -> str:
    """An API key in a file, such as ``admin.key``; NotFound."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(
            f"{path}: no API key can be read ({error}); name it with --key-file", path=str(path)
        ) from None
