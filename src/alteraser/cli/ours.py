"""Models of AltEraser that forget: those with factors, and those that are counts or closed
forms.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from alteraser.cli import exact, foreign_options, inputs, shortfall
from alteraser.cli.screen import Screen
from alteraser.cli.subject import Rows, Subject
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from alteraser.data.deletion import Deletion
    from alteraser.data.selection import Selection
    from alteraser.data.sheet import Sheet
    from alteraser.erasers import Eraser
    from alteraser.models.factorization.model import Model
    from alteraser.verbs.choose import Auto, Choice
    from alteraser.verbs.erasure import Erasure
    from alteraser.verbs.lists import ListsChanged

STOP = object()
DEFAULT_TOLERANCE = 1e-3


class Ours(Subject):
    """A folder that ``train`` or ``forget`` wrote."""

    model: Any

    def check(self) -> None:
        """Options for other libraries' files, and what the kind's methods do not have."""
        asked = self.asked
        foreign_options.refuse(
            asked.theirs.given
            | {name: getattr(asked.care, name) for name in ("unchecked", "scrub", "purged")},
            "is for models of other libraries: how its data are read is kept in the model",
        )
        if asked.wanted.readmit and not asked.wanted.grown:
            raise InvalidInput("--readmit is about additions: it goes with --grown")
        inputs.check_tolerance(asked.how.tolerance)
        how = asdict(asked.how)
        settings = {
            name: how[name]
            for name in ("solver", "tolerance", "max_passes", "memory", "seed", "confirm")
        }
        self.check_method(settings)

    def check_method(self, settings: dict[str, Any]) -> None:
        """Raise InvalidInput for a method or ``settings`` of one that the kind does not have."""

    def load(self) -> Any:
        """The model as it lies there."""
        return inputs.load_model(self.asked.model)

    def open(self) -> None:
        """The model, whose record of erasures goes where the new one is written."""
        from alteraser.data.readers import ReadingOptions

        self.model = self.load()
        if self.asked.out is not None:
            self.model = replace(self.model, erased=self.model.erased.going_to(self.asked.out))
        self.reading = self.asked.wanted.timed(self.model.reading or ReadingOptions())
        self.ids = self.model.users, self.model.items

    def sheet(self, *, every_column: bool) -> Sheet:
        """DATA, as the model's were read."""
        from alteraser.data.sheet import Sheet

        names = inputs.NOT_ASKED | {"timestamp_column": "--timestamp-column"}
        return Sheet.read(self.asked.data, self.reading, every_column=every_column, names=names)

    def match(self, selection: Selection, sheet: Sheet) -> Deletion:
        """Checked against the digest of what it was trained on."""
        from alteraser.verbs.deleting import match

        how = self.asked.wanted.matching(sheet.below_threshold(self.ids))
        return match(self.model, selection, sheet.interactions(), how)

    def plan(self, found: Deletion) -> Any:
        """None: exact kinds have one way."""
        return None

    def identity(self, saved: Any) -> dict[str, Any]:
        """Digests, and the kind."""
        return {"digest": saved.digest, "parent": saved.parent, "kind": saved.kind}


class ExactSubject(Ours):
    """Counts or a closed form."""

    def check_method(self, settings: dict[str, Any]) -> None:
        """Only the one way, and nothing that is for models with factors."""
        from alteraser.models.folder import kind_at
        from alteraser.verbs.forget_exactly import check_method

        kind = kind_at(self.asked.model)
        check_method(kind, self.asked.how.method)
        foreign_options.refuse(
            settings | {"stop_at_tolerance": self.asked.how.stop_at_tolerance},
            f"means nothing to a model of kind {kind}",
        )

    def forget(self, found: Deletion) -> Erasure[Any]:
        """Count what remains."""
        from alteraser.verbs.forget import unlearn

        with self.screen.phase("solve", "forgetting"):
            return unlearn(
                self.model, found, method=self.asked.how.method, threads=self.asked.talk.threads
            )

    def title(self, erasure: Erasure[Any]) -> str:
        """The kind."""
        return f": {erasure.model.kind}"

    def standing(self, erasure: Erasure[Any]) -> Rows:
        """Class A, always; and what else of the model that took."""
        from alteraser.models.closed_form.scrubbed import Scrubbed

        kind = erasure.model.settings
        words = Scrubbed(**erasure.details["scrubbed"]).words
        return [
            ("class", f"A: {kind.summary} as the remaining data give; verify looks {kind.again}"),
            *exact.told_rows(erasure.model),
            *([("scrubbed", words)] if words else []),
        ]

    def shortfall(self, erasure: Erasure[Any]) -> str:
        """There is no level beyond."""
        raise AssertionError(erasure.kind)


