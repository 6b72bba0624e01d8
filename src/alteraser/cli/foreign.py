"""What ``forget`` and ``inspect`` do with model files of other libraries, and the options for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alteraser.cli import aftermath, again, common, completion, selecting
from alteraser.errors import AltEraserError, IntegrityError, InvalidInput, NotFound, NumericFailure

if TYPE_CHECKING:
    from alteraser.adapters import Erased, ForeignOptions, SelfCheck, Sibling
    from alteraser.adapters.forget import ForeignErasure
    from alteraser.data.readers import ReadingOptions
    from alteraser.data.selection import Age

SIBLINGS = 5
"""Files beside a model that are listed without --verbose."""

PANEL = "Models of other libraries"

Format = Annotated[
    str | None,
    typer.Option("--format", autocompletion=completion.FORMAT,
                 help="Whose file MODEL is, where its content does not say.", rich_help_panel=PANEL,
                 show_default=False),
]  # fmt: skip
UsersMap = Annotated[
    Path | None,
    typer.Option("--users-map", help="Which user each row is: a table (row, user_id), JSON, or RecBole's .inter or "
                 "data set dump, LightFM's Dataset.", rich_help_panel=PANEL, show_default=False),
]  # fmt: skip
ItemsMap = Annotated[
    Path | None,
    typer.Option("--items-map", help="The same for items.", rich_help_panel=PANEL, show_default=False),
]
RowsAreIds = Annotated[
    bool, typer.Option("--rows-are-ids", help="Ids in DATA are MODEL's rows, from 0.", rich_help_panel=PANEL)
]
Rating = Annotated[
    str | None,
    typer.Option("--rating", help='Column or rule for r, the matrix entries MODEL was trained on, such as "plays" or '
                 '"1 + 40 * plays"; without it 1.', rich_help_panel=PANEL, show_default=False),
]  # fmt: skip
UserColumn = Annotated[
    str | None,
    typer.Option("--user-column", help="Column with the user ids.", rich_help_panel=PANEL, show_default="user_id"),
]
ItemColumn = Annotated[
    str | None,
    typer.Option("--item-column", help="Column with the item ids.", rich_help_panel=PANEL, show_default="item_id"),
]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", help="Keep rows whose rating is at least this.", rich_help_panel=PANEL,
                 show_default=False),
]  # fmt: skip
ThresholdColumn = Annotated[
    str | None,
    typer.Option("--threshold-column", help="Column the threshold looks at.", rich_help_panel=PANEL,
                 show_default="rating"),
]  # fmt: skip
Duplicates = Annotated[
    str | None,
    typer.Option("--duplicates", autocompletion=completion.DUPLICATES,
                 help="refuse, first, last or sum (of r).", rich_help_panel=PANEL,
                 show_default="refuse"),
]  # fmt: skip
Columns = Annotated[
    str | None,
    typer.Option("--columns", help="Names of the columns of text without a header, in their order.",
                 rich_help_panel=PANEL, show_default=False),
]  # fmt: skip
Separator = Annotated[
    str | None,
    typer.Option("--separator", help="What is between the fields of text.", rich_help_panel=PANEL, show_default=False),
]
Decimal = Annotated[
    str | None,
    typer.Option("--decimal", help="What is before a fraction in text: '.' or ','.", rich_help_panel=PANEL,
                 show_default="."),
]  # fmt: skip
Layout = Annotated[
    str | None,
    typer.Option("--layout", autocompletion=completion.LAYOUT, help="Text whose lines are no rows: netflix, adjacency.",
                 rich_help_panel=PANEL, show_default=False),
]  # fmt: skip
Alpha = Annotated[
    float | None,
    typer.Option("--alpha", help="α, where MODEL does not say.", rich_help_panel=PANEL, show_default=False),
]
Regularization = Annotated[
    float | None,
    typer.Option("--regularization", help="λ, where MODEL does not say.", rich_help_panel=PANEL, show_default=False),
]
MissingWeight = Annotated[
    float | None,
    typer.Option("--missing-weight", help="w₀, where MODEL holds only factors.", rich_help_panel=PANEL,
                 show_default=False),
]  # fmt: skip
LossName = Annotated[
    str | None,
    typer.Option("--loss", autocompletion=completion.LOSS,
                 help="What was minimized, where MODEL holds only factors.", rich_help_panel=PANEL,
                 show_default=False),
]  # fmt: skip
Feedback = Annotated[
    bool | None,
    typer.Option("--implicit/--explicit", help="Kind of feedback, where MODEL does not say.", rich_help_panel=PANEL,
                 show_default=False),
]  # fmt: skip
AllowPickle = Annotated[
    bool,
    typer.Option("--allow-pickle", help="Read a pickle, with a reader that runs nothing of it.", rich_help_panel=PANEL),
]
Unchecked = Annotated[
    bool, typer.Option("--unchecked", help="Go on although MODEL does not fit DATA.", rich_help_panel=PANEL)
]
Purged = Annotated[
    bool,
    typer.Option("--purged", help="Pairs of FORGET that match nothing were deleted from DATA before.",
                 rich_help_panel=PANEL),
]  # fmt: skip
Scrub = Annotated[
    bool,
    typer.Option("--scrub", help="Also rewrite, in place, other files that are known to hold the erased data.",
                 rich_help_panel=PANEL),
]  # fmt: skip

READING = ("user_column", "item_column", "threshold", "threshold_column", "duplicates", "columns", "separator",
           "decimal", "layout")  # fmt: skip


def is_foreign(model: Path, format: str | None, given: dict[str, Any]) -> bool:
    """Whether ``model`` is another library's: said so, a plain file, a folder that an adapter recognizes or, with
    options ``given`` for such models, any that has no model.json.

    Raises NotFound where there is nothing.
    """
    if not model.exists():
        raise NotFound(f"there is no model at {model}; check the path", path=str(model))
    if format is not None:
        return True
    if (model / "model.json").is_file():
        return False
    if model.is_file():
        return True
    from alteraser.adapters import ADAPTERS, adapter_named

    if any(adapter_named(name).recognizes(model) for name in ADAPTERS):
        return True
    return any(value is not None for value in given.values())  # meant as one: let it be said which there are


def refuse(given: dict[str, Any], why: str) -> None:
    """InvalidInput for the first option that was given and means nothing here."""
    for name, value in given.items():
        if value is not None and value is not False:
            option = {"implicit": "--implicit/--explicit"}.get(name, f"--{name.replace('_', '-')}")
            raise InvalidInput(f"{option} {why}")


def options_from(given: dict[str, Any]) -> ForeignOptions:
    """ForeignOptions from command-line values; InvalidInput names the option."""
    from alteraser.adapters import ForeignOptions

    reading = common.reading_options(**{name: given[name] for name in READING if given.get(name) is not None})
    rest = {name: value for name, value in given.items() if name not in READING and value is not None}
    with common.options_named():
        return ForeignOptions(reading=reading, **rest)


def forget(
    screen: common.Screen,
    model: Path,
    forget_set: Path | None,
    data: Path,
    out: Path | None,
    given: dict[str, Any],
    *,
    format: str | None,
    method: str,
    tolerance: float | None,
    max_passes: int | None,
    seed: int | None,
    whole_users: bool,
    whole_items: bool,
    remaining: Path | None,
    dry_run: bool,
    unchecked: bool,
    scrub: bool,
    readmit: bool,
    verbose: bool,
    threads: int,
    users: list[str] | None,
    since: str | None,
    until: str | Age | None,
    timestamp_column: str | None,
    strict: bool,
    purged: bool,
) -> int:
    """``alteraser forget`` for another library's model; outputs were checked before."""
    from alteraser.adapters.asked import checked
    from alteraser.adapters.choose import CONVERGED, known_method, plan
    from alteraser.adapters.data import reading_of
    from alteraser.adapters.forget import (
        admitted,
        checked_against,
        forget_foreign,
        looked_for,
        matched,
        open_foreign,
        task_of,
    )
    from alteraser.cli.forget import report_dry_run
    from alteraser.data.remaining import below_threshold

    asked = known_method(method)
    options = options_from(given)
    common.check_tolerance(tolerance)
    checked(model, options, format)
    warn_of_pickles(screen, given)
    window = since is not None or until is not None
    timed = selecting.timed(options.reading, timestamp_column, window=window)
    options = options.model_copy(update={"reading": timed})
    reading = reading_of(options)
    with screen.phase("read", "reading"):
        selection = selecting.selected(
            forget_set, reading, whole_users=whole_users, whole_items=whole_items, users=users, since=since, until=until
        )
        opened = open_foreign(model, data, options, format=format)
        assert opened.foreign.user_ids is not None
        assert opened.foreign.item_ids is not None
        ids = opened.foreign.user_ids, opened.foreign.item_ids
        selecting.check_ids(forget_set, selection, *ids)
        opened, absent, put_back = looked_for(opened, selection, data, forget_set, purged=purged)
        removal = matched(opened, selection, strict=strict, below=below_threshold(data, reading, ids), absent=absent)
        admitted(opened, removal, readmit=readmit)
    if dry_run:
        with screen.phase("solve", "planning"):
            found = checked_against(opened.foreign, opened.data, removal, threads=threads)
            if not unchecked:
                found.require(model)
            planned = plan(asked, task_of(opened, removal, threads=threads))
        return report_dry_run(screen, removal, opened.data, planned, verbose=verbose)
    assert out is not None
    progress = _Progress(screen, tolerance or CONVERGED)
    with _written(remaining, out, data, removal, reading, screen):
        erasure = forget_foreign(
            opened, removal, out, method=method, tolerance=tolerance, max_passes=max_passes or 200,
            unchecked=unchecked, scrub=scrub, readmit=readmit, seed=seed or 0, threads=threads,
            on_pass=progress.on_pass, phase=progress.phase, warn=lambda words: screen.warn(words),
        )  # fmt: skip
    _report(
        screen, erasure, remaining, _without_ours(erasure.siblings, remaining, forget_set), verbose=verbose,
        missing=put_back,
    )  # fmt: skip
    if erasure.erased.reached:
        return 0
    screen.warn(_not_reached(erasure))
    return NumericFailure.exit_code


