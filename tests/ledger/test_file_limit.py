"""A ledger whose file may not grow: the failure is the disk's, and what was kept is kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import resource, sys
from pathlib import Path
from alteraser.errors import ResourceLimit
from alteraser.ledger import schema
from alteraser.ledger.database import Database
database = Database.create(Path(sys.argv[1]))
size = 2**20
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
kept = 0
try:
    while kept < 10_000:
        with database.writing() as connection:
            connection.execute(schema.meta.insert().values(name=str(kept), value="x" * 10_000))
        kept += 1
except (OSError, ResourceLimit) as error:
    with database.reading() as connection:
        found = connection.exec_driver_sql("SELECT count(*) FROM meta").scalar_one()
    print(kept, found)
"""


def test_it_is_the_disk_and_nothing_is_lost(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "ledger.sqlite")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kept, found = map(int, done.stdout.split())
    assert 0 < kept < 10_000
    assert found == kept + 1, "one row says what the schema is"
