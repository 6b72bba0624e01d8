"""A PostgreSQL server of the tests' own; tests that need it are skipped with a message where it is
absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from alteraser.bench.postgresql import Server, programs, server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    pytest.importorskip("psycopg", reason="no psycopg: pip install 'alteraser[postgresql]'")
    if programs() is None:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    with server(durable=False) as found:
        yield found


@pytest.fixture
def postgresql_database(postgresql_server: Server) -> Callable[[], str]:
    """A function that gives the URL of a new database."""
    return postgresql_server.database
