"""Side environments: pinned versions of real libraries that cannot live beside us, each made once
and kept.

They are made where ALTERASER_SIDE says (a folder; ``.venv-interop`` in the repository without it).
Scripts run in them by path, and answer with one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "adapters" / "fixtures"

REQUIREMENTS = {
    # RecBole 1.2.1 needs Python 3.11 and what was current when it was made; its LightGCN needs
    # SciPy before 1.11
    "recbole": [
        "torch==2.13.0",
        "recbole==1.2.1",
        "numpy<2",
        "setuptools<81",
        "scipy<1.11",
        "pandas<2.3",
    ],
    "surprise": ["scikit-surprise==1.1.5"],
    "cornac": ["cornac==3.0.1"],
    "implicit": ["implicit==0.7.3", "pyarrow==26.0.1"],
    "spark": ["pyspark==4.3.0", "numpy==2.4.6"],  # and a JVM, 17 or newer
    "keras": ["torch==2.13.0", "keras==3.15.1", "h5py==3.16.0"],
    "lenskit": ["torch==2.13.0", "lenskit==2025.8.1", "safetensors==0.8.0"],
}
PYTHON = {"recbole": "python3.11"}


def python_of(name: str) -> Path:
    """The interpreter of the side environment ``name``, made where it is missing."""
    place = Path(os.environ.get("ALTERASER_SIDE", ROOT / ".venv-interop")) / name
    python = place / "bin" / "python"
    if not (place / "ready").exists():
        subprocess.run([PYTHON.get(name, sys.executable), "-m", "venv", str(place)], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS[name]], check=True
        )
        (place / "ready").touch()
    return python


def run(name: str, script: Path, *arguments: Any) -> None:
    """Run ``script`` in the side environment ``name``."""
    done = subprocess.run(
        [str(python_of(name)), str(script), *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]


def answer(name: str, script: Path, *arguments: Any) -> Any:
    """What ``script`` prints last, as JSON."""
    done = subprocess.run(
        [str(python_of(name)), str(script), *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
