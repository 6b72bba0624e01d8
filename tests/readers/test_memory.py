"""What memory does not hold is said to be, never to be damaged."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
import pytest

from alteraser.data.readers import _source, read_table
from alteraser.errors import ResourceLimit

LIMIT = 800_000_000


def stats(path: Path) -> tuple[int, dict]:
    """`data stats` of a process whose address space is limited."""
    code = "import sys; from alteraser.cli import main; sys.exit(main(sys.argv[1:]))"
    answer = subprocess.run(
        [sys.executable, "-c", code, "data", "stats", str(path), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT)),
        check=False,
    )
    return answer.returncode, json.loads(answer.stdout)["error"]


@pytest.mark.skipif(sys.platform != "linux", reason="address spaces are limited here alone")
def test_a_parquet_file_of_many_rows_under_a_limit(tmp_path):
    path = tmp_path / "r.parquet"
    part = pa.table(
        {"user_id": np.zeros(10_000_000, np.int64), "item_id": np.zeros(10_000_000, np.int64)}
    )
    with pq.ParquetWriter(path, part.schema) as writer:
        for _ in range(6):
            writer.write_table(part)
    code, error = stats(path)
    assert (code, error["kind"]) == (7, "resource")
    assert "r.parquet does not fit into the 0.7 GiB of memory" in error["message"]


@pytest.mark.parametrize(
    ("name", "content", "module", "function"),
    [
        ("r.csv", b"user_id,item_id\n1,2\n", pyarrow.csv, "read_csv"),
        ("r.jsonl", b'{"user_id":1,"item_id":2}\n', pyarrow.json, "read_json"),
        ("r.parquet", b"", pq, "ParquetFile"),
    ],
)
@pytest.mark.parametrize("error", [MemoryError, pa.ArrowMemoryError])
def test_every_format_says_so(tmp_path, monkeypatch, name, content, module, function, error):
    def fails(*_, **__):
        raise error("malloc of size 16 failed")

    path = tmp_path / name
    if content:
        path.write_bytes(content)
    else:
        pq.write_table(pa.table({"user_id": [1], "item_id": [2]}), path)
    monkeypatch.setattr(module, function, fails)
    with pytest.raises(
        ResourceLimit, match=rf"{name} does not fit into the .* of memory that this process may use"
    ):
        read_table(path)


def test_text_that_a_limit_leaves_no_room_for(tmp_path, monkeypatch):
    path = tmp_path / "r.csv"
    path.write_text("user_id,item_id\n1,2\n")
    monkeypatch.setattr(_source, "address_space", lambda: 10**12)
    assert read_table(path).num_rows == 1
    # already used up: it is not for us to say
    monkeypatch.setattr(_source, "address_space", lambda: 1)
    assert read_table(path).num_rows == 1
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    monkeypatch.setattr(_source, "address_space", lambda: held + (16 << 20))
    with pytest.raises(ResourceLimit, match="does not fit"):
        read_table(path)


def test_a_container_may_hold_less_than_the_machine(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(_source, "_CONTAINERS", (str(limit), str(tmp_path / "nowhere")))
    whole = _source.available_memory()
    for text, expected in (("1073741824\n", 2**30), ("max\n", whole)):
        limit.write_text(text)
        assert _source.available_memory() == expected
