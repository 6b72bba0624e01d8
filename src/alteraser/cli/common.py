"""What every command shares: options, the progress bar, timing, and how results are shown."""

from __future__ import annotations

import json as json_module
import math
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from alteraser.cli import completion
from alteraser.errors import InvalidInput, ResourceLimit
from alteraser.runtime import events

if TYPE_CHECKING:
    from rich.console import Console

    from alteraser.data.ids import IdMap
    from alteraser.data.interactions import Interactions
    from alteraser.data.readers import ForgetTable, ReadingOptions
    from alteraser.models.closed_form.model import ExactModel
    from alteraser.models.factorization.model import Model
    from alteraser.models.protocol import Recommender
    from alteraser.models.relational.plain import PlainModel
    from alteraser.settings import WrongSetting

Json = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout; everything else on stderr.")
]
Threads = Annotated[
    int, typer.Option("--threads", min=0, help="Worker threads; 0 for every processor.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", help="List all of what is shown the first few of.")
]
DataArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DATA", help="Interactions: a file, or a folder with interactions.parquet."
    ),
]
DataOption = Annotated[Path, typer.Option("--data", help="Interactions: a file, or a folder.")]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="A model directory.")]
UserColumn = Annotated[str, typer.Option("--user-column", help="Column with the user ids.")]
ItemColumn = Annotated[str, typer.Option("--item-column", help="Column with the item ids.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold", help="Keep rows whose rating is at least this.", show_default=False
    ),
]
ThresholdColumn = Annotated[
    str, typer.Option("--threshold-column", help="Column the threshold looks at.")
]
Confidence = Annotated[
    str | None,
    typer.Option(
        "--confidence", help='Column or rule for c, such as "1 + 40 * rating".', show_default=False
    ),
]
Target = Annotated[
    str | None,
    typer.Option("--target", help="Column or rule for the target y.", show_default=False),
]
TimestampColumn = Annotated[
    str | None,
    typer.Option(
        "--timestamp-column",
        help="Column that says when: numbers, dates, times, or ISO 8601 text.",
        show_default=False,
    ),
]
SessionColumn = Annotated[
    str | None,
    typer.Option(
        "--session-column",
        help="Column that says in which session of its user a row was; the user column, "
        "where every user is one session.",
        show_default=False,
    ),
]
SessionGap = Annotated[
    str | None,
    typer.Option(
        "--session-gap",
        metavar="TIME",
        help="Where no column says it: a time after which whatever comes is "
        "another session, such as 30m, 1h, 2d, or a number in the unit of --timestamp-column.",
        show_default=False,
    ),
]
BasketColumn = Annotated[
    str | None,
    typer.Option(
        "--basket-column",
        help="Column that says in which basket of its user a row was.",
        show_default=False,
    ),
]
PositionColumn = Annotated[
    str | None,
    typer.Option(
        "--position-column",
        help="Column of numbers that orders rows of the same time, or, without times, all of them.",
        show_default="the order of the rows",
    ),
]
SegmentColumn = Annotated[
    str | None,
    typer.Option(
        "--segment-column",
        help="Column that says of which segment a row is, such as a country or a device, where "
        "popularity is counted by it.",
        show_default=False,
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Names of the columns of text without a header, in their order, such as "
        "user_id,item_id,rating.",
        show_default=False,
    ),
]
Separator = Annotated[
    str | None,
    typer.Option(
        "--separator",
        help="What is between the fields of text: ';', '::', tab, space.",
        show_default="what its first line is cut by",
    ),
]
Decimal = Annotated[
    str | None,
    typer.Option(
        "--decimal", help="What is before a fraction in text: '.' or ','.", show_default="."
    ),
]
Layout = Annotated[
    str | None,
    typer.Option(
        "--layout",
        autocompletion=completion.LAYOUT,
        help="Text whose lines are no rows: netflix (an item's 1: and its users below), adjacency "
        "(a user and all of its items).",
        show_default=False,
    ),
]
Confirm = Annotated[
    bool,
    typer.Option(
        "--confirm", help="At the tolerance, look for a saddle and go on from it (costly)."
    ),
]
Duplicates = Annotated[
    str,
    typer.Option(
        "--duplicates", autocompletion=completion.DUPLICATES, help="refuse, first, last or sum."
    ),
]


def paragraphs(text: str) -> str:
    """A docstring's paragraphs as lines of their own, which the terminal wraps as wide as it is.

    Square brackets are text: help is set by rich, which would take ``[service]`` for a style.
    """
    lines = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return "\n\n".join(lines).replace("[", "\\[")


