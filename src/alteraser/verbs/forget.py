"""``forget``: a model, the interactions it was trained on and some that must go, in; the model without them, out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa

from alteraser.data.erased import Erased, Returned, admit, erasing
from alteraser.data.interactions import Interactions, Removal, accounted
from alteraser.data.selection import Near, Selection
from alteraser.data.sums import Missing, missing
from alteraser.erasers import Eraser, Outcome, Task, eraser
from alteraser.erasers.driver import OnPass
from alteraser.erasers.level import Level, judge
from alteraser.erasers.task import ADDED, GONE
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.evidence.certificate.words import NAMES, Class, sentence
from alteraser.models import Factors, Problem
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.factorization.magnitudes import check_magnitudes
from alteraser.models.factorization.model import Model, TrainedOn
from alteraser.models.protocol import Recommender
from alteraser.runtime import events
from alteraser.verbs.choose import WAYS, Auto, Choice, choose, distance_from_rest, trained
from alteraser.verbs.forget_exactly import ExactErasure, forget_exactly
from alteraser.verbs.lists import LENGTH, ListedAgain, ListsChanged, listed_again, lists_changed
from alteraser.verbs.replaying import remember

OnChoice = Callable[[Choice, Callable[[], ListsChanged]], None]

LEAST = Level("D")
"""Of an erasure that nobody judged."""


@dataclass(frozen=True)
class Matched:
    """What a request means on the data of a model; nothing is computed yet."""

    data: Interactions
    """D_a in the model's rows, with additions where there are some"""
    removal: Removal
    items: tuple[int | str, ...] = ()
    """Items that were to go whole"""
    joined: tuple[int, int] = (0, 0)
    """Users and items that the model has no row of"""
    returned: Returned | None = None
    """What of the additions was erased before, and is let in again"""
    added: int = 0
    """Interactions that were added since"""
    missing: Missing | None = None
    """What of the deletion the data did not have any more; None: nothing"""


@dataclass(frozen=True)
class Erasure:
    """The result of forgetting."""

    model: Model
    """Θ_u with the maps, objective and provenance of the original."""
    remaining: Interactions
    """D_r"""
    removed: Interactions
    """D_f, what was found"""
    unmatched: pa.Table
    """Rows of the forget set that match no interaction; nothing was done for them."""
    near: tuple[Near, ...]
    """Ids of ``unmatched`` that the data have but for their form."""
    below: pa.Table | None
    """Rows of the forget set that are in the file below the threshold; None: nobody looked."""
    outcome: Outcome
    """Trace, residual, objective, work."""
    method: str
    push: float
    """‖∇L_{D_r}(Θ_a) − ∇L_{D_a}(Θ_a)‖_{B⁻¹}, the scale of the residual."""
    objective_before: float
    """L_{D_r}(Θ_a)"""
    training_floor: float | None
    """What the original's training had left of its own gradient, over the push; above 1 the original was not
    trained far enough to tell this deletion from noise (forgetting then also finishes the training)."""
    added: int = 0
    """Interactions learned along (``grown``)."""
    joined: tuple[int, int] = (0, 0)
    """Users and items among them that the original had no row of."""
    returned: Returned | None = None
    """What of them was erased before (``readmit``)."""
    missing: Missing | None = None
    """What of the deletion the data did not have any more; None: nothing."""
    forgotten: int = 0
    """Interactions that went, those that the data did not have any more included; ``removed`` has what is known."""
    asked: str = ""
    """The method that was asked for; ``method`` is the one that was taken."""
    choice: Choice | None = None
    """Why it was taken and what was predicted; None for methods that are not chosen by ``auto``."""
    lists: ListsChanged | None = None
    """Top-10 lists of users of whom nothing was forgotten, before and after"""
    again: ListedAgain | None = None
    """What was forgotten and is in its user's top-10 all the same"""
    seconds: float = 0.0
    level: Level = LEAST
    """The class, judged by the conditions that ``verify`` recomputes, and what is missing for a better one"""

    @property
    def residual(self) -> float:
        """Share of the deletion's push still unresolved in the new model's stored factors."""
        return self.outcome.residual

    @property
    def converged(self) -> bool:
        """True when the residual is within the tolerance."""
        return self.outcome.converged

    @property
    def kind(self) -> Class:
        """The class, one letter: A for a replay or retrain, C within the limits, L for the deletion's effect alone
        within the tolerance, D for anything else.

        ``alteraser.verbs.verify.verify`` recomputes it from the files alone, and says which class may be claimed.
        """
        return self.level.kind

    @property
    def class_name(self) -> str:
        """``replayed``, ``measured``, ``local`` or ``not forgotten``."""
        return NAMES[self.kind]

    @property
    def sentence(self) -> str:
        """The class in words."""
        if self.kind == "L":
            return sentence("L", None, self.effect_left)
        measured = self.outcome.measured
        if self.kind != "C":
            return sentence(self.kind, None, None)
        if measured is None:
            return sentence("C", 0.0, None)  # nothing remains
        factors = self.model.factors
        size = float(np.sqrt(sum(np.einsum("id,id->", x, x, dtype=np.float64) for x in (factors.users, factors.items))))
        return sentence("C", measured.distance * size, measured.distance if size else None)

    @property
    def tolerance(self) -> float | None:
        """The tolerance of the method."""
        found = self.model.training.get("tolerance")
        return None if found is None else float(found)

    def reached(self, asked_tolerance: float | None = None) -> bool:
        """Whether the level that was asked for, or the default one, is reached: what exit code 0 says.

        Class D never is one. A tolerance that was asked for is a level of its own; a replay reaches its own by having
        run, a retrain by converging or being class C.
        """
        if self.kind == "D":
            return False
        if self.method == "replay":
            return True
        return self.converged if asked_tolerance is not None or self.kind == "A" else True

    @property
    def effect_left(self) -> float | None:
        """Estimated share of the deletion's effect that is missing, of a local erasure; None for other methods."""
        return None if self.outcome.effect is None else self.outcome.effect.left

    @property
    def trace(self) -> tuple[Any, ...]:
        """One record per pass."""
        return self.outcome.trace

    def save(self, path: str | Path) -> Model:
        """``model.save(path)``, and of a replay it is remembered that its training gives these very bytes here.

        The next request to the file then repeats the training as well. Raises OutputExists.
        """
        saved = self.model.save(path)
        if self.method == "replay":
            remember(saved, True)
        return saved


