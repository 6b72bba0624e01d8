"""The benchmark of scale runs, on data so small that it says nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_runs_from_generating_to_the_roofline(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "scale.py"), "--sizes", "0.02", "0.04", "--factors", "16"]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| CG pass, CPU s |" in done.stdout
    assert "of the roof" in done.stdout
    assert (tmp_path / "out" / "scale.json").exists()
    assert "<script>" in (tmp_path / "out" / "roofline.html").read_text()