@dataclass(frozen=True)
class Talk:
    """With how many workers, and how much is said."""

    threads: Threads = 0
    verbose: Verbose = False
    quiet: Quiet = False
    json: Json = False


def reading_options(**given: Any) -> ReadingOptions:
    """ReadingOptions from command-line values, None for what was not given; InvalidInput names the
    option.
    """
    from alteraser.data.readers import ReadingOptions

    if given.get("columns") is not None:
        given["column_names"] = tuple(name.strip() for name in given["columns"].split(","))
    known = {
        name: value for name, value in given.items() if name != "columns" and value is not None
    }
    with options_named({"column_names": "columns"}):
        return ReadingOptions(**known)


@contextmanager
def options_named(renamed: Mapping[str, str] | None = None) -> Iterator[None]:
    """Errors about settings name the options that set them: ``--`` and the setting, or ``renamed``
    of its name; so do their reasons, of a setting whose name is no word of a sentence.
    """
    from alteraser.settings import WrongSetting

    try:
        yield
    except WrongSetting as cause:
        names = [
            (renamed or {}).get(where[0], where[0]) if where else "" for where, _ in cause.faults
        ]
        raise InvalidInput(
            "; ".join(
                f"{_option(name)}: {told}" if name else told
                for name, told in zip(
                    names,
                    (_of_options(cause, why, renamed or {}) for _, why in cause.faults),
                    strict=True,
                )
            )
        ) from cause


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _of_options(cause: WrongSetting, reason: str, renamed: Mapping[str, str]) -> str:
    """``reason`` where it names other settings: by their options, values in quotes left alone."""
    return re.sub(
        r"(?<!['\w])[a-z]+(?:_[a-z]+)+(?!['\w])",
        lambda found: (
            _option(renamed.get(found[0], found[0])) if found[0] in cause.names else found[0]
        ),
        reason,
    )


def check_tolerance(tolerance: float | None) -> None:
    """InvalidInput for a tolerance that is not above 0 and at most 1."""
    from alteraser.tolerances import checked_tolerance

    if tolerance is not None:
        checked_tolerance(tolerance, "--tolerance")


def load_model(path: Path) -> Model | ExactModel | PlainModel:
    """The model at ``path``, of any kind."""
    from alteraser.models.loading import load

    return load(path)


def load_factors(path: Path) -> Model:
    """The model at ``path``; IntegrityError where it has no factors."""
    from alteraser.models.factorization.model import Model

    return Model.load(path)


def read_for(model: Recommender, source: Path) -> Interactions:
    """Interactions of ``source``, read the way the model's training data were."""
    return read_as(model.reading or _standard(), source)


NOT_ASKED: dict[str, str | None] = dict.fromkeys(
    (
        "user_column",
        "item_column",
        "threshold_column",
        "confidence",
        "target",
        "timestamp_column",
        "column_names",
        "session_column",
        "basket_column",
        "position_column",
        "segment_column",
    )
)
"""For messages of commands that read data as they were read in training: no option names a
column."""


def read_as(
    reading: ReadingOptions,
    source: Path,
    *,
    users: IdMap | None = None,
    items: IdMap | None = None,
    names: Mapping[str, str | None] | None = None,
) -> Interactions:
    """Interactions of ``source``, read as ``reading`` says and no option of the command can change
    but ``names``.
    """
    from alteraser.data.interactions import Interactions

    option_names = NOT_ASKED | dict(names or {})
    return Interactions.read(source, reading, users=users, items=items, option_names=option_names)


def _standard() -> ReadingOptions:
    from alteraser.data.readers import ReadingOptions

    return ReadingOptions()


def read_users(path: Path | None, model: Recommender) -> Any:
    """The ids in a table's user column, or None."""
    if path is None:
        return None
    return read_forget(path, model.reading or _standard(), whole_users=True, names=NOT_ASKED).users


def read_forget(
    path: Path,
    reading: ReadingOptions,
    *,
    whole_users: bool,
    whole_items: bool = False,
    names: Mapping[str, str | None] | None = None,
) -> ForgetTable:
    """FORGET, under the training data's column names or else the standard ones, user_id and
    item_id.

    ``names``: NOT_ASKED where the command has no option that names a column.
    """
    from alteraser.data.readers import ReadingOptions, read_forget_table

    try:
        return read_forget_table(
            path, reading, whole_users=whole_users, whole_items=whole_items, names=names
        )
    except InvalidInput as own:
        if (reading.user_column, reading.item_column) == ("user_id", "item_id"):
            raise
        try:
            return read_forget_table(
                path,
                ReadingOptions(),
                whole_users=whole_users,
                whole_items=whole_items,
                names=names,
            )
        except InvalidInput:
            raise own from None


