"""The three ways into a service, so that one table of what is sent and what must come is driven
through all of them by the same code: HTTP, the command line, and the Python client."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from alteraser.cli.main import main
from alteraser.client import Client
from alteraser.errors import AltEraserError

from .test_http import Site


@dataclass(frozen=True)
class Answer:
    """What came: the code of an error or None, and what each way adds to it."""

    code: str | None
    document: dict[str, Any] = field(default_factory=dict)
    status: int | None = None
    """Of HTTP"""
    exit: int | None = None
    """Of the command line; the error's own for Python"""
    text: str = ""
    """Everything that was said"""


class Http:
    name = "http"

    def __init__(self, site: Site, place: Path) -> None:
        self.site = site

    def _answer(self, answer: Any) -> Answer:
        document = answer.json() if answer.content else {}
        code = document["code"] if answer.status_code >= 400 else None
        headers = {name: value for name, value in answer.headers.items() if name != "date"}
        text = f"{answer.text}{headers}"
        return Answer(code, document, answer.status_code, None, text)

    def submit(self, content: bytes, name: str, key: str | None = None) -> Answer:
        headers = self.site.headers(key, Content_Type="application/json", Idempotency_Key=name)
        return self._answer(self.site.client.post("/v1/requests", content=content, headers=headers))

    def status(self, request: str, key: str | None = None) -> Answer:
        return self._answer(self.site.get(f"/v1/requests/{request}", key))

    def cancel(self, request: str) -> Answer:
        answer = self.site.client.delete(f"/v1/requests/{request}", headers=self.site.headers())
        return self._answer(answer)

    def receipt(self, request: str, key: str | None = None) -> Answer:
        return self._answer(self.site.get(f"/v1/requests/{request}/receipt", key))


class Python:
    name = "python"

    def __init__(self, site: Site, place: Path) -> None:
        self.site = site

    def _answer(self, key: str | None, call: Callable[[Client], Any]) -> Answer:
        given = self.site.admin if key is None else key
        # certificates are not read for each of hundreds of clients that need none
        plain = httpx.HTTPTransport(verify=False)
        url = str(self.site.client.base_url)
        with Client(url, given, patience=0, transport=plain) as client:
            try:
                found = call(client)
            except AltEraserError as error:
                code = error.details.get("code", error.kind)
                return Answer(code, {}, error.details.get("status"), error.exit_code, str(error))
        document = json.loads(found) if isinstance(found, bytes) else dict(found)
        return Answer(None, document, None, 0, json.dumps(document))

    def submit(self, content: Any, name: str, key: str | None = None) -> Answer:
        body = json.loads(content) if isinstance(content, bytes) else content
        return self._answer(key, lambda client: client.submit(body, idempotency_key=name))

    def status(self, request: str, key: str | None = None) -> Answer:
        return self._answer(key, lambda client: client.status(request))

    def cancel(self, request: str) -> Answer:
        return self._answer(None, lambda client: client.cancel(request))

    def receipt(self, request: str, key: str | None = None) -> Answer:
        return self._answer(key, lambda client: client.receipt(request))


class Command:
    name = "command"

    def __init__(self, site: Site, place: Path) -> None:
        self.site, self.place = site, place

    def _answer(self, *arguments: str, key: str | None = None) -> Answer:
        key_file = self.place / "api.key"
        key_file.write_text(self.site.admin if key is None else key)
        where = ["--url", str(self.site.client.base_url), "--key-file", str(key_file), "--json"]
        return ran("request", *arguments, *where)

    def submit(self, content: bytes, name: str, key: str | None = None) -> Answer:
        file = self.place / "body.json"
        file.write_bytes(content)
        named = ("--idempotency-key", name)
        return self._answer("submit", "--file", str(file), *named, key=key)

    def status(self, request: str, key: str | None = None) -> Answer:
        return self._answer("status", request, key=key)

    def cancel(self, request: str) -> Answer:
        return self._answer("cancel", request)

    def receipt(self, request: str, key: str | None = None) -> Answer:
        out = self.place / f"receipt-{request}.json"
        found = self._answer("receipt", request, "--out", str(out), key=key)
        if found.exit:
            return found
        return Answer(None, json.loads(out.read_bytes()), None, 0, found.text)


def ran(*arguments: str) -> Answer:
    """A command in this process, with --json among its arguments."""
    out, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        code = main(list(arguments))
    document = json.loads(out.getvalue()) if out.getvalue() else {}
    text = out.getvalue() + said.getvalue()
    if code:
        error = document["error"]
        return Answer(error["details"].get("code", error["kind"]), document, None, code, text)
    return Answer(None, document, None, 0, text)


DOORS = {door.name: door for door in (Http, Command, Python)}