def _not_reached(erasure: ForeignErasure) -> str:
    """One line: what was reached, what was not, what to do."""
    erased = erasure.erased
    if erased.method == "rows":
        return (
            f"class D: {erasure.choice.why}. What is erased is absent, its effect on others is not (anchored residual "
            f"{erased.residual:.2g}). Retrain without the data"
            + (
                ", or keep an integer random_state with the model next time, so that its training can be repeated"
                if erasure.foreign.kind == "als" and erasure.foreign.trainer is None
                else ""
            )
        )
    if erased.method == "local" and erased.damped:
        return (
            f"class D: the deletion had its effect, damped as far as the trainer of {erasure.foreign.loss.name} would "
            "have gone; nothing that can be recomputed from the files tells how much of it. Retrain without the data "
            "where that has to be shown"
        )
    if erased.reason == "askers":
        return (
            "class D: the row of a user who asked still holds most of what was to go, although little of the "
            "deletion's push is left in all. Retrain without the data, or forget fewer users at once"
        )
    if erased.method == "local":
        allow = _rounded_up(erased.residual)
        return (
            f"class D: {erased.residual:.2g} of the deletion's push is left, more than was asked for. "
            + (f"Allow for that (--tolerance {allow}) or retrain" if float(allow) <= 1 else "Retrain")
            + " without the data"
        )
    if not erased.converged:
        return (
            f"not converged: {erased.residual:.2g} of the deletion's push is left after {erased.passes} passes. Raise "
            "--max-passes or --tolerance, or use --method local"
        )
    return f"class D: {erased.standing.sentence if erased.standing else 'not measured'}. Use --method local or auto"