@overload
def forget(
    model: ExactModel, forget_set: Any, *, data: Interactions, method: str | Auto | Eraser = "auto",
    whole_users: bool = False, whole_items: bool = False, grown: bool = False, readmit: bool = False,
    strict: bool = False, threads: int = 0, on_pass: OnPass | None = None, on_choice: OnChoice | None = None,
) -> ExactErasure: ...  # fmt: skip


@overload
def forget(
    model: Model, forget_set: Any, *, data: Interactions, method: str | Auto | Eraser = "auto",
    whole_users: bool = False, whole_items: bool = False, grown: bool = False, readmit: bool = False,
    strict: bool = False, threads: int = 0, on_pass: OnPass | None = None, on_choice: OnChoice | None = None,
) -> Erasure: ...  # fmt: skip


def forget(
    model: Model | ExactModel,
    forget_set: Any,
    *,
    data: Interactions,
    method: str | Auto | Eraser = "auto",
    whole_users: bool = False,
    whole_items: bool = False,
    grown: bool = False,
    readmit: bool = False,
    strict: bool = False,
    threads: int = 0,
    on_pass: OnPass | None = None,
    on_choice: OnChoice | None = None,
) -> Erasure | ExactErasure:
    """Make ``model`` forget ``forget_set``; ``model`` and ``data`` are not changed.

    Args:
        model: the original model; one of an exact kind gives an ``ExactErasure``.
        forget_set: a ``Selection``, (user, item) pairs, an Arrow-PyCapsule table with user_id and item_id, or
            Interactions; with ``whole_users`` user ids, of whom everything goes; with ``whole_items`` item ids,
            likewise.
        data: the interactions the model was trained on (checked by digest), or these without the forget set.
        method: ``"auto"`` or one of the three ways it chooses from, ``"replay"``, ``"local"``, ``"converge"``;
            ``"retrain"`` or another eraser's name; or a configured one such as ``Auto(tolerance=1e-4)``,
            ``AltEraser(tolerance=1e-4)``. An exact kind has one way, ``"exact"`` or ``"auto"``.
        whole_users: forget everything of the users in ``forget_set``.
        whole_items: forget everything of the items in ``forget_set``.
        grown: ``data`` also holds interactions that were added since; they are learned along.
        strict: refuse a forget set of which any row matches nothing.
        readmit: with ``grown``, also those that were erased from this model before; else they are refused.
        threads: workers; 0 for every processor this process may use.
        on_pass: called with a ``PassRecord`` after each pass.
        on_choice: called before anything is computed with what will be done, for ``auto`` and its three ways, and with
            a function that estimates how many lists of others going to the optimum would change.

    Raises:
        NotFound: nothing of the forget set is in the data.
        IntegrityError: the data are not those the model was trained on.
        RefusedByPolicy: with ``grown``, some of the data was erased before; NotFound: the key that tells is missing.
        NumericFailure: a row has no solution; Interrupted: Ctrl-C.

    >>> from alteraser import ENMF, Interactions
    >>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
    >>> model = ENMF(factors=2, regularization=0.1, missing_weight=0.1, dtype="float64").fit(data)
    >>> erasure = forget(model, [(0, 0)], data=data)
    >>> erasure.converged, len(erasure.remaining)
    (True, 11)
    """
    found = match(
        model, forget_set, data, whole_users=whole_users, whole_items=whole_items, grown=grown, readmit=readmit,
        strict=strict,
    )  # fmt: skip
    return unlearn(model, found, method=method, threads=threads, on_pass=on_pass, on_choice=on_choice)


