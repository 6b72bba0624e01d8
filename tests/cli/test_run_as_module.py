"""``python -m alteraser`` is the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_the_module_runs_as_the_command_does(world: Path, tmp_path: Path) -> None:
    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "alteraser", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )

    answer = call("data", "stats", str(world / "data.csv"), "--json")
    assert answer.returncode == 0
    assert json.loads(answer.stdout)["users"] == 60
    refused = call("data", "stats", "nowhere.csv")
    assert refused.returncode == 3
    assert "nowhere.csv" in refused.stderr
