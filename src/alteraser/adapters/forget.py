"""Forgetting in somebody else's model: the file and its data in; the same kind of file, without
what must go, out.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from alteraser.adapters.als import ALS
from alteraser.adapters.choose import (
    Planned,
    come_back,
    erase,
    known_method,
    lists_between,
    refit_seconds,
)
from alteraser.adapters.choose import plan as planned
from alteraser.adapters.contract import (
    Changed,
    Foreign,
    ForeignErasing,
    ForeignOutcome,
    Rows,
    Sibling,
)
from alteraser.adapters.data import Weighted, reweighted
from alteraser.adapters.idmaps import map_files
from alteraser.adapters.indexes import search_indexes
from alteraser.adapters.mapped import changed_rows
from alteraser.adapters.opened import Opened as Opened
from alteraser.adapters.opened import open_foreign as open_foreign
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.purged import completed, gone, of_what_remains, with_gone
from alteraser.adapters.replay import remember_written
from alteraser.adapters.selfcheck import SelfCheck
from alteraser.adapters.siblings import each_once, interactions_at
from alteraser.adapters.zeros import refuse_zero, zero_words
from alteraser.data.deletion import Deletion
from alteraser.data.erased import admit, check_beside, read_record, written_beside
from alteraser.data.files import check_output
from alteraser.data.interactions import Interactions, Removal, accounted
from alteraser.data.selection import Selection
from alteraser.data.sheet import Sheet
from alteraser.erasers.driver import OnPass
from alteraser.errors import AltEraserError, InvalidInput, NotFound
from alteraser.evidence.claims import (
    Certified,
    Evidence,
    LocalEffect,
    Measured,
    Nothing,
    Replayed,
    ResidualOnly,
)
from alteraser.runtime import events
from alteraser.tolerances import checked_tolerance
from alteraser.verbs.choose import Auto
from alteraser.verbs.deleting import PLAIN, Matching, match
from alteraser.verbs.erasure import Erasure, Way, Work
from alteraser.verbs.lists import Aftermath
from alteraser.verbs.roads import OnChoice, plan, unlearn

Phase = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class ForeignSettings:
    """How to forget in somebody else's model; a method of ``forget``."""

    method: str = "auto"
    """``auto``, ``replay``, ``local`` or ``converge``, see ``alteraser.adapters.choose``"""
    tolerance: float | None = None
    """Share of the deletion's push that may stay; None: 0.01 on the way to an optimum, 0.3 for the
    effect of the deletion alone"""
    max_passes: int = 200
    seed: int = 0
    """Of negatives, for losses that draw them"""
    unchecked: bool = False
    """Go on where the self-check fails"""

    def __post_init__(self) -> None:
        known_method(self.method)
        if self.tolerance is not None:
            checked_tolerance(self.tolerance)

    @classmethod
    def of(cls, method: Any) -> ForeignSettings:
        """``method`` by its name, or with settings that this has too, as ``Auto`` does."""
        if isinstance(method, cls):
            return method
        if isinstance(method, Auto):
            return cls(method.way or "auto", method.tolerance, method.max_passes or cls.max_passes)
        if not isinstance(method, str):
            raise InvalidInput(
                f"{type(method).__name__} means nothing to a model of another library"
            )
        return cls(method)


@dataclass(frozen=True, eq=False)
class Written:
    """What ``save`` wrote."""

    path: Path
    parent: Path
    """The original"""
    siblings: tuple[Sibling, ...]
    """Other files that may still hold the erased data; the scrubbed ones are left out."""
    scrubbed: tuple[Path, ...]


@dataclass(frozen=True, eq=False)
class Unlearned:
    """What is to go back into a foreign model's container."""

    opened: Opened
    """The original, and what it was trained on"""
    check: SelfCheck
    """Of the original on its data"""
    erased: ForeignOutcome
    changed: Changed
    deletion: Deletion
    as_run: bool
    """Whether the container will hold the very numbers of a training on what remains"""
    written: Written | None = None
    """Once it was saved"""

    @property
    def zero(self) -> str | None:
        """Where the original's factors are numerically zero: that, in words."""
        return zero_words(self.opened.foreign, self.opened.data)

    def save(self, path: str | Path, *, scrub: bool = False) -> Written:
        """Write the container again at ``path``, whole or not at all, and beside it whom it has
        erased.

        ``scrub``: rewrite sibling files that are known, in place. Raises OutputExists.
        """
        out, foreign, written = Path(path), self.opened.foreign, ScrubbedFiles()
        check_output(out)
        check_beside(out)
        record = self.deletion.recorded(read_record(foreign.path).going_to(out))
        with written_beside(out, record, as_file=True):
            self.opened.adapter.write(foreign, self.changed, out)
            if self.as_run:
                remember_written(foreign, out, self.erased.solver, self.deletion.removal.remaining)
            try:
                for sibling in _map_last(
                    found_siblings(self.opened, out), self.opened.options.users_map
                ):
                    written.take(sibling, foreign, self.changed, scrub=scrub)
            except BaseException:
                # no output; but a file that was scrubbed belongs to the new model: it stays
                if not written.done:
                    _take_back(out)
                raise
        written.left.sort(key=lambda sibling: sibling.path != self.opened.options.users_map)
        return Written(out, foreign.path, tuple(written.left), tuple(written.done))


