"""Where a command talks: progress, timing, and how results are shown."""

from __future__ import annotations

import json as json_module
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from alteraser.cli.pulse import Pulse
from alteraser.errors import AltEraserError, ResourceLimit
from alteraser.runtime import events

if TYPE_CHECKING:
    from rich.console import Console

    from alteraser.data.interactions import Interactions


def effect_rows(left: float | None) -> list[tuple[str, str]]:
    """For people: what a local erasure is estimated to lack of the deletion's effect."""
    if left is None:
        return []
    further = f"{left:.2g} times as far again" if left > 1 else f"{left:.0%} further"
    return [
        (
            "effect",
            f"had training gone on to its end, the deletion would move the model {further} "
            "(estimate)",
        )
    ]


def unrated_rows(interactions: Interactions) -> list[tuple[str, str]]:
    """For people: rows of DATA that no threshold could be held against."""
    if not interactions.unrated:
        return []
    return [
        (
            "left out",
            f"{interactions.unrated:,} rows without a rating: they are not at least the threshold",
        )
    ]


@dataclass
class Screen:
    """Where a command talks: results to stdout, everything else to stderr."""

    json: bool
    quiet: bool
    page: Path | None = None
    """Where the answer is written as a page as well"""
    seconds: dict[str, float] = field(default_factory=dict)
    clock: Callable[[], float] = time.perf_counter
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @property
    def stderr(self) -> Console:
        """Rich console on stderr."""
        from rich.console import Console

        return Console(stderr=True, quiet=self.quiet, highlight=False, emoji=False)

    def note(self, text: str) -> None:
        """A line for the person at the terminal, in rich's markup."""
        self.stderr.print(text)

    def warn(self, text: str) -> None:
        """One plain line on stderr, also under ``--quiet``: what must not be missed."""
        print(printable(text), file=sys.stderr, flush=True)

    @contextmanager
    def phase(self, name: str, label: str) -> Iterator[None]:
        """Time a phase under ``seconds[name]``, with a spinner where there is a terminal, and else
        a line from time to time (``cli.pulse``).
        """
        from rich.text import Text

        console = self.stderr
        with self._timed(name):
            if console.is_terminal and not self.quiet:
                with console.status(Text(printable(label))):
                    yield
            else:
                with self._beating(Pulse(label, self.warn)):
                    yield

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        """Add to ``seconds[name]`` what it takes, without what is timed within it: a moment belongs
        to one part.
        """
        began, before = self.clock(), sum(self.seconds.values())
        try:
            yield
        finally:
            within = sum(self.seconds.values()) - before
            self.seconds[name] = self.seconds.get(name, 0.0) + self.clock() - began - within

    @contextmanager
    def passes(
        self, name: str, label: str, tolerance: float, *, beyond: bool = False
    ) -> Iterator[None]:
        """Time a solve under ``seconds[name]``, with a progress bar where there is a terminal, and
        else a line from time to time: it listens to the solve's ``pass`` events.

        ``beyond``: the solve goes on from the tolerance until a class can be measured. See
        ``cli.pace``.
        """
        from rich.progress import Progress, TextColumn, TimeElapsedColumn

        from alteraser.cli.pace import Pace, PaceColumn, said

        began = self.clock()
        pace, pulse = Pace(tolerance, beyond=beyond), Pulse(label, self.warn)
        shown = self.stderr.is_terminal and not self.quiet

        def draw(event: events.Event) -> None:
            if event.name == "pass":
                residual, words = event.values["residual"], said(event)
                known = residual if isinstance(residual, float) else None
                pace.record(known, self.clock() - began)
                pulse.said = ", ".join(filter(None, words.values()))
                bar.update(task, **words)

        bar = Progress(
            TextColumn(label),
            PaceColumn(pace),
            TextColumn("{task.fields[what]}  {task.fields[left]}"),
            TimeElapsedColumn(),
            console=self.stderr,
            transient=True,
            disable=not shown,
        )
        with self._timed(name), bar, self._listening(draw), self._beating(pulse):
            task = bar.add_task(label, total=1.0, what="", left="")
            yield

    @contextmanager
    def steps(self, name: str, label: str) -> Iterator[None]:
        """Time work under ``seconds[name]``, with a bar where there is a terminal, and else a line
        from time to time: it listens to the work's ``step`` events.
        """
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        shown, pulse = self.stderr.is_terminal and not self.quiet, Pulse(label, self.warn)

        def draw(event: events.Event) -> None:
            if event.name == "step":
                share, what = cast(float, event.values["share"]), event.values["what"]
                pulse.said = f"{share:.0%}, {what}"
                bar.update(task, completed=share, what=what)

        bar = Progress(
            TextColumn(label),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[what]}"),
            console=self.stderr,
            transient=True,
            disable=not shown,
        )
        with self._timed(name), bar, self._listening(draw), self._beating(pulse):
            task = bar.add_task(label, total=1.0, what="")
            yield

    def _listening(self, draw: Callable[[events.Event], None]) -> AbstractContextManager[None]:
        return nullcontext() if self.quiet else events.listening(draw)

    def _beating(self, pulse: Pulse) -> AbstractContextManager[None]:
        silent = self.quiet or self.stderr.is_terminal
        return nullcontext() if silent else pulse.beating()

    def timing(self) -> dict[str, float]:
        """{read, solve, write, …, other, total} in seconds: read, solve and write always, further
        parts where there were some (check, compare), and what is in none of them. total is their
        sum.
        """
        total = self.clock() - self._began
        known = dict.fromkeys(("read", "solve", "write"), 0.0) | self.seconds
        return known | {"other": total - sum(known.values()), "total": total}

    def result(
        self, document: dict[str, Any], rows: list[tuple[str, str]] | None = None, title: str = ""
    ) -> None:
        """Show the result: the document as JSON, or ``rows`` as a two-column table; and write the
        ``page``, if any, whose failure takes no answer from anybody.
        """
        try:
            if self.page is not None:
                from alteraser.cli.page import write_page

                write_page(self.page, _plain(document), rows or [])
        except AltEraserError as cause:
            lost = {"answer": _plain(document)} if self.json else {}  # one document, whatever comes
            if not self.json:
                self._show(document, rows, title)
            raise type(cause)(
                f"{cause.message} That is the page alone: what else the command writes is complete",
                path=str(self.page),
                **lost,
            ) from cause
        self._show(document, rows, title)

    def _show(
        self, document: dict[str, Any], rows: list[tuple[str, str]] | None, title: str
    ) -> None:
        if self.json:
            with _stdout_errors():
                print_document(document)
            return
        if self.quiet or rows is None:
            return
        from rich.console import Console
        from rich.table import Table

        table = Table(title=title or None, show_header=False, box=None, title_justify="left")
        table.add_column(style="dim")
        table.add_column(overflow="fold")  # a long path is broken, never cut
        from rich.text import Text

        for name, value in rows:
            table.add_row(Text(printable(name)), Text(printable(value)))
        with _stdout_errors():
            Console(highlight=False).print(table)


