"""Compiled code that is kept on disk, when the source changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LOWER = """from alteraser.runtime.jit import kernel

STEP = {step}

@kernel
def lower(x):
    return x {sign} 1
"""
UPPER = """from alteraser.runtime.jit import kernel
from worked.lower import STEP, lower

@kernel
def upper(x):
    return STEP * lower(x)
"""


@pytest.mark.parametrize(("step", "sign", "expected"), [(10, "-", 40), (100, "+", 600)])
def test_kernels_are_compiled_anew_when_what_they_call_changed(
    tmp_path: Path, step: int, sign: str, expected: int
) -> None:
    """Numba looks at a kernel's own file alone, and what it calls is inside its machine code."""
    folder = tmp_path / "worked"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "upper.py").write_text(UPPER)

    def computed() -> tuple[int, ...]:
        code = "from worked.upper import upper as f; print(f(5), len(f.stats.cache_hits))"
        line = [sys.executable, "-B", "-c", code]
        told = subprocess.run(line, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        return tuple(map(int, told.split()))

    (folder / "lower.py").write_text(LOWER.format(step=10, sign="+"))
    assert [computed(), computed()] == [(60, 0), (60, 1)]
    (folder / "lower.py").write_text(LOWER.format(step=step, sign=sign))
    assert [computed(), computed()] == [(expected, 0), (expected, 1)]