@overload
def unlearn(
    model: ExactModel, found: Matched, *, method: str | Auto | Eraser = "auto", threads: int = 0,
    on_pass: OnPass | None = None, on_choice: OnChoice | None = None,
) -> ExactErasure: ...  # fmt: skip


@overload
def unlearn(
    model: Model, found: Matched, *, method: str | Auto | Eraser = "auto", threads: int = 0,
    on_pass: OnPass | None = None, on_choice: OnChoice | None = None,
) -> Erasure: ...  # fmt: skip


@events.verb("forget", "method", "kind", "residual", "converged", "forgotten")
def unlearn(
    model: Model | ExactModel,
    found: Matched,
    *,
    method: str | Auto | Eraser = "auto",
    threads: int = 0,
    on_pass: OnPass | None = None,
    on_choice: OnChoice | None = None,
) -> Erasure | ExactErasure:
    """``forget`` once ``match`` has said what that means."""
    began, on_pass = time.perf_counter(), events.passes(on_pass)
    if isinstance(model, ExactModel):
        return forget_exactly(model, found, _erased(model, found), method=method, threads=threads)
    data, removal = found.data, found.removal
    task = _task(model, found, threads)
    asked, choice = _name(method), None
    auto = _auto(method)
    way: Eraser
    if auto is not None:
        choice = choose(model, task, auto.way)
        if on_choice is not None:
            on_choice(choice, lambda: _lists_at_rest(model, task, removal))
        way = auto.eraser(choice, model, task, on_pass)
    elif not isinstance(method, Auto):
        way = eraser(method, **({"train_prediction": True} if model.trains_prediction else {}))
    outcome = way.erase(task, on_pass)
    outcome, level = judge(task, outcome, name=way.name, tolerance=getattr(way, "tolerance", None))
    start = outcome.push or task.start
    users, items = data.users.without(removal.emptied_users), data.items
    remaining = removal.remaining.with_maps(users, items)
    unlearned = replace(
        model,
        factors=outcome.factors,
        users=users,
        items=items,
        trained_on=TrainedOn.of(remaining),
        training=_training(way, outcome, model, removal.count) | {"class": level.kind},
        parent=model.digest,
        ancestors=model.lineage,
        digest=None,
        erased=_erased(model, found),
    )
    known_users = unlearned.factors.users.shape[0] == model.factors.users.shape[0]
    same_items = unlearned.factors.items.shape[0] == model.factors.items.shape[0]
    lists = lists_changed(model, unlearned, remaining, asking(removal)) if (
        known_users and same_items
    ) else None  # fmt: skip
    return Erasure(
        model=unlearned,
        remaining=remaining,
        removed=removal.removed,
        unmatched=removal.unmatched,
        near=removal.near,
        below=removal.below,
        outcome=outcome,
        method=way.name,
        push=start.norm,
        objective_before=start.objective,
        training_floor=start.floor,
        asked=asked,
        choice=choice,
        lists=lists,
        again=listed_again(
            lambda users: unlearned.top_items(users, k=LENGTH, seen=remaining)[0], remaining, removal.removed
        ),
        level=level,
        added=found.added,
        joined=found.joined,
        returned=found.returned,
        missing=found.missing,
        forgotten=removal.count,
        seconds=time.perf_counter() - began,
    )


