"""What the commands of the experiments on a folder of data sets share: options, names, the bar over
cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from alteraser.bench.common import words
from alteraser.bench.paper.store import Store
from alteraser.cli.screen import Screen
from alteraser.errors import Interrupted, InvalidInput

OnCell = Callable[[Any, float], None]

DataFolder = Annotated[
    Path,
    typer.Option(
        "--data",
        help="A data set, or a folder of data sets (each a folder with interactions.parquet).",
    ),
]


def only(folders: tuple[Path, ...], datasets: str | None, data: Path) -> tuple[Path, ...]:
    """Those ``folders`` that are named in ``datasets``, all without it; InvalidInput for a name
    that is not there.
    """
    if datasets is None:
        return folders
    wanted = words(datasets, "--datasets")
    known = {folder.name: folder for folder in folders}
    missing = [name for name in wanted if name not in known]
    if missing:
        raise InvalidInput(
            f"--datasets: {', '.join(missing)} not in {data}; there are {', '.join(known)}"
        )
    return tuple(known[name] for name in wanted)


def carried_out(
    screen: Screen,
    out: Path,
    keys: list[Any],
    run: Callable[[Store, OnCell], list[Any]],
    report: Callable[[Path, list[Any]], dict[str, Path]],
) -> int:
    """``run`` into a store under ``out``, with a bar over the cells, then ``report``; the command's
    answer.

    Interrupted, saying how many cells are there: every finished one is stored.
    """
    store = Store(out)
    with screen.phase("solve", ""), _progress(screen, len(keys)) as on_cell:
        try:
            records = run(store, on_cell)
        except (KeyboardInterrupt, Interrupted):
            done = sum(store.record(key) is not None for key in keys)
            raise Interrupted(
                f"interrupted; {done} of {len(keys)} cells are in {out}, the same command goes on"
            ) from None
    written = {name: str(path) for name, path in report(store.folder, records).items()}
    document: dict[str, Any] = {"cells": len(records), "out": str(out), **written}
    screen.result(
        document | {"seconds": screen.timing()},
        [(name, str(value)) for name, value in document.items()],
    )
    return 0


@contextmanager
def _progress(screen: Screen, total: int) -> Iterator[OnCell]:
    """A bar over cells with an estimate of the time that is left; a line per cell where there is no
    terminal.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = screen.stderr
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    hidden = screen.quiet or not console.is_terminal
    bar = Progress(
        TextColumn("{task.description}"), *columns, console=console, transient=True, disable=hidden
    )
    with bar:
        task = bar.add_task("cells", total=total)

        def on_cell(key: Any, seconds: float) -> None:
            bar.update(task, advance=1, description=str(key))
            if not console.is_terminal and seconds > 0.05:
                screen.note(f"{key}  {seconds:.1f} s")

        yield on_cell