@dataclass
class ScrubbedFiles:
    """Sibling files on their way: rewritten, or left as they are."""

    done: list[Path] = field(default_factory=list)
    left: list[Sibling] = field(default_factory=list)

    def take(self, sibling: Sibling, foreign: Foreign, changed: Changed, *, scrub: bool) -> None:
        """Rewrite one where that is known and asked for."""
        if not scrub or sibling.scrub is None:
            self.left.append(sibling)
            return
        try:
            sibling.scrub(foreign, changed)
            self.done.append(sibling.path)
        except AltEraserError as cause:  # the model is written; what stays as it was is said
            self.left.append(replace(sibling, scrub=None, advice=cause.message))


def opened_at(
    path: Path, data: Any, *, format: str | None = None, **options: Any
) -> tuple[Opened, Interactions]:
    """The model at ``path`` with its data for ``forget``; ``options`` are the fields of
    ``ForeignOptions``.
    """
    found = open_foreign(
        path,
        Path(data) if isinstance(data, str) else data,
        ForeignOptions(**options),
        format=format,
    )
    return found, found.data


@match.register(Opened)
def matched(
    opened: Opened,
    selection: Selection,
    data: Interactions | None = None,
    how: Matching = PLAIN,
    *,
    lost: LostRows | None = None,
) -> Deletion:
    """What forgetting ``selection`` would remove. NotFound where nothing of it is in the data.

    ``lost``: what ``looked_for`` found to be missing. RefusedByPolicy where the data hold what was
    erased from this model before, unless it is let in again.
    """
    if how.grown:
        raise InvalidInput(
            "models of other libraries learn no additions: forget with the data as trained on"
        )
    lost = lost or LostRows()
    removal = opened.data.remove(selection)
    if lost.rows is not None:
        removal = with_gone(removal, *lost.rows)
    try:
        removal = accounted(removal, strict=how.strict, below=how.below)
    except NotFound as cause:
        lacking = gone(opened.foreign, opened.data, removal, purged=True)[2]
        if lacking is None or not lacking[0].size:
            raise
        raise NotFound(
            f"{cause.message} If DATA lacks them because they were deleted from it before, say so "
            "with --purged.",
            **cause.details,
        ) from cause
    removal = replace(removal, remaining=reweighted(opened.options, opened.data, removal.remaining))
    returned = admit(read_record(opened.foreign.path), removal.remaining, readmit=how.readmit)
    return Deletion(
        opened.data,
        removal,
        returned=returned,
        known=lost.rows is None,
        put_back=lost.put_back,
        reweighted=isinstance(opened.data, Weighted),
    )


@dataclass(frozen=True, eq=False)
class LostRows:
    """What of a request the data did not have any more."""

    rows: tuple[Rows, Rows] | None = None
    """Users and items of whom everything is gone, where what that was is not known"""
    put_back: int = 0
    """Interactions that were put back into the data"""


def looked_for(
    opened: Opened, selection: Selection, sheet: Sheet, forget_set: Path | None, *, purged: bool
) -> tuple[Opened, LostRows]:
    """(the model with all its data, where what is missing from them can be put back; what was
    missing).

    ``sheet`` is what the data were read from; ``purged``: pairs that match nothing were deleted
    from them before.
    """
    removal = opened.data.remove(selection)
    users, items, pairs = gone(opened.foreign, opened.data, removal, purged=purged)
    if not users.size and not items.size:
        return opened, LostRows()
    whole = completed(opened, sheet, forget_set, pairs)
    if whole is not None and len(whole.data) > len(opened.data):
        return whole, LostRows(put_back=len(whole.data) - len(opened.data))
    loss = opened.foreign.loss
    if len(removal.removed) and not isinstance(loss, ALS):
        return opened, LostRows()  # such trainers leave vectors in rows that never had anything
    return opened, LostRows((users, items))


