"""A PostgreSQL server of one's own: Debian's package (apt-get install postgresql), in a folder,
heard on a socket there alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from alteraser.errors import DependencyMissing


def programs() -> Path | None:
    """The folder of the server's programs; None where it is not installed."""
    known = [Path(each) for each in [shutil.which("initdb")] if each]
    known += sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return known[-1].resolve().parent if known else None


class Server:
    """Started when it is made; ``stop`` and ``start`` are those of an operator. ``durable``: what
    is committed survives a power cut, as it has to where it counts.
    """

    def __init__(self, place: Path, root: Path, *, durable: bool = True) -> None:
        self.programs, self.root, self.data = place, root, root / "data"
        self._durable = durable
        self._user: str | None = None
        if os.getuid() == 0:  # the server refuses to run as root
            self._user = "postgres"
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
            user=self._user,
        )

    def start(self) -> None:
        """Start it; back once it answers."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.root}"
        options += "" if self._durable else " -F"
        self._run("pg_ctl", "-D", str(self.data), "-w", "-o", options, "start")

    def stop(self, how: str = "immediate") -> None:
        """Stop it: ``smart``, ``fast`` or ``immediate``."""
        self._run("pg_ctl", "-D", str(self.data), "-m", how, "stop")

    def database(self) -> str:
        """The URL of a new one: a schema, which is made sooner."""
        self._number += 1
        name = f"d{self._number}"
        made = ["-U", "alteraser", "-d", "postgres", "-c", f"CREATE SCHEMA {name}"]
        self._run("psql", "-h", str(self.root), *made)
        host, path = quote(str(self.root)), quote(f"-csearch_path={name}")
        return f"postgresql://alteraser@/postgres?host={host}&options={path}"


@contextmanager
def server(*, durable: bool = True) -> Iterator[Server]:
    """One while the block runs; DependencyMissing where none is installed."""
    place = programs()
    if place is None:
        raise DependencyMissing("there is no PostgreSQL server here: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="alteraser-postgresql-", dir="/tmp") as root:
        found = Server(place, Path(root), durable=durable)
        try:
            yield found
        finally:
            found.stop()
