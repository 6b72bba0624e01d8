"""A PostgreSQL server of the tests' own: Debian's package (apt-get install postgresql), in a folder
of its own, heard on a socket alone; tests that need it are skipped with a message where it is
absent."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest


def _programs() -> Path | None:
    known = [Path(each) for each in [shutil.which("initdb")] if each]
    known += sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return known[-1].resolve().parent if known else None


class Server:
    """Started when it is made; ``stop`` and ``start`` are those of an operator."""

    def __init__(self, programs: Path, root: Path) -> None:
        self.programs, self.root, self.data = programs, root, root / "data"
        self.user: dict[str, str] = {}
        if os.getuid() == 0:  # the server refuses to run as root
            self.user = {"user": "postgres"}
            shutil.chown(root, "postgres")
        self._run("initdb", "-D", str(self.data), "-U", "alteraser", "-A", "trust", "-E", "UTF8")
        self.start()
        self._number = 0

    def _run(self, name: str, *arguments: str) -> None:
        command = [str(self.programs / name), *arguments]
        subprocess.run(
            command,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.root,
            **self.user,
        )

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self.root} -F"
        self._run("pg_ctl", "-D", str(self.data), "-w", "-o", options, "start")

    def stop(self, how: str = "immediate") -> None:
        self._run("pg_ctl", "-D", str(self.data), "-m", how, "stop")

    def database(self) -> str:
        """The URL of a new one: a schema, which is made sooner."""
        self._number += 1
        name = f"d{self._number}"
        made = ["-U", "alteraser", "-d", "postgres", "-c", f"CREATE SCHEMA {name}"]
        self._run("psql", "-h", str(self.root), *made)
        host, path = quote(str(self.root)), quote(f"-csearch_path={name}")
        return f"postgresql://alteraser@/postgres?host={host}&options={path}"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    pytest.importorskip("psycopg", reason="no psycopg: pip install 'alteraser[postgresql]'")
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="alteraser-postgresql-", dir="/tmp") as root:
        server = Server(programs, Path(root))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def postgresql_database(postgresql_server: Server) -> Callable[[], str]:
    """A function that gives the URL of a new database."""
    return postgresql_server.database