def forget_foreign(
    opened: Opened,
    forget_set: Any,
    out: Path,
    *,
    whole_users: bool = False,
    whole_items: bool = False,
    scrub: bool = False,
    readmit: bool = False,
    threads: int = 0,
    on_pass: OnPass | None = None,
    phase: Phase | None = None,
    warn: Callable[[str], None] | None = None,
    **settings: Any,
) -> Erasure[Unlearned]:
    """Make a foreign model forget ``forget_set`` and write it to ``out``, in its own format:
    ``model.written``.

    Args:
        opened: the model and the data it was trained on, from ``open_foreign``; files stay as they
            are.
        forget_set: a ``Selection``, (user, item) pairs, a table with user_id and item_id; with
            ``whole_users`` user ids, with ``whole_items`` item ids; or what ``matched`` made of it.
        out: the new file or folder; OutputExists where there is one.
        whole_users: forget everything of the users in ``forget_set``.
        whole_items: forget everything of the items in ``forget_set``.
        scrub: rewrite sibling files that are known, in place.
        readmit: also learn what the data hold again of what was erased from this model before; else
            that is refused.
        threads: workers; 0 for every processor this process may use.
        on_pass: called with a ``PassRecord`` after each pass.
        phase: wraps the parts of the work called check, solve, compare and write, for progress.
        warn: told in words what should be known before it is done.
        settings: the fields of ``ForeignSettings``: method, tolerance, max_passes, seed, unchecked.

    What was erased is written down as keyed hashes beside ``out``, see ``alteraser.data.erased``.

    Raises:
        IntegrityError: the self-check failed; NotFound: nothing to forget; NumericFailure: a row
            has no solution;
        RefusedByPolicy: the data hold what was erased before.
    """
    asked = ForeignSettings(**settings)
    check_output(out)
    found = (
        forget_set
        if isinstance(forget_set, Deletion)
        else matched(
            opened,
            Selection.of(forget_set, whole_users=whole_users, whole_items=whole_items),
            how=Matching(readmit=readmit),
        )
    )
    check_beside(out)
    erasure = unlearn_foreign(
        opened, found, method=asked, threads=threads, on_pass=on_pass, phase=phase, warn=warn
    )
    with nullcontext() if phase is None else phase("write"):
        written = erasure.model.save(out, scrub=scrub)
    return replace(erasure, model=replace(erasure.model, written=written))


@unlearn.register(Opened)
@events.verb("forget", "method", "kind", "residual", "converged", "forgotten")
def unlearn_foreign(
    opened: Opened,
    found: Deletion,
    *,
    method: Any = "auto",
    threads: int = 0,
    on_pass: OnPass | None = None,
    on_choice: OnChoice | None = None,
    phase: Phase | None = None,
    warn: Callable[[str], None] | None = None,
) -> Erasure[Unlearned]:
    """``unlearn`` for another library's model; ``phase`` and ``warn`` as for ``forget_foreign``."""
    began, enter, on_pass = (
        time.perf_counter(),
        phase or (lambda name: nullcontext()),
        events.passes(on_pass),
    )
    asked, foreign, data, removal = (
        ForeignSettings.of(method),
        opened.foreign,
        opened.data,
        found.removal,
    )
    with enter("check"):
        check = checked_against(foreign, data, removal, threads=threads)
        # by a replay, which is compared
        borne_out = removal.absent is not None and foreign.trainer is not None
        if not asked.unchecked and not check.passed:
            refuse_zero(foreign, data)
            if not borne_out:
                check.require(foreign.path)
    with enter("solve"):
        erasing = ForeignErasing(
            foreign,
            found,
            max_passes=asked.max_passes,
            threads=threads,
            seed=asked.seed,
            on_pass=on_pass,
        )
        erased, choice = erase(
            known_method(asked.method), erasing, asked.tolerance, warn or (lambda words: None)
        )
        if not asked.unchecked and erased.method != "replay":
            check.require(foreign.path)
        as_run = (
            erased.method == "replay" and not erased.users[removal.remaining.user_counts == 0].any()
        )
        changed = difference(foreign, erased, removal)
    with enter("compare"):
        seen = (
            Aftermath(
                lists_between(foreign, erased, removal.remaining, removal.removed),
                come_back(erased, removal.remaining, removal.removed),
            )
            if foreign.loss.ranks
            else Aftermath()
        )
        left = (
            foreign.loss.effect_left(erasing, erased)
            if erased.method in ("local", "rows")
            else None
        )
        refit = refit_seconds(erasing, foreign.loss.pass_seconds(foreign, data, threads=threads))
    unlearned = Unlearned(opened, check, erased, changed, found, as_run)
    followed = None if choice.followed is None else vars(choice.followed)
    return Erasure(
        model=unlearned,
        deletion=found,
        evidence=evidence_of(erased, left),
        aftermath=seen,
        way=Way(
            erased.method,
            choice.asked,
            choice.why,
            asked.tolerance,
            binding=True,
            refit_seconds=refit,
            details={"replay": followed},
        ),
        work=Work(
            erased.solver,
            erased.passes,
            erased.products,
            erased.rows_updated,
            erased.residual,
            erased.converged,
            erased.reason,
            erased.route,
            erased.objective_before,
            erased.objective_after,
            erased.push,
            erased.training_floor,
            erased.trace,
        ),
        details={
            "format": foreign.format,
            "kind": foreign.kind,
            "loss": foreign.loss.formula,
            "self_check": check.to_document(),
            "numerically_zero": unlearned.zero is not None,
            "converged": erased.converged,
            "rows_changed": {
                "users": int(changed.user_rows.size),
                "items": int(changed.item_rows.size),
            },
        },
        seconds=time.perf_counter() - began,
    )