class FactorsSubject(Ours):
    """A model with factors, and the methods that there are for them."""

    method: Any = None

    def check_method(self, settings: dict[str, Any]) -> None:
        """The method and its settings, so that a mistyped option is told at once."""
        how = self.asked.how
        self.method = _asked(
            how.method,
            settings
            | {
                "limits": STOP if how.stop_at_tolerance else None,
                "escalate": None if how.max_passes is None else STOP,
            },
        )

    def open(self) -> None:
        """The model, and the eraser for it."""
        super().open()
        if isinstance(self.method, tuple):
            self.method = _eraser(self.method[0], self.method[1], self.model)

    def plan(self, found: Deletion) -> Any:
        """Which way, and why."""
        from alteraser.verbs.forget import plan

        with self.screen.phase("solve", "planning"):
            return plan(self.model, found, method=self.method, threads=self.asked.talk.threads)

    def forget(self, found: Deletion) -> Erasure[Any]:
        """Passes under a bar."""
        from alteraser.verbs.forget import unlearn

        goal = getattr(self.method, "tolerance", DEFAULT_TOLERANCE)
        beyond = not self.asked.how.stop_at_tolerance
        with self.screen.passes("solve", "forgetting", goal, beyond=beyond):
            return unlearn(
                self.model,
                found,
                method=self.method,
                threads=self.asked.talk.threads,
                on_choice=lambda choice, lists: _warn(self.screen, choice, lists),
            )

    def standing(self, erasure: Erasure[Any]) -> Rows:
        """Which way, how far it got, and which class that is."""
        work, why = erasure.work, erasure.way.why
        return [
            ("method", erasure.method + (f": {why}" if why is not None else "")),
            ("passes", f"{work.passes}, {work.rows_updated:,} rows solved"),
            _residual(erasure),
            *_measured(erasure),
        ]

    def shortfall(self, erasure: Erasure[Any]) -> str:
        """What was not reached, and the remedy."""
        return shortfall.words(erasure, self.asked.how)


def _warn(screen: Screen, choice: Choice, lists: Callable[[], ListsChanged]) -> None:
    """Before going to an optimum that training never reached: that is another training, and moves
    everybody.
    """
    if choice.method != "converge" or choice.at_rest or not choice.effect:
        return
    found = lists()
    screen.note(
        f"note: {choice.away}, the deletion's own rows move {choice.effect:.1e}: going there "
        f"finishes the training. By estimate the top-10 of {found.changed:.0%} of the other users "
        f"will change (overlap {found.overlap:.2f}); --method local changes what the deletion "
        "changes"
    )


def _asked(method: str, given: dict[str, Any]) -> Auto | tuple[str, dict[str, Any]]:
    """``auto`` or one of its ways with what they share, or (an eraser's name, its settings); reads
    nothing.

    Options that only going to an optimum has mean that one.
    """
    from alteraser.verbs.choose import WAYS, Auto

    only = [
        name
        for name in ("solver", "memory", "confirm", "limits")
        if given[name] is not None and given[name] is not False
    ]
    if method in ("auto", "converge") and only:
        return "converge", _settings("converge", given)
    if method != "auto" and method not in WAYS:
        return method, _settings(method, given)
    _check_shared(method, only, given)
    way = None if method == "auto" else next(way for way in WAYS if way == method)
    tolerance = DEFAULT_TOLERANCE if given["tolerance"] is None else given["tolerance"]
    return Auto(way, tolerance, given["max_passes"])


