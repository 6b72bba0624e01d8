"""Whatever follows from the published description, or nearly does, is answered, never by 500:
with the first key, with keys of one scope each, and with none."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from alteraser.ledger.keys import SCOPES

from .test_callbacks import ear  # noqa: F401  # the fixture
from .test_opendsr import site  # noqa: F401  # all that there is, OpenDSR as well

schemathesis = pytest.importorskip(
    "schemathesis", reason="no schemathesis: pip install 'alteraser[faults]'"
)
SHARES = 6
"""Parts, for the processes that do them side by side"""


PATIENCE = 300
"""Seconds for an answer: what is asked is whether it is one, and others may be at work as well."""


@pytest.mark.parametrize(
    ("examples", "first", "step"),
    [
        (5, 0, 1),
        *[pytest.param(500, part, SHARES, marks=pytest.mark.faults) for part in range(SHARES)],
    ],
)
def test_no_call_is_a_fault_of_ours(
    site: Any,  # noqa: F811
    examples: int,
    first: int,
    step: int,
) -> None:
    """Every ``step``-th operation; ``examples`` of each that are as described, and that are not."""
    schema = schemathesis.openapi.from_url(f"{site.client.base_url}/openapi.json")
    keys = [site.admin, *(site.key(scope, rate=0) for scope in SCOPES), "none"]
    seen: Counter[int] = Counter()
    for described in list(schema.get_all_operations())[first::step]:
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
                number = seen.total()
                key = keys[number // 2 % len(keys)] if number % 2 else site.admin
                headers = site.headers(key, Idempotency_Key=str(number))
                answer = case.call(headers=headers, timeout=PATIENCE)
                seen[answer.status_code] += 1
                assert answer.status_code < 500, case.as_curl_command()
                if answer.status_code >= 400:
                    document = answer.json()
                    assert document.get("error", document)["code"], case.as_curl_command()

            try:
                called()
            except Unsatisfiable:  # a call that nothing can be wrong with
                continue
    if step == 1:  # a share may have operations alone on requests that nobody made: 404
        assert seen[200] + seen[202] > 0
        assert seen[400] > 0
    assert seen.total() > examples
