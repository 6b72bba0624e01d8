"""``forget``: a model, the interactions it was trained on and some that must go, in; the model
without them, out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, overload

from alteraser.erasers.driver import OnPass
from alteraser.verbs.deleting import Matching, asked_for, belongs, match
from alteraser.verbs.erasure import Erasure
from alteraser.verbs.forget_exactly import unlearn_exactly
from alteraser.verbs.forget_factors import unlearn_factors
from alteraser.verbs.relational.deleting import match as match_given
from alteraser.verbs.relational.forget import unlearn_linear
from alteraser.verbs.roads import Method, OnChoice, opened, plan, unlearn

M = TypeVar("M")


@overload
def forget(model: str | Path, forget_set: Any, *, data: Any, **how: Any) -> Erasure[Any]: ...


@overload
def forget(
    model: M,
    forget_set: Any,
    *,
    data: Any,
    method: Method = "auto",
    whole_users: bool = False,
    whole_items: bool = False,
    grown: bool = False,
    readmit: bool = False,
    strict: bool = False,
    threads: int = 0,
    on_pass: OnPass | None = None,
    on_choice: OnChoice | None = None,
) -> Erasure[M]: ...


def forget(
    model: Any,
    forget_set: Any,
    *,
    data: Any,
    method: Method = "auto",
    whole_users: bool = False,
    whole_items: bool = False,
    grown: bool = False,
    readmit: bool = False,
    strict: bool = False,
    threads: int = 0,
    on_pass: OnPass | None = None,
    on_choice: OnChoice | None = None,
    **options: Any,
) -> Erasure[Any]:
    """Make ``model`` forget ``forget_set``; ``model`` and ``data`` are not changed.

    Args:
        model: the original model, of any kind; or the path of one, of ours or another library's.
        forget_set: a ``Selection``, (user, item) pairs, an Arrow-PyCapsule table with user_id and
            item_id, or Interactions; with ``whole_users`` user ids, of whom everything goes; with
            ``whole_items`` item ids, likewise.
        data: the interactions the model was trained on (checked by digest), or these without the
            forget set; of a model by its path also the path of a table.
        method: ``"auto"`` or one of the three ways it chooses from, ``"replay"``, ``"local"``,
            ``"converge"``; ``"retrain"`` or another eraser's name; or a configured one such as
            ``Auto(tolerance=1e-4)``, ``AltEraser(tolerance=1e-4)``. An exact kind has one way,
            ``"exact"`` or ``"auto"``; another library's model the three and ``"auto"``.
        whole_users: forget everything of the users in ``forget_set``.
        whole_items: forget everything of the items in ``forget_set``.
        grown: ``data`` also holds interactions that were added since; they are learned along.
        strict: refuse a forget set of which any row matches nothing.
        readmit: with ``grown``, also those that were erased from this model before; else they are
            refused.
        threads: workers; 0 for every processor this process may use.
        on_pass: called with a ``PassRecord`` after each pass.
        on_choice: called before anything is computed with what will be done, for ``auto`` and its
            three ways, and with a function that estimates how many lists of others going to the
            optimum would change.
        options: of a model by its path, how another library's file and the data are read
            (``ForeignOptions``).

    Raises:
        NotFound: nothing of the forget set is in the data.
        IntegrityError: the data are not those the model was trained on.
        RefusedByPolicy: with ``grown``, some of the data was erased before; NotFound: the key that
            tells is missing.
        NumericFailure: a row has no solution; Interrupted: Ctrl-C.

    >>> from alteraser import ENMF, Interactions
    >>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
    >>> model = ENMF(factors=2, regularization=0.1, missing_weight=0.1, dtype="float64").fit(data)
    >>> erasure = forget(model, [(0, 0)], data=data)
    >>> erasure.converged, len(erasure.remaining)
    (True, 11)
    """
    model, data = opened(model, data, **options)
    selection = asked_for(forget_set, whole_users=whole_users, whole_items=whole_items)
    found = match(model, selection, data, Matching(grown, readmit, strict))
    return unlearn(
        model, found, method=method, threads=threads, on_pass=on_pass, on_choice=on_choice
    )


__all__ = [
    "Erasure",
    "belongs",
    "forget",
    "match",
    "match_given",
    "opened",
    "plan",
    "unlearn",
    "unlearn_exactly",
    "unlearn_factors",
    "unlearn_linear",
]