def _check_shared(method: str, only: list[str], given: dict[str, Any]) -> None:
    """InvalidInput for an option that ``method``, one of the ways of ``auto``, does not have.

    ``only``: those that were given and only going to an optimum has.
    """
    for name in (*only, *(["seed"] if given["seed"] is not None else [])):
        shown = "stop-at-tolerance" if name == "limits" else name
        raise InvalidInput(f"--{shown} means nothing to --method {method}")
    if method == "replay" and given["tolerance"] is not None:
        raise InvalidInput(
            "--tolerance means nothing to --method replay, which stops where the training did"
        )


def _settings(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """Settings of the eraser called ``method`` from the options that were given; InvalidInput for
    one it does not have.

    Nothing is read for it, so that a mistyped option is told at once.
    """
    from alteraser.erasers import accepted, eraser
    from alteraser.solvers import strategy

    known = accepted(method)
    if "finish" in known:  # the default level is class C, whoever solves the rows
        given = given | {"finish": True}
    settings = {
        name: value for name, value in given.items() if value is not None and value is not False
    }
    if "escalate" not in known:  # a cap on passes that was asked for is a cap
        settings.pop("escalate", None)
    for name in settings:
        if name == "limits" and name not in known:
            raise InvalidInput(f"--stop-at-tolerance means nothing to --method {method}")
        if name not in known:
            raise InvalidInput(f"--{name.replace('_', '-')} means nothing to --method {method}")
    for name, off in (("limits", None), ("escalate", False)):
        if settings.get(name) is STOP:
            settings[name] = off
    if "solver" in settings and method in ("alteraser", "converge", "retrain"):
        strategy(settings["solver"])
    eraser(method, **settings)  # for what it refuses itself
    return settings


def _eraser(method: str, settings: dict[str, Any], model: Model) -> Eraser:
    """The eraser called ``method`` for ``model``."""
    from alteraser.erasers import accepted, eraser

    if model.trains_prediction and "train_prediction" in accepted(method):
        settings = settings | {"train_prediction": True}
    return eraser(method, **settings)


def _residual(erasure: Erasure[Any]) -> tuple[str, str]:
    work = erasure.work
    if erasure.method == "replay":
        return (
            "stationarity",
            f"{work.residual:.1e}, as the training would have ended; class A, verify replays it",
        )
    left = (
        "of the deletion's push"
        if erasure.details["effect"] is None
        else "of what the deletion changed is left"
    )
    return "residual", f"{work.residual:.1e} {left}" + (
        "" if work.converged else "  (not converged)"
    )


def _measured(erasure: Erasure[Any]) -> Rows:
    """The distance that was measured, the class, and what stands in the way of a better one."""
    found, effect, work = erasure.details["measured"], erasure.details["effect"], erasure.work
    rows = []
    if found is not None:
        rows.append(
            (
                "distance",
                f"about {found['distance']:.1e} of the model's size to an optimum for the "
                "remaining data"
                + (f"; class {erasure.kind}, verify recomputes it" if erasure.kind != "D" else ""),
            )
        )
    if effect is not None and erasure.kind in ("L", "D"):
        left = (
            ""
            if erasure.effect_left is None
            else f", about {erasure.effect_left:.1%} of its effect is missing"
        )
        rows.append(
            ("class", f"{erasure.kind}{left}; verify --before OLD --forgotten FORGET recomputes it")
        )
    else:
        rows.append(("class", f"{erasure.kind}: {erasure.class_name}"))
    lacks = erasure.evidence.lacks
    if erasure.kind != "C" or found is None:  # else the distance says it
        rows.append(("", erasure.sentence + (f" ({lacks})" if lacks else "")))
    notes = {
        "L bends down near the original: it is not near an optimum in that direction, so its "
        "weakest directions are left as they were": effect is not None and effect["bent"],
        "passes and joint steps did not get there: retrained from a random start": "retrain"
        in work.route,
        f"{erasure.model.factors.dtype} holds no more digits: train with --dtype float64 or more "
        "--regularization, or ask for a larger --tolerance": work.reason == "rounding"
        and not work.converged,
    }
    return [*rows, *(("note", words) for words, holds in notes.items() if holds)]
