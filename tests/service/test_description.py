"""Whatever follows from the published description, or nearly does, is answered, never by 500."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from .test_http import Site, site  # noqa: F401

schemathesis = pytest.importorskip(
    "schemathesis", reason="no schemathesis: pip install 'alteraser[fuzz]'"
)


@pytest.mark.parametrize(
    "examples", [5, pytest.param(100, marks=pytest.mark.faults)], ids=["few", "many"]
)
def test_no_call_is_a_fault_of_ours(site: Site, examples: int) -> None:  # noqa: F811
    schema = schemathesis.openapi.from_url(f"{site.client.base_url}/openapi.json")
    seen: Counter[int] = Counter()
    for described in schema.get_all_operations():
        operation = described.ok()
        for mode in schemathesis.GenerationMode:

            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def called(case: Any) -> None:
                headers = site.headers(Idempotency_Key=str(seen.total()))
                answer = case.call(headers=headers)
                seen[answer.status_code] += 1
                assert answer.status_code < 500, case.as_curl_command()
                if answer.status_code >= 400:
                    assert answer.json()["code"]

            try:
                called()
            except Unsatisfiable:  # a call that nothing can be wrong with
                continue
    assert seen[200] + seen[202] > 0
    assert seen[400] > 0
