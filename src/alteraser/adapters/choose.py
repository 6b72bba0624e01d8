"""Which way to forget in somebody else's model, and why: ``--method auto | replay | local |
converge``.

at rest                                       →  converge: on to an optimum for what remains is no
other training the file tells how it was trained, and that training, run on all the data, gives the
file →  replay: the same training on what remains else                                          →
local: only the effect of the deletion
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from alteraser.adapters.als import ALS
from alteraser.adapters.contract import Foreign, ForeignErasing, ForeignLoss, ForeignOutcome
from alteraser.adapters.replay import FOLLOWED, Followed, agreement, followed, remembered, replayed
from alteraser.adapters.standing import standing
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.models.ranking import top_lists
from alteraser.verbs.lists import ListedAgain, ListsChanged, listed_again
from alteraser.verbs.outlook import Outlook, merged

Asked = Literal["auto", "replay", "local", "converge"]

METHODS: dict[str, Asked] = {
    "auto": "auto",
    "replay": "replay",
    "local": "local",
    "converge": "converge",
    "alteraser": "converge",
}
"""Methods by their names on the command line; ``alteraser`` is another name of ``converge``."""

CONVERGED = 1e-2
"""Default share of the deletion's push that may stay on the way to an optimum."""

LOCAL = 0.3
"""Default anchored residual that class L allows: what three conjugate-gradient steps a row leave of
a deletion's effect lies between 0.01 (weights of 1) and 0.3 (bm25 weights)."""

USUAL = 15
"""Passes of a library's training where nothing says how many there were."""

LIBRARY, EFFECT = 2.5, 12.0
"""Costs in passes of ours, measured with implicit on play counts and Gowalla: a pass of the
library's; the effect of a deletion, gradients and measurement included."""

COMPARED = 500
"""Other users whose lists are compared before and after, evenly spread."""


@dataclass(frozen=True)
class ForeignChoice:
    """What was asked for, what was done instead of it or as it, and the reason."""

    asked: Asked
    why: str
    followed: Followed | None = None
    """How near the repeated training came to the file, where it was tried."""


@dataclass(frozen=True)
class Planned:
    """What would be done, and what it would cost, before anything is."""

    method: Literal["replay", "local", "converge"]
    """The way that is taken; what it may end as says ``outlook``"""
    why: str
    seconds: float | None
    """Predicted for that; None: nothing tells"""
    refit_seconds: float | None
    """Predicted for the library's own training on what remains"""
    outlook: Outlook
    """What may come of it"""

    def details(self) -> dict[str, Any]:
        """What a document says of it, beside the way and the reason."""
        return {"seconds_predicted": self.seconds}


def known_method(name: str) -> Asked:
    """The method called ``name``. Raises InvalidInput for one that other libraries' models do not
    have.
    """
    if name not in METHODS:
        raise InvalidInput(
            f"--method {name} means nothing to a model of another library: use {', '.join(METHODS)}"
        )
    return METHODS[name]


def erase(
    asked: Asked, erasing: ForeignErasing, tolerance: float | None, warn: Callable[[str], None]
) -> tuple[ForeignOutcome, ForeignChoice]:
    """Forget the way that was ``asked`` for, or that fits; ``tolerance`` None: the way's own.

    ``warn`` is told what a user should know before it happens. Raises IntegrityError for a replay
    that was asked for and does not give the file, and what the loss's ways raise.
    """
    loss = erasing.foreign.loss
    if erasing.deletion.removal.absent is not None:
        return _from_what_remains(asked, erasing, tolerance)
    toward = replace(erasing, tolerance=CONVERGED if tolerance is None else tolerance)
    resting = replace(erasing, tolerance=CONVERGED)
    if asked == "converge":
        if not loss.rests(resting):
            warn(_other_training(toward))
        return _judged(toward), ForeignChoice(asked, "asked for")
    if asked == "auto" and loss.rests(resting):
        why = (
            f"training had left less than {CONVERGED:g} of this deletion's push: the model is "
            "at rest"
        )
        return _judged(toward), ForeignChoice(asked, why)
    found: Followed | None = None
    trainer = erasing.foreign.trainer
    if asked == "replay" or (asked == "auto" and trainer is not None):
        if trainer is None:
            raise _no_trainer(erasing)
        found = followed(
            erasing.foreign, erasing.before, threads=erasing.threads, on_pass=erasing.on_pass
        )
        if found.way is not None:
            same = (
                "the same bytes" if found.identical else f"lists that agree to {found.overlap:.3f}"
            )
            why = (
                f"the same training ({trainer.words}), run on all the data, gives the file: {same}"
            )
            return replayed(erasing, found.way), ForeignChoice(asked, why, found)
        if asked == "replay":
            raise IntegrityError(
                f"--method replay: {trainer.words} on these data gives lists that agree with the "
                f"file's to {found.overlap:.3f} only: another version, machine or order of sums "
                "trained it, or the data, the weights or the map differ. Use --method local"
            )
    near = replace(erasing, tolerance=LOCAL if tolerance is None else tolerance)
    erased = loss.local(near)
    return erased, ForeignChoice(asked, _why_local(asked, erased, found), found)


