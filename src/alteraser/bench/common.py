"""What the experiments share: options, data, clocks, interleaved runs, fresh processes, tables in
Markdown.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any, TypeVar

import typer

from alteraser.data.interactions import Interactions
from alteraser.data.sets import generate_household
from alteraser.errors import InvalidInput

T = TypeVar("T")

Sets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SET]...", help="Data sets: files or folders; generated data without any."
    ),
]
MissingWeight = Annotated[
    float | None, typer.Option("--missing-weight", help="w0.", show_default="the data's own")
]
Regularization = Annotated[
    float | None, typer.Option("--regularization", help="λ.", show_default="the data's own")
]


def load(folder: str | None) -> tuple[str, Interactions]:
    """(name, interactions) of a folder, or of the generated household without one."""
    if folder is None:
        made = generate_household(seed=0)
        return "generated household", Interactions.from_table(
            made.interactions.select(["user_id", "item_id"])
        )
    return Path(folder).name, Interactions.read(folder, duplicates="first")


def each(sets: list[str] | None) -> Iterator[str | None]:
    """The sets that were asked for, or None, which is generated data; says first on which
    machine.
    """
    print(f"{machine()}\n", flush=True)
    if sets:
        yield from sets
    else:
        yield None


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Numbers between commas or spaces; InvalidInput, naming the option, for anything else.

    >>> numbers("1,0.5 3", "--shares")
    (1.0, 0.5, 3.0)
    """
    try:
        return tuple(float(part) for part in words(text, option))
    except ValueError:
        raise InvalidInput(f"{option} {text!r}: expected numbers separated by commas") from None


def words(text: str, option: str, known: Sequence[str] = ()) -> tuple[str, ...]:
    """Words between commas or spaces, each of ``known`` if that is given; InvalidInput names the
    option.
    """
    found = tuple(part for part in re.split(r"[,\s]+", text) if part)
    if not found:
        raise InvalidInput(f"{option} {text!r}: nothing is in it")
    for name in found:
        if known and name not in known:
            raise InvalidInput(f"{option} {name!r}: there are {', '.join(known)}")
    return found


def clocked(run: Callable[[], T]) -> tuple[T, float, float]:
    """(what ``run`` returns, CPU seconds of all threads of this process, seconds on the clock)."""
    cpu, wall = time.process_time(), time.perf_counter()
    value = run()
    return value, time.process_time() - cpu, time.perf_counter() - wall


def interleaved(runs: dict[str, Callable[[], object]], repeats: int = 5) -> dict[str, float]:
    """Median CPU seconds of each run, one after the other in every round, a first round thrown
    away.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_number in range(repeats + 1):
        for name, run in runs.items():
            _, seconds, _ = clocked(run)
            if round_number:
                times[name].append(seconds)
    return {name: median(values) for name, values in times.items()}


def fresh(function: Callable[..., Any], *arguments: str, **environment: str) -> Any:
    """What ``function``, of a module, returns for ``arguments`` in a process of its own: a JSON
    value.

    RuntimeError with the end of its stderr where the process fails.
    """
    module, name = function.__module__, function.__name__
    code = (
        f"import json, sys; from {module} import {name}; print(json.dumps({name}(*sys.argv[1:])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"{name}({', '.join(arguments)}): "
            f"{done.stderr[-2000:] or f'ended by {-done.returncode}'}"
        )
    return json.loads(done.stdout.splitlines()[-1])


def memory(key: str) -> int:
    """Bytes of an entry of /proc/self/status: VmRSS, or VmHWM for the peak since
    ``forget_peak``.
    """
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(f"{key}:")) * 1024


def forget_peak() -> None:
    """VmHWM starts again from here."""
    Path("/proc/self/clear_refs").write_text("5")


def command() -> str:
    """The path of the ``alteraser`` that goes with this Python."""
    return str(Path(sys.executable).with_name("alteraser"))


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, end: str = "\n") -> None:
    """Print a Markdown table; without an ``end`` more rows may follow."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(end=end, flush=True)


def machine() -> str:
    """One line about the machine and its load."""
    import platform

    processors = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    busy = ", ".join(f"{x:.1f}" for x in os.getloadavg()) if hasattr(os, "getloadavg") else "?"
    return (
        f"{platform.machine()}, {processors} processors, Python {platform.python_version()}, "
        f"load {busy}"
    )