def plan(model: Model, found: Matched, method: str | Auto | Eraser, *, threads: int = 0) -> Choice | None:
    """What ``unlearn`` would do, and at what cost; None for methods that ``auto`` never takes."""
    auto = _auto(method)
    return None if auto is None else choose(model, _task(model, found, threads), auto.way)


def asking(removal: Removal) -> Any:
    """Which users something goes of, (m,) bool."""
    flags = np.zeros(removal.remaining.users.size, bool)
    flags[removal.touched_users] = True
    return flags


def _task(model: Model, found: Matched, threads: int) -> Task:
    data, removal = found.data, found.removal
    check_magnitudes(model.objective, data)
    original = fitted(model.factors, data)
    known = data.digest == model.trained_on.digest
    joined = [np.arange(old.size, new.size) for old, new in ((model.users, data.users), (model.items, data.items))]
    return Task(
        original=original,
        before=Problem(model.objective, data, original.dtype) if known else None,
        after=Problem(model.objective, removal.remaining, original.dtype),
        touched_users=Task.rows(np.concatenate([removal.touched_users, joined[0]])),
        touched_items=Task.rows(np.concatenate([removal.touched_items, joined[1]])),
        threads=threads,
        unknown=GONE if found.missing is not None else ADDED,
    )


def _name(method: str | Auto | Eraser) -> str:
    if isinstance(method, str):
        return method
    return method.way or "auto" if isinstance(method, Auto) else method.name


def _auto(method: str | Auto | Eraser) -> Auto | None:
    """``method`` where it is ``auto`` or one of its ways; None for a method of its own."""
    if isinstance(method, Auto):
        return method
    if method == "auto":
        return Auto()
    return next((Auto(way) for way in WAYS if way == method), None)


def _lists_at_rest(model: Model, task: Task, removal: Removal) -> ListsChanged:
    """Estimate: how many lists of others differ where training had led, a Newton step from the original."""
    assert task.before is not None
    _, there = distance_from_rest(task.before, task.original, threads=task.workers)
    return lists_changed(model, replace(model, factors=there), removal.remaining, asking(removal))


def match(
    model: Recommender, forget_set: Any, data: Interactions, *, whole_users: bool = False, whole_items: bool = False,
    grown: bool = False, readmit: bool = False, strict: bool = False,
    below: Callable[[Selection], Any] | None = None,
) -> Matched:  # fmt: skip
    """D_a and what forgetting would remove, after checking that ``data`` belongs to ``model``; nothing is computed.

    ``below`` tells which rows of a selection match rows of the file below the threshold, which no model saw. Raises as
    ``forget`` does.
    """
    selection = Selection.of(forget_set, whole_users=whole_users, whole_items=whole_items)
    data = aligned(model, data, grown=grown)
    known = data.digest == model.trained_on.digest
    gone = None if known or grown else _missing(model, data, selection)
    if grown and data.count < model.trained_on.interactions:
        raise IntegrityError(
            f"the data have {data.count:,} interactions, the model was trained on "
            f"{model.trained_on.interactions:,}: `grown` allows additions, but some are missing"
        )
    if grown and not known:
        _check_grown(model, data, selection)
    timed = isinstance(model, ExactModel) and model.settings.needed()  # which is not known of what is missing
    whole = None if gone is None or timed else _completed(model, data, gone)
    if whole is not None:
        data = whole
    removal = data.remove(selection)
    if gone is not None and whole is None:
        removal = _with_missing(removal, gone)
    removal = accounted(removal, strict=strict, below=below)
    returned = None
    if grown:  # what goes again with this request does no harm
        returned = admit(model.erased, removal.remaining, readmit=readmit)
    joined = data.users.size - model.users.size, data.items.size - model.items.size
    events.emit("checked", forgotten=removal.count, remaining=removal.remaining.count, digest_known=known)
    added = 0 if known or not grown else data.count - model.trained_on.interactions
    return Matched(data, removal, items_asked(removal), joined, returned, added, gone)