def _rounded_up(value: float) -> str:
    """``value`` with two digits, not below it."""
    digits = f"{value:.2g}"
    return digits if float(digits) >= value else f"{value * 1.05:.2g}"


def verify(
    screen: common.Screen, model: Path, data: Path, before: Path | None, forgotten: Path | None, given: dict[str, Any],
    *, format: str | None, tolerance: float | None, threads: int,
) -> int:  # fmt: skip
    """``alteraser verify`` for another library's model."""
    from alteraser.adapters.asked import checked
    from alteraser.adapters.choose import LOCAL
    from alteraser.adapters.data import all_data, reading_of
    from alteraser.adapters.forget import open_foreign
    from alteraser.adapters.verify import verify_foreign
    from alteraser.adapters.zeros import zero_words
    from alteraser.data.files import sha256_file
    from alteraser.data.readers import read_rows

    if (before is None) != (forgotten is None):
        raise InvalidInput(
            "--before and --forgotten belong together: the model from before, and what was forgotten in it"
        )
    if before is not None and before.resolve() == model.resolve():
        raise IntegrityError("--before is the model itself: give the one from before it forgot", path=str(before))
    options = options_from(given)
    common.check_tolerance(tolerance)
    checked(model, options, format)
    warn_of_pickles(screen, given)
    with screen.phase("read", "reading"):
        new, old = open_foreign(model, data, options, format=format), None
        if before is not None and forgotten is not None:
            reading = reading_of(options)
            whole = all_data(read_rows(data, reading), read_rows(forgotten, _either(forgotten, reading)), options)
            old = open_foreign(before, whole, options, format=format)
    with screen.phase("solve", "measuring"):
        found = verify_foreign(new, old, tolerance=LOCAL if tolerance is None else tolerance, threads=threads)
    zero = zero_words(new.foreign, new.data)
    document = {
        "model": str(model), "format": new.foreign.format, "kind": new.foreign.kind,
        "digest": sha256_file(model) if model.is_file() else None, "data_digest": new.data.digest,
        "before": None if before is None else str(before), "class": found.level, "sentence": found.sentence,
        "checks": [vars(finding) for finding in found.findings], "loss": new.foreign.loss.formula,
        "numerically_zero": zero is not None, "seconds": screen.timing(),
    }  # fmt: skip
    rows = [
        ("model", f"{model} ({new.foreign.format} {new.foreign.kind})"),
        ("class", f"{found.level}: {found.sentence}"),
    ]
    for finding in found.findings:
        sign = {True: "ok", False: "FAILS", None: "no"}[finding.passed]
        value = "-" if finding.value is None else f"{finding.value:.3g}"
        limit = "" if finding.limit is None else f", limit {finding.limit:g}"
        rows.append((finding.name, f"{value}  ({sign}{limit}) {finding.meaning}"))
    screen.result(document, rows)
    if zero is not None:
        screen.warn(f"note: {zero}")
    return 0 if found.passed else NumericFailure.exit_code


