"""``forget_foreign``: somebody else's model and its data in; the same kind of file, without what must go, out."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from alteraser.adapters.als import ALS
from alteraser.adapters.choose import Choice, come_back, erase, known_method, lists_between, refit_seconds
from alteraser.adapters.contract import Changed, Erased, Foreign, Rows, Sibling, Task
from alteraser.adapters.data import Weighted, reweighted
from alteraser.adapters.idmaps import map_files
from alteraser.adapters.indexes import search_indexes
from alteraser.adapters.mapped import changed_rows
from alteraser.adapters.opened import Opened as Opened
from alteraser.adapters.opened import open_foreign as open_foreign
from alteraser.adapters.purged import completed, gone, of_what_remains, with_gone
from alteraser.adapters.replay import remember_written
from alteraser.adapters.selfcheck import SelfCheck
from alteraser.adapters.zeros import refuse_zero
from alteraser.data.erased import Erased as Record
from alteraser.data.erased import Returned, admit, check_beside, erasing, read_record, written_beside
from alteraser.data.files import check_output
from alteraser.data.interactions import Interactions, Removal, accounted
from alteraser.data.selection import Selection
from alteraser.erasers.driver import OnPass
from alteraser.errors import AltEraserError, NotFound
from alteraser.runtime import events
from alteraser.tolerances import checked_tolerance
from alteraser.verbs.forget import items_asked
from alteraser.verbs.lists import ListedAgain, ListsChanged

Phase = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, eq=False)
class ForeignErasure:
    """What forgetting in a foreign model did."""

    foreign: Foreign
    """The original"""
    data: Interactions
    """What it was trained on."""
    out: Path
    check: SelfCheck
    """Of the original on its data"""
    erased: Erased
    changed: Changed
    removal: Removal
    choice: Choice
    """Which way was taken, and why"""
    lists: ListsChanged | None
    """How lists of users who asked for nothing changed; None for kinds whose scores are no inner products."""
    effect_left: float | None
    """Estimated share of the deletion's effect that is missing after ``local``; None where nothing tells"""
    refit_seconds: float | None
    """Predicted for the library's own training on what remains; None where nothing tells"""
    siblings: tuple[Sibling, ...]
    """Other files that may still hold the erased data; the scrubbed ones are left out."""
    scrubbed: tuple[Path, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    """check, solve, compare, write"""
    again: ListedAgain | None = None
    """What was forgotten and is in its user's top-10 all the same; None as for ``lists``"""
    returned: Returned | None = None
    """What of the data was erased from this model before, and was let in again."""


def matched(
    opened: Opened, forget_set: Any, *, whole_users: bool = False, whole_items: bool = False, strict: bool = False,
    below: Callable[[Selection], Any] | None = None, absent: tuple[Rows, Rows] | None = None,
) -> Removal:  # fmt: skip
    """What forgetting ``forget_set`` would remove. NotFound where nothing of it is in the data.

    With ``strict`` also where a row of it matches nothing; ``below`` tells which match rows below the threshold.
    ``absent`` are users and items who are asked for and of whom everything was deleted from the data before.
    """
    removal = opened.data.remove(forget_set, whole_users=whole_users, whole_items=whole_items)
    if absent is not None:
        removal = with_gone(removal, *absent)
    try:
        removal = accounted(removal, strict=strict, below=below)
    except NotFound as cause:
        lacking = gone(opened.foreign, opened.data, removal, purged=True)[2]
        if lacking is None or not lacking[0].size:
            raise
        raise NotFound(
            f"{cause.message} If DATA lacks them because they were deleted from it before, say so with --purged.",
            **cause.details,
        ) from cause
    return replace(removal, remaining=reweighted(opened.options, opened.data, removal.remaining))


def looked_for(
    opened: Opened, selection: Selection, source: Path, forget_set: Path | None, *, purged: bool
) -> tuple[Opened, tuple[Rows, Rows] | None, int]:
    """(the model with all its data, where what is missing from them can be put back; else users and items of whom
    everything is gone; how many interactions were put back).

    ``purged``: pairs that match nothing were deleted from the data before.
    """
    removal = opened.data.remove(selection)
    users, items, pairs = gone(opened.foreign, opened.data, removal, purged=purged)
    if not users.size and not items.size:
        return opened, None, 0
    whole = completed(opened, source, forget_set, pairs)
    if whole is not None and len(whole.data) > len(opened.data):
        return whole, None, len(whole.data) - len(opened.data)
    loss = opened.foreign.loss
    if len(removal.removed) and not (isinstance(loss, ALS) and not loss.lingering):
        return opened, None, 0  # such trainers leave vectors in rows that never had anything
    return opened, (users, items), 0


@events.verb("forget", "method")
def forget_foreign(
    opened: Opened,
    forget_set: Any,
    out: Path,
    *,
    method: str = "auto",
    whole_users: bool = False,
    whole_items: bool = False,
    tolerance: float | None = None,
    max_passes: int = 200,
    unchecked: bool = False,
    scrub: bool = False,
    readmit: bool = False,
    seed: int = 0,
    threads: int = 0,
    on_pass: OnPass | None = None,
    phase: Phase | None = None,
    warn: Callable[[str], None] | None = None,
) -> ForeignErasure:
    """Make a foreign model forget ``forget_set`` and write it to ``out``, in its own format.

    Args:
        opened: the model and the data it was trained on, from ``open_foreign``; files stay as they are.
        forget_set: a ``Selection``, (user, item) pairs, a table with user_id and item_id; with ``whole_users`` user
            ids, with ``whole_items`` item ids; or what ``matched`` made of it.
        out: the new file or folder; OutputExists where there is one.
        method: ``auto``, ``replay``, ``local`` or ``converge``, see ``alteraser.adapters.choose``.
        whole_users: forget everything of the users in ``forget_set``.
        whole_items: forget everything of the items in ``forget_set``.
        tolerance: share of the deletion's push that may stay; None: 0.01 on the way to an optimum, 0.3 for the effect
            of the deletion alone.
        max_passes: cap on passes.
        unchecked: go on where the self-check fails.
        scrub: rewrite sibling files that are known, in place.
        readmit: also learn what the data hold again of what was erased from this model before; else that is refused.
        seed: of negatives, for losses that draw them.
        threads: workers; 0 for every processor this process may use.
        on_pass: called with a ``PassRecord`` after each pass.
        phase: wraps the parts of the work called check, solve and write, for progress.
        warn: told in words what should be known before it is done.

    What was erased is written down as keyed hashes beside ``out``, see ``alteraser.data.erased``.

    Raises:
        IntegrityError: the self-check failed; NotFound: nothing to forget; NumericFailure: a row has no solution;
        RefusedByPolicy: the data hold what was erased before.
    """
    asked, on_pass = known_method(method), events.passes(on_pass)
    if tolerance is not None:
        checked_tolerance(tolerance)
    check_output(out)
    foreign, data = opened.foreign, opened.data
    removal = forget_set if isinstance(forget_set, Removal) else matched(
        opened, forget_set, whole_users=whole_users, whole_items=whole_items
    )  # fmt: skip
    record, returned = admitted(opened, removal, readmit=readmit)
    record = erasing(record.going_to(out), removal, items_asked(removal))
    check_beside(out)
    seconds: dict[str, float] = {}
    with _timed("check", phase, seconds):
        check = checked_against(foreign, data, removal, threads=threads)
        borne_out = removal.absent is not None and foreign.trainer is not None  # by a replay, which is compared
        if not unchecked and not check.passed:
            refuse_zero(foreign, data)
            if not borne_out:
                check.require(foreign.path)
    with _timed("solve", phase, seconds):
        task = replace(task_of(opened, removal, threads=threads), max_passes=max_passes, seed=seed, on_pass=on_pass)
        erased, choice = erase(asked, task, tolerance, warn or (lambda words: None))
        if not unchecked and erased.method != "replay":
            check.require(foreign.path)
        as_run = erased.method == "replay" and not erased.users[removal.remaining.user_counts == 0].any()
        changed = difference(foreign, erased, removal)
    with _timed("compare", phase, seconds):
        lists = lists_between(foreign, erased, removal.remaining, removal.removed) if foreign.loss.ranks else None
        again = come_back(erased, removal.remaining, removal.removed) if foreign.loss.ranks else None
        missing = foreign.loss.effect_left(task, erased) if erased.method in ("local", "rows") else None
        refit = refit_seconds(task, foreign.loss.pass_seconds(foreign, data, threads=threads))
    with _timed("write", phase, seconds):
        scrubbed: list[Path] = []
        siblings: list[Sibling] = []
        with written_beside(out, record, as_file=True):
            opened.adapter.write(foreign, changed, out)
            if as_run:
                remember_written(foreign, out, erased.solver, removal.remaining)
            try:
                for sibling in _map_last(found_siblings(opened, out), opened.options.users_map):
                    if scrub and sibling.scrub is not None:
                        try:
                            sibling.scrub(foreign, changed)
                            scrubbed.append(sibling.path)
                        except AltEraserError as cause:  # the model is written; what stays as it was is said
                            siblings.append(replace(sibling, scrub=None, advice=cause.message))
                    else:
                        siblings.append(sibling)
            except BaseException:
                if not scrubbed:  # no output; but a file that was scrubbed belongs to the new model, which then stays
                    _take_back(out)
                raise
    siblings.sort(key=lambda sibling: sibling.path != opened.options.users_map)
    return ForeignErasure(
        foreign,
        data,
        out,
        check,
        erased,
        changed,
        removal,
        choice,
        lists,
        missing,
        refit,
        tuple(siblings),
        tuple(scrubbed),
        seconds,
        again,
        returned,
    )


def admitted(opened: Opened, removal: Removal, *, readmit: bool) -> tuple[Record, Returned]:
    """The record beside the model, without what of the remaining data is let in again, and what that is.

    Raises as ``alteraser.data.erased.admit``.
    """
    path = opened.foreign.path
    record = read_record(path)
    returned = admit(record, removal.remaining, readmit=readmit)
    return record.without(returned), returned


def checked_against(foreign: Foreign, data: Interactions, removal: Removal, *, threads: int = 0) -> SelfCheck:
    """The self-check; where the data lack what is not known, of the measures that single rows do not decide."""
    found = foreign.loss.check(foreign, data, threads=threads)
    if removal.absent is not None:
        found = of_what_remains(found, len(removal.absent[0]) + len(removal.absent[1]))
    events.emit("checked", passed=found.passed, forgotten=removal.count, remaining=len(removal.remaining))
    return found


def task_of(opened: Opened, removal: Removal, *, threads: int = 0) -> Task:
    """What a loss is asked to do for ``removal``."""
    weighed_anew = isinstance(opened.data, Weighted)
    return Task(
        opened.foreign, opened.data, removal.remaining, removal.removed, threads=threads, reweighted=weighed_anew,
        absent=removal.absent,
    )  # fmt: skip


def difference(foreign: Foreign, erased: Erased, removal: Removal) -> Changed:
    """What goes back: which rows moved, users of whom nothing remains at zero. Arrays of ``erased`` are changed."""
    gone = removal.emptied_users.astype(np.int64)
    erased.users[gone] = 0
    if erased.user_biases is not None:
        erased.user_biases[gone] = 0

    def moved(new: Any, old: Any) -> Rows:
        return np.empty(0, np.int64) if new is None or old is None else changed_rows(new, old)

    rows = [
        np.union1d(moved(getattr(erased, f"{side}s"), getattr(foreign, f"{side}s")),
                   moved(getattr(erased, f"{side}_biases"), getattr(foreign, f"{side}_biases")))
        for side in ("user", "item")
    ]  # fmt: skip
    further = {
        name: array for name, array in erased.further.items() if not np.array_equal(array, foreign.further[name])
    }
    return Changed(
        erased.users, erased.items, erased.user_biases, erased.item_biases,
        None if erased.offset == foreign.offset else erased.offset, further, rows[0], rows[1], gone,
        (removal.removed.user_rows, removal.removed.indices.astype(np.int64)),
    )  # fmt: skip


def found_siblings(opened: Opened, out: Path | None = None) -> tuple[Sibling, ...]:
    """Files that may hold the data as well: the data itself, map files, and what the adapter finds; each once."""
    found = list(map_files(opened.options))
    if opened.source is not None:
        found.append(Sibling(opened.source, "the interactions", "--remaining writes them without what was forgotten"))
    found.extend(search_indexes(opened.foreign.path))
    found.extend(opened.adapter.siblings(opened.foreign.path))
    best: dict[Path, Sibling] = {}
    for sibling in found:
        place = sibling.path.absolute()
        if place not in best or (best[place].scrub is None and sibling.scrub is not None):
            best[place] = sibling
    if out is not None:
        best.pop(out.absolute(), None)
    if opened.options.items_map is not None:
        place = opened.options.items_map.absolute()
        if place in best and best[place].scrub is None:
            best[place] = replace(best[place], what="the map of item ids", advice="no user's id is in it")
    return tuple(best.values())


def _map_last(siblings: tuple[Sibling, ...], users_map: Path | None) -> list[Sibling]:
    """The map of user ids last: a run that is killed before is repeated with it, as without the ids it cannot be."""
    return sorted(siblings, key=lambda sibling: sibling.path == users_map)


def _take_back(out: Path) -> None:
    shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)


@contextmanager
def _timed(name: str, phase: Phase | None, seconds: dict[str, float]) -> Iterator[None]:
    began = time.perf_counter()
    with nullcontext() if phase is None else phase(name):
        yield
    seconds[name] = time.perf_counter() - began
