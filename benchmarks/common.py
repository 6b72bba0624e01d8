"""What the benchmarks share: data, CPU time, interleaved runs, Markdown tables."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from alteraser.data.interactions import Interactions
from alteraser.data.sets import generate_household


def load(folder: str | None) -> tuple[str, Interactions]:
    """(name, interactions) of a folder, or of the generated household without one."""
    if folder is None:
        made = generate_household(seed=0)
        return "generated household", Interactions.from_table(made.interactions.select(["user_id", "item_id"]))
    return Path(folder).name, Interactions.read(folder, duplicates="first")


def cpu_seconds(run: Callable[[], object]) -> float:
    """CPU seconds of all threads of this process while ``run`` runs."""
    began = time.process_time()
    run()
    return time.process_time() - began


def interleaved(runs: dict[str, Callable[[], object]], repeats: int = 5) -> dict[str, float]:
    """Median CPU seconds of each run, one after the other in every round, a first round thrown away."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_number in range(repeats + 1):
        for name, run in runs.items():
            seconds = cpu_seconds(run)
            if round_number:
                times[name].append(seconds)
    return {name: median(values) for name, values in times.items()}


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def machine() -> str:
    """One line about the machine and its load."""
    import platform

    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg()) if hasattr(os, "getloadavg") else "?"
    return f"{platform.machine()}, {processors} processors, Python {platform.python_version()}, load {load}"
