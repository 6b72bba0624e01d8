"""Model files of other libraries: how they forget, how they are verified, and what is said of files
beside them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alteraser.cli import inputs
from alteraser.cli.foreign_options import options_from, refuse, warn_of_pickles
from alteraser.cli.screen import effect_rows
from alteraser.cli.subject import Rows, Subject
from alteraser.errors import IntegrityError, InvalidInput, NumericFailure

if TYPE_CHECKING:
    from alteraser.adapters import ForeignOptions, SelfCheck, Sibling
    from alteraser.adapters.contract import Foreign
    from alteraser.adapters.forget import ForeignSettings, Unlearned, Written
    from alteraser.cli.examining import VerifyRequest
    from alteraser.data.deletion import Deletion
    from alteraser.data.readers import ReadingOptions
    from alteraser.data.selection import Selection
    from alteraser.data.sheet import Sheet
    from alteraser.verbs.erasure import Erasure

SIBLINGS = 5
"""Files beside a model that are listed without --verbose."""


class Theirs(Subject):
    """A file or folder of another library."""

    ours = False
    names = None
    options: ForeignOptions
    settings: ForeignSettings
    foreign: Foreign

    def check(self) -> None:
        """Options that are for our models, and what contradicts the format."""
        from alteraser.adapters.asked import checked
        from alteraser.adapters.choose import known_method
        from alteraser.adapters.data import reading_of
        from alteraser.adapters.forget import ForeignSettings

        asked, how = self.asked, self.asked.how
        refuse(
            {
                "solver": how.solver,
                "memory": how.memory,
                "confirm": how.confirm,
                "stop_at_tolerance": how.stop_at_tolerance,
                "grown": asked.wanted.grown,
                "session": asked.wanted.session,
                "basket": asked.wanted.basket,
            },
            f"means nothing to {asked.model}, a model of another library",
        )
        known_method(how.method)
        options = options_from(asked.theirs)
        inputs.check_tolerance(how.tolerance)
        self.settings = ForeignSettings(
            how.method,
            how.tolerance,
            how.max_passes or ForeignSettings.max_passes,
            how.seed or 0,
            asked.care.unchecked,
        )
        checked(asked.model, options, asked.theirs.format)
        warn_of_pickles(self.screen, asked.theirs)
        self.options = options.model_copy(update={"reading": asked.wanted.timed(options.reading)})
        self.reading = reading_of(self.options)

    def open(self) -> None:
        """The file, and whose rows those are."""
        from alteraser.adapters.opened import read_foreign

        self.adapter, self.foreign = read_foreign(
            self.asked.model, self.options, format=self.asked.theirs.format
        )
        self.ids = self.foreign.maps

    def sheet(self, *, every_column: bool) -> Sheet:
        """DATA, as the options say."""
        from alteraser.adapters.data import sheet_of

        return sheet_of(self.asked.data, self.options, every_column=every_column)

    def match(self, selection: Selection, sheet: Sheet) -> Deletion:
        """With what was deleted from DATA before put back, where that is known."""
        from alteraser.adapters.forget import looked_for, matched
        from alteraser.adapters.opened import with_data

        asked = self.asked
        opened = with_data(self.adapter, self.foreign, sheet, self.options)
        self.opened, lost = looked_for(
            opened, selection, sheet, asked.forget_set, purged=asked.care.purged
        )
        return matched(
            self.opened,
            selection,
            how=asked.wanted.matching(sheet.below_threshold(self.ids)),
            lost=lost,
        )

    def plan(self, found: Deletion) -> Any:
        """After the self-check."""
        from alteraser.adapters.forget import plan_foreign

        with self.screen.phase("solve", "planning"):
            return plan_foreign(
                self.opened, found, method=self.settings, threads=self.asked.talk.threads
            )

    def forget(self, found: Deletion) -> Erasure[Any]:
        """Check, solve, compare."""
        from alteraser.adapters.choose import CONVERGED
        from alteraser.adapters.forget import unlearn_foreign

        goal = self.asked.how.tolerance or CONVERGED

        def phase(name: str) -> AbstractContextManager[None]:
            if name == "solve":
                return self.screen.passes(name, "forgetting", goal)
            return self.screen.phase(name, DOING.get(name, name))

        return unlearn_foreign(
            self.opened,
            found,
            method=self.settings,
            threads=self.asked.talk.threads,
            phase=phase,
            warn=self.screen.warn,
        )

    def save(self, erasure: Erasure[Any], out: Path) -> Any:
        """The container, and what lies beside it."""
        written = erasure.model.save(out, scrub=self.asked.care.scrub)
        return replace(
            written,
            siblings=not_ours(
                written.siblings, self.asked.outputs.remaining, self.asked.forget_set
            ),
        )

    def identity(self, saved: Written) -> dict[str, Any]:
        """Digests of plain files, and the files that may still hold what was erased."""
        from alteraser.data.files import sha256_file

        return {
            "digest": sha256_file(saved.path) if saved.path.is_file() else None,
            "parent": sha256_file(saved.parent) if saved.parent.is_file() else None,
            "scrubbed": [str(path) for path in saved.scrubbed],
            "siblings": [sibling_document(sibling) for sibling in saved.siblings],
        }

    def title(self, erasure: Erasure[Any]) -> str:
        """Whose it is."""
        return f" ({self.foreign.format} {self.foreign.kind})"

    def standing(self, erasure: Erasure[Any]) -> Rows:
        """The self-check, the way, the class, and how far that is."""
        work = erasure.work
        rows = [
            ("self-check", check_words(erasure.model.check)),
            ("method", f"{erasure.method}: {erasure.way.why}"),
            ("class", f"{erasure.kind}: {erasure.sentence}"),
            ("passes", f"{work.passes}, {work.rows_updated:,} rows solved"),
        ]
        if erasure.method != "replay":
            words = f"{work.residual:.1e} of the deletion's push" + (
                "" if work.converged else "  (not converged)"
            )
            rows.append(("residual", words))
        # exit 0 says that nothing of anybody is left, no merit of what was done
        if erasure.model.zero is not None:
            self.screen.warn(f"note: {erasure.model.zero}")
        return [*rows, *effect_rows(erasure.effect_left)]

    def beside(self, saved: Written) -> Rows:
        """Other files."""
        scrubbed = [("scrubbed", str(path)) for path in saved.scrubbed]
        return scrubbed + sibling_rows(saved.siblings, verbose=self.asked.talk.verbose)

    def shortfall(self, erasure: Erasure[Any]) -> str:
        """By what stood in the way."""
        return _not_reached(erasure)


def _not_reached(erasure: Erasure[Unlearned]) -> str:
    """One line: what was reached, what was not, what to do."""
    erased, foreign = erasure.model.erased, erasure.model.opened.foreign
    if erased.method == "rows":
        return (
            f"class D: {erasure.way.why}. What is erased is absent, its effect on others is not "
            f"(anchored residual {erased.residual:.2g}). Retrain without the data"
            + (
                ", or keep an integer random_state with the model next time, so that its training "
                "can be repeated"
                if foreign.kind == "als" and foreign.trainer is None
                else ""
            )
        )
    if erased.method == "local" and erased.damped:
        return (
            "class D: the deletion had its effect, damped as far as the trainer of "
            f"{foreign.loss.name} would have gone; nothing that can be recomputed from the files "
            "tells how much of it. Retrain without the data where that has to be shown"
        )
    if erased.reason == "askers":
        return (
            "class D: the row of a user who asked still holds most of what was to go, although "
            "little of the deletion's push is left in all. Retrain without the data, or forget "
            "fewer users at once"
        )
    if erased.method == "local":
        allow = _rounded_up(erased.residual)
        return (
            f"class D: {erased.residual:.2g} of the deletion's push is left, more than was asked "
            "for. "
            + (
                f"Allow for that (--tolerance {allow}) or retrain"
                if float(allow) <= 1
                else "Retrain"
            )
            + " without the data"
        )
    if not erased.converged:
        return (
            f"not converged: {erased.residual:.2g} of the deletion's push is left after "
            f"{erased.passes} passes. Raise --max-passes or --tolerance, or use --method local"
        )
    return (
        f"class D: {erased.standing.sentence if erased.standing else 'not measured'}. Use "
        "--method local or auto"
    )


def _rounded_up(value: float) -> str:
    """``value`` with two digits, not below it."""
    digits = f"{value:.2g}"
    return digits if float(digits) >= value else f"{value * 1.05:.2g}"


def verify(asked: VerifyRequest) -> int:
    """``alteraser verify`` for another library's model."""
    from alteraser.adapters.asked import checked
    from alteraser.adapters.choose import LOCAL
    from alteraser.adapters.data import all_data, reading_of, sheet_of
    from alteraser.adapters.forget import open_foreign
    from alteraser.adapters.verify import verify_foreign
    from alteraser.adapters.zeros import zero_words
    from alteraser.data.files import sha256_file
    from alteraser.data.readers import read_rows

    asked.check_pair()
    refuse(
        {"unrelated": asked.unrelated}, "is for models of AltEraser, which name what they come from"
    )
    refuse(
        {"replay": asked.replay},
        "is not needed: a training that the file tells of is always repeated",
    )
    screen, model, before, forgotten = asked.screen, asked.model, asked.before, asked.forgotten
    if (before is None) != (forgotten is None):
        raise InvalidInput(
            "--before and --forgotten belong together: the model from before, and what was "
            "forgotten in it"
        )
    if before is not None and before.resolve() == model.resolve():
        raise IntegrityError(
            "--before is the model itself: give the one from before it forgot", path=str(before)
        )
    options, format, tolerance = options_from(asked.theirs), asked.theirs.format, asked.tolerance
    inputs.check_tolerance(tolerance)
    checked(model, options, format)
    warn_of_pickles(screen, asked.theirs)
    with screen.phase("read", "reading"):
        sheet = sheet_of(asked.data, options)
        new, old = open_foreign(model, sheet, options, format=format), None
        if before is not None and forgotten is not None:
            reading = reading_of(options)
            whole = all_data(sheet.rows, read_rows(forgotten, _either(forgotten, reading)), options)
            old = open_foreign(before, whole, options, format=format)
    with screen.phase("solve", "measuring"):
        found = verify_foreign(
            new, old, tolerance=LOCAL if tolerance is None else tolerance, threads=asked.threads
        )
    zero = zero_words(new.foreign, new.data)
    document = {
        "model": str(model),
        "format": new.foreign.format,
        "kind": new.foreign.kind,
        "digest": sha256_file(model) if model.is_file() else None,
        "data_digest": new.data.digest,
        "before": None if before is None else str(before),
        "class": found.level,
        "sentence": found.sentence,
        "checks": [vars(finding) for finding in found.findings],
        "loss": new.foreign.loss.formula,
        "numerically_zero": zero is not None,
        "seconds": screen.timing(),
    }
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


