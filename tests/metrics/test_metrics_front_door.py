"""What `alteraser.metrics` exports, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

from alteraser import metrics


def test_all_is_what_is_there() -> None:
    modules = {"accuracy", "distance", "effect", "forgetting", "ranks", "rbo"}
    public = {name for name in vars(metrics) if not name.startswith("_")}
    assert public - (modules - {"accuracy"}) == set(metrics.__all__)
    assert callable(metrics.accuracy)  # the function, not its module


def test_import_is_light() -> None:
    code = (
        "import sys, alteraser.metrics; "
        "print(*({'scipy', 'numba', 'pyarrow', 'pydantic', 'pandas', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
