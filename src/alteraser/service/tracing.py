"""Traces for OpenTelemetry, where the environment names a collector: a span for each call, named by
its route, and one for each step of a batch. No id is in them, no address as it was called, and no
text of an error.

They are configured by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT``,
``OTEL_SERVICE_NAME``, …). Without one of the first nothing of it is imported.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

WHERE = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
UNKNOWN = "unmatched"
"""The route of a call for which there is none"""

logger = logging.getLogger("alteraser.service")

_tracer: Any = None


def begin(*, role: str) -> None:
    """Send spans to the collector that the environment names, if it does. ``role``: which process
    of the service this is.
    """
    if not any(os.environ.get(name) for name in WHERE):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        logger.warning('no traces are sent: run pip install "alteraser[traces]"')
        return
    name = os.environ.get("OTEL_SERVICE_NAME", "alteraser")
    provider = TracerProvider(resource=Resource.create({"service.name": name, "role": role}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use(provider)


def use(provider: Any) -> None:
    """Have spans made by ``provider``; None: no more."""
    global _tracer
    _tracer = None if provider is None else provider.get_tracer("alteraser")


@contextmanager
def span(name: str, **attributes: str | int | bool) -> Iterator[None]:
    """A span around the block; one that raises is an error of its class, whose text is left out."""
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import Status, StatusCode

    with _tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


class Traced:
    """A span around each call of an application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _tracer is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind, Status, StatusCode

        carried = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        known = {name: carried[name] for name in ("traceparent", "tracestate") if name in carried}
        status = 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with _tracer.start_as_current_span(
            scope["method"],
            context=extract(known),
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as current:
            try:
                await self._app(scope, receive, sent)
            finally:
                route = getattr(scope.get("route"), "path", UNKNOWN)
                current.update_name(f"{scope['method']} {route}")
                current.set_attributes(
                    {
                        "http.request.method": scope["method"],
                        "http.route": route,
                        "http.response.status_code": status,
                    }
                )
                if status >= 500:
                    current.set_status(Status(StatusCode.ERROR))
