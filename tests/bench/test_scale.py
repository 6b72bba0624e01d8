"""The benchmark of scale runs, on data so small that it says nothing."""

from __future__ import annotations

from pathlib import Path

from conftest import Run


def test_it_runs_from_generating_to_the_roofline(run: Run, tmp_path: Path) -> None:
    code, out, err = run(f"bench scale --sizes 0.02,0.04 --factors 16 --out {tmp_path}/out")
    assert code == 0, err
    assert "| CG pass, CPU s |" in out
    assert "of the roof" in out
    assert (tmp_path / "out" / "scale.json").exists()
    assert "<script>" in (tmp_path / "out" / "roofline.html").read_text()