def items_asked(removal: Removal) -> tuple[int | str, ...]:
    """The ids of the items that were to go whole, at all times, and are in the data, as they are written there."""
    selection, data = removal.selection, removal.remaining
    if selection.kind != "items" or selection.window is not None:
        return ()
    rows = data.items.rows_of(selection.items, "item_id")
    return tuple(data.items.ids_of(rows[rows >= 0]).to_pylist())


def _erased(model: Recommender, found: Matched) -> Erased:
    """The record of ``model`` with what this deletion erases, and without what it lets in again."""
    record = model.erased if found.returned is None else model.erased.without(found.returned)
    return erasing(record, found.removal, found.items)


def belongs(model: Recommender, data: Interactions) -> None:
    """IntegrityError, saying what differs, unless ``data`` are the interactions ``model`` stands for."""
    if data.digest != model.trained_on.digest:
        raise IntegrityError(_difference(model, data))


def aligned(model: Recommender, data: Interactions, *, grown: bool) -> Interactions:
    """``data`` in the rows of ``model``."""
    if data.users == model.users and data.items == model.items:
        return data
    users, items = model.users, model.items
    if grown:
        users, items = users.extended(data.users.ids), items.extended(data.items.ids)
    table = data.to_table()
    return replace(Interactions.from_table(table, users=users, items=items), unrated=data.unrated)