def _from_what_remains(
    asked: Asked, erasing: ForeignErasing, tolerance: float | None
) -> tuple[ForeignOutcome, ForeignChoice]:
    """``erase`` where D_a is not known: the training on D_r, if the lists of everybody else bear it
    out; else on to an optimum for D_r.
    """
    foreign, trainer = erasing.foreign, erasing.foreign.trainer
    why = "what is to go was not in the data any more, and what it was is not known"
    if asked == "local":
        raise InvalidInput(
            f"--method local: {why}, so what it did to the model is not either. Give the data as "
            "trained on, FORGET with all the columns of the data, or another method"
        )
    best = 0.0
    for way in trainer.ways if trainer is not None and asked != "converge" else ():
        erased = replayed(erasing, way)
        best = max(
            best,
            agreement((erased.users, erased.items), (foreign.users, foreign.items), erasing.after),
        )
        if best >= FOLLOWED:
            assert trainer is not None
            words = (
                f"{why}; its training ({trainer.words}) on what remains gives lists that "
                f"agree to {best:.3f}"
            )
            return erased, ForeignChoice(asked, words)
    if asked == "replay":
        if trainer is None:
            raise _no_trainer(erasing)
        raise IntegrityError(
            f"--method replay: {trainer.words} on what remains gives lists that agree with the "
            f"file's to {best:.3f} only: another version or machine trained it, or the data, the "
            "weights or the map differ"
        )
    if not isinstance(foreign.loss, ALS):
        raise InvalidInput(
            f"{foreign.path}: {why}, and {foreign.loss.name} cannot be forgotten without it. Give "
            "the data as trained on, or FORGET with all the columns of the data"
        )
    toward = replace(erasing, tolerance=CONVERGED if tolerance is None else tolerance)
    return _judged(toward), ForeignChoice(asked, f"{why}: on to an optimum for what remains")


def _judged(erasing: ForeignErasing) -> ForeignOutcome:
    """On to an optimum, and what may be said of where that ended."""
    erased = erasing.foreign.loss.forget(erasing)
    return replace(erased, standing=standing(erasing, erased.users, erased.items, LOCAL))


def plan(asked: Asked, erasing: ForeignErasing) -> Planned:
    """What ``erase`` would do at the default tolerances, and about what it would cost.

    A replay whose check is not remembered is planned with its check, which may still fail: then
    ``local`` is done.
    """
    foreign, loss = erasing.foreign, erasing.foreign.loss
    one = loss.pass_seconds(
        foreign,
        erasing.after if erasing.deletion.removal.absent is not None else erasing.before,
        threads=erasing.threads,
    )
    refit = refit_seconds(erasing, one)
    outlooks = _outlooks(loss)
    if erasing.deletion.removal.absent is not None:
        return _plan_from_what_remains(asked, erasing, refit)
    if asked == "converge":
        return Planned("converge", "asked for", None, refit, outlooks["converge"])
    if asked == "auto" and loss.rests(replace(erasing, tolerance=CONVERGED)):
        why = "training had left little of this deletion's push"
        return Planned("converge", why, None, refit, outlooks["converge"])
    if asked == "replay" and foreign.trainer is None:
        raise _no_trainer(erasing)
    again = None if asked == "local" else _training_again(erasing)
    if again is not None:
        why, runs, sure = again
        # where it was asked for and fails, nothing is done
        instead = None if sure or asked == "replay" else outlooks["local"]
        seconds = None if one is None else runs * one
        return Planned("replay", why, seconds, refit, _outlook_of_replay(instead))
    why = "the model is not at rest and its training cannot be repeated"
    why = "asked for" if asked == "local" else why
    seconds = None if one is None else EFFECT * one
    return Planned("local", why, seconds, refit, outlooks["local"])


def _plan_from_what_remains(asked: Asked, erasing: ForeignErasing, refit: float | None) -> Planned:
    """``plan`` where D_a is not known."""
    instead = _outlooks(erasing.foreign.loss)["converge"]
    why = "what is to go was not in the data any more, and what it was is not known"
    if erasing.foreign.trainer is None or asked == "converge":
        return Planned("converge", why, None, refit, instead)
    return Planned("replay", why, None, refit, _outlook_of_replay(instead))


