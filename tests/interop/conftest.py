"""These tests run where they are asked for: ``pytest -m interop``."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "interop: real libraries in side environments (make test-interop)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "interop" not in config.getoption("markexpr", ""):
        for item in items:
            if "interop" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="asked for by -m interop alone"))