def _missing(model: Recommender, data: Interactions, selection: Selection) -> Missing:
    """What ``data`` lack of what the model was trained on, all of it named by ``selection``; else IntegrityError.

    A model without sums is held against its digest: then what is missing are the pairs that are asked for.
    """
    if model.trained_on.sums is not None:
        try:
            found = missing(model.trained_on.sums, data, selection)
        except IntegrityError as cause:
            raise IntegrityError(_difference(model, data, cause.message), **cause.details) from cause
        if data.events is not None:  # sums count pairs
            found = replace(found, interactions=model.trained_on.interactions - data.count, pairs=None)
        if found.interactions <= 0:
            raise IntegrityError(_difference(model, data))
        return found
    if selection.kind == "pairs" and selection.window is None and data.events is None:
        u, v = model.users.rows_of(selection.users, "user_id"), model.items.rows_of(selection.items, "item_id")
        known = (u >= 0) & (v >= 0) & (data.locate(u, v) < 0)
        width = np.int64(max(model.items.size, 1))
        keys = np.unique(u[known] * width + v[known])
        found = Missing(len(keys), np.unique(keys // width), np.unique(keys % width), (keys // width, keys % width), 0)
        if len(keys) and _completed(model, data, found) is not None:
            return found
    raise IntegrityError(_difference(model, data))


def _check_grown(model: Recommender, data: Interactions, selection: Selection) -> None:
    """IntegrityError where users have fewer interactions than in training and the request does not name them."""
    sums = model.trained_on.sums
    if sums is None:
        return
    m = model.users.size
    fewer = np.zeros(data.users.size, bool)
    fewer[:m] = data.user_counts[:m] < sums.users.counts
    if selection.users is not None:
        rows = data.users.rows_of(selection.users, "user_id")
        fewer[rows[rows >= 0]] = False
    elif selection.items is not None:
        return
    if fewer.any():
        first = data.users.ids_of(np.flatnonzero(fewer)[:1])[0].as_py()
        raise IntegrityError(
            f"{int(fewer.sum()):,} user(s) have fewer interactions than the model was trained on, the first is "
            f"{first!r}: `grown` allows additions, but some are missing"
        )


def _completed(model: Recommender, data: Interactions, gone: Missing) -> Interactions | None:
    """D_a, put together from D_r and what is missing; None where that is not known to the last number."""
    if gone.pairs is None or data.confidence is not None or data.target is not None or data.events is not None:
        return None
    u = np.concatenate([data.user_rows, gone.pairs[0]])
    v = np.concatenate([data.indices.astype(np.int64), gone.pairs[1]])
    whole = Interactions._assemble(model.users, model.items, u, v, None, None, None, "refuse")
    return whole if whole.digest == model.trained_on.digest else None


def _with_missing(removal: Removal, gone: Missing) -> Removal:
    """``removal`` with what the data did not have any more; rows of the request that are about it are matched."""
    remaining, removed, vanished = removal.remaining, removal.removed, gone.interactions
    if gone.pairs is not None:
        u = np.concatenate([removed.user_rows, gone.pairs[0]])
        v = np.concatenate([removed.indices.astype(np.int64), gone.pairs[1]])
        removed = Interactions._assemble(remaining.users, remaining.items, u, v, None, None, None, "refuse")
        vanished = 0
    table, kind = removal.unmatched, removal.selection.kind
    if kind == "pairs" and gone.pairs is not None:
        rows = remaining.users.rows_of(table["user_id"]), remaining.items.rows_of(table["item_id"])
        about = removed.locate(*rows) >= 0
    else:
        sides = {"user_id": (remaining.users, gone.users), "item_id": (remaining.items, gone.items)}
        about = np.ones(table.num_rows, bool)
        for name in table.column_names:
            ids, lacking = sides[name]
            about &= np.isin(ids.rows_of(table[name]), lacking)
    return replace(
        removal, removed=removed, unmatched=table.filter(pa.array(~about)), absent=(gone.users, gone.items),
        vanished=vanished,
    )  # fmt: skip


def completed(model: Recommender, data: Interactions, forget_set: Any) -> Interactions:
    """D_a from D_r and the pairs that were forgotten, where that is what the digest says; else IntegrityError."""
    found = _completed(model, data, _missing(model, data, Selection.of(forget_set)))
    if found is None:
        raise IntegrityError(_difference(model, data))
    return found


def _difference(model: Recommender, data: Interactions, found: str = "") -> str:
    """What ``data`` have that the model was not trained on, by counts; ``found``: more of it, in words."""
    have, want = TrainedOn.of(data), model.trained_on
    parts = [
        f"{name} {getattr(have, name):,} instead of {getattr(want, name):,}"
        for name in ("interactions", "users", "items")
        if getattr(have, name) != getattr(want, name)
    ]
    what = "; ".join(parts) or "the same counts, but other pairs, targets or confidences"
    return (
        f"the data are not what the model was trained on ({what}; digest {have.digest[:12]}…, expected "
        f"{want.digest[:12]}…){found and ': ' + found}. Give the data as trained on, or these without the forget set; "
        "if interactions were added since, forget --grown learns them along"
    )


def fitted(factors: Factors, data: Interactions) -> Factors:
    """``factors`` with zero rows for users and items that joined since."""
    m, n = data.shape
    if factors.users.shape[0] > m or factors.items.shape[0] > n:
        raise InvalidInput("the data have fewer rows than the model; rows never shrink")

    def extended(x: Any, rows: int) -> Any:
        return x if x.shape[0] == rows else np.vstack([x, np.zeros((rows - x.shape[0], x.shape[1]), x.dtype)])

    return Factors(extended(factors.users, m), extended(factors.items, n), factors.prediction)


def _training(method: Eraser, outcome: Outcome, original: Model, forgotten: int) -> dict[str, Any]:
    solver = getattr(method, "solver", None)
    return {
        "method": method.name,
        "solver": solver if isinstance(solver, str) else getattr(solver, "name", None),
        "passes": outcome.passes,
        "products": outcome.products,
        "rows_updated": outcome.rows_updated,
        "objective": outcome.objective,
        "residual": outcome.residual,
        "tolerance": getattr(method, "tolerance", None),
        "converged": outcome.converged,
        "memory": getattr(method, "memory", None),
        "seed": getattr(method, "seed", None),
        "train_prediction": getattr(method, "train_prediction", False),
        "interactions_forgotten": forgotten,
        "route": list(outcome.route),
        "recipe": outcome.recipe,
        "distance": original.training.get("distance") if outcome.effect is not None else outcome.rest,
        "effect_left": None if outcome.effect is None else outcome.effect.left,
        "trained": trained(original.training),
    }
