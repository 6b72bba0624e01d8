"""A request and everything given in, a ``GivenDeletion`` out, after checking that these are what a
model of several sources stands for.

DATA may be without what is to be forgotten already: they are put together again by the rows of the
request, or by the sums that the model keeps of what it was trained on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from alteraser.data.erased import admit
from alteraser.data.ids import Coded
from alteraser.data.interactions import Interactions
from alteraser.data.selection import Selection
from alteraser.data.side.deletion import GivenDeletion, Left, Request, left
from alteraser.data.side.given import MAIN, Given
from alteraser.data.side.links import Links, joined
from alteraser.data.sums import Missing
from alteraser.errors import IntegrityError, InvalidInput, NotFound
from alteraser.models.relational.composite import CompositeModel
from alteraser.verbs import deleting


@deleting.match.register(CompositeModel)
def match(
    model: CompositeModel,
    asked: Request | Selection,
    data: Given | Interactions,
    how: deleting.Matching = deleting.PLAIN,
    *,
    lying: Links | None = None,
) -> GivenDeletion:
    """What ``asked``, of any source or of DATA, means on ``data``.

    ``lying``: DATA as they lie there, where ``data`` have them put together again already. Raises
    IntegrityError where ``data`` are not what the model was trained on, NotFound where nothing of
    the request is in them, or with ``strict`` where a part of it is not.
    """
    if how.grown:
        raise InvalidInput(f"--grown: a model of kind {model.kind} learns additions by train alone")
    request = asked if isinstance(asked, Request) else Request(asked)
    data = Given.of(data)
    data = data.of_kinds(model.id_kinds) if lying is None else data
    lying = lying or data.main
    if request.relation == MAIN:
        main = completed(model, data.main, request.selection)
        data = data if main is data.main else replace(data, links=(main, *data.links[1:]))
    belongs(model, data)
    rest = left(data, request)
    count = rest.unmatched.num_rows + len(rest.missed)
    if how.strict and count:
        raise NotFound(
            f"--strict: {count:,} part(s) of the request match nothing; nothing was forgotten"
        )
    found = GivenDeletion.of(data, rest, request.selection)
    return found if data.main is lying else replace(found, missing=lacking(data, lying))


def of_rest(model: CompositeModel, given: Given, rest: Left) -> GivenDeletion:
    """What ``rest`` leaves of ``given``, which ``model`` stands for, and adds to it: whatever was
    erased before and is there again is let in.
    """
    belongs(model, given)
    found = GivenDeletion.of(given, rest, None)
    back = admit(model.erased, found.remaining, readmit=True)
    kept = len(given.interactions()) - len(found.removed)
    return replace(found, returned=back, added=len(found.remaining) - kept)


def belongs(model: CompositeModel, given: Given) -> None:
    """IntegrityError, naming the source that differs, unless ``given`` is what the model stands
    for.
    """
    have, want = given.digests, model.sources
    lacking, extra = ([x for x in a if x not in b] for a, b in ((want, have), (have, want)))
    for names, how, do in (
        (lacking, "with", "give them as well"),
        (extra, "without", "leave them out"),
    ):
        if names:
            said = " and ".join(_words(name) for name in names)
            raise IntegrityError(f"the model was trained {how} {said}: {do}")
    other = [name for name in want if have[name] != want[name]]
    if other:
        raise IntegrityError(
            f"{' and '.join(_words(name) for name in other)} are not what the model was trained on "
            f"(digest {have[other[0]][:12]}…, expected {want[other[0]][:12]}…): give them as they "
            "were then; what forget left is in what its --remaining wrote"
        )


def completed(
    model: CompositeModel, main: Links, selection: Selection | None, rows: Links | None = None
) -> Links:
    """``main`` with what of a request it does not have any more; as it is where that does not make
    it what ``model`` was trained on, to the last row.

    ``rows``: the request as rows of DATA, with their contexts, which sums do not tell.
    """
    if main.digest == model.sources[MAIN]:
        return main
    if rows is not None and rows.contexts.keys() == main.contexts.keys():
        both = joined(main, rows)
        if both.digest == model.sources[MAIN]:
            return both
    if selection is None or main.contexts or not (main.confidence is None and main.aim is None):
        return main
    try:
        data = Interactions.from_coded(
            main.heads, main.tails, {}, duplicates="first", known=(model.users, model.items)
        )
        whole = deleting.completed(model, data, selection)
    except IntegrityError:  # the caller says which source differs
        return main
    found = replace(
        main,
        heads=Coded(whole.users, whole.user_rows),
        tails=Coded(whole.items, whole.indices.astype(np.int64)),
        times=None,
        places=None,
    )
    return found.keep(np.ones(len(found), bool))


def lacking(given: Given, main: Links) -> Missing:
    """Which pairs of DATA as completed are not in ``main``, in the rows of ``given``."""
    data = given.interactions()
    rows = [
        coded.within(ids, "ids")
        for coded, ids in ((main.heads, data.users), (main.tails, data.items))
    ]
    there = np.zeros(len(data), bool)
    there[data.locate(rows[0], rows[1])] = True
    users, items = data.user_rows[~there], data.indices[~there].astype(np.int64)
    return Missing(users.size, np.unique(users), np.unique(items), (users, items), 0)


def _words(source: str) -> str:
    return {
        "data": "DATA",
        "user features": "the features of users (--user-features)",
        "item features": "the features of items (--item-features)",
    }.get(source, f"the {source} (--relation {source.removeprefix('relation ')}=FILE)")