@contextmanager
def _stdout_errors() -> Iterator[None]:
    """A full disk behind stdout comes after the work: say that the work is done."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ResourceLimit(
            f"standard output: {error.strerror or error}; the answer is lost, the files that the "
            "command wrote are complete"
        ) from error


def print_document(document: dict[str, Any]) -> None:
    """One JSON document on stdout; in ASCII where stdout cannot take all characters."""
    plain = _plain(document)
    text = json_module.dumps(plain, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json_module.dumps(plain, allow_nan=False)
    print(text)


def printable(text: str) -> str:
    r"""``text`` with control and bidirectional characters spelled out: an id or a path is no
    terminal command.

    >>> print(printable("tea\x1b[2J"))
    tea\x1b[2J
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def _plain(value: Any) -> Any:
    """JSON values only; a number that is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)


def work(outcome: Any) -> dict[str, Any]:
    """The entries of a document that say what the driver did."""
    return {
        "passes": outcome.passes,
        "products": outcome.products,
        "rows_updated": outcome.rows_updated,
        "objective_after": outcome.objective,
        "residual": outcome.residual,
        "converged": outcome.converged,
        "reason": outcome.reason,
        "route": list(outcome.route),
    }


def seconds_text(seconds: dict[str, float]) -> str:
    """``12.3 s (read 0.4, solve 11.6, write 0.1)``: the parts that have a name."""
    parts = ", ".join(f"{x} {at:.2f}" for x, at in seconds.items() if x not in ("other", "total"))
    return f"{seconds['total']:.2f} s ({parts})"