def _either(path: Path, reading: ReadingOptions) -> ReadingOptions:
    """How FORGET is read: by the data's columns, or the standard ones where it has these."""
    from alteraser.data.readers import ReadingOptions, read_rows

    try:
        read_rows(path, reading)
    except InvalidInput:
        return ReadingOptions()
    return reading


class _Progress:
    """Spinners for reading and writing, a bar for passes; never two at a time."""

    def __init__(self, screen: common.Screen, tolerance: float) -> None:
        self.screen, self.tolerance = screen, tolerance
        self._bar: Any = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        if name == "solve":
            with self.screen.passes(name, "forgetting", self.tolerance) as bar:
                self._bar = bar
                yield
        else:
            with self.screen.phase(
                name, {"check": "checking", "write": "writing", "compare": "comparing lists"}.get(name, name)
            ):
                yield

    def on_pass(self, record: Any) -> None:
        if self._bar is not None:
            self._bar(record)


@contextmanager
def _written(
    remaining: Path | None, out: Path, data: Path, removal: Any, reading: Any, screen: common.Screen
) -> Iterator[None]:
    """Write the remaining data, and take them back if what follows leaves no model at ``out``."""
    if remaining is None:
        yield
        return
    from alteraser.data.remaining import remaining_rows

    with screen.phase("write", "writing"):
        own = again.written(
            again.table(lambda: remaining_rows(data, removal.removed, reading, removal.selection)), remaining
        )
    try:
        yield
    except BaseException as cause:
        # with an error of ours, the model that is there is another's
        if own and (isinstance(cause, AltEraserError) or not out.exists()):
            remaining.unlink(missing_ok=True)
        raise