def _outlooks(loss: ForeignLoss) -> dict[str, Outlook]:
    """What may come of ``local``, and of going on to an optimum."""
    return {
        "local": Outlook(loss.effects, ("L", "D") if loss.shown else ("D",)),
        "converge": Outlook(("converge",), ("B", "C", "L", "D") if loss.shown else ("D",)),
    }


def _outlook_of_replay(instead: Outlook | None) -> Outlook:
    """Of a replay, with what is done ``instead`` where its check fails."""
    first = Outlook(("replay",), ("A",))
    if instead is None:
        return first
    return Outlook(merged(first.methods, instead.methods), merged(first.classes, instead.classes))


def _training_again(erasing: ForeignErasing) -> tuple[str, float, bool] | None:
    """(why the library's training can be run again, passes that takes, its check included, whether
    it is known to pass).

    None where nothing tells how it was trained, or where the check is known to fail.
    """
    trainer = erasing.foreign.trainer
    known = None if trainer is None else remembered(erasing.foreign, erasing.before)
    if trainer is None or (known is not None and known.way is None):
        return None
    checked = "checked before" if known else "if its check on all the data passes"
    runs = trainer.passes * (1.0 if known is not None else 2.0)
    return f"{trainer.words}; {checked}", runs, known is not None


def refit_seconds(erasing: ForeignErasing, one: float | None) -> float | None:
    """Predicted for the library's training on what remains, from the seconds of ``one`` pass of
    ours.
    """
    trainer = erasing.foreign.trainer
    return None if one is None else LIBRARY * (USUAL if trainer is None else trainer.passes) * one


def lists_between(
    foreign: Foreign,
    erased: ForeignOutcome,
    remaining: Interactions,
    removed: Interactions,
    k: int = 10,
) -> ListsChanged:
    """How much the lists of users without anything in ``removed`` changed, what they have in
    ``remaining`` left out.
    """
    others = np.flatnonzero((remaining.user_counts > 0) & (removed.user_counts == 0))
    others = others[:: max(1, others.size // COMPARED)]
    if not others.size:
        return ListsChanged(0, 0.0, 1.0)
    before, after = (
        top_lists(P, Q, others, k=k, seen=remaining, item_biases=biases)[0]
        for P, Q, biases in (
            (foreign.users, foreign.items, foreign.item_biases),
            (erased.users, erased.items, erased.item_biases),
        )
    )
    common = (
        ((before[:, :, None] == after[:, None, :]) & (before[:, :, None] >= 0))
        .any(axis=2)
        .sum(axis=1)
    )
    sizes = np.maximum((before >= 0).sum(axis=1), 1)
    overlap = common / sizes
    return ListsChanged(int(others.size), float(np.mean(overlap < 1.0)), float(np.mean(overlap)))


def come_back(
    erased: ForeignOutcome, remaining: Interactions, removed: Interactions, k: int = 10
) -> ListedAgain:
    """What of ``removed`` is in its user's list of ``k`` all the same."""
    return listed_again(
        lambda users: top_lists(
            erased.users, erased.items, users, k=k, seen=remaining, item_biases=erased.item_biases
        )[0],
        remaining,
        removed,
    )


def _no_trainer(erasing: ForeignErasing) -> InvalidInput:
    return InvalidInput(
        f"--method replay: {erasing.foreign.path} does not tell how it was trained (an implicit "
        "ALS model does where random_state was an integer); use --method local"
    )


def _why_local(asked: Asked, erased: ForeignOutcome, found: Followed | None) -> str:
    if erased.method == "rows":
        why = (
            "the model is not at rest and no local way brought it nearer to its retrain: the "
            "rows of the deletion alone"
        )
    elif asked == "local":
        why = "asked for"
    else:
        why = "the model is not at rest: only the effect of the deletion"
    if asked == "auto" and found is not None:
        why += f"; its training, repeated, gives lists that agree to {found.overlap:.3f} only"
    elif asked == "auto":
        why += "; no training can be repeated from what the file tells"
    return why


def _other_training(erasing: ForeignErasing) -> str:
    """What going on to an optimum does to everybody, after the first of its passes already."""
    start = erasing.foreign.loss.forget(replace(erasing, max_passes=2, on_pass=None))
    lists = lists_between(erasing.foreign, start, erasing.after, erasing.removed)
    share = (
        f": after one pass already {lists.changed:.0%} of everybody's lists differ"
        if lists.users
        else ""
    )
    return (
        f"{erasing.foreign.path} is not at rest, so going on to an optimum is another "
        f"training{share}. --method local changes only what the deletion changes"
    )