DOING = {"check": "checking", "write": "writing", "compare": "comparing lists"}


def not_ours(
    siblings: tuple[Sibling, ...], remaining: Path | None, forget_set: Path | None
) -> tuple[Sibling, ...]:
    """``siblings`` without what this command wrote itself, and what FORGET is called by its
    name.
    """
    written, named = (None if path is None else path.absolute() for path in (remaining, forget_set))
    return tuple(
        replace(sibling, what="FORGET: who asked, and for what")
        if sibling.path.absolute() == named
        else sibling
        for sibling in siblings
        if sibling.path.absolute() != written
    )


def sibling_document(sibling: Sibling) -> dict[str, Any]:
    """For JSON."""
    return {
        "path": str(sibling.path),
        "what": sibling.what,
        "scrub": sibling.scrub is not None,
        "advice": sibling.advice,
    }


def _near(path: Path) -> Path:
    """``path`` as seen from the working directory, where it is inside it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path


def sibling_rows(siblings: tuple[Sibling, ...], *, verbose: bool = False) -> list[tuple[str, str]]:
    """For people: the first few, or with ``verbose`` all."""
    shown = siblings if verbose else siblings[:SIBLINGS]
    rows = [
        (
            "also look at",
            f"{_near(sibling.path)}: {sibling.what}"
            + (" (--scrub rewrites it)" if sibling.scrub is not None else ""),
        )
        for sibling in shown
    ]
    if len(shown) < len(siblings):
        rows.append(("", f"… and {len(siblings) - len(shown):,} more files; --verbose lists them"))
    return rows


def check_words(check: SelfCheck) -> str:
    """``passed: the item rows' median residual 1e-05 (limit 0.01); …``."""
    parts = "; ".join(f"{m.name} {m.value:.1e} (limit {m.limit:.1e})" for m in check.measures)
    blind = f". It does not see {check.blind}" if check.blind else ""
    return ("passed: " if check.passed else "FAILED: ") + parts + blind