def warn_of_pickles(screen: common.Screen, given: dict[str, Any]) -> None:
    """Say what a pickle is to whoever allowed one."""
    if given.get("allow_pickle"):
        screen.note(
            "[yellow]pickles are allowed:[/yellow] they are read here by a reader that runs nothing of them; "
            "whatever else opens such a file runs it"
        )


def _without_ours(
    siblings: tuple[Sibling, ...], remaining: Path | None, forget_set: Path | None
) -> tuple[Sibling, ...]:  # fmt: skip
    """``siblings`` without what this command wrote itself, and what FORGET is called by its name."""
    from dataclasses import replace

    written, named = (None if path is None else path.absolute() for path in (remaining, forget_set))
    return tuple(
        replace(sibling, what="FORGET: who asked, and for what") if sibling.path.absolute() == named
        else sibling
        for sibling in siblings if sibling.path.absolute() != written
    )  # fmt: skip


def _report(
    screen: common.Screen, erasure: ForeignErasure, remaining: Path | None, siblings: tuple[Sibling, ...], *,
    verbose: bool, missing: int = 0,
) -> None:  # fmt: skip
    from alteraser.adapters.zeros import zero_words
    from alteraser.data.files import sha256_file

    erased, changed, removal, foreign = erasure.erased, erasure.changed, erasure.removal, erasure.foreign
    seconds = screen.timing() | {"check": screen.seconds.get("check", 0.0)}
    rest, zero = removal.remaining, zero_words(foreign, erasure.data)
    document = {
        "model": str(erasure.out), "format": foreign.format, "kind": foreign.kind,
        "digest": sha256_file(erasure.out) if erasure.out.is_file() else None,
        "parent": sha256_file(foreign.path) if foreign.path.is_file() else None,
        "method": erased.method, "method_asked": erasure.choice.asked, "why": erasure.choice.why,
        "class": erased.level, "solver": erased.solver, "passes": erased.passes, "products": erased.products,
        "rows_updated": erased.rows_updated, "objective_before": erased.objective_before,
        "objective_after": erased.objective_after, "residual": erased.residual, "converged": erased.converged,
        "reason": erased.reason, "route": list(erased.route), "push": erased.push,
        "training_floor": erased.training_floor, "seconds": seconds, "loss": foreign.loss.formula,
        "replay": None if erasure.choice.followed is None else vars(erasure.choice.followed),
        "effect_left": erasure.effect_left, **aftermath.document(erasure.lists, erasure.again),
        "refit_seconds_predicted": erasure.refit_seconds,
        "self_check": erasure.check.to_document(),
        "interactions_missing": missing if removal.absent is None else None,
        "interactions_before": len(rest) + len(removal.removed), "interactions_forgotten": len(removal.removed),
        **selecting.document(removal),
        "rows_without_rating": erasure.data.unrated, "numerically_zero": zero is not None,
        "users_erased_whole": int(changed.erased_users.size),
        "interactions_readmitted": 0 if erasure.returned is None else len(erasure.returned),
        "rows_changed": {"users": int(changed.user_rows.size), "items": int(changed.item_rows.size)},
        "remaining": None if remaining is None else str(remaining),
        "users": int((rest.user_counts > 0).sum()), "items": int((rest.item_counts > 0).sum()),
        "scrubbed": [str(path) for path in erasure.scrubbed],
        "siblings": [sibling_document(sibling) for sibling in siblings],
        "trace": [vars(record) for record in erased.trace],
    }  # fmt: skip
    rows = [
        ("model", f"{erasure.out} ({foreign.format} {foreign.kind})"),
        ("forgotten", f"{len(removal.removed):,} interactions; {len(rest):,} remain; "
                      f"{changed.erased_users.size:,} users erased whole"),
        *([("readmitted", f"{len(erasure.returned):,} interactions that were erased from this model before")]
          if erasure.returned is not None and len(erasure.returned) else []),
        *_gone_rows(removal, missing),
        *selecting.rows(removal, remaining, verbose=verbose),
        *common.unrated_rows(erasure.data),
        ("self-check", check_words(erasure.check)),
        ("method", f"{erased.method}: {erasure.choice.why}"),
        ("class", _level_words(erased)),
        ("passes", f"{erased.passes}, {erased.rows_updated:,} rows solved"),
        *([("residual", f"{erased.residual:.1e} of the deletion's push"
                        + ("" if erased.converged else "  (not converged)"))] if erased.method != "replay" else []),
        *common.effect_rows(erasure.effect_left),
        *aftermath.rows(erasure.lists, erasure.again, ours=False),
        aftermath.time(seconds, erasure.refit_seconds),
        *[("scrubbed", str(path)) for path in erasure.scrubbed],
        *sibling_rows(siblings, verbose=verbose),
    ]  # fmt: skip
    if zero is not None:  # exit 0 says that nothing of anybody is left, which is no merit of what was done
        screen.warn(f"note: {zero}")
    if erased.training_floor is not None and erased.training_floor > 1:
        rows.append(
            ("note", f"the original's training had left {erased.training_floor:.1f} times this deletion's push; "
                     "the new model is also better trained than the original was")
        )  # fmt: skip
    screen.result(document, rows)


