"""Traces: what is in them, and that nobody is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from alteraser.service import tracing

from .conftest import BASE
from .test_http import Site, site  # noqa: F401  # the fixture


@pytest.fixture
def spans() -> Iterator[Any]:
    """A function that gives the spans there were."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="no opentelemetry-sdk")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter.get_finished_spans
    tracing.use(None)


def test_calls_and_steps(site: Site, spans: Any) -> None:  # noqa: F811
    trace = "0af7651916cd43dd8448eb211c80319c"
    sent = site.client.post(
        "/v1/requests",
        json={"users": [BASE + 5]},
        headers=site.headers(Idempotency_Key="a", traceparent=f"00-{trace}-b7ad6b7169203331-01"),
    )
    name = sent.json()["request_id"]
    site.service.work()
    site.get(f"/v1/requests/{name}")
    site.get(f"/v1/recommendations/{BASE + 6}")
    site.get(f"/v1/recommendations/{BASE + 5}")
    site.get(f"/somewhere/{BASE + 5}")
    found = spans()
    calls = [
        (each.name, each.attributes["http.response.status_code"])
        for each in found
        if "http.route" in each.attributes
    ]
    assert calls == [
        ("POST /v1/requests", 202),
        ("GET /v1/requests/{request_id}", 200),
        ("GET /v1/recommendations/{user:id}", 200),
        ("GET /v1/recommendations/{user:id}", 404),
        ("GET unmatched", 404),
    ]
    assert f"{found[0].context.trace_id:032x}" == trace
    steps = [each.attributes["step"] for each in found if each.name == "batch"]
    assert steps == ["planned", "scrubbed", "checked", "published", "receipted"]
    text = "".join(each.to_json() for each in found)
    assert str(BASE)[:12] not in text
    assert name not in text


def test_an_error_is_its_class(spans: Any) -> None:
    with pytest.raises(ValueError, match="of a person"), tracing.span("x"):
        raise ValueError("of a person")
    (found,) = spans()
    assert found.status.description == "ValueError"
    assert "person" not in found.to_json()
    assert not found.events


def test_without_a_collector_nothing_is_imported() -> None:
    code = (
        "import sys, json; from alteraser.service import tracing; tracing.begin(role='api');"
        "print(json.dumps([each for each in sys.modules if each.startswith('opentelemetry')]))"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=bare)
    assert json.loads(done.stdout or "null") == [], done.stderr