def check_ids(path: Path, wanted: ForgetTable, users: IdMap, items: IdMap) -> None:
    """InvalidInput, naming FORGET, for an id that does not convert to the type of the model's
    ids.
    """
    if wanted.users is not None:
        users.rows_of(wanted.users, f"{path}: user_id")
    if wanted.items is not None:
        items.rows_of(wanted.items, f"{path}: item_id")


def forget_columns(wanted: ForgetTable) -> Any:
    """The Arrow table that ``forget`` takes: user_id and item_id, or one of them for whole users or
    items.
    """
    import pyarrow as pa

    columns = {"user_id": wanted.users, "item_id": wanted.items}
    return pa.table({name: ids for name, ids in columns.items() if ids is not None})


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
    _began: float = field(default_factory=time.perf_counter)

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
        """Time a phase under ``seconds[name]``, with a spinner where there is a terminal."""
        from rich.text import Text

        began = time.perf_counter()
        console = self.stderr
        try:
            if console.is_terminal and not self.quiet:
                with console.status(Text(printable(label))):
                    yield
            else:
                yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    @contextmanager
    def passes(
        self, name: str, label: str, tolerance: float, *, beyond: bool = False
    ) -> Iterator[None]:
        """Time a solve under ``seconds[name]``, with a progress bar where there is a terminal: it
        listens to the solve's ``pass`` events.

        ``beyond``: the solve goes on from the tolerance until a class can be measured. See
        ``cli.pace``.
        """
        from rich.progress import Progress, TextColumn, TimeElapsedColumn

        from alteraser.cli.pace import Pace, PaceColumn, said

        began = time.perf_counter()
        pace = Pace(tolerance, beyond=beyond)
        shown = self.stderr.is_terminal and not self.quiet

        def draw(event: events.Event) -> None:
            if event.name == "pass":
                residual = event.values["residual"]
                known = residual if isinstance(residual, float) else None
                pace.record(known, time.perf_counter() - began)
                bar.update(task, **said(event))

        bar = Progress(
            TextColumn(label),
            PaceColumn(pace),
            TextColumn("{task.fields[what]}  {task.fields[left]}"),
            TimeElapsedColumn(),
            console=self.stderr,
            transient=True,
            disable=not shown,
        )
        with bar, events.listening(draw) if shown else nullcontext():
            task = bar.add_task(label, total=1.0, what="", left="")
            yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    @contextmanager
    def steps(self, name: str, label: str) -> Iterator[None]:
        """Time work under ``seconds[name]``, with a bar where there is a terminal, which listens to
        the work's ``step`` events.
        """
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        began = time.perf_counter()
        shown = self.stderr.is_terminal and not self.quiet

        def draw(event: events.Event) -> None:
            if event.name == "step":
                bar.update(
                    task, completed=cast(float, event.values["share"]), what=event.values["what"]
                )

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
        with bar, events.listening(draw) if shown else nullcontext():
            task = bar.add_task(label, total=1.0, what="")
            yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def timing(self) -> dict[str, float]:
        """{read, solve, write, total} in seconds, and check where something was checked."""
        known = {name: self.seconds.get(name, 0.0) for name in ("read", "solve", "write")}
        known |= {name: self.seconds[name] for name in ("check",) if name in self.seconds}
        return known | {"total": time.perf_counter() - self._began}

    def result(
        self, document: dict[str, Any], rows: list[tuple[str, str]] | None = None, title: str = ""
    ) -> None:
        """Show the result: the document as JSON, or ``rows`` as a two-column table; and write the
        ``page``, if any.
        """
        if self.page is not None:
            from alteraser.cli.page import write_page

            write_page(self.page, _plain(document), rows or [])
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
    """``12.3 s (read 0.4, solve 11.6, write 0.1)``."""
    parts = ", ".join(f"{name} {seconds[name]:.2f}" for name in ("read", "solve", "write"))
    return f"{seconds['total']:.2f} s ({parts})"


@contextmanager
def blas_threads(threads: int) -> Iterator[None]:
    """Limit BLAS to ``threads`` (0: leave it as it is)."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads or None):
        yield


def names_given(asked: ReadingOptions, taken: ReadingOptions) -> dict[str, str | None] | None:
    """The option that stands for a field in messages where a kind took another one than was
    ``asked``: baskets that --session-column names.
    """
    moved = asked.session_column is not None and taken.basket_column == asked.session_column
    return {"basket_column": "--session-column"} if moved else None