@plan.register(Opened)
def plan_foreign(
    opened: Opened, found: Deletion, method: Any = "auto", *, threads: int = 0
) -> Planned:
    """``plan`` for another library's model, after its self-check. Raises IntegrityError where that
    fails.
    """
    asked = ForeignSettings.of(method)
    check = checked_against(opened.foreign, opened.data, found.removal, threads=threads)
    if not asked.unchecked:
        check.require(opened.foreign.path)
    return planned(
        known_method(asked.method), ForeignErasing(opened.foreign, found, threads=threads)
    )


def evidence_of(erased: ForeignOutcome, left: float | None) -> Evidence:
    """What may be said of a foreign model that has forgotten; ``left`` is the share of the effect
    that is missing.
    """
    if erased.level == "A":
        return Replayed(
            "this model was computed without the data that are gone, by repeating its training",
            left=left,
        )
    if erased.standing is not None:
        claims = {"B": Certified, "C": Measured, "L": LocalEffect}
        return claims.get(erased.level, ResidualOnly)(erased.standing.sentence, left=left)
    if erased.level == "L":
        return LocalEffect(
            "the deletion's effect on a model that is not at rest, to within "
            f"{erased.residual:.2g} of its push; its distance from an optimum is as before",
            left=left,
        )
    return Nothing("not shown to have forgotten", left=left)


def checked_against(
    foreign: Foreign, data: Interactions, removal: Removal, *, threads: int = 0
) -> SelfCheck:
    """The self-check; where the data lack what is not known, of the measures that single rows do
    not decide.
    """
    found = foreign.loss.check(foreign, data, threads=threads)
    if removal.absent is not None:
        found = of_what_remains(found, len(removal.absent[0]) + len(removal.absent[1]))
    events.emit(
        "checked", passed=found.passed, forgotten=removal.count, remaining=len(removal.remaining)
    )
    return found


def difference(foreign: Foreign, erased: ForeignOutcome, removal: Removal) -> Changed:
    """What goes back: which rows moved, users of whom nothing remains at zero. Arrays of ``erased``
    are changed.
    """
    gone = removal.emptied_users.astype(np.int64)
    erased.users[gone] = 0
    if erased.user_biases is not None:
        erased.user_biases[gone] = 0

    def moved(new: Any, old: Any) -> Rows:
        return np.empty(0, np.int64) if new is None or old is None else changed_rows(new, old)

    rows = [
        np.union1d(
            moved(getattr(erased, f"{side}s"), getattr(foreign, f"{side}s")),
            moved(getattr(erased, f"{side}_biases"), getattr(foreign, f"{side}_biases")),
        )
        for side in ("user", "item")
    ]
    further = {
        name: array
        for name, array in erased.further.items()
        if not np.array_equal(array, foreign.further[name])
    }
    return Changed(
        erased.users,
        erased.items,
        erased.user_biases,
        erased.item_biases,
        None if erased.offset == foreign.offset else erased.offset,
        further,
        rows[0],
        rows[1],
        gone,
        (removal.removed.user_rows, removal.removed.indices.astype(np.int64)),
    )


def found_siblings(opened: Opened, out: Path | None = None) -> tuple[Sibling, ...]:
    """Files that may hold the data as well: the data itself, map files, and what the adapter finds;
    each once.
    """
    found = list(map_files(opened.options))
    if opened.source is not None:
        found.append(interactions_at(opened.source))
    found.extend(search_indexes(opened.foreign.path))
    found.extend(opened.adapter.siblings(opened.foreign.path))
    return each_once(found, out=out, items_map=opened.options.items_map)


def _map_last(siblings: tuple[Sibling, ...], users_map: Path | None) -> list[Sibling]:
    """The map of user ids last: a run that is killed before is repeated with it, as without the ids
    it cannot be.
    """
    return sorted(siblings, key=lambda sibling: sibling.path == users_map)


def _take_back(out: Path) -> None:
    shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)