def _gone_rows(removal: Any, missing: int) -> list[tuple[str, str]]:
    """For people: what DATA did not have any more."""
    if removal.absent is not None:
        users, items = (len(rows) for rows in removal.absent)
        return [("gone before", f"{users:,} users and {items:,} items were not in DATA any more; what they had is not "
                                "known, and whether more is missing cannot be checked")]  # fmt: skip
    if missing:
        return [("gone before", f"{missing:,} interactions of FORGET were not in DATA any more and were put back for "
                                "the check; whether more is missing cannot be checked")]  # fmt: skip
    return []


def _level_words(erased: Erased) -> str:
    """The class, in the words that may be said of it."""
    if erased.level == "A":
        return "A: this model was computed without the data that are gone, by repeating its training"
    if erased.standing is not None:
        return f"{erased.level}: {erased.standing.sentence}"
    if erased.level == "L":
        return (
            f"L: the deletion's effect on a model that is not at rest, to within {erased.residual:.2g} of its push; "
            "its distance from an optimum is as before"
        )
    return "D: not shown to have forgotten"


def sibling_document(sibling: Sibling) -> dict[str, Any]:
    """For JSON."""
    return {
        "path": str(sibling.path), "what": sibling.what, "scrub": sibling.scrub is not None, "advice": sibling.advice
    }  # fmt: skip


def _near(path: Path) -> Path:
    """``path`` as seen from the working directory, where it is inside it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path


def sibling_rows(siblings: tuple[Sibling, ...], *, verbose: bool = False) -> list[tuple[str, str]]:
    """For people: the first few, or with ``verbose`` all."""
    shown = siblings if verbose else siblings[:SIBLINGS]
    rows = [
        ("also look at", f"{_near(sibling.path)}: {sibling.what}"
                         + (" (--scrub rewrites it)" if sibling.scrub is not None else ""))
        for sibling in shown
    ]  # fmt: skip
    if len(shown) < len(siblings):
        rows.append(("", f"… and {len(siblings) - len(shown):,} more files; --verbose lists them"))
    return rows


def check_words(check: SelfCheck) -> str:
    """``passed: the item rows' median residual 1e-05 (limit 0.01); …``."""
    parts = "; ".join(f"{m.name} {m.value:.1e} (limit {m.limit:.1e})" for m in check.measures)
    blind = f". It does not see {check.blind}" if check.blind else ""
    return ("passed: " if check.passed else "FAILED: ") + parts + blind
